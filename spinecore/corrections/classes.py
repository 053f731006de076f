"""Classes changed by a person: an append-only list beside an analysis; the last line about a spine counts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog
from spinecore.shapes.classes import CLASSES

#: Name of the list in an analysis folder.
FILE_NAME = "class_corrections.jsonl"


def correct_class(folder: Path, spine_id: int, answer: str | None, before: str | None = None) -> None:
    """Append one correction; `answer` None takes earlier ones back.

    Parameters
    ----------
    folder : Path
        Folder of the analysis.
    spine_id : int
    answer, before : str or None
        The class now and the one shown until now.

    Raises
    ------
    ValueError
        If the class is unknown.
    """
    if answer is not None and answer not in CLASSES:
        raise SpinecoreError(f"there is no class {answer!r}: choose one of {', '.join(CLASSES)}")
    line = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "spine_id": int(spine_id),
        "class": answer,
        "before": before,
    }
    AppendOnlyLog(folder / FILE_NAME).append(line)


def read_corrections(folder: Path) -> dict[int, str]:
    """Return the corrected class of each corrected spine; a line cut off by a crash is passed over."""
    found: dict[int, str] = {}
    for line in AppendOnlyLog(folder / FILE_NAME).read():
        if line["class"] is None:
            found.pop(int(line["spine_id"]), None)
        else:
            found[int(line["spine_id"])] = line["class"]
    return found
