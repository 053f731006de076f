"""How far people looked through an analysis, in words, wherever analyses are chosen."""

from __future__ import annotations

from collections.abc import Iterable

import streamlit as st

from spinecore.analysis.storage import read_facts
from spinecore.corrections.log import read_corrections
from spinecore.errors import SpinecoreError
from spinecore.ui.session import result_version, workspace
from spinecore.workspace.records import JobRecord

CHECKED, CORRECTED = "checked", "corrected"


def checked_words(job_id: str) -> str:
    """Return "checked" where every spine was, "42 of 70 checked", "corrected", or nothing."""
    try:
        return _words(str(workspace().root), job_id, result_version(job_id))
    except (SpinecoreError, OSError, ValueError):
        return ""


@st.cache_data(max_entries=1024, show_spinner=False)
def _words(root: str, job_id: str, version: int) -> str:
    folder = workspace().result_folder(job_id)
    facts = read_facts(folder)
    spines, checked = int(facts.get("n_spines", 0)), int(facts.get("n_spines_reviewed", 0))
    if checked:
        return CHECKED if checked >= spines else f"{checked} of {spines} {CHECKED}"
    return CORRECTED if read_corrections(folder).corrected else ""


def with_checked(text: str, job_id: str) -> str:
    """Return the name of an analysis in a list, after how far it was checked: the end of a long name is cut off there."""
    return ": ".join(filter(None, [checked_words(job_id), text]))


def ticked(text: str, job_id: str) -> str:
    """Return the name of an analysis in a narrow list, with a tick where every spine was checked."""
    return f"✓ {text}" if checked_words(job_id) == CHECKED else text


def most_checked(jobs: Iterable[JobRecord]) -> JobRecord:
    """Return the one of several analyses, the newest first, that people looked through; else the newest."""
    several = list(jobs)
    return next((job for job in several if checked_words(job.id) == CHECKED), several[0])
