"""The whole way on the sample: analyse, save, load, thresholds, command line, exit codes."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
import pytest
import tifffile

from spinecore.analysis.ahead import MeasuredCuts
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import FILES, load_analysis, save_analysis
from spinecore.cli.batch import folder_names, progress_line
from spinecore.errors import SpinecoreError
from spinecore.methods.prediction import Prediction
from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.morphometry.measurer import Measurer
from spinecore.reading import read_stack
from spinecore.simulation.sample import SAMPLE_STACK
from spinecore.stack import Spacing, Stack

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def sample() -> Analysis:
    return analyse(read_stack(SAMPLE_STACK), Settings(device="cpu"))


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spinecore", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=300, check=False)


def test_the_sample_is_analysed(sample):
    assert 30 <= len(sample.spines) <= 90
    assert len(sample.dendrites) >= 1
    assert set(SPINE_COLUMNS) == set(sample.spines.columns)
    assert set(DENDRITE_COLUMNS) == set(sample.dendrites.columns)
    assert (
        sample.dendrites["n_spines"].sum()
        == sample.spines["dendrite_id"].notna().sum()
        >= len(sample.spines) - 3
    )
    assert sample.spines["score"].between(sample.threshold, 1).all()
    assert sample.spines["length_um"].median() > 0.2


def test_labels_lie_on_the_stack_and_match_the_table(sample):
    assert sample.labels.shape == sample.dendrite_labels.shape == sample.shape
    assert set(np.unique(sample.labels)) - {0} <= set(sample.spines["spine_id"])
    for row in sample.spines.head(10).itertuples():
        box = sample.labels[
            int(row.z_min_px) : int(row.z_max_px) + 1,
            max(int(row.y_min_px) - 1, 0) : int(row.y_max_px) + 2,
            max(int(row.x_min_px) - 1, 0) : int(row.x_max_px) + 2,
        ]
        assert (box == row.spine_id).any()


def test_a_spine_that_several_cuts_outline_alike_is_measured_once(sample, monkeypatch):
    taken, measure_one = [], Measurer.measure_one

    def counted(self, spine_id, crop, *rest):
        taken.append((spine_id, crop.mask.tobytes(), crop.others.tobytes()))
        return measure_one(self, spine_id, crop, *rest)

    monkeypatch.setattr(Measurer, "measure_one", counted)
    fresh = replace(sample, cuts=MeasuredCuts())
    fresh.cutter.precompute_cuts()
    assert len(set(taken)) == len(taken) > len(sample.spines)
    for number in (1, 2, 3):
        crop, centre, score = fresh.cutter.crop_of(number, sample.threshold)
        wanted = measure_one(fresh.cutter.measurer, number, crop, centre, score)
        found = fresh.spines.set_index("spine_id").loc[number]
        assert found["length_um"] == pytest.approx(wanted["length_um"], nan_ok=True)
        assert found["volume_um3"] == pytest.approx(wanted["volume_um3"], nan_ok=True)


def test_progress_is_reported_in_order(sample):
    seen = []
    stack = read_stack(SAMPLE_STACK)
    small = Stack(stack.voxels[:6, :120, :120], stack.spacing, "part")
    analyse(small, Settings(device="cpu"), lambda stage, fraction: seen.append(fraction))
    assert seen == sorted(seen) and seen[0] >= 0 and seen[-1] <= 1


def test_an_exception_in_progress_stops_the_analysis():
    def stop(stage: str, fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analyse(read_stack(SAMPLE_STACK), Settings(device="cpu"), stop)


def test_another_threshold_is_fast_and_consistent(sample):
    sample.at_threshold(0.5)
    start = process_time()  # of this process, so that a busy machine does not count
    fewer = sample.at_threshold(0.6)
    assert process_time() - start < 4.0  # the budget is 0.5 s; benchmarks/speed.py measures it
    assert set(fewer.spines["spine_id"]) <= set(sample.at_threshold(0.5).spines["spine_id"])
    assert fewer.dendrites["n_spines"].sum() == fewer.spines["dendrite_id"].notna().sum()
    back = fewer.at_threshold(sample.threshold)
    pd.testing.assert_frame_equal(back.spines, sample.spines)


def test_saved_and_loaded_is_the_same(sample, tmp_path):
    save_analysis(sample, tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(FILES)
    loaded = load_analysis(tmp_path)
    assert list(loaded.spines["spine_id"]) == list(sample.spines["spine_id"])
    np.testing.assert_allclose(
        loaded.spines["length_um"], sample.spines["length_um"].astype(float), rtol=1e-5
    )
    np.testing.assert_array_equal(loaded.labels, sample.labels)
    pd.testing.assert_frame_equal(loaded.at_threshold(0.5).spines, sample.at_threshold(0.5).spines)
    with tifffile.TiffFile(tmp_path / "labels.tif") as tif:
        assert tif.series[0].shape == sample.shape
        assert tif.imagej_metadata["spacing"] == pytest.approx(sample.spacing.z_um)


def test_a_loaded_analysis_measures_nothing_anew(sample, tmp_path, monkeypatch):
    save_analysis(sample, tmp_path)
    loaded = load_analysis(tmp_path)

    def fail(*_):
        raise AssertionError("measured again")

    monkeypatch.setattr("spinecore.analysis.cutter.Cutter._measure", fail)
    monkeypatch.setattr("spinecore.analysis.cutter.classify_spines", fail)
    for threshold in (0.1, 0.35, 0.6, 0.9):
        expected = sample.at_threshold(threshold).spines
        pd.testing.assert_frame_equal(loaded.at_threshold(threshold).spines, expected)


def test_an_analysis_without_its_measures_ahead_still_opens(sample, tmp_path):
    save_analysis(sample, tmp_path)
    (tmp_path / "ahead.parquet").unlink()
    loaded = load_analysis(tmp_path)
    assert len(loaded.at_threshold(0.3).spines) == len(sample.at_threshold(0.3).spines)


def test_an_incomplete_folder_says_so(sample, tmp_path):
    save_analysis(sample, tmp_path)
    (tmp_path / "candidates.npz").unlink()
    with pytest.raises(SpinecoreError, match=r"candidates\.npz is missing"):
        load_analysis(tmp_path)


@pytest.mark.parametrize(
    ("voxels", "spacing", "word"),
    [
        (np.ones((3, 64, 64)), Spacing(), "pixel size .* unknown"),
        (np.eye(64)[None], Spacing(1, 5, 5, "user"), "cannot show spines"),
        (np.ones((3, 64, 64)), Spacing(0.3, 0.1, 0.1, "user"), "every voxel"),
        (
            np.random.default_rng(0).random((3, 64, 64)),
            Spacing(None, 0.1, 0.1, "user"),
            "distance between the slices",
        ),
        (np.eye(8)[None], Spacing(1, 0.1, 0.1, "user"), "only 8 x 8"),
    ],
)
def test_stacks_that_cannot_be_analysed_say_why(voxels, spacing, word):
    with pytest.raises(SpinecoreError, match=word):
        analyse(Stack(voxels, spacing), Settings(device="cpu"))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int16])
def test_noise_without_a_dendrite_gives_no_spine(dtype):
    noise = np.random.default_rng(0).normal(100, 5, (3, 128, 128)).astype(dtype)
    found = analyse(Stack(noise, Spacing(0.3, 0.1, 0.1, "user")), Settings(device="cpu"))
    assert len(found.spines) == 0
    assert any("No dendrite was found, and no spine was detected" in note for note in found.notes)


def test_spines_without_a_traced_dendrite_are_not_denied_by_a_note(monkeypatch):
    """Once "No spine is reported" stood above a table of 57 spines."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (8, 60, 80)), indexing="ij")
    heads = [
        np.sqrt(((z - 4) * 0.3) ** 2 + ((y - 30) * 0.1) ** 2 + ((x - 10 - 9 * k) * 0.1) ** 2)
        for k in range(6)
    ]
    distance = np.min(heads, axis=0)
    spine, centre = (
        (distance < 0.3) * np.uint8(255),
        (230 * np.exp(-((distance / 0.3) ** 2))).astype(np.uint8),
    )
    voxels = (100 + 4.0 * spine + x % 3).astype(np.uint16)
    prediction = Prediction(
        np.zeros_like(spine), spine, centre, voxels, (0.3, 0.1, 0.1), (1.0, 1.0), "made by hand"
    )
    monkeypatch.setattr("spinecore.analysis.run.predict", lambda plan, report: (prediction, "cpu"))
    found = analyse(Stack(voxels, Spacing(0.3, 0.1, 0.1, "user")), Settings(device="cpu"))
    assert len(found.spines) == 6 and found.spines["dendrite_id"].isna().all() and found.dendrites.empty
    (note,) = [note for note in found.notes if "dendrite" in note.lower()]
    assert (
        note.startswith("No dendrite could be traced. Spines are reported without one")
        and "no spine" not in note
    )
    assert found.spines["length_um"].isna().all(), "as the note says"


def test_a_projection_gives_projected_lengths_and_no_volume(sample):
    stack = read_stack(SAMPLE_STACK)
    flat = analyse(Stack(stack.voxels.max(0)[None], stack.spacing, "mip"), Settings(device="cpu"))
    assert flat.is_2d and len(flat.spines) > 10
    assert flat.spines["volume_um3"].isna().all()
    assert flat.spines["z_um"].isna().all()


def test_folder_names_do_not_collide():
    assert folder_names(["x", "x", "X", "y"]) == ["x", "x_2", "X_3", "y"]


def test_command_line_writes_the_contract(tmp_path):
    done = run("analyse", SAMPLE_STACK, "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(FILES)
    table = pd.read_csv(tmp_path / "out" / "spines.csv")
    first = ["spine_id", "x_px", "y_px", "z_px", "x_um", "y_um", "z_um", "score", "x_min_px", "z_max_px"]
    assert set(first) <= set(table.columns)
    facts = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))
    assert facts["models"][0]["sha256"] and facts["versions"]["torch"]
    truth = SAMPLE_STACK.parent / "truth_spines.csv"
    scored = run("evaluate", "--truth", truth, "--predicted", tmp_path / "out" / "spines.csv", "--json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)


def test_a_batch_goes_on_past_a_bad_file(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "bad.tif").write_bytes(b"not a picture")
    stack = read_stack(SAMPLE_STACK)
    meta = {"axes": "ZYX", "spacing": 0.3, "unit": "um"}
    for name in ("one.tif", "two.tif"):
        tifffile.imwrite(
            folder / name, stack.voxels[:5, :150, :150], imagej=True, resolution=(12.5, 12.5), metadata=meta
        )
    done = run("analyse", folder, "--out", tmp_path / "out", "--device", "cpu")
    assert done.returncode == 2
    assert "bad.tif" in done.stderr and "1 of 3 files failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "out" / "one" / "spines.csv").exists() and (
        tmp_path / "out" / "two" / "spines.csv"
    ).exists()
    assert not (tmp_path / "out" / "bad").exists()


@pytest.mark.parametrize(
    "args",
    [
        ("analyse", "nowhere.tif", "--out", "x"),
        ("analyse", SAMPLE_STACK, "--out", "x", "--pixel-size", "-1"),
        ("analyse", SAMPLE_STACK, "--out", "x", "--method", "magic"),
        ("analyse", SAMPLE_STACK, "--out", "x", "--device", "tpu"),
        ("analyse", SAMPLE_STACK, "--out", "x", "--threshold", "7"),
        ("analyse", SAMPLE_STACK, "--out", "x", "--channel", "9"),
        ("simulate", "--seed", "1", "--out", "x", "--shape", "1,2"),
        ("simulate", "--seed", "1", "--out", "x", "--preset", "xray"),
        ("train", "magic"),
        ("export", "nowhere", "--to", "csv"),
        ("export", "nowhere", "--to", "cake"),
        ("evaluate", "--truth", "a.csv", "--predicted", "b.csv"),
    ],
)
def test_mistakes_exit_2_with_one_line(args, tmp_path):
    done = run(*[tmp_path / "x" if a == "x" else a for a in args])
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("spinecore: ") and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_models_are_listed_with_their_recipe():
    done = run("models")
    assert done.returncode == 0
    assert "centre-unet-3d" in done.stdout and "python -m spinecore train" in done.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(Terminal(), True), (io.StringIO(), False)])
def test_progress_is_drawn_in_a_terminal_only(stream: io.StringIO, shown: bool, monkeypatch):
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with progress_line("cell [1].tif") as progress:
        progress("Measuring spines", 0.5)
    text = stream.getvalue()
    assert all((part in text) == shown for part in ("cell [1].tif", "50%", "Measuring spines"))
    assert text if shown else not text
