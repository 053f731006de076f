"""Confidence intervals by drawing stacks (or images) again with replacement."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import Counts

STATISTICS = ("precision", "recall", "f1")
#: Units drawn at a time, to bound the memory.
MOST_DRAWN = 1_000_000


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


def _pooled(name: str) -> Callable[..., np.ndarray]:
    """Return the function of (matched, predicted, truth) per unit that gives the pooled score along an axis."""

    def score(matched: np.ndarray, predicted: np.ndarray, truth: np.ndarray, axis: int = -1) -> np.ndarray:
        found, reported, there = (values.sum(axis) for values in (matched, predicted, truth))
        above, below = {
            "precision": (found, reported),
            "recall": (found, there),
            "f1": (2 * found, there + reported),
        }[name]
        return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0)

    return score


def _units(counts: Sequence[Counts]) -> np.ndarray:
    """Return (matched, predicted, truth) of each unit: of each stack, or of each spine of a single one, (n, 3)."""
    if len(counts) > 1:
        return np.array([(c.n_matched, c.n_predicted, c.n_truth) for c in counts], float)
    only = counts[0] if counts else Counts()
    kinds = np.array([(1.0, 1.0, 1.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)])
    return np.repeat(kinds, [only.n_matched, only.n_misses, only.n_false_alarms], axis=0)


def bootstrap_values(
    samples: Sequence[np.ndarray],
    score: Callable[..., np.ndarray],
    n_draws: int,
    seed: int,
    paired: bool = False,
) -> np.ndarray:
    """Return a score of samples that were drawn again with replacement (Efron 1979).

    Parameters
    ----------
    samples : sequence of ndarray, shape (n,)
        What is drawn from.
    score : callable
        Of the samples, along the axis that its argument `axis` names; NaN where it is not defined.
    n_draws : int
        Bootstrap samples.
    seed : int
        Makes the draws reproducible.
    paired : bool
        True where the samples are of one length and drawn together.

    Returns
    -------
    ndarray
        Draws for which the score is not defined are left out.
    """
    from scipy import stats  # takes a second to import

    size = max(len(sample) for sample in samples)
    if size < 2:
        values = np.atleast_1d(score(*samples))
    else:
        with warnings.catch_warnings():  # of draws without a score
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            values = stats.bootstrap(
                tuple(samples),
                score,
                n_resamples=n_draws,
                batch=max(1, MOST_DRAWN // size),
                vectorized=True,
                paired=paired,
                method="percentile",
                rng=np.random.default_rng(seed),
            ).bootstrap_distribution
    return values[np.isfinite(values)]


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
    stack its spines are drawn instead (matched, missed and false), and the interval says so.

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
    units = _units(counts)
    unit = unit if len(counts) > 1 else "spine"
    n_units = len(units)
    values = bootstrap_values(tuple(units.T), _pooled(statistic), n_draws, seed, paired=True)
    if len(values) == 0:
        return Interval(float("nan"), float("nan"), level, n_units, unit)
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(float(low), float(high), level, n_units, unit)
