"""Comparing two groups of animals: effect size, its interval, a permutation test, and how little one spine adds.

Everything here takes one number per animal (or per pair of conditions in an animal); what becomes one number is
decided in `spinecore.groups.summary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from spinecore.errors import SpinecoreError
from spinecore.evaluation.bootstrap import bootstrap_values

#: With at most so many regroupings all are tried, else as many are drawn.
MOST_REGROUPINGS = 20_000
N_DRAWS = 5_000


@dataclass(frozen=True)
class Comparison:
    """Group b against group a, one number per animal.

    Parameters
    ----------
    n_a, n_b : int
        Animals with a value.
    mean_a, mean_b : float
    difference, difference_low, difference_high : float
        mean_b - mean_a, with its 95 % interval by Student's t (Welch 1947 when unpaired).
    g, g_low, g_high : float
        Hedges' g with its 95 % bootstrap interval over animals.
    p_permutation, p_smallest : float
        Two-sided permutation test on the difference, and the smallest p that so few animals can give.
    p_t : float
        Two-sided p of the t test that belongs to the interval of the difference.
    paired : bool
        True where each animal has both conditions.
    """

    n_a: int
    n_b: int
    mean_a: float
    mean_b: float
    difference: float
    difference_low: float
    difference_high: float
    g: float
    g_low: float
    g_high: float
    p_permutation: float
    p_smallest: float
    p_t: float
    paired: bool


def small_sample_factor(df: float) -> float:
    """Return Hedges' exact correction J of a standardised difference (Hedges 1981).

    Examples
    --------
    >>> round(small_sample_factor(10), 4)
    0.9227
    """
    return float(np.exp(gammaln(df / 2) - gammaln((df - 1) / 2)) / np.sqrt(df / 2)) if df > 1 else np.nan


def hedges_g(a: np.ndarray, b: np.ndarray) -> float:
    """Return Hedges' g of b against a: the difference of the means over the pooled SD, corrected for small samples.

    Parameters
    ----------
    a, b : ndarray, shape (n_a,) and (n_b,)

    Returns
    -------
    float
        NaN with fewer than two values in a group, or without any spread.

    Examples
    --------
    >>> round(hedges_g(np.array([1.0, 2, 3]), np.array([2.0, 3, 4])), 4)
    0.7979
    """
    return float(_g(np.asarray(a, float), np.asarray(b, float)))


def hedges_g_paired(a: np.ndarray, b: np.ndarray) -> float:
    """Return Hedges' g for pairs: the mean difference over the root mean square of the two SDs, corrected.

    The SD is that between animals, not that of the differences, so that g is comparable with the unpaired one
    (d_av, Cumming 2012).
    """
    return float(_g_paired(np.asarray(a, float), np.asarray(b, float)))


def _g(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Hedges' g along an axis."""
    n_a, n_b = a.shape[axis], b.shape[axis]
    df = n_a + n_b - 2
    difference = b.mean(axis) - a.mean(axis)
    if n_a < 2 or n_b < 2:
        return np.full_like(difference, np.nan)
    pooled = np.sqrt(((n_a - 1) * a.var(axis, ddof=1) + (n_b - 1) * b.var(axis, ddof=1)) / df)
    return _ratio(difference, pooled) * small_sample_factor(df)


def _g_paired(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
    """Hedges' g of pairs along an axis."""
    difference = (b - a).mean(axis)
    if a.shape[axis] < 2:
        return np.full_like(difference, np.nan)
    spread = np.sqrt((a.var(axis, ddof=1) + b.var(axis, ddof=1)) / 2)
    return _ratio(difference, spread) * small_sample_factor(a.shape[axis] - 1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 1e-12)


def bootstrap_g(
    a: np.ndarray, b: np.ndarray, paired: bool = False, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of Hedges' g (Efron 1979), drawing animals with replacement.

    Draws without any spread have no g and are left out. With few animals the interval is too narrow; a test of
    that many animals can say little in any case.

    Parameters
    ----------
    a, b : ndarray, shape (n_a,) and (n_b,)
        One number per animal.
    paired : bool
        True where both hold the same animals in the same order, which are then drawn together.
    level : float
        Coverage, between 0 and 1.
    seed : int
        Makes the interval reproducible.

    Returns
    -------
    tuple of float
        NaN with fewer than three animals in a group.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if min(len(a), len(b)) < 3:
        return np.nan, np.nan
    values = bootstrap_values((a, b), _g_paired if paired else _g, N_DRAWS, seed, paired)
    if len(values) < N_DRAWS / 2:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def permutation_test(
    a: np.ndarray, b: np.ndarray, paired: bool = False, seed: int = 0
) -> tuple[float, float]:
    """Return the two-sided p of the difference of means, and the smallest p that these numbers of animals can give.

    Unpaired: the animals are dealt to the groups anew. Paired: each animal's conditions are swapped. All regroupings
    are tried where there are at most `MOST_REGROUPINGS`, else so many are drawn (then p = (reached + 1) / (draws + 1)).

    Parameters
    ----------
    a, b : ndarray, shape (n_a,) and (n_b,)
        One number per animal.
    paired : bool
        True where both hold the same animals in the same order.
    seed : int
        Makes drawn regroupings reproducible.

    Returns
    -------
    p, smallest : float
        NaN with fewer than two animals in a group.

    Examples
    --------
    >>> permutation_test(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))
    (0.1, 0.1)
    """
    from scipy import stats  # takes a second to import

    a, b = np.asarray(a, float), np.asarray(b, float)
    if min(len(a), len(b)) < 2:
        return np.nan, np.nan
    observed = max(abs(b.mean() - a.mean()), 1e-300)

    def difference(first: np.ndarray, second: np.ndarray, axis: int = -1) -> np.ndarray:
        # in units of what was observed, and rounded: regroupings that give the same mean are ties
        return np.round(np.abs(second.mean(axis) - first.mean(axis)) / observed, 9)

    found = stats.permutation_test(
        (a, b),
        difference,
        permutation_type="samples" if paired else "independent",
        vectorized=True,
        n_resamples=MOST_REGROUPINGS,
        alternative="greater",
        rng=np.random.default_rng(seed),
    )
    regroupings = 2 ** len(a) if paired else comb(len(a) + len(b), len(a))
    smallest = (2 if len(a) == len(b) else 1) / regroupings
    if regroupings > MOST_REGROUPINGS:
        smallest = max(smallest, 1 / (MOST_REGROUPINGS + 1))
    return float(found.pvalue), smallest


def difference_interval(
    a: np.ndarray, b: np.ndarray, paired: bool = False, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the lower and upper end of the interval of mean(b) - mean(a), and the two-sided p, by Student's t.

    Unpaired with Welch's degrees of freedom (Welch 1947, Satterthwaite 1946).
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if min(len(a), len(b)) < 2:
        return np.nan, np.nan, np.nan
    if paired:
        differences = b - a
        middle, df = differences.mean(), len(differences) - 1.0
        error = differences.std(ddof=1) / np.sqrt(len(differences))
    else:
        parts = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
        middle, error = b.mean() - a.mean(), np.sqrt(parts.sum())
        below = (parts**2 / (len(a) - 1, len(b) - 1)).sum()
        df = parts.sum() ** 2 / below if below > 0 else np.nan
    if not error > 0:
        return np.nan, np.nan, np.nan
    reach = float(stdtrit(df, (1 + level) / 2)) * error
    return float(middle - reach), float(middle + reach), float(2 * stdtr(df, -abs(middle) / error))


def compare(a: Sequence[float], b: Sequence[float], paired: bool = False, seed: int = 0) -> Comparison:
    """Compare group b with group a; values that are NaN (paired: whose partner is) take no part."""
    first, second = np.asarray(a, float), np.asarray(b, float)
    if paired:
        if len(first) != len(second):
            raise SpinecoreError("a paired comparison needs the same animals in both groups")
        known = np.isfinite(first) & np.isfinite(second)
        first, second = first[known], second[known]
    else:
        first, second = first[np.isfinite(first)], second[np.isfinite(second)]
    mean_a, mean_b = (float(v.mean()) if len(v) else np.nan for v in (first, second))
    low, high, p_t = difference_interval(first, second, paired)
    g_low, g_high = bootstrap_g(first, second, paired, seed=seed)
    p, smallest = permutation_test(first, second, paired, seed)
    return Comparison(
        n_a=len(first),
        n_b=len(second),
        mean_a=mean_a,
        mean_b=mean_b,
        difference=mean_b - mean_a,
        difference_low=low,
        difference_high=high,
        g=(hedges_g_paired if paired else hedges_g)(first, second),
        g_low=g_low,
        g_high=g_high,
        p_permutation=p,
        p_smallest=smallest,
        p_t=p_t,
        paired=paired,
    )


# Holm's steps are six lines. scipy has none (`scipy.stats.false_discovery_control` is Benjamini and Hochberg's, which bounds
# another error), and statsmodels, which has them, is 65 MB to install.
def holm(p: Sequence[float]) -> np.ndarray:
    """Return p values adjusted for their number (Holm 1979); NaN stays NaN and does not count.

    Parameters
    ----------
    p : sequence of float
        Of tests that were done together.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p, float)
    out = np.full(len(values), np.nan)
    known = np.flatnonzero(np.isfinite(values))
    order = known[np.argsort(values[known], kind="stable")]
    steps = values[order] * np.arange(len(order), 0, -1)
    out[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return out


def intraclass_correlation(values: np.ndarray, groups: Sequence[object]) -> float:
    """Return how alike the members of a group are: ICC(1) by one-way analysis of variance (Donner 1986).

    Parameters
    ----------
    values : ndarray, shape (n,)
    groups : sequence, length n
        What each value belongs to, e.g. its animal.

    Returns
    -------
    float
        0 (no more alike than strangers) to 1; NaN with fewer than two groups or no group of two.
    """
    values = np.asarray(values, float)
    _, index = np.unique(np.asarray(groups, object).astype(str), return_inverse=True)
    known = np.isfinite(values)
    values, index = values[known], index[known]
    sizes = np.bincount(index).astype(float)
    sums = np.bincount(index, values)
    present = sizes > 0
    k, n = int(present.sum()), len(values)
    if k < 2 or n <= k:
        return np.nan
    means = sums[present] / sizes[present]
    between = float((sizes[present] * (means - values.mean()) ** 2).sum()) / (k - 1)
    within = float(((values - (sums / np.maximum(sizes, 1))[index]) ** 2).sum()) / (n - k)
    size = (n - (sizes**2).sum() / n) / (k - 1)
    below = between + (size - 1) * within
    return float(np.clip((between - within) / below, 0, 1)) if below > 0 else np.nan


def effective_number(n: int, n_groups: int, correlation: float) -> float:
    """Return how many independent values n values of n_groups groups are worth (Kish 1965).

    Examples
    --------
    >>> round(effective_number(400, 8, 0.2), 1), effective_number(400, 8, 0.0), effective_number(400, 8, 1.0)
    (37.0, 400.0, 8.0)
    """
    return float(n / (1 + (n / n_groups - 1) * correlation))
