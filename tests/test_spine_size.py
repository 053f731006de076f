"""Sizes read from the image: the arithmetic, what they are learned from, and how they reach the table."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from drawn_analysis import SPACING, drawn_maps

from spinecore.analysis.cutter import Cutter
from spinecore.detection.candidates import find_candidates
from spinecore.errors import SpinecoreError
from spinecore.methods import weights
from spinecore.methods.prediction import Heads, Prediction
from spinecore.methods.second_look import CHANNELS, find_heads
from spinecore.methods.sizes import COVERAGE, ESTIMATED, error_pct, with_sizes
from spinecore.methods.weights import SCORER, SIZER, reading_card
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.networks.zoo import MODELS_DIR, Card, Network, build_network, get_card, save_network
from spinecore.stack import Spacing
from spinecore.training import spine_size
from spinecore.training.labelled import label_candidates
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.spine_size import Examples, Sampler, SpineSizeRecipe, pairs, score_sizes, to_bytes

loss = SpineSizeRecipe(SIZER).loss
ARCHITECTURE = {"kind": SIZER, "channels": CHANNELS, "width": 4, "middle": [-2.0, -0.7, 0.1]}


def drawn():
    """Return maps, intensity, and a labelled stack with four heads of known place, one of them invisible."""
    dendrite, spine, centre, intensity = drawn_maps()
    maps = np.stack([dendrite, spine, centre])
    heads = np.array([[7, 33, 20, 1], [7, 57, 40, 1], [7, 32, 60, 1], [9, 58, 80, 0]], np.float32)
    volume = PoolVolume(encode(intensity / 2000), (maps[1] > 0).astype(np.uint8), heads, SPACING[0])
    return maps, intensity, label_candidates(volume, maps)


@pytest.mark.parametrize("scale", [0.05, 0.2, 0.4])
def test_the_error_holds_its_share_of_a_laplace_distribution(scale):
    off = np.random.default_rng(0).laplace(0, scale, 200_000)
    factor = 1 + error_pct(np.log(scale)) / 100
    assert np.mean((np.exp(off) <= factor) & (np.exp(off) >= 1 / factor)) == pytest.approx(
        COVERAGE, abs=0.005
    )


def test_the_loss_is_least_at_the_median_and_the_mean_deviation():
    truth = torch.tensor(np.random.default_rng(1).laplace(1.0, 0.3, (4000, 3)), dtype=torch.float32)

    class Fixed(torch.nn.Module):
        def __init__(self, value, spread):
            super().__init__()
            self.answer = torch.nn.Parameter(torch.tensor([value, spread]))

        def forward(self, fine, wide, features):
            return self.answer.expand(len(features), 3, 2)

    batch = {"fine": truth, "wide": truth, "features": truth, "sizes": truth}
    best = loss(Fixed(1.0, np.log(0.3)), batch).item()
    for value, spread in ((0.9, np.log(0.3)), (1.1, np.log(0.3)), (1.0, np.log(0.2)), (1.0, np.log(0.45))):
        assert loss(Fixed(value, spread), batch).item() > best


def test_scores_of_sizes_are_error_bias_share_and_slope():
    truth = np.linspace(-1, 1, 201)[:, None] * np.ones(3)
    found = np.stack([0.5 * truth + 0.1, np.full_like(truth, np.log(0.2))], axis=2)
    answer = score_sizes(found, truth)["volume_estimated_um3"]
    off = 0.1 - 0.5 * truth[:, 0]
    assert answer["slope"] == pytest.approx(0.5)
    assert answer["error_pct"] == pytest.approx(100 * np.median(np.abs(np.expm1(off))), abs=0.01)
    assert answer["within_error"] == pytest.approx(
        np.mean(np.abs(off) <= -0.2 * np.log(1 - COVERAGE)), abs=0.01
    )


def test_candidates_stand_for_the_visible_spines_they_lie_on():
    _, _, stack = drawn()
    chosen, spines = pairs(stack)
    assert sorted(spines.tolist()) == [0, 1, 2], "the fourth is not visible"
    um = np.array(stack.spacing_zyx_um)
    gap = (stack.centres_px[chosen] - stack.volume.centres[spines, :3]) * um
    assert np.linalg.norm(gap, axis=1).max() <= spine_size.TOLERANCE_UM
    assert len(set(chosen.tolist())) == 3


def test_examples_keep_cubes_and_sizes_together_and_the_loss_goes_down():
    _, _, stack = drawn()
    sizes = np.array([[0.1, 0.5, 1.0], [0.2, 0.6, 1.1], [0.001, 0.1, 0.4], [0.3, 0.7, 1.2]])
    stack.volume.sizes = sizes
    examples = Examples([stack])
    assert np.sort(np.exp(examples.sizes[:, 0])) == pytest.approx([0.1, 0.2]), "the tiny one is left out"
    sampler = Sampler(examples, seed=0)
    torch.manual_seed(0)
    model = build_network(ARCHITECTURE).train()
    optimiser = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for _ in range(12):
        now = loss(model, sampler.batch())
        optimiser.zero_grad()
        now.backward()
        optimiser.step()
        losses.append(float(now.detach()))
    assert np.mean(losses[-3:]) < np.mean(losses[:3])


def test_bytes_keep_intensity_and_shares():
    cube = np.random.default_rng(0).random((2, CHANNELS, 3, 4, 5)).astype(np.float32)
    cube[:, 0] = cube[:, 0] * 2 - 0.5
    back = spine_size.from_bytes(to_bytes(cube))
    np.testing.assert_allclose(back, cube, atol=0.005)


def test_a_table_gets_sizes_by_candidate_and_nothing_for_what_was_added():
    sizes = np.zeros((3, 3, 2))
    sizes[:, 0, 0] = np.log([0.1, 0.2, 0.3])
    sizes[:, :, 1] = np.log(0.1)
    table = with_sizes(pd.DataFrame({"spine_id": [3, 1, 4]}), sizes)
    assert table["volume_estimated_um3"].tolist()[:2] == pytest.approx([0.3, 0.1])
    assert table.iloc[2].drop("spine_id").isna().all()
    assert table["length_estimated_error_pct"][0] == pytest.approx(100 * (0.32**-0.1 - 1))
    assert set(ESTIMATED) | set(ESTIMATED.values()) <= set(SPINE_COLUMNS)
    bare = with_sizes(pd.DataFrame({"spine_id": [1]}), np.zeros((0, 3, 2)))
    assert bare["volume_estimated_um3"].isna().all()


class Same(torch.nn.Module):
    """Answers with the height itself, or with sizes that follow from it."""

    def __init__(self, sizes: bool) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, fine, wide, features):
        height = features[:, 0]
        return height[:, None, None].expand(-1, 3, 2) if self.sizes else height


def test_sizes_go_with_their_head_through_sorting_and_selection():
    maps, intensity, _ = drawn()
    score, size = (
        Network(Card(n, Path(n), {"sha256": "0"}), Same(sizes=n == SIZER)) for n in (SCORER, SIZER)
    )
    heads = find_heads(lambda w: intensity[w].astype(np.float32) / 2000, maps, SPACING, score, sizer=size)
    logits = np.log(heads.scores / (1 - heads.scores))
    np.testing.assert_allclose(heads.sizes[:, 0, 0], logits, atol=0.02)
    assert find_heads(lambda w: intensity[w].astype(np.float32) / 2000, maps, SPACING, score).sizes is None
    prediction = Prediction(
        *maps, intensity, SPACING, (1.0, 1.0), "drawn", 1.0, heads, (score.card, size.card)
    )
    candidates, _ = find_candidates(prediction)
    np.testing.assert_allclose(
        candidates.sizes[:, 1, 0], np.log(candidates.scores / (1 - candidates.scores)), atol=0.02
    )
    table = Cutter(candidates, intensity.shape, Spacing(*SPACING)).table(0.5)
    wanted = np.exp(candidates.sizes[table["spine_id"] - 1, 2, 0])
    np.testing.assert_allclose(table["length_estimated_um"], wanted)
    plain = replace(prediction, heads=Heads(heads.centres_px, heads.scores))
    assert len(find_candidates(plain)[0].sizes) == 0


def test_the_weights_are_used_for_the_maps_they_know_and_no_others(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "MODELS_DIR", tmp_path)
    shipped = get_card("centre-unet-3d")
    assert reading_card(SIZER, shipped) is None
    facts = {"architecture": ARCHITECTURE, "reads_maps_of": {"name": shipped.name, "sha256": shipped.sha256}}
    save_network(build_network(ARCHITECTURE), SIZER, facts, tmp_path)
    assert (
        reading_card(SIZER, shipped).name == SIZER and reading_card(SIZER, get_card("centre-unet-2d")) is None
    )


def test_shipped_weights_belong_to_the_shipped_network():
    path = MODELS_DIR / f"{SIZER}.json"
    if not path.exists():
        pytest.skip("spine-size is not shipped")
    assert json.loads(path.read_text())["outputs"] == list(ESTIMATED)
    assert reading_card(SIZER, get_card("centre-unet-3d")).name == SIZER


def test_training_goes_on_with_the_shipped_middle_and_starts_anew_with_one_of_its_own(monkeypatch):
    stack = drawn()[2]
    stack.volume.sizes = np.full((4, 3), 0.25)
    examples = Examples([stack])
    assert spine_size.architecture_for(examples) == get_card(SIZER).data["architecture"]
    monkeypatch.setattr(spine_size, "WIDTH", 4)
    found = spine_size.architecture_for(examples)
    assert found["width"] == 4 and found["middle"] == [round(float(np.log(0.25)), 4)] * 3


def test_a_batch_holds_its_share_of_real_shapes():
    first, second = drawn()[2], drawn()[2]
    first.volume.sizes, second.volume.sizes = np.full((4, 3), 0.25), np.full((4, 3), 0.5)
    sizes = Sampler(Examples([first]), seed=0, shapes=Examples([second])).batch()["sizes"].numpy()
    assert len(sizes) == spine_size.BATCH
    assert np.isclose(sizes[:, 0], np.log(0.5)).mean() == pytest.approx(spine_size.SHAPES_SHARE)
    assert np.isclose(sizes[:, 0], np.log(0.25)).sum() == spine_size.BATCH * (1 - spine_size.SHAPES_SHARE)


def test_a_pool_without_sizes_is_named():
    stack = drawn()[2]
    stack.volume.sizes = None
    with pytest.raises(SpinecoreError, match="delete the folder pool"):
        Examples([stack])
