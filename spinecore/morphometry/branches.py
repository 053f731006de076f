"""The table of branches: one row for each unbranched piece of a dendrite; none where the voxel size is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spinecore.morphometry.intervals import poisson_interval
from spinecore.morphometry.spacing import branch_positions, clustering
from spinecore.tables.column import Column, columns_of, measures
from spinecore.tracing.trace import Branch, Dendrite

_UNKNOWN = "the branch of a spine is unknown (tables of earlier versions)"


@measures(
    Column("dendrite_id", "", "Dendrite", "Number of the dendrite.", "Value of its voxels in dendrite.tif."),
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
        "start_um", "um", "Start", "Path distance of its start from the root end.", "Along the centre line."
    ),
    Column(
        "path_length_um",
        "um",
        "Path length",
        "Length of the centre line of this piece.",
        "Arc length of the smoothed centre line, as in dendrites.",
    ),
    Column(
        "mean_radius_um",
        "um",
        "Mean radius",
        "Mean radius of the shaft along this piece.",
        "As in dendrites.",
    ),
)
def _line(dendrite: Dendrite, number: int, branch: Branch) -> dict[str, float]:
    """Return the measures of the centre line of a branch."""
    return {
        "dendrite_id": dendrite.id,
        "branch": number,
        "branch_order": branch.order,
        "start_um": branch.start_um,
        "path_length_um": branch.length_um,
        "mean_radius_um": float(branch.radii_um.mean()),
    }


@measures(
    Column(
        "n_spines",
        "",
        "Spines",
        "Number of spines on this piece.",
        "Rows of spines.csv with its numbers.",
        _UNKNOWN,
    ),
    Column(
        "density_per_um",
        "1/um",
        "Density",
        "Spines per um of this piece.",
        "n_spines over path_length_um.",
        _UNKNOWN,
    ),
    Column(
        "density_low_per_um",
        "1/um",
        "Density, lower bound",
        "Lower end of the 95 % confidence interval of the density.",
        "Exact Poisson interval of the count (Garwood 1936), over path_length_um.",
        _UNKNOWN,
    ),
    Column(
        "density_high_per_um",
        "1/um",
        "Density, upper bound",
        "Upper end of the 95 % confidence interval of the density.",
        "As density_low_per_um.",
        _UNKNOWN,
    ),
    Column(
        "clustering_index",
        "",
        "Clustering",
        "1 for spines placed at random along this piece, above 1 when clustered, below 1 when evenly spaced.",
        "As in dendrites, of this piece alone.",
        f"fewer than 4 spines, or {_UNKNOWN}",
    ),
    Column(
        "clustering_p",
        "",
        "Clustering, p",
        "Probability of so large a deviation from 1 if spines lay at random; it does not allow for the size of the heads.",
        "Two-sided, 999 random placements.",
        "as clustering_index",
    ),
)
def _spines(places_um: np.ndarray | None, length_um: float) -> dict[str, float]:
    """Return number, density and clustering of spines at some distances from the start of a branch."""
    if places_um is None:
        return dict.fromkeys(columns_of(_spines), np.nan)
    (low, high), (index, p) = poisson_interval(len(places_um)), clustering([places_um], [length_um])
    return {
        "n_spines": len(places_um),
        "density_per_um": len(places_um) / length_um,
        "density_low_per_um": low / length_um,
        "density_high_per_um": high / length_um,
        "clustering_index": index,
        "clustering_p": p,
    }


#: Columns of the table of branches, in order.
BRANCH_COLUMNS = columns_of(_line, _spines)


def summarise_branches(spines: pd.DataFrame, dendrites: Sequence[Dendrite]) -> pd.DataFrame:
    """Return one row per branch.

    Parameters
    ----------
    spines : DataFrame
        Columns of `spinecore.morphometry.columns.SPINE_COLUMNS`.
    dendrites : sequence of Dendrite
        Their centre lines; give none where the voxel size is unknown.

    Returns
    -------
    DataFrame
        Columns of `BRANCH_COLUMNS`.
    """
    rows = []
    for dendrite in dendrites:
        found = branch_positions(spines, dendrite)
        for k, branch in enumerate(dendrite.branches, 1):
            places = None if found is None else found[0][k - 1]
            rows.append(_line(dendrite, k, branch) | _spines(places, branch.length_um))
    return pd.DataFrame(rows, columns=list(BRANCH_COLUMNS))
