"""Fine-tunings in the background: each in a process of its own that outlives the page, with its facts in a folder.

trainings/<id>/    request.json (`Request`), progress.json (`RunProgress`), history.jsonl (the curve),
                   outcome.json (`RunOutcome`, when it has ended), log.txt, cancel (a wish), alive.lock
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import traceback
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, try_lock, write_model
from spinecore.jobs.work import Cancelled, sentence_for
from spinecore.training.finetune import Request, finetune
from spinecore.workspace.own_models import models_folder
from spinecore.workspace.records import now
from spinecore.workspace.workspace import Workspace

RunState = Literal["running", "done", "failed", "cancelled", "interrupted"]
#: A process that has not taken its lock after this time never will (s).
_START_S = 60.0
#: How far a training steps back, so that the dashboard stays usable.
_NICE = 5


class RunProgress(BaseModel, frozen=True):
    """What a training says about itself."""

    stage: str
    fraction: float
    updated: datetime


class RunOutcome(BaseModel, frozen=True):
    """How a training ended; scores are those on the held-out images."""

    state: RunState
    finished: datetime
    error: str | None = None
    model: str | None = None
    held_out: str = ""
    before: dict[str, float] = {}
    after: dict[str, float] = {}


class RunFacts(BaseModel, frozen=True):
    """What was asked for, and when (`request.json`)."""

    id: str
    submitted: datetime
    request: Request


@dataclass(frozen=True)
class Run:
    """A training as it stands.

    Parameters
    ----------
    facts : RunFacts
    state : str
    progress : RunProgress or None
    outcome : RunOutcome or None
    history : list of dict
        Rows of the curve: step, minutes, f1 on the held-out images, loss.
    """

    facts: RunFacts
    state: RunState
    progress: RunProgress | None
    outcome: RunOutcome | None
    history: list[dict[str, float]]

    @property
    def active(self) -> bool:
        """True while it runs."""
        return self.state == "running"


def runs_folder(workspace: Workspace) -> Path:
    """Return the folder of all trainings of a workspace."""
    return workspace.root / "trainings"


def list_runs(workspace: Workspace, limit: int | None = None) -> list[Run]:
    """Return the trainings, the newest first."""
    folders = sorted(runs_folder(workspace).glob("*/request.json"), reverse=True)
    found = (read_run(path.parent) for path in folders[:limit])
    return [run for run in found if run is not None]


def read_run(folder: Path) -> Run | None:
    """Return one training, None where its folder cannot be read."""
    facts = _read(folder / "request.json", RunFacts)
    if facts is None:
        return None
    outcome = _read(folder / "outcome.json", RunOutcome)
    if outcome is not None:
        state: RunState = outcome.state
    else:
        fresh = now() - facts.submitted < timedelta(seconds=_START_S)
        started = (folder / "alive.lock").exists()
        state = "running" if (_is_alive(folder) if started else fresh) else "interrupted"
        outcome = _read(folder / "outcome.json", RunOutcome)  # it may have ended between the two looks
        state = outcome.state if outcome is not None else state
    return Run(
        facts,
        state,
        _read(folder / "progress.json", RunProgress),
        outcome,
        AppendOnlyLog(folder / "history.jsonl").read(),
    )


def _read(path: Path, model: type[BaseModel]) -> Any:
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _is_alive(folder: Path) -> bool:
    """Say whether a training's process lives: the system frees its lock when it ends."""
    lock = try_lock(folder / "alive.lock")
    if lock is None:
        return True
    lock.release()
    return False


def start_run(workspace: Workspace, request: Request) -> str:
    """Begin a training in a process of its own and return its id.

    Raises
    ------
    SpinecoreError
        If another one runs in this workspace.
    """
    submitted = now()
    run_id = f"{submitted:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
    with workspace.lock():
        if any(run.active for run in list_runs(workspace)):
            raise SpinecoreError("another training is running: wait until it has ended, or cancel it")
        folder = runs_folder(workspace) / run_id
        folder.mkdir(parents=True)
        write_model(folder / "request.json", RunFacts(id=run_id, submitted=submitted, request=request))
    root = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "spinecore.jobs.trainings",
                str(folder),
                str(models_folder(workspace.root)),
            ],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _started.append(process)
    return run_id


#: Processes begun here; kept so that their ends are noticed by the system.
_started: list[subprocess.Popen[bytes]] = []


def cancel_run(workspace: Workspace, run_id: str) -> None:
    """Ask a training to stop; nothing of its model is kept."""
    folder = _folder(workspace, run_id)
    if folder.is_dir():
        (folder / "cancel").touch()


def delete_run(workspace: Workspace, run_id: str) -> None:
    """Delete the records of a training that has ended; its model stays.

    Raises
    ------
    SpinecoreError
        While it runs.
    """
    folder = _folder(workspace, run_id)
    run = read_run(folder)
    if run is not None and run.active:
        raise SpinecoreError("this training is still running: cancel it first")
    if run is not None:
        uploads = data_folder(workspace)
        for source in run.facts.request.sources:
            if uploads in source.image.parents:
                shutil.rmtree(source.image.parent, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def data_folder(workspace: Workspace) -> Path:
    """Return the folder of images that were uploaded for trainings."""
    return workspace.root / "training-data"


def _folder(workspace: Workspace, run_id: str) -> Path:
    if not run_id or not all(c.isascii() and (c.isalnum() or c == "-") for c in run_id):
        raise SpinecoreError("this address names no training: open it from the page")
    return runs_folder(workspace) / run_id


def execute_run(folder: Path, models: Path) -> RunOutcome:
    """Do the training of a folder in this process and write down how it ended."""
    with FileLock(folder / "alive.lock"):
        outcome = _train(folder, models)
        (folder / "state.pt").unlink(missing_ok=True)
        write_model(folder / "outcome.json", outcome)
    return outcome


def _train(folder: Path, models: Path) -> RunOutcome:
    last, told = now(), ""

    def report(stage: str, fraction: float) -> None:
        nonlocal last, told
        if (folder / "cancel").exists():
            raise Cancelled
        if now() - last > timedelta(seconds=0.5) or stage != told:
            last, told = now(), stage
            write_model(
                folder / "progress.json", RunProgress(stage=stage, fraction=min(fraction, 1.0), updated=last)
            )

    try:
        facts = RunFacts.model_validate_json((folder / "request.json").read_bytes())
        result = finetune(facts.request, models, folder, report)
    except Cancelled:
        return RunOutcome(state="cancelled", finished=now(), error="Cancelled by the user.")
    except Exception as error:
        traceback.print_exc()
        return RunOutcome(state="failed", finished=now(), error=sentence_for(error))
    return RunOutcome(
        state="done",
        finished=now(),
        model=result.card.name,
        held_out=result.held_out,
        before=result.before.to_dict(),
        after=result.after.to_dict(),
    )


def main() -> None:
    """Run as `python -m spinecore.jobs.trainings FOLDER MODELS`."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
    execute_run(Path(sys.argv[1]), Path(sys.argv[2]))


if __name__ == "__main__":
    main()
