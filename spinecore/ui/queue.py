"""Jobs as they run: one card each, with progress, time left, cancel, run again, and the log."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from spinecore.analysis.result import Settings
from spinecore.errors import SpinecoreError
from spinecore.jobs.manager import JobStatus
from spinecore.ui.session import manager, open_analysis, report, workspace
from spinecore.ui.words import STATE_COLOURS, count_text, sentence, time_text, when_text
from spinecore.workspace.records import ACTIVE_STATES, JobRecord, StackRecord, now

#: Finished analyses shown below those that run.
_FINISHED = 6
_FINISHED_STATES = ("done", "failed", "cancelled", "interrupted")


def find_or_start(record: StackRecord) -> JobRecord:
    """Return an analysis of a stack with the default settings that is done or under way, or start one."""
    settings = Settings(channel=report(record).suggested_channel)
    wanted = settings.model_dump(mode="json")
    for job in workspace().jobs(states=("done", *ACTIVE_STATES), stack_sha256=record.sha256):
        if all(job.settings.get(name) == value for name, value in wanted.items()):
            return job
    return manager().submit(record.sha256, settings)


def draw_queue() -> None:
    """Draw the queue; it looks again every second while anything runs."""
    active = bool(manager().active("analysis"))
    st.fragment(_queue, run_every=1.0 if active else None)()


def _queue() -> None:
    active = manager().active("analysis")
    running = {status.job.id for status in active}
    # one that ends between the two questions is in both answers
    finished = [
        job for job in workspace().jobs(limit=_FINISHED, states=_FINISHED_STATES) if job.id not in running
    ]
    if not active and not finished:
        st.caption("Nothing has been analysed yet.")
    for status in active:
        with st.container(border=True, gap="xsmall"):
            draw_job(status)
    for job in finished:
        with st.container(border=True, gap="xsmall"):
            draw_job(manager().status(job.id))


def keep_up_to_date() -> None:
    """Draw the whole page again as soon as an analysis or segmentation has begun or ended."""
    shown = active_states()
    if shown:
        st.fragment(rerun_after_changes, run_every=1.0)(shown)


def active_states() -> dict[str, str]:
    """Return the states of the analyses and segmentations that run or wait, by their ids."""
    return {s.job.id: s.job.state for kind in ("analysis", "membranes") for s in manager().active(kind)}


def rerun_after_changes(shown: dict[str, str]) -> None:
    """Start the page's script again when the states differ from those that it has drawn."""
    if active_states() != shown:
        st.rerun()


def draw_job(status: JobStatus) -> None:
    """Draw one analysis with what can be done with it."""
    draw_state(status, f"**{status.job.title}**", _facts(status))
    with st.container(horizontal=True, gap="small"):
        draw_actions(status, _draw_open)


def draw_state(status: JobStatus, title: str, facts: str) -> None:
    """Draw what a job is (`title` in Markdown), and how it stands or ended."""
    job = status.job
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.markdown(title, width="content")
        st.badge(job.state.capitalize(), color=STATE_COLOURS[job.state])
    st.caption(facts)
    if job.active:
        left = status.seconds_left
        st.progress(status.fraction, text=status.stage + (f", about {time_text(left)} left" if left else ""))
    elif job.error and job.state != "cancelled":
        (st.error if job.state == "failed" else st.warning)(sentence(job.error))


def draw_actions(status: JobStatus, draw_done: Callable[[JobRecord], None]) -> None:
    """Draw the buttons that fit a job's state; `draw_done` draws those of one that is done."""
    job = status.job
    if job.active:
        st.button(
            "Cancel",
            key=f"cancel_{job.id}",
            on_click=manager().cancel,
            args=(job.id,),
            disabled=status.cancelling,
        )
    elif job.state == "done":
        draw_done(job)
    elif st.button("Run again", key=f"again_{job.id}"):
        try:
            manager().run_again(job.id)
        except SpinecoreError as error:
            st.error(sentence(error))
        else:
            st.rerun()
    log = st.popover("Log", key=f"log_{job.id}", on_change="rerun")
    if log.open:
        log.code(manager().log(job.id), language=None, wrap_lines=True)


def _draw_open(job: JobRecord) -> None:
    if st.button("Open", key=f"open_{job.id}", type="primary"):
        open_analysis(job.id)


def _facts(status: JobStatus) -> str:
    """Describe in a few words the settings and the result."""
    job = status.job
    method = " ".join(filter(None, (job.settings.get("method"), job.settings.get("model"))))
    facts = [method, f"channel {job.settings.get('channel', 0) + 1}"]
    if job.state == "done" and status.progress and "spines" in status.progress.summary:
        facts.append(count_text(status.progress.summary["spines"] or 0, "spine"))
    if job.state == "done" and status.seconds_taken is not None:
        facts.append(f"took {time_text(status.seconds_taken)}")
    facts.append(when_text(job.submitted, now()))
    return " · ".join(fact for fact in facts if fact)
