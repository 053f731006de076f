"""How trainings are drawn: progress, the curve, and the score before and after."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.jobs.trainings import Run, cancel_run, delete_run, list_runs
from spinecore.ui.session import workspace
from spinecore.ui.words import STATE_COLOURS, count_text, sentence, when_text
from spinecore.workspace.records import now

#: Trainings shown.
MAX_RUNS = 6
NEW, PARENT = "#1f5f8b", "#c46a1b"


def draw_runs() -> None:
    """Draw the trainings; while one runs, they are looked at again every two seconds."""
    active = any(run.active for run in list_runs(workspace(), MAX_RUNS))
    st.fragment(_runs, run_every=2.0 if active else None)()


def _runs() -> None:
    runs = list_runs(workspace(), MAX_RUNS)
    if not runs:
        st.caption("No model has been trained here yet.")
    for run in runs:
        with st.container(border=True, gap="small"):
            draw_run(run)


def draw_run(run: Run) -> None:
    """Draw one training with what can be done about it."""
    request = run.facts.request
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(f"**{request.name}** from {request.parent}", width="content")
        st.badge(run.state.capitalize(), color=STATE_COLOURS[run.state])
    facts = [
        count_text(len(request.sources), "image"),
        f"{request.minutes:g} min",
        when_text(run.facts.submitted, now()),
    ]
    st.caption(" · ".join(facts))
    if run.active:
        progress = run.progress
        st.progress(progress.fraction if progress else 0.0, text=progress.stage if progress else "Starting")
    elif run.outcome is not None and run.outcome.error and run.state != "cancelled":
        st.error(sentence(run.outcome.error))
    elif run.state == "interrupted":
        st.warning("The training stopped before its end: start it again.")
    if run.state == "done":
        draw_scores(run)
    if len(run.history) > 1:
        st.altair_chart(
            curve(run.history), width="stretch", alt="F1 on the held-out images during the training"
        )
    _draw_actions(run)


def draw_scores(run: Run) -> None:
    """Draw the score before and after, and what they mean."""
    before, after = run.outcome.before, run.outcome.after
    change = after["f1"] - before["f1"]
    with st.container(horizontal=True):
        st.metric("F1 before", f"{before['f1']:.3f}", border=True, help=_counts(before), height="stretch")
        st.metric(
            "F1 after",
            f"{after['f1']:.3f}",
            f"{change:+.3f}",
            border=True,
            help=_counts(after),
            height="stretch",
        )
    st.caption(
        f"On what was held out: {run.outcome.held_out}, {int(before['n_truth'])} spines. The best moment of the training "
        "was chosen on the same images, so the score after is a little too good."
    )
    if change > 0:
        st.markdown(
            f"**{run.outcome.model}** is ready: choose it under Weights on the Analyse page. The old model stays."
        )
    else:
        st.warning(
            f"{run.outcome.model} is no better than {run.facts.request.parent} there: keep the old one, or mark more "
            "images and train longer."
        )


def _counts(score: dict[str, float]) -> str:
    return (
        f"{int(score['n_matched'])} matched of {int(score['n_truth'])} marked and {int(score['n_predicted'])} found, "
        "centres within 1 µm"
    )


def curve(history: list[dict[str, float]]) -> alt.LayerChart:
    """Return the score on the held-out images over the minutes, with the parent's as a dashed line."""
    table = pd.DataFrame(history)
    parent = pd.DataFrame({"f1": [table["f1"].iloc[0]], "what": ["the old model"]})
    scale = alt.Scale(zero=False, nice=True, padding=8)
    line = (
        alt.Chart(table)
        .mark_line(color=NEW, point=alt.OverlayMarkDef(color=NEW, size=45))
        .encode(
            x=alt.X("minutes:Q", title="Training (min)", axis=alt.Axis(tickCount=6)),
            y=alt.Y("f1:Q", title="F1, held out", scale=scale, axis=alt.Axis(tickCount=5)),
            tooltip=[
                alt.Tooltip("minutes:Q", title="Minutes"),
                alt.Tooltip("step:Q", title="Steps"),
                alt.Tooltip("f1:Q", title="F1", format=".3f"),
            ],
        )
    )
    rule = alt.Chart(parent).mark_rule(color=PARENT, strokeDash=[6, 4], size=2).encode(y="f1:Q")
    text = (
        alt.Chart(parent)
        .mark_text(color="#8a4800", align="left", baseline="bottom", dx=4, dy=-3, fontSize=12)
        .encode(y="f1:Q", x=alt.value(0), text="what:N")
    )
    return (line + rule + text).properties(height=190)


def _draw_actions(run: Run) -> None:
    with st.container(horizontal=True, gap="small"):
        if run.active:
            st.button(
                "Cancel",
                key=f"cancel_run_{run.facts.id}",
                on_click=cancel_run,
                args=(workspace(), run.facts.id),
            )
            return
        if run.state == "done" and st.button("Analyse with it", type="primary", key=f"use_{run.facts.id}"):
            st.session_state["own_weights"] = run.outcome.model
            st.switch_page("pages/analyse.py")
        st.button(
            "Remove from the list",
            key=f"remove_run_{run.facts.id}",
            type="tertiary",
            on_click=_remove,
            args=(run.facts.id,),
        )


def _remove(run_id: str) -> None:
    try:
        delete_run(workspace(), run_id)
    except SpinecoreError as error:
        st.session_state["train_problem"] = sentence(error)
