"""Does a stack look like what a model was trained on? Its measures beside the ranges on the model's card.

Noise, background and signal are measured on what the network sees: the slice brought to 0.1 um pixels, square
root of the intensity, 0 at the background level and 1 at the robust maximum of the stack (`inference.normalise`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter

from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.reading.advice import TRAINED_PIXEL_UM
from spinecore.stack import Spacing, Stack

#: Slices of a stack that are looked at, evenly spaced.
SAMPLED_SLICES = 9
#: Percentiles of the training data that are the ends of a range.
RANGE_PERCENTILES = (0.5, 99.5)
#: Share of an end by which a value may lie beyond it: the ends are estimates.
SLACK = 0.02


@dataclass(frozen=True)
class Quantity:
    """One thing that is measured.

    Parameters
    ----------
    title, unit : str
        For people.
    below, above : str
        What to expect of a stack outside the range; empty where that side does no harm.
    scale : float
        Stored values are multiplied by it before they are printed.
    """

    title: str
    unit: str
    below: str
    above: str
    scale: float = 1.0


QUANTITIES: dict[str, Quantity] = {
    "pixel_um": Quantity(
        "pixel size",
        "µm",
        "check that it is right",
        "thin spines may not be resolved, so expect misses",
    ),
    "z_um": Quantity(
        "slice step",
        "µm",
        "check that it is right",
        "spines above and below the shaft may be missed or merged",
    ),
    "noise": Quantity(
        "noise", "% of the structures' brightness", "", "expect misses and false alarms", scale=100.0
    ),
    "background": Quantity(
        "background level",
        "% of the brightest signal",
        "",
        "structures hardly stand out from it, or the image is not one of bright neurites on a dark ground",
        scale=100.0,
    ),
    "signal": Quantity(
        "brightness of the structures above the background",
        "% of the brightest signal",
        "dendrites are faint beside the brightest spots or the noise, so expect misses",
        "large parts of the image are bright, so expect false alarms",
        scale=100.0,
    ),
}


def slice_step(count: int, most: int = SAMPLED_SLICES) -> int:
    """Return the distance between the slices that are looked at, the first of `count` being one of them.

    Examples
    --------
    >>> slice_step(3), slice_step(100)
    (1, 12)
    """
    return max(1, -(-count // most))


def measure_network_planes(planes: Sequence[np.ndarray]) -> dict[str, float]:
    """Measure noise, background and signal of the brightest of some planes, as the network sees them.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X)
        Normalised intensity at 0.1 um pixels.

    Returns
    -------
    dict of str to float
        `background`: median; `signal`: 99th percentile minus the median; `noise`: median absolute deviation
        (as a standard deviation) over the signal. All after a Gaussian of 1 px, and the noise is that of the band
        between Gaussians of 1 and 2 px: it keeps its strength when an image is resampled, which noise from one pixel
        to the next does not, and the median leaves out the sparse structures.
    """
    brightest = max(planes, key=lambda plane: float(np.percentile(plane, 99.5)))
    smooth = gaussian_filter(brightest, 1.0, mode="nearest")
    band = smooth - gaussian_filter(brightest, 2.0, mode="nearest")
    median, bright = (float(v) for v in np.percentile(smooth, (50.0, 99.0)))
    noise = float(np.median(np.abs(band)) / 0.6745)
    return {"noise": noise / max(bright - median, 1e-3), "background": median, "signal": bright - median}


def measure_planes(planes: Sequence[np.ndarray], spacing: Spacing, n_slices: int) -> dict[str, float]:
    """Measure a stack from some of its slices.

    Parameters
    ----------
    planes : sequence of ndarray, shape (Y, X)
        Raw intensities of every `slice_step`-th slice.
    spacing : Spacing
        With known in-plane size.
    n_slices : int
        Slices of the whole stack; with one, depth is not measured.

    Returns
    -------
    dict of str to float
        Keys of `QUANTITIES`.

    Raises
    ------
    ValueError
        If the in-plane pixel size is unknown.
    """
    _, y_um, x_um = spacing.zyx_um()
    low, high = intensity_range(np.stack(planes))
    shape = canonical_shape(planes[0].shape, (y_um, x_um))
    seen = [resize_plane(normalise(plane, low, high), shape) for plane in planes]
    found = {"pixel_um": float(np.sqrt(y_um * x_um)), **measure_network_planes(seen)}
    if n_slices > 1 and spacing.z_um is not None:
        found["z_um"] = spacing.z_um
    return found


def measure_stack(stack: Stack) -> dict[str, float]:
    """Measure a stack; see `measure_planes`."""
    planes = list(stack.voxels[:: slice_step(stack.shape[0])])
    return measure_planes(planes, stack.spacing, stack.shape[0])


def trained_range(card: dict[str, Any], is_2d: bool) -> dict[str, Any]:
    """Return the ranges on a card for single images or for stacks; without them, the usual pixel sizes."""
    found = (card.get("trained_range") or {}).get("image" if is_2d else "stack")
    return found or {"pixel_um": list(TRAINED_PIXEL_UM)}


def make_range(rows: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Return the range of every quantity over the measures of training data, and how many there were."""
    names = [name for name in QUANTITIES if any(name in row for row in rows)]
    out: dict[str, Any] = {"n": len(rows)}
    for name in names:
        values = [row[name] for row in rows if name in row]
        low, high = np.percentile(values, RANGE_PERCENTILES)
        out[name] = [float(f"{low:.4g}"), float(f"{high:.4g}")]
    return out


def join_ranges(one: dict[str, Any] | None, other: dict[str, Any]) -> dict[str, Any]:
    """Return the range that holds both: of a model trained first on one, then on other data."""
    if one is None:
        return other
    out = dict(one)
    out["n"] = one.get("n", 0) + other.get("n", 0)
    for name, (low, high) in ((k, v) for k, v in other.items() if k in QUANTITIES):
        known = one.get(name, (low, high))
        out[name] = [min(low, known[0]), max(high, known[1])]
    return out


def find_outside(measured: dict[str, float], limits: dict[str, Any]) -> dict[str, str]:
    """Return a sentence for every quantity of a stack outside the range of the training data.

    Parameters
    ----------
    measured : dict of str to float
        From `measure_stack`.
    limits : dict
        From `trained_range`.

    Examples
    --------
    >>> found = find_outside({"pixel_um": 0.4, "noise": 0.001}, {"pixel_um": [0.05, 0.2], "noise": [0.01, 0.1]})
    >>> list(found.values())
    ['The pixel size (0.4 µm) is above what the model was trained on (0.05 to 0.2 µm): thin spines may not be resolved, so expect misses.']
    """
    out = {}
    for name, quantity in QUANTITIES.items():
        if name not in measured or name not in limits:
            continue
        low, high = (float(v) for v in limits[name])
        value = measured[name]
        if value < low * (1 - SLACK) and quantity.below:
            side, words = "below", quantity.below
        elif value > high * (1 + SLACK) and quantity.above:
            side, words = "above", quantity.above
        else:
            continue
        out[name] = (
            f"The {quantity.title} ({_text(value, quantity)} {quantity.unit}) is {side} what the model was trained on "
            f"({_text(low, quantity)} to {_text(high, quantity)} {quantity.unit}): {words}."
        )
    return out


def _text(value: float, quantity: Quantity) -> str:
    shown = value * quantity.scale
    return f"{shown:.0f}" if 10 <= abs(shown) < 1e6 else f"{shown:.2g}"
