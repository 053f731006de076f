"""What the 3-D page draws, from bounded caches: surfaces of the analysis being looked at, within a face budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from spinecore.surfaces import (
    Surface,
    dendrite_surfaces,
    grid_of,
    merge,
    spine_surfaces,
    within_budget,
)
from spinecore.ui.planeviews import colouring_of
from spinecore.ui.scene import hover_texts
from spinecore.ui.scene3d import Scene3D, centre_lines_um
from spinecore.ui.shown import Shown

if TYPE_CHECKING:
    from spinecore.analysis import Analysis

#: Share of the face budget that the dendrites may take.
DENDRITE_SHARE = 0.45


@st.cache_resource(max_entries=4, show_spinner=False)
def _dendrite(key: tuple[str, int], most_faces: int, _analysis: Analysis) -> tuple[Surface, int]:
    """Return the dendrites' surface within the budget, and how many faces it had at first."""
    full = dendrite_surfaces(_analysis.dendrite_ids, grid_of(_analysis.candidates, _analysis.spacing))
    return merge(within_budget(full, most_faces))[0], sum(s.n_faces for s in full.values())


@st.cache_resource(max_entries=8, show_spinner=False)
def _spines(
    key: tuple[str, int, float], most_faces: int, _analysis: Analysis
) -> tuple[Surface, np.ndarray, int]:
    """Return the spines' surface within the budget, its points' spine ids, and how many faces it had at first."""
    grid = grid_of(_analysis.candidates, _analysis.spacing)
    full = spine_surfaces(_analysis.cutter.cut(_analysis.threshold), grid)
    return *merge(within_budget(full, most_faces)), sum(s.n_faces for s in full.values())


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
        Spine to look at.
    most_faces : int
        Budget.
    """
    analysis = shown.analysis
    shaft, shaft_faces = _dendrite(shown.key[:2], round(most_faces * DENDRITE_SHARE), analysis)
    spines, owner, spine_faces = _spines(shown.key, most_faces - shaft.n_faces, analysis)
    grid = grid_of(analysis.candidates, analysis.spacing)
    zyx = np.array(analysis.spacing.zyx_um(z_default=grid.spacing_um[0]))
    high = (np.array(analysis.shape) - 0.5) * zyx
    scene = Scene3D(
        spines=spines,
        owner=owner,
        dendrite=shaft if dendrite and shaft.n_faces else None,
        centre_lines=centre_lines_um(analysis.candidates, grid) if lines else [],
        colouring=colouring_of(shown.key, by, map_name, analysis),
        hover=_hover(shown.key, analysis),
        low_um=(-0.5 * zyx)[::-1],
        high_um=high[::-1],
        chosen=chosen,
    )
    return scene, spine_faces + (shaft_faces if scene.dendrite else 0)
