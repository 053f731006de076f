"""Marks put into an analysis: each becomes a spine, as if a person had clicked there, and can be undone like that.

Strategy: a mark that lies on a spine that the program found counts it, whatever its score; pairs are chosen one to one.
At every other mark a spine is added as on the page Correct: from the candidate or the outline that lies there, else grown
from the brightness. Where that finds nothing, the mark keeps its place and is counted, but not measured. A mark with an outline
of its own keeps that, in place of what the program found there. "Only what was marked" then drops all that the program found beside, and numbers the spines by the marks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from spinecore.analysis.gridimage import GridImage
from spinecore.analysis.result import Analysis
from spinecore.corrections.edit import Edit
from spinecore.corrections.grow import TOO_NEAR_UM, Place, find_place, grow_place, place_with_depth
from spinecore.corrections.regions import region_voxels
from spinecore.detection.belonging import nearest_axis
from spinecore.detection.candidates import BALL_UM, Region
from spinecore.errors import SpinecoreError
from spinecore.evaluation.edges import Edges
from spinecore.evaluation.matching import assign
from spinecore.marking.bodies import Body, body_on_grid, region_around, taken_by
from spinecore.marking.log import as_one_sitting, only_marked
from spinecore.marking.words import placing_notes
from spinecore.morphometry.path import FEWEST_VOXELS

#: A mark up to this far from the head of a spine that the program found is a mark of that spine (um; depth counts half).
SAME_SPINE_UM = 1.0
_DEPTH_WEIGHT = 0.5


@dataclass(frozen=True)
class Mark:
    """One spine in a person's file.

    Parameters
    ----------
    name : str
        Its number or name there.
    place_px : tuple of float
        Z, y, x in the stack's own voxels, from 0; a z of NaN is not known.
    origin : tuple of int
        First voxel of `mask` in the stack.
    mask : ndarray of bool, or None
        Its voxels, where the file gives them; a single layer where z is not known.
    """

    name: str
    place_px: tuple[float, float, float]
    origin: tuple[int, int, int] = (0, 0, 0)
    mask: np.ndarray | None = None


def place_marks(
    analysis: Analysis, marks: Sequence[Mark], image: GridImage, file: str, only: bool = False
) -> Analysis:
    """Return an analysis in which every mark is a spine.

    Parameters
    ----------
    analysis : Analysis
        Without corrections of spines.
    marks : sequence of Mark
        All inside the stack.
    image : GridImage
        Intensities of the stack.
    file : str
        Name of the person's file, for the log and the notes.
    only : bool
        Nothing else counts as a spine.
    """
    work = _Placing(analysis, image, file)
    work.place(marks, claim_voxels=only)
    found = analysis.with_corrections(as_one_sitting(analysis, work.edits))
    without = {e.spine for e in work.edits} - set(found.spines["spine_id"].astype(int))
    if without:  # a region that left no voxels to a second head in it
        names = {str(e.values["mark"]) for e in work.edits if e.spine in without}
        work = _Placing(analysis, image, file, position_only=frozenset(names))
        work.place(marks, claim_voxels=only)
        found = analysis.with_corrections(as_one_sitting(analysis, work.edits))
    if only:
        found = only_marked(found, work.edits)
    return replace(found, notes=(*found.notes, *work.notes(len(marks), only)))


class _Placing:
    """Marks while they are placed one after the other; `candidates` and `edits` (one a mark) grow with each."""

    def __init__(
        self, analysis: Analysis, image: GridImage, file: str, position_only: frozenset[str] = frozenset()
    ) -> None:
        self.analysis, self.image, self.file = analysis, image, file
        self.candidates = analysis.candidates
        self.position_only = position_only
        self.edits: list[Edit] = []
        self.found = 0
        self.twice: list[str] = []
        self.unclear: list[str] = []
        self.claimed: set[int] = set()
        self.waiting: set[int] = set()
        self.bodies: dict[str, Body] = {}

    def place(self, marks: Sequence[Mark], claim_voxels: bool) -> None:
        """Place all; with `claim_voxels` a mark's own voxels are its own, whatever the program found there."""
        places = [self._on_grid(mark) for mark in marks]
        self.bodies = {
            mark.name: body_on_grid(
                mark.origin, mark.mask, place, not np.isnan(mark.place_px[0]), self.candidates, self.image
            )
            for mark, place in zip(marks, places, strict=True)
            if mark.mask is not None
        }
        own = [claim_voxels and mark.mask is not None for mark in marks]
        pairs = self._pairs(marks, places, own)
        self.claimed = set(pairs.values())
        self.waiting = {pairs[k] for k in pairs if marks[k].mask is not None}
        order = list(range(len(marks)))
        if not claim_voxels:  # what the program found is divided before more is added beside it
            order = sorted(order, key=lambda k: k not in pairs)
        for number in order:
            mark, place = marks[number], places[number]
            if number in pairs:
                self._count(mark, pairs[number])
            elif mark.mask is not None:
                self._add_voxels(mark, place, alone=own[number])
            else:
                self._add(mark, place)

    def _on_grid(self, mark: Mark) -> np.ndarray:
        scale = np.array([1.0, *self.candidates.scale_yx])
        place = (np.asarray(mark.place_px, float) + 0.5) * scale - 0.5
        return place_with_depth(self.candidates, self.analysis.corrected.ids, self.image, place)

    def _pairs(
        self, marks: Sequence[Mark], places: Sequence[np.ndarray], own: Sequence[bool]
    ) -> dict[int, int]:
        """Return the spine (from 0) that the program found for each mark that lies on one."""
        numbers = np.arange(len(self.candidates.scores))
        counting = self.candidates.counting(numbers, self.analysis.threshold)
        if not len(counting) or not len(places):
            return {}
        weight = np.array(self.candidates.spacing_zyx_um) * (_DEPTH_WEIGHT, 1, 1)
        away = np.array(places)[:, None] - self.candidates.centres_px[counting][None]
        distance = np.linalg.norm(away * weight, axis=2)
        for number, mark in enumerate(marks):
            if mark.mask is not None:
                heads = self.candidates.centres_px[counting]
                away_um = self.bodies[mark.name].distance_um(heads, weight)
                near = away_um <= TOO_NEAR_UM
                distance[number, near] = np.minimum(distance[number, near], away_um[near])
        distance[np.asarray(own, bool)] = np.inf
        a, b = np.nonzero(distance <= SAME_SPINE_UM)
        value = distance[a, b]
        edges = Edges(a, b, value, 1 - value / SAME_SPINE_UM, len(places), len(counting))
        return {int(a[k]): int(counting[b[k]]) for k in assign(edges)}

    def _said(self, mark: Mark, **values: Any) -> dict[str, Any]:
        return {**values, "mark": mark.name, "file": self.file}

    def _words(self, mark: Mark) -> str:
        return f"mark {mark.name} of {self.file}"

    def _count(self, mark: Mark, candidate: int) -> None:
        """Say that a spine that was found is one; the outline that it gets says so too, so that one undo takes both back."""
        verdicts = self.candidates.verdicts
        if not len(verdicts):
            verdicts = np.zeros(len(self.candidates.scores), np.int8)
        verdicts = verdicts.copy()
        verdicts[candidate] = 1
        self.candidates = replace(self.candidates, verdicts=verdicts)
        self.claimed.add(candidate)
        self.found += 1
        before = len(self.edits)
        if mark.mask is None:
            self._outline(mark, candidate)
        else:
            self._redraw(mark, candidate)
        if len(self.edits) == before:
            self.edits.append(
                Edit("count", spine=candidate + 1, values=self._said(mark), words=self._words(mark))
            )

    def _outline(self, mark: Mark, candidate: int) -> None:
        """Give an outline to a spine of which the program found the place alone, where one can be grown."""
        owners = [k for k, r in enumerate(self.candidates.regions) if candidate in r.peaks and not r.outlined]
        if not owners or mark.name in self.position_only:
            return
        regions = list(self.candidates.regions)
        regions[owners[0]] = replace(regions[owners[0]], peaks=np.zeros(0, int))
        alone = replace(self.candidates, regions=tuple(r for k, r in enumerate(regions) if k != owners[0]))
        try:
            grown = grow_place(
                alone,
                self.analysis.corrected.ids,
                self.image,
                self.candidates.centres_px[candidate],
                self.analysis.rules,
            ).grown
        except SpinecoreError:  # nothing stands out there: it stays a place
            return
        if grown is None or grown.mask.sum() < FEWEST_VOXELS:
            return
        voxels = region_voxels(grown) | {"released": np.zeros_like(grown.mask)}
        self.edits.append(
            Edit(
                "outline",
                spine=candidate + 1,
                values=self._said(mark),
                voxels=voxels,
                words=self._words(mark),
            )
        )
        regions.append(replace(grown, peaks=np.array([candidate])))
        self.candidates = replace(self.candidates, regions=tuple(regions))

    def _redraw(self, mark: Mark, candidate: int) -> None:
        """Give a spine that the program found the outline of its mark, with all heads inside that no other mark has."""
        body = self.bodies[mark.name]
        self.waiting.discard(candidate)
        nowhere = Body(np.round(self.candidates.centres_px[candidate]).astype(int), np.zeros((1, 1, 1), bool))
        before = self._cuts.get(candidate, nowhere)
        inside = [
            other
            for other in self._cuts
            if other != candidate
            and other not in self.claimed
            and body.distance_um(self.candidates.centres_px[other][None], np.ones(3))[0] < 1
        ]
        gone = {candidate, *inside}
        low = np.minimum(body.origin, before.origin)
        high = np.maximum(body.origin + body.mask.shape, before.origin + before.mask.shape)
        window = tuple(int(n) for n in high - low)
        joined = body.within(low, window) | before.within(low, window)
        region = self._region_around(self.candidates.centres_px[candidate], low, joined)
        start, shape = region.origin, region.mask.shape
        taken = np.zeros(shape, bool)
        for other, cut in self._cuts.items():
            if other not in gone and other not in self.waiting:
                taken |= cut.within(start, shape)
        own = body.within(start, shape) & ~taken
        if own.sum() < FEWEST_VOXELS:
            return
        released = np.zeros(shape, bool)
        for other in gone:
            released |= self._cuts.get(other, nowhere).within(start, shape)
        region = replace(
            region,
            mask=own,
            spine=np.where(own | taken, 255, 0).astype(np.uint8),
            dendrite=np.where(own, 0, region.dendrite).astype(region.dendrite.dtype),
        )
        values: dict[str, Any] = {"merged": [m + 1 for m in inside]} if inside else {}
        if body.flat:
            values["flat"] = True
        self.edits.append(
            Edit(
                "outline",
                spine=candidate + 1,
                values=self._said(mark, **values),
                voxels=region_voxels(region) | {"released": released & ~own},
                words=self._words(mark),
            )
        )
        freed = Body(np.array(start), released | own)
        regions = []
        for other_region in self.candidates.regions:
            if gone & set(other_region.peaks.tolist()):
                mask = other_region.mask & ~freed.within(other_region.origin, other_region.mask.shape)
                peaks = np.array([p for p in other_region.peaks if int(p) not in gone], int)
                other_region = replace(other_region, mask=mask, peaks=peaks)
            regions.append(other_region)
        regions.append(replace(region, peaks=np.array([candidate])))
        self.candidates = replace(self.candidates, regions=tuple(regions))
        for other in inside:
            del self._cuts[other]
        self._cuts[candidate] = Body(np.array(start), own)

    @cached_property
    def _cuts(self) -> dict[int, Body]:
        """The voxels of every spine that counts, by candidate; those that a mark's outline replaced are as drawn."""
        found = self.analysis.cutter.cut(self.analysis.threshold)
        return {number - 1: Body(np.array(origin), mask) for number, origin, mask in found}

    def _add(self, mark: Mark, place: np.ndarray) -> None:
        if self._is_twice(place):
            self.twice.append(mark.name)
            return
        found = None
        if mark.name not in self.position_only:
            try:
                found = find_place(
                    self.candidates,
                    self.analysis.threshold,
                    self.analysis.corrected.ids,
                    self.image,
                    place,
                    self.analysis.rules,
                )
            except SpinecoreError:  # nothing stands out there, or it is the middle of the shaft
                found = None
        if found is not None and found.candidate is not None:
            self._count(mark, found.candidate)
            return
        if found is None:
            self.unclear.append(mark.name)
            self._append(mark, self._ball(place), outlined=False)
        else:
            self._append(mark, found)

    def _is_twice(self, place: np.ndarray) -> bool:
        """True where a spine with a mark lies already."""
        numbers = np.array(sorted(self.claimed), int)
        if not len(numbers):
            return False
        away = (self.candidates.centres_px[numbers] - place) * self.candidates.spacing_zyx_um
        return bool(np.linalg.norm(away * (_DEPTH_WEIGHT, 1, 1), axis=1).min() <= TOO_NEAR_UM)

    def _append(self, mark: Mark, place: Place, outlined: bool = True, flat: bool = False) -> None:
        """Add a spine to the list, and to the candidates that the next mark meets."""
        candidates = self.candidates
        number = len(candidates.scores)
        z, y, x = (round(float(v), 3) for v in place.centre_px)
        values = self._said(mark, centre_px=(z, y, x), region=place.region, untraced=place.untraced)
        if not outlined:
            values["outlined"] = False
        if flat:
            values["flat"] = True
        voxels = {} if place.grown is None else region_voxels(place.grown)
        self.edits.append(
            Edit("add", spine=number + 1, values=values, voxels=voxels, words=self._words(mark))
        )
        regions = list(candidates.regions)
        if place.grown is not None:
            regions.append(replace(place.grown, peaks=np.array([number])))
        elif place.region is not None:
            shared = regions[place.region]
            regions[place.region] = replace(shared, peaks=np.append(shared.peaks, number))
        verdicts = candidates.verdicts if len(candidates.verdicts) else np.zeros(number, np.int8)
        self.candidates = replace(
            candidates,
            centres_px=np.concatenate([candidates.centres_px.reshape(-1, 3), [place.centre_px]]),
            scores=np.append(candidates.scores, np.nan),
            verdicts=np.append(verdicts, np.int8(1)),
            regions=tuple(regions),
        )
        self.claimed.add(number)

    def _add_voxels(self, mark: Mark, place: np.ndarray, alone: bool) -> None:
        """Add a spine with the voxels of its mark; those of other spines stay theirs, unless it is `alone`."""
        body = self.bodies[mark.name]
        region = self._region_around(place, body.origin, body.mask)
        own = region.mask
        if not alone:
            own = own & ~taken_by(self.candidates, region)
        outlined = int(own.sum()) >= FEWEST_VOXELS
        if not outlined:
            self.unclear.append(mark.name)
            self._append(mark, self._ball(place), outlined=False)
            return
        spine = np.where(own, 255, region.spine).astype(np.uint8)
        dendrite = np.where(own, 0, region.dendrite).astype(region.dendrite.dtype)
        grown = replace(region, mask=own, spine=spine, dendrite=dendrite)
        self._append(mark, Place(place, grown=grown, untraced=self._is_untraced(place)), flat=body.flat)

    def _region_around(self, place: np.ndarray, origin: np.ndarray, mask: np.ndarray) -> Region:
        traced = not self._is_untraced(place)
        return region_around(
            self.candidates, self.analysis.corrected.ids, self.image, place, origin, mask, traced
        )

    def _is_untraced(self, place: np.ndarray) -> bool:
        gap = nearest_axis(place[None], self.candidates.dendrites, self.candidates.spacing_zyx_um)[1]
        return bool(gap[0] > self.analysis.rules.by_hand_um)

    def _ball(self, place: np.ndarray) -> Place:
        """A place that is only marked."""
        spacing = np.array(self.candidates.spacing_zyx_um)
        middle = np.clip(np.round(place), 0, np.array(self.candidates.shape) - 1).astype(int)
        region = self._region_around(place, middle, np.ones((1, 1, 1), bool))
        grid = np.stack(np.meshgrid(*(np.arange(n) for n in region.mask.shape), indexing="ij"), -1)
        ball = (((grid + np.array(region.origin) - middle) * spacing) ** 2).sum(-1) <= BALL_UM**2
        return Place(place, grown=replace(region, mask=ball), untraced=self._is_untraced(place))

    def notes(self, total: int, only: bool) -> list[str]:
        """Return what a person should know of the marks."""
        found = None if only else self.found
        return placing_notes(self.file, total, len(self.edits), found, self.twice, self.unclear)
