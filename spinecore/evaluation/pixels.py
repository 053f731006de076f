"""Scores of pixels and regions: masks, membranes, and panoptic maps. Arrays may be YX or ZYX."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spinecore.errors import SpinecoreError
from spinecore.evaluation.curves import Curve
from spinecore.evaluation.edges import mask_edges
from spinecore.evaluation.matching import Counts, match_edges, ratio

#: Most score levels of a pixel precision-recall curve.
PIXEL_LEVELS = 256


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


def pixel_precision_recall(truth: np.ndarray, probability: np.ndarray, levels: int = PIXEL_LEVELS) -> Curve:
    """Precision and recall of pixels as the probability threshold falls.

    Parameters
    ----------
    truth : ndarray
        Mask; non-zero is inside.
    probability : ndarray of float, same shape
        Higher means more surely inside.
    levels : int
        Most thresholds, at even quantiles of the values that occur.
    """
    truth, probability = _same_shape(truth, probability)
    inside, value = truth.astype(bool).ravel(), probability.astype(float).ravel()
    if np.isnan(value).any():
        raise SpinecoreError("the probability map holds missing values")
    thresholds = np.unique(value)
    if len(thresholds) > levels:
        thresholds = thresholds[np.unique(np.linspace(0, len(thresholds) - 1, levels).round().astype(int))]
    thresholds = thresholds[::-1]
    kept = value.size - np.searchsorted(np.sort(value), thresholds, side="left")
    correct = inside.sum() - np.searchsorted(np.sort(value[inside]), thresholds, side="left")
    total = int(inside.sum())
    precision = correct / kept
    recall = correct / total if total else np.full(len(kept), np.nan)
    f1 = 2 * correct / (kept + total)
    return Curve(thresholds, precision, recall, f1)


@dataclass(frozen=True)
class RegionScores:
    """Agreement of two partitions, from the sums over their contingency table.

    Parameters
    ----------
    rand_error : float
        Share of pixel pairs on which the partitions disagree (Rand 1971).
    rand_split, rand_merge : float
        Rand recall and precision of pairs, sum p_ij^2 over sum t_i^2 and over sum s_j^2, t the truth and s the
        prediction: splits lower the first, mergers the second.
    v_rand : float
        Their harmonic mean (Arganda-Carreras et al. 2015, alpha = 0.5).
    information_split, information_merge : float
        Conditional entropies H(prediction | truth) and H(truth | prediction) in bits.
    """

    rand_error: float
    rand_split: float
    rand_merge: float
    v_rand: float
    information_split: float
    information_merge: float

    @property
    def adapted_rand_error(self) -> float:
        """1 - V_rand."""
        return 1.0 - self.v_rand

    @property
    def variation_of_information(self) -> float:
        """Sum of the two conditional entropies in bits (Meila 2003); 0 for equal partitions."""
        return self.information_split + self.information_merge


def region_scores(truth: np.ndarray, predicted: np.ndarray, ignore_background: bool = True) -> RegionScores:
    """Compare two label images as partitions.

    Parameters
    ----------
    truth, predicted : ndarray of int, equal shapes
        Label images.
    ignore_background : bool
        Leave out pixels whose truth is 0 (foreground-restricted, as in the ISBI 2012 challenge).
        A predicted 0 is a region like any other.

    Raises
    ------
    ValueError
        If no pixel is left to compare.
    """
    truth, predicted = _same_shape(truth, predicted)
    if ignore_background:
        inside = truth != 0
        truth, predicted = truth[inside], predicted[inside]
    n = truth.size
    if n == 0:
        raise SpinecoreError("the truth holds no region, only background")
    t = np.unique(truth.ravel(), return_inverse=True)[1]
    ids_p, p = np.unique(predicted.ravel(), return_inverse=True)
    joint = np.unique(t.astype(np.int64) * len(ids_p) + p, return_counts=True)[1].astype(float)
    size_t, size_p = np.bincount(t).astype(float), np.bincount(p).astype(float)
    squares, squares_t, squares_p = (float(np.sum(part**2)) for part in (joint, size_t, size_p))
    pairs = n * (n - 1.0)
    disagreeing = (squares_t + squares_p) - 2 * squares

    def entropy(sizes: np.ndarray) -> float:
        share = sizes / n
        return float(-np.sum(share * np.log2(share)))

    h_joint, h_t, h_p = entropy(joint), entropy(size_t), entropy(size_p)
    return RegionScores(
        rand_error=disagreeing / pairs if pairs else 0.0,
        rand_split=squares / squares_t,
        rand_merge=squares / squares_p,
        v_rand=2 * squares / (squares_t + squares_p),
        information_split=max(h_joint - h_t, 0.0),
        information_merge=max(h_joint - h_p, 0.0),
    )


def label_cells(interior: np.ndarray) -> np.ndarray:
    """Number the regions between membranes of a YX image (True = cell interior), 4-connected, 0 = membrane."""
    interior = np.asarray(interior, bool)
    if interior.ndim != 2:
        raise SpinecoreError(
            f"cells are labelled section by section: give a YX image, not {interior.ndim} axes"
        )
    return ndimage.label(interior)[0]


def fill_borders(labels: np.ndarray) -> np.ndarray:
    """Give every 0 pixel of a label image the label of the nearest region; unchanged if there is none."""
    labels = np.asarray(labels)
    if not (labels != 0).any():
        return labels.copy()
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    return labels[tuple(nearest)]


def thin_borders(labels: np.ndarray) -> np.ndarray:
    """Return a YX label image whose borders (0) are one pixel wide: grown to touch, then cut where they meet."""
    full = fill_borders(labels)
    border = np.zeros(full.shape, bool)
    border[:-1] |= full[:-1] != full[1:]
    border[:, :-1] |= full[:, :-1] != full[:, 1:]
    return np.where(border, 0, full)


def membrane_scores(truth_interior: np.ndarray, predicted_interior: np.ndarray) -> RegionScores:
    """Foreground-restricted region scores after border thinning, for one membrane section.

    Both images are split into cells; the borders of the truth are thinned to one pixel, which is then left
    out; the prediction's are filled from the nearest cell, so that thick or thin membranes score alike and
    only wrong splits and mergers count (Arganda-Carreras et al. 2015, "after border thinning").

    Parameters
    ----------
    truth_interior, predicted_interior : ndarray, shape (Y, X)
        Non-zero inside cells, 0 on membranes.
    """
    truth, predicted = _same_shape(truth_interior, predicted_interior)
    return region_scores(thin_borders(label_cells(truth)), fill_borders(label_cells(predicted)))


@dataclass(frozen=True)
class PanopticQuality:
    """Panoptic quality of one class (Kirillov et al. 2019).

    Parameters
    ----------
    counts : Counts
        Segments matched with IoU above 0.5.
    iou_sum : float
        Sum of the IoU of the matched segments.
    """

    counts: Counts
    iou_sum: float

    @property
    def segmentation_quality(self) -> float:
        """Mean IoU of the matched segments; NaN without any."""
        return ratio(self.iou_sum, self.counts.n_matched)

    @property
    def recognition_quality(self) -> float:
        """F1 of the segments."""
        return self.counts.f1

    @property
    def pq(self) -> float:
        """Sum of IoU / (matched + half the misses + half the false alarms); NaN when both are empty."""
        return ratio(2 * self.iou_sum, self.counts.n_truth + self.counts.n_predicted)

    def __add__(self, other: PanopticQuality) -> PanopticQuality:
        """Pool two images of the same class."""
        return PanopticQuality(self.counts + other.counts, self.iou_sum + other.iou_sum)


def panoptic_quality(truth: np.ndarray, predicted: np.ndarray) -> PanopticQuality:
    """Panoptic quality of label images of one class; a mask (stuff) is a label image with the one label 1."""
    edges = mask_edges(truth, predicted, 0.5)
    found = match_edges(edges.where(edges.value > 0.5))
    return PanopticQuality(found.counts, float(found.values.sum()))


def mean_panoptic_quality(classes: dict[str, PanopticQuality]) -> float:
    """Mean PQ over the classes that occur in truth or prediction; NaN if none does."""
    values = [quality.pq for quality in classes.values() if not np.isnan(quality.pq)]
    return float(np.mean(values)) if values else float("nan")
