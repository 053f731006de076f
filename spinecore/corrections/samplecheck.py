"""A sample check: segments of dendrite drawn at random, what a person counted there, and what follows for all of them.

Everything is a line of an append-only log in the analysis folder: a draw (its segments, with the automatic spines of each,
and the seed) and the answers after it. The automatic counts stay those of the draw: corrections made afterwards, which
change only what somebody looked at, must not enter them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spinecore.corrections.bound import append_bound, read_bound
from spinecore.corrections.log import SAMPLE_CHECK
from spinecore.corrections.sampling import (
    SampleEstimate,
    drawing_order,
    estimate_ratio,
    estimate_total,
    make_strata,
    segments_needed,
)
from spinecore.corrections.segments import Segment
from spinecore.errors import SpinecoreError
from spinecore.shapes.classes import CLASSES

#: Measures whose mean over the checked spines is estimated.
MEASURES = ("head_width_um", "length_um", "volume_um3")
#: How many segments are drawn at first.
DEFAULT_SEGMENTS = 30


@dataclass(frozen=True)
class Answer:
    """What a person said about a segment; the last answer counts.

    Parameters
    ----------
    segment : int
    true_count : int
        Spines on it.
    on_shaft : bool or None
        Whether the centre line lies on a dendrite; None was not asked.
    shaft_missing : bool or None
        Whether a dendrite beside it was not traced.
    not_spines : tuple of int
        Automatic spines that are none.
    by, time : str
        Who, and when (ISO, UTC).
    """

    segment: int
    true_count: int
    on_shaft: bool | None = None
    shaft_missing: bool | None = None
    not_spines: tuple[int, ...] = ()
    by: str = ""
    time: str = ""

    def says_the_same(self, other: Answer) -> bool:
        """Say whether another answer differs in its time at most."""
        return replace(self, time="") == replace(other, time="")


@dataclass(frozen=True)
class SampleCheck:
    """One draw and its answers.

    Parameters
    ----------
    seed : int
    n : int
        Segments drawn.
    threshold : float
        Lowest score of the automatic spines.
    segments : tuple of Segment
        All of them, of which `n` are drawn.
    planned : int
        Segments asked for when the strata were made.
    answers : mapping from segment number to Answer
    """

    seed: int
    n: int
    threshold: float
    segments: tuple[Segment, ...]
    planned: int
    answers: dict[int, Answer]

    @cached_property
    def counts(self) -> np.ndarray:
        """Automatic count of every segment."""
        return np.array([len(s.spines) for s in self.segments], int)

    @cached_property
    def strata(self) -> np.ndarray:
        """Stratum of every segment."""
        return make_strata(self.counts, self.planned)

    @cached_property
    def drawn(self) -> list[Segment]:
        """The drawn segments in the order in which they are checked."""
        order = drawing_order(self.strata, self.seed)
        return [self.segments[k] for k in order[: self.n]]

    @cached_property
    def checked(self) -> list[Answer]:
        """The answers about drawn segments."""
        return [self.answers[s.number] for s in self.drawn if s.number in self.answers]

    @property
    def length_um(self) -> float:
        """Length of all segments."""
        return sum(s.length_um for s in self.segments)

    @property
    def people(self) -> list[str]:
        """Who checked."""
        return sorted({answer.by for answer in self.checked if answer.by})

    @property
    def _rows(self) -> np.ndarray:
        return np.array([answer.segment - 1 for answer in self.checked], int)

    @property
    def _true(self) -> np.ndarray:
        return np.array([answer.true_count for answer in self.checked], float)

    def total(self) -> SampleEstimate:
        """Return the estimated number of spines on the traced dendrites."""
        return estimate_total(self.counts, self._rows, self._true, self.strata)

    def density(self) -> SampleEstimate:
        """Return the estimated number of spines per um of dendrite.

        Where a person saw a centre line that lies on no dendrite, its length does not count.
        """
        lengths = np.array([s.length_um for s in self.segments])
        if all(answer.on_shaft is not False for answer in self.checked):
            found, per_um = self.total(), 1 / self.length_um if self.length_um else np.nan
            scaled = {k: getattr(found, k) * per_um for k in ("value", "low", "high", "automatic")}
            return replace(found, **scaled)
        true = [0.0 if a.on_shaft is False else lengths[a.segment - 1] for a in self.checked]
        counts = self.counts.astype(float)
        return estimate_ratio(counts, lengths, self._rows, self._true, np.array(true), self.strata)

    def more(self) -> int | None:
        """Return how many more segments are expected to bring the number to +-10 %."""
        return segments_needed(self.counts, self._rows, self._true, self.strata)

    @property
    def false_are_named(self) -> bool:
        """True where it is known of every checked segment which automatic spines are none."""
        return all(a.true_count >= self.counts[a.segment - 1] - len(a.not_spines) for a in self.checked)

    def mean(self, spines: pd.DataFrame, measure: str) -> SampleEstimate:
        """Return the mean of a measure over the automatic spines that are spines; NaN where these are not known.

        Parameters
        ----------
        spines : DataFrame
            With spine_id and the measure.
        measure : str
        """
        return self._ratio(_measured(spines, measure))

    def share(self, spines: pd.DataFrame, name: str) -> SampleEstimate:
        """Return the share of a class among the automatic spines that are spines and have a class."""
        return self._ratio(_classed(spines, name))

    def mean_sums(self, spines: pd.DataFrame, measure: str) -> tuple[float, float]:
        """Return the two estimated totals of which `mean` is the ratio: of the measure, and of spines that have it."""
        return self._sums(_measured(spines, measure))

    def share_sums(self, spines: pd.DataFrame, name: str) -> tuple[float, float]:
        """Return the two estimated totals of which `share` is the ratio: spines of the class, and with any."""
        return self._sums(_classed(spines, name))

    def _ratio(self, values: pd.DataFrame) -> SampleEstimate:
        (top, true_top), (bottom, true_bottom) = (self._by_segment(values[n]) for n in ("top", "bottom"))
        found = estimate_ratio(top, bottom, self._rows, true_top, true_bottom, self.strata)
        return found if self.false_are_named else replace(found, value=np.nan, low=np.nan, high=np.nan)

    def _sums(self, values: pd.DataFrame) -> tuple[float, float]:
        if not self.false_are_named:
            return np.nan, np.nan
        top, bottom = (
            estimate_total(auto, self._rows, true, self.strata).value
            for auto, true in (self._by_segment(values[n]) for n in ("top", "bottom"))
        )
        return top, bottom

    def _by_segment(self, values: pd.Series) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the automatic spines of every segment, and over those that are spines of the checked ones."""
        of = values.to_dict()

        def sums(spines: Iterable[int]) -> float:
            return sum(of.get(number, 0.0) for number in spines)

        every = [sums(s.spines) for s in self.segments]
        kept = [
            sums(n for n in self.segments[a.segment - 1].spines if n not in a.not_spines)
            for a in self.checked
        ]
        return np.array(every, float), np.array(kept, float)


def draw_check(folder: Path, segments: Sequence[Segment], n: int, seed: int, threshold: float) -> SampleCheck:
    """Draw n segments and store the draw; earlier answers belong to the earlier draw.

    Raises
    ------
    SpinecoreError
        If there are no segments, or n or the seed is impossible.
    """
    if not segments:
        raise SpinecoreError("no dendrite was traced, so there are no segments to check")
    if n < 1 or seed < 0:
        raise SpinecoreError("the number of segments must be 1 or more, and the seed 0 or more")
    n = min(n, len(segments))
    line = {"action": "draw", "seed": seed, "n": n, "threshold": threshold}
    append_bound(folder, SAMPLE_CHECK, line | {"segments": [asdict(s) for s in segments]})
    return SampleCheck(seed, n, threshold, tuple(segments), n, {})


def extend_check(folder: Path, n: int) -> None:
    """Draw further segments, to n in all; the answers stay."""
    append_bound(folder, SAMPLE_CHECK, {"action": "extend", "n": n})


def append_answer(folder: Path, answer: Answer) -> None:
    """Store an answer; it is on the disk when this returns."""
    line = asdict(answer)
    line.pop("time")
    append_bound(folder, SAMPLE_CHECK, {"action": "answer"} | line)


def read_check(folder: Path) -> SampleCheck | None:
    """Return the last draw of an analysis with its answers; None where nothing was drawn."""
    check: SampleCheck | None = None
    for line in read_bound(Path(folder), SAMPLE_CHECK):
        if line["action"] == "draw":
            segments = tuple(Segment(**s | {"spines": tuple(s["spines"])}) for s in line["segments"])
            check = SampleCheck(line["seed"], line["n"], line["threshold"], segments, line["n"], {})
        elif check is None:
            continue
        elif line["action"] == "extend":
            check = replace(check, n=min(max(check.n, int(line["n"])), len(check.segments)))
        else:
            given = {k: line[k] for k in Answer.__dataclass_fields__ if k in line}
            answer = Answer(**given | {"not_spines": tuple(line.get("not_spines", ()))})
            check = replace(check, answers=check.answers | {answer.segment: answer})
    return check


def summarise_check(check: SampleCheck, spines: pd.DataFrame) -> dict[str, Any]:
    """Return all estimates as plain values for JSON; what is not known is None.

    Parameters
    ----------
    check : SampleCheck
    spines : DataFrame
        The spine table.
    """
    total, density = check.total(), check.density()
    asked = [a for a in check.checked if a.on_shaft is not None]
    beside = [a for a in check.checked if a.shaft_missing is not None]
    out: dict[str, Any] = {
        "total": _known(total.value),
        "density_per_um": _known(density.value),
        "low": _known(total.low),
        "high": _known(total.high),
        "density_low_per_um": _known(density.low),
        "density_high_per_um": _known(density.high),
        "n": total.n,
        "N": total.population,
        "method": total.method,
        "automatic_total": int(total.automatic),
        "automatic_density_per_um": _known(density.automatic),
        "length_um": _known(check.length_um),
        "drawn": check.n,
        "more_for_10_percent": check.more(),
        "seed": check.seed,
        "threshold": check.threshold,
        "checked_by": check.people,
        "off_shaft": [sum(a.on_shaft is False for a in asked), len(asked)],
        "shaft_missing": [sum(bool(a.shaft_missing) for a in beside), len(beside)],
        "means": {m: _plain(check.mean(spines, m)) for m in MEASURES if m in spines},
        "class_shares": {},
    }
    if "class" in spines and (spines["class"].fillna("") != "").any():
        out["class_shares"] = {name: _plain(check.share(spines, name)) for name in CLASSES}
    return out


def check_words(check: SampleCheck) -> str:
    """Return a sentence for a methods section; empty while nothing was checked."""
    if not check.checked:
        return ""
    found, density = check.total(), check.density()
    who = f" by {' and '.join(check.people)}" if check.people else ""
    interval = f" (95 % CI {density.low:.3g} to {density.high:.3g})" if np.isfinite(density.high) else ""
    return (
        f"A random sample of {found.n} of {found.population} segments of about 5 um (stratified by the automatic count, seed "
        f"{check.seed}) was counted by eye{who}; the difference estimator (Särndal et al. 1992) gives {density.value:.3g} "
        f"spines per um{interval}, where the automatic count gives {density.automatic:.3g}."
    )


def _measured(spines: pd.DataFrame, measure: str) -> pd.DataFrame:
    """What each spine that has a measure adds to its sum (top) and to the number of such spines (bottom)."""
    values = spines.set_index("spine_id")[measure].astype(float).dropna()
    return pd.DataFrame({"top": values, "bottom": 1.0})


def _classed(spines: pd.DataFrame, name: str) -> pd.DataFrame:
    """What each spine with a class adds to the spines of one class, and to their number."""
    classes = spines.set_index("spine_id")["class"].dropna()
    classes = classes[classes != ""]
    return pd.DataFrame({"top": (classes == name).astype(float), "bottom": 1.0})


def _known(value: float) -> float | None:
    return float(f"{value:.6g}") if np.isfinite(value) else None


def _plain(found: SampleEstimate) -> dict[str, float | None]:
    return {k: _known(getattr(found, k)) for k in ("value", "low", "high", "automatic")}
