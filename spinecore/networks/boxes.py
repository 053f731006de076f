"""Cutting what a network looks at in a tile into a few boxes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

#: Two boxes are taken in place of one where they hold less than this share of its area, with what lies around them.
_WORTH = 0.95


@dataclass(frozen=True)
class Box:
    """Rows `top` to `bottom` and columns `left` to `right` (not included) of a mask."""

    top: int
    bottom: int
    left: int
    right: int

    @cached_property
    def window(self) -> tuple[slice, slice]:
        """Its slices of the mask."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def grown(self, by: int, shape_yx: tuple[int, int]) -> Box:
        """Return the box with a rim, within a shape."""
        return Box(
            max(self.top - by, 0),
            min(self.bottom + by, shape_yx[0]),
            max(self.left - by, 0),
            min(self.right + by, shape_yx[1]),
        )

    def times(self, factor: int) -> Box:
        """Return it in pixels, where each cell of the mask is `factor` pixels wide."""
        return Box(self.top * factor, self.bottom * factor, self.left * factor, self.right * factor)

    def within(self, other: Box) -> Box:
        """Return the same box, counted from the corner of another."""
        return Box(
            self.top - other.top, self.bottom - other.top, self.left - other.left, self.right - other.left
        )

    @property
    def area(self) -> int:
        """Number of cells."""
        return (self.bottom - self.top) * (self.right - self.left)


def cover(mask: np.ndarray, rim: int) -> list[Box]:
    """Return boxes apart from each other that hold every cell of a mask.

    Strategy: the box around all cells is cut in two, along the row or column where that saves most, as long as the
    parts, trimmed to their cells and with their rims, cost less than the whole.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
    rim : int
        Cells around each box that have to be computed with it.

    Examples
    --------
    >>> mask = np.zeros((9, 9), bool)
    >>> mask[:2, :2] = mask[7:, 7:] = True
    >>> [(box.top, box.bottom, box.left, box.right) for box in cover(mask, 1)]
    [(0, 2, 0, 2), (7, 9, 7, 9)]
    """
    whole = _trimmed(mask, Box(0, mask.shape[0], 0, mask.shape[1]))
    return [] if whole is None else _cut(mask, whole, rim)


def _cut(mask: np.ndarray, box: Box, rim: int) -> list[Box]:
    """Return a box that its cells fill from side to side, or the parts that are cheaper."""
    part = mask[box.window]
    rows, columns = len(part), part.shape[1]
    costs = np.concatenate(
        [
            _costs(part, (box.top, box.left), rim, mask.shape),
            _costs(part.T, (box.left, box.top), rim, mask.shape[::-1]),
        ]
    )
    if rows + columns == 2 or costs.min() > _WORTH * box.grown(rim, (mask.shape[0], mask.shape[1])).area:
        return [box]
    best = int(np.argmin(costs))
    if best < rows - 1:
        k = box.top + 1 + best
        halves = Box(box.top, k, box.left, box.right), Box(k, box.bottom, box.left, box.right)
    else:
        k = box.left + 1 + best - (rows - 1)
        halves = Box(box.top, box.bottom, box.left, k), Box(box.top, box.bottom, k, box.right)
    return [small for half in halves if (found := _trimmed(mask, half)) for small in _cut(mask, found, rim)]


def _costs(part: np.ndarray, corner: tuple[int, int], rim: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return what both parts of a box cost, cut before each of its rows but the first.

    Parameters
    ----------
    part : ndarray of bool, shape (rows, columns)
        The cells of the box, with some in its first and its last row.
    corner : tuple of int
        Of the box in a mask of `shape`.
    rim : int
    shape : tuple of int
    """
    return (
        _first_costs(part, corner, rim, shape)[:-1]
        + _first_costs(part[::-1], (shape[0] - corner[0] - len(part), corner[1]), rim, shape)[-2::-1]
    )


def _first_costs(part: np.ndarray, corner: tuple[int, int], rim: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return what the first 1, 2, ... rows of a box cost, trimmed to their cells and with their rims."""
    filled = np.logical_or.accumulate(part, axis=0)
    last_row = np.maximum.accumulate(np.where(part.any(1), np.arange(1, len(part) + 1), 0))
    first, stop = filled.argmax(1), part.shape[1] - filled[:, ::-1].argmax(1)
    height = np.minimum(corner[0] + last_row + rim, shape[0]) - max(corner[0] - rim, 0)
    left, right = np.maximum(corner[1] + first - rim, 0), np.minimum(corner[1] + stop + rim, shape[1])
    return height * (right - left)


def _trimmed(mask: np.ndarray, box: Box) -> Box | None:
    """Return the smallest box around the cells within a box; None where there are none."""
    part = mask[box.window]
    rows, columns = np.flatnonzero(part.any(1)), np.flatnonzero(part.any(0))
    if not len(rows):
        return None
    return Box(
        box.top + int(rows[0]),
        box.top + int(rows[-1]) + 1,
        box.left + int(columns[0]),
        box.left + int(columns[-1]) + 1,
    )
