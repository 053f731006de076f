"""How the agreement of two analyses is drawn: one picture with both, or side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from spinecore.analysis.result import Analysis
from spinecore.evaluation.agreement import BOTH, ONLY_A, ONLY_B, Agreement
from spinecore.figures.overview import nice_length
from spinecore.networks.intensity import intensity_range
from spinecore.ui.colours import SERIES, image_lut
from spinecore.ui.planes import Picture, Window, make_picture, plane_spacing, whole_window

_GAMMA = 0.7


@dataclass(frozen=True)
class Mark:
    """How one group of spines is drawn; `sign` is the same symbol as text."""

    colour: str
    symbol: str
    sign: str


#: Colours of Okabe and Ito and different symbols, so that they can be distinguished by either.
MARKS = {
    BOTH: Mark(SERIES[1], "circle-open", "○"),
    ONLY_A: Mark(SERIES[0], "triangle-up-open", "△"),
    ONLY_B: Mark(SERIES[3], "square-open", "□"),
}


def group_title(group: str, count: int) -> str:
    """Return a group with its symbol and count."""
    return f"{MARKS[group].sign} {group[0].upper()}{group[1:]} ({count})"


def projection_picture(analysis: Analysis) -> Picture:
    """Return the maximum projection along z, ready to draw."""
    image = analysis.projections["xy"]
    whole = whole_window(analysis.shape, analysis.spacing, "xy")
    levels = intensity_range(image[None])
    return make_picture(
        image, plane_spacing(analysis.spacing, "xy"), whole, levels, _GAMMA, image_lut("Grey")
    )


def agreement_figure(
    found: Agreement, analysis: Analysis, side_by_side: bool = False, height: int = 590
) -> go.Figure:
    """Return the projection with every spine marked as both, only A or only B.

    Parameters
    ----------
    found : Agreement
    analysis : Analysis
        One of the two, for the picture.
    side_by_side : bool
        Two pictures with one zoom: A's spines on the left, B's on the right.
    height : int
        In px.
    """
    titles = [f"A: {found.name_a}", f"B: {found.name_b}"] if side_by_side else None
    columns = 2 if side_by_side else 1
    figure = make_subplots(
        1, columns, shared_xaxes="all", shared_yaxes="all", subplot_titles=titles, horizontal_spacing=0.03
    )
    picture = projection_picture(analysis)
    window = picture.window
    uri = picture.uri
    shown = ((ONLY_A, BOTH), (BOTH, ONLY_B)) if side_by_side else ((BOTH, ONLY_A, ONLY_B),)
    counts = found.table["found_by"].value_counts()
    named: set[str] = set()
    for column, groups in enumerate(shown, 1):
        figure.add_image(
            source=uri,
            x0=picture.left_um + picture.across_um / 2,
            y0=picture.top_um + picture.down_um / 2,
            dx=picture.across_um,
            dy=picture.down_um,
            hoverinfo="skip",
            row=1,
            col=column,
        )
        for group in groups:
            rows = found.table[found.table["found_by"] == group]
            mark = MARKS[group]
            figure.add_scatter(
                x=rows["x_um"].round(3) if len(rows) else [None],
                y=rows["y_um"].round(3) if len(rows) else [None],
                mode="markers",
                name=f"{group[0].upper()}{group[1:]} ({int(counts.get(group, 0))})",
                legendgroup=group,
                showlegend=group not in named,
                marker={"symbol": mark.symbol, "color": mark.colour, "size": 12, "line": {"width": 2.4}},
                text=[_hover(row) for row in rows.to_dict("records")],
                hovertemplate="%{text}<extra></extra>",
                row=1,
                col=column,
            )
            named.add(group)
        _add_scale_bar(figure, window, column)
    axis = {"showgrid": False, "zeroline": False, "ticksuffix": " µm", "showticksuffix": "last", "nticks": 8}
    axis |= {"tickfont": {"size": 11, "color": "#5b6875"}, "constrain": "domain"}
    figure.update_xaxes(**axis, range=[window.left, window.right])
    figure.update_yaxes(**axis, constraintoward="top", range=[window.bottom, window.top])
    for column in range(1, columns + 1):
        figure.update_yaxes(scaleanchor="x" if column == 1 else f"x{column}", scaleratio=1, row=1, col=column)
    figure.update_annotations(font_size=13)
    figure.update_layout(
        height=round(0.72 * height) if side_by_side else height,
        margin={"l": 50, "r": 8, "t": 56 if side_by_side else 34, "b": 24},
        modebar={"bgcolor": "rgba(255,255,255,0)", "color": "#8a96a3", "activecolor": "#1f5f8b"},
        plot_bgcolor="#ffffff",
        paper_bgcolor="#ffffff",
        dragmode="pan",
        hovermode="closest",
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": "#101820", "size": 13}, "align": "left"},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 13}}
        if not side_by_side
        else {"orientation": "h", "y": -0.06, "yanchor": "top", "x": 0, "font": {"size": 13}},
    )
    return figure


def _hover(row: dict[str, Any]) -> str:
    lines = [f"<b>{str(row['found_by']).capitalize()}</b>"]
    for letter in ("a", "b"):
        if _known(row[f"{letter}_spine_id"]):
            score: Any = row.get(f"{letter}_score")
            score_text = f", score {float(score):.2f}" if _known(score) else ""
            lines.append(f"{letter.upper()}: spine {row[f'{letter}_spine_id']}{score_text}")
    if _known(row["distance_um"]):
        lines.append(f"{float(row['distance_um']):.2f} µm apart")
    return "<br>".join(lines)


def _known(value: object) -> bool:
    return value is not None and value == value and str(value) != "<NA>"


def _add_scale_bar(figure: go.Figure, window: Window, column: int) -> None:
    bar = nice_length(window.width)
    right, bottom = window.right - 0.04 * window.width, window.bottom - 0.05 * window.height
    figure.add_scatter(
        x=[right - bar, right],
        y=[bottom, bottom],
        mode="lines",
        line={"color": "#ffffff", "width": 5},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=column,
    )
    figure.add_scatter(
        x=[right - bar / 2],
        y=[bottom],
        mode="text",
        text=[f"{bar:g} µm"],
        textposition="top center",
        textfont={"color": "#ffffff", "size": 13},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=column,
    )
