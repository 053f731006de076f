"""How trainings are drawn: progress, the curve, and the score before and after."""

from __future__ import annotations

import altair as alt
import pandas as pd
import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.jobs.manager import JobStatus
from spinecore.jobs.trainings import TrainingResult, read_history, read_request, read_result
from spinecore.ui.moving import go_to
from spinecore.ui.queue import draw_actions, draw_state
from spinecore.ui.session import manager, workspace
from spinecore.ui.words import count_text, sentence, when_text
from spinecore.workspace.records import JobRecord, now

#: Trainings shown.
MAX_RUNS = 6
NEW, PARENT = "#1f5f8b", "#c46a1b"


def draw_runs() -> None:
    """Draw the trainings; while one runs, they are checked again every two seconds."""
    active = bool(manager().active("training"))
    st.fragment(_runs, run_every=2.0 if active else None)()


def _runs() -> None:
    jobs = workspace().jobs(limit=MAX_RUNS, kind="training")
    if not jobs:
        st.caption("No model has been trained here yet.")
    for job in jobs:
        with st.container(border=True, gap="small"):
            draw_run(manager().status(job.id))


def draw_run(status: JobStatus) -> None:
    """Draw one training with what can be done with it."""
    job = status.job
    request = read_request(job)
    facts = [when_text(job.submitted, now())]
    if request is not None:
        facts = [count_text(len(request.sources), "image"), f"{request.minutes:g} min", *facts]
    parent = job.settings.get("parent", "an unknown model")
    draw_state(status, f"**{job.title}** from {parent}", " · ".join(facts))
    result = read_result(workspace(), job.id) if job.state == "done" else None
    if result is not None:
        draw_scores(result, parent)
    history = read_history(workspace(), job.id)
    if len(history) > 1:
        st.altair_chart(curve(history), width="stretch", alt="F1 on the held-out images during the training")
    _draw_actions(status, result)


def draw_scores(result: TrainingResult, parent: str) -> None:
    """Draw the score before and after, and what they mean."""
    before, after = result.before, result.after
    change = after["f1"] - before["f1"]
    with st.container(horizontal=True):
        st.metric("F1 before", f"{before['f1']:.3f}", border=True, help=_counts(before), height="stretch")
        st.metric(
            "F1 after",
            f"{after['f1']:.3f}",
            None if abs(change) < 5e-4 else f"{change:+.3f}",  # no green arrow up for nothing
            border=True,
            help=_counts(after),
            height="stretch",
        )
    st.caption(
        f"On held-out data: {result.held_out}, {int(before['n_truth'])} spines. The best checkpoint was "
        "chosen on the same images, so the score after training is slightly optimistic."
    )
    if change > 0:
        st.markdown(
            f"**{result.model}** is ready: choose it under Weights on the Analyse page. The old model is kept."
        )
    else:
        st.warning(
            f"{result.model} is no better than {parent} there: keep the old one, or annotate more images "
            "and train longer."
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


def _draw_actions(status: JobStatus, result: TrainingResult | None) -> None:
    def draw_done(job: JobRecord) -> None:
        if result is None:
            return
        better = result.after["f1"] > result.before["f1"]
        if st.button("Analyse with it", type="primary" if better else "secondary", key=f"use_{job.id}"):
            st.session_state["own_weights"] = result.model
            go_to("pages/analyse.py")

    with st.container(horizontal=True, gap="small"):
        draw_actions(status, draw_done)
        if not status.job.active:
            st.button(
                "Remove from the list",
                key=f"remove_run_{status.job.id}",
                type="tertiary",
                on_click=_remove,
                args=(status.job.id,),
            )


def _remove(job_id: str) -> None:
    try:
        manager().delete(job_id)
    except SpinecoreError as error:
        st.session_state["train_problem"] = sentence(error)
