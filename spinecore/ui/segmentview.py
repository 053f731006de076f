"""What the Sample check page shows of a segment: a slab of the stack around it, its line and the automatic spines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from spinecore.corrections.segments import Segment, segment_line
from spinecore.errors import SpinecoreError
from spinecore.figures.overview import to_grey
from spinecore.figures.surfaces import grid_of
from spinecore.networks.intensity import intensity_range
from spinecore.ui.colours import MISSING, SERIES, Colouring, image_lut
from spinecore.ui.correcting import planes_of
from spinecore.ui.planes import AXES, Outline, Picture, Window, spine_outlines
from spinecore.ui.scene import Scene, hover_texts, path_text, plane_figure
from spinecore.ui.shown import Shown, at_threshold

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

#: How far the picture reaches beyond the segment in the image plane, and its slab in depth (um).
MARGIN_UM = 3.0
SLAB_UM = 1.5
#: Colours of the segment's line and of its spines.
LINE_COLOUR = SERIES[1]
OWN_COLOUR = SERIES[0]
GAMMA = 0.7


@dataclass(frozen=True)
class Box:
    """First and last voxel (last excluded) of what is shown, ZYX of the stack, and how large a voxel is."""

    low: tuple[int, int, int]
    high: tuple[int, int, int]
    zyx_um: tuple[float, float, float]

    def window(self, plane: str) -> Window:
        """Return its extent in a plane in um."""
        _, row, column = AXES[plane]
        ends = [
            ((self.low[a] - 0.5) * self.zyx_um[a], (self.high[a] - 0.5) * self.zyx_um[a])
            for a in (column, row)
        ]
        return Window(*ends[0], *ends[1])


def box_round(line_um: np.ndarray, shape: tuple[int, int, int], zyx_um: tuple[float, float, float]) -> Box:
    """Return the voxels to be shown around a line (n, 3) in um (ZYX), inside the stack.

    Examples
    --------
    >>> found = box_round(np.array([[2.0, 5, 5], [2, 5, 9]]), (20, 90, 120), (0.25, 0.1, 0.1))
    >>> found.low, found.high
    ((2, 20, 20), (15, 81, 120))
    """
    margin = np.array([SLAB_UM, MARGIN_UM, MARGIN_UM])
    size = np.array(zyx_um)
    low = np.clip(np.rint((line_um.min(axis=0) - margin) / size), 0, np.array(shape) - 1).astype(int)
    high = np.clip(np.rint((line_um.max(axis=0) + margin) / size) + 1, low + 1, shape).astype(int)
    return Box(tuple(low.tolist()), tuple(high.tolist()), zyx_um)


def analysis_of(shown: Shown, threshold: float) -> Analysis:
    """Return the analysis at the threshold of the draw, whose outlines are shown."""
    if abs(threshold - shown.saved.threshold) < 1e-6:
        return shown.saved
    return at_threshold((shown.job.id, shown.version, threshold), shown.saved)


def segment_scene(shown: Shown, segment: Segment, threshold: float, plane: str) -> tuple[Scene, Outline]:
    """Return the scene of a segment and its line in the plane.

    Raises
    ------
    SpinecoreError
        When the dendrites or the stack are not there any more.
    """
    analysis = analysis_of(shown, threshold)
    grid = grid_of(analysis.candidates, analysis.spacing)
    line = segment_line(analysis.candidates.dendrites, segment, analysis.candidates.scale_yx) + grid.offset_um
    box = box_round(line, analysis.shape, analysis.spacing.zyx_um(z_default=1.0))
    crop = _crop((shown.job.id, shown.version, box), shown)
    along, row, column = AXES[plane]
    window = box.window(plane)
    low, high = intensity_range(crop)
    picture = Picture(
        image_lut("Grey")[to_grey(crop.max(axis=along), low, high, GAMMA)],
        window.left,
        window.top,
        box.zyx_um[column],
        box.zyx_um[row],
    )
    outlines = _outlines((shown.job.id, shown.version, threshold), plane, analysis, box)
    colours = {number: OWN_COLOUR if number in segment.spines else MISSING for number in outlines}
    entries = (
        ("line of this segment", LINE_COLOUR),
        ("automatic spine on it", OWN_COLOUR),
        ("automatic spine beside it", MISSING),
    )
    heads = {n: _middle(lines) for n, lines in outlines.items()}
    scene = Scene(
        picture,
        window,
        outlines,
        [],
        Colouring("", colours, entries),
        hover=hover_texts(analysis.spines[analysis.spines["spine_id"].isin(list(outlines))]),
        heads=heads,
        title=f"{analysis.name}: segment {segment.number}, {plane.upper()}",
    )
    return scene, [line[:, [column, row]]]


def segment_figure(scene: Scene, line: Outline, segment: Segment, height: int, name: str) -> go.Figure:
    """Return the figure of a segment: its line with both ends marked, and the numbers of its automatic spines."""
    figure = plane_figure(scene, height, name)
    shapes = [*figure.layout.shapes]
    shapes.append(
        {
            "type": "path",
            "path": path_text(line),
            "line": {"color": LINE_COLOUR, "width": 2.5, "dash": "dot"},
        }
    )
    shapes += [_end_mark(points) for points in (line[0], line[0][::-1])]
    numbers = [
        {
            "x": scene.heads[n][0],
            "y": scene.heads[n][1],
            "text": str(n),
            "showarrow": False,
            "font": {"color": "#ffffff", "size": 12},
            "bgcolor": "rgba(0,0,0,0.55)",
            "borderpad": 0,
        }
        for n in segment.spines
        if n in scene.heads
    ]
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom", "font": {"size": 12}}
    figure.update_layout(shapes=shapes, annotations=[*figure.layout.annotations, *numbers], legend=legend)
    return figure


def _end_mark(points: np.ndarray) -> dict[str, object]:
    """Return a short stroke across the line (n, 2) at its first point."""
    step = points[min(5, len(points) - 1)] - points[0]
    side = np.array([-step[1], step[0]]) / max(float(np.linalg.norm(step)), 1e-9) * 0.9
    (x0, y0), (x1, y1) = points[0] - side, points[0] + side
    return {
        "type": "line",
        "x0": x0,
        "y0": y0,
        "x1": x1,
        "y1": y1,
        "line": {"color": LINE_COLOUR, "width": 2.5},
    }


def _middle(lines: Outline) -> tuple[float, float]:
    x, y = np.concatenate(lines).mean(axis=0)
    return float(x), float(y)


@st.cache_resource(max_entries=24, show_spinner=False)
def _crop(key: tuple[str, int, Box], _shown: Shown) -> np.ndarray:
    box = key[2]
    (z0, y0, x0), (z1, y1, x1) = box.low, box.high
    planes = [plane[y0:y1, x0:x1] for plane in planes_of(_shown)(range(z0, z1))]
    if len(planes) != z1 - z0:
        raise SpinecoreError("the stack has fewer slices than when it was analysed: run the analysis again")
    return np.stack(planes)


@st.cache_resource(max_entries=24, show_spinner=False)
def _outlines(key: tuple[str, int, float], plane: str, _analysis: Analysis, box: Box) -> dict[int, Outline]:
    """Outlines of the spines whose voxels reach into a box."""
    grid = grid_of(_analysis.candidates, _analysis.spacing)
    low, high = np.array(box.low) * box.zyx_um, (np.array(box.high) - 1) * box.zyx_um
    if _analysis.is_2d:
        low[0], high[0] = -np.inf, np.inf
    inside = []
    for number, origin, mask in _analysis.cutter.cut(_analysis.threshold):
        first = np.array(origin) * grid.spacing_um + grid.offset_um
        last = first + (np.array(mask.shape) - 1) * grid.spacing_um
        if ((first <= high) & (last >= low)).all():
            inside.append((number, origin, mask))
    return spine_outlines(inside, grid, plane)
