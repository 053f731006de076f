"""A spine painted and erased with a brush in one slice: exactly what the brush went over, measured at once, undone at once."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_analysis import HEADS, SHAPE, drawn_analysis

from spinecore.analysis.editfile import apply_file
from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.errors import SpinecoreError

Z, Y, X = HEADS[0]


@pytest.fixture
def editor(tmp_path) -> Editor:
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path)
    return Editor(tmp_path, lambda r: voxels[r.start : r.stop], by="Ada")


def voxels_of(editor: Editor, spine: int) -> np.ndarray:
    """The voxels of a spine, bool (Z, Y, X)."""
    out = np.zeros(SHAPE, bool)
    for number, origin, mask in editor.analysis.cutter.cut(editor.analysis.threshold):
        if number == spine:
            out[tuple(slice(o, o + n) for o, n in zip(origin, mask.shape, strict=True))] = mask
    return out


def swept(a: tuple[float, float], b: tuple[float, float], width: float) -> np.ndarray:
    """Pixels (Y, X) whose distance from the line from a to b is at most half a width."""
    y, x = np.indices(SHAPE[1:])
    along = np.array(b, float) - a
    share = ((y - a[0]) * along[0] + (x - a[1]) * along[1]) / max(float(along @ along), 1e-12)
    share = np.clip(share, 0, 1)
    return np.hypot(y - a[0] - share * along[0], x - a[1] - share * along[1]) <= width / 2 + 1e-9


def test_a_stroke_adds_what_it_goes_over_in_its_slice_alone_and_one_undo_takes_it_back(editor):
    before, row = voxels_of(editor, 1), editor.analysis.spines.set_index("spine_id").loc[1]
    start, end = (Y - 3.0, X + 2.0), (Y - 3.0, X + 9.0)
    change = editor.paint(1, Z, np.array([start, end]), 4.0)
    assert change.words == "add to the outline of spine 1"
    wanted = before.copy()
    wanted[Z] |= swept(start, end, 4.0)
    assert (voxels_of(editor, 1) == wanted).all() and wanted.sum() > before.sum()
    after = load_analysis(editor.folder).spines.set_index("spine_id").loc[1]
    assert after["volume_um3"] == pytest.approx(wanted.sum() * 0.0025, rel=1e-3)
    assert after["origin"] == "corrected" and after["volume_um3"] > row["volume_um3"]
    editor.undo()
    assert (voxels_of(editor, 1) == before).all() and editor.undo_words is None


def test_erasing_takes_away_what_it_goes_over_and_a_single_click_is_a_dab(editor):
    before = voxels_of(editor, 1)
    editor.paint(1, Z, np.array([(Y - 3.0, float(X))]), 3.0, erase=True)
    wanted = before.copy()
    wanted[Z] &= ~swept((Y - 3, X), (Y - 3, X), 3.0)
    assert (voxels_of(editor, 1) == wanted).all() and wanted.sum() < before.sum()
    assert editor.undo_words == "erase of the outline of spine 1"


def test_pixels_of_another_spine_stay_its_own(editor):
    other = voxels_of(editor, 3)
    line = np.array([(Y, X + 3.0), (HEADS[2][1], float(HEADS[2][2]))])
    editor.paint(1, Z, line, 2.0)
    assert (voxels_of(editor, 3) == other).all()
    assert not (voxels_of(editor, 1) & other).any()


@pytest.mark.parametrize(
    ("stroke", "width", "erase", "said"),
    [
        ([(Y, X)], 0.5, False, "all of that is spine 1 or another one already"),
        ([(Y, X + 12)], 3.0, True, "nothing of spine 1 is there in this slice"),
        ([(Y, X + 60)], 3.0, False, "more than 5 um from spine 1"),
        ([(Y, X)], 60.0, False, "a brush is up to 3 um wide"),
        ([], 3.0, False, "a brush needs a place"),
    ],
)
def test_what_cannot_be_done_is_said(editor, stroke, width, erase, said):
    with pytest.raises(SpinecoreError, match=said):
        editor.paint(1, Z, np.array(stroke, float).reshape(-1, 2), width, erase=erase)


def test_a_file_paints_as_well(editor, tmp_path):
    line = {"z": Z, "yx_px": [[Y - 3, X + 2], [Y - 3, X + 9]], "width_px": 4}
    path = tmp_path / "edits.jsonl"
    path.write_text(json.dumps({"kind": "paint", "spine": 1, "values": line}), encoding="utf-8")
    before = voxels_of(editor, 1).sum()
    assert [c.words for c in apply_file(editor, path)] == ["add to the outline of spine 1"]
    assert voxels_of(editor, 1).sum() > before
