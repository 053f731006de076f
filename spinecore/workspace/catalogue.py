"""An SQLite index of the workspace's folders: it answers "which, newest first"; the facts stay in the folders."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spinecore.workspace.records import JobRecord, StackRecord

#: Raised when the tables change; another version on disk is rebuilt from the folders.
VERSION = 1
_TABLES = """
CREATE TABLE stacks (sha256 TEXT PRIMARY KEY, added TEXT NOT NULL);
CREATE TABLE analyses (id TEXT PRIMARY KEY, submitted TEXT NOT NULL, state TEXT NOT NULL, stack_sha256 TEXT NOT NULL);
CREATE INDEX analyses_by_time ON analyses (submitted);
CREATE INDEX analyses_by_state ON analyses (state);
"""


class Catalogue:
    """The index file, safe for several threads and processes (one short connection a call, WAL, busy timeout).

    Parameters
    ----------
    path : Path
        The SQLite file; made when missing, replaced when it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def usable(self) -> bool:
        """Return False when the file is missing, damaged or of another version: then rebuild it."""
        return self.path.exists() and self._version() == VERSION

    def replace(self, stacks: Iterable[StackRecord], jobs: Iterable[JobRecord]) -> None:
        """Fill the index anew; a damaged file is thrown away first."""
        if self.path.exists() and self._version() is None:
            for suffix in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        with self._connect() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for table in ("stacks", "analyses"):
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.executemany("INSERT INTO stacks VALUES (?, ?)", map(_stack_row, stacks))
            connection.executemany("INSERT INTO analyses VALUES (?, ?, ?, ?)", map(_job_row, jobs))
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def put_stack(self, record: StackRecord) -> None:
        """Add or update one stack."""
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO stacks VALUES (?, ?)", _stack_row(record))

    def put_job(self, record: JobRecord) -> None:
        """Add or update one analysis."""
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO analyses VALUES (?, ?, ?, ?)", _job_row(record))

    def drop(self, kind: str, key: str) -> None:
        """Forget one stack (`kind` "stacks") or one analysis ("analyses")."""
        column = {"stacks": "sha256", "analyses": "id"}[kind]
        with self._connect() as connection:
            connection.execute(f"DELETE FROM {kind} WHERE {column} = ?", (key,))

    def stack_keys(self) -> list[str]:
        """Return the hashes of all stacks, the newest first."""
        return self._column("SELECT sha256 FROM stacks ORDER BY added DESC, sha256")

    def job_keys(
        self, limit: int | None = None, states: tuple[str, ...] | None = None, stack_sha256: str | None = None
    ) -> list[str]:
        """Return the ids of analyses, the newest first, optionally in some states or of one stack."""
        conditions, values = ["1"], []
        if states is not None:
            conditions.append(f"state IN ({','.join('?' * len(states))})")
            values += states
        if stack_sha256 is not None:
            conditions.append("stack_sha256 = ?")
            values.append(stack_sha256)
        values.append(-1 if limit is None else limit)
        where = " AND ".join(conditions)
        return self._column(
            f"SELECT id FROM analyses WHERE {where} ORDER BY submitted DESC, id DESC LIMIT ?", values
        )

    def _column(self, query: str, values: Iterable[object] = ()) -> list[str]:
        with self._connect() as connection:
            return [row[0] for row in connection.execute(query, tuple(values))]

    def _version(self) -> int | None:
        """Return the version of the tables on disk, or None when the file is damaged."""
        try:
            with self._connect() as connection:
                sound = connection.execute("PRAGMA quick_check").fetchone()[0] == "ok"
                return connection.execute("PRAGMA user_version").fetchone()[0] if sound else None
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            return None

    @contextmanager
    def _connect(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None)
        try:
            connection.execute("PRAGMA busy_timeout = 30000")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
            if connection.in_transaction:
                connection.execute("COMMIT")
        finally:
            connection.close()


def _stack_row(record: StackRecord) -> tuple[str, str]:
    return (record.sha256, record.added.isoformat())


def _job_row(record: JobRecord) -> tuple[str, str, str, str]:
    return (record.id, record.submitted.isoformat(), record.state, record.stack_sha256)
