"""Deleting asks first, moves to the trash, and can be undone."""

from __future__ import annotations

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.ui.session import workspace
from spinecore.ui.words import sentence, when_text
from spinecore.workspace.records import now


@st.dialog("Move to the trash?")
def confirm_delete(kind: str, key: str, title: str) -> None:
    """Ask, then move a stack or an analysis to the trash."""
    st.markdown(
        f"Move {title} to the trash? It can be restored on the Start page until the trash is emptied."
    )
    with st.container(horizontal=True):
        yes = st.button(
            "Move to the trash", type="primary", key="confirm_delete", on_click=_delete, args=(kind, key)
        )
        if st.button("Keep it", key="cancel_delete") or yes:
            st.rerun()


def _delete(kind: str, key: str) -> None:
    try:
        workspace().delete_stack(key) if kind == "stacks" else workspace().delete_job(key)
    except SpinecoreError as error:
        st.session_state["trash_problem"] = sentence(error)


def draw_problem() -> None:
    """Draw why something could not be deleted or restored, once."""
    if problem := st.session_state.pop("trash_problem", None):
        st.error(problem)


def draw_trash() -> None:
    """Draw what is in the trash, if anything is."""
    draw_problem()
    entries = workspace().trash()
    if not entries:
        return
    with st.expander(f"Trash ({len(entries)})"):
        for entry in entries:
            title, when, action = st.columns([4, 2, 2], vertical_alignment="center")
            title.markdown(f"{entry.noun.capitalize()} **{entry.title}**")
            when.caption(f"deleted {when_text(entry.deleted, now())}")
            action.button("Restore", key=f"restore_{entry.entry}", on_click=_restore, args=(entry.entry,))
        if st.button("Empty the trash", key="empty_trash"):
            _confirm_empty(len(entries))


def _restore(entry: str) -> None:
    try:
        workspace().restore(entry)
    except SpinecoreError as error:
        st.session_state["trash_problem"] = sentence(error)


def _empty() -> None:
    workspace().empty_trash()


@st.dialog("Delete permanently?")
def _confirm_empty(count: int) -> None:
    st.markdown(f"{count} deleted item{'s' if count > 1 else ''} will be deleted permanently.")
    with st.container(horizontal=True):
        yes = st.button("Delete permanently", type="primary", key="confirm_empty", on_click=_empty)
        if st.button("Keep them", key="cancel_empty") or yes:
            st.rerun()
