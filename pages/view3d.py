"""3-D: surfaces of dendrites and spines in true proportion."""

from __future__ import annotations

import streamlit as st

from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.ui.figurecomponent import show_figure
from spinecore.ui.layout import side_by_side
from spinecore.ui.scene3d import MOST_FACES, Scene3D, figure_3d
from spinecore.ui.session import select_spine
from spinecore.ui.shown import COLUMNS, Shown, choose_colours, chosen_spine, note_threshold, open_shown
from spinecore.ui.surfaceviews import build_scene_3d
from spinecore.ui.tables import SHORT_COLUMNS, draw_spine_rows, filled
from spinecore.ui.words import count_text

FIGURE_HEIGHT = 660


def draw_figure(shown: Shown, scene: Scene3D, full_faces: int) -> None:
    """Draw the surfaces and what is said about them."""
    show_figure(
        figure_3d(scene, FIGURE_HEIGHT, f"{shown.job.id}-{scene.chosen}"),
        FIGURE_HEIGHT,
        "surface_figure",
        f"Surfaces of {len(shown.analysis.spines)} spines and their dendrites in {shown.saved.name}",
        {"toImageButtonOptions": {"format": "png", "scale": 3, "filename": f"{shown.file_stem}_3d"}},
        lambda click: select_spine(click.spine),
    )
    text, button = st.columns([4, 1], vertical_alignment="top")
    if scene.chosen is not None:
        button.button("Show all", key="surface_all", on_click=select_spine, args=(None,), width="stretch")
    x, y, z = scene.high_um - scene.low_um
    words = f"{x:.1f} × {y:.1f} × {z:.1f} µm, in true proportion. Drag to rotate, scroll to zoom."
    if scene.chosen is not None:
        words = f"Around spine {scene.chosen}: {words}"
    if scene.n_faces < full_faces:
        words += (
            f" Simplified for display from {full_faces:,} to {scene.n_faces:,} triangles; "
            "the measures are computed from the voxels and are not affected."
        )
    else:
        words += f" {scene.n_faces:,} triangles, not simplified."
    text.caption(words)


def draw_page(shown: Shown) -> None:
    """Draw surfaces, choices and table."""
    if shown.saved.is_2d:
        st.markdown(
            f"**{shown.saved.name}** is a single image, which has no depth, so there is nothing to show in 3-D."
        )
        st.page_link("pages/overlay.py", label="See it on the Overlay page", width="content")
        return
    picture, side = side_by_side("surfaces", COLUMNS)
    with side:
        note_threshold(shown)
        by, name = choose_colours(shown, "Spine", "surface")
        dendrite = st.toggle("Dendrite surface", value=True, key="surface_dendrite", persist_state="session")
        lines = st.toggle("Dendrite centre lines", value=False, key="surface_lines", persist_state="session")
        chosen = chosen_spine(shown)
        spines = shown.analysis.spines
        st.caption(f"{count_text(len(spines), 'spine')}. Choose a row or click a spine to zoom in.")
        extra = () if by in ("plain", *SHORT_COLUMNS) else (by,)
        names = filled(spines, (*SHORT_COLUMNS, *extra))
        draw_spine_rows(shown, spines, names, SPINE_COLUMNS, chosen, "surface_rows", 400, short=True)
    with picture, st.spinner("Building the surfaces", show_time=False):
        scene, full_faces = build_scene_3d(shown, by, name, dendrite, lines, chosen, MOST_FACES)
        draw_figure(shown, scene, full_faces)


draw_page(open_shown("3-D"))
