"""The table of hostile files, and what their makers share."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

Maker = Callable[[Path], None]
TABLE: dict[str, tuple[str, Maker]] = {}

SHORT, LONG, RATIONAL = 3, 4, 5


def case(name: str, outcome: str) -> Callable[[Maker], Maker]:
    """Add a maker of one file to `TABLE`."""

    def add(maker: Maker) -> Maker:
        TABLE[name] = (outcome, maker)
        return maker

    return add


def picture(shape: tuple[int, ...] = (64, 64), dtype: str = "uint16", seed: int = 0) -> np.ndarray:
    """Return noise with a bright bar, of the given shape and type."""
    rng = np.random.default_rng(seed)
    image = rng.poisson(40, shape).astype(np.float64)
    image[..., 30:34, :] += 150
    return image.clip(0, 255).astype(dtype)


def raw_tiff(
    path: Path,
    width: int,
    height: int,
    *,
    data: bytes = b"\x00" * 64,
    bits: int = 8,
    compression: int = 1,
    extra: tuple[tuple[int, int, int, int], ...] = (),
    next_offset: int = 0,
    rows_per_strip: int | None = None,
) -> None:
    """Write a one-page little-endian TIFF by hand, so that its header can lie."""
    entries = {
        256: (LONG, 1, width),
        257: (LONG, 1, height),
        258: (SHORT, 1, bits),
        259: (SHORT, 1, compression),
        262: (SHORT, 1, 1),
        273: (LONG, 1, 8),
        277: (SHORT, 1, 1),
        278: (LONG, 1, rows_per_strip or height),
        279: (LONG, 1, len(data)),
    }
    entries.update({tag: (kind, count, value) for tag, kind, count, value in extra})
    padded = data + b"\x00" * (len(data) % 2)
    directory = struct.pack("<H", len(entries))
    for tag in sorted(entries):
        directory += struct.pack("<HHII", tag, *entries[tag])
    header = struct.pack("<2sHI", b"II", 42, 8 + len(padded))
    path.write_bytes(header + padded + directory + struct.pack("<I", next_offset))


def many_pages(path: Path, pages: int, side: int = 8) -> None:
    """Write `pages` pages that all show the same bytes."""
    data = bytes(range(side)) * side
    size = 2 + 9 * 12 + 4
    start = 8 + len(data)
    directory = struct.pack("<H", 9)
    for tag, kind, value in (
        (256, LONG, side),
        (257, LONG, side),
        (258, SHORT, 8),
        (259, SHORT, 1),
        (262, SHORT, 1),
        (273, LONG, 8),
        (277, SHORT, 1),
        (278, LONG, side),
        (279, LONG, len(data)),
    ):
        directory += struct.pack("<HHII", tag, kind, 1, value)
    chain = b"".join(
        directory + struct.pack("<I", start + (i + 1) * size if i + 1 < pages else 0) for i in range(pages)
    )
    path.write_bytes(struct.pack("<2sHI", b"II", 42, start) + data + chain)
