"""The frame round every page: navigation, and in the sidebar the device, the workspace and what is running."""

from __future__ import annotations

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.ui.layout import fit_to_window
from spinecore.ui.moving import bring_back
from spinecore.ui.session import manager
from spinecore.ui.words import sentence, time_text

ANALYSE_PAGE = "pages/analyse.py"


def navigation() -> st.Page:
    """Declare the pages and return the one asked for."""
    return st.navigation(
        {
            "": [st.Page("pages/start.py", title="Start", default=True)],
            "Prepare": [
                st.Page("pages/upload.py", title="Upload"),
                st.Page(ANALYSE_PAGE, title="Analyse"),
                st.Page("pages/membranes.py", title="Membranes"),
            ],
            "View": [
                st.Page("pages/overlay.py", title="Overlay"),
                st.Page("pages/correct.py", title="Correct"),
                st.Page("pages/view3d.py", title="3-D"),
                st.Page("pages/shapes.py", title="Shapes"),
                st.Page("pages/check.py", title="Sample check"),
                st.Page("pages/results.py", title="Results"),
            ],
            "Compare": [
                st.Page("pages/evaluate.py", title="Evaluate"),
                st.Page("pages/agreement.py", title="Agreement"),
                st.Page("pages/groups.py", title="Groups"),
                st.Page("pages/methods.py", title="Methods"),
            ],
            "Train": [
                st.Page("pages/train.py", title="Fine-tune"),
                st.Page("pages/ownmodels.py", title="Own models"),
            ],
        },
        expanded=True,
    )


def draw_frame(page: st.Page) -> None:
    """Fill the sidebar beside a page; stops the page with one sentence when the workspace cannot be used."""
    try:
        manager()
    except SpinecoreError as error:
        st.error(sentence(error))
        st.stop()
    with st.sidebar:
        _status(page)
        fit_to_window()


@st.fragment(run_every=2.0)
def _status(page: st.Page) -> None:
    """Draw what runs and where; always the same two elements, so that none of an earlier state is left over."""
    bring_back(page)
    jobs = manager()
    active = jobs.active()
    running = [status for status in active if status.job.state == "running"]
    waiting = f"{len(active) - len(running)} waiting" if len(active) > len(running) else ""
    if running:
        first, left = running[0], running[0].seconds_left
        parts = [first.stage, f"about {time_text(left)} left" if left is not None else "", waiting]
        st.progress(first.fraction, text=f"{first.job.title}: {', '.join(filter(None, parts))}")
    else:
        st.markdown(f":small[{waiting or 'Nothing is running'}]")
    st.markdown(
        f":small[Device: {jobs.device() or 'detecting …'}]  \n:small[Workspace: {jobs.workspace.root}]"
    )
