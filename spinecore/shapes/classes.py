"""Names of the shape classes, in the order used everywhere."""

from __future__ import annotations

import numpy as np

from spinecore.tables.class_names import CLASSES

#: What the networks tell apart: the four, and the label "ball" of classes2d (a round head without visible neck).
LABELS = (*CLASSES, "ball")
#: A ball counts as a mushroom in the four-way task: a large head whose neck cannot be seen.
BALL_AS = "mushroom"
#: Shown wherever classes are shown.
CAVEAT = (
    "**Shapes form a continuum**: electron microscopy found no separate types (Ofer et al. 2021). Report measures "
    "and probabilities beside any class."
)
#: How classes2d writes the labels.
CLASSES2D_NAMES = {"filopodia": "filopodium"}


def four_way(probabilities: np.ndarray) -> np.ndarray:
    """Turn (n, 5) probabilities in the order of `LABELS` into (n, 4) in the order of `CLASSES`."""
    out = np.array(probabilities[:, : len(CLASSES)], float)
    out[:, CLASSES.index(BALL_AS)] += probabilities[:, len(CLASSES)]
    return out
