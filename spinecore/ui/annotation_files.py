"""Annotation files that were uploaded: kept on the disk under their content hash and named in the address."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations
from spinecore.evaluation.readers import lacks_unit, read_annotations
from spinecore.files import move_folder, safe_name, scratch_folder
from spinecore.ui.session import workspace
from spinecore.ui.uploads import forget
from spinecore.ui.words import sentence

#: Kinds offered by the uploaders.
SUFFIXES = ["csv", "tsv", "txt", "json", "xml", "tif", "tiff", "zip", "roi"]
#: Units of tables that do not say theirs.
UNITS = {"px": "Pixels", "um": "Micrometres"}
#: Uploaded annotation files kept, the newest; older ones are deleted.
MAX_KEPT = 200
#: Length of a file's hash in an address.
_SHORT = 16


def _folder() -> Path:
    folder = workspace().root / "annotations"
    folder.mkdir(exist_ok=True)
    return folder


def store(content: bytes, name: str) -> str:
    """Keep an annotation file and return its key; the same content is kept once.

    Raises
    ------
    SpinecoreError
        When it cannot be read as annotations; nothing is kept then.
    """
    key = hashlib.sha256(content + name.encode()).hexdigest()[:_SHORT]
    folder = _folder() / key
    if not folder.is_dir():
        with scratch_folder(workspace().root / "tmp") as draft:
            path = draft / safe_name(name)
            path.write_bytes(content)
            read_annotations(path, units="px" if lacks_unit(path) else None)
            move_folder(draft, folder)
    kept = sorted((entry for entry in _folder().iterdir()), key=lambda entry: entry.stat().st_mtime)
    for old in kept[:-MAX_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return key


def stored_path(key: str) -> Path | None:
    """Return the path of a kept file; None when the key is unknown."""
    if len(key) != _SHORT or not set(key) <= set("0123456789abcdef"):
        return None
    folder = _folder() / key
    return next(iter(folder.iterdir()), None) if folder.is_dir() else None


def paths_in_address(parameter: str) -> list[Path]:
    """Return the kept files named by a parameter of the address, in that order."""
    keys = st.query_params.get(parameter, "").split(",")
    return [path for key in keys if (path := stored_path(key)) is not None]


def file_chooser(label: str, parameter: str, several: bool = False, help: str | None = None) -> list[Path]:
    """Draw the file or files named by `parameter` in the address, and an uploader; return the paths."""
    chosen = paths_in_address(parameter)
    turn = st.session_state.get(f"{parameter}_turn", 0)
    key = f"upload_{parameter}_{turn}"
    st.file_uploader(
        label,
        type=SUFFIXES,
        accept_multiple_files=several,
        key=key,
        help=help,
        on_change=_keep,
        args=(key, parameter, several),
    )
    for problem in st.session_state.get(f"{parameter}_problems", ()):
        st.error(problem)
    if chosen:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(", ".join(f"**{path.name}**" for path in chosen))
            st.button(
                "Remove",
                key=f"remove_{parameter}",
                on_click=_forget_choice,
                args=(parameter,),
                type="tertiary",
            )
    for path in chosen:
        if lacks_unit(path):
            st.segmented_control(
                f"Positions in {path.name} are in",
                list(UNITS),
                format_func=UNITS.__getitem__,
                key=_units_key(path),
                persist_state="session",
            )
    return chosen


def _units_key(path: Path) -> str:
    return f"units_{path.parent.name}"


def _keep(key: str, parameter: str, several: bool) -> None:
    """Store what was uploaded, name it in the address and draw a new, empty uploader."""
    uploaded = st.session_state[key]
    files = [file for file in (uploaded if several else [uploaded]) if file is not None]
    keys = [k for k in st.query_params.get(parameter, "").split(",") if k] if several else []
    problems = []
    for file in files:
        try:
            keys.append(store(file.getvalue(), file.name))
        except SpinecoreError as error:
            problems.append(sentence(error))
        except OSError as error:
            problems.append(
                f"{file.name} could not be stored ({error.strerror}): free some space and try again."
            )
        finally:
            forget(file)
    st.session_state[f"{parameter}_turn"] = st.session_state.get(f"{parameter}_turn", 0) + 1
    st.session_state[f"{parameter}_problems"] = problems
    if keys:
        st.query_params[parameter] = ",".join(dict.fromkeys(keys))


def _forget_choice(parameter: str) -> None:
    st.query_params.pop(parameter, None)
    st.session_state.pop(f"{parameter}_problems", None)


def read(path: Path, with_labels: bool = False) -> Annotations:
    """Read an annotation file, from a bounded cache keyed on its path and time."""
    inner = path / "spines.csv" if path.is_dir() else path
    units = st.session_state.get(_units_key(path))
    return _read(str(path), inner.stat().st_mtime_ns if inner.exists() else 0, with_labels, units)


@st.cache_resource(max_entries=12, show_spinner="Reading annotations")
def _read(path: str, changed_ns: int, with_labels: bool, units: str | None) -> Annotations:
    return read_annotations(path, with_labels, units)
