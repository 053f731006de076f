"""A folder on the server whose files may be opened without an upload: nothing outside it is ever shown or read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from spinecore.errors import SpinecoreError
from spinecore.reading.names import is_input


@dataclass(frozen=True)
class ServerFile:
    """A file below the data folder: its path relative to that folder (with `/`), and its size in bytes."""

    path: str
    bytes: int


class DataFolder:
    """Read access to one folder.

    Parameters
    ----------
    root : Path
        The only folder that may be read (`SPINECORE_DATA_ROOT`).

    Raises
    ------
    SpinecoreError
        When there is no such folder.
    """

    def __init__(self, root: Path) -> None:
        try:
            self.root = Path(root).expanduser().resolve(strict=True)
        except OSError as error:
            raise SpinecoreError(
                f"The data folder {root} does not exist: correct SPINECORE_DATA_ROOT."
            ) from error
        if not self.root.is_dir():
            raise SpinecoreError(f"The data folder {root} is a file: set SPINECORE_DATA_ROOT to a folder.")

    def folders(self, below: str = "") -> list[str]:
        """Return the names of the folders directly inside `below` that are no image themselves, sorted."""
        return sorted(path.name for path in self._inside(below) if path.is_dir() and not is_input(path))

    def files(self, below: str = "") -> list[ServerFile]:
        """Return the image files and OME-Zarr folders directly inside `below`, sorted by name."""
        base = self.resolve(below)
        found = [path for path in self._inside(below) if is_input(path)]
        relative = base.relative_to(self.root)
        return [ServerFile((relative / path.name).as_posix(), _bytes(path)) for path in sorted(found)]

    def image(self, relative: str) -> Path:
        """Return the real path of an image, as `resolve` does; what lies in a folder of its own is looked at, too.

        Raises
        ------
        SpinecoreError
            As in `resolve`, or when a link stands among the data of an OME-Zarr or OIF, since it might lead outside.
        """
        path = self.resolve(relative)
        data = path if path.is_dir() else path.with_name(path.name + ".files")
        if data.is_symlink() or (data.is_dir() and any(part.is_symlink() for part in data.rglob("*"))):
            raise SpinecoreError(
                f"{relative} holds links to other places: copy the files themselves into its folder."
            )
        return path

    def resolve(self, relative: str) -> Path:
        """Return the real path of something inside the folder.

        Raises
        ------
        SpinecoreError
            When it lies outside the folder, by `..`, by an absolute path or through a link, or is not there.
        """
        try:
            path = (self.root / relative).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise SpinecoreError(f"{relative} is not in the data folder: choose another file.") from error
        if not path.is_relative_to(self.root):
            raise SpinecoreError(f"{relative} lies outside the data folder: choose a file inside it.")
        return path

    def _inside(self, below: str) -> list[Path]:
        folder = self.resolve(below)
        if not folder.is_dir():
            raise SpinecoreError(f"{below} is not a folder: choose another one.")
        visible = (path for path in folder.iterdir() if not path.name.startswith("."))
        return [path for path in visible if Path(os.path.realpath(path)).is_relative_to(self.root)]


def _bytes(path: Path) -> int:
    """Return the size of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())
