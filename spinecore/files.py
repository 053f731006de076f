"""Writing files so that a crash, a kill or a full disk never leaves half of one under its final name."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import BaseModel

#: Longest file name kept from an upload, in characters.
LONGEST_NAME = 120


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` survive a power cut (a no-op where folders cannot be synced)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_file(path: Path) -> None:
    """Flush a closed file to the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; what is written there becomes `path` when the block ends well.

    The temporary name starts with a dot and keeps the suffix, so that writers that look at it work and patterns
    such as ``*.npz`` do not see it. On an error it is removed and an earlier file of that name stays as it was.
    Permissions are those that `open` gives.

    Parameters
    ----------
    path : Path
        The final name; its folder must exist.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "table.csv") as temporary:
    ...         _ = temporary.write_text("spine_id")
    ...     (Path(folder) / "table.csv").read_text()
    'spine_id'
    """
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")
    try:
        yield temporary
        _sync_file(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder inside `parent`, which is removed at the end unless it was moved away."""
    folder = parent / f".writing-{secrets.token_hex(8)}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def replacing_files(folder: Path, last: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a scratch folder; the files written there move into `folder` when the block ends well.

    Parameters
    ----------
    folder : Path
        Where the files belong; made when missing.
    last : sequence of str
        Names that move after all others, in this order: files whose presence says that the rest is complete.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder) as scratch:
        yield scratch
        order = {name: number for number, name in enumerate(last, start=1)}
        paths = sorted(scratch.iterdir(), key=lambda path: (order.get(path.name, 0), path.name))
        for path in paths:
            _sync_file(path)
        for path in paths:
            os.replace(path, folder / path.name)
    sync_folder(folder)


def write_atomic(path: Path, content: bytes | str) -> None:
    """Write a whole file in one step; text is stored as UTF-8 with the line ends it has. See `replacing`."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


def write_json(path: Path, data: Any, indent: int | None = 2) -> None:
    """Write data as JSON, in one step."""
    write_atomic(path, json.dumps(data, indent=indent, ensure_ascii=False) + "\n")


def write_model(path: Path, model: BaseModel) -> None:
    """Write a pydantic model as indented JSON, in one step."""
    write_atomic(path, model.model_dump_json(indent=2))


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder on the same disk in one step and make the rename last."""
    os.rename(source, target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


def try_lock(path: Path) -> FileLock | None:
    """Take a lock without waiting; None when somebody else holds it.

    The operating system frees it when the process ends, however it ends. Any thread may release it.
    """
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return None
    return lock


class AppendOnlyLog:
    """A file of JSON objects, one a line, which only ever grows; several processes may append to it.

    Parameters
    ----------
    path : Path
        The file; made by the first `append`. A lock file lies beside it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._lock = FileLock(self.path.with_name(f".{self.path.name}.lock"))

    def locked(self) -> AbstractContextManager[Any]:
        """Keep others from appending for the length of a `with` block, in which this object may append itself."""
        return self._lock.acquire()

    def append(self, line: dict[str, Any]) -> None:
        """Add one line; it is on the disk when this returns."""
        text = json.dumps(line).encode() + b"\n"
        with self.locked(), self.path.open("ab+") as file:
            if file.tell() and self._is_torn():
                text = b"\n" + text
            file.write(text)
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[dict[str, Any]]:
        """Return all complete lines in order; one that was cut off by a crash is passed over."""
        lines: list[dict[str, Any]] = []
        try:
            texts = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return lines
        for text in texts:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict):
                lines.append(line)
        return lines

    def _is_torn(self) -> bool:
        """Say whether the last line lacks its end."""
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def safe_name(name: str) -> str:
    """Return a file name without folders or characters that a file system refuses.

    Examples
    --------
    >>> safe_name("../../etc/cell 1.tif")
    'cell 1.tif'
    >>> safe_name("C:\\\\data\\\\a:b.tif")
    'a_b.tif'
    """
    base = re.split(r"[/\\]", name)[-1]
    base = re.sub(r'[\x00-\x1f<>:"|?*]', "_", base).strip(" .")
    if len(base) > LONGEST_NAME:
        base = base[: LONGEST_NAME - 20] + base[-20:]
    return base or "stack"
