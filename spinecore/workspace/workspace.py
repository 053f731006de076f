"""The workspace: stacks by content hash, analyses, a trash, and a catalogue that the folders can always rebuild.

    stacks/<sha256>/   the original file, stack.json (`StackRecord`)
    analyses/<id>/     job.json (`JobRecord`), progress.json (`Progress`), log.txt,
                       result/ (written by `spinecore.analysis.result.save_analysis`, there only when complete)
    trash/<entry>/     a deleted folder and trash.json (`TrashRecord`)
    tmp/               half-written things, never read
    catalogue.sqlite   an index of the folders above

Every fact is in the folders once; the catalogue only orders them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from filelock import FileLock
from pydantic import BaseModel, ValidationError

from spinecore.errors import SpinecoreError
from spinecore.files import move_folder, safe_name, scratch_folder, sync_folder, write_model
from spinecore.workspace.catalogue import Catalogue
from spinecore.workspace.records import JobRecord, Progress, StackRecord, UserSpacing, now

Kind = Literal["stacks", "analyses"]
Record = TypeVar("Record", bound=BaseModel)
_PIECE = 1 << 22


class TrashRecord(BaseModel, frozen=True):
    """One deleted folder (`trash.json`): what it was, and when it was thrown away."""

    entry: str
    kind: Kind
    key: str
    title: str
    deleted: datetime


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
            for name in ("stacks", "analyses", "trash", "tmp", "managers"):
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
        stacks = _read_all(self.root / "stacks", "stack.json", StackRecord, problems)
        jobs = _read_all(self.root / "analyses", "job.json", JobRecord, problems)
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
    ) -> StackRecord:
        """Copy a file into the workspace under its content hash; a file that is there already stays as it is.

        Parameters
        ----------
        source : Path or binary file
            What to copy, read in pieces of 4 MiB.
        name : str, optional
            The file's name; needed for a binary file.
        origin : str
            See `StackRecord`.
        progress : callable, optional
            Called with the number of bytes copied so far.
        check : callable, optional
            Called with the copy before it is taken in; what it raises refuses the file and leaves nothing behind.
        """
        if isinstance(source, Path):
            with source.open("rb") as file:
                return self.add_stack(file, name or source.name, origin, progress, check)
        with scratch_folder(self.root / "tmp") as folder:
            file_name = safe_name(name or "stack")
            if file_name == "stack.json":
                file_name = "stack.json.tif"
            digest, size = _copy(source, folder / file_name, progress)
            if check is not None:
                check(folder / file_name)
            with self.lock():
                known = self._known_stack(digest)
                if known is not None:
                    return known
                record = StackRecord(sha256=digest, file=file_name, bytes=size, origin=origin)
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
        record = _read(self._stack_folder(sha256) / "stack.json", StackRecord)
        if record is None:
            raise SpinecoreError("This stack is not in the workspace any more: upload it again.")
        return record

    def stacks(self) -> list[StackRecord]:
        """Return all stacks, the newest first."""
        found = (
            _read(self._stack_folder(key) / "stack.json", StackRecord) for key in self.catalogue.stack_keys()
        )
        return [record for record in found if record is not None]

    def stack_path(self, sha256: str) -> Path:
        """Return the path of the original file."""
        return self._stack_folder(sha256) / self.stack(sha256).file

    def set_spacing(self, sha256: str, pixel_um: float | None, z_um: float | None) -> StackRecord:
        """Keep the voxel size (um) that the user gave for a stack; None means the file's own.

        Raises
        ------
        SpinecoreError
            When a size is not a positive number.
        """
        try:
            spacing = UserSpacing(pixel_um=pixel_um, z_um=z_um)
        except ValidationError as error:
            raise SpinecoreError(
                "A voxel size must be a number of micrometres above 0: correct it."
            ) from error
        with self.lock():
            record = self.stack(sha256).model_copy(update={"spacing": spacing})
            write_model(self._stack_folder(sha256) / "stack.json", record)
        return record

    # --- analyses -------------------------------------------------------------------------------

    def new_job(self, stack_sha256: str, settings: dict[str, object], manager: str = "") -> JobRecord:
        """Make the folder of a new analysis and return its record, in state "queued"."""
        submitted = now()
        job = JobRecord(
            id=f"{submitted:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}",
            stack_sha256=stack_sha256,
            stack_name=self.stack(stack_sha256).file,
            settings=settings,
            manager=manager,
            submitted=submitted,
        )
        with scratch_folder(self.root / "tmp") as folder:
            write_model(folder / "job.json", job)
            move_folder(folder, self.job_folder(job.id))
        self.catalogue.put_job(job)
        return job

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of an analysis."""
        return self.root / "analyses" / _plain(job_id)

    def result_folder(self, job_id: str) -> Path:
        """Return the folder that `spinecore.analysis.result.load_analysis` takes; it exists only once it is complete."""
        return self.job_folder(job_id) / "result"

    def job(self, job_id: str) -> JobRecord:
        """Return one analysis' record.

        Raises
        ------
        SpinecoreError
            When it is not here.
        """
        record = _read(self.job_folder(job_id) / "job.json", JobRecord)
        if record is None:
            raise SpinecoreError(
                "This analysis is not in the workspace: choose another one on the Start page."
            )
        return record

    def jobs(
        self, limit: int | None = None, states: tuple[str, ...] | None = None, stack_sha256: str | None = None
    ) -> list[JobRecord]:
        """Return analyses, the newest first, optionally only those in some states or of one stack."""
        keys = self.catalogue.job_keys(limit, states, stack_sha256)
        found = (_read(self.job_folder(key) / "job.json", JobRecord) for key in keys)
        return [record for record in found if record is not None]

    def put_job(self, job: JobRecord) -> None:
        """Write a changed record of an analysis, in its folder first and then in the catalogue."""
        write_model(self.job_folder(job.id) / "job.json", job)
        self.catalogue.put_job(job)

    def progress(self, job_id: str) -> Progress | None:
        """Return what the worker said last, or None before it began."""
        return _read(self.job_folder(job_id) / "progress.json", Progress)

    # --- trash ----------------------------------------------------------------------------------

    def delete_stack(self, sha256: str) -> None:
        """Move a stack to the trash; its analyses stay."""
        title = self.stack(sha256).file
        if self.jobs(limit=1, states=("queued", "running"), stack_sha256=sha256):
            raise SpinecoreError(
                "This stack is being analysed: cancel the analysis before deleting the stack."
            )
        self._to_trash("stacks", sha256, title)

    def delete_job(self, job_id: str) -> None:
        """Move an analysis to the trash."""
        job = self.job(job_id)
        if job.active:
            raise SpinecoreError("This analysis is still running: cancel it before deleting it.")
        self._to_trash("analyses", job_id, f"{job.stack_name}, {job.submitted.astimezone():%d %b %Y %H:%M}")

    def trash(self) -> list[TrashRecord]:
        """Return what lies in the trash, the newest first."""
        found = (_read(path, TrashRecord) for path in (self.root / "trash").glob("*/trash.json"))
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
        folder = self.root / "trash" / _plain(entry)
        record = _read(folder / "trash.json", TrashRecord)
        if record is None or not (folder / "item").is_dir():
            raise SpinecoreError("This is not in the trash any more: reload the page.")
        target = self.root / record.kind / _plain(record.key)
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
        return self.root / "stacks" / _plain(sha256)

    def _known_stack(self, sha256: str) -> StackRecord | None:
        record = _read(self._stack_folder(sha256) / "stack.json", StackRecord)
        if record is None:
            return None
        path = self._stack_folder(sha256) / record.file
        return record if path.is_file() and path.stat().st_size == record.bytes else None

    def _to_trash(self, kind: Kind, key: str, title: str) -> None:
        entry = f"{now():%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        folder = self.root / "trash" / entry
        folder.mkdir()
        write_model(
            folder / "trash.json", TrashRecord(entry=entry, kind=kind, key=key, title=title, deleted=now())
        )
        move_folder(self.root / kind / _plain(key), folder / "item")
        self.catalogue.drop(kind, key)


def _plain(name: str) -> str:
    """Return a key that comes from a URL if it is a plain folder name, so that no path is ever built from it."""
    if not name or not all(
        character.isascii() and (character.isalnum() or character == "-") for character in name
    ):
        raise SpinecoreError("This address names nothing in the workspace: open it from the Start page.")
    return name


def _read(path: Path, model: type[Record]) -> Record | None:
    """Read one record; None where it is missing, half-written or of another kind."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def _read_all(folder: Path, file: str, model: type[Record], problems: list[str]) -> list[Record]:
    """Read the records of all sub-folders whose record names that very folder."""
    records = []
    for path in sorted(folder.iterdir()):
        record = _read(path / file, model)
        if record is None or path.name not in (getattr(record, "sha256", None), getattr(record, "id", None)):
            problems.append(
                f"{folder.name}/{path.name} has no readable {file}: it was left out of the catalogue."
            )
        else:
            records.append(record)
    return records


def _copy(source: BinaryIO, target: Path, progress: Callable[[int], None] | None) -> tuple[str, int]:
    """Copy to disk in pieces and return (sha256, number of bytes)."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while piece := source.read(_PIECE):
            digest.update(piece)
            file.write(piece)
            size += len(piece)
            if progress is not None:
                progress(size)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(target.parent)
    return digest.hexdigest(), size
