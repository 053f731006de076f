"""Intensities of one spine: local background, shaft brightness, and widths at half maximum."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage as ndi

from spinecore.morphometry import missing
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.geometry import MeasurementGrid
from spinecore.tables.column import Column, measures
from spinecore.tracing.sections import across

#: Reach of the local background around the spine's box and its distance from any structure, in voxels in plane.
BACKGROUND_PX = 8
CLEAR_PX = 2
#: How far the light of a spine is collected around its mask, along Z, Y and X, in um.
GLOW_UM = (0.0, 0.15, 0.15)
#: The shaft's brightness is read on its centre line within this distance of the base, added to its radius (um).
SHAFT_UM = 1.0

_NO_VALUE = f"{missing.IMAGE} or the spine has no voxels"


@measures(
    Column(
        "intensity_mean",
        "",
        "Mean intensity",
        "Mean intensity above the local background.",
        "Mean over the spine's voxels minus intensity_background.",
        _NO_VALUE,
    ),
    Column(
        "intensity_max",
        "",
        "Maximum intensity",
        "Largest intensity above the local background.",
        "Maximum over the spine's voxels minus intensity_background.",
        _NO_VALUE,
    ),
    Column(
        "intensity_integrated",
        "",
        "Integrated intensity",
        "Sum of the intensity above the local background.",
        "Sum over the spine's voxels of intensity minus intensity_background.",
        _NO_VALUE,
    ),
    Column(
        "intensity_background",
        "",
        "Local background",
        "Intensity beside the spine, in the image's own units.",
        f"Median of the voxels of the same slices within {BACKGROUND_PX} pixels of its box and more than {CLEAR_PX} pixels off every "
        "spine and dendrite; the stack's 10th percentile where there are fewer than 10.",
        missing.IMAGE,
    ),
)
def intensities(crop: SpineCrop, background: float) -> dict[str, Any]:
    """Return the spine's intensities above a background."""
    row: dict[str, Any] = {"intensity_background": background}
    values = crop.image[crop.mask].astype(float) - background
    if len(values):
        total = float(values.sum())
        row |= {"intensity_mean": total / len(values), "intensity_max": float(values.max())}
        row["intensity_integrated"] = total
    return row


@measures(
    Column(
        "spine_to_shaft_ratio",
        "",
        "Spine to shaft",
        "Brightness of the spine relative to its local shaft.",
        f"intensity_max over the mean intensity above background of the voxels on the dendrite's centre line within {SHAFT_UM:g} um, "
        "and the shaft's radius, of the base.",
        f"{_NO_VALUE}; or {missing.SHAFT}",
    ),
    Column(
        "volume_fluorescence_um3",
        "um^3",
        "Volume by fluorescence",
        "Volume that would give the spine's fluorescence at the brightness of its local shaft.",
        f"Sum of intensity above background in the spine and within {GLOW_UM[1]:g} um around it in plane, other spines and dendrites "
        "left out, times voxel volume, over the brightness of the shaft as in spine_to_shaft_ratio; at least 0.",
        f"{missing.DEPTH}; {_NO_VALUE}; or {missing.SHAFT}",
    ),
)
def against_shaft(
    crop: SpineCrop, grid: MeasurementGrid, line: np.ndarray, background: float, intensity_max: float
) -> dict[str, Any]:
    """Return what the spine's light is against that of its shaft, whose centre line near the base is `line` (n, 3)."""
    shaft = shaft_brightness(crop, line, grid.spacing, background)
    row: dict[str, Any] = {"spine_to_shaft_ratio": intensity_max / shaft}
    if not grid.flat:
        halo = glow(crop, grid.spacing)
        signal = float(crop.image[halo].astype(float).sum()) - background * int(halo.sum())
        row["volume_fluorescence_um3"] = max(signal, 0.0) * float(grid.spacing.prod()) / shaft
    return row


def local_background(crop: SpineCrop, fallback: float) -> float:
    """Return the median of the voxels near the spine that are off every structure.

    Parameters
    ----------
    crop : SpineCrop
        With intensity.
    fallback : float
        Returned where fewer than 10 such voxels exist.
    """
    where = np.argwhere(crop.mask)
    if len(where) == 0:
        return fallback
    low, high = where.min(axis=0), where.max(axis=0) + 1
    window = (
        slice(low[0], high[0]),
        slice(max(low[1] - BACKGROUND_PX, 0), high[1] + BACKGROUND_PX),
        slice(max(low[2] - BACKGROUND_PX, 0), high[2] + BACKGROUND_PX),
    )
    structure = (crop.mask | crop.others | (crop.dendrite > 0))[window]
    size = 2 * CLEAR_PX + 1
    near = ndi.maximum_filter(structure.view(np.uint8), size=(1, size, size))
    values = crop.image[window][near == 0]
    return float(np.median(values)) if len(values) >= 10 else fallback


def brightness(crop: SpineCrop, background: float) -> np.ndarray:
    """Return the crop's intensity scaled from 0 (background) to 1 (90th percentile of the spine)."""
    values = crop.image[crop.mask]
    top = float(np.percentile(values, 90)) if len(values) else float(crop.image.max())
    if top <= background:
        return np.zeros(crop.mask.shape)
    return np.clip((crop.image - background) / (top - background), 0.0, 1.0)


def glow(crop: SpineCrop, spacing: np.ndarray) -> np.ndarray:
    """Return the voxels that hold a spine's light: its own and those within `GLOW_UM`, off every other structure."""
    reach = np.maximum(np.rint(np.array(GLOW_UM) / spacing), 0).astype(int)
    wide = ndi.maximum_filter(crop.mask.view(np.uint8), size=tuple(2 * reach + 1)) > 0
    return wide & ~crop.others & (crop.dendrite == 0)


def shaft_brightness(crop: SpineCrop, line: np.ndarray, spacing: np.ndarray, background: float) -> float:
    """Return the mean intensity above background on the dendrite's centre line inside the crop (NaN if none).

    Parameters
    ----------
    crop : SpineCrop
    line : ndarray, shape (n, 3)
        Points of the centre line near the base, ZYX in um.
    spacing : ndarray, shape (3,)
        Voxel size in um.
    background : float
    """
    voxel = np.rint(line / spacing).astype(int) - np.asarray(crop.origin)
    inside = np.all((voxel >= 0) & (voxel < np.array(crop.mask.shape)), axis=1)
    if not inside.any():
        return np.nan
    value = float(crop.image[tuple(voxel[inside].T)].mean()) - background
    return value if value > 0 else np.nan


def width_at_half_maximum(
    crop: SpineCrop, point: np.ndarray, direction: np.ndarray, spacing: np.ndarray, background: float
) -> float:
    """Return the full width at half maximum across a path, in the image plane, in um.

    The profile runs through `point`, is sampled linearly, and its peak is sought within 0.2 um of the point.

    Parameters
    ----------
    crop : SpineCrop
        With intensity.
    point, direction : ndarray, shape (3,)
        Point of the path (um) and unit tangent there, ZYX.
    spacing : ndarray, shape (3,)
        Voxel size in um.
    background : float

    Returns
    -------
    float
        NaN where the profile does not fall below half on both sides within 1 um.
    """
    lateral = across(direction[None])[0][0]
    step = 0.02
    reach = np.arange(-1.0, 1.0 + step / 2, step)
    local = (point + reach[:, None] * lateral) / spacing - np.asarray(crop.origin)
    values = ndi.map_coordinates(
        crop.image.astype(np.float32), local.T, order=1, mode="constant", cval=np.nan
    )
    values = values - background
    middle = len(reach) // 2
    near = values[middle - 10 : middle + 11]
    if not np.isfinite(near).all() or near.max() <= 0:
        return np.nan
    peak = middle - 10 + int(np.argmax(near))
    half = values[peak] / 2
    right, left = values[peak:], values[peak::-1]
    edges = []
    for side in (right, left):
        below = np.flatnonzero(side < half)
        if len(below) == 0 or not np.isfinite(side[: below[0] + 1]).all():
            return np.nan
        k = int(below[0])
        edges.append((k - 1 + (side[k - 1] - half) / (side[k - 1] - side[k])) * step)
    return float(sum(edges))
