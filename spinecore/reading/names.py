"""Names of input files: which are supported, what an input is called, and its content hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from spinecore.errors import SpinecoreError

#: Suffixes picked up when a folder is given; the content of a file decides how it is read.
SUFFIXES = (".tif", ".tiff", ".btf", ".tf8", ".lsm", ".png", ".jpg", ".jpeg")


def stem(path: str | os.PathLike[str]) -> str:
    """Return the file's name without its last suffix; ``.ome.tif`` and the like count as one.

    Examples
    --------
    >>> stem("a/cell.3.ome.tif"), stem("b.lsm"), stem("plain")
    ('cell.3', 'b', 'plain')
    """
    name = Path(path).name
    root, suffix = os.path.splitext(name)
    if suffix.lower() in (".tif", ".tiff", ".btf", ".tf2", ".tf8") and root.lower().endswith(".ome"):
        root = root[:-4]
    return root or name


def content_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits (read in 1 MiB pieces)."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        while piece := stream.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def is_supported_name(path: str | os.PathLike[str]) -> bool:
    """Return True for a visible file name with one of `SUFFIXES`."""
    name = Path(path).name
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def list_inputs(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    """Return the files of a batch: files as given, folders replaced by their supported files.

    Parameters
    ----------
    paths : path or iterable of paths
        Files are kept whatever their suffix (opening them judges the content). Of a folder, the
        visible files with one of `SUFFIXES` are taken, sorted by name, without descending.

    Returns
    -------
    list of Path
        In the order given, each file once.

    Raises
    ------
    SpinecoreError
        If a path does not exist or a folder holds no supported file.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    found: dict[Path, Path] = {}
    for given in paths:
        path = Path(given)
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.is_file() and is_supported_name(p))
            if not inside:
                raise SpinecoreError(
                    f"the folder {path.name} holds no image ({', '.join(SUFFIXES)}): give a folder that does"
                )
        elif path.exists():
            inside = [path]
        else:
            raise SpinecoreError(f"{given} does not exist: check the path")
        for item in inside:
            found.setdefault(item.resolve(), item)
    return list(found.values())
