"""Where marks of spines say something: beside hand-traced dendrites, and not straight over or under them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

BASE_COLUMNS = ("base_z_um", "base_y_um", "base_x_um")
#: Columns of a marked spine: the far end of its head, and its base on the dendrite.
MARK_COLUMNS = ("z_um", "y_um", "x_um", *BASE_COLUMNS)
#: Detections are judged up to this far from a traced centre line (um).
JUDGED_UM = 4.0
#: Nearer than this to the centre line in projection (um) a detection is over or under the shaft, where no spine is marked.
OVER_SHAFT_UM = 0.6


def marks_are_silent(centres_um: np.ndarray, shaft_um: np.ndarray) -> np.ndarray:
    """Say where a detection without a mark is neither right nor wrong.

    That is farther than `JUDGED_UM` from every traced centre line, and within `OVER_SHAFT_UM` in projection of a
    line that it is near.

    Parameters
    ----------
    centres_um : ndarray, shape (n, 3)
        Detections, z, y, x.
    shaft_um : ndarray, shape (k, 3)
        Points of all traced centre lines, close together.

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    A shaft along x; a detection beside it, one above it and one far from it.

    >>> shaft = np.stack([np.zeros(50), np.zeros(50), np.arange(50) / 10], 1)
    >>> marks_are_silent(np.array([[0, 1.0, 2], [2.0, 0.5, 2], [0, 5.0, 2]]), shaft).tolist()
    [False, True, True]
    """
    centres_um, shaft_um = np.reshape(centres_um, (-1, 3)), np.reshape(shaft_um, (-1, 3))
    silent = np.ones(len(centres_um), bool)
    if not len(centres_um) or not len(shaft_um):
        return silent
    near = cKDTree(shaft_um).query_ball_point(centres_um, JUDGED_UM)
    for index, (centre, own) in enumerate(zip(centres_um, near, strict=True)):
        if own:
            beside = np.linalg.norm(shaft_um[own, 1:] - centre[1:], axis=1).min()
            silent[index] = beside <= OVER_SHAFT_UM
    return silent
