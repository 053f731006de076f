"""Going from one page to another.

Parts of pages look again every second or so: the browser's timers ask for them, with the page they belong to. A timer
that rings while the server changes the page asks for a part of the page before, and Streamlit then empties the new one
(all but the sidebar, which is on both). So only a run of the whole page changes to another, after its start has stopped
the timers, and the sidebar brings back a page that a late timer has emptied all the same.
"""

from __future__ import annotations

import time
from typing import NoReturn

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

_TARGET = "moving_to"
_ADDRESS = "moving_address"
#: From the beginning of a run until the browser has stopped its timers, and what they asked for has arrived.
_SETTLE_S = 0.15


def go_to(page: str, query_params: dict[str, str] | None = None) -> NoReturn:
    """Go to another page, from anywhere in a page or a part of it.

    Parameters
    ----------
    page : str
        Its file, such as ``"pages/overlay.py"``.
    query_params : dict of str to str, optional
        What its address says.
    """
    if _in_part():
        st.session_state[_TARGET] = (page, query_params)
        st.rerun()
    time.sleep(_SETTLE_S)
    st.switch_page(page, query_params=query_params)


def finish_move() -> None:
    """At the beginning of a run of a whole page, go where a part of it wanted to."""
    target = st.session_state.pop(_TARGET, None)
    if target is not None:
        go_to(*target)


def _in_part() -> bool:
    """Return True while only parts of the page are drawn, as a timer or a click in one asks for."""
    context = get_script_run_ctx()
    return context is not None and bool(context.fragment_ids_this_run)


def remember_address() -> None:
    """At the end of a run, keep what the page's address says, for `bring_back`."""
    st.session_state[_ADDRESS] = st.query_params.to_dict()


def bring_back(page: st.Page) -> None:
    """In a part of the frame that a timer draws: show `page` again where the timer was one of the page before."""
    context = get_script_run_ctx()
    if _in_part() and context is not None and context.page_script_hash != page._script_hash:
        st.switch_page(page, query_params=st.session_state.get(_ADDRESS))
