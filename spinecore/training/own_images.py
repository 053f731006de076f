"""What a fine-tuning learns from: batches from a user's own marked images, with some simulated ones mixed in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from scipy.ndimage import label
from torch import nn

from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import predict_slices
from spinecore.simulation import simulate
from spinecore.training.marked import Marked, to_real_image
from spinecore.training.pool import FIRST_SEED, PoolVolume, decode, to_volume
from spinecore.training.samples import Example, projection_example, real_example, slice_example

#: Examples of a batch: own images, simulated.
OWN, SIMULATED = 4, 1
PATCH_PX = 128
#: A marked head is spine within this radius (px of 0.1 um) and this far up and down (um).
HEAD_PX = 2.5
HEAD_REACH_Z_UM = 0.45
#: Where not every spine is marked: background above this probability is left out of the loss.
TRUNCATE = 0.5
#: Seeds of the simulated stacks that are mixed in; far from those of the pool and of every benchmark.
REHEARSAL_SEED = FIRST_SEED * 3


def own_classes(model: nn.Module, one: Marked, complete: bool) -> np.ndarray:
    """Return classes (0 background, 1 dendrite, 2 spine) of one image from the parent's maps and the marks.

    Parameters
    ----------
    model : Module
        The parent.
    one : Marked
    complete : bool
        True: a spine of the parent without a mark in it becomes background.

    Returns
    -------
    ndarray, uint8, shape (Z, Y, X)
    """
    volume = one.volume
    classes = np.zeros(volume.image.shape, np.uint8)

    def emit(index: int, maps: np.ndarray) -> None:
        classes[index] = np.where(maps[1] > 0.5, 2, np.where(maps[0] > 0.5, 1, 0))

    predict_slices(model, lambda i: decode(volume.image[i]), len(volume.image), volume.z_um, emit)
    seen = volume.centres[volume.centres[:, 3] > 0, :3]
    heads = np.zeros(classes.shape, bool)
    yy, xx = np.indices(classes.shape[1:])
    for z, y, x in seen:
        disc = (yy - y) ** 2 + (xx - x) ** 2 <= HEAD_PX**2
        for index in range(len(classes)):
            if abs(index - z) <= 0.5 or abs(index - z) * volume.z_um <= HEAD_REACH_Z_UM:
                heads[index] |= disc
    classes[heads] = 2
    if complete:
        pieces, _ = label(classes == 2)
        kept = np.unique(pieces[heads])
        classes[(pieces > 0) & ~np.isin(pieces, kept)] = 0
    return classes


class OwnSampler:
    """Draws batches from a user's images, with some simulated ones mixed in."""

    def __init__(
        self,
        learned: list[Marked],
        simulated: list[PoolVolume],
        planes: int,
        complete: bool,
        seed: int,
    ) -> None:
        self.is_2d = learned[0].is_2d
        self.images = [to_real_image(one) for one in learned] if self.is_2d else []
        self.volumes = [one.volume for one in learned]
        # an image counts by its spines, so that one with few is not seen as often as one with many
        weights = np.array([one.n_spines + 1.0 for one in learned])
        self.share = weights / weights.sum()
        self.simulated = simulated
        self.planes = planes
        self.truncate = 1.0 if complete else TRUNCATE
        self.rng = np.random.default_rng(seed)

    def _own(self) -> Example:
        index = int(self.rng.choice(len(self.volumes), p=self.share))
        if self.is_2d:
            return real_example(self.images[index], PATCH_PX, self.rng, self.truncate)
        return replace(slice_example(self.volumes[index], PATCH_PX, self.rng), truncate=self.truncate)

    def _simulated(self) -> Example:
        volume = self.simulated[self.rng.integers(len(self.simulated))]
        return (projection_example if self.is_2d else slice_example)(volume, PATCH_PX, self.rng)

    def batch(self) -> dict[str, torch.Tensor]:
        """Return a dict of tensors as `spinecore.training.centre_unet.centre_loss` takes it."""
        examples = [self._own() for _ in range(OWN)]
        examples += [self._simulated() for _ in range(SIMULATED if self.simulated else 0)]
        names = ("image", "centre", "centre_weight", "spine", "dendrite", "mask_weight")
        out = {
            n: torch.from_numpy(np.stack([getattr(e, n) for e in examples]).astype(np.float32)) for n in names
        }
        if self.planes == 1:
            middle = out["image"].shape[1] // 2
            out["image"] = out["image"][:, middle : middle + 1].contiguous()
        out["truncate"] = torch.tensor([e.truncate for e in examples])
        return out


def rehearsal_volumes(count: int, is_2d: bool, seed: int) -> list[PoolVolume]:
    """Simulate small stacks of both families to mix in."""
    out = []
    for index in range(count):
        preset = ("confocal", "twophoton", "confocal-crowded", "confocal-noisy")[index % 4]
        shape = (12 if is_2d else 16, 180, 180)
        made = simulate(
            REHEARSAL_SEED + 1000 * seed + index, preset, shape, (0.4, CANONICAL_UM, CANONICAL_UM)
        )
        out.append(to_volume(made.stack.voxels, made))
    return out
