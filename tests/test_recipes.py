"""Every recipe of the registry on tiny made-up data: it builds, draws, has a finite loss, and validates on its device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from benchmarks.recipe_data import made_up_data, made_up_volume
from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import build_network, get_card, load_network
from spinecore.training import (
    centre_unet,
    membranes,
)
from spinecore.training.engine import run, start_network
from spinecore.training.pool import PoolVolume
from spinecore.training.precision import pick_precision
from spinecore.training.recipe import Context, Recipe
from spinecore.training.recipes import RECIPES, make_recipe

#: Recipes that differ from another one in their weights or length only, or are too large for a test.
ALIKE = {name for name in RECIPES if name.endswith("-scratch")} | {"shape-joint-short", "shape-resnet50"}
ALIKE |= {"faster-rcnn-published", "unet-valid", "unet-weighted", "dmcn"}


@pytest.fixture(scope="module")
def volume() -> PoolVolume:
    return made_up_volume()


@pytest.fixture
def context(volume: PoolVolume, tmp_path: Path) -> Iterator[Context]:
    """A context with a pool of two stacks; real images, spines and sections are made up."""
    with made_up_data(tmp_path, volume) as context:
        yield context


def prepared(name: str, context: Context) -> Recipe:
    """Return a recipe with its data, its batches made small."""
    recipe = make_recipe(name)
    if isinstance(recipe, centre_unet.CentreUnet):
        batch = {kind: min(1.0, np.ceil(count)) for kind, count in recipe.variant.batch.items()}
        recipe.variant = replace(recipe.variant, patch_px=64, batch=batch)
    if isinstance(recipe, membranes.MembraneRecipe):
        architecture = recipe.plan.architecture | {"widths": [8, 8, 8, 8, 8]}
        recipe.plan = replace(recipe.plan, size=96, batch=1, architecture=architecture)
    recipe.prepare(context)
    return recipe


@pytest.mark.parametrize("name", [name for name in RECIPES if name not in ALIKE])
def test_a_recipe_builds_draws_learns_and_validates_where_its_network_is(name: str, context: Context) -> None:
    recipe = prepared(name, context)
    try:
        torch.manual_seed(0)
        model, start = start_network(recipe, context)
        loss = recipe.loss(model.train(), recipe.samples())
        loss.backward()
        assert torch.isfinite(loss) and loss.ndim == 0 and start.words
        assert any(p.grad is not None and p.grad.any() for p in model.parameters())
        assert all(stage.schedule.learning_rate > 0 for stage in recipe.stages(context, start))
        with inputs_seen() as seen, pytest.raises(Seen):
            recipe.validate(model.eval().to("meta"))
        assert seen == {"meta"}
    finally:
        recipe.close()


class Seen(Exception):
    """A network was called."""


class inputs_seen:
    """Collects the devices of the first module's inputs, and stops there."""

    def __enter__(self) -> set[str]:
        self.devices: set[str] = set()
        self.hook = register_module_forward_pre_hook(self._note)
        return self.devices

    def __exit__(self, *_: object) -> None:
        self.hook.remove()

    def _note(self, module: torch.nn.Module, given: tuple) -> None:
        self.devices |= {tensor.device.type for tensor in tensors_in(given)}
        raise Seen


def tensors_in(given: object) -> Iterator[torch.Tensor]:
    if isinstance(given, torch.Tensor):
        yield given
    elif isinstance(given, list | tuple):
        for part in given:
            yield from tensors_in(part)


@pytest.mark.parametrize("name", ["mip-unet", "spine-size", "shape-joint", "membrane-fast"])
def test_the_engine_writes_weights_and_a_card(name: str, context: Context, tmp_path: Path) -> None:
    """One recipe each that chooses by F1, by an error, by steps alone, and that measures what was stored."""
    recipe = make_recipe(name)
    context = replace(context, minutes=0.002, pool_size=30)
    card = run(recipe, context, tmp_path / "models", precision="float32")
    assert card is not None
    data = get_card(name, tmp_path / "models").data
    assert data == card.data
    assert data["recipe"] == f"python -m spinecore train {name} --minutes 0.002 --stacks 30"
    assert (
        data["precision"] == "float32" and data["method"] == recipe.method and data["title"] == recipe.title
    )
    assert data["architecture"] == recipe.architecture() and data["trained_on"] and data["started_from"]
    assert name == "mip-unet" or {"data", "measure", "value", "command"} <= set(data["scores"][0])
    load_network(name, "cpu", tmp_path / "models")


def test_a_base_stays_in_the_work_folder_and_one_from_random_weights_is_a_note(
    context: Context, tmp_path: Path
) -> None:
    out, base = tmp_path / "models", "centre-unet-base"
    context = replace(context, minutes=0.002)
    assert run(make_recipe(base), context, out) is None and not out.exists()
    assert (context.work / base / "state.pt").exists()
    card = run(make_recipe("mip-unet"), context, out)
    assert card is not None and card.data["started_from"] == f"python -m spinecore train {base}"
    assert run(make_recipe("mip-unet-scratch"), context, out) is None
    assert get_card("mip-unet", out).data == card.data | {
        "without_pretraining": get_card("mip-unet", out).data["without_pretraining"]
    }


def test_a_training_without_time_is_refused(context: Context, tmp_path: Path) -> None:
    with pytest.raises(SpinecoreError, match="above 0 minutes"):
        run(make_recipe("mip-unet"), replace(context, minutes=0.0), tmp_path / "models")


@pytest.mark.parametrize("name", sorted(ALIKE))
def test_other_recipes_build(name: str) -> None:
    recipe = make_recipe(name)
    with torch.device("meta"):
        network = build_network(recipe.architecture())
    assert sum(p.numel() for p in network.parameters()) > 1e5
    assert recipe.is_scratch == name.endswith("-scratch") and recipe.title


def test_precision_is_what_was_asked_for_or_what_the_processor_computes_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for able, picked in (
        ({"avx512_bf16": True}, "bfloat16"),
        ({"amx_bf16": True}, "bfloat16"),
        ({"avx2": True}, "float32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        assert pick_precision("auto", "cpu") == picked
    assert pick_precision("auto", "cuda") == "bfloat16" and pick_precision("auto", "mps") == "float32"
    assert pick_precision("float32", "cuda") == "float32"
    with pytest.raises(SpinecoreError, match="choose one of auto"):
        pick_precision("float64", "cpu")
