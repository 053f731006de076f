"""Recipe `panoptic`: Mask R-CNN for spines and an FCN for dendrites, after Sharma 2024.

Both look at single planes: projections over anything from half a micrometre to a whole stack, single
slices, and real images with polygons. They share no weights; their losses are added up, which
trains each as if alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.methods.merging import MergeRule
from spinecore.networks.scale import CANONICAL_UM
from spinecore.simulation import simulate
from spinecore.training.detection_samples import Pool
from spinecore.training.faster_rcnn import FEATURES, WIDTHS, Sampler, detection_loss, start_weights
from spinecore.training.losses import mask_loss
from spinecore.training.pool import PoolVolume, decode, fill_pool, to_volume
from spinecore.training.scratch import note_scratch, shipped_name

ARCHITECTURE = {"kind": "panoptic", "in_channels": 1, "widths": WIDTHS, "features": FEATURES}
BATCH = {"projections": 3.0, "slices": 1.4, "polygons": 0.6}
PATCH_PX = 160
#: Volumes used and held in memory.
POOL_LIMIT = 110
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
    from spinecore.methods.merging import DENDRITE, FIRST_SPINE, pixel_iou
    from spinecore.methods.panoptic import segment_plane

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


def run(name: str, data: Path, out: Path, minutes: float, device: str, resume: bool, work: Path) -> None:
    """Train both networks, choose the best average on simulated projections, write weights and card."""
    import torch

    from spinecore.networks.zoo import build_network, save_network
    from spinecore.training.engine import Schedule, train

    folder = work / "pool"
    fill_pool(folder, 24)
    torch.manual_seed(0)
    model = build_network(ARCHITECTURE)
    scratch = shipped_name(name)[1]
    started = "random weights" if scratch else start_weights(model, "centre-unet-2d")
    if started != "random weights":
        model.spines.backbone.freeze()
    sampler = Sampler(data, Pool(folder, POOL_LIMIT), BATCH, 1, PATCH_PX, True, seed=0)
    projections = []
    for preset, seed, slices, z_um, pixel in VALIDATION:
        made = simulate(seed, preset, (slices, 300, 300), (z_um, pixel, pixel))
        projections.append(simulated_projection(to_volume(made.stack.voxels, made)))

    def loss_of(model: Any, batch: Any) -> Any:
        images, targets, dendrite = batch
        truth = dendrite.to(next(model.parameters()).device)
        logits = model.dendrites(torch.stack(images).to(truth.device))
        shafts = mask_loss(logits, truth, torch.ones_like(truth), 1.0)
        return detection_loss(model.spines, images, targets) + shafts

    def validate(model: Any) -> dict[str, float]:
        curve = score_projections(model, projections, [MergeRule(float(c)) for c in CONFIDENCES])
        best = int(np.argmax([s["iou_spine"] + s["iou_dendrite"] for s in curve]))
        select = (curve[best]["iou_spine"] + curve[best]["iou_dendrite"]) / 2
        return {"select": select, "confidence": float(CONFIDENCES[best])} | curve[best]

    schedule = Schedule(minutes, 1e-3, average=0.99, check_every_s=max(120.0, minutes * 60 / 5))
    best, history = train(model, sampler.batch, loss_of, validate, schedule, work / name, device, resume)
    if scratch:
        note_scratch(name, out, minutes, history)
        return
    chosen = max(history, key=lambda h: h["select"])
    card = {
        "method": "panoptic",
        "title": "Mask R-CNN for spines and FCN for dendrites, merged by score",
        "architecture": ARCHITECTURE,
        "inputs": f"1 plane, {CANONICAL_UM} um pixels, square-root intensity; stacks slice by slice",
        "canonical_um": CANONICAL_UM,
        "trained_on": {
            "simulation": "stacks of `spinecore.training.pool`, seeds from 1,000,000; projections and slices",
            "classes2d/train": "Meng-De-Gong 2025, MIT; polygons, single spines by connected components",
        },
        "batch": BATCH,
        "recipe": f"python -m spinecore train {name} --minutes {minutes:g}",
        "started_from": f"{started}; the FCN's blocks go on learning",
        "chosen_by": chosen,
        "history": history,
        "box_confidence": round(chosen["confidence"], 2),
        "pixel_confidence": round(chosen["confidence"], 2),
        "mask_level": MergeRule.mask_level,
        "dendrite_weight": MergeRule.dendrite_weight,
        "threshold": 0.5,
    }
    save_network(best, name, card, out)
