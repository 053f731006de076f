"""Append-only logs beside an analysis, each line bound to it: lines about another analysis are refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog


def append_bound(folder: Path, name: str, line: dict[str, Any]) -> None:
    """Append a line with its time to a log of an analysis, bound to it; it is on the disk when this returns."""
    AppendOnlyLog(Path(folder) / name).append({"time": now()} | line | binding(Path(folder)))


def binding(folder: Path) -> dict[str, str]:
    """Return what a line says of the analysis that it is about: its id, where that is known."""
    try:
        found = json.loads((folder / "analysis.json").read_text(encoding="utf-8")).get("id")
    except (OSError, ValueError):
        return {}
    return {"analysis": found} if found else {}


def read_bound(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the lines of a log of an analysis.

    Raises
    ------
    SpinecoreError
        If one of them is about another analysis than the one in the folder.
    """
    folder = Path(folder)
    lines = AppendOnlyLog(folder / name).read()
    own = binding(folder).get("analysis")
    foreign = sum(own is not None and line.get("analysis", own) != own for line in lines)
    if foreign:
        raise SpinecoreError(
            f"{foreign} of {len(lines)} corrections in {folder.name}/{name} were made on another analysis: move that file out "
            "of the folder, or put the analysis back that it belongs to"
        )
    return lines


def now() -> str:
    """Return the time (UTC) as the log holds it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
