"""The page Correct."""

from __future__ import annotations

import streamlit as st

from spinecore.analysis.editor import Editor
from spinecore.errors import SpinecoreError
from spinecore.ui.correcting import planes_of
from spinecore.ui.editor.component import draw_canvas
from spinecore.ui.editor.leaving import STATE
from spinecore.ui.editor.state import EditorState
from spinecore.ui.session import workspace
from spinecore.ui.shown import Shown, chosen_spine
from spinecore.ui.warmup import warm_up
from spinecore.ui.words import sentence


def draw_correct(shown: Shown) -> None:
    """Draw the page of an analysis."""
    warm_up()
    if shown.changed:
        st.caption(
            f"Corrections go with the stored result, whose lowest score is {shown.saved.threshold:.2f}; the {shown.threshold:.2f} "
            "chosen on the Overlay page is not kept yet."
        )
    try:
        state = _state_of(shown)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        return
    _draw(state)


def _state_of(shown: Shown) -> EditorState:
    found = st.session_state.get(STATE)
    if not isinstance(found, EditorState) or found.shown.job.id != shown.job.id:
        editor = Editor(workspace().result_folder(shown.job.id), planes_of(shown), analysis=shown.saved)
        found = EditorState(shown, editor)
        st.session_state[STATE] = found
    found.chosen = chosen_spine(shown)
    return found


@st.fragment
def _draw(state: EditorState) -> None:
    draw_canvas(f"correct_{state.shown.job.id}", state.data(), state.answer)
