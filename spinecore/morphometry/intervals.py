"""The exact confidence interval of a count."""

from __future__ import annotations

from scipy.special import chdtri  # quantiles of chi-squared; scipy.stats takes a second to import


def poisson_interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact confidence interval of a Poisson mean (Garwood 1936).

    Parameters
    ----------
    count : int
        Observed number.
    confidence : float
        Coverage, between 0 and 1.

    Examples
    --------
    >>> [round(v, 3) for v in poisson_interval(10)]
    [4.795, 18.39]
    """
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else float(chdtri(2 * count, 1 - tail)) / 2
    return low, float(chdtri(2 * count + 2, tail)) / 2
