"""Recipe of `unet3d`: a 3-D U-Net on the volume, after Vidaurre-Gallart et al. (2022).

From the paper: segmentation of shaft and spines in confocal volumes by a 3-D network, automatic
preprocessing, and training that copes with stacks of which only some branches were segmented. Their
labelled volumes are not public; here the volumes are simulated, and a part of them is deprived of the
labels of all but one dendrite, so that the weights for unknown voxels are exercised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy.ndimage import affine_transform, distance_transform_edt, label
from scipy.spatial import cKDTree
from torch import nn

from spinecore.evaluation.pixels import pixel_scores
from spinecore.methods.components import component_centres
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.unet3d import inflate
from spinecore.networks.volumes import PLAN_Z_UM, planned_slices, predict_volume, resample_z
from spinecore.training.centre_unet import BASE
from spinecore.training.losses import mask_loss
from spinecore.training.pool import FIRST_VOLUMES, PoolVolume, decode, fill_pool, load_volume, pool_files
from spinecore.training.recipe import Context, Recipe, Trained
from spinecore.training.samples import augment_intensity
from spinecore.training.schedule import Schedule, Start
from spinecore.training.scoring import beside_hidden, count_matches, f1, validation_volumes
from spinecore.training.start import best_of_state, set_head_bias
from spinecore.training.touching import cut_contacts

SPACING_UM = (PLAN_Z_UM, CANONICAL_UM, CANONICAL_UM)
ARCHITECTURE: dict[str, Any] = {
    "kind": "unet3d",
    "in_channels": 1,
    "out_channels": 2,
    "widths": [16, 32, 64, 96, 128],
    "spacing_zyx_um": list(SPACING_UM),
    "outputs": ["dendrite", "spine"],
}
PATCH = (12, 96, 96)
BATCH = 2
VOLUMES = 240
LEARNING_RATE = 1.5e-3
#: Probability that a patch is a projection in a single slice, so that single images work, too.
SINGLE = 0.12
#: Probability that a patch keeps the labels of one dendrite only.
PARTLY = 0.2
#: Unlabelled voxels are taken for background within this distance of a labelled one (um), or when dark.
KNOWN_UM = 0.8
#: Normalised intensity below which a voxel shows no neuron, labelled or not.
DARK = 0.12


def known_weights(
    labelled: np.ndarray,
    image: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    near_um: float = KNOWN_UM,
    dark: float = DARK,
) -> np.ndarray:
    """Return where the truth of a partly labelled stack is known.

    A bright voxel far from everything that was labelled may be a branch that nobody segmented: it
    carries no weight. Labelled voxels, their surroundings and dark voxels count.

    Parameters
    ----------
    labelled : ndarray of bool, shape (Z, Y, X)
        Voxels with a label.
    image : ndarray of float, shape (Z, Y, X)
        Normalised intensity.
    spacing_zyx_um : tuple of float
    near_um : float
        Reach of a label.
    dark : float
        Intensity below which a voxel counts as dark.

    Returns
    -------
    ndarray, float32, shape (Z, Y, X)
        1 = known, 0 = unknown.
    """
    known = image < dark
    if labelled.any():
        known |= distance_transform_edt(~labelled, sampling=spacing_zyx_um) <= near_um
    return known.astype(np.float32)


def keep_one_dendrite(
    classes: np.ndarray, spacing_zyx_um: tuple[float, float, float], rng: np.random.Generator
) -> np.ndarray:
    """Return the classes with the labels of all but one dendrite (and its spines) removed."""
    parts, count = label(classes == 1, structure=np.ones((3, 3, 3)))
    if count < 2:
        return classes
    _, nearest = distance_transform_edt(parts == 0, sampling=spacing_zyx_um, return_indices=True)
    return np.where(parts[tuple(nearest)] == rng.integers(1, count + 1), classes, 0)


def split_spines(volume: PoolVolume, window: tuple[slice, slice, slice]) -> np.ndarray:
    """Return the classes of a part of a volume with the voxels where two spines touch set to 0."""
    classes = volume.classes[window].copy()
    where = np.nonzero(classes == 2)
    if len(where[0]) and len(volume.centres):
        scale = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
        voxels = np.stack(where, -1) + [w.start for w in window]
        ids = np.zeros(classes.shape, np.int32)
        ids[where] = cKDTree(volume.centres[:, :3] * scale).query(voxels * scale)[1] + 1
        classes[(ids > 0) & (cut_contacts(ids) == 0)] = 0
    return classes


def make_example(volume: PoolVolume, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Cut one patch: image (1, Z, Y, X); dendrite, spine and weight (Z, Y, X); all float32."""
    n, height, width = volume.image.shape
    # A single slice stands for a projection; else as many slices as make up the patch once resampled.
    single = rng.random() < SINGLE
    ratio = planned_slices(n, volume.z_um) / n
    depth = n if single else min(n, int(np.ceil(PATCH[0] / ratio)))
    reach = int(np.ceil(PATCH[1] * 0.95))  # covers a patch turned by 45 degrees and zoomed out
    anchor = _anchor(volume, rng)
    parts = zip(anchor, (depth, 2 * reach, 2 * reach), (n, height, width), strict=True)
    z, y, x = (_span(at, length, limit) for at, length, limit in parts)
    window, starts = (z, y, x), [z.start, y.start, x.start]
    image, classes = decode(volume.image[window]), split_spines(volume, window)
    spacing = (volume.z_um, CANONICAL_UM, CANONICAL_UM)
    known = np.ones(classes.shape, np.float32)
    if rng.random() < PARTLY:
        classes = keep_one_dendrite(classes, spacing, rng)
        known = known_weights(classes > 0, image, spacing)
    local = np.array(anchor[1:]) - starts[1:]
    hidden = volume.centres[volume.centres[:, 3] == 0, :3] - starts
    known *= 1 - _boxes(known.shape, hidden, spacing)
    if single:
        linear = (np.sign(image) * image**2).max(0, keepdims=True)
        image = normalise(linear, *intensity_range(linear))
        classes = np.where((classes == 1).any(0), 1, 2 * (classes == 2).any(0))[None]
        known = known.min(0, keepdims=True)
    elif ratio != 1:
        slices = max(1, round(len(image) * ratio))
        image = resample_z(image, slices)
        nearest = np.minimum(
            ((np.arange(slices) + 0.5) * len(classes) / slices).astype(int), len(classes) - 1
        )
        classes, known = classes[nearest], known[nearest]
    image, classes, known = _turn(image, classes, known, local, rng)
    image = augment_intensity(image, rng)
    image, classes, known = (_fit(a, PATCH[0], rng) for a in (image, classes, known))
    return {
        "image": image[None].astype(np.float32),
        "dendrite": (classes == 1).astype(np.float32),
        "spine": (classes == 2).astype(np.float32),
        "weight": known.astype(np.float32),
    }


def _span(at: float, length: int, limit: int) -> slice:
    """Return a window of a length about a place, moved and cut so that it lies in 0..limit."""
    start = int(np.clip(at - length / 2, 0, max(limit - length, 0)))
    return slice(start, min(start + length, limit))


def _anchor(volume: PoolVolume, rng: np.random.Generator) -> tuple[float, float, float]:
    """A head (mostly), or anywhere."""
    seen = volume.centres[volume.centres[:, 3] > 0, :3]
    if len(seen) and rng.random() < 0.8:
        z, y, x = seen[rng.integers(len(seen))] + rng.uniform(-1, 1, 3) * (2, PATCH[1] / 4, PATCH[2] / 4)
    else:
        z, y, x = rng.uniform(0, 1, 3) * volume.image.shape
    return float(z), float(y), float(x)


def _boxes(
    shape: tuple[int, ...], centres: np.ndarray, spacing: tuple[float, ...], um: float = 0.4
) -> np.ndarray:
    """Return 1 around each centre, 0 elsewhere."""
    out = np.zeros(shape, np.float32)
    reach = np.ceil(um / np.array(spacing)).astype(int)
    for centre in np.round(centres).astype(int):
        low, high = np.maximum(centre - reach, 0), np.minimum(centre + reach + 1, shape)
        if (high > low).all():
            out[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return out


def _turn(
    image: np.ndarray, classes: np.ndarray, known: np.ndarray, centre: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rotate in the plane, zoom and mirror; what lies beyond the volume is unknown."""
    size, angle = PATCH[1], rng.uniform(0, 2 * np.pi)
    zoom = np.exp(rng.uniform(np.log(0.75), np.log(1.35)))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrix = np.array([[c, -s], [s, c]]) @ np.diag([1.0, mirror])
    offset = centre - matrix @ np.full(2, (size - 1) / 2)

    def cut(volume: np.ndarray, order: int) -> np.ndarray:
        return np.stack(
            [affine_transform(p, matrix, offset, (size, size), order=order, mode="constant") for p in volume]
        )

    step = -1 if rng.random() < 0.5 else 1
    return cut(image, 1)[::step], cut(classes, 0)[::step], cut(known, 0)[::step]


def _fit(volume: np.ndarray, slices: int, rng: np.random.Generator) -> np.ndarray:
    """Bring a patch to its depth: empty, unknown slices on both sides of a shallow one."""
    missing = slices - len(volume)
    if missing <= 0:
        return volume[:slices]
    return np.pad(volume, ((missing // 2, missing - missing // 2), (0, 0), (0, 0)))


def validate_volumes(model: Any, volumes: list[PoolVolume]) -> dict[str, float]:
    """Score components and masks on simulated stacks.

    Returns
    -------
    dict
        `select` and `f1`: F1 by centres within 1 um at the best `threshold`; IoU of both masks.
    """
    thresholds = np.round(np.arange(0.5, 0.96, 0.05), 2)
    counts = np.zeros((len(thresholds), 3))
    pixels: dict[str, Any] = {}
    for volume in volumes:
        spacing = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
        n = len(volume.image)
        image = resample_z(decode(volume.image), planned_slices(n, volume.z_um))
        maps = resample_z(predict_volume(model, image), n)
        _, centres, scores = component_centres(maps[1], tuple(spacing))
        seen = volume.centres[:, 3] > 0
        counted = ~beside_hidden(centres * spacing, volume.centres[:, :3] * spacing, seen)
        counts += count_matches(
            centres[counted], scores[counted], volume.centres[seen, :3], thresholds, spacing
        )
        for name, value in (("dendrite", 1), ("spine", 2)):
            found = pixel_scores(volume.classes == value, maps[value - 1] >= 0.5)
            pixels[name] = pixels[name] + found if name in pixels else found
    curve = f1(counts)
    at = int(np.argmax(curve))
    return {"select": float(curve[at]), "threshold": float(thresholds[at]), "f1": float(curve[at])} | {
        f"iou_{k}": float(v.iou) for k, v in pixels.items()
    }


class Unet3dRecipe(Recipe):
    """`unet3d`: patches of volumes of the pool, a part of them only partly labelled."""

    method = "unet3d"
    title = "3-D U-Net for volumes"

    def architecture(self) -> dict[str, Any]:
        """One volume in, maps of dendrite and spine out."""
        return ARCHITECTURE

    def initialise(self, model: nn.Module) -> None:
        """Begin near "nothing here"."""
        set_head_bias(model, (-2.0, -3.0))

    def prepare(self, context: Context) -> None:
        """Load part of the pool, and simulate validation stacks of seeds from 900."""
        fill_pool(context.pool, FIRST_VOLUMES)
        self.rng = np.random.default_rng(0)
        self.volumes = [load_volume(path) for path in pool_files(context.pool)[:VOLUMES]]
        self.held = validation_volumes(every=4)  # a volume takes long on a CPU

    def start(self, model: nn.Module, context: Context) -> Start:
        """Inflate the 2-D base in the work folder, where it was trained."""
        state = best_of_state(context.work / BASE / "state.pt")
        if state is None:
            return Start()
        model.load_state_dict(inflate(state, model.state_dict()))
        return Start(f"python -m spinecore train {BASE}, inflated")

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Three validations."""
        return Schedule(minutes, LEARNING_RATE, average=0.99, check_every_s=max(60.0, minutes * 60 / 3))

    def samples(self) -> dict[str, torch.Tensor]:
        """Return a dict of tensors, as in `make_example` with a leading axis."""
        rng = self.rng
        examples = [make_example(self.volumes[rng.integers(len(self.volumes))], rng) for _ in range(BATCH)]
        return {k: torch.from_numpy(np.stack([e[k] for e in examples])) for k in examples[0]}

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Cross-entropy and Dice of both masks over known voxels."""
        logits = model(batch["image"].contiguous(memory_format=torch.channels_last_3d)).float()
        dendrite = mask_loss(logits[:, 0], batch["dendrite"], batch["weight"], 1.5)
        return dendrite + mask_loss(logits[:, 1], batch["spine"], batch["weight"], 2.0)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score simulated stacks."""
        return validate_volumes(model, self.held)

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data and the threshold with the best F1."""
        return {
            "inputs": f"volume, {CANONICAL_UM} um pixels, slices as they are or resampled to {PLAN_Z_UM} um, "
            "square-root intensity",
            "canonical_um": CANONICAL_UM,
            "trained_on": {
                "simulation": f"{len(self.volumes)} stacks of `spinecore.training.pool`, seeds from 1,000,000"
            },
            "batch": {
                "patches": BATCH,
                "patch_zyx": PATCH,
                "single_slice": SINGLE,
                "partly_labelled": PARTLY,
            },
            "threshold": round(trained.chosen["threshold"], 2),
        }
