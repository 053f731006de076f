"""Heat maps of all spines put back on the stack's projection: where the network looked, in place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import streamlit as st

from spinecore.shapes.classify import load_classifier
from spinecore.shapes.explain import explain, on_projection
from spinecore.shapes.pictures import inferno
from spinecore.ui.planes import make_picture, plane_spacing
from spinecore.ui.planeviews import View, build_scene, natural_levels
from spinecore.ui.portraits import patches
from spinecore.ui.scene import Scene
from spinecore.ui.shapes import HeatSettings
from spinecore.ui.shown import Shown

#: Spines whose heat maps are drawn at once, best scores first.
HEAT_LIMIT = 150
LAYERS = ("Heat maps", "Control", "None")
_STRENGTH = 0.7


@st.cache_resource(max_entries=3, show_spinner="Asking the network where it looked")
def heat_planes(
    key: tuple[str, int, float], settings: HeatSettings, ids: tuple[int, ...], _shown: Shown
) -> tuple[np.ndarray, np.ndarray]:
    """Return heat maps and controls of some spines on the stack's projection, float32 (Y, X) each."""
    known = patches(_shown.key, _shown)
    analysis = _shown.analysis
    views = analysis.cutter.views(_shown.threshold, set(ids))
    own = [known[i] for i in ids]
    heat = explain(own, load_classifier(settings.model), settings.method, settings.name, settings.contrast)
    origins = [views[i].origin[1:] for i in ids]
    grid = analysis.candidates.shape[1:]
    maps, controls = (
        analysis.to_input_grid(on_projection(one, own, origins, grid)) for one in (heat.maps, heat.controls)
    )
    return maps, controls


def heat_ids(shown: Shown, chosen: int | None) -> tuple[int, ...]:
    """Return the spines whose heat is drawn: the best scores and the chosen one."""
    ids = sorted(shown.analysis.spines["spine_id"].astype(int).tolist())
    first = ids[:HEAT_LIMIT]
    if chosen is None or chosen not in ids or chosen in first:
        return tuple(first)
    return (*first, chosen)


def heat_scene(shown: Shown, settings: HeatSettings, layer: str, chosen: int | None, whole: bool) -> Scene:
    """Return the projection with outlines coloured by class and one of `LAYERS` laid over it.

    Parameters
    ----------
    shown : Shown
    settings : HeatSettings
    layer : str
        One of `LAYERS`.
    chosen : int or None
        Number of the chosen spine.
    whole : bool
        Show the whole projection and not the surroundings of the chosen spine.
    """
    image = shown.saved.projections["xy"]
    low, high, *_ = natural_levels(shown.job.id, image)
    view = View(levels=(low, high), colour_by="class", show_dendrite=False)
    scene = build_scene(shown, view, None if whole else chosen)
    scene = replace(scene, selected=chosen)
    if layer == LAYERS[-1]:
        return scene
    plane = heat_planes(shown.key, settings, heat_ids(shown, chosen), shown)[LAYERS.index(layer)]
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    pixel_um = plane_spacing(shown.analysis.spacing, "xy")
    heat = make_picture(plane, pixel_um, scene.window, (0.0, 1.0), 1.0, ramp).rgb[..., :1] / 255.0
    mixed = scene.picture.rgb * (1 - _STRENGTH * heat) + inferno(heat[..., 0]) * _STRENGTH * heat
    return replace(scene, picture=replace(scene.picture, rgb=mixed.astype(np.uint8)))
