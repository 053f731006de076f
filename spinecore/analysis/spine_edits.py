"""What a person does to spines, as corrections that can be stored: places become outlines here, with the stack at hand.

Each function looks at an analysis and returns an `Edit`; nothing is changed. Places are ZYX on the analysis grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy.spatial import cKDTree

from spinecore.analysis.gridimage import GridImage
from spinecore.analysis.result import Analysis
from spinecore.corrections.answers import NO, YES
from spinecore.corrections.edit import Edit
from spinecore.corrections.grow import find_place, voxels_of_head
from spinecore.corrections.regions import region_voxels
from spinecore.detection.belonging import nearest_axis
from spinecore.detection.candidates import Region
from spinecore.errors import SpinecoreError
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.shapes.classes import CLASSES

#: A head, base or tip is moved at most so far (um).
FARTHEST_UM = 5.0
#: A brush is at most so wide (um).
WIDEST_UM = 3.0
#: Margin of the crop of a redrawn outline (um; z, y, x).
_PAD_UM = np.array([0.6, 0.9, 0.9])
Three = tuple[float, float, float]


def existing(analysis: Analysis, spine: int) -> int:
    """Return the number of a spine that the analysis shows.

    Raises
    ------
    SpinecoreError
        If there is no such spine.
    """
    if not (analysis.spines["spine_id"] == spine).any():
        raise SpinecoreError(f"this analysis has no spine {spine}: choose one from its table")
    return int(spine)


def verdict(analysis: Analysis, spine: int, kind: str) -> Edit:
    """Say that a candidate is no spine ("remove") or one ("count"), whatever its score."""
    if not 0 < spine <= len(analysis.candidates.scores):
        raise SpinecoreError(f"this analysis has no candidate {spine}: choose one from its table")
    return Edit(kind, spine=int(spine), words=f"{kind} spine {spine}")


def answer(analysis: Analysis, candidate: int, said: str | None, kind: str = "check") -> Edit:
    """Answer "yes" (a spine), "no" or None (open again) to a candidate; with kind "settle" where people differ."""
    if said not in (YES, NO, None):
        raise SpinecoreError(f"an answer is {YES} or {NO}, not {said!r}")
    number = verdict(analysis, candidate, kind).spine
    words = f"{'leave' if said is None else said + ' to'} spine {number}{' open' if said is None else ''}"
    return Edit(kind, spine=number, values={"answer": said}, words=words)


def add(analysis: Analysis, image: GridImage, place_px: np.ndarray) -> Edit:
    """Add a spine at a place, or count the candidate that lies there."""
    found = find_place(
        analysis.candidates, analysis.threshold, analysis.corrected.ids, image, place_px, analysis.rules
    )
    if found.candidate is not None:
        return verdict(analysis, found.candidate + 1, "count")
    number = len(analysis.candidates.scores) + 1
    values = {"centre_px": _three(found.centre_px), "region": found.region, "untraced": found.untraced}
    voxels = {} if found.grown is None else region_voxels(found.grown)
    return Edit("add", spine=number, values=values, voxels=voxels, words=f"add spine {number}")


def set_class(analysis: Analysis, spine: int, answer: str | None) -> Edit:
    """Give a spine another class; None gives the network's back."""
    number = existing(analysis, spine)
    if answer is not None and answer not in CLASSES:
        raise SpinecoreError(f"there is no class {answer!r}: choose one of {', '.join(CLASSES)}")
    before = analysis.spines.loc[analysis.spines["spine_id"] == spine, "class"].iloc[0]
    values = {"class": answer, "before": before if isinstance(before, str) else None}
    return Edit(
        "class", spine=number, values=values, words=f"class of spine {number}: {answer or 'automatic'}"
    )


def set_rules(analysis: Analysis, chosen: ChosenRules | None) -> Edit:
    """Choose the rules that name classes beside the network's; None gives the settings' back."""
    rules = chosen or analysis.settings.chosen_rules
    changed = len(rules.changed)
    title = rules.rules.title
    title += f", {changed} threshold{'' if changed == 1 else 's'} changed" if changed else ""
    return Edit("rules", values={"chosen": rules.to_dict()}, words=f"rules: {title}")


def set_branched(analysis: Analysis, spine: int, yes: bool) -> Edit:
    """Mark a spine as branched, or take the mark away."""
    number = existing(analysis, spine)
    words = f"mark spine {number} as {'branched' if yes else 'not branched'}"
    return Edit("branched", spine=number, values={"branched": bool(yes)}, words=words)


def move(analysis: Analysis, spine: int, part: str, place_px: np.ndarray) -> Edit:
    """Move the head, base or tip of a spine to a place."""
    number = existing(analysis, spine)
    candidates = analysis.candidates
    place = np.asarray(place_px, float)
    if (place < -0.5).any() or (place > np.array(candidates.shape) - 0.5).any():
        raise SpinecoreError("that place lies outside the image: click inside it")
    away = (place - candidates.centres_px[number - 1]) * candidates.spacing_zyx_um
    if np.linalg.norm(away) > FARTHEST_UM:
        raise SpinecoreError(f"that is more than {FARTHEST_UM:g} um from spine {number}: click nearer to it")
    values = {"part": part, "place_px": _three(place)}
    return Edit("move", spine=number, values=values, words=f"move the {part} of spine {number}")


def attach(analysis: Analysis, spine: int, dendrite_id: int) -> Edit:
    """Let a spine belong to another dendrite."""
    number = existing(analysis, spine)
    candidates = analysis.candidates
    lines = [d for d in candidates.dendrites if d.id == dendrite_id]
    if not lines:
        raise SpinecoreError(f"there is no dendrite {dendrite_id}: choose one from the table")
    head = candidates.centres_px[number - 1 : number]
    gap = float(nearest_axis(head, lines, candidates.spacing_zyx_um)[1][0])
    if gap > analysis.rules.reach_um:
        raise SpinecoreError(
            f"dendrite {dendrite_id} is {gap:.1f} um from spine {number}, farther than {analysis.rules.reach_um:g} um: choose a nearer "
            "one"
        )
    words = f"attach spine {number} to dendrite {dendrite_id}"
    return Edit("attach", spine=number, values={"dendrite_id": int(dendrite_id)}, words=words)


def outline(analysis: Analysis, image: GridImage, spine: int, z: int, polygon_px: np.ndarray) -> Edit:
    """Draw the outline of a spine anew in one slice: corners (n, 2) of y, x; what lies inside is the spine there."""
    from skimage.draw import polygon2mask

    number = existing(analysis, spine)
    corners = np.asarray(polygon_px, float)
    if corners.ndim != 2 or len(corners) < 3:
        raise SpinecoreError("an outline needs three corners or more: draw round the spine")
    if not 0 <= z < analysis.candidates.shape[0]:
        raise SpinecoreError("that slice is not in the stack: draw in one that is shown")
    low, high = np.array([z, *np.floor(corners.min(0))]), np.array([z, *np.ceil(corners.max(0))])
    frame = _Frame(analysis, image, number, low, high)
    mask = frame.own.copy()
    level = z - frame.start[0]
    mask[level] = polygon2mask(mask.shape[1:], corners - frame.start[1:])
    return frame.edit(mask, f"redraw the outline of spine {number}")


def paint(
    analysis: Analysis,
    image: GridImage,
    spine: int,
    z: int,
    stroke_px: np.ndarray,
    width_px: float,
    erase: bool = False,
) -> Edit:
    """Add to a spine, or erase of it, in one slice what a brush of a width goes over: a line (n, 2) of y, x."""
    number = existing(analysis, spine)
    stroke, pixel = np.asarray(stroke_px, float), np.array(analysis.candidates.spacing_zyx_um[1:])
    if stroke.ndim != 2 or stroke.shape[1] != 2 or not len(stroke) or not np.isfinite(stroke).all():
        raise SpinecoreError("a brush needs a place: click or drag over the spine")
    if not 0 < width_px * pixel[1] <= WIDEST_UM:
        raise SpinecoreError(f"a brush is up to {WIDEST_UM:g} um wide: choose a smaller one")
    if not 0 <= z < analysis.candidates.shape[0]:
        raise SpinecoreError("that slice is not in the stack: draw in one that is shown")
    away = (stroke - analysis.candidates.centres_px[number - 1, 1:]) * pixel
    if np.linalg.norm(away, axis=1).max() > FARTHEST_UM:
        raise SpinecoreError(f"that is more than {FARTHEST_UM:g} um from spine {number}: draw nearer to it")
    reach = width_px / 2 * pixel[1] / pixel
    low, high = np.floor(stroke.min(0) - reach), np.ceil(stroke.max(0) + reach)
    frame = _Frame(analysis, image, number, np.array([z, *low]), np.array([z, *high]))
    level = z - frame.start[0]
    swept = _swept(frame.own.shape[1:], stroke - frame.start[1:], width_px / 2 * pixel[1], pixel)
    mask = frame.own.copy()
    mask[level] = mask[level] & ~swept if erase else (mask[level] | swept) & ~frame.taken[level]
    if (mask == frame.own).all():
        if erase:
            raise SpinecoreError(f"nothing of spine {number} is there in this slice: drag over its outline")
        raise SpinecoreError(f"all of that is spine {number} or another one already: drag beside its outline")
    return frame.edit(mask, f"{'erase of' if erase else 'add to'} the outline of spine {number}")


def _swept(shape: tuple[int, ...], stroke: np.ndarray, reach_um: float, pixel_um: np.ndarray) -> np.ndarray:
    """Pixels of a slice (Y, X) within reach of a line, and those on it."""
    ends = np.vstack([stroke, stroke[-1:]])
    steps = [max(int(2 * np.abs(b - a).max()), 1) for a, b in pairwise(ends)]
    line = np.concatenate(
        [np.linspace(a, b, n, endpoint=False) for (a, b), n in zip(pairwise(ends), steps, strict=True)]
    )
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    inside = cKDTree(line * pixel_um).query(grid * pixel_um)[0] <= reach_um + 1e-9
    on = np.rint(line).astype(int)
    on = on[((on >= 0) & (on < shape)).all(1)]
    inside[tuple(on.T)] = True
    return inside


def grow(analysis: Analysis, image: GridImage, spine: int, level: float) -> Edit:
    """Take for a spine what is connected to its head and brighter than a share of the head's height."""
    number = existing(analysis, spine)
    if not 0.05 <= level <= 0.95:
        raise SpinecoreError("the level is a share of the head's brightness: choose one from 0.05 to 0.95")
    candidates = analysis.candidates
    centre = np.round(candidates.centres_px[number - 1])
    frame = _Frame(analysis, image, number, centre - 1, centre + 1)
    local = np.clip(centre.astype(int) - frame.start, 0, np.array(frame.own.shape) - 1)
    spacing = np.array(candidates.spacing_zyx_um)
    shaft = (frame.dendrite > 0) & ~frame.own
    image_crop = frame.intensity.astype(np.float32)
    mask = voxels_of_head(image_crop, shaft, frame.taken, local, spacing, level, bordered=False)
    return frame.edit(mask, f"grow the outline of spine {number}")


def merge(analysis: Analysis, image: GridImage, spine: int, other: int) -> Edit:
    """Make one spine of two; it keeps the first one's number."""
    one, two = existing(analysis, spine), existing(analysis, other)
    if one == two:
        raise SpinecoreError("a spine is merged with another one: choose two")
    candidates = analysis.candidates
    apart = (candidates.centres_px[one - 1] - candidates.centres_px[two - 1]) * candidates.spacing_zyx_um
    if np.linalg.norm(apart) > FARTHEST_UM:
        raise SpinecoreError(
            f"spines {one} and {two} are more than {FARTHEST_UM:g} um apart: they are no one spine"
        )
    second = analysis.cutter.crop_of(two, analysis.threshold)[0]
    where = np.argwhere(second.mask) + second.origin
    if not len(where):
        where = np.round(candidates.centres_px[two - 1])[None].astype(int)
    frame = _Frame(analysis, image, one, where.min(0), where.max(0), merged=(two,))
    mask = frame.own.copy()
    mask[tuple((where - frame.start).T)] = True
    mask |= _bridge(np.argwhere(frame.own), where - frame.start, mask.shape, candidates.spacing_zyx_um)
    return frame.edit(mask, f"merge spines {one} and {two}")


class _Frame:
    """The surroundings of one spine, wide enough for another outline.

    Parameters
    ----------
    analysis, image : Analysis, GridImage
    spine : int
    low, high : ndarray, shape (3,)
        Voxels that the new outline reaches, beside those of the old one.
    merged : tuple of int
        Spines that become part of it.
    """

    def __init__(
        self,
        analysis: Analysis,
        image: GridImage,
        spine: int,
        low: np.ndarray,
        high: np.ndarray,
        merged: tuple[int, ...] = (),
    ) -> None:
        self.spine, self.merged = spine, merged
        said = analysis.candidates.by_hand.get(spine - 1)
        self.flat = said is not None and said.flat
        crop, _, _ = analysis.cutter.crop_of(spine, analysis.threshold)
        shape = np.array(analysis.candidates.shape)
        pad = np.maximum(np.ceil(_PAD_UM / analysis.candidates.spacing_zyx_um).astype(int), 1)
        origin = np.array(crop.origin)
        self.start = np.clip(np.minimum(np.asarray(low) - pad, origin), 0, shape - 1).astype(int)
        stop = np.clip(np.maximum(np.asarray(high) + pad + 1, origin + crop.mask.shape), 1, shape).astype(int)
        self.window = tuple(slice(int(a), int(b)) for a, b in zip(self.start, stop, strict=True))
        self.own = self._embedded(crop.mask, origin, bool)
        self.intensity = np.array(image[self.window])
        self.dendrite = analysis.corrected.ids[self.window]
        self.taken = np.zeros(self.own.shape, bool)
        for number, at, mask in analysis.cutter.cut(analysis.threshold):
            if number != spine and number not in merged:
                self.taken |= self._embedded(mask, np.array(at), bool)
        self.elsewhere = self._embedded(crop.others, origin, bool) & ~self.taken

    def _embedded(self, part: np.ndarray, origin: np.ndarray, kind: type) -> np.ndarray:
        out: np.ndarray = np.zeros([w.stop - w.start for w in self.window], kind)
        offset = origin - self.start
        low, high = np.maximum(offset, 0), np.minimum(offset + part.shape, out.shape)
        if (low < high).all():
            here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
            there = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
            out[here] = part[there]
        return out

    def edit(self, mask: np.ndarray, words: str) -> Edit:
        """Return the correction that gives the spine these voxels; those of other spines stay theirs."""
        mask = mask & ~self.taken
        if mask.sum() < 4:
            raise SpinecoreError("that leaves fewer than 4 voxels to the spine: draw it larger, or remove it")
        spine = np.where(mask | self.taken | self.elsewhere, 255, 0).astype(np.uint8)
        dendrite = np.where(mask, 0, self.dendrite).astype(self.dendrite.dtype)
        at = (int(self.start[0]), int(self.start[1]), int(self.start[2]))
        region = Region(at, mask, spine, dendrite, self.intensity, np.zeros(0, int))
        voxels = region_voxels(region) | {"released": self.own & ~mask}
        values: dict[str, object] = {"merged": list(self.merged)} if self.merged else {}
        if self.flat and np.array_equal(mask.any((1, 2)), self.own.any((1, 2))):
            values["flat"] = True
        return Edit("outline", spine=self.spine, values=values, voxels=voxels, words=words)


def _bridge(
    one: np.ndarray, other: np.ndarray, shape: tuple[int, ...], spacing: Sequence[float]
) -> np.ndarray:
    """A thin line of voxels between two sets of voxels, where they are nearest."""
    out = np.zeros(shape, bool)
    if not len(one) or not len(other):
        return out
    distance, nearest = cKDTree(one * np.array(spacing)).query(other * np.array(spacing))
    first, last = other[int(distance.argmin())], one[int(nearest[int(distance.argmin())])]
    steps = 2 * int(np.abs(last - first).max()) + 1
    for place in np.linspace(first, last, steps + 1):
        out[tuple(np.rint(place).astype(int))] = True
    return out


def _three(place: np.ndarray) -> Three:
    z, y, x = (round(float(v), 3) for v in place)
    return z, y, x
