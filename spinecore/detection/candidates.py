"""Probabilities to dendrites and candidate spines.

Strategy: the dendrite mask is cut at a fixed level and traced; the spine mask is cut at a fixed
level and split into connected pieces; every head centre above the floor that the rules of
`spinecore.detection.belonging` admit becomes a candidate of the piece it lies in. All of that is done
once and kept as small crops (`Region`), so that another score threshold only decides which candidates
count and how a region with several is divided (`spinecore.detection.cutting`) - without running the
network again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.ndimage import find_objects, label

from spinecore.detection.belonging import DetectionRules, decide_belonging
from spinecore.methods.peaks import find_peaks
from spinecore.methods.prediction import Prediction
from spinecore.tables.column import Column, measures
from spinecore.tracing.trace import Dendrite, dendrite_labels, trace_dendrites, with_mask_radii

#: Probability (0..1) above which a voxel belongs to the dendrite or to a spine. On simulated stacks of seeds 500-505, 0.5
#: for spines in place of 0.4 brings the median error of head width from 10.9 to 9.5 % and of volume from 30 to 29 %
#: (two-photon 45 to 41 %); F1-3D changes by 0.003 either way.
DENDRITE_LEVEL = 0.5
SPINE_LEVEL = 0.5
#: Shorter pieces of dendrite are dropped (um).
MIN_DENDRITE_UM = 3.0
#: The position of a head without any spine voxels is marked by a small ball of this radius (um).
BALL_UM = 0.2
#: What a crop holds beyond its spine and the nearest point of the shaft's centre line (um).
_PAD_UM = (0.5, 0.8, 0.8)


@dataclass(frozen=True)
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
    outlined : bool
        False for a head that the spine mask does not cover: `mask` then only marks its position, and is not measured.
    """

    origin: tuple[int, int, int]
    mask: np.ndarray
    spine: np.ndarray
    dendrite: np.ndarray
    intensity: np.ndarray
    peaks: np.ndarray
    outlined: bool = True


@dataclass(frozen=True)
class ByHand:
    """What a person said about where one spine is.

    Parameters
    ----------
    base_px, tip_px : tuple of float or None
        Where it leaves the shaft and where it ends, on the analysis grid (ZYX).
    dendrite_id : int or None
        The dendrite that it belongs to.
    flat : bool
        True where only one layer of it was drawn in a stack, so that it has no volume.
    digest : str
        Differs for spines of which something else was said, their outline included.
    """

    base_px: tuple[float, float, float] | None = None
    tip_px: tuple[float, float, float] | None = None
    dendrite_id: int | None = None
    flat: bool = False
    digest: str = ""


@dataclass(frozen=True)
class Candidates:
    """All possible spines of a stack: see the module's text.

    Parameters
    ----------
    centres_px : ndarray, shape (n, 3)
        Heads on the analysis grid, ZYX.
    scores : ndarray, shape (n,)
    regions : tuple of Region
    dendrites : tuple of Dendrite
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
    added : tuple of str
        Of the last candidates, those that a person added: a digest of where each lies and of the voxels it is cut from.
    by_hand : mapping from candidate to ByHand
        What a person said about where they are.
    changed : tuple of (str, str)
        For each region a digest of its voxels, and one of its voxels, the dendrites' numbers and the centre lines around
        it, where a person changed these; empty where they are as detected. No entries mean that for all.
    redrawn : frozenset of int
        Numbers of the dendrites whose centre lines are not those that were traced.
    far_scores : ndarray, shape (m,)
        Scores of the last m detected heads, which lie too far from every traced shaft: they have no score among `scores`
        until a person traces a shaft beside them.
    """

    centres_px: np.ndarray
    scores: np.ndarray
    regions: tuple[Region, ...]
    dendrites: tuple[Dendrite, ...]
    shape: tuple[int, int, int]
    spacing_zyx_um: tuple[float, float, float]
    scale_yx: tuple[float, float]
    background: float = 0.0
    untraced: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    verdicts: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int8))
    sizes: np.ndarray = field(default_factory=lambda: np.zeros((0, 3, 2)))
    added: tuple[str, ...] = ()
    by_hand: Mapping[int, ByHand] = field(default_factory=dict)
    changed: tuple[tuple[str, str], ...] = ()
    redrawn: frozenset[int] = frozenset()
    far_scores: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def far(self) -> np.ndarray:
        """True for each candidate that lies too far from every shaft; shape (n,)."""
        out = np.zeros(len(self.scores), bool)
        out[self.n_detected - len(self.far_scores) : self.n_detected] = True
        return out & np.isnan(self.scores)

    @property
    def n_detected(self) -> int:
        """Number of candidates that the detector found; those that a person added come after them."""
        return len(self.scores) - len(self.added)

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


@dataclass(frozen=True)
class _Pieces:
    """The connected pieces of the spine mask, and the one that each head lies in.

    `numbers` holds the piece of every voxel (0 outside), `boxes` the window of piece k at k - 1, and `owners` the
    piece of every head (0 = none).
    """

    numbers: np.ndarray
    boxes: list[tuple[slice, ...]]
    owners: np.ndarray

    def voxels_of(self, head: int) -> np.ndarray:
        """Voxels (k, 3) of the piece that a head lies in; none where it lies in none."""
        owner = self.owners[head]
        if owner == 0:
            return np.zeros((0, 3), int)
        box = self.boxes[owner - 1]
        return np.argwhere(self.numbers[box] == owner) + [b.start for b in box]


@measures(
    Column(
        "score",
        "",
        "Score",
        "Confidence of the detector, from 0 to 1.",
        "Value of the detector's head-centre map at the spine; in stacks, the answer of a second network that looks at "
        "the surroundings of each head (see models/head-score.json).",
        "the spine was added by hand, or no score was given",
    ),
)
def find_candidates(
    prediction: Prediction, tracing: list[Dendrite] | None = None, rules: DetectionRules | None = None
) -> tuple[Candidates, np.ndarray]:
    """Find dendrites and every candidate spine.

    Parameters
    ----------
    prediction : Prediction
    tracing : list of Dendrite, optional
        Centre lines that take the place of those that would be traced; their radii are measured on the mask.
    rules : DetectionRules, optional
        Which heads count.

    Returns
    -------
    candidates : Candidates
    dendrite_ids : ndarray, uint16, shape (Z, Y, X)
        Dendrite ids on the analysis grid (0 = none).
    """
    spacing = prediction.spacing_zyx_um
    dendrites, ids = _dendrites(prediction, tracing)  # first: heads may still be looked for on another core
    centres, scores, sizes = _heads(prediction)
    pieces = _pieces(prediction, ids, centres)
    found = decide_belonging(
        centres,
        scores,
        dendrites,
        spacing,
        pieces.voxels_of,
        second_look=prediction.heads is not None or prediction.far_heads,
        own_tracing=tracing is not None,
        rules=rules,
    )
    kept = found.counts
    regions = _regions(
        prediction,
        _Pieces(pieces.numbers, pieces.boxes, pieces.owners[kept]),
        ids,
        centres[kept],
        found.anchors_px[kept],
    )
    far = np.flatnonzero(~kept)
    order = np.concatenate([np.flatnonzero(kept), far])
    candidates = Candidates(
        centres_px=centres[order],
        scores=np.concatenate([scores[kept], np.full(len(far), np.nan)]),
        regions=tuple(_with_far(prediction, pieces, ids, centres, kept, regions)),
        dendrites=tuple(dendrites),
        shape=_triple(ids.shape),
        spacing_zyx_um=spacing,
        scale_yx=prediction.scale_yx,
        background=_background(prediction.intensity),
        untraced=np.concatenate([found.untraced[kept], np.ones(len(far), bool)]),
        sizes=sizes[order] if len(sizes) else sizes,
        far_scores=scores[far],
    )
    return candidates, ids


def _dendrites(prediction: Prediction, tracing: list[Dendrite] | None) -> tuple[list[Dendrite], np.ndarray]:
    """Centre lines, and the dendrite of every voxel."""
    spacing = prediction.spacing_zyx_um
    mask = prediction.dendrite >= round(DENDRITE_LEVEL * 255)
    if tracing is None:
        # lines run on to the border of what was imaged, which is not that of the file where this has empty borders
        box = prediction.data_box or (slice(None), slice(None), slice(None))
        found = trace_dendrites(mask[box], spacing, MIN_DENDRITE_UM, intensity=prediction.intensity[box])
        start_um = np.array([part.start or 0 for part in box]) * np.array(spacing)
        dendrites = [dendrite.moved(start_um) for dendrite in found] if start_um.any() else found
    else:
        dendrites = with_mask_radii(tracing, mask, spacing)
    return dendrites, dendrite_labels(mask, dendrites, spacing)


def _heads(prediction: Prediction) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres, scores and sizes of all heads."""
    unknown = np.zeros((0, 3, 2))
    if prediction.heads is None:
        centres, heights = find_peaks(prediction.centre, prediction.spacing_zyx_um)
        return centres, heights**prediction.score_power, unknown
    heads = prediction.heads
    return heads.centres_px, heads.scores, unknown if heads.sizes is None else heads.sizes


def _pieces(prediction: Prediction, ids: np.ndarray, centres: np.ndarray) -> _Pieces:
    mask = (prediction.spine >= round(SPINE_LEVEL * 255)) & (ids == 0)
    numbers, _ = label(mask, structure=np.ones((3, 3, 3)))
    spacing = np.array(prediction.spacing_zyx_um)
    return _Pieces(
        numbers, find_objects(numbers), np.array([_owner(numbers, c, spacing) for c in centres], int)
    )


def _background(intensity: np.ndarray) -> float:
    step = max(1, intensity.shape[1] // 256)
    return float(np.percentile(intensity[:, ::step, ::step], 10))


def _triple(values: tuple[int, ...]) -> tuple[int, int, int]:
    z, y, x = values
    return z, y, x


def _regions(
    prediction: Prediction, pieces: _Pieces, ids: np.ndarray, centres: np.ndarray, anchors: np.ndarray
) -> list[Region]:
    """A crop for every piece with heads, and a small ball for every head outside all pieces."""
    shape = ids.shape
    owners = pieces.owners
    spacing = np.array(prediction.spacing_zyx_um)
    members: dict[int, list[int]] = {}
    for head in np.flatnonzero(owners):
        members.setdefault(int(owners[head]), []).append(int(head))
    loose = [int(i) for i in np.flatnonzero(owners == 0)]
    pad = np.maximum(np.ceil(np.array(_PAD_UM) / spacing).astype(int), 1)

    def window_of(low: np.ndarray, high: np.ndarray, inside: list[int]) -> tuple[slice, ...]:
        needed = np.concatenate([centres[inside], anchors[inside]])
        low = np.minimum(low, np.floor(needed.min(0)).astype(int)) - pad
        high = np.maximum(high, np.ceil(needed.max(0)).astype(int) + 1) + pad
        low, high = np.clip(low, 0, np.array(shape) - 1), np.clip(high, 1, shape)
        return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))

    regions: list[Region] = []
    for owner, inside in members.items():
        box = pieces.boxes[owner - 1]
        window = window_of(np.array([b.start for b in box]), np.array([b.stop for b in box]), inside)
        regions.append(_crop(prediction, ids, window, pieces.numbers[window] == owner, inside))
    for index in loose:
        voxel = np.clip(np.round(centres[index]).astype(int), 0, np.array(shape) - 1)
        window = window_of(voxel, voxel + 1, [index])
        grid = np.stack(np.meshgrid(*(np.arange(w.start, w.stop) for w in window), indexing="ij"), -1)
        ball = ((((grid - voxel) * spacing) ** 2).sum(-1) <= BALL_UM**2) & (pieces.numbers[window] == 0)
        ball[tuple(voxel - [w.start for w in window])] = True
        ball &= (ids[window] == 0) | (ids[tuple(voxel)] > 0)
        regions.append(_crop(prediction, ids, window, ball, [index], outlined=False))
    return regions


def _with_far(
    prediction: Prediction,
    pieces: _Pieces,
    ids: np.ndarray,
    centres: np.ndarray,
    kept: np.ndarray,
    regions: list[Region],
) -> list[Region]:
    """Put the heads that belong to no shaft into the crops that hold them, or into crops of their own after these."""
    own = pieces.owners[kept]
    place = {int(owner): k for k, owner in enumerate(dict.fromkeys(own[own > 0].tolist()))}
    out = list(regions)
    rest = []
    far = np.flatnonzero(~kept)
    for number, head in enumerate(far, start=int(kept.sum())):
        where = place.get(int(pieces.owners[head]))
        if where is None:
            rest.append(number)
        else:
            out[where] = replace(out[where], peaks=np.append(out[where].peaks, number))
    chosen = far[np.array(rest, int) - int(kept.sum())]
    alone = _Pieces(pieces.numbers, pieces.boxes, pieces.owners[chosen])
    added = _regions(prediction, alone, ids, centres[chosen], centres[chosen])
    return [*out, *(replace(region, peaks=np.array(rest, int)[region.peaks]) for region in added)]


def _owner(numbers: np.ndarray, centre: np.ndarray, spacing: np.ndarray) -> int:
    """The piece under a centre, or the most common one within 0.25 um of it."""
    voxel = np.clip(np.round(centre).astype(int), 0, np.array(numbers.shape) - 1)
    here = int(numbers[tuple(voxel)])
    if here:
        return here
    reach = np.maximum(np.floor(np.array([0.5, 0.25, 0.25]) / spacing).astype(int), [0, 1, 1])
    window = tuple(slice(max(v - r, 0), v + r + 1) for v, r in zip(voxel, reach, strict=True))
    found = numbers[window]
    found = found[found > 0]
    return int(np.bincount(found).argmax()) if found.size else 0


def _crop(
    prediction: Prediction,
    ids: np.ndarray,
    window: tuple[slice, ...],
    mask: np.ndarray,
    inside: list[int],
    outlined: bool = True,
) -> Region:
    return Region(
        origin=(window[0].start, window[1].start, window[2].start),
        mask=mask.copy(),
        spine=prediction.spine[window].copy(),
        dendrite=ids[window].copy(),
        intensity=np.array(prediction.intensity[window]),
        peaks=np.array(inside, int),
        outlined=outlined,
    )
