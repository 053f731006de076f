"""Recipe `panoptic`: Mask R-CNN for spines and an FCN for dendrites, after Sharma 2024.

Both look at single planes: projections over anything from half a micrometre to a whole stack, single
slices, and real images with polygons. They share no weights; their losses are added up, which
trains each as if alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from spinecore.methods.merging import DENDRITE, FIRST_SPINE, MergeRule, pixel_iou
from spinecore.methods.panoptic import segment_plane
from spinecore.networks.scale import CANONICAL_UM
from spinecore.simulation import simulate
from spinecore.training.detection_samples import detection_loss
from spinecore.training.faster_rcnn import FEATURES, WIDTHS, DetectorRecipe, copy_unet_blocks
from spinecore.training.losses import mask_loss
from spinecore.training.pool import PoolVolume, decode, to_volume
from spinecore.training.recipe import Context, Trained
from spinecore.training.schedule import Schedule, Start

ARCHITECTURE = {"kind": "panoptic", "in_channels": 1, "widths": WIDTHS, "features": FEATURES}
BATCH = {"projections": 3.0, "slices": 1.4, "polygons": 0.6}
PATCH_PX = 160
#: Simulated stacks whose projections choose the weights: preset, seed, slices and voxel size (z, xy; um).
VALIDATION = tuple(
    (preset, seed, 24, 0.3, 0.08)
    for preset, seeds in (
        ("confocal", range(900, 903)),
        ("confocal-crowded", range(906, 907)),
        ("twophoton", range(900, 903)),
    )
    for seed in seeds
)
#: Rules among which the training and the benchmark choose.
CONFIDENCES = np.round(np.arange(0.05, 0.91, 0.05), 2)
MASK_LEVELS = (0.5, 0.45, 0.4, 0.35, 0.3)
DENDRITE_WEIGHTS = (1.0, 0.85, 0.7, 0.5)


def simulated_projection(volume: PoolVolume) -> tuple[np.ndarray, np.ndarray]:
    """Project a volume over its whole depth.

    Returns
    -------
    image : ndarray, float32, shape (Y, X)
        Maximum of the normalised intensity.
    classes : ndarray, uint8, shape (Y, X)
        1 dendrite (in front of or behind anything), 2 spine, 0 neither.
    """
    dendrite, spine = (volume.classes == 1).any(0), (volume.classes == 2).any(0)
    classes = np.where(dendrite, 1, np.where(spine, 2, 0)).astype(np.uint8)
    return decode(volume.image).max(0), classes


def score_projections(
    model: Any, projections: list[tuple[np.ndarray, np.ndarray]], rules: Sequence[MergeRule]
) -> list[dict[str, float]]:
    """Return IoU of spine and of dendrite pixels, pooled over projections, for each rule of merging."""
    floor = min(rule.confidence for rule in rules)
    total = np.zeros((len(rules), 2, 2))
    for image, classes in projections:
        found, dendrite = segment_plane(model, image, floor)
        for k, rule in enumerate(rules):
            panoptic, _ = rule.merge(dendrite, found)
            total[k, 0] += pixel_iou(panoptic >= FIRST_SPINE, classes == 2)
            total[k, 1] += pixel_iou(panoptic == DENDRITE, classes == 1)
    iou = total[..., 0] / np.maximum(total[..., 1], 1)
    return [{"iou_spine": float(s), "iou_dendrite": float(d)} for s, d in iou]


class PanopticRecipe(DetectorRecipe):
    """`panoptic`: both networks on projections, slices and polygons."""

    method = "panoptic"
    title = "Mask R-CNN for spines and FCN for dendrites, merged by score"

    def architecture(self) -> dict[str, Any]:
        """One plane in."""
        return ARCHITECTURE

    def prepare(self, context: Context) -> None:
        """Load part of the pool, and simulate the projections that choose the weights."""
        self.sampler = self.make_sampler(context, BATCH, 1, PATCH_PX, masks=True)
        self.held = []
        for preset, seed, slices, z_um, pixel in VALIDATION:
            made = simulate(seed, preset, (slices, 300, 300), (z_um, pixel, pixel))
            self.held.append(simulated_projection(to_volume(made.stack.voxels, made)))

    def start(self, model: Any, context: Context) -> Start:
        """Copy the default network's blocks; those of the detector are kept as they are."""
        words = copy_unet_blocks(model, "centre-unet-2d")
        if words is None:
            return Start()
        model.spines.backbone.freeze()
        return Start(words)

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Five validations."""
        return Schedule(minutes, 1e-3, average=0.99, check_every_s=max(120.0, minutes * 60 / 5))

    def loss(self, model: Any, batch: Any) -> torch.Tensor:
        """Sum of the detector's losses and the dendrites' cross-entropy and Dice."""
        images, targets, truth = batch
        logits = model.dendrites(torch.stack(images))
        shafts = mask_loss(logits, truth, torch.ones_like(truth), 1.0)
        return detection_loss(model.spines, images, targets) + shafts

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the mean IoU of spine and dendrite pixels at the best confidence."""
        curve = score_projections(model, self.held, [MergeRule(float(c)) for c in CONFIDENCES])
        best = int(np.argmax([s["iou_spine"] + s["iou_dendrite"] for s in curve]))
        select = (curve[best]["iou_spine"] + curve[best]["iou_dendrite"]) / 2
        return {"select": select, "confidence": float(CONFIDENCES[best])} | curve[best]

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data and the rule of merging."""
        confidence = round(trained.chosen["confidence"], 2)
        return {
            "inputs": f"1 plane, {CANONICAL_UM} um pixels, square-root intensity; stacks slice by slice",
            "canonical_um": CANONICAL_UM,
            "trained_on": {
                "simulation": "stacks of `spinecore.training.pool`, seeds from 1,000,000; projections and slices",
                "classes2d/train": "Meng-De-Gong 2025, MIT; polygons, single spines by connected components",
            },
            "batch": BATCH,
            "started_from": f"{trained.start.words}; the FCN's blocks go on learning",
            "box_confidence": confidence,
            "pixel_confidence": confidence,
            "mask_level": MergeRule.mask_level,
            "dendrite_weight": MergeRule.dendrite_weight,
            "threshold": 0.5,
        }
