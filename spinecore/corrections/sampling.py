"""What a random sample, checked by eye, says about everything that was counted automatically: numbers alone, no files.

The units are segments of dendrite. Each has an automatic value f_i; a random few also have the value y_i that a person
gave. The difference estimator of survey sampling (Särndal, Swensson & Wretman 1992, Model Assisted Survey Sampling,
ch. 6.3), which is prediction-powered inference for a finite population (Angelopoulos et al. 2023, Science 382:669),
takes sum over strata of [sum of f_i + (N_h / n_h) * sum over checked (y_i - f_i)]. It is unbiased whatever the faults of
the detector: these only make its interval wider.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, stdtrit  # scipy.stats takes a second to import

#: Length of a segment (um).
SEGMENT_UM = 5.0
#: At most so many strata, each with about `PER_STRATUM` checked segments or more.
MOST_STRATA = 4
PER_STRATUM = 10
#: With fewer segments that disagree, Student's t is too narrow and is widened by an exact bound.
FEW = 5
#: Half of the interval, as a share of the estimate, that `segments_needed` aims at.
AIM = 0.10

COMPLETE = "complete count"
STUDENT = "stratified difference estimator, Student's t"
NO_DISAGREEMENT = "no disagreement, exact bound (rule of three)"
FEW_DISAGREEMENTS = "stratified difference estimator, Student's t widened by an exact bound"
TOO_FEW = "too few segments for an interval"


@dataclass(frozen=True)
class SampleEstimate:
    """An estimate from a sample check.

    Parameters
    ----------
    value : float
    low, high : float
        95 % interval; NaN where nothing can be said, inf where there is no bound.
    automatic : float
        The same number without any check.
    n, population : int
        Segments checked, and all.
    method : str
        One of the constants of this module.
    """

    value: float
    low: float
    high: float
    automatic: float
    n: int
    population: int
    method: str


def cut_edges(length_um: float, target_um: float = SEGMENT_UM) -> np.ndarray:
    """Return the ends of equal segments of about a length, from 0 to `length_um`.

    Examples
    --------
    >>> cut_edges(12.0).tolist(), cut_edges(1.0).tolist()
    ([0.0, 6.0, 12.0], [0.0, 1.0])
    """
    return np.linspace(0.0, length_um, max(1, round(length_um / target_um)) + 1)


def make_strata(counts: np.ndarray, n: int) -> np.ndarray:
    """Return a stratum for each segment, by its automatic count; equal counts share one.

    Parameters
    ----------
    counts : ndarray, shape (N,)
    n : int
        Segments that are to be checked: `PER_STRATUM` of them make a stratum.
    """
    wanted = int(np.clip(n // PER_STRATUM, 1, MOST_STRATA))
    inner = np.quantile(counts, np.arange(1, wanted) / wanted) if len(counts) else np.zeros(0)
    found = np.searchsorted(np.unique(inner), counts, side="right")
    return np.unique(found, return_inverse=True)[1]


def drawing_order(strata: np.ndarray, seed: int) -> np.ndarray:
    """Return all segments in the random order in which they are checked.

    Any first part of it is a simple random sample of each stratum, spread over the strata in proportion to their sizes, so
    that a check may be stopped or extended.

    Parameters
    ----------
    strata : ndarray of int, shape (N,)
    seed : int
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(strata))
    for stratum in np.unique(strata):
        own = np.flatnonzero(strata == stratum)
        place[rng.permutation(own)] = (np.arange(len(own)) + rng.random()) / len(own)
    return np.argsort(place, kind="stable")


def estimate_total(
    automatic: np.ndarray, checked: np.ndarray, true: np.ndarray, strata: np.ndarray
) -> SampleEstimate:
    """Estimate the true total over all segments.

    Parameters
    ----------
    automatic : ndarray, shape (N,)
        Automatic count of every segment.
    checked : ndarray of int, shape (n,)
        Which segments were checked.
    true : ndarray, shape (n,)
        What a person counted there.
    strata : ndarray of int, shape (N,)

    Notes
    -----
    Where no checked segment disagrees, the bound is that of the rule of three, made exact for a finite number of segments:
    the largest number of disagreeing segments that would still leave so large a sample without one in 5 % of all draws.
    How far these are off cannot be seen in the sample; one spine each is assumed. The lower end is never below what was
    seen in the checked segments.

    Examples
    --------
    >>> found = estimate_total(np.full(10, 3), np.arange(5), np.array([3, 4, 3, 4, 3]), np.zeros(10, int))
    >>> found.automatic, found.value, round(found.low, 1), round(found.high, 1)
    (30.0, 34.0, 29.0, 38.8)
    """
    true = np.asarray(true, float)
    off = true - automatic[checked]
    n, population = len(checked), len(automatic)
    auto = float(automatic.sum())
    correction, variance, freedom = _expanded(off, checked, strata)
    value, seen = auto + correction, float(true.sum())
    disagreeing = int((off != 0).sum())
    if n == population:
        return SampleEstimate(seen, seen, seen, auto, n, population, COMPLETE)
    if n < 2:
        return SampleEstimate(value, seen, np.inf, auto, n, population, TOO_FEW)
    if disagreeing == 0:
        more = most_disagreeing(0, n, population, 0.05)
        return SampleEstimate(
            value, max(auto - more, seen), auto + more, auto, n, population, NO_DISAGREEMENT
        )
    half = _half_width(variance, freedom)
    low, high = value - half, value + half
    method = STUDENT
    if disagreeing < FEW:
        below, above = _exact_bounds(off, n, population)
        low, high = min(low, auto + below), max(high, auto + above)
        method = FEW_DISAGREEMENTS
    return SampleEstimate(value, max(low, seen), high, auto, n, population, method)


def estimate_ratio(
    top: np.ndarray,
    bottom: np.ndarray,
    checked: np.ndarray,
    true_top: np.ndarray,
    true_bottom: np.ndarray,
    strata: np.ndarray,
) -> SampleEstimate:
    """Estimate the ratio of two totals: a density, a mean or a share.

    Parameters
    ----------
    top, bottom : ndarray, shape (N,)
        Automatic values of every segment: spines over um, sums of a measure over spines that have it, spines of a class over
        all that have one.
    checked : ndarray of int, shape (n,)
    true_top, true_bottom : ndarray, shape (n,)
    strata : ndarray of int, shape (N,)

    Notes
    -----
    Both totals are difference estimates; the variance is that of the linearised ratio (Särndal et al. 1992, ch. 5.6).
    """
    n, population = len(checked), len(top)
    plain = float(top.sum() / bottom.sum()) if bottom.sum() > 0 else np.nan
    off_top, off_bottom = np.asarray(true_top) - top[checked], np.asarray(true_bottom) - bottom[checked]
    total = float(bottom.sum()) + _expanded(off_bottom, checked, strata)[0]
    if n == 0 or not total > 0:
        return SampleEstimate(np.nan, np.nan, np.nan, plain, n, population, TOO_FEW)
    value = (float(top.sum()) + _expanded(off_top, checked, strata)[0]) / total
    if n == population:
        return SampleEstimate(value, value, value, plain, n, population, COMPLETE)
    off = off_top - value * off_bottom
    if n < 2 or not off.any():
        return SampleEstimate(
            value, np.nan, np.nan, plain, n, population, TOO_FEW if n < 2 else NO_DISAGREEMENT
        )
    _, variance, freedom = _expanded(off, checked, strata)
    half = _half_width(variance, freedom) / total
    return SampleEstimate(value, value - half, value + half, plain, n, population, STUDENT)


def segments_needed(
    automatic: np.ndarray, checked: np.ndarray, true: np.ndarray, strata: np.ndarray, aim: float = AIM
) -> int | None:
    """Return how many more segments are expected to bring the interval to plus or minus a share of the total.

    0 where it is there already; None where fewer than two were checked, or the estimate is 0. The spread that was seen
    so far is taken to go on.
    """
    n, population = len(checked), len(automatic)
    if n < 2:
        return 0 if n == population else None
    off = np.asarray(true, float) - automatic[checked]
    value = float(automatic.sum()) + _expanded(off, checked, strata)[0]
    if value <= 0:
        return None
    groups = merge_strata(checked, strata)
    parts = [(int((groups == g).sum()), off[groups[checked] == g]) for g in np.unique(groups)]
    within = sum(size * _spread(own) for size, own in parts) / population
    share = float((off != 0).mean())
    for total in range(n, population):
        if share == 0:
            half: float = most_disagreeing(0, total, population, 0.05)
        else:
            variance = population**2 * (1 / total - 1 / population) * within
            half = _half_width(variance, max(total - len(parts), 1))
        if half <= aim * value:
            return total - n
    return population - n


def most_disagreeing(seen: int, n: int, population: int, chance: float) -> int:
    """Return the largest number of disagreeing segments among all that is compatible with those seen.

    That is, the largest M for which a random sample of n holds `seen` of them or fewer with more than this chance
    (hypergeometric). For seen = 0 and a large population it is the rule of three: M / N = 3 / n.

    Examples
    --------
    >>> most_disagreeing(0, 30, 10_000, 0.05) / 10_000, most_disagreeing(0, 30, 30, 0.05)
    (0.0948, 0)
    """
    largest = seen
    for number in range(seen, population - n + seen + 1):
        held = np.arange(min(seen, number) + 1)
        held = held[n - held <= population - number]
        logs = _log_choose(number, held) + _log_choose(population - number, n - held)
        if np.exp(logs - _log_choose(population, n)).sum() <= chance:
            break
        largest = number
    return largest


def merge_strata(checked: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """Return strata in which each has two checked segments or more, or all of its own; small ones join their neighbours."""
    groups = np.unique(strata, return_inverse=True)[1]
    while True:
        sizes = np.bincount(groups)
        own = np.bincount(groups[checked], minlength=len(sizes))
        poor = np.flatnonzero((own < 2) & (own < sizes))
        if len(sizes) < 2 or not len(poor):
            return groups
        first = int(poor[0])
        groups = np.where(groups == first, first - 1 if first else 1, groups)
        groups = np.unique(groups, return_inverse=True)[1]


def _expanded(off: np.ndarray, checked: np.ndarray, strata: np.ndarray) -> tuple[float, float, float]:
    """Return the expanded sum of the differences, its variance, and the degrees of freedom.

    The freedom is Satterthwaite's for strata (Cochran 1977, Sampling Techniques, eq. 5.16).
    """
    groups = merge_strata(checked, strata)
    total = variance = squares = 0.0
    for group in np.unique(groups):
        size, own = int((groups == group).sum()), off[groups[checked] == group]
        if not len(own):
            continue
        total += size / len(own) * float(own.sum())
        part = size**2 * (1 - len(own) / size) * _spread(own) / len(own)
        variance += part
        squares += part**2 / (len(own) - 1) if len(own) > 1 else 0.0
    return total, variance, variance**2 / squares if squares > 0 else float("nan")


def _spread(values: np.ndarray) -> float:
    """Sample variance; 0 for one value."""
    return float(values.var(ddof=1)) if len(values) > 1 else 0.0


def _half_width(variance: float, freedom: float) -> float:
    return float(stdtrit(freedom, 0.975)) * variance**0.5 if variance > 0 else 0.0


def _exact_bounds(off: np.ndarray, n: int, population: int) -> tuple[float, float]:
    """Return how far below and above the automatic total the truth may be, from the number of disagreeing segments.

    Each direction has its own 97.5 % bound; segments that were not seen are off by as much as those that were, and by one
    spine at least.
    """
    bounds = []
    for sign in (-1.0, 1.0):
        own = off[off * sign > 0] * sign
        size = max(1.0, float(own.mean())) if len(own) else 1.0
        unseen = most_disagreeing(len(own), n, population, 0.025) - len(own)
        bounds.append(float(off.sum()) + sign * size * unseen)
    return bounds[0], bounds[1]


def _log_choose(n: int, k: np.ndarray | int) -> np.ndarray:
    return gammaln(n + 1) - gammaln(np.asarray(k) + 1) - gammaln(n - np.asarray(k) + 1)
