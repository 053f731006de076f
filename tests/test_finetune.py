"""Fine-tuning on simulated images: pairing, splits, what is learned from, a tiny run, and how runs are looked after."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from drawn_analysis import drawn_analysis
from typer.testing import CliRunner
from waiting import wait_until

from spinecore.analysis.storage import save_analysis
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.files import write_json
from spinecore.jobs.manager import JobManager
from spinecore.jobs.trainings import Training, read_history, read_request, read_result
from spinecore.jobs.work import Outcome, Task, execute
from spinecore.networks.zoo import MODELS_DIR, file_sha256, get_card, load_network, save_network
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack
from spinecore.training import finetune as finetuning
from spinecore.training import own_images as module
from spinecore.training.finetune import finetune
from spinecore.training.held_out import score_held_out
from spinecore.training.marked import (
    Marked,
    hold_out,
    load_marked,
    to_canonical,
)
from spinecore.training.own_images import OwnSampler, own_classes
from spinecore.training.pool import PoolVolume
from spinecore.training.request import Request, Source
from spinecore.training.sources import find_sources
from spinecore.workspace.own_models import check_model, list_own, models_folder
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four simulated projections with tables of their visible spines."""
    folder = tmp_path_factory.mktemp("images")
    for k in range(4):
        made = simulate(546 + k, "confocal-crowded", (6, 128, 128), (0.4, 0.1, 0.1))
        image = made.stack.voxels.max(0)
        metadata = {"unit": "um", "axes": "YX"}
        tifffile.imwrite(
            folder / f"cell{k}.tif",
            image.astype(np.uint16),
            imagej=True,
            resolution=(10, 10),
            metadata=metadata,
        )
        made.spines[["spine_id", "x_px", "y_px", "visible"]].to_csv(folder / f"cell{k}.csv", index=False)
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATCH_PX", 64)
    monkeypatch.setattr(module, "OWN", 2)


def marked(n: int, name: str = "a", shape: tuple[int, int, int] = (1, 100, 200)) -> Marked:
    centres = np.zeros((n, 4), np.float32)
    centres[:, 2] = np.linspace(0, shape[2] - 1, n)
    centres[:, 3] = 1
    volume = PoolVolume(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), centres, 1.0)
    return Marked(name, volume, shape[0] == 1, {"pixel_um": 0.1, "noise": 0.01})


# --- pairing --------------------------------------------------------------------------------------


def test_tables_of_the_same_name_are_found(images, tmp_path):
    sources, left_out = find_sources(images, images)
    assert [s.name for s in sources] == ["cell0", "cell1", "cell2", "cell3"] and left_out == []
    shutil.copy(images / "cell0.tif", tmp_path / "other.tif")
    shutil.copy(images / "cell1.tif", tmp_path / "cell1.tif")
    sources, left_out = find_sources(tmp_path, images, pixel_um=0.2)
    assert [s.name for s in sources] == ["cell1"] and left_out == ["other.tif"] and sources[0].pixel_um == 0.2


def test_one_table_for_all_images_by_its_column(images, tmp_path):
    tables = [pd.read_csv(images / f"cell{k}.csv").assign(image=f"cell{k}.tif") for k in (0, 2)]
    path = tmp_path / "all.csv"
    pd.concat(tables).to_csv(path, index=False)
    sources, left_out = find_sources(images, path)
    assert [s.name for s in sources] == ["cell0", "cell2"] and len(left_out) == 2
    assert load_marked(sources[1]).n_spines == int(tables[1]["visible"].sum())


def test_folders_that_analyse_wrote_are_found(tmp_path):
    analysis, voxels = drawn_analysis()
    metadata = {"axes": "ZYX", "spacing": 0.25, "unit": "um"}
    tifffile.imwrite(tmp_path / "drawn.tif", voxels, imagej=True, resolution=(10, 10), metadata=metadata)
    save_analysis(analysis, tmp_path / "out" / "drawn")
    (source,), _ = find_sources(tmp_path / "drawn.tif", tmp_path / "out")
    found = load_marked(source)
    assert not found.is_2d and found.n_spines == 4
    want = analysis.spines[["z_px", "y_px", "x_px"]].to_numpy()
    np.testing.assert_allclose(found.volume.centres[:, :3], want, atol=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda d, i: (d / "none", i), "does not exist|no input"),
        (lambda d, i: (i, d / "none.csv"), "does not exist"),
        (lambda d, i: (i, d), "has annotations in"),
    ],
)
def test_nothing_to_pair_is_one_sentence(images, tmp_path, make, words):
    with pytest.raises(ValueError, match=words):
        find_sources(*make(tmp_path, images))


def test_marks_outside_the_image_or_without_depth_are_refused(images, tmp_path):
    table = tmp_path / "cell0.csv"
    table.write_text("x_px,y_px\n500,20\n")
    with pytest.raises(SpinecoreError, match=r"lie outside cell0\.tif"):
        load_marked(Source(image=images / "cell0.tif", annotation=table, name="cell0"))
    _, voxels = drawn_analysis()
    tifffile.imwrite(tmp_path / "stack.tif", voxels, imagej=True, metadata={"axes": "ZYX"})
    source = Source(image=tmp_path / "stack.tif", annotation=table, name="stack", pixel_um=0.1, z_um=0.25)
    table.write_text("x_px,y_px\n50,20\n")
    with pytest.raises(SpinecoreError, match="needs x, y and z"):
        load_marked(source)


# --- what is learned from -------------------------------------------------------------------------


def test_positions_move_with_the_pixels():
    image = np.zeros((1, 100, 100), np.uint16)
    image[0, 40:44, 60:64] = 1000
    stack = Stack(image, Spacing(None, 0.05, 0.05, "user"))
    volume = to_canonical(stack, np.array([[0, 41.5, 61.5, 1]], np.float32))
    _, y, x, _ = volume.centres[0]
    assert volume.image.shape == (1, 50, 50)
    bright = np.argwhere(volume.image[0] > 0.9 * volume.image.max()).mean(0)
    assert (y, x) == pytest.approx(tuple(bright), abs=0.1)


def test_few_images_are_cut_and_many_are_kept_whole():
    learned, held, words = hold_out([marked(20), marked(20, "b")])
    assert "last 30%" in words and [h.n_spines for h in held] == [6, 6]
    assert held[0].volume.image.shape[2] == 60 and held[0].volume.centres[:, 2].max() < 60
    assert learned[0].volume.centres[:, 2].max() < 140
    learned, held, words = hold_out([marked(9, str(k)) for k in range(10)])
    assert (len(learned), len(held)) == (7, 3) and not {o.name for o in learned} & {o.name for o in held}


def test_too_few_spines_are_refused():
    with pytest.raises(SpinecoreError, match="only 4 spines are marked"):
        hold_out([marked(4)])
    one_side = marked(12)
    one_side.volume.centres[:, 2] = 3
    with pytest.raises(SpinecoreError, match="too few spines are left to score on"):
        hold_out([one_side])


def test_a_mark_makes_spine_and_an_unmarked_spine_goes():
    made = simulate(545, "confocal-crowded", (6, 128, 128), (0.4, 0.1, 0.1))
    stack = Stack(made.stack.voxels.max(0)[None], Spacing(None, 0.1, 0.1, "user"))
    one = Marked("a", to_canonical(stack, np.array([[0, 5, 5, 1]], np.float32)), True, {})
    model = load_network("centre-unet-2d")
    loose, strict = (own_classes(model, one, complete) for complete in (False, True))
    assert loose[0, 5, 5] == strict[0, 5, 5] == 2
    assert (loose == 1).sum() == (strict == 1).sum() > 100
    assert (loose == 2).sum() > 2 * (strict == 2).sum() and (strict == 2).sum() < 60


def test_batches_have_masks_and_marks(images, quick):
    sources, _ = find_sources(images, images)
    learned = [load_marked(s) for s in sources[:2]]
    learned[0].volume.classes[:, :60] = 1
    sampler = OwnSampler(learned, module.rehearsal_volumes(1, True, 0), 1, False, 0)
    batch = sampler.batch()
    assert batch["image"].shape == (3, 1, 64, 64) and batch["truncate"].tolist() == [0.5, 0.5, 1.0]
    assert batch["mask_weight"].max() == 1 and batch["centre"].max() > 0.9


# --- the run --------------------------------------------------------------------------------------


def test_a_tiny_run_makes_a_model_that_names_its_parent(images, tmp_path, quick):
    before = {p.name: file_sha256(p) for p in MODELS_DIR.glob("centre-unet-*")}
    sources, _ = find_sources(images, images)
    request = Request(name="tiny", sources=tuple(sources), minutes=0.05, rehearsal=1)
    stages: list[str] = []
    result = finetune(request, tmp_path / "models", tmp_path / "work", lambda s, f: stages.append(s))
    card = result.card.data
    assert card["parent"] == {"name": "centre-unet-2d", "sha256": get_card("centre-unet-2d").sha256}
    assert card["replaces"] == "centre-unet-2d" and "4 with" in card["trained_on"]["own images"]
    assert [s["value"] for s in card["scores"]] == [round(s.f1, 4) for s in (result.before, result.after)]
    assert result.before.n_truth == result.after.n_truth > 0 and result.history[0]["step"] == 0
    lines = (tmp_path / "work" / "history.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == result.history and len(lines) >= 2
    assert stages[0] == "Reading the images" and "Training" in stages
    assert {p.name: file_sha256(p) for p in MODELS_DIR.glob("centre-unet-*")} == before
    models = tmp_path / "models"
    checked = check_model(models / "tiny.safetensors", models / "tiny.json")
    assert checked["replaces"] == "centre-unet-2d"
    assert result.after.f1 >= result.before.f1 and round(result.after.f1, 4) == max(
        h["f1"] for h in result.history
    )
    old = load_network("centre-unet-2d").head.weight.detach()
    same = np.allclose(load_network("tiny", "cpu", models).head.weight.detach(), old, atol=1e-6)
    assert same == card["kept"].startswith("the parent's weights")


def test_the_scale_of_scores_is_chosen_anew(images, tmp_path, quick):
    """A parent whose threshold lies far above its heights, as that of a fine-tuned model once did."""
    shipped = get_card("centre-unet-2d")
    own = tmp_path / "own"
    facts = shipped.data | {"replaces": "centre-unet-2d", "score_power": 19.0}
    save_network(load_network("centre-unet-2d"), "far-off", facts, own)
    sources, _ = find_sources(images, images)
    request = Request(
        name="better", parent="far-off", parent_folder=own, sources=tuple(sources), minutes=0.05, rehearsal=0
    )
    result = finetune(request, tmp_path / "models", tmp_path / "work", say=lambda line: None)
    card = result.card.data
    assert result.before.f1 < 0.2 < 0.5 < result.after.f1 and result.improved
    assert card["threshold"] == shipped.data["threshold"] and 0.2 < card["score_power"] < 3


def test_heads_far_from_all_marks_do_not_count_where_marks_are_few(images, tmp_path):
    """Half of the image unmarked: found spines there are false alarms only where every spine is said to be marked."""
    sources, _ = find_sources(images, images)
    one = load_marked(sources[0])
    one.volume.centres = one.volume.centres[one.volume.centres[:, 2] < 50]
    model, at = load_network("centre-unet-2d"), np.array([0.25])
    (strict,), (loose,) = (score_held_out(model, [one], at, complete) for complete in (True, False))
    assert strict.n_matched == loose.n_matched > 3 and strict.n_truth == loose.n_truth
    assert loose.n_predicted < strict.n_predicted and loose.f1 > strict.f1


def test_a_worse_moment_of_the_training_is_not_kept(images, tmp_path, quick, monkeypatch):
    """With a ruinous learning rate the parent's weights stay."""
    monkeypatch.setattr(finetuning.FineTune, "learning_rate", 3.0)
    monkeypatch.setattr(finetuning, "WARM_UP_STEPS", 1)
    sources, _ = find_sources(images, images)
    request = Request(name="ruined", sources=tuple(sources), minutes=0.05, rehearsal=0)
    said: list[str] = []
    result = finetune(request, tmp_path / "models", tmp_path / "work", say=said.append)
    assert result.after.f1 >= result.before.f1 and result.history[-1]["f1"] < result.before.f1
    assert result.card.data["kept"].startswith("the parent's weights")
    assert any("keeps the weights of centre-unet-2d" in line for line in said)


def test_parents_that_do_not_fit_are_refused(images, tmp_path):
    sources, _ = find_sources(images, images)
    for parent, words in (
        ("centre-unet-3d", "not for single images"),
        ("shape-joint", "cannot be fine-tuned"),
    ):
        with pytest.raises(SpinecoreError, match=words):
            request = Request(name="x1", parent=parent, sources=tuple(sources), minutes=0.05)
            finetune(request, tmp_path / "models", tmp_path / "work")


def test_the_command_line_says_one_sentence(images, tmp_path, monkeypatch):
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(tmp_path / "space"))
    table = tmp_path / "cell0.csv"
    table.write_text("x_px,y_px\n50,20\n")
    call = ["finetune", "--images", str(images / "cell0.tif"), "--annotations", str(table), "--name", "mine"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 2 and "only 1 spine is marked" in result.stderr
    result = CliRunner().invoke(app, [*call, "--minutes", "0.02"])
    assert result.exit_code == 2 and "from 0.05 to 1440 minutes, not 0.02" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not list_own(models_folder(tmp_path / "space"))


# --- runs in the background -----------------------------------------------------------------------


@pytest.fixture
def manager(tmp_path) -> Iterator[JobManager]:
    made = JobManager(Workspace(tmp_path / "space"))
    yield made
    made.close()


def ended(manager: JobManager, job_id: str) -> JobRecord:
    wait_until(lambda: not manager.status(job_id).job.active, lambda: manager.log(job_id))
    return manager.status(job_id).job


def test_a_training_in_a_process_of_its_own_makes_a_model(images, manager):
    space = manager.workspace
    sources, _ = find_sources(images, images)
    request = Request(name="from-page", sources=tuple(sources), minutes=0.05, rehearsal=0)
    job = manager.submit(None, request, "training")
    other = request.model_copy(update={"minutes": 1.0})
    with pytest.raises(SpinecoreError, match="choose another name"):
        manager.submit(None, other, "training")
    with pytest.raises(SpinecoreError, match="still running"):
        manager.delete(job.id)
    assert ended(manager, job.id).state == "done", manager.log(job.id)
    result = read_result(space, job.id)
    assert result.model == "from-page" and set(result.before) >= {"f1", "n_truth"}
    assert manager.status(job.id).progress.summary["f1_after"] == result.after["f1"]
    assert len(read_history(space, job.id)) > 1 and "spines to learn from" in manager.log(job.id)
    assert not (space.job_folder(job.id) / "state.pt").exists()
    assert [c.name for c in list_own(models_folder(space.root))] == ["from-page"]
    manager.delete(job.id)
    assert space.jobs(kind="training") == [] and space.trash() == []


def run_here(space: Workspace, request: Request, cancelled: bool = False) -> Outcome:
    """Do a training in this process."""
    job = space.new_job(None, request.model_dump(mode="json"), kind="training")
    folder = space.job_folder(job.id)
    if cancelled:
        (folder / "cancel").touch()
    return execute(Training(), Task(job.settings, folder, space.root))


def test_a_cancelled_training_leaves_no_model(images, tmp_path):
    space = Workspace(tmp_path / "space")
    sources, _ = find_sources(images, images)
    outcome = run_here(space, Request(name="xy", sources=tuple(sources), minutes=0.05), cancelled=True)
    assert outcome.state == "cancelled" and not models_folder(space.root).exists()


def test_a_failed_training_says_why(images, tmp_path):
    space = Workspace(tmp_path / "space")
    source = Source(image=tmp_path / "gone.tif", annotation=images / "cell0.csv", name="gone")
    outcome = run_here(space, Request(name="xy", sources=(source,), minutes=0.05))
    assert outcome.state == "failed" and outcome.error and "\n" not in outcome.error


def test_trainings_of_version_0_1_become_jobs(images, tmp_path):
    space = Workspace(tmp_path / "space")
    source = Source(image=images / "cell0.tif", annotation=images / "cell0.csv", name="cell0")
    request = Request(name="xy", sources=(source,)).model_dump(mode="json")
    score = {"n_truth": 50, "n_predicted": 40, "n_matched": 30, "f1": 0.6}
    outcomes = {
        "20260101-000000-abcdef": {"state": "done", "model": "xy", "before": score, "after": score},
        "20260102-000000-abcdef": {"state": "failed", "error": "the image is empty: choose another"},
        "20260103-000000-abcdef": None,
    }
    for name, outcome in outcomes.items():
        folder = space.root / "trainings" / name
        folder.mkdir()
        submitted = f"{name[:4]}-{name[4:6]}-{name[6:8]}T00:00:00Z"
        write_json(folder / "request.json", {"id": name, "submitted": submitted, "request": request})
        if outcome is not None:
            write_json(folder / "outcome.json", {"finished": submitted, **outcome})
    manager = JobManager(space)
    manager.close()
    found = {job.id: job for job in space.jobs(kind="training")}
    assert list(found) == sorted(outcomes, reverse=True), "the newest first"
    assert [job.state for job in found.values()] == ["interrupted", "failed", "done"]
    assert all(read_request(job).name == job.title == "xy" for job in found.values())
    assert read_result(space, "20260101-000000-abcdef").after == score
    assert found["20260102-000000-abcdef"].error == "the image is empty: choose another"
