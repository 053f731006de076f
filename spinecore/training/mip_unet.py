"""Recipe of `mip-unet`: a U-Net for projections, as on the poster by Chen, Su and Lai.

From the poster: patches centred at true label pixels, perspective transforms, projections of random
subsets of slices. Where their 84 labelled confocal stacks are not public, the masks come from the
simulation and from the polygons of classes2d. `mip-unet` trains with Ronneberger's weight maps for
touching objects, `mip-unet-plain` without.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import label, map_coordinates
from scipy.spatial import cKDTree
from torch import nn

from spinecore.evaluation.pixels import pixel_scores
from spinecore.membranes.weight_map import touching_weights
from spinecore.methods.components import component_centres
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import CANONICAL_UM
from spinecore.training.centre_unet import BASE
from spinecore.training.losses import mask_loss
from spinecore.training.pool import FIRST_VOLUMES, PoolVolume, decode, fill_pool, load_volume, pool_files
from spinecore.training.recipe import Context, Recipe, Trained
from spinecore.training.samples import RealImage, augment_intensity, load_polygons
from spinecore.training.schedule import Schedule, Start
from spinecore.training.scoring import count_matches, f1, predict_plane, validation_volumes
from spinecore.training.start import best_of_state, load_base_weights, set_head_bias
from spinecore.training.touching import cut_contacts

ARCHITECTURE: dict[str, Any] = {
    "kind": "unet2d",
    "in_channels": 1,
    "out_channels": 2,
    "widths": [16, 32, 64, 96, 128],
    "outputs": ["dendrite", "spine"],
}
PATCH_PX = 128
#: Examples in a batch: from simulated stacks, and from real images with polygons.
BATCH = {"projections": 10, "polygons": 2}
#: What a patch is centred at.
ANCHORS = {"spine": 0.7, "dendrite": 0.2, "anywhere": 0.1}
#: Most volumes of the pool held in memory.
VOLUMES = 240
LEARNING_RATE = 1.5e-3
#: Corners of a patch move by up to this share of its side.
PERSPECTIVE = 0.12


def random_slices(n_slices: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted indices of a random run of at least a third of the slices, with random gaps."""
    depth = int(rng.integers(max(1, n_slices // 3), n_slices + 1))
    first = int(rng.integers(0, n_slices - depth + 1))
    kept = np.flatnonzero(rng.random(depth) < rng.uniform(0.6, 1.0))
    return first + (kept if len(kept) else np.array([depth // 2]))


def project(volume: PoolVolume, slices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Project some slices of a simulated stack.

    Returns
    -------
    image : ndarray, float32, shape (Y, X)
        Maximum, normalised anew over the projection.
    labels : ndarray, int32, shape (Y, X)
        -1 dendrite (in front of everything), 0 background, k + 1 the spine whose head is `centres[k]`,
        -2 a spine too dim to be seen, which neither helps nor harms.
    """
    plane = decode(volume.image[slices].max(0))
    linear = np.sign(plane) * plane**2
    image = normalise(linear, *intensity_range(linear))
    classes = volume.classes[slices]
    labels = np.zeros(image.shape, np.int32)
    z, y, x = np.nonzero(classes == 2)
    if len(z) and len(volume.centres):
        scale = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
        heads = cKDTree(volume.centres[:, :3] * scale)
        nearest = heads.query(np.stack([slices[z], y, x], -1) * scale)[1]
        labels[y, x] = np.where(volume.centres[nearest, 3] > 0, nearest + 1, -2)
    labels[(classes == 1).any(0)] = -1
    return image, labels


def polygon_labels(image: RealImage) -> np.ndarray:
    """Return the labels of a classes2d image, coded as by `project`."""
    labels, _ = label(image.classes == 2)
    return np.where(image.classes == 1, -1, labels).astype(np.int32)


def homography(corners_from: np.ndarray, corners_to: np.ndarray) -> np.ndarray:
    """Return the 3 x 3 matrix that maps four points (y, x) to four others."""
    rows, right = [], []
    for (y, x), (v, u) in zip(corners_from, corners_to, strict=True):
        rows += [[y, x, 1, 0, 0, 0, -v * y, -v * x], [0, 0, 0, y, x, 1, -u * y, -u * x]]
        right += [v, u]
    return np.append(np.linalg.solve(np.array(rows, float), np.array(right, float)), 1.0).reshape(3, 3)


def cut_patch(
    image: np.ndarray, labels: np.ndarray, size: int, rng: np.random.Generator, zooms: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cut a patch centred at a true label pixel, turned, zoomed and seen in perspective.

    Returns
    -------
    image : ndarray, float32, shape (size, size)
    labels : ndarray, int32, shape (size, size)
    known : ndarray of bool, shape (size, size)
        False beyond the image.
    """
    where = str(rng.choice(list(ANCHORS), p=list(ANCHORS.values())))
    pixels = np.flatnonzero(labels > 0 if where == "spine" else labels == -1)
    if where == "anywhere" or not len(pixels):
        anchor = rng.uniform(0, 1, 2) * labels.shape
    else:
        anchor = np.array(np.unravel_index(pixels[rng.integers(len(pixels))], labels.shape), float)
    zoom, angle = np.exp(rng.uniform(*np.log(zooms))), rng.uniform(0, 2 * np.pi)
    unit = np.array([[-1, -1], [-1, 1], [1, 1], [1, -1]], float)
    if rng.random() < 0.5:
        unit[:, 1] *= -1
    bent = unit + rng.uniform(-2 * PERSPECTIVE, 2 * PERSPECTIVE, (4, 2))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    corners = np.array([[0, 0], [0, size - 1], [size - 1, size - 1], [size - 1, 0]], float)
    matrix = homography(corners, bent @ turn.T * (size / 2 / zoom) + anchor)
    yy, xx = np.mgrid[:size, :size]
    mapped = matrix @ np.stack([yy.ravel(), xx.ravel(), np.ones(size * size)])
    place = (mapped[:2] / mapped[2]).reshape(2, size, size)
    known = (place > -0.5).all(0) & (place[0] < labels.shape[0] - 0.5) & (place[1] < labels.shape[1] - 0.5)
    patch = map_coordinates(image, place, order=1, mode="constant")
    ids = map_coordinates(labels, place, order=0, mode="constant")
    return patch.astype(np.float32), ids, known


def make_example(
    image: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
    weighted: bool,
    zooms: tuple[float, float] = (0.7, 1.4),
) -> dict[str, np.ndarray]:
    """Return image (1, Y, X), and dendrite, spine and weight (Y, X), all float32."""
    patch, ids, known = cut_patch(image, labels, PATCH_PX, rng, zooms)
    known = known & (ids != -2)
    spines = np.maximum(ids, 0)
    weight = known.astype(np.float32)
    if weighted:
        spines = cut_contacts(spines)
        weight *= 1 + touching_weights(spines)
    return {
        "image": augment_intensity(patch[None], rng),
        "dendrite": (ids == -1).astype(np.float32),
        "spine": (spines > 0).astype(np.float32),
        "known": known.astype(np.float32),
        "weight": weight,
    }


def validate_projections(model: Any, volumes: list[PoolVolume]) -> dict[str, float]:
    """Score components and masks on the projections of whole simulated stacks.

    Returns
    -------
    dict
        `select` and `f1`: F1 by centres within 1 um at the best `threshold`; IoU of both masks.
    """
    thresholds = np.round(np.arange(0.5, 0.96, 0.05), 2)
    counts = np.zeros((len(thresholds), 3))
    pixels: dict[str, Any] = {}
    for volume in volumes:
        image, labels = project(volume, np.arange(len(volume.image)))
        maps = predict_plane(model, image, tile_px=512)
        _, centres, scores = component_centres(maps[1], (CANONICAL_UM, CANONICAL_UM))
        y, x = (np.clip(volume.centres[:, k].round().astype(int), 0, labels.shape[k - 1] - 1) for k in (1, 2))
        truth = volume.centres[(volume.centres[:, 3] > 0) & (labels[y, x] > 0), 1:3]
        counts += count_matches(centres, scores, truth, thresholds)
        for name, mask, plane in (
            ("dendrite", labels == -1, maps[0]),
            ("spine", labels > 0, maps[1]),
        ):
            found = pixel_scores(mask, plane >= 0.5)
            pixels[name] = pixels[name] + found if name in pixels else found
    curve = f1(counts)
    at = int(np.argmax(curve))
    return {"select": float(curve[at]), "threshold": float(thresholds[at]), "f1": float(curve[at])} | {
        f"iou_{k}": float(v.iou) for k, v in pixels.items()
    }


class MipUnet(Recipe):
    """`mip-unet` and `mip-unet-plain`: batches from the pool and from real polygons."""

    method = "mip-unet"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.is_weighted = self.shipped == "mip-unet"
        self.title = "U-Net for projections" + ("" if self.is_weighted else ", without weight maps")

    def architecture(self) -> dict[str, Any]:
        """One plane in, maps of dendrite and spine out."""
        return ARCHITECTURE

    def initialise(self, model: nn.Module) -> None:
        """Begin near "nothing here"."""
        set_head_bias(model, (-2.0, -3.0))

    def prepare(self, context: Context) -> None:
        """Load part of the pool and the polygons, and simulate validation stacks of seeds from 900."""
        fill_pool(context.pool, FIRST_VOLUMES)
        self.rng = np.random.default_rng(0)
        self.volumes = [load_volume(path) for path in pool_files(context.pool)[:VOLUMES]]
        self.polygons = [(p.image, polygon_labels(p)) for p in load_polygons(context.data, "train")]
        self.held = validation_volumes(every=3)

    def start(self, model: nn.Module, context: Context) -> Start:
        """Go on from the base in the work folder, where it was trained."""
        state = best_of_state(context.work / BASE / "state.pt")
        if state is None:
            return Start()
        load_base_weights(model, state)
        return Start(f"python -m spinecore train {BASE}")

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Four validations."""
        return Schedule(minutes, LEARNING_RATE, average=0.99, check_every_s=max(60.0, minutes * 60 / 4))

    def samples(self) -> dict[str, torch.Tensor]:
        """Return a dict of tensors, as in `make_example` with a leading axis."""
        rng, examples = self.rng, []
        for _ in range(BATCH["projections"]):
            volume = self.volumes[rng.integers(len(self.volumes))]
            slices = random_slices(len(volume.image), rng)
            examples.append(make_example(*project(volume, slices), rng, self.is_weighted))
        for _ in range(BATCH["polygons"] if self.polygons else 0):
            pair = self.polygons[rng.integers(len(self.polygons))]
            examples.append(make_example(*pair, rng, self.is_weighted, (0.7, 2.0)))
        return {k: torch.from_numpy(np.stack([e[k] for e in examples])) for k in examples[0]}

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy and Dice of both masks; the spines' with weights between touching ones."""
        logits = model(batch["image"].contiguous(memory_format=torch.channels_last)).float()
        dendrite = mask_loss(logits[:, 0], batch["dendrite"], batch["known"], 1.5)
        return dendrite + mask_loss(logits[:, 1], batch["spine"], batch["weight"], 2.0)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score the projections of whole simulated stacks."""
        return validate_projections(model, self.held)

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data and the threshold with the best F1."""
        return {
            "inputs": f"one maximum projection, {CANONICAL_UM} um pixels, square-root intensity",
            "canonical_um": CANONICAL_UM,
            "trained_on": {
                "simulation": f"projections of {len(self.volumes)} stacks of `spinecore.training.pool`, "
                "seeds from 1,000,000",
                "classes2d/train": "Meng-De-Gong 2025, MIT; polygons",
            },
            "batch": BATCH,
            "touching_weights": self.is_weighted,
            "threshold": round(trained.chosen["threshold"], 2),
        }
