"""Spines as connected components: what methods that only segment need to name one head per spine."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, gaussian_filter, label

#: Probability above which a pixel belongs to a component.
LEVEL = 0.5
#: Smaller components are noise (um^2 in a plane, um^3 in a volume).
MIN_AREA_UM2 = 0.04
MIN_VOLUME_UM3 = 0.012
#: Width of the mark left at each head on the centre map (um; z, y, x).
MARK_SIGMA_UM = (0.25, 0.12, 0.12)


def component_centres(
    spine: np.ndarray, spacing_um: tuple[float, ...], level: float = LEVEL
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a spine probability map into connected components and find one head in each.

    The head is the voxel deepest inside the component (largest distance to its border, in um,
    smoothed a little); its score is the mean probability of the component.

    Parameters
    ----------
    spine : ndarray of float, shape (Y, X) or (Z, Y, X)
        Probability 0..1.
    spacing_um : tuple of float
        Size of a pixel or voxel in um, one number an axis.
    level : float
        Lowest probability inside.

    Returns
    -------
    labels : ndarray, int32, shape of `spine`
        Component ids from 1; too small ones are left out.
    centres_px : ndarray, float, shape (n, ndim)
        Head of component k + 1, in pixels.
    scores : ndarray, float, shape (n,)
    """
    labels, count = label(spine >= level, structure=np.ones((3,) * spine.ndim))
    smallest = (MIN_AREA_UM2 if spine.ndim == 2 else MIN_VOLUME_UM3) / np.prod(spacing_um)
    centres, scores, lookup = [], [], np.zeros(count + 1, np.int32)
    for number, box in enumerate(find_objects(labels), 1):
        inside = labels[box] == number
        if inside.sum() < smallest:
            continue
        depth = distance_transform_edt(np.pad(inside, 1), sampling=spacing_um)
        depth = gaussian_filter(depth, 1.0)[(slice(1, -1),) * spine.ndim] * inside
        head = np.unravel_index(int(np.argmax(depth)), depth.shape)
        centres.append([h + b.start for h, b in zip(head, box, strict=True)])
        scores.append(float(spine[box][inside].mean()))
        lookup[number] = len(centres)
    return lookup[labels], np.array(centres, float).reshape(-1, spine.ndim), np.array(scores)


def mark_centres(
    shape_zyx: tuple[int, int, int],
    centres_px: np.ndarray,
    scores: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
) -> np.ndarray:
    """Return a centre map with a small Gaussian at every head.

    Parameters
    ----------
    shape_zyx : tuple of int
    centres_px : ndarray, shape (n, 3)
        ZYX, in voxels.
    scores : ndarray, shape (n,)
        Height at the head, 0..1.
    spacing_zyx_um : tuple of float

    Returns
    -------
    ndarray, uint8, shape (Z, Y, X)
        Probability times 255; the larger one where marks overlap.
    """
    out = np.zeros(shape_zyx, np.uint8)
    sigma = np.array(MARK_SIGMA_UM) / np.array(spacing_zyx_um)
    reach = np.ceil(2 * sigma).astype(int)
    for centre, score in zip(centres_px, scores, strict=True):
        voxel = np.clip(np.round(centre).astype(int), 0, np.array(shape_zyx) - 1)
        window = tuple(
            slice(max(v - r, 0), min(v + r + 1, n)) for v, r, n in zip(voxel, reach, shape_zyx, strict=True)
        )
        grids = np.meshgrid(*(np.arange(w.start, w.stop) for w in window), indexing="ij")
        squares = sum(((g - v) / s) ** 2 for g, v, s in zip(grids, voxel, sigma, strict=True))
        mark = (255 * score * np.exp(-squares / 2)).round().astype(np.uint8)
        np.maximum(out[window], mark, out=out[window])
    return out
