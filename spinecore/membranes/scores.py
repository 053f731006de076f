"""Scores of a segmented section against the truth, with the source of each definition."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


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
