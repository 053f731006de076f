"""What a job is to its worker: a kind of work, a task, reports, a wish to cancel, and a result put in place in one step."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from spinecore.errors import SpinecoreError
from spinecore.files import move_folder, write_model
from spinecore.networks.device import device_name, pick_device
from spinecore.networks.engine import cpu_engine
from spinecore.workspace.records import JOB_NOUNS, JobRecord, Progress, State, now
from spinecore.workspace.workspace import Workspace

#: Called with (stage, fraction 0..1 overall); raises `Cancelled` when the user cancelled.
Report = Callable[[str, float], None]
#: Numbers for the list of jobs.
Summary = dict[str, float | int | None]
#: Shortest time between two writes of progress.json, and two looks for the cancel file (s).
_THROTTLE_S = 0.25


class Cancelled(Exception):
    """The user cancelled the job."""


@dataclass(frozen=True)
class Task:
    """What a worker is given.

    Parameters
    ----------
    settings : dict
        As submitted, made of JSON values.
    folder : Path
        The job's folder, for files that are of interest while the work goes on.
    workspace : Path
        Root of the workspace.
    stack_path : Path or None
        The stack's file, where the job is about a stack.
    """

    settings: dict[str, Any]
    folder: Path
    workspace: Path
    stack_path: Path | None = None

    @property
    def stack(self) -> Path:
        """The stack's file, for work that is about one."""
        if self.stack_path is None:
            raise ValueError("this job was submitted without a stack")
        return self.stack_path

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        append_log(self.folder, text)


class Kind:
    """One kind of work in the background; `spinecore.jobs.kinds` says how to add another.

    An instance is pickled by its class' name and sent to the worker, so it holds no state.
    """

    #: Key in `spinecore.workspace.records.JOB_FOLDERS`; also the word for it in messages (see `JOB_NOUNS`).
    name: ClassVar[str]
    #: True for long work that must not keep analyses waiting: it has a worker of its own, of lower priority.
    background: ClassVar[bool] = False

    def check(self, workspace: Workspace, settings: dict[str, Any]) -> None:
        """Refuse, before it is queued, what cannot work.

        Raises
        ------
        SpinecoreError
            With one sentence for the user.
        """

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        """Do the work, in a worker process.

        Parameters
        ----------
        task : Task
        out : Path
            An empty folder, which becomes `result` in the job's folder once the work is done.
        report : callable
            To be called often; raises `Cancelled`, which must not be caught.
        """
        raise NotImplementedError

    def delete(self, workspace: Workspace, job: JobRecord) -> None:
        """Remove a job that has ended: by default it goes to the trash."""
        workspace.delete_job(job.id)


@dataclass(frozen=True)
class Outcome:
    """How a job ended: a final state and, where it is not "done", one sentence."""

    state: State
    error: str | None = None


def append_log(folder: Path, text: str) -> None:
    """Add a line with the local time to the job's log."""
    with (folder / "log.txt").open("a", encoding="utf-8") as file:
        file.write(f"{now().astimezone():%Y-%m-%d %H:%M:%S}  {text}\n")


def describe_device() -> str:
    """Return what work runs on, for people; this also loads what the first analysis needs.

    What computes on a processor is left out: it can be changed on the Start page, which names it.
    """
    device = pick_device("auto")
    import_module("spinecore.jobs.kinds")
    if device == "cpu":
        cpu_engine()  # the trial, if there was none
    return device_name(device)


def execute(kind: Kind, task: Task) -> Outcome:
    """Do one job in this process.

    progress.json, log.txt and, at the end, result/ are written into the job's folder.

    Returns
    -------
    Outcome
        Never an exception, except that of a dying process.
    """
    folder = task.folder
    partial = folder / "result.partial"
    shutil.rmtree(partial, ignore_errors=True)
    reporter = _Reporter(folder)
    with (folder / "log.txt").open("a", encoding="utf-8") as log:
        faulthandler.enable(log)
        try:
            reporter("Starting", 0.0)
            partial.mkdir()
            summary = kind.run(task, partial, reporter)
            if (folder / "result").exists():
                shutil.rmtree(folder / "result")
            reporter.finish(summary)
            move_folder(partial, folder / "result")
            return Outcome("done")
        except Cancelled:
            return Outcome("cancelled", "Cancelled by the user.")
        except Exception as error:
            traceback.print_exc(file=log)
            return Outcome("failed", sentence_for(error, JOB_NOUNS.get(kind.name, kind.name)))
        finally:
            faulthandler.disable()
            shutil.rmtree(partial, ignore_errors=True)


def sentence_for(error: Exception, noun: str = "analysis") -> str:
    """Say in one sentence why a job, called `noun`, failed and what to do."""
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
    return f"The {noun} stopped on an internal error ({type(error).__name__}: {text}): please report it with the log."


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
        """Write the numbers for the list of jobs."""
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
