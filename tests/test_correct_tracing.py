"""A person's own tracing (SWC) taken over on the page Correct, in place of the lines that are there; one undo takes it back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_analysis import drawn_analysis
from test_editor import same_tables

from spinecore.analysis.editfile import apply_file
from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.errors import SpinecoreError
from spinecore.ui.editor.actions import do
from spinecore.ui.editor.scenedata import scene_of

#: The shaft of the drawn cell lies at y 4.5 um, z 1.75 um; the other line runs beside it, the third branches off.
SHAFT = [
    "1 3 1.0 4.5 1.75 0.5 -1",
    "2 3 6.0 4.5 1.75 0.5 1",
    "3 3 11.0 4.5 1.75 0.5 2",
    "4 3 6.5 7.5 1.75 0.3 2",
]
OTHER = ["5 3 1.0 8.0 1.75 0.3 -1", "6 3 9.0 8.0 1.75 0.3 5"]
SOMA = ["7 1 0.5 1.0 1.75 2.0 -1"]


@pytest.fixture
def editor(tmp_path) -> Editor:
    analysis, voxels = drawn_analysis()
    analysis.cutter.precompute_cuts()
    save_analysis(analysis, tmp_path / "result")
    return Editor(tmp_path / "result", lambda r: voxels[r.start : r.stop], by="Ada")


def swc(folder: Path, *lines: str) -> Path:
    path = folder / "mine.swc"
    path.write_text("# a tracing\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def lengths(editor: Editor) -> dict[int, float]:
    return editor.analysis.dendrites.set_index("dendrite_id")["path_length_um"].to_dict()


def test_the_lines_of_a_tracing_take_the_place_of_all_others(editor, tmp_path):
    before = editor.analysis
    change = editor.take_tracing(swc(tmp_path, *SHAFT, *OTHER))
    assert change.words == "take the lines of mine.swc" == editor.undo_words
    assert lengths(editor) == pytest.approx({2: 10.0 + np.hypot(0.5, 3.0), 3: 8.0}, rel=0.01)
    assert set(editor.analysis.dendrites["origin"]) == {"by hand"}
    spines = editor.analysis.spines
    assert spines["spine_id"].tolist() == before.spines["spine_id"].tolist()
    assert set(spines["dendrite_id"]) == {2} and spines["length_um"].notna().all()
    ids = editor.analysis.dendrite_labels
    assert ids[7, 45, 60] == 2 and ids[7, 80, 40] == 3
    same_tables(editor)
    editor.undo()
    assert lengths(editor) == pytest.approx({1: before.dendrites["path_length_um"].iloc[0]}, rel=1e-4)
    assert (editor.analysis.dendrite_labels == before.dendrite_labels).all()
    editor.redo()
    assert sorted(lengths(editor)) == [2, 3]


def test_a_tracing_can_be_corrected_and_its_soma_is_the_mark(editor, tmp_path):
    editor.take_tracing(swc(tmp_path, *SHAFT, *SOMA))
    assert editor.analysis.corrections.soma_px == pytest.approx((7, 10, 5))
    assert editor.analysis.spines["soma_distance_um"].notna().all()
    editor.cut(np.array([7.0, 45, 30]))
    assert len(lengths(editor)) == 2
    same_tables(editor)
    editor.undo()
    editor.undo()
    assert editor.analysis.corrections.soma_px is None
    assert load_analysis(editor.folder).spines["soma_distance_um"].isna().all()


def test_pixels_a_file_of_corrections_and_the_page_give_the_same(editor, tmp_path):
    pixels = [" ".join([*row.split()[:2], *_px(row), *row.split()[5:]]) for row in SHAFT]
    path = swc(tmp_path, *pixels)
    editor.take_tracing(path, "pixels")
    wanted = lengths(editor)
    assert wanted == pytest.approx({2: 10.0 + np.hypot(0.5, 3.0)}, rel=0.01)
    editor.undo()
    edits = tmp_path / "edits.jsonl"
    said = {"kind": "tracing", "values": {"path": str(path), "units": "pixels"}}
    edits.write_text(json.dumps(said), encoding="utf-8")
    apply_file(editor, edits)
    assert list(lengths(editor).values()) == list(wanted.values())
    editor.undo()
    do(editor, {"do": "tracing", "name": "C:/mine.swc", "text": path.read_text(), "units": "pixels"})
    assert list(lengths(editor).values()) == list(wanted.values())


def _px(row: str) -> list[str]:
    x, y, z = (float(v) for v in row.split()[2:5])
    return [str(x / 0.1), str(y / 0.1), str(z / 0.25)]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["1 3 100 100 1 0.3 -1", "2 3 120 100 1 0.3 1"], "does not lie inside this stack"),
        (["no swc at all"], "is not SWC"),
    ],
)
def test_what_is_no_tracing_of_this_stack_is_said_and_changes_nothing(editor, tmp_path, lines, said):
    before = lengths(editor)
    with pytest.raises(SpinecoreError, match=said):
        editor.take_tracing(swc(tmp_path, *lines))
    assert lengths(editor) == before and editor.undo_words is None


def test_a_line_traced_where_no_dendrite_is_lies_on_the_shaft(editor):
    """Its points had been taken for voxels of 1 um, and were drawn and exported ten pixels for one away."""
    editor.delete_dendrite(1)
    assert not len(editor.analysis.dendrites)
    editor.trace([np.array([7.0, 45, 10]), np.array([7.0, 45, 110])])
    (line,) = editor.lines()
    assert line.points_px[:, 1] == pytest.approx(45, abs=1) and line.points_px[[0, -1], 2] == pytest.approx(
        [10, 110], abs=3
    )
    assert list(lengths(editor).values()) == pytest.approx([10.0], rel=0.05)
    shown = scene_of(editor.analysis)["dendrites"][0]["lines"][0]["points"]
    assert np.reshape(shown, (-1, 3))[:, 1] == pytest.approx(45, abs=1)
    same_tables(editor)
