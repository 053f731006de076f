"""Corrections of a stored analysis by a person: appended to a list, and its tables written anew."""

from __future__ import annotations

import os
from pathlib import Path

from spinecore.analysis import Analysis
from spinecore.shapes.corrections import correct_class
from spinecore.storage import load_analysis, write_table


def change_class(folder: Path, spine_id: int, answer: str | None) -> Analysis:
    """Give a spine another class (None: the network's again) and return the analysis as it now is.

    The correction is appended to `class_corrections.jsonl`; spines.csv and dendrites.csv are replaced, each
    only when complete.

    Raises
    ------
    ValueError
        If the class is unknown or the analysis has no such spine.
    AnalysisError
        If the folder holds no complete analysis.
    """
    folder = Path(folder)
    spines = load_analysis(folder).spines
    shown = spines.loc[spines["spine_id"] == spine_id, "class"]
    if shown.empty:
        raise ValueError(f"this analysis has no spine {spine_id}: choose one from its table")
    before = shown.iloc[0]
    correct_class(folder, spine_id, answer, before if isinstance(before, str) else None)
    changed = load_analysis(folder)
    for name, table in (("spines.csv", changed.spines), ("dendrites.csv", changed.dendrites)):
        temporary = folder / f".{name}.tmp"
        write_table(table, temporary)
        os.replace(temporary, folder / name)
    return changed
