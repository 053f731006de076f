"""What the Results page works out from the tables: filters, summary numbers, histograms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from spinecore.figures.class_colours import CLASS_COLOURS, class_title
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.morphometry.intervals import poisson_interval
from spinecore.morphometry.measurer import position_only
from spinecore.ui.colours import MISSING, SERIES, has_values, heading

#: Measures that can be filtered by a range, and those whose histograms are shown at first.
RANGES = ("score", "length_um", "head_width_um", "volume_um3")
HISTOGRAMS = ("length_um", "head_width_um", "volume_um3")
BAR_COLOUR = "#1f5f8b"
MOST_BINS = 40


@dataclass(frozen=True)
class Filters:
    """Which spines are shown.

    Parameters
    ----------
    dendrites : tuple of int
        Only these; empty means all.
    classes : tuple of str
        Only these; empty means all.
    ranges : dict of str to (low, high)
        Ends included; a spine whose value is missing is left out.
    without_border : bool
        Exclude spines that touch the border of the image.
    """

    dendrites: tuple[int, ...] = ()
    classes: tuple[str, ...] = ()
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    without_border: bool = False

    @property
    def active(self) -> bool:
        """True when anything may be left out."""
        return bool(self.dendrites or self.classes or self.ranges or self.without_border)

    def apply(self, spines: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that pass."""
        keep = pd.Series(True, index=spines.index)
        if self.dendrites:
            keep &= spines["dendrite_id"].isin(self.dendrites)
        if self.classes:
            keep &= spines["class"].isin(self.classes)
        for name, (low, high) in self.ranges.items():
            keep &= spines[name].between(low, high)
        if self.without_border:
            keep &= ~spines["touches_border"].astype(bool)
        return spines[keep]


@dataclass(frozen=True)
class Summary:
    """Numbers over the spines shown.

    Parameters
    ----------
    n_spines, n_dendrites : int
    length_um : float
        Dendrite length; NaN where it is unknown.
    density, density_low, density_high : float
        Spines per um of dendrite with its 95 % confidence interval; NaN where the length is unknown or 0.
    medians : dict of str to float
        Of the measures that are known.
    n_untraced : int
        Spines that belong to no traced dendrite; they are in `n_spines` and not in the density.
    n_position_only : int
        Spines of which only the position is known; they are in `n_spines` and have no measures.
    """

    n_spines: int
    n_dendrites: int
    length_um: float
    density: float
    density_low: float
    density_high: float
    medians: dict[str, float]
    n_untraced: int = 0
    n_position_only: int = 0


def summarise(spines: pd.DataFrame, dendrites: pd.DataFrame, only: Sequence[int] = ()) -> Summary:
    """Summarise the spines shown.

    Parameters
    ----------
    spines : DataFrame
        Rows that count.
    dendrites : DataFrame
        Dendrite table.
    only : sequence of int
        Dendrites to which the spines were limited; empty means all.

    Notes
    -----
    The interval is the exact Poisson interval of the count (Garwood 1936) over the length.
    """
    chosen = dendrites[dendrites["dendrite_id"].isin(only)] if only else dendrites
    lengths = chosen["path_length_um"]
    length = float(lengths.sum()) if len(lengths) and lengths.notna().all() else float("nan")
    counted = spines[spines["dendrite_id"].isin(chosen["dendrite_id"])]
    low, high = poisson_interval(len(counted))
    per_um = 1 / length if length > 0 else float("nan")
    names = [name for name in ("length_um", "head_width_um") if has_values(spines, name)]
    return Summary(
        n_spines=len(spines),
        n_dendrites=len(chosen),
        length_um=length,
        density=len(counted) * per_um,
        density_low=low * per_um,
        density_high=high * per_um,
        medians={name: float(spines[name].median()) for name in names},
        n_untraced=int(spines["dendrite_id"].isna().sum()),
        n_position_only=int(position_only(spines).sum()),
    )


def histogram_bins(values: np.ndarray) -> np.ndarray:
    """Return the edges of a histogram (Freedman and Diaconis 1981, at most `MOST_BINS` bins)."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return np.array([0.0, 1.0])
    if known.min() == known.max():
        half = max(abs(float(known[0])), 1.0) * 0.05
        return np.array([known[0] - half, known[0] + half])
    edges = np.histogram_bin_edges(known, "fd")
    return edges if len(edges) <= MOST_BINS + 1 else np.linspace(known.min(), known.max(), MOST_BINS + 1)


def histogram_figure(spines: pd.DataFrame, name: str, by_class: bool = False, height: int = 280) -> go.Figure:
    """Return the histogram of a measure with its median.

    Parameters
    ----------
    spines : DataFrame
    name : str
        A numeric column.
    by_class : bool
        Stack the bars by class.
    height : int
        In px.
    """
    values = spines[name].to_numpy(float)
    edges = histogram_bins(values)
    middles, widths = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    figure = go.Figure()
    if by_class and has_values(spines, "class"):
        known = spines["class"].where(spines["class"] != "")
        groups = [(str(c), known == c) for c in sorted(known.dropna().unique())]
        if known.isna().any():
            groups.append(("not known", known.isna()))
    else:
        groups = [("", pd.Series(True, index=spines.index))]
    for k, (label, rows) in enumerate(groups):
        own = values[rows.to_numpy()]
        counts, _ = np.histogram(own[np.isfinite(own)], edges)
        plain = BAR_COLOUR if not label else MISSING if label == "not known" else SERIES[k % len(SERIES)]
        figure.add_bar(
            x=middles,
            y=counts,
            width=widths * 0.96,
            name=class_title(label),
            marker={"color": CLASS_COLOURS.get(label, plain), "line": {"width": 0}},
            hovertemplate="%{x:.3g}: %{y} spines<extra>" + label + "</extra>",
        )
    known_values = values[np.isfinite(values)]
    if known_values.size:
        median = float(np.median(known_values))
        figure.add_vline(x=median, line={"color": "#101820", "width": 1.5, "dash": "dash"})
        figure.add_annotation(
            x=median, y=1.02, yref="paper", text=f"median {median:.3g}", showarrow=False, yanchor="bottom"
        )
    axis = {
        "showgrid": False,
        "ticks": "outside",
        "linecolor": "#5b6875",
        "showline": True,
        "zeroline": False,
    }
    figure.update_layout(
        height=height,
        barmode="stack",
        margin={"l": 50, "r": 12, "t": 28, "b": 44},
        plot_bgcolor="#ffffff",
        paper_bgcolor="#ffffff",
        font={"size": 13, "color": "#101820"},
        xaxis=axis | {"title": {"text": heading(SPINE_COLUMNS[name])}},
        yaxis=axis | {"title": {"text": "spines"}, "rangemode": "tozero"},
        showlegend=len(groups) > 1,
    )
    return figure
