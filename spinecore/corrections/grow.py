"""The voxels of a spine that a person points at and the detector did not propose.

They are grown from the brightness of the stack: from the brightest voxel near the place, down to half of its height
above the background, within reach of a large head and outside the dendrite.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

from spinecore.corrections.patches import Patched
from spinecore.detection.belonging import DetectionRules, nearest_axis
from spinecore.detection.candidates import BALL_UM, Candidates, Region
from spinecore.errors import SpinecoreError
from spinecore.tracing.livewire import Image

#: The head's middle is looked for this far from the place pointed at, and its voxels this far from the middle (um; z, y, x).
SNAP_UM = (0.6, 0.25, 0.25)
HEAD_UM = (1.4, 0.9, 0.9)
#: Voxels belong to the head down to this share of its height above the background.
SHARE = 0.5
#: What fills more of the reach than this has no border: it is no head but the brightness of the surroundings. Where that
#: is so within the usual reach, it is looked at again within this many times the reach, for large heads.
MOST_OF_REACH = 0.5
LARGE = 1.6
#: A place this near a head that does not count means that candidate; this near one that counts, no other spine (um).
SAME_UM = 0.45
TOO_NEAR_UM = 0.25
#: A place nearer to a shaft's axis than this share of its radius is no spine's.
CORE = 0.6
#: In the projection, the depth is where the place stands out most from its surroundings up to here (um).
COLUMN_UM = 1.2
#: Margin of the crop (um; z, y, x).
_PAD_UM = np.array([0.6, 0.9, 0.9])


class NoBorderError(SpinecoreError):
    """What is bright at a place goes on in all directions."""


@dataclass(frozen=True)
class Place:
    """Where a person pointed, as what it turned out to be.

    Parameters
    ----------
    centre_px : ndarray, shape (3,)
        Middle of the head on the analysis grid.
    candidate : int or None
        A candidate that lies there already.
    region : int or None
        The region it is part of, to be shared with the spines in it.
    grown : Region or None
        A region of its own.
    untraced : bool
        True where no dendrite is near.
    """

    centre_px: np.ndarray
    candidate: int | None = None
    region: int | None = None
    grown: Region | None = None
    untraced: bool = False


def find_place(
    candidates: Candidates,
    threshold: float,
    dendrite_ids: Patched,
    intensity: Image,
    centre_px: np.ndarray,
    rules: DetectionRules | None = None,
) -> Place:
    """Say what lies at a place.

    Parameters
    ----------
    candidates : Candidates
    threshold : float
        Lowest score of a spine.
    dendrite_ids : Patched
        Dendrite of every voxel of the analysis grid.
    intensity : Image
        Of the stack, on the same grid.
    centre_px : ndarray, shape (3,)
        The place on the grid, ZYX.
    rules : DetectionRules, optional
        Of the analysis; `by_hand_um` says which dendrite is near enough.

    Raises
    ------
    SpinecoreError
        When it lies outside or in the middle of a dendrite, or nothing there is brighter than the surroundings.
    """
    shape, spacing = np.array(dendrite_ids.shape), np.array(candidates.spacing_zyx_um)
    if (centre_px < -0.5).any() or (centre_px > shape - 0.5).any():
        raise SpinecoreError("that place lies outside the image: click inside it")
    near = np.linalg.norm((candidates.centres_px - centre_px) * spacing * (0.5, 1, 1), axis=1)
    counts = np.zeros(len(near), bool)
    counts[candidates.counting(np.arange(len(near)), threshold)] = True
    if counts.any() and near[counts].min() <= TOO_NEAR_UM:
        number = int(np.flatnonzero(counts)[near[counts].argmin()]) + 1
        raise SpinecoreError(f"spine {number} lies there already: click on the other head to divide it")
    offered = ~counts & ~candidates.far
    if offered.any() and near[offered].min() <= SAME_UM:
        return Place(centre_px, candidate=int(np.flatnonzero(offered)[near[offered].argmin()]))
    if dendrite_ids.at(np.clip(np.round(centre_px).astype(int), 0, shape - 1)):
        return _carve(candidates, dendrite_ids, intensity, centre_px)
    middle = _brightest(intensity, dendrite_ids, centre_px, spacing)
    for number, region in enumerate(candidates.regions):
        local = middle - region.origin
        inside = (local >= 0).all() and (local < region.mask.shape).all()
        if inside and region.mask[tuple(local)] and len(region.peaks) and not _is_far(candidates, region):
            return Place(middle.astype(float), region=number)
    return _grown_at(candidates, dendrite_ids, intensity, middle, rules)


def grow_place(
    candidates: Candidates,
    dendrite_ids: Patched,
    intensity: Image,
    centre_px: np.ndarray,
    rules: DetectionRules | None = None,
) -> Place:
    """Return what is grown from the brightness at a place, whichever candidates lie there; arguments as `find_place`.

    Raises
    ------
    SpinecoreError
        When it lies on the dendrite, or nothing there is brighter than the surroundings.
    """
    spacing = np.array(candidates.spacing_zyx_um)
    middle = _brightest(intensity, dendrite_ids, centre_px, spacing)
    return _grown_at(candidates, dendrite_ids, intensity, middle, rules)


def _grown_at(
    candidates: Candidates,
    dendrite_ids: Patched,
    intensity: Image,
    middle: np.ndarray,
    rules: DetectionRules | None,
) -> Place:
    anchor, gap = nearest_axis(middle[None].astype(float), candidates.dendrites, candidates.spacing_zyx_um)
    untraced = bool(gap[0] > (rules or DetectionRules()).by_hand_um)
    grown = _grow(
        candidates, dendrite_ids, intensity, middle, middle if untraced else np.round(anchor[0]).astype(int)
    )
    return Place(middle.astype(float), grown=grown, untraced=untraced)


def _carve(candidates: Candidates, dendrite_ids: Patched, intensity: Image, centre_px: np.ndarray) -> Place:
    """A spine inside what was taken for the shaft: what bulges out of the round shaft there, or a small ball."""
    spacing = np.array(candidates.spacing_zyx_um)
    anchor, _ = nearest_axis(centre_px[None].astype(float), candidates.dendrites, tuple(spacing))
    points, radii = _line_near(candidates, centre_px * spacing)
    off = float(np.linalg.norm(points - centre_px * spacing, axis=1).min()) if len(points) else np.inf
    radius = float(np.median(radii)) if len(radii) else 0.0
    if off < CORE * radius:
        raise SpinecoreError(
            "that place lies in the middle of the dendrite: click on the spine's head, beside the dendrite's axis"
        )
    middle = np.clip(np.round(centre_px).astype(int), 0, np.array(dendrite_ids.shape) - 1)
    pad = np.maximum(np.ceil((_PAD_UM + HEAD_UM) / spacing).astype(int), 1)
    near = np.round(anchor[0]).astype(int)
    window = _window(
        np.minimum(middle - pad, near - 1),
        np.maximum(middle + pad, near + 1) + 1,
        np.array(dendrite_ids.shape),
    )
    start = np.array([w.start for w in window])
    ids = dendrite_ids[window].copy()
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in ids.shape), indexing="ij"), -1)
    from_head = (grid + start - middle) * spacing
    out = cKDTree(points).query((grid + start) * spacing)[0] if len(points) else np.full(ids.shape, np.inf)
    bulge = (out > min(radius, off - 0.05)) & (((from_head / HEAD_UM) ** 2).sum(-1) <= 1) & (ids > 0)
    number = ndi.label(bulge)[0]
    own = number[tuple(middle - start)]
    mask = (number == own) if own else np.zeros(ids.shape, bool)
    mask |= ((from_head**2).sum(-1) <= BALL_UM**2) & (out > CORE * radius)
    taken = np.zeros(ids.shape, bool)
    for region in candidates.regions:
        if not _is_far(candidates, region):
            _mark(taken, region, start.tolist())
    mask &= ~taken
    mask[tuple(middle - start)] = True
    ids[mask] = 0
    origin = (window[0].start, window[1].start, window[2].start)
    grown = Region(
        origin, mask, (mask * 255).astype(np.uint8), ids, np.array(intensity[window]), np.zeros(0, int)
    )
    return Place(middle.astype(float), grown=grown)


def _line_near(candidates: Candidates, place_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and radii of the centre lines within 3 um of a place."""
    branches = [b for d in candidates.dendrites for b in d.branches]
    points = np.concatenate([np.zeros((0, 3)), *(b.points_um for b in branches)])
    radii = np.concatenate([np.zeros(0), *(b.radii_um for b in branches)])
    near = np.linalg.norm(points - place_um, axis=1) <= 3.0
    return points[near], radii[near]


def depth_of_head(
    column: np.ndarray, middle_px: np.ndarray, shaft: np.ndarray, pixel_yx_um: tuple[float, float]
) -> int:
    """Return the slice in which a small bright thing lies at the middle of a column.

    Parameters
    ----------
    column : ndarray, shape (Z, Y, X)
        Intensities around a place of the projection.
    middle_px : ndarray, shape (2,)
        The place in it (y, x).
    shaft : ndarray of bool, shape (Z,)
        Slices in which the place lies on the dendrite.
    pixel_yx_um : tuple of float
    """
    pixel = np.array([np.inf, *pixel_yx_um])
    values = column.astype(np.float32)
    contrast = ndi.gaussian_filter(values, 0.15 / pixel) - ndi.gaussian_filter(values, 0.5 / pixel)
    reach = np.ceil(0.2 / pixel[1:]).astype(int)
    y, x = (slice(max(m - r, 0), m + r + 1) for m, r in zip(middle_px, reach, strict=True))
    height = contrast[:, y, x].max((1, 2))
    return int(np.where(shaft, -np.inf, height).argmax())


def place_with_depth(
    candidates: Candidates, dendrite_ids: Patched, intensity: Image, place_px: np.ndarray
) -> np.ndarray:
    """Return a place on the grid; a z of NaN becomes the slice in which something stands out there.

    Parameters
    ----------
    candidates, dendrite_ids, intensity
        As for `find_place`.
    place_px : ndarray, shape (3,)
        ZYX.
    """
    if not np.isnan(place_px[0]):
        return place_px
    pixel = np.array(candidates.spacing_zyx_um[1:])
    reach = np.ceil(COLUMN_UM / pixel).astype(int)
    limit = np.array(candidates.shape[1:])
    middle = np.clip(np.round(place_px[1:]).astype(int), 0, limit - 1)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, limit)
    depth = slice(0, candidates.shape[0])
    shaft = dendrite_ids[(depth, *(slice(int(m), int(m) + 1) for m in middle))].ravel() > 0
    column = intensity[(depth, *(slice(int(a), int(b)) for a, b in zip(low, high, strict=True)))]
    if shaft.all():
        found = int(column[:, middle[0] - low[0], middle[1] - low[1]].argmax())
    else:
        found = depth_of_head(column, middle - low, shaft, (float(pixel[0]), float(pixel[1])))
    return np.array([float(found), place_px[1], place_px[2]])


def _window(low: np.ndarray, high: np.ndarray, shape: np.ndarray) -> tuple[slice, ...]:
    low, high = np.clip(low, 0, shape - 1), np.clip(high, 1, shape)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


def _brightest(
    intensity: Image, dendrite_ids: Patched, centre_px: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """Voxel of the smoothed maximum near a place, outside the dendrite; nearer ones are preferred."""
    start = np.round(centre_px).astype(int)
    reach = np.ceil(np.array(SNAP_UM) / spacing).astype(int)
    window = _window(start - reach, start + reach + 1, np.array(intensity.shape))
    smooth = ndi.gaussian_filter(intensity[window].astype(np.float32), 0.1 / spacing)
    smooth -= smooth.min()
    grid = np.stack(np.meshgrid(*(np.arange(w.start, w.stop) for w in window), indexing="ij"), -1)
    smooth *= np.exp(-0.5 * (((grid - centre_px) * spacing / SNAP_UM) ** 2).sum(-1))
    smooth[dendrite_ids[window] > 0] = -np.inf
    if not np.isfinite(smooth.max()):
        raise SpinecoreError("that place lies on the dendrite: click on the spine's head")
    return np.array(np.unravel_index(int(smooth.argmax()), smooth.shape)) + [w.start for w in window]


def _grow(
    candidates: Candidates,
    dendrite_ids: Patched,
    intensity: Image,
    middle: np.ndarray,
    anchor: np.ndarray,
    times: float = 1.0,
) -> Region:
    """A region around a head that holds its voxels, and reaches the place on the dendrite that it belongs to."""
    spacing, shape = np.array(candidates.spacing_zyx_um), np.array(intensity.shape)
    pad = np.maximum(np.ceil((_PAD_UM + times * np.array(HEAD_UM)) / spacing).astype(int), 1)
    window = _window(np.minimum(middle - pad, anchor - 1), np.maximum(middle + pad, anchor + 1) + 1, shape)
    ids = dendrite_ids[window]
    taken = np.zeros(ids.shape, bool)
    for region in candidates.regions:
        if not _is_far(candidates, region):
            _mark(taken, region, [w.start for w in window])
    local = middle - [w.start for w in window]
    crop = intensity[window].astype(np.float32)
    try:
        mask = voxels_of_head(crop, ids > 0, taken, local, spacing, times=times)
    except NoBorderError:
        if times == LARGE:
            raise
        return _grow(candidates, dendrite_ids, intensity, middle, anchor, LARGE)
    return Region(
        origin=(window[0].start, window[1].start, window[2].start),
        mask=mask,
        spine=(mask * 255).astype(np.uint8),
        dendrite=ids.copy(),
        intensity=np.array(intensity[window]),
        peaks=np.zeros(0, int),
    )


def voxels_of_head(
    crop: np.ndarray,
    shaft: np.ndarray,
    taken: np.ndarray,
    local: np.ndarray,
    spacing: np.ndarray,
    share: float = SHARE,
    times: float = 1.0,
    bordered: bool = True,
) -> np.ndarray:
    """Return the voxels around one that are bright like it; divided from shaft and other spines where it is darkest.

    Parameters
    ----------
    crop : ndarray of float, shape (Z, Y, X)
        Intensities.
    shaft, taken : ndarray of bool
        Voxels of dendrites and of other spines.
    local : ndarray of int, shape (3,)
        A voxel of the head.
    spacing : ndarray, shape (3,)
        Voxel size (um).
    share : float
        Voxels belong to the head down to this share of its height above the background.
    times : float
        They lie within so many times the reach of a head.
    bordered : bool
        Refuse what has no border within that reach.

    Raises
    ------
    SpinecoreError
        If nothing stands out there.
    """
    smooth = ndi.gaussian_filter(crop, 0.08 / spacing)
    background, height = _height_above_background(smooth, shaft, local)
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in crop.shape), indexing="ij"), -1)
    within = ((((grid - local) * spacing) / (times * np.array(HEAD_UM))) ** 2).sum(-1) <= 1
    bright = (smooth >= background + share * height) & within | shaft | taken
    bright[tuple(local)] = True
    starts = np.zeros(crop.shape, np.int32)
    starts[shaft | taken] = 2
    starts[tuple(local)] = 1
    free = ~taken & ~shaft
    mask = (watershed(-smooth, starts, mask=bright) == 1) & free
    if bordered and mask.sum() > MOST_OF_REACH * within.sum():
        raise NoBorderError("nothing there stands out from its surroundings: click on the spine's head")
    mask |= (((grid - local) * spacing) ** 2).sum(-1) <= BALL_UM**2
    mask &= free
    mask[tuple(local)] = True
    return mask


def _height_above_background(smooth: np.ndarray, shaft: np.ndarray, local: np.ndarray) -> tuple[float, float]:
    """The background of a crop, and how far a voxel stands out from it; an error where it does not."""
    outside = smooth[~shaft]
    background = float(np.percentile(outside, 20))
    height = float(smooth[tuple(local)]) - background
    noise = 1.4826 * float(np.median(np.abs(outside - np.median(outside))))
    if height <= 2 * noise or height <= 0:
        raise SpinecoreError("nothing there is brighter than its surroundings: click on the spine's head")
    return background, height


def _is_far(candidates: Candidates, region: Region) -> bool:
    """True for the crop of heads that no shaft is near: what a person adds there is measured in a crop that reaches a shaft."""
    return bool(len(region.peaks)) and bool(candidates.far[region.peaks].all())


def _mark(taken: np.ndarray, region: Region, start: list[int]) -> None:
    """Mark the voxels of a region inside a window that begins at `start`."""
    offset = np.array(region.origin) - start
    low, high = np.maximum(offset, 0), np.minimum(offset + region.mask.shape, taken.shape)
    if (low < high).all():
        here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        there = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
        taken[here] |= region.mask[there]
