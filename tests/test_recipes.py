"""Every recipe of the registry on tiny made-up data: it builds, draws, has a finite loss, and validates on its device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import build_network, get_card, load_network
from spinecore.shapes.classes import LABELS
from spinecore.simulation import simulate
from spinecore.training import (
    centre_unet,
    faster_rcnn,
    head_score,
    membranes,
    mip_unet,
    panoptic,
    shapes,
    spine_size,
    unet3d,
)
from spinecore.training.detection_samples import spine_instances
from spinecore.training.engine import run
from spinecore.training.membrane_samples import Section
from spinecore.training.pool import PoolVolume, decode, save_volume, to_volume
from spinecore.training.precision import pick_precision
from spinecore.training.recipe import Context, Recipe
from spinecore.training.recipes import RECIPES, make_recipe
from spinecore.training.samples import RealImage
from spinecore.training.shape_samples import KEPT_PX, Spines
from spinecore.training.start import start_network

#: Recipes that differ from another one in their weights or length only, or are too large for a test.
ALIKE = {name for name in RECIPES if name.endswith("-scratch")} | {"shape-joint-short", "shape-resnet50"}
ALIKE |= {"faster-rcnn-published", "unet-valid", "unet-weighted", "dmcn"}


@pytest.fixture(scope="module")
def volume() -> PoolVolume:
    made = simulate(546, "confocal-crowded", (6, 96, 96), (0.4, 0.1, 0.1))
    return to_volume(made.stack.voxels, made)


@pytest.fixture
def context(volume: PoolVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A context with a pool of two stacks; real images, spines and sections are made up."""
    pool = tmp_path / "work" / "pool"
    pool.mkdir(parents=True)
    for number in range(2):
        save_volume(volume, pool / f"volume_{number:05d}.npz")
    classes = volume.classes.max(0)
    pixels, centres = decode(volume.image.max(0)), volume.centres[:, 1:3].astype(np.float32)
    image = RealImage("a", "findspines", "g", pixels, centres, classes)
    for module in (centre_unet, mip_unet):
        monkeypatch.setattr(module, "load_polygons", lambda data, split: [image])
    monkeypatch.setattr("spinecore.training.detection_samples.load_polygons", lambda data, split: [image])
    subsets = [replace(image, subset=name) for name in centre_unet.SUBSETS]
    monkeypatch.setattr(centre_unet, "load_points", lambda data, split: subsets)
    for module in (centre_unet, mip_unet, unet3d):
        monkeypatch.setattr(module, "validation_volumes", lambda every=1: [volume])
    for module in (mip_unet, unet3d, faster_rcnn, head_score, spine_size):
        monkeypatch.setattr(module, "fill_pool", lambda *args: None)
    for name in ("POOL_SIZE", "FIRST_VOLUMES"):  # the pool is filled in a process of its own
        monkeypatch.setattr(centre_unet, name, 0)
    monkeypatch.setattr(faster_rcnn, "validation_instances", lambda: [spine_instances(volume)])
    monkeypatch.setattr(panoptic, "VALIDATION", (("confocal", 900, 4, 0.3, 0.1),))
    for module in (head_score, spine_size):
        monkeypatch.setattr(module, "HELD_OUT", 2)
    sizes = np.linspace(0.1, 0.9, 3 * len(volume.centres)).reshape(-1, 3)
    monkeypatch.setattr(spine_size, "true_sizes", lambda path, store: sizes)
    spines = made_up_spines()
    monkeypatch.setattr(shapes, "real_spines", lambda data, split: spines)
    monkeypatch.setattr(shapes, "simulated_pool", lambda folder, first, count: spines)
    section = np.random.default_rng(0).integers(0, 255, (400, 400)).astype(np.uint8)
    sections = [Section(0, section, section > 60)]
    monkeypatch.setattr(membranes, "load_sections", lambda data, numbers: sections)
    return Context(tmp_path, tmp_path / "work", 0.01, say=lambda line: None)


def made_up_spines() -> Spines:
    labels = np.arange(10) % len(LABELS)
    y, x = np.mgrid[:KEPT_PX, :KEPT_PX] - KEPT_PX / 2
    masks = np.hypot(y, x)[None] < (3 + 2 * labels)[:, None, None]
    return Spines(np.stack([masks, masks, 0.1 * masks], 1).astype(np.float16), masks, labels, np.arange(10))


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
    context = replace(context, minutes=0.002)
    card = run(recipe, context, tmp_path / "models", precision="float32")
    assert card is not None
    data = get_card(name, tmp_path / "models").data
    assert data == card.data
    assert data["recipe"] == f"python -m spinecore train {name} --minutes 0.002"
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
