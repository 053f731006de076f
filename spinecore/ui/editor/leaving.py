"""What is done when the page Correct is left, by whichever way: the labels and the overview follow the corrections."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

import streamlit as st

from spinecore.errors import SpinecoreError

#: Where the page keeps its state in a tab, and the corrections that were drawn when it was left last.
STATE, _DRAWN = "correct_state", "correct_drawn"


def leave_correct() -> None:
    """Draw the labels and the overview of the analysis that was corrected, beside the page that is shown now."""
    state = st.session_state.get(STATE)
    if state is None:
        return
    done = (state.shown.job.id, state.version)
    if st.session_state.get(_DRAWN) == done or not state.version:
        return
    st.session_state[_DRAWN] = done
    threading.Thread(target=_draw, args=(state.editor.folder,), daemon=True).start()


def _draw(folder: Path) -> None:
    from spinecore.analysis.edits import draw_corrections

    with contextlib.suppress(SpinecoreError, OSError):  # the next export tries again, and says why not
        draw_corrections(folder)
