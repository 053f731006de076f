"""What the pages share: the workspace, the job manager, the chosen analysis and spine (in the address), reports."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import numpy as np
import streamlit as st

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import load_analysis
from spinecore.corrections.log import FILES as CORRECTION_FILES
from spinecore.errors import SpinecoreError
from spinecore.evaluation.builtin import SAMPLES, BuiltInSample
from spinecore.jobs.manager import JobManager
from spinecore.reading import StackFile, open_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.inspection import StackReport, inspect_stack
from spinecore.ui.moving import go_to
from spinecore.workspace.records import JOB_NOUNS, JobRecord, StackRecord
from spinecore.workspace.settings import load_settings
from spinecore.workspace.workspace import Workspace

#: Page that shows an analysis first.
FIRST_VIEW = "pages/overlay.py"
#: Length of a stack's hash in an address.
_SHORT = 12


def workspace() -> Workspace:
    """Return this server's workspace."""
    return _workspace(str(load_settings().workspace))


def manager() -> JobManager:
    """Return this server's job manager."""
    settings = load_settings()
    return _manager(str(settings.workspace), settings.workers)


@st.cache_resource(max_entries=4, show_spinner=False)
def _workspace(root: str) -> Workspace:
    return Workspace(Path(root))


@st.cache_resource(max_entries=4, show_spinner="Opening the workspace", on_release=JobManager.close)
def _manager(root: str, workers: int) -> JobManager:
    return JobManager(_workspace(root), workers=workers)


# --- stacks -------------------------------------------------------------------------------------


def report(record: StackRecord) -> StackReport:
    """Return what a stack looks like, from a bounded cache keyed on its content.

    Raises
    ------
    SpinecoreError
        When the file cannot be read.
    """
    return _report(record.sha256, str(workspace().stack_path(record.sha256)), record.reading)


@st.cache_data(
    max_entries=64,
    show_spinner="Looking at the stack",
    hash_funcs={ReadingChoices: ReadingChoices.model_dump_json},
)
def _report(sha256: str, path: str, choices: ReadingChoices) -> StackReport:
    return inspect_stack(path, choices=choices)


def reading_of(job: JobRecord) -> str:
    """Return how the stack of an analysis was read, as JSON for the caches of pages."""
    return ReadingChoices(**job.settings.get("reading") or {}).model_dump_json()


def open_stored(sha256: str, reading: str = "{}") -> StackFile:
    """Open a stack of the workspace; close it, or use it in a ``with`` statement.

    Parameters
    ----------
    sha256 : str
    reading : str
        `ReadingChoices` as JSON.

    Raises
    ------
    SpinecoreError
        When the stack is gone or cannot be read.
    """
    choices = ReadingChoices.model_validate_json(reading)
    return open_stack(workspace().stack_path(sha256), choices=choices)


def sample_picture(sample: BuiltInSample) -> np.ndarray:
    """Return a sample's projection, ready to show."""
    return _report(sample.origin, str(sample.stack), ReadingChoices()).thumbnail


def sample_of(job: JobRecord) -> BuiltInSample | None:
    """Return the built-in sample that was analysed; None for a stack of the user's."""
    try:
        return SAMPLES.get(workspace().stack(job.stack_sha256).origin)
    except SpinecoreError:
        return None


def stacks_in_address() -> list[StackRecord]:
    """Return the stacks named by `?stack=` (first digits of their hashes), in that order."""
    wanted = [key for key in st.query_params.get("stack", "").split(",") if len(key) >= _SHORT]
    known = workspace().stacks() if wanted else []
    return [record for key in wanted for record in known if record.sha256.startswith(key)]


def stacks_for_address(records: list[StackRecord]) -> str:
    """Return what to write into `?stack=`."""
    return ",".join(dict.fromkeys(record.sha256[:_SHORT] for record in records))


# --- the analysis shown --------------------------------------------------------------------------


def current_job() -> JobRecord | None:
    """Return the analysis named by `?analysis=`, else the one this tab showed last, else None.

    The address always says which one is shown, so that it can be sent to somebody else.
    """
    job_id = st.query_params.get("analysis") or st.session_state.get("last_analysis")
    if not job_id:
        return None
    try:
        job = workspace().job(job_id)
        if job.kind != "analysis":
            raise SpinecoreError("This address names no analysis: choose one on the Start page.")
    except SpinecoreError:
        st.session_state.pop("last_analysis", None)
        return None
    st.session_state["last_analysis"] = job.id
    if st.query_params.get("analysis") != job.id:
        st.query_params["analysis"] = job.id
    return job


def missing_in_address(parameter: str = "analysis", kind: str = "analysis") -> str | None:
    """Return one sentence when the address names a job that is not there, else None.

    Parameters
    ----------
    parameter : str
        Of the address.
    kind : str
        What the job must be, as in `JobRecord`.
    """
    job_id = st.query_params.get(parameter)
    if not job_id:
        return None
    try:
        if workspace().job(job_id).kind == kind:
            return None
    except SpinecoreError:
        pass
    noun = JOB_NOUNS.get(kind, kind)
    if any(entry.key == job_id for entry in workspace().trash()):
        return (
            f"The {noun} in this address was deleted: choose another one, or restore it from the trash on "
            "the Start page."
        )
    return f"The {noun} in this address is not in this workspace: choose another one."


def load(job_id: str) -> Analysis:
    """Return an analysis that is done, from a cache of four, keyed on its folder and the file's time.

    Raises
    ------
    SpinecoreError
        When its result is missing.
    """
    return _analysis(str(workspace().result_folder(job_id)), result_version(job_id))


def result_version(job_id: str) -> int:
    """Return a number that changes when a stored result or the list of its corrections does.

    Raises
    ------
    SpinecoreError
        When the result is missing.
    """
    folder = workspace().result_folder(job_id)
    try:
        changed = (folder / "analysis.json").stat().st_mtime_ns
    except OSError as error:
        raise SpinecoreError("The result of this analysis is missing: run the analysis again.") from error
    corrected = [path for path in (folder / name for name in CORRECTION_FILES) if path.exists()]
    return max([changed, *(path.stat().st_mtime_ns for path in corrected)])


@st.cache_resource(max_entries=4, show_spinner="Opening the analysis")
def _analysis(folder: str, changed_ns: int) -> Analysis:
    return load_analysis(Path(folder))


def open_analysis(job_id: str) -> NoReturn:
    """Go to the page that shows an analysis."""
    st.session_state["last_analysis"] = job_id
    st.session_state.pop("last_spine", None)
    go_to(FIRST_VIEW, query_params={"analysis": job_id})


#: Name in the address of the segmentation that the page Membranes shows.
SEGMENTATION = "segmentation"


def open_segmentation(job_id: str) -> NoReturn:
    """Go to the page that shows a segmentation."""
    go_to("pages/membranes.py", query_params={SEGMENTATION: job_id})


def selected_spine() -> int | None:
    """Return the spine named by `?spine=`, else the one this tab chose last in this analysis."""
    text = st.query_params.get("spine")
    if text is None:
        analysis_id, spine = st.session_state.get("last_spine", (None, None))
        return spine if analysis_id and analysis_id == st.query_params.get("analysis") else None
    return int(text) if text.isdecimal() else None


def select_spine(spine_id: int | None) -> None:
    """Write the chosen spine into the address and remember it for the other pages."""
    if spine_id is None:
        st.query_params.pop("spine", None)
        st.session_state.pop("last_spine", None)
    else:
        st.query_params["spine"] = str(spine_id)
        st.session_state["last_spine"] = (st.query_params.get("analysis"), spine_id)


def keep_spine(spine_id: int | None) -> None:
    """Write the chosen spine into the address again where that says another: a run that was cut off loses what it wrote."""
    if st.query_params.get("spine") != (None if spine_id is None else str(spine_id)):
        select_spine(spine_id)
