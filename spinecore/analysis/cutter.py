"""Candidates plus a threshold give the spine table; what was measured before is not measured again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import blake2b

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinecore.analysis.ahead import CutKey, MeasuredCuts
from spinecore.corrections.log import Corrections
from spinecore.detection.calibration import Estimate, ScoreCalibration
from spinecore.detection.candidates import SPINE_LEVEL, ByHand, Candidates, Region
from spinecore.detection.cutting import cut_region
from spinecore.methods.sizes import with_sizes
from spinecore.morphometry.columns import TEXT_COLUMNS
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.dendrites import summarise_dendrites
from spinecore.morphometry.hand import with_marks
from spinecore.morphometry.measurer import Measurer
from spinecore.morphometry.path import FEWEST_VOXELS
from spinecore.morphometry.soma import with_soma
from spinecore.morphometry.table import finish_table, geometry_zyx_um
from spinecore.networks.device import pick_present
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.shapes.classify import (
    PROBABILITY_COLUMNS,
    SpineView,
    classify_spines,
    fill_classes,
    has_model,
    load_classifier,
)
from spinecore.stack import Spacing
from spinecore.tracing.trace import centreline_points


@dataclass(frozen=True)
class Cutter:
    """Cuts, measures and classifies the candidates of one stack at any threshold.

    Parameters
    ----------
    candidates : Candidates
        With what people said about spines applied (`spinecore.corrections.replay`).
    shape : tuple of int
        ZYX shape of the stack.
    spacing : Spacing
        Voxel size of the stack (um).
    cuts : MeasuredCuts
        What was measured before, of these candidates in a stack of this shape and spacing.
    corrections : Corrections
        Its classes replace the network's, and its soma is what distances are taken from.
    device : str
        Where the shapes are classified, if this machine has it (`spinecore.networks.device.DEVICES`).
    rules : ChosenRules, optional
        Of the settings; those of Rodriguez et al. by default.
    """

    candidates: Candidates
    shape: tuple[int, int, int]
    spacing: Spacing
    cuts: MeasuredCuts = field(default_factory=MeasuredCuts)
    corrections: Corrections = field(default_factory=Corrections)
    device: str = "auto"
    rules: ChosenRules | None = None

    @property
    def chosen_rules(self) -> ChosenRules:
        """The rules that name the classes beside the network: a person's choice for this analysis, else the settings'."""
        said = self.corrections.rules
        return (self.rules or ChosenRules()) if said is None else ChosenRules.from_dict(said)

    def _key(self, region: int, members: Iterable[int], seen: bool = False) -> CutKey:
        """The key of a cut: of its measures, or of how its spines look (`seen`), which centre lines do not change."""
        chosen = tuple(int(m) for m in members)
        found = self.candidates
        said = [found.added[m - found.n_detected] for m in chosen if m >= found.n_detected]
        said += [f"{m}: {found.by_hand[m].digest}" for m in chosen if m in found.by_hand]
        if found.changed and found.changed[region][not seen]:
            said.append(found.changed[region][not seen])
        return CutKey(region, chosen, tuple(said))

    @cached_property
    def _last_active(self) -> dict[float, list[CutKey]]:
        return {}

    def _active(self, threshold: float) -> list[CutKey]:
        """The cut of every region that has candidates which count at the threshold; those of the last one are kept."""
        found = self._last_active.get(threshold)
        if found is None:
            found = []
            for number, region in enumerate(self.candidates.regions):
                members = self.candidates.counting(region.peaks, threshold)
                if len(members):
                    found.append(self._key(number, members))
            self._last_active.clear()
            self._last_active[threshold] = found
        return found

    def precompute_cuts(self, tick: Callable[[float], None] | None = None) -> None:
        """Measure and classify every spine as any threshold would cut it (see `spinecore.analysis.ahead`).

        A person's corrections are not looked at: what they change is measured when it is shown.
        """
        keys = self.every_cut()
        self.measure_cuts(keys, tick)
        self.classify_cuts(keys)

    def every_cut(self) -> list[CutKey]:
        """Return every cut that any threshold makes, by the detector's scores."""
        keys: dict[CutKey, None] = {}
        for number, region in enumerate(self.candidates.regions):
            scores = self.candidates.scores[region.peaks]
            for threshold in np.unique(scores[~np.isnan(scores)]):
                keys[self._key(number, region.peaks[scores >= threshold])] = None
        return list(keys)

    def measure(self, threshold: float, tick: Callable[[float], None] | None = None) -> None:
        """Measure what counts at a threshold, so that `table` finds it done."""
        self.measure_cuts(self._active(threshold), tick)

    def measure_cuts(self, keys: list[CutKey], tick: Callable[[float], None] | None = None) -> None:
        """Measure the spines of some cuts, unless that was done before."""
        for done, key in enumerate(keys):
            self._rows(key)
            if tick and done % 20 == 0:
                tick(done / len(keys))

    def _rows(self, key: CutKey) -> tuple[dict, ...]:
        return self.cuts.rows(key, lambda: self._measure(key))

    def _measure(self, key: CutKey) -> list[dict]:
        rows = []
        for number, crop, centre, score in self._crops(key):
            measure = partial(self.measurer.measure_one, number, crop, centre, score)
            rows.append(self.cuts.measures((number, key.region, key.added, _digest(crop)), measure))
        return rows

    def _cut(self, key: CutKey) -> tuple[np.ndarray, np.ndarray]:
        region = self.candidates.regions[key.region]
        return self.cuts.labels(key, lambda: cut_region(region, self.candidates, np.array(key.members, int)))

    def cut(self, threshold: float) -> list[tuple[int, tuple[int, int, int], np.ndarray]]:
        """Return (spine id, origin on the analysis grid, bool crop) for every spine, by id."""
        out = []
        for key in self._active(threshold):
            labels, members = self._cut(key)
            origin = self.candidates.regions[key.region].origin
            out += [(int(m) + 1, origin, labels == k) for k, m in enumerate(members, 1)]
        return sorted(out, key=lambda item: item[0])

    def label_volume(self, threshold: float) -> np.ndarray:
        """Return spine ids on the analysis grid, int32 (Z, Y, X)."""
        volume = np.zeros(self.candidates.shape, np.int32)
        for region, ids in self._painted(threshold):
            window = tuple(slice(o, o + n) for o, n in zip(region.origin, ids.shape, strict=True))
            np.copyto(volume[window], ids, where=ids > 0)
        return volume

    def label_projection(self, threshold: float, axis: str = "xy") -> np.ndarray:
        """Return spine ids projected along z ("xy"), y ("xz") or x ("yz") on the analysis grid."""
        along = {"xy": 0, "xz": 1, "yz": 2}[axis]
        keep = [a for a in range(3) if a != along]
        out = np.zeros([self.candidates.shape[a] for a in keep], np.int32)
        for region, ids in self._painted(threshold):
            flat = ids.max(along)
            window = tuple(
                slice(region.origin[a], region.origin[a] + n) for a, n in zip(keep, flat.shape, strict=True)
            )
            np.copyto(out[window], flat, where=flat > 0)
        return out

    def _painted(self, threshold: float) -> list[tuple[Region, np.ndarray]]:
        out = []
        for key in self._active(threshold):
            labels, members = self._cut(key)
            lookup = np.concatenate([[0], np.asarray(members, int) + 1]).astype(np.int32)
            out.append((self.candidates.regions[key.region], lookup[labels]))
        return out

    def table(self, threshold: float, tick: Callable[[float], None] | None = None) -> pd.DataFrame:
        """Return the spine table at a threshold, one row per spine, by id.

        The id of a spine is its rank by score, so it stays the same at every threshold.
        """
        self.measure(threshold, tick)
        rows = [row for key in self._active(threshold) for row in self._rows(key)]
        if self.candidates.redrawn:
            rows = [self.measurer.placed(row, self.candidates.redrawn) for row in rows]
        rows.sort(key=lambda row: row["spine_id"])
        table = finish_table(rows, self.spacing, self.shape[0] == 1)
        return self.with_classes(self.with_soma(with_sizes(table, self.candidates.sizes)), threshold)

    def with_soma(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the distances from the marked soma filled in."""
        known = self.spacing.known_xy and (self.shape[0] == 1 or self.spacing.known_z)
        soma = self.corrections.soma_px if known else None
        return with_soma(table, self.candidates.dendrites, soma, geometry_zyx_um(self.spacing))

    def with_classes(self, table: pd.DataFrame, threshold: float) -> pd.DataFrame:
        """Return a table of this threshold with its shape classes filled in, as people corrected them."""
        filled = fill_classes(
            table, self._probabilities(threshold), self.chosen_rules, self.corrections.class_of
        )
        found = self.candidates
        if len(found.verdicts):
            numbers = filled["spine_id"].to_numpy(int) - 1
            marked = np.isin(numbers, list(found.by_hand))
            by_score = np.nan_to_num(found.scores[numbers], nan=-1.0) >= threshold
            counted = (found.verdicts[numbers] > 0) & ~by_score
            filled["edited"] = filled["edited"] | counted | marked
        said = self.corrections
        reviewed = {n: (sorted(a.by), a.time) for n, a in said.answers.items() if a.by}
        return with_marks(filled, found, said.branched, reviewed, said.marked)

    def views(self, threshold: float, only: Collection[int] | None = None) -> dict[int, SpineView]:
        """Return the crop of every spine (or of some, by id) for the shape networks, by id."""
        found: dict[int, SpineView] = {}
        for key in self._active(threshold):
            if only is None or any(member + 1 in only for member in key.members):
                found |= self._views(key)
        return {i: found[i] for i in sorted(found) if only is None or i in only}

    def _views(self, key: CutKey) -> dict[int, SpineView]:
        region = self.candidates.regions[key.region]
        labels, members = self._cut(key)
        spacing = self.candidates.spacing_zyx_um
        return {
            int(m) + 1: SpineView(region.intensity, labels == k, region.dendrite > 0, spacing, region.origin)
            for k, m in enumerate(members, 1)
        }

    def _probabilities(self, threshold: float) -> dict[int, np.ndarray]:
        """Class probabilities by spine id; only cuts not seen before go through the network."""
        active = self._active(threshold)
        self.classify_cuts(active)
        looks = [(self._key(key.region, key.members, seen=True), m) for key in active for m in key.members]
        found = {m + 1: self.cuts.probabilities(look, m) for look, m in looks}
        return {number: values for number, values in found.items() if values is not None}

    def classify_cuts(self, keys: Collection[CutKey]) -> None:
        """Put those of some cuts that were not seen before through the network, in one batch."""
        if not has_model():
            return
        looks = {self._key(key.region, key.members, seen=True): key for key in keys}
        new: dict[tuple[CutKey, int], SpineView] = {}
        for look in self.cuts.unclassified(looks):
            # a candidate that the watershed left without voxels has no row and no class; one with a few has no shape
            if self.candidates.regions[looks[look].region].outlined:
                views = self._views(looks[look]).items()
                new |= {(look, i - 1): view for i, view in views if view.mask.sum() >= FEWEST_VOXELS}
        if new:
            answers = classify_spines(
                new.values(), load_classifier(device=pick_present(self.device), folded=True)
            )
            self.cuts.add_probabilities(dict(zip(new, answers, strict=True)))
        self.cuts.mark_classified(looks)

    def remember_measures(self, table: pd.DataFrame, threshold: float) -> None:
        """Take measures over from a table that was made at this threshold, so that they are not taken again."""
        texts = [name for name in table if name in TEXT_COLUMNS]
        filled = table.assign(**{name: table[name].astype(object).fillna("") for name in texts})
        known = {
            int(row["spine_id"]): {str(name): value for name, value in row.items()}
            for row in filled.to_dict("records")
        }
        # files hold six digits: positions are taken from the candidates again, to the last
        places = (self.candidates.centres_px + 0.5) / (1.0, *self.candidates.scale_yx) - 0.5
        for number, row in known.items():
            if 0 < number <= len(places):
                row["z_px"], row["y_px"], row["x_px"] = places[number - 1].tolist()
        for key in self._active(threshold):
            rows = [known[member + 1] for member in key.members if member + 1 in known]
            if len(rows) == len(key.members):
                self.cuts.add_rows(key, rows)

    def remember_classes(self, table: pd.DataFrame, threshold: float) -> None:
        """Take class probabilities over from a table that was made at this threshold."""
        if not set(PROBABILITY_COLUMNS) <= set(table.columns):
            return
        values = table[list(PROBABILITY_COLUMNS)].to_numpy(float)
        known = dict(zip(table["spine_id"].astype(int).tolist(), values, strict=True))
        found = {
            (self._key(key.region, key.members, seen=True), m): known[m + 1]
            for key in self._active(threshold)
            for m in key.members
            if m + 1 in known
        }
        self.cuts.add_probabilities({key: row for key, row in found.items() if not np.isnan(row).any()})

    @cached_property
    def measurer(self) -> Measurer:
        """The measuring tool for this stack's dendrites."""
        c = self.candidates
        return Measurer(c.dendrites, c.spacing_zyx_um, c.shape, c.scale_yx, c.background)

    def _crops(self, key: CutKey) -> list[tuple[int, SpineCrop, np.ndarray, float]]:
        """Return (spine id, crop, head centre, score) of every spine of a region."""
        region = self.candidates.regions[key.region]
        labels, members = self._cut(key)
        elsewhere = (region.spine >= round(SPINE_LEVEL * 255)) & ~region.mask & (region.dendrite == 0)
        found = []
        for number, member in enumerate(members, 1):
            mask = labels == number
            others = elsewhere | ((labels > 0) & ~mask)
            untraced = self.candidates.is_untraced(member)
            said = self.candidates.by_hand.get(int(member), ByHand())
            parts = region.origin, mask, others, region.dendrite, region.intensity
            crop = SpineCrop(*parts, untraced, said, region.outlined)
            centre, score = self.candidates.centres_px[member], float(self.candidates.scores[member])
            found.append((int(member) + 1, crop, centre, score))
        return found

    def crop_of(self, spine_id: int, threshold: float) -> tuple[SpineCrop, np.ndarray, float]:
        """Return the crop that a spine is measured in, its head centre on the analysis grid, and its score.

        Raises
        ------
        KeyError
            When there is no such spine at this threshold.
        """
        for key in self._active(threshold):
            if spine_id - 1 in key.members:
                for number, crop, centre, score in self._crops(key):
                    if number == spine_id:
                        return crop, centre, score
        raise KeyError(spine_id)


def _digest(crop: SpineCrop) -> bytes:
    """Return a digest of a spine's voxels and of other spines', which may be the same in several cuts of a region."""
    return blake2b(np.packbits([crop.mask, crop.others]).tobytes(), digest_size=16).digest()


def dendrite_table(
    spines: pd.DataFrame,
    candidates: Candidates,
    spacing: Spacing,
    flat: bool,
    calibration: ScoreCalibration | None = None,
) -> pd.DataFrame:
    """Return one row per traced dendrite with its spines counted; with a calibration also the corrected density."""
    estimates = None
    if calibration is not None:
        owner = candidate_dendrites(spines, candidates)
        estimates = {
            d.id: estimate_number(calibration, candidates, owner == d.id) for d in candidates.dendrites
        }
    return summarise_dendrites(spines, candidates.dendrites, spacing, flat, estimates)


def estimate_number(
    calibration: ScoreCalibration, candidates: Candidates, chosen: np.ndarray | slice = slice(None)
) -> Estimate:
    """Return the number of spines among some candidates, what a person said about them taken as certain."""
    verdicts = candidates.verdicts[chosen] if len(candidates.verdicts) else None
    return calibration.estimate(candidates.scores[chosen], verdicts)


def candidate_dendrites(spines: pd.DataFrame, candidates: Candidates) -> np.ndarray:
    """Return the dendrite of every candidate: that of its row in the spine table, else the nearest centre line's.

    Returns
    -------
    ndarray of int, shape (n,)
        0 where there is none.
    """
    owner = np.zeros(len(candidates.scores), int)
    points, numbers = centreline_points(candidates.dendrites)
    if len(points) and len(owner):
        owner = numbers[cKDTree(points).query(candidates.centres_px * candidates.spacing_zyx_um)[1]]
    if len(candidates.untraced):
        owner[candidates.untraced] = 0
    measured = spines[spines["dendrite_id"].notna()]
    owner[measured["spine_id"].to_numpy(int) - 1] = measured["dendrite_id"].to_numpy(int)
    return owner
