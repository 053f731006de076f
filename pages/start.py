"""Start: what this is, the sample in one click, and the analyses of before."""

from __future__ import annotations

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.evaluation.builtin import REAL, SIMULATED, BuiltInSample
from spinecore.ui.engine import draw_engine
from spinecore.ui.moving import go_to
from spinecore.ui.queue import draw_job, find_or_start, keep_up_to_date
from spinecore.ui.session import manager, open_analysis, open_segmentation, sample_picture, workspace
from spinecore.ui.trash import confirm_delete, draw_trash
from spinecore.ui.uploads import store_sample
from spinecore.ui.words import STATE_COLOURS, count_text, sentence, when_text
from spinecore.workspace.records import ACTIVE_STATES, JOB_FOLDERS, JobRecord, now

RECENT = 8
#: Kinds of jobs in the list, with what one of them is called in a question.
LISTED = {"analysis": "the analysis", "membranes": "the membranes"}


def try_sample(sample: BuiltInSample) -> None:
    """Begin to analyse a sample, or find the analysis of it that is there."""
    try:
        job = find_or_start(store_sample(sample))
    except (SpinecoreError, OSError) as error:
        st.session_state["start_problem"] = sentence(error)
    else:
        st.query_params["sample"] = job.id


@st.fragment(run_every=0.5)
def follow_sample(job_id: str) -> None:
    """Show the sample's progress and go to its result when it is there."""
    status = manager().status(job_id)
    if status.job.state == "done":
        open_analysis(job_id)
    draw_job(status)


def draw_recent() -> None:
    """Draw the list of analyses and segmentations, without the one that the sample's card shows, and keep it up to date."""
    followed = st.query_params.get("sample")
    in_card = (*ACTIVE_STATES, "done")  # one that stopped early is in the list too, where it can be deleted
    found = (job for kind in LISTED for job in workspace().jobs(limit=RECENT, kind=kind))
    jobs = sorted(found, key=lambda job: job.submitted, reverse=True)[:RECENT]
    recent = [job for job in jobs if job.id != followed or job.state not in in_card]
    if recent:
        with st.container(gap="xsmall"):
            for record in recent:
                draw_row(record)
    else:
        st.caption("None yet. The sample takes less than a minute.")
    keep_up_to_date()


def draw_sample() -> None:
    """Draw the card with the samples."""
    st.subheader("Try it", anchor=False)
    words, picture = st.columns([3, 2], vertical_alignment="center")
    words.markdown("A **real** stack: dendrite in vivo, two-photon, with the marks of an expert.")
    words.button("Try the sample", type="primary", on_click=try_sample, args=(REAL,), key="try_sample")
    picture.image(sample_picture(REAL), width="stretch", alt="Maximum projection of the real sample")
    words, picture = st.columns([3, 2], vertical_alignment="center")
    words.markdown("A **simulated** stack, of which every spine is known exactly.")
    words.button("Try the simulated one", on_click=try_sample, args=(SIMULATED,), key="try_simulated")
    picture.image(sample_picture(SIMULATED), width=120, alt="Maximum projection of the simulated sample")
    if problem := st.session_state.pop("start_problem", None):
        st.error(problem)
    if job_id := st.query_params.get("sample"):
        try:
            workspace().job(job_id)
        except SpinecoreError:
            del st.query_params["sample"]
        else:
            follow_sample(job_id)


def draw_own() -> None:
    """Draw the card that leads to the user's own stacks."""
    st.subheader("Use your own", anchor=False)
    st.markdown(
        "Upload stacks or single images: TIFF, OME-TIFF, ImageJ, LSM, ScanImage, CZI, LIF, ND2, OIB, IMS, PNG or JPEG."
    )
    if st.button("Upload a stack", key="go_upload"):
        go_to("pages/upload.py")


def draw_row(job: JobRecord) -> None:
    """Draw one line of the list of analyses."""
    status = manager().status(job.id)
    summary = status.progress.summary if status.progress and job.state == "done" else {}
    length_um = summary.get("dendrite_um")
    name, state, found, length, when, actions = st.columns(
        [3, 1.2, 1.2, 1.6, 1.7, 1.9], vertical_alignment="center"
    )
    name.markdown(f"**{job.stack_name}**")
    state.badge(job.state.capitalize(), color=STATE_COLOURS[job.state], help=job.error)
    if "spines" in summary:
        found.markdown(count_text(summary["spines"] or 0, "spine"))
        length.markdown(f"{length_um:,.1f} µm dendrite" if length_um is not None else "no length in µm")
    elif "cells" in summary:
        found.markdown(count_text(summary["cells"] or 0, "cell"))
        length.markdown(count_text(summary.get("sections") or 1, "section"))
    when.markdown(when_text(job.submitted, now()))
    with actions.container(horizontal=True, gap="xsmall"):
        if job.state == "done":
            if st.button("Open", key=f"open_{job.id}"):
                open_segmentation(job.id) if job.kind == "membranes" else open_analysis(job.id)
        elif st.button("Queue" if job.active else "Details", key=f"queue_{job.id}"):
            go_to("pages/membranes.py" if job.kind == "membranes" else "pages/analyse.py")
        if not job.active and st.button("Delete", key=f"delete_{job.id}", type="tertiary"):
            confirm_delete(JOB_FOLDERS[job.kind], job.id, f"{LISTED[job.kind]} of {job.stack_name}")


st.title("Dendritic spines, from microscope stack to measured table", anchor=False)
st.markdown(
    "This dashboard finds dendrites and their spines in 2-D images and 3-D stacks, outlines every one "
    "and measures it "
    "in micrometres.  \nEverything runs on this computer: no image leaves it."
)
sample_card, own_card = st.columns(2, border=True)
with sample_card:
    draw_sample()
with own_card:
    draw_own()

draw_engine()

st.subheader("Recent analyses and segmentations", anchor=False)
draw_recent()
draw_trash()
