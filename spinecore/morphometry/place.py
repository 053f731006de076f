"""Where a spine is: in the image, in micrometres, on its dendrite, and next to others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinecore.morphometry import missing
from spinecore.morphometry.contact import Contact, SpineCrop
from spinecore.morphometry.geometry import CentreLines, MeasurementGrid
from spinecore.tables.column import Column, measures
from spinecore.tracing.sections import across


@measures(
    Column(
        "x_min_px", "px", "Box left", "First pixel column of the spine (inclusive).", "Box of its voxels."
    ),
    Column("y_min_px", "px", "Box top", "First pixel row of the spine (inclusive).", "Box of its voxels."),
    Column(
        "x_max_px", "px", "Box right", "Last pixel column of the spine (inclusive).", "Box of its voxels."
    ),
    Column("y_max_px", "px", "Box bottom", "Last pixel row of the spine (inclusive).", "Box of its voxels."),
    Column("z_min_px", "px", "First slice", "First slice of the spine (inclusive).", "Box of its voxels."),
    Column("z_max_px", "px", "Last slice", "Last slice of the spine (inclusive).", "Box of its voxels."),
    Column(
        "touches_border",
        "",
        "Touches border",
        "True when the spine touches the edge of the image or its first or last slice: it may be cut off.",
        "Its box reaches a face of the volume (in z only for stacks).",
    ),
)
def box(crop: SpineCrop, seed_px: np.ndarray | None, grid: MeasurementGrid) -> dict[str, Any]:
    """Return the box of a spine's voxels in the input's pixels; that of its head centre where it has none."""
    where = np.argwhere(crop.mask)
    if len(where):
        low, high = where.min(axis=0) + crop.origin, where.max(axis=0) + crop.origin
    else:
        low = high = np.rint(np.asarray(seed_px, float)).astype(int)
    limit = np.array(grid.shape) - 1
    row: dict[str, Any] = {
        "touches_border": bool((low <= 0)[grid.axes].any() or (high >= limit)[grid.axes].any())
    }
    first = np.floor(low / grid.scale + 1e-6).astype(int)
    last = np.ceil((high + 1) / grid.scale - 1e-6).astype(int) - 1
    for axis, name in ((2, "x"), (1, "y"), (0, "z")):
        row[f"{name}_min_px"], row[f"{name}_max_px"] = int(first[axis]), int(last[axis])
    return row


@measures(
    Column(
        "x_px",
        "px",
        "Head x",
        "Centre of the head along X, in the input's pixels.",
        "Peak of the detector, or the place where a person added the spine; where neither is known, the centroid of its voxels "
        "beyond the neck. The first pixel's centre is 0.",
    ),
    Column("y_px", "px", "Head y", "Centre of the head along Y, in the input's pixels.", "As x_px."),
    Column("z_px", "px", "Head z", "Centre of the head along Z, in slices from 0.", "As x_px."),
)
def head(centre_px: np.ndarray, grid: MeasurementGrid) -> dict[str, Any]:
    """Return the head's centre (voxels of the grid, ZYX) in the input's pixels."""
    z, y, x = grid.to_input(centre_px)
    return {"x_px": x, "y_px": y, "z_px": z}


@measures(
    Column(
        "dendrite_id",
        "",
        "Dendrite",
        "Number of the dendrite that the spine belongs to.",
        "Dendrite reached by the cheapest path from the head centre (see base_x_px).",
        missing.DENDRITE,
    ),
    Column(
        "base_x_px",
        "px",
        "Base x",
        "Where the spine leaves the dendrite's surface, along X.",
        "Where the cheapest path from the head centre (cheap in the spine's voxels and where it is bright) first "
        "reaches the dendrite; without one, where the straight line to the nearest centre line meets the shaft's surface.",
        missing.DENDRITE,
    ),
    Column(
        "base_y_px",
        "px",
        "Base y",
        "Where the spine leaves the dendrite, along Y.",
        "As base_x_px.",
        missing.DENDRITE,
    ),
    Column(
        "base_z_px",
        "px",
        "Base z",
        "Where the spine leaves the dendrite, along Z.",
        "As base_x_px.",
        missing.DENDRITE,
    ),
    Column(
        "position_along_dendrite_um",
        "um",
        "Position on dendrite",
        "Distance of the base from the dendrite's root end, along the centre line.",
        "Path length from the root end (see dendrites) to the point of the centre line nearest to the base.",
        f"{missing.DENDRITE}; or {missing.VOXEL}",
    ),
    Column(
        "branch",
        "",
        "Branch",
        "Number of the unbranched piece of the dendrite that the spine sits on.",
        "Piece of the centre line nearest to the base; pieces are counted from the root end, from 1.",
        missing.DENDRITE,
    ),
    Column(
        "side",
        "",
        "Side",
        "Side of the dendrite, seen from above and looking along it from its root end: left or right.",
        "Sign of the in-plane component of the line from the centre line to the head.",
        missing.DENDRITE,
        text=True,
    ),
    Column(
        "angle_deg",
        "degree",
        "Angle round the shaft",
        "0 is right, 90 towards higher z, 180 or -180 left, -90 towards lower z, looking from the root end.",
        "Angle of the head's offset from the centre line, in the plane across the dendrite.",
        f"{missing.DENDRITE}; or a single slice or projection has no depth",
    ),
)
def on_dendrite(
    start: Contact, centre_px: np.ndarray, grid: MeasurementGrid, lines: CentreLines
) -> dict[str, Any]:
    """Return where a spine with a contact and a head centre (voxels, ZYX) sits on its dendrite."""
    z, y, x = grid.to_input(start.path[0] / grid.spacing)
    row: dict[str, Any] = {"dendrite_id": start.dendrite_id, "base_x_px": x, "base_y_px": y, "base_z_px": z}
    k, _ = lines.near(start)
    if k is None:
        return row
    row["position_along_dendrite_um"] = float(lines.arc[k])
    row["branch"] = int(lines.branch[k])
    offset = centre_px * grid.spacing - lines.points[k]
    offset = offset - (offset @ lines.tangent[k]) * lines.tangent[k]
    lateral, axial = across(lines.tangent[k][None])
    right, up = float(offset @ lateral[0]), float(offset @ axial[0])
    row["side"] = "right" if right >= 0 else "left"
    if not grid.flat:
        row["angle_deg"] = float(np.degrees(np.arctan2(up, right)))
    return row


@measures(
    Column(
        "x_um", "um", "Head x", "Centre of the head along X.", "x_px times the pixel size.", missing.PIXEL
    ),
    Column(
        "y_um", "um", "Head y", "Centre of the head along Y.", "y_px times the pixel size.", missing.PIXEL
    ),
    Column("z_um", "um", "Head z", "Centre of the head along Z.", "z_px times the z step.", missing.DEPTH),
    Column(
        "nearest_neighbour_um",
        "um",
        "Nearest spine",
        "Distance to the nearest other head centre.",
        "Euclidean distance between head centres.",
        f"there is no other spine, or {missing.VOXEL}",
    ),
)
def among_spines(table: pd.DataFrame, zyx_um: tuple[float, float, float], flat: bool) -> pd.DataFrame:
    """Return a table with head centres in um and the distance to the nearest other one.

    Parameters
    ----------
    table : DataFrame
        With x_px, y_px and z_px; not empty.
    zyx_um : tuple of float
        The input's voxel size.
    flat : bool
        True for a single slice or projection.
    """
    places = {
        "x_um": table["x_px"] * zyx_um[2],
        "y_um": table["y_px"] * zyx_um[1],
        "z_um": np.nan if flat else table["z_px"] * zyx_um[0],
    }
    table = table.assign(**places)
    centres = table[["x_um", "y_um"]].assign(z_um=0.0 if flat else table["z_um"]).to_numpy(float)
    nearest = cKDTree(centres).query(centres, k=2)[0][:, 1] if len(table) > 1 else np.nan
    return table.assign(nearest_neighbour_um=nearest)
