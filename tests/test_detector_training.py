"""Training examples and networks of the two-stage detectors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.ops import roi_align

from spinecore.methods.detect import draw_mask
from spinecore.networks.detectors import (
    MAX_BOXES,
    Panoptic,
    build_detector,
    build_small_detector,
    cached_weights,
    start_from_unet,
)
from spinecore.networks.two_stage import IGNORED, MASK_PX
from spinecore.networks.unet import UNet2d
from spinecore.training import faster_rcnn
from spinecore.training.detection_samples import (
    detection_loss,
    polygons_example,
    projection_example,
    slice_example,
    spine_instances,
    targets_of,
)
from spinecore.training.engine import run
from spinecore.training.faster_rcnn import VARIANTS, choose, score_stacks
from spinecore.training.panoptic import ARCHITECTURE
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.recipe import Context
from spinecore.training.recipes import make_recipe
from spinecore.training.samples import RealImage

WIDTHS = (8, 8, 16, 16, 16)


@pytest.fixture
def volume() -> PoolVolume:
    """A straight dendrite with two touching spines, a lone one, one that nobody could see and a stray piece."""
    classes = np.zeros((9, 80, 80), np.uint8)
    classes[3:6, 38:44] = 1
    classes[3:6, 28:38, 20:26] = 2
    classes[3:6, 28:38, 26:32] = 2
    classes[4, 44:54, 50:56] = 2
    classes[4, 28:38, 60:66] = 2
    classes[8, 2:5, 2:5] = 2
    centres = np.array([[4, 31, 22.5, 1], [4, 31, 29.0, 1], [4, 50, 52.5, 1], [4, 31, 62.5, 0]], np.float32)
    image = encode(np.where(classes > 0, 0.9, 0.0).astype(np.float32))
    return PoolVolume(image, classes, centres, 0.5)


def test_touching_spines_are_told_apart_by_their_heads(volume):
    made = spine_instances(volume)
    assert (made.labels[4, 30, 20:26] == 1).all() and (made.labels[4, 30, 26:32] == 2).all()
    assert made.labels[8].max() == 0, "a piece without a head belongs to nobody"
    boxes, seen = made.boxes3d()
    assert boxes[0].tolist() == [20, 28, 26, 38, 3, 5]
    assert boxes[2].tolist() == [50, 44, 56, 54, 4, 4]
    assert seen.tolist() == [True, True, True, False]


def test_slices_learn_visible_spines_and_leave_out_the_rest(volume):
    made = spine_instances(volume)
    for seed in range(30):
        example = slice_example(made, 80, 5, np.random.default_rng(seed))
        target = targets_of(example)
        kinds = target["labels"].tolist()
        assert example.image.shape == (5, 80, 80) and 4 not in example.learned
        if len(kinds) == 4 and kinds.count(1) == 3:
            break
    else:
        pytest.fail("no example showed the middle slice")
    assert kinds.count(IGNORED) == 1
    sizes = (target["boxes"][:, 2:] - target["boxes"][:, :2]).sort(1).values
    assert sizes.tolist() == [[6, 10]] * 4


def test_one_slice_beyond_a_spine_is_neither(volume):
    made = spine_instances(volume)
    kinds = set()
    for seed in range(60):
        example = slice_example(made, 80, 1, np.random.default_rng(seed))
        if example.dendrite.any() or not example.labels.any():
            continue
        kinds |= set(targets_of(example)["labels"].tolist())
    assert kinds == {IGNORED}


def test_projections_show_what_the_dendrite_leaves(volume):
    volume.classes[6, 28:36, 20:26] = 1  # passes over most of the first spine
    made = spine_instances(volume)
    for seed in range(40):
        example = projection_example(made, 80, 1, np.random.default_rng(seed))
        if example.learned and example.dendrite.sum() > 500:
            assert not (example.dendrite.astype(bool) & (example.labels > 0)).any()
            assert 1 not in example.learned and 4 not in example.learned
            return
    pytest.fail("no projection went through all of it")


def test_polygons_are_single_spines_with_masks():
    classes = np.zeros((120, 120), np.uint8)
    classes[58:64] = 1
    classes[48:58, 50:58], classes[64:74, 70:78] = 2, 2
    image = RealImage(
        "a", "s", "g", (classes > 0).astype(np.float32), np.array([[53, 54.0], [69, 74]]), classes
    )
    example = polygons_example(image, 96, 1, np.random.default_rng(3))
    target = targets_of(example, masks=True)
    assert target["masks"].shape == (len(target["boxes"]), 96, 96)
    for box, mask in zip(target["boxes"].int().tolist(), target["masks"], strict=True):
        assert mask.sum() == mask[box[1] : box[3], box[0] : box[2]].sum() > 0


def targets(kind: int) -> list[dict[str, torch.Tensor]]:
    masks = torch.zeros(1, 64, 64, dtype=torch.uint8)
    masks[0, 20:30, 20:30] = 1
    return [{"boxes": torch.tensor([[20.0, 20, 30, 30]]), "labels": torch.tensor([kind]), "masks": masks}]


def test_ignored_boxes_have_no_anchor_and_no_gradient_towards_spine():
    torch.manual_seed(0)
    model = build_small_detector(1, WIDTHS, 16).train()
    features = model.backbone(torch.rand(1, 1, 64, 64))
    images, _ = model.transform([torch.rand(1, 64, 64)])
    anchors = model.rpn.anchor_generator(images, list(features.values()))
    positive, _ = model.rpn.assign_targets_to_anchors(anchors, targets(1))
    ignored, _ = model.rpn.assign_targets_to_anchors(anchors, targets(IGNORED))
    assert (positive[0] == 1).any() and not (ignored[0] == 1).any()
    assert (ignored[0][positive[0] == 1] == -1).all()


def test_losses_are_finite_and_train_every_part():
    torch.manual_seed(0)
    model = build_small_detector(1, WIDTHS, 16, masks=True).train()
    loss = detection_loss(model, [torch.rand(1, 64, 64)], targets(1))
    loss.backward()
    assert torch.isfinite(loss)
    without = [n for n, p in model.named_parameters() if p.grad is None]
    assert without == []


def test_pyramid_starts_from_the_default_networks_blocks():
    torch.manual_seed(0)
    unet = UNet2d(5, 3, WIDTHS)
    model = build_small_detector(5, WIDTHS, 16)
    assert start_from_unet(model, unet.state_dict()) > 50
    own = model.backbone.state_dict()
    assert torch.equal(own["down.0.conv1.weight"], unet.state_dict()["down.0.conv1.weight"])
    assert torch.equal(own["up.2.conv2.weight"], unet.state_dict()["up.2.conv2.weight"])
    single = build_small_detector(1, WIDTHS, 16)
    start_from_unet(single, unet.state_dict())
    summed = unet.state_dict()["down.0.conv1.weight"].sum(1)
    assert torch.allclose(single.backbone.state_dict()["down.0.conv1.weight"][:, 0], summed)


def test_pyramid_levels_have_strides_2_4_8():
    model = build_small_detector(2, WIDTHS, 12)
    levels = model.backbone(torch.rand(1, 2, 64, 96))
    assert [tuple(v.shape) for v in levels.values()] == [(1, 12, 32, 48), (1, 12, 16, 24), (1, 12, 8, 12)]


@pytest.mark.parametrize("box", [(12.0, 20.0, 20.0, 27.0), (10.4, 18.7, 22.1, 29.3)])
def test_masks_are_cut_into_cells_and_drawn_in_one_frame(box):
    """torchvision's own pair of steps loses an eighth of a mask of 8 x 7 pixels and moves it aside."""
    truth = torch.zeros(1, 1, 40, 48)
    truth[0, 0, 20:27, 12:20] = 1
    cells = roi_align(truth, [torch.tensor([box])], MASK_PX, aligned=True)[0, 0].numpy()
    mask, (top, left) = draw_mask(cells, np.array(box), (40, 48))
    whole = np.zeros((40, 48), np.float32)
    whole[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    assert np.array_equal(whole >= 0.5, truth[0, 0].numpy() > 0)


def test_a_drawn_mask_stays_within_the_image():
    mask, corner = draw_mask(np.ones((4, 4), np.float32), np.array([-2.5, 6.0, 3.5, 12.0]), (10, 10))
    assert corner == (6, 0) and mask.shape == (4, 4)
    assert (mask[:, :3] == 1).all() and (mask[:, 3] == 1).all()


def test_panoptic_network_gives_masks_per_box_and_dendrites_of_the_images_size():
    model = Panoptic(1, WIDTHS, 12).eval()
    with torch.inference_mode():
        found = model.spines([torch.rand(1, 64, 80)])[0]
        assert model.dendrites(torch.rand(1, 1, 64, 80)).shape == (1, 64, 80)
    assert found["masks"].shape == (len(found["boxes"]), 1, MASK_PX, MASK_PX)
    shared = {id(p) for p in model.spines.parameters()} & {id(p) for p in model.dendrites.parameters()}
    assert not shared


def test_published_network_is_the_papers():
    model = build_detector({**VARIANTS["faster-rcnn-published"].architecture, "image_px": 128}).eval()
    assert sum(p.numel() for p in model.parameters()) > 100e6
    assert model.rpn.anchor_generator.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert model.rpn.anchor_generator.num_anchors_per_location() == [3] * 5
    assert model.roi_heads.detections_per_img == MAX_BOXES == 80
    matcher = model.rpn.proposal_matcher
    assert (matcher.high_threshold, matcher.low_threshold) == (0.7, 0.3)
    assert model.rpn.post_nms_top_n() == 1000 and model.rpn.nms_thresh == 0.7
    with torch.inference_mode():
        levels = model.backbone(torch.zeros(1, 3, 128, 128))
        assert [v.shape[-1] for v in levels.values()] == [32, 16, 8, 4, 2]
        found = model([torch.rand(3, 64, 64)])[0]
    assert found["boxes"].shape[1] == 4 and len(found["boxes"]) <= MAX_BOXES
    recipe = VARIANTS["faster-rcnn-published"]
    assert (recipe.momentum, recipe.learning_rate, recipe.weight_decay) == (0.6, 1e-3, 3e-6)


def test_weights_that_are_not_cached_are_named_and_not_downloaded(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(FileNotFoundError, match="resnext101_32x8d"):
        cached_weights("resnext101_32x8d")


def test_a_perfect_detector_scores_one(volume, monkeypatch):
    """The score the weights are chosen by is 1 when the truth's own boxes are found."""
    from spinecore.methods.tracks import Detections

    made = spine_instances(volume)
    calls = iter(range(len(made.labels)))

    def exact(model, image, *args, **kwargs):
        z = next(calls)
        boxes = targets_of(_plain(made.labels[z]))["boxes"].numpy().astype(float)
        return Detections(boxes, np.full(len(boxes), 0.9))

    def _plain(labels):
        from spinecore.training.detection_samples import DetectionExample

        return DetectionExample(labels[None].astype(np.float32), labels, set(np.unique(labels)), labels)

    monkeypatch.setattr(faster_rcnn, "detect_plane", exact)
    model = build_small_detector(5, WIDTHS, 8)
    result = choose(score_stacks(model, [made], np.array([0.5])), np.array([0.5]))
    assert result["select"] == 1.0 and result["precision"] == 1.0


def test_cards_architecture_builds_the_networks():
    assert isinstance(build_detector(ARCHITECTURE), Panoptic)
    assert build_detector(VARIANTS["faster-rcnn"].architecture).planes == 5


def test_frozen_blocks_do_not_change_and_the_rest_learns():
    torch.manual_seed(0)
    model = build_small_detector(1, WIDTHS, 16)
    model.backbone.freeze()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    detection_loss(model, [torch.rand(1, 64, 64)], targets(1)).backward()
    optimiser.step()
    after = model.state_dict()
    kept = [k for k in before if k.startswith(("backbone.down", "backbone.up"))]
    assert kept and all(torch.equal(before[k], after[k]) for k in kept)
    assert not torch.equal(before["backbone.lateral.0.weight"], after["backbone.lateral.0.weight"])


@pytest.mark.parametrize("name", ["faster-rcnn", "panoptic"])
def test_recipe_trains_resumes_and_writes_weights_with_their_card(name, volume, tmp_path, monkeypatch):
    from importlib import import_module

    from spinecore.networks.zoo import get_card, load_network
    from spinecore.training.pool import save_volume

    module = import_module(f"spinecore.training.{name.replace('-', '_')}")
    pool = tmp_path / "work" / "pool"
    pool.mkdir(parents=True)
    for k in range(2):
        save_volume(volume, pool / f"volume_{k:05d}.npz")
    monkeypatch.setattr(faster_rcnn, "fill_pool", lambda *args: None)
    monkeypatch.setattr(module, "VALIDATION", module.VALIDATION[:1])
    monkeypatch.setattr(module, "CONFIDENCES", np.array([0.8]))
    batch = {"slices": 1, "projections": 1, "polygons": 0}
    if name == "panoptic":
        monkeypatch.setattr(module, "BATCH", batch)
    else:
        monkeypatch.setattr(module, "validation_instances", lambda: [spine_instances(volume)])
        monkeypatch.setitem(module.VARIANTS, name, replace(VARIANTS[name], batch=batch))
    minutes = 0.01
    for resume in (False, True):
        context = Context(tmp_path, tmp_path / "work", minutes, resume=resume)
        run(make_recipe(name), context, tmp_path / "models")
        card = get_card(name, tmp_path / "models")
        minutes = (
            0.03 + 2 * card.data["history"][-1]["minutes"]
        )  # on a busy computer the first step may take long
    assert [h["step"] for h in card.data["history"]] == sorted(h["step"] for h in card.data["history"])
    assert len(card.data["history"]) >= 2 and card.data["method"] == name
    model = load_network(name, "cpu", tmp_path / "models")
    assert model.planes == card.data["architecture"]["in_channels"]
