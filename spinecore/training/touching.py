"""Weight maps that make a network learn the gaps between touching objects."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, grey_dilation, grey_erosion


def touching_weights(labels: np.ndarray, strength: float = 10.0, sigma_px: float = 2.0) -> np.ndarray:
    """Return the extra weight of background pixels between neighbouring objects.

    The second term of w(x) = w_c(x) + w_0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)) of Ronneberger,
    Fischer and Brox (2015, eq. 2), with d1 and d2 the distances to the nearest and second nearest
    object. Their sigma of 5 pixels was for cells; spine heads are about 5 pixels wide.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
        Object ids, 0 = background.
    strength : float
        w_0.
    sigma_px : float
        Sigma, in pixels.

    Returns
    -------
    ndarray, float32, shape (Y, X)
        0 inside objects.
    """
    reach = int(np.ceil(3.5 * sigma_px))
    nearest = np.full(labels.shape, np.inf, np.float32)
    second = np.full(labels.shape, np.inf, np.float32)
    for number, box in enumerate(find_objects(labels), 1):
        if box is None:
            continue
        window = tuple(
            slice(max(b.start - reach, 0), min(b.stop + reach, n))
            for b, n in zip(box, labels.shape, strict=True)
        )
        distance = distance_transform_edt(labels[window] != number).astype(np.float32)
        first = nearest[window]
        second[window] = np.minimum(second[window], np.maximum(first, distance))
        nearest[window] = np.minimum(first, distance)
    total = nearest + second
    with np.errstate(over="ignore"):
        weight = strength * np.exp(-(total**2) / (2 * sigma_px**2))
    return np.where(labels == 0, weight, 0).astype(np.float32)


def cut_contacts(labels: np.ndarray) -> np.ndarray:
    """Return the labels with the pixels at which two objects touch set to background."""
    high = grey_dilation(labels, footprint=np.ones((3,) * labels.ndim))
    empty = np.iinfo(labels.dtype).max
    low = grey_erosion(np.where(labels == 0, empty, labels), footprint=np.ones((3,) * labels.ndim))
    contact = (labels > 0) & (high != low) & (low != empty) & (low > 0)
    return np.where(contact, 0, labels)
