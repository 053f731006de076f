"""How long and how fast a network is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

#: The learning rate never falls below this.
_LOWEST_RATE = 1e-6


@dataclass(frozen=True)
class Schedule:
    """Length, learning rate and averaging of one training.

    The rate rises linearly over `warm_up` steps to its peak and falls as a cosine to zero at the end.

    Parameters
    ----------
    minutes : float
        Wall-clock length of the whole run, over resumes.
    learning_rate : float
        Peak rate.
    weight_decay : float
    average : float
        Decay of the exponential moving average of the weights, which is what is kept.
    check_every_s : float
        Time between validations (s).
    momentum : float, optional
        Given: stochastic gradient descent with this momentum; otherwise AdamW.
    warm_up : int
        Steps over which the rate rises to its peak.
    steps : int, optional
        Given: this many steps are made, whatever time they take, and `minutes` is not looked at.
    """

    minutes: float = 0.0
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.998
    check_every_s: float = 600.0
    momentum: float | None = None
    warm_up: int = 200
    steps: int | None = None

    def share(self, step: int, spent_s: float) -> float:
        """Return which share (0..1) of the training is done.

        Examples
        --------
        >>> Schedule(minutes=2).share(500, 60.0), Schedule(steps=10).share(5, 60.0)
        (0.5, 0.5)
        """
        done = step / self.steps if self.steps is not None else spent_s / (60 * self.minutes)
        return min(done, 1.0)

    def rate(self, step: int, spent_s: float) -> float:
        """Return the learning rate of the next step."""
        rising = min(1.0, (step + 1) / self.warm_up)
        falling = 0.5 * (1 + math.cos(math.pi * self.share(step, spent_s)))
        return max(self.learning_rate * rising * falling, _LOWEST_RATE)


@dataclass(frozen=True)
class Start:
    """What a network began with.

    Parameters
    ----------
    words : str
        For the card.
    goes_on : bool
        True where the weights have learned this task before, which wants a lower learning rate.
    """

    words: str = "random weights"
    goes_on: bool = False
