"""Uploads go to the disk at once and out of the server's memory, where Streamlit would keep them for the session."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from spinecore.errors import SpinecoreError
from spinecore.evaluation.builtin import BuiltInSample
from spinecore.reading import open_stack
from spinecore.reading.vendors import ZARR_FILES
from spinecore.ui.joining import join_parts, keep_part
from spinecore.ui.session import stacks_for_address, workspace
from spinecore.ui.words import sentence
from spinecore.workspace.records import StackRecord

#: Of the frame that holds more than three problems (px).
PROBLEMS_HEIGHT = 240


def uploader(label: str, help: str | None = None) -> None:
    """Draw an uploader whose files end up in the workspace and in `?stack=`; problems are shown below it."""
    key = f"upload_{st.session_state.setdefault('upload_round', 0)}"
    st.file_uploader(label, accept_multiple_files=True, key=key, help=help, on_change=_take, args=(key,))
    _store_taken()
    problems = st.session_state.get("upload_problems", ())
    if problems:  # many of them scroll in a frame of their own, so that the good files' cards stay in sight
        with st.container(height=PROBLEMS_HEIGHT if len(problems) > 3 else "content", border=False):
            for problem in problems:
                st.error(problem)


def _take(key: str) -> None:
    """Note what was uploaded and ask for a new, empty uploader; nothing slow, since a rerun may overtake a callback.

    The browser may report once more on files that were taken already; those come as `DeletedFile` and are skipped.
    """
    files = [file for file in st.session_state.get(key) or () if isinstance(file, UploadedFile)]
    if not files:
        return
    st.session_state["upload_round"] += 1
    taken = st.session_state.setdefault("upload_taken", [])
    if not taken:
        st.session_state["upload_problems"], st.session_state["upload_stored"] = [], []
    taken.extend(
        files
    )  # in place: a run that is still storing goes on with this list, so that no file is stored twice


def _store_taken() -> None:
    """Store the files noted by `_take`, one after another.

    A rerun can start while an earlier run is still copying a file. Each file leaves the list before it is copied, its
    outcome is noted before Streamlit gets a chance to stop the run, and the lock makes the later run wait.
    """
    taken: list[UploadedFile] = st.session_state.get("upload_taken", [])
    lock = st.session_state.setdefault("upload_lock", threading.Lock())
    if not taken and not lock.locked():
        return
    number = len(taken)
    place = st.empty()
    with lock:
        while taken:
            _store(taken.pop(0))
            if not taken:
                joined, problems = join_parts()
                st.session_state["upload_stored"] += joined
                st.session_state["upload_problems"] += problems
            if taken:
                place.progress(1 - len(taken) / number, text=f"Storing, {len(taken)} more to go")
        place.empty()
        stored = st.session_state.get("upload_stored", [])
        if stored:
            st.query_params["stack"] = stacks_for_address(stored)


def _store(file: UploadedFile) -> None:
    """Copy one file into the workspace and note it, or what is wrong with it; parts of a set wait for the others."""
    try:
        if Path(file.name).name in ZARR_FILES:
            raise SpinecoreError(
                f"{file.name} is one part of a Zarr folder: pack the whole folder into a ZIP and upload that"
            )
        if keep_part(file, file.name):
            return
        st.session_state["upload_stored"].append(workspace().add_stack(file, file.name, check=check_readable))
    except SpinecoreError as error:
        st.session_state["upload_problems"].append(sentence(error))
    except OSError as error:
        st.session_state["upload_problems"].append(
            f"{file.name} could not be stored ({error.strerror}): free some space and upload it again."
        )
    finally:
        forget(file)


def forget(file: UploadedFile) -> None:
    """Free an uploaded file's memory on the server (internal Streamlit API, kept to this one function)."""
    context = get_script_run_ctx()
    if context is not None:
        files: Any = context.uploaded_file_mgr  # its published protocol leaves this method out
        files.remove_file(context.session_id, file.file_id)


def check_readable(path: Path) -> None:
    """Raise `SpinecoreError` when a file is no image this program reads, after a look at its header."""
    open_stack(path).close()


def store_sample(sample: BuiltInSample) -> StackRecord:
    """Return a built-in sample as a stack of the workspace."""
    return workspace().add_stack(sample.stack, origin=sample.origin)
