"""Odd lines shifted against even ones, as bidirectional scanning leaves them when its phase is off."""

from __future__ import annotations

import numpy as np

#: Shifts looked at, in pixels.
_FARTHEST_PX = 16
#: A shift counts when the lines agree better by this much (correlation) than without it.
_CLEARER = 0.02
#: Pixels of the brightest slice that are looked at, at most.
_ROWS = 1024


def measure_line_shift(plane: np.ndarray) -> int:
    """Return how many pixels along x the odd lines must be moved to agree with the even ones; 0 where they do.

    Odd lines are correlated with the mean of the even lines above and below them, for each whole shift.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
        A slice (or projection) with structure.

    Returns
    -------
    int
        Positive moves odd lines to the right.
    """
    height, width = plane.shape
    if height < 9 or width < 4 * _FARTHEST_PX:
        return 0
    values = np.sqrt(np.clip(plane[:_ROWS].astype(np.float64) - np.percentile(plane, 2), 0, None))
    rows = (len(values) - 1) // 2
    odd, around = values[1 : 2 * rows : 2], (values[0 : 2 * rows : 2] + values[2 : 2 * rows + 1 : 2]) / 2
    far = _FARTHEST_PX
    middle = odd[:, far : width - far].ravel()
    if middle.std() == 0:
        return 0
    likeness = []
    for shift in range(-far, far + 1):
        other = around[:, far + shift : width - far + shift].ravel()
        likeness.append(np.corrcoef(middle, other)[0, 1] if other.std() > 0 else -1.0)
    best = int(np.argmax(likeness))
    return best - far if likeness[best] > likeness[far] + _CLEARER else 0


def shift_lines(plane: np.ndarray, shift_px: float) -> np.ndarray:
    """Return a plane whose odd lines are moved along x by whole pixels; their ends repeat the last pixel.

    Examples
    --------
    >>> shift_lines(np.array([[1, 2, 3], [1, 2, 3]]), 1).tolist()
    [[1, 2, 3], [1, 1, 2]]
    """
    shift = round(shift_px)
    if shift == 0:
        return plane
    columns = np.clip(np.arange(plane.shape[1]) - shift, 0, plane.shape[1] - 1)
    moved = plane.copy()
    moved[1::2] = plane[1::2][:, columns]
    return moved
