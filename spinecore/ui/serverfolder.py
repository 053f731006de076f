"""Choosing files below the server's data folder, for stacks too large to upload."""

from __future__ import annotations

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.ui.joining import add_folder_image, add_whole_set
from spinecore.ui.session import stacks_for_address, workspace
from spinecore.ui.uploads import check_readable
from spinecore.ui.words import sentence, size_text
from spinecore.workspace.datafolder import DataFolder
from spinecore.workspace.records import StackRecord
from spinecore.workspace.settings import load_settings

_UP = ".. (up)"


def draw_server_folder() -> None:
    """Draw the picker; what is chosen is copied into the workspace."""
    root = load_settings().data_root
    if root is None:
        st.caption(
            "No server folder is configured. Whoever runs this server can set SPINECORE_DATA_ROOT to a "
            "folder and restart it."
        )
        return
    try:
        folder = DataFolder(root)
        below = st.session_state.get("server_below", "")
        files, folders = folder.files(below), folder.folders(below)
    except SpinecoreError as error:
        st.session_state.pop("server_below", None)
        st.error(sentence(error))
        return
    where, what, action = st.columns([1, 2, 1], vertical_alignment="bottom")
    where.selectbox(
        f"In /{below}",
        [*([_UP] if below else []), *folders],
        index=None,
        placeholder="Go to another folder" if below or folders else "No subfolders",
        key=f"server_go_{below}",
        on_change=_go,
        args=(below,),
    )
    sizes = {file.path: size_text(file.bytes) for file in files}
    picked = what.multiselect(
        "Files",
        list(sizes),
        format_func=lambda path: f"{path.rsplit('/', 1)[-1]} ({sizes[path]})",
        placeholder="Choose files" if files else "No image in this folder",
        key=f"server_files_{below}",
    )
    if action.button(
        "Copy into the workspace", disabled=not picked, type="primary", key="server_copy", width="stretch"
    ):
        _take(folder, picked, {file.path: file.bytes for file in files})


def _go(below: str) -> None:
    target = st.session_state[f"server_go_{below}"]
    if target == _UP:
        st.session_state["server_below"] = below.rpartition("/")[0]
    elif target is not None:
        st.session_state["server_below"] = f"{below}/{target}" if below else target


def _take(folder: DataFolder, picked: list[str], sizes: dict[str, int]) -> None:
    """Copy files with a progress bar, then show them."""
    stored: list[StackRecord] = []
    failed = False
    bar = st.progress(0.0)
    for path in picked:

        def show(copied: int, path: str = path) -> None:
            bar.progress(min(1.0, copied / max(1, sizes[path])), text=f"Copying {path}")

        try:
            source = folder.image(path)
            check_readable(source)
            whole = add_whole_set(source) or add_folder_image(source)
            stored.append(whole or workspace().add_stack(source, origin="server folder", progress=show))
        except SpinecoreError as error:
            failed = True
            st.error(sentence(error))
        except OSError as error:
            failed = True
            st.error(
                f"{path} could not be copied ({error.strerror}): free some space or choose another file."
            )
    bar.empty()
    stored = list({record.sha256: record for record in stored}.values())
    if stored:
        st.query_params["stack"] = stacks_for_address(stored)
    if not failed:
        st.rerun()
