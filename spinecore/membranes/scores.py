"""Scores of a segmented section against the truth, with the source of each definition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import label


@dataclass(frozen=True)
class PixelScores:
    """How well the pixels of a section were told apart; the scored class ("foreground") is the inside of cells.

    Parameters
    ----------
    iou : float
        Jaccard index of the inside of cells.
    dice : float
        2 |A and B| / (|A| + |B|) of the inside of cells (F1).
    pixel_error : float
        Share of pixels in the wrong class.
    rand_error : float
        1 - Rand index (Rand 1971) of the two classes as a partition of the pixels: the share of pairs of pixels that
        are together in one partition and apart in the other. With a pixel error e it is 2 e (1 - e) for many pixels,
        which is what the four published pairs of values have.
    """

    iou: float
    dice: float
    pixel_error: float
    rand_error: float


def pixel_scores(truth: np.ndarray, predicted: np.ndarray) -> PixelScores:
    """Score one section pixel by pixel.

    Parameters
    ----------
    truth, predicted : ndarray of bool, same shape
        True inside cells.

    Returns
    -------
    PixelScores

    Examples
    --------
    >>> truth = np.array([[1, 1, 1, 0]], bool)
    >>> pixel_scores(truth, np.array([[1, 1, 0, 0]], bool))
    PixelScores(iou=0.6666666666666666, dice=0.8, pixel_error=0.25, rand_error=0.5)
    """
    both = int((truth & predicted).sum())
    either = int((truth | predicted).sum())
    total = int(truth.sum()) + int(predicted.sum())
    wrong, n = int((truth ^ predicted).sum()), truth.size
    return PixelScores(
        iou=both / either if either else 1.0,
        dice=2 * both / total if total else 1.0,
        pixel_error=wrong / n,
        rand_error=2 * wrong * (n - wrong) / (n * (n - 1)) if n > 1 else 0.0,
    )


@dataclass(frozen=True)
class RegionScores:
    """How well the cells of a section were told apart; only pixels inside the cells of the truth count.

    Parameters
    ----------
    adapted_rand_error : float
        1 - F-score of Rand precision and recall of the connected pieces of the thresholded map, as in the ISBI 2012
        challenge: predicted membrane pixels count as segments of one pixel each.
    v_rand : float
        Foreground-restricted Rand score after border thinning, sum p_ij^2 / (0.5 sum s_i^2 + 0.5 sum t_j^2)
        (Arganda-Carreras et al. 2015, Front. Neuroanat. 9:142, eq. 3 with alpha = 0.5).
    v_info : float
        Foreground-restricted information score after border thinning, I(S;T) / (0.5 H(S) + 0.5 H(T)) (there, eq. 6).
    rand_split, rand_merge : float
        sum p_ij^2 over sum t_j^2 (falls with splits) and over sum s_i^2 (falls with mergers).
    """

    adapted_rand_error: float
    v_rand: float
    v_info: float
    rand_split: float
    rand_merge: float


def contingency(truth: np.ndarray, predicted: np.ndarray) -> Any:
    """Return the shares p_ij of the truth's cell pixels that lie in predicted region i and true cell j.

    Returns
    -------
    scipy sparse matrix, shape (regions, cells)
        Sums to 1; region 0 (membrane) keeps its row.
    """
    from scipy.sparse import coo_matrix

    inside = truth > 0
    i, j = predicted[inside].astype(np.int64), truth[inside].astype(np.int64)
    shape = (int(i.max(initial=0)) + 1, int(j.max(initial=0)) + 1)
    table = coo_matrix((np.ones(len(i)), (i, j)), shape).tocsr()
    return table / max(1, len(i))


def region_scores(truth_interior: np.ndarray, pieces: np.ndarray, zones: np.ndarray) -> RegionScores:
    """Score the cells of one section.

    Parameters
    ----------
    truth_interior : ndarray of bool, shape (Y, X)
        True inside cells; its connected pieces (of pixels that share a side) are the true cells.
    pieces : ndarray of int, shape (Y, X)
        Predicted cells before border thinning, 0 on membranes.
    zones : ndarray of int, shape (Y, X)
        Predicted cells after border thinning: grown until they touch, nowhere 0.

    Returns
    -------
    RegionScores
    """
    truth = label(truth_interior)[0]
    if not truth_interior.any():
        return RegionScores(0.0, 1.0, 1.0, 1.0, 1.0)
    shares = contingency(truth, zones)
    p2, s, t = _squares(shares)
    s2, t2 = float((s**2).sum()), float((t**2).sum())
    return RegionScores(
        adapted_rand_error=1 - _adapted_rand(contingency(truth, pieces), int(truth_interior.sum())),
        v_rand=p2 / (0.5 * s2 + 0.5 * t2),
        v_info=_information(shares, s, t),
        rand_split=p2 / t2,
        rand_merge=p2 / s2,
    )


def _squares(shares: Any) -> tuple[float, np.ndarray, np.ndarray]:
    s, t = (np.asarray(shares.sum(axis)).ravel() for axis in (1, 0))
    return float((shares.data**2).sum()), s, t


def _adapted_rand(shares: Any, pixels: int) -> float:
    """Return the F-score when the pixels of region 0 are segments of one pixel each."""
    lone = float(shares[0].sum()) / pixels  # sum of squared shares of single pixels
    cells = shares[1:]
    p2, s, _ = _squares(cells) if cells.shape[0] else (0.0, np.zeros(0), None)
    t = np.asarray(shares.sum(0)).ravel()
    return (p2 + lone) / (0.5 * ((s**2).sum() + lone) + 0.5 * (t**2).sum())


def _information(shares: Any, s: np.ndarray, t: np.ndarray) -> float:
    def entropy(p: np.ndarray) -> float:
        p = p[p > 0]
        return float(-(p * np.log(p)).sum())

    apart = 0.5 * (entropy(s) + entropy(t))
    return 1.0 if apart == 0 else (entropy(s) + entropy(t) - entropy(shares.data)) / apart
