"""Running jobs in the background: a queue that survives refreshes, crashes of a worker and of the server itself.

The manager writes `job.json`, the worker writes `progress.json` and `result/`, and anybody may ask for a cancel
by making the file `cancel`. Work goes through a `concurrent.futures.Executor`, so that a cluster's fits as well.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from spinecore.errors import SpinecoreError
from spinecore.files import try_lock
from spinecore.jobs.executor import WorkerDied, WorkerExecutor
from spinecore.jobs.kinds import KINDS
from spinecore.jobs.legacy import adopt_trainings
from spinecore.jobs.work import Kind, Outcome, Task, append_log, describe_device, execute
from spinecore.reading.choices import ReadingChoices
from spinecore.workspace.records import ACTIVE_STATES, JobRecord, Progress, now
from spinecore.workspace.workspace import Workspace

_WATCH_S = 0.2
#: How far work in the background steps back, so that the dashboard stays usable.
_NICENESS = 5


@dataclass(frozen=True)
class JobStatus:
    """A job as it stands: its record and what its worker said last."""

    job: JobRecord
    progress: Progress | None
    cancelling: bool = False

    @property
    def stage(self) -> str:
        """What is happening, for people."""
        if self.cancelling and self.job.active:
            return "Cancelling"
        if self.job.state == "queued":
            return "Waiting to start"
        return self.progress.stage if self.progress and self.job.active else self.job.state.capitalize()

    @property
    def fraction(self) -> float:
        """Overall progress, 0 to 1."""
        return self.progress.fraction if self.progress and self.job.state != "queued" else 0.0

    @property
    def seconds_left(self) -> float | None:
        """Estimated time left (s), or None while unknown."""
        running = self.job.state == "running" and not self.cancelling
        return self.progress.seconds_left(now()) if running and self.progress else None

    @property
    def seconds_taken(self) -> float | None:
        """Time from the worker's start to the end, or until now (s)."""
        if self.progress is None:
            return None
        return ((self.job.finished or now()) - self.progress.started).total_seconds()


class JobManager:
    """Runs the jobs of one workspace.

    Parameters
    ----------
    workspace : Workspace
        Where stacks are and analyses go.
    executor : Executor, optional
        Where all work is submitted; by default worker processes on this computer.
    kinds : mapping of str to Kind
        What can be done, by name.
    workers : int
        Jobs at a time, for the default executor; work in the background (see `Kind`) has one worker more.
    grace_s : float
        How long a cancelled worker may take to stop by itself before its process is killed (s).
    """

    def __init__(
        self,
        workspace: Workspace,
        executor: Executor | None = None,
        kinds: Mapping[str, Kind] = KINDS,
        workers: int = 1,
        grace_s: float = 10.0,
    ) -> None:
        self.workspace = workspace
        self._executor = executor or WorkerExecutor(workers)
        self._background = executor or WorkerExecutor(1, niceness=_NICENESS)
        self._kinds = kinds
        self._grace_s = grace_s
        self._device: Future[str] | None = None
        self._futures: dict[str, Future[Outcome]] = {}
        self._mutex = threading.RLock()
        self._stop = threading.Event()
        self.token = secrets.token_hex(8)
        self._life = try_lock(self._life_path(self.token))
        self.recover()
        threading.Thread(target=self._watch, daemon=True).start()

    # --- asking ---------------------------------------------------------------------------------

    def submit(
        self, stack_sha256: str | None, settings: BaseModel | dict[str, Any], kind: str = "analysis"
    ) -> JobRecord:
        """Queue a job and return its record; an equal one that is under way is returned instead.

        Parameters
        ----------
        stack_sha256 : str or None
            A stack of the workspace; None for work that is not about one stack.
        settings : BaseModel or dict
            What the kind takes; a voxel size that is not given there is taken from what the user typed in for
            the stack.
        kind : str
            A key of `kinds`.

        Raises
        ------
        SpinecoreError
            When the stack is gone, or the kind refuses the settings.
        """
        values = settings.model_dump(mode="json") if isinstance(settings, BaseModel) else dict(settings)
        if stack_sha256:
            record = self.workspace.stack(stack_sha256)
            unsaid = values.get("reading") in (None, ReadingChoices().model_dump(mode="json"))
            if unsaid and record.reading != ReadingChoices():
                values["reading"] = record.reading.model_dump(mode="json")
            given = record.spacing.model_dump(mode="json")
            if kind != "analysis":
                given = {name: given[name] for name in ("pixel_um", "pixel_y_um", "z_um")}
            if values.get("pixel_um") is not None:  # a size that is given here was not estimated there
                given = {"z_um": given["z_um"]}
            for name, value in given.items():
                if not values.get(name) and value:
                    values[name] = value
        with self._mutex:
            active = self.workspace.jobs(states=ACTIVE_STATES, stack_sha256=stack_sha256, kind=kind)
            for job in active:
                if job.settings == values and not self._is_cancelled(job.id):
                    return job
            self._kinds[kind].check(self.workspace, values)
            job = self.workspace.new_job(stack_sha256, values, self.token, kind)
            append_log(self.workspace.job_folder(job.id), f"{job.title} was queued")
            return self._start(job)

    def run_again(self, job_id: str) -> JobRecord:
        """Queue a job that did not end well once more, with the same settings and in the same folder.

        Raises
        ------
        SpinecoreError
            When it still runs, is done, or its stack is gone.
        """
        with self._mutex:
            job = self.workspace.job(job_id)
            if job.active or job.state == "done":
                raise SpinecoreError(
                    f"This {job.noun} is {job.state}: only one that stopped early can be run again."
                )
            if job.stack_sha256:
                self.workspace.stack(job.stack_sha256)
            self._kinds[job.kind].check(self.workspace, job.settings)
            append_log(self.workspace.job_folder(job_id), f"{job.title} was queued again")
            return self._start(self._queued_again(job))

    def cancel(self, job_id: str) -> None:
        """Ask a job to stop: at once while it waits, within a moment while it runs."""
        if self.workspace.job(job_id).active:
            (self.workspace.job_folder(job_id) / "cancel").touch()
            append_log(self.workspace.job_folder(job_id), "The user asked to cancel")

    def delete(self, job_id: str) -> None:
        """Delete a job that has ended, as its kind does it."""
        job = self.workspace.job(job_id)
        self._kinds[job.kind].delete(self.workspace, job)

    def status(self, job_id: str) -> JobStatus:
        """Return how a job stands, whichever process owns it."""
        job = self.workspace.job(job_id)
        cancelling = job.active and self._is_cancelled(job_id)
        return JobStatus(job, self.workspace.progress(job_id), cancelling)

    def active(self, kind: str | None = None) -> list[JobStatus]:
        """Return the jobs of a kind (None: of all) that run or wait, in the order they will be done."""
        jobs = self.workspace.jobs(states=ACTIVE_STATES, kind=kind)
        return [
            self.status(job.id)
            for job in sorted(jobs, key=lambda job: (job.state != "running", job.submitted))
        ]

    def log(self, job_id: str) -> str:
        """Return the job's log."""
        path = self.workspace.job_folder(job_id) / "log.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def device(self) -> str | None:
        """Return what work runs on, or None while a worker is still finding out."""
        if self._device is None:
            self._device = self._executor.submit(describe_device)
        if not self._device.done():
            return None
        return "unknown" if self._device.exception() else self._device.result()

    def close(self) -> None:
        """End this manager: jobs that wait or run are taken up or marked interrupted by the next one."""
        self._stop.set()
        with self._mutex:
            running = list(self._futures.values())
            self._futures.clear()
        for executor in (self._executor, self._background):
            executor.shutdown(wait=False, cancel_futures=True)
        for future in running:
            self._kill(future)
        if self._life is not None:
            self._life.release()
        self._life_path(self.token).unlink(missing_ok=True)

    # --- after a crash of the server ------------------------------------------------------------

    def recover(self) -> list[JobRecord]:
        """Look after jobs whose manager is gone, and return them as they stand now.

        A complete result makes the job "done"; a job that had begun becomes "interrupted"; one that only
        waited is queued again.
        """
        found = []
        with self.workspace.lock():
            adopt_trainings(self.workspace)
            self.workspace.rebuild_catalogue()
            self._sweep()
            active = self.workspace.jobs(states=ACTIVE_STATES, kind=None)
            orphans = [job for job in active if not self._alive(job.manager)]
            for job in sorted(orphans, key=lambda job: job.submitted):
                folder = self.workspace.job_folder(job.id)
                if (folder / "result").is_dir():
                    found.append(self._end(job, Outcome("done")))
                elif self._is_cancelled(job.id):
                    found.append(self._end(job, Outcome("cancelled", "Cancelled by the user.")))
                elif (folder / "progress.json").exists():
                    text = f"The program stopped while this {job.noun} was running: run it again."
                    found.append(self._end(job, Outcome("interrupted", text)))
                else:
                    append_log(folder, "The program stopped before this began, so it was queued again")
                    found.append(self._start(self._queued_again(job)))
        return found

    def _sweep(self) -> None:
        """Remove half-written things more than a day old."""
        oldest = time.time() - timedelta(days=1).total_seconds()
        for path in (self.workspace.root / "tmp").iterdir():
            if path.is_dir() and path.stat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)

    def _life_path(self, token: str) -> Path:
        return self.workspace.root / "managers" / f"{token}.lock"

    def _alive(self, token: str) -> bool:
        """Say whether a manager lives: the system frees its lock when its process ends."""
        path = self._life_path(token)
        if not token or not path.exists():
            return False
        lock = try_lock(path)
        if lock is None:
            return True
        lock.release()
        path.unlink(missing_ok=True)
        return False

    # --- inside ---------------------------------------------------------------------------------

    def _is_cancelled(self, job_id: str) -> bool:
        return (self.workspace.job_folder(job_id) / "cancel").exists()

    def _queued_again(self, job: JobRecord) -> JobRecord:
        folder = self.workspace.job_folder(job.id)
        for name in ("progress.json", "cancel"):
            (folder / name).unlink(missing_ok=True)
        job = job.model_copy(
            update={
                "state": "queued",
                "manager": self.token,
                "error": None,
                "finished": None,
                "submitted": now(),
            }
        )
        self.workspace.put_job(job)
        return job

    def _start(self, job: JobRecord) -> JobRecord:
        kind = self._kinds[job.kind]
        executor = self._background if kind.background else self._executor
        try:
            path = self.workspace.stack_path(job.stack_sha256) if job.stack_sha256 else None
            task = Task(job.settings, self.workspace.job_folder(job.id), self.workspace.root, path)
            with self._mutex:
                future = executor.submit(execute, kind, task)
                self._futures[job.id] = future
        except (SpinecoreError, BrokenExecutor) as error:
            text = (
                str(error)
                if isinstance(error, SpinecoreError)
                else "No worker can be started: restart the program."
            )
            return self._end(job, Outcome("failed", text))
        future.add_done_callback(lambda done: self._ended(job.id, done))
        return job

    def _ended(self, job_id: str, future: Future[Outcome]) -> None:
        """Write down how a job ended (called by the executor)."""
        with self._mutex:
            if self._futures.get(job_id) is not future:
                return
            job = self.workspace.job(job_id)
            try:
                outcome = future.result()
            except CancelledError:
                outcome = Outcome("cancelled", "Cancelled by the user.")
            except Exception as error:
                cancelled = self._is_cancelled(job_id)
                outcome = (
                    Outcome("cancelled", "Cancelled by the user.") if cancelled else _crash(error, job.noun)
                )
            self._end(job, outcome)
            del self._futures[job_id]

    def _end(self, job: JobRecord, outcome: Outcome) -> JobRecord:
        folder = self.workspace.job_folder(job.id)
        append_log(folder, outcome.error or "Done")
        shutil.rmtree(folder / "result.partial", ignore_errors=True)
        ended = job.model_copy(update={"state": outcome.state, "error": outcome.error, "finished": now()})
        self.workspace.put_job(ended)
        (folder / "cancel").unlink(missing_ok=True)
        return ended

    def _watch(self) -> None:
        """Note which jobs began, and see to it that cancelled ones stop."""
        asked: dict[str, float] = {}
        while not self._stop.wait(_WATCH_S):
            with self._mutex:
                futures = dict(self._futures)
            for job_id, future in futures.items():
                with contextlib.suppress(
                    OSError, SpinecoreError, sqlite3.Error
                ):  # its folder may have been removed
                    self._look_after(job_id, future, asked)

    def _look_after(self, job_id: str, future: Future[Outcome], asked: dict[str, float]) -> None:
        folder = self.workspace.job_folder(job_id)
        if self._is_cancelled(job_id):
            first = asked.setdefault(job_id, time.monotonic())
            if not future.cancel() and time.monotonic() - first > self._grace_s:
                self._kill(future)
        else:
            asked.pop(job_id, None)
            self._note_start(job_id, folder)

    def _note_start(self, job_id: str, folder: Path) -> None:
        with self._mutex:
            if job_id in self._futures and (folder / "progress.json").exists():
                job = self.workspace.job(job_id)
                if job.state == "queued":
                    self.workspace.put_job(job.model_copy(update={"state": "running"}))

    def _kill(self, future: Future[Any]) -> None:
        for executor in (self._executor, self._background):
            if isinstance(executor, WorkerExecutor):
                executor.kill(future)


def _crash(error: Exception, noun: str) -> Outcome:
    """Say in one sentence what a dead worker means for the user."""
    if isinstance(error, WorkerDied) and error.killed:
        text = f"The system ended the {noun}, most likely for want of memory: close other programs and run it again."
    elif isinstance(error, BrokenExecutor):
        name = error.signal_name if isinstance(error, WorkerDied) else None
        text = f"The {noun} crashed{f' ({name})' if name else ''}: run it again, and report it if it happens again."
    else:
        text = f"The {noun} could not be started ({type(error).__name__}: {error}): please report it with the log."
    return Outcome("failed", text)
