"""Uploads go to the disk at once and out of the server's memory, where Streamlit would keep them for the session."""

from __future__ import annotations

from pathlib import Path

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from spinecore.reading import ReadingError, open_stack
from spinecore.records import StackRecord
from spinecore.ui.session import SAMPLE_ORIGIN, SAMPLE_PATH, stacks_for_address, workspace
from spinecore.ui.words import sentence
from spinecore.workspace import WorkspaceError


def uploader(label: str, help: str | None = None) -> None:
    """Draw an uploader whose files end up in the workspace and in `?stack=`; problems are shown below it."""
    key = f"upload_{st.session_state.setdefault('upload_round', 0)}"
    st.file_uploader(label, accept_multiple_files=True, key=key, help=help, on_change=_store, args=(key,))
    for problem in st.session_state.get("upload_problems", ()):
        st.error(problem)


def _store(key: str) -> None:
    """Store what was uploaded and draw a new, empty uploader.

    The browser may report once more on files that were taken already; those come as `DeletedFile` and are skipped.
    """
    files = [file for file in st.session_state.get(key) or () if isinstance(file, UploadedFile)]
    if not files:
        return
    stored: list[StackRecord] = []
    problems: list[str] = []
    for file in files:
        try:
            stored.append(workspace().add_stack(file, file.name, check=check_readable))
        except (ReadingError, WorkspaceError) as error:
            problems.append(sentence(error))
        except OSError as error:
            problems.append(
                f"{file.name} could not be stored ({error.strerror}): free some space and upload it again."
            )
        finally:
            forget(file)
    st.session_state["upload_round"] += 1
    st.session_state["upload_problems"] = problems
    if stored:
        st.query_params["stack"] = stacks_for_address(stored)


def forget(file: UploadedFile) -> None:
    """Free an uploaded file's memory on the server (internal Streamlit API, kept to this one function)."""
    context = get_script_run_ctx()
    if context is not None:
        context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)


def check_readable(path: Path) -> None:
    """Raise `ReadingError` when a file is no image this program reads, after a look at its header."""
    open_stack(path).close()


def store_sample() -> StackRecord:
    """Return the built-in sample as a stack of the workspace."""
    return workspace().add_stack(SAMPLE_PATH, origin=SAMPLE_ORIGIN)
