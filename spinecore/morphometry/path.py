"""The path of one spine from the dendrite's surface to its tip, and the widths along it.

1. The cheapest path from the head centre to the dendrite (`spinecore.morphometry.contact`) gives the base: where it first
   reaches the dendrite.
2. The voxel of the spine farthest from the base, along the spine, gives a first tip.
3. The path base - tip is moved to the centroids of the spine's cross-sections and smoothed; at its end it is
   continued to the surface, which is found between voxels.
4. Cross-sections along the path give area and in-plane width (`spinecore.tracing.sections`).

All points are ZYX in um, in the frame of the volume (voxel index times spacing).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from skimage.graph import MCP_Geometric

from spinecore.morphometry.contact import OTHER_COST, Contact, SpineCrop, narrowed
from spinecore.tracing.edge import arc_lengths
from spinecore.tracing.refine import smooth_path
from spinecore.tracing.sections import Sections, sections

#: Distance of neighbouring points of a spine's path, and the finest sub-voxel, in um.
STEP_UM = 0.05
SUBVOXEL_UM = 0.06
#: A head is wider than its neck by at least this factor (Rodriguez 2008).
NECK_RATIO = 1.1
#: The head begins where the width has risen by this part of the difference between head and neck.
HEAD_LEVEL = 0.3
#: Fewer voxels than this are no outline: they have no path, no widths and no class.
FEWEST_VOXELS = 4
#: How far beyond its radius seen across z a head may reach along z, at least half a slice (um).
DEPTH_SLACK_UM = 0.25


@dataclass(frozen=True)
class SpineShape:
    """The path of a spine and what was measured along it, in um.

    `neck_length` and `neck_width` are NaN where the spine has no neck; `gap` is the length of the path that lies
    outside the mask; `position` (n,) gives the index along the path of each of the sub-voxels.
    """

    path: np.ndarray
    length: float
    profile: Sections
    head_index: int
    head_width: float
    neck_index: int | None
    neck_width: float
    neck_length: float
    gap: float
    head_fraction: float


def shape_of(crop: SpineCrop, start: Contact, spacing: np.ndarray, shaft_radius: float) -> SpineShape | None:
    """Measure the path and widths of a spine.

    Parameters
    ----------
    crop : SpineCrop
    start : Contact
        Path from the base to the head centre.
    spacing : ndarray, shape (3,)
        Voxel size in um.
    shaft_radius : float
        Radius of the dendrite at the base; cross-sections that its round surface may cut are not taken for a neck.

    Returns
    -------
    SpineShape or None
        None when the spine has fewer than 4 voxels.
    """
    voxels = np.argwhere(crop.mask)
    if len(voxels) < FEWEST_VOXELS:
        return None
    flat = crop.mask.shape[0] == 1
    offset = np.asarray(crop.origin)
    if not flat:
        voxels = _without_axial_blur(voxels, start.path / spacing - offset, spacing)
        mask = np.zeros_like(crop.mask)
        mask[tuple(voxels.T)] = True
        crop = replace(crop, mask=mask)
    points, sub = _subvoxels(voxels + offset, spacing, flat)
    chosen = crop.by_hand.tip_px
    tip = None if chosen is None else np.asarray(chosen, float) * spacing
    path = _first_path(crop, voxels, start, spacing, tip)
    for _ in range(2):
        path = _recentred(path, points, sub, flat)
    path = _to_surface(path, crop, spacing) if tip is None else np.vstack([path[:-1], tip])
    path = smooth_path(path, STEP_UM, 0.1)
    arc = arc_lengths(path)
    step = arc[-1] / (len(path) - 1)
    nearest = _nearest(path, points)
    counted = nearest > 0
    profile = sections(path, nearest[counted], points[counted], sub, 0.06 / step, flat)
    inside = crop.mask[tuple(_index(path, crop, spacing).T)]
    start_index = int(np.flatnonzero(inside)[0]) if inside.any() else 0
    return _widths(path, arc, profile, nearest, shaft_radius, float(arc[start_index]), flat)


def _without_axial_blur(voxels: np.ndarray, track: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Leave out the voxels that lie deeper or higher than the spine can reach.

    Along z a microscope draws a head out by its blur, often by several slices. Beyond the middle of the head there is only its
    other half, and how far that reaches is seen across z: no farther than the radius of a disc of the spine's projected area,
    and half a slice (at least `DEPTH_SLACK_UM`). What lies between base and head stays.

    Parameters
    ----------
    voxels : ndarray, shape (n, 3)
    track : ndarray, shape (m, 3)
        From the base to the middle of the head, in voxels.
    spacing : ndarray, shape (3,)
        Voxel size in um.
    """
    area = len(np.unique(voxels[:, 1:], axis=0)) * spacing[1] * spacing[2]
    reach = np.sqrt(area / np.pi) / spacing[0] + max(0.5, DEPTH_SLACK_UM / spacing[0])
    low = min(track[-1, 0] - reach, track[:, 0].min() - 0.5)
    high = max(track[-1, 0] + reach, track[:, 0].max() + 0.5)
    kept = voxels[(voxels[:, 0] >= low) & (voxels[:, 0] <= high)]
    return kept if len(kept) >= 4 else voxels


def _widths(
    path: np.ndarray,
    arc: np.ndarray,
    profile: Sections,
    nearest: np.ndarray,
    radius: float,
    gap: float,
    flat: bool,
) -> SpineShape:
    """Find head and neck in the profile of widths."""
    width = profile.width
    usable = width.copy()
    # the last twentieth is the cap of the tip; the sections of a bump on a round shaft are cut by the shaft near the base
    usable[arc > 0.95 * arc[-1]] = 0
    head = int(np.argmax(usable))
    head_width = float(width[head])
    half = min(head_width / 2, radius)
    skip = min(radius - np.sqrt(radius**2 - half**2), 0.3 * arc[-1]) + 0.05
    gap = gap if gap > 0.15 else 0.0
    proximal = np.flatnonzero((arc >= (0.0 if gap else skip)) & (np.arange(len(arc)) < head))
    neck_index, neck_width, neck_length = None, np.nan, np.nan
    if len(proximal) and head_width > 0:
        thin = int(proximal[np.argmin(width[proximal])])
        if width[thin] * NECK_RATIO < head_width:
            level = width[thin] + HEAD_LEVEL * (head_width - width[thin])
            rises = thin + int(np.argmax(width[thin : head + 1] >= level))
            before, after = width[rises - 1], width[rises]
            part = (level - before) / (after - before) if rises > thin and after > before else 0.0
            neck_index = thin
            neck_width = float(np.median(width[proximal[0] : max(rises, proximal[0] + 1)]))
            neck_length = float(arc[max(rises - 1, 0)] + part * (arc[rises] - arc[max(rises - 1, 0)]))
    beyond = arc[nearest] >= (neck_length if neck_index is not None else -1.0)
    return SpineShape(
        path=path,
        length=float(arc[-1]),
        profile=profile,
        head_index=head,
        head_width=_unsmoothed(profile, arc, head, flat),
        neck_index=neck_index,
        neck_width=neck_width,
        neck_length=neck_length,
        gap=gap,
        head_fraction=float(beyond.mean()),
    )


def _unsmoothed(profile: Sections, arc: np.ndarray, head: int, flat: bool) -> float:
    """Return the head's width, corrected for the smoothing of A(s): A + |A''| sigma^2 / 2 at the peak."""
    area, width = profile.area, float(profile.width[head])
    step = arc[1] - arc[0]
    reach = max(round(0.1 / step), 1)
    if flat or width <= 0 or head < reach or head + reach >= len(area):
        return width
    bend = (area[head - reach] - 2 * area[head] + area[head + reach]) / (reach * step) ** 2
    gain = np.clip(-bend, 0.0, 2 * np.pi) * 0.06**2 / 2
    return width * float(np.sqrt(1 + gain / area[head]))


def _index(points: np.ndarray, crop: SpineCrop, spacing: np.ndarray) -> np.ndarray:
    """Return the crop's voxels at points in um, kept inside the crop."""
    voxel = np.rint(points / spacing).astype(int) - np.asarray(crop.origin)
    return np.clip(voxel, 0, np.array(crop.mask.shape) - 1)


def _subvoxels(voxels: np.ndarray, spacing: np.ndarray, flat: bool) -> tuple[np.ndarray, np.ndarray]:
    """Split each voxel into boxes of at most `SUBVOXEL_UM` (fewer for large spines); return centres and box size."""
    parts = np.clip(np.ceil(spacing / SUBVOXEL_UM).astype(int), 1, 6)
    parts[0] = 1 if flat else parts[0]
    while len(voxels) * parts.prod() > 20_000 and parts.max() > 1:
        parts[np.argmax(parts)] -= 1
    shifts = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) / n - 0.5 for n in parts], indexing="ij"), axis=-1
    ).reshape(-1, 3)
    return ((voxels[:, None, :] + shifts[None]) * spacing).reshape(-1, 3), spacing / parts


def _nearest(path: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the index of the path point nearest to each point."""
    distance = (path**2).sum(axis=1) - 2 * points @ path.T
    return np.argmin(distance, axis=1)


def _first_path(
    crop: SpineCrop, voxels: np.ndarray, start: Contact, spacing: np.ndarray, tip_um: np.ndarray | None = None
) -> np.ndarray:
    """Return the path from the base to the head centre and on to the voxel farthest from the base, or at a chosen tip."""
    track_px = start.path / spacing - np.asarray(crop.origin)
    crop, _, shift = narrowed(crop, None, track_px)
    voxels = voxels - shift
    track = _index(start.path, crop, spacing)
    cost = np.full(crop.mask.shape, -1.0)
    cost[crop.mask] = 1.0
    cost[tuple(track.T)] = 1.0
    search = MCP_Geometric(cost, sampling=tuple(spacing))
    begin = tuple(int(v) for v in track[1 if len(track) > 1 else 0])
    reached, _ = search.find_costs([begin])
    if not np.isfinite(reached[tuple(voxels.T)]).any():  # the way from the base does not touch the mask
        search = MCP_Geometric(np.where(cost < 0, OTHER_COST, cost), sampling=tuple(spacing))
        reached, _ = search.find_costs([begin])
    distance = reached[tuple(voxels.T)]
    distance = np.where(np.isfinite(distance), distance, -1.0)
    if tip_um is not None:
        distance = -np.linalg.norm((voxels + np.asarray(crop.origin)) * spacing - tip_um, axis=1)
    tip = tuple(int(v) for v in voxels[int(np.argmax(distance))])
    way = (np.array(search.traceback(tip)) + np.asarray(crop.origin)) * spacing
    path = np.vstack([start.path[:1], way])
    return smooth_path(path, STEP_UM, 0.15)


def _recentred(path: np.ndarray, points: np.ndarray, sub: np.ndarray, flat: bool) -> np.ndarray:
    """Move a path to the centroids of the spine's cross-sections; the base stays."""
    nearest = _nearest(path, points)
    inner = (nearest > 0) & (nearest < len(path) - 1)
    if inner.sum() < 4:
        return path
    step = float(np.linalg.norm(np.diff(path, axis=0), axis=1).mean())
    found = sections(path, nearest[inner], points[inner], sub, 0.15 / max(step, 1e-6), flat)
    known = np.isfinite(found.centroid[:, 0])
    target = np.where(known[:, None], found.centroid, path)
    ramp = np.clip(np.arange(len(path)) / max(0.25 * len(path), 1), 0, 1)[:, None]
    return smooth_path(path + ramp * (target - path), STEP_UM, 0.15)


def _to_surface(path: np.ndarray, crop: SpineCrop, spacing: np.ndarray) -> np.ndarray:
    """End the path at the spine's surface, continuing the direction that it has towards the tip.

    The surface is where the line leaves the mask's voxels, averaged over five parallel lines within a pixel.
    """
    arc = arc_lengths(path)
    stop = max(int(np.searchsorted(arc, arc[-1] - 0.15)), 1)
    back = max(int(np.searchsorted(arc, max(arc[stop] - 0.4, 0.0))), 0)
    back = min(back, stop - 1)
    direction = path[stop] - path[back]
    direction = direction / max(float(np.linalg.norm(direction)), 1e-9)
    kept = path[: stop + 1]
    flat = crop.mask.shape[0] == 1
    helper = np.eye(3)[int(np.argmin(np.abs(direction)))] if not flat else np.array([1.0, 0.0, 0.0])
    first = np.cross(direction, helper)
    first /= max(float(np.linalg.norm(first)), 1e-9)
    second = np.cross(direction, first)
    offset = 0.5 * float(spacing[1:].min())
    sides = [np.zeros(3), first * offset, -first * offset]
    if not flat:
        sides += [second * offset, -second * offset]
    travel = np.arange(-0.1, 1.5, 0.02)
    lines = kept[-1] + np.array(sides)[:, None, :] + travel[None, :, None] * direction
    local = lines / spacing - np.asarray(crop.origin)
    voxel = np.rint(local).astype(int)
    within = np.all((voxel >= 0) & (voxel < np.array(crop.mask.shape)), axis=-1)
    held = crop.mask[tuple(np.moveaxis(np.where(within[..., None], voxel, 0), -1, 0))] & within
    here = int(np.argmin(np.abs(travel)))
    exits = [travel[here + int(np.argmin(row[here:]))] for row in held if row[here] and not row.all()]
    reach = float(np.mean(exits)) if exits else 0.0
    if reach <= 0.01:
        return path
    return np.vstack([kept, kept[-1] + reach * direction])
