"""Getting stacks into a network that reads planes: neighbouring slices, tiles, views, and only where something is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter

from spinecore.networks.answers import probabilities
from spinecore.networks.boxes import cover
from spinecore.networks.looked_at import LookedAt
from spinecore.networks.tiles import Tick, Window, blend_tiles, even_tile
from spinecore.networks.together import side_by_side
from spinecore.networks.views import AS_IS, View
from spinecore.threads import in_order

#: Offsets (um) of the planes that a 2.5-D network sees around each slice.
CONTEXT_UM = (-1.0, -0.5, 0.0, 0.5, 1.0)
#: Largest side (px) of the tiles in which slices of stacks go through a network. Larger ones overlap less and need more
#: memory (`python -m benchmarks.speed --tiles`). Two of this side cover 1024 px. Where tiles begin changes maps: see `docs/history.md`.
STACK_TILE_PX = 544
_OVERLAP_PX = 64
#: What is computed around each part of a tile that is looked at (px): with this much, maps 32 px further in differ by less
#: than half of 1/255 from those of the whole tile.
_RIM_PX = 64


def context_planes(n_slices: int, index: int, z_um: float) -> list[tuple[int, int, float]]:
    """Say which slices make up the planes around slice `index`.

    Returns
    -------
    list of (lower, upper, weight)
        Plane k is (1 - weight) * slice[lower] + weight * slice[upper]; slices beyond the stack
        are replaced by its first or last.
    """
    planes = []
    for offset in CONTEXT_UM:
        position = min(max(index + offset / z_um, 0.0), n_slices - 1.0)
        lower = int(np.floor(position))
        upper = min(lower + 1, n_slices - 1)
        planes.append((lower, upper, float(position - lower)))
    return planes


def predict_slices(
    model: Any,
    slices: Callable[[int], np.ndarray],
    n_slices: int,
    z_um: float,
    emit: Callable[[int, np.ndarray], None],
    tick: Tick | None = None,
    tile_px: int = 1024,
    views: tuple[View, ...] = AS_IS,
    looked_at: LookedAt | None = None,
    unsure_from: float | None = None,
) -> None:
    """Run a 2.5-D network over a stack, slice by slice, on the device that it is on.

    Parameters
    ----------
    model : spinecore.networks.onnx_runtime.OnnxNetwork or torch.nn.Module
        Takes (N, planes, Y, X), gives logits; has `stride`.
    slices : callable
        Returns normalised canonical slice i as float32 (Y, X); each is asked for once or twice.
    n_slices : int
    z_um : float
        Distance between slices.
    emit : callable
        Receives (index, probabilities) with probabilities float32 (maps, Y, X); not called for a slice in which nothing
        is looked at.
    tick : callable, optional
        Progress.
    tile_px : int
        Larger planes are cut into overlapping tiles of this size at most.
    views : tuple of View
        What is averaged; each costs the same time again.
    looked_at : LookedAt, optional
        Where the network looks; elsewhere probabilities are 0. By default everywhere.
    unsure_from : float, optional
        Of several views only the first is taken but where it gives any map except the first at least this probability, and
        a little around. By default all views everywhere.
    """
    single_plane = getattr(model, "planes", len(CONTEXT_UM)) == 1
    model, together = side_by_side(model, n_slices)

    def images() -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        cache: dict[int, np.ndarray] = {}

        def get(index: int) -> np.ndarray:
            if index not in cache:
                cache[index] = slices(index)
            return cache[index]

        for index in range(n_slices):
            if looked_at is not None and not looked_at.blocks[index].any():
                continue
            planes = [(index, index, 0.0)] if single_plane else context_planes(n_slices, index, z_um)
            for old in [k for k in cache if k < min(p[0] for p in planes)]:
                del cache[old]
            image = np.stack([get(a) if w == 0 else (1 - w) * get(a) + w * get(b) for a, b, w in planes])
            shape = image.shape[1:]
            where = np.ones(shape, bool) if looked_at is None else looked_at.of_slice(index, shape)
            yield index, image, where

    def predict(given: tuple[int, np.ndarray, np.ndarray]) -> tuple[int, np.ndarray]:
        index, image, where = given
        return index, _predict_tiled(model, image, tile_px, views, where, unsure_from)

    for index, maps in in_order(predict, images(), together):
        if tick and index:
            tick(index / n_slices)
        emit(index, maps)
    if tick:
        tick(1.0)


def predict_plane(model: Any, image: np.ndarray, tile_px: int = 1024) -> np.ndarray:
    """Return the probabilities, float32 (maps, Y, X), of one normalised image (Y, X) that has no neighbours."""
    planes: list[np.ndarray] = []
    predict_slices(model, lambda _: image, 1, 1.0, lambda _, maps: planes.append(maps), tile_px=tile_px)
    return planes[0]


def _predict_tiled(
    model: Any,
    image: np.ndarray,
    tile_px: int,
    views: tuple[View, ...],
    where: np.ndarray,
    unsure_from: float | None,
) -> np.ndarray:
    """Return the probabilities, float32 (maps, Y, X), of the planes around a slice, looked at in `where`, bool (Y, X)."""
    shape = image.shape[1:]
    tile = tuple(even_tile(length, tile_px, _OVERLAP_PX) for length in shape)

    def predict(window: Window) -> np.ndarray | None:
        return _predict_one(model, image[(slice(None), *window)], views, where[window], unsure_from)

    return blend_tiles(shape, tile, (_OVERLAP_PX, _OVERLAP_PX), predict)


def _predict_one(
    model: Any,
    image: np.ndarray,
    views: tuple[View, ...],
    where: np.ndarray,
    unsure_from: float | None,
) -> np.ndarray | None:
    """Return the mean over views of the probabilities of one tile (planes, Y, X), or None where nothing is looked at.

    What lies outside `where`, bool (Y, X), is 0 or what the network says there.
    """
    height, width = image.shape[1:]
    stride = model.stride
    pad_y, pad_x = -height % stride + stride, -width % stride + stride
    top, left = pad_y // 2, pad_x // 2
    pads = ((top, pad_y - top), (left, pad_x - left))
    cells = _cells(np.pad(where, pads, mode="edge"), stride)
    if not cells.any():
        return None
    mirrored = height > pad_y and width > pad_x
    padded = np.pad(image, ((0, 0), *pads), mode="reflect" if mirrored else "edge")
    first = views if unsure_from is None else views[:1]
    total: np.ndarray | None = None
    for window, maps in _parts(model, padded, first, cells):
        if total is None:
            total = np.zeros((len(maps), *padded.shape[1:]), np.float32)
        total[(slice(None), *window)] = maps
    assert total is not None  # some cells are looked at
    if unsure_from is not None and len(views) > 1:
        unsure = _cells(total[1:].max(0) >= unsure_from, stride)
        again = cells & (maximum_filter(unsure.astype(np.uint8), size=3) > 0)
        for window, maps in _parts(model, padded, views[1:], again):
            part = total[(slice(None), *window)]
            part += (maps - part) * ((len(views) - 1) / len(views))
    return total[:, top : top + height, left : left + width]


def _parts(
    model: Any, padded: np.ndarray, views: tuple[View, ...], cells: np.ndarray
) -> Iterator[tuple[Window, np.ndarray]]:
    """Yield windows that hold all cells of a mask, and the mean over views of the probabilities (maps, Y, X) in each."""
    stride = model.stride
    rim = -(-_RIM_PX // stride)
    for box in cover(cells, rim):
        wide = box.grown(rim, (cells.shape[0], cells.shape[1]))
        maps = probabilities(model, padded[(..., *wide.times(stride).window)], views)
        yield box.times(stride).window, maps[(slice(None), *box.within(wide).times(stride).window)]


def _cells(where: np.ndarray, stride: int) -> np.ndarray:
    """Say which cells of `stride` pixels hold any that are looked at."""
    rows, columns = where.shape[0] // stride, where.shape[1] // stride
    return np.asarray(where.reshape(rows, stride, columns, stride).any((1, 3)))
