"""A line that snaps to a shaft: the cheapest path in brightness between places that a person clicks, in 3-D.

The search runs on a coarse, nearly isotropic copy of the surroundings, so that it takes tenths of a second whatever the
length; the line is then moved to the middle of the shaft's profile at full resolution, and its radii are read there.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy import ndimage as ndi
from skimage.graph import MCP_Geometric

from spinecore.errors import SpinecoreError
from spinecore.tracing.editing import Path
from spinecore.tracing.refine import STEP_UM, smooth_path
from spinecore.tracing.sections import across, tangents

#: What lies farther than this beside the clicked places is not looked at (um; z, y, x).
MARGIN_UM = (2.5, 4.0, 4.0)
#: The search looks at no more voxels than this, and at none smaller than this (um).
MOST_VOXELS = 120_000
FINEST_UM = 0.2
#: A um in the dark costs this many times what it costs on a bright shaft; a um through a spine's outline, so many times.
DARK_COST = 25.0
SPINE_COST = 4.0
#: The line may run so many slices above or below a place, of which a click says less than of where it is in the slice, up to
#: this far (um; at least one slice). A um of that costs this many times what a um along a bright shaft costs.
FREE_SLICES, FREE_UM, DEPTH_COST = 2, 2.0, 0.5
#: A place is moved to the brightest spot this near (um; z, y, x).
SNAP_UM = (0.9, 0.4, 0.4)
#: The profile across the shaft is read this far to each side (um), and a radius lies between these.
PROFILE_UM = 2.0
RADIUS_UM = (0.15, 2.0)

Block = tuple[int, ...]


class Image(Protocol):
    """Intensities (Z, Y, X) of which a window can be had."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels, ZYX."""

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        """Return the voxels of a window."""


def snap_path(
    image: Image,
    spacing_zyx_um: Sequence[float],
    places_um: np.ndarray,
    spines: np.ndarray | None = None,
    *,
    fixed: tuple[bool, bool] = (False, False),
) -> Path:
    """Return the line of a shaft through some places.

    Parameters
    ----------
    image : Image
        Intensities.
    spacing_zyx_um : sequence of float
        Voxel size.
    places_um : ndarray, shape (n, 3)
        Places on the shaft in order, at least two; ZYX, voxel index times spacing.
    spines : ndarray of int, shape (m, 3), optional
        Voxels of spines, which the line keeps out of.
    fixed : tuple of bool
        Whether the first and the last place are taken as they are (on another line) and not moved to the brightest spot.

    Raises
    ------
    SpinecoreError
        If the places lie outside the image or at one spot.
    """
    spacing = np.asarray(spacing_zyx_um, float)
    places = np.asarray(places_um, float)
    extent = (np.array(image.shape) - 1) * spacing
    if len(places) < 2 or np.linalg.norm(places[-1] - places[0]) < 3 * float(spacing[1:].min()):
        raise SpinecoreError(
            "a line needs two places that are apart: click once more, farther along the dendrite"
        )
    if (places < -spacing).any() or (places > extent + spacing).any():
        raise SpinecoreError("that place lies outside the image: click inside it")
    places = np.clip(places, 0, extent)
    margin = np.array(MARGIN_UM)
    low = np.floor(np.maximum(places.min(0) - margin, 0) / spacing).astype(int)
    high = np.minimum(np.ceil((places.max(0) + margin) / spacing).astype(int) + 1, image.shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    crop = np.asarray(image[window], np.float32)
    origin = low * spacing
    own = places - origin
    for k in range(len(own)):
        if not (k == 0 and fixed[0]) and not (k == len(own) - 1 and fixed[1]):
            own[k] = _brightest(crop, spacing, own[k])
    line = _cheapest(crop, spacing, own, None if spines is None else spines - low, fixed)
    line = smooth_path(line, STEP_UM, 0.5)
    for _ in range(2):
        line = _centred(crop, spacing, line, fixed)
    if image.shape[0] == 1:
        line[:, 0] = 0.0
    return Path(np.round(line + origin, 4), np.round(_radii(crop, spacing, line), 4))


def radii_along(image: Image, spacing_zyx_um: Sequence[float], points_um: np.ndarray) -> np.ndarray:
    """Return the radius of the shaft at each point of a line (n, 3), from the profile across it."""
    spacing = np.asarray(spacing_zyx_um, float)
    reach = np.ceil(PROFILE_UM / spacing).astype(int) + 1
    low = np.clip(np.floor(points_um.min(0) / spacing).astype(int) - reach, 0, None)
    high = np.minimum(np.ceil(points_um.max(0) / spacing).astype(int) + reach + 1, image.shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return _radii(np.asarray(image[window], np.float32), spacing, points_um - low * spacing)


def _brightest(crop: np.ndarray, spacing: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The brightest spot near a place, of a smoothed copy; nearer ones are preferred."""
    reach = np.ceil(np.array(SNAP_UM) / spacing).astype(int) + 2
    middle = np.rint(place / spacing).astype(int)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, crop.shape)
    part = crop[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    smooth = ndi.gaussian_filter(part, np.where(np.array(part.shape) > 1, 0.2 / spacing, 0))
    smooth -= smooth.min()
    grid = np.stack(
        np.meshgrid(*(np.arange(a, b) for a, b in zip(low, high, strict=True)), indexing="ij"), -1
    )
    smooth *= np.exp(-0.5 * (((grid * spacing - place) / SNAP_UM) ** 2).sum(-1))
    found = np.array(np.unravel_index(int(smooth.argmax()), smooth.shape)) + low
    return found * spacing


def _cheapest(
    crop: np.ndarray,
    spacing: np.ndarray,
    places: np.ndarray,
    spines: np.ndarray | None,
    fixed: tuple[bool, bool],
) -> np.ndarray:
    """The cheapest way through the places, on a coarse copy of the crop; a place that is not fixed says less of depth."""
    extent = np.array(crop.shape) * spacing
    step = FINEST_UM
    while np.prod(np.maximum(extent / np.maximum(step, spacing), 1)) > MOST_VOXELS:
        step *= 1.15
    blocks = np.maximum(np.floor(step / spacing), 1).astype(int)
    blocks = np.minimum(blocks, crop.shape)
    coarse = _block_mean(
        ndi.gaussian_filter(crop, np.where(np.array(crop.shape) > 1, 0.1 / spacing, 0)), blocks
    )
    size = blocks * spacing
    index = np.clip(np.floor((places / spacing + 0.5) / blocks).astype(int), 0, np.array(coarse.shape) - 1)
    dark = float(np.percentile(coarse, 20))
    reach = _free_slices(size)
    light = float(np.median([coarse[max(z - reach, 0) : z + reach + 1, y, x].max() for z, y, x in index]))
    share = np.clip((coarse - dark) / max(light - dark, 1e-6), 0.0, 1.0)
    cost = 1.0 + (DARK_COST - 1.0) * (1.0 - share) ** 2
    if spines is not None and len(spines):
        at = np.floor(spines / blocks).astype(int)
        at = at[((at >= 0) & (at < coarse.shape)).all(1)]
        cost[tuple(at.T)] *= SPINE_COST
    first = tuple(index[0])
    if not fixed[0]:
        first = tuple(_way(cost, size, tuple(index[1]), first, free=True)[-1])
    line = [_in_slice(places[:1], first, index[0], blocks, spacing)]
    for k, last in enumerate(index[1:], start=1):
        free = not (fixed[1] and k == len(index) - 1)
        way = _way(cost, size, first, tuple(last), free)
        first = tuple(way[-1])
        line.append((((way + 0.5) * blocks - 0.5) * spacing)[1:-1])
        line.append(_in_slice(places[k : k + 1], first, last, blocks, spacing))
    return np.vstack(line)


def _free_slices(size: np.ndarray) -> int:
    """Blocks along z that the line may be away from a place."""
    return min(FREE_SLICES, max(int(FREE_UM / size[0]), 1))


def _way(cost: np.ndarray, size: np.ndarray, first: Block, last: Block, free: bool) -> np.ndarray:
    """The cheapest way between two blocks (n, 3); where it is `free`, it may end above or below the last one, at a price."""
    reach = _free_slices(size) if free else 0
    depths = range(max(last[0] - reach, 0), min(last[0] + reach + 1, cost.shape[0]))
    ends = [(z, *last[1:]) for z in depths]
    search = MCP_Geometric(cost, sampling=tuple(size))
    found, _ = search.find_costs([first], ends)
    prices = [found[end] + DEPTH_COST * abs(end[0] - last[0]) * size[0] for end in ends]
    return np.array(search.traceback(ends[int(np.argmin(prices))]))


def _in_slice(
    place: np.ndarray, block: Block, clicked: np.ndarray, blocks: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """A place (1, 3), in the middle of the slices of a block where it was clicked in others."""
    if block[0] != clicked[0]:
        place = place.copy()
        place[0, 0] = ((block[0] + 0.5) * blocks[0] - 0.5) * spacing[0]
    return place


def _block_mean(image: np.ndarray, blocks: np.ndarray) -> np.ndarray:
    """Mean over blocks; the last ones are filled up with the edge."""
    more = [(0, int(-n % b)) for n, b in zip(image.shape, blocks, strict=True)]
    z, y, x = np.pad(image, more, mode="edge").shape
    a, b, c = (int(v) for v in blocks)
    return np.pad(image, more, mode="edge").reshape(z // a, a, y // b, b, x // c, c).mean((1, 3, 5))


def _profiles(
    crop: np.ndarray, spacing: np.ndarray, line: np.ndarray, direction: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Intensities (n, m) along a direction across a line, and the distances (m,) at which they are read."""
    travel = np.arange(-reach, reach + 1e-6, 0.05)
    points = line[:, None, :] + travel[None, :, None] * direction[:, None, :]
    values = ndi.map_coordinates(crop, np.moveaxis(points / spacing, -1, 0), order=1, mode="nearest")
    smooth = ndi.gaussian_filter1d(values, 3.0, axis=0, mode="nearest")
    return smooth, travel


def _centred(crop: np.ndarray, spacing: np.ndarray, line: np.ndarray, fixed: tuple[bool, bool]) -> np.ndarray:
    """Move a line to the middle of the shaft: to the centroid of what is brighter than half across it."""
    lateral, axial = across(tangents(line))
    moved = line.copy()
    for direction, reach in ((lateral, 1.0), (axial, 1.2)):
        if crop.shape[0] == 1 and direction is axial:
            continue
        values, travel = _profiles(crop, spacing, line, direction, reach)
        middle = np.abs(travel) < 0.3
        level = (values.min(1) + values[:, middle].max(1)) / 2
        weight = np.maximum(values - level[:, None], 0.0) * _connected(values > level[:, None], travel)
        total = weight.sum(1)
        shift = np.where(total > 0, (weight * travel).sum(1) / np.maximum(total, 1e-9), 0.0)
        moved += np.clip(ndi.gaussian_filter1d(shift, 5.0, mode="nearest"), -0.5, 0.5)[:, None] * direction
    ramp = np.ones(len(line))
    n = min(10, len(line) // 2)
    for held, end in zip(fixed, (slice(0, n), slice(len(line) - n, None)), strict=True):
        if held:
            ramp[end] = np.linspace(0, 1, n) if end.start == 0 else np.linspace(1, 0, n)
    moved = line + ramp[:, None] * (moved - line)
    moved = np.clip(moved, 0, (np.array(crop.shape) - 1) * spacing)
    return smooth_path(moved, STEP_UM, 0.3)


def _connected(bright: np.ndarray, travel: np.ndarray) -> np.ndarray:
    """Keep of each row's bright stretches the one at the middle."""
    middle = int(np.abs(travel).argmin())
    right = np.logical_and.accumulate(bright[:, middle:] | (travel[middle:] < 0.2), axis=1)
    left = np.logical_and.accumulate((bright[:, middle::-1] | (travel[middle::-1] > -0.2)), axis=1)[:, ::-1]
    return np.concatenate([left[:, :-1], right], axis=1) & bright


def _radii(crop: np.ndarray, spacing: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Half the width at half height of the profile across a line, in the image plane, smoothed along it."""
    lateral, _ = across(tangents(line))
    values, travel = _profiles(crop, spacing, line, lateral, PROFILE_UM)
    middle = np.abs(travel) < 0.15
    floor = np.percentile(values, 10, axis=1)
    level = (floor + values[:, middle].max(1)) / 2
    width = _connected(values > level[:, None], travel).sum(1) * 0.05
    size = min(21, len(width) // 2 * 2 + 1)
    radius = ndi.median_filter(width / 2, size=size, mode="nearest")
    return np.clip(ndi.gaussian_filter1d(radius, 3.0, mode="nearest"), *RADIUS_UM)
