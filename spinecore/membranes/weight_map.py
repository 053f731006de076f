"""Weight maps that make a network learn what parts neighbouring objects, and the lines along which they part."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, distance_transform_edt, find_objects, label

#: w_0 and sigma of Ronneberger, Fischer and Brox (2015) for cells.
CELL_STRENGTH = 10.0
CELL_SIGMA_PX = 5.0


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


def membrane_weights(
    interior: np.ndarray, strength: float = CELL_STRENGTH, sigma_px: float = CELL_SIGMA_PX
) -> np.ndarray:
    """Return the whole weight map w(x) = w_c(x) + w_0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2)) of a labelled section.

    w_c balances the two classes: half the image over the share of the pixel's class, so that its mean is 1.

    Parameters
    ----------
    interior : ndarray of bool, shape (Y, X)
        True inside cells, False on membranes.
    strength, sigma_px : float
        w_0 and sigma (in pixels).

    Returns
    -------
    ndarray, float32, shape (Y, X)
    """
    share = float(np.clip(interior.mean(), 1e-3, 1 - 1e-3))
    balance = np.where(interior, 0.5 / share, 0.5 / (1 - share)).astype(np.float32)
    return balance + touching_weights(label(interior)[0], strength, sigma_px)


def dividing_lines(interior: np.ndarray, half_width_px: int = 1) -> np.ndarray:
    """Return the lines along which cells part: where the zones nearest to two different cells meet.

    Unlike the membrane they are equally thin everywhere, and there are none where a membrane ends blindly in a cell.

    Parameters
    ----------
    interior : ndarray of bool, shape (Y, X)
        True inside cells.
    half_width_px : int
        How far the lines reach to either side; they never leave the membrane.

    Returns
    -------
    ndarray of bool, shape (Y, X)
    """
    cells = label(interior)[0]
    if not cells.any():
        return np.zeros(interior.shape, bool)
    at = distance_transform_edt(~interior, return_distances=False, return_indices=True)
    zones = cells[tuple(at)]
    meet = np.zeros(interior.shape, bool)
    for axis in (0, 1):
        differs = np.diff(zones, axis=axis) != 0
        low = [slice(None)] * 2
        high = [slice(None)] * 2
        low[axis], high[axis] = slice(0, -1), slice(1, None)
        meet[tuple(low)] |= differs
        meet[tuple(high)] |= differs
    if half_width_px > 0:
        meet = binary_dilation(meet, iterations=half_width_px)
    return meet & ~interior
