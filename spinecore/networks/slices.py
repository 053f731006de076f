"""Getting voxels into a network: scale, intensity, neighbouring slices, device and precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spinecore.errors import SpinecoreError

#: In-plane pixel size (um) at which the networks see every image.
CANONICAL_UM = 0.1
#: Offsets (um) of the planes that a 2.5-D network sees around each slice.
CONTEXT_UM = (-1.0, -0.5, 0.0, 0.5, 1.0)
#: Largest side (px) of the tiles in which slices of stacks go through a network; larger and much smaller ones take more
#: time (`python -m benchmarks.speed --tiles`).
STACK_TILE_PX = 512
_OVERLAP_PX = 64
#: Called with a fraction 0..1 of the network's work; may raise to stop it.
Tick = Callable[[float], None]


@dataclass(frozen=True)
class View:
    """One way to look at the planes around a slice that leaves what is seen the same.

    Parameters
    ----------
    mirrored : tuple of int
        Axes that are reversed: 1 the planes (for networks that see them at offsets that mirror each other), 2 y, 3 x.
    transposed : bool
        Whether y and x change places first.
    """

    mirrored: tuple[int, ...] = ()
    transposed: bool = False

    def of(self, image: Any) -> Any:
        """Turn a tensor (N, planes, Y, X)."""
        return (image.transpose(2, 3) if self.transposed else image).flip(self.mirrored)

    def back(self, maps: Any) -> Any:
        """Turn a network's maps (N, maps, Y, X) of the turned tensor back."""
        maps = maps.flip([axis for axis in self.mirrored if axis > 1])
        return maps.transpose(2, 3) if self.transposed else maps


AS_IS = (View(),)
#: A right angle apart and with the slices in reverse order. Chosen among pairs on simulated confocal stacks of seeds
#: 500-523: F1 of heads 0.958 with one look, 0.965 with these two; four mirrored ones gave no more (seeds 500-511).
TWO_VIEWS = (View(), View((1, 2), transposed=True))
MIRRORED = (View(), View((2,)), View((3,)), View((2, 3)))


def intensity_range(voxels: np.ndarray, sample: int = 4_000_000) -> tuple[float, float]:
    """Return the background level and a robust maximum of a stack.

    The 2nd and 99.9th percentile of a regular sample; where most of the image was blanked to
    exactly zero, percentiles of the rest. A constant stack gives (value, value + 1).

    Parameters
    ----------
    voxels : ndarray, any shape
    sample : int
        Number of voxels looked at, at most.

    Returns
    -------
    low, high : float
    """
    step = max(1, int(np.ceil((voxels.size / sample) ** 0.5)))
    values = voxels[..., ::step, ::step].astype(np.float32).ravel()
    lit = values[values > 0]
    if 100 < lit.size < 0.5 * values.size:
        low, high = 0.0, float(np.percentile(lit, 99.0))
    else:
        low, high = (float(v) for v in np.percentile(values, [2.0, 99.9]))
    return (low, high) if high > low else (low, low + 1.0)


def normalise(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the signed square root of the intensity above `low`, 1.0 at `high`, clipped to -0.5..1.5."""
    value = (image.astype(np.float32) - low) / (high - low)
    return np.clip(np.sign(value) * np.sqrt(np.abs(value)), -0.5, 1.5)


def resize_plane(plane: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Resize one float plane, averaging when it shrinks (bilinear otherwise)."""
    import torch
    import torch.nn.functional as F

    if plane.shape == tuple(shape_yx):
        return plane
    tensor = torch.from_numpy(np.ascontiguousarray(plane, dtype=np.float32))[None, None]
    smaller = shape_yx[0] < plane.shape[0]
    return F.interpolate(
        tensor, size=tuple(shape_yx), mode="bilinear", antialias=smaller, align_corners=False
    )[0, 0].numpy()


def canonical_shape(shape_yx: tuple[int, int], pixel_yx_um: tuple[float, float]) -> tuple[int, int]:
    """Return the number of canonical pixels that cover an image."""
    return (
        max(1, round(shape_yx[0] * pixel_yx_um[0] / CANONICAL_UM)),
        max(1, round(shape_yx[1] * pixel_yx_um[1] / CANONICAL_UM)),
    )


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


def pick_device(wanted: str = "auto") -> str:
    """Return "cuda" or "cpu".

    Raises
    ------
    ValueError
        If CUDA was asked for and there is none.
    """
    import torch

    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise SpinecoreError("no CUDA GPU was found on this machine: choose --device cpu or auto")
    return "cpu"


def device_name(device: str) -> str:
    """Name a device for people."""
    import os

    import torch

    if device == "cuda":
        return torch.cuda.get_device_name(0)
    return f"CPU, {os.cpu_count()} cores"


def predict_slices(
    model: object,
    slices: Callable[[int], np.ndarray],
    n_slices: int,
    z_um: float,
    device: str,
    emit: Callable[[int, np.ndarray], None],
    tick: Tick | None = None,
    tile_px: int = 1024,
    views: tuple[View, ...] = AS_IS,
) -> None:
    """Run a 2.5-D network over a stack, slice by slice, in channels-last bfloat16.

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
    import torch

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
        with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
            emit(index, _predict_tiled(model, image, device, tile_px, views))
        if tick:
            tick((index + 1) / n_slices)


def _predict_tiled(
    model: object, image: np.ndarray, device: str, tile_px: int, views: tuple[View, ...]
) -> np.ndarray:
    height, width = image.shape[1:]
    overlap = _OVERLAP_PX
    out: np.ndarray | None = None
    weight = np.zeros((height, width), np.float32)
    tile_y, tile_x = even_tile(height, tile_px, overlap), even_tile(width, tile_px, overlap)
    for top in tile_starts(height, tile_y, overlap):
        for left in tile_starts(width, tile_x, overlap):
            window = (slice(top, top + tile_y), slice(left, left + tile_x))
            tile = _predict_one(model, image[:, window[0], window[1]], device, views)
            if out is None:
                out = np.zeros((tile.shape[0], height, width), np.float32)
            ramp = np.minimum.outer(tile_ramp(tile.shape[1], overlap), tile_ramp(tile.shape[2], overlap))
            out[:, window[0], window[1]] += tile * ramp
            weight[window] += ramp
    return out / weight


def even_tile(length: int, most: int, overlap: int) -> int:
    """Return the smallest tile that covers a length with as few overlapping tiles as ones of side `most` would.

    Examples
    --------
    >>> even_tile(1024, 512, 64), even_tile(500, 512, 64)
    (384, 500)
    """
    if length <= most:
        return length
    count = -(-(length - overlap) // (most - overlap))
    return -(-(length - overlap) // count) + overlap


def tile_starts(length: int, tile: int, overlap: int) -> list[int]:
    """Return where overlapping tiles begin along one axis, so that they cover it evenly."""
    if length <= tile:
        return [0]
    count = int(np.ceil((length - overlap) / (tile - overlap)))
    return sorted({round(k * (length - tile) / (count - 1)) for k in range(count)})


def tile_ramp(length: int, overlap: int) -> np.ndarray:
    """Return a tile's weights along one axis: rising over `overlap` pixels from both ends."""
    edge = np.minimum(np.arange(length) + 1, np.arange(length)[::-1] + 1)
    return np.clip(edge / overlap, 1e-3, 1).astype(np.float32)


def _predict_one(model: Any, image: np.ndarray, device: str, views: tuple[View, ...]) -> np.ndarray:
    import torch
    import torch.nn.functional as F

    height, width = image.shape[1:]
    stride = model.stride
    pad_y, pad_x = -height % stride + stride, -width % stride + stride
    tensor = torch.from_numpy(np.ascontiguousarray(image))[None].to(device)
    mode = "reflect" if height > pad_y and width > pad_x else "replicate"
    tensor = F.pad(tensor, (pad_x // 2, pad_x - pad_x // 2, pad_y // 2, pad_y - pad_y // 2), mode=mode)
    total = torch.zeros(())
    for view in views:
        turned = view.of(tensor).contiguous(memory_format=torch.channels_last)
        total = total + view.back(torch.sigmoid(model(turned).float())) / len(views)
    top, left = pad_y // 2, pad_x // 2
    return total[0, :, top : top + height, left : left + width].cpu().numpy()
