"""Thinning of one connected piece of a mask on an isotropic grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import ndimage as ndi

#: Finest isotropic step used for thinning, in um, and the most voxels of one resampled piece.
FINEST_STEP_UM = 0.1
MOST_VOXELS = 16_000_000


class Thinned(NamedTuple):
    """A thinned piece (2 or 3 axes), its step and where its voxel (0, 0, 0) lies (ZYX, um)."""

    skeleton: np.ndarray
    step_um: np.ndarray
    offset_um: np.ndarray


def thin_piece(pieces: np.ndarray, number: int, box: tuple, spacing: np.ndarray) -> Thinned:
    """Thin one connected piece of a mask on an isotropic grid.

    Parameters
    ----------
    pieces : ndarray of int, shape (Z, Y, X)
        Numbers of the pieces.
    number : int
        Of this one.
    box : tuple of slice
        Around it.
    spacing : ndarray, shape (3,)
        Voxel size (um).
    """
    from skimage.morphology import skeletonize  # takes a quarter of a second to import

    pad = tuple(
        slice(max(s.start - 2, 0), min(s.stop + 2, n)) for s, n in zip(box, pieces.shape, strict=True)
    )
    crop = (pieces[pad] == number).astype(np.float32)
    flat = pieces.shape[0] == 1
    extent = np.array(crop.shape) * spacing
    step = max(FINEST_STEP_UM, float(spacing[1:].min()))
    size = np.prod(extent[1:] if flat else extent)
    step = max(step, float((size / MOST_VOXELS) ** (1 / (2 if flat else 3))))
    scale = step / spacing
    shape = np.maximum(np.ceil(np.array(crop.shape) / scale), 1).astype(int)
    if flat:
        scale[0], shape[0] = 1.0, 1
    sigma = np.where(np.array(crop.shape) > 1, 0.5 * np.maximum(scale, 1.0), 0.0)
    ndi.gaussian_filter(crop, sigma, mode="nearest", truncate=3.0, output=crop)  # in place: it may be large
    offset = (scale - 1) / 2
    fine = ndi.affine_transform(crop, scale, offset, tuple(shape), order=1, mode="nearest") > 0.5
    del crop
    fine = _without_holes(fine[0])[None] if flat else _without_holes(fine)
    thin = skeletonize(fine[0]) if flat else _thinned(fine)
    origin = (np.array([s.start for s in pad]) + offset) * spacing
    return Thinned(thin, np.where([flat, False, False], spacing[0], step), origin)


def _thinned(mask: np.ndarray) -> np.ndarray:
    """Thin a 3-D mask.

    Lee's thinning, as implemented, can erase straight stretches of an even number of voxels across; where the
    result spans much less than the mask, one layer is taken off one side, which makes the number odd.
    """
    from skimage.morphology import skeletonize  # takes a quarter of a second to import

    def span(image: np.ndarray) -> float:
        where = np.argwhere(image)
        return float(np.linalg.norm(np.ptp(where, axis=0))) if len(where) else 0.0

    best, best_span, whole = mask, -1.0, span(mask)
    radius = np.sqrt(mask.sum() / (np.pi * max(whole, 1.0)))
    enough = max(whole - 4 * radius, 0.6 * whole)  # thinning takes up to two radii off each end
    for axes in ((), (1,), (0,), (2,), (0, 1), (1, 2), (0, 2)):
        trial = mask
        for axis in axes:
            trial = trial & np.roll(trial, 1, axis)
        thin = skeletonize(trial)
        reach = span(thin)
        if reach > best_span:
            best, best_span = thin, reach
        if best_span >= enough or whole < 10:
            break
    return best


def _without_holes(mask: np.ndarray) -> np.ndarray:
    """Fill closed cavities (in 2-D only those under 400 pixels, which no loop of dendrites encloses)."""
    empty, n = ndi.label(~mask)
    if n < 2:
        return mask
    open_ = np.zeros(n + 1, bool)
    for axis in range(mask.ndim):
        for side in (0, -1):
            open_[np.unique(np.take(empty, side, axis=axis))] = True
    if mask.ndim == 2:
        open_ |= np.bincount(empty.ravel(), minlength=n + 1) > 400
    return mask | ~open_[empty]
