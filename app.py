"""The dashboard: `streamlit run app.py`. Navigation and the common frame, nothing else."""

from __future__ import annotations

import streamlit as st

from spinecore.ui.editor.leaving import leave_correct
from spinecore.ui.frame import draw_frame, navigation
from spinecore.ui.moving import finish_move, remember_address

st.set_page_config(page_title="spinecore", layout="wide", initial_sidebar_state="expanded")
page = navigation()
finish_move()
draw_frame(page)
if page.url_path != "correct":
    leave_correct()
try:
    page.run()
finally:
    remember_address()
