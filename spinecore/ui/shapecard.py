"""The card of one spine on the Shapes page: pictures, probabilities, measures, the rule, and changing its class."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from spinecore.analysis.edits import change_class
from spinecore.errors import SpinecoreError
from spinecore.shapes.classes import CLASSES
from spinecore.shapes.classify import PROBABILITY_COLUMNS, has_model
from spinecore.shapes.explain import METHODS
from spinecore.shapes.pictures import SHEET_LIMIT, heated
from spinecore.shapes.rules import RuleSet
from spinecore.ui.charts import draw_chart
from spinecore.ui.colours import value_text
from spinecore.ui.portraits import heat_pictures, patches, spine_pictures
from spinecore.ui.session import select_spine, workspace
from spinecore.ui.shapes import (
    MODELS,
    OWN_ANSWER,
    heat_of,
    heat_settings,
    measure_lines,
    neighbours_of,
    rule_figure,
    sheet,
)
from spinecore.ui.shown import Shown
from spinecore.ui.words import sentence

_PROBLEM = "shape_problem"
_SEEN = "The stack, outline and measured path"
#: Whether a heat map that is no better than its control is drawn all the same.
_ANYWAY = "heat_anyway"


def draw_card(shown: Shown, table: pd.DataFrame, chosen: int | None, rules: RuleSet) -> None:
    """Draw the card of the chosen spine, or of the first in order; its measures stand beside the lines of `rules`."""
    ids = [int(i) for i in table["spine_id"]]
    spine = chosen if chosen in ids else ids[0]
    row = table[table["spine_id"] == spine].iloc[0].to_dict()
    _draw_steps(ids, spine)
    if problem := st.session_state.pop(_PROBLEM, None):
        st.error(problem)
    _draw_class(shown, row, spine)
    _draw_heat(shown, table, row, spine)
    if row["class"] in CLASSES:
        _draw_neighbours(shown, spine)
    _draw_numbers(row)
    draw_chart(
        rule_figure(rules, row),
        f"shape_rule_lines_{shown.job.id}",
        f"Measures of spine {spine} beside the thresholds of {rules.title}",
    )


def _draw_steps(ids: list[int], spine: int) -> None:
    place = ids.index(spine)
    back, title, forward = st.columns([1.2, 1.5, 1.2], vertical_alignment="center")
    back.button(
        "Previous",
        key="shape_back",
        disabled=place == 0,
        width="stretch",
        on_click=select_spine,
        args=(ids[max(place - 1, 0)],),
    )
    title.subheader(f"Spine {spine}", anchor=False, text_alignment="center")
    forward.button(
        "Next",
        key="shape_forward",
        disabled=place == len(ids) - 1,
        width="stretch",
        on_click=select_spine,
        args=(ids[min(place + 1, len(ids) - 1)],),
    )


def _draw_class(shown: Shown, row: dict[str, Any], spine: int) -> None:
    """Draw the class, where a click on another one corrects it, the probabilities and the rule that fired."""
    current = row["class"] if isinstance(row["class"], str) else None
    key = f"shape_class_{shown.job.id}_{spine}_{shown.version}_{current}"

    def change(answer: str | None) -> None:
        try:
            change_class(workspace().result_folder(shown.job.id), spine, answer)
        except (OSError, SpinecoreError) as error:
            st.session_state[_PROBLEM] = sentence(error)

    def clicked() -> None:
        # a click on the class that it has takes the mark away: that confirms it. The browser may report once more on a control
        # that the page no longer shows, with nothing changed: that says nothing
        answer = st.session_state[key]
        if answer != current:
            change(answer or current)

    st.segmented_control(
        "Class (click to correct or confirm)",
        CLASSES,
        default=current if current in CLASSES else None,
        format_func=str.capitalize,
        key=key,
        width="stretch",
        on_change=clicked,
    )
    chances = [
        f"{name} {row[column]:.2f}"
        for name, column in zip(CLASSES, PROBABILITY_COLUMNS, strict=True)
        if not pd.isna(row.get(column, np.nan))
    ]
    fired = str(row["class_rule"]).split(": ", 1)[-1].replace(" um", " µm")
    if isinstance(row["rule_class"], str):
        differ = " :orange-badge[differs]" if row["class_disagrees"] is True else ""
        fired = f"**{row['rule_class']}**{differ}, {fired.removeprefix(row['rule_class'] + ', ')}"
    network = f"Network: {', '.join(chances)}  \n" if chances else ""
    st.markdown(f":small[{network}Rules: {fired}]")
    if spine in shown.saved.corrections.class_of:
        words, undo = st.columns([2, 1], vertical_alignment="center")
        words.markdown(":blue-badge[Class named by hand]")
        undo.button("Undo", key=f"shape_undo_{spine}", width="stretch", on_click=change, args=(None,))


def _draw_heat(shown: Shown, table: pd.DataFrame, row: dict[str, Any], spine: int) -> None:
    patch = patches(shown.key, shown)[spine]
    models = [name for name in MODELS if has_model(name)]
    seen = spine_pictures(shown, [spine], [row["class"]], with_path=True)[0]
    if not models or row["class"] not in CLASSES:
        st.image(seen, caption=_SEEN, width=270)
        if models:
            st.caption("This spine has no class, so there is nothing to explain.")
        return
    choices, file = st.columns(2)
    with choices.popover("Heat map settings", width="stretch"):
        st.selectbox(
            "Network", models, format_func=MODELS.__getitem__, key="heat_model", persist_state="session"
        )
        st.segmented_control(
            "Method",
            METHODS,
            default=METHODS[0],
            required=True,
            key="heat_method",
            persist_state="session",
            help="Score-CAM and Occlusion use no gradient and take a few seconds.",
        )
        st.selectbox("Explain", (OWN_ANSWER, *CLASSES), key="heat_class", persist_state="session")
        st.toggle(
            "Contrast with the runner-up",
            key="heat_contrast",
            persist_state="session",
            help="Shows the evidence for the class rather than for the next most likely one.",
        )
    settings = heat_settings()
    if settings.name is None:
        # also where a person gave it, or another network that the analysis was made with
        settings = replace(settings, name=row["class"])
    rest = table.head(SHEET_LIMIT)
    file.download_button(
        f"Figure sheet ({len(rest)})",
        lambda: sheet(shown, rest, settings),
        f"{shown.file_stem}_shapes.png",
        "image/png",
        key="shape_sheet",
        on_click="ignore",
        width="stretch",
        help=f"PNG with projection, heat map and control of the first {len(rest)} spines in this order.",
    )
    heat, told, why = heat_of(shown.key, spine, settings, patch)
    against = f" rather than {heat.against[0]}" if heat.against[0] else ""
    shown_anyway = not told and st.session_state.get(_ANYWAY, False)
    place, *more = st.columns(3 if told or shown_anyway else [1, 2], gap="small")
    place.image(seen, caption=_SEEN, width="stretch")
    if told or shown_anyway:
        maps = (heat.maps[0], heat.controls[0])
        hot = heat_pictures(shown, spine, row["class"], maps) or [heated(patch, one, 6) for one in maps]
        texts = (f"{settings.method}: {heat.classes[0]}{against}", "Control: random weights")
        for spot, picture, text in zip(more, hot, texts, strict=True):
            spot.image(picture, caption=text, width="stretch")
    if told:
        st.caption(
            f"**Faithful heat map**: {why}. An even map would give {_share(heat.area[0])} on the spine."
        )
        return
    with st.container() if shown_anyway else more[0]:
        st.markdown(f":small[**The heat map explains nothing here**, so it is not shown: {why}.]")
        st.toggle("Show it all the same", key=_ANYWAY, persist_state="session")


def _draw_neighbours(shown: Shown, spine: int) -> None:
    model = heat_settings().model
    if not has_model(model):
        return
    found = neighbours_of(shown.key, spine, model, patches(shown.key, shown)[spine])
    if not found:
        return
    st.markdown(":small[**Labelled spines most like it**, to the network]")
    for place, (one, picture) in zip(st.columns(len(found), gap="small"), found, strict=True):
        place.image(picture, caption=f"{one.label} ({one.likeness:.2f})", width="stretch")


def _share(value: float) -> str:
    return "none" if np.isnan(value) else f"{value:.0%}"


def _draw_numbers(row: dict[str, Any]) -> None:
    lines = measure_lines(row)
    text = " · ".join(
        f"{title.split(' (')[0]} **{value_text(value, column)}**" for title, value, column in lines
    )
    st.markdown(f":small[{text}]")
