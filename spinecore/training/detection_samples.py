"""Training examples for the detectors: boxes and masks of single spines, from simulation and polygons.

A simulated volume knows which voxels are spine and where the heads are, not which voxel is whose:
`spine_instances` gives every connected piece of spine to its heads, and splits it between them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import find_objects, label
from scipy.spatial import cKDTree

from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import CONTEXT_UM, context_planes
from spinecore.training.pool import PoolVolume, decode, load_volume, pool_files
from spinecore.training.samples import RealImage, augment_intensity, load_polygons, polygon_example

#: Smaller pieces of a spine in a slice are neither learned nor counted as background (px of 0.1 um).
MIN_PIECE_PX = 6
#: A spine's light reaches this far beyond its first and last slice; there it is neither (um).
BLUR_Z_UM = 0.5
#: The regression of proposals counts twice (alpha in Vogel et al. 2023).
PROPOSAL_BOX_WEIGHT = 2.0
#: Share of a projected spine's pixels that must show beside the dendrites for it to be learned.
MIN_SHOWN = 0.35


@dataclass
class Instances:
    """A simulated volume with its spines told apart.

    Parameters
    ----------
    volume : PoolVolume
    labels : ndarray, int16, shape (Z, Y, X)
        k + 1 where the voxel belongs to the k-th head of `volume.centres`; 0 elsewhere.
    visible : ndarray of bool, shape (n + 1,)
        By label; entry 0 is False.
    """

    volume: PoolVolume
    labels: np.ndarray
    visible: np.ndarray

    def boxes3d(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (x_min, y_min, x_max, y_max, first slice, last slice) per spine with voxels, and visibility.

        Maxima of x and y are exclusive pixel edges, slices are inclusive.
        """
        rows, seen = [], []
        for number, box in enumerate(find_objects(self.labels), 1):
            if box is not None:
                z, y, x = box
                rows.append((x.start, y.start, x.stop, y.stop, z.start, z.stop - 1))
                seen.append(bool(self.visible[number]))
        return np.array(rows, float).reshape(-1, 6), np.array(seen, bool)


@dataclass
class DetectionExample:
    """One image with its spines.

    Parameters
    ----------
    image : ndarray, float32, shape (planes, Y, X)
    labels : ndarray, int16 or int32, shape (Y, X)
        Spine instances; 0 elsewhere.
    learned : set of int
        Labels to be found; the other labels count neither way.
    dendrite : ndarray, float32, shape (Y, X)
    """

    image: np.ndarray
    labels: np.ndarray
    learned: set[int]
    dendrite: np.ndarray


def spine_instances(volume: PoolVolume) -> Instances:
    """Tell the spines of a simulated volume apart: connected pieces, split at the nearest head."""
    spacing = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
    pieces, count = label(volume.classes == 2, structure=np.ones((3, 3, 3)))
    labels = np.zeros(volume.classes.shape, np.int16)
    visible = np.concatenate([[False], volume.centres[:, 3] > 0])
    if not count or not len(volume.centres):
        return Instances(volume, labels, visible)
    voxels = np.argwhere(pieces)
    owner_of = pieces[tuple(voxels.T)]
    tree = cKDTree(voxels * spacing)
    distance, nearest = tree.query(volume.centres[:, :3] * spacing)
    piece_of_head = np.where(distance <= 0.5, owner_of[nearest], 0)
    order = np.argsort(owner_of, kind="stable")
    starts = np.searchsorted(owner_of[order], np.arange(1, count + 2))
    for piece in np.unique(piece_of_head[piece_of_head > 0]):
        heads = np.flatnonzero(piece_of_head == piece)
        own = voxels[order[starts[piece - 1] : starts[piece]]]
        if len(heads) == 1:
            labels[tuple(own.T)] = heads[0] + 1
        else:
            _, which = cKDTree(volume.centres[heads, :3] * spacing).query(own * spacing)
            labels[tuple(own.T)] = heads[which] + 1
    return Instances(volume, labels, visible)


def _window(made: Instances, size: int, rng: np.random.Generator) -> tuple[slice, slice]:
    _, height, width = made.labels.shape
    centres = made.volume.centres
    if len(centres) and rng.random() < 0.8:
        y, x = centres[rng.integers(len(centres)), 1:3] + rng.uniform(-size / 3, size / 3, 2)
    else:
        y, x = rng.uniform(0, height), rng.uniform(0, width)
    top = int(np.clip(y - size / 2, 0, max(height - size, 0)))
    left = int(np.clip(x - size / 2, 0, max(width - size, 0)))
    return slice(top, top + size), slice(left, left + size)


def slice_example(made: Instances, size: int, planes: int, rng: np.random.Generator) -> DetectionExample:
    """Cut one slice, with its neighbours as further planes (or alone, where `planes` is 1)."""
    volume, n = made.volume, len(made.labels)
    rows, columns = _window(made, size, rng)
    visible = volume.centres[volume.centres[:, 3] > 0]
    if len(visible) and rng.random() < 0.6:
        index = int(np.clip(round(visible[rng.integers(len(visible)), 0] + rng.normal(0, 1)), 0, n - 1))
    else:
        index = int(rng.integers(n))
    wanted = [(index, index, 0.0)] if planes == 1 else context_planes(n, index, volume.z_um)
    image = np.stack(
        [
            (1 - w) * decode(volume.image[a, rows, columns]) + w * decode(volume.image[b, rows, columns])
            for a, b, w in wanted
        ]
    )
    here = made.labels[index, rows, columns].copy()
    present = np.unique(here)
    reach = max(1, round(BLUR_Z_UM / volume.z_um))
    blurred = made.labels[max(index - reach, 0) : index + reach + 1, rows, columns].max(0)
    blurred[np.isin(blurred, present) | (here > 0)] = 0
    learned = {int(v) for v in present[present > 0] if made.visible[v]}
    dendrite = (volume.classes[index, rows, columns] == 1).astype(np.float32)
    return _finish(image, np.where(blurred > 0, blurred, here), learned, dendrite, size, rng)


def projection_example(
    made: Instances, size: int, planes: int, rng: np.random.Generator, thinnest_um: float = 1.0
) -> DetectionExample:
    """Cut a maximum projection over a random run of slices, from `thinnest_um` to the whole depth."""
    volume, n = made.volume, len(made.labels)
    rows, columns = _window(made, size, rng)
    thinnest = min(n, max(1, round(thinnest_um / volume.z_um)))
    depth = round(float(np.exp(rng.uniform(np.log(thinnest), np.log(n + 0.49)))))
    depth = min(max(depth, thinnest), n)
    first = int(rng.integers(0, n - depth + 1))
    run = slice(first, first + depth)
    plane = decode(volume.image[run, rows, columns]).max(0)
    block, dendrite = made.labels[run, rows, columns], (volume.classes[run, rows, columns] == 1).any(0)
    flat = block.max(0)
    full = np.bincount(flat.ravel(), minlength=len(made.visible))
    flat[dendrite] = 0
    shown = np.bincount(flat.ravel(), minlength=len(made.visible))
    centre = volume.centres[:, 0]
    inside = np.concatenate([[False], (centre >= first - 0.5) & (centre < first + depth - 0.5)])
    clear = made.visible & inside & (shown >= MIN_SHOWN * np.maximum(full, 1))
    learned = {int(v) for v in np.flatnonzero(clear & (shown > 0))}
    image = np.repeat(plane[None], planes, axis=0)
    return _finish(image, flat, learned, dendrite.astype(np.float32), size, rng)


def polygons_example(image: RealImage, size: int, planes: int, rng: np.random.Generator) -> DetectionExample:
    """Cut one example out of a classes2d image; instances are the connected pieces of its spine mask."""
    drawn = polygon_example(image, size, rng)
    labels, count = label(drawn.spine > 0.5)
    return DetectionExample(
        np.repeat(drawn.image[:1], planes, axis=0),
        labels.astype(np.int32),
        set(range(1, count + 1)),
        (drawn.dendrite > 0.5).astype(np.float32),
    )


def _finish(
    image: np.ndarray,
    labels: np.ndarray,
    learned: set[int],
    dendrite: np.ndarray,
    size: int,
    rng: np.random.Generator,
) -> DetectionExample:
    """Pad to `size`, turn and mirror at random, and change gain, noise and blur."""
    pad = [(0, size - labels.shape[0]), (0, size - labels.shape[1])]
    image, labels, dendrite = np.pad(image, [(0, 0), *pad]), np.pad(labels, pad), np.pad(dendrite, pad)
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))

    def turned(a: np.ndarray) -> np.ndarray:
        a = np.rot90(a, turns, axes=(-2, -1))
        return np.ascontiguousarray(a[..., ::-1] if flip else a)

    picture = augment_intensity(turned(image).astype(np.float32), rng)
    return DetectionExample(picture, turned(labels), learned, turned(dendrite))


def targets_of(example: DetectionExample, masks: bool = False) -> dict[str, Any]:
    """Return torchvision's target: boxes (n, 4) as x_min, y_min, x_max, y_max in pixel edges, labels, masks.

    Labels are 1 for spines and `spinecore.networks.two_stage.IGNORED` for what counts neither way.
    """
    from spinecore.networks.two_stage import IGNORED

    boxes, kinds, planes = [], [], []
    areas = np.bincount(example.labels.ravel())
    for number, window in enumerate(find_objects(example.labels), 1):
        if window is None:
            continue
        rows, columns = window
        boxes.append((columns.start, rows.start, columns.stop, rows.stop))
        kinds.append(1 if number in example.learned and areas[number] >= MIN_PIECE_PX else IGNORED)
        if masks:
            planes.append(example.labels == number)
    out = {
        "boxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "labels": torch.tensor(kinds, dtype=torch.int64),
    }
    if masks:
        shape = (0, *example.labels.shape)
        out["masks"] = torch.from_numpy(np.stack(planes) if planes else np.zeros(shape, bool)).to(torch.uint8)
    return out


class Pool:
    """Simulated volumes on disk with their spines told apart, each read when it is first drawn.

    Parameters
    ----------
    folder : Path
        Where `spinecore.training.pool.fill_pool` writes.
    limit : int
        Most volumes used, which bounds memory.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.paths = pool_files(folder)[:limit]
        self._held: dict[int, Instances] = {}

    def draw(self, rng: np.random.Generator) -> Instances:
        """Return one volume at random."""
        index = int(rng.integers(len(self.paths)))
        if index not in self._held:
            self._held[index] = spine_instances(load_volume(self.paths[index]))
        return self._held[index]


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
    losses = model(images, targets)
    weights = {"loss_rpn_box_reg": PROPOSAL_BOX_WEIGHT}
    return sum(weights.get(name, 1.0) * value for name, value in losses.items())
