"""Getting voxels into a network: scale, intensity, neighbouring slices, device and precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from spinecore.networks.device import inference
from spinecore.networks.tiles import Tick, Window, blend_tiles, even_tile
from spinecore.networks.views import AS_IS, View

#: Offsets (um) of the planes that a 2.5-D network sees around each slice.
CONTEXT_UM = (-1.0, -0.5, 0.0, 0.5, 1.0)
#: Largest side (px) of the tiles in which slices of stacks go through a network; larger and much smaller ones take more
#: time (`python -m benchmarks.speed --tiles`).
STACK_TILE_PX = 512
_OVERLAP_PX = 64


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
) -> None:
    """Run a 2.5-D network over a stack, slice by slice, on the device that it is on.

    Parameters
    ----------
    model : torch.nn.Module
        Takes (N, planes, Y, X), gives logits; has `stride`.
    slices : callable
        Returns normalised canonical slice i as float32 (Y, X); each is asked for once or twice.
    n_slices : int
    z_um : float
        Distance between slices.
    emit : callable
        Receives (index, probabilities) with probabilities float32 (maps, Y, X).
    tick : callable, optional
        Progress.
    tile_px : int
        Larger planes are cut into overlapping tiles of this size at most.
    views : tuple of View
        What is averaged; each costs the same time again.
    """
    cache: dict[int, np.ndarray] = {}

    def get(index: int) -> np.ndarray:
        if index not in cache:
            cache[index] = slices(index)
        return cache[index]

    for index in range(n_slices):
        planes = context_planes(n_slices, index, z_um)
        if getattr(model, "planes", len(CONTEXT_UM)) == 1:
            planes = [(index, index, 0.0)]
        for old in [k for k in cache if k < min(p[0] for p in planes)]:
            del cache[old]
        image = np.stack([get(a) if w == 0 else (1 - w) * get(a) + w * get(b) for a, b, w in planes])
        emit(index, _predict_tiled(model, image, tile_px, views))
        if tick:
            tick((index + 1) / n_slices)


def predict_plane(model: Any, image: np.ndarray, tile_px: int = 1024) -> np.ndarray:
    """Return the probabilities, float32 (maps, Y, X), of one normalised image (Y, X) that has no neighbours."""
    planes: list[np.ndarray] = []
    predict_slices(model, lambda _: image, 1, 1.0, lambda _, maps: planes.append(maps), tile_px=tile_px)
    return planes[0]


def _predict_tiled(model: Any, image: np.ndarray, tile_px: int, views: tuple[View, ...]) -> np.ndarray:
    shape = image.shape[1:]
    tile = tuple(even_tile(length, tile_px, _OVERLAP_PX) for length in shape)

    def predict(window: Window) -> np.ndarray:
        with inference(model) as device:
            return _predict_one(model, torch.from_numpy(image[(slice(None), *window)]).to(device), views)

    return blend_tiles(shape, tile, (_OVERLAP_PX, _OVERLAP_PX), predict)


def _predict_one(model: Any, image: torch.Tensor, views: tuple[View, ...]) -> np.ndarray:
    """Return the mean over views of the probabilities of one tile (planes, Y, X)."""
    height, width = image.shape[1:]
    stride = model.stride
    pad_y, pad_x = -height % stride + stride, -width % stride + stride
    mode = "reflect" if height > pad_y and width > pad_x else "replicate"
    padded = F.pad(image[None], (pad_x // 2, pad_x - pad_x // 2, pad_y // 2, pad_y - pad_y // 2), mode=mode)
    layout = getattr(model, "layout", torch.channels_last)
    total = torch.zeros((), device=image.device)
    for view in views:
        turned = view.of(padded).contiguous(memory_format=layout)
        total = total + view.back(torch.sigmoid(model(turned).float())) / len(views)
    top, left = pad_y // 2, pad_x // 2
    return total[0, :, top : top + height, left : left + width].cpu().numpy()
