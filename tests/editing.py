"""What tests of the editor share: an editor of the drawn analysis, and what its tables must hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
from drawn_analysis import drawn_analysis

from spinecore.analysis.ahead import MeasuredCuts
from spinecore.analysis.editor import Editor
from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import load_analysis, read_table, save_analysis


def drawn_editor(folder: Path) -> Editor:
    """Store the drawn analysis in a folder and return an editor of it."""
    analysis, voxels = drawn_analysis()
    analysis.cutter.precompute_cuts()  # stored with all digits, as every analysis has it
    save_analysis(analysis, folder)
    return Editor(folder, lambda r: voxels[r.start : r.stop], by="Ada")


def spine(editor: Editor, number: int) -> pd.Series:
    return editor.analysis.spines.set_index("spine_id").loc[number]


def ids(editor: Editor) -> list[int]:
    return editor.analysis.spines["spine_id"].tolist()


def lengths(editor: Editor) -> dict[int, float]:
    return editor.analysis.dendrites.set_index("dendrite_id")["path_length_um"].to_dict()


def measured_anew(analysis: Analysis) -> Analysis:
    """The same analysis with nothing of what was measured before."""
    fresh = replace(analysis, cuts=MeasuredCuts())
    return fresh.at_threshold(analysis.threshold)


def same_tables(editor: Editor) -> None:
    """What is shown, what a full measure gives, what is stored and what is read again are one."""
    shown, full = editor.analysis, measured_anew(editor.analysis)
    pd.testing.assert_frame_equal(shown.spines, full.spines, rtol=1e-6, atol=1e-6)
    pd.testing.assert_frame_equal(shown.dendrites, full.dendrites, rtol=1e-9)
    again = load_analysis(editor.folder)
    pd.testing.assert_frame_equal(
        again.at_threshold(again.threshold).spines, shown.spines, rtol=1e-4, atol=1e-4, check_dtype=False
    )
    assert read_table(editor.folder / "spines.csv")["spine_id"].tolist() == ids(editor)
