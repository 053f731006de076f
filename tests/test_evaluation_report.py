"""Whole evaluations: the published tracks, simulated-like tables, masks, and what is said when they cannot be made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from spinecore.errors import SpinecoreError
from spinecore.evaluation.report import evaluate_files

DATA = Path(os.environ.get("SPINE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
TRACKS = DATA / "tracks3d"
needs_tracks = pytest.mark.skipif(
    not TRACKS.is_dir(), reason=f"the data folder tracks3d is absent (looked in {DATA})"
)


def table(folder: Path, name: str, um, visible=None, score=None, pixel: float | None = 0.1) -> Path:
    """Write a spine table with 5 px wide boxes round (x, y, z) in um; `pixel` None leaves um out."""
    um = np.asarray(um, float).reshape(-1, 3)
    rows = pd.DataFrame({"spine_id": np.arange(1, len(um) + 1)})
    for axis, values, size in zip("xyz", um.T, (0.1, 0.1, 0.5), strict=True):
        rows[f"{axis}_px"] = values / size
        if pixel is not None:
            rows[f"{axis}_um"] = values
    for axis in "xy":
        rows[f"{axis}_min_px"], rows[f"{axis}_max_px"] = rows[f"{axis}_px"] - 2, rows[f"{axis}_px"] + 2
    rows["z_min_px"] = rows["z_max_px"] = rows["z_px"].round()
    if visible is not None:
        rows["visible"] = visible
    if score is not None:
        rows["score"] = score
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(path, index=False)
    return path


@pytest.mark.data
@needs_tracks
def test_published_tracks_give_the_authors_figure_pooled_and_ours_apart():
    report = evaluate_files(TRACKS / "truth_max.csv", TRACKS / "detections_model.csv", "box3d")
    pooled, apart = report.shown, report.other
    assert pooled.pooled and not apart.pooled
    counts = pooled.counts
    assert (counts.n_predicted, counts.n_truth, counts.n_matched) == (63, 55, 53)
    assert counts.precision == pytest.approx(0.8413, abs=5e-5)
    assert counts.recall == pytest.approx(0.9636, abs=5e-5)
    assert counts.f1 == pytest.approx(0.8983, abs=5e-5)
    # Kept apart, a track that runs on through the next stack is a spine of each.
    assert (apart.counts.n_predicted, apart.counts.n_truth, apart.counts.n_matched) == (90, 72, 68)
    assert apart.counts.f1 == pytest.approx(0.8395, abs=5e-5) and len(apart.units) == 5
    text = report.to_text()
    assert (
        "pooled into one coordinate space (shown)" in text
        and "5 stacks, matched apart (for comparison)" in text
    )
    assert "F1-3D 0.8983" in text and "F1-3D 0.8395" in text
    values = json.loads(report.to_json())
    assert values["stacks"] == "pooled" and values["n_matched"] == 53
    assert values["stacks_apart"]["n_matched"] == 68 and len(values["stacks_apart"]["per_unit"]) == 5


@pytest.mark.data
@needs_tracks
def test_published_tracks_apart_on_request_and_slice_by_slice():
    paths = TRACKS / "truth_max.csv", TRACKS / "detections_model.csv"
    apart = evaluate_files(*paths, "box3d", stacks="apart")
    assert not apart.shown.pooled and apart.other.pooled and apart.shown.counts.n_matched == 68
    low, high = apart.shown.interval().low, apart.shown.interval().high
    assert low < apart.f1 < high and apart.shown.interval().unit == "stack"
    iou, iom = (evaluate_files(*paths, name).shown for name in ("box2d", "box2d-iom"))
    assert iou.unit == "image" and iou.counts.n_truth == 449 and iou.counts.n_predicted == 470
    assert iou.counts.n_matched <= iom.counts.n_matched <= 449
    same = evaluate_files(paths[0], paths[0], "box3d")
    assert same.f1 == 1 and same.other.counts.f1 == 1
    with pytest.raises(SpinecoreError, match="no positions in micrometres"):
        evaluate_files(*paths, "centre")
    assert evaluate_files(*paths, "centre", pixel_um=0.1, z_um=0.5).shown.counts.n_truth == 72


def test_centre_report_in_closed_form(tmp_path):
    truth = table(tmp_path, "truth_spines.csv", [[1, 1, 1], [5, 5, 1], [9, 9, 1], [7, 1, 1]], [1, 1, 1, 0])
    found = [[1.5, 1, 1], [5, 5, 2.5], [7, 1.2, 1], [3, 8, 1]]
    predicted = table(tmp_path, "spines.csv", found, score=[0.9, 0.8, 0.7, 0.6])
    report = evaluate_files(truth, predicted)
    counts = report.shown.counts
    assert (counts.n_truth, counts.n_predicted, counts.n_matched) == (3, 3, 1)
    assert report.f1 == pytest.approx(1 / 3)
    assert report.shown.misses["object_id"].tolist() == [2, 3]
    assert report.shown.false_alarms["object_id"].tolist() == [2, 4]
    assert report.shown.pairs[["truth_id", "predicted_id"]].to_numpy().tolist() == [[1, 1]]
    assert (report.shown.n_ignored_truth, report.shown.n_ignored_predicted) == (1, 1)
    assert evaluate_files(truth, predicted, tolerance_um=1.5).shown.counts.n_matched == 2
    strict = evaluate_files(truth, predicted, score_threshold=0.75).shown
    assert strict.counts.n_predicted == 2 and strict.counts.n_matched == 1
    assert strict.curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert strict.curve.precision.tolist() == pytest.approx([1, 1 / 2, 1 / 2, 1 / 3])
    text = report.to_text()
    assert "true 3, predicted 3, matched 1, missed 2, false alarms 2" in text
    assert "centres at most 1 um apart" in text and "ignored: 1 spines too faint" in text
    values = json.loads(report.to_json())
    assert values["n_matched"] == 1 and values["recall"] == pytest.approx(1 / 3)
    assert [row["object_id"] for row in values["misses"]] == [2, 3]


@pytest.mark.parametrize("criterion", ["centre", "box2d", "box2d-iom", "box3d"])
def test_a_file_against_itself_is_perfect(tmp_path, criterion):
    path = table(tmp_path, "spines.csv", [[1, 1, 1], [5, 5, 1], [9, 9, 3]])
    assert evaluate_files(path, path, criterion).f1 == 1


def test_empty_prediction_and_empty_both(tmp_path):
    truth, nothing = table(tmp_path, "t.csv", [[1, 1, 1]]), table(tmp_path, "p.csv", np.zeros((0, 3)))
    missed = evaluate_files(truth, nothing)
    assert missed.f1 == 0 and np.isnan(missed.precision) and "precision undefined" in missed.to_text()
    assert json.loads(missed.to_json())["precision"] is None
    clutter = evaluate_files(nothing, truth)
    assert clutter.shown.counts.n_false_alarms == 1 and clutter.f1 == 0
    assert json.loads(evaluate_files(nothing, nothing).to_json())["f1"] is None


def test_missing_micrometres_are_one_sentence_that_names_the_file(tmp_path):
    truth = table(tmp_path, "truth.csv", [[1, 1, 1]])
    predicted = table(tmp_path, "predicted.csv", [[1, 1, 1]], pixel=None)
    with pytest.raises(SpinecoreError, match=r"predicted\.csv has no positions in micrometres") as caught:
        evaluate_files(predicted, predicted)
    assert "\n" not in str(caught.value) and "pixel size" in str(caught.value)
    assert evaluate_files(truth, predicted, pixel_um=0.1, z_um=0.5).f1 == 1
    like_truth = evaluate_files(truth, predicted)
    assert like_truth.f1 == 1 and any("taken from truth.csv" in note for note in like_truth.shown.notes)


def test_without_depth_distances_are_in_the_plane_and_that_is_said(tmp_path):
    truth = table(tmp_path, "truth.csv", [[1, 1, 1]])
    flat = tmp_path / "flat.csv"
    flat.write_text("x_um,y_um\n1,1.5\n", encoding="utf-8")
    report = evaluate_files(truth, flat)
    assert report.f1 == 1 and "in the plane" in report.to_text()
    with pytest.raises(SpinecoreError, match=r"flat\.csv has no boxes"):
        evaluate_files(truth, flat, "box3d")


def test_masks_with_invisible_truth(tmp_path):
    labels = np.zeros((2, 20, 20), np.uint16)
    labels[0, :4, :4], labels[1, 10:14, 10:14] = 1, 2
    truth = table(tmp_path / "t", "truth_spines.csv", [[0, 0, 0], [1, 1, 0.5]], [True, False])
    predicted = table(tmp_path / "p", "spines.csv", [[0, 0, 0], [1, 1, 0.5]])
    tifffile.imwrite(tmp_path / "t" / "truth_labels.tif", labels, photometric="minisblack")
    tifffile.imwrite(tmp_path / "p" / "labels.tif", labels, photometric="minisblack")
    report = evaluate_files(truth, predicted, "mask")
    assert (report.shown.counts.n_truth, report.shown.counts.n_predicted, report.f1) == (1, 1, 1)
    straight = evaluate_files(tmp_path / "t" / "truth_labels.tif", tmp_path / "p" / "labels.tif", "mask")
    assert straight.shown.counts.n_truth == 2 and straight.f1 == 1
    tifffile.imwrite(tmp_path / "p" / "labels.tif", labels[:, :10], photometric="minisblack")
    with pytest.raises(SpinecoreError, match="differ in shape"):
        evaluate_files(truth, predicted, "mask")


def test_folders_are_matched_by_name_and_give_an_interval_over_stacks(tmp_path):
    for name, shift in (("a", 0.0), ("b", 0.2), ("c", 9.0)):
        table(tmp_path / "truth" / name, "truth_spines.csv", [[1, 1, 1], [5, 5, 1]])
        table(tmp_path / "found" / name, "spines.csv", [[1 + shift, 1, 1], [5, 5, 1]], score=[0.9, 0.8])
    report = evaluate_files(tmp_path / "truth", tmp_path / "found")
    assert report.shown.counts.n_matched == 5 and report.other is None
    interval = report.shown.interval()
    assert (interval.n_units, interval.unit) == (3, "stack") and interval.low <= report.f1 <= interval.high
    assert "  c: true 2, predicted 2, matched 1" in report.to_text()
    table(tmp_path / "found" / "clutter", "spines.csv", [[1, 1, 1]], score=[0.9])
    more = evaluate_files(tmp_path / "truth", tmp_path / "found")
    assert more.shown.counts.n_false_alarms == 2 and "says nothing of clutter" in more.to_text()


def test_stacks_without_a_common_name_are_refused(tmp_path):
    for side, names in (("truth", "ab"), ("found", "cd")):
        for name in names:
            table(tmp_path / side / name, "spines.csv", [[1, 1, 1]])
    with pytest.raises(SpinecoreError, match="no stack in common"):
        evaluate_files(tmp_path / "truth", tmp_path / "found")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance_um": 0.0}, "tolerance must be a positive number"),
        ({"criterion": "box2d", "overlap": 1.5}, "overlap must be above 0"),
        ({"stacks": "together"}, "stacks must be one of"),
        ({"stacks": "pooled"}, "can only be pooled"),
        ({"criterion": "nearest"}, "choose one of"),
        ({"criterion": "mask"}, "no label image"),
    ],
)
def test_wrong_options_are_one_sentence(tmp_path, options, message):
    path = table(tmp_path, "spines.csv", [[1, 1, 1]])
    with pytest.raises(ValueError, match=message):
        evaluate_files(path, path, **options)


def test_evaluation_needs_no_torch():
    code = "import sys, spinecore.evaluation.report, spinecore.evaluation.consensus; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
