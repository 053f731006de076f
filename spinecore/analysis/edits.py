"""Changes of a stored analysis by a person, one call each: read, corrected, and every file written anew.

For many corrections in a row, `spinecore.analysis.editor.Editor` keeps the analysis in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock

from spinecore.analysis.editor import LOCK, Editor
from spinecore.analysis.gridimage import ReadPlanes
from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import (
    FILES,
    check_complete,
    drawn_up_to,
    load_analysis,
    read_facts,
    save_analysis,
)
from spinecore.corrections.log import EDITS
from spinecore.shapes.chosen_rules import ChosenRules


def draw_corrections(folder: Path) -> None:
    """Write the labels, shafts and overview in a folder where they are behind its corrections.

    A correction writes the tables at once and leaves these, which take longer, to the end of the sitting.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis.
    """
    facts, log = Path(folder) / "analysis.json", Path(folder) / EDITS
    check_complete(Path(folder))
    behind = drawn_up_to(folder) != read_facts(folder).get("n_corrections", 0)
    if behind or (log.exists() and log.stat().st_mtime_ns > facts.stat().st_mtime_ns):
        Editor(folder).finish()


def change_class(folder: Path, spine_id: int, answer: str | None) -> Analysis:
    """Give a spine another class (None: the network's again) and return the analysis as it now is.

    Raises
    ------
    SpinecoreError
        If the class is unknown, the analysis has no such spine, or the folder holds no complete analysis.
    """
    editor = Editor(folder)
    editor.set_class(spine_id, answer)
    return _finished(editor)


def set_rules(folder: Path, chosen: ChosenRules) -> Analysis:
    """Choose the rules that name classes beside the network's, and return the analysis as it now is.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis.
    """
    editor = Editor(folder)
    editor.set_rules(chosen)
    return _finished(editor)


def set_soma(folder: Path, zyx_px: Sequence[float] | None) -> Analysis:
    """Mark the soma (z, y, x in the stack's own voxels; None removes the mark) and return the analysis as it now is.

    Raises
    ------
    SpinecoreError
        If the numbers are not finite, or the folder holds no complete analysis.
    """
    editor = Editor(folder)
    editor.set_soma(zyx_px)
    return _finished(editor)


def set_threshold(folder: Path, threshold: float) -> Analysis:
    """Store an analysis at another threshold, and return it as it now is.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis.
    """
    check_complete(Path(folder))
    with FileLock(Path(folder) / LOCK):
        analysis = load_analysis(folder).at_threshold(threshold)
        save_analysis(analysis, folder, FILES)
    return analysis


def remove_spine(folder: Path, spine_id: int) -> Analysis:
    """Say that a detection is no spine, whatever its score; return the analysis as it now is.

    As all corrections here, it is first appended to a log, and then the tables, labels and overview are written anew.

    Raises
    ------
    SpinecoreError
        If there is no such candidate, or the folder holds no complete analysis.
    """
    editor = Editor(folder)
    editor.remove(spine_id)
    return _finished(editor)


def count_spine(folder: Path, spine_id: int) -> Analysis:
    """Say that a candidate is a spine, whatever its score; see `remove_spine`."""
    editor = Editor(folder)
    editor.count(spine_id)
    return _finished(editor)


def undo_correction(folder: Path) -> Analysis:
    """Undo the last correction that still stands, whoever made it.

    Raises
    ------
    SpinecoreError
        If there is none, or the folder holds no complete analysis.
    """
    editor = Editor(folder)
    editor.undo(anyones=True)
    return _finished(editor)


def add_spine(folder: Path, place_px: np.ndarray, read_planes: ReadPlanes) -> tuple[Analysis, int]:
    """Add a spine where a person points; a candidate or a larger region that lies there is used.

    Parameters
    ----------
    folder : Path
        Of the analysis.
    place_px : ndarray, shape (3,)
        Z, y, x in the stack's voxels; a z of NaN is taken from the brightest voxel above the place.
    read_planes : callable
        Gives some of the stack's slices (Y, X) of the analysed channel.

    Returns
    -------
    analysis : Analysis
        As it now is.
    spine_id : int

    Raises
    ------
    SpinecoreError
        If nothing can be a spine there, or the folder holds no complete analysis.
    """
    editor = Editor(folder, read_planes)
    change = editor.add(place_px)
    return _finished(editor), int(change.spine or 0)


def _finished(editor: Editor) -> Analysis:
    editor.finish()
    return editor.analysis
