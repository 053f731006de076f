"""Whether the sector chains of a compound document (the container of OIB) end; oiffile follows them without a limit."""

from __future__ import annotations

from pathlib import Path

import numpy as np

_HEADER = np.dtype(
    [
        ("magic", "V8"),
        ("clsid", "V16"),
        ("versions", "<u2", 2),
        ("order", "<u2"),
        ("shift", "<u2"),
        ("mini_shift", "<u2"),
        ("reserved", "V6"),
        ("dir_len", "<u4"),
        ("fat_len", "<u4"),
        ("dir_start", "<u4"),
        ("signature", "<u4"),
        ("cutoff", "<u4"),
        ("minifat_start", "<u4"),
        ("minifat_len", "<u4"),
        ("difat_start", "<u4"),
        ("difat_len", "<u4"),
        ("difat", "<u4", 109),
    ]
)
_SHIFTS = (9, 12)


def check_chains(path: Path) -> None:
    """Check that every chain of sectors in a compound document ends.

    Raises
    ------
    ValueError
        If one runs in a circle, or a table is larger than the file; other damage is left to who reads it.
    """
    if path.stat().st_size < _HEADER.itemsize:
        return
    content = np.memmap(path, np.uint8, "r")
    header = content[: _HEADER.itemsize].view(_HEADER)[0]
    if int(header["shift"]) not in _SHIFTS:
        return
    side = 1 << int(header["shift"])
    sectors = content[side : side + (content.size - side) // side * side].reshape(-1, side).view("<u4")
    for table in ("fat_len", "minifat_len", "difat_len"):
        if int(header[table]) > len(sectors):
            raise ValueError("a table of sectors is larger than the file")
    places = header["difat"].tolist()
    following = int(header["difat_start"])
    for _ in range(int(header["difat_len"])):
        if following >= len(sectors):
            return
        places += sectors[following, :-1].tolist()
        following = int(sectors[following, -1])
    places = [place for place in places[: int(header["fat_len"])] if place < len(sectors)]
    fat = sectors[places].ravel()
    if _has_circle(fat):
        raise ValueError("a chain of sectors runs in a circle")
    mini: list[np.ndarray] = []
    at = int(header["minifat_start"])
    while at < min(len(sectors), len(fat)) and len(mini) < int(header["minifat_len"]):
        mini.append(sectors[at])
        at = int(fat[at])
    if mini and _has_circle(np.concatenate(mini)):
        raise ValueError("a chain of sectors runs in a circle")


def _has_circle(following: np.ndarray) -> bool:
    """Return True where going from entry to entry (a number past the end stops) never stops somewhere.

    Examples
    --------
    >>> _has_circle(np.array([1, 2, 99], np.uint32)), _has_circle(np.array([1, 2, 0], np.uint32))
    (False, True)
    """
    count = len(following)
    steps = np.append(np.minimum(following, count), count).astype(np.int64)
    for _ in range(count.bit_length()):
        steps = steps[steps]
    return bool((steps < count).any())
