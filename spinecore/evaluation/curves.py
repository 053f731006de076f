"""Precision against recall as the score threshold moves, and average precision."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.evaluation.edges import Edges
from spinecore.evaluation.matching import Counts, match_edges

#: Points of a curve at most; beyond that, score thresholds are taken at even ranks.
MAX_POINTS = 101


@dataclass(frozen=True)
class Scored:
    """Feasible pairs of one stack with the scores of its predictions.

    Parameters
    ----------
    edges : Edges
        Pairs that are good enough.
    scores : ndarray of float, shape (n_predicted,)
        Score of every prediction.
    visible : ndarray of bool, shape (n_truth,), optional
        False for truth to be ignored.
    excused : ndarray of bool, shape (n_predicted,), optional
        True where a prediction without a truth is no false alarm.
    """

    edges: Edges
    scores: np.ndarray
    visible: np.ndarray | None = None
    excused: np.ndarray | None = None


@dataclass(frozen=True)
class Curve:
    """Precision and recall at falling score thresholds, all of shape (P,).

    Parameters
    ----------
    thresholds : ndarray of float
        Predictions with a score of at least this were kept.
    precision, recall, f1 : ndarray of float
        Scores of what was kept, matched anew at every threshold.
    """

    thresholds: np.ndarray
    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray

    @property
    def average_precision(self) -> float:
        """Area under the curve, see `average_precision`."""
        return average_precision(self.precision, self.recall)

    @property
    def best(self) -> tuple[float, float]:
        """(threshold, F1) where F1 is highest; (NaN, NaN) for a curve without points."""
        if len(self.f1) == 0 or np.isnan(self.f1).all():
            return float("nan"), float("nan")
        top = int(np.nanargmax(self.f1))
        return float(self.thresholds[top]), float(self.f1[top])


def precision_recall_curve(stacks: Iterable[Scored], max_points: int = MAX_POINTS) -> Curve:
    """Match anew at every score threshold and pool the counts of all stacks.

    Parameters
    ----------
    stacks : iterable of Scored
        One entry per stack, matched apart from the others.
    max_points : int
        Thresholds are the scores that occur; where there are more, at most this many at even ranks.
    """
    stacks = list(stacks)
    scores = np.unique(np.concatenate([np.zeros(0), *(np.asarray(s.scores, float) for s in stacks)]))
    if np.isnan(scores).any():
        raise SpinecoreError("a precision-recall curve needs a score for every prediction")
    if len(scores) > max_points:
        scores = scores[np.unique(np.linspace(0, len(scores) - 1, max_points).round().astype(int))]
    thresholds = scores[::-1]
    totals = []
    for threshold in thresholds:
        counts = (
            match_edges(s.edges, s.visible, np.asarray(s.scores) >= threshold, s.excused).counts
            for s in stacks
        )
        totals.append(sum(counts, Counts()))
    return Curve(
        thresholds,
        np.array([t.precision for t in totals], float),
        np.array([t.recall for t in totals], float),
        np.array([t.f1 for t in totals], float),
    )


def average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under precision against recall, precision made non-increasing in recall (as in PASCAL VOC 2010).

    Parameters
    ----------
    precision, recall : ndarray, shape (P,)
        Points of a curve in any order.

    Returns
    -------
    float
        0..1; NaN when there was no truth, 0 when nothing was predicted.

    Examples
    --------
    >>> average_precision([1.0, 0.5], [0.5, 1.0])
    0.75
    """
    precision, recall = np.asarray(precision, float), np.asarray(recall, float)
    if len(recall) == 0:
        return 0.0
    if np.isnan(recall).any():
        return float("nan")
    precision = np.nan_to_num(precision)
    order = np.lexsort((-precision, recall))
    precision, recall = precision[order], recall[order]
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * envelope))
