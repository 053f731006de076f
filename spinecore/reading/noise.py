"""How noisy a slice is."""

from __future__ import annotations

import numpy as np
from scipy import ndimage


def noise_sigma(plane: np.ndarray) -> float:
    """Return the noise standard deviation of a slice, in its own intensities.

    Immerkaer's mask (1996), which cancels edges and slopes, with the median absolute deviation in place of the mean.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)
    """
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    response = ndimage.convolve(plane.astype(np.float32), mask)[1:-1, 1:-1]
    return float(np.median(np.abs(response)) / 0.6745 / 6.0)


def signal_to_noise(plane: np.ndarray) -> float | None:
    """Return (99.8th percentile - median) / noise, or None for blank backgrounds without measurable noise."""
    sigma = noise_sigma(plane)
    if sigma <= 0:
        return None
    median, bright = np.percentile(plane, (50.0, 99.8))
    return float((bright - median) / sigma)
