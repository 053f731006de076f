"""An SQLite index of the workspace's folders: it answers "which, newest first"; the facts stay in the folders."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from spinecore.workspace.records import JobRecord, StackRecord

#: Raised when the tables change; another version on disk is rebuilt from the folders.
VERSION = 2
_TABLES = """
CREATE TABLE stacks (sha256 TEXT PRIMARY KEY, added TEXT NOT NULL);
CREATE TABLE jobs (id TEXT PRIMARY KEY, submitted TEXT NOT NULL, kind TEXT NOT NULL, state TEXT NOT NULL,
                   stack_sha256 TEXT NOT NULL);
CREATE INDEX jobs_by_time ON jobs (submitted);
CREATE INDEX jobs_by_state ON jobs (state);
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
            for table in ("stacks", "jobs", "analyses"):  # the last is version 1's name for the second
                connection.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in filter(str.strip, _TABLES.split(";")):
                connection.execute(statement)
            connection.executemany("INSERT INTO stacks VALUES (?, ?)", map(_stack_row, stacks))
            connection.executemany("INSERT INTO jobs VALUES (?, ?, ?, ?, ?)", map(_job_row, jobs))
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def put_stack(self, record: StackRecord) -> None:
        """Add or update one stack."""
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO stacks VALUES (?, ?)", _stack_row(record))

    def put_job(self, record: JobRecord) -> None:
        """Add or update one job."""
        with self._connect() as connection:
            connection.execute("INSERT OR REPLACE INTO jobs VALUES (?, ?, ?, ?, ?)", _job_row(record))

    def drop_stack(self, sha256: str) -> None:
        """Forget one stack."""
        with self._connect() as connection:
            connection.execute("DELETE FROM stacks WHERE sha256 = ?", (sha256,))

    def drop_job(self, job_id: str) -> None:
        """Forget one job."""
        with self._connect() as connection:
            connection.execute("DELETE FROM jobs WHERE id = ?", (job_id,))

    def stack_keys(self) -> list[str]:
        """Return the hashes of all stacks, the newest first."""
        return self._column("SELECT sha256 FROM stacks ORDER BY added DESC, sha256")

    def job_keys(
        self,
        limit: int | None = None,
        states: tuple[str, ...] | None = None,
        stack_sha256: str | None = None,
        kind: str | None = None,
    ) -> list[str]:
        """Return the ids of jobs, the newest first, optionally in some states, of one stack or of one kind."""
        conditions: list[str] = ["1"]
        values: list[object] = []
        if states is not None:
            conditions.append(f"state IN ({','.join('?' * len(states))})")
            values += states
        for column, value in (("stack_sha256", stack_sha256), ("kind", kind)):
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        values.append(-1 if limit is None else limit)
        where = " AND ".join(conditions)
        return self._column(
            f"SELECT id FROM jobs WHERE {where} ORDER BY submitted DESC, id DESC LIMIT ?", values
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


def _job_row(record: JobRecord) -> tuple[str, str, str, str, str]:
    return (record.id, record.submitted.isoformat(), record.kind, record.state, record.stack_sha256)
