"""Cutting a plane or a volume into overlapping tiles, and putting them together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import numpy as np

#: Called with a fraction 0..1 of the network's work; may raise to stop it.
Tick = Callable[[float], None]
#: One slice an axis.
Window = tuple[slice, ...]


def even_tile(length: int, most: int, overlap: int) -> int:
    """Return the smallest tile that covers a length with as few overlapping tiles as ones of side `most` would.

    Examples
    --------
    >>> even_tile(1024, 512, 64), even_tile(500, 512, 64)
    (384, 500)
    """
    if length <= most:
        return length
    count = -(-(length - overlap) // (most - overlap))
    return -(-(length - overlap) // count) + overlap


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where overlapping tiles begin along one axis, so that they cover it evenly."""
    if length <= tile:
        return [0]
    count = int(np.ceil((length - overlap) / (tile - overlap)))
    return sorted({round(k * (length - tile) / (count - 1)) for k in range(count)})


def tile_ramp(length: int, overlap: int) -> np.ndarray:
    """Return a tile's weights along one axis: rising over `overlap` pixels from both ends."""
    edge = np.minimum(np.arange(length) + 1, np.arange(length)[::-1] + 1)
    return np.clip(edge / overlap, 1e-3, 1).astype(np.float32)


def blend_tiles(
    shape: tuple[int, ...],
    tile: tuple[int, ...],
    overlap: tuple[int, ...],
    predict: Callable[[Window], np.ndarray | None],
    tick: Tick | None = None,
) -> np.ndarray:
    """Run a function over overlapping tiles and average its answers, which count less towards a tile's edge.

    Parameters
    ----------
    shape, tile, overlap : tuple of int
        Of the whole, of one tile (at most) and what neighbouring tiles share; one number an axis.
    predict : callable
        Takes a window, returns float32 (maps, *shape of the window), or None where all are 0; not so for every tile.
    tick : callable, optional
        Progress.

    Returns
    -------
    ndarray, float32, shape (maps, *shape)
    """
    axes = zip(shape, tile, overlap, strict=True)
    corners = list(product(*(tile_starts(n, t, o) for n, t, o in axes)))
    out: np.ndarray | None = None
    weight = np.zeros(shape, np.float32)
    for done, corner in enumerate(corners, 1):
        window = tuple(slice(c, min(c + t, n)) for c, t, n in zip(corner, tile, shape, strict=True))
        maps = predict(window)
        ramp = np.array(np.inf, np.float32)
        for part, shared in zip(window, overlap, strict=True):
            ramp = np.minimum.outer(ramp, tile_ramp(part.stop - part.start, shared))
        if maps is not None:
            if out is None:
                out = np.zeros((len(maps), *shape), np.float32)
            out[(slice(None), *window)] += maps * ramp
        weight[window] += ramp
        if tick:
            tick(done / len(corners))
    assert out is not None  # there is at least one tile
    return out / weight


def owned_tiles(
    shape: tuple[int, ...], tile: int, overlap: int
) -> Iterator[tuple[Window, tuple[tuple[float, float], ...]]]:
    """Cut overlapping tiles, each with what it answers for: up to the middle of every overlap.

    Yields
    ------
    window : tuple of slice
        The tile.
    owned : tuple of (low, high)
        Its interval along each axis; without end where the tile has no neighbour.
    """
    starts = [tile_starts(length, tile, overlap) for length in shape]
    for place in product(*(range(len(s)) for s in starts)):
        corner = [s[k] for s, k in zip(starts, place, strict=True)]
        window = tuple(slice(c, min(c + tile, n)) for c, n in zip(corner, shape, strict=True))
        yield window, tuple(_owned_span(s, k, tile) for s, k in zip(starts, place, strict=True))


def _owned_span(starts: list[int], index: int, tile: int) -> tuple[float, float]:
    low = -np.inf if index == 0 else (starts[index] + starts[index - 1] + tile) / 2
    high = np.inf if index == len(starts) - 1 else (starts[index + 1] + starts[index] + tile) / 2
    return low, high
