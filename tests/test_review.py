"""Detections corrected by a person: removed, counted, added, shared, taken back - and what of it lasts."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
from drawn_analysis import HEADS, SPACING, THRESHOLD, drawn_analysis, drawn_maps

from spinecore.analysis.cutter import Cutter, estimate_number
from spinecore.analysis.edits import add_spine, count_spine, remove_spine, undo_correction
from spinecore.analysis.storage import load_analysis, read_table, save_analysis
from spinecore.corrections.grow import Place
from spinecore.corrections.log import EDITS, read_edits
from spinecore.corrections.replay import count_corrections
from spinecore.detection.calibration import ScoreCalibration
from spinecore.detection.candidates import find_candidates
from spinecore.errors import SpinecoreError
from spinecore.methods.prediction import Prediction


@pytest.fixture
def stored(tmp_path):
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path)
    return tmp_path, voxels


def reader(voxels):
    return lambda wanted: voxels[wanted.start : wanted.stop]


def with_an_unseen_spine():
    """The drawn stack without the second spine's maps: it is bright, but no candidate lies there."""
    dendrite, spine, centre, intensity = drawn_maps()
    _, y, x = HEADS[1]
    spine, centre = spine.copy(), centre.copy()
    spine[:, y - 12 : y + 12, x - 9 : x + 9] = 0
    centre[:, y - 12 : y + 12, x - 9 : x + 9] = 0
    return Prediction(dendrite, spine, centre, intensity, SPACING, (1.0, 1.0), "drawn"), intensity


def stored_without_the_second(folder):
    from dataclasses import replace

    from spinecore.analysis.cutter import dendrite_table

    full, _ = drawn_analysis()
    prediction, voxels = with_an_unseen_spine()
    candidates, ids = find_candidates(prediction)
    spines = Cutter(candidates, voxels.shape, full.spacing).table(THRESHOLD)
    table = dendrite_table(spines, candidates, full.spacing, False)
    analysis = replace(full, detected=candidates, spines=spines, dendrites=table, detected_ids=ids)
    save_analysis(analysis, folder)
    return full, voxels


def test_a_removed_spine_is_gone_from_every_file_and_at_every_threshold(stored):
    folder, _ = stored
    before = load_analysis(folder)
    after = remove_spine(folder, 2)
    assert list(before.spines["spine_id"]) == [1, 2, 3, 4] and list(after.spines["spine_id"]) == [1, 3, 4]
    assert list(read_table(folder / "spines.csv")["spine_id"]) == [1, 3, 4]
    assert set(np.unique(tifffile.imread(folder / "labels.tif"))) == {0, 1, 3, 4}
    assert json.loads((folder / "analysis.json").read_text())["n_spines"] == 3
    assert after.dendrites["n_spines"].sum() == before.dendrites["n_spines"].sum() - 1
    again = load_analysis(folder)
    assert list(again.at_threshold(0.1).spines["spine_id"]) == [1, 3, 4, 5]


def test_a_weak_candidate_counts_once_a_person_says_so_and_is_marked(stored):
    folder, _ = stored
    after = count_spine(folder, 5)
    assert list(after.spines["spine_id"]) == [1, 2, 3, 4, 5]
    assert list(after.spines["edited"]) == [False] * 4 + [True]
    assert after.spines.iloc[4]["score"] == pytest.approx(0.4, abs=0.01)
    assert list(load_analysis(folder).at_threshold(0.95).spines["spine_id"]) == [5]


def test_undo_takes_back_the_last_step_and_then_the_one_before(stored):
    folder, _ = stored
    remove_spine(folder, 1)
    count_spine(folder, 5)
    assert list(undo_correction(folder).spines["spine_id"]) == [2, 3, 4]
    assert list(undo_correction(folder).spines["spine_id"]) == [1, 2, 3, 4]
    with pytest.raises(SpinecoreError, match="no correction left to undo"):
        undo_correction(folder)
    assert len(read_edits(folder)) == 4, "the list keeps everything"


def test_a_spine_without_candidate_is_grown_from_the_stack(tmp_path):
    full, voxels = stored_without_the_second(tmp_path)
    before = load_analysis(tmp_path)
    z, y, x = HEADS[1]
    after, number = add_spine(tmp_path, np.array([z, y + 1, x - 1]), reader(voxels))
    assert number == len(before.candidates.scores) + 1 and len(after.spines) == len(before.spines) + 1
    added = after.spines.set_index("spine_id").loc[number]
    true = full.spines.set_index("spine_id").loc[2]
    assert added["edited"] and np.isnan(added["score"]) and added["dendrite_id"] == true["dendrite_id"]
    np.testing.assert_allclose(added[["z_px", "y_px", "x_px"]].astype(float), [z, y, x], atol=1.5)
    assert added["volume_um3"] == pytest.approx(true["volume_um3"], rel=0.35)
    assert added["length_um"] == pytest.approx(true["length_um"], rel=0.35)
    again = load_analysis(tmp_path)
    np.testing.assert_array_equal(again.labels, after.labels)
    assert undo_correction(tmp_path).spines["spine_id"].tolist() == before.spines["spine_id"].tolist()


def test_the_depth_of_a_click_on_the_projection_is_found(tmp_path):
    _, voxels = stored_without_the_second(tmp_path)
    z, y, x = HEADS[1]
    after, number = add_spine(tmp_path, np.array([np.nan, y, x]), reader(voxels))
    assert after.spines.set_index("spine_id").loc[number, "z_px"] == pytest.approx(z, abs=2)


def test_a_single_image_can_be_corrected_too(tmp_path):
    analysis, voxels = drawn_analysis(flat=True)
    save_analysis(analysis, tmp_path)
    before = len(analysis.spines)
    _, y, x = HEADS[0]
    after, number = add_spine(tmp_path, np.array([np.nan, y - 3, x + 1]), reader(voxels))
    assert len(after.spines) == before + 1 and after.spines["spine_id"].tolist()[-1] == number
    assert len(remove_spine(tmp_path, number).spines) == before


def test_a_click_on_a_candidate_counts_it(stored):
    folder, voxels = stored
    after, number = add_spine(folder, np.array(HEADS[4], float), reader(voxels))
    assert number == 5 and list(after.spines["spine_id"]) == [1, 2, 3, 4, 5]
    assert not list(folder.glob("added_*.npz"))


def test_a_click_inside_a_spine_shares_it_between_two_heads(stored):
    folder, voxels = stored
    z, y, x = HEADS[0]
    before = load_analysis(folder)
    assert before.spines.set_index("spine_id").loc[1, "volume_um3"] > 0
    after, number = add_spine(folder, np.array([z + 2, y - 3, x + 1]), reader(voxels))
    assert number == 6 and len(after.spines) == 5
    parts = after.spines.set_index("spine_id").loc[[1, 6], "volume_um3"].sum()
    assert parts == pytest.approx(before.spines.set_index("spine_id").loc[1, "volume_um3"], rel=0.05)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((7, 45, 50), "middle of the dendrite"),
        ((7, 5, 5), "nothing there is brighter"),
        ((7, 500, 5), "outside the image"),
        (HEADS[0], "spine 1 lies there already"),
    ],
)
def test_where_nothing_can_be_a_spine_one_sentence_says_why(stored, place, words):
    folder, voxels = stored
    with pytest.raises(SpinecoreError, match=words):
        add_spine(folder, np.array(place, float), reader(voxels))
    assert not (folder / EDITS).exists(), "nothing was changed"


def test_a_spine_too_small_to_be_divided_stays_as_it_is(tmp_path, monkeypatch):
    analysis, voxels = drawn_analysis()
    region = analysis.candidates.regions[0]
    head = np.array(HEADS[int(region.peaks[0])])
    region.mask[:] = False
    region.mask[tuple(head - region.origin)] = True
    save_analysis(analysis, tmp_path)
    before = load_analysis(tmp_path).at_threshold(THRESHOLD).spines["spine_id"].tolist()
    monkeypatch.setattr(
        "spinecore.analysis.spine_edits.find_place", lambda *_: Place(head.astype(float), region=0)
    )
    with pytest.raises(SpinecoreError, match="no room for a second one"):
        add_spine(tmp_path, head.astype(float), reader(voxels))
    assert load_analysis(tmp_path).spines["spine_id"].tolist() == before


def test_an_unknown_spine_cannot_be_removed(stored):
    with pytest.raises(SpinecoreError, match="no candidate 77"):
        remove_spine(stored[0], 77)


def test_a_crash_between_the_list_and_the_tables_loses_nothing(stored):
    folder, _ = stored
    remove_spine(folder, 3)
    with (folder / EDITS).open("a", encoding="utf-8") as file:
        file.write(
            '{"n": 2, "kind": "remove", "spine": 1}\n{"n": 3, "kind": "rem'
        )  # the tables are from before
    found = load_analysis(folder)
    assert list(found.spines["spine_id"]) == [2, 4] and found.dendrites["n_spines"].sum() == 2


def test_another_threshold_can_be_kept_after_corrections(tmp_path):
    _, voxels = stored_without_the_second(tmp_path)
    _, number = add_spine(tmp_path, np.array(HEADS[1], float), reader(voxels))
    remove_spine(tmp_path, 1)
    shown = load_analysis(tmp_path).at_threshold(0.65)
    save_analysis(shown, tmp_path)
    again = load_analysis(tmp_path)
    assert (
        again.spines["spine_id"].tolist() == shown.spines["spine_id"].tolist()
        and number in shown.spines["spine_id"].values
    )
    assert len(again.candidates.scores) == number, "the added spine is there once"


def test_what_was_changed_is_counted_in_words(tmp_path):
    _, voxels = stored_without_the_second(tmp_path)
    assert count_corrections(load_analysis(tmp_path).candidates, THRESHOLD).words == ""
    remove_spine(tmp_path, 1)
    count_spine(tmp_path, 4)
    after, _ = add_spine(tmp_path, np.array(HEADS[1], float), reader(voxels))
    assert (
        count_corrections(after.candidates, THRESHOLD).words
        == "1 removed, 1 counted below the threshold, 1 added"
    )


def test_the_command_line_corrects_and_says_what_now_stands(tmp_path):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    _, voxels = stored_without_the_second(tmp_path / "result")
    metadata = {"axes": "ZYX", "spacing": SPACING[0], "unit": "um"}
    tifffile.imwrite(tmp_path / "cell.tif", voxels, imagej=True, resolution=(10, 10), metadata=metadata)
    place = ",".join(str(v) for v in HEADS[1])
    call = ["correct", str(tmp_path / "result"), "--remove", "1", "--count", "4", "--add", place]
    assert "needs the analysed file" in CliRunner().invoke(app, call).output
    result = CliRunner().invoke(app, [*call, "--stack", str(tmp_path / "cell.tif")])
    assert result.exit_code == 0, result.output
    assert "(1 removed, 1 counted below the threshold, 1 added)" in result.output
    result = CliRunner().invoke(app, ["correct", str(tmp_path / "result"), "--undo", "2"])
    assert "(1 removed)" in result.output
    result = CliRunner().invoke(app, ["correct", str(tmp_path / "result"), "--remove", "99"])
    assert result.exit_code == 2 and "no candidate 99" in result.output


def test_the_corrected_number_takes_a_person_s_word_for_certain(stored):
    folder, _ = stored
    curve = ScoreCalibration("m", "0", 1.0, (0.0, 1.0), (0.0, 1.0), 0.0, 0.1, (), 2, 10)
    before = estimate_number(curve, load_analysis(folder).candidates).number
    remove_spine(folder, 1)
    after = estimate_number(curve, count_spine(folder, 5).candidates).number
    assert after == pytest.approx(before - 0.9 + (1 - 0.4), abs=0.02)


def test_a_wide_glow_is_no_head(tmp_path):
    """Once what was pointed at in empty haze became a spine of 3 cubic micrometres."""
    _, voxels = stored_without_the_second(tmp_path)
    shape = voxels.shape
    z = HEADS[1][0]
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    glow = np.exp(-0.5 * (((grid - [z, 80, 100]) * SPACING / 3.0) ** 2).sum(-1))
    hazy = (voxels + 0.3 * voxels.max() * glow).astype(voxels.dtype)
    with pytest.raises(SpinecoreError, match="nothing there stands out"):
        add_spine(tmp_path, np.array([z, 80, 100]), reader(hazy))
    assert not read_edits(tmp_path)


def test_a_head_wider_than_most_is_added_whole(tmp_path):
    """In a stack with larger spines a clear head of 2.2 um could not be added: it filled what was looked at."""
    _, voxels = stored_without_the_second(tmp_path)
    z = HEADS[1][0]
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in voxels.shape), indexing="ij"), -1)
    away = np.linalg.norm((grid - [z, 75, 100]) * SPACING, axis=-1)
    large = np.where(away < 1.1, voxels.max(), voxels)
    analysis, spine = add_spine(tmp_path, np.array([z, 75, 100]), reader(large))
    area = analysis.spines.set_index("spine_id").loc[spine, "area_um2"]
    assert area == pytest.approx(np.pi * 1.1**2, rel=0.15)
