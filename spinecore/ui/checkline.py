"""The estimate of a sample check in one line, beside the automatic numbers of the Results page."""

from __future__ import annotations

import streamlit as st

from spinecore.corrections.samplecheck import read_check
from spinecore.errors import SpinecoreError
from spinecore.ui.samplecheck import estimate_text
from spinecore.ui.session import workspace
from spinecore.ui.shown import Shown
from spinecore.ui.words import sentence


def draw_check_line(shown: Shown) -> None:
    """Draw the checked density where segments of this analysis were checked; nothing otherwise."""
    try:
        check = read_check(workspace().result_folder(shown.job.id))
    except SpinecoreError as error:
        st.warning(sentence(error))
        return
    if check is None or not check.checked:
        return
    density = check.density()
    who = f", by {' and '.join(check.people)}" if check.people else ""
    st.caption(
        f"Sample check: **{density.value:.2f}/µm** ({estimate_text(density)}), {density.n} of {density.population} segments "
        f"counted by eye{who}; automatic {density.automatic:.2f}/µm at score ≥ {check.threshold:.2f}."
    )
