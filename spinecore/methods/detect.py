"""Running a two-stage detector over one plane, in tiles that hold fewer spines than it may return."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinecore.methods.tracks import Detections

#: Edge of a tile and what neighbouring tiles share (px of 0.1 um). Of 80 boxes per tile, the most crowded
#: simulated dendrites fill less than half.
TILE_PX = 256
OVERLAP_PX = 64


def tile_starts(length: int, tile: int = TILE_PX, overlap: int = OVERLAP_PX) -> list[int]:
    """Return first pixels of tiles that cover `length` and overlap by at least `overlap`."""
    if length <= tile:
        return [0]
    count = int(np.ceil((length - overlap) / (tile - overlap)))
    return sorted({round(k * (length - tile) / (count - 1)) for k in range(count)})


def owned_span(starts: list[int], index: int, tile: int, length: int) -> tuple[float, float]:
    """Return the interval of centres that tile `index` answers for: up to the middle of each overlap."""
    low = -np.inf if index == 0 else (starts[index] + starts[index - 1] + tile) / 2
    last = index == len(starts) - 1
    high = np.inf if last else (starts[index + 1] + starts[index] + tile) / 2
    return low, high


def detect_plane(
    model: Any, image: np.ndarray, device: str = "cpu", floor: float = 0.1, masks: bool = False
) -> Detections:
    """Find spines in one plane.

    Parameters
    ----------
    model : torch.nn.Module
        Takes a list of (planes, Y, X) tensors and returns torchvision's detection dicts.
    image : ndarray, float32, shape (planes, Y, X)
        Normalised, with 0.1 um pixels.
    device : str
    floor : float
        Lowest score kept.
    masks : bool
        Keep the masks as well.

    Returns
    -------
    Detections
        Strongest first, boxes in pixels of `image`.
    """
    import torch

    _, height, width = image.shape
    rows, columns = tile_starts(height), tile_starts(width)
    boxes, scores, planes, corners = [np.zeros((0, 4))], [np.zeros(0)], [], [np.zeros((0, 2), int)]
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            tile = np.ascontiguousarray(image[:, top : top + TILE_PX, left : left + TILE_PX], np.float32)
            if float(tile.max()) <= 0:
                continue
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
                found = model([torch.from_numpy(tile).to(device)])[0]
            own = found["boxes"].float().cpu().numpy() + np.array([left, top, left, top], float)
            score = found["scores"].float().cpu().numpy().astype(float)
            y, x = own[:, [1, 3]].mean(1), own[:, [0, 2]].mean(1)
            y_low, y_high = owned_span(rows, i, TILE_PX, height)
            x_low, x_high = owned_span(columns, j, TILE_PX, width)
            mine = (score >= floor) & (y >= y_low) & (y < y_high) & (x >= x_low) & (x < x_high)
            boxes.append(own[mine])
            scores.append(score[mine])
            if masks:
                cut, corner = _cut_masks(found["masks"][mine, 0].float().cpu().numpy(), own[mine], top, left)
                planes += cut
                corners.append(corner)
    found = Detections(
        np.concatenate(boxes),
        np.concatenate(scores),
        planes if masks else None,
        np.concatenate(corners) if masks else None,
    )
    return found.where(np.argsort(-found.scores, kind="stable"))


def _cut_masks(
    masks: np.ndarray, boxes: np.ndarray, top: int, left: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Keep of each tile-sized mask what lies in its box; corners are in the plane's pixels."""
    out, corners = [], np.zeros((len(boxes), 2), int)
    for k, (mask, box) in enumerate(zip(masks, boxes, strict=True)):
        x0, y0 = np.maximum(np.floor(box[:2]).astype(int) - [left, top], 0)
        x1, y1 = np.ceil(box[2:]).astype(int) - [left, top]
        out.append(mask[y0:y1, x0:x1].copy())
        corners[k] = y0 + top, x0 + left
    return out, corners
