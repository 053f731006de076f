"""Recipes `faster-rcnn` (small, shipped) and `faster-rcnn-published` (ResNeXt-101 32x8d), after Vogel et al. 2023.

The small network looks at slices of simulated stacks with their neighbours, and at projections; its body
is that of the trained default network for stacks, in place of the published start from COCO.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import Counts, match
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM, context_planes
from spinecore.simulation import simulate
from spinecore.training.detection_samples import (
    Instances,
    Pool,
    polygons_example,
    projection_example,
    slice_example,
    spine_instances,
    targets_of,
)
from spinecore.training.pool import decode, fill_pool, to_volume
from spinecore.training.samples import load_polygons
from spinecore.training.scratch import note_scratch, shipped_name

WIDTHS = [16, 32, 64, 96, 128]
FEATURES = 48
#: Volumes used and held in memory.
POOL_LIMIT = 110
#: The regression of proposals counts twice (alpha in Vogel et al. 2023).
PROPOSAL_BOX_WEIGHT = 2.0
#: Simulated stacks on which the weights are chosen: preset, seed, slices and voxel size (z, xy; um).
VALIDATION = (
    ("confocal", 900, 24, 0.3, 0.08),
    ("confocal", 901, 24, 0.3, 0.08),
    ("twophoton", 900, 20, 0.5, 0.1),
)
CONFIDENCES = np.round(np.arange(0.2, 0.91, 0.1), 2)


@dataclass(frozen=True)
class Variant:
    """What distinguishes the two recipes.

    `batch` is the number of examples of each kind (a fraction is the probability of one more).
    """

    title: str
    architecture: dict[str, Any]
    batch: dict[str, float]
    learning_rate: float
    patch_px: int
    momentum: float | None = None
    weight_decay: float = 1e-4
    weights: str | None = None


VARIANTS = {
    "faster-rcnn": Variant(
        "Faster R-CNN on a small feature pyramid, linked through z",
        {
            "kind": "faster-rcnn",
            "backbone": "unet-pyramid",
            "in_channels": len(CONTEXT_UM),
            "widths": WIDTHS,
            "features": FEATURES,
        },
        {"slices": 5, "projections": 1, "polygons": 0},
        1e-3,
        160,
    ),
    "faster-rcnn-published": Variant(
        "Faster R-CNN, ResNeXt-101 32x8d with FPN as published",
        {
            "kind": "faster-rcnn",
            "backbone": "resnext101_32x8d",
            "in_channels": 3,
            "image_px": 800,
            "frozen_norm": True,
        },
        {"slices": 1, "projections": 0, "polygons": 0},
        1e-3,
        256,
        momentum=0.6,
        weight_decay=3e-6,
        weights="imagenet",
    ),
}


class Sampler:
    """Draws images and targets for a detector."""

    def __init__(
        self, data: Path, pool: Pool, batch: dict[str, float], planes: int, size: int, masks: bool, seed: int
    ) -> None:
        self.rng = np.random.default_rng(seed)
        self.pool, self.counts, self.planes, self.size, self.masks = pool, batch, planes, size, masks
        self.polygons = load_polygons(data, "train") if batch["polygons"] else []

    def batch(self) -> tuple[list[Any], list[dict[str, Any]], Any]:
        """Return images (each (planes, Y, X)), torchvision targets, and dendrite masks (N, Y, X)."""
        import torch

        rng = self.rng
        count = {k: int(v) + int(rng.random() < v % 1) for k, v in self.counts.items()}
        # the published backbone sees one slice in three planes
        context = self.planes if self.planes == len(CONTEXT_UM) else 1
        made = [slice_example(self.pool.draw(rng), self.size, context, rng) for _ in range(count["slices"])]
        made += [
            projection_example(self.pool.draw(rng), self.size, self.planes, rng)
            for _ in range(count["projections"])
        ]
        made += [
            polygons_example(self.polygons[rng.integers(len(self.polygons))], self.size, self.planes, rng)
            for _ in range(count["polygons"])
        ]
        images = [torch.from_numpy(e.image).float() for e in made]
        images = [i if len(i) == self.planes else i.expand(self.planes, -1, -1) for i in images]
        targets = [targets_of(e, self.masks) for e in made]
        return images, targets, torch.from_numpy(np.stack([e.dendrite for e in made]))


def detection_loss(model: Any, images: list[Any], targets: list[dict[str, Any]]) -> Any:
    """Sum of torchvision's losses, the proposals' regression counting twice."""
    device = next(model.parameters()).device
    losses = model([i.to(device) for i in images], [{k: v.to(device) for k, v in t.items()} for t in targets])
    weights = {"loss_rpn_box_reg": PROPOSAL_BOX_WEIGHT}
    return sum(weights.get(name, 1.0) * value for name, value in losses.items())


def validation_instances(
    kinds: tuple[tuple[str, int, int, float, float], ...] = VALIDATION,
) -> list[Instances]:
    """Simulate the stacks the weights are chosen on."""
    out = []
    for preset, seed, slices, z_um, pixel in kinds:
        made = simulate(seed, preset, (slices, 260, 260), (z_um, pixel, pixel))
        out.append(spine_instances(to_volume(made.stack.voxels, made)))
    return out


def score_stacks(model: Any, stacks: list[Instances], confidences: np.ndarray) -> list[Counts]:
    """Return F1-3D counts per box confidence, stacks kept apart (IoM >= 0.5, Vogel et al. 2023)."""
    from spinecore.methods.detect import detect_plane
    from spinecore.methods.tracks import drop_large, link, suppress

    planes = getattr(model, "planes", len(CONTEXT_UM))
    total = [Counts()] * len(confidences)
    for made in stacks:
        volume, n = made.volume, len(made.labels)
        found = []
        for index in range(n):
            context = context_planes(n, index, volume.z_um)
            if planes != len(CONTEXT_UM):
                context = [(index, index, 0.0)] * planes
            image = np.stack(
                [(1 - w) * decode(volume.image[a]) + w * decode(volume.image[b]) for a, b, w in context]
            )
            found.append(drop_large(detect_plane(model, image), CANONICAL_UM))
        truth, visible = made.boxes3d()
        for k, confidence in enumerate(confidences):
            kept = [suppress(f.where(np.flatnonzero(f.scores >= confidence))) for f in found]
            rows = np.array([(*t.mean_box, t.first, t.last) for t in link(kept)]).reshape(-1, 6)
            total[k] = total[k] + match(truth, rows, "box3d", visible=visible).counts
    return total


def choose(counts: list[Counts], confidences: np.ndarray) -> dict[str, float]:
    """Return the best F1-3D and its confidence, for the training loop."""
    curve = np.nan_to_num([c.f1 for c in counts])
    best = int(np.argmax(curve))
    return {
        "select": float(curve[best]),
        "confidence": float(confidences[best]),
        "precision": float(np.nan_to_num(counts[best].precision)),
        "recall": float(np.nan_to_num(counts[best].recall)),
    }


def start_weights(model: Any, name: str) -> str:
    """Copy the default network's blocks into a model; return what the card says about its start."""
    from safetensors.torch import load_file

    from spinecore.networks.detectors import start_from_unet
    from spinecore.networks.zoo import get_card

    try:
        card = get_card(name)
    except SpinecoreError:
        return "random weights"
    copied = start_from_unet(model, load_file(card.weights))
    return f"blocks of {name} (sha256 {card.sha256[:12]}, {copied} tensors), kept as they are; all else from random weights"


def run(name: str, data: Path, out: Path, minutes: float, device: str, resume: bool, work: Path) -> None:
    """Train, choose the best average by F1-3D on simulated stacks, and write weights and card to `out`."""
    import torch

    from spinecore.networks.detectors import cached_weights
    from spinecore.networks.zoo import build_network, save_network
    from spinecore.training.engine import Schedule, train

    shipped, scratch = shipped_name(name)
    variant = VARIANTS[shipped]
    folder = work / "pool"
    fill_pool(folder, 24)
    pool = Pool(folder, POOL_LIMIT)
    torch.manual_seed(0)
    architecture, started = dict(variant.architecture), "random weights"
    if variant.weights == "imagenet":
        try:
            state = cached_weights(architecture["backbone"])
        except FileNotFoundError as error:
            print(f"{error}; the backbone starts from random weights", flush=True)
            architecture["frozen_norm"], state = False, None
        model = build_network(architecture)
        if state is not None:
            model.backbone.body.load_state_dict(state, strict=False)
            started = "ImageNet weights of torchvision"
    else:
        model = build_network(architecture)
        if not scratch:
            started = start_weights(model, "centre-unet-3d")
        if started != "random weights":
            model.backbone.freeze()
    planes = architecture["in_channels"]
    sampler = Sampler(data, pool, variant.batch, planes, variant.patch_px, False, seed=0)
    stacks = validation_instances()

    def loss_of(model: Any, batch: Any) -> Any:
        return detection_loss(model, batch[0], batch[1])

    def validate(model: Any) -> dict[str, float]:
        return choose(score_stacks(model, stacks, CONFIDENCES), CONFIDENCES)

    schedule = Schedule(
        minutes,
        variant.learning_rate,
        weight_decay=variant.weight_decay,
        average=0.99,
        check_every_s=max(120.0, minutes * 60 / 5),
        momentum=variant.momentum,
    )
    best, history = train(model, sampler.batch, loss_of, validate, schedule, work / name, device, resume)
    if scratch:
        note_scratch(name, out, minutes, history)
        return
    chosen = max(history, key=lambda h: h["select"])
    card = {
        "method": "faster-rcnn",
        "title": variant.title,
        "architecture": architecture,
        "inputs": f"{planes} planes, {CANONICAL_UM} um pixels, square-root intensity"
        + (f"; planes at {list(CONTEXT_UM)} um around a slice" if planes == len(CONTEXT_UM) else "")
        + "; a single image fills all planes",
        "canonical_um": CANONICAL_UM,
        "dendrites": "not found by this system: the dendrite map is that of the default method",
        "trained_on": {
            "simulation": "stacks of `spinecore.training.pool`, seeds from 1,000,000; boxes of single spines"
        }
        | (
            {"classes2d/train": "Meng-De-Gong 2025, MIT; boxes of polygons"}
            if variant.batch["polygons"]
            else {}
        ),
        "batch": variant.batch,
        "recipe": f"python -m spinecore train {name} --minutes {minutes:g}",
        "started_from": started,
        "chosen_by": chosen,
        "history": history,
        "box_confidence": round(chosen["confidence"], 2),
        "threshold": 0.5,
    }
    save_network(best, name, card, out)
