"""The second look at candidate heads: cubes against closed forms, what candidates are, and where the scores come from."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_analysis import SPACING, drawn_maps

from spinecore.detection.candidates import find_candidates
from spinecore.evaluation.edges import centre_edges
from spinecore.methods import second_look, weights
from spinecore.methods.prediction import Prediction
from spinecore.methods.second_look import (
    CHANNELS,
    CHANNELS_OF_TWO_SCALES,
    CUBES,
    candidate_heads,
    cut_cubes,
    find_heads,
    heads_apart,
    score_heads,
)
from spinecore.methods.weights import SCORER, card_of_scores, reading_card
from spinecore.networks.zoo import Card, Network, build_network, get_card, load_network, save_network
from spinecore.training.engine import _train_stages, start_network
from spinecore.training.head_batches import Sampler
from spinecore.training.head_score import ARCHITECTURE, HeadScoreRecipe, count_heads, heights_alone
from spinecore.training.labelled import LabelledCandidates, candidate_truth, label_candidates, seen_again
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.recipe import Context, Stage
from spinecore.training.schedule import Schedule, Start
from spinecore.training.start import load_shipped_weights


def ramp(shape):
    """A volume whose value is z + 0.1 y + 0.01 x in um."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return (z * SPACING[0] + 0.1 * y * SPACING[1] + 0.01 * x * SPACING[2]).astype(np.float32)


@pytest.mark.parametrize("angle", [0.0, 0.7, 2.5])
def test_cubes_hold_the_intensity_at_their_points(angle):
    volume = ramp((30, 100, 120))
    centre = np.array([15.3, 51.2, 60.7])
    empty = np.zeros((3, *volume.shape), np.uint8)
    fine, wide = cut_cubes(
        lambda w: volume[w], empty, centre[None], np.ones(1), SPACING, np.zeros(1, int), np.array([angle])
    )
    c, s = np.cos(angle), np.sin(angle)
    for cube, found in zip(CUBES, (fine, wide), strict=True):
        z, y, x = np.moveaxis(cube.offsets_um, -1, 0)
        at = centre * SPACING
        expected = at[0] + z + 0.1 * (at[1] + c * y - s * x) + 0.01 * (at[2] + s * y + c * x)
        np.testing.assert_allclose(found[0, 0], expected, atol=2e-3)
        assert found.shape[1] == CHANNELS and not found[0, 1:].any()


@pytest.mark.parametrize("angle", [0.0, 1.1, 3.9])
def test_neighbours_are_drawn_where_the_maps_show_them(angle):
    maps = np.zeros((3, 20, 90, 90), np.uint8)
    places = np.array([[10, 45, 45], [12, 49, 41], [9, 40, 47]])
    for z, y, x in places[1:]:
        maps[2, z, y - 1 : y + 2, x - 1 : x + 2] = 200
    heights = np.array([0.5, 0.8, 0.3])
    fine, _ = cut_cubes(
        lambda w: np.zeros([s.stop - s.start for s in w], np.float32),
        maps,
        places.astype(float),
        heights,
        SPACING,
        np.zeros(1, int),
        np.array([angle]),
    )
    for channel, height in ((4, 0.8), (5, 0.3)):
        drawn = fine[0, channel]
        assert drawn.max() == pytest.approx(height, rel=0.15)
        assert fine[0, 3][np.unravel_index(drawn.argmax(), drawn.shape)] > 0.5 * 200 / 255


def test_beyond_the_stack_everything_is_zero():
    maps = np.full((3, 1, 40, 40), 255, np.uint8)
    fine, _ = cut_cubes(
        lambda w: np.ones([s.stop - s.start for s in w], np.float32),
        maps,
        np.array([[0.0, 2.0, 20.0]]),
        np.ones(1),
        SPACING,
        np.zeros(1, int),
    )
    assert (
        fine[0, 1, 4, 10, 10] == pytest.approx(1) and not fine[0, 1, 0].any() and not fine[0, :, 4, 0].any()
    )


@pytest.mark.parametrize("place", [(6.3, 20.4, 31.7), (0.2, 1.1, 38.9), (-0.4, 39.3, 0.0)])
def test_upright_cubes_are_those_of_hardly_turned_ones(place):
    random = np.random.default_rng(1)
    volume, maps = random.random((12, 40, 40), np.float32), random.integers(0, 255, (3, 12, 40, 40), np.uint8)
    given = (lambda w: volume[w], maps, np.array([place]), np.ones(1), SPACING, np.zeros(1, int))
    for upright, turned in zip(cut_cubes(*given), cut_cubes(*given, np.array([1e-7])), strict=True):
        np.testing.assert_allclose(upright, turned, atol=1e-4)


def test_candidates_are_labelled_by_one_to_one_matching():
    truth = np.array([[0, 0, 0], [0, 3, 0], [0, 6, 0]], float)
    visible = np.array([True, True, False])
    found = np.array([[0, 0.1, 0], [0, 0.4, 0], [0, 3.9, 0], [0, 6.2, 0], [0, 20, 0]])
    assert candidate_truth(found, np.array([0.5, 0.6, 0.4, 0.9, 0.9]), truth, visible).tolist() == [
        1,
        0,
        1,
        -1,
        0,
    ]
    # of two that could be it, a much higher one may lie a little farther
    assert candidate_truth(found[:2], np.array([0.1, 0.9]), truth, visible).tolist() == [0, 1]


def test_a_spine_seen_again_is_one_in_both_places():
    spines = np.array([[0, 0, 0], [0, 5, 0]], float)
    found = np.array([[0, 0, 0.1], [0.8, 0, 0.1], [0, 0.9, 0], [0, 5, 0.2], [2.0, 5, 0.2]])
    truth = candidate_truth(found, np.full(5, 0.5), spines, np.ones(2, bool))
    assert truth.tolist() == [1, 0, 0, 1, 0]
    # the second is above the first; the third could be the spine, but an analysis keeps both; the last is too far away to be it
    again = seen_again(found, truth, centre_edges(spines, found, 1.0), (1.6, 0.5, 0.5))
    assert again.tolist() == [False, True, False, False, False]


def test_batches_tell_a_spine_seen_again_as_one():
    image = np.zeros((9, 40, 40), np.uint8)
    places = np.array([[4.0, 15, 15], [5, 15, 15], [4, 30, 30]])
    truth, again = np.array([1, 0, 0], np.int8), np.array([False, True, False])
    stack = LabelledCandidates(
        PoolVolume(image, image, np.zeros((0, 4)), 1.0),
        np.zeros((6, *image.shape), np.uint8),
        places,
        np.full(3, 0.5),
        truth,
        again,
    )
    batch = Sampler([stack], 0).batch()
    assert abs(float(batch["truth"].mean()) - 2 / 3) < 0.2
    # of the two an analysis keeps the stronger one: one head, no false one
    counts = count_heads([stack], [np.array([0.7, 0.8, 0.05])])
    assert counts[:, 1].max() == 1


def test_a_zoomed_cube_shows_neighbours_farther_apart():
    maps = np.zeros((3, 21, 90, 90), np.uint8)
    maps[2, 10, 45, 49:52] = 100, 200, 100
    places, heights = np.array([[10.0, 45, 45], [10, 45, 50]]), np.array([0.5, 0.8])
    crop = lambda w: np.zeros([s.stop - s.start for s in w], np.float32)  # noqa: E731
    at = []
    for zoom in (1.0, 1.25):
        given = (crop, maps, places, heights, SPACING, np.zeros(1, int), np.zeros(1), np.array([zoom]))
        fine, _ = cut_cubes(*given)
        middle = (np.array(CUBES[0].shape) - 1) / 2
        at.append(
            [np.array(np.unravel_index(fine[0, c].argmax(), fine[0, c].shape)) - middle for c in (3, 4)]
        )
    drawn = np.array(at)
    assert drawn[0, :, 2].tolist() == [5, 5]
    np.testing.assert_allclose(drawn[1, :, 2], 6.25, atol=0.5)


def test_of_heads_too_close_together_the_strongest_stays(monkeypatch):
    maps, _, crop = drawn()
    heads = np.array([[5, 20, 20], [6, 22, 20], [9, 20, 20], [5, 26, 20]], float)
    monkeypatch.setattr(second_look, "candidate_heads", lambda *_: (heads, np.array([0.9, 0.8, 0.7, 0.6])))
    scorer = Network(Card("head-score", Path("none"), {"sha256": "0"}), Same())
    for z_um in (0.3, 0.7, 1.0):
        found = find_heads(crop, maps, (z_um, 0.1, 0.1), scorer)
        assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6], abs=1e-3)


class Same(torch.nn.Module):
    """Answers with the height itself."""

    def forward(self, fine, wide, features):
        return features[:, 0]


def drawn():
    dendrite, spine, centre, intensity = drawn_maps()
    maps = np.stack([dendrite, spine, centre])
    return maps, intensity, lambda window: intensity[window].astype(np.float32) / 2000


def test_scores_come_from_the_network_and_reach_the_candidates():
    maps, intensity, crop = drawn()
    centres, heights = candidate_heads(maps[2], SPACING)
    scores = score_heads(Same(), crop, maps, centres, heights, SPACING)
    np.testing.assert_allclose(scores, np.clip(heights, 0.02, 0.98), atol=2e-3)
    card = Card("head-score", Path("none"), {"sha256": "0", "score_power": 2.0})
    heads = find_heads(crop, maps, SPACING, Network(card, Same()))
    assert (np.diff(heads.scores) <= 0).all() and heads.scores.min() >= 0.1
    prediction = Prediction(*maps, intensity, SPACING, (1.0, 1.0), "drawn", 1.0, heads, (card,))
    candidates, _ = find_candidates(prediction)
    np.testing.assert_allclose(candidates.scores[:4] ** 0.5, [0.9, 0.8, 0.7, 0.6], atol=0.01)


def test_sizes_are_read_of_heads_alone():
    class Sizer(torch.nn.Module):
        def forward(self, fine, wide, features):
            asked.append(len(features))
            return torch.stack(
                [features[:, :1].repeat(1, 3), fine.flatten(1).mean(1)[:, None].repeat(1, 3)], 2
            )

    asked: list[int] = []
    maps, _, crop = drawn()
    scorer = Network(Card("head-score", Path("none"), {"sha256": "0", "score_power": 3.0}), Same())
    heads = find_heads(crop, maps, SPACING, scorer, Network(Card("spine-size", Path("none"), {}), Sizer()))
    logits = np.log(np.cbrt(heads.scores) / (1 - np.cbrt(heads.scores)))
    np.testing.assert_allclose(heads.sizes[:, 0, 0], logits, atol=1e-4)
    assert sum(asked) == len(heads.scores) < len(candidate_heads(maps[2], SPACING)[1])


def test_the_weights_are_used_for_the_maps_they_know_and_no_others(monkeypatch, tmp_path):
    monkeypatch.setattr(weights, "MODELS_DIR", tmp_path)
    shipped = get_card("centre-unet-3d")
    assert reading_card(SCORER, shipped) is None and card_of_scores(shipped) is shipped
    facts = {"architecture": ARCHITECTURE, "reads_maps_of": {"name": shipped.name, "sha256": shipped.sha256}}
    save_network(build_network(ARCHITECTURE), SCORER, facts, tmp_path)
    assert card_of_scores(shipped).name == SCORER
    assert reading_card(SCORER, get_card("centre-unet-2d")) is None


def test_batches_are_turned_candidates_and_the_loss_goes_down():
    maps, intensity, _ = drawn()
    centres = np.array([[7, 33, 20, 1], [7, 57, 40, 1], [7, 32, 60, 1], [9, 58, 80, 0]], np.float32)
    volume = PoolVolume(encode(intensity / 2000), (maps[1] > 0).astype(np.uint8), centres, SPACING[0])
    stack = label_candidates(volume, np.concatenate([maps, maps // 2]))
    assert sorted(stack.truth.tolist()) == [-1, 0, 1, 1, 1]
    np.testing.assert_allclose(np.sort(heights_alone(stack)), np.sort(stack.heights))
    sampler = Sampler([stack], seed=0)
    torch.manual_seed(0)
    model = build_network(ARCHITECTURE)
    optimiser = torch.optim.AdamW(model.parameters(), 2e-3)
    losses = []
    for _ in range(8):
        batch = sampler.batch()
        assert batch["fine"].shape[1:] == (CHANNELS_OF_TWO_SCALES, *CUBES[0].shape)
        assert set(batch["truth"].tolist()) <= {0, 1}
        # the last three are the maps of the coarse scale, read at the same places
        torch.testing.assert_close(batch["fine"][:, 6:], batch["fine"][:, 1:4] / 2, atol=0.01, rtol=0)
        loss = HeadScoreRecipe("head-score").loss(model, batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]


def test_shipped_weights_belong_to_the_shipped_network():
    path = Path(weights.MODELS_DIR) / f"{SCORER}.json"
    if not path.exists():
        pytest.skip("head-score is not shipped")
    assert card_of_scores(get_card("centre-unet-3d")).name == SCORER


def test_training_goes_on_from_the_weights_in_models(tmp_path):
    shipped = get_card(SCORER)
    model, start = start_network(HeadScoreRecipe(SCORER), Context(tmp_path, tmp_path, 1.0))
    assert start.goes_on and shipped.sha256 in start.words
    given = [torch.rand(3, CHANNELS_OF_TWO_SCALES, *cube.shape) for cube in CUBES] + [torch.randn(3, 2)]
    before = load_network(shipped.name)
    own = [cube[:, : before.channels] for cube in given[:2]]
    torch.testing.assert_close(model.eval()(*given), before(*own, given[2]), atol=1e-3, rtol=1e-3)
    assert model is not load_network(shipped.name)
    fresh = build_network(ARCHITECTURE)
    for name, architecture in (("no such model", ARCHITECTURE), (shipped.name, {"kind": "another"})):
        assert not load_shipped_weights(fresh, name, architecture).goes_on
        assert not torch.equal(next(fresh.parameters()), next(model.parameters()))


def test_what_is_kept_is_the_mean_with_the_weights_before(tmp_path):
    recipe = HeadScoreRecipe(SCORER)
    before = copy.deepcopy(start_network(recipe, Context(tmp_path, tmp_path, 1.0))[0])
    torch.manual_seed(0)
    trained = build_network(ARCHITECTURE)
    assert recipe.finish(trained, Start()) is trained, "from random weights"
    kept = recipe.finish(trained, Start("the weights before", goes_on=True))
    for mean, one, other in zip(kept.parameters(), trained.parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(mean, (one + other) / 2)
    assert kept is not trained and not torch.equal(next(kept.parameters()), next(trained.parameters()))


def test_another_network_than_the_trained_one_is_scored_anew(tmp_path):
    class Half(HeadScoreRecipe):
        """Makes one step and keeps half of what it gives."""

        def stages(self, context, start):
            batch = [torch.rand(2, CHANNELS_OF_TWO_SCALES, *cube.shape) for cube in CUBES]
            batch.append(torch.randn(2, 2))
            given = dict(zip(("fine", "wide", "features"), batch, strict=True)) | {"truth": torch.ones(2)}
            return [Stage("state", lambda: given, Schedule(steps=1), self.validate)]

        def finish(self, model, start):
            kept = copy.deepcopy(model)
            for values in kept.parameters():
                values.data /= 2
            return kept

        def validate(self, model):
            return {"select": float(next(model.parameters()).detach().abs().sum())}

    context = Context(tmp_path, tmp_path, 1.0, say=lambda line: None)
    model = build_network(ARCHITECTURE)
    kept, history, chosen = _train_stages(Half(SCORER), context, model, Start(), "float32")
    assert chosen["select"] == pytest.approx(history[-1]["select"] / 2, rel=1e-5)
    assert chosen == {"step": 1} | Half(SCORER).validate(kept)


def test_a_head_seen_twice_along_z_counts_once_where_slices_are_far_apart():
    def kept(z_um: float, *places_um: tuple[float, float, float]) -> list[int]:
        spacing = (z_um, 0.1, 0.1)
        return heads_apart(np.array(places_um) / spacing, np.array([0.9, 0.7]), spacing).tolist()

    above = (0.0, 0.0, 0.0), (2.5, 0.1, 0.2)
    assert kept(1.0, *above) == [0], "in vivo the light of one head spreads that far"
    assert kept(0.3, *above) == [0, 1], "finer slices tell them apart"
    assert kept(1.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.7)) == [0, 1]
    assert kept(2.0, (0.0, 0.0, 0.0), (4.0, 0.0, 0.0)) == [0, 1]
