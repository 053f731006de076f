"""Fine-tunings as jobs: what is asked for, what came of it, and the curve while it goes on.

trainings/<id>/    as every job, and history.jsonl (the curve), result/training.json (`TrainingResult`)
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, write_model
from spinecore.jobs.work import Kind, Report, Summary, Task
from spinecore.training.request import Request
from spinecore.workspace.folders import read_record
from spinecore.workspace.own_models import models_folder
from spinecore.workspace.records import ACTIVE_STATES, JobRecord
from spinecore.workspace.workspace import Workspace

HISTORY = "history.jsonl"
RESULT = "training.json"


class TrainingResult(BaseModel, frozen=True):
    """What came of a training.

    Parameters
    ----------
    model : str
        Name of the new model.
    held_out : str
        How images were held out.
    before, after : dict
        Counts and F1 on the held-out images, of the old model and of the new one.
    """

    model: str
    held_out: str = ""
    before: dict[str, float] = {}
    after: dict[str, float] = {}


class Training(Kind):
    """Fine-tune a copy of a network on a user's own images; settings are those of `spinecore.training.request.Request`."""

    name = "training"
    background = True

    def check(self, workspace: Workspace, settings: dict[str, Any]) -> None:
        """Refuse a name that a training under way will take."""
        name = settings["name"]
        under_way = workspace.jobs(states=ACTIVE_STATES, kind=self.name)
        if any(job.settings.get("name") == name for job in under_way):
            raise SpinecoreError(
                f"another training is running that makes {name}: choose another name, or cancel it"
            )

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        """See `Kind.run`."""
        from spinecore.training.finetune import finetune  # PyTorch: in the worker only

        request = Request.model_validate(task.settings)
        try:
            made = finetune(request, models_folder(task.workspace), task.folder, report, task.log)
        finally:
            (task.folder / "state.pt").unlink(missing_ok=True)
        result = TrainingResult(
            model=made.card.name,
            held_out=made.held_out,
            before=made.before.to_dict(),
            after=made.after.to_dict(),
        )
        write_model(out / RESULT, result)
        return {"f1_before": result.before["f1"], "f1_after": result.after["f1"]}

    def delete(self, workspace: Workspace, job: JobRecord) -> None:
        """Delete a training's records and the images uploaded for it for good; its model stays."""
        request = read_request(job)
        workspace.erase_job(job.id)
        uploads = data_folder(workspace)
        for source in request.sources if request else ():
            if uploads in source.image.parents:
                shutil.rmtree(source.image.parent, ignore_errors=True)


def data_folder(workspace: Workspace) -> Path:
    """Return the folder of images that were uploaded for trainings."""
    return workspace.root / "training-data"


def read_request(job: JobRecord) -> Request | None:
    """Return what a training was asked for; None where this version cannot read it."""
    try:
        return Request.model_validate(job.settings)
    except ValidationError:
        return None


def read_result(workspace: Workspace, job_id: str) -> TrainingResult | None:
    """Return what came of a training; None before it is done."""
    return read_record(workspace.result_folder(job_id) / RESULT, TrainingResult)


def read_history(workspace: Workspace, job_id: str) -> list[dict[str, float]]:
    """Return the rows of the curve: step, minutes, f1 on the held-out images, loss."""
    return AppendOnlyLog(workspace.job_folder(job_id) / HISTORY).read()
