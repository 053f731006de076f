"""Area, volume, surface and form of one spine, from its voxels."""

from __future__ import annotations

from typing import Any

import numpy as np

from spinecore.morphometry import missing
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.geometry import MeasurementGrid
from spinecore.morphometry.path import SpineShape
from spinecore.morphometry.surface import surface_area
from spinecore.tables.column import Column, measures

#: No body has less surface than a ball of its volume; what the voxels of a ball add to that is allowed for.
SPHERICITY_LIMIT = 1.05
_TOO_SMALL = "the surface comes out smaller than that of a ball of the same volume"


@measures(
    Column(
        "area_um2",
        "um^2",
        "Projected area",
        "Area of the spine seen from above.",
        "Pixels of the maximum projection of its voxels times the pixel area.",
        f"the spine has no voxels, or {missing.PIXEL}",
    ),
    Column(
        "volume_um3",
        "um^3",
        "Volume",
        "Volume of the spine.",
        "Number of voxels times the voxel volume.",
        f"{missing.DEPTH}; {missing.FLAT}; or the spine has no voxels",
    ),
    Column(
        "head_volume_um3",
        "um^3",
        "Head volume",
        "Volume of the spine beyond the neck.",
        "volume_um3 times the share of the spine that lies farther along the path than the neck length; all of it where there is "
        "no neck.",
        f"{missing.DEPTH}; {missing.FLAT}; {missing.DENDRITE}; or {missing.FEW_VOXELS}",
    ),
    Column(
        "surface_um2",
        "um^2",
        "Surface",
        "Surface area of the spine, with the cut to the dendrite.",
        "Marching cubes on the smoothed mask, at the level that keeps the voxel volume.",
        f"{missing.DEPTH}; {missing.FLAT}; {missing.FEW_VOXELS}; or {_TOO_SMALL}",
    ),
    Column(
        "sphericity",
        "",
        "Sphericity",
        "1 for a ball, less for anything else.",
        "pi^(1/3) (6 V)^(2/3) / S (Wadell 1935), from volume_um3 and surface_um2, at most 1; with a z step of three pixels where "
        "that is unknown.",
        f"a single slice or projection has no depth; {missing.FLAT}; {missing.FEW_VOXELS}; or {_TOO_SMALL}",
    ),
    Column(
        "elongation",
        "",
        "Elongation",
        "Long axis over the middle axis of the spine; 1 for a ball.",
        "Square root of the ratio of the two largest eigenvalues of the covariance of its voxels in um "
        "(with the voxel's own extent); with a z step of three pixels where that is unknown.",
        missing.FEW_VOXELS,
    ),
)
def sizes(
    crop: SpineCrop, shape: SpineShape | None, grid: MeasurementGrid
) -> tuple[dict[str, Any], list[str]]:
    """Return the sizes of a spine, and the reasons for those that are missing."""
    n = int(crop.mask.sum())
    if n == 0:
        return {}, []
    row: dict[str, Any] = {"area_um2": float(crop.mask.any(axis=0).sum() * grid.spacing[1] * grid.spacing[2])}
    if n >= 4:
        row["elongation"] = _elongation(crop, grid)
    if crop.by_hand.flat:
        return row, [missing.FLAT]
    if grid.flat:
        return row, ["a single slice or projection has no depth"]
    volume = row["volume_um3"] = float(n * grid.spacing.prod())
    if shape is not None:
        row["head_volume_um3"] = volume * shape.head_fraction
    if n < 4:
        return row, []
    surface = surface_area(crop.mask, grid.spacing)
    sphericity = float(np.pi ** (1 / 3) * (6 * volume) ** (2 / 3) / surface)
    if sphericity > SPHERICITY_LIMIT:
        return row, ["the spine spans too few voxels for a surface"]
    return row | {"surface_um2": surface, "sphericity": min(sphericity, 1.0)}, []


def _elongation(crop: SpineCrop, grid: MeasurementGrid) -> float:
    where = (np.argwhere(crop.mask) * grid.spacing)[:, grid.axes]
    spread = np.cov(where.T, bias=True) + np.diag(grid.spacing[grid.axes] ** 2 / 12)
    values = np.sort(np.linalg.eigvalsh(spread))[::-1]
    return float(np.sqrt(values[0] / values[1]))
