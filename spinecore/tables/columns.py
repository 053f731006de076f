"""Every table column, declared once: its unit, its meaning, how it is computed and when it is missing.

The CSV order, the page's help texts, the XLSX sheet of column meanings and the documentation all read from here.
Numbers that cannot be measured are NaN (an empty CSV field) and never 0; the reason stands in the flag column of
the measure or in ``missing_reason``.
"""

from __future__ import annotations

from spinecore.tables.class_names import CLASSES
from spinecore.tables.column import Column, by_name
from spinecore.tables.spine_columns import SPINE_COLUMNS

__all__ = ["BRANCH_COLUMNS", "DENDRITE_COLUMNS", "SPINE_COLUMNS", "Column", "describe"]

_DENSITY_HOW = "Number of spines over path_length_um (path through the skeleton with the voxel spacing)."


def _of_class(name: str) -> tuple[Column, Column]:
    """Declare number and density of the spines of one shape class."""
    missing = "no spine has a class"
    return (
        Column(
            f"n_{name}",
            "",
            f"{name.capitalize()} spines",
            f"Number of spines classed as {name}.",
            "Count of class.",
            missing,
        ),
        Column(
            f"density_{name}_per_um",
            "1/um",
            f"Density, {name}",
            f"Spines per um that are classed as {name}.",
            "As density_per_um.",
            f"the length is unknown or {missing}",
        ),
    )


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
        "density_corrected_per_um",
        "1/um",
        "Density, corrected",
        "Spines per um after correction for missed and false spines, as far as validation data tell.",
        "Sum over all candidates, also those below the threshold, of the probability that a candidate of that score is a "
        "spine, over the share of spines that have a candidate, over path_length_um (see spinecore.detection.calibration).",
        "the length is unknown, or the scores of the model used are not calibrated",
    ),
    Column(
        "density_corrected_low_per_um",
        "1/um",
        "Corrected density, lower bound",
        "Lower end of a 95 % interval that holds errors of detection besides that of counting.",
        "From the chance of each candidate, the difference between validation stacks, and Poisson counting.",
        "as density_corrected_per_um",
    ),
    Column(
        "density_corrected_high_per_um",
        "1/um",
        "Corrected density, upper bound",
        "Upper end of that interval.",
        "As density_corrected_low_per_um.",
        "as density_corrected_per_um",
    ),
    Column(
        "density_without_filopodia_per_um",
        "1/um",
        "Density without filopodia",
        "Spines per um, those classed as filopodia left out.",
        "As density_per_um.",
        "the length is unknown or no spine has a class",
    ),
    *(column for name in CLASSES for column in _of_class(name)),
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
        "clustering_index",
        "",
        "Clustering",
        "1 for spines placed at random along the branches, above 1 when clustered, below 1 when evenly spaced.",
        "Greenwood's statistic (1946): sum over the branches of the squared gaps, those to the branch's ends included, "
        "over its expectation for random places.",
        "fewer than 4 spines, or an unknown voxel size",
    ),
    Column(
        "clustering_p",
        "",
        "Clustering, p",
        "Probability of so large a deviation from 1 if spines lay at random; it does not allow for the size of the heads.",
        "Two-sided, 999 random placements.",
        "as clustering_index",
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

#: Columns of the table of branches, in order.
BRANCH_COLUMNS: dict[str, Column] = by_name(
    DENDRITE_COLUMNS["dendrite_id"],
    Column(
        "branch",
        "",
        "Branch",
        "Number of the unbranched piece within its dendrite.",
        "In the order of the path distance of its start from the root end, from 1.",
    ),
    Column(
        "branch_order",
        "",
        "Branch order",
        "Number of branch points between the root end and this piece.",
        "From the centre line's graph; the root end is the thickest one, which need not be the one at the soma.",
    ),
    Column(
        "start_um",
        "um",
        "Start",
        "Path distance of its start from the root end.",
        "Along the centre line.",
        "the voxel size is unknown",
    ),
    *(
        DENDRITE_COLUMNS[name]
        for name in (
            "path_length_um",
            "mean_radius_um",
            "n_spines",
            "density_per_um",
            "density_low_per_um",
            "density_high_per_um",
            "clustering_index",
            "clustering_p",
        )
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
