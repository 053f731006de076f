"""Which truth could be which prediction: the feasible pairs under each criterion, with their value.

A criterion turns two sets of objects into `Edges`, a sparse list of the pairs that are good enough.
Choosing among them is the business of `matching.py`. `CRITERIA` is the registry.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from spinecore.errors import SpinecoreError

#: Slack added to a distance tolerance (um), so that a distance equal to it counts despite rounding.
ROUNDING_UM = 1e-9
#: Rows of the truth compared at once by the box criteria, which bounds their memory.
BOX_CHUNK = 512
#: A mark at the far end of a head stands for this share of the line from it to the spine's base.
MARK_SHARE = 0.6
#: Weight of a distance along z where detections are compared with marks, whose slice is uncertain.
MARK_Z_WEIGHT = 0.5


@dataclass(frozen=True)
class Edges:
    """Feasible pairs between `n_truth` and `n_predicted` objects.

    Parameters
    ----------
    truth, predicted : ndarray of int, shape (E,)
        Positions of the two partners of every pair.
    value : ndarray of float, shape (E,)
        The criterion's own value: a distance in um, or an overlap in 0..1.
    quality : ndarray of float, shape (E,)
        The same on a scale from 0 (just good enough) to 1 (perfect); more where a prediction is preferred.
    n_truth, n_predicted : int
        Sizes of the two sets.
    """

    truth: np.ndarray
    predicted: np.ndarray
    value: np.ndarray
    quality: np.ndarray
    n_truth: int
    n_predicted: int

    def keep(self, truth: np.ndarray | None = None, predicted: np.ndarray | None = None) -> Edges:
        """Return the pairs whose partners are True in the given masks, shapes (n_truth,), (n_predicted,)."""
        chosen = np.ones(len(self.truth), bool)
        if truth is not None:
            chosen &= np.asarray(truth, bool)[self.truth]
        if predicted is not None:
            chosen &= np.asarray(predicted, bool)[self.predicted]
        return self.where(chosen)

    def preferring(self, bonus: np.ndarray) -> Edges:
        """Return the same pairs with a bonus of every prediction added to their quality.

        Which of several predictions gets a truth then depends on more than their distance or overlap; how many are
        matched does not.

        Parameters
        ----------
        bonus : ndarray of float, shape (n_predicted,)
            Not negative; 1 weighs as much as the whole way from just good enough to perfect.
        """
        quality = self.quality + np.asarray(bonus, float)[self.predicted]
        return Edges(self.truth, self.predicted, self.value, quality, self.n_truth, self.n_predicted)

    def where(self, chosen: np.ndarray) -> Edges:
        """Return the pairs that are True in a mask of shape (E,)."""
        return Edges(
            self.truth[chosen],
            self.predicted[chosen],
            self.value[chosen],
            self.quality[chosen],
            self.n_truth,
            self.n_predicted,
        )


def overlap_edges(
    truth: np.ndarray,
    predicted: np.ndarray,
    value: np.ndarray,
    threshold: float,
    n_truth: int,
    n_predicted: int,
) -> Edges:
    """Make `Edges` of the pairs whose overlap is positive and at least `threshold`."""
    good = (value >= threshold) & (value > 0)
    value = value[good]
    span = 1.0 - threshold
    quality = (value - threshold) / span if span > 0 else np.ones_like(value)
    return Edges(truth[good], predicted[good], value, quality, n_truth, n_predicted)


def _coordinates(array: np.ndarray, width: int | tuple[int, ...], what: str) -> np.ndarray:
    widths = (width,) if isinstance(width, int) else width
    array = np.asarray(array, float)
    if array.size == 0:
        return np.zeros((0, array.shape[1] if array.ndim == 2 and array.shape[1] in widths else widths[0]))
    if array.ndim != 2 or array.shape[1] not in widths:
        raise SpinecoreError(
            f"{what} must have shape (n, {' or '.join(map(str, widths))}), not {array.shape}"
        )
    if not np.isfinite(array).all():
        raise SpinecoreError(f"{what} hold a missing or infinite number: drop those rows first")
    return array


def centre_edges(truth: np.ndarray, predicted: np.ndarray, threshold: float = 1.0) -> Edges:
    """Pairs of centres at most `threshold` um apart.

    Parameters
    ----------
    truth, predicted : ndarray, shape (n, 2) or (n, 3)
        Centres in um, (y, x) or (z, y, x).
    threshold : float
        Tolerance in um, itself included.
    """
    a, b = _coordinates(truth, (3, 2), "truth centres"), _coordinates(predicted, (3, 2), "predicted centres")
    if len(a) == 0 or len(b) == 0:
        empty = np.zeros(0)
        return Edges(empty.astype(int), empty.astype(int), empty, empty, len(a), len(b))
    if a.shape[1] != b.shape[1]:
        raise SpinecoreError("truth and predicted centres must both be 2-D or both be 3-D")
    near = cKDTree(a).sparse_distance_matrix(cKDTree(b), threshold + ROUNDING_UM, output_type="ndarray")
    distance = near["v"]
    quality = np.clip(1.0 - distance / threshold, 0, 1) if threshold > 0 else np.ones_like(distance)
    return Edges(near["i"], near["j"], distance, quality, len(a), len(b))


def mark_edges(truth: np.ndarray, predicted: np.ndarray, threshold: float = 1.0) -> Edges:
    """Pairs of a mark at the far end of a head and a centre at most `threshold` um from the line that it stands for.

    The line is the outer `MARK_SHARE` of the straight one from the mark to the base of the spine; distances along z have
    the weight `MARK_Z_WEIGHT`.

    Parameters
    ----------
    truth : ndarray, shape (n, 6)
        z, y, x of the mark, then z, y, x of the base, in um.
    predicted : ndarray, shape (m, 3)
        Centres (z, y, x) in um.
    threshold : float
        Tolerance in um, itself included.

    Examples
    --------
    A spine 2 um long: centres beside its tip, beside its middle and at its base.

    >>> edges = mark_edges([[0, 0, 2, 0, 0, 0]], [[0, 0.5, 2.0], [1, 0, 1.0], [0, 0, 0.1]], 0.6)
    >>> edges.predicted.tolist(), edges.value.tolist()
    ([0, 1], [0.5, 0.5])
    """
    a, b = _coordinates(truth, 6, "marks"), _coordinates(predicted, 3, "predicted centres")
    weight = np.array([MARK_Z_WEIGHT, 1.0, 1.0])
    tip, along = a[:, None, :3] * weight, (a[:, None, 3:] - a[:, None, :3]) * weight * MARK_SHARE
    centre = b[None] * weight
    squared = (along**2).sum(-1)
    position = np.divide(
        ((centre - tip) * along).sum(-1), squared, out=np.zeros((len(a), len(b))), where=squared > 0
    )
    nearest = tip + np.clip(position, 0, 1)[..., None] * along
    distance = np.linalg.norm(centre - nearest, axis=-1)
    i, j = np.nonzero(distance <= threshold + ROUNDING_UM)
    value = distance[i, j]
    return Edges(i, j, value, np.clip(1.0 - value / threshold, 0, 1), len(a), len(b))


def _areas(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def box_overlap(truth: np.ndarray, predicted: np.ndarray, kind: str = "iou") -> np.ndarray:
    """Overlap of every truth box with every predicted box in the plane.

    Parameters
    ----------
    truth, predicted : ndarray, shape (n, 4) and (m, 4)
        Edges (left, top, right, bottom) in px; a box one pixel wide has right - left == 1.
    kind : str
        "iou", intersection over union, or "iom", intersection over the smaller area
        (Vogel et al. 2023, eq. 2).

    Returns
    -------
    ndarray, shape (n, m)
        Values in 0..1; 0 where an area is 0.
    """
    a, b = truth[:, None, :4], predicted[None, :, :4]
    width = np.minimum(a[..., 2], b[..., 2]) - np.maximum(a[..., 0], b[..., 0])
    height = np.minimum(a[..., 3], b[..., 3]) - np.maximum(a[..., 1], b[..., 1])
    shared = np.clip(width, 0, None) * np.clip(height, 0, None)
    if kind == "iom":
        below = np.minimum(_areas(a), _areas(b))
    elif kind == "iou":
        below = _areas(a) + _areas(b) - shared
    else:
        raise SpinecoreError(f"kind must be 'iou' or 'iom', not {kind!r}")
    return np.divide(shared, below, out=np.zeros_like(shared), where=below > 0)


def slice_overlap(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """IoM_z of inclusive slice ranges, Vogel et al. 2023 eq. 3 with ranges counted in slices.

    Parameters
    ----------
    truth, predicted : ndarray, shape (n, 2) and (m, 2)
        First and last slice, both included, so that two objects sharing one slice overlap by one.

    Returns
    -------
    ndarray, shape (n, m)
        Shared slices over the slices of the shorter object, 0..1.
    """
    a, b = truth[:, None], predicted[None]
    shared = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0]) + 1
    below = np.minimum(a[..., 1] - a[..., 0], b[..., 1] - b[..., 0]) + 1
    return np.clip(shared, 0, None) / below


def combine_overlaps(xy: np.ndarray, z: np.ndarray, beta: float = 0.5) -> np.ndarray:
    """F_beta of the two overlaps, Vogel et al. 2023 eq. 4 (beta 0.5: 5 xy z / (xy + 4 z)); 0 where both are 0."""
    weight = beta * beta
    below = weight * xy + z
    return np.divide((1 + weight) * xy * z, below, out=np.zeros_like(below), where=below > 0)


def box3d_overlap(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """IoM of 3-D boxes (left, top, right, bottom in px, first and last slice included), shape (n, m)."""
    xy = box_overlap(truth[:, :4], predicted[:, :4], "iom")
    return combine_overlaps(xy, slice_overlap(truth[:, 4:6], predicted[:, 4:6]))


def _box_edges(
    truth: np.ndarray,
    predicted: np.ndarray,
    threshold: float,
    columns: int,
    overlap: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> Edges:
    a, b = _coordinates(truth, columns, "truth boxes"), _coordinates(predicted, columns, "predicted boxes")
    rows, cols, values = [np.zeros(0, int)], [np.zeros(0, int)], [np.zeros(0)]
    for start in range(0, len(a), BOX_CHUNK):
        score = overlap(a[start : start + BOX_CHUNK], b)
        i, j = np.nonzero(score)
        rows.append(i + start)
        cols.append(j)
        values.append(score[i, j])
    one, other, value = (np.concatenate(part) for part in (rows, cols, values))
    return overlap_edges(one, other, value, threshold, len(a), len(b))


def box2d_edges(truth: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> Edges:
    """Pairs of boxes (n, 4) = left, top, right, bottom (px) with IoU >= `threshold`."""
    return _box_edges(truth, predicted, threshold, 4, lambda a, b: box_overlap(a, b, "iou"))


def box2d_iom_edges(truth: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> Edges:
    """Pairs of boxes (n, 4) = left, top, right, bottom (px) with IoM >= `threshold`."""
    return _box_edges(truth, predicted, threshold, 4, lambda a, b: box_overlap(a, b, "iom"))


def box3d_edges(truth: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> Edges:
    """Pairs of 3-D boxes (n, 6) = left, top, right, bottom, first slice, last slice with IoM >= `threshold`."""
    return _box_edges(truth, predicted, threshold, 6, box3d_overlap)


def label_ids(labels: np.ndarray) -> np.ndarray:
    """Return the labels that occur in an integer array, 0 (background) left out, in rising order."""
    ids = np.unique(labels)
    return ids[ids != 0]


def _label_array(labels: np.ndarray, what: str) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.dtype == bool or not np.issubdtype(labels.dtype, np.integer):
        raise SpinecoreError(f"{what} labels must be integers (0 = background), not {labels.dtype}")
    return labels


def mask_edges(truth: np.ndarray, predicted: np.ndarray, threshold: float = 0.5) -> Edges:
    """Pairs of labelled objects with voxel IoU >= `threshold`.

    Parameters
    ----------
    truth, predicted : ndarray of int, equal shapes (ZYX or YX)
        0 is background. Objects are numbered by `label_ids`, in rising order of label.
    threshold : float
        Smallest IoU of a pair.
    """
    a, b = _label_array(truth, "truth"), _label_array(predicted, "predicted")
    if a.shape != b.shape:
        raise SpinecoreError(f"the label images differ in shape: {a.shape} and {b.shape}")
    ids_a, size_a = np.unique(a, return_counts=True)
    ids_b, size_b = np.unique(b, return_counts=True)
    size_a, size_b = size_a[ids_a != 0], size_b[ids_b != 0]
    ids_a, ids_b = ids_a[ids_a != 0], ids_b[ids_b != 0]
    both = (a != 0) & (b != 0)
    row, col = np.searchsorted(ids_a, a[both]), np.searchsorted(ids_b, b[both])
    width = max(len(ids_b), 1)
    pair, shared = np.unique(row.astype(np.int64) * width + col, return_counts=True)
    row, col = pair // width, pair % width
    iou = shared / (size_a[row] + size_b[col] - shared)
    return overlap_edges(row, col, iou, threshold, len(ids_a), len(ids_b))


@dataclass(frozen=True)
class Criterion:
    """One entry of the registry.

    Parameters
    ----------
    name, title : str
        Key of the entry, and its name for people.
    edges : callable
        ``edges(truth, predicted, threshold) -> Edges``.
    threshold : float
        Usual threshold.
    unit : str
        "um" for a largest distance, "" for a smallest overlap.
    """

    name: str
    title: str
    edges: Callable[[np.ndarray, np.ndarray, float], Edges]
    threshold: float
    unit: str = ""

    def describe(self, threshold: float) -> str:
        """Return a phrase such as 'centres at most 1 um apart'."""
        if self.unit:
            return f"{self.title} at most {threshold:g} {self.unit} apart"
        return f"{self.title} at least {threshold:g}"


CRITERIA: dict[str, Criterion] = {
    entry.name: entry
    for entry in (
        Criterion("centre", "centres", centre_edges, 1.0, "um"),
        Criterion("mark", "centres and the outer part of marked spines", mark_edges, 1.0, "um"),
        Criterion("box2d", "IoU of boxes", box2d_edges, 0.5),
        Criterion("box2d-iom", "IoM of boxes", box2d_iom_edges, 0.5),
        Criterion("box3d", "IoM of 3-D boxes (F0.5 of xy and z)", box3d_edges, 0.5),
        Criterion("mask", "IoU of masks", mask_edges, 0.5),
    )
}


def criterion_named(name: str) -> Criterion:
    """Return the registered criterion.

    Raises
    ------
    ValueError
        One sentence that lists the names there are.
    """
    if name not in CRITERIA:
        raise SpinecoreError(f"criterion {name!r} is unknown: choose one of {', '.join(CRITERIA)}")
    return CRITERIA[name]
