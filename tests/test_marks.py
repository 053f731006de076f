"""A person's own marks as the beginning of an analysis: read from files of other programs, placed, measured, undone."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import roifile
import tifffile
from drawn_analysis import HEADS, SCORES, SHAPE, SPACING, drawn_analysis, drawn_maps

from spinecore.analysis.checking import check_report
from spinecore.analysis.editor import Editor
from spinecore.analysis.given import given_files
from spinecore.analysis.gridimage import GridImage
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.detection.belonging import DetectionRules
from spinecore.errors import SpinecoreError, command_words
from spinecore.export.bundle import methods_text
from spinecore.marking.files import read_marks
from spinecore.marking.place import Mark, place_marks
from spinecore.marking.run import analyse_marked
from spinecore.methods.prediction import Prediction
from spinecore.stack import Spacing, Stack

STACK = Stack(drawn_maps()[3], Spacing(*SPACING, "user", "given"), "drawn cell")


def points(places) -> pd.DataFrame:
    return pd.DataFrame([{"x_px": x, "y_px": y, "z_px": z} for z, y, x in places])


def placed(marks, only: bool = False, analysis: Analysis | None = None, voxels=None) -> Analysis:
    drawn, image = drawn_analysis()
    analysis, voxels = analysis or drawn, image if voxels is None else voxels
    found = GridImage(lambda r: voxels[r.start : r.stop], analysis.candidates.shape)
    return place_marks(analysis, marks, found, "marks.csv", only)


def marks_at(*places, names=None) -> list[Mark]:
    return [
        Mark(name or str(k), p)
        for k, (name, p) in enumerate(zip(names or [None] * len(places), places, strict=True), 1)
    ]


def rows(analysis: Analysis) -> pd.DataFrame:
    return analysis.spines.set_index("spine_id")


# --- placing --------------------------------------------------------------------------------------


def test_a_mark_counts_the_spine_that_was_found_there_and_the_others_stay():
    """The fifth head has a score of 0.4, below the threshold; the first one counts anyway."""
    found = rows(placed(marks_at(HEADS[4], HEADS[0], names=["low", "high"])))
    assert found.index.tolist() == [1, 2, 3, 4, 5]
    assert found["origin"].tolist() == ["marked", "automatic", "automatic", "automatic", "marked"]
    assert found.loc[[1, 5], "mark"].tolist() == ["high", "low"] and set(found.loc[[2, 3, 4], "mark"]) == {""}
    assert found["score"].tolist() == pytest.approx(sorted(SCORES, reverse=True), abs=0.01)
    assert found.loc[5, "length_um"] > 0


def test_a_mark_where_nothing_was_found_is_grown_from_the_brightness():
    """A head of 0.45 um radius that the maps do not hold: its measures are those of the head drawn like it."""
    _, voxels = drawn_analysis()
    voxels = voxels.copy()
    window = voxels[:, 0:46, 50:71].copy()
    voxels[:, 0:46, 70:91] = np.maximum(voxels[:, 0:46, 70:91], window)  # the third spine again, 2 um on
    place = (HEADS[2][0], HEADS[2][1], HEADS[2][2] + 20)
    found = placed(marks_at(place), voxels=voxels)
    new, like = rows(found).loc[6], rows(found).loc[3]
    assert new["origin"] == "marked" and np.isnan(new["score"]) and new["dendrite_id"] == 1
    assert new["length_um"] == pytest.approx(like["length_um"], rel=0.15)
    assert new["head_width_um"] == pytest.approx(like["head_width_um"], rel=0.15)
    assert new["x_px"] == pytest.approx(place[2], abs=1.5)


def test_only_what_was_marked_is_measured_in_the_order_of_the_file():
    whole, _ = drawn_analysis()
    found = placed(marks_at(HEADS[3], HEADS[1], names=["b", "a"]), only=True)
    table = rows(found)
    assert table.index.tolist() == [1, 2] and table["mark"].tolist() == ["b", "a"]
    assert table["origin"].tolist() == ["marked", "marked"] and table["score"].isna().all()
    for new, old in ((1, 4), (2, 2)):  # the same voxels give the same measures
        for name in ("length_um", "head_width_um", "volume_um3", "x_px", "z_px"):
            assert table.loc[new, name] == pytest.approx(rows(whole).loc[old, name], rel=1e-6), name
    assert found.dendrites["n_spines"].tolist() == [2]
    length = found.dendrites["path_length_um"].iloc[0]
    assert found.dendrites["density_per_um"].iloc[0] == pytest.approx(2 / length)
    assert found.at_threshold(0.1).spines["spine_id"].tolist() == [1, 2], "no score decides"
    assert any("nothing else was counted" in note for note in found.notes)


def test_voxels_of_a_label_are_those_of_the_spine():
    mask = np.zeros((5, 9, 9), bool)
    z, y, x = np.ogrid[:5, :9, :9]
    mask[((z - 2) / 1.8) ** 2 + ((y - 4) / 4.2) ** 2 + ((x - 4) / 4.2) ** 2 <= 1] = True
    mark = Mark("7", (7.0, 30.0, 84.0), (5, 26, 80), mask)
    found = placed([mark], only=True)
    row = rows(found).loc[1]
    assert row["volume_um3"] == pytest.approx(mask.sum() * np.prod(SPACING))
    labels = np.zeros(SHAPE, int)
    labels[5:10, 26:35, 80:89][mask] = 1
    assert np.array_equal(found.labels, labels)
    assert row["mark"] == "7" and row["length_um"] > 0


def test_without_a_shaft_near_there_is_no_length_and_the_reason():
    analysis, _ = drawn_analysis()
    analysis = replace(analysis, rules=DetectionRules(by_hand_um=0.2))
    _, voxels = drawn_analysis()
    voxels = voxels.copy()
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    ball = ((z - 7) * 0.25) ** 2 + ((y - 15) * 0.1) ** 2 + ((x - 100) * 0.1) ** 2 <= 0.4**2
    voxels[ball] = 1500
    row = rows(placed(marks_at((7, 15, 100)), analysis=analysis, voxels=voxels)).loc[6]
    assert np.isnan(row["length_um"]) and pd.isna(row["dendrite_id"])
    assert row["missing_reason"] == "its dendrite could not be traced"


def test_a_mark_where_nothing_stands_out_is_counted_and_not_measured():
    found = placed(marks_at((7, 70, 60), names=["9"]))
    row = rows(found).loc[6]
    assert (
        row["origin"] == "marked" and np.isnan(row["length_um"]) and "position only" in row["missing_reason"]
    )
    assert any("stands out from its surroundings at mark 9 of marks.csv" in note for note in found.notes)


def test_a_mark_in_the_shaft_leaves_the_shaft_as_it_is():
    before, _ = drawn_analysis()
    found = placed(marks_at((7, 45, 50)))
    assert np.array_equal(found.dendrite_ids > 0, before.dendrite_ids > 0)
    assert rows(found).loc[6, "origin"] == "marked"


def test_two_marks_on_one_place_are_one_spine():
    z, y, x = HEADS[0]
    found = placed(marks_at((z, y, x), (z, y + 1, x)), only=True)
    assert len(found.spines) == 1
    assert any("Mark" in n or "mark 2" in n for n in found.notes if "left out" in n)


def test_a_depth_that_is_not_given_is_that_of_the_bright_head():
    row = rows(placed(marks_at((np.nan, HEADS[3][1], HEADS[3][2])), only=True)).loc[1]
    assert row["z_px"] == pytest.approx(HEADS[3][0], abs=0.6)


def test_an_unknown_depth_beside_spines_grows_one():
    assert len(placed(marks_at((np.nan, 58, 80), (np.nan, 33, 20)), only=True).spines) == 2


# --- stored and undone ----------------------------------------------------------------------------


def test_a_mark_is_undone_like_an_added_spine(tmp_path):
    found = placed(marks_at(HEADS[0], (7, 70, 60), names=["a", "b"]))
    save_analysis(found, tmp_path)
    again = load_analysis(tmp_path)
    pd.testing.assert_frame_equal(again.at_threshold(0.5).spines, found.spines, rtol=1e-4, check_dtype=False)
    editor = Editor(tmp_path, by="Ada")
    assert editor.undo_words is None and editor.earlier_words == "mark b of marks.csv"
    editor.undo(anyones=True)
    assert 6 not in rows(editor.analysis).index
    editor.undo(anyones=True)
    assert rows(editor.analysis).loc[1, "origin"] == "automatic"
    editor.redo()
    assert rows(editor.analysis).loc[1, ["origin", "mark"]].tolist() == ["marked", "a"]


def analysed(monkeypatch, path, **settings) -> Analysis:
    prediction = Prediction(*drawn_maps(), SPACING, (1.0, 1.0), "drawn")
    monkeypatch.setattr("spinecore.analysis.run.predict", lambda plan, report: (prediction, "cpu"))
    chosen = Settings(marks=None if path is None else str(path), threshold=0.5, device="cpu", **settings)
    return analyse_marked(STACK, chosen)


def test_an_analysis_keeps_the_file_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "mine.csv"
    points([HEADS[4], HEADS[1]]).to_csv(path, index=False)
    found = analysed(monkeypatch, path, only_marked=True)
    assert rows(found)["mark"].tolist() == ["1", "2"]
    save_analysis(found, tmp_path / "out")
    assert [p.read_bytes() for p in given_files(tmp_path / "out")] == [path.read_bytes()]
    again = load_analysis(tmp_path / "out")
    assert again.settings.only_marked and again.corrections.marked == {1: "1", 2: "2"}
    text = methods_text(again)
    assert "The spines are those that a person marked (2 marks of mine.csv): 2 spines on 1 dendrites." in text
    assert "score of at least" not in text and "corrected by hand" not in text
    report = check_report(again)
    assert report["reviewed"] == 2 and report["all"]["n"] == 0, "what the program finds is not known"
    both = methods_text(analysed(monkeypatch, path))
    assert "and what a person had marked (2 marks of mine.csv), were taken as spines: 5 spines" in both


def test_only_marked_needs_marks(monkeypatch):
    with pytest.raises(SpinecoreError) as error:
        analysed(monkeypatch, None, only_marked=True)
    assert command_words(error.value) == "--only-marked measures the marks of a file: give it with --spines"


# --- files ----------------------------------------------------------------------------------------

TWO = [(7.0, 33.0, 20.0), (9.0, 58.0, 80.0)]


def write_points_px(path):
    points(TWO).to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv"), None


def write_points_um(path):
    table = pd.DataFrame([{"x_um": x * 0.1, "y_um": y * 0.1, "z_um": z * 0.25} for z, y, x in TWO])
    table.to_csv(path.with_suffix(".csv"), index=False)
    return path.with_suffix(".csv"), None


def write_unitless(path):
    pd.DataFrame([{"X": x * 0.1, "Y": y * 0.1, "Slice": z + 1} for z, y, x in TWO]).to_csv(
        path.with_suffix(".csv"), index=False
    )
    return path.with_suffix(".csv"), "um"


def write_napari(path):
    table = pd.DataFrame(TWO, columns=["axis-0", "axis-1", "axis-2"])
    table.to_csv(path.with_suffix(".csv"), index_label="index")
    return path.with_suffix(".csv"), None


def write_cell_counter(path):
    marker = "".join(
        f"<Marker><MarkerX>{x:g}</MarkerX><MarkerY>{y:g}</MarkerY><MarkerZ>{z + 1:g}</MarkerZ></Marker>"
        for z, y, x in TWO
    )
    body = f"<Marker_Data><Marker_Type><Type>1</Type>{marker}</Marker_Type></Marker_Data>"
    path = path.with_suffix(".xml")
    path.write_text(f"<CellCounter_Marker_File>{body}</CellCounter_Marker_File>", encoding="utf-8")
    return path, None


def write_rois(path):
    path = path.with_suffix(".zip")
    rois = []
    for z, y, x in TWO:
        roi = roifile.ImagejRoi.frompoints([[x + 0.5, y + 0.5]])
        roi.roitype, roi.position = roifile.ROI_TYPE.POINT, int(z) + 1
        rois.append(roi)
    roifile.roiwrite(path, rois)
    return path, None


def write_vgg(path):
    path = path.with_suffix(".json")
    entries = {}
    for k, (z, y, x) in enumerate(TWO):
        shape = {"name": "rect", "x": x - 3.5, "y": y - 3.5, "width": 8, "height": 8}
        region = {"shape_attributes": shape, "region_attributes": {"id": str(k + 1)}}
        name = f"drawn cell-{int(z)}.png"
        entries[name] = {"filename": name, "size": 1, "regions": [region], "file_attributes": {}}
    path.write_text(json.dumps(entries), encoding="utf-8")
    return path, None


def write_labels(path):
    labels = np.zeros(SHAPE, np.uint16)
    for k, (z, y, x) in enumerate(TWO, 1):
        labels[int(z) - 1 : int(z) + 2, int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] = k
    tifffile.imwrite(path.with_suffix(".tif"), labels)
    return path.with_suffix(".tif"), None


@pytest.mark.parametrize(
    "write",
    [
        write_points_px,
        write_points_um,
        write_unitless,
        write_napari,
        write_cell_counter,
        write_rois,
        write_vgg,
        write_labels,
    ],
)
def test_files_of_every_kind_hold_the_same_two_places(tmp_path, write):
    path, units = write(tmp_path / "marks")
    found = read_marks(path, STACK, units)
    assert np.allclose([m.place_px for m in found.marks], TWO, atol=0.51 if write is write_rois else 0.01)
    assert [m.name for m in found.marks] == ["1", "2"]
    assert all((m.mask is not None) == (write is write_labels) for m in found.marks)


def refusal(path, stack=STACK, units=None) -> str:
    with pytest.raises(SpinecoreError) as error:
        read_marks(path, stack, units)
    return command_words(error.value)


def test_marks_outside_are_named_and_most_of_them_refused(tmp_path):
    path = tmp_path / "a.csv"
    points([*TWO, (7, 33, 500), (7, 30, 40)]).to_csv(path, index=False)
    found = read_marks(path, STACK)
    assert len(found.marks) == 3 and "Mark 3 of a.csv lies outside the stack, and is left out." in found.notes
    points([(7, 33, 500), (7, 800, 40), (7, 30, 40)]).to_csv(path, index=False)
    said = refusal(path)
    assert said.startswith(
        "2 of 3 marks of a.csv lie outside this stack of 120 x 90 x 14 pixels (mark 1 at x, y, z = 500, 33, 7"
    )
    assert said.endswith("say whether its positions are pixels or micrometres")


def test_a_line_along_a_dendrite_is_no_spine(tmp_path):
    spine = roifile.ImagejRoi.frompoints([[20.5, 25.5], [21.5, 40.5]])
    dendrite = roifile.ImagejRoi.frompoints([[2.5, 45.5], [60.5, 46.5], [117.5, 45.5]])
    for roi, kind in ((spine, roifile.ROI_TYPE.POLYLINE), (dendrite, roifile.ROI_TYPE.POLYLINE)):
        roi.roitype, roi.position = kind, 8
    path = tmp_path / "lines.zip"
    roifile.roiwrite(path, [spine, dendrite])
    found = read_marks(path, STACK)
    assert [m.name for m in found.marks] == ["1"]
    assert "Mark 2 of lines.zip is longer than 10 um, no spine, and left out." in found.notes


def test_outlines_of_one_spine_in_several_slices_are_one_mark(tmp_path):
    """As this program exports them: one outline a slice. Two spines, of three slices and of two, side by side."""
    rois = []
    for z, y, x, half in ((6, 30, 20, 3), (7, 30, 20, 5), (8, 31, 20, 3), (7, 30, 33, 4), (8, 30, 33, 4)):
        corners = [[x - half, y - half], [x + half, y - half], [x + half, y + half], [x - half, y + half]]
        roi = roifile.ImagejRoi.frompoints([[a + 0.5, b + 0.5] for a, b in corners])
        roi.roitype, roi.position = roifile.ROI_TYPE.POLYGON, z + 1
        rois.append(roi)
    path = tmp_path / "slices.zip"
    roifile.roiwrite(path, rois)
    found = read_marks(path, STACK)
    assert [m.name for m in found.marks] == ["1", "2"]
    assert np.allclose([m.place_px for m in found.marks], [(7, 30, 20), (7.5, 30, 33)], atol=0.51)
    assert any(n.startswith("The 5 outlines of slices.zip are 2 spines") for n in found.notes)


def test_units_are_asked_for_and_sizes_needed(tmp_path):
    path, _ = write_unitless(tmp_path / "b")
    assert (
        refusal(path)
        == "b.csv does not say the unit of its positions: add --spines-units px or --spines-units um"
    )
    unknown = replace(STACK, spacing=Spacing(None, None, None, "unknown"))
    assert "voxel size of drawn cell is not known" in refusal(path, unknown, "um")


def test_pixels_of_another_size_are_said(tmp_path):
    path = tmp_path / "c.csv"
    points(TWO).assign(x_um=lambda t: t["x_px"] * 0.2, y_um=lambda t: t["y_px"] * 0.2).to_csv(
        path, index=False
    )
    found = read_marks(path, STACK)
    assert "c.csv was made with pixels of 0.2 um, this stack has 0.1 um: its pixels are used." in found.notes
    assert found.marks[0].place_px == TWO[0]


def test_of_a_file_of_several_images_the_one_of_that_name_counts(tmp_path):
    path = tmp_path / "several.csv"
    table = points([*TWO, (1, 2, 3)]).assign(stack=["drawn cell.tif", "drawn cell.tif", "other.tif"])
    table.to_csv(path, index=False)
    assert [m.place_px for m in read_marks(path, STACK).marks] == TWO
    assert "none of them named third" in refusal(path, replace(STACK, name="third"))


def test_labels_of_another_shape_are_refused_and_flat_ones_are_a_layer_without_depth(tmp_path):
    labels = np.zeros((90, 121), np.uint16)
    labels[30:36, 18:23] = 4
    labels[60:64, 60:64] = 6
    path = tmp_path / "l.tif"
    tifffile.imwrite(path, labels)
    assert refusal(path) == (
        "l.tif has 121 x 90 pixels, but the stack 120 x 90 x 14: give labels of the stack's own shape"
    )
    tifffile.imwrite(path, labels[:, :120])
    found = read_marks(path, STACK)
    assert [m.name for m in found.marks] == ["4", "6"]
    assert [m.mask.sum() for m in found.marks] == [30, 16]
    assert np.isnan(found.marks[0].place_px[0]) and np.allclose(
        found.marks[0].place_px[1:], (32.5, 20.0), atol=0.51
    )
