"""Figures of one analysis for a paper: distributions, density along the dendrite, and one measure against another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spinecore.detection.calibration import ScoreCalibration
from spinecore.figures.class_colours import CLASS_COLOURS, CLASS_MARKERS, class_title
from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.morphometry.spacing import density_profile
from spinecore.shapes.classes import CLASSES
from spinecore.tables.column import Column
from spinecore.tracing.trace import Dendrite

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Okabe and Ito's colours that are read on white, in the order of use, and markers that differ as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "D", "v", "P")
MISSING = "#8a8a8a"
#: More groups than this are not distinguished.
MOST_GROUPS = 12


def label(column: Column) -> str:
    """Return a column's title and unit for an axis."""
    return column.heading.replace("um", "µm").replace("^2", "²").replace("^3", "³").replace("degree", "°")


def groups_of(spines: pd.DataFrame, by: str) -> dict[str, pd.DataFrame]:
    """Return the spines by class (in the usual order) or by dendrite; spines without one are left out.

    Raises
    ------
    ValueError
        For anything but "class" and "dendrite_id".
    """
    if by == "class":
        present = [c for c in CLASSES if (spines["class"] == c).any()]
        return {name: spines[spines["class"] == name] for name in present}
    if by == "dendrite_id":
        ids = sorted(int(i) for i in spines["dendrite_id"].dropna().unique())[:MOST_GROUPS]
        return {f"dendrite {i}": spines[spines["dendrite_id"] == i] for i in ids}
    raise ValueError(f"spines can be grouped by class or dendrite_id, not {by!r}")


def look_of(name: str, place: int) -> tuple[str, str]:
    """Return colour and marker of a group: those that a class has everywhere, else the next ones in the order of use."""
    if name in CLASS_MARKERS:
        return CLASS_COLOURS[name], CLASS_MARKERS[name]
    return COLOURS[place % len(COLOURS)], MARKERS[place % len(MARKERS)]


def distribution_figure(spines: pd.DataFrame, measure: str, by: str) -> Figure:
    """Draw every spine's value, group by group, with the median and the quartiles.

    Parameters
    ----------
    spines : DataFrame
        Columns of `SPINE_COLUMNS`.
    measure : str
        A numeric column.
    by : str
        "class" or "dendrite_id".
    """
    groups = {name: own[measure].dropna().to_numpy(float) for name, own in groups_of(spines, by).items()}
    groups = {name: values for name, values in groups.items() if len(values)}
    figure, (axis,) = _figure(1.6 + 1.05 * max(len(groups), 1))
    rng = np.random.default_rng(0)  # the same picture each time
    for k, (name, values) in enumerate(groups.items()):
        colour, marker = look_of(name, k)
        axis.plot(
            k + rng.uniform(-0.18, 0.18, len(values)),
            values,
            marker,
            ms=4,
            color=colour,
            alpha=0.55,
            mew=0,
            ls="none",
            label=class_title(name),
        )
        low, middle, high = np.percentile(values, [25, 50, 75])
        axis.plot([k - 0.28, k + 0.28], [middle, middle], color="0.1", lw=1.8)
        axis.plot([k, k], [low, high], color="0.1", lw=1.0)
    ticks = [f"{class_title(name)}\nn = {len(values)}" for name, values in groups.items()]
    axis.set_xticks(range(len(groups)), ticks)
    axis.set_xlim(-0.6, max(len(groups), 1) - 0.4)
    axis.set_ylabel(label(SPINE_COLUMNS[measure]))
    _from_zero(axis)
    return figure


def scatter_figure(spines: pd.DataFrame, x: str, y: str, by: str | None = None) -> Figure:
    """Draw one measure against another, with colour and marker by class or dendrite, or colour by a third measure.

    Notes
    -----
    The title gives Spearman's rank correlation over the spines shown; these are not independent of each other.
    """
    from scipy.stats import spearmanr  # takes a second to import

    figure, (axis,) = _figure(4.6)
    known = spines[spines[x].notna() & spines[y].notna()]
    if by in ("class", "dendrite_id"):
        for k, (name, own) in enumerate(groups_of(known, by).items()):
            colour, marker = look_of(name, k)
            axis.plot(
                own[x].astype(float),
                own[y].astype(float),
                marker,
                ms=5,
                color=colour,
                alpha=0.7,
                mew=0,
                ls="none",
                label=class_title(name),
            )
        axis.legend(frameon=False, fontsize=8, loc="best")
    elif by:
        values = known[by].astype(float)
        axis.plot(known[x][values.isna()], known[y][values.isna()], "x", ms=4, color=MISSING, ls="none")
        points = axis.scatter(known[x].astype(float), known[y].astype(float), c=values, cmap="viridis", s=22)
        figure.colorbar(points, ax=axis, label=label(SPINE_COLUMNS[by]))
    else:
        axis.plot(
            known[x].astype(float), known[y].astype(float), "o", ms=5, color=COLOURS[0], alpha=0.6, mew=0
        )
    axis.set(xlabel=label(SPINE_COLUMNS[x]), ylabel=label(SPINE_COLUMNS[y]))
    title = f"n = {len(known)}"
    if len(known) > 3 and known[x].nunique() > 1 and known[y].nunique() > 1:
        title += f", Spearman's rho {spearmanr(known[x].astype(float), known[y].astype(float))[0]:.2f}"
    axis.set_title(title, fontsize=9)
    return figure


def profile_figure(spines: pd.DataFrame, dendrites: Sequence[Dendrite], width_um: float = 5.0) -> Figure:
    """Draw the density along each dendrite, with its 95 % interval of counting and a mark for every spine."""
    shown = [d for d in dendrites if d.path_length_um >= width_um][:6]
    figure, axes = _figure(6.4, max(len(shown), 1))
    for k, (axis, dendrite) in enumerate(zip(axes, shown, strict=False)):
        table = density_profile(spines, dendrite, width_um)
        colour = COLOURS[k % len(COLOURS)]
        axis.fill_between(
            table["distance_um"],
            table["density_low_per_um"],
            table["density_high_per_um"],
            color=colour,
            alpha=0.18,
            lw=0,
        )
        axis.plot(table["distance_um"], table["density_per_um"], color=colour, lw=1.6)
        own = spines.loc[spines["dendrite_id"] == dendrite.id, "position_along_dendrite_um"].dropna()
        axis.plot(own, np.zeros(len(own)), "|", color="0.2", ms=9, clip_on=False)
        axis.set_ylim(0, None)
        axis.set_xlim(0, float(table["distance_um"].max()))
        axis.set_title(f"dendrite {dendrite.id}: window {width_um:g} µm, n = {len(own)}", fontsize=9)
        axis.set_ylabel(label(DENDRITE_COLUMNS["density_per_um"]))
    axes[-1].set_xlabel("distance from the root end (µm)")
    return figure


def calibration_figure(calibrations: Sequence[ScoreCalibration]) -> Figure:
    """Draw what scores are worth: the share of real spines against the score, with the curve that is used."""
    from matplotlib.figure import Figure  # takes a second to import

    figure = Figure(figsize=(4.2 * len(calibrations), 3.8), layout="constrained")
    for axis, c in zip(np.atleast_1d(figure.subplots(1, len(calibrations))), calibrations, strict=True):
        score, share, n = np.array(c.bins).T
        error = 1.96 * np.sqrt(np.maximum(share * (1 - share), 0.25 / n) / n)
        axis.errorbar(
            score,
            share,
            error,
            fmt="o",
            color=COLOURS[0],
            ms=4,
            lw=1,
            label="candidates of like score, 95 % interval",
        )
        axis.plot(c.scores, c.probabilities, color=COLOURS[1], label="curve used (isotonic)")
        axis.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
        axis.set(xlabel="score", ylabel="share of real spines", xlim=(0, 1), ylim=(0, 1.02))
        axis.set_title(f"{c.model}: {c.n_candidates:,} candidates of {c.n_stacks} stacks", fontsize=9)
        axis.legend(frameon=False, loc="lower right", fontsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _figure(width: float, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return an empty figure of a width in inches, and its axes from top to bottom."""
    from matplotlib.figure import Figure  # takes a second to import

    figure = Figure(figsize=(width, 3.4 if rows == 1 else 2.1 * rows), layout="constrained")
    axes = list(figure.subplots(rows, 1, squeeze=False)[:, 0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _from_zero(axis: Axes) -> None:
    """Let an axis of values that are all positive begin at 0 where that costs less than half of its room."""
    low, high = axis.get_ylim()
    if 0 < low < 0.5 * high:
        axis.set_ylim(0, high)
