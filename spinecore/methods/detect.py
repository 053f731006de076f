"""Running a two-stage detector over one plane, in tiles that hold fewer spines than it may return."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from spinecore.methods.tracks import Detections
from spinecore.networks.device import inference
from spinecore.networks.tiles import owned_tiles

#: Edge of a tile and what neighbouring tiles share (px of 0.1 um). Of 80 boxes per tile, the most crowded
#: simulated dendrites fill less than half.
TILE_PX = 256
OVERLAP_PX = 64


def detect_plane(model: Any, image: np.ndarray, floor: float = 0.1, masks: bool = False) -> Detections:
    """Find spines in one plane.

    Parameters
    ----------
    model : torch.nn.Module
        Takes a list of (planes, Y, X) tensors and returns torchvision's detection dicts.
    image : ndarray, float32, shape (planes, Y, X)
        Normalised, with 0.1 um pixels.
    floor : float
        Lowest score kept.
    masks : bool
        Keep the masks as well.

    Returns
    -------
    Detections
        Strongest first, boxes in pixels of `image`.
    """
    boxes, scores, planes, corners = [np.zeros((0, 4))], [np.zeros(0)], [], [np.zeros((0, 2), int)]
    for window, owned in owned_tiles(image.shape[1:], TILE_PX, OVERLAP_PX):
        tile = np.ascontiguousarray(image[(slice(None), *window)], np.float32)
        if float(tile.max()) <= 0:
            continue
        with inference(model) as device:
            found = model([torch.from_numpy(tile).to(device)])[0]
        top, left = window[0].start, window[1].start
        own = found["boxes"].float().cpu().numpy() + np.array([left, top, left, top], float)
        score = found["scores"].float().cpu().numpy().astype(float)
        middle = (own[:, [1, 3]].mean(1), own[:, [0, 2]].mean(1))
        mine = score >= floor
        for place, (low, high) in zip(middle, owned, strict=True):
            mine &= (place >= low) & (place < high)
        boxes.append(own[mine])
        scores.append(score[mine])
        if masks:
            cells = found["masks"][:, 0].float().cpu().numpy()[mine]
            drawn = [
                draw_mask(part, box, image.shape[1:]) for part, box in zip(cells, own[mine], strict=True)
            ]
            planes += [d[0] for d in drawn]
            corners.append(np.array([d[1] for d in drawn], int).reshape(-1, 2))
    found = Detections(
        np.concatenate(boxes),
        np.concatenate(scores),
        planes if masks else None,
        np.concatenate(corners) if masks else None,
    )
    return found.where(np.argsort(-found.scores, kind="stable"))


def draw_mask(
    cells: np.ndarray, box: np.ndarray, shape_yx: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int]]:
    """Resample the mask of a box to the image's pixels.

    Parameters
    ----------
    cells : ndarray, float32, shape (n, n)
        Probabilities in equal cells of the box.
    box : ndarray, shape (4,)
        x_min, y_min, x_max, y_max in pixel edges (px).
    shape_yx : tuple of int
        Of the image (px).

    Returns
    -------
    mask : ndarray, float32, shape (y, x)
        Probabilities, linear between the cells' centres; 0 where a pixel's centre lies outside the box.
    corner : tuple of int
        First row and column of `mask` in the image.
    """
    positions, first, inside = [], [], []
    for low, high, length in ((box[1], box[3], shape_yx[0]), (box[0], box[2], shape_yx[1])):
        start, stop = max(int(np.floor(low)), 0), min(int(np.ceil(high)), length)
        centre = np.arange(start, max(stop, start)) + 0.5
        positions.append((centre - low) / max(high - low, 1e-6) * len(cells) - 0.5)
        inside.append((centre >= low) & (centre <= high))
        first.append(start)
    grid = np.meshgrid(*positions, indexing="ij")
    mask = map_coordinates(cells.astype(np.float32), grid, order=1, mode="nearest")
    return np.where(np.logical_and.outer(*inside), mask, 0).astype(np.float32), (first[0], first[1])
