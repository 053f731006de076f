"""The files that a person gave beside the stack (tracing, marks), kept with the analysis that was made of them."""

from __future__ import annotations

from pathlib import Path

from spinecore.analysis.result import Settings
from spinecore.files import write_atomic

#: Their folder in that of the analysis.
GIVEN = "given"


def keep_given(settings: Settings, folder: Path) -> None:
    """Copy the files that the settings name into the folder of an analysis, where they are at hand."""
    for given in (settings.tracing, settings.marks):
        if given is not None and Path(given).is_file():
            target = Path(folder) / GIVEN / Path(given).name
            target.parent.mkdir(exist_ok=True)
            write_atomic(target, Path(given).read_bytes())


def given_files(folder: Path) -> list[Path]:
    """Return the files that are kept with the analysis in a folder."""
    return sorted(path for path in (Path(folder) / GIVEN).glob("*") if path.is_file())


def remove_given(folder: Path) -> None:
    """Delete them."""
    for path in given_files(folder):
        path.unlink()
