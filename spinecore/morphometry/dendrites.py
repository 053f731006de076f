"""The dendrite table: lengths, counts, densities with an interval, and gaps between spines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from spinecore.detection.calibration import Estimate
from spinecore.morphometry.intervals import poisson_interval
from spinecore.morphometry.spacing import branch_positions, clustering
from spinecore.shapes.classes import CLASSES
from spinecore.stack import Spacing
from spinecore.tables.columns import DENDRITE_COLUMNS
from spinecore.tracing.trace import Dendrite


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
        Columns of `spinecore.tables.columns.SPINE_COLUMNS`.
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
        Columns of `spinecore.tables.columns.DENDRITE_COLUMNS`, one row per dendrite.
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
    low, high = poisson_interval(len(own))
    border = int(own["touches_border"].astype(bool).sum())
    classes = own["class"].fillna("").astype(str)
    unclassed = bool((classes == "").all())
    gap_mean, gap_cv = _gaps(own, dendrite) if known else (np.nan, np.nan)
    places = branch_positions(own, dendrite) if known else None
    index, p = (np.nan, np.nan) if places is None else clustering(*places)
    corrected = (np.nan,) * 3 if estimate is None else (estimate.number, estimate.low, estimate.high)
    return {
        "dendrite_id": dendrite.id,
        "path_length_um": length,
        "path_length_px": dendrite.path_length_px,
        "path_length_um_flag": "projected" if flat else "",
        "n_branches": len(dendrite.branches),
        "mean_radius_um": dendrite.mean_radius_um if known else np.nan,
        "n_spines": len(own),
        "n_spines_border": border,
        "density_per_um": len(own) / length,
        "density_low_per_um": low / length,
        "density_high_per_um": high / length,
        "density_corrected_per_um": corrected[0] / length,
        "density_corrected_low_per_um": corrected[1] / length,
        "density_corrected_high_per_um": corrected[2] / length,
        "density_without_filopodia_per_um": np.nan
        if unclassed
        else float((classes != "filopodium").sum()) / length,
        **_by_class(classes, length),
        "density_without_border_per_um": (len(own) - border) / length,
        "spacing_mean_um": gap_mean,
        "spacing_cv": gap_cv,
        "clustering_index": index,
        "clustering_p": p,
        "mean_length_um": float(own["length_um"].astype(float).mean()),
        "mean_head_width_um": float(own["head_width_um"].astype(float).mean()),
    }


def _by_class(classes: pd.Series, length_um: float) -> dict[str, float]:
    """Return number and density of each shape class; NaN where no spine has a class."""
    unclassed = bool((classes == "").all())
    out: dict[str, float] = {}
    for name in CLASSES:
        count = np.nan if unclassed else float((classes == name).sum())
        out |= {f"n_{name}": count, f"density_{name}_per_um": count / length_um}
    return out


def _gaps(own: pd.DataFrame, dendrite: Dendrite) -> tuple[float, float]:
    """Return mean and coefficient of variation of the gaps between spines along an unbranched dendrite."""
    position = np.sort(own["position_along_dendrite_um"].dropna().to_numpy(float))
    if len(dendrite.branches) != 1 or len(position) < 2:
        return np.nan, np.nan
    gaps = np.diff(position)
    variation = float(gaps.std(ddof=1) / gaps.mean()) if len(position) >= 4 and gaps.mean() > 0 else np.nan
    return float(gaps.mean()), variation
