"""Linked boxes or masks into the maps that every method returns. Pure functions.

Tracks are in canonical pixels (0.1 um); `scale_yx` is the number of grid pixels per canonical pixel.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter, label

from spinecore.methods.tracks import Detections, Track

#: Width of the blob that marks a head in the centre map (um; z, y, x). Within a peak's separation it is
#: steep enough that two heads stay two.
BLOB_UM = (0.4, 0.15, 0.15)
#: A box's foreground is brighter than this share of the way from the background to its spine's maximum:
#: the full width at half maximum.
HALF = 0.5
#: Noise is smoothed by this much before pixels are compared with that level (px).
_SMOOTH_PX = 0.7


def grid_centre(zyx: tuple[float, float, float], scale_yx: tuple[float, float]) -> np.ndarray:
    """Convert a centre in canonical pixels to grid pixels (pixel centres are whole numbers)."""
    z, y, x = zyx
    return np.array([z, (y + 0.5) * scale_yx[0] - 0.5, (x + 0.5) * scale_yx[1] - 0.5])


def put_blob(
    centre: np.ndarray, zyx: np.ndarray, score: float, spacing_zyx_um: tuple[float, float, float]
) -> None:
    """Paint a Gaussian whose height is `score` into a centre map (uint8, Z, Y, X), keeping larger values."""
    spacing, sigma = np.array(spacing_zyx_um), np.array(BLOB_UM)
    voxel = np.clip(np.round(zyx).astype(int), 0, np.array(centre.shape) - 1)
    reach = np.maximum(np.ceil(3 * sigma / spacing).astype(int), 1)
    window = tuple(slice(max(v - r, 0), v + r + 1) for v, r in zip(voxel, reach, strict=True))
    parts = []
    for axis, (v, w) in enumerate(zip(voxel, window, strict=True)):
        offset = (np.arange(w.start, min(w.stop, centre.shape[axis])) - v) * spacing[axis]
        parts.append(np.exp(-(offset**2) / (2 * sigma[axis] ** 2)))
    blob = parts[0][:, None, None] * parts[1][None, :, None] * parts[2][None, None, :]
    value = np.round(blob * np.clip(score, 0, 1) * 255).astype(np.uint8)
    np.maximum(centre[window], value, out=centre[window])


def grid_windows(
    track: Track, scale_yx: tuple[float, float], shape_yx: tuple[int, int]
) -> list[tuple[slice, slice]]:
    """Return each slice's box as (rows, columns) of the grid; every window has at least one pixel."""
    windows = []
    for x0, y0, x1, y1 in track.boxes:
        spans = []
        for low, high, scale, length in (
            (y0, y1, scale_yx[0], shape_yx[0]),
            (x0, x1, scale_yx[1], shape_yx[1]),
        ):
            first = int(np.clip(np.floor(low * scale), 0, length - 1))
            spans.append(slice(first, int(np.clip(np.ceil(high * scale), first + 1, length))))
        windows.append((spans[0], spans[1]))
    return windows


def box_foreground(
    track: Track,
    intensity: np.ndarray,
    dendrite: np.ndarray,
    background: float,
    scale_yx: tuple[float, float],
) -> list[tuple[int, tuple[slice, slice], np.ndarray]]:
    """Find the pixels of a linked box that belong to its spine.

    They are brighter than half the way from the background to the brightest pixel of all its slices, no
    dendrite, and within each slice connected to that slice's brightest pixel.

    Parameters
    ----------
    track : Track
    intensity : ndarray, shape (Z, Y, X)
        On the grid.
    dendrite : ndarray of bool, shape (Z, Y, X)
    background : float
        Intensity without any structure.
    scale_yx : tuple of float
        Grid pixels per canonical pixel.

    Returns
    -------
    list of (slice, window, mask)
        Slices without any pixel are left out.
    """
    windows = grid_windows(track, scale_yx, intensity.shape[1:])
    planes = []
    for z, window in enumerate(windows, track.first):
        value = gaussian_filter(intensity[z][window].astype(np.float32), _SMOOTH_PX) - background
        planes.append(np.where(dendrite[z][window], -np.inf, value))
    level = HALF * max(float(p.max()) for p in planes)
    out = []
    for z, (window, plane) in enumerate(zip(windows, planes, strict=True), track.first):
        bright = plane >= max(level, 1e-6)
        if not bright.any():
            continue
        pieces, _ = label(bright, structure=np.ones((3, 3)))
        out.append((z, window, pieces == pieces[np.unravel_index(int(plane.argmax()), plane.shape)]))
    return out


def render_boxes(
    tracks: list[Track],
    intensity: np.ndarray,
    dendrite: np.ndarray,
    background: float,
    spacing_zyx_um: tuple[float, float, float],
    scale_yx: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Return spine and centre maps, uint8 (Z, Y, X), of boxes without masks; see `box_foreground`.

    A track without any foreground still gets its centre: the instance is then a small ball.
    """
    spine, centre = np.zeros(intensity.shape, np.uint8), np.zeros(intensity.shape, np.uint8)
    for track in tracks:
        for z, window, mask in box_foreground(track, intensity, dendrite, background, scale_yx):
            spine[z][window][mask] = 255
        put_blob(centre, grid_centre(track.centre(), scale_yx), track.score, spacing_zyx_um)
    return spine, centre


def paint_tracks(
    tracks: list[Track], slices: list[Detections], index: int, shape_yx: tuple[int, int]
) -> np.ndarray:
    """Return the mask probability of all tracks in one slice, float32 (Y, X) in canonical pixels.

    Where a track's detection is missing, the mask of its nearest slice stands in.
    """
    out = np.zeros(shape_yx, np.float32)
    for track in tracks:
        if not track.first <= index <= track.last:
            continue
        seen = [k for k, m in enumerate(track.members) if m >= 0]
        k = min(seen, key=lambda s: abs(s + track.first - index))
        found = slices[k + track.first]
        member = track.members[k]
        mask, (top, left) = found.mask_at(member)
        window = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        np.maximum(out[window], mask[: shape_yx[0] - top, : shape_yx[1] - left], out=out[window])
    return out


def mask_centre(track: Track, slices: list[Detections]) -> tuple[float, float, float]:
    """Return the centre of a track's masks as z, y, x in canonical pixels; of its boxes if they are empty."""
    total, moment = 0.0, np.zeros(3)
    for k, member in enumerate(track.members):
        if member < 0:
            continue
        found = slices[k + track.first]
        mask, (top, left) = found.mask_at(member)
        mask = np.where(mask >= 0.5, mask, 0)
        weight = float(mask.sum())
        if weight:
            rows, columns = np.indices(mask.shape)
            y, x = (mask * rows).sum() / weight + top, (mask * columns).sum() / weight + left
            moment += weight * np.array([k + track.first, y, x])
            total += weight
    if not total:
        return track.centre()
    z, y, x = moment / total
    return float(z), float(y), float(x)
