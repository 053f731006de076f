"""Membranes: what is chosen and run, the segmentation shown, and what the page's views are made from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from spinecore.corrections.cells import FILE_NAME as CELL_STEPS
from spinecore.corrections.cells import CellSteps, read_cell_steps
from spinecore.errors import SpinecoreError
from spinecore.membranes.methods import DEFAULT_METHOD, METHODS
from spinecore.membranes.segment import MembraneSettings
from spinecore.ui.fields import within
from spinecore.ui.joining import draw_join
from spinecore.ui.queue import draw_actions, draw_state
from spinecore.ui.reading_choices import draw_reading
from spinecore.ui.session import (
    SEGMENTATION,
    manager,
    missing_in_address,
    open_stored,
    reading_of,
    report,
    stacks_in_address,
    workspace,
)
from spinecore.ui.trash import confirm_delete, draw_problem
from spinecore.ui.uploads import uploader
from spinecore.ui.words import channel_text, count_text, distinct, sentence, time_text, when_text
from spinecore.workspace.records import JobRecord, StackRecord, now

if TYPE_CHECKING:
    from spinecore.jobs.manager import JobStatus
    from spinecore.membranes.result import Segmentation
    from spinecore.reading.inspection import StackReport

KIND = "membranes"
#: Jobs listed below the choices.
_LISTED = 8
#: Room for that list (px); beyond, it scrolls.
LIST_HEIGHT = 310
VIEW_NAMES = {1: "One", 2: "Two", 4: "Four"}


@dataclass(frozen=True)
class ShownCells:
    """A segmentation as it is shown.

    Parameters
    ----------
    job : JobRecord
    result : Segmentation
    steps : CellSteps
        What a person changed.
    version : int
        Changes with the steps.
    level : float
    section : int
    """

    job: JobRecord
    result: Segmentation
    steps: CellSteps
    version: int
    level: float
    section: int

    @property
    def key(self) -> tuple[str, int, float]:
        """What caches of things made from this are keyed on."""
        return self.job.id, self.version, self.level

    @cached_property
    def cells(self) -> np.ndarray:
        """The cells of the section shown, uint32 (Y, X)."""
        if not self.result.linked:
            return section_cells((*self.key, self.section), self.result, self.steps)
        return all_cells(self.key, self.result, self.steps)[self.section]

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table of the cells of all sections."""
        return cells_table(self.key, self.result, self.steps)

    @cached_property
    def image(self) -> np.ndarray:
        """The section shown, as it is in the file, (Y, X)."""
        settings = self.result.record["settings"]
        where = self.job.stack_sha256, reading_of(self.job)
        return section_image(*where, self.section, settings["channel"], settings["time_point"])

    @property
    def membrane(self) -> np.ndarray:
        """The membrane probability of the section shown, (Y, X)."""
        return self.result.membrane[self.section]


@st.cache_resource(max_entries=16, show_spinner=False)
def section_cells(key: tuple[str, int, float, int], _result: Segmentation, _steps: CellSteps) -> np.ndarray:
    """Return the cells of one section of a segmentation that is not linked."""
    return _steps(_result.section(key[3], key[2]), key[3])


@st.cache_resource(max_entries=2, show_spinner="Following the cells through the sections")
def all_cells(key: tuple[str, int, float], _result: Segmentation, _steps: CellSteps) -> list[np.ndarray]:
    """Return the cells of every section of a linked segmentation."""
    return list(_result.sections(key[2], _steps))


@st.cache_data(max_entries=8, show_spinner="Measuring the cells")
def cells_table(key: tuple[str, int, float], _result: Segmentation, _steps: CellSteps) -> pd.DataFrame:
    """Return the table of the cells at a level."""
    from spinecore.export.membranes import cell_table

    return cell_table(_result, key[2], _steps)


@st.cache_data(max_entries=16, show_spinner=False)
def section_image(sha256: str, reading: str, section: int, channel: int, time_point: int) -> np.ndarray:
    """Return one section of a stack of the workspace, (Y, X)."""
    with open_stored(sha256, reading) as file:
        for z, plane in enumerate(file.slices(channel, time_point)):
            if z == section:
                return plane
        raise SpinecoreError(f"{file.path.name} has no section {section + 1}: choose another one")


# --- choosing and running -------------------------------------------------------------------------


def choose_stack() -> StackRecord | None:
    """Draw the choice of a micrograph, with an uploader; return it."""
    with st.popover("Upload a micrograph", width="stretch"):
        uploader("TIFF, PNG or JPEG; one section or a stack")
    records = {record.sha256: record for record in workspace().stacks()}
    if not records:
        st.caption("There is no image yet: upload a micrograph.")
        return None
    draw_join(stacks_in_address())
    linked = [record.sha256 for record in stacks_in_address()]
    keys = list(records)
    names = distinct({key: record.file for key, record in records.items()})
    key = st.selectbox(
        "Image",
        keys,
        index=keys.index(linked[0]) if linked else 0,
        format_func=names.__getitem__,
        key=f"membrane_stack_{st.query_params.get('stack', '')}",
    )
    return records[key]


def choose_settings(record: StackRecord) -> MembraneSettings:
    """Draw the choice of method and options.

    Raises
    ------
    SpinecoreError
        If a number that was typed cannot be used, or the file cannot be read.
    """
    looked = report(record)
    draw_reading(record, looked)
    channel, time_point = _choose_part(looked)
    method = st.selectbox(
        "Method",
        list(METHODS),
        index=list(METHODS).index(DEFAULT_METHOD) if DEFAULT_METHOD in METHODS else 0,
        format_func=lambda name: METHODS[name].title,
        key="membrane_method",
        persist_state="session",
    )
    st.caption(METHODS[method].about + ".")
    with st.popover("Options", width="stretch"):
        views = st.segmented_control(
            "Mirrored views",
            list(VIEW_NAMES),
            default=1,
            format_func=lambda count: VIEW_NAMES[count],
            required=True,
            key="membrane_views",
            help="Mirrored copies of the section are predicted too, and the probabilities averaged: "
            "slower, slightly better.",
        )
        join = "average"
        if method == "unet-valid":
            join = st.segmented_control(
                "Tiling",
                ["average", "resize"],
                default="average",
                format_func=str.capitalize,
                required=True,
                key="membrane_join",
                help="Average: overlapping tiles at full size. Resize: the section shrunk to one tile, then enlarged.",
            )
        smallest = st.number_input("Smallest cell (px)", value=30, step=10, key="membrane_smallest")
        depth = looked.shape_tczyx[2]
        linked = depth > 1 and st.toggle(
            "Link cells through the sections",
            value=True,
            key="membrane_linked",
            help="A cell keeps its number where it overlaps with the section before.",
        )
        pixel_nm = st.number_input(
            "Pixel size (nm)",
            value=_known_nm(record),
            step=1.0,
            placeholder="?",
            key=f"membrane_nm_{record.sha256}",
            help="Without it, areas are given in pixels only.",
        )
    if pixel_nm is not None:
        within("Pixel size (nm)", pixel_nm, 0.01, 10_000.0)
    return MembraneSettings.model_validate(
        {
            "method": method,
            "views": views,
            "join": join,
            "min_area_px": int(within("Smallest cell (px)", smallest, 0, 100_000)),
            "linked": linked,
            "channel": channel,
            "time_point": int(within("Time point", time_point + 1, 1, looked.shape_tczyx[0])) - 1,
            "reading": record.reading,
            # what is known already stays as it is, height and width apart
            "pixel_um": None if pixel_nm is None or pixel_nm == _known_nm(record) else pixel_nm / 1000,
        }
    )


def _choose_part(looked: StackReport) -> tuple[int, int]:
    """Draw the choice of channel and time point, where there is one."""
    times, channels = looked.shape_tczyx[:2]
    channel, time_point = looked.suggested_channel, 0
    if channels > 1:
        channel = st.selectbox(
            "Channel",
            list(range(channels)),
            index=channel,
            format_func=lambda c: (
                f"{channel_text(looked.channel_names, c)}{' (suggested)' if c == looked.suggested_channel else ''}"
            ),
            key=f"membrane_channel_{looked.path}_{channels}",
        )
    if times > 1:
        key = f"membrane_time_{looked.path}_{times}"
        time_point = st.number_input("Time point", value=1, key=key, help=f"1 to {times}") - 1
    return channel, time_point


def _known_nm(record: StackRecord) -> float | None:
    known = record.spacing.pixel_um or report(record).spacing.pixel_um
    return None if known is None else round(float(known * 1000), 4)


def draw_start() -> None:
    """Draw all that is to be chosen, and the button that starts."""
    record = choose_stack()
    if record is None:
        return
    try:
        settings = choose_settings(record)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        return
    if st.button("Find membranes", type="primary", key="find_membranes", width="stretch"):
        try:
            job = manager().submit(record.sha256, settings, KIND)
        except SpinecoreError as error:
            st.error(sentence(error))
        else:
            st.session_state["membrane_waiting"] = job.id


def draw_jobs() -> None:
    """Draw the segmentations as they run, and the last ones; the page is redrawn when the awaited one is done."""
    active = bool(manager().active(KIND))
    st.fragment(_jobs, run_every=1.0 if active else None)()


def _jobs() -> None:
    draw_problem()
    waiting = st.session_state.get("membrane_waiting")
    if waiting is not None and not manager().status(waiting).job.active:
        del st.session_state["membrane_waiting"]
        if manager().status(waiting).job.state == "done":
            show(waiting)
        st.rerun()
    for job in workspace().jobs(limit=_LISTED, kind=KIND):
        with st.container(border=True, gap="xsmall"):
            status = manager().status(job.id)
            draw_state(status, f"**{job.title}**", _facts(status))
            with st.container(horizontal=True, gap="small"):
                draw_actions(status, _draw_show)


def _draw_show(job: JobRecord) -> None:
    if st.button("Show", key=f"show_{job.id}"):
        show(job.id)
        st.rerun()  # the whole page: the list is a fragment
    if st.button("Delete", key=f"delete_{job.id}", type="tertiary"):
        confirm_delete(KIND, job.id, f"the membranes of {job.title}")


def _facts(status: JobStatus) -> str:
    job = status.job
    facts = [METHODS[job.settings["method"]].title if job.settings.get("method") in METHODS else ""]
    if job.state == "done" and status.progress and "cells" in status.progress.summary:
        facts.append(count_text(status.progress.summary["cells"] or 0, "cell"))
    if job.state == "done" and status.seconds_taken is not None:
        facts.append(f"took {time_text(status.seconds_taken)}")
    facts.append(when_text(job.submitted, now()))
    return " · ".join(fact for fact in facts if fact)


# --- the segmentation shown -------------------------------------------------------------------


def show(job_id: str) -> None:
    """Make a segmentation the one that is shown."""
    st.query_params[SEGMENTATION] = job_id
    for name in ("membrane_clicks", "membrane_chosen"):
        st.session_state.pop(name, None)


def done_jobs() -> dict[str, JobRecord]:
    """Return the finished segmentations by their ids, the newest first."""
    return {job.id: job for job in workspace().jobs(states=("done",), kind=KIND)}


def load(job_id: str) -> tuple[Segmentation, CellSteps, int]:
    """Return a finished segmentation, its corrections, and a number that changes with them.

    Raises
    ------
    SpinecoreError
        When its files are missing.
    """
    folder = workspace().result_folder(job_id)
    steps = read_cell_steps(folder)
    log = folder / CELL_STEPS
    return _load(str(folder)), steps, log.stat().st_mtime_ns if log.exists() else 0


@st.cache_resource(max_entries=8, show_spinner="Opening the segmentation")
def _load(folder: str) -> Segmentation:
    from spinecore.membranes.result import load_segmentation

    return load_segmentation(Path(folder))


def current() -> JobRecord | None:
    """Return the finished segmentation of the address, else the newest; None when the address names an unknown one."""
    done = done_jobs()
    wanted = st.query_params.get(SEGMENTATION)
    if wanted in done:
        return done[wanted]
    if missing := missing_in_address(SEGMENTATION, KIND):
        st.warning(missing)
        return None
    return next(iter(done.values()), None)
