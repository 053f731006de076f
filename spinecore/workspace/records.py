"""What is written down about each stack and each job: the JSON files in the workspace folders."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field, PositiveFloat

from spinecore.reading.choices import ReadingChoices

#: Folder of each kind of job in the workspace; `spinecore.jobs.kinds` has what they do.
JOB_FOLDERS = {"analysis": "analyses", "training": "trainings", "membranes": "membranes"}
#: What one job of a kind is called in messages, where that is not the kind's own name.
JOB_NOUNS = {"membranes": "segmentation"}
#: States of a job. The last four are final, but the last three can be run again.
State = Literal["queued", "running", "done", "failed", "cancelled", "interrupted"]
ACTIVE_STATES = ("queued", "running")


def now() -> datetime:
    """Return the present time with its zone."""
    return datetime.now(UTC)


class UserSpacing(BaseModel, frozen=True):
    """Voxel size the user typed in, in micrometres; None where the file's own is used.

    Parameters
    ----------
    pixel_um, z_um : float or None
    pixel_y_um : float or None
        Height of a pixel, where it differs from `pixel_um`.
    pixel_estimated : bool
        `pixel_um` was estimated from the image and accepted.
    """

    pixel_um: PositiveFloat | None = None
    z_um: PositiveFloat | None = None
    pixel_y_um: PositiveFloat | None = None
    pixel_estimated: bool = False


class StackRecord(BaseModel, frozen=True):
    """One stored stack (`stack.json`).

    Parameters
    ----------
    sha256 : str
        Hash of the file's content, which is also its folder's name.
    file : str
        The original file's name inside that folder.
    bytes : int
        Its size.
    added : datetime
        When it came in.
    origin : str
        "upload", "server folder", or that of a built-in sample.
    spacing : UserSpacing
        Voxel size given by the user for this stack.
    reading : ReadingChoices
        How the user said that the file is to be read.
    notes : tuple of str
        What was said when several files were put together.
    """

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    file: str
    bytes: int = Field(ge=0)
    added: datetime = Field(default_factory=now)
    origin: str = "upload"
    spacing: UserSpacing = UserSpacing()
    reading: ReadingChoices = ReadingChoices()
    notes: tuple[str, ...] = ()


class JobRecord(BaseModel, frozen=True):
    """One job as asked for, and how it ended (`job.json`, written by the manager that owns it).

    Parameters
    ----------
    id : str
        Folder name: time and a short random part.
    kind : str
        What is done, a key of `JOB_FOLDERS`.
    stack_sha256, stack_name : str
        The stack, and its name for people; both are empty for a job that is not about one stack.
    settings : dict
        What the kind takes; for an analysis the fields of `spinecore.analysis.result.Settings`.
    state : str
        One of `State`.
    manager : str
        The manager process that owns the job; its lock tells whether it is alive.
    submitted, finished : datetime
        When it was asked for and when it ended.
    error : str or None
        One sentence, when it did not end well.
    """

    id: str = Field(pattern=r"^\d{8}-\d{6}-[0-9a-f]{6}$")
    kind: str = "analysis"
    stack_sha256: str = ""
    stack_name: str = ""
    settings: dict[str, Any] = {}
    state: State = "queued"
    manager: str = ""
    submitted: datetime = Field(default_factory=now)
    finished: datetime | None = None
    error: str | None = None

    @property
    def active(self) -> bool:
        """True while the job waits or runs."""
        return self.state in ACTIVE_STATES

    @property
    def noun(self) -> str:
        """What a job of this kind is called, for messages."""
        return JOB_NOUNS.get(self.kind, self.kind)

    @property
    def title(self) -> str:
        """What the job is about, for people: its stack, or the name among its settings."""
        return self.stack_name or str(self.settings.get("name") or self.id)


class Progress(BaseModel, frozen=True):
    """What the worker says about itself (`progress.json`, written by the worker alone).

    Parameters
    ----------
    pid : int
        The worker's process id.
    started, updated : datetime
        When the work began, and when this was written.
    stage : str
        What is being done, for people.
    fraction : float
        Overall progress, 0 to 1.
    summary : dict
        Numbers for the list of jobs, once the work is done.
    """

    pid: int
    started: datetime
    updated: datetime
    stage: str
    fraction: float = Field(ge=0, le=1)
    summary: dict[str, float | int | None] = {}

    def seconds_left(self, at: datetime) -> float | None:
        """Estimate the time left at `at` from the time gone so far (s); None while it is too early to tell."""
        gone = (self.updated - self.started).total_seconds()
        if self.fraction < 0.03 or gone < 1.0:
            return None
        total = gone / self.fraction
        return max(0.0, total - (at - self.started).total_seconds())
