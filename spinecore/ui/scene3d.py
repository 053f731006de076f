"""The 3-D figure: surfaces of dendrites and spines in true proportion, coloured by a measure, with centre lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from spinecore.detection.candidates import Candidates
from spinecore.figures.overview import nice_length
from spinecore.figures.surfaces import Grid, Surface
from spinecore.ui.colours import Colouring, colour_bar

DENDRITE_GREY = "#b9c6d3"
CENTRE_LINE = "#22313f"
CHOSEN = "#101820"
#: Most triangles in one figure: the whole stack is redrawn in about a second without a graphics card.
MOST_FACES = 24_000
#: Half of what is in view round a chosen spine, in um.
ZOOM_UM = 3.0
#: Direction towards the light, XYZ with Y down as in the image: above, and a little to the left and in front.
LIGHT = np.array([-0.35, 0.45, 0.82])
#: Brightness in the shade, and the number of steps from there to full light.
SHADE = 0.42
SHADE_STEPS = 24
#: Room for the colour bar or the names of the colours; always there, so that the scene keeps its size.
RIGHT_PX = 96
# the shading is painted onto the points: the plotting library's own lamp cannot be moved to where it is needed
_NO_LAMP = {"ambient": 1.0, "diffuse": 0.0, "specular": 0.0, "fresnel": 0.0}


@dataclass(frozen=True)
class Scene3D:
    """What the 3-D view shows.

    Parameters
    ----------
    spines : Surface
        All spines as one mesh.
    owner : ndarray of int, shape (n,)
        Spine id of each of its points.
    dendrite : Surface or None
    centre_lines : list of ndarray, shape (n, 3)
        XYZ in um.
    colouring : Colouring
    hover : dict of int to str
        Text shown when the pointer is over a spine.
    low_um, high_um : ndarray, shape (3,)
        Corners of the stack, XYZ.
    chosen : int or None
    """

    spines: Surface
    owner: np.ndarray
    dendrite: Surface | None
    centre_lines: list[np.ndarray]
    colouring: Colouring
    hover: dict[int, str]
    low_um: np.ndarray
    high_um: np.ndarray
    chosen: int | None = None

    @property
    def n_faces(self) -> int:
        """Triangles in total."""
        return self.spines.n_faces + (self.dendrite.n_faces if self.dendrite else 0)


def centre_lines_um(candidates: Candidates, grid: Grid) -> list[np.ndarray]:
    """Return the centre lines of all branches, XYZ in um in the input's frame, every other point and the last."""
    lines = [b.points_um + grid.offset_um for d in candidates.dendrites for b in d.branches]
    return [np.concatenate([line[:-1:2], line[-1:]])[:, ::-1] for line in lines]


def lines_within(lines: list[np.ndarray], low_um: np.ndarray, high_um: np.ndarray) -> list[np.ndarray]:
    """Return the pieces of lines (n, 3) that lie in a box."""
    found = []
    for line in lines:
        inside = ((line >= low_um) & (line <= high_um)).all(1)
        pieces = np.split(line, np.flatnonzero(np.diff(inside)) + 1)
        found += [
            piece
            for piece in pieces
            if len(piece) > 1 and (piece[0] >= low_um).all() and (piece[0] <= high_um).all()
        ]
    return found


def figure_3d(scene: Scene3D, height: int = 640, name: str = "view") -> go.Figure:
    """Return the figure; X runs to the right, Y down as in the image, Z up.

    Parameters
    ----------
    scene : Scene3D
    height : int
        In px.
    name : str
        Changes of this text give the figure its first direction of view again.
    """
    figure = go.Figure()
    if scene.dendrite is not None:
        colours = np.zeros(len(scene.dendrite.points_um), int)
        figure.add_mesh3d(
            **_mesh(scene.dendrite, colours, [DENDRITE_GREY]),
            opacity=0.35 if scene.centre_lines else 1.0,
            hoverinfo="skip",
            name="dendrite",
        )
    if scene.spines.n_faces:
        _add_spines(figure, scene)
    if scene.centre_lines:
        gap = np.full((1, 3), np.nan)
        points = np.concatenate([part for line in scene.centre_lines for part in (line, gap)])
        figure.add_scatter3d(
            **_xyz(points.astype(np.float32)),
            mode="lines",
            line={"color": CENTRE_LINE, "width": 5},
            hoverinfo="skip",
            showlegend=False,
        )
    low, high = scene.low_um, scene.high_um
    if scene.chosen is not None and (scene.owner == scene.chosen).any():
        points = scene.spines.points_um[scene.owner == scene.chosen]
        top = points[points[:, 2].argmax()].astype(float)
        _add_mark(
            figure, top + np.array([0, 0, 0.1]), top + np.array([0, 0, 0.8]), f"<b>Spine {scene.chosen}</b>"
        )
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        camera = _camera(middle, low, high, scale=3.2 * ZOOM_UM)
    else:
        _add_mark(figure, (low + high) / 2, (low + high) / 2, "")
        camera = _camera((low + high) / 2, low, high, scale=1.3 * float((high - low)[:2].max()))
    extent = high - low
    axis = {"backgroundcolor": "#ffffff", "gridcolor": "#dfe6ec", "zeroline": False, "showspikes": False}
    axis |= {"tickfont": {"size": 11, "color": "#5b6875"}, "linecolor": "#9aa5b1", "showbackground": False}
    titles = [{"text": f"{letter} (µm)", "font": {"size": 12, "color": "#5b6875"}} for letter in "xyz"]
    z_step = nice_length(4 * max(float(extent[2]), 1e-3) / 1.5)
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": RIGHT_PX, "t": 0, "b": 0},
        paper_bgcolor="#ffffff",
        uirevision=name,
        scene={
            "aspectmode": "manual",
            "aspectratio": dict(zip("xyz", (extent / extent.max()).tolist(), strict=True)),
            "xaxis": axis | {"title": titles[0], "range": [low[0], high[0]]},
            "yaxis": axis | {"title": titles[1], "range": [high[1], low[1]]},
            "zaxis": axis | {"title": titles[2], "range": [low[2], high[2]], "dtick": z_step},
            "camera": camera,
            "dragmode": "turntable",
        },
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": "#101820", "size": 13}, "align": "left"},
        showlegend=False,
        coloraxis=colour_bar(scene.colouring, 0.7),
        annotations=_legend(scene.colouring),
    )
    return figure


def _xyz(points: np.ndarray) -> dict[str, np.ndarray]:
    return {letter: np.ascontiguousarray(points[:, k]) for k, letter in enumerate("xyz")}


def _mesh(surface: Surface, colour: np.ndarray, palette: list[str]) -> dict[str, object]:
    """Return what a mesh trace needs; `colour` is the place of each point's colour in the palette."""
    corners = {letter: np.ascontiguousarray(surface.faces[:, k]) for k, letter in enumerate("ijk")}
    steps = np.round(lit(surface) * (SHADE_STEPS - 1)).astype(int)
    rgb = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in palette], float)
    light = np.linspace(SHADE, 1.0, SHADE_STEPS)
    names = [["#{:02x}{:02x}{:02x}".format(*(row * f).round().astype(int)) for f in light] for row in rgb]
    shaded = np.array(names, "U7")[colour, steps]  # an array: a list would be checked entry by entry
    return _xyz(np.round(surface.points_um, 3)) | corners | {"vertexcolor": shaded, "lighting": _NO_LAMP}


def lit(surface: Surface) -> np.ndarray:
    """Return how much each point of a surface is turned to the light, 0 to 1, shape (n,)."""
    a, b, c = (surface.points_um[surface.faces[:, k]].astype(float) for k in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros((len(surface.points_um), 3))
    for k in range(3):
        np.add.at(normals, surface.faces[:, k], face_normals)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return ((normals @ (LIGHT / np.linalg.norm(LIGHT)) + 1) / 2) ** 1.5


def _add_spines(figure: go.Figure, scene: Scene3D) -> None:
    """Add one mesh for all spines, and markers at their centres that show their measures."""
    colouring = scene.colouring
    palette = list(dict.fromkeys(colouring.colours.values()))
    place = {n: palette.index(c) for n, c in colouring.colours.items()}
    numbers, back = np.unique(scene.owner, return_inverse=True)
    colours = np.array([place[int(n)] for n in numbers])[back]
    figure.add_mesh3d(
        **_mesh(scene.spines, colours, palette),
        customdata=scene.owner,
        hovertemplate="Spine %{customdata}<extra></extra>",
        name="spines",
    )
    sums = np.stack([np.bincount(back, scene.spines.points_um[:, k]) for k in range(3)], axis=1)
    centres = dict(zip(numbers.tolist(), sums / np.bincount(back)[:, None], strict=True))
    known = [n for n in centres if n in scene.hover]
    figure.add_scatter3d(
        **_xyz(np.array([centres[n] for n in known], np.float32).reshape(-1, 3)),
        mode="markers",
        marker={
            "size": 6,
            "opacity": 0.0,
            "color": [scene.colouring.low] * len(known),
            "coloraxis": "coloraxis",
        },
        text=[scene.hover[n] for n in known],
        customdata=known,
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
    )


def _legend(colouring: Colouring) -> list[dict[str, object]]:
    """Return the names of the colours as one text at the right. A legend of traces would give the scene new drawing programs to build."""
    if not colouring.entries:
        return []
    lines = [f'<span style="color:{colour}">■</span> {text}' for text, colour in colouring.entries]
    corner = {"xref": "paper", "yref": "paper", "x": 1.0, "y": 1.0, "xanchor": "left", "yanchor": "top"}
    return [corner | {"text": "<br>".join(lines), "align": "left", "showarrow": False, "font": {"size": 14}}]


def _add_mark(figure: go.Figure, foot: np.ndarray, head: np.ndarray, text: str) -> None:
    """Point at the chosen spine with its number on a short line above it.

    Without one the line has no length: the browser then has its drawing programs ready when a spine is chosen.
    """
    figure.add_scatter3d(
        **_xyz(np.array([foot, head])),
        mode="lines+text",
        line={"color": CHOSEN, "width": 4},
        text=["", text],
        textposition="top center",
        textfont={"size": 24, "color": CHOSEN},
        hoverinfo="skip",
        showlegend=False,
    )


def _camera(
    target: np.ndarray, low: np.ndarray, high: np.ndarray, scale: float
) -> dict[str, dict[str, float]]:
    """Look at a point of the stack from in front and above, so that about `scale` um are in view."""
    longest = float((high - low).max())
    centre = (target - (low + high) / 2) / longest
    centre[1] = -centre[1]
    distance = 1.2 * scale / longest
    eye = centre + distance * np.array([0.08, -0.6, 1.0])
    return {"center": _point(centre), "eye": _point(eye), "up": {"x": 0.0, "y": 0.0, "z": 1.0}}


def _point(place: np.ndarray) -> dict[str, float]:
    return dict(zip("xyz", (round(float(v), 4) for v in place), strict=True))
