"""The method of the poster by Chen, Su and Lai: a U-Net on projections.

A single image is segmented as it is. A stack is projected in blocks of a few micrometres, each
projection is segmented, and depth comes back from the light: a spine takes the slices in which the
mean intensity within its outline exceeds half of its peak above the profile's minimum, a dendrite
pixel those in which its own (smoothed) intensity does. Spines that hide behind or in front of a shaft
are lost, as in every method that projects. A spine is a connected component; its score is the mean
probability of its pixels.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from scipy.ndimage import find_objects, gaussian_filter

from spinecore.methods.components import component_centres, mark_centres
from spinecore.methods.grid import AnalysisGrid, to_byte
from spinecore.methods.prediction import Prediction
from spinecore.methods.weights import Weights
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import resize_plane
from spinecore.networks.slices import predict_plane
from spinecore.networks.tiles import Tick
from spinecore.stack import Stack

#: Depth that is projected at once (um); thicker stacks are cut into equal blocks of about this depth. On
#: simulated stacks of seeds from 500, F1 was 0.78 and 0.73 (confocal, two-photon) with 2.5 um, 0.70 and 0.68 with 5 um.
BLOCK_UM = 2.5
#: Share of the peak above which a slice belongs to an object.
HALF = 0.5
#: Smoothing of the light in plane before a dendrite pixel's slices are looked up (um).
SMOOTH_UM = 0.15
#: Dendrite probability below which depth is not looked up.
_FAINT = 0.2


def predict(stack: Stack, weights: Weights, tick: Tick | None = None) -> Prediction:
    """Segment projections and give every object its slices; see the module's text.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
    weights : Weights
    tick : callable, optional
        Called with the finished share 0..1.

    Raises
    ------
    SpinecoreError
        If the in-plane pixel size is unknown.
    """
    grid = AnalysisGrid(stack)
    model = weights.main.model
    maps = np.zeros((2, *grid.shape), np.uint8)
    heads, scores = [np.zeros((0, 3))], [np.zeros(0)]
    blocks = slice_blocks(grid.shape[0], grid.spacing_zyx_um[0])
    high = intensity_range(stack.voxels.max(0))[1]
    for done, block in enumerate(blocks, 1):
        projection = stack.voxels[block].max(0)
        low = min(intensity_range(projection)[0], high - 1e-6)
        image = resize_plane(normalise(projection, low, high), grid.canonical_yx)
        dendrite, spine = (resize_plane(p, grid.shape_yx) for p in predict_plane(model, image))
        labels, centres, score = component_centres(spine, grid.spacing_zyx_um[1:])
        if stack.is_2d:
            maps[0, 0], maps[1, 0] = to_byte(dendrite), to_byte(spine * (labels > 0))
            depth = np.zeros(len(centres))
        else:
            light = grid.intensity[block].astype(np.float32)
            maps[0, block] = to_byte(dendrite_depth(dendrite, light, grid.spacing_zyx_um[1:]))
            volume, depth = spine_depth(labels, spine, light)
            maps[1, block] = to_byte(volume)
        heads.append(np.column_stack([depth + block.start, centres]))
        scores.append(score)
        if tick:
            tick(done / len(blocks))
    centre = mark_centres(grid.shape, np.concatenate(heads), np.concatenate(scores), grid.spacing_zyx_um)
    return grid.prediction(maps[0], maps[1], centre, weights.main.card)


def slice_blocks(n_slices: int, z_um: float, block_um: float = BLOCK_UM) -> list[slice]:
    """Cut a stack into equal runs of slices of about `block_um`.

    Examples
    --------
    >>> slice_blocks(5, 2.0, 5.0)
    [slice(0, 2, None), slice(2, 5, None)]
    """
    count = min(max(1, round(n_slices * z_um / block_um)), n_slices)
    edges = [k * n_slices // count for k in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges)]


def half_run(profile: np.ndarray) -> slice:
    """Return the run of slices round the peak that exceed half of it above the minimum.

    Examples
    --------
    >>> half_run(np.array([5.0, 1.0, 4.0, 9.0, 6.0, 1.0]))
    slice(3, 5, None)
    """
    enough = profile >= profile.min() + HALF * (profile.max() - profile.min())
    peak = int(np.argmax(profile))
    first, last = peak, peak
    while first > 0 and enough[first - 1]:
        first -= 1
    while last + 1 < len(profile) and enough[last + 1]:
        last += 1
    return slice(first, last + 1)


def spine_depth(labels: np.ndarray, spine: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give each outlined spine its slices by the light within the outline.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
        Spines 1..n of the projection.
    spine : ndarray of float, shape (Y, X)
        Spine probability of the projection.
    light : ndarray of float, shape (Z, Y, X)
        Intensity.

    Returns
    -------
    volume : ndarray, float32, shape (Z, Y, X)
        Spine probability, in the slices of each spine only.
    depth_px : ndarray, shape (n,)
        Mean slice of each spine, weighted by its light.
    """
    volume = np.zeros(light.shape, np.float32)
    boxes = find_objects(labels)
    depth = np.zeros(len(boxes))
    for index, box in enumerate(boxes):
        if box is None:
            continue
        inside = labels[box] == index + 1
        profile = light[(slice(None), *box)][:, inside].mean(1)
        run = half_run(profile)
        volume[(run, *box)] += np.where(inside, spine[box], 0)
        weight = profile[run] - profile.min() + 1e-6
        depth[index] = (np.arange(run.start, run.stop) * weight).sum() / weight.sum()
    return volume, depth


def dendrite_depth(
    dendrite: np.ndarray, light: np.ndarray, pixel_yx_um: tuple[float, float] | tuple[float, ...]
) -> np.ndarray:
    """Give each dendrite pixel the slices round its brightest one that exceed half of that.

    Parameters
    ----------
    dendrite : ndarray of float, shape (Y, X)
        Probability of the projection.
    light : ndarray of float, shape (Z, Y, X)
        Intensity.
    pixel_yx_um : tuple of float

    Returns
    -------
    ndarray, float32, shape (Z, Y, X)
    """
    smooth = gaussian_filter(light, (0, SMOOTH_UM / pixel_yx_um[0], SMOOTH_UM / pixel_yx_um[1]))
    out = np.zeros(light.shape, np.float32)
    y, x = np.nonzero(dendrite >= _FAINT)
    if not len(y):
        return out
    columns = smooth[:, y, x]
    lowest = columns.min(0)
    enough = columns >= lowest + HALF * (columns.max(0) - lowest)
    peak = columns.argmax(0)
    index = np.arange(len(columns))[:, None]
    # A slice counts when no slice between it and the peak is too dark.
    gap_below = np.maximum.accumulate(np.where(~enough & (index < peak), index, -1), axis=0)[
        peak, np.arange(len(y))
    ]
    gap_above = np.minimum.accumulate(np.where(~enough & (index > peak), index, len(columns))[::-1], axis=0)[
        ::-1
    ][peak, np.arange(len(y))]
    out[:, y, x] = np.where((index > gap_below) & (index < gap_above), dendrite[y, x], 0)
    return out
