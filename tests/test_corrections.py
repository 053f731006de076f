"""An analysis is never changed in place, corrections belong to one analysis, and nobody's correction is lost."""

from __future__ import annotations

import json
import multiprocessing
import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import HEADS, THRESHOLD, drawn_analysis

from spinecore.analysis.ahead import MeasuredCuts
from spinecore.analysis.edits import (
    add_spine,
    change_class,
    remove_spine,
    set_soma,
    set_threshold,
)
from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import load_analysis, remove_analysis, save_analysis
from spinecore.corrections.classes import ClassChange
from spinecore.corrections.log import Corrections, read_corrections, read_edits
from spinecore.corrections.old_logs import SpineStep, append_step
from spinecore.detection.belonging import DetectionRules
from spinecore.errors import SpinecoreError
from spinecore.stack import Spacing


@pytest.fixture
def drawn() -> Analysis:
    return drawn_analysis()[0]


def ids(analysis: Analysis) -> list[int]:
    return analysis.spines["spine_id"].tolist()


def test_a_correction_at_one_threshold_leaves_the_other_alone(drawn):
    low = drawn.at_threshold(0.3)
    before = low.spines.copy()
    said = Corrections((SpineStep("remove", 1),), (ClassChange(2, "filopodium"),), (7.0, 45.0, 0.0))
    corrected = drawn.with_corrections(said)
    assert ids(corrected) == [2, 3, 4] and ids(drawn) == [1, 2, 3, 4] and ids(low) == [1, 2, 3, 4, 5]
    assert corrected.spines.set_index("spine_id").loc[2, "class"] == "filopodium"
    assert corrected.spines["soma_distance_um"].notna().all()
    pd.testing.assert_frame_equal(low.spines, before)
    pd.testing.assert_frame_equal(low.at_threshold(0.3).spines, before)
    assert ids(corrected.at_threshold(0.3)) == [2, 3, 4, 5], "corrections go along"
    assert drawn.labels.max() == 4 and 1 not in np.unique(corrected.labels)
    assert corrected.dendrites["n_spines"].sum() == drawn.dendrites["n_spines"].sum() - 1


def test_an_analysis_cannot_be_assigned_to(drawn):
    for name in ("spines", "threshold", "corrections", "cutter"):
        with pytest.raises(FrozenInstanceError):
            setattr(drawn, name, None)
    with pytest.raises(FrozenInstanceError):
        drawn.candidates.scores = np.zeros(0)
    with pytest.raises(FrozenInstanceError):
        drawn.cutter.corrections = Corrections()


def test_measures_of_other_detections_are_not_taken_over(drawn):
    drawn.at_threshold(0.3)
    wider = replace(drawn, spacing=Spacing(0.25, 0.2, 0.2, "user"))
    assert wider.cuts is not drawn.cuts and drawn.at_threshold(0.6).cuts is drawn.cuts
    moved = replace(drawn, detected=replace(drawn.detected, scores=drawn.detected.scores * 0.9))
    found = moved.at_threshold(0.3).spines["score"]
    np.testing.assert_allclose(found, drawn.at_threshold(0.3).spines["score"][: len(found)] * 0.9)


def test_spines_added_under_one_number_at_two_places_are_two(drawn):
    """Two people who each add a first spine to a copy of an analysis each see their own."""

    def with_added(place: tuple[float, float, float], region: int) -> Analysis:
        step = SpineStep("add", 6, place, region)
        return drawn.with_corrections(Corrections((step,)))

    first = with_added((9.0, 30.0, 21.0), 0)
    other = with_added((5.0, 60.0, 41.0), 1)
    assert first.cuts is other.cuts
    places = [
        a.spines.set_index("spine_id").loc[6, ["z_px", "y_px", "x_px"]].tolist() for a in (first, other)
    ]
    assert places == [[9, 30, 21], [5, 60, 41]]


def test_a_pickled_analysis_is_the_same_and_goes_on(drawn):
    corrected = drawn.with_corrections(Corrections((SpineStep("count", 5),), soma=(7.0, 45.0, 0.0)))
    assert corrected.labels.max() == 5
    text = pickle.dumps(corrected)
    again = pickle.loads(text)
    assert "labels" not in vars(again), "what can be made again is not carried along"
    pd.testing.assert_frame_equal(again.spines, corrected.spines)
    pd.testing.assert_frame_equal(again.at_threshold(0.65).spines, corrected.at_threshold(0.65).spines)
    np.testing.assert_array_equal(again.labels, corrected.labels)


def test_corrections_go_along_into_another_folder(tmp_path):
    """Once a download at another threshold, which is read again to be exported, had lost them."""
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path / "a")
    z, y, x = HEADS[0]
    _, number = add_spine(tmp_path / "a", np.array([z + 2, y - 3, x + 1]), lambda r: voxels[r.start : r.stop])
    remove_spine(tmp_path / "a", 2)
    change_class(tmp_path / "a", 3, "filopodium")
    corrected = set_soma(tmp_path / "a", (7, 45, 0))
    save_analysis(corrected.at_threshold(0.65), tmp_path / "b")
    copy = load_analysis(tmp_path / "b")
    assert ids(copy) == [1, 3, number]
    assert copy.corrections == read_corrections(tmp_path / "a")
    pd.testing.assert_frame_equal(
        copy.at_threshold(THRESHOLD).spines, load_analysis(tmp_path / "a").at_threshold(THRESHOLD).spines
    )


def test_a_removed_mark_leaves_no_distances(tmp_path):
    save_analysis(drawn_analysis()[0], tmp_path)
    assert set_soma(tmp_path, (7, 45, 0)).spines["soma_distance_um"].notna().all()
    assert set_soma(tmp_path, None).spines["soma_distance_um"].isna().all()
    assert load_analysis(tmp_path).spines["soma_distance_um"].isna().all()


def test_removed_analyses_take_their_corrections_with_them(tmp_path):
    save_analysis(drawn_analysis()[0], tmp_path)
    remove_spine(tmp_path, 1)
    (tmp_path / "mine.txt").write_text("notes")
    remove_analysis(tmp_path)
    save_analysis(drawn_analysis()[0], tmp_path)
    assert ids(load_analysis(tmp_path)) == [1, 2, 3, 4] and (tmp_path / "mine.txt").exists()


def test_a_missing_file_of_an_added_spine_is_named(tmp_path):
    analysis, _ = drawn_analysis()
    save_analysis(analysis, tmp_path)
    step = SpineStep("add", 6, (3.0, 10.0, 100.0), grown=analysis.detected.regions[0])
    append_step(tmp_path, step)
    (tmp_path / "added_00006.npz").unlink()
    with pytest.raises(SpinecoreError, match=r"added_00006\.npz.*is missing"):
        load_analysis(tmp_path)


def test_rules_are_stored_and_older_files_are_read(tmp_path):
    analysis = replace(drawn_analysis()[0], rules=DetectionRules(near_um=2.5))
    save_analysis(analysis, tmp_path)
    facts = json.loads((tmp_path / "analysis.json").read_text())
    assert facts["detection_rules"]["near_um"] == 2.5
    assert load_analysis(tmp_path).rules == DetectionRules(near_um=2.5)
    for name in ("detection_rules", "n_corrections_drawn", "soma_zyx_px"):
        del facts[name]
    (tmp_path / "analysis.json").write_text(json.dumps(facts))
    with np.load(tmp_path / "candidates.npz") as data:
        arrays = dict(data)
    arrays["lone"] = arrays.pop("untraced") | (arrays["scores"] < 0.65)
    np.savez_compressed(tmp_path / "candidates.npz", **arrays)
    line = {"action": "add", "spine_id": 6, "centre_px": [9, 30, 21], "region": 0, "lone": True, "time": ""}
    (tmp_path / "spine_corrections.jsonl").write_text(json.dumps(line) + "\n")
    old = load_analysis(tmp_path)
    assert old.rules == DetectionRules()
    assert old.candidates.untraced.tolist() == [False, False, False, True, True, True]


# --- several at once ------------------------------------------------------------------------------


def correct(folder: Path, mine: list[int], start: object) -> None:
    """One of two processes: set the threshold, remove a spine, add one, and change a class."""
    voxels = drawn_analysis()[1]
    start.wait(timeout=120)
    if 1 in mine:
        set_threshold(folder, 0.45)
    for number in mine:
        remove_spine(folder, number)
    z, y, x = HEADS[2 if 1 in mine else 3]
    side = -3 if y < 45 else 3
    add_spine(folder, np.array([z + 2.0, y + side, x + 1.0]), lambda r: voxels[r.start : r.stop])
    change_class(folder, 3 if 1 in mine else 4, "filopodium")


def test_two_processes_that_correct_one_analysis_lose_nothing(tmp_path):
    save_analysis(drawn_analysis()[0], tmp_path)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(2)
    workers = [context.Process(target=correct, args=(tmp_path, mine, start)) for mine in ([1], [2])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(timeout=300)
    assert [worker.exitcode for worker in workers] == [0, 0]
    edits = read_edits(tmp_path)
    assert [edit.n for edit in edits] == list(range(1, 7))
    assert sorted((e.kind, e.spine) for e in edits) == [
        ("add", 6),
        ("add", 7),
        ("class", 3),
        ("class", 4),
        ("remove", 1),
        ("remove", 2),
    ]
    found = load_analysis(tmp_path)
    assert found.threshold == 0.45 and ids(found) == [3, 4, 6, 7]
    assert found.spines.set_index("spine_id")["class"].loc[[3, 4]].tolist() == ["filopodium"] * 2
    stored = pd.read_csv(tmp_path / "spines.csv")
    assert stored["spine_id"].tolist() == [3, 4, 6, 7], "the last one to write knew of all"


def test_threads_that_share_an_analysis_get_the_same_tables(drawn):
    """As sessions of the dashboard do that look at one analysis at several thresholds."""
    thresholds = [0.1, 0.35, 0.45, 0.65, 0.75, 0.85] * 3
    shared = replace(drawn, cuts=MeasuredCuts())
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(shared.at_threshold, thresholds))
    for found, threshold in zip(together, thresholds, strict=True):
        pd.testing.assert_frame_equal(found.spines, drawn.at_threshold(threshold).spines)


def test_corrections_of_another_analysis_are_refused(tmp_path):
    """A log that was left beside a new result must not be applied to it."""
    first = drawn_analysis()[0]
    save_analysis(first, tmp_path / "first")
    remove_spine(tmp_path / "first", 1)
    save_analysis(replace(first, name="another image"), tmp_path / "second")
    log = (tmp_path / "first" / "corrections.jsonl").read_bytes()
    (tmp_path / "second" / "corrections.jsonl").write_bytes(log)
    with pytest.raises(
        SpinecoreError, match=r"1 of 1 corrections in second/corrections\.jsonl were made on another"
    ):
        load_analysis(tmp_path / "second")
    copy = load_analysis(tmp_path / "first").at_threshold(0.3)
    save_analysis(copy, tmp_path / "copy")
    assert 1 not in ids(load_analysis(tmp_path / "copy"))
