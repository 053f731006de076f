"""A pool of simulated stacks on disk, at the canonical pixel size, for training.

Seeds start at `FIRST_SEED`; validation and benchmarks use seeds below 1,000, so the two never meet.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinecore.files import replacing
from spinecore.methods.sizes import TRUE_SIZES
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.simulation import PRESETS, Simulated, simulate
from spinecore.simulation.real_shapes import ShapeSet, simulate_shapes

FIRST_SEED = 1_000_000
#: Folder, in that of labelled data and in that of the pool, of dendrites with real shapes.
SHAPES = "em_dendrites"
#: Stacks that have to be there before a training begins.
FIRST_VOLUMES = 24
_FAMILIES = (
    ("confocal", 0.26),
    ("twophoton", 0.28),
    ("confocal-crowded", 0.1),
    ("confocal-noisy", 0.08),
    ("confocal-oblique", 0.1),
    ("twophoton-oblique", 0.1),
    ("confocal-clutter", 0.04),
    ("twophoton-clutter", 0.04),
)


@dataclass
class PoolVolume:
    """One simulated stack for training.

    Parameters
    ----------
    image : ndarray, uint8, shape (Z, Y, X)
        Normalised intensity, coded by `encode`.
    classes : ndarray, uint8, shape (Z, Y, X)
        0 background, 1 dendrite, 2 spine.
    centres : ndarray, float32, shape (n, 4)
        z, y, x of each head in voxels of this volume, and whether it is visible (1 or 0).
    z_um : float
        Slice distance.
    known : ndarray of bool, shape (Z, Y, X), optional
        Where classes and centres say what is there; everywhere in simulated stacks.
    sizes : ndarray, float32, shape (n, 3), optional
        `TRUE_SIZES` of each spine, in the order of `centres`, where it is known.
    """

    image: np.ndarray
    classes: np.ndarray
    centres: np.ndarray
    z_um: float
    known: np.ndarray | None = None
    sizes: np.ndarray | None = None


def encode(value: np.ndarray) -> np.ndarray:
    """Code normalised intensity (-0.5..1.5) in a byte."""
    return np.clip((value + 0.5) * 127.5, 0, 255).round().astype(np.uint8)


def decode(code: np.ndarray) -> np.ndarray:
    """Undo `encode`."""
    return code.astype(np.float32) / 127.5 - 0.5


@dataclass(frozen=True)
class VoxelPlan:
    """What is drawn for one training stack before it is simulated."""

    preset: str
    pixel_um: float
    z_um: float
    shape: tuple[int, int, int]
    rng: np.random.Generator


def voxel_plan(seed: int) -> VoxelPlan:
    """Draw preset, voxel size (um) and ZYX shape of the training stack of a seed."""
    rng = np.random.default_rng([seed, 77])
    names, weights = zip(*_FAMILIES, strict=True)
    preset = str(rng.choice(names, p=np.array(weights) / sum(weights)))
    pixel = float(np.exp(rng.uniform(np.log(0.05), np.log(0.2))))
    z_um = float(np.exp(rng.uniform(np.log(0.2), np.log(1.0))))
    depth_um = rng.uniform(5.0, 10.0)
    n_z = int(np.clip(round(depth_um / z_um), 5, 40))
    n_xy = int(round(rng.uniform(22, 28) / pixel / 2) * 2)
    return VoxelPlan(preset, pixel, z_um, (n_z, n_xy, n_xy), rng)


def seed_of(path: Path) -> int:
    """Return the seed of a volume that `fill_pool` wrote, from its name."""
    return FIRST_SEED + int(path.stem.removeprefix("volume_"))


def make_volume(seed: int) -> PoolVolume:
    """Simulate one training stack: random preset, voxel size, and sometimes a blanked background."""
    plan = voxel_plan(seed)
    made = simulate(seed, plan.preset, plan.shape, (plan.z_um, plan.pixel_um, plan.pixel_um))
    voxels = made.stack.voxels
    if plan.rng.random() < 0.08 and len(made.dendrites):
        voxels = blank_background(voxels, made.labels, made.dendrite_labels, plan.rng)
    return to_volume(voxels, made)


def to_volume(voxels: np.ndarray, made: Simulated) -> PoolVolume:
    """Bring a simulated stack and its truth to the canonical pixel size."""
    z_um, pixel, _ = made.stack.spacing.zyx_um()
    n_xy = voxels.shape[1]
    low, high = intensity_range(voxels)
    shape = canonical_shape(voxels.shape[1:], (pixel, pixel))
    image = np.stack([encode(resize_plane(normalise(s, low, high), shape)) for s in voxels])
    classes = np.where(made.labels > 0, 2, (made.dendrite_labels > 0).astype(np.uint8)).astype(np.uint8)
    rows = np.minimum((np.arange(shape[0]) + 0.5) * n_xy / shape[0], n_xy - 1).astype(int)
    columns = np.minimum((np.arange(shape[1]) + 0.5) * n_xy / shape[1], n_xy - 1).astype(int)
    classes = classes[:, rows][:, :, columns]
    scale = shape[0] / n_xy
    table = made.spines
    centres = np.zeros((len(table), 4), np.float32)
    if len(table):
        centres[:, 0] = table["z_px"]
        centres[:, 1] = (table["y_px"] + 0.5) * scale - 0.5
        centres[:, 2] = (table["x_px"] + 0.5) * scale - 0.5
        centres[:, 3] = table["visible"]
    sizes = table.reindex(columns=list(TRUE_SIZES)).to_numpy(np.float32).reshape(-1, len(TRUE_SIZES))
    return PoolVolume(image, classes, centres, z_um, sizes=sizes)


def blank_background(
    voxels: np.ndarray, labels: np.ndarray, dendrite_labels: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Set everything but one dilated neuron to zero, as in published single-dendrite images."""
    from scipy.ndimage import binary_dilation

    keep = binary_dilation((labels > 0) | (dendrite_labels > 0), iterations=int(rng.integers(1, 4)))
    return np.where(keep, voxels, 0)


def save_volume(volume: PoolVolume, path: Path) -> None:
    """Write a volume as an uncompressed npz, atomically."""
    arrays = {name: getattr(volume, name) for name in ("image", "classes", "centres", "z_um")}
    if volume.sizes is not None:
        arrays["sizes"] = volume.sizes
    with replacing(path) as temporary:
        np.savez(temporary, **arrays)


def load_volume(path: Path) -> PoolVolume:
    """Read what `save_volume` wrote."""
    with np.load(path) as data:
        sizes = data.get("sizes")
        return PoolVolume(data["image"], data["classes"], data["centres"], float(data["z_um"]), sizes=sizes)


def pool_files(folder: Path) -> list[Path]:
    """Return the volumes of a pool, by number."""
    return sorted(folder.glob("volume_*.npz"))


def fill_shapes(folder: Path, count: int, shapes: ShapeSet) -> None:
    """Simulate the first `count` volumes of dendrites with real shapes that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        path = folder / f"volume_{index:05d}.npz"
        if not path.exists():
            plan = voxel_plan(FIRST_SEED + index)
            spacing = (plan.z_um, plan.pixel_um, plan.pixel_um)
            made = simulate_shapes(FIRST_SEED + index, shapes, plan.preset, plan.shape, spacing)
            save_volume(to_volume(made.stack.voxels, made), path)


def fill_pool(folder: Path, count: int, start: int = 0) -> None:
    """Simulate volumes `start`..`count`-1 that are not there yet (run in a process of its own)."""
    folder.mkdir(parents=True, exist_ok=True)
    assert all(name in PRESETS for name, _ in _FAMILIES)
    for index in range(start, count):
        path = folder / f"volume_{index:05d}.npz"
        if not path.exists():
            save_volume(make_volume(FIRST_SEED + index), path)
