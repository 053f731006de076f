"""Corrections out of a file: the same as by the mouse, the first wrong line named."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn_analysis import SPACING, drawn_analysis
from typer.testing import CliRunner

from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import save_analysis
from spinecore.cli.main import app
from spinecore.corrections.log import read_edits

LINES = [
    {"kind": "remove", "spine": 4},
    {"kind": "count", "spine": 5},
    {"kind": "class", "spine": 1, "values": {"class": "stubby"}},
    {"kind": "branched", "spine": 1, "values": {"branched": True}},
    {"kind": "move", "spine": 2, "values": {"part": "tip", "zyx_px": [7, 61, 40]}},
    {"kind": "cut", "values": {"zyx_px": [7, 45, 50]}},
    {"kind": "join", "values": {"zyx_px": [[7, 45, 45], [7, 45, 60]]}},
    {"kind": "trace", "values": {"zyx_px": [[7, 70, 20], [7, 70, 80]]}},
    {"kind": "attach", "spine": 3, "values": {"dendrite_id": 1}, "by": "Ada"},
]


@pytest.fixture
def stored(tmp_path):
    """The folder of an analysis and the file of its stack."""
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path / "result")
    stack = tmp_path / "drawn cell.tif"
    meta = {"axes": "ZYX", "spacing": SPACING[0], "unit": "um"}
    tifffile.imwrite(stack, voxels, imagej=True, resolution=(10, 10), metadata=meta)
    return tmp_path / "result", stack


def corrected(folder, stack, lines, *more):
    path = folder.parent / "edits.jsonl"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    given = [] if stack is None else ["--stack", str(stack)]
    return CliRunner().invoke(app, ["correct", str(folder), "--edits", str(path), *given, *more])


def test_a_file_does_what_the_editor_does(stored):
    folder, stack = stored
    result = corrected(folder, stack, LINES)
    assert result.exit_code == 0, result.output
    voxels = tifffile.imread(stack)
    twin = folder.parent / "twin"
    save_analysis(drawn_analysis()[0], twin)
    editor = Editor(twin, lambda r: voxels[r.start : r.stop])
    editor.remove(4)
    editor.count(5)
    editor.set_class(1, "stubby")
    editor.set_branched(1)
    editor.move_tip(2, np.array([7.0, 61, 40]))
    editor.cut(np.array([7.0, 45, 50]))
    editor.join(np.array([7.0, 45, 45]), np.array([7.0, 45, 60]))
    editor.trace([np.array([7.0, 70, 20]), np.array([7.0, 70, 80])])
    editor.attach(3, 1)
    editor.finish()
    for name in ("spines.csv", "dendrites.csv"):
        ours, theirs = (pd.read_csv(where / name) for where in (folder, twin))
        drop = ["reviewed_by", "reviewed_at"] if name == "spines.csv" else []
        pd.testing.assert_frame_equal(ours.drop(columns=drop), theirs.drop(columns=drop))
    assert [e.kind for e in read_edits(folder)] == [e.kind for e in read_edits(twin)]
    assert read_edits(folder)[-1].by == "Ada"
    assert set(np.unique(tifffile.imread(folder / "labels.tif"))) == {0, 1, 2, 3, 5}


def test_lines_of_a_log_without_voxels_are_taken_as_they_are(stored):
    folder, stack = stored
    assert corrected(folder, stack, LINES[:4]).exit_code == 0
    other = folder.parent / "other"
    save_analysis(drawn_analysis()[0], other)
    log = (folder / "corrections.jsonl").read_text(encoding="utf-8").splitlines()
    assert corrected(other, None, log).exit_code == 0
    ours, theirs = (
        pd.read_csv(where / "spines.csv").drop(columns="reviewed_at") for where in (folder, other)
    )
    pd.testing.assert_frame_equal(ours, theirs)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [LINES[0], {"kind": "remove", "spine": 99}],
            "line 2 of edits.jsonl (the 1 before it are done): this analysis has no",
        ),
        (["{"], "line 1 of edits.jsonl is no correction: it needs a kind (add, remove,"),
        ([{"kind": "paint"}], "line 1 of edits.jsonl is no correction"),
        (
            [{"kind": "move", "spine": 1, "values": {"part": "tip", "zyx_px": [1, 2]}}],
            "line 1 of edits.jsonl is no correction",
        ),
        ([LINES[7]], "line 1 of edits.jsonl: this correction needs the analysed file: give it with --stack"),
    ],
)
def test_the_first_wrong_line_is_named(stored, lines, said):
    folder, _ = stored
    result = corrected(folder, None, lines)
    assert result.exit_code == 2 and said in result.stderr.replace("\n", " "), result.stderr
    assert len(read_edits(folder)) == len(lines) - 1
