"""What computes the networks, and the choice of it; for the Start page."""

from __future__ import annotations

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.networks.engine import ENGINES, VARIABLE, choose_engine, chosen_engine, known_engine
from spinecore.ui.session import manager
from spinecore.ui.words import sentence

_CHOICES = {"automatic": "Automatic: the fastest in a trial"} | ENGINES


def draw_engine() -> None:
    """Draw one line on what computes the networks, with the choice beside it; on a GPU there is nothing to choose."""
    device = manager().device() or ""
    if device and not device.startswith("CPU"):
        st.caption(f"Networks run on: {device}")
        return
    try:
        chosen, known = chosen_engine(), known_engine()
    except SpinecoreError as error:
        st.error(sentence(error))
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        told = known.describe() if known else "tried when the first analysis runs"
        st.caption(f"Networks are computed on the CPU by: {told}")
        with st.popover("Change", type="tertiary"):
            _draw_choice(
                chosen.name if chosen else "automatic", fixed=bool(chosen and VARIABLE in chosen.reason)
            )


def _draw_choice(now: str, fixed: bool) -> None:
    st.radio(
        "What computes the networks",
        list(_CHOICES),
        index=list(_CHOICES).index(now),
        format_func=_CHOICES.__getitem__,
        key=f"engine_{now}",
        on_change=lambda: _choose(st.session_state[f"engine_{now}"]),
        disabled=fixed,
        help="For all analyses on this computer from now on. Scores may differ in the second or third digit between "
        "whole numbers of 8 bits (int8) and float32, and in the fourth between the others.",
    )
    if fixed:
        st.caption(f"Set with {VARIABLE}, which counts before this choice.")
    if problem := st.session_state.pop("engine_problem", None):
        st.error(problem)


def _choose(name: str) -> None:
    try:
        choose_engine(name if name in ENGINES else None)
    except SpinecoreError as error:
        st.session_state["engine_problem"] = sentence(error)
