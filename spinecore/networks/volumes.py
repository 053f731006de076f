"""Getting a whole volume through a 3-D network: voxel size, tiles, and back to the stack's own slices."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinecore.networks.answers import answer, logistic
from spinecore.networks.tiles import Tick, Window, blend_tiles

#: Slice distances that a network made for `PLAN_Z_UM` takes as they are; others are resampled to it (um).
PLAN_Z_UM = 0.4
Z_AS_IS_UM = (0.25, 0.6)
#: Largest tile (z, y, x) in voxels, and how far tiles overlap.
TILE = (40, 256, 256)
OVERLAP = (8, 32, 32)


def resample_z(volume: np.ndarray, n_slices: int) -> np.ndarray:
    """Interpolate linearly between slices (or average them), keeping the outer faces of the volume.

    Parameters
    ----------
    volume : ndarray of float, shape (Z, Y, X) or (C, Z, Y, X)
    n_slices : int
        Slices wanted.
    """
    axis = volume.ndim - 3
    have = volume.shape[axis]
    if n_slices == have:
        return volume
    if n_slices < have:  # average, so that no slice is left out
        ends = [(k * have // n_slices, -(-(k + 1) * have // n_slices)) for k in range(n_slices)]
        means = [np.take(volume, range(*span), axis).mean(axis, dtype=np.float32) for span in ends]
        return np.stack(means, axis)
    place = np.clip((np.arange(n_slices) + 0.5) * have / n_slices - 0.5, 0, have - 1)
    lower = np.floor(place).astype(int)
    upper = np.minimum(lower + 1, have - 1)
    weight = (place - lower).astype(np.float32).reshape((-1, 1, 1))
    a, b = np.take(volume, lower, axis), np.take(volume, upper, axis)
    return (a * (1 - weight) + b * weight).astype(np.float32)


def planned_slices(n_slices: int, z_um: float) -> int:
    """Return how many slices a stack has in the network: its own, or those at `PLAN_Z_UM`."""
    if n_slices == 1 or Z_AS_IS_UM[0] <= z_um <= Z_AS_IS_UM[1]:
        return n_slices
    return max(2, round(n_slices * z_um / PLAN_Z_UM))


def predict_volume(model: Any, volume: np.ndarray, tick: Tick | None = None) -> np.ndarray:
    """Run a 3-D network over a volume in overlapping tiles, on the device that it is on.

    Parameters
    ----------
    model : torch.nn.Module
        Takes (N, 1, Z, Y, X), gives logits of the same size; has `stride`.
    volume : ndarray, float32, shape (Z, Y, X)
        Normalised intensity at the network's voxel size.
    tick : callable, optional
        Progress.

    Returns
    -------
    ndarray, float32, shape (maps, Z, Y, X)
        Probabilities.
    """

    def predict(window: Window) -> np.ndarray:
        return _predict_tile(model, volume[window])

    return blend_tiles(volume.shape, TILE, OVERLAP, predict, tick)


def _predict_tile(model: Any, tile: np.ndarray) -> np.ndarray:
    # A single image becomes a slice between empty ones, as in training; other edges are repeated.
    single = tile.shape[0] == 1
    pads = []
    for axis, (n, stride) in enumerate(zip(tile.shape, model.stride, strict=True)):
        least = 4 if axis == 0 and single else 0
        before = least // 2
        pads.append((before, least - before + (-(n + least)) % stride))
    padded = np.pad(tile, pads[:1] + [(0, 0)] * 2, mode="constant" if single else "edge")
    padded = np.pad(padded, [(0, 0), *pads[1:]], mode="reflect" if min(tile.shape[1:]) > 8 else "edge")
    maps = logistic(answer(model, padded[None, None]))[0]
    inside = tuple(slice(p[0], p[0] + n) for p, n in zip(pads, tile.shape, strict=True))
    return maps[(slice(None), *inside)]
