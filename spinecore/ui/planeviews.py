"""What the Overlay page draws, from bounded caches: pictures and outlines of a plane of the analysis shown."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from spinecore.figures.surfaces import grid_of
from spinecore.morphometry.measurer import position_only
from spinecore.networks.intensity import intensity_range
from spinecore.ui.colours import Colouring, colour_spines, image_lut
from spinecore.ui.planes import (
    AXES,
    Outline,
    Picture,
    Window,
    cross_of,
    dendrite_outline,
    grid_index,
    heads_um,
    make_picture,
    plane_spacing,
    spine_outlines,
    whole_window,
    window_round,
)
from spinecore.ui.scene import Scene, hover_texts
from spinecore.ui.session import open_stored, reading_of
from spinecore.ui.shown import Shown

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

#: A stack up to this size is kept in memory while its XZ and YZ slices are shown; a larger one is read through.
KEPT_BYTES = 300_000_000


@dataclass(frozen=True)
class View:
    """What the user chose to see.

    Parameters
    ----------
    plane : str
        "xy", "xz" or "yz".
    index : int or None
        Slice of the stack; None is the maximum projection.
    levels : (low, high)
        Intensities drawn black and white.
    gamma : float
    image_map : str
        One of `colours.IMAGE_MAPS`.
    colour_by, colour_map : str
        See `colours.colour_spines`.
    show_spines, show_dendrite : bool
    """

    plane: str = "xy"
    index: int | None = None
    levels: tuple[float, float] = (0.0, 1.0)
    gamma: float = 0.7
    image_map: str = "Grey"
    colour_by: str = "score"
    colour_map: str = "Viridis"
    show_spines: bool = True
    show_dendrite: bool = True


def plane_size(analysis: Analysis, plane: str) -> int:
    """Return the number of slices along the axis looked along."""
    return analysis.shape[AXES[plane][0]]


def plane_image(shown: Shown, plane: str, index: int | None) -> np.ndarray:
    """Return the raw intensities of a projection (kept in the analysis) or of a slice of the stored stack.

    Raises
    ------
    SpinecoreError
        When the stack is not in the workspace any more or cannot be read.
    """
    if index is None:
        return shown.saved.projections[plane]
    facts = shown.saved.input
    return _slice(
        shown.job.stack_sha256,
        int(facts["channel"]),
        int(facts["time_point"]),
        plane,
        index,
        reading_of(shown.job),
    )


@st.cache_resource(max_entries=48, show_spinner=False)
def _slice(sha256: str, channel: int, time_point: int, plane: str, index: int, reading: str) -> np.ndarray:
    with open_stored(sha256, reading) as file:
        if plane == "xy":
            # every `index`-th slice, of which the second is the one: two pages are read
            skip = min(index, 1)
            return next(islice(file.slices(channel, time_point, max(index, 1)), skip, None))
        if file.stack_bytes <= KEPT_BYTES:
            return volume_of(sha256, channel, time_point, reading).take(index, axis=AXES[plane][0])
        along = AXES[plane][0] - 1
        return np.stack([page.take(index, axis=along) for page in file.slices(channel, time_point)])


@st.cache_resource(max_entries=1, show_spinner="Reading the stack")
def volume_of(sha256: str, channel: int, time_point: int, reading: str = "{}") -> np.ndarray:
    """Return the voxels of a stored stack, (Z, Y, X); for those up to `KEPT_BYTES`."""
    with open_stored(sha256, reading) as file:
        return file.read(channel, time_point).voxels


@st.cache_resource(max_entries=16, show_spinner=False)
def natural_levels(job_id: str, _projection: np.ndarray) -> tuple[float, float, float, float]:
    """Return (low, high) that show a stack well, and the least and the largest value that a slider should reach.

    `_projection` is that along z, for whatever plane: a slider whose ends change would not take its own value back.
    """
    low, high = intensity_range(_projection[None])
    return low, high, min(float(_projection.min()), low), max(float(_projection.max()), high)


@st.cache_resource(max_entries=32, show_spinner=False)
def _spine_outlines(
    key: tuple[str, int, float], plane: str, index: int | None, _analysis: Analysis
) -> dict[int, Outline]:
    grid = grid_of(_analysis.candidates, _analysis.spacing)
    found = spine_outlines(
        _analysis.cutter.cut(_analysis.threshold), grid, plane, _on_grid(_analysis, plane, index)
    )
    spines = _analysis.spines
    bare = set(spines.loc[position_only(spines), "spine_id"].astype(int).tolist())
    return {number: cross_of(lines) if number in bare else lines for number, lines in found.items()}


@st.cache_resource(max_entries=32, show_spinner=False)
def _dendrite_outline(key: tuple[str, int], plane: str, index: int | None, _analysis: Analysis) -> Outline:
    grid = grid_of(_analysis.candidates, _analysis.spacing)
    return dendrite_outline(_analysis.dendrite_ids, grid, plane, _on_grid(_analysis, plane, index))


def _on_grid(analysis: Analysis, plane: str, index: int | None) -> int | None:
    along = AXES[plane][0]
    return (
        None if index is None else grid_index(index, analysis.shape[along], analysis.candidates.shape[along])
    )


@st.cache_resource(max_entries=16, show_spinner=False)
def _hover(key: tuple[str, int, float], _analysis: Analysis) -> dict[int, str]:
    return hover_texts(_analysis.spines)


@st.cache_resource(max_entries=8, show_spinner=False)
def _picture(
    key: tuple[Any, ...], _image: np.ndarray, pixel_um: tuple[float, float], window: Window
) -> Picture:
    levels, gamma, image_map = key[-1]
    return make_picture(_image, pixel_um, window, levels, gamma, image_lut(image_map))


@st.cache_resource(max_entries=32, show_spinner=False)
def colouring_of(key: tuple[str, int, float], by: str, map_name: str, _analysis: Analysis) -> Colouring:
    """Return the colours of the spines of an analysis."""
    return colour_spines(_analysis.spines, by, map_name)


def build_scene(shown: Shown, view: View, chosen: int | None) -> Scene:
    """Return the scene of a view, round the chosen spine where there is one.

    Raises
    ------
    SpinecoreError
        As in `plane_image`.
    """
    analysis = shown.analysis
    image = plane_image(shown, view.plane, view.index)
    whole = whole_window(analysis.shape, analysis.spacing, view.plane)
    flat = _spine_outlines(shown.key, view.plane, None, analysis)
    outlines = flat if view.index is None else _spine_outlines(shown.key, view.plane, view.index, analysis)
    window = window_round(flat[chosen], whole) if chosen in flat else whole
    pixel_um = plane_spacing(analysis.spacing, view.plane)
    facts = (shown.job.stack_sha256, shown.saved.input["channel"], shown.saved.input["time_point"])
    shades = (view.levels, view.gamma, view.image_map)
    picture = _picture((*facts, view.plane, view.index, shades), image, pixel_um, window)
    dendrite = (
        _dendrite_outline(shown.key[:2], view.plane, view.index, analysis) if view.show_dendrite else []
    )
    return Scene(
        picture=picture,
        window=window,
        spines=outlines if view.show_spines else {},
        dendrite=dendrite,
        colouring=colouring_of(shown.key, view.colour_by, view.colour_map, analysis),
        hover=_hover(shown.key, analysis),
        heads=_heads(shown, view, outlines),
        title=_title(shown, view),
        selected=chosen,
        ink="#101820" if view.image_map == "Inverted grey" else "#ffffff",
    )


def _heads(shown: Shown, view: View, outlines: dict[int, Outline]) -> dict[int, tuple[float, float]]:
    """Where each spine is pointed at: its head in a projection, the middle of its outline in a slice."""
    if view.index is not None:
        middles = {n: np.concatenate(lines).mean(axis=0) for n, lines in outlines.items()}
    else:
        spines = shown.analysis.spines
        places = heads_um(spines, shown.analysis.spacing, view.plane)
        middles = dict(zip(spines["spine_id"].astype(int).tolist(), places, strict=True))
    return {n: (float(x), float(y)) for n, (x, y) in middles.items()}


def _title(shown: Shown, view: View) -> str:
    what = "maximum projection" if view.index is None else f"slice {view.index + 1}"
    origin = "" if shown.sample is None else f", {shown.sample.kind.lower()} sample"
    return (
        f"{shown.saved.name}{origin}: {view.plane.upper()}, {what}, {len(shown.analysis.spines)} spines, "
        f"lowest score {shown.threshold:.2f}"
    )


def window_text(window: Window) -> str:
    """Return the size of a field of view as text.

    Examples
    --------
    >>> window_text(Window(0, 25.6, 0, 7.26))
    '25.6 × 7.3 µm'
    """
    return f"{window.width:.1f} × {window.height:.1f} µm"
