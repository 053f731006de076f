"""Head centres out of a centre heat map: local maxima, thinned so that each head counts once."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

#: Lowest score that is kept at all; thresholds below it have no effect.
FLOOR = 0.10
#: Two heads closer than this ellipsoid (um; z, y, x) are one. Chosen on simulated stacks of seeds 500-504: 1.4 um along z
#: loses heads above one another in confocal stacks (F1 0.908 against 0.915), 0.9 um counts heads twice.
SEPARATION_UM = (1.1, 0.40, 0.40)


def find_peaks(
    heat: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    floor: float = FLOOR,
    separation_um: tuple[float, float, float] = SEPARATION_UM,
) -> tuple[np.ndarray, np.ndarray]:
    """Return head centres and scores.

    Strategy: voxels that are the largest in their 3 x 3 x 3 neighbourhood are taken from the
    strongest down; a weaker one within the separation ellipsoid of a stronger one is dropped.
    The position is refined to the heat-weighted mean of the neighbourhood.

    Parameters
    ----------
    heat : ndarray of uint8, shape (Z, Y, X)
        Probability times 255.
    spacing_zyx_um : tuple of float
        Voxel size in um.
    floor : float
        Lowest score kept.
    separation_um : tuple of float
        Semi-axes of the ellipsoid within which heads are merged.

    Returns
    -------
    centres_px : ndarray, float64, shape (n, 3)
        ZYX positions in voxels, strongest first.
    scores : ndarray, float64, shape (n,)
    """
    if heat.max(initial=0) < floor * 255:
        return np.zeros((0, 3)), np.zeros(0)
    flat = heat.reshape(heat.shape)
    local = (flat == maximum_filter(flat, size=3, mode="nearest")) & (flat >= max(1, round(floor * 255)))
    where = np.argwhere(local)
    strength = flat[tuple(where.T)].astype(float)
    order = np.argsort(-strength, kind="stable")
    where, strength = where[order], strength[order]
    keep = strongest_apart(where, spacing_zyx_um, separation_um)
    centres = np.array([_refine(flat, voxel) for voxel in where[keep]])
    return centres.reshape(-1, 3), strength[keep] / 255


def strongest_apart(
    places_px: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    separation_um: tuple[float, float, float],
) -> np.ndarray:
    """Say which of some places, strongest first, have no stronger one that stays within an ellipsoid; bool (n,).

    Parameters
    ----------
    places_px : ndarray, shape (n, 3)
        ZYX in voxels.
    spacing_zyx_um, separation_um : tuple of float
        Voxel size and semi-axes of the ellipsoid (um).
    """
    keep = np.ones(len(places_px), bool)
    if len(keep) > 1:
        scaled = places_px * np.array(spacing_zyx_um) / np.array(separation_um)
        for index, neighbours in enumerate(cKDTree(scaled).query_ball_point(scaled, 1.0)):
            if keep[index]:
                keep[[n for n in neighbours if n > index]] = False
    return keep


def _refine(heat: np.ndarray, voxel: np.ndarray, reach: tuple[int, int, int] = (1, 2, 2)) -> np.ndarray:
    window = tuple(slice(max(v - r, 0), v + r + 1) for v, r in zip(voxel, reach, strict=True))
    weight = heat[window].astype(float) ** 2
    grids = np.meshgrid(
        *(np.arange(w.start, w.start + n) for w, n in zip(window, weight.shape, strict=True)), indexing="ij"
    )
    return np.array([(g * weight).sum() for g in grids]) / weight.sum()
