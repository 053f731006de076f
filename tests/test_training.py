"""Recipes, examples, losses and weight files."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from spinecore.errors import SpinecoreError
from spinecore.networks.unet import UNet2d, folded
from spinecore.networks.zoo import (
    MODELS_DIR,
    get_card,
    list_cards,
    load_network,
    save_network,
)
from spinecore.training.centre_unet import LEARNING_RATE_AGAIN, VARIANTS
from spinecore.training.engine import start_network
from spinecore.training.loop import train
from spinecore.training.losses import heatmap_focal, mask_loss
from spinecore.training.pool import decode, encode, load_volume, save_volume, to_volume
from spinecore.training.recipe import Context, Stage
from spinecore.training.recipes import RECIPES, default_data, make_recipe, run_recipe
from spinecore.training.samples import (
    gaussian_map,
    load_polygons,
    projection_example,
    slice_example,
    target_heights,
)
from spinecore.training.schedule import Schedule

needs_data = pytest.mark.skipif(
    not default_data().is_dir(), reason="the labelled images (SPINE_DATA) are not here"
)


@pytest.fixture(scope="module")
def volume():
    from spinecore.simulation import simulate

    made = simulate(4, "confocal", (8, 200, 200), (0.4, 0.12, 0.12))
    return to_volume(made.stack.voxels, made)


def test_unet_keeps_the_shape():
    model = UNet2d(5, 3, (4, 8, 8)).eval()
    assert model(torch.zeros(2, 5, 32, 48)).shape == (2, 3, 32, 48)


def test_focal_loss_is_small_when_right_and_large_when_wrong():
    target = torch.from_numpy(gaussian_map((32, 32), np.array([[10.0, 12.0]]), np.ones(1)))[None]
    weight = torch.ones_like(target)
    right = torch.where(target > 0.95, 8.0, -8.0)
    assert heatmap_focal(right, target, weight) < 0.01
    assert heatmap_focal(-right, target, weight) > 100 * heatmap_focal(right, target, weight)


def test_unmarked_confident_pixels_are_left_out_where_truth_has_gaps():
    target, weight = torch.zeros(1, 16, 16), torch.ones(1, 16, 16)
    logits = torch.full((1, 16, 16), -8.0)
    logits[0, 5, 5] = 6.0
    full = heatmap_focal(logits, target, weight, torch.tensor([1.0]))
    gaps = heatmap_focal(logits, target, weight, torch.tensor([0.8]))
    assert gaps < 0.01 < 1 < full


def test_mask_loss_ignores_pixels_without_weight():
    logits, target, weight = torch.randn(1, 8, 8), torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    weight[0, :4] = 0
    other = logits.clone()
    other[0, :4] += 5
    torch.testing.assert_close(mask_loss(logits, target, weight), mask_loss(other, target, weight))


def test_intensity_code_round_trips():
    value = np.linspace(-0.5, 1.5, 100).astype(np.float32)
    np.testing.assert_allclose(decode(encode(value)), value, atol=0.005)


def test_pool_volume_round_trips(volume, tmp_path):
    save_volume(volume, tmp_path / "volume_00000.npz")
    again = load_volume(tmp_path / "volume_00000.npz")
    np.testing.assert_array_equal(again.classes, volume.classes)
    np.testing.assert_array_equal(again.centres, volume.centres)
    np.testing.assert_array_equal(again.sizes, volume.sizes)
    assert len(volume.sizes) == len(volume.centres) and (volume.sizes > 0).all()
    assert volume.image.shape == volume.classes.shape == (8, 240, 240)


def test_examples_mark_heads_where_the_image_has_them(volume):
    rng = np.random.default_rng(0)
    for make in (slice_example, projection_example):
        heads, values, spread = 0, [], []
        for _ in range(20):
            e = make(volume, 96, rng)
            assert e.image.shape == (5, 96, 96) and e.spine.shape == e.centre.shape == (96, 96)
            assert not ((e.spine > 0) & (e.dendrite > 0)).any()
            at = e.centre > 0.99
            heads += at.sum()
            values += list(e.image[2][at])
            spread += list(e.image[2].ravel()[::50])
        assert heads > 5
        assert np.median(values) > np.median(spread)


def test_heads_far_above_one_another_are_two_peaks_of_the_target():
    z_um = 0.2
    for apart_um, peaks in ((0.4, 1), (0.8, 1), (1.6, 2)):
        z_px = np.array([4.0, 4.0 + apart_um / z_um])
        column = np.array([target_heights(z_px, i, z_um).max() for i in range(20)])
        rises = np.diff(np.concatenate([[0.0], column, [0.0]]) > 0.8)
        assert rises.sum() == 2 * peaks, column
    assert target_heights(np.array([4.5]), 4, 1.0) == 1.0 == target_heights(np.array([4.5]), 5, 1.0)


def test_training_goes_on_from_the_base_or_from_the_weights_in_models(tmp_path):
    def begin(name):
        recipe = make_recipe(name)
        model, start = start_network(recipe, Context(tmp_path, tmp_path, 1.0))
        return model, start.words, recipe.schedule(1.0, start).learning_rate

    model, started, rate = begin("centre-unet-3d")
    shipped = load_network("centre-unet-3d")
    assert get_card("centre-unet-3d").sha256 in started and rate == LEARNING_RATE_AGAIN
    torch.testing.assert_close(model.state_dict(), shipped.state_dict())
    assert model is not shipped
    base = {k: torch.zeros_like(v) for k, v in shipped.state_dict().items()}
    (tmp_path / "centre-unet-base").mkdir()
    torch.save({"best": base}, tmp_path / "centre-unet-base" / "state.pt")
    for name in ("centre-unet-3d", "centre-unet-2d"):
        model, started, rate = begin(name)
        assert "centre-unet-base" in started and rate == VARIANTS[name].learning_rate
        assert not model.head.weight.any()
    model, started, _ = begin("centre-unet-base")
    assert started == "random weights" and model.head.weight.any()


def test_folding_batch_normalisation_changes_nothing_but_the_time():
    torch.manual_seed(0)
    model = UNet2d(5, 3, (4, 8, 8)).train()
    for _ in range(3):
        model(2 * torch.randn(4, 5, 32, 32) + 1)
    model.eval()
    fast, x = folded(model), torch.randn(2, 5, 32, 32)
    torch.testing.assert_close(fast(x), model(x), atol=1e-4, rtol=1e-4)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in fast.modules())
    assert any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def test_a_non_finite_loss_stops_the_training(tmp_path):
    stage = Stage("state", lambda: torch.ones(1, 1, 4, 4), Schedule(0.05), lambda m: {"select": 0.0})
    with pytest.raises(SpinecoreError, match="loss became nan"):
        train(
            torch.nn.Conv2d(1, 1, 1),
            stage,
            lambda m, b: m(b).sum() * float("nan"),
            tmp_path,
            say=lambda _: None,
        )


def test_training_learns_resumes_and_keeps_the_best(tmp_path):
    def loss(model, batch):
        return ((model(batch) - 3 * batch) ** 2).mean()

    def fit(minutes, resume):
        said = []
        torch.manual_seed(0)
        stage = Stage(
            "state",
            lambda: torch.randn(4, 1, 4, 4),
            Schedule(minutes, 0.2, average=0.9, check_every_s=1.0, warm_up=5),
            lambda m: {"select": -float(abs(m.weight.item() - 3))},
        )
        model, history = train(torch.nn.Conv2d(1, 1, 1), stage, loss, tmp_path, resume, say=said.append)
        return model, history, said

    _, history, _ = fit(0.04, False)
    model, longer, said = fit(0.08, True)
    assert any("resumed" in line for line in said)
    assert len(longer) > len(history)
    assert abs(model.weight.item() - 3) < 0.3


def test_cards_describe_their_files():
    cards = list_cards()
    assert {"centre-unet-2d", "centre-unet-3d"} <= {c.name for c in cards}
    for card in cards:
        assert card.weights.stat().st_size < 50_000_000
        for key in ("title", "architecture", "trained_on", "recipe", "sha256", "parameters", "scores"):
            assert card.data.get(key), f"{card.name} lacks {key}"
        assert "train" in card.data["recipe"] and card.data["recipe"].split()[4] in RECIPES


def test_a_changed_weight_file_is_refused(tmp_path):
    card = get_card("centre-unet-3d")
    for path in (card.path, card.weights):
        shutil.copy(path, tmp_path / path.name)
    data = bytearray((tmp_path / card.weights.name).read_bytes())
    data[-10] ^= 1
    (tmp_path / card.weights.name).write_bytes(data)
    with pytest.raises(SpinecoreError, match="checksum"):
        load_network("centre-unet-3d", "cpu", tmp_path)


def test_saved_weights_load_and_predict_alike(tmp_path):
    torch.manual_seed(0)
    model = UNet2d(1, 3, (4, 8)).eval()
    card = {"architecture": {"kind": "unet2d", "in_channels": 1, "out_channels": 3, "widths": [4, 8]}}
    save_network(model, "tiny", card, tmp_path)
    again = load_network("tiny", "cpu", tmp_path)
    x = torch.rand(1, 1, 16, 16)
    torch.testing.assert_close(again(x), model(x), atol=5e-3, rtol=5e-2)
    modes = {(tmp_path / f"tiny.{suffix}").stat().st_mode for suffix in ("json", "safetensors")}
    assert len(modes) == 1  # who may read the card may read the weights
    facts = json.loads((tmp_path / "tiny.json").read_text())
    assert facts["parameters"] == sum(p.numel() for p in model.parameters())


def test_no_pickles_are_shipped():
    assert not [p for p in MODELS_DIR.iterdir() if p.suffix in {".pt", ".pth", ".pkl", ".ckpt"}]


def test_unknown_recipes_and_folders_are_named(tmp_path):
    with pytest.raises(SpinecoreError, match="choose one of"):
        run_recipe("magic")
    with pytest.raises(SpinecoreError, match="does not exist"):
        run_recipe("centre-unet-2d", data=tmp_path / "nowhere")


@pytest.mark.data
@needs_data
def test_no_group_of_images_is_in_two_splits():
    images = pd.read_csv(default_data() / "points2d" / "images.csv")
    groups = {
        split: set(zip(own["subset"], own["group"], strict=True)) for split, own in images.groupby("split")
    }
    assert groups["train"] and groups["val"] and not groups["train"] & groups["val"]


@pytest.mark.data
@needs_data
def test_polygons_lie_on_lit_pixels():
    for image in load_polygons(default_data(), "val")[:5]:
        assert (image.classes == 2).any() and (image.classes == 1).any()
        assert len(image.centres) > 0
        assert (image.centres >= 0).all() and (image.centres < image.image.shape).all()
