"""Corrections applied: dendrites redrawn, candidates that count whatever their score or do not, spines added and reshaped.

The number of a spine or dendrite never changes: an added one gets the next that is free, also after an undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
from scipy.spatial import cKDTree

from spinecore.corrections.answers import YES, answers_about
from spinecore.corrections.edit import DENDRITE_KINDS, REDO, UNDO, Edit, standing_edits
from spinecore.corrections.patches import Patched, Window
from spinecore.corrections.regions import voxels_region
from spinecore.corrections.shafts import Shafts, correct_shafts, take_away
from spinecore.corrections.surroundings import digests_of_regions, redrawn_dendrites
from spinecore.detection.belonging import DetectionRules, nearest_axis
from spinecore.detection.candidates import ByHand, Candidates, Region

#: A head up to this far from a spine that a person added is that spine (um; depth counts half).
SAME_HEAD_UM = 0.6
#: So many states of the shafts are kept, for undo and redo.
MOST_KEPT = 12


@dataclass(frozen=True)
class Counts:
    """What a person changed, as it now stands."""

    removed: int
    counted: int
    added: int

    @property
    def any(self) -> bool:
        """True when anything was changed."""
        return bool(self.removed or self.counted or self.added)

    @property
    def words(self) -> str:
        """The changes as words; empty without any.

        Examples
        --------
        >>> Counts(2, 0, 1).words
        '2 removed, 1 added'
        """
        parts = (
            (self.removed, "removed"),
            (self.counted, "counted below the threshold"),
            (self.added, "added"),
        )
        return ", ".join(f"{n} {text}" for n, text in parts if n)


@dataclass(frozen=True)
class Corrected:
    """Candidates and shafts with every correction that stands applied.

    Parameters
    ----------
    candidates : Candidates
    ids : Patched
        Dendrite of every voxel of the analysis grid, uint16 (Z, Y, X).
    failed : tuple of int
        Numbers of corrections that had nothing left to correct.
    """

    candidates: Candidates
    ids: Patched
    failed: tuple[int, ...] = ()

    @cached_property
    def dendrite_ids(self) -> np.ndarray:
        """Dendrite of every voxel, as one array."""
        return self.ids.whole()


def apply_corrections(
    detected: Candidates,
    dendrite_ids: np.ndarray,
    history: Sequence[Edit],
    rules: DetectionRules | None = None,
    kept: dict[tuple[str, ...], Shafts] | None = None,
) -> Corrected:
    """Return candidates and shafts with corrections applied; the same where there are none.

    Parameters
    ----------
    detected : Candidates
        As the detector found them.
    dendrite_ids : ndarray of uint16, shape (Z, Y, X)
        Of the detected shafts.
    history : sequence of Edit
        Every line of the log.
    rules : DetectionRules, optional
        By which heads belong to a shaft.
    kept : dict, optional
        Shafts of earlier calls, by the corrections of dendrites that made them; the last is put in.
    """
    if not history:
        return Corrected(detected, Patched(dendrite_ids))
    standing = standing_edits(history)
    shafts = _shafts(detected, dendrite_ids, [e for e in standing if e.kind in DENDRITE_KINDS], kept)
    work = _Work(detected, shafts, standing)
    for edit in history:
        if edit.kind not in (UNDO, REDO):
            work.take(edit)
    ids = work.carved()
    return Corrected(work.finished(ids, rules or DetectionRules()), ids, shafts.failed)


def _shafts(
    detected: Candidates,
    ids: np.ndarray,
    edits: list[Edit],
    kept: dict[tuple[str, ...], Shafts] | None,
) -> Shafts:
    found = Shafts(detected.dendrites, Patched(ids))
    if kept is None:
        return correct_shafts(detected, found, edits)
    key = tuple(e.digest for e in edits)
    known = max((k for k in list(kept) if k == key[: len(k)]), key=len, default=())
    found = kept.get(known, found)
    if len(known) < len(key):
        found = correct_shafts(detected, found, edits[len(known) :])
        while len(kept) >= MOST_KEPT:
            kept.pop(next(iter(kept)), None)
        kept[key] = found
    return found


class _Work:
    """Candidates while corrections are applied one after the other."""

    def __init__(self, detected: Candidates, shafts: Shafts, standing: Sequence[Edit]) -> None:
        self.detected, self.shafts = detected, shafts
        self.standing = {e.n for e in standing}
        self.regions = list(detected.regions)
        self.names = [str(number) for number in range(len(self.regions))]
        self.touched: set[int] = set()
        self.renamed: set[int] = set()
        self.centres: list[tuple[float, float, float]] = []
        self.moved: dict[int, tuple[float, float, float]] = {}
        self.untraced: list[bool] = []
        self.added: list[str] = []
        self.verdicts = {
            number - 1: 1 if said.holds == YES else -1
            for number, said in answers_about(standing).items()
            if said.holds is not None
        }
        self.marks: dict[int, ByHand] = {}
        self.outlines: list[tuple[int, Region]] = []

    def take(self, edit: Edit) -> None:
        """Apply one correction; of those that do not stand only the numbers that they used up."""
        stands = edit.n in self.standing
        if edit.kind == "add":
            self._add(edit, stands)
        elif edit.kind == "outline":
            self._outline(edit, stands)
        elif stands and edit.kind in ("trace", "redraw", "tracing"):
            self._recrop(edit)
        elif stands and edit.kind == "move":
            self._move(edit)
        elif stands and edit.kind == "attach" and edit.spine:
            self._mark(edit.spine - 1, edit, dendrite_id=edit.values["dendrite_id"])

    def _add(self, edit: Edit, stands: bool) -> None:
        number = len(self.detected.scores) + len(self.added)
        said = edit.values
        if edit.voxels:
            region = replace(voxels_region(edit.voxels), outlined=bool(said.get("outlined", True)))
            place = self._put(region, number, stands)
        elif said["region"] is not None:
            place = int(said["region"])
            region = self.regions[place]
            self.regions[place] = replace(region, peaks=np.append(region.peaks, number))
        else:
            raise ValueError(f"added spine {edit.spine} has no voxels")
        if stands and said.get("flat"):
            self._mark(number, edit, flat=True)
        z, y, x = said["centre_px"]
        self.centres.append((z, y, x))
        self.untraced.append(bool(said["untraced"]))
        self.added.append(f"{self.names[place]} {(z, y, x)} {bool(said['untraced'])}")

    def _put(self, region: Region, number: int, stands: bool) -> int:
        """Put in a region of one candidate's own, and return its place."""
        self.regions.append(replace(region, peaks=np.array([number], int)))
        self.names.append(_digest(region))
        if stands and region.outlined:
            self.outlines.append((number, region))
        return len(self.regions) - 1

    def _outline(self, edit: Edit, stands: bool) -> None:
        own = int(edit.spine or 0) - 1
        region = voxels_region(edit.voxels)
        if not stands:
            self._put(region, own, stands=False)
            self.regions[-1] = replace(self.regions[-1], peaks=np.zeros(0, int))
            return
        freed = replace(region, mask=edit.voxels["released"] | region.mask)
        gone = {own, *(int(i) - 1 for i in edit.values.get("merged", ()))}
        for place, other in enumerate(self.regions):
            if not gone & set(other.peaks.tolist()):
                continue
            mask = other.mask.copy()
            take_away(mask, _window_of(other), freed)
            peaks = np.array([p for p in other.peaks if int(p) not in gone], int)
            self.regions[place] = replace(other, mask=mask, peaks=peaks)
            self.touched.add(place)
            self.outlines = [(n, o) for n, o in self.outlines if o.mask is not other.mask]
        self.touched.add(self._put(region, own, stands=True))
        self._mark(own, edit, flat=bool(edit.values.get("flat")))

    def _recrop(self, edit: Edit) -> None:
        """Widen the crops that a new shaft runs past."""
        for name, origin in edit.voxels.items():
            if not name.startswith("at"):
                continue
            place = int(name[2:])
            image = edit.voxels[f"crop{place}"]
            region = self.regions[place]
            offset = np.array(region.origin) - origin
            end = offset + region.mask.shape
            if (offset < 0).any() or (end > image.shape).any():
                continue
            inside = tuple(slice(int(a), int(b)) for a, b in zip(offset, end, strict=True))
            mask, spine = np.zeros(image.shape, bool), np.zeros(image.shape, np.uint8)
            mask[inside], spine[inside] = region.mask, region.spine
            z, y, x = (int(v) for v in origin)
            shaft = np.zeros(image.shape, region.dendrite.dtype)
            self.regions[place] = Region((z, y, x), mask, spine, shaft, image, region.peaks, region.outlined)
            self.touched.add(place)

    def _move(self, edit: Edit) -> None:
        own = int(edit.spine or 0) - 1
        z, y, x = edit.values["place_px"]
        if edit.values["part"] == "head":
            self.moved[own] = (z, y, x)
            self._mark(own, edit)
        else:
            self._mark(own, edit, **{f"{edit.values['part']}_px": (z, y, x)})

    def _mark(self, own: int, edit: Edit, **said: object) -> None:
        before = self.marks.get(own, ByHand())
        self.marks[own] = replace(before, digest=f"{before.digest}{edit.digest}", **said)  # type: ignore[arg-type]

    def carved(self) -> Patched:
        """Return shafts without the voxels of the outlines that people made."""
        ids = self.shafts.ids
        for own, region in self.outlines:
            if self.verdicts.get(own, 0) < 0:
                continue
            window = _window_of(region)
            part = ids[window]
            if (part[region.mask] > 0).any():
                part[region.mask] = 0
                ids = ids.laid(window, part)
        return ids

    def finished(self, ids: Patched, rules: DetectionRules) -> Candidates:
        """Return the candidates."""
        detected = self.detected
        for place, region in enumerate(self.regions):
            window = _window_of(region)
            if place >= len(detected.regions):
                self.touched.add(place)  # it was cut from shafts that may have been corrected since
            if place in self.touched or any(_overlap(window, other) for other in ids.windows):
                shaft = ids[window]
                if not np.array_equal(shaft, region.dendrite):
                    if not np.array_equal(shaft > 0, region.dendrite > 0):
                        self.touched.add(place)
                    self.regions[place] = replace(region, dendrite=shaft)
                    self.renamed.add(place)
        count = len(detected.scores) + len(self.added)
        verdicts = np.zeros(count, np.int8)
        for own, verdict in self.verdicts.items():
            if 0 <= own < count:
                verdicts[own] = verdict
        untraced = detected.untraced if len(detected.untraced) else np.zeros(len(detected.scores), bool)
        centres = np.concatenate([detected.centres_px.reshape(-1, 3), np.array(self.centres).reshape(-1, 3)])
        for own, place_px in self.moved.items():
            centres[own] = place_px
        untraced = np.concatenate([untraced, np.array(self.untraced, bool)])
        lines = self.shafts.dendrites
        scores = detected.scores
        if lines is not detected.dendrites:
            untraced = _untraced(untraced, centres, detected, lines, rules)
            by_hand = [k for k in range(len(detected.scores), count) if verdicts[k] > 0]
            scores = _woken(detected, untraced, centres[by_hand])
        for own, mark in self.marks.items():
            if mark.dendrite_id is not None:
                untraced[own] = False
        regions = tuple(self.regions)
        return replace(
            detected,
            centres_px=centres,
            scores=np.concatenate([scores, np.full(len(self.added), np.nan)]),
            regions=regions,
            dendrites=tuple(lines),
            untraced=untraced,
            verdicts=verdicts,
            added=tuple(self.added),
            by_hand=self.marks,
            changed=digests_of_regions(detected, regions, lines, centres, self.touched, self.renamed),
            redrawn=redrawn_dendrites(detected.dendrites, lines),
        )


def _untraced(
    before: np.ndarray,
    centres_px: np.ndarray,
    detected: Candidates,
    lines: Sequence,
    rules: DetectionRules,
) -> np.ndarray:
    """Say anew which heads belong to no traced shaft, where lines came nearer to them or went away."""
    spacing = detected.spacing_zyx_um
    old = nearest_axis(centres_px, detected.dendrites, spacing)[1]
    new = nearest_axis(centres_px, lines, spacing)[1]
    out = before.copy()
    out[before & (new < old - 1e-6) & (new <= rules.near_um)] = False
    out[~before & (new > old + 0.5) & (new > rules.near_um)] = True
    return out


def _woken(detected: Candidates, untraced: np.ndarray, by_hand_px: np.ndarray) -> np.ndarray:
    """Return the scores, with those of heads that no shaft was near and one now is; not where a person added a spine."""
    scores = detected.scores.copy()
    first = len(scores) - len(detected.far_scores)
    near = ~untraced[first : len(scores)]
    if len(by_hand_px) and near.any():
        weight = np.array(detected.spacing_zyx_um) * (0.5, 1, 1)
        own = cKDTree(by_hand_px * weight).query(detected.centres_px[first:] * weight)[0]
        near &= own > SAME_HEAD_UM
    scores[first:][near] = detected.far_scores[near]
    return scores


def _window_of(region: Region) -> Window:
    return tuple(slice(o, o + n) for o, n in zip(region.origin, region.mask.shape, strict=True))


def _overlap(one: Window, other: Window) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _digest(region: Region) -> str:
    """A short text that differs for regions with other voxels."""
    found = blake2b(repr((region.origin, region.mask.shape)).encode(), digest_size=16)
    for part in (region.mask, region.spine, region.dendrite, region.intensity):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def count_corrections(candidates: Candidates, threshold: float) -> Counts:
    """Count what a person's corrections change at a threshold."""
    if not len(candidates.verdicts):
        return Counts(0, 0, 0)
    by_hand = np.isnan(candidates.scores)
    above = np.nan_to_num(candidates.scores, nan=-1.0) >= threshold
    yes, no = candidates.verdicts > 0, candidates.verdicts < 0
    return Counts(int((no & above).sum()), int((yes & ~above & ~by_hand).sum()), int((yes & by_hand).sum()))
