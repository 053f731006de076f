"""What a file really is, by its first bytes, and whether its TIFF page chain is whole."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from spinecore.errors import SpinecoreError
from spinecore.reading.vendors import is_packed, is_zarr, kind_of, vendor_of

#: A TIFF with more pages than this is refused.
MAX_PAGES = 200_000


def sniff(path: str | os.PathLike[str]) -> str:
    """Return ``"tiff"``, ``"png"``, ``"jpeg"`` or a key of `spinecore.reading.vendors.VENDORS` by the file's first bytes.

    Raises
    ------
    SpinecoreError
        If the file is absent, a folder, unreadable, empty, or of another kind.
    """
    path = Path(path)
    if path.is_dir():
        if is_zarr(path):
            return "zarr"
        raise SpinecoreError(f"{path.name} is a folder: give a file, or use the folder as a batch")
    try:
        with open(path, "rb") as stream:
            head = stream.read(512)
    except FileNotFoundError:
        raise SpinecoreError(f"{path.name} does not exist: check the path") from None
    except OSError as error:
        reason = error.strerror or "input error"
        raise SpinecoreError(f"{path.name} cannot be opened ({reason}): check its permissions") from None
    if not head:
        raise SpinecoreError(f"{path.name} is empty (0 bytes): copy or export it again")
    if len(head) < 8:
        raise SpinecoreError(
            f"{path.name} is too short to be an image ({len(head)} bytes): copy or export it again"
        )
    if head[:4] in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return "tiff"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if head[:3] == b"\xff\xd8\xff":
        return "jpeg"
    vendor = vendor_of(head, path.suffix)
    if vendor is not None:
        return vendor
    if head[:4] == b"PK\x03\x04" and is_packed(path):
        return "zip"
    raise SpinecoreError(f"{path.name} is {kind_of(head, path.suffix)}")


@dataclass(frozen=True)
class PageChain:
    """The chain of image directories of a TIFF.

    Parameters
    ----------
    count : int
        Directories that can be reached.
    big : bool
        True for BigTIFF (64-bit offsets).
    broken : bool
        True when the chain points outside the file (a truncated file).
    """

    count: int
    big: bool
    broken: bool


def page_chain(path: str | os.PathLike[str]) -> PageChain:
    """Walk the directories of a TIFF without reading any tag.

    Seconds for 100,000 pages stay below one, and loops are found whatever their length.

    Raises
    ------
    SpinecoreError
        If the chain runs in a circle or has more than `MAX_PAGES` pages.
    """
    name = Path(path).name
    size = os.path.getsize(path)
    with open(path, "rb") as stream:
        head = stream.read(16).ljust(16, b"\x00")
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack(order + "H", head[2:4])[0] == 43
        offset = struct.unpack(order + "Q", head[8:16])[0] if big else _u32(order, head[4:8])
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise SpinecoreError(f"the pages of {name} form a circle, so it is damaged: export it again")
            following = _next_directory(stream, order, big, offset) if offset < size else None
            if following is None:
                return PageChain(len(seen), big, broken=True)
            seen.add(offset)
            if len(seen) > MAX_PAGES:
                raise SpinecoreError(
                    f"{name} has more than {MAX_PAGES:,} pages: split it into smaller stacks"
                )
            offset = following
    return PageChain(len(seen), big, broken=False)


def _next_directory(stream: BinaryIO, order: str, big: bool, offset: int) -> int | None:
    """Return the offset after the directory at `offset`, or None if it lies outside the file."""
    stream.seek(offset)
    head = stream.read(8 if big else 2)
    if len(head) < (8 if big else 2):
        return None
    tags = struct.unpack(order + ("Q" if big else "H"), head)[0]
    if tags > 4096:
        return None
    stream.seek(tags * (20 if big else 12), os.SEEK_CUR)
    tail = stream.read(8 if big else 4)
    if len(tail) < (8 if big else 4):
        return None
    return struct.unpack(order + "Q", tail)[0] if big else _u32(order, tail)


def _u32(order: str, data: bytes) -> int:
    return struct.unpack(order + "I", data)[0]
