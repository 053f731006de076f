"""What a worker process does for one analysis: report, obey a cancel, and put the result in place in one step."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.files import move_folder, write_model
from spinecore.workspace.records import Progress, State, now

#: Called with (stage, fraction 0..1 overall); raises `Cancelled` when the user cancelled.
Report = Callable[[str, float], None]
Summary = dict[str, float | int | None]
#: (stack file, settings, empty folder to write into, report) -> summary; must be importable by name.
Work = Callable[[Path, dict[str, Any], Path, Report], Summary]
#: Shortest time between two writes of progress.json, and two looks for the cancel file (s).
_THROTTLE_S = 0.25


class Cancelled(Exception):
    """The user cancelled the analysis."""


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a final state and, where it is not "done", one sentence."""

    state: State
    error: str | None = None


def append_log(folder: Path, text: str) -> None:
    """Add a line with the local time to the job's log."""
    with (folder / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{now().astimezone():%Y-%m-%d %H:%M:%S}  {text}\n")


def analyse_stack(stack_path: Path, settings: dict[str, Any], folder: Path, report: Report) -> Summary:
    """Read a stack, analyse it and save the analysis into `folder` (the work of every real job)."""
    from spinecore.analysis.inputs import read_input
    from spinecore.analysis.result import Settings, analyse, save_analysis
    from spinecore.workspace.own_models import models_folder
    from spinecore.workspace.settings import load_settings

    chosen = Settings(**settings)
    report("Reading the file", 0.0)
    stack = read_input(stack_path, chosen)
    analysis = analyse(stack, chosen, report, models_folder(load_settings().workspace))
    report("Saving", 0.99)
    save_analysis(analysis, folder)
    lengths = analysis.dendrites["path_length_um"]
    length_um = None if lengths.isna().all() else float(lengths.sum())
    return {"spines": len(analysis.spines), "dendrites": len(analysis.dendrites), "dendrite_um": length_um}


def describe_device() -> str:
    """Return what analyses run on, for people; this also warms the worker up."""
    from spinecore.networks.device import device_name, pick_device

    return device_name(pick_device("auto"))


def execute(work: Work, folder: Path, stack_path: Path, settings: dict[str, Any]) -> Outcome:
    """Do one job in this process.

    Parameters
    ----------
    work : callable
        See `Work`.
    folder : Path
        The job's folder: progress.json, log.txt and, at the end, result/ are written there.
    stack_path : Path
        The file to analyse.
    settings : dict
        Passed on to `work`.

    Returns
    -------
    Outcome
        Never an exception, except that of a dying process.
    """
    partial = folder / "result.partial"
    shutil.rmtree(partial, ignore_errors=True)
    reporter = _Reporter(folder)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        faulthandler.enable(log)
        try:
            reporter("Starting", 0.0)
            partial.mkdir()
            summary = work(stack_path, settings, partial, reporter)
            if (folder / "result").exists():
                shutil.rmtree(folder / "result")
            reporter.finish(summary)
            move_folder(partial, folder / "result")
            return Outcome("done")
        except Cancelled:
            return Outcome("cancelled", "Cancelled by the user.")
        except Exception as error:
            traceback.print_exc(file=log)
            return Outcome("failed", sentence_for(error))
        finally:
            faulthandler.disable()
            shutil.rmtree(partial, ignore_errors=True)


def sentence_for(error: Exception) -> str:
    """Say in one sentence why an analysis failed and what to do."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or "out of memory" in text:
        return "There is not enough memory for this stack: close other programs, or analyse a smaller part of it."
    if isinstance(error, FileNotFoundError):
        return f"The file {error.filename} is missing: upload the stack again."
    if isinstance(error, OSError) and error.strerror:
        return (
            f"The workspace cannot be written ({error.strerror}): free some space or check its permissions."
        )
    if isinstance(error, SpinecoreError) and text:
        return text
    return f"The analysis stopped on an internal error ({type(error).__name__}: {text}): please report it with the log."


class _Reporter:
    """Writes progress.json and the log, and looks for the cancel file, not more often than needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started = now()
        self._stage = ""
        self._fraction = 0.0
        self._written = -_THROTTLE_S

    def __call__(self, stage: str, fraction: float) -> None:
        new_stage = stage != self._stage
        self._stage = stage
        self._fraction = max(self._fraction, min(1.0, float(fraction)))
        if new_stage:
            append_log(self._folder, stage)
        if new_stage or time.monotonic() - self._written >= _THROTTLE_S:
            if (self._folder / "cancel").exists():
                raise Cancelled
            self._write({})

    def finish(self, summary: Summary) -> None:
        """Write the counts for the list of analyses."""
        self._stage, self._fraction = "Done", 1.0
        self._write(summary)

    def _write(self, summary: Summary) -> None:
        progress = Progress(
            pid=os.getpid(),
            started=self._started,
            updated=now(),
            stage=self._stage,
            fraction=self._fraction,
            summary=summary,
        )
        with contextlib.suppress(
            PermissionError
        ):  # Windows: a reader has the old file open; the next write will do
            write_model(self._folder / "progress.json", progress)
        self._written = time.monotonic()
