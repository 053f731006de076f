"""How a network does on a user's images that were held out, and which scale of scores suits it there."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from torch import nn

from spinecore.training.marked import Marked, to_real_image
from spinecore.training.scoring import score_points, score_volumes

#: Heights of the centre map among which that of the threshold is chosen.
HEIGHTS = np.round(np.arange(0.1, 0.91, 0.05), 2)
#: Where not every spine is marked: heads farther than this from all marks do not count in scores (um), as the dendrite
#: that they are on may not have been looked at.
NEAR_MARK_UM = 4.0


@dataclass(frozen=True)
class Score:
    """Counts and scores on the held-out images, centres within 1 um, at one threshold."""

    n_truth: int
    n_predicted: int
    n_matched: int

    @property
    def f1(self) -> float:
        """2 matched / (true + predicted); 0 when both are none."""
        return 2 * self.n_matched / max(self.n_truth + self.n_predicted, 1)

    def to_dict(self) -> dict[str, float]:
        """Return counts and F1."""
        return {**asdict(self), "f1": round(self.f1, 4)}


def score_held_out(
    model: nn.Module, held: list[Marked], heights: np.ndarray, complete: bool = True
) -> list[Score]:
    """Score a network on held-out images at several heights of the centre map, one-to-one within 1 um.

    Where not every spine is marked (`complete` False), heads far from all marks are left out.
    """
    near_um = np.inf if complete else NEAR_MARK_UM
    if held[0].is_2d:
        counts = score_points(model, [to_real_image(one) for one in held], heights, near_um)
    else:
        counts = score_volumes(model, [one.volume for one in held], heights, near_um)
    return [Score(int(truth), int(predicted), int(matched)) for matched, predicted, truth in counts]


def best_height(scores: list[Score], heights: np.ndarray, own: float) -> int:
    """Return the position of the height with the best F1; of those within one spine of it, that nearest to the parent's own.

    Some tens of spines are held out, so that a height which is better by one of them is so by chance.

    Examples
    --------
    >>> scores = [Score(10, 20, 9), Score(10, 12, 10), Score(10, 12, 10)]
    >>> best_height(scores, np.array([0.2, 0.4, 0.6]), 0.7)
    2
    """
    f1 = np.array([score.f1 for score in scores])
    best = np.flatnonzero(f1 >= f1.max() - 1 / max(scores[0].n_truth, 1))
    return int(best[np.argmin(np.abs(heights[best] - own))])


def power_for(height: float, threshold: float) -> float:
    """Return the exponent that turns a height of the centre map into a score of `threshold`.

    Examples
    --------
    >>> power_for(0.25, 0.5)
    0.5
    """
    return round(math.log(threshold) / math.log(height), 4)
