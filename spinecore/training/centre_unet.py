"""Recipes of the default method: `centre-unet-base`, then `centre-unet-2d` and `centre-unet-3d` from it.

The base sees everything (real points, real polygons, simulated projections and slices) and is only a
start for the other two: one for projections and single images, mostly real; one for the slices of a
stack with their neighbours, simulated and, where they are there, of the marked real stacks. All have maps for dendrite, spine and head centre. Where no base was trained in the
work folder, they go on from the weights in `models/`.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM
from spinecore.networks.zoo import load_network
from spinecore.training.losses import heatmap_focal, mask_loss, thin_weight
from spinecore.training.marked import Marked
from spinecore.training.own_images import own_classes
from spinecore.training.pool import FIRST_VOLUMES, PoolVolume, fill_pool, load_volume, pool_files
from spinecore.training.real_stacks import (
    CHOOSING,
    CREDIT,
    FOLDER,
    LEARNED,
    OWN_SEGMENT,
    RealVolume,
    cut_segment,
    load_marks,
    score_real_stacks,
)
from spinecore.training.recipe import Context, Recipe, Trained
from spinecore.training.samples import (
    Example,
    RealImage,
    load_points,
    load_polygons,
    polygon_example,
    projection_example,
    real_example,
    slice_example,
)
from spinecore.training.schedule import Schedule, Start
from spinecore.training.scoring import f1, score_points, score_volumes, validation_volumes
from spinecore.training.start import best_of_state, load_base_weights, set_head_bias

WIDTHS = [16, 32, 64, 96, 128]
BASE = "centre-unet-base"
#: For weights that have learned before.
LEARNING_RATE_AGAIN = 7e-4


@dataclass(frozen=True)
class Variant:
    """What distinguishes the recipes.

    `batch` is the number of examples of each kind (a fraction is the probability of one more),
    `decides` the validation data that choose the weights, `real_stacks` whether marked real stacks are learned from and
    help to choose, where they are there.
    """

    name: str
    title: str
    planes: int
    batch: dict[str, float]
    learning_rate: float
    decides: tuple[str, ...]
    patch_px: int = 128
    real_stacks: bool = False

    @property
    def architecture(self) -> dict[str, Any]:
        """The card's entry."""
        return {
            "kind": "unet2d",
            "in_channels": self.planes,
            "out_channels": 3,
            "widths": WIDTHS,
            "outputs": ["dendrite", "spine", "centre"],
        }


VARIANTS = {
    BASE: Variant(
        BASE,
        "start for the other two",
        len(CONTEXT_UM),
        {"points": 5, "polygons": 2, "slices": 5, "projections": 4},
        2e-3,
        ("real", "simulated"),
    ),
    "centre-unet-2d": Variant(
        "centre-unet-2d",
        "Centre U-Net for projections and single images",
        1,
        {"points": 4.6, "polygons": 0.4, "slices": 0, "projections": 1},
        1.5e-3,
        ("real",),
        patch_px=224,  # people mark the dendrite they look at: the network needs to see the field
    ),
    "centre-unet-3d": Variant(
        "centre-unet-3d",
        "Centre U-Net for the slices of a stack (2.5-D)",
        len(CONTEXT_UM),
        {"points": 0, "polygons": 0, "slices": 14, "projections": 0},
        1.5e-3,
        ("simulated",),
        real_stacks=True,
    ),
}
#: Share of each points2d subset in a batch; groups are drawn evenly within it.
SUBSETS = {"findspines": 0.45, "smirnov_spineyolo": 0.35, "flimage_max": 0.2}
#: Most held-out images of one field: `smirnov_spineyolo` has some thirty near-identical pictures of each.
HELD_PER_GROUP = 5
TRUNCATE = 0.8
#: Share of slices of marked real stacks among the slices of a batch.
REAL_SHARE = 0.25
#: Heights of the centre map among which the best is chosen.
THRESHOLDS = np.arange(0.1, 0.71, 0.05)


class Sampler:
    """Draws batches from real points, real polygons and a growing pool of simulated stacks."""

    def __init__(
        self, data: Path, pool: Path, variant: Variant, seed: int, real: Sequence[PoolVolume] = ()
    ) -> None:
        self.variant = variant
        self.real = real
        self.rng = np.random.default_rng(seed)
        self.points: dict[str, dict[str, list[RealImage]]] = {}
        for image in load_points(data, "train"):
            self.points.setdefault(image.subset, {}).setdefault(image.group, []).append(image)
        self.polygons = load_polygons(data, "train")
        self.pool_folder = pool
        self.pool: dict[str, PoolVolume] = {}
        self.refresh()
        self.drawn = 0

    def refresh(self) -> None:
        """Take in volumes that have appeared since."""
        for path in pool_files(self.pool_folder):
            if path.name not in self.pool:
                self.pool[path.name] = load_volume(path)
        self.names = list(self.pool)

    def _point_image(self) -> RealImage:
        subset = str(self.rng.choice(list(SUBSETS), p=list(SUBSETS.values())))
        groups = self.points[subset]
        images = groups[list(groups)[self.rng.integers(len(groups))]]
        return images[self.rng.integers(len(images))]

    def _volume(self) -> PoolVolume:
        return self.pool[self.names[self.rng.integers(len(self.names))]]

    def batch(self) -> dict[str, Any]:
        """Return a dict of tensors: image (N, planes, Y, X), targets and weights (N, Y, X)."""
        self.drawn += 1
        if self.drawn % 200 == 0:
            self.refresh()
        rng, size = self.rng, self.variant.patch_px
        count = {k: int(v) + int(rng.random() < v % 1) for k, v in self.variant.batch.items()}
        examples: list[Example] = []
        examples += [real_example(self._point_image(), size, rng, TRUNCATE) for _ in range(count["points"])]
        polygons = self.polygons
        examples += [
            polygon_example(polygons[rng.integers(len(polygons))], size, rng)
            for _ in range(count["polygons"])
        ]
        n_real = round(REAL_SHARE * count["slices"]) if self.real else 0
        examples += [slice_example(self._volume(), size, rng) for _ in range(count["slices"] - n_real)]
        examples += [
            replace(slice_example(self.real[int(rng.integers(len(self.real)))], size, rng), truncate=TRUNCATE)
            for _ in range(n_real)
        ]
        examples += [projection_example(self._volume(), size, rng) for _ in range(count["projections"])]
        names = ("image", "centre", "centre_weight", "spine", "dendrite", "mask_weight")
        out = {
            n: torch.from_numpy(np.stack([getattr(e, n) for e in examples]).astype(np.float32)) for n in names
        }
        if self.variant.planes == 1:
            out["image"] = out["image"][:, len(CONTEXT_UM) // 2][:, None].contiguous()
        out["truncate"] = torch.tensor([e.truncate for e in examples])
        return out


def by_subset(images: Sequence[RealImage]) -> dict[str, list[RealImage]]:
    """Return images by data set, at most `HELD_PER_GROUP` of each field of view.

    Examples
    --------
    >>> fields = [RealImage(str(k), "a", "a:1", np.zeros((1, 1)), np.zeros((0, 2))) for k in range(9)]
    >>> {name: len(kept) for name, kept in by_subset(fields).items()}
    {'a': 5}
    """
    out: dict[str, list[RealImage]] = {}
    for image in images:
        kept = out.setdefault(image.subset, [])
        if sum(other.group == image.group for other in kept) < HELD_PER_GROUP:
            kept.append(image)
    return out


def centre_loss(model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """Centre focal loss plus mask losses; parts that are unknown carry no weight."""
    logits = model(batch["image"].contiguous(memory_format=torch.channels_last)).float()
    thin = thin_weight(batch["dendrite"])
    dendrite = mask_loss(logits[:, 0], batch["dendrite"], batch["mask_weight"] * thin, 1.5)
    spine = mask_loss(logits[:, 1], batch["spine"], batch["mask_weight"], 2.0)
    centre = heatmap_focal(logits[:, 2], batch["centre"], batch["centre_weight"], batch["truncate"])
    return centre + dendrite + spine


class CentreUnet(Recipe):
    """`centre-unet-base`, `centre-unet-2d` and `centre-unet-3d`."""

    method = "centre-unet"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.variant = VARIANTS[self.shipped]
        self.title = self.variant.title
        self.ships_weights = name != BASE

    def architecture(self) -> dict[str, Any]:
        """Maps of dendrite, spine and head centre."""
        return self.variant.architecture

    def initialise(self, model: nn.Module) -> None:
        """Begin near "nothing here", so that the focal loss starts small."""
        set_head_bias(model, (-2.0, -3.0, -4.5))

    def prepare(self, context: Context) -> None:
        """Load what there is of the pool, which grows meanwhile, and the real images; simulate validation stacks."""
        self._filler = multiprocessing.get_context("spawn").Process(
            target=fill_pool, args=(context.pool, context.pool_size), daemon=True
        )
        self._filler.start()
        fill_pool(context.pool, min(FIRST_VOLUMES, context.pool_size))
        real, self.real_held = self._real_stacks(context)
        self.sampler = Sampler(context.data, context.pool, self.variant, seed=0, real=real)
        decides = self.variant.decides
        points = load_points(context.data, "val") if "real" in decides else []
        self.held_images = by_subset(points)
        self.held_volumes = validation_volumes() if "simulated" in decides else []

    def _real_stacks(self, context: Context) -> tuple[list[PoolVolume], list[RealVolume]]:
        """Return pieces of marked real stacks to learn from, with masks by the shipped weights, and those that choose."""
        if not self.variant.real_stacks or not (context.data / FOLDER).is_dir():
            return [], []
        shipped = load_network(self.shipped, context.device)
        learned = [cut_segment(marks).volume for marks in load_marks(context.data, LEARNED)]
        for volume in learned:
            volume.classes = own_classes(shipped, Marked(FOLDER, volume, False, {}), complete=True)
        return learned, [cut_segment(marks) for marks in load_marks(context.data, CHOOSING)]

    def close(self) -> None:
        """Stop the process that fills the pool."""
        if self._filler is not None:
            self._filler.terminate()

    _filler: Any = None

    def start(self, model: nn.Module, context: Context) -> Start:
        """Go on from the base in the work folder; otherwise from the weights of the same name in `models/`."""
        state = best_of_state(context.work / BASE / "state.pt") if self.name != BASE else None
        if state is None:
            return super().start(model, context)
        load_base_weights(model, state)
        return Start(f"python -m spinecore train {BASE}")

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Seven validations, or one every quarter of an hour."""
        rate = LEARNING_RATE_AGAIN if start.goes_on else self.variant.learning_rate
        return Schedule(minutes, rate, check_every_s=min(max(120.0, minutes * 60 / 7), 900.0))

    def samples(self) -> dict[str, torch.Tensor]:
        """Return real and simulated examples, see `Sampler.batch`."""
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Centre focal loss plus mask losses, see `centre_loss`."""
        return centre_loss(model, batch)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the best mean F1 over the data that decide, its threshold, and the F1 of each."""
        curves = {}
        for subset, images in self.held_images.items():
            curves[subset] = f1(score_points(model, images, THRESHOLDS))
        if self.held_volumes:
            curves["simulated"] = f1(score_volumes(model, self.held_volumes, THRESHOLDS))
        if self.real_held:
            curves["real_stacks"] = f1(score_real_stacks(model, self.real_held, THRESHOLDS))
        total = np.mean(list(curves.values()), axis=0)
        at = int(np.argmax(total))
        return {"select": float(total[at]), "threshold": float(THRESHOLDS[at])} | {
            f"f1_{k}": float(v[at]) for k, v in curves.items()
        }

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data and the threshold with the best F1."""
        planes = self.variant.planes
        context = f"; planes at {list(CONTEXT_UM)} um around a slice" if planes > 1 else ""
        return {
            "inputs": f"{planes} plane(s), {CANONICAL_UM} um pixels, square-root intensity{context}",
            "canonical_um": CANONICAL_UM,
            "trained_on": {
                "points2d/train": "Roboflow 'Dendritic2', CC BY 4.0; centres only, pixel sizes are nominal assumptions",
                "classes2d/train": "Meng-De-Gong 2025, MIT; polygons",
                "simulation": "stacks of `spinecore.training.pool`, seeds from 1,000,000",
                **self._real_data(),
            },
            "batch": self.variant.batch,
            "threshold": round(trained.chosen["threshold"], 2),
        }

    def _real_data(self) -> dict[str, str]:
        """Return what the card says of the marked real stacks, where they were learned from."""
        if not self.sampler.real:
            return {}
        return {
            CREDIT: f"segment {OWN_SEGMENT} on days {', '.join(LEARNED)}, {REAL_SHARE:.0%} of the slices; "
            f"days {', '.join(CHOOSING)} helped to choose the weights"
        }
