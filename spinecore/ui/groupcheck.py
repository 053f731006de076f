"""The part of the page Groups that draws a sample check over all analyses of a sheet, and shows how far it is counted."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from spinecore.corrections.samplecheck import DEFAULT_SEGMENTS
from spinecore.errors import SpinecoreError
from spinecore.groups.checks import DENSITY_CHECKED, check_table, draw_group
from spinecore.groups.sheet import Sample
from spinecore.ui.fields import within
from spinecore.ui.samplecheck import SECONDS_A_SEGMENT
from spinecore.ui.session import workspace
from spinecore.ui.words import count_text, sentence

_MESSAGE = "groups_check_message"
_SEGMENTS = "Segments in all"


def draw_group_check(samples: Sequence[Sample], job_ids: Sequence[str]) -> None:
    """Draw the expander of the sample check.

    Parameters
    ----------
    samples : sequence of Sample
    job_ids : sequence of str
        The analysis of each.
    """
    drawn = [sample.check for sample in samples if sample.check is not None]
    counted, total = sum(len(c.checked) for c in drawn), sum(c.n for c in drawn)
    title = "Sample check of these analyses"
    if drawn:
        title += f": {counted} of {count_text(total, 'segment')} counted"
    with st.expander(title, expanded=bool(drawn) and counted < total, key="groups_check_open"):
        st.markdown(
            "Count a few segments of dendrite by eye, drawn at random over all analyses: the **checked density** of each animal "
            "does not depend on what the detector misses, and the conditions are compared on it like on the automatic one."
        )
        if message := st.session_state.pop(_MESSAGE, None):
            st.warning(message)
        _draw_choice(samples, job_ids)
        if drawn:
            _draw_state(samples, job_ids)


def _draw_choice(samples: Sequence[Sample], job_ids: Sequence[str]) -> None:
    number, seed, button = st.columns([1, 1, 2], vertical_alignment="bottom")
    number.number_input(
        _SEGMENTS,
        value=max(DEFAULT_SEGMENTS, 6 * len(set(job_ids))),
        key="groups_check_n",
        help=f"About {SECONDS_A_SEGMENT} s each. They are shared out by how much dendrite each analysis has.",
    )
    seed.number_input("Seed", value=1, key="groups_check_seed", help="The same seed draws the same segments.")
    done = [s for s in samples if s.check is not None and s.check.checked]
    button.button(
        "Draw segments" if not any(s.check for s in samples) else "Draw again",
        key="groups_check_draw",
        on_click=_draw_now,
        args=(tuple(dict.fromkeys(job_ids)),),
        help="Analyses in which something was counted keep their segments." if done else None,
    )


def _draw_now(job_ids: Sequence[str]) -> None:
    values = st.session_state  # a number may have been typed just before the click
    try:
        n = int(within(_SEGMENTS, values["groups_check_n"], 1))
        seed = int(within("Seed", values["groups_check_seed"], 0))
        draw_group([workspace().result_folder(job_id) for job_id in job_ids], n, seed)
    except (SpinecoreError, OSError) as error:
        st.session_state[_MESSAGE] = sentence(error)


def _draw_state(samples: Sequence[Sample], job_ids: Sequence[str]) -> None:
    """Draw automatic and checked densities side by side, and the way to the next analysis to be counted."""
    table = check_table(samples)
    st.dataframe(
        table.drop(columns="segments").dropna(axis="columns", how="all"),
        hide_index=True,
        width="stretch",
        column_config={
            **{
                n: st.column_config.TextColumn(n.capitalize())
                for n in ("condition", "animal", "cell", "analysis")
            },
            "segments_drawn": st.column_config.NumberColumn("Drawn"),
            "segments_counted": st.column_config.NumberColumn("Counted"),
            "density_per_um": st.column_config.NumberColumn("Automatic (1/µm)", format="%.3g"),
            DENSITY_CHECKED: st.column_config.NumberColumn("Checked (1/µm)", format="%.3g"),
            "density_checked_low_per_um": st.column_config.NumberColumn("CI from", format="%.3g"),
            "density_checked_high_per_um": st.column_config.NumberColumn("to", format="%.3g"),
            "checked_by": st.column_config.TextColumn("Counted by"),
        },
    )
    for sample, job_id in zip(samples, job_ids, strict=True):
        more = 0 if sample.check is None else sample.check.n - len(sample.check.checked)
        if more:
            st.page_link(
                "pages/check.py",
                label=f"Count {count_text(more, 'segment')} of {sample.analysis} →",
                query_params={"analysis": job_id},
                width="content",
            )
            return
