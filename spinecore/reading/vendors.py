"""Files of other kinds, named by their first bytes, with what can be done about them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_ADVICE = "export it as TIFF or OME-TIFF and try again"

_FOREIGN = (
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive (or an Office file) without an OME-Zarr or OIF in it"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"BM", "a BMP image"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\x93NUMPY", "a NumPy array"),
)


@dataclass(frozen=True)
class Vendor:
    """A microscope format that can be read.

    Parameters
    ----------
    words : str
        For people: "a Zeiss CZI file".
    export : str
        What to do where it cannot be read.
    package : str
        Name of the package that reads it, as `pip install` takes it; empty where none is needed.
    """

    words: str
    export: str
    package: str = ""


#: By the name that `spinecore.reading.sniff.sniff` gives; also the last part of the file's name.
VENDORS = {
    "czi": Vendor("a Zeiss CZI file", "in ZEN, use Export > OME-TIFF"),
    "lif": Vendor("a Leica LIF file", "in LAS X, use Export > OME-TIFF", "liffile"),
    "nd2": Vendor("a Nikon ND2 file", "in NIS-Elements, use Export ND Document > TIFF", "nd2"),
    "oib": Vendor("an Olympus OIB file", "in FluoView, export it as OME-TIFF", "oiffile"),
    "oif": Vendor("an Olympus OIF file", "in FluoView, export it as OME-TIFF", "oiffile"),
    "ims": Vendor("an Imaris IMS (HDF5) file", "in Imaris, use Export > OME-TIFF", "h5py"),
    "zarr": Vendor("an OME-Zarr folder", "export the image as OME-TIFF", "zarr"),
    "zip": Vendor("a ZIP of an image", "unpack it and give the files themselves"),
}
_MAGIC = (
    (b"ZISRAWFILE", "czi"),
    (b"p\x00\x00\x00", "lif"),
    (b"\xda\xce\xbe\x0a", "nd2"),
    (b"\x89HDF\r\n\x1a\n", "ims"),
)
_OLE, _JPEG_2000 = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"\x00\x00\x00\x0cjP"
#: Formats that are not read: first bytes, name, and the export that makes a TIFF of it.
_UNREAD = (
    (_JPEG_2000, "a JPEG 2000 image", "export it as TIFF"),
    (b"\xffO\xffQ", "a JPEG 2000 image", "export it as TIFF"),
    (_OLE, "an old Office file or a microscope file of an unknown kind", "export it as OME-TIFF"),
    (b"OLYMPUSRAWFORMAT", "an Olympus OIR file", "in FluoView or cellSens, export it as OME-TIFF or OIB"),
)
_BY_SUFFIX = {
    ".oir": ("an Olympus OIR file", "in FluoView or cellSens, export it as OME-TIFF or OIB"),
    ".jpx": ("a JPEG 2000 image", "export it as TIFF"),
    ".jp2": ("a JPEG 2000 image", "export it as TIFF"),
    ".vsi": ("an Olympus VSI file", "in cellSens, export it as OME-TIFF"),
    ".zvi": ("a Zeiss ZVI file", "in ZEN or AxioVision, export it as OME-TIFF"),
    ".lei": ("a Leica LEI file", "in LAS, export it as OME-TIFF"),
    ".ims": ("an Imaris IMS file of an old kind", "in Imaris, use Export > OME-TIFF"),
}
#: Files at the top of a Zarr folder.
_ZARR_MARKS = (".zattrs", ".zgroup", "zarr.json")
#: Files that only a Zarr folder holds.
ZARR_FILES = (*_ZARR_MARKS, ".zarray", ".zmetadata")


def vendor_of(head: bytes, suffix: str) -> str | None:
    """Return which of `VENDORS` a file is, or None.

    Parameters
    ----------
    head : bytes
        Its first bytes.
    suffix : str
        Of its name; it tells apart formats that share a container.
    """
    suffix = suffix.lower()
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if suffix == ".oib" and head.startswith(_OLE):
        return "oib"
    if suffix == ".oif" and head[:4] in (b"\xff\xfe[\x00", b"[Axi", b"[Ver", b"[Pro"):
        return "oif"
    if suffix == ".nd2" and head.startswith(_JPEG_2000):  # as NIS-Elements wrote it before 2009
        return "nd2"
    return None


def is_zarr(folder: str | os.PathLike[str]) -> bool:
    """Return True for a folder that is a Zarr group."""
    return any((Path(folder) / name).is_file() for name in _ZARR_MARKS)


@dataclass(frozen=True)
class Packed:
    """An image in a ZIP.

    Parameters
    ----------
    kind : str
        "zarr" or "oif".
    place : str or None
        The Zarr folder, or the OIF, inside the ZIP; None where it holds several.
    """

    kind: str
    place: str | None


def packed_image(names: Sequence[str]) -> Packed | None:
    """Return the OME-Zarr or OIF among the names in a ZIP, or None.

    Examples
    --------
    >>> packed_image(["a.zarr/.zattrs", "a.zarr/0/.zarray", "a.zarr/1/.zattrs"])
    Packed(kind='zarr', place='a.zarr')
    >>> packed_image(["a.oif", "a.oif.files/s_C001.tif"]).kind, packed_image(["a.tif"])
    ('oif', None)
    """
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names if not name.startswith("__MACOSX")]
    groups = {str(path.parent) for path in paths if path.name in _ZARR_MARKS}
    top = {g for g in groups if not any(str(p) in groups for p in PurePosixPath(g).parents if str(p) != g)}
    images = [Packed("zarr", "" if g == "." else g) for g in sorted(top)]
    images += [Packed("oif", str(path)) for path in paths if path.suffix.lower() == ".oif"]
    if len(images) > 1:
        return Packed(images[0].kind, None)
    return images[0] if images else None


def is_packed(path: str | os.PathLike[str]) -> bool:
    """Return True for a ZIP that holds an OME-Zarr or an OIF."""
    try:
        with zipfile.ZipFile(path) as archive:
            return packed_image(archive.namelist()) is not None
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False


def kind_of(head: bytes, suffix: str = "") -> str:
    """Say what a file is that cannot be read, and what to do: "a Zeiss CZI file, not ...: in ZEN, ...".

    Parameters
    ----------
    head : bytes
        Its first 512 bytes.
    suffix : str
        Of its name; it decides where the bytes do not.
    """
    for magic, name, advice in _UNREAD:
        if head.startswith(magic):
            return _unread(name, advice)
    if suffix.lower() in _BY_SUFFIX:
        return _unread(*_BY_SUFFIX[suffix.lower()])
    if head[:4] == b"RIFF":
        return _unread("a WebP image" if head[8:12] == b"WEBP" else "an AVI video or other RIFF file")
    if head[4:8] == b"ftyp":
        return _unread("an MP4 or QuickTime video")
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return _unread(name)
    printable = sum(32 <= byte < 127 or byte in (9, 10, 13) for byte in head)
    if printable > 0.95 * len(head):
        return _unread("a text file")
    return _unread("of an unknown kind (it has no TIFF, PNG or JPEG header)")


def _unread(name: str, advice: str = _ADVICE) -> str:
    return f"{name}, not a supported image: {advice}"


def foreign_kind(path: str | os.PathLike[str]) -> str:
    """Return `kind_of` a file, read from its first bytes."""
    path = Path(path)
    try:
        with open(path, "rb") as stream:
            head = stream.read(512)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    return kind_of(head, path.suffix) if head else "an empty file"


def folder_kind(folder: str | os.PathLike[str]) -> str | None:
    """Return what a folder is that belongs to an image and cannot be read by itself, with what to do, or None."""
    folder = Path(folder)
    lowered = folder.name.lower()
    if lowered.endswith(".oif.files"):
        return _unread("the data folder of an Olympus OIF file", "give the .oif file beside it")
    if lowered.endswith(".vsi_files") or (folder.name.startswith("_") and any(folder.glob("stack*"))):
        return _unread("the data folder of an Olympus VSI file", "export the file it belongs to as OME-TIFF")
    if (folder / ".zarray").is_file():
        return _unread(
            "a single Zarr array without an image description", "give the OME-Zarr folder around it"
        )
    return None
