"""How a page is laid out on screens of different widths: what stands side by side, and when it stacks instead."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

#: Width of a window (px) below which the sidebar starts folded, so that the page has the room.
FOLD_BELOW_PX = 1100
#: Width of a window (px) below which the parts of `side_by_side` stack, with the sidebar folded and open.
STACK_BELOW_PX = 840
STACK_BELOW_OPEN_PX = STACK_BELOW_PX + 280

_PREFIX = "side_by_side"
_OPEN = '[data-testid="stApp"]:has([data-testid="stSidebar"][data-collapsed="false"])'
_PARTS = (
    f'[class*="st-key-{_PREFIX}"] > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] > *'
)
_STYLE = f"""<style>
@media (max-width: 1400px) {{
  [data-testid="stMainBlockContainer"] {{ padding-left: 2rem; padding-right: 2rem; }}
}}
@media (max-width: {FOLD_BELOW_PX}px) {{
  [data-testid="stMainBlockContainer"] {{ padding-top: 2.75rem; }}
}}
@media (max-width: {STACK_BELOW_PX}px) {{
  {_PARTS} {{ min-width: 100%; }}
}}
@media (max-width: {STACK_BELOW_OPEN_PX}px) {{
  {_OPEN} {_PARTS} {{ min-width: 100%; }}
}}
</style>"""
_FOLD = st.components.v2.component(
    "spinecore_fold",
    html="<span></span>",
    js=f"""
export default () => {{
  if (window.spinecoreFolded) return
  window.spinecoreFolded = true
  const open = '[data-testid="stSidebar"][data-collapsed="false"] [data-testid="stSidebarCollapseButton"] button'
  if (window.innerWidth < {FOLD_BELOW_PX}) document.querySelector(open)?.click()
}}
""",
    isolate_styles=False,
)


def fit_to_window() -> None:
    """Let the page fit narrow windows: to be called once in a run, within the sidebar."""
    st.html(_STYLE)
    _FOLD(key="spinecore_fold", height=1)


def side_by_side(
    key: str,
    widths: int | Sequence[float],
    gap: Literal["small", "medium", "large"] = "medium",
    vertical_alignment: Literal["top", "center", "bottom"] = "top",
) -> list[DeltaGenerator]:
    """Return containers side by side, which stack in a window that is too narrow for them.

    Parameters
    ----------
    key : str
        Unique on the page.
    widths : int or sequence of float
        How many, or their relative widths.
    gap, vertical_alignment : str
        As in `st.columns`.
    """
    with st.container(key=f"{_PREFIX}_{key}"):
        return list(st.columns(widths, gap=gap, vertical_alignment=vertical_alignment))
