"""Classes changed by a person: an append-only list beside an analysis; the last line about a spine counts."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from spinecore.errors import SpinecoreError
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
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read_corrections(folder: Path) -> dict[int, str]:
    """Return the corrected class of each corrected spine; a line cut off by a crash is passed over."""
    path = folder / FILE_NAME
    found: dict[int, str] = {}
    if not path.exists():
        return found
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            line = json.loads(text)
        except json.JSONDecodeError:
            continue
        if line["class"] is None:
            found.pop(int(line["spine_id"]), None)
        else:
            found[int(line["spine_id"])] = line["class"]
    return found
