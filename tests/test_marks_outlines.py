"""Outlines that a person drew in another program: each spine keeps its own, and is measured from it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import roifile
from drawn_analysis import HEADS, SHAPE, SPACING, drawn_analysis, drawn_maps

from spinecore.analysis.editor import Editor
from spinecore.analysis.gridimage import GridImage
from spinecore.analysis.result import Analysis
from spinecore.analysis.spine_edits import outline
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.export.images import write_rois
from spinecore.marking.files import Marks, read_marks
from spinecore.marking.place import place_marks
from spinecore.stack import Spacing, Stack

STACK = Stack(drawn_maps()[3], Spacing(*SPACING, "user", "given"), "drawn cell")
#: A hexagon round the first head, neck included down to the shaft, drawn wider than what the program found.
ROUND_FIRST = [(14, 33), (17, 27), (23, 27), (26, 33), (22, 39), (18, 39)]


def roi(corners, z: int | None = 7, kind=roifile.ROI_TYPE.POLYGON) -> roifile.ImagejRoi:
    """A ROI whose corners lie at centres of pixels (x, y), in slice z from 0."""
    made = roifile.ImagejRoi.frompoints(np.array(corners, float) + 0.5)
    made.roitype, made.position = kind, 0 if z is None else z + 1
    return made


def read(tmp_path, *rois, stack: Stack = STACK) -> Marks:
    path = tmp_path / "set.zip"
    roifile.roiwrite(path, list(rois), mode="w")
    return read_marks(path, stack)


def placed(marks: Marks, only: bool = False, flat: bool = False) -> Analysis:
    analysis, voxels = drawn_analysis(flat)
    image = GridImage(lambda r: voxels[r.start : r.stop], analysis.candidates.shape)
    return place_marks(analysis, marks.marks, image, "set.zip", only)


def pixels(analysis: Analysis, spine: int) -> tuple[list[int], int]:
    """Slices of a spine, and its pixels in them."""
    own = analysis.labels == spine
    return np.flatnonzero(own.any((1, 2))).tolist(), int(own.sum())


def spine_of(analysis: Analysis, number: int):
    return analysis.spines.set_index("spine_id").loc[number]


@pytest.mark.parametrize("only", [False, True])
def test_an_outline_is_the_spine_in_its_slice_and_is_measured(tmp_path, only):
    marks = read(tmp_path, roi(ROUND_FIRST))
    drawn = int(marks.marks[0].mask.sum())
    found = placed(marks, only)
    assert pixels(found, 1) == ([7], drawn)
    row = spine_of(found, 1)
    assert row["area_um2"] == pytest.approx(drawn * 0.01) and row["origin"] == "marked"
    assert row["length_um"] == pytest.approx(1.3, abs=0.25)  # from the shaft at y = 39 to y = 27
    assert len(found.spines) == (1 if only else 4)


def test_one_drawn_layer_of_a_stack_has_no_volume_and_the_reason(tmp_path):
    row = spine_of(placed(read(tmp_path, roi(ROUND_FIRST))), 1)
    assert np.isnan(row["volume_um3"]) and np.isnan(row["surface_um2"])
    assert "only one layer of the spine was drawn" in row["missing_reason"]
    three = read(tmp_path, *(roi(ROUND_FIRST, z) for z in (6, 7, 8)))
    found = placed(three)
    assert [m.mask.shape[0] for m in three.marks] == [3] and pixels(found, 1)[0] == [6, 7, 8]
    assert spine_of(found, 1)["volume_um3"] == pytest.approx(pixels(found, 1)[1] * 0.0025)


def test_an_outline_without_a_slice_lies_where_the_stack_is_bright_inside_it(tmp_path):
    marks = read(tmp_path, roi(ROUND_FIRST, None))
    assert np.isnan(marks.marks[0].place_px[0])
    found = placed(marks)
    slices, count = pixels(found, 1)
    assert slices == [6, 7, 8] and count == 3 * marks.marks[0].mask.sum()
    assert np.isnan(spine_of(found, 1)["volume_um3"])


def test_an_outline_in_a_single_image_is_the_spine(tmp_path):
    drawn = drawn_analysis(flat=True)[1]
    flat = replace(STACK, voxels=drawn, spacing=Spacing(None, *SPACING[1:], "user", "given"))
    marks = read(tmp_path, roi(ROUND_FIRST, None), stack=flat)
    found = placed(marks, flat=True)
    assert pixels(found, 1) == ([0], int(marks.marks[0].mask.sum()))
    assert spine_of(found, 1)["missing_reason"] == "a single slice or projection has no depth"


def test_an_outline_where_the_program_found_nothing_is_a_spine_of_its_own(tmp_path):
    corners = [(46, 62), (54, 62), (54, 70), (46, 70)]
    found = placed(read(tmp_path, roi(corners)))
    added = found.spines.iloc[-1]
    assert len(found.spines) == 5 and added["origin"] == "marked"
    assert pixels(found, int(added["spine_id"])) == ([7], 9 * 9)


def test_a_spine_that_the_program_divided_is_one_where_one_outline_holds_both_heads(tmp_path):
    """The outline runs from the head of spine 1 to that of spine 3, 4 um apart."""
    (_, y, left), right = HEADS[0], HEADS[2][2]
    marks = read(
        tmp_path, roi([(left - 4, y - 5), (right + 4, y - 5), (right + 4, y + 3), (left - 4, y + 3)])
    )
    found = placed(marks)
    kept = set(found.spines["spine_id"]) & {1, 3}
    assert len(kept) == 1 and len(found.spines) == 3
    assert pixels(found, kept.pop())[1] == marks.marks[0].mask.sum()


def test_two_outlines_that_touch_keep_their_own_pixels(tmp_path):
    left, right = [(14, 28), (20, 28), (20, 39), (14, 39)], [(21, 28), (27, 28), (27, 39), (21, 39)]
    marks = read(tmp_path, roi(left), roi(right))
    found = placed(marks)
    own = found.spines[found.spines["origin"] == "marked"]
    assert sorted(own["mark"]) == ["1", "2"]
    assert [pixels(found, int(i))[1] for i in own["spine_id"]] == [m.mask.sum() for m in marks.marks]


def test_odd_outlines_are_told(tmp_path):
    """One that crosses itself, one of a single pixel, one beyond the edge, an open line, and one outside."""
    bow = [(30, 20), (40, 30), (40, 20), (30, 30)]
    dot = [(60, 20), (60.4, 20), (60.4, 20.4)]
    edge = [(-6, 60), (6, 60), (6, 68), (-6, 68)]
    outside = [(300, 20), (310, 20), (310, 30)]
    marks = read(
        tmp_path,
        roi(bow, kind=roifile.ROI_TYPE.FREEHAND),
        roi(dot),
        roi(edge, kind=roifile.ROI_TYPE.TRACED),
        roi([(80, 20), (90, 22), (95, 30)], kind=roifile.ROI_TYPE.FREELINE),
        roi(outside),
    )
    assert marks.notes == (
        "Lines in set.zip are open and outline nothing: they are placed at their middle.",
        "Mark 5 of set.zip lies outside the stack, and is left out.",
        "The outline of mark 2 in set.zip holds fewer than 4 pixels and is taken as a place.",
        "The outline of mark 1 in set.zip crosses itself: all that it encloses is taken.",
        "The outline of mark 3 in set.zip reaches beyond the image and is cut off there.",
    )
    bowed, single, cut, line = marks.marks
    assert single.mask is None and line.mask is None
    assert 40 <= bowed.mask.sum() <= 80  # both halves of a bow tie, 50 square pixels
    assert cut.mask.shape[2] == 7 and cut.origin[2] == 0


def test_exported_outlines_come_back_as_the_same_voxels(tmp_path):
    analysis, _ = drawn_analysis()
    write_rois(analysis, tmp_path, tmp_path)
    found = placed(read_marks(tmp_path / "drawn cell_rois.zip", STACK), only=True)
    assert len(found.spines) == len(analysis.spines)
    same = ((found.labels > 0) == (analysis.labels > 0)).mean()
    either = ((found.labels > 0) | (analysis.labels > 0)).sum()
    assert (1 - same) * np.prod(SHAPE) <= 0.03 * either
    width = [a.spines["head_width_um"].to_numpy(float) for a in (found, analysis)]
    assert np.allclose(*width, rtol=0.1)


def test_an_outline_is_undone_like_any_other(tmp_path):
    before = drawn_analysis()[0].spines.iloc[0]
    found = placed(read(tmp_path, roi(ROUND_FIRST)))
    folder = tmp_path / "result"
    save_analysis(found, folder)
    editor = Editor(folder, by="Ada")
    assert pixels(editor.analysis, 1)[0] == [7]
    assert [e.kind for e in editor.analysis.corrections.standing] == ["outline"]
    assert spine_of(editor.analysis, 1)["reviewed"] and editor.earlier_words == "mark 1 of set.zip"
    editor.undo(anyones=True)
    row = spine_of(load_analysis(folder), 1)
    assert row["area_um2"] == pytest.approx(before["area_um2"], rel=1e-4) and row["volume_um3"] > 0
    assert row["origin"] == "automatic" and not row["reviewed"] and editor.earlier_words is None


def test_a_layer_drawn_again_stays_without_volume_until_a_second_one_is_drawn(tmp_path):
    found = placed(read(tmp_path, roi(ROUND_FIRST)))
    voxels = drawn_analysis()[1]
    image = GridImage(lambda r: voxels[r.start : r.stop], found.candidates.shape)
    corners = np.array([(27, 16), (27, 24), (39, 24), (39, 16)])
    for z, flat in ((7, True), (8, False)):
        assert bool(outline(found, image, 1, z, corners).values.get("flat")) is flat
