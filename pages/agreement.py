"""Agreement: two analyses of one stack, spine by spine: found by both, only by A, only by B."""

from __future__ import annotations

import re

import pandas as pd
import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.evaluation.agreement import BOTH, ONLY_A, ONLY_B, Agreement, compare_analyses
from spinecore.ui.agreement import MARKS, agreement_figure, group_title
from spinecore.ui.charts import draw_chart
from spinecore.ui.checked import with_checked
from spinecore.ui.downloads import table_bytes
from spinecore.ui.evaluation_views import number_text
from spinecore.ui.fields import within
from spinecore.ui.layout import side_by_side
from spinecore.ui.moving import go_to
from spinecore.ui.session import current_job, load, missing_in_address, result_version, workspace
from spinecore.ui.words import distinct, sentence
from spinecore.workspace.records import JobRecord

VIEWS = {"one": "One picture", "two": "Side by side"}
#: Columns with a title; the CSV keeps all.
SHOWN = {
    "found_by": "Found by",
    "a_spine_id": "Spine in A",
    "b_spine_id": "Spine in B",
    "distance_um": "Distance (µm)",
    "x_um": "x (µm)",
    "y_um": "y (µm)",
    "z_um": "z (µm)",
    "a_score": "Score in A",
    "b_score": "Score in B",
    "a_class": "Class in A",
    "b_class": "Class in B",
}


def method_of(job: JobRecord) -> str:
    """Return method, own weights and time of an analysis as text."""
    parts = [str(job.settings.get("method", "centre-unet"))]
    if job.settings.get("model"):
        parts.append(str(job.settings["model"]))
    if job.settings.get("threshold") is not None:
        parts.append(f"score ≥ {job.settings['threshold']:g}")
    local = job.submitted.astimezone()
    return f"{', '.join(parts)} ({local.day} {local:%b, %H:%M:%S})"


def image_key(job: JobRecord) -> tuple[str, int, int]:
    """Return what two analyses must share: stack, channel and time point."""
    return (
        job.stack_sha256,
        int(job.settings.get("channel", 0)),
        int(job.settings.get("time_point", 0)),
    )


def _image_name(key: tuple[str, int, int], job: JobRecord) -> str:
    name = f"{job.stack_name}, channel {key[1] + 1}"
    return f"{name}, time point {key[2] + 1}" if key[2] else name


def groups_of_analyses() -> dict[tuple[str, int, int], list[JobRecord]]:
    """Return the finished analyses of every image that has at least two, the newest first."""
    groups: dict[tuple[str, int, int], list[JobRecord]] = {}
    for job in workspace().jobs(states=("done",)):
        groups.setdefault(image_key(job), []).append(job)
    return {key: jobs for key, jobs in groups.items() if len(jobs) > 1}


def choose_pair(groups: dict[tuple[str, int, int], list[JobRecord]]) -> tuple[JobRecord, JobRecord] | None:
    """Draw the choice of the stack and of its two analyses; both are kept in the address.

    Returns
    -------
    (JobRecord, JobRecord) or None
        None until an analysis is chosen in place of one that the address names and that is not there.
    """
    notice = st.container()
    if not ("a" in st.query_params or "b" in st.query_params) and (unknown := missing_in_address()):
        notice.warning(unknown)
    keys = list(groups)
    asked = [st.query_params.get("a"), st.query_params.get("b")]
    current = current_job()
    wanted = next((key for key in keys if any(job.id in asked for job in groups[key])), None)
    if wanted is None and current is not None and image_key(current) in groups:
        wanted = image_key(current)
    columns = side_by_side("choices", [1.1, 1, 1])
    images = distinct({k: _image_name(k, jobs[0]) for k, jobs in groups.items()})
    key = columns[0].selectbox(
        "Stack",
        keys,
        index=keys.index(wanted) if wanted else 0,
        format_func=images.__getitem__,
        key="agreement_stack",
    )
    jobs = {job.id: job for job in groups[key]}
    newest = list(jobs)
    methods = distinct({i: method_of(job) for i, job in jobs.items()})
    other_method = [i for i in newest[1:] if jobs[i].settings != jobs[newest[0]].settings]
    start = (other_method[0] if other_method else newest[1], newest[0])
    chosen: list[str] = []
    for letter, column, first in zip("AB", columns[1:], start, strict=True):
        given = st.query_params.get(letter.lower())
        missing = missing_in_address(letter.lower())
        options = [i for i in newest if i not in chosen]
        preset = given if given in options else first if first in options else options[0]
        job_id = column.selectbox(
            letter,
            options,
            index=None if missing else options.index(preset),
            format_func=lambda i: with_checked(methods[i], i),
            placeholder="Choose an analysis",
            key=f"agreement_{letter}_{'_'.join(map(str, key))}_{'_'.join(chosen)}",
        )
        if job_id is None:
            notice.warning(missing)
            return None
        st.query_params[letter.lower()] = job_id
        chosen.append(job_id)
    return jobs[chosen[0]], jobs[chosen[1]]


@st.cache_resource(max_entries=8, show_spinner="Matching the spines")
def compared(ids: tuple[str, str], versions: tuple[int, int], tolerance_um: float) -> Agreement:
    """Return the agreement of two stored analyses, from a bounded cache."""
    return compare_analyses(load(ids[0]), load(ids[1]), tolerance_um)


def draw_numbers(found: Agreement) -> None:
    """Draw the counts and the agreement."""
    numbers = [
        (f"{MARKS[BOTH].sign} Both", f"{found.n_both:,}", "Spines that both analyses found."),
        (f"{MARKS[ONLY_A].sign} Only A", f"{found.n_only_a:,}", "Spines of A without a match in B."),
        (f"{MARKS[ONLY_B].sign} Only B", f"{found.n_only_b:,}", "Spines of B without a match in A."),
        (
            "Agreement F1",
            number_text(found.f1),
            "2 × both / (spines of A + spines of B). It measures how similar the two analyses are, not "
            "which one is right.",
        ),
    ]
    with st.grid(2, min_column_width=130):
        for label, value, text in numbers:
            st.metric(label, value, border=True, help=text)
    if found.n_both:
        st.caption(f"Matched centres are {found.median_distance_um:.2f} µm apart (median).")


def draw_table(found: Agreement, stem: str) -> None:
    """Draw the table of one or all groups, and the download of all."""
    counts = found.table["found_by"].value_counts()
    groups = [group for group in (BOTH, ONLY_A, ONLY_B) if counts.get(group, 0)]
    chosen = st.pills(
        "Spines in the table",
        groups,
        selection_mode="multi",
        default=groups,
        format_func=lambda group: group_title(group, int(counts[group])),
        key=f"agreement_groups_{'_'.join(groups)}",
    )
    rows = found.table[found.table["found_by"].isin(chosen)]
    shown = pd.DataFrame({title: rows[name] for name, title in SHOWN.items() if name in rows})
    st.dataframe(
        shown,
        hide_index=True,
        width="stretch",
        height=230,
        column_config={
            title: st.column_config.NumberColumn(title, format="%.2f")
            for title in shown
            if pd.api.types.is_float_dtype(shown[title])
        },
    )
    st.download_button(
        "Table of all spines (CSV)",
        lambda: table_bytes(found.table),
        f"{stem}_agreement.csv",
        "text/csv",
        type="primary",
        key="agreement_csv",
        on_click="ignore",
    )


def draw(groups: dict[tuple[str, int, int], list[JobRecord]]) -> None:
    """Draw the comparison."""
    pair = choose_pair(groups)
    if pair is None:
        return
    a, b = pair
    picture, facts = side_by_side("picture", [1.75, 1])
    with facts:
        tolerance = st.number_input(
            "Matching distance (µm)",
            value=1.0,
            step=0.1,
            key="agreement_tolerance",
            help="Largest distance between two head centres that count as one spine; each spine has at most one match.",
        )
        try:
            within("Matching distance (µm)", tolerance, 0.05, 20.0)
        except SpinecoreError as error:
            st.error(sentence(error))
            return
    found = compared((a.id, b.id), (result_version(a.id), result_version(b.id)), float(tolerance))
    with picture:
        view = st.segmented_control(
            "View",
            list(VIEWS),
            default="one",
            format_func=VIEWS.__getitem__,
            required=True,
            key="agreement_view",
            label_visibility="collapsed",
        )
        draw_chart(
            agreement_figure(found, load(a.id), view == "two"),
            f"agreement_{view}",
            f"Maximum projection with the spines of {found.name_a} and {found.name_b}",
            scrollZoom=True,
        )
        st.caption(f"A: {found.name_a}. B: {found.name_b}. Maximum projection; drag to move, scroll to zoom.")
    with facts:
        draw_numbers(found)
        for note in found.notes:
            st.warning(note)
        draw_table(found, re.sub(r"[^\w.-]+", "_", a.stack_name))


st.title("Agreement", anchor=False)
ready = groups_of_analyses()
if ready:
    try:
        draw(ready)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
else:
    st.markdown(
        "This page compares two analyses of **the same stack**: which spines both found, and which only "
        "one of them found. There are no two finished analyses of one stack yet."
    )
    if st.button("Analyse a stack with two methods", type="primary", key="go_analyse"):
        go_to("pages/analyse.py")
