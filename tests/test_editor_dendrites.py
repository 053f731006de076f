"""The editor: dendrites that a person traces, cuts, joins and redraws, and heads that return with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_analysis import HEADS, SHAPE, SPACING, drawn_analysis, drawn_maps
from editing import drawn_editor, ids, lengths, same_tables, spine

from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import save_analysis
from spinecore.corrections.log import read_edits
from spinecore.detection.belonging import DetectionRules
from spinecore.detection.candidates import find_candidates
from spinecore.errors import SpinecoreError
from spinecore.methods.prediction import Prediction


@pytest.fixture
def editor(tmp_path) -> Editor:
    return drawn_editor(tmp_path)


# --- heads that no dendrite was near --------------------------------------------------------------

FAR = (7, 3, 60)  # 3.6 um from the surface of the shaft that the maps hold


@pytest.fixture
def second_shaft(tmp_path) -> Editor:
    """A shaft at y = 15 that only the intensities show, and a head beside it that the network found."""
    drawn, _ = drawn_analysis()
    dendrite, spine, centre, intensity = drawn_maps()
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    away = np.sqrt(((z - FAR[0]) * 0.25) ** 2 + ((y - FAR[1]) * 0.1) ** 2 + ((x - FAR[2]) * 0.1) ** 2)
    neck = (abs(x - FAR[2]) < 1.5) & (abs(z - FAR[0]) < 1.2) & (y >= FAR[1]) & (y < 12)
    shaft = np.hypot((z - 7) * 0.25, (y - 15) * 0.1) < 0.4
    spine = np.where((away < 0.35) | neck, 255, spine).astype(np.uint8)
    centre = np.maximum(centre, (0.75 * 255 * np.exp(-((away / 0.3) ** 2))).round()).astype(np.uint8)
    intensity = np.maximum(intensity, np.where(shaft, 1500, np.where(spine > 0, 1000, 0))).astype(np.uint16)
    made = Prediction(dendrite, spine, centre, intensity, SPACING, (1.0, 1.0), "drawn")
    detected, ids = find_candidates(made)
    analysis = replace(drawn, detected=detected, detected_ids=ids).at_threshold(drawn.threshold)
    analysis.cutter.precompute_cuts()
    save_analysis(analysis, tmp_path)
    return Editor(tmp_path, lambda r: intensity[r.start : r.stop])


def test_a_head_that_no_dendrite_was_near_returns_with_one_traced_beside_it(second_shaft: Editor):
    editor = second_shaft
    assert ids(editor) == [1, 2, 3, 4] and editor.analysis.candidates.far.sum() == 1
    before = editor.analysis.dendrites["density_per_um"].iloc[0]
    change = editor.trace([np.array([7.0, 15, 3]), np.array([7.0, 15, 116])])
    assert ids(editor) == [1, 2, 3, 4, 6], "the fifth of the six has a score below the threshold"
    row = spine(editor, 6)
    assert row["score"] == pytest.approx(0.75, abs=0.01) and row["origin"] == "automatic"
    assert row["dendrite_id"] == change.dendrite
    # from the shaft's surface at y = 11 to the top of the head at y = 0
    assert row["length_um"] == pytest.approx(1.1, abs=0.25)
    assert editor.analysis.dendrites["density_per_um"].iloc[0] == pytest.approx(before, rel=1e-4)
    assert editor.analysis.at_threshold(0.8).spines["spine_id"].tolist() == [1, 2], "its score decides"
    same_tables(editor)
    editor.undo()
    assert ids(editor) == [1, 2, 3, 4]
    editor.redo()
    assert ids(editor) == [1, 2, 3, 4, 6]


def test_a_spine_is_not_attached_across_the_image(second_shaft: Editor):
    """On the real sample a spine attached to a dendrite 14 um away had a length of 14.8 um."""
    new = second_shaft.trace([np.array([7.0, 15, 3]), np.array([7.0, 15, 116])]).dendrite
    second_shaft.analysis = replace(second_shaft.analysis, rules=DetectionRules(reach_um=2.0))
    with pytest.raises(
        SpinecoreError,
        match=f"dendrite {new} is 3.[78] um from spine 2, farther than 2 um: choose a nearer one",
    ):
        second_shaft.attach(2, new)
    assert second_shaft.attach(1, new).spine == 1, "1.4 um away"


def test_such_a_head_is_not_counted_twice_where_a_person_added_it(second_shaft: Editor):
    second_shaft.add(np.array(FAR, float))
    assert ids(second_shaft) == [1, 2, 3, 4, 7]
    second_shaft.trace([np.array([7.0, 15, 3]), np.array([7.0, 15, 116])])
    assert ids(second_shaft) == [1, 2, 3, 4, 7]
    assert spine(second_shaft, 7)["length_um"] == pytest.approx(1.1, abs=0.3)


# --- dendrites ------------------------------------------------------------------------------------


def test_a_dendrite_taken_away_and_traced_again_measures_the_same(editor):
    before = editor.analysis
    assert editor.delete_dendrite(1).words == "delete dendrite 1"
    assert len(editor.analysis.dendrites) == 0 and ids(editor) == [1, 2, 3, 4]
    assert editor.analysis.spines["length_um"].isna().all() and not editor.analysis.dendrite_ids.any()
    same_tables(editor)
    change = editor.trace([np.array([7, 45, 3]), np.array([7, 45, 116])])
    assert (change.words, change.dendrite) == ("trace dendrite 2", 2), "a number is never used twice"
    now, old = editor.analysis.dendrites.iloc[0], before.dendrites.iloc[0]
    assert now["origin"] == "by hand" and old["origin"] == "automatic"
    assert now["path_length_um"] == pytest.approx(11.3, rel=0.02)
    assert now["mean_radius_um"] == pytest.approx(old["mean_radius_um"], rel=0.12)
    assert now["n_spines"] == 4
    joined = before.spines.merge(editor.analysis.spines, on="spine_id", suffixes=("", "_now"))
    np.testing.assert_allclose(joined["length_um_now"], joined["length_um"], rtol=0.15)
    assert set(joined["dendrite_id_now"]) == {2}
    same_tables(editor)


def test_a_line_follows_the_shaft_and_not_the_straight_way_between_the_clicks(editor):
    line = editor.preview([np.array([6, 47, 5]), np.array([8, 43, 112])])
    inner = line[15:-15]
    assert np.abs(inner[:, 1] - 45).max() < 1.2 and np.abs(inner[:, 0] - 7).max() < 0.8
    assert ids(editor) == [1, 2, 3, 4] and not read_edits(editor.folder), "looking changes nothing"


def test_a_cut_makes_two_whose_lengths_add_up_and_joining_makes_one_again(editor):
    before = lengths(editor)[1]
    assert editor.cut(np.array([7, 45, 50])).words == "cut dendrite 1"
    two = lengths(editor)
    assert set(two) == {1, 2} and sum(two.values()) == pytest.approx(
        before, abs=1e-4
    )  # tables keep six digits
    assert two[1] > two[2], "the longer part keeps its number"
    owner = editor.analysis.spines.set_index("spine_id")["dendrite_id"]
    place = editor.analysis.spines.set_index("spine_id")["x_px"]
    assert ((owner == 2) == (place < 50)).all()
    shaft = editor.analysis.dendrite_ids
    assert set(np.unique(shaft[:, :, :40])) == {0, 2} and set(np.unique(shaft[:, :, 60:])) == {0, 1}
    same_tables(editor)
    assert editor.join(np.array([7, 45, 48]), np.array([7, 45, 52])).words.startswith("join dendrites")
    assert lengths(editor) == {1: pytest.approx(before, abs=0.05)}
    assert set(editor.analysis.spines["dendrite_id"]) == {1}
    assert editor.analysis.dendrites["origin"].tolist() == ["corrected"]
    same_tables(editor)


def test_a_redrawn_stretch_takes_the_place_of_the_old_one(editor):
    before = lengths(editor)[1]
    editor.redraw([np.array([7, 45, 30]), np.array([7, 45, 60]), np.array([7, 45, 90])])
    assert lengths(editor) == {1: pytest.approx(before, rel=0.02)}
    assert editor.analysis.dendrites["n_branches"].tolist() == [1]
    same_tables(editor)


def test_an_end_is_extended_and_a_branch_added_and_taken_away(editor):
    editor.delete_dendrite(1)
    editor.trace([np.array([7, 45, 3]), np.array([7, 45, 60])])
    short = lengths(editor)[2]
    # the click may be on another slice
    change = editor.extend([np.array([13, 45, 88]), np.array([7, 45, 115])])
    assert change.words == "extend dendrite 2" and lengths(editor)[2] == pytest.approx(short + 5.5, rel=0.03)
    # a spine's neck is as good a side branch as any
    z, y, x = HEADS[2]
    change = editor.trace([np.array([7, 45, 60]), np.array([z, y, x])])
    assert change.words == "extend dendrite 2" and editor.analysis.dendrites["n_branches"].tolist() == [3]
    same_tables(editor)
    assert editor.delete_branch(np.array([z, y, x])).words == "delete a branch of dendrite 2"
    assert editor.analysis.dendrites["n_branches"].tolist() == [1]
    same_tables(editor)


@pytest.mark.parametrize(
    ("do", "words"),
    [
        (lambda e: e.trace([np.array([7, 45, 3])]), "two places that are apart"),
        (lambda e: e.trace([np.array([7, 45, 3]), np.array([7, 45, 60])]), "both ends lie on dendrite 1"),
        (lambda e: e.trace([np.array([7, 5, 3]), np.array([7, 5, 600])]), "outside the image"),
        (lambda e: e.extend([np.array([7, 5, 60]), np.array([7, 5, 90])]), "no dendrite ends there"),
        (lambda e: e.cut(np.array([7, 5, 60])), "no dendrite is traced there"),
        (lambda e: e.delete_branch(np.array([7, 80, 60])), "no dendrite is traced there"),
        (lambda e: e.delete_dendrite(7), "there is no dendrite 7"),
        (lambda e: e.attach(1, 7), "there is no dendrite 7"),
        (lambda e: e.merge(1, 1), "choose two"),
        (lambda e: e.remove(70), "no candidate 70"),
        (lambda e: e.set_class(1, "round"), "there is no class"),
        (lambda e: e.undo(), "no correction left to undo"),
        (lambda e: e.redo(), "nothing to do again"),
        (lambda e: e.set_outline(1, 7, np.zeros((2, 2))), "three corners"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence_and_changes_nothing(editor, do, words):
    before = editor.analysis
    with pytest.raises(SpinecoreError, match=words):
        do(editor)
    assert editor.analysis is before and not read_edits(editor.folder)
