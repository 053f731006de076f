"""Candidates plus a threshold give the spine table; unchanged regions are not measured twice."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinecore.analysis.ahead import read_ahead, write_ahead
from spinecore.detection.calibration import Estimate, ScoreCalibration
from spinecore.detection.candidates import SPINE_LEVEL, Candidates, Region, cut_region
from spinecore.methods.sizes import with_sizes
from spinecore.morphometry.dendrites import summarise_dendrites
from spinecore.morphometry.measurer import Measurer
from spinecore.morphometry.path import SpineCrop
from spinecore.morphometry.soma import with_soma
from spinecore.morphometry.table import finish_table, geometry_zyx_um
from spinecore.networks.device import pick_present
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


class Cutter:
    """Cuts, measures and classifies the candidates of one stack at any threshold.

    `corrections` holds the classes that a person gave (spine id to class); they replace the network's. `n_corrections`
    counts the steps of `spinecore.corrections.replay` that the candidates went through. `soma_px` is where a person marked the soma
    (z, y, x in the stack's voxels).

    Parameters
    ----------
    candidates : Candidates
    shape : tuple of int
        ZYX shape of the stack.
    spacing : Spacing
        Voxel size of the stack (um).
    device : str
        Where the shapes are classified, if this machine has it (`spinecore.networks.device.DEVICES`).
    """

    def __init__(
        self, candidates: Candidates, shape: tuple[int, int, int], spacing: Spacing, device: str = "auto"
    ) -> None:
        self.candidates = candidates
        self.shape = shape
        self.spacing = spacing
        self._measurer: Measurer | None = None
        self._cuts: dict[tuple[int, tuple[int, ...]], tuple[np.ndarray, np.ndarray]] = {}
        self._rows: dict[tuple[int, tuple[int, ...]], list[dict]] = {}
        self._shapes: dict[tuple[int, tuple[int, ...], int], np.ndarray] = {}
        self._classified: set[tuple[int, tuple[int, ...]]] = set()
        self.corrections: dict[int, str] = {}
        self.n_corrections = 0
        self.soma_px: tuple[float, float, float] | None = None
        self.device = device
        self.classifying_s = 0.0

    def _active(self, threshold: float) -> list[tuple[int, tuple[int, ...]]]:
        """(region, candidates that count at the threshold) for every region that has any."""
        out = []
        for number, region in enumerate(self.candidates.regions):
            members = self.candidates.counting(region.peaks, threshold)
            if len(members):
                out.append((number, tuple(int(m) for m in members)))
        return out

    def precompute_cuts(self, tick: Callable[[float], None] | None = None) -> None:
        """Measure and classify every spine in every way that any threshold can cut it (see `spinecore.analysis.ahead`).

        A person's corrections are not looked at: what they make anew is measured when it is shown.
        """
        keys: dict[tuple[int, tuple[int, ...]], None] = {}
        for number, region in enumerate(self.candidates.regions):
            scores = self.candidates.scores[region.peaks]
            for threshold in np.unique(scores[~np.isnan(scores)]):
                members = region.peaks[scores >= threshold]
                keys[number, tuple(int(m) for m in members)] = None
        for done, key in enumerate(keys):
            if key not in self._rows:
                self._rows[key] = self._measure(key)
            if tick and done % 20 == 0:
                tick(done / len(keys))
        self._classify(keys)

    def _cut(self, key: tuple[int, tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
        if key not in self._cuts:
            self._cuts[key] = cut_region(
                self.candidates.regions[key[0]], self.candidates, np.array(key[1], int)
            )
        return self._cuts[key]

    def cut(self, threshold: float) -> list[tuple[int, tuple[int, int, int], np.ndarray]]:
        """Return (spine id, origin on the analysis grid, bool crop) for every spine, by id."""
        out = []
        for key in self._active(threshold):
            labels, members = self._cut(key)
            origin = self.candidates.regions[key[0]].origin
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
            out.append((self.candidates.regions[key[0]], lookup[labels]))
        return out

    def table(self, threshold: float, tick: Callable[[float], None] | None = None) -> pd.DataFrame:
        """Return the spine table at a threshold, one row per spine, by id.

        The id of a spine is its rank by score, so it stays the same at every threshold.
        """
        active = self._active(threshold)
        rows: list[dict] = []
        for done, key in enumerate(active):
            if key not in self._rows:
                self._rows[key] = self._measure(key)
            rows += self._rows[key]
            if tick and done % 20 == 0:
                tick(done / len(active))
        rows.sort(key=lambda row: row["spine_id"])
        table = finish_table(rows, self.spacing, self.shape[0] == 1)
        table = with_sizes(table, self.candidates.sizes)
        return self.with_classes(self.with_soma(table), threshold)

    def with_soma(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a table with the distances from the marked soma filled in."""
        known = self.spacing.known_xy and (self.shape[0] == 1 or self.spacing.known_z)
        soma = self.soma_px if known else None
        return with_soma(table, self.candidates.dendrites, soma, geometry_zyx_um(self.spacing))

    def with_classes(self, table: pd.DataFrame, threshold: float) -> pd.DataFrame:
        """Return a table of this threshold with its shape classes filled in and corrections applied."""
        known = self._probabilities(self._active(threshold))
        filled = fill_classes(table, known, corrections=self.corrections)
        if len(self.candidates.verdicts):
            by_hand = self.candidates.verdicts[filled["spine_id"].to_numpy(int) - 1] > 0
            filled["edited"] = filled["edited"] | by_hand
        return filled

    def views(self, threshold: float, only: Collection[int] | None = None) -> dict[int, SpineView]:
        """Return the crop of every spine (or of some, by id) for the shape networks, by id."""
        found = {}
        for key in self._active(threshold):
            if only is None or any(member + 1 in only for member in key[1]):
                found |= self._views(key)
        return {i: found[i] for i in sorted(found) if only is None or i in only}

    def _views(self, key: tuple[int, tuple[int, ...]]) -> dict[int, SpineView]:
        region = self.candidates.regions[key[0]]
        labels, members = self._cut(key)
        spacing = self.candidates.spacing_zyx_um
        return {
            int(m) + 1: SpineView(
                region.intensity, labels == k, region.dendrite > 0, spacing, tuple(region.origin)
            )
            for k, m in enumerate(members, 1)
        }

    def _probabilities(self, active: list[tuple[int, tuple[int, ...]]]) -> dict[int, np.ndarray]:
        """Class probabilities by spine id; only cuts not seen before go through the network."""
        self._classify(active)
        return {m + 1: self._shapes[*key, m] for key in active for m in key[1] if (*key, m) in self._shapes}

    def _classify(self, cuts: Collection[tuple[int, tuple[int, ...]]]) -> None:
        """Put the cuts that were not seen before through the network, in one batch."""
        if not has_model():
            return
        new: dict[tuple[int, tuple[int, ...], int], SpineView] = {}
        for key in cuts:
            # a candidate that the watershed left without voxels has no row and no class
            if key not in self._classified and any((*key, m) not in self._shapes for m in key[1]):
                new |= {(*key, i - 1): view for i, view in self._views(key).items()}
        if new:
            clock = perf_counter()
            answers = classify_spines(new.values(), load_classifier(device=pick_present(self.device)))
            self._shapes |= dict(zip(new, answers, strict=True))
            self.classifying_s += perf_counter() - clock
        self._classified |= set(cuts)

    def remember_measures(self, table: pd.DataFrame, threshold: float) -> None:
        """Take measures over from a table that was made at this threshold, so that they are not taken again."""
        texts = [
            n for n in table if n.endswith("_flag") or n in ("side", "class", "class_rule", "missing_reason")
        ]
        filled = table.assign(**{name: table[name].astype(object).fillna("") for name in texts})
        known = {int(row["spine_id"]): row for row in filled.to_dict("records")}
        # files hold six digits: positions are taken from the candidates again, to the last
        places = (self.candidates.centres_px + 0.5) / (1.0, *self.candidates.scale_yx) - 0.5
        for number, row in known.items():
            if 0 < number <= len(places):
                row["z_px"], row["y_px"], row["x_px"] = places[number - 1].tolist()
        for key in self._active(threshold):
            rows = [known[member + 1] for member in key[1] if member + 1 in known]
            if len(rows) == len(key[1]):
                self._rows.setdefault(key, rows)

    def remember_classes(self, table: pd.DataFrame, threshold: float) -> None:
        """Take class probabilities over from a table that was made at this threshold."""
        if not set(PROBABILITY_COLUMNS) <= set(table.columns):
            return
        values = table[list(PROBABILITY_COLUMNS)].to_numpy(float)
        known = dict(zip(table["spine_id"].astype(int).tolist(), values, strict=True))
        for key in self._active(threshold):
            for member in key[1]:
                row = known.get(member + 1)
                if row is not None and not np.isnan(row).any():
                    self._shapes[(*key, member)] = row

    def save_ahead(self, path: Path) -> None:
        """Write all measures and class probabilities taken so far; see `spinecore.analysis.ahead`."""
        write_ahead(path, self._rows, self._shapes)

    def load_ahead(self, path: Path) -> None:
        """Take over what `save_ahead` wrote."""
        rows, shapes = read_ahead(path)
        self._rows |= rows
        self._shapes |= shapes
        self._classified |= {key for key in rows if any((*key, m) in shapes for m in key[1])}

    @property
    def measurer(self) -> Measurer:
        """The measuring tool for this stack's dendrites."""
        if self._measurer is None:
            c = self.candidates
            self._measurer = Measurer(c.dendrites, c.spacing_zyx_um, c.shape, c.scale_yx, c.background)
        return self._measurer

    def _measure(self, key: tuple[int, tuple[int, ...]]) -> list[dict]:
        return [
            self.measurer.measure_one(spine_id, crop, centre, score)
            for spine_id, crop, centre, score in self._crops(key)
        ]

    def _crops(self, key: tuple[int, tuple[int, ...]]) -> list[tuple[int, SpineCrop, np.ndarray, float]]:
        """Return (spine id, crop, head centre, score) of every spine of a region."""
        region = self.candidates.regions[key[0]]
        labels, members = self._cut(key)
        elsewhere = (region.spine >= round(SPINE_LEVEL * 255)) & ~region.mask & (region.dendrite == 0)
        found = []
        for number, member in enumerate(members, 1):
            mask = labels == number
            others = elsewhere | ((labels > 0) & ~mask)
            untraced = self.candidates.is_untraced(member)
            crop = SpineCrop(region.origin, mask, others, region.dendrite, region.intensity, untraced)
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
            if spine_id - 1 in key[1]:
                for number, *found in self._crops(key):
                    if number == spine_id:
                        return tuple(found)
        raise KeyError(spine_id)


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
