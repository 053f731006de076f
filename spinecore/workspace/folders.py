"""Reading and writing inside a workspace: records, plain names, and copies whose content is hashed on the way."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from spinecore.errors import SpinecoreError
from spinecore.files import sync_folder

Record = TypeVar("Record", bound=BaseModel)
#: Bytes read at a time.
PIECE = 1 << 22


def plain_name(name: str) -> str:
    """Return a key that comes from a URL if it is a plain folder name, so that no path is ever built from it."""
    if not name or not all(
        character.isascii() and (character.isalnum() or character == "-") for character in name
    ):
        raise SpinecoreError("This address names nothing in the workspace: open it from the Start page.")
    return name


def read_record(path: Path, model: type[Record]) -> Record | None:
    """Read one record; None where it is missing, half-written or of another kind."""
    try:
        return model.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def read_records(folder: Path, file: str, model: type[Record], problems: list[str]) -> list[Record]:
    """Read the records of all sub-folders whose record names that very folder."""
    records = []
    for path in sorted(folder.iterdir()):
        record = read_record(path / file, model)
        if record is None or path.name not in (getattr(record, "sha256", None), getattr(record, "id", None)):
            problems.append(
                f"{folder.name}/{path.name} has no readable {file}: it was left out of the catalogue."
            )
        else:
            records.append(record)
    return records


def copy_hashed(source: BinaryIO, target: Path, progress: Callable[[int], None] | None) -> tuple[str, int]:
    """Copy to disk in pieces and return (sha256, number of bytes)."""
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as file:
        while piece := source.read(PIECE):
            digest.update(piece)
            file.write(piece)
            size += len(piece)
            if progress is not None:
                progress(size)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(target.parent)
    return digest.hexdigest(), size
