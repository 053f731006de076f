"""Fine-tuning on stacks: the second look learns from a user's marks, and the shipped maps stay."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from typer.testing import CliRunner

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import get_card, load_network, save_network, write_card
from spinecore.reading import read_stack
from spinecore.simulation import simulate
from spinecore.training import finetune as finetuning
from spinecore.training.finetune import Result, finetune
from spinecore.training.finetune_heads import FineTuneHeads, leave_out_likely, own_candidates
from spinecore.training.pool import PoolVolume
from spinecore.training.request import Request
from spinecore.training.sources import find_sources
from spinecore.workspace.own_models import check_model, models_folder

NAME = "my-heads"


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two simulated stacks with tables of their visible spines."""
    folder = tmp_path_factory.mktemp("stacks")
    for k in range(2):
        made = simulate(560 + k, "confocal", (12, 112, 150), (0.4, 0.1, 0.1))
        metadata = {"unit": "um", "axes": "ZYX", "spacing": 0.4}
        path = folder / f"cell{k}.tif"
        tifffile.imwrite(path, made.stack.voxels, imagej=True, resolution=(10, 10), metadata=metadata)
        columns = ["spine_id", "x_px", "y_px", "z_px", "visible"]
        made.spines[columns].to_csv(folder / f"cell{k}.csv", index=False)
    return folder


def learned(stacks: Path, folder: Path, **more: object) -> Result:
    sources, _ = find_sources(stacks, stacks)
    request = Request(
        name=NAME, parent="head-score", sources=tuple(sources), minutes=0.05, rehearsal=1, **more
    )
    return finetune(request, folder / "models", folder / "work", say=lambda line: None)


@pytest.fixture(scope="module")
def result(stacks: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Path]:
    folder = tmp_path_factory.mktemp("learned")
    return learned(stacks, folder), folder / "models"


def test_the_new_model_is_a_second_look_that_knows_the_shipped_maps(result: tuple[Result, Path]) -> None:
    found, models = result
    card = found.card.data
    maps = get_card("centre-unet-3d")
    assert card["replaces"] == "head-score" and card["parent"]["name"] == "head-score"
    assert card["reads_maps_of"] == {"name": maps.name, "sha256": maps.sha256}
    assert card["trained_range"]["stack"] and found.before.n_truth == found.after.n_truth > 5
    assert found.before.f1 > 0.5, "held-out stacks are scored with the second look, as an analysis is"
    assert found.after.f1 >= found.before.f1 and found.history[0]["step"] == 0
    checked = check_model(models / f"{NAME}.safetensors", models / f"{NAME}.json")
    assert checked["replaces"] == "head-score"


def test_an_analysis_reads_the_maps_of_the_program_with_it(stacks: Path, result: tuple[Result, Path]) -> None:
    found, models = result
    made = analyse(read_stack(stacks / "cell0.tif"), Settings(model=NAME), own_models=models)
    used = {model["name"]: model["sha256"] for model in made.models}
    assert used["centre-unet-3d"] == get_card("centre-unet-3d").sha256
    assert used[NAME] == found.card.sha256 and "head-score" not in used
    assert made.spines["head_width_estimated_um"].notna().any(), "sizes are estimated as before"
    assert made.threshold == found.card.data["threshold"]


def test_scores_are_those_of_the_new_weights(stacks: Path, tmp_path: Path) -> None:
    """Weights that have forgotten everything leave each head its height, raised to the power on their card."""
    network = load_network("head-score")
    for parameter in network.parameters():
        parameter.data.zero_()
    found = []
    for power in (1.0, 2.0):
        facts = get_card("head-score").data | {"replaces": "head-score", "score_power": power}
        save_network(network, f"blank-{power:g}", facts, tmp_path)
        settings = Settings(model=f"blank-{power:g}", threshold=0.2)
        made = analyse(read_stack(stacks / "cell0.tif"), settings, own_models=tmp_path)
        found.append(np.sort(made.candidates.scores)[::-1][:10])
    assert found[0].max() < 0.95
    np.testing.assert_allclose(found[1], found[0] ** 2, rtol=1e-3)


def test_weights_for_other_images_or_maps_are_refused(
    stacks: Path, result: tuple[Result, Path], tmp_path: Path
) -> None:
    found, models = result
    image = read_stack(stacks / "cell0.tif")
    flat = type(image)(image.voxels.max(0, keepdims=True), image.spacing)
    with pytest.raises(SpinecoreError, match="stand in for head-score, but centre-unet reads a single image"):
        analyse(flat, Settings(model=NAME), own_models=models)
    older = found.card.data | {"reads_maps_of": {"name": "centre-unet-3d", "sha256": "0" * 64}}
    (tmp_path / f"{NAME}.safetensors").write_bytes(found.card.weights.read_bytes())
    write_card(tmp_path / f"{NAME}.json", older)
    with pytest.raises(SpinecoreError, match=r"maps of another centre-unet-3d .* fine-tune them again"):
        analyse(image, Settings(model=NAME), own_models=tmp_path)
    sources, _ = find_sources(stacks, stacks)
    request = Request(name="x1", parent=NAME, parent_folder=tmp_path, sources=tuple(sources), minutes=0.05)
    with pytest.raises(SpinecoreError, match="start from the shipped one"):
        finetune(request, tmp_path / "more", tmp_path / "work")


def test_a_worse_moment_of_the_training_is_not_kept(
    stacks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FineTuneHeads, "learning_rate", 30.0)
    monkeypatch.setattr(finetuning, "WARM_UP_STEPS", 1)
    found = learned(stacks, tmp_path)
    assert found.after.f1 >= found.before.f1
    assert found.card.data["kept"].startswith("the parent's weights")


def test_marks_that_belong_to_another_stack_are_told(stacks: Path, tmp_path: Path) -> None:
    """Marks in the dark corner, where the network sees no head."""
    (tmp_path / "cell0.tif").write_bytes((stacks / "cell0.tif").read_bytes())
    places = [(x, y, z) for x in range(4) for y in range(4) for z in (0, 11)]
    pd.DataFrame(places, columns=["x_px", "y_px", "z_px"]).to_csv(tmp_path / "cell0.csv", index=False)
    line = pd.DataFrame([(x, 0, 0) for x in range(146, 150)], columns=["x_px", "y_px", "z_px"])
    pd.concat([pd.read_csv(tmp_path / "cell0.csv"), line]).to_csv(tmp_path / "cell0.csv", index=False)
    sources, _ = find_sources(tmp_path, tmp_path)
    request = Request(name="x1", parent="head-score", sources=tuple(sources), minutes=0.05)
    with pytest.raises(
        SpinecoreError, match="lie at a head that the network sees: check that marks and images"
    ):
        finetune(request, tmp_path / "models", tmp_path / "work", say=lambda line: None)


def test_far_from_all_marks_nothing_is_known_where_marks_are_few() -> None:
    """Three heads 1, 3 and 8 um from the only mark: the last may be a spine that nobody marked."""
    maps = np.zeros((3, 1, 40, 140), np.uint8)
    for x in (20, 40, 90):
        maps[2, 0, 20, x] = 200
    marks = np.array([[0, 20, 20, 1]], np.float32)
    volume = PoolVolume(np.zeros((1, 40, 140), np.uint8), np.zeros((1, 40, 140), np.uint8), marks, 1.0)
    for complete, wanted in ((True, [1, 0, 0]), (False, [1, 0, -1])):
        found = own_candidates(volume, maps, complete)
        order = np.argsort(found.centres_px[:, 2])
        assert found.truth[order].tolist() == wanted


def test_unmarked_heads_that_may_be_spines_are_not_taught_as_none() -> None:
    maps = np.zeros((3, 1, 40, 140), np.uint8)
    for x in (20, 40, 60):
        maps[2, 0, 20, x] = 200
    marks = np.array([[0, 20, 20, 1]], np.float32)
    empty = np.zeros((1, 40, 140), np.uint8)
    found = own_candidates(PoolVolume(empty, empty, marks, 1.0), maps, False)
    order = np.argsort(found.centres_px[:, 2])
    scores = np.zeros(3)
    scores[order] = 0.9, 0.6, 0.4
    leave_out_likely(found, scores, 0.5)
    assert found.truth[order].tolist() == [1, -1, 0]


def test_the_command_line_teaches_the_second_look_of_stacks(
    stacks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(tmp_path / "space"))
    call = ["finetune", "--images", str(stacks), "--annotations", str(stacks), "--minutes", "0.05"]
    made = CliRunner().invoke(app, [*call, "--name", "mine"])
    assert made.exit_code == 0, made.output
    assert "head-score scores F1" in made.output and "have a candidate head" in made.output
    assert get_card("mine", models_folder(tmp_path / "space")).data["replaces"] == "head-score"
