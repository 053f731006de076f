"""Trainings of version 0.1, which had files of their own, become jobs like all others."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from spinecore.files import try_lock, write_model
from spinecore.jobs.trainings import RESULT, TrainingResult
from spinecore.training.request import Request
from spinecore.workspace.folders import read_record
from spinecore.workspace.records import JOB_FOLDERS, JobRecord, State, now
from spinecore.workspace.workspace import Workspace


class _Facts(BaseModel):
    """`request.json` of version 0.1."""

    id: str
    submitted: datetime
    request: Request


class _Outcome(BaseModel):
    """`outcome.json` of version 0.1; a model only where the training was done."""

    state: State
    finished: datetime
    error: str | None = None
    model: str | None = None
    held_out: str = ""
    before: dict[str, float] = {}
    after: dict[str, float] = {}


def adopt_trainings(workspace: Workspace) -> None:
    """Give each training of version 0.1 a job.json; one that is still running there is left alone."""
    for path in (workspace.root / JOB_FOLDERS["training"]).glob("*/request.json"):
        facts = read_record(path, _Facts)
        if facts is not None and not (path.parent / "job.json").exists() and not _is_running(path.parent):
            _adopt(path.parent, facts)


def _is_running(folder: Path) -> bool:
    lock = try_lock(folder / "alive.lock")
    if lock is not None:
        lock.release()
    return lock is None


def _adopt(folder: Path, facts: _Facts) -> None:
    outcome = read_record(folder / "outcome.json", _Outcome) or _Outcome(
        state="interrupted", finished=now(), error="The training stopped before its end: run it again."
    )
    if outcome.state == "done" and outcome.model:
        (folder / "result").mkdir(exist_ok=True)
        write_model(folder / "result" / RESULT, TrainingResult.model_validate(outcome.model_dump()))
    job = JobRecord(
        id=facts.id,
        kind="training",
        settings=facts.request.model_dump(mode="json"),
        state=outcome.state,
        submitted=facts.submitted,
        finished=outcome.finished,
        error=outcome.error,
    )
    write_model(folder / "job.json", job)
