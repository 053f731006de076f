"""Everything that knows Streamlit, apart from the pages themselves."""

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager
from streamlit.runtime.scriptrunner import get_script_run_ctx

# Because a folder is called `pages`, a freshly started server treats the app as a collection of loose scripts until
# `st.navigation` is called for the first time. If the first address asked for is that of a page and not the root
# (a link sent by a colleague), app.py has not run: run it, for the same page. Internal API, kept to these lines.
if PagesManager.uses_pages_directory:
    PagesManager.uses_pages_directory = False
    if get_script_run_ctx() is not None:
        st.rerun()
