"""Shapes: what each spine looks like, how sure that is, which rule says so too, and where the network looked."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from spinecore.shapes.classes import CAVEAT, CLASSES
from spinecore.shapes.classify import DEFAULT_MODEL, has_model
from spinecore.shapes.comparison import Gain, read_comparison
from spinecore.ui.charts import draw_chart
from spinecore.ui.colours import class_legend
from spinecore.ui.layout import side_by_side
from spinecore.ui.portraits import spine_pictures
from spinecore.ui.scene import plane_figure
from spinecore.ui.session import select_spine
from spinecore.ui.shapecard import draw_card
from spinecore.ui.shaperules import choose_rules
from spinecore.ui.shapes import (
    ORDERS,
    column_labels,
    counts_table,
    heat_settings,
    in_order,
    map_figure,
    only_wanted,
    score_labels,
    shape_map,
    with_rules,
)
from spinecore.ui.shapes_projection import HEAT_LIMIT, LAYERS, heat_scene
from spinecore.ui.shown import Shown, chosen_spine, note_threshold, open_shown
from spinecore.ui.words import count_text

PER_ROW, ROWS = 4, 4
MAP_KEY, STACK_KEY = "shape_map", "shape_stack"
#: Tab with the heat maps in their place.
STACK_TAB = "On the stack"


def draw_counts(table: pd.DataFrame) -> None:
    """Draw counts and fractions with intervals."""
    several = table["dendrite_id"].nunique() > 1
    per_dendrite = several and st.toggle("Per dendrite", key="shape_per_dendrite")
    counts = counts_table(table, per_dendrite)
    st.dataframe(counts, hide_index=True, width="stretch", column_config=column_labels(list(counts.columns)))
    both = table["class_disagrees"].dropna()
    if len(both):
        st.caption(
            f"Network and rules disagree on {int(both.sum())} of {count_text(len(both), 'spine')} "
            f"that both classified; the rules left {int(table['rule_class'].isna().sum())} unclassified. "
            "Spines of one dendrite are not independent, so true intervals are wider."
        )


def draw_gallery(shown: Shown, table: pd.DataFrame, chosen: int | None) -> None:
    """Draw one page of patches; the button beneath each chooses its spine."""
    st.html(class_legend())
    classes, differing = st.columns([1.7, 1], vertical_alignment="center")
    wanted = classes.pills(
        "Only these classes",
        CLASSES,
        selection_mode="multi",
        format_func=str.capitalize,
        label_visibility="collapsed",
        key="shape_only",
        persist_state="session",
    )
    only = differing.toggle("Rules differ", key="shape_differing", persist_state="session")
    table = only_wanted(table, wanted, only)
    if table.empty:
        st.caption("No spine is of this kind.")
        return
    per_page = PER_ROW * ROWS
    pages = max(1, -(-len(table) // per_page))
    number = 1
    if pages > 1:
        number = (
            st.segmented_control(
                "Page",
                range(1, pages + 1),
                label_visibility="collapsed",
                default=1,
                required=True,
                key=f"shape_page_{shown.job.id}_{pages}",
            )
            if pages <= 10
            else st.number_input(f"Page of {pages}", value=1, key=f"shape_page_{shown.job.id}")
        )
        number = min(max(number, 1), pages)
    rows = table.iloc[(number - 1) * per_page : number * per_page].to_dict("records")
    ids = [int(row["spine_id"]) for row in rows]
    pictures = dict(zip(ids, spine_pictures(shown, ids, [row["class"] for row in rows]), strict=True))
    for start in range(0, len(rows), PER_ROW):
        for place, row in zip(st.columns(PER_ROW, gap="small"), rows[start : start + PER_ROW], strict=False):
            spine = int(row["spine_id"])
            with place:
                st.image(pictures[spine], width="stretch")
                mark = " ≠" if row["class_disagrees"] is True else ""
                chance = "" if pd.isna(row["class_probability"]) else f" {row['class_probability']:.2f}"
                answer = row["class"] if isinstance(row["class"], str) else "no class"
                st.button(
                    f"{spine}",
                    key=f"pick_{spine}",
                    type="primary" if spine == chosen else "secondary",
                    width="stretch",
                    on_click=select_spine,
                    args=(spine,),
                )
                st.caption(f"{answer}{chance}{mark}", text_alignment="center")
    st.caption(
        "Each picture shows 4.5 µm of the stack itself, turned so that the dendrite lies flat below; bar 1 µm; in a stack the "
        "spine's own slices, 1.5 µm at most; grey lies outside the stack. Click a number to select that spine. "
        "≠: the rules give another class."
    )


def pick(key: str) -> None:
    """Choose the spine whose point was clicked."""
    points = st.session_state[key]["selection"]["points"]
    if points and points[0].get("customdata") is not None:
        number = points[0]["customdata"]
        select_spine(int(number[0] if isinstance(number, (list, tuple)) else number))


def draw_map(shown: Shown, table: pd.DataFrame, chosen: int | None) -> None:
    """Draw the map of all spines by shape."""
    made_of = st.segmented_control(
        "Similarity by",
        ("Measures", "Network features") if has_model() else ("Measures",),
        default="Measures",
        required=True,
        key="shape_map_of",
    )
    points, share, text = shape_map(shown, table, made_of == "Network features")
    if len(table) < 3:
        st.caption("A map needs at least three spines.")
        return
    draw_chart(
        map_figure(table, points, share, chosen),
        MAP_KEY,
        f"Map of {len(table)} spines by shape",
        on_points=partial(pick, MAP_KEY),
        modeBarButtonsToRemove=["select2d", "lasso2d"],
    )
    st.caption(f"Principal components of {text}. Click a point to select its spine.")


def draw_stack(shown: Shown, table: pd.DataFrame, chosen: int | None) -> None:
    """Draw the heat maps back on the stack's projection."""
    spine = int(table["spine_id"].iloc[0]) if chosen is None else chosen
    layers = LAYERS if has_model() else LAYERS[-1:]
    left, right = st.columns([1.5, 1], vertical_alignment="bottom")
    layer = left.segmented_control(
        "Layer on the projection", layers, default=layers[0], required=True, key="shape_layer"
    )
    whole = right.toggle("Whole projection", key="shape_whole")
    settings = heat_settings()
    scene = heat_scene(shown, settings, layer, spine, whole)
    draw_chart(
        plane_figure(scene, 440, f"{shown.job.id}-{spine}-{whole}"),
        STACK_KEY,
        f"Projection with {layer.lower()} round spine {spine}",
        on_points=partial(pick, STACK_KEY),
        scrollZoom=True,
    )
    count = min(len(table), HEAT_LIMIT)
    what = (
        ""
        if layer == LAYERS[-1]
        else f"{settings.method} of {count_text(count, 'spine')}, each scaled to its own maximum. "
    )
    st.caption(f"{what}Outlines by class; click a spine to select it, scroll to zoom.")


#: How the accuracies of the network in use are called and explained.
IN_USE = {
    "test": ("Real spines", "Of 197 spines of images not used in training, with outlines drawn by hand."),
    "tight": ("Tight outlines", "The same spines where outlines hold lit pixels only, as detected ones do."),
    "simulated": ("Simulated", "Mean recall of the four classes on simulated stacks of unseen seeds."),
}


def draw_scores() -> None:
    """Draw how the classifiers did on spines with a known class."""
    found = read_comparison()
    if found is None:
        st.caption("There is no comparison yet: run `python -m benchmarks.shape_table --publish`.")
        return
    if found.in_use:
        st.markdown(f"**{DEFAULT_MODEL}**, which names the classes, is right on:")
        for place, (name, (title, text)) in zip(st.columns(3), IN_USE.items(), strict=True):
            place.metric(title, f"{found.in_use[name]:.1f} %", help=text, border=True, height="stretch")
        st.markdown("How classifiers compare:")
    for table in (found.accuracy, found.detail):
        st.dataframe(table, hide_index=True, width="stretch", column_config=score_labels())
    lines = [gain_text(gain) for gain in found.gains]
    if found.folds:
        each = ", ".join(f"{100 * value:.1f}" for value in found.folds)
        count = f"{len(found.folds)} of {found.n_folds} folds"
        lines.append(f"**Joint, cross-validated by image group** ({count}, shorter training): {each} % right")
    st.markdown("\n".join(f"- :small[{line}]" for line in lines))
    st.caption(
        f"Measured on {found.date} by `python -m benchmarks.shape_table`: 197 spines of real validation images, and "
        "simulated stacks of unseen seeds; four classes, a ball counting as a mushroom. The poster's "
        "figures are of its "
        f"own data and classifiers. {found.shipped}"
    )


def gain_text(gain: Gain) -> str:
    """Return what one change did, in words."""
    changes = ", ".join(f"{name} {100 * a:.1f} → {100 * b:.1f} %" for name, (a, b) in gain.changes.items())
    return f"**{gain.title}**: {changes}"


def draw_page(shown: Shown) -> None:
    """Draw counts, gallery, map and the chosen spine's card."""
    note_threshold(shown)
    st.info(CAVEAT)
    if shown.analysis.spines.empty:
        st.caption("There is no spine to show: lower the threshold on the Overlay page.")
        return
    if not has_model():
        st.warning("The shape network is not installed, so only the rules assign classes.")
    left, right = side_by_side("shapes", [1.4, 1])
    with left:
        order_place, rules_place = st.columns([1.4, 1], vertical_alignment="bottom")
        with rules_place:
            chosen_rules = choose_rules(shown)
        order = order_place.selectbox("Order", ORDERS, key="shape_order", persist_state="session")
        table = in_order(with_rules(shown.analysis.spines, chosen_rules), order)
        chosen = chosen_spine(shown)
        gallery, counts, overview, stack, scores = st.tabs(
            ["Gallery", "Counts", "Map of shapes", STACK_TAB, "Accuracy"],
            key="shape_tab",
            on_change="rerun",
        )
        for tab, draw in (
            (gallery, lambda: draw_gallery(shown, table, chosen)),
            (counts, lambda: draw_counts(table)),
            (overview, lambda: draw_map(shown, table, chosen)),
            (stack, lambda: draw_stack(shown, table, chosen)),
            (scores, draw_scores),
        ):
            if tab.open:
                with tab:
                    draw()
    with right:
        draw_card(shown, table, chosen, chosen_rules.rules)


draw_page(open_shown("Shapes"))
