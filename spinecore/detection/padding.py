"""Leaving the voxels without data (`spinecore.reading.blank`) out of what is seen, traced and counted.

Whole rows, columns and slices without data along the border are cut off before the networks look, so that the result is
that of the same view cropped to its data; what is left inside (empty corners) is filled before and left out after.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spinecore.methods.grid import AnalysisGrid
from spinecore.methods.prediction import Heads, Prediction
from spinecore.stack import Stack

Box = tuple[slice, slice, slice]
#: A box may begin this many pixels early, so that its corner falls on a pixel of the analysis grid.
_SPARE_PX = 12
_ON_GRID = 0.12


def data_box(empty: np.ndarray, scale_yx: tuple[float, float]) -> Box:
    """Return the smallest box that holds all data, begun on a pixel of the analysis grid.

    Parameters
    ----------
    empty : ndarray of bool, shape (Z, Y, X)
        Voxels without data.
    scale_yx : tuple of float
        Grid pixels per pixel.
    """
    spans = []
    for axis in range(3):
        rest = tuple(a for a in range(3) if a != axis)
        inside = np.flatnonzero(~empty.all(axis=rest))
        start, stop = int(inside[0]), int(inside[-1]) + 1
        if axis:
            start = _on_grid(start, scale_yx[axis - 1])
        spans.append(slice(start, stop))
    return spans[0], spans[1], spans[2]


def _on_grid(start: int, scale: float) -> int:
    """Return the last pixel at or before `start` whose edge falls on an edge of the grid, nearly."""
    for early in range(min(start, _SPARE_PX) + 1):
        place = (start - early) * scale
        if abs(place - round(place)) <= _ON_GRID:
            return start - early
    return start


def cropped(stack: Stack, box: Box) -> Stack:
    """Return the part of a stack inside a box."""
    return replace(stack, voxels=np.ascontiguousarray(stack.voxels[box]))


def embedded(prediction: Prediction, box: Box, stack: Stack, empty: np.ndarray) -> Prediction:
    """Return the prediction of a box as one of the whole stack, which says nothing where the stack holds no data.

    Parameters
    ----------
    prediction : Prediction
        Of `cropped(stack, box)`.
    box : tuple of slice
    stack : Stack
        The whole, with its padding filled.
    empty : ndarray of bool, shape (Z, Y, X) of the stack
        Voxels without data.
    """
    grid = AnalysisGrid(stack)
    offset = (box[0].start, *(round(b.start * s) for b, s in zip(box[1:], grid.scale_yx, strict=True)))
    left_out = _nearest(empty, grid.shape)
    maps = []
    inside = tuple(
        slice(o, min(o + n, m)) for o, n, m in zip(offset, prediction.dendrite.shape, grid.shape, strict=True)
    )
    for part in (prediction.dendrite, prediction.spine, prediction.centre):
        whole = np.zeros(grid.shape, part.dtype)
        whole[inside] = part[tuple(slice(0, t.stop - t.start) for t in inside)]
        whole[left_out] = 0
        maps.append(whole)
    heads = prediction.heads
    if heads is not None and len(heads.scores):
        centres = heads.centres_px + np.array(offset)
        places = np.clip(np.rint(centres).astype(int), 0, np.array(grid.shape) - 1)
        kept = ~left_out[tuple(places.T)]
        heads = Heads(centres[kept], heads.scores[kept], None if heads.sizes is None else heads.sizes[kept])
    return replace(
        prediction,
        dendrite=maps[0],
        spine=maps[1],
        centre=maps[2],
        intensity=grid.intensity,
        spacing_zyx_um=grid.spacing_zyx_um,
        scale_yx=grid.scale_yx,
        heads=heads,
        data_box=(inside[0], inside[1], inside[2]),
    )


def _nearest(mask: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Bring a mask of the stack's voxels to the analysis grid (nearest neighbour)."""
    rows, columns = (
        np.minimum(((np.arange(n) + 0.5) * m / n).astype(int), m - 1)
        for n, m in zip(shape[1:], mask.shape[1:], strict=True)
    )
    return mask[:, rows[:, None], columns[None, :]]
