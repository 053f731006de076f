"""Overlay: the projection or any slice with every spine outlined."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.shapes.classes import CAVEAT
from spinecore.ui.charts import draw_chart
from spinecore.ui.colours import IMAGE_MAPS
from spinecore.ui.correcting import draw_way_to_correct
from spinecore.ui.doubtline import draw_doubt_line
from spinecore.ui.layout import side_by_side
from spinecore.ui.picturefiles import scene_png, scene_svg
from spinecore.ui.planes import AXES, AXIS_NAMES
from spinecore.ui.planeviews import View, build_scene, natural_levels, plane_size, window_text
from spinecore.ui.samplescore import known_places, score_words
from spinecore.ui.scene import Scene, plane_figure
from spinecore.ui.session import select_spine
from spinecore.ui.shown import COLUMNS, Shown, choose_colours, choose_threshold, chosen_spine, open_shown
from spinecore.ui.tables import SHORT_COLUMNS, draw_spine_rows, filled
from spinecore.ui.words import count_text, sentence

#: Height of the figure in px, about the width left to the picture, and the height of a flat one.
FIGURE_HEIGHT = 640
WIDTH = 560
LOWEST_HEIGHT = 260
FIGURE_KEY = "overlay_figure"
#: What can be done with the mouse.
HINT = "Hover over a spine to see its measures; click it or its row to zoom in."


def choose_plane(shown: Shown) -> tuple[str, int | None]:
    """Draw the choice of plane and of projection or slice."""
    if shown.saved.is_2d:
        return "xy", None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        plane = st.segmented_control(
            "View",
            list(AXES),
            default="xy",
            format_func=str.upper,
            required=True,
            key="overlay_plane",
            persist_state="session",
        )
        one_slice = st.toggle("One slice", key="overlay_one_slice", persist_state="session")
    size = plane_size(shown.saved, plane)
    if not one_slice:
        return plane, None
    step_um = shown.saved.spacing.zyx_um()[AXES[plane][0]]
    number = st.slider(
        f"Slice along {AXIS_NAMES[AXES[plane][0]]} (1 to {size}, every {step_um:.3g} µm)",
        1,
        size,
        size // 2,
        key=f"overlay_slice_{shown.job.id}_{plane}",
        persist_state="session",
    )
    return plane, number - 1


def choose_picture(shown: Shown) -> tuple[tuple[float, float], float, str, bool, bool]:
    """Draw the choices about brightness and what is outlined."""
    low, high, least, most = natural_levels(shown.job.id, shown.saved.projections["xy"])
    whole = most - least > 20
    with st.popover("Brightness and outlines", width="stretch"):
        # of wide ranges the slider shows whole numbers
        values: list[Any] = [least, most, low, high]
        first, last, start, end = (round(value) for value in values) if whole else values
        levels = st.slider(
            "Contrast window (intensity drawn black and white)",
            first,
            last,
            (max(start, first), min(end, last)),
            key=f"overlay_levels_{shown.job.id}",
            persist_state="session",
        )
        gamma = st.slider(
            "Gamma (below 1 brightens faint structures)",
            0.2,
            2.0,
            0.7,
            0.05,
            key="overlay_gamma",
            persist_state="session",
        )
        image_map = st.segmented_control(
            "Colours of the image",
            IMAGE_MAPS,
            default="Grey",
            required=True,
            key="overlay_image_map",
            persist_state="session",
        )
        spines = st.toggle("Outline the spines", value=True, key="overlay_spines", persist_state="session")
        dendrite = st.toggle(
            "Outline the dendrite", value=True, key="overlay_dendrite", persist_state="session"
        )
    return levels, gamma, image_map, spines, dendrite


def choose_view(shown: Shown) -> View:
    """Draw all choices about the picture."""
    plane, index = choose_plane(shown)
    by, name = choose_colours(shown, "Outline", "overlay")
    levels, gamma, image_map, spines, dendrite = choose_picture(shown)
    return View(plane, index, levels, gamma, image_map, by, name, spines, dendrite)


def choose_known(shown: Shown) -> bool:
    """Draw, for a sample, the choice to see its known spines, and the score against them."""
    if shown.sample is None:
        return False
    name = shown.sample.truth_name
    known = st.toggle(f"Show {name} (crosses)", key="overlay_known", persist_state="session")
    if known:
        st.caption(score_words(shown))
    return known


def pick_in_figure() -> None:
    """Choose the spine that was clicked."""
    points = st.session_state[FIGURE_KEY]["selection"]["points"]
    if points:
        number = points[0]["customdata"]
        select_spine(int(number[0] if isinstance(number, (list, tuple)) else number))


def draw_figure(shown: Shown, scene: Scene, view: View) -> None:
    """Draw the picture and what lies beneath it."""
    name = f"{shown.file_stem}_{view.plane}"
    height = round(
        min(FIGURE_HEIGHT, max(LOWEST_HEIGHT, WIDTH * scene.window.height / scene.window.width + 70))
    )
    figure = plane_figure(scene, height, f"{shown.job.id}-{view.plane}-{scene.selected}")
    config = {
        "scrollZoom": True,
        "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
        "toImageButtonOptions": {"format": "png", "scale": 3, "filename": name},
    }
    draw_chart(figure, FIGURE_KEY, scene.title, height, on_points=pick_in_figure, **config)
    with st.container(horizontal=True, gap="small"):
        if scene.selected is not None:
            st.button("Show all", key="overlay_all", on_click=select_spine, args=(None,))
        st.space("stretch")
        spine = "" if scene.selected is None else f"_spine{scene.selected}"
        st.download_button(
            "PNG",
            lambda: scene_png(scene),
            f"{name}{spine}.png",
            "image/png",
            key="overlay_png",
            on_click="ignore",
        )
        st.download_button(
            "SVG",
            lambda: scene_svg(scene).encode(),
            f"{name}{spine}.svg",
            "image/svg+xml",
            key="overlay_svg",
            on_click="ignore",
        )
    st.caption(f"{describe(shown, scene, view)} {HINT}")
    if view.colour_by == "class":
        st.caption(CAVEAT)


def describe(shown: Shown, scene: Scene, view: View) -> str:
    """Return the caption: what is seen, and how large."""
    axis = AXIS_NAMES[AXES[view.plane][0]]
    if shown.saved.is_2d:
        seen = "The image"
    elif view.index is None:
        seen = f"Maximum projection along {axis}"
    else:
        depth = view.index * shown.saved.spacing.zyx_um()[AXES[view.plane][0]]
        seen = f"Slice {view.index + 1} along {axis} ({axis} = {depth:.2f} µm)"
    lines = {
        (True, True): "spines outlined, dendrite in blue",
        (True, False): "spines outlined",
        (False, True): "dendrite outlined in blue",
    }.get((view.show_spines, view.show_dendrite), "without outlines")
    text = f"{seen}, {window_text(scene.window)}; {lines}"
    if view.index is not None and view.show_spines:
        text += f"; {count_text(len(scene.spines), 'spine')} in this slice"
    return f"{text}."


def draw_page(shown: Shown) -> None:
    """Draw picture, choices and table."""
    picture, side = side_by_side("picture", COLUMNS)
    with side:
        choose_threshold(shown)
        draw_way_to_correct(shown, chosen_spine(shown))
        view = choose_view(shown)
        known = choose_known(shown)
        chosen = chosen_spine(shown)
        spines = shown.analysis.spines
        if spines.empty:
            st.caption(
                "No spine reaches this score: lower the threshold, or check the channel and the voxel size."
            )
        else:
            extra = () if view.colour_by in ("plain", *SHORT_COLUMNS) else (view.colour_by,)
            names = filled(spines, (*SHORT_COLUMNS, *extra))
            draw_spine_rows(shown, spines, names, SPINE_COLUMNS, chosen, "overlay_rows", 320, short=True)
    with picture:
        try:
            scene = build_scene(shown, view, chosen)
        except (SpinecoreError, OSError) as error:
            st.error(f"{sentence(error)} The projection can still be shown.")
            return
        if known and shown.sample is not None:
            places = known_places(shown, view.plane, view.index)
            scene = replace(scene, known=places, known_name=shown.sample.truth_name)
        draw_figure(shown, scene, view)
        draw_doubt_line(shown)
        for note in shown.saved.notes:
            st.caption(note)


draw_page(open_shown("Overlay"))
