"""What the 3-D page draws, from bounded caches: surfaces of the analysis shown, within a face budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from spinecore.figures.surfaces import (
    Surface,
    dendrite_surfaces,
    grid_of,
    merge,
    part_within,
    spine_surfaces,
    within_budget,
)
from spinecore.ui.planeviews import colouring_of
from spinecore.ui.scene import hover_texts
from spinecore.ui.scene3d import Scene3D, centre_lines_um, lines_within
from spinecore.ui.shown import Shown

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

#: Share of the face budget that the dendrites may take.
DENDRITE_SHARE = 0.45
#: Half the side of what is drawn round a chosen spine (um), and its budget: a small scene is there at once, and finer.
NEAR_UM = 8.0
NEAR_FACES = 20_000

#: A surface, and for each of its points the dendrite or spine it belongs to.
Owned = tuple[Surface, np.ndarray]


@st.cache_resource(max_entries=2, show_spinner=False)
def _full_dendrites(key: tuple[str, int], _analysis: Analysis) -> dict[int, Surface]:
    return dendrite_surfaces(_analysis.dendrite_ids, grid_of(_analysis.candidates, _analysis.spacing))


@st.cache_resource(max_entries=2, show_spinner=False)
def _full_spines(key: tuple[str, int, float], _analysis: Analysis) -> dict[int, Surface]:
    grid = grid_of(_analysis.candidates, _analysis.spacing)
    return spine_surfaces(_analysis.cutter.cut(_analysis.threshold), grid)


@st.cache_resource(max_entries=4, show_spinner=False)
def _dendrite(key: tuple[str, int], most_faces: int, _analysis: Analysis) -> Owned:
    """Return the dendrites' surface within the budget."""
    return merge(within_budget(_full_dendrites(key, _analysis), most_faces))


@st.cache_resource(max_entries=8, show_spinner=False)
def _spines(key: tuple[str, int, float], most_faces: int, _analysis: Analysis) -> Owned:
    """Return the spines' surface within the budget."""
    return merge(within_budget(_full_spines(key, _analysis), most_faces))


def _near(parts: dict[int, Surface], low_um: np.ndarray, high_um: np.ndarray) -> dict[int, Surface]:
    """Return what lies in a box, as surfaces of their own."""
    found = {}
    for number, surface in parts.items():
        if (surface.points_um.max(0) >= low_um).all() and (surface.points_um.min(0) <= high_um).all():
            part, _ = part_within(surface, np.zeros(len(surface.points_um), int), low_um, high_um)
            if part.n_faces:
                found[number] = part
    return found


@st.cache_resource(max_entries=8, show_spinner=False)
def _hover(key: tuple[str, int, float], _analysis: Analysis) -> dict[int, str]:
    return hover_texts(_analysis.spines)


def build_scene_3d(
    shown: Shown, by: str, map_name: str, dendrite: bool, lines: bool, chosen: int | None, most_faces: int
) -> tuple[Scene3D, int]:
    """Return the scene and the number of triangles before it was simplified.

    Parameters
    ----------
    shown : Shown
    by, map_name : str
        See `colours.colour_spines`.
    dendrite, lines : bool
        Whether the dendrite's surface and the centre lines are drawn.
    chosen : int or None
        Spine to look at; then only what lies within `NEAR_UM` of it is part of the scene.
    most_faces : int
        Budget.
    """
    analysis = shown.analysis
    shafts, heads = _full_dendrites(shown.key[:2], analysis), _full_spines(shown.key, analysis)
    grid = grid_of(analysis.candidates, analysis.spacing)
    zyx = np.array(analysis.spacing.zyx_um(z_default=grid.spacing_um[0]))
    low, high = (-0.5 * zyx)[::-1], ((np.array(analysis.shape) - 0.5) * zyx)[::-1]
    near = chosen is not None and chosen in heads
    if chosen is not None and chosen in heads:
        points = heads[chosen].points_um
        middle = (points.min(0) + points.max(0)) / 2
        reach = np.maximum(NEAR_UM, np.ptp(points, axis=0))
        low, high = np.maximum(low, middle - reach), np.minimum(high, middle + reach)
        shafts, heads = _near(shafts, low, high), _near(heads, low, high)
        most_faces = min(most_faces, NEAR_FACES)
        shaft, _ = merge(within_budget(shafts, round(most_faces * DENDRITE_SHARE)))
        spines, owner = merge(within_budget(heads, most_faces - shaft.n_faces))
    else:
        shaft, _ = _dendrite(shown.key[:2], round(most_faces * DENDRITE_SHARE), analysis)
        spines, owner = _spines(shown.key, most_faces - shaft.n_faces, analysis)
    shaft_faces, spine_faces = (sum(s.n_faces for s in parts.values()) for parts in (shafts, heads))
    scene = Scene3D(
        spines=spines,
        owner=owner,
        dendrite=shaft if dendrite and shaft.n_faces else None,
        centre_lines=lines_within(centre_lines_um(analysis.candidates, grid), low, high) if lines else [],
        colouring=colouring_of(shown.key, by, map_name, analysis),
        hover=_hover(shown.key, analysis),
        low_um=low,
        high_um=high,
        chosen=chosen if near else None,
    )
    return scene, spine_faces + (shaft_faces if scene.dendrite else 0)
