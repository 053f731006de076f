"""Own weights: what is taken in, what is refused and with which words, and that methods then run with them."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.methods import METHODS
from spinecore.networks.answers import answer
from spinecore.networks.zoo import get_card, load_network
from spinecore.stack import Spacing, Stack
from spinecore.workspace import own_models as ownmodels
from spinecore.workspace.own_models import (
    add_model,
    check_model,
    list_own,
    models_folder,
    remove_model,
    suggest_name,
)

SHIPPED = "centre-unet-2d"


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """Weights and card of the shipped model under another name, with every weight a little changed."""
    shipped = get_card(SHIPPED)
    state = {k: v * 1.01 if v.is_floating_point() else v for k, v in load_file(shipped.weights).items()}
    weights, card = tmp_path / "Mine.safetensors", tmp_path / "Mine.json"
    save_file(state, weights)
    data = shipped.data | {"title": "Mine", "threshold": 0.4}
    data.pop("sha256")
    card.write_text(json.dumps(data))
    return weights, card


def changed(path: Path, **values: object) -> Path:
    data = json.loads(path.read_text())
    for key, value in values.items():
        if value is None:
            data.pop(key, None)
        else:
            data[key] = value
    path.write_text(json.dumps(data))
    return path


def test_own_weights_come_in_and_go(tmp_path, files):
    folder = models_folder(tmp_path / "space")
    card = add_model(folder, *files)
    assert card.name == "mine" and card.data["replaces"] == SHIPPED and card.data["threshold"] == 0.4
    assert card.data["parameters"] == get_card(SHIPPED).data["parameters"]
    assert [c.name for c in list_own(folder)] == ["mine"]
    assert sorted(p.name for p in folder.iterdir()) == [".lock", "mine.json", "mine.safetensors"]
    load_network("mine", "cpu", folder)
    remove_model(folder, "mine")
    assert list_own(folder) == []
    with pytest.raises(SpinecoreError, match="no model named"):
        remove_model(folder, "mine")


def test_scores_that_cannot_be_shown_are_left_out(tmp_path, files):
    changed(files[1], scores=[{"value": 0.5}, {"value": "high"}, 7, {"data": "x"}], recipe=None, title=5)
    card = add_model(tmp_path / "models", *files)
    assert card.data["scores"] == [{"value": 0.5, "data": "", "measure": "", "command": ""}]
    assert card.data["recipe"] == "" and card.data["title"] == "5"


def test_names_are_checked(tmp_path, files):
    folder = tmp_path / "models"
    add_model(folder, *files, name="one")
    for name, words in (
        ("one", "already"),
        (SHIPPED, "shipped"),
        ("../up", "cannot be a name"),
        ("", "mine"),
    ):
        if name:
            with pytest.raises(SpinecoreError, match=words):
                add_model(folder, *files, name=name)
    assert suggest_name("one.safetensors", folder) == "one-2"
    assert suggest_name("../../x.safetensors", folder) == "own-x"
    assert [c.name for c in list_own(folder)] == ["one"]


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pkl", ".bin", ".zip", ".ckpt"])
def test_formats_that_run_code_are_refused_by_name(tmp_path, files, suffix):
    path = files[0].rename(files[0].with_suffix(suffix))
    with pytest.raises(SpinecoreError, match="can run code"):
        add_model(tmp_path / "models", path, files[1])


def test_a_pickle_or_zip_under_a_safe_name_is_refused_and_not_opened(tmp_path, files):
    ran = tmp_path / "ran"

    class Trap:
        def __reduce__(self):
            return (Path.touch, (ran,))

    files[0].write_bytes(pickle.dumps(Trap()))
    with pytest.raises(SpinecoreError, match="pickle or zip"):
        add_model(tmp_path / "models", *files)
    with zipfile.ZipFile(files[0], "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Trap()))
    with pytest.raises(SpinecoreError, match="pickle or zip"):
        add_model(tmp_path / "models", *files)
    torch.save({"a": torch.ones(2)}, files[0])
    with pytest.raises(SpinecoreError, match="pickle or zip"):
        add_model(tmp_path / "models", *files)
    assert not ran.exists() and not (tmp_path / "models").exists()


def damage(what: str, weights: Path, card: Path) -> str:
    """Spoil one file and return what the message must say."""
    state = load_file(weights)
    first = next(iter(state))
    if what == "nan":
        state[first] = state[first].float() * float("nan")
        save_file(state, weights)
        return "not finite"
    if what == "shape":
        save_file({**state, first: torch.zeros(3)}, weights)
        return "does not fit the architecture"
    if what == "missing":
        state.pop(first)
        save_file(state, weights)
        return "does not fit the architecture"
    if what == "extra":
        save_file({**state, "more": torch.zeros(3)}, weights)
        return "does not fit the architecture"
    if what == "checksum":
        changed(card, sha256="0" * 64)
        return "checksum differs"
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
        return "no whole safetensors file"
    if what == "empty":
        weights.write_bytes(b"")
        return "no whole safetensors file"
    if what == "text":
        weights.write_text("hello world, no weights")
        return "no whole safetensors file"
    if what == "header":
        weights.write_bytes(b"\x10\0\0\0\0\0\0\0" + b"{" + b"[" * 15)
        return "no whole safetensors file"
    if what == "no json":
        card.write_text("{")
        return "cannot be read as JSON"
    if what == "list":
        card.write_text("[1]")
        return "is no card"
    changes, words = {
        "method": ({"method": "magic"}, "set method to one of"),
        "kind": ({"architecture": {"kind": "magic"}}, "does not fit centre-unet"),
        "maps": (
            {"architecture": {"kind": "unet2d", "in_channels": 1, "out_channels": 9, "widths": [4]}},
            "does not fit",
        ),
        "threshold": ({"threshold": "high"}, "threshold must be a number"),
        "power": ({"score_power": 0}, "score_power must be"),
        "range": ({"trained_range": {"image": {"noise": "low"}}}, "trained_range must give"),
    }[what]
    changed(card, **changes)
    return words


@pytest.mark.parametrize(
    "what",
    [
        "nan",
        "shape",
        "missing",
        "extra",
        "checksum",
        "cut",
        "empty",
        "text",
        "header",
        "no json",
        "list",
        "method",
        "kind",
        "maps",
        "threshold",
        "power",
        "range",
    ],
)
def test_bad_files_get_one_sentence(tmp_path, files, what):
    words = damage(what, *files)
    with pytest.raises(SpinecoreError, match=words) as caught:
        add_model(tmp_path / "models", *files)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 260
    assert not (tmp_path / "models").exists()


def test_an_implausible_network_is_refused_without_building_it(files):
    architecture = get_card(SHIPPED).data["architecture"]
    changed(files[1], architecture=architecture | {"widths": [10**9, 10**9]})
    with pytest.raises(SpinecoreError, match="implausibly large"):
        check_model(*files)
    changed(files[1], architecture=architecture | {"widths": [4096] * 6})
    with pytest.raises(SpinecoreError, match=r"more than|does not fit"):
        check_model(*files)
    changed(files[1], architecture=architecture | {"widths": "wide"})
    with pytest.raises(SpinecoreError, match="cannot be built"):
        check_model(*files)


def test_own_weights_are_loaded_in_place_of_the_method_s_and_change_nothing_else(tmp_path, files):
    mine = add_model(tmp_path / "models", *files)
    method = METHODS["centre-unet"]
    own, shipped = method.load(True, "cpu", mine), method.load(True, "cpu")
    assert own.main.card.name == "mine" and shipped.main.card.name == SHIPPED
    image = np.random.default_rng(0).random((1, own.main.model.planes, 64, 64), np.float32)
    logits = [answer(weights.main.model, image) for weights in (own, shipped)]
    wanted = [
        answer(load_network("mine", "cpu", tmp_path / "models"), image),
        answer(load_network(SHIPPED, "cpu"), image),
    ]
    assert not np.array_equal(*logits)
    for got, want in zip(logits, wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0.02, atol=0.05)  # PyTorch may compute in bfloat16


def test_an_analysis_runs_with_own_weights_and_says_so(tmp_path, files):
    folder = tmp_path / "models"
    mine = add_model(folder, *files)
    rng = np.random.default_rng(0)
    image = Stack(rng.poisson(40, (1, 64, 64)).astype(np.uint16), Spacing(None, 0.1, 0.1, "user"))
    settings = Settings(device="cpu", model="mine")
    made = analyse(image, settings, own_models=folder)
    assert made.models[0] == {"name": "mine", "sha256": mine.sha256, "title": "Mine"}
    assert made.threshold == 0.4
    stack = Stack(np.repeat(image.voxels, 3, 0), Spacing(0.5, 0.1, 0.1, "user"))
    with pytest.raises(SpinecoreError, match="stand in for centre-unet-2d"):
        analyse(stack, settings, own_models=folder)
    with pytest.raises(SpinecoreError, match="no model named 'other'"):
        analyse(image, Settings(device="cpu", model="other"), own_models=folder)


def test_the_command_line_adds_lists_and_removes(tmp_path, files, monkeypatch):
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(tmp_path / "space"))
    run = CliRunner()
    added = run.invoke(app, ["models", "add", *map(str, files), "--name", "lab-model"])
    assert added.exit_code == 0 and "lab-model" in added.stdout
    listed = run.invoke(app, ["models"])
    assert listed.exit_code == 0 and "lab-model" in listed.stdout and SHIPPED in listed.stdout
    again = run.invoke(app, ["models", "add", *map(str, files), "--name", "lab-model"])
    assert again.exit_code == 2 and "already" in again.stderr
    files[0].rename(files[0].with_suffix(".pth"))
    refused = run.invoke(app, ["models", "add", str(files[0].with_suffix(".pth")), str(files[1])])
    assert refused.exit_code == 2 and "can run code" in refused.stderr
    assert run.invoke(app, ["models", "remove", "lab-model"]).exit_code == 0
    assert "lab-model" not in run.invoke(app, ["models"]).stdout


def test_a_card_that_became_unreadable_does_not_hide_the_others(tmp_path, files):
    folder = tmp_path / "models"
    add_model(folder, *files, name="good")
    (folder / "bad.json").write_text("{")
    (folder / "bad.safetensors").write_bytes(b"")
    assert [card.name for card in ownmodels.list_own(folder)] == ["good"]
