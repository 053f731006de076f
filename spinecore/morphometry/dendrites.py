"""The dendrite table: lengths, counts, densities with an interval, and gaps between spines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from spinecore.detection.calibration import Estimate
from spinecore.morphometry import missing
from spinecore.morphometry.intervals import poisson_interval
from spinecore.morphometry.spacing import branch_positions, clustering
from spinecore.shapes.classes import CLASSES
from spinecore.stack import Spacing
from spinecore.tables.column import Column, columns_of, measures
from spinecore.tracing.trace import Dendrite

_LENGTH = f"the length is unknown, as {missing.VOXEL}"
_NO_CLASS = "no spine has a class"


@measures(
    Column("dendrite_id", "", "Dendrite", "Number of the dendrite.", "Value of its voxels in dendrite.tif."),
    Column(
        "path_length_um",
        "um",
        "Path length",
        "Length of the centre line over all branches.",
        "Sum over branches of the arc length of the smoothed centre line, with the voxel spacing; free ends run to the image "
        "border, or to one radius before the end of the mask. Of a tracing that was given, the length of its lines.",
        missing.VOXEL,
    ),
    Column(
        "path_length_px",
        "px",
        "Path length in pixels",
        "Length of the centre line seen from above, in pixels.",
        "In-plane arc length over all branches, in pixels of the grid that was analysed.",
    ),
    Column(
        "path_length_um_flag",
        "",
        "Length flag",
        "'projected' for 2-D inputs.",
        "From the input.",
        "3-D input",
        text=True,
    ),
    Column("n_branches", "", "Branches", "Number of unbranched pieces.", "Edges of the centre line's graph."),
    Column(
        "mean_radius_um",
        "um",
        "Mean radius",
        "Mean radius of the shaft.",
        "Mean over the centre line (a point every 0.1 um) of half the in-plane width of the mask's cross-section there, 2 sqrt(A / "
        "(pi q)) as in head_width_um. Of a tracing that was given, the mean distance to the mask's surface.",
        missing.VOXEL,
    ),
    Column(
        "origin",
        "",
        "Origin",
        "by hand: traced by a person; corrected: traced by the program and then changed by a person; automatic: as the program traced "
        "it or a given tracing has it.",
        "From the list of corrections beside the analysis.",
        "never",
        text=True,
    ),
)
def _shaft(dendrite: Dendrite, known: bool, flat: bool) -> dict[str, object]:
    """Return the measures of the shaft; those in um only where the voxel size is `known`."""
    return {
        "dendrite_id": dendrite.id,
        "path_length_um": dendrite.path_length_um if known else np.nan,
        "path_length_px": dendrite.path_length_px,
        "path_length_um_flag": "projected" if flat else "",
        "n_branches": len(dendrite.branches),
        "mean_radius_um": dendrite.mean_radius_um if known else np.nan,
        "origin": dendrite.origin,
    }


@measures(
    Column(
        "n_spines", "", "Spines", "Number of spines of this dendrite.", "Rows of spines.csv with its number."
    ),
    Column(
        "n_spines_border",
        "",
        "Spines at the border",
        "How many of them touch the border of the image.",
        "Count of touches_border.",
    ),
    Column(
        "density_per_um",
        "1/um",
        "Density",
        "Spines per um of dendrite.",
        "n_spines over path_length_um.",
        _LENGTH,
    ),
    Column(
        "density_low_per_um",
        "1/um",
        "Density, lower bound",
        "Lower end of the 95 % confidence interval of the density.",
        "Exact Poisson interval of the count (Garwood 1936), over path_length_um.",
        _LENGTH,
    ),
    Column(
        "density_high_per_um",
        "1/um",
        "Density, upper bound",
        "Upper end of the 95 % confidence interval of the density.",
        "As density_low_per_um.",
        _LENGTH,
    ),
)
def _density(own: pd.DataFrame, length_um: float) -> dict[str, object]:
    """Return the number of spines and their density with its interval."""
    low, high = poisson_interval(len(own))
    return {
        "n_spines": len(own),
        "n_spines_border": _border(own),
        "density_per_um": len(own) / length_um,
        "density_low_per_um": low / length_um,
        "density_high_per_um": high / length_um,
    }


def _border(own: pd.DataFrame) -> int:
    return int(own["touches_border"].astype(bool).sum())


@measures(
    Column(
        "density_corrected_per_um",
        "1/um",
        "Density, corrected",
        "Spines per um after correction for missed and false spines, as far as validation data show.",
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
)
def _corrected_density(estimate: Estimate | None, length_um: float) -> dict[str, object]:
    """Return the density corrected for errors of detection."""
    number, low, high = (np.nan,) * 3 if estimate is None else (estimate.number, estimate.low, estimate.high)
    return {
        "density_corrected_per_um": number / length_um,
        "density_corrected_low_per_um": low / length_um,
        "density_corrected_high_per_um": high / length_um,
    }


@measures(
    Column(
        "density_without_filopodia_per_um",
        "1/um",
        "Density without filopodia",
        "Spines per um, those classed as filopodia left out.",
        "Number of spines that are not classed as filopodia, over path_length_um.",
        f"the length is unknown, or {_NO_CLASS}",
    ),
    *(
        column
        for name in CLASSES
        for column in (
            Column(
                f"n_{name}",
                "",
                f"{name.capitalize()} spines",
                f"Number of spines classed as {name}.",
                "Count of class.",
                _NO_CLASS,
            ),
            Column(
                f"density_{name}_per_um",
                "1/um",
                f"Density, {name}",
                f"Spines per um that are classed as {name}.",
                f"n_{name} over path_length_um.",
                f"the length is unknown, or {_NO_CLASS}",
            ),
        )
    ),
)
def _by_class(own: pd.DataFrame, length_um: float) -> dict[str, object]:
    """Return number and density of each shape class; NaN where no spine has a class."""
    classes = own["class"].fillna("").astype(str)
    unclassed = bool((classes == "").all())
    without = np.nan if unclassed else float((classes != "filopodium").sum()) / length_um
    out: dict[str, object] = {"density_without_filopodia_per_um": without}
    for name in CLASSES:
        count = np.nan if unclassed else float((classes == name).sum())
        out |= {f"n_{name}": count, f"density_{name}_per_um": count / length_um}
    return out


@measures(
    Column(
        "density_without_border_per_um",
        "1/um",
        "Density without border spines",
        "Spines per um, those that touch the border left out.",
        "n_spines less n_spines_border, over path_length_um.",
        _LENGTH,
    ),
)
def _density_inside(own: pd.DataFrame, length_um: float) -> dict[str, object]:
    """Return the density of the spines that the border cannot have cut."""
    return {"density_without_border_per_um": (len(own) - _border(own)) / length_um}


@measures(
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
)
def _gaps(own: pd.DataFrame, dendrite: Dendrite, known: bool) -> dict[str, object]:
    """Return mean and coefficient of variation of the gaps between spines along an unbranched dendrite."""
    position = np.sort(own["position_along_dendrite_um"].dropna().to_numpy(float))
    if not known or len(dendrite.branches) != 1 or len(position) < 2:
        return {"spacing_mean_um": np.nan, "spacing_cv": np.nan}
    gaps = np.diff(position)
    variation = float(gaps.std(ddof=1) / gaps.mean()) if len(position) >= 4 and gaps.mean() > 0 else np.nan
    return {"spacing_mean_um": float(gaps.mean()), "spacing_cv": variation}


@measures(
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
)
def _clustering(own: pd.DataFrame, dendrite: Dendrite, known: bool) -> dict[str, object]:
    """Return the clustering of the spines along the branches and its p."""
    places = branch_positions(own, dendrite) if known else None
    index, p = (np.nan, np.nan) if places is None else clustering(*places)
    return {"clustering_index": index, "clustering_p": p}


@measures(
    Column(
        "mean_length_um",
        "um",
        "Mean spine length",
        "Mean of length_um.",
        "Over spines with a length only.",
        "none has one",
    ),
    Column(
        "mean_head_width_um",
        "um",
        "Mean head width",
        "Mean of head_width_um.",
        "Over spines with a head width only.",
        "none has one",
    ),
)
def _mean_sizes(own: pd.DataFrame) -> dict[str, object]:
    """Return the mean sizes of the spines."""
    return {
        "mean_length_um": float(own["length_um"].astype(float).mean()),
        "mean_head_width_um": float(own["head_width_um"].astype(float).mean()),
    }


#: Columns of dendrites.csv, in order.
DENDRITE_COLUMNS = columns_of(
    _shaft,
    _density,
    _corrected_density,
    _by_class,
    _density_inside,
    _gaps,
    _clustering,
    _mean_sizes,
)


def summarise_dendrites(
    spines: pd.DataFrame,
    dendrites: Sequence[Dendrite],
    spacing: Spacing | None = None,
    flat: bool = False,
    estimates: Mapping[int, Estimate] | None = None,
) -> pd.DataFrame:
    """Summarise the spines of each dendrite.

    Parameters
    ----------
    spines : DataFrame
        Columns of `spinecore.morphometry.columns.SPINE_COLUMNS`.
    dendrites : list of Dendrite
        Their centre lines.
    spacing : Spacing, optional
        Where it is given and the voxel size unknown, um values are missing.
    flat : bool
        True for a single slice or projection: lengths are projected.
    estimates : mapping from dendrite number to Estimate, optional
        Number of spines corrected for errors of detection.

    Returns
    -------
    DataFrame
        Columns of `DENDRITE_COLUMNS`, one row per dendrite.
    """
    known = spacing is None or (spacing.known_xy and (flat or spacing.known_z))
    rows = [
        _summary(spines[spines["dendrite_id"] == d.id], d, known, flat, (estimates or {}).get(d.id))
        for d in dendrites
    ]
    return pd.DataFrame(rows, columns=list(DENDRITE_COLUMNS))


def _summary(
    own: pd.DataFrame, dendrite: Dendrite, known: bool, flat: bool, estimate: Estimate | None
) -> dict[str, object]:
    length = dendrite.path_length_um if known else np.nan
    return {
        **_shaft(dendrite, known, flat),
        **_density(own, length),
        **_corrected_density(estimate, length),
        **_by_class(own, length),
        **_density_inside(own, length),
        **_gaps(own, dendrite, known),
        **_clustering(own, dendrite, known),
        **_mean_sizes(own),
    }
