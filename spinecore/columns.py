"""Every table column, declared once: its unit, its meaning, how it is computed and when it is missing.

The CSV order, the page's help texts, the XLSX sheet of column meanings and the documentation all read from here.
Numbers that cannot be measured are NaN (an empty CSV field) and never 0; the reason stands in the flag column of
the measure or in ``missing_reason``.
"""

from __future__ import annotations

from spinecore.column import Column, by_name
from spinecore.columns_spines import SPINE_COLUMNS

__all__ = ["DENDRITE_COLUMNS", "SPINE_COLUMNS", "Column", "describe"]

_DENSITY_HOW = "Number of spines over path_length_um (path through the skeleton with the voxel spacing)."

#: Columns of dendrites.csv, in order.
DENDRITE_COLUMNS: dict[str, Column] = by_name(
    Column("dendrite_id", "", "Dendrite", "Number of the dendrite.", "Value of its voxels in dendrite.tif."),
    Column(
        "path_length_um",
        "um",
        "Path length",
        "Length of the centre line over all branches.",
        "Sum over branches of the arc length of the smoothed centre line, with the voxel spacing; it runs to the image "
        "border, or to the centre of the last inscribed ball.",
        "the voxel size is unknown",
    ),
    Column(
        "path_length_px",
        "px",
        "Path length in pixels",
        "Length of the centre line seen from above, in pixels.",
        "In-plane arc length over all branches.",
    ),
    Column(
        "path_length_um_flag",
        "",
        "Length flag",
        "'projected' for 2-D inputs.",
        "From the input.",
        "3-D input",
    ),
    Column("n_branches", "", "Branches", "Number of unbranched pieces.", "Edges of the centre line's graph."),
    Column(
        "mean_radius_um",
        "um",
        "Mean radius",
        "Mean radius of the shaft.",
        "Mean over the centre line of the distance to the mask's surface.",
        "the pixel size is unknown",
    ),
    Column(
        "n_spines", "", "Spines", "Number of spines of this dendrite.", "Rows of spines.csv with its number."
    ),
    Column(
        "n_spines_border",
        "",
        "Spines at the border",
        "How many of them touch the border of the image.",
        "touches_border.",
    ),
    Column(
        "density_per_um",
        "1/um",
        "Density",
        "Spines per um of dendrite.",
        _DENSITY_HOW,
        "the length is unknown",
    ),
    Column(
        "density_low_per_um",
        "1/um",
        "Density, lower bound",
        "Lower end of the 95 % confidence interval of the density.",
        "Exact Poisson interval of the count (Garwood 1936), over path_length_um.",
        "the length is unknown",
    ),
    Column(
        "density_high_per_um",
        "1/um",
        "Density, upper bound",
        "Upper end of the 95 % confidence interval of the density.",
        "As density_low_per_um.",
        "the length is unknown",
    ),
    Column(
        "density_without_filopodia_per_um",
        "1/um",
        "Density without filopodia",
        "Spines per um, those classed as filopodia left out.",
        "As density_per_um.",
        "the length is unknown or no spine has a class",
    ),
    Column(
        "density_without_border_per_um",
        "1/um",
        "Density without border spines",
        "Spines per um, those that touch the border left out.",
        "As density_per_um.",
        "the length is unknown",
    ),
    Column(
        "spacing_mean_um",
        "um",
        "Mean gap",
        "Mean distance between neighbouring spines along the dendrite.",
        "Differences of the sorted position_along_dendrite_um.",
        "fewer than 2 spines, more than one branch, or an unknown voxel size",
    ),
    Column(
        "spacing_cv",
        "",
        "Gap variation",
        "About 1 for spines placed at random, more when clustered, less when evenly spaced.",
        "Standard deviation over mean of the gaps.",
        "fewer than 4 spines, more than one branch, or an unknown voxel size",
    ),
    Column(
        "mean_length_um",
        "um",
        "Mean spine length",
        "Mean of length_um.",
        "Spines with a length only.",
        "none has one",
    ),
    Column(
        "mean_head_width_um",
        "um",
        "Mean head width",
        "Mean of head_width_um.",
        "Spines with a head width only.",
        "none has one",
    ),
)


def describe(columns: dict[str, Column]) -> list[dict[str, str]]:
    """Return the columns as plain records (name, unit, title, description, how, missing), in order.

    Examples
    --------
    >>> describe(DENDRITE_COLUMNS)[0]["name"]
    'dendrite_id'
    """
    return [
        {
            "name": column.name,
            "unit": column.unit,
            "title": column.title,
            "description": column.description,
            "how": column.how,
            "missing": column.missing,
        }
        for column in columns.values()
    ]
