"""The workspace: stacks by content hash, analyses, a trash, and a catalogue that the folders can always rebuild.

    stacks/<sha256>/   the original file, stack.json (`StackRecord`)
    analyses/<id>/     job.json (`JobRecord`), progress.json (`Progress`), log.txt,
                       result/ (written by `spinecore.analysis.storage.save_analysis`, there only when complete)
    trainings/<id>/    the same for a training, with history.jsonl and its own result/; see `JOB_FOLDERS`
    trash/<entry>/     a deleted folder and trash.json (`TrashRecord`)
    tmp/               half-written things, never read
    catalogue.sqlite   an index of the folders above

Every fact is in the folders once; the catalogue only orders them.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from spinecore.errors import SpinecoreError
from spinecore.files import move_folder, safe_name, scratch_folder, write_model
from spinecore.reading.choices import ReadingChoices
from spinecore.workspace.catalogue import Catalogue
from spinecore.workspace.folders import copy_hashed, plain_name, read_record, read_records
from spinecore.workspace.records import (
    ACTIVE_STATES,
    JOB_FOLDERS,
    JOB_NOUNS,
    JobRecord,
    Progress,
    StackRecord,
    UserSpacing,
    now,
)


class TrashRecord(BaseModel, frozen=True):
    """One deleted folder (`trash.json`): the folder it lay in, its name there, and when it was deleted."""

    entry: str
    kind: str
    key: str
    title: str
    deleted: datetime

    @property
    def noun(self) -> str:
        """What it is, for people."""
        nouns = {folder: JOB_NOUNS.get(kind, kind) for kind, folder in JOB_FOLDERS.items()}
        return nouns.get(self.kind, "stack")


class Workspace:
    """One workspace folder; several processes and threads may use it at the same time.

    Parameters
    ----------
    root : Path
        The folder; made when missing.

    Raises
    ------
    SpinecoreError
        When the folder cannot be made or written.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).expanduser().absolute()
        try:
            for name in ("stacks", *JOB_FOLDERS.values(), "trash", "tmp", "managers"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            self.catalogue = Catalogue(self.root / "catalogue.sqlite")
            with self.lock():
                if not self.catalogue.usable():
                    self.rebuild_catalogue()
        except OSError as error:
            raise SpinecoreError(
                f"The workspace {self.root} cannot be written ({error.strerror}): "
                "set SPINECORE_WORKSPACE to a folder that you may write to."
            ) from error

    def lock(self) -> FileLock:
        """Return the workspace's lock, for rare work that one process alone may do."""
        return FileLock(self.root / "tmp" / "workspace.lock")

    def rebuild_catalogue(self) -> list[str]:
        """Fill the catalogue from the folders.

        Returns
        -------
        list of str
            One sentence for each folder that was left out because its record cannot be read.
        """
        problems: list[str] = []
        stacks = read_records(self.root / "stacks", "stack.json", StackRecord, problems)
        jobs: list[JobRecord] = []
        for folder in JOB_FOLDERS.values():
            jobs += read_records(self.root / folder, "job.json", JobRecord, problems)
        self.catalogue.replace(stacks, jobs)
        return problems

    # --- stacks ---------------------------------------------------------------------------------

    def add_stack(
        self,
        source: Path | BinaryIO,
        name: str | None = None,
        origin: str = "upload",
        progress: Callable[[int], None] | None = None,
        check: Callable[[Path], None] | None = None,
        notes: tuple[str, ...] = (),
    ) -> StackRecord:
        """Copy a file into the workspace under its content hash; a file that is there already stays as it is.

        Parameters
        ----------
        source : Path or binary file
            What to copy, read in pieces of 4 MiB.
        name : str, optional
            The file's name; needed for a binary file.
        origin, notes
            See `StackRecord`.
        progress : callable, optional
            Called with the number of bytes copied so far.
        check : callable, optional
            Called with the copy before it is taken in; what it raises refuses the file and leaves nothing behind.
        """
        if isinstance(source, Path):
            with source.open("rb") as file:
                return self.add_stack(file, name or source.name, origin, progress, check, notes)
        with scratch_folder(self.root / "tmp") as folder:
            file_name = safe_name(name or "stack")
            if file_name == "stack.json":
                file_name = "stack.json.tif"
            digest, size = copy_hashed(source, folder / file_name, progress)
            if check is not None:
                check(folder / file_name)
            with self.lock():
                known = self._known_stack(digest)
                if known is not None:
                    return known
                record = StackRecord(sha256=digest, file=file_name, bytes=size, origin=origin, notes=notes)
                write_model(folder / "stack.json", record)
                if self._stack_folder(digest).exists():
                    self._to_trash("stacks", digest, file_name)
                move_folder(folder, self._stack_folder(digest))
        self.catalogue.put_stack(record)
        return record

    def stack(self, sha256: str) -> StackRecord:
        """Return one stack's record.

        Raises
        ------
        SpinecoreError
            When it is not here.
        """
        record = read_record(self._stack_folder(sha256) / "stack.json", StackRecord)
        if record is None:
            raise SpinecoreError("This stack is not in the workspace any more: upload it again.")
        return record

    def stacks(self) -> list[StackRecord]:
        """Return all stacks, the newest first."""
        found = (
            read_record(self._stack_folder(key) / "stack.json", StackRecord)
            for key in self.catalogue.stack_keys()
        )
        return [record for record in found if record is not None]

    def stack_path(self, sha256: str) -> Path:
        """Return the path of the original file."""
        return self._stack_folder(sha256) / self.stack(sha256).file

    def set_spacing(
        self,
        sha256: str,
        pixel_um: float | None,
        z_um: float | None,
        pixel_y_um: float | None = None,
        pixel_estimated: bool = False,
    ) -> StackRecord:
        """Keep the voxel size (um) that the user gave for a stack; None means the file's own.

        Raises
        ------
        SpinecoreError
            When a size is not a positive number.
        """
        try:
            spacing = UserSpacing(
                pixel_um=pixel_um, z_um=z_um, pixel_y_um=pixel_y_um, pixel_estimated=pixel_estimated
            )
        except ValidationError as error:
            raise SpinecoreError(
                "A voxel size must be a number of micrometres above 0: correct it."
            ) from error
        return self._update_stack(sha256, spacing=spacing)

    def set_reading(self, sha256: str, choices: ReadingChoices) -> StackRecord:
        """Keep how the user said that a stack's file is to be read."""
        return self._update_stack(sha256, reading=choices)

    def _update_stack(self, sha256: str, **values: object) -> StackRecord:
        with self.lock():
            record = self.stack(sha256).model_copy(update=values)
            write_model(self._stack_folder(sha256) / "stack.json", record)
        return record

    def new_job(
        self,
        stack_sha256: str | None,
        settings: dict[str, object],
        manager: str = "",
        kind: str = "analysis",
    ) -> JobRecord:
        """Make the folder of a new job and return its record, in state "queued".

        Parameters
        ----------
        stack_sha256 : str or None
            The stack it is about; None where it is not about one stack.
        settings, manager, kind
            See `JobRecord`.
        """
        submitted = now()
        job = JobRecord(
            id=f"{submitted:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            kind=kind,
            stack_sha256=stack_sha256 or "",
            stack_name=self.stack(stack_sha256).file if stack_sha256 else "",
            settings=settings,
            manager=manager,
            submitted=submitted,
        )
        with scratch_folder(self.root / "tmp") as folder:
            write_model(folder / "job.json", job)
            move_folder(folder, self.root / JOB_FOLDERS[kind] / job.id)
        self.catalogue.put_job(job)
        return job

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job, of whichever kind."""
        places = [self.root / folder / plain_name(job_id) for folder in JOB_FOLDERS.values()]
        return next((place for place in places if place.is_dir()), places[0])

    def result_folder(self, job_id: str) -> Path:
        """Return the folder that `spinecore.analysis.storage.load_analysis` takes; it exists only once it is complete."""
        return self.job_folder(job_id) / "result"

    def job(self, job_id: str) -> JobRecord:
        """Return one job's record.

        Raises
        ------
        SpinecoreError
            When it is not here.
        """
        record = read_record(self.job_folder(job_id) / "job.json", JobRecord)
        if record is None:
            raise SpinecoreError(
                "This analysis is not in the workspace: choose another one on the Start page."
            )
        return record

    def jobs(
        self,
        limit: int | None = None,
        states: tuple[str, ...] | None = None,
        stack_sha256: str | None = None,
        kind: str | None = "analysis",
    ) -> list[JobRecord]:
        """Return jobs of a kind (None: of all), the newest first, optionally in some states or of one stack."""
        keys = self.catalogue.job_keys(limit, states, stack_sha256, kind)
        found = (read_record(self.job_folder(key) / "job.json", JobRecord) for key in keys)
        # a record is written a moment before the catalogue, so its state is looked at again
        return [record for record in found if record and (states is None or record.state in states)]

    def put_job(self, job: JobRecord) -> None:
        """Write a changed record of a job, in its folder first and then in the catalogue."""
        write_model(self.job_folder(job.id) / "job.json", job)
        self.catalogue.put_job(job)

    def progress(self, job_id: str) -> Progress | None:
        """Return what the worker said last, or None before it began."""
        return read_record(self.job_folder(job_id) / "progress.json", Progress)

    # --- trash ----------------------------------------------------------------------------------

    def delete_stack(self, sha256: str) -> None:
        """Move a stack to the trash; its analyses stay."""
        title = self.stack(sha256).file
        if self.jobs(limit=1, states=ACTIVE_STATES, stack_sha256=sha256, kind=None):
            raise SpinecoreError(
                "This stack is being analysed: cancel the analysis before deleting the stack."
            )
        self._to_trash("stacks", sha256, title)

    def delete_job(self, job_id: str) -> None:
        """Move a job that has ended to the trash."""
        job = self._ended_job(job_id)
        title = f"{job.title}, {job.submitted.astimezone():%d %b %Y %H:%M}"
        self._to_trash(JOB_FOLDERS[job.kind], job_id, title)

    def erase_job(self, job_id: str) -> None:
        """Delete a job that has ended for good."""
        self._ended_job(job_id)
        shutil.rmtree(self.job_folder(job_id), ignore_errors=True)
        self.catalogue.drop_job(job_id)

    def trash(self) -> list[TrashRecord]:
        """Return what lies in the trash, the newest first."""
        found = (read_record(path, TrashRecord) for path in (self.root / "trash").glob("*/trash.json"))
        kept = [
            record for record in found if record and (self.root / "trash" / record.entry / "item").is_dir()
        ]
        return sorted(kept, key=lambda record: record.deleted, reverse=True)

    def restore(self, entry: str) -> TrashRecord:
        """Put a deleted folder back.

        Raises
        ------
        SpinecoreError
            When it is not in the trash, or something of the same name is there again.
        """
        folder = self.root / "trash" / plain_name(entry)
        record = read_record(folder / "trash.json", TrashRecord)
        if record is None or not (folder / "item").is_dir():
            raise SpinecoreError("This is not in the trash any more: reload the page.")
        target = self.root / record.kind / plain_name(record.key)
        if target.exists():
            raise SpinecoreError(f"{record.title} is in the workspace again already: it needs no restoring.")
        move_folder(folder / "item", target)
        shutil.rmtree(folder, ignore_errors=True)
        if record.kind == "stacks":
            self.catalogue.put_stack(self.stack(record.key))
        else:
            self.catalogue.put_job(self.job(record.key))
        return record

    def empty_trash(self) -> int:
        """Delete everything in the trash for good and return how many things that were."""
        entries = [path for path in (self.root / "trash").iterdir() if path.is_dir()]
        for path in entries:
            shutil.rmtree(path)
        return len(entries)

    # --- inside ---------------------------------------------------------------------------------

    def _stack_folder(self, sha256: str) -> Path:
        return self.root / "stacks" / plain_name(sha256)

    def _known_stack(self, sha256: str) -> StackRecord | None:
        record = read_record(self._stack_folder(sha256) / "stack.json", StackRecord)
        if record is None:
            return None
        path = self._stack_folder(sha256) / record.file
        return record if path.is_file() and path.stat().st_size == record.bytes else None

    def _ended_job(self, job_id: str) -> JobRecord:
        job = self.job(job_id)
        if job.active:
            raise SpinecoreError(f"This {job.noun} is still running: cancel it before deleting it.")
        return job

    def _to_trash(self, kind: str, key: str, title: str) -> None:
        entry = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        folder = self.root / "trash" / entry
        folder.mkdir()
        write_model(
            folder / "trash.json", TrashRecord(entry=entry, kind=kind, key=key, title=title, deleted=now())
        )
        move_folder(self.root / kind / plain_name(key), folder / "item")
        if kind == "stacks":
            self.catalogue.drop_stack(key)
        else:
            self.catalogue.drop_job(key)
