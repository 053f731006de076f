"""Mask R-CNN for spines and an FCN for dendrites, merged by score (Sharma 2024)."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinecore.methods.detect import detect_plane
from spinecore.methods.tracks import Detections

#: Larger planes go through the FCN in tiles of this size (px of 0.1 um) that share `_OVERLAP_PX`.
_TILE_PX = 1024
_OVERLAP_PX = 64


def segment_plane(
    model: Any, image: np.ndarray, device: str = "cpu", floor: float = 0.1
) -> tuple[Detections, np.ndarray]:
    """Run both networks over one plane.

    Parameters
    ----------
    model : spinecore.networks.detectors.Panoptic
    image : ndarray, float32, shape (Y, X)
        Normalised, with 0.1 um pixels.
    device : str
    floor : float
        Lowest score of an instance.

    Returns
    -------
    found : Detections
        Spines with masks, strongest first.
    dendrite : ndarray, float32, shape (Y, X)
        Probability of dendrite.
    """
    found = detect_plane(model.spines, image[None], device, floor, masks=True)
    return found, dendrite_plane(model, image, device)


def dendrite_plane(model: Any, image: np.ndarray, device: str = "cpu") -> np.ndarray:
    """Return the FCN's probability of dendrite, float32 (Y, X)."""
    import torch
    import torch.nn.functional as F

    from spinecore.methods.detect import owned_span, tile_starts

    height, width = image.shape
    rows, columns = (tile_starts(n, _TILE_PX, _OVERLAP_PX) for n in image.shape)
    out = np.zeros(image.shape, np.float32)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            tile = torch.from_numpy(
                np.ascontiguousarray(image[top : top + _TILE_PX, left : left + _TILE_PX], np.float32)
            )[None, None].to(device)
            y, x = tile.shape[-2:]
            tile = F.pad(tile, (0, -x % model.stride, 0, -y % model.stride), mode="replicate")
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
                part = torch.sigmoid(model.dendrites(tile))[0, :y, :x].cpu().numpy()
            (y0, y1), (x0, x1) = (
                owned_span(rows, i, _TILE_PX, height),
                owned_span(columns, j, _TILE_PX, width),
            )
            y0, y1 = round(max(y0, top)), round(min(y1, top + y))
            x0, x1 = round(max(x0, left)), round(min(x1, left + x))
            out[y0:y1, x0:x1] = part[y0 - top : y1 - top, x0 - left : x1 - left]
    return out
