"""The columns of the result tables, collected from the functions that compute them, in the order of the files.

To add one: declare it with `measures` beside the function that computes it and, for spines.csv, put its name where it
shall stand in `SPINE_ORDER`. Numbers that cannot be measured are NaN (an empty CSV field) and never 0; the reason stands
in the flag column of the measure or in ``missing_reason``.
"""

from __future__ import annotations

from spinecore.detection.candidates import find_candidates
from spinecore.methods.sizes import with_sizes
from spinecore.morphometry.branches import BRANCH_COLUMNS
from spinecore.morphometry.dendrites import DENDRITE_COLUMNS
from spinecore.morphometry.hand import with_marks
from spinecore.morphometry.intensity import against_shaft, intensities
from spinecore.morphometry.measurer import Measurer
from spinecore.morphometry.place import among_spines, box, head, on_dendrite
from spinecore.morphometry.size import sizes
from spinecore.morphometry.soma import soma_distances
from spinecore.morphometry.widths import head_width, lengths, neck
from spinecore.shapes.classify import fill_classes
from spinecore.tables.column import Column, columns_of, describe

__all__ = [
    "BRANCH_COLUMNS",
    "DENDRITE_COLUMNS",
    "SPINE_COLUMNS",
    "TABLES",
    "TEXT_COLUMNS",
    "column_rows",
]

SPINE_ORDER = [
    "spine_id",
    "dendrite_id",
    "x_px",
    "y_px",
    "z_px",
    "x_um",
    "y_um",
    "z_um",
    "score",
    "x_min_px",
    "y_min_px",
    "x_max_px",
    "y_max_px",
    "z_min_px",
    "z_max_px",
    "length_um",
    "length_um_flag",
    "length_estimated_um",
    "length_estimated_error_pct",
    "length_euclidean_um",
    "length_euclidean_um_flag",
    "head_width_um",
    "head_width_um_flag",
    "head_width_estimated_um",
    "head_width_estimated_error_pct",
    "neck_width_um",
    "neck_width_um_flag",
    "neck_length_um",
    "neck_length_um_flag",
    "area_um2",
    "volume_um3",
    "volume_estimated_um3",
    "volume_estimated_error_pct",
    "volume_fluorescence_um3",
    "head_volume_um3",
    "surface_um2",
    "sphericity",
    "elongation",
    "intensity_mean",
    "intensity_max",
    "intensity_integrated",
    "intensity_background",
    "spine_to_shaft_ratio",
    "position_along_dendrite_um",
    "branch",
    "side",
    "angle_deg",
    "nearest_neighbour_um",
    "soma_distance_um",
    "soma_path_um",
    "touches_border",
    "base_x_px",
    "base_y_px",
    "base_z_px",
    "tip_x_px",
    "tip_y_px",
    "tip_z_px",
    "class",
    "class_probability",
    "p_mushroom",
    "p_thin",
    "p_stubby",
    "p_filopodium",
    "class_rule",
    "class_disagrees",
    "branched",
    "origin",
    "mark",
    "edited",
    "reviewed",
    "reviewed_by",
    "reviewed_at",
    "missing_reason",
]

#: Columns of spines.csv, in order.
SPINE_COLUMNS: dict[str, Column] = columns_of(
    Measurer.measure_one,
    box,
    head,
    on_dendrite,
    lengths,
    head_width,
    neck,
    sizes,
    intensities,
    against_shaft,
    among_spines,
    soma_distances,
    find_candidates,
    with_sizes,
    fill_classes,
    with_marks,
    order=SPINE_ORDER,
)
#: Every table of an analysis: name -> (what one row is, its columns).
TABLES: dict[str, tuple[str, dict[str, Column]]] = {
    "spines": ("One row a spine.", SPINE_COLUMNS),
    "dendrites": ("One row a dendrite.", DENDRITE_COLUMNS),
    "branches": ("One row a branch of a dendrite (in exports).", BRANCH_COLUMNS),
}

#: Columns of words, in any table; an empty one is "" and not NaN.
TEXT_COLUMNS = frozenset(
    name for _, columns in TABLES.values() for name, column in columns.items() if column.text
)


def column_rows() -> list[dict[str, str]]:
    """Return every column of every table as a plain record: table, name, unit, title, description, how, missing.

    Examples
    --------
    >>> column_rows()[0]["table"], column_rows()[0]["name"]
    ('spines', 'spine_id')
    """
    return [
        {"table": table, **record} for table, (_, columns) in TABLES.items() for record in describe(columns)
    ]
