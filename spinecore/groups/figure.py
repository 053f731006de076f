"""A figure of one measure by condition: small points are cells, large ones animals, the bar their mean (Lord et al. 2020)."""

from __future__ import annotations

import io
import itertools
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.figures.plots import COLOURS, MARKERS
from spinecore.groups.summary import measure_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("svg", "pdf", "png")


def group_figure(tables: dict[str, pd.DataFrame], measure: str) -> Figure:
    """Draw one measure by condition.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `spinecore.groups.summary.summarise_groups`.
    measure : str
        A name from `measure_columns`.

    Returns
    -------
    matplotlib Figure
        Lines join an animal that has several conditions; error bars are the standard deviation between animals.
    """
    from matplotlib.figure import Figure  # takes a second to import

    column = measure_columns()[measure]
    cells, animals = tables["cell"], tables["animal"]
    conditions = list(dict.fromkeys(animals["condition"]))
    figure = Figure(figsize=(1.5 + 1.25 * len(conditions), 3.6), layout="constrained")
    axis = figure.add_subplot()
    places: dict[tuple[str, str], tuple[float, float]] = {}
    for k, condition in enumerate(conditions):
        own = animals[animals["condition"] == condition]
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        across = k + (np.linspace(-0.22, 0.22, len(own)) if len(own) > 1 else np.zeros(1))
        for x, (animal, value) in zip(across, own[["animal", measure]].itertuples(index=False), strict=True):
            few = cells[(cells["condition"] == condition) & (cells["animal"] == animal)][measure].astype(
                float
            )
            axis.plot(
                np.full(len(few), x),
                few,
                marker,
                ms=3.5,
                color=colour,
                alpha=0.45,
                mew=0,
                ls="none",
                zorder=2,
            )
            axis.plot(x, value, marker, ms=8, color=colour, mec="white", mew=0.8, zorder=3)
            places[(condition, animal)] = (x, float(value))
        mean, spread = own[measure].mean(), own[measure].std(ddof=1)
        axis.plot([k - 0.32, k + 0.32], [mean, mean], color="0.15", lw=1.6, zorder=4)
        if np.isfinite(spread):
            axis.errorbar(k, mean, spread, color="0.15", capsize=4, lw=1.0, zorder=4)
    for a, b in itertools.pairwise(conditions):
        for animal in sorted({name for c, name in places if c == a} & {name for c, name in places if c == b}):
            (x0, y0), (x1, y1) = places[(a, animal)], places[(b, animal)]
            axis.plot([x0, x1], [y0, y1], color="0.6", lw=0.8, zorder=1)
    sizes = [int(animals.loc[animals["condition"] == c, measure].notna().sum()) for c in conditions]
    axis.set_xticks(range(len(conditions)), [f"{c}\nn = {n}" for c, n in zip(conditions, sizes, strict=True)])
    axis.set_xlim(-0.6, len(conditions) - 0.4)
    axis.set_ylabel(column.heading.replace("um", "µm").replace("^2", "²").replace("^3", "³"))
    axis.spines[["top", "right"]].set_visible(False)
    low, high = axis.get_ylim()
    if low > 0 and low < 0.5 * high:
        axis.set_ylim(0, high)
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file: "svg" and "pdf" with text as text, "png" with 300 dots per inch.

    Raises
    ------
    ValueError
        For another kind.
    """
    if kind not in FORMATS:
        raise SpinecoreError(f"a figure can be {', '.join(FORMATS)}, not {kind!r}")
    from matplotlib import rc_context  # takes a second to import

    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
        figure.savefig(buffer, format=kind, dpi=300)
    return buffer.getvalue()
