"""The default method: a 2.5-D U-Net with maps for dendrite, spine and head centre."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from spinecore.methods.grid import AnalysisGrid, to_byte
from spinecore.methods.prediction import HeadsLater, Prediction
from spinecore.methods.second_look import find_heads, reads_two_scales
from spinecore.methods.two_scales import both_scales, coarse_shape
from spinecore.methods.weights import Weights
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.looked_at import LookedAt, everything, find_looked_at, where_seen
from spinecore.networks.scale import resize_plane
from spinecore.networks.slices import STACK_TILE_PX, predict_slices
from spinecore.networks.tiles import Tick
from spinecore.networks.views import AS_IS, TURNED, TWO_VIEWS, View
from spinecore.stack import Stack

#: Maps that the network draws: dendrite, spine and head centre.
N_MAPS = 3
#: Zooms over which the maps of a single slice are averaged, and the views at each: projections come in all pixel sizes,
#: and the recorded one is often off. Chosen on a few images of each field of points2d/val, where a third look at the image
#: enlarged 1.3 times brought nothing.
LOOKS_2D = {0.75: TURNED[:1], 1.0: TURNED[1:]}
#: A stack's second view is looked at where the first gives spine or head centre at least this probability.
#: What that costs: `python -m benchmarks.second_view`.
UNSURE_FROM: float | None = 0.1
#: The coarse scale is looked at where any map of the stack as it is reaches this (of 255), and around.
SEEN_FROM = 26
#: Share of the maps' time that those of the stack as it is take, before those of the coarse scale.
_FINE_SHARE = 0.8
#: Largest side of the tiles of a single image (px of the zoomed image).
IMAGE_TILE_PX = 1024


def predict(
    stack: Stack, weights: Weights, tick: Tick | None = None, quick: bool = False, everywhere: bool = False
) -> Prediction:
    """Run the network over a stack.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
    weights : Weights
        With a scorer, the heads of the stack are scored from their surroundings (`spinecore.methods.second_look`).
    tick : callable, optional
        Called with the finished share 0..1.
    quick : bool
        Take one look in place of a mean: over two views of a stack's slices (`UNSURE_FROM`), over `LOOKS_2D` of a single slice.
    everywhere : bool
        Look at all of a stack, also where nothing rises above its noise (`spinecore.networks.looked_at`).

    Raises
    ------
    SpinecoreError
        If the in-plane pixel size is unknown.
    """
    grid = AnalysisGrid(stack)
    range_ = intensity_range(stack.voxels)
    looked_at: LookedAt | None = None
    if stack.is_2d and not quick:
        maps = _image_maps(grid, range_, weights.main.model, tick)
    else:
        looked_at = None if everywhere or stack.is_2d else _looked_at(grid, range_)
        maps = _maps_of_scales(grid, range_, weights, AS_IS if quick else TWO_VIEWS, looked_at, tick)
    heads = _second_look(grid, range_, maps, weights)
    made = grid.prediction(maps[0], maps[1], maps[2], weights.main.card, heads, weights.read_heads)
    share_seen = 1.0 if looked_at is None else looked_at.share
    return replace(made, looked_at=share_seen, far_heads=stack.is_2d)


def _looked_at(grid: AnalysisGrid, range_: tuple[float, float]) -> LookedAt:
    """Say where a stack can hold anything."""
    voxels, shape = grid.stack.voxels, _half(grid)
    return find_looked_at(
        lambda index: resize_plane(normalise(voxels[index], *range_), shape),
        len(voxels),
        shape,
        grid.spacing_zyx_um[0],
    )


def _half(grid: AnalysisGrid) -> tuple[int, int]:
    """Return the shape (Y, X) of slices of half the networks' resolution."""
    return -(-grid.canonical_yx[0] // 2), -(-grid.canonical_yx[1] // 2)


def _maps_of_scales(
    grid: AnalysisGrid,
    range_: tuple[float, float],
    weights: Weights,
    views: tuple[View, ...],
    looked_at: LookedAt | None,
    tick: Tick | None,
) -> np.ndarray:
    """Return the maps of a stack on its grid, uint8 (3, Z, Y, X), or of both scales (6, Z, Y, X) where the heads are scored by both.

    The smaller drawing is looked at around what the first maps show and nowhere else, `everywhere` or not.
    """
    model, shape = weights.main.model, grid.canonical_yx
    if grid.stack.is_2d or weights.scorer is None or not reads_two_scales(weights.scorer.model):
        return _stack_maps(grid, range_, model, shape, views, looked_at, tick)
    fine_tick = None if tick is None else lambda done: tick(_FINE_SHARE * done)
    fine = _stack_maps(grid, range_, model, shape, views, looked_at, fine_tick)
    coarse_tick = None if tick is None else lambda done: tick(_FINE_SHARE + (1 - _FINE_SHARE) * done)
    again = where_seen(fine, SEEN_FROM, looked_at or everything(len(fine[0]), _half(grid)))
    coarse = _stack_maps(grid, range_, model, coarse_shape(shape), AS_IS, again, coarse_tick)
    return both_scales(fine, coarse)


def _stack_maps(
    grid: AnalysisGrid,
    range_: tuple[float, float],
    model: Any,
    shape_yx: tuple[int, int],
    views: tuple[View, ...],
    looked_at: LookedAt | None,
    tick: Tick | None,
) -> np.ndarray:
    """Return the maps of a stack whose slices are looked at in a shape, on its grid, uint8 (3, Z, Y, X)."""
    maps = np.zeros((N_MAPS, *grid.shape), np.uint8)

    def keep(index: int, probabilities: np.ndarray) -> None:
        for out, plane in zip(maps, probabilities, strict=True):
            out[index] = to_byte(resize_plane(plane, grid.shape_yx))

    tile_px = IMAGE_TILE_PX if grid.stack.is_2d else STACK_TILE_PX
    _run(grid, range_, model, shape_yx, views, tile_px, keep, tick, looked_at)
    return maps


def _image_maps(grid: AnalysisGrid, range_: tuple[float, float], model: Any, tick: Tick | None) -> np.ndarray:
    """Return the maps of a single image, averaged over views and zooms, uint8 (3, 1, Y, X)."""
    total = np.zeros((N_MAPS, *grid.shape_yx), np.float32)

    def add(_: int, probabilities: np.ndarray) -> None:
        for out, plane in zip(total, probabilities, strict=True):
            out += resize_plane(plane, grid.shape_yx) / len(LOOKS_2D)

    for number, (zoom, views) in enumerate(LOOKS_2D.items()):
        shape = (round(grid.canonical_yx[0] * zoom), round(grid.canonical_yx[1] * zoom))
        report = None if tick is None else lambda done, n=number: tick((n + done) / len(LOOKS_2D))
        _run(grid, range_, model, shape, views, IMAGE_TILE_PX, add, report)
    return to_byte(total)[:, None]


def _run(
    grid: AnalysisGrid,
    range_: tuple[float, float],
    model: Any,
    shape_yx: tuple[int, int],
    views: tuple[View, ...],
    tile_px: int,
    emit: Callable[[int, np.ndarray], None],
    tick: Tick | None,
    looked_at: LookedAt | None = None,
) -> None:
    """Run the network over every slice, brought to a shape."""
    voxels = grid.stack.voxels

    def slice_of(index: int) -> np.ndarray:
        return resize_plane(normalise(voxels[index], *range_), shape_yx)

    predict_slices(
        model,
        slice_of,
        len(voxels),
        grid.spacing_zyx_um[0],
        emit,
        tick,
        tile_px,
        views,
        looked_at,
        UNSURE_FROM,
    )


def _second_look(
    grid: AnalysisGrid, range_: tuple[float, float], maps: np.ndarray, weights: Weights
) -> HeadsLater | None:
    """Begin to find the heads as the scorer sees them, while dendrites are traced on one core; None where there is no scorer."""
    scorer = weights.scorer
    if scorer is None:
        return None

    intensity = grid.intensity

    def crop(window: tuple[slice, slice, slice]) -> np.ndarray:
        return normalise(intensity[window], *range_)

    return HeadsLater(lambda: find_heads(crop, maps, grid.spacing_zyx_um, scorer, weights.sizer))
