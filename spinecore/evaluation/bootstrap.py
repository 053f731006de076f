"""Confidence intervals by drawing stacks (or images) again with replacement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import Counts

STATISTICS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval.

    Parameters
    ----------
    low, high : float
        Limits; NaN where nothing could be drawn.
    level : float
        Coverage aimed at, e.g. 0.95.
    n_units : int
        How many units were drawn from.
    unit : str
        What was drawn: "stack", "image" or "spine".
    """

    low: float
    high: float
    level: float
    n_units: int
    unit: str

    def __str__(self) -> str:
        """For people: '0.812 to 0.934 (95 % over 12 stacks)'."""
        if np.isnan(self.low):
            return f"no interval ({self.n_units} {self.unit}{'' if self.n_units == 1 else 's'})"
        units = f"{self.n_units} {self.unit}{'' if self.n_units == 1 else 's'}"
        note = "; it says nothing of other stacks" if self.unit == "spine" else ""
        return f"{self.low:.3f} to {self.high:.3f} ({self.level:.0%} over {units}{note})"


def _statistic(matched: np.ndarray, predicted: np.ndarray, truth: np.ndarray, name: str) -> np.ndarray:
    above, below = {
        "precision": (matched, predicted),
        "recall": (matched, truth),
        "f1": (2 * matched, truth + predicted),
    }[name]
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)


def bootstrap_interval(
    counts: Sequence[Counts],
    statistic: str = "f1",
    level: float = 0.95,
    n_draws: int = 2000,
    seed: int = 0,
    unit: str = "stack",
) -> Interval:
    """Percentile interval of a pooled score (Efron 1979), drawing whole stacks or images.

    With several units the units are drawn, since spines of one stack share its quality. With a single
    stack its spines are drawn instead (matched, missed and false, multinomial), and the interval says so.

    Parameters
    ----------
    counts : sequence of Counts
        One per stack or image.
    statistic : str
        "precision", "recall" or "f1".
    level : float
        Coverage, between 0 and 1.
    n_draws : int
        Bootstrap samples.
    seed : int
        Makes the interval reproducible.
    unit : str
        Name of what is drawn.
    """
    if statistic not in STATISTICS:
        raise SpinecoreError(f"statistic must be one of {STATISTICS}, not {statistic!r}")
    if not 0 < level < 1:
        raise SpinecoreError(f"level must lie between 0 and 1, not {level}")
    random = np.random.default_rng(seed)
    if len(counts) > 1:
        table = np.array([(c.n_matched, c.n_predicted, c.n_truth) for c in counts], float)
        weights = random.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=n_draws)
        matched, predicted, truth = (weights @ table).T
        n_units = len(counts)
    else:
        only = counts[0] if counts else Counts()
        kinds = np.array([only.n_matched, only.n_misses, only.n_false_alarms], float)
        n_units, unit = int(kinds.sum()), "spine"
        if n_units == 0:
            return Interval(float("nan"), float("nan"), level, 0, unit)
        matched, missed, false = random.multinomial(n_units, kinds / n_units, size=n_draws).T.astype(float)
        predicted, truth = matched + false, matched + missed
    values = _statistic(matched, predicted, truth, statistic)
    values = values[~np.isnan(values)]
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), level, n_units, unit)
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high), level, n_units, unit)
