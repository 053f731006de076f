"""Files of other kinds, named by their first bytes, with what can be done about them."""

from __future__ import annotations

import os
from pathlib import Path

_ADVICE = "export it as TIFF or OME-TIFF and try again"

_FOREIGN = (
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive (or an Office file)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"%PDF", "a PDF document"),
    (b"BM", "a BMP image"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM video"),
    (b"\x93NUMPY", "a NumPy array"),
)
#: Microscope formats: first bytes, name, and the program whose export makes a TIFF of it.
_VENDORS = (
    (b"ZISRAWFILE", "a Zeiss CZI file", "in ZEN, use Export > OME-TIFF"),
    (b"\xda\xce\xbe\x0a", "a Nikon ND2 file", "in NIS-Elements, use Export ND Document > TIFF"),
    (
        b"\x00\x00\x00\x0cjP",
        "a JPEG 2000 image (older Nikon ND2 files are of this kind)",
        "export it as TIFF",
    ),
    (b"\xffO\xffQ", "a JPEG 2000 image", "export it as TIFF"),
    (b"p\x00\x00\x00", "a Leica LIF file", "in LAS X, use Export > OME-TIFF"),
    (b"\x89HDF", "an HDF5 file (perhaps Imaris IMS)", "in Imaris, use Export > OME-TIFF"),
    (
        b"\xd0\xcf\x11\xe0",
        "an Olympus OIB file (or an old Office file)",
        "in FluoView, export it as OME-TIFF",
    ),
    (b"OLYMPUSRAWFORMAT", "an Olympus OIR file", "in FluoView or cellSens, export it as OME-TIFF or OIB"),
)
_BY_SUFFIX = {
    ".oir": ("an Olympus OIR file", "in FluoView or cellSens, export it as OME-TIFF or OIB"),
    ".jpx": ("a JPEG 2000 image", "export it as TIFF"),
    ".jp2": ("a JPEG 2000 image", "export it as TIFF"),
    ".oif": ("an Olympus OIF file", "in FluoView, export it as OME-TIFF"),
    ".vsi": ("an Olympus VSI file", "in cellSens, export it as OME-TIFF"),
    ".zvi": ("a Zeiss ZVI file", "in ZEN or AxioVision, export it as OME-TIFF"),
    ".lei": ("a Leica LEI file", "in LAS, export it as OME-TIFF"),
    ".ims": ("an Imaris IMS file", "in Imaris, use Export > OME-TIFF"),
}


def kind_of(head: bytes, suffix: str = "") -> str:
    """Say what a file is that cannot be read, and what to do: "a Zeiss CZI file, not ...: in ZEN, ...".

    Parameters
    ----------
    head : bytes
        Its first 512 bytes.
    suffix : str
        Of its name; it decides where the bytes do not.
    """
    for magic, name, advice in _VENDORS:
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
    """Return what a folder is that is an image itself, with what to do, or None."""
    folder = Path(folder)
    if any((folder / name).is_file() for name in (".zattrs", ".zgroup", "zarr.json", ".zarray")):
        return _unread("an OME-Zarr folder")
    if folder.name.lower().endswith((".oif.files", ".vsi_files")) or (
        folder.name.startswith("_") and any(folder.glob("stack*"))
    ):
        return _unread("the data folder of an Olympus file", "export the file it belongs to as OME-TIFF")
    return None
