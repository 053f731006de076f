"""Optimal one-to-one matching of predictions to truth, and the counts that follow from it.

The largest possible number of pairs comes first, their quality second, so that no ordering of the rows and
no greedy choice can change precision, recall or F1. Truth that a person could not have seen (`visible`
False) is ignored: it is no miss when unmatched, and a prediction left over that meets it is no false alarm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from spinecore.errors import SpinecoreError
from spinecore.evaluation.edges import Edges, criterion_named

NAN = float("nan")


def ratio(above: float, below: float) -> float:
    """Return above / below, NaN where there is nothing to divide by."""
    return above / below if below else NAN


@dataclass(frozen=True)
class Counts:
    """How many there are, were found, and agree: everything precision, recall and F1 need.

    Parameters
    ----------
    n_truth, n_predicted, n_matched : int
        Truth that counts, predictions that count, and one-to-one pairs among them.
    """

    n_truth: int = 0
    n_predicted: int = 0
    n_matched: int = 0

    @property
    def precision(self) -> float:
        """Matched share of the predictions; NaN when nothing was predicted."""
        return ratio(self.n_matched, self.n_predicted)

    @property
    def recall(self) -> float:
        """Matched share of the truth; NaN when there is no truth."""
        return ratio(self.n_matched, self.n_truth)

    @property
    def f1(self) -> float:
        """2 matched / (truth + predicted), Vogel et al. 2023 eq. 5; NaN when both sets are empty."""
        return ratio(2 * self.n_matched, self.n_truth + self.n_predicted)

    @property
    def n_misses(self) -> int:
        """Truth without a prediction."""
        return self.n_truth - self.n_matched

    @property
    def n_false_alarms(self) -> int:
        """Predictions without a truth."""
        return self.n_predicted - self.n_matched

    def __add__(self, other: Counts) -> Counts:
        """Pool two stacks."""
        return Counts(
            self.n_truth + other.n_truth,
            self.n_predicted + other.n_predicted,
            self.n_matched + other.n_matched,
        )


@dataclass(frozen=True)
class Matching:
    """The result of one matching; positions count from 0 in the order the objects were given.

    Parameters
    ----------
    pairs : ndarray of int, shape (M, 2)
        (truth, predicted) positions of the matched pairs, sorted by truth.
    values : ndarray of float, shape (M,)
        The criterion's value of every pair.
    misses, false_alarms : ndarray of int
        Unmatched truth that counts, and unmatched predictions that count.
    ignored_truth, ignored_predicted : ndarray of int
        Truth that does not count, and predictions that met such truth or that count only when matched.
    counts : Counts
        The sizes of these sets.
    """

    pairs: np.ndarray
    values: np.ndarray
    misses: np.ndarray
    false_alarms: np.ndarray
    ignored_truth: np.ndarray
    ignored_predicted: np.ndarray
    counts: Counts

    @property
    def n_truth(self) -> int:
        """Truth that counts."""
        return self.counts.n_truth

    @property
    def n_predicted(self) -> int:
        """Predictions that count."""
        return self.counts.n_predicted

    @property
    def n_matched(self) -> int:
        """Number of pairs."""
        return self.counts.n_matched

    @property
    def precision(self) -> float:
        """See `Counts.precision`."""
        return self.counts.precision

    @property
    def recall(self) -> float:
        """See `Counts.recall`."""
        return self.counts.recall

    @property
    def f1(self) -> float:
        """See `Counts.f1`."""
        return self.counts.f1


def assign(edges: Edges) -> np.ndarray:
    """Choose one-to-one pairs: as many as possible, and among those the best total quality.

    Each connected group of feasible pairs is solved apart (Hungarian method), so cost grows with the
    crowding and not with the square of the number of objects.

    Returns
    -------
    ndarray of int, shape (M,)
        Positions of the chosen pairs in `edges`, rising.
    """
    count = len(edges.truth)
    if count == 0:
        return np.zeros(0, int)
    nodes = edges.n_truth + edges.n_predicted
    graph = coo_matrix(
        (np.ones(count, np.int8), (edges.truth, edges.predicted + edges.n_truth)), (nodes, nodes)
    )
    group = connected_components(graph, directed=False)[1][edges.truth]
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    chosen = []
    for members in np.split(order, starts[1:]):
        if len(members) == 1:
            chosen.append(members)
            continue
        rows, i = np.unique(edges.truth[members], return_inverse=True)
        cols, j = np.unique(edges.predicted[members], return_inverse=True)
        # All qualities together weigh less than one further pair.
        gain = np.zeros((len(rows), len(cols)))
        quality = edges.quality[members]
        gain[i, j] = 1.0 + quality / max(1.0, quality.max()) / (min(gain.shape) + 1)
        where = np.full(gain.shape, -1)
        where[i, j] = members
        picked = where[linear_sum_assignment(gain, maximize=True)]
        chosen.append(picked[picked >= 0])
    return np.sort(np.concatenate(chosen))


def match_edges(
    edges: Edges,
    visible: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    excused: np.ndarray | None = None,
) -> Matching:
    """Match from feasible pairs.

    Parameters
    ----------
    edges : Edges
        Pairs that are good enough.
    visible : ndarray of bool, shape (n_truth,), optional
        False where a truth is to be ignored; all count by default.
    predicted : ndarray of bool, shape (n_predicted,), optional
        False where a prediction is left out altogether (e.g. below a score threshold).
    excused : ndarray of bool, shape (n_predicted,), optional
        True where a prediction without a truth is no false alarm, as where the truth is silent; none by default.
    """
    counted = np.ones(edges.n_truth, bool) if visible is None else np.asarray(visible, bool)
    present = np.ones(edges.n_predicted, bool) if predicted is None else np.asarray(predicted, bool)
    silent = np.zeros(edges.n_predicted, bool) if excused is None else np.asarray(excused, bool)
    if counted.shape != (edges.n_truth,) or not present.shape == silent.shape == (edges.n_predicted,):
        raise SpinecoreError("visible, predicted and excused need one entry for every truth or prediction")
    first = edges.keep(counted, present)
    picked = assign(first)
    pairs = np.stack([first.truth[picked], first.predicted[picked]], axis=1).astype(int)
    order = np.argsort(pairs[:, 0], kind="stable")
    pairs, values = pairs[order], first.value[picked][order]
    left = present.copy()
    left[pairs[:, 1]] = False
    second = edges.keep(~counted, left)
    ignored = np.union1d(second.predicted[assign(second)], np.flatnonzero(left & silent)).astype(int)
    left[ignored] = False
    missed = counted.copy()
    missed[pairs[:, 0]] = False
    false_alarms = np.flatnonzero(left)
    return Matching(
        pairs=pairs,
        values=values,
        misses=np.flatnonzero(missed),
        false_alarms=false_alarms,
        ignored_truth=np.flatnonzero(~counted),
        ignored_predicted=ignored,
        counts=Counts(int(counted.sum()), len(pairs) + len(false_alarms), len(pairs)),
    )


def match(
    truth: np.ndarray,
    predicted: np.ndarray,
    criterion: str = "centre",
    threshold: float | None = None,
    visible: np.ndarray | None = None,
    preference: np.ndarray | None = None,
) -> Matching:
    """Match predictions to truth one to one by a registered criterion.

    Parameters
    ----------
    truth, predicted : ndarray
        What the criterion takes: centres (n, 2|3) in um, boxes (n, 4) or (n, 6) in px and slices, or label
        images of equal shape.
    criterion : str
        A key of `CRITERIA`.
    threshold : float, optional
        Largest distance in um, or smallest overlap; the criterion's own by default.
    visible : ndarray of bool, shape (n,), optional
        False for truth to be ignored.
    preference : ndarray of float, shape (n_predicted,), optional
        Bonus of every prediction where several could be the same truth, see `Edges.preferring`.

    Examples
    --------
    >>> truth = [[0.0, 0.0], [0.0, 1.0], [9.0, 9.0]]
    >>> predicted = [[0.0, 0.9], [0.0, 1.4]]
    >>> found = match(truth, predicted, "centre", threshold=1.0)
    >>> found.pairs.tolist()
    [[0, 0], [1, 1]]
    >>> found.n_truth, found.n_predicted, found.n_matched
    (3, 2, 2)
    >>> round(found.precision, 3), round(found.recall, 3), round(found.f1, 3)
    (1.0, 0.667, 0.8)
    >>> found.misses.tolist()
    [2]
    >>> match(truth, predicted, visible=[True, True, False]).recall
    1.0
    >>> match(truth[:1], [[0.0, 0.1], [0.0, 0.2]], preference=[0.0, 0.5]).pairs.tolist()
    [[0, 1]]
    """
    entry = criterion_named(criterion)
    limit = entry.threshold if threshold is None else threshold
    edges = entry.edges(np.asarray(truth), np.asarray(predicted), limit)
    return match_edges(edges if preference is None else edges.preferring(preference), visible)
