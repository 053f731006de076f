"""Lines that a person drew round spines, as the voxels inside them; and what is odd about a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage as ndi
from skimage.draw import polygon2mask

from spinecore.evaluation.annotations import Outline

#: Fewer pixels than this are no outline.
FEWEST_PIXELS = 4
#: Edges compared with all others at a time.
_AT_ONCE = 256
Voxels = tuple[tuple[int, int, int], np.ndarray]


def voxels_inside(outlines: Sequence[Outline], shape: tuple[int, int, int]) -> Voxels | None:
    """Return the first voxel and the voxels inside some outlines of one spine, ZYX; None where they hold too few.

    Pixels count whose centre lies inside; what lies outside the stack is left out. An outline without a slice gives a single
    layer, at slice 0.
    """
    if not all(np.isfinite(path).all() for line in outlines for path in line.paths):
        return None
    corners = np.concatenate([path for line in outlines for path in line.paths])
    limit = np.array(shape[:0:-1])
    low = np.clip(np.floor(corners.min(0)).astype(int), 0, limit)
    high = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, limit)
    if (high <= low).any():
        return None
    slices = [0 if np.isnan(line.slice) or shape[0] == 1 else int(line.slice) for line in outlines]
    first, last = max(min(slices), 0), min(max(slices), shape[0] - 1)
    mask = np.zeros((max(last - first + 1, 0), high[1] - low[1], high[0] - low[0]), bool)
    for number, line in zip(slices, outlines, strict=True):
        if first <= number <= last:
            mask[number - first] |= _inside(line.paths, low, mask.shape[1:])
    if mask.sum() < FEWEST_PIXELS:
        return None
    return (first, int(low[1]), int(low[0])), mask


def _inside(paths: Sequence[np.ndarray], low: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The pixels inside an odd number of paths, with all that a path which crosses itself encloses."""
    inside = np.zeros(shape, bool)
    for path in paths:
        one = polygon2mask(shape, (path - low)[:, ::-1])
        inside ^= ndi.binary_fill_holes(one) if crosses_itself(path) else one
    return inside


def crosses_itself(path: np.ndarray) -> bool:
    """Say whether two edges of a closed path cross.

    Parameters
    ----------
    path : ndarray, shape (n, 2)

    Examples
    --------
    >>> square, bow = np.array([[0, 0], [4, 0], [4, 4], [0, 4]]), np.array([[0, 0], [4, 4], [4, 0], [0, 4]])
    >>> crosses_itself(square), crosses_itself(bow)
    (False, True)
    """
    a = np.asarray(path, float)
    b = np.roll(a, -1, axis=0)
    edge = b - a
    for start in range(0, len(a), _AT_ONCE):
        own = slice(start, start + _AT_ONCE)
        sides = [
            _cross(edge[own, None], p[None] - a[own, None]) for p in (a, b)
        ]  # of each own edge, the ends of all others
        back = [_cross(edge[None], p[own, None] - a[None]) for p in (a, b)]
        if ((sides[0] * sides[1] < 0) & (back[0] * back[1] < 0)).any():
            return True
    return False


def _cross(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.asarray(one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0])


def reaches_outside(outlines: Sequence[Outline], shape: tuple[int, int, int]) -> bool:
    """Say whether outlines reach beyond the edge of a stack by more than half a pixel."""
    corners = np.concatenate([path for line in outlines for path in line.paths])
    return bool((corners < -1).any() or (corners > np.array(shape[:0:-1])).any())
