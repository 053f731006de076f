"""Scores of a shape classifier: accuracy, balance, confusion and calibration, four-way and five-way."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinecore.shapes.classes import BALL_AS, CLASSES, LABELS, four_way
from spinecore.training.shape_samples import Spines


def predict(
    model: Any, spines: Spines, device: str = "cpu", outlines: str = "given", temperature: float = 1.0
) -> np.ndarray:
    """Return five-way probabilities (n, 5) of stored spines.

    Parameters
    ----------
    outlines : str
        "given", or "tight": reduced to what is lit, so that the way an outline was drawn tells nothing.
    """
    import torch

    from spinecore.shapes.classify import both_ways
    from spinecore.training.shape_augment import centre_crop

    patches = spines.patches.copy()
    if outlines == "tight":
        patches[:, 1] = spines.tight
    out = []
    model = model.eval()
    with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
        for start in range(0, len(spines), 64):
            block = centre_crop(patches[start : start + 64]).to(device)
            block = block.contiguous(memory_format=torch.channels_last)
            out.append(both_ways(model, block, temperature).cpu().numpy())
    return np.concatenate(out) if out else np.zeros((0, len(LABELS)))


def to_four(labels: np.ndarray) -> np.ndarray:
    """Map positions in `LABELS` to positions in `CLASSES` (balls count as `BALL_AS`)."""
    return np.where(labels == LABELS.index("ball"), CLASSES.index(BALL_AS), labels)


def score(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Score five-way probabilities (n, 5) against labels (positions in `LABELS`).

    Returns
    -------
    dict
        Accuracy and balanced accuracy, four-way and five-way; per class recall, precision and
        number; the four-way confusion matrix (rows: truth) and the expected calibration error in ten bins.
    """
    four, truth = four_way(probabilities), to_four(labels)
    found = four.argmax(1)
    table = confusion(truth, found, len(CLASSES))
    five = confusion(labels, probabilities.argmax(1), len(LABELS))
    return {
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
    }


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
