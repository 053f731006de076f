"""Names of input files: which are supported, what an input is called, and its content hash."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spinecore.errors import SpinecoreError
from spinecore.reading.vendors import folder_kind, foreign_kind, is_zarr

#: Suffixes of files that lie beside images and are no images; a folder does not mention them.
_COMPANIONS = (
    ".csv",
    ".txt",
    ".xml",
    ".json",
    ".swc",
    ".zip",
    ".roi",
    ".ome",
    ".md",
    ".pdf",
    ".xlsx",
    ".ini",
    ".env",
)
#: Suffixes picked up when a folder is given; the content of a file decides how it is read.
SUFFIXES = (
    *(".tif", ".tiff", ".btf", ".tf8", ".lsm", ".png", ".jpg", ".jpeg"),
    *(".czi", ".lif", ".nd2", ".oib", ".oif", ".ims"),
    *(".zarr.zip", ".ozx", ".oif.zip"),
)


def stem(path: str | os.PathLike[str]) -> str:
    """Return the file's name without its last suffix; ``.ome.tif`` and the like count as one.

    Examples
    --------
    >>> stem("a/cell.3.ome.tif"), stem("b.lsm"), stem("c.ome.zarr"), stem("d.ome.zarr.zip"), stem("plain")
    ('cell.3', 'b', 'c', 'd', 'plain')
    """
    name = Path(path).name
    root, suffix = os.path.splitext(name)
    if suffix.lower() == ".zip" and root.lower().endswith((".zarr", ".oif")):
        root, suffix = os.path.splitext(root)
    if suffix.lower() in (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".zarr") and root.lower().endswith(".ome"):
        root = root[:-4]
    return root or name


def content_hash(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of the file's bytes as 64 hexadecimal digits (read in 1 MiB pieces).

    Of a folder (OME-Zarr), the names and bytes of all files in it count, in the order of their names.
    """
    digest = hashlib.sha256()
    root = Path(path)
    files = sorted(p for p in root.rglob("*") if p.is_file()) if root.is_dir() else [root]
    for file in files:
        if file != root:
            digest.update(file.relative_to(root).as_posix().encode("utf-8") + b"\x00")
        with open(file, "rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()


def is_supported_name(path: str | os.PathLike[str]) -> bool:
    """Return True for a visible file name with one of `SUFFIXES`."""
    name = Path(path).name
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def is_input(path: str | os.PathLike[str]) -> bool:
    """Return True for what counts as one image in a folder: a file of a supported name, or an OME-Zarr folder."""
    path = Path(path)
    if path.is_dir():
        return not path.name.startswith(".") and is_zarr(path)
    return path.is_file() and is_supported_name(path)


@dataclass(frozen=True)
class Listing:
    """What a list of files and folders comes to.

    Parameters
    ----------
    files : list of Path
        To be read.
    passed_over : list of str
        What lies in the folders besides and is not read, each with the reason.
    """

    files: list[Path]
    passed_over: list[str]


def list_with_reasons(paths: Iterable[str | os.PathLike[str]]) -> Listing:
    """Return the files of a batch as `list_inputs` does, and what else the folders hold, with the reason.

    Raises
    ------
    SpinecoreError
        As in `list_inputs`; for a folder without an image, what it contains instead is said.
    """
    given = [Path(path) for path in paths]
    passed_over: list[str] = []
    for folder in (path for path in given if path.is_dir() and not is_zarr(path)):
        reason = folder_kind(folder)
        if reason is not None:
            raise SpinecoreError(f"{folder.name} is {reason}")
        for item in sorted(folder.iterdir()):
            if item.name.startswith(".") or is_input(item):
                continue
            if item.is_dir():
                kind = folder_kind(item)
                if item.name.lower().endswith(".oif.files") and item.with_suffix("").is_file():
                    continue  # read with the file beside it
                passed_over.append(f"{item.name}: {kind or 'a folder; give it by itself'}")
            elif item.suffix.lower() not in _COMPANIONS:
                passed_over.append(f"{item.name}: {foreign_kind(item)}")
    try:
        return Listing(list_inputs(given), passed_over)
    except SpinecoreError as error:
        if not passed_over:
            raise
        listed = "; ".join(passed_over[:4]) + ("; ..." if len(passed_over) > 4 else "")
        raise SpinecoreError(f"{error} (it holds {listed})") from error


def list_inputs(paths: Iterable[str | os.PathLike[str]] | str | os.PathLike[str]) -> list[Path]:
    """Return the files of a batch: files as given, folders replaced by their supported files.

    Parameters
    ----------
    paths : path or iterable of paths
        Files are kept whatever their suffix (opening them judges the content). Of a folder, the
        visible files with one of `SUFFIXES` and the OME-Zarr folders are taken, sorted by name, without descending;
        an OME-Zarr folder itself counts as one file.

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
        if path.is_dir() and not is_zarr(path):
            inside = sorted(p for p in path.iterdir() if is_input(p))
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
