"""The editor: what a person does to spines and dendrites, measured at once, undone and done again."""

from __future__ import annotations

import time
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import HEADS, SHAPE, drawn_analysis
from editing import drawn_editor, ids, lengths, measured_anew, same_tables, spine

from spinecore.analysis import sitting
from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import read_table, save_analysis
from spinecore.corrections.log import read_edits
from spinecore.errors import SpinecoreError


@pytest.fixture
def editor(tmp_path) -> Editor:
    return drawn_editor(tmp_path)


# --- spines ---------------------------------------------------------------------------------------


def test_base_and_tip_are_where_a_person_puts_them(editor):
    base, tip = np.array([7.0, 40.0, 24.0]), np.array([7.0, 29.0, 21.0])
    editor.move_base(1, base)
    editor.move_tip(1, tip)
    row = spine(editor, 1)
    np.testing.assert_allclose(row[["base_z_px", "base_y_px", "base_x_px"]].astype(float), base, atol=1e-6)
    np.testing.assert_allclose(row[["tip_z_px", "tip_y_px", "tip_x_px"]].astype(float), tip, atol=1e-6)
    assert row["length_um"] >= row["length_euclidean_um"] == pytest.approx(np.hypot(1.1, 0.3), rel=1e-3)
    assert row["origin"] == "corrected" and row["edited"]
    same_tables(editor)


def test_a_moved_head_is_where_a_person_puts_it(editor):
    editor.move_head(3, np.array([7.0, 34.0, 61.0]))
    assert spine(editor, 3)[["z_px", "y_px", "x_px"]].tolist() == [7.0, 34.0, 61.0]
    same_tables(editor)


def test_two_spines_merged_are_one_with_the_voxels_of_both(editor):
    z, y, x = HEADS[0]
    number = editor.add(np.array([z + 2, y - 3, x + 1])).spine
    parts = editor.analysis.spines.set_index("spine_id")["volume_um3"].loc[[1, number]].sum()
    assert editor.merge(1, number).words == f"merge spines 1 and {number}"
    assert number not in ids(editor) and spine(editor, 1)["volume_um3"] >= parts * 0.999
    same_tables(editor)
    editor.undo()
    assert number in ids(editor)
    same_tables(editor)


def test_an_outline_is_drawn_in_a_slice_and_grown(editor):
    z, y, x = HEADS[1]
    before = spine(editor, 2)["volume_um3"]
    square = np.array([[y - 5, x - 5], [y - 5, x + 5], [y + 5, x + 5], [y + 5, x - 5]], float)
    editor.set_outline(2, z, square)
    crop = editor.analysis.cutter.crop_of(2, editor.analysis.threshold)[0]
    drawn = np.argwhere(crop.mask) + crop.origin
    own = drawn[drawn[:, 0] == z]
    assert 90 <= len(own) <= 121 and own[:, 1].min() >= y - 5 and own[:, 2].max() <= x + 5
    assert (editor.analysis.labels[z, y - 4 : y + 4, x - 4 : x + 4] == 2).all()
    same_tables(editor)
    editor.grow(2, 0.5)
    assert spine(editor, 2)["volume_um3"] == pytest.approx(before, rel=0.35)
    same_tables(editor)


def test_a_spine_goes_to_another_dendrite(editor):
    editor.cut(np.array([7, 45, 50]))
    assert spine(editor, 2)["dendrite_id"] == 2
    editor.attach(2, 1)
    assert spine(editor, 2)["dendrite_id"] == 1 and spine(editor, 2)["origin"] == "corrected"
    same_tables(editor)


def test_a_spine_inside_what_was_taken_for_shaft_carves_itself_out(editor):
    before = editor.analysis.dendrite_ids.copy()
    change = editor.add(np.array([7, 40.5, 75]))
    row = spine(editor, change.spine)
    assert row["origin"] == "by hand" and np.isnan(row["score"]) and row["dendrite_id"] == 1
    carved = (before > 0) & (editor.analysis.dendrite_ids == 0)
    assert carved.any() and (editor.analysis.labels[carved] == change.spine).all()
    same_tables(editor)
    editor.undo()
    np.testing.assert_array_equal(editor.analysis.dendrite_ids, before)


def test_marks_and_classes_are_in_the_table(editor):
    editor.set_branched(1)
    editor.set_class(2, "filopodium")
    editor.set_soma(np.array([7.0, 45.0, 0.0]))
    assert spine(editor, 1)["branched"] and spine(editor, 2)["class"] == "filopodium"
    assert editor.analysis.spines["soma_distance_um"].notna().all()
    same_tables(editor)


# --- undo, redo, sittings -------------------------------------------------------------------------


def test_undo_and_redo_name_what_they_do_and_reach_as_far_as_this_sitting(editor):
    editor.remove(1)
    later = Editor(editor.folder, editor._read, by="Ben")
    assert later.undo_words is None and later.earlier_words == "remove spine 1"
    later.cut(np.array([7, 45, 50]))
    later.remove(2)
    assert later.undo_words == "remove spine 2"
    assert later.undo().words == "remove spine 2" and later.undo().words == "cut dendrite 1"
    assert ids(later) == [2, 3, 4] and lengths(later).keys() == {1}
    with pytest.raises(SpinecoreError, match="no correction left"):
        later.undo()
    assert later.redo_words == "cut dendrite 1" and later.redo().words == "cut dendrite 1"
    assert lengths(later).keys() == {1, 2} and later.redo_words == "remove spine 2"
    later.remove(3)
    assert later.redo_words is None, "a new correction ends what could be done again"
    assert ids(later) == [2, 4]
    assert later.undo().spine == 3 and later.undo().dendrite == 1
    assert later.undo(anyones=True).words == "remove spine 1" and ids(later) == [1, 2, 3, 4]
    said = read_edits(later.folder)
    assert {e.by for e in said} == {"Ada", "Ben"} and [e.n for e in said] == list(range(1, len(said) + 1))
    same_tables(later)


def test_an_added_spine_follows_a_shaft_that_is_corrected_after_it(editor):
    number = editor.add(np.array([9, 60, 41])).spine
    editor.redraw([np.array([7, 45, 30]), np.array([7, 45, 55])])
    same_tables(editor)
    editor.cut(np.array([7, 45, 50]))
    assert spine(editor, number)["dendrite_id"] == 2
    same_tables(editor)
    editor.undo()
    assert spine(editor, number)["dendrite_id"] == 1
    same_tables(editor)


def test_undo_without_limit_leads_back_to_what_was_detected_and_redo_forth(editor):
    first = measured_anew(editor.analysis).spines
    editor.remove(1)
    editor.add(np.array([9, 30, 21]))
    editor.cut(np.array([7, 45, 50]))
    editor.move_tip(3, np.array([7.0, 28.0, 60.0]))
    editor.redraw([np.array([7, 45, 60]), np.array([7, 45, 100])])
    last = editor.analysis.spines.copy()
    while editor.undo_words:
        editor.undo()
    pd.testing.assert_frame_equal(editor.analysis.spines, first)
    while editor.redo_words:
        editor.redo()
    pd.testing.assert_frame_equal(editor.analysis.spines, last)
    same_tables(editor)


def test_two_editors_take_over_what_the_other_one_did(editor):
    other = Editor(editor.folder, editor._read, by="Ben")
    editor.remove(1)
    other.remove(2)
    assert ids(other) == [3, 4] and ids(editor) == [2, 3, 4]
    assert editor.refresh() and not editor.refresh() and ids(editor) == [3, 4]


def test_corrections_of_two_threads_follow_each_other(editor, monkeypatch):
    """A page that is left may still be at work when the next one begins: one of two removals was lost."""
    begun = Event()
    append = sitting.append_edit

    def slowly(folder, edit):
        begun.set()
        time.sleep(0.3)
        append(folder, edit)

    monkeypatch.setattr(sitting, "append_edit", slowly)
    first, second = (Thread(target=editor.remove, args=(number,)) for number in (1, 2))
    first.start()
    assert begun.wait(10)
    second.start()
    first.join()
    second.join()
    assert ids(editor) == [3, 4] and [e.n for e in read_edits(editor.folder)] == [1, 2]
    same_tables(editor)


def test_an_editor_of_an_analysis_read_before_takes_over_what_was_said_since(editor):
    old = editor.analysis
    editor.remove(1)
    late = Editor(editor.folder, editor._read, analysis=old)
    late.finish()
    assert ids(late) == [2, 3, 4] and read_table(editor.folder / "spines.csv")["spine_id"].tolist() == [
        2,
        3,
        4,
    ]
    late = Editor(editor.folder, editor._read, analysis=old)
    assert late.remove(2).words == "remove spine 2" and [e.n for e in read_edits(editor.folder)] == [1, 2]


def test_a_sitting_goes_on_after_the_page_is_loaded_again(editor):
    editor.remove(1)
    editor.remove(2)
    editor.undo()
    again = Editor(editor.folder, editor._read, session=editor.session)
    assert (again.undo_words, again.redo_words) == ("remove spine 1", "remove spine 2")


def test_a_correction_whose_ground_was_undone_is_passed_over_and_said(editor):
    editor.cut(np.array([7, 45, 50]))
    other = Editor(editor.folder, editor._read)
    other.delete_dendrite(2)
    editor.refresh()
    change = editor.undo()
    assert "delete dendrite 2" in change.notes[0] and set(editor.analysis.dendrites["dendrite_id"]) == {1}
    same_tables(editor)


def test_labels_and_overview_follow_when_the_sitting_ends(editor):
    import tifffile

    editor.remove(1)
    editor.cut(np.array([7, 45, 50]))
    editor.finish()
    assert set(np.unique(tifffile.imread(editor.folder / "labels.tif"))) == {0, 2, 3, 4}
    assert set(np.unique(tifffile.imread(editor.folder / "dendrite.tif"))) == {0, 1, 2}
    assert tifffile.imread(editor.folder / "labels.tif").shape == SHAPE


# --- any order of corrections ---------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_after_any_corrections_every_table_is_that_of_a_full_measure(editor, seed):
    rng = np.random.default_rng(seed)
    done = []
    for _ in range(12):
        x = float(rng.integers(8, 110))
        actions = {
            "cut": lambda x=x: editor.cut(np.array([7, 45, x])),
            "redraw": lambda x=x: editor.redraw([np.array([7, 45, x]), np.array([7, 45, max(x - 25, 2)])]),
            "remove": lambda: editor.remove(int(rng.choice(ids(editor)))),
            "count": lambda: editor.count(int(rng.integers(1, 6))),
            "add": lambda x=x: editor.add(np.array([7, 45 + float(rng.choice([-12, 12])), x])),
            "tip": lambda: editor.move_tip(
                k := int(rng.choice(ids(editor))), place_of(editor, k) + rng.uniform(-3, 3, 3) * (0.3, 1, 1)
            ),
            "head": lambda: editor.move_head(
                k := int(rng.choice(ids(editor))), place_of(editor, k) + rng.uniform(-2, 2, 3) * (0.3, 1, 1)
            ),
            "grow": lambda: editor.grow(int(rng.choice(ids(editor))), float(rng.uniform(0.3, 0.7))),
            "merge": lambda: editor.merge(*(int(k) for k in rng.choice(ids(editor), 2, replace=False))),
            "undo": lambda: editor.undo(),
            "redo": lambda: editor.redo(),
        }
        name = str(rng.choice(list(actions)))
        try:
            actions[name]()
            done.append(name)
        except SpinecoreError:
            continue
    assert len(done) > 3
    same_tables(editor)


def place_of(editor: Editor, number: int) -> np.ndarray:
    return spine(editor, number)[["z_px", "y_px", "x_px"]].to_numpy(float)


# --- what goes out --------------------------------------------------------------------------------


def test_every_export_shows_what_was_corrected(editor, tmp_path):
    import zipfile

    import roifile
    import tifffile

    from spinecore.export import export_analysis
    from spinecore.tracing.swc import read_swc

    editor.remove(1)
    number = editor.add(np.array([9, 60, 41])).spine
    editor.cut(np.array([7, 45, 70]))
    editor.move_tip(3, np.array([7.0, 28.0, 60.0]))
    editor.check(2, "yes")
    shown = editor.analysis
    out = tmp_path / "out"
    csv = export_analysis(editor.folder, "csv", out)
    assert pd.read_csv(csv[0])["spine_id"].tolist() == ids(editor) == [2, 3, 4, number]
    assert pd.read_csv(csv[0]).set_index("spine_id").loc[3, "tip_y_px"] == pytest.approx(28.0)
    assert pd.read_csv(csv[1])["dendrite_id"].tolist() == [1, 2]
    assert pd.read_csv(csv[1])["path_length_um"].tolist() == pytest.approx(
        list(lengths(editor).values()), rel=1e-5
    )
    rois, lines = export_analysis(editor.folder, "imagej", out)[:2]
    outlined = {int(r.name[6:10]) for r in roifile.roiread(rois)}
    assert outlined == set(ids(editor)) == set(np.unique(shown.labels)) - {0}
    names = {r.name for r in roifile.roiread(lines)}
    assert {n for n in names if n.startswith("dendrite")} == {f"dendrite_00{d}_branch_001" for d in (1, 2)}
    assert {n for n in names if n.startswith("spine")} == {f"spine_{i:04d}_head" for i in ids(editor)}
    swc = export_analysis(editor.folder, "swc", out)[0]
    traced = sorted(d.path_length_um for d in read_swc(swc).dendrites)
    assert traced == pytest.approx(sorted(lengths(editor).values()), rel=1e-3)
    labels = tifffile.imread(editor.folder / "labels.tif")
    np.testing.assert_array_equal(labels, shown.labels)
    archive = zipfile.ZipFile(export_analysis(editor.folder, "bundle", out)[0])
    assert "corrections.jsonl" in archive.namelist()
    said = archive.read("methods.txt").decode()
    assert "1 removed, 1 added" in said and "Dendrites were corrected by hand: 0 traced, 2 changed" in said
    assert "2 of 4 spines were looked at one by one by Ada" in said
    with archive.open("spines.csv") as file:
        assert pd.read_csv(file)["spine_id"].tolist() == ids(editor)


def test_a_single_image_is_corrected_in_the_same_way(tmp_path):
    analysis, voxels = drawn_analysis(flat=True)
    analysis.cutter.precompute_cuts()
    save_analysis(analysis, tmp_path)
    flat = Editor(tmp_path, lambda r: voxels[r.start : r.stop])
    flat.cut(np.array([0, 45, 50]))
    flat.join(np.array([0, 45, 48]), np.array([0, 45, 52]))
    flat.delete_dendrite(1)
    flat.trace([np.array([0, 45, 3]), np.array([0, 45, 116])])
    row = flat.analysis.dendrites.iloc[0]
    assert row["path_length_um"] == pytest.approx(11.3, rel=0.02) and row["n_spines"] == len(ids(flat)) == 4
    assert all((line.points_px[:, 0] == 0).all() for line in flat.lines())
    flat.add(np.array([np.nan, 60, 41]))
    flat.move_tip(1, np.array([0, 29, 21]))
    flat.set_outline(2, 0, np.array([[53, 36], [53, 44], [61, 44], [61, 36]], float))
    flat.grow(3, 0.5)
    same_tables(flat)


def test_a_head_without_an_outline_is_measured_once_a_person_gives_it_one(tmp_path):
    analysis, voxels = drawn_analysis()
    found = analysis.detected
    place = next(k for k, r in enumerate(found.regions) if 1 in r.peaks)
    regions = list(found.regions)
    regions[place] = replace(regions[place], outlined=False)
    bare = replace(analysis, detected=replace(found, regions=tuple(regions))).at_threshold(analysis.threshold)
    save_analysis(bare, tmp_path)
    editor = Editor(tmp_path, lambda r: voxels[r.start : r.stop])
    assert np.isnan(spine(editor, 2)["volume_um3"]) and "position only" in spine(editor, 2)["missing_reason"]
    editor.grow(2, 0.5)
    assert spine(editor, 2)["volume_um3"] > 0.1 and spine(editor, 2)["length_um"] > 0.5
    assert "position only" not in spine(editor, 2)["missing_reason"]
    same_tables(editor)
