"""Result tables on the page: headings with units and help from the declared columns, and choosing a spine by its row."""

from __future__ import annotations

from typing import Any

import pandas as pd
import streamlit as st

from spinecore.tables.column import Column
from spinecore.ui.colours import has_values, heading
from spinecore.ui.session import select_spine
from spinecore.ui.shown import Shown

#: Columns of the spine table shown at first, where they hold anything.
DEFAULT_SPINE_COLUMNS = (
    "spine_id",
    "dendrite_id",
    "score",
    "class",
    "length_um",
    "length_estimated_um",
    "head_width_um",
    "head_width_estimated_um",
    "neck_width_um",
    "neck_length_um",
    "volume_um3",
    "volume_estimated_um3",
    "area_um2",
    "position_along_dendrite_um",
    "touches_border",
)
DEFAULT_DENDRITE_COLUMNS = (
    "dendrite_id",
    "path_length_um",
    "n_branches",
    "mean_radius_um",
    "n_spines",
    "n_spines_border",
    "density_per_um",
    "density_low_per_um",
    "density_high_per_um",
    "density_corrected_per_um",
    "density_corrected_low_per_um",
    "density_corrected_high_per_um",
    "spacing_mean_um",
    "clustering_index",
    "clustering_p",
)
#: Columns of the short table beside a picture; the measure that colours the spines is added.
SHORT_COLUMNS = ("spine_id", "score", "length_um", "head_width_um")
#: Their widths in px and headings in the short table.
NARROW = {
    "spine_id": (50, "Spine"),
    "score": (54, "Score"),
    "length_um": (82, "Length µm"),
    "head_width_um": (72, "Head µm"),
}


def help_text(column: Column) -> str:
    """Return a column's help: meaning, computation, and when it is empty."""
    text = f"{column.description}  \n*How:* {column.how}"
    return text + (f"  \n*Empty when* {column.missing}." if column.missing else "")


def column_config(table: pd.DataFrame, declared: dict[str, Column]) -> dict[str, Any]:
    """Return how each column of a table is shown: its title with the unit, its help, and fitting decimals."""
    config: dict[str, Any] = {}
    for name in table.columns:
        column = declared.get(name)
        if column is None:
            continue
        label, text = heading(column), help_text(column)
        values = table[name]
        if pd.api.types.is_bool_dtype(values):
            config[name] = st.column_config.CheckboxColumn(label, help=text)
        elif pd.api.types.is_integer_dtype(values) or name.endswith("_id"):
            config[name] = st.column_config.NumberColumn(label, help=text, format="%d")
        elif pd.api.types.is_numeric_dtype(values):
            config[name] = st.column_config.NumberColumn(
                label, help=text, format=number_format(values, column)
            )
        else:
            config[name] = st.column_config.TextColumn(label, help=text)
    return config


def number_format(values: pd.Series, column: Column) -> str:
    """Return a printf format with about three significant figures for the typical value of a column.

    Examples
    --------
    >>> number_format(pd.Series([0.012, 0.4]), Column("volume_um3", "um^3", "", "", ""))
    '%.3f'
    """
    if column.unit == "px":
        return "%.1f"
    typical = values.abs().median()
    if pd.isna(typical) or typical < 0.5:
        return "%.3f"
    return "%.2f" if typical < 50 else "%.0f" if typical >= 1000 else "%.1f"


def filled(table: pd.DataFrame, names: tuple[str, ...]) -> list[str]:
    """Return those of the names that the table has with at least one value; all it has when it is empty."""
    return [name for name in names if has_values(table, name) or (table.empty and name in table)]


def _narrow(config: dict[str, Any], width: int, label: str) -> dict[str, Any]:
    return config | {"width": width, "label": label}


def draw_spine_rows(
    shown: Shown,
    table: pd.DataFrame,
    names: list[str],
    declared: dict[str, Column],
    chosen: int | None,
    key: str,
    height: int,
    short: bool = False,
) -> None:
    """Draw a spine table in which choosing a row chooses the spine, for this page, the others and the address.

    Parameters
    ----------
    shown : Shown
    table : DataFrame
        Rows to show, with `spine_id`.
    names : list of str
        Columns to show.
    declared : dict of str to Column
    chosen : int or None
        Spine whose row is marked.
    key : str
        Of the widget.
    height : int
        In px.
    short : bool
        Use little width.
    """
    ids = [int(i) for i in table["spine_id"]]
    # one key for all thresholds: with a new one the browser would rebuild the table
    state_key = f"{key}_{shown.job.id}"

    def choose() -> None:
        rows = st.session_state[state_key]["selection"]["rows"]
        select_spine(ids[rows[0]] if rows and rows[0] < len(ids) else None)

    config = column_config(table[names], declared)
    if short:
        config |= {name: _narrow(config[name], *narrow) for name, narrow in NARROW.items() if name in config}
    rows = [ids.index(chosen)] if chosen in ids else []
    current = st.session_state.get(state_key)
    if current is not None and list(current["selection"]["rows"]) != rows:
        st.session_state[state_key] = {"selection": {"rows": rows, "columns": [], "cells": []}}
    st.dataframe(
        table[names],
        hide_index=True,
        width="stretch",
        height=height,
        column_config=config,
        key=state_key,
        on_select=choose,
        selection_mode="single-row",
        selection_default={"selection": {"rows": rows}},
        placeholder="",
    )
