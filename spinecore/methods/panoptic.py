"""Mask R-CNN for spines and an FCN for dendrites, merged by score (Sharma 2024).

The published system sees projections. A single image is taken as one; a stack goes through slice by
slice, and the instances of its slices are linked by the rules of `spinecore.methods.tracks`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from spinecore.methods.detect import detect_plane
from spinecore.methods.grid import AnalysisGrid, to_byte
from spinecore.methods.instance_maps import grid_centre, mask_centre, paint_tracks, put_blob
from spinecore.methods.merging import FIRST_SPINE, MergeRule
from spinecore.methods.prediction import Prediction
from spinecore.methods.tracks import Detections, drop_large, link, suppress
from spinecore.methods.weights import Weights
from spinecore.networks.device import inference
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import CANONICAL_UM, resize_plane
from spinecore.networks.tiles import Tick, owned_tiles
from spinecore.stack import Stack

#: Larger planes go through the FCN in tiles of this size (px of 0.1 um) that share `_OVERLAP_PX`.
_TILE_PX = 1024
_OVERLAP_PX = 64


def predict(stack: Stack, weights: Weights, tick: Tick | None = None) -> Prediction:
    """Segment every slice into dendrite and single spines, and link the spines through z.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
    weights : Weights
    tick : callable, optional
        Called with the finished share 0..1.

    Raises
    ------
    SpinecoreError
        If the in-plane pixel size is unknown.
    """
    grid = AnalysisGrid(stack)
    low, high = intensity_range(stack.voxels)
    model, card = weights.main.model, weights.main.card
    confidence = float(card.data["box_confidence"])
    rule = replace(MergeRule.of(card.data), confidence=confidence)
    n = stack.shape[0]
    dendrite, spine, centre = (np.zeros(grid.shape, np.uint8) for _ in range(3))
    found: list[Detections] = []
    for index in range(n):
        image = resize_plane(normalise(stack.voxels[index], low, high), grid.canonical_yx)
        instances, shaft = segment_plane(model, image, floor=confidence)
        instances = suppress(drop_large(instances, CANONICAL_UM))
        panoptic, kept = rule.merge(shaft, instances)
        found.append(instances.where(np.array(kept, int)))
        shaft = np.where(panoptic >= FIRST_SPINE, 0, shaft)
        dendrite[index] = to_byte(resize_plane(shaft, grid.shape_yx))
        if tick:
            tick((index + 1) / n)
    tracks = link(found)
    for index in range(n):
        plane = resize_plane(paint_tracks(tracks, found, index, grid.canonical_yx), grid.shape_yx)
        spine[index] = to_byte(np.where(dendrite[index] >= 128, 0, plane))
    for track in tracks:
        place = grid_centre(mask_centre(track, found), grid.per_canonical_yx)
        put_blob(centre, place, track.score, grid.spacing_zyx_um)
    return grid.prediction(dendrite, spine, centre, card)


def segment_plane(model: Any, image: np.ndarray, floor: float = 0.1) -> tuple[Detections, np.ndarray]:
    """Run both networks over one plane.

    Parameters
    ----------
    model : spinecore.networks.detectors.Panoptic
    image : ndarray, float32, shape (Y, X)
        Normalised, with 0.1 um pixels.
    floor : float
        Lowest score of an instance.

    Returns
    -------
    found : Detections
        Spines with masks, strongest first.
    dendrite : ndarray, float32, shape (Y, X)
        Probability of dendrite.
    """
    found = detect_plane(model.spines, image[None], floor, masks=True)
    return found, dendrite_plane(model, image)


def dendrite_plane(model: Any, image: np.ndarray) -> np.ndarray:
    """Return the FCN's probability of dendrite, float32 (Y, X)."""
    out = np.zeros(image.shape, np.float32)
    for window, owned in owned_tiles(image.shape, _TILE_PX, _OVERLAP_PX):
        tile = torch.from_numpy(np.ascontiguousarray(image[window], np.float32))[None, None]
        y, x = tile.shape[-2:]
        tile = F.pad(tile, (0, -x % model.stride, 0, -y % model.stride), mode="replicate")
        with inference(model.dendrites) as device:
            part = torch.sigmoid(model.dendrites(tile.to(device)))[0, :y, :x].float().cpu().numpy()
        mine = tuple(
            slice(round(max(low, w.start)), round(min(high, w.stop)))
            for (low, high), w in zip(owned, window, strict=True)
        )
        inside = tuple(slice(m.start - w.start, m.stop - w.start) for m, w in zip(mine, window, strict=True))
        out[mine] = part[inside]
    return out
