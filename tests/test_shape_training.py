"""Recipes of the shape classifiers: batches, losses, resuming, scores; the real data where they are there."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from spinecore.errors import SpinecoreError
from spinecore.networks.shapes import FocusShapeNet, JointShapeNet
from spinecore.networks.zoo import build_network
from spinecore.shapes.classes import CLASSES, LABELS
from spinecore.shapes.patches import PATCH_PX
from spinecore.training.loop import train
from spinecore.training.recipe import Stage
from spinecore.training.recipes import RECIPES
from spinecore.training.schedule import Schedule
from spinecore.training.shape_augment import augment, centre_crop
from spinecore.training.shape_losses import class_loss, outside_share, shape_loss
from spinecore.training.shape_outlines import KINDS, augment_as_detected, spoil
from spinecore.training.shape_samples import KEPT_PX, Spines, real_spines, simulated_spines, tighten
from spinecore.training.shape_scores import balanced_interval, calibration_by_chance, calibration_error, score
from spinecore.training.shapes import PLANS, Sampler, imagenet_start, is_finished

DATA = Path(os.environ.get("SPINE_DATA", "../shared/data"))
#: Spines of the made-up set: blobs whose size is their class.
COUNT = 40


@pytest.fixture(scope="module")
def spines() -> Spines:
    rng = np.random.default_rng(0)
    labels = np.arange(COUNT) % len(LABELS)
    y, x = np.mgrid[:KEPT_PX, :KEPT_PX] - KEPT_PX / 2
    masks = np.hypot(y, x)[None] < (3 + 2 * labels)[:, None, None]
    image = masks + rng.normal(0, 0.05, masks.shape)
    patches = np.stack([image, masks, 0.1 * masks], 1).astype(np.float16)
    return Spines(patches, masks, labels, np.arange(COUNT) // 4)


def test_every_plan_is_a_recipe_and_builds() -> None:
    assert set(PLANS) <= set(RECIPES)
    for name in ("shape-joint", "shape-resnet18-masked"):
        network = build_network(PLANS[name].architecture).eval()
        with torch.inference_mode():
            assert network(torch.zeros(2, 3, PATCH_PX, PATCH_PX)).shape == (2, len(LABELS))


def test_without_background_only_the_outline_is_seen() -> None:
    torch.manual_seed(0)
    network = build_network(PLANS["shape-resnet18-masked"].architecture).eval()
    patch = torch.rand(1, 3, PATCH_PX, PATCH_PX)
    patch[:, 1] = 0
    patch[:, 1, 15:25, 15:25] = 1
    other = patch.clone()
    other[:, 0, :12] = 9.0
    with torch.inference_mode():
        assert torch.equal(network(patch), network(other))


def test_a_batch_is_balanced_augmented_and_keeps_the_true_outline(spines: Spines) -> None:
    few = spines.take(np.r_[np.flatnonzero(spines.labels == 0), np.flatnonzero(spines.labels == 3)[:1]])
    drawn = Sampler([(few, 1.0, False)], 256, 0).batch()
    assert 0.15 < (drawn.labels == 3).float().mean() < 0.4, "1 of 9 spines, drawn far more often"
    batch = augment(spines, np.ones(COUNT, bool), np.random.default_rng(1))
    assert batch.patches.shape == (COUNT, 3, PATCH_PX, PATCH_PX)
    assert set(batch.patches[:, 1].unique().tolist()) <= {0.0, 1.0}
    overlap = (batch.outline[:, 0] * batch.patches[:, 1]).sum() / batch.outline.sum()
    assert overlap > 0.6
    assert centre_crop(spines.patches).shape[-1] == PATCH_PX


def test_a_simulated_mushroom_may_be_called_ball() -> None:
    ball = torch.full((1, 5), -5.0)
    ball[0, LABELS.index("ball")] = 5.0
    mushroom = torch.tensor([LABELS.index("mushroom")])
    free = class_loss(ball, mushroom, torch.tensor([True]))
    assert class_loss(ball, mushroom, torch.tensor([False])) > free + 5


def test_training_learns_and_goes_on_from_its_state(spines: Spines, tmp_path: Path) -> None:
    torch.manual_seed(0)
    sampler = Sampler([(spines, 1.0, False)], 32, 0)
    said: list[str] = []
    schedule = Schedule(steps=60, learning_rate=3e-3, weight_decay=0.02, average=0.98, warm_up=40)
    stage = Stage("s", sampler.batch, schedule)
    model, _ = train(JointShapeNet(5, 8), stage, shape_loss, tmp_path, say=said.append)
    with torch.inference_mode():
        found = model(centre_crop(spines.patches)).argmax(1).numpy()
    assert (found == spines.labels).mean() > 0.6
    again, _ = train(JointShapeNet(5, 8), stage, shape_loss, tmp_path, True, say=said.append)
    assert len(said) == 1, "a finished training is taken up, not repeated"
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_scores_count_what_they_say() -> None:
    labels = np.array([0, 4, 1, 2, 3, 3])
    chance = np.eye(5)[[4, 4, 1, 1, 3, 0]]
    found = score(chance, labels)
    assert found["accuracy_four_way"] == pytest.approx(4 / 6)
    assert found["accuracy_five_way"] == pytest.approx(3 / 6)
    assert found["balanced_accuracy_four_way"] == pytest.approx((1 + 1 + 0 + 0.5) / 4)
    assert np.array(found["confusion_four_way"]).sum() == 6
    assert found["per_class"]["stubby"]["recall"] == 0 and found["per_class"]["stubby"]["precision"] is None
    assert found["calibration_error"] == pytest.approx(1 - 4 / 6)


def test_right_probabilities_show_a_calibration_error_too_and_less_in_more_spines() -> None:
    assert calibration_by_chance(np.eye(4)) == (0, 0), "who is sure and right makes none"
    rng = np.random.default_rng(3)
    few, many = rng.dirichlet([4, 1, 1, 1], 60), rng.dirichlet([4, 1, 1, 1], 3000)
    (mean, high), (mean_many, _) = calibration_by_chance(few), calibration_by_chance(many)
    assert 0.03 < mean < high and mean_many < 0.4 * mean
    truth = np.array([rng.choice(4, p=p) for p in many])
    assert calibration_error(many, truth) == pytest.approx(mean_many, abs=0.015)


def test_the_interval_of_the_balanced_accuracy_draws_whole_groups() -> None:
    truth = np.tile([0, 1, 2, 3], 20)
    groups = np.repeat(np.arange(20), 4)
    assert balanced_interval(truth, truth, groups) == (1.0, 1.0)
    found = truth.copy()
    found[:40] = 0
    low, high = balanced_interval(truth, found, groups)
    assert 0.4 < low < 0.625 < high < 0.85
    assert score(np.eye(5)[found], truth, groups)["balanced_interval_four_way"] == (low, high)


def test_finished_trainings_are_known(tmp_path: Path) -> None:
    assert not is_finished("shape-resnet18", tmp_path, "none")
    (tmp_path / "shape-resnet18").mkdir()
    steps = PLANS["shape-resnet18"].after
    for done, finished in ((steps - 1, False), (steps, True)):
        torch.save({"step": done, "steps": steps}, tmp_path / "shape-resnet18" / "state-none.pt")
        assert is_finished("shape-resnet18", tmp_path, "none") is finished
    assert not is_finished("shape-resnet18", tmp_path, "simulation")


def test_the_outline_can_be_left_out_of_the_loss(spines: Spines) -> None:
    torch.manual_seed(0)
    batch = augment(spines, np.zeros(COUNT, bool), np.random.default_rng(0))
    model = JointShapeNet(5, 8).eval()
    alone = shape_loss(model, batch, 0.0)
    alone.backward()
    assert model.outline_head.weight.grad is None
    assert shape_loss(model, batch, 0.5).item() > alone.item()


def test_each_logit_of_the_focus_network_is_the_sum_of_what_its_cells_say(spines: Spines) -> None:
    torch.manual_seed(0)
    model = FocusShapeNet(len(LABELS), 4, 6).eval()
    patches = centre_crop(spines.patches)
    with torch.inference_mode():
        logits, drawn, said = model.forward_all(patches)
        assert said.shape == (COUNT, len(LABELS), PATCH_PX, PATCH_PX) and drawn.shape[1] == 1
        torch.testing.assert_close(said.sum((2, 3)), logits, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(logits, model(patches))
        torch.testing.assert_close(logits.sum(1), torch.zeros(COUNT), atol=1e-5, rtol=0)
        model.outline_head.bias += -60
        assert model(patches).abs().max() < 1e-6, "a network that draws no spine names none"


def test_evidence_off_the_spine_is_what_the_loss_counts(spines: Spines) -> None:
    batch = augment(spines, np.zeros(COUNT, bool), np.random.default_rng(0))
    near = torch.maximum(batch.outline, batch.patches[:, 1:2])
    inside, outside = near.repeat(1, 5, 1, 1), torch.zeros(COUNT, 5, PATCH_PX, PATCH_PX)
    outside[:, 2, 0, 0] = near.sum((1, 2, 3)) * 5
    assert outside_share(inside, batch).item() == pytest.approx(0)
    assert outside_share(inside + outside, batch).item() == pytest.approx(0.5, abs=1e-3)
    assert outside_share(inside - outside, batch).item() == pytest.approx(0), (
        "evidence against does not count"
    )


def test_outlines_are_spoilt_as_a_detector_spoils_them(spines: Spines) -> None:
    rng = np.random.default_rng(0)
    given = np.zeros((KEPT_PX, KEPT_PX), bool)
    given[18:26, 24:32] = True
    given[26:36, 27:29] = True
    image = np.ones(given.shape)
    for kind in KINDS:
        for _ in range(5):
            out = spoil(kind, given, given, image, rng)
            assert out.any() and (out & given).any()
    assert spoil("head only", given, given, image, rng)[30:].sum() == 0
    assert spoil("with shaft", given, given, image, rng)[36:].any()
    assert spoil("box", given, given, image, rng).sum() == 18 * 8
    assert (spoil("cut", given, given, image, rng) <= given).all()
    batch = augment_as_detected(spines, np.ones(COUNT, bool), rng)
    assert batch.patches.shape == (COUNT, 3, PATCH_PX, PATCH_PX) and torch.isfinite(batch.patches).all()
    assert set(batch.patches[:, 1].unique().tolist()) <= {0.0, 1.0}
    assert (batch.patches[:, 2][batch.patches[:, 1] == 0] == 0).all(), "no depth outside the outline"


def test_imagenet_weights_are_never_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(SpinecoreError, match="not on this computer"):
        imagenet_start(None, 18)


def test_a_loose_outline_is_reduced_to_what_is_lit() -> None:
    pixels = np.zeros((10, 10))
    pixels[3:6, 3:6] = 200
    loose = np.zeros((10, 10), bool)
    loose[1:9, 1:9] = True
    assert tighten(pixels, loose).sum() == 9


def test_simulated_spines_have_truth() -> None:
    found = simulated_spines(7)
    assert len(found) > 5 and set(found.labels) <= set(range(len(CLASSES)))
    assert (found.patches[:, 1].astype(float).sum((1, 2)) > 0).all()


@pytest.mark.data
@pytest.mark.skipif(not (DATA / "classes2d").is_dir(), reason="classes2d is not there (set SPINE_DATA)")
def test_real_spines_are_read_and_groups_stay_apart() -> None:
    held, train = real_spines(DATA, "val"), real_spines(DATA, "train")
    assert np.bincount(held.labels).tolist() == [79, 16, 65, 5, 32]
    assert not set(held.groups) & set(train.groups)
