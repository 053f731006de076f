"""Agreement of two masks, pixel by pixel. Arrays may be YX or ZYX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import ratio


def _same_shape(truth: np.ndarray, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    if truth.shape != predicted.shape:
        raise SpinecoreError(f"truth and prediction differ in shape: {truth.shape} and {predicted.shape}")
    if truth.size == 0:
        raise SpinecoreError("truth and prediction hold no pixels")
    return truth, predicted


@dataclass(frozen=True)
class PixelScores:
    """Agreement of two binary masks, from their four counts.

    Parameters
    ----------
    n_both, n_truth_only, n_predicted_only, n_neither : int
        True positives, misses, false alarms, true negatives, in pixels.
    """

    n_both: int
    n_truth_only: int
    n_predicted_only: int
    n_neither: int

    @property
    def iou(self) -> float:
        """Intersection over union; NaN when both masks are empty."""
        return ratio(self.n_both, self.n_both + self.n_truth_only + self.n_predicted_only)

    @property
    def dice(self) -> float:
        """2 both / (truth + predicted); NaN when both masks are empty."""
        return ratio(2 * self.n_both, 2 * self.n_both + self.n_truth_only + self.n_predicted_only)

    @property
    def precision(self) -> float:
        """Share of predicted pixels that are true; NaN when none were predicted."""
        return ratio(self.n_both, self.n_both + self.n_predicted_only)

    @property
    def recall(self) -> float:
        """Share of true pixels that were predicted; NaN when there are none."""
        return ratio(self.n_both, self.n_both + self.n_truth_only)

    @property
    def pixel_error(self) -> float:
        """Share of all pixels that differ."""
        every = self.n_both + self.n_truth_only + self.n_predicted_only + self.n_neither
        return ratio(self.n_truth_only + self.n_predicted_only, every)

    def __add__(self, other: PixelScores) -> PixelScores:
        """Pool two images."""
        return PixelScores(
            self.n_both + other.n_both,
            self.n_truth_only + other.n_truth_only,
            self.n_predicted_only + other.n_predicted_only,
            self.n_neither + other.n_neither,
        )


def pixel_scores(truth: np.ndarray, predicted: np.ndarray) -> PixelScores:
    """Compare two masks; any non-zero value counts as inside.

    Examples
    --------
    >>> scores = pixel_scores([[1, 1, 0, 0]], [[0, 1, 1, 0]])
    >>> round(scores.iou, 3), scores.dice, scores.pixel_error
    (0.333, 0.5, 0.5)
    """
    truth, predicted = _same_shape(truth, predicted)
    a, b = truth.astype(bool), predicted.astype(bool)
    both, in_a, in_b = (int(np.count_nonzero(mask)) for mask in (a & b, a, b))
    return PixelScores(both, in_a - both, in_b - both, a.size - in_a - in_b + both)
