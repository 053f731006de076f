"""Recipes of the default method: `centre-unet-base`, then `centre-unet-2d` and `centre-unet-3d` from it.

The base sees everything (real points, real polygons, simulated projections and slices) and is only a
start for the other two: one for projections and single images, mostly real; one for the slices of a
stack with their neighbours, simulated. All have maps for dendrite, spine and head centre. Where no base was trained in the
work folder, they go on from the weights in `models/`.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.methods.peaks import find_peaks
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM, predict_slices
from spinecore.simulation import simulate
from spinecore.training.pool import POOL_SIZE, PoolVolume, decode, fill_pool, load_volume, to_volume
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

WIDTHS = [16, 32, 64, 96, 128]
BASE = "centre-unet-base"
#: For weights that have learned before.
LEARNING_RATE_AGAIN = 7e-4


@dataclass(frozen=True)
class Variant:
    """What distinguishes the recipes.

    `batch` is the number of examples of each kind (a fraction is the probability of one more),
    `decides` the validation data that choose the weights.
    """

    name: str
    title: str
    planes: int
    batch: dict[str, float]
    learning_rate: float
    decides: tuple[str, ...]
    patch_px: int = 128

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
    ),
}
#: Share of each points2d subset in a batch; groups are drawn evenly within it.
SUBSETS = {"findspines": 0.72, "smirnov_spineyolo": 0.16, "flimage_max": 0.12}
TRUNCATE = 0.8
#: Simulated stacks on which the weights are chosen: preset, seeds, slices and voxel size (z, xy; um).
VALIDATION = (
    ("confocal", range(900, 904), 24, 0.3, 0.08),
    ("confocal-crowded", range(904, 905), 24, 0.3, 0.1),
    ("twophoton", range(900, 904), 20, 0.5, 0.1),
    ("confocal-oblique", range(906, 908), 24, 0.4, 0.1),
    ("twophoton-clutter", range(908, 909), 16, 0.5, 0.1),
)


class Sampler:
    """Draws batches from real points, real polygons and a growing pool of simulated stacks."""

    def __init__(self, data: Path, pool: Path, variant: Variant, seed: int) -> None:
        self.variant = variant
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
        for path in sorted(self.pool_folder.glob("volume_*.npz")):
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
        import torch

        self.drawn += 1
        if self.drawn % 200 == 0 and len(self.pool) < POOL_SIZE:
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
        examples += [slice_example(self._volume(), size, rng) for _ in range(count["slices"])]
        examples += [projection_example(self._volume(), size, rng) for _ in range(count["projections"])]
        names = ("image", "centre", "centre_weight", "spine", "dendrite", "mask_weight")
        out = {
            n: torch.from_numpy(np.stack([getattr(e, n) for e in examples]).astype(np.float32)) for n in names
        }
        if self.variant.planes == 1:
            out["image"] = out["image"][:, len(CONTEXT_UM) // 2][:, None].contiguous()
        out["truncate"] = torch.tensor([e.truncate for e in examples])
        return out


def loss_of(model: Any, batch: dict[str, Any]) -> Any:
    """Centre focal loss plus mask losses; parts that are unknown carry no weight."""
    import torch

    from spinecore.training.losses import heatmap_focal, mask_loss, thin_weight

    device = next(model.parameters()).device
    batch = {k: v.to(device, non_blocking=True) for k, v in batch.items()}
    logits = model(batch["image"].contiguous(memory_format=torch.channels_last)).float()
    thin = thin_weight(batch["dendrite"])
    dendrite = mask_loss(logits[:, 0], batch["dendrite"], batch["mask_weight"] * thin, 1.5)
    spine = mask_loss(logits[:, 1], batch["spine"], batch["mask_weight"], 2.0)
    centre = heatmap_focal(logits[:, 2], batch["centre"], batch["centre_weight"], batch["truncate"])
    return centre + dendrite + spine


def score_points(model: Any, images: list[RealImage], thresholds: np.ndarray) -> np.ndarray:
    """Return (matched, predicted, truth) counts per threshold over real images, 1.0 um tolerance."""
    counts = np.zeros((len(thresholds), 3))
    for image in images:
        planes: list[np.ndarray] = []
        predict_slices(
            model,
            lambda _, p=image.image: p,
            1,
            1.0,
            lambda _, p, o=planes: o.append(p[2]),
        )
        centres, scores = find_peaks(
            (planes[0] * 255).astype(np.uint8)[None], (1.0, CANONICAL_UM, CANONICAL_UM)
        )
        counts += count_matches(centres[:, 1:], scores, image.centres, thresholds)
    return counts


def count_matches(
    found_px: np.ndarray,
    scores: np.ndarray,
    truth_px: np.ndarray,
    thresholds: np.ndarray,
    scale_um: Any = CANONICAL_UM,
) -> np.ndarray:
    """Return (matched, predicted, truth) for each threshold by one-to-one centre matching within 1 um."""
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    rows = []
    distance = cdist(found_px * scale_um, truth_px * scale_um) if len(found_px) and len(truth_px) else None
    for threshold in thresholds:
        keep = scores >= threshold
        matched = 0
        if distance is not None and keep.any():
            near = distance[keep] <= 1.0
            i, j = linear_sum_assignment(~near)
            matched = int(near[i, j].sum())
        rows.append((matched, int(keep.sum()), len(truth_px)))
    return np.array(rows, float)


def score_volumes(model: Any, volumes: list[PoolVolume], thresholds: np.ndarray) -> np.ndarray:
    """Return counts per threshold over simulated volumes; invisible spines neither help nor harm."""
    counts = np.zeros((len(thresholds), 3))
    for volume in volumes:
        heat = np.zeros(volume.image.shape, np.uint8)

        def emit(index: int, maps: np.ndarray, heat: np.ndarray = heat) -> None:
            heat[index] = (maps[2] * 255).astype(np.uint8)

        predict_slices(model, lambda i, v=volume: decode(v.image[i]), len(heat), volume.z_um, emit)
        spacing = (volume.z_um, CANONICAL_UM, CANONICAL_UM)
        centres, scores = find_peaks(heat, spacing)
        seen = volume.centres[:, 3] > 0
        hidden = volume.centres[~seen, :3]
        if len(hidden) and len(centres):
            from scipy.spatial.distance import cdist

            um = np.array(spacing)
            near_hidden = cdist(centres * um, hidden * um).min(1) <= 1.0
            near_seen = (
                cdist(centres * um, volume.centres[seen, :3] * um).min(1) <= 1.0
                if seen.any()
                else np.zeros(len(centres), bool)
            )
            ok = near_seen | ~near_hidden
            centres, scores = centres[ok], scores[ok]
        counts += count_matches(centres, scores, volume.centres[seen, :3], thresholds, np.array(spacing))
    return counts


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 from (matched, predicted, truth) rows."""
    return 2 * counts[:, 0] / np.maximum(counts[:, 1] + counts[:, 2], 1)


def validation_volumes(every: int = 1) -> list[PoolVolume]:
    """Simulate the stacks of `VALIDATION`, or each `every`-th of them."""
    wanted = [(p, seed, n, z, xy) for p, seeds, n, z, xy in VALIDATION for seed in seeds][::every]
    out = []
    for preset, seed, slices, z_um, pixel in wanted:
        made = simulate(seed, preset, (slices, 300, 300), (z_um, pixel, pixel))
        out.append(to_volume(made.stack.voxels, made))
    return out


def start_from_base(model: Any, state_file: Path) -> bool:
    """Copy the base's best weights into a model; with one input plane, those of all planes are summed."""
    import torch

    if not state_file.exists():
        return False
    best = torch.load(state_file, map_location="cpu", weights_only=True)["best"]
    own = model.state_dict()
    for name, value in best.items():
        if value.shape != own[name].shape:
            best[name] = value.sum(1, keepdim=True)
    model.load_state_dict(best)
    return True


def starting_model(variant: Variant, work: Path) -> tuple[Any, str, float]:
    """Return the network to begin with, what it started from and the learning rate that suits it.

    The base in `work` where there is one; otherwise the weights of the same name in `models/`, which then go on
    learning; otherwise random weights.
    """
    import torch

    from spinecore.training.engine import started_from, starting_network

    model, sha256 = starting_network(variant.name, variant.architecture)
    if sha256 is None:
        with torch.no_grad():  # heads start near "nothing here", so that the focal loss starts small
            model.head.bias.copy_(torch.tensor([-2.0, -3.0, -4.5]))
    if variant.name != BASE and start_from_base(model, work / BASE / "state.pt"):
        return model, f"python -m spinecore train {BASE}", variant.learning_rate
    return model, started_from(sha256), LEARNING_RATE_AGAIN if sha256 else variant.learning_rate


def run(name: str, data: Path, out: Path, minutes: float, device: str, resume: bool, work: Path) -> None:
    """Train, choose the best average on the validation split, and write weights and card to `out`.

    The base writes no weights: its state in `work` is what the other two start from.
    """

    from spinecore.networks.zoo import save_network
    from spinecore.training.engine import Schedule, train

    variant = VARIANTS[name]
    pool = work / "pool"
    filler = multiprocessing.get_context("spawn").Process(
        target=fill_pool, args=(pool, POOL_SIZE), daemon=True
    )
    filler.start()
    fill_pool(pool, 24)
    sampler = Sampler(data, pool, variant, seed=0)
    thresholds = np.arange(0.1, 0.71, 0.05)
    real = (
        [i for i in load_points(data, "val") if i.subset == "findspines"] if "real" in variant.decides else []
    )
    volumes = validation_volumes() if "simulated" in variant.decides else []

    def validate(model: Any) -> dict[str, float]:
        curves = {}
        if real:
            curves["real"] = f1(score_points(model, real, thresholds))
        if volumes:
            curves["simulated"] = f1(score_volumes(model, volumes, thresholds))
        total = np.mean([curves[k] for k in variant.decides], axis=0)
        at = int(np.argmax(total))
        return {"select": float(total[at]), "threshold": float(thresholds[at])} | {
            f"f1_{k}": float(v[at]) for k, v in curves.items()
        }

    model, started, rate = starting_model(variant, work)
    schedule = Schedule(minutes, rate, check_every_s=min(max(120.0, minutes * 60 / 7), 900.0))
    best, history = train(model, sampler.batch, loss_of, validate, schedule, work / name, device, resume)
    filler.terminate()
    if name == BASE:
        return
    chosen = max(history, key=lambda h: h["select"])
    card = {
        "method": "centre-unet",
        "title": variant.title,
        "architecture": variant.architecture,
        "inputs": f"{variant.planes} plane(s), {CANONICAL_UM} um pixels, square-root intensity"
        + (f"; planes at {list(CONTEXT_UM)} um around a slice" if variant.planes > 1 else ""),
        "canonical_um": CANONICAL_UM,
        "trained_on": {
            "points2d/train": "Roboflow 'Dendritic2', CC BY 4.0; centres only, pixel sizes are nominal assumptions",
            "classes2d/train": "Meng-De-Gong 2025, MIT; polygons",
            "simulation": "stacks of `spinecore.training.pool`, seeds from 1,000,000",
        },
        "batch": variant.batch,
        "recipe": f"python -m spinecore train {name} --minutes {minutes:g}",
        "started_from": started,
        "chosen_by": chosen,
        "history": history,
        "threshold": round(chosen["threshold"], 2),
    }
    save_network(best, name, card, out)
