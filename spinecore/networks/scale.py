"""The pixel size at which the networks see every image."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

#: In-plane pixel size (um) at which the networks see every image.
CANONICAL_UM = 0.1


def canonical_shape(shape_yx: tuple[int, int], pixel_yx_um: tuple[float, float]) -> tuple[int, int]:
    """Return the number of canonical pixels that cover an image."""
    return (
        max(1, round(shape_yx[0] * pixel_yx_um[0] / CANONICAL_UM)),
        max(1, round(shape_yx[1] * pixel_yx_um[1] / CANONICAL_UM)),
    )


def resize_plane(plane: np.ndarray, shape_yx: tuple[int, int]) -> np.ndarray:
    """Resize one float plane, averaging when it has fewer rows then (bilinear otherwise); float32.

    The same as `torch.nn.functional.interpolate` with `antialias` and without `align_corners`.
    """
    if plane.shape == tuple(shape_yx):
        return plane
    smaller = shape_yx[0] < plane.shape[0]
    rows, columns = (_shares(n, m, smaller) for n, m in zip(plane.shape, shape_yx, strict=True))
    tall = rows @ np.ascontiguousarray(plane, np.float32)
    return np.ascontiguousarray((columns @ np.ascontiguousarray(tall.T)).T)


@lru_cache(maxsize=32)
def _shares(before: int, after: int, averaged: bool) -> csr_array:
    """Return what each pixel along an axis takes of those before, float32 (after, before)."""
    step = before / after
    reach = max(step, 1.0) if averaged else 1.0
    # positions in single precision as PyTorch has them, with which the networks learned
    middle = (np.arange(after, dtype=np.float32) + np.float32(0.5)) * np.float32(step) - np.float32(0.5)
    if not averaged:
        middle = np.clip(middle, 0, before - 1)
    offsets = np.arange(2 * int(np.ceil(reach)) + 1)
    source = np.floor(middle - reach).astype(int)[:, None] + 1 + offsets
    share = np.maximum(1 - np.abs(source - middle[:, None]) / reach, 0)
    share[(source < 0) | (source >= before)] = 0
    share /= share.sum(1, keepdims=True)
    row, column = np.nonzero(share)
    return csr_array(
        (share[row, column].astype(np.float32), (row, source[row, column])), shape=(after, before)
    )
