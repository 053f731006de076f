"""The pixel size at which the networks see every image."""

from __future__ import annotations

import numpy as np

#: In-plane pixel size (um) at which the networks see every image.
CANONICAL_UM = 0.1


def canonical_shape(shape_yx: tuple[int, int], pixel_yx_um: tuple[float, float]) -> tuple[int, int]:
    """Return the number of canonical pixels that cover an image."""
    return (
        max(1, round(shape_yx[0] * pixel_yx_um[0] / CANONICAL_UM)),
        max(1, round(shape_yx[1] * pixel_yx_um[1] / CANONICAL_UM)),
    )


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
