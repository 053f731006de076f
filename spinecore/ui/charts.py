"""The one place where Plotly figures are handed to Streamlit, with the settings that all of them share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

#: Settings of plotly.js for every figure: its toolbar must not offer to send the user's image to another computer.
PLOTLY_CONFIG: dict[str, Any] = {"displaylogo": False, "showSendToCloud": False, "plotlyServerURL": ""}


def plotly_config(**more: Any) -> dict[str, Any]:
    """Return the settings of one figure: the shared ones and its own.

    Examples
    --------
    >>> plotly_config(scrollZoom=True, plotlyServerURL="https://example.org")["plotlyServerURL"]
    ''
    """
    return more | PLOTLY_CONFIG


def draw_chart(
    figure: go.Figure,
    key: str,
    alt: str,
    height: int | None = None,
    on_points: Callable[[], None] | None = None,
    **config: Any,
) -> None:
    """Draw a Plotly figure over the whole width.

    Parameters
    ----------
    figure : Figure
    key : str
    alt : str
        What is seen, in words.
    height : int, optional
        In px; by default that of the figure.
    on_points : callable, optional
        Called when points were selected, which are then in the session state under `key`.
    **config
        Settings of plotly.js for this figure.
    """
    selection: dict[str, Any] = {}
    if on_points is not None:
        selection = {"on_select": on_points, "selection_mode": "points"}
    st.plotly_chart(
        figure,
        width="stretch",
        height="content" if height is None else height,
        theme=None,
        key=key,
        config=plotly_config(**config),
        alt=alt,
        **selection,
    )
