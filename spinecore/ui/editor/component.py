"""The canvas as a component of the page: plain JavaScript out of this folder, nothing to build or to download."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st

_FOLDER = Path(__file__).parent


def script() -> str:
    """Return the JavaScript of the canvas: the files of `js` in the order of their names."""
    parts = sorted((_FOLDER / "js").glob("*.js"))
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)


_CANVAS = st.components.v2.component(
    "spinecore_correct",
    html='<div class="sce" role="application" aria-label="Correct the analysis"></div>',
    css=(_FOLDER / "editor.css").read_text(encoding="utf-8"),
    js=script(),
    isolate_styles=False,
)


def draw_canvas(key: str, data: dict[str, Any], on_events: Callable[[dict[str, Any]], None]) -> None:
    """Draw the canvas.

    Parameters
    ----------
    key : str
    data : dict
        What it is told (see `EditorState.data`).
    on_events : callable
        Called with what the canvas sends, before the page is drawn again.
    """

    def report() -> None:
        found = st.session_state.get(key)  # none where the page was changed meanwhile
        if found is not None and found.events is not None:
            on_events(found.events)

    _CANVAS(key=key, data=data, height="content", width="stretch", on_events_change=report)
