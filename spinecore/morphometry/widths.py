"""Lengths and widths of one spine, with what to know before they are used."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinecore.morphometry import missing
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.geometry import MeasurementGrid
from spinecore.morphometry.intensity import width_at_half_maximum
from spinecore.morphometry.path import SpineShape
from spinecore.tables.column import Column, flag_column, measures
from spinecore.tracing.sections import tangents

#: Measures whose flag says why the path of a spine could not be followed.
_FLAGGED = ("length_um", "length_euclidean_um", "head_width_um", "neck_width_um", "neck_length_um")


def without_path(why: str) -> dict[str, Any]:
    """Return the flags of a spine whose path could not be followed: "no dendrite", "too few voxels" or "position only"."""
    return {f"{name}_flag": why for name in _FLAGGED}


@measures(
    Column(
        "length_um",
        "um",
        "Length",
        "Length from the dendrite's surface to the tip, along the spine's own path.",
        "Arc length of the path from the base (see base_x_px) through the head to the voxel that is farthest within the spine; "
        "the path is moved to the centroids of the cross-sections along it, twice, smoothed, and ended where it leaves the "
        "spine's surface, found between voxels. Along z, where the blur draws heads out, the spine reaches beyond the middle of "
        "its head no farther than it does across z, and half a slice.",
        missing.PATH,
    ),
    flag_column(
        "length_um_flag",
        "Length flag",
        "projected (2-D input), neck not segmented, cut by the border, too few voxels, position only, no dendrite",
    ),
    Column(
        "length_euclidean_um",
        "um",
        "Straight length",
        "Straight distance from the base to the tip.",
        "Distance between the two ends of the path of length_um.",
        missing.PATH,
    ),
    flag_column("length_euclidean_um_flag", "Straight length flag", "as length_um_flag"),
    Column(
        "tip_x_px",
        "px",
        "Tip x",
        "Tip of the spine along X.",
        "End of the path of length_um.",
        f"{missing.DENDRITE}; or {missing.FEW_VOXELS}",
    ),
    Column("tip_y_px", "px", "Tip y", "Tip of the spine along Y.", "As tip_x_px.", "as tip_x_px"),
    Column("tip_z_px", "px", "Tip z", "Tip of the spine along Z.", "As tip_x_px.", "as tip_x_px"),
)
def lengths(shape: SpineShape, grid: MeasurementGrid, touches_border: bool) -> dict[str, Any]:
    """Return the length along the path and straight, and the tip in the input's pixels."""
    tip, base = shape.path[-1], shape.path[0]
    z, y, x = grid.to_input(tip / grid.spacing)
    flag = "; ".join(_length_flags(shape, grid, touches_border))
    return {
        "tip_x_px": x,
        "tip_y_px": y,
        "tip_z_px": z,
        "length_um": shape.length,
        "length_euclidean_um": float(np.linalg.norm(tip - base)),
        "length_um_flag": flag,
        "length_euclidean_um_flag": flag,
    }


def _length_flags(shape: SpineShape, grid: MeasurementGrid, touches_border: bool) -> list[str]:
    words = ("cut by the border", "projected", "neck not segmented")
    return [word for word, holds in zip(words, (touches_border, grid.flat, shape.gap), strict=True) if holds]


@measures(
    Column(
        "head_width_um",
        "um",
        "Head width",
        "In-plane diameter of the largest cross-section of the head.",
        "Cross-section area A(s) = dV/ds along the path, smoothed by 0.06 um; where the diameter is largest (the last 5 % of the "
        "path left out), the in-plane diameter of the ellipse with this area and the section's ratio q of axial to in-plane "
        "spread, 2 sqrt(A / (pi q)), corrected for the smoothing; in 2-D the width dA/ds. Below the resolution limit (0.25 um, or "
        "two pixels where that is more) the full width at half maximum across the head is given instead, where it can be read.",
        missing.PATH,
    ),
    flag_column(
        "head_width_um_flag",
        "Head width flag",
        "resolution-limited, cut by the border, too few voxels, no dendrite",
    ),
)
def head_width(
    crop: SpineCrop,
    shape: SpineShape,
    grid: MeasurementGrid,
    touches_border: bool,
    limit_um: float,
    background: float,
) -> dict[str, Any]:
    """Return the head's diameter; by the intensity where it is below `limit_um`."""
    flags = ["cut by the border"] if touches_border else []
    width = shape.head_width
    if width < limit_um:
        flags.append("resolution-limited")
        by_intensity = _fwhm(crop, shape, shape.head_index, grid, background)
        width = by_intensity if np.isfinite(by_intensity) else width
    return {"head_width_um": width, "head_width_um_flag": "; ".join(flags)}


@measures(
    Column(
        "neck_width_um",
        "um",
        "Neck width",
        "In-plane diameter of the neck.",
        "Median diameter along the path between the base and the start of the head (see neck_length_um), by the formula "
        "of head_width_um. A spine has a neck when its narrowest diameter, times 1.1, is below the head's. Below the resolution "
        "limit the full width at half maximum across the path is given instead where it can be read and is below the head's; "
        "it is an upper bound.",
        f"the spine has no neck, or the neck was not segmented and the profile across it has no clear peak (see the flag); "
        f"{missing.PATH}",
    ),
    flag_column(
        "neck_width_um_flag",
        "Neck width flag",
        "resolution-limited, no neck, neck not segmented, no clear peak, cut by the border, too few voxels, no dendrite",
    ),
    Column(
        "neck_length_um",
        "um",
        "Neck length",
        "Length of the path from the base to where the head begins.",
        "The head begins where the diameter, beyond its minimum, has risen by 30 % of the difference to the head's.",
        f"the spine has no neck (see the flag); {missing.PATH}",
    ),
    flag_column(
        "neck_length_um_flag",
        "Neck length flag",
        "no neck, neck not segmented, projected (2-D input), cut by the border, too few voxels, no dendrite",
    ),
)
def neck(
    crop: SpineCrop,
    shape: SpineShape,
    grid: MeasurementGrid,
    touches_border: bool,
    limit_um: float,
    background: float,
    head_width_um: float,
) -> dict[str, Any]:
    """Return width and length of the neck, of a spine whose head is `head_width_um` wide."""
    if shape.neck_index is None:
        return {"neck_width_um_flag": "no neck", "neck_length_um_flag": "no neck"}
    flags = ["cut by the border"] if touches_border else []
    if shape.gap:
        flags.append("neck not segmented")
    width = shape.neck_width
    if width < limit_um:
        flags.append("resolution-limited")
        by_intensity = _fwhm(crop, shape, shape.neck_index, grid, background)
        if np.isfinite(by_intensity) and by_intensity < head_width_um:
            width = by_intensity
        elif shape.gap:
            width = np.nan
            flags.append("no clear peak")
    return {
        "neck_width_um": width,
        "neck_width_um_flag": "; ".join(flags),
        "neck_length_um": shape.neck_length,
        "neck_length_um_flag": "; ".join(_length_flags(shape, grid, touches_border)),
    }


def _fwhm(crop: SpineCrop, shape: SpineShape, index: int, grid: MeasurementGrid, background: float) -> float:
    """Return the full width at half maximum across a point of the path; NaN without an image."""
    if crop.intensity is None:
        return np.nan
    direction = tangents(shape.path)[index]
    return width_at_half_maximum(crop, shape.path[index], direction, grid.spacing, background)
