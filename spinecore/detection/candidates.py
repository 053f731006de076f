"""Probabilities to labelled spines and dendrites.

Strategy: the dendrite mask is cut at a fixed level and traced; the spine mask is cut at a fixed
level and split into connected regions; every head centre above the floor becomes a candidate of
the region it lies in. All of that is done once and kept as small crops (`Region`), so that
another score threshold only decides which candidates count and how a region with several is
split (a watershed from the heads) - without running the network again.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.ndimage import find_objects, label
from scipy.spatial import cKDTree

from spinecore.methods.peaks import find_peaks
from spinecore.methods.prediction import Prediction
from spinecore.tracing.trace import Dendrite, dendrite_labels, trace_dendrites, with_mask_radii

#: Probability (0..1) above which a voxel belongs to the dendrite or to a spine. On simulated stacks of seeds 500-505, 0.5
#: for spines in place of 0.4 brings the median error of head width from 10.9 to 9.5 % and of volume from 30 to 29 %
#: (two-photon 45 to 41 %); F1-3D changes by 0.003 either way.
DENDRITE_LEVEL = 0.5
SPINE_LEVEL = 0.5
#: A head up to this far from a traced shaft's surface belongs to it (um). Chosen on simulated stacks of seeds
#: 500-504 (confocal, oblique, two-photon; score 0.5): of 702 heads matched without this rule it keeps 672,
#: 2.0 um kept 645. Of the 30 lost, 29 are in two-photon stacks.
NEAR_UM = 3.2
#: A head farther out, up to this, counts only when its mask comes within `ATTACHED_UM` of the shaft, as
#: a filopodium's does; otherwise it is likely the bouton of an axon passing by (um).
REACH_UM = 10.0
ATTACHED_UM = 1.2
#: Heads that many (itself included), of this score or more and within this distance of each other (um), count without
#: a traced shaft: together they mark a dendrite too faint to trace, which clutter does not. Chosen on simulated stacks of
#: seeds 500-504: two-photon F1 0.774 without, 0.834 with; no false spine in ten stacks of clutter either way.
COMPANY, COMPANY_SCORE, COMPANY_UM = 5, 0.5, 4.0
#: A head whose score comes from a second look (see `spinecore.methods.second_look`) counts without a traced shaft of its own up to this
#: far from one (um): its surroundings are in the score. On simulated stacks of seeds from 500 (46 confocal, 12 oblique, 20
#: two-photon, 40 of clutter) it lets in 9 spines, 5 that are too dim to count, and no false alarm at score 0.5.
SECOND_LOOK_UM = 5.0
#: Shorter pieces of dendrite are dropped (um).
MIN_DENDRITE_UM = 3.0
#: A head without any spine voxels is given a small ball of this radius (um).
BALL_UM = 0.2
#: What a crop holds beyond its spine and the nearest point of the shaft's centre line (um).
_PAD_UM = (0.5, 0.8, 0.8)


@dataclass
class Region:
    """A crop around one connected piece of spine mask, with everything needed to cut and measure it.

    Parameters
    ----------
    origin : tuple of int
        Grid index (ZYX) of the crop's first voxel.
    mask : ndarray of bool
        The piece itself.
    spine : ndarray of uint8
        Spine probability times 255.
    dendrite : ndarray of uint16
        Dendrite ids.
    intensity : ndarray
        Raw intensity.
    peaks : ndarray of int
        Indices of the candidates inside.
    """

    origin: tuple[int, int, int]
    mask: np.ndarray
    spine: np.ndarray
    dendrite: np.ndarray
    intensity: np.ndarray
    peaks: np.ndarray


@dataclass
class Candidates:
    """All possible spines of a stack: see the module's text.

    Parameters
    ----------
    centres_px : ndarray, shape (n, 3)
        Heads on the analysis grid, ZYX.
    scores : ndarray, shape (n,)
    regions : list of Region
    dendrites : list of Dendrite
        Traced centre lines.
    shape : tuple of int
        Shape of the analysis grid.
    spacing_zyx_um : tuple of float
    scale_yx : tuple of float
        Grid pixels per input pixel.
    background : float
        10th percentile of the intensity, for crops that show none.
    untraced : ndarray of bool, shape (n,)
        True for heads that count although their dendrite could not be traced; empty means none.
    verdicts : ndarray of int8, shape (n,)
        1 where a person says that it is a spine, -1 that it is none, 0 where the score decides; empty means 0 for all.
    sizes : ndarray, shape (n, 3, 2)
        What the network for sizes says about each (see `spinecore.methods.sizes`); empty where none was asked.
    found : Candidates or None
        Without a person's corrections, where there are any (see `spinecore.corrections.replay`).
    """

    centres_px: np.ndarray
    scores: np.ndarray
    regions: list[Region]
    dendrites: list[Dendrite]
    shape: tuple[int, int, int]
    spacing_zyx_um: tuple[float, float, float]
    scale_yx: tuple[float, float]
    background: float = 0.0
    untraced: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    verdicts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, 2)))
    found: Candidates | None = None

    def counting(self, members: np.ndarray, threshold: float) -> np.ndarray:
        """Return those of some candidates that count at a threshold: by a person's word, else by their score."""
        keep = self.scores[members] >= threshold
        if len(self.verdicts):
            own = self.verdicts[members]
            keep = (keep & (own >= 0)) | (own > 0)
        return members[keep]

    def is_untraced(self, member: int) -> bool:
        """True when the dendrite of a candidate could not be traced."""
        return bool(len(self.untraced)) and bool(self.untraced[member])


def find_candidates(
    prediction: Prediction, tracing: list[Dendrite] | None = None
) -> tuple[Candidates, np.ndarray]:
    """Find dendrites and every candidate spine.

    Parameters
    ----------
    prediction : Prediction
    tracing : list of Dendrite, optional
        Centre lines that take the place of those that would be traced; their radii are measured on the mask.

    Returns
    -------
    candidates : Candidates
    dendrite_ids : ndarray, uint16, shape (Z, Y, X)
        Dendrite ids on the analysis grid (0 = none).
    """
    spacing = prediction.spacing_zyx_um
    mask = prediction.dendrite >= round(DENDRITE_LEVEL * 255)
    if tracing is None:
        dendrites = trace_dendrites(mask, spacing, MIN_DENDRITE_UM)
    else:
        dendrites = with_mask_radii(tracing, mask, spacing)
    ids = dendrite_labels(mask, dendrites, spacing)
    sizes = np.zeros((0, 3, 2))
    if prediction.heads is None:
        centres, heights = find_peaks(prediction.centre, spacing)
        scores = heights**prediction.score_power
    else:
        centres, scores = prediction.heads.centres_px, prediction.heads.scores
        sizes = sizes if prediction.heads.sizes is None else prediction.heads.sizes
    spine_mask = (prediction.spine >= round(SPINE_LEVEL * 255)) & (ids == 0)
    components, _ = label(spine_mask, structure=np.ones((3, 3, 3)))
    boxes = find_objects(components)
    owners = np.array([_owner(components, c, np.array(spacing)) for c in centres], int)
    anchors, gap = nearest_axis(centres, dendrites, spacing)
    belongs = gap <= NEAR_UM
    for index in np.flatnonzero((gap > NEAR_UM) & (gap <= REACH_UM) & (owners > 0)):
        box = boxes[owners[index] - 1]
        voxels = np.argwhere(components[box] == owners[index]) + [b.start for b in box]
        belongs[index] = nearest_axis(voxels, dendrites, spacing)[1].min() <= ATTACHED_UM
    untraced = supported_by_neighbours(centres * np.array(spacing), scores)
    if prediction.heads is not None:
        untraced |= gap <= SECOND_LOOK_UM
    untraced &= ~belongs
    if tracing is not None:  # a person says where the dendrites are
        untraced[:] = False
    anchors[untraced] = centres[untraced]
    kept = belongs | untraced
    centres, scores, anchors, owners, untraced = (
        a[kept] for a in (centres, scores, anchors, owners, untraced)
    )
    sizes = sizes[kept] if len(sizes) else sizes
    regions = _regions(prediction, components, boxes, ids, centres, anchors, owners)
    step = max(1, mask.shape[1] // 256)
    background = float(np.percentile(prediction.intensity[:, ::step, ::step], 10))
    candidates = Candidates(
        centres,
        scores,
        regions,
        dendrites,
        tuple(mask.shape),
        tuple(spacing),
        tuple(prediction.scale_yx),
        background,
        untraced,
        sizes=sizes,
    )
    return candidates, ids


def supported_by_neighbours(centres_um: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Tell which heads have enough strong ones around them to mark a dendrite by themselves.

    Parameters
    ----------
    centres_um : ndarray, shape (n, 3)
        Heads, ZYX.
    scores : ndarray, shape (n,)

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    strong = scores >= COMPANY_SCORE
    if strong.sum() < COMPANY:
        return np.zeros(len(scores), bool)
    tree = cKDTree(centres_um[strong])
    return tree.query_ball_point(centres_um, COMPANY_UM, return_length=True) >= COMPANY


def nearest_axis(
    centres: np.ndarray, dendrites: list[Dendrite], spacing: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest centre-line point (grid voxels) of each head, and its distance to the shaft's surface (um)."""
    if not dendrites or not len(centres):
        return np.zeros((len(centres), 3)), np.full(len(centres), np.inf)
    points = np.concatenate([b.points_um for d in dendrites for b in d.branches])
    radii = np.concatenate([b.radii_um for d in dendrites for b in d.branches])
    distance, nearest = cKDTree(points).query(centres * np.array(spacing))
    return points[nearest] / np.array(spacing), distance - radii[nearest]


def _regions(
    prediction: Prediction,
    components: np.ndarray,
    boxes: list,
    ids: np.ndarray,
    centres: np.ndarray,
    anchors: np.ndarray,
    owners: np.ndarray,
) -> list[Region]:
    shape = components.shape
    spacing = np.array(prediction.spacing_zyx_um)
    members: dict[int, list[int]] = {}
    for index in np.flatnonzero(owners):
        members.setdefault(int(owners[index]), []).append(int(index))
    loose = [int(i) for i in np.flatnonzero(owners == 0)]
    pad = np.maximum(np.ceil(np.array(_PAD_UM) / spacing).astype(int), 1)

    def window_of(low: np.ndarray, high: np.ndarray, inside: list[int]) -> tuple[slice, ...]:
        needed = np.concatenate([centres[inside], anchors[inside]])
        low = np.minimum(low, np.floor(needed.min(0)).astype(int)) - pad
        high = np.maximum(high, np.ceil(needed.max(0)).astype(int) + 1) + pad
        low, high = np.clip(low, 0, np.array(shape) - 1), np.clip(high, 1, shape)
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    regions = []
    for owner, inside in members.items():
        box = boxes[owner - 1]
        window = window_of(np.array([b.start for b in box]), np.array([b.stop for b in box]), inside)
        regions.append(_crop(prediction, ids, window, components[window] == owner, inside))
    for index in loose:
        voxel = np.clip(np.round(centres[index]).astype(int), 0, np.array(shape) - 1)
        window = window_of(voxel, voxel + 1, [index])
        grid = np.stack(np.meshgrid(*(np.arange(w.start, w.stop) for w in window), indexing="ij"), -1)
        ball = ((((grid - voxel) * spacing) ** 2).sum(-1) <= BALL_UM**2) & (components[window] == 0)
        ball[tuple(voxel - [w.start for w in window])] = True
        ball &= (ids[window] == 0) | (ids[tuple(voxel)] > 0)
        regions.append(_crop(prediction, ids, window, ball, [index]))
    return regions


def _owner(components: np.ndarray, centre: np.ndarray, spacing: np.ndarray) -> int:
    """The component under a centre, or the most common one within 0.25 um of it."""
    voxel = np.clip(np.round(centre).astype(int), 0, np.array(components.shape) - 1)
    here = int(components[tuple(voxel)])
    if here:
        return here
    reach = np.maximum(np.floor(np.array([0.5, 0.25, 0.25]) / spacing).astype(int), [0, 1, 1])
    window = tuple(slice(max(v - r, 0), v + r + 1) for v, r in zip(voxel, reach, strict=True))
    found = components[window]
    found = found[found > 0]
    return int(np.bincount(found).argmax()) if found.size else 0


def _crop(
    prediction: Prediction, ids: np.ndarray, window: tuple[slice, ...], mask: np.ndarray, inside: list[int]
) -> Region:
    return Region(
        origin=(window[0].start, window[1].start, window[2].start),
        mask=mask.copy(),
        spine=prediction.spine[window].copy(),
        dendrite=ids[window].copy(),
        intensity=np.array(prediction.intensity[window]),
        peaks=np.array(inside, int),
    )


def cut_region(region: Region, candidates: Candidates, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a region among some of its candidates (see `Candidates.counting`).

    Returns
    -------
    labels : ndarray, int32, shape of the crop
        0 outside; k + 1 for the k-th candidate in `members`.
    members : ndarray of int
        Candidate indices that count; may be empty.
    """
    members = np.asarray(members, int)
    labels = np.zeros(region.mask.shape, np.int32)
    if len(members) == 0:
        return labels, members
    if len(members) == 1:
        labels[region.mask] = 1
        return labels, members
    from skimage.segmentation import watershed

    markers = np.zeros(region.mask.shape, np.int32)
    limit = np.array(region.mask.shape) - 1
    inside = np.argwhere(region.mask)
    tree = cKDTree(inside * np.array(candidates.spacing_zyx_um))
    for number, member in enumerate(members, 1):
        local = np.clip(np.round(candidates.centres_px[member]).astype(int) - region.origin, 0, limit)
        if not region.mask[tuple(local)] or markers[tuple(local)]:
            order = tree.query(local * np.array(candidates.spacing_zyx_um), k=min(8, len(inside)))[1]
            free = [inside[k] for k in np.atleast_1d(order) if not markers[tuple(inside[k])]]
            if not free:
                continue
            local = free[0]
        markers[tuple(local)] = number
    labels = watershed(_landscape(region, candidates, members), markers, mask=region.mask).astype(np.int32)
    present = np.unique(labels)
    kept = [k for k in range(1, len(members) + 1) if k in present]
    lookup = np.zeros(len(members) + 1, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels], members[np.array(kept) - 1]


def _landscape(region: Region, candidates: Candidates, members: np.ndarray) -> np.ndarray:
    """Distance to the nearest head (um), so that a split runs halfway between heads."""
    spacing = np.array(candidates.spacing_zyx_um)
    grids = np.meshgrid(*(np.arange(n) for n in region.mask.shape), indexing="ij")
    points = np.stack(grids, -1) + np.array(region.origin)
    distance = np.full(region.mask.shape, np.inf)
    for member in members:
        offset = (points - candidates.centres_px[member]) * spacing
        np.minimum(distance, np.sqrt((offset**2).sum(-1)), out=distance)
    return distance - region.spine / 255.0 * 0.3
