"""Odd lines shifted against even ones, as bidirectional scanning leaves them when its phase is off."""

from __future__ import annotations

import numpy as np

#: Shifts looked at, in pixels.
_FARTHEST_PX = 16
#: A shift counts when the lines agree better by this much (correlation) than without it, and by this many times
#: the standard error of the difference.
_CLEARER, _TIMES_NOISE = 0.02, 3.0
#: Pixels of the brightest slice that are looked at, at most.
_ROWS = 1024


def measure_line_shift(plane: np.ndarray) -> int:
    """Return how many pixels along x the odd lines must be moved to agree with the even ones; 0 where they do.

    Odd lines are correlated with the mean of the even lines above and below them, for each whole shift. Every other odd
    line must tell the same shift, within a pixel, as the rest of them.

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
    likeness = _likeness(odd, around)
    compared = len(odd) * (width - 2 * _FARTHEST_PX)
    best = int(np.argmax(likeness))
    noise = (1 - likeness[best] ** 2) * np.sqrt(2 / compared)
    gain = max(_CLEARER, _TIMES_NOISE * noise)
    if best == _FARTHEST_PX or not likeness[best] > likeness[_FARTHEST_PX] + gain:
        return 0
    for half in (0, 1):
        own = int(np.argmax(_likeness(odd[half::2], around[half::2])))
        if abs(own - best) > 1:
            return 0
    return best - _FARTHEST_PX


def _likeness(odd: np.ndarray, around: np.ndarray) -> list[float]:
    """Return the correlation of lines with those beside them for each shift from -16 to 16; -1 where one is constant."""
    far, width = _FARTHEST_PX, odd.shape[1]
    middle = odd[:, far : width - far].ravel()
    found = []
    for shift in range(-far, far + 1):
        other = around[:, far + shift : width - far + shift].ravel()
        constant = middle.std() == 0 or other.std() == 0
        found.append(-1.0 if constant else float(np.corrcoef(middle, other)[0, 1]))
    return found


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
