"""Spine instances and a dendrite map into one panoptic map. Pure functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spinecore.methods.tracks import Detections

#: Ids of the panoptic map; the k-th instance kept is `FIRST_SPINE` + k.
BACKGROUND, DENDRITE, FIRST_SPINE = 0, 1, 2
#: An instance that keeps a smaller share of its own mask is dropped (Kirillov et al. 2019, "Panoptic
#: segmentation", section 7: instances resolved before stuff).
MIN_KEPT = 0.5


def merge_panoptic(
    dendrite: np.ndarray,
    found: Detections,
    confidence: float = 0.5,
    mask_level: float = 0.5,
    dendrite_weight: float = 1.0,
    dendrite_level: float = 0.5,
) -> tuple[np.ndarray, list[int]]:
    """Merge by score: a pixel goes to the instance, or to the dendrite, with the higher score there.

    The score of an instance at a pixel is its mask's probability; that of the dendrite is its
    probability times `dendrite_weight`. Instances are laid down from the most confident; none takes
    a pixel from an earlier one.

    Parameters
    ----------
    dendrite : ndarray, float32, shape (Y, X)
        Probability of dendrite.
    found : Detections
        With masks.
    confidence : float
        Lowest score of an instance.
    mask_level, dendrite_level : float
        Lowest probability of a pixel.
    dendrite_weight : float
        Below 1 where pixels that could be either are to go to the spine.

    Returns
    -------
    panoptic : ndarray, int32, shape (Y, X)
        0 background, 1 dendrite, 2 + k for the k-th of `kept`.
    kept : list of int
        Positions in `found`.

    Raises
    ------
    ValueError
        If `found` has no masks.
    """
    if found.masks is None or found.corners is None:
        raise ValueError("a panoptic map needs instances with masks")
    spines = np.zeros(dendrite.shape, np.int32)
    kept: list[int] = []
    for k in np.argsort(-found.scores, kind="stable"):
        mask = found.masks[k]
        if found.scores[k] < confidence or not mask.size:
            continue
        top, left = found.corners[k]
        window = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        own = mask >= mask_level
        won = own & (spines[window] == 0) & (mask >= dendrite_weight * dendrite[window])
        if own.any() and won.sum() >= MIN_KEPT * own.sum():
            spines[window][won] = FIRST_SPINE + len(kept)
            kept.append(int(k))
    panoptic = np.where(dendrite >= dendrite_level, DENDRITE, BACKGROUND).astype(np.int32)
    return np.where(spines > 0, spines, panoptic), kept


@dataclass(frozen=True)
class MergeRule:
    """What `merge_panoptic` decides by, as the card of the weights has it."""

    confidence: float = 0.5
    mask_level: float = 0.5
    dendrite_weight: float = 1.0

    @classmethod
    def of(cls, card: dict[str, Any]) -> MergeRule:
        """Read the rule for projections from a card."""
        return cls(float(card["pixel_confidence"]), float(card["mask_level"]), float(card["dendrite_weight"]))

    def merge(self, dendrite: np.ndarray, found: Detections) -> tuple[np.ndarray, list[int]]:
        """See `merge_panoptic`."""
        return merge_panoptic(dendrite, found, self.confidence, self.mask_level, self.dendrite_weight)


def pixel_iou(predicted: np.ndarray, truth: np.ndarray) -> tuple[int, int]:
    """Return (intersection, union) of two masks in pixels."""
    return int((predicted & truth).sum()), int((predicted | truth).sum())
