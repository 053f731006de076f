"""Counts of shape classes with intervals, and a plane in which similar spines lie close."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from spinecore.shapes.classes import CLASSES

#: Measures that the map of shapes is made of; those that are missing throughout are left out.
MAP_MEASURES = (
    "length_um",
    "head_width_um",
    "neck_width_um",
    "neck_length_um",
    "area_um2",
    "volume_um3",
    "elongation",
    "sphericity",
)


def wilson(count: int, total: int, level: float = 0.95) -> tuple[float, float]:
    """Return the Wilson score interval of a fraction (Wilson 1927).

    Examples
    --------
    >>> tuple(round(v, 3) for v in wilson(8, 10))
    (0.49, 0.943)
    """
    if total == 0:
        return float("nan"), float("nan")
    z = float(ndtri(0.5 + level / 2))
    share = count / total
    middle = share + z**2 / (2 * total)
    half = z * float(np.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)))
    return (middle - half) / (1 + z**2 / total), (middle + half) / (1 + z**2 / total)


def count_classes(answers: pd.Series, groups: pd.Series | None = None) -> pd.DataFrame:
    """Count classes, per group if groups are given.

    Parameters
    ----------
    answers : Series of str
        Class per spine; missing ones are left out of the fractions.
    groups : Series, optional
        For example the dendrite of each spine.

    Returns
    -------
    DataFrame
        group, class, n, total, fraction and its 95 % interval (low, high); the four classes always, others where
        they occur. The interval treats spines as independent, which spines of one dendrite are not.
    """
    known = answers.notna() & (answers != "")
    keys = pd.Series("all", answers.index) if groups is None else groups
    names = [*CLASSES, *sorted(set(answers[known]) - set(CLASSES))]
    rows = []
    for key in sorted(keys[known].dropna().unique()):
        own = answers[known & (keys == key)]
        for name in names:
            n = int((own == name).sum())
            low, high = wilson(n, len(own))
            rows.append((key, name, n, len(own), n / len(own), low, high))
    return pd.DataFrame(rows, columns=["group", "class", "n", "total", "fraction", "low", "high"])


def principal_plane(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components of standardised columns.

    Parameters
    ----------
    values : ndarray, shape (n, m)
        Missing entries take their column's median; constant or empty columns are left out.

    Returns
    -------
    points : ndarray, shape (n, 2)
    explained : ndarray, shape (2,)
        Share of the variance along each.
    """
    n = len(values)
    keep = ~np.isnan(values).all(0) if n else np.zeros(values.shape[1], bool)
    values = values[:, keep].astype(float)
    if n < 3 or values.shape[1] < 2:
        return np.zeros((n, 2)), np.zeros(2)
    values = np.where(np.isnan(values), np.nanmedian(values, 0), values)
    spread = values.std(0)
    values = (values - values.mean(0))[:, spread > 1e-9] / spread[spread > 1e-9]
    if values.shape[1] < 2:
        return np.zeros((n, 2)), np.zeros(2)
    left, size, right = np.linalg.svd(values, full_matrices=False)
    sign = np.sign(right[:2, np.abs(right[:2]).argmax(1)].diagonal())
    points = left[:, :2] * size[:2] * np.where(sign == 0, 1, sign)
    return points, (size**2 / (size**2).sum())[:2]
