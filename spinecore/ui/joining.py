"""Stacks that are uploaded in parts: sets of OME files, and one numbered file a slice."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import BinaryIO

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.files import safe_name
from spinecore.reading import open_stack
from spinecore.reading.sets import common_name, incomplete_slices, numbered_slices, ome_set, set_members
from spinecore.reading.stackfile import StackFile, open_sequence
from spinecore.reading.units import NO_PIXEL_SIZE, NO_Z_STEP
from spinecore.reading.writing import write_ome
from spinecore.ui.session import stacks_for_address, workspace
from spinecore.ui.words import count_text, sentence
from spinecore.workspace.records import StackRecord

_PARTS = "upload_parts"


def _folder() -> Path:
    """Return where the parts of this session wait."""
    if _PARTS not in st.session_state:
        root = workspace().root / "tmp" / "parts"
        root.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in root.iterdir())
        while (root / str(number)).exists():
            number += 1
        (root / str(number)).mkdir()
        st.session_state[_PARTS] = root / str(number)
    return st.session_state[_PARTS]


def keep_part(file: BinaryIO, name: str) -> bool:
    """Keep an uploaded file that is one part of a set until the others are there; return False for any other file."""
    start = file.read(1 << 16)
    file.seek(0)
    is_companion = name.lower().endswith(".companion.ome")
    if not is_companion and b"OME" not in start and b"OME" not in _tail(file):
        return False
    path = _folder() / safe_name(name)
    with path.open("wb") as target:
        shutil.copyfileobj(file, target)
    file.seek(0)
    if is_companion or set_members(path) is not None:
        return True
    path.unlink()
    return False


def _tail(file: BinaryIO) -> bytes:
    """Return the last bytes of a file, where OME-XML may stand."""
    size = file.seek(0, 2)
    file.seek(max(0, size - (1 << 20)))
    found = file.read()
    file.seek(0)
    return found


def join_parts() -> tuple[list[StackRecord], list[str]]:
    """Add every complete set that waits as one stack; return the stacks, and what is wrong with the rest."""
    if _PARTS not in st.session_state:
        return [], []
    folder = _folder()
    stored: list[StackRecord] = []
    problems: list[str] = []
    waiting = sorted(p for p in folder.iterdir() if p.suffix.lower() in (".tif", ".tiff", ".btf", ".tf8"))
    done: set[Path] = set()
    for path in waiting:
        if path in done:
            continue
        try:
            found = ome_set(path)
            with open_stack(path) as file:
                if found is None or found.files == [path]:  # a position, channel or time point of its own
                    done.add(path)
                    stored.append(workspace().add_stack(path))
                    continue
                done |= set(found.files)
                stored.append(_add(file, f"{found.name}.ome.tif", len(found.files)))
        except (SpinecoreError, OSError) as error:
            problems.append(sentence(error))
            done |= {p for p in waiting if set_members(p) == set_members(path)}
    shutil.rmtree(folder, ignore_errors=True)
    st.session_state.pop(_PARTS, None)
    return stored, problems


def add_whole_set(path: Path) -> StackRecord | None:
    """Add the OME set that a file is part of as one stack; return None where the file stands alone.

    Raises
    ------
    SpinecoreError
        When the set lacks files.
    """
    found = ome_set(path)
    if found is None or found.files == [path]:
        return None
    with open_stack(path) as file:
        return _add(file, f"{found.name}.ome.tif", len(found.files))


def add_folder_image(path: Path) -> StackRecord | None:
    """Add an image whose data lie in a folder as one file; return None for any other file.

    An OIF and an OME-Zarr of one image become an OME-TIFF, an OME-Zarr of several a ZIP, so that all can be chosen.
    """
    if not path.is_dir() and path.suffix.lower() != ".oif":
        return None
    with open_stack(path) as file:
        if len(file.images) > 1:
            return _add_zip(path, f"{file.name}.zarr.zip")
        return _add(file, f"{file.name}.ome.tif", sum(1 for part in path.rglob("*") if part.is_file()) or 1)


def _add(file: StackFile, name: str, parts: int) -> StackRecord:
    """Write an open file as one and add it to the workspace."""
    path = workspace().root / "tmp" / "parts" / safe_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_ome(file, path)
    # what is still missing is said of the copy as well
    notes = tuple(note for note in file.notes if note not in (NO_PIXEL_SIZE, NO_Z_STEP))
    try:
        return workspace().add_stack(path, origin=f"joined from {parts} files", notes=notes)
    finally:
        path.unlink(missing_ok=True)


def _add_zip(folder: Path, name: str) -> StackRecord:
    """Pack a folder into a ZIP and add it to the workspace."""
    path = workspace().root / "tmp" / "parts" / safe_name(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    parts = sorted(part for part in folder.rglob("*") if part.is_file())
    try:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for part in parts:
                archive.write(part, f"{folder.name}/{part.relative_to(folder).as_posix()}")
        return workspace().add_stack(path, origin=f"joined from {len(parts)} files")
    finally:
        path.unlink(missing_ok=True)


def draw_join(records: list[StackRecord]) -> None:
    """Offer to join stacks of one slice each whose names are numbered."""
    by_path = {workspace().stack_path(record.sha256): record for record in records}
    for group, missing in incomplete_slices(by_path):
        st.warning(
            f"{group[0].name} to {group[-1].name} are {count_text(len(group), 'numbered file')} of one slice each, and number "
            f"{', '.join(map(str, missing[:6]))} is missing: upload it too if they are the slices of one stack."
        )
    for sequence in numbered_slices(by_path):
        first, last = sequence[0], sequence[-1]
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.markdown(
                f"**{first.name}** to **{last.name}** are {count_text(len(sequence), 'numbered file')} of one slice each: "
                "are they the slices of one stack?"
            )
            if st.button(
                f"Join into one stack of {len(sequence)} slices", key=f"join_{first.name}", type="primary"
            ):
                try:
                    with open_sequence(sequence) as file, st.spinner("Joining"):
                        made = _add(file, f"{common_name(sequence)}.ome.tif", len(sequence))
                except (SpinecoreError, OSError) as error:
                    st.error(sentence(error))
                    return
                for path in sequence:
                    workspace().delete_stack(by_path[path].sha256)
                st.query_params["stack"] = stacks_for_address([made])
                st.rerun()
