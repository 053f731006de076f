"""The membrane networks and their recipes: sizes as published, initial weights, crops, losses, stored weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from spinecore.networks.membranes import DeepContextualNet, PublishedUNet, build_membrane_network
from spinecore.networks.zoo import MODELS_DIR, get_card, load_network, rounded, save_network
from spinecore.training.membrane_samples import Deformation, MembraneSampler, Section
from spinecore.training.membranes import PLANS, MembraneRecipe, best_level, membrane_loss
from spinecore.training.recipes import RECIPES

#: Millions of parameters in the publication's table.
PUBLISHED = {"dmcn": 7.7, "unet-weighted": 31.0, "unet-valid": 31.0, "unet-small": 8.6}


def count(model: nn.Module, kind: type) -> int:
    return sum(isinstance(m, kind) for m in model.modules())


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_those_of_the_publication(name):
    with torch.device("meta"):
        model = build_membrane_network(PLANS[name].architecture)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(PUBLISHED[name], rel=0.05)


def test_ours_is_small():
    model = build_membrane_network(PLANS["membrane-fast"].architecture)
    assert sum(p.numel() for p in model.parameters()) < 2e6


def test_layers_are_counted_as_published():
    with torch.device("meta"):
        unet, dmcn = PublishedUNet(), DeepContextualNet()
    assert (
        count(unet, nn.Conv2d) + count(unet, nn.ConvTranspose2d) == 23
        and count(unet, nn.ConvTranspose2d) == 4
    )
    assert len(unet.down) - 1 == 4, "poolings"
    assert count(dmcn, nn.Conv2d) == 16 and count(dmcn, nn.ConvTranspose2d) == 3 and len(dmcn.down) - 1 == 3


def test_valid_padding_maps_572_to_388():
    with torch.device("meta"):
        model = PublishedUNet((2, 2, 2, 2, 2), valid=True)
        assert model(torch.empty(1, 1, 572, 572)).shape == (1, 1, 388, 388)


def test_weights_begin_he_normal_and_glorot_uniform():
    torch.manual_seed(0)
    model = PublishedUNet((16, 32, 64, 64, 64))
    first = model.down[2][2].weight  # 64 x 64 x 3 x 3
    assert first.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
    assert first.abs().max() <= 2 * (2 / (64 * 9)) ** 0.5 / 0.8796 + 1e-6
    limit = (6 / (16 + 1)) ** 0.5
    assert model.head.weight.abs().max() <= limit and model.head.weight.abs().max() > 0.7 * limit
    assert all((m.bias == 0).all() for m in model.modules() if isinstance(m, nn.Conv2d))


def test_recipes_know_the_networks():
    assert set(PLANS) <= set(RECIPES)
    assert PLANS["unet-weighted"].weighted and not PLANS["unet-valid"].weighted
    assert PLANS["unet-valid"].architecture["dropout"] == 0 < PLANS["unet-small"].architecture["dropout"]


def test_the_two_short_trainings_differ_in_the_weight_map_alone():
    plain, weighted = PLANS["unet-small-short"], PLANS["unet-small-weighted-short"]
    assert not plain.weighted and replace(plain, title=weighted.title, weighted=True) == weighted
    recipe = MembraneRecipe("unet-small-short")
    start = recipe.start(build_membrane_network(plain.architecture), None)
    assert not start.goes_on and recipe.schedule(1.0, start).share(plain.steps or 0, 0.0) == 1.0


@pytest.fixture
def section():
    interior = np.ones((200, 220), bool)
    interior[:, 100:105] = interior[90:95] = False
    image = np.where(interior, 180, 60) + np.random.default_rng(0).normal(0, 5, interior.shape)
    return Section(0, image, interior)


def test_crops_keep_image_and_truth_together(section):
    sampler = MembraneSampler([section], 64, 3, Deformation(noise=0.4, blur=1.0), seed=4)
    batch = sampler.batch()
    assert batch.shape == (3, 4, 64, 64) and torch.isfinite(batch).all()
    image, membrane, weight, line = (batch[:, k] for k in range(4))
    assert set(membrane.unique().tolist()) <= {0.0, 1.0}
    while membrane.sum() < 50:
        image, membrane, weight, line = (sampler.batch()[:, k] for k in range(4))
    assert image[membrane > 0].mean() < image[membrane == 0].mean() - 1, "membranes stay dark"
    assert weight[membrane > 0].mean() > weight[membrane == 0].mean()
    assert (line <= membrane).float().mean() > 0.99


def test_plain_crops_hold_the_section_s_own_pixels(section):
    sampler = MembraneSampler([section], 64, 8, Deformation(gain=0.0, offset=0.0, plain=1.0), seed=1)
    planes = sampler.planes[0].numpy()
    known = {tuple(np.round(v, 5)) for v in planes.reshape(4, -1).T}
    crops = sampler.batch().numpy()
    turned = set()
    for crop in crops:
        assert {tuple(np.round(v, 5)) for v in crop.reshape(4, -1).T} <= known, (
            "image and truth stay together"
        )
        turned.add(crop[0].tobytes())
    assert len(turned) == 8
    np.testing.assert_array_equal(sampler.planes[0].numpy(), planes)


def test_the_weight_map_raises_the_price_of_membranes():
    batch = torch.zeros(1, 4, 32, 32)
    batch[:, 1, :, 10:14] = 1
    batch[:, 2] = 1 + 9 * batch[:, 1]
    logits = torch.full((1, 1, 32, 32), -3.0)  # says "no membrane" everywhere
    assert membrane_loss(logits, batch, True) > 2 * membrane_loss(logits, batch, False)


def test_valid_padding_is_scored_in_the_middle():
    batch = torch.zeros(1, 4, 32, 32)
    batch[:, 1] = 1
    batch[:, 1, 8:24, 8:24] = 0
    inner = torch.full((1, 1, 16, 16), -8.0)
    assert membrane_loss(inner, batch, False) < 0.01


def test_level_with_the_least_error_is_chosen(section):
    membrane = np.where(section.interior, 0.3, 0.42)
    assert 0.3 < best_level([membrane], [section]) <= 0.42


def test_eight_bits_with_a_scale_come_back_close(tmp_path):
    torch.manual_seed(0)
    architecture = PLANS["membrane-fast"].architecture | {"widths": [4, 6, 6, 6, 6]}
    model = build_membrane_network(architecture).eval()
    small = save_network(model, "eight", {"architecture": architecture}, tmp_path, bits=8)
    large = save_network(model, "half", {"architecture": architecture}, tmp_path)
    assert small.weights.stat().st_size < large.weights.stat().st_size
    x = torch.randn(1, 1, 32, 32)
    again = load_network("eight", "cpu", tmp_path)
    torch.testing.assert_close(again(x), model(x), atol=0.1, rtol=0.1)
    state = rounded(model.state_dict(), 8)
    kernel = model.state_dict()["down.1.conv1.weight"]
    back = state["down.1.conv1.weight"].float() * state["down.1.conv1.weight.scale"].view(-1, 1, 1, 1)
    assert (back - kernel).abs().max() <= kernel.abs().max() / 250


@pytest.mark.parametrize("name", PLANS)
def test_shipped_weights_say_what_the_publication_leaves_open(name):
    if not (MODELS_DIR / f"{name}.safetensors").exists():
        pytest.skip(f"the weights of {name} are not here")
    card = get_card(name)
    assert card.data["rounding"]["dice_before"] - card.data["rounding"]["dice"] < 0.001
    assert "cite the challenge" in card.data["trained_on"]["em_isbi2012"]
    if name != "membrane-fast":
        assert card.data["chosen_where_the_publication_is_open"]
