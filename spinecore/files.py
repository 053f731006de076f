"""Writing files so that a crash, a kill or a full disk never leaves half of one under its final name."""

from __future__ import annotations

import os
import re
import secrets
import sys
from pathlib import Path
from typing import BinaryIO

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


def write_atomic(path: Path, content: bytes) -> None:
    """Write `content` beside `path`, flush it to the disk and put it in place in one step.

    Parameters
    ----------
    path : Path
        The final name; its folder must exist.
    content : bytes
        The whole file.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_model(path: Path, model: BaseModel) -> None:
    """Write a pydantic model as indented JSON, atomically."""
    write_atomic(path, model.model_dump_json(indent=2).encode())


def move_folder(source: Path, target: Path) -> None:
    """Rename a folder on the same disk in one step and make the rename last."""
    os.rename(source, target)
    sync_folder(target.parent)
    if source.parent != target.parent:
        sync_folder(source.parent)


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


class FileLock:
    """A lock held by one process and freed by the operating system when that process ends, however it ends.

    Parameters
    ----------
    path : Path
        The lock's file; made when missing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def acquire(self, wait: bool = False) -> bool:
        """Take the lock; return False when somebody else holds it and `wait` is False."""
        file = self.path.open("ab")
        try:
            _lock(file, wait)
        except OSError:
            file.close()
            return False
        self._file = file
        return True

    def release(self) -> None:
        """Free the lock (harmless when it is not held)."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> FileLock:
        self.acquire(wait=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, wait: bool) -> None:
        file.seek(0)
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: BinaryIO, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
