"""Comparing two groups of animals: effect size, its interval, a permutation test, and how little one spine adds.

Everything here takes one number per animal (or per pair of conditions in an animal); what becomes one number is
decided in `spinecore.groups.summary`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np
from scipy.special import gammaln, stdtr, stdtrit

from spinecore.errors import SpinecoreError

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
    return float(_g(np.asarray(a, float)[None], np.asarray(b, float)[None])[0])


def hedges_g_paired(a: np.ndarray, b: np.ndarray) -> float:
    """Return Hedges' g for pairs: the mean difference over the root mean square of the two SDs, corrected.

    The SD is that between animals, not that of the differences, so that g is comparable with the unpaired one
    (d_av, Cumming 2012).
    """
    return float(_g_paired(np.asarray(a, float)[None], np.asarray(b, float)[None])[0])


def _g(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hedges' g of each row."""
    n_a, n_b = a.shape[1], b.shape[1]
    df = n_a + n_b - 2
    if n_a < 2 or n_b < 2:
        return np.full(len(a), np.nan)
    pooled = np.sqrt(((n_a - 1) * a.var(1, ddof=1) + (n_b - 1) * b.var(1, ddof=1)) / df)
    return _ratio(b.mean(1) - a.mean(1), pooled) * small_sample_factor(df)


def _g_paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if a.shape[1] < 2:
        return np.full(len(a), np.nan)
    spread = np.sqrt((a.var(1, ddof=1) + b.var(1, ddof=1)) / 2)
    return _ratio((b - a).mean(1), spread) * small_sample_factor(a.shape[1] - 1)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full(len(above), np.nan), where=below > 1e-12)


def bootstrap_g(
    a: np.ndarray, b: np.ndarray, paired: bool = False, level: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of Hedges' g (Efron 1979), drawing animals with replacement.

    Draws without any spread have no g and are left out. With few animals the interval is too narrow; a test of
    that many animals can say little in any case.

    Returns
    -------
    tuple of float
        NaN with fewer than three animals in a group.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if min(len(a), len(b)) < 3:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    first = rng.integers(0, len(a), (N_DRAWS, len(a)))
    if paired:
        values = _g_paired(a[first], b[first])
    else:
        values = _g(a[first], b[rng.integers(0, len(b), (N_DRAWS, len(b)))])
    values = values[np.isfinite(values)]
    if len(values) < N_DRAWS / 2:
        return np.nan, np.nan
    tail = (1 - level) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def permutation_test(
    a: np.ndarray, b: np.ndarray, paired: bool = False, seed: int = 0
) -> tuple[float, float]:
    """Return the two-sided p of the difference of means, and the smallest p that these numbers of animals can give.

    Unpaired: the animals are dealt to the groups anew. Paired: each animal's difference changes its sign. All ways
    are tried where there are at most `MOST_REGROUPINGS`, else so many are drawn (then p = (hits + 1) / (draws + 1)).

    Examples
    --------
    >>> permutation_test(np.array([1.0, 2, 3]), np.array([4.0, 5, 6]))
    (0.1, 0.1)
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if min(len(a), len(b)) < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    if paired:
        differences = b - a
        ways = 2 ** len(differences)
        exact = ways <= MOST_REGROUPINGS
        signs = (
            np.array(list(product((1, -1), repeat=len(differences))), float)
            if exact
            else rng.choice((-1.0, 1.0), (MOST_REGROUPINGS, len(differences)))
        )
        found, observed = np.abs(signs @ differences) / len(differences), abs(differences.mean())
        smallest = 2 / ways
    else:
        values, total, n = np.concatenate([a, b]), float(a.sum() + b.sum()), len(a)
        ways = comb(len(values), n)
        exact = ways <= MOST_REGROUPINGS
        chosen = (
            np.array(list(combinations(range(len(values)), n)))
            if exact
            else np.argsort(rng.random((MOST_REGROUPINGS, len(values))), axis=1)[:, :n]
        )
        sums = values[chosen].sum(1)
        found = np.abs((total - sums) / len(b) - sums / n)
        observed = abs(b.mean() - a.mean())
        smallest = (2 if len(a) == len(b) else 1) / ways
    hits = int((found >= observed - 1e-9 * max(observed, 1.0)).sum())
    if exact:
        return hits / ways, smallest
    return (hits + 1) / (MOST_REGROUPINGS + 1), max(smallest, 1 / (MOST_REGROUPINGS + 1))


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


def holm(p: Sequence[float]) -> np.ndarray:
    """Return p values adjusted for their number (Holm 1979); NaN stays NaN and does not count.

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
