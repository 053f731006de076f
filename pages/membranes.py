"""Membranes: electron micrographs segmented into membranes and cells, viewed, corrected and downloaded."""

from __future__ import annotations

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.membranes.methods import METHODS
from spinecore.ui.layout import side_by_side
from spinecore.ui.membrane_published import draw_published
from spinecore.ui.membrane_views import (
    LOOK,
    VIEWS,
    choose_mode,
    draw_chosen,
    draw_downloads,
    draw_picture,
    draw_side_by_side,
    draw_table,
    draw_truth,
)
from spinecore.ui.membranes import LIST_HEIGHT, ShownCells, current, draw_jobs, draw_start, load
from spinecore.ui.words import sentence


def open_shown() -> ShownCells | None:
    """Draw level and section, and return the segmentation that is shown; None without one."""
    job = current()
    if job is None:
        return None
    try:
        result, steps, version = load(job.id)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        return None
    method = result.record["settings"]["method"]
    deep = len(result.membrane) > 1
    name, sliders = side_by_side("segmentation", [1, 1.6], vertical_alignment="center")
    name.markdown(f"**{result.name}**  \n{METHODS[method].title if method in METHODS else method}")
    with sliders.container(horizontal=True, vertical_alignment="bottom"):
        level = st.slider(
            "Level",
            0.05,
            0.95,
            result.level,
            0.01,
            key=f"membrane_level_{job.id}",
            help="Membrane probability from which a pixel is membrane and a border between two cells is kept.",
        )
        section = 0
        if deep:
            section = st.slider("Section", 1, len(result.membrane), 1, key=f"membrane_section_{job.id}") - 1
    return ShownCells(job, result, steps, version, level, section)


st.title("Membranes", anchor=False)
left, right = side_by_side("membranes", [1, 2.6], gap="large")
with left:
    draw_start()
    with st.container(height=LIST_HEIGHT, border=False):
        draw_jobs()
with right:
    shown = open_shown()
    if shown is None:
        st.markdown(
            "This page segments electron micrographs into membranes and cells. Choose an image and a "
            "method; the result appears here."
        )
        draw_published()
        st.stop()
    with st.container(horizontal=True, vertical_alignment="bottom"):
        view = st.segmented_control(
            "Show", list(VIEWS), default=VIEWS[0], required=True, key="membrane_view", persist_state="session"
        )
        mode = choose_mode(shown) if view == "Cells" else LOOK
    draw_picture(shown, view, mode)
    draw_chosen(shown, mode)

cells, truth, beside, scores, files = st.tabs(
    ["Cells", "Truth and weight map", "Side by side", "Methods", "Downloads"],
    on_change="rerun",
    key="membrane_tab",
)
for tab, draw in (
    (cells, lambda: draw_table(shown)),
    (truth, lambda: draw_truth(shown)),
    (beside, lambda: draw_side_by_side(shown, view)),
    (scores, draw_published),
    (files, lambda: draw_downloads(shown)),
):
    if tab.open:
        with tab:
            draw()
