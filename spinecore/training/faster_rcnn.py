"""Recipes `faster-rcnn` (small, shipped) and `faster-rcnn-published` (ResNeXt-101 32x8d), after Vogel et al. 2023.

The small network looks at slices of simulated stacks with their neighbours, and at projections; its body
is that of the trained default network for stacks, in place of the published start from COCO.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import Counts, match
from spinecore.methods.detect import detect_plane
from spinecore.methods.tracks import drop_large, link, suppress
from spinecore.networks.detectors import cached_weights, start_from_unet
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM, context_planes
from spinecore.networks.zoo import get_card
from spinecore.simulation import simulate
from spinecore.training.detection_samples import Instances, Pool, Sampler, detection_loss, spine_instances
from spinecore.training.pool import FIRST_VOLUMES, decode, fill_pool, to_volume
from spinecore.training.recipe import Context, Recipe, Trained
from spinecore.training.schedule import Schedule, Start

WIDTHS = [16, 32, 64, 96, 128]
FEATURES = 48
#: Volumes used and held in memory.
POOL_LIMIT = 110
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


def copy_unet_blocks(model: nn.Module, name: str) -> str | None:
    """Copy the default network's blocks into a detector; return what the card says, None where there are no such weights."""
    try:
        card = get_card(name)
    except SpinecoreError:
        return None
    copied = start_from_unet(model, load_file(card.weights))
    return (
        f"blocks of {name} (sha256 {card.sha256[:12]}, {copied} tensors), kept as they are; all else from "
        "random weights"
    )


class DetectorRecipe(Recipe):
    """What both two-stage detectors share: their batches."""

    sampler: Sampler

    def make_sampler(
        self, context: Context, batch: dict[str, float], planes: int, size_px: int, masks: bool = False
    ) -> Sampler:
        """Load part of the pool, simulated first where it is empty."""
        fill_pool(context.pool, FIRST_VOLUMES)
        pool = Pool(context.pool, POOL_LIMIT)
        return Sampler(context.data, pool, batch, planes, size_px, masks, seed=0)

    def samples(self) -> tuple[list[torch.Tensor], list[dict[str, torch.Tensor]], torch.Tensor]:
        """Return images, torchvision targets and dendrite masks."""
        return self.sampler.batch()


class FasterRcnn(DetectorRecipe):
    """`faster-rcnn` and `faster-rcnn-published`."""

    method = "faster-rcnn"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.variant = VARIANTS[self.shipped]
        self.title = self.variant.title
        self._architecture = dict(self.variant.architecture)

    def architecture(self) -> dict[str, Any]:
        """That of the variant; without ImageNet weights, normalisation is not frozen."""
        return self._architecture

    def prepare(self, context: Context) -> None:
        """Load part of the pool, and simulate the stacks that choose the weights."""
        self.imagenet = None
        if self.variant.weights == "imagenet":
            try:
                self.imagenet = cached_weights(self._architecture["backbone"])
            except FileNotFoundError as error:
                context.say(f"{error}; the backbone starts from random weights")
                self._architecture["frozen_norm"] = False
        planes = self._architecture["in_channels"]
        self.sampler = self.make_sampler(context, self.variant.batch, planes, self.variant.patch_px)
        self.held = validation_instances()

    def start(self, model: Any, context: Context) -> Start:
        """Load ImageNet weights, or copy the default network's blocks, which are kept as they are."""
        if self.imagenet is not None:
            model.backbone.body.load_state_dict(self.imagenet, strict=False)
            return Start("ImageNet weights of torchvision")
        words = None if self.variant.weights else copy_unet_blocks(model, "centre-unet-3d")
        if words is None:
            return Start()
        model.backbone.freeze()
        return Start(words)

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Five validations."""
        return Schedule(
            minutes,
            self.variant.learning_rate,
            weight_decay=self.variant.weight_decay,
            average=0.99,
            check_every_s=max(120.0, minutes * 60 / 5),
            momentum=self.variant.momentum,
        )

    def loss(self, model: nn.Module, batch: Any) -> torch.Tensor:
        """Sum of torchvision's losses, see `detection_loss`."""
        images, targets, _ = batch
        return detection_loss(model, images, targets)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the best F1-3D on simulated stacks."""
        return choose(score_stacks(model, self.held, CONFIDENCES), CONFIDENCES)

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data and the confidence with the best F1-3D."""
        planes, batch = self._architecture["in_channels"], self.variant.batch
        data = {
            "simulation": "stacks of `spinecore.training.pool`, seeds from 1,000,000; boxes of single spines"
        }
        if batch["polygons"]:
            data["classes2d/train"] = "Meng-De-Gong 2025, MIT; boxes of polygons"
        context = f"; planes at {list(CONTEXT_UM)} um around a slice" if planes == len(CONTEXT_UM) else ""
        return {
            "inputs": f"{planes} planes, {CANONICAL_UM} um pixels, square-root intensity{context}"
            "; a single image fills all planes",
            "canonical_um": CANONICAL_UM,
            "dendrites": "not found by this system: the dendrite map is that of the default method",
            "trained_on": data,
            "batch": batch,
            "box_confidence": round(trained.chosen["confidence"], 2),
            "threshold": 0.5,
        }
