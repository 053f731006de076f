"""The brightness of an image as the networks see it."""

from __future__ import annotations

import numpy as np


def intensity_range(voxels: np.ndarray, sample: int = 4_000_000) -> tuple[float, float]:
    """Return the background level and a robust maximum of a stack.

    The 2nd and 99.9th percentile of a regular sample; where most of the image was blanked to
    exactly zero, percentiles of the rest. A constant stack gives (value, value + 1).

    Parameters
    ----------
    voxels : ndarray, any shape
    sample : int
        Number of voxels looked at, at most.

    Returns
    -------
    low, high : float
    """
    step = max(1, int(np.ceil((voxels.size / sample) ** 0.5)))
    values = voxels[..., ::step, ::step].astype(np.float32).ravel()
    lit = values[values > 0]
    if 100 < lit.size < 0.5 * values.size:
        low, high = 0.0, float(np.percentile(lit, 99.0))
    else:
        low, high = (float(v) for v in np.percentile(values, [2.0, 99.9]))
    return (low, high) if high > low else (low, low + 1.0)


def normalise(image: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the signed square root of the intensity above `low`, 1.0 at `high`, clipped to -0.5..1.5."""
    value = (image.astype(np.float32) - low) / (high - low)
    return np.clip(np.sign(value) * np.sqrt(np.abs(value)), -0.5, 1.5)
