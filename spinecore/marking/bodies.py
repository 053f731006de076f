"""Voxels that a person gave to a spine, on the grid of an analysis, and what lies around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from spinecore.analysis.gridimage import GridImage
from spinecore.corrections.grow import HEAD_UM, SHARE
from spinecore.corrections.patches import Patched
from spinecore.detection.belonging import nearest_axis
from spinecore.detection.candidates import Candidates, Region

#: Margin of the crop of a marked spine (um; z, y, x).
_PAD_UM = np.array([0.6, 0.9, 0.9])
#: Of the slices of a spine, the darkest share that tells the background of an outline without a slice (%).
_BACKGROUND_PERCENTILE = 20


@dataclass(frozen=True)
class Body:
    """Voxels of one spine.

    Parameters
    ----------
    origin : ndarray of int, shape (3,)
        First voxel of the mask on the grid (ZYX).
    mask : ndarray of bool
    flat : bool
        True where a person drew no more than one layer of it, so that its thickness is not known.
    """

    origin: np.ndarray
    mask: np.ndarray
    flat: bool = False

    def within(self, start: Sequence[int] | np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return the voxels in a window of the grid."""
        out = np.zeros(shape, bool)
        offset = self.origin - np.asarray(start)
        low, high = np.maximum(offset, 0), np.minimum(offset + self.mask.shape, shape)
        if (low < high).all():
            here = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            there = tuple(slice(int(a), int(b)) for a, b in zip(low - offset, high - offset, strict=True))
            out[here] = self.mask[there]
        return out

    def distance_um(self, places_px: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Return how far places (n, 3) are from the nearest voxel, with sizes of a voxel (z, y, x) as weights."""
        where = (np.argwhere(self.mask) + self.origin) * weight
        if not len(where):
            return np.full(len(places_px), np.inf)
        return np.asarray(cKDTree(where).query(np.asarray(places_px) * weight)[0])


def body_on_grid(
    origin: tuple[int, int, int],
    mask: np.ndarray,
    place_px: np.ndarray,
    depth_known: bool,
    candidates: Candidates,
    image: GridImage,
) -> Body:
    """Return the voxels of a mark on the grid of an analysis.

    Parameters
    ----------
    origin, mask
        In the stack's own voxels.
    place_px : ndarray, shape (3,)
        Its head on the grid.
    depth_known : bool
        False for a single layer that says nothing of the depth: it is taken in the slices round the head in which the stack
        is bright inside it.
    candidates : Candidates
        For the grid.
    image : GridImage
    """
    scale = np.array([1.0, *candidates.scale_yx])
    shape = np.array(candidates.shape)
    low = np.array(origin)
    start = np.clip(np.floor(low * scale).astype(int), 0, shape - 1)
    stop = np.clip(np.ceil((low + mask.shape) * scale).astype(int), start + 1, shape)
    parts = []
    for axis in range(3):
        centres = (np.arange(start[axis], stop[axis]) + 0.5) / scale[axis]
        inside = np.floor(centres).astype(int) - low[axis]
        parts.append(np.clip(inside, 0, mask.shape[axis] - 1))
    found = mask[np.ix_(*parts)]
    flat = bool(shape[0] > 1 and found.any((1, 2)).sum() == 1)
    if depth_known:
        return Body(start, found, flat)
    first, last = _bright_slices(
        image, start, found[0], round(float(place_px[0])), candidates.spacing_zyx_um[0]
    )
    return Body(np.array([first, *start[1:]]), np.repeat(found[:1], last - first + 1, axis=0), flat)


def _bright_slices(
    image: GridImage, start: np.ndarray, layer: np.ndarray, middle: int, z_um: float
) -> tuple[int, int]:
    """First and last slice round one in which the mean inside a layer keeps half of its height above the background."""
    window = tuple(slice(int(a), int(a) + n) for a, n in zip(start[1:], layer.shape, strict=True))
    column = image[(slice(0, image.shape[0]), *window)].astype(np.float32)
    profile = column[:, layer].mean(1)
    background = float(np.percentile(profile, _BACKGROUND_PERCENTILE))
    bright = profile >= background + SHARE * (profile[middle] - background)
    reach = int(HEAD_UM[0] / z_um)
    first = last = middle
    while first - 1 >= max(middle - reach, 0) and bright[first - 1]:
        first -= 1
    while last + 1 <= min(middle + reach, len(profile) - 1) and bright[last + 1]:
        last += 1
    return first, last


def taken_by(candidates: Candidates, region: Region) -> np.ndarray:
    """The voxels of a crop that are part of a spine."""
    out = np.zeros(region.mask.shape, bool)
    for other in candidates.regions:
        if len(other.peaks):
            out |= Body(np.array(other.origin), other.mask).within(region.origin, out.shape)
    return out


def region_around(
    candidates: Candidates,
    ids: Patched,
    image: GridImage,
    place_px: np.ndarray,
    origin: np.ndarray,
    mask: np.ndarray,
    traced: bool,
) -> Region:
    """Return the crop around some voxels.

    Parameters
    ----------
    candidates : Candidates
    ids : Patched
        Dendrite of every voxel.
    image : GridImage
    place_px : ndarray, shape (3,)
        Head of the spine on the grid.
    origin, mask : ndarray
        First voxel, and voxels.
    traced : bool
        True where a dendrite is near: the crop reaches the place on it that the spine belongs to.
    """
    spacing, shape = np.array(candidates.spacing_zyx_um), np.array(candidates.shape)
    low, high = origin, origin + mask.shape
    if traced:
        near = np.round(nearest_axis(place_px[None], candidates.dendrites, candidates.spacing_zyx_um)[0][0])
        low, high = np.minimum(low, near - 1), np.maximum(high, near + 2)
    pad = np.maximum(np.ceil(_PAD_UM / spacing).astype(int), 1)
    start = np.clip(low - pad, 0, shape - 1).astype(int)
    stop = np.clip(high + pad, 1, shape).astype(int)
    window = tuple(slice(int(a), int(b)) for a, b in zip(start, stop, strict=True))
    inside = Body(origin, mask).within(start, tuple(int(n) for n in stop - start))
    z, y, x = (int(v) for v in start)
    spine = np.where(inside, 255, 0).astype(np.uint8)
    return Region((z, y, x), inside, spine, ids[window], np.array(image[window]), np.zeros(0, int))
