"""Faster R-CNN on every slice, boxes linked through z (Vogel et al. 2023).

The published system finds no dendrites and no outlines. Dendrites come from the default method; a spine's
voxels are the bright ones inside its linked box (`instance_maps.box_foreground`).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.methods import centre_unet
from spinecore.methods.detect import detect_plane
from spinecore.methods.grid import AnalysisGrid
from spinecore.methods.instance_maps import render_boxes
from spinecore.methods.prediction import Prediction
from spinecore.methods.tracks import Track, drop_large, link, suppress
from spinecore.methods.weights import Weights
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import CANONICAL_UM, resize_plane
from spinecore.networks.slices import context_planes
from spinecore.networks.tiles import Tick
from spinecore.stack import Stack

FULL_DEPTH, FAST_PROJECTION = "full depth", "fast projection"
MODES = (FULL_DEPTH, FAST_PROJECTION)
#: Slices this deep are projected into one plane in the mode "fast projection" (um).
BLOCK_UM = 1.5
#: Share of the work that the dendrite map takes, for the progress shown.
_DENDRITE_SHARE = 0.4


def predict(stack: Stack, weights: Weights, tick: Tick | None = None, mode: str = FULL_DEPTH) -> Prediction:
    """Find spines slice by slice and link them.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
    weights : Weights
        With the default method's network for the dendrites.
    tick : callable, optional
        Called with the finished share 0..1.
    mode : str
        "full depth" looks at every slice; "fast projection" at maximum projections of blocks of
        `BLOCK_UM`, which is several times faster and knows depth only to a block.

    Raises
    ------
    SpinecoreError
        If the in-plane pixel size is unknown, or there is no such mode.
    """
    if mode not in MODES:
        raise SpinecoreError(f"there is no mode {mode!r}: choose one of {', '.join(MODES)}")
    assert weights.dendrites is not None  # `Method.load` loads it
    report = tick or (lambda share: None)
    base = centre_unet.predict(
        stack, Weights(weights.dendrites), lambda f: report(_DENDRITE_SHARE * f), quick=True, everywhere=True
    )
    grid = AnalysisGrid(stack)
    z_um = grid.spacing_zyx_um[0]
    low, high = intensity_range(stack.voxels)
    model, card = weights.main.model, weights.main.card
    planes = Planes(stack, low, high, grid.canonical_yx)
    confidence = float(card.data["box_confidence"])
    blocks = z_blocks(stack.shape[0], z_um) if mode == FAST_PROJECTION else None
    found = []
    count = stack.shape[0] if blocks is None else len(blocks)
    for index in range(count):
        image = (
            _context(planes, stack.shape[0], index, z_um, model.planes)
            if blocks is None
            else np.repeat(np.max([planes(z) for z in blocks[index]], axis=0)[None], model.planes, axis=0)
        )
        boxes = detect_plane(model, image, floor=confidence)
        found.append(suppress(drop_large(boxes, CANONICAL_UM)))
        report(_DENDRITE_SHARE + (1 - _DENDRITE_SHARE) * (index + 1) / count)
    tracks = link(found) if blocks is None else spread(link(found), blocks)
    spine, centre = render_boxes(
        tracks, grid.intensity, base.dendrite >= 128, low, grid.spacing_zyx_um, grid.per_canonical_yx
    )
    return grid.prediction(base.dendrite, spine, centre, card)


class Planes:
    """Normalised canonical slices; the last few are kept, since neighbours ask for them again."""

    def __init__(self, stack: Stack, low: float, high: float, shape: tuple[int, int]) -> None:
        self._make = lambda z: resize_plane(normalise(stack.voxels[z], low, high), shape)
        self._held: dict[int, np.ndarray] = {}

    def __call__(self, z: int) -> np.ndarray:
        if z not in self._held:
            while len(self._held) > 16:
                del self._held[min(self._held)]
            self._held[z] = self._make(z)
        return self._held[z]


def _context(planes: Planes, n: int, index: int, z_um: float, count: int) -> np.ndarray:
    """Stack a slice's neighbours as the network's planes; a network of other width gets the slice alone."""
    wanted = context_planes(n, index, z_um)
    if len(wanted) != count:
        return np.repeat(planes(index)[None], count, axis=0)
    return np.stack([planes(a) if w == 0 else (1 - w) * planes(a) + w * planes(b) for a, b, w in wanted])


def z_blocks(n_slices: int, z_um: float, block_um: float = BLOCK_UM) -> list[range]:
    """Cut a stack's slices into consecutive blocks of about `block_um`, as equal as possible."""
    each = max(1, round(block_um / z_um))
    count = max(1, round(n_slices / each))
    edges = np.linspace(0, n_slices, count + 1).round().astype(int)
    return [range(int(a), int(b)) for a, b in pairwise(edges)]


def spread(tracks: list[Track], blocks: list[range]) -> list[Track]:
    """Turn tracks through blocks into tracks through slices: each block's box holds in all its slices."""
    out = []
    for track in tracks:
        boxes, scores, members = [], [], []
        for k, member in enumerate(track.members):
            depth = len(blocks[track.first + k])
            boxes += [track.boxes[k]] * depth
            scores += [track.scores[k]] * depth
            members += [member] * depth
        out.append(Track(blocks[track.first].start, np.array(boxes), np.array(scores), members))
    return out
