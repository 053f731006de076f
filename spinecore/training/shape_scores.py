"""Scores of a shape classifier: accuracy, balance, confusion and calibration, four-way and five-way."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from spinecore.shapes.classes import BALL_AS, CLASSES, LABELS, four_way
from spinecore.shapes.classify import both_logits, mean_chance
from spinecore.training.shape_augment import centre_crop
from spinecore.training.shape_samples import Spines


def predict(
    model: nn.Module, spines: Spines, outlines: str = "given", temperature: float = 1.0
) -> np.ndarray:
    """Return five-way probabilities (n, 5) of stored spines.

    Parameters
    ----------
    model : Module
    spines : Spines
    outlines : str
        "given", or "tight": reduced to what is lit, so that the way an outline was drawn tells nothing.
    temperature : float
        Divides the logits.
    """
    return mean_chance(logits_of(model, spines, outlines), temperature)


def logits_of(model: nn.Module, spines: Spines, outlines: str = "given") -> np.ndarray:
    """Return the logits (n, 2, 5) of stored spines and their mirror images; see `predict`."""
    patches = spines.patches.copy()
    if outlines == "tight":
        patches[:, 1] = spines.tight
    out = []
    model = model.eval()
    for start in range(0, len(spines), 64):
        out.append(both_logits(model, centre_crop(patches[start : start + 64]).numpy()))
    return np.concatenate(out) if out else np.zeros((0, 2, len(LABELS)), np.float32)


def to_four(labels: np.ndarray) -> np.ndarray:
    """Map positions in `LABELS` to positions in `CLASSES` (balls count as `BALL_AS`)."""
    return np.where(labels == LABELS.index("ball"), CLASSES.index(BALL_AS), labels)


def score(probabilities: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> dict[str, Any]:
    """Score five-way probabilities (n, 5) against labels (positions in `LABELS`).

    Parameters
    ----------
    probabilities : ndarray, shape (n, 5)
    labels : ndarray of int, shape (n,)
    groups : ndarray of int, shape (n,), optional
        Image group or stack of each spine; with it the balanced accuracy has an interval.

    Returns
    -------
    dict
        Accuracy and balanced accuracy, four-way and five-way; per class recall, precision and
        number; the four-way confusion matrix (rows: truth) and the expected calibration error in ten bins;
        and what that would be by chance (`calibration_by_chance`); the interval of `balanced_interval` where groups are given.
    """
    four, truth = four_way(probabilities), to_four(labels)
    found = four.argmax(1)
    table = confusion(truth, found, len(CLASSES))
    five = confusion(labels, probabilities.argmax(1), len(LABELS))
    out = {
        "n": len(labels),
        "accuracy_four_way": float((found == truth).mean()),
        "balanced_accuracy_four_way": balanced(table),
        "accuracy_five_way": float((probabilities.argmax(1) == labels).mean()),
        "balanced_accuracy_five_way": balanced(five),
        "per_class": {
            name: {
                "n": int(table[k].sum()),
                "recall": _share(table[k, k], table[k].sum()),
                "precision": _share(table[k, k], table[:, k].sum()),
            }
            for k, name in enumerate(CLASSES)
        },
        "confusion_four_way": table.tolist(),
        "confusion_five_way": five.tolist(),
        "calibration_error": calibration_error(four, truth),
        "calibration_by_chance": calibration_by_chance(four),
    }
    if groups is not None:
        out["balanced_interval_four_way"] = balanced_interval(truth, found, groups)
    return out


def balanced_interval(
    truth: np.ndarray, found: np.ndarray, groups: np.ndarray, draws: int = 1000
) -> tuple[float, float]:
    """Return the 95 % percentile bootstrap interval of the four-way balanced accuracy, whole groups drawn (Efron 1979)."""
    _, which = np.unique(groups, return_inverse=True)
    tables = np.zeros((which.max() + 1, len(CLASSES), len(CLASSES)))
    np.add.at(tables, (which, truth, found), 1)
    rng = np.random.default_rng(0)
    values = [balanced(tables[rng.integers(0, len(tables), len(tables))].sum(0)) for _ in range(draws)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def confusion(truth: np.ndarray, found: np.ndarray, classes: int) -> np.ndarray:
    """Return counts, rows by truth and columns by answer."""
    return np.bincount(truth * classes + found, minlength=classes**2).reshape(classes, classes)


def balanced(table: np.ndarray) -> float:
    """Mean recall over the classes that occur.

    Examples
    --------
    >>> balanced(np.array([[9, 1], [1, 1]]))
    0.7
    """
    present = table.sum(1) > 0
    return float(np.mean(np.diag(table)[present] / table.sum(1)[present]))


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """Mean gap between the probability of the answer and how often it is right (Guo et al. 2017)."""
    top, right = probabilities.max(1), probabilities.argmax(1) == truth
    which = np.minimum((top * bins).astype(int), bins - 1)
    gaps = [
        abs(top[which == b].mean() - right[which == b].mean()) * (which == b).sum()
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps) / max(len(truth), 1))


def calibration_by_chance(probabilities: np.ndarray, draws: int = 500) -> tuple[float, float]:
    """Return the calibration error that these probabilities would show if they were right, mean and 95th percentile.

    It is above 0, since a bin of few spines is never right as often as its probabilities say (Bröcker and Smith 2007): the
    truth is drawn anew from the probabilities.
    """
    rng = np.random.default_rng(0)
    below = probabilities.cumsum(1) / probabilities.sum(1, keepdims=True)
    drawn = [(rng.random((len(below), 1)) > below[:, :-1]).sum(1) for _ in range(draws)]
    errors = [calibration_error(probabilities, truth) for truth in drawn]
    return float(np.mean(errors)), float(np.percentile(errors, 95))
