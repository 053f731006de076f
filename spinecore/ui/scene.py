"""One view of an analysis in a plane: the picture, outlines, colours, scale bar - and its interactive figure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from spinecore.figures.overview import nice_length
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.ui.colours import DENDRITE, POSITION_ONLY_COLOUR, Colouring, colour_bar, has_values, value_text
from spinecore.ui.planes import Outline, Picture, Window

#: Measures shown when the pointer is over a spine.
HOVER = ("score", "class", "length_um", "head_width_um", "neck_width_um", "volume_um3", "area_um2")
#: Colour of marks that a person made, or that a simulation knows.
KNOWN = "#ffffff"
#: Line widths in px.
LINE = 1.6
SELECTED_LINE = 3.2


@dataclass(frozen=True)
class Scene:
    """Everything that one view shows.

    Parameters
    ----------
    picture : Picture
    window : Window
        Part of the plane that is in view.
    spines : dict of int to list of ndarray, shape (n, 2)
        Outlines by id, (across, down) in um.
    dendrite : list of ndarray, shape (n, 2)
    colouring : Colouring
    hover : dict of int to str
        Text shown when the pointer is over a spine.
    heads : dict of int to (across, down)
        Where it is pointed at.
    title : str
    selected : int or None
        Drawn thicker, with its number.
    ink : str
        Colour of the scale bar and of the chosen spine.
    known : ndarray, shape (n, 2), optional
        Spines known beforehand, (across, down) in um, drawn as crosses.
    known_name : str
        What they are.
    """

    picture: Picture
    window: Window
    spines: dict[int, Outline]
    dendrite: Outline
    colouring: Colouring
    hover: dict[int, str] = field(default_factory=dict)
    heads: dict[int, tuple[float, float]] = field(default_factory=dict)
    title: str = ""
    selected: int | None = None
    ink: str = "#ffffff"
    known: np.ndarray | None = None
    known_name: str = ""

    @property
    def bar_um(self) -> float:
        """Length of the scale bar in um."""
        return nice_length(self.window.width)


def hover_texts(spines: pd.DataFrame) -> dict[int, str]:
    """Return the text shown for each spine, as HTML lines; flags follow their measure."""
    names = [name for name in HOVER if has_values(spines, name)]
    texts = {}
    for row in spines.to_dict("records"):
        lines = [f"<b>Spine {int(row['spine_id'])}</b>"]
        for name in names:
            flag = row.get(f"{name}_flag")
            note = f" <i>({flag})</i>" if isinstance(flag, str) and flag else ""
            lines.append(f"{SPINE_COLUMNS[name].title}: {value_text(row[name], SPINE_COLUMNS[name])}{note}")
        if row.get("touches_border") is True:
            lines.append("Touches the border of the image")
        texts[int(row["spine_id"])] = "<br>".join(lines)
    return texts


def path_text(lines: Outline) -> str:
    """Return several lines as one SVG path in um, rounded to nm.

    Examples
    --------
    >>> path_text([np.array([[0, 0.5], [1.25, 2]])])
    'M0,0.5L1.25,2'
    """
    parts = []
    for line in lines:
        points = "L".join(f"{x:.6g},{y:.6g}" for x, y in np.round(line, 3).tolist())
        parts.append(f"M{points}")
    return "".join(parts)


def plane_figure(scene: Scene, height: int = 640, name: str = "view") -> go.Figure:
    """Return the interactive figure of a scene.

    Parameters
    ----------
    scene : Scene
    height : int
        In px.
    name : str
        Changes of this text give the figure its first zoom again.

    Returns
    -------
    Figure
        The head markers of the spines (the last trace) carry the spine id in `customdata`.
    """
    picture, window = scene.picture, scene.window
    image = {
        "type": "image",
        "source": picture.uri,
        "x0": picture.left_um + picture.across_um / 2,
        "y0": picture.top_um + picture.down_um / 2,
        "dx": picture.across_um,
        "dy": picture.down_um,
        "hoverinfo": "skip",
    }
    shown = [number for number in scene.heads if number in scene.hover]
    heads = {
        "type": "scatter",
        "x": [scene.heads[n][0] for n in shown],
        "y": [scene.heads[n][1] for n in shown],
        "mode": "markers",
        # all can be pointed at and clicked; only drawn ones cost time, and these are not to be seen
        "marker": {"size": 14, "color": "rgba(255,255,255,0.004)", "line": {"width": 0}, "maxdisplayed": 1},
        "customdata": shown,
        "text": [scene.hover[n] for n in shown],
        "hovertemplate": "%{text}<extra></extra>",
        "showlegend": False,
    }
    bar, length = _scale_bar(scene)
    axis = {"showgrid": False, "zeroline": False, "ticks": "outside", "ticklen": 3, "tickcolor": "#9aa5b1"}
    axis |= {
        "tickfont": {"size": 11, "color": "#5b6875"},
        "ticksuffix": " µm",
        "showticksuffix": "last",
        "nticks": 8,
        "showline": False,
    }
    layout = {
        "shapes": [*(shape for shape in _outline_shapes(scene) if shape["path"]), bar],
        "annotations": [length, *_selected_number(scene)],
        "height": height,
        "margin": {"l": 50, "r": 8, "t": 26, "b": 24},
        "modebar": {"bgcolor": "rgba(255,255,255,0)", "color": "#8a96a3", "activecolor": "#1f5f8b"},
        "plot_bgcolor": "#ffffff",
        "paper_bgcolor": "#ffffff",
        "dragmode": "pan",
        "clickmode": "event+select",
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#ffffff", "font": {"color": "#101820", "size": 13}, "align": "left"},
        "uirevision": name,
        "xaxis": axis | {"range": [window.left, window.right], "constrain": "domain"},
        "yaxis": axis
        | {
            "range": [window.bottom, window.top],
            "scaleanchor": "x",
            "scaleratio": 1,
            "constrain": "domain",
            "constraintoward": "top",
        },
        "legend": {
            "itemsizing": "constant",
            "font": {"size": 12},
            "itemclick": False,
            "itemdoubleclick": False,
            # beside a colour bar there is no room: above the picture
            **({"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom"} if scene.colouring.scale else {}),
        },
        "showlegend": bool(scene.colouring.entries),
    }
    # all in one piece: every further call would check the whole figure again
    data = [image, *_key(scene.colouring), *_known(scene), heads]
    return go.Figure({"data": data, "layout": layout})


def _known(scene: Scene) -> list[dict[str, Any]]:
    """Return the spines known beforehand as one trace of crosses, or none."""
    if scene.known is None or not len(scene.known):
        return []
    return [
        {
            "type": "scatter",
            "x": scene.known[:, 0],
            "y": scene.known[:, 1],
            "mode": "markers",
            "marker": {
                "size": 8,
                "symbol": "x",
                "color": KNOWN,
                "line": {"width": 1, "color": "#101820"},
            },
            "hoverinfo": "skip",
            "name": scene.known_name,
            "showlegend": False,
        }
    ]


def _outline_shapes(scene: Scene) -> list[dict[str, Any]]:
    """Return the outlines of the dendrite and of the spines, one shape for each colour; the chosen spine last."""
    shapes = [_lines_shape(scene.dendrite, DENDRITE, 1.2, opacity=0.9)]
    by_colour: dict[str, Outline] = {}
    for number, lines in scene.spines.items():
        if number != scene.selected:
            by_colour.setdefault(scene.colouring.colours[number], []).extend(lines)
    shapes += [_lines_shape(lines, colour, LINE) for colour, lines in by_colour.items()]
    if scene.selected in scene.spines:
        chosen = scene.spines[scene.selected]
        shapes.append(_lines_shape(chosen, scene.ink, SELECTED_LINE + 2.0))
        shapes.append(_lines_shape(chosen, scene.colouring.colours[scene.selected], SELECTED_LINE - 0.6))
    return shapes


def _lines_shape(lines: Outline, colour: str, width: float, opacity: float = 1.0) -> dict[str, Any]:
    """Return lines as one shape: a trace would make an element of the page of every line."""
    line = {"color": colour, "width": width}
    return {"type": "path", "path": path_text(lines), "line": line, "opacity": opacity}


def _key(colouring: Colouring) -> list[dict[str, Any]]:
    """Return the colour bar and the legend as traces without points."""
    traces: list[dict[str, Any]] = []
    if colouring.scale:
        marker: dict[str, Any] = {"color": [colouring.low], **colour_bar(colouring, 0.75)}
        marker["colorbar"] |= {"x": 1.01, "y": 1.0, "yanchor": "top"}
        traces.append(
            {
                "type": "scatter",
                "x": [None],
                "y": [None],
                "mode": "markers",
                "hoverinfo": "skip",
                "showlegend": False,
                "marker": marker,
            }
        )
    line: dict[str, Any] = {"type": "scatter", "x": [None], "y": [None], "mode": "lines", "hoverinfo": "skip"}
    for text, colour in colouring.entries:
        cross = {"symbol": "x-thin", "size": 9, "line": {"color": colour, "width": 2.5}}
        as_drawn = (
            {"mode": "markers", "marker": cross}
            if colour == POSITION_ONLY_COLOUR
            else {"line": {"color": colour, "width": 4}}
        )
        traces.append(line | as_drawn | {"name": text})
    return traces


def _scale_bar(scene: Scene) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the scale bar's shape and its length as an annotation."""
    window, length = scene.window, scene.bar_um
    right = window.right - 0.035 * window.width
    down = window.bottom - 0.04 * min(window.height, window.width)
    bar = {"type": "line", "x0": right - length, "x1": right, "y0": down, "y1": down}
    text = {
        "x": right - length / 2,
        "y": down,
        "text": f"{length:g} µm",
        "showarrow": False,
        "yanchor": "bottom",
        "yshift": 3,
        "font": {"color": scene.ink, "size": 14},
        "bgcolor": "rgba(0,0,0,0.45)" if scene.ink == "#ffffff" else "rgba(255,255,255,0.6)",
        "borderpad": 1,
    }
    return bar | {"line": {"color": scene.ink, "width": 4}}, text


def _selected_number(scene: Scene) -> list[dict[str, Any]]:
    """Return the chosen spine's number as an annotation above it."""
    if scene.selected not in scene.spines:
        return []
    points = np.concatenate(scene.spines[scene.selected])
    return [
        {
            "x": float(points[:, 0].mean()),
            "y": float(points[:, 1].min()),
            "text": f"<b>{scene.selected}</b>",
            "showarrow": False,
            "yanchor": "bottom",
            "yshift": 4,
            "font": {"color": scene.ink, "size": 14},
        }
    ]
