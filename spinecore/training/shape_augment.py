"""Batches of spine patches, turned, scaled, relit, and with their outlines spoilt on purpose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from spinecore.shapes.patches import PATCH_PX
from spinecore.training.shape_samples import Spines


@dataclass
class Batch:
    """One training batch.

    Parameters
    ----------
    patches : Tensor, float32, shape (N, 3, PATCH_PX, PATCH_PX)
    outline : Tensor, float32, shape (N, 1, PATCH_PX, PATCH_PX)
        The outline to learn: unspoilt and reduced to what is lit.
    labels : Tensor, int64, shape (N,)
    simulated : Tensor, bool, shape (N,)
    """

    patches: torch.Tensor
    outline: torch.Tensor
    labels: torch.Tensor
    simulated: torch.Tensor

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        return Batch(*(part.to(device) for part in (self.patches, self.outline, self.labels, self.simulated)))


def centre_crop(patches: np.ndarray) -> torch.Tensor:
    """Return stored patches (N, C, KEPT_PX, KEPT_PX) as the networks see them, without augmentation."""
    margin = (patches.shape[-1] - PATCH_PX) // 2
    inner = slice(margin, margin + PATCH_PX)
    return torch.from_numpy(np.ascontiguousarray(patches[..., inner, inner], dtype=np.float32))


def augment(spines: Spines, simulated: np.ndarray, rng: np.random.Generator) -> Batch:
    """Make a batch of augmented patches out of stored ones."""
    count = len(spines)
    planes = torch.from_numpy(
        np.concatenate([spines.patches.astype(np.float32), spines.tight[:, None].astype(np.float32)], 1)
    )
    planes = move(planes, simulated, rng)
    image, given, depth, tight = (planes[:, k : k + 1] for k in range(4))
    target = (tight >= 0.5).float()
    use_tight = torch.from_numpy(rng.random(count) < 0.5)[:, None, None, None]
    outline = _spoil(torch.where(use_tight, tight, given), rng)
    flat = torch.from_numpy(rng.random(count) < 0.2)[:, None, None, None]
    depth = torch.where(flat, torch.zeros(()), depth * (outline > 0))
    return Batch(
        torch.cat([relight(image, rng), outline, depth], 1),
        target,
        torch.from_numpy(spines.labels.astype(np.int64)),
        torch.from_numpy(simulated),
    )


def move(planes: torch.Tensor, simulated: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Turn (mostly a little, sometimes anyhow), mirror, scale and shift by up to 2 pixels.

    Real images, whose pixel size is an assumption, are scaled by some 18 %; simulated ones by 3 %, since their
    classes are defined by sizes in um.
    """
    count, size = len(planes), planes.shape[-1]
    angle = rng.normal(0, 0.3, count)
    anyhow = rng.random(count) < 0.2
    angle[anyhow] = rng.uniform(-np.pi, np.pi, int(anyhow.sum()))
    zoom = np.exp(rng.normal(0, np.where(simulated, 0.03, 0.18))) * PATCH_PX / size
    mirror = rng.choice([-1.0, 1.0], count)
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0], theta[:, 0, 1] = np.cos(angle) * zoom * mirror, -np.sin(angle) * zoom
    theta[:, 1, 0], theta[:, 1, 1] = np.sin(angle) * zoom * mirror, np.cos(angle) * zoom
    theta[:, :, 2] = rng.uniform(-2, 2, (count, 2)) * 2 / size
    grid = F.affine_grid(torch.from_numpy(theta), [count, planes.shape[1], PATCH_PX, PATCH_PX], False)
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _spoil(mask: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Make outlines as a detector or a hasty hand draws them: blurred, grown or shrunk, now and then a plain box."""
    out = (mask >= 0.5).float()
    if rng.random() < 0.5:
        sigma = rng.uniform(0.5, 1.4)
        reach = np.arange(-4, 5)
        bell = np.exp(-0.5 * (reach / sigma) ** 2)
        kernel = torch.from_numpy((bell / bell.sum()).astype(np.float32))
        soft = F.conv2d(out, kernel[None, None, :, None], padding=(4, 0))
        soft = F.conv2d(soft, kernel[None, None, None, :], padding=(0, 4))
        level = torch.from_numpy(rng.uniform(0.25, 0.55, len(out)).astype(np.float32))[:, None, None, None]
        out = (soft >= torch.minimum(level, 0.8 * soft.amax((2, 3), keepdim=True))).float()
    for index in np.flatnonzero(rng.random(len(out)) < 0.04):
        where = torch.nonzero(out[index, 0])
        if len(where):
            low, high = where.min(0).values, where.max(0).values + 1
            out[index, 0, low[0] : high[0], low[1] : high[1]] = 1
    return out


def relight(image: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Change gain, gamma and noise of normalised (square-root) patches."""

    def each(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values.astype(np.float32))[:, None, None, None]

    count = len(image)
    power = image.sign() * image.abs() ** each(np.exp(rng.normal(0, 0.25, count)))
    power = power * each(np.exp(rng.normal(0, 0.2, count)))
    noise = rng.uniform(0, 0.08, count) * (rng.random(count) < 0.5)
    power = power + each(noise) * torch.from_numpy(rng.standard_normal(image.shape).astype(np.float32))
    return power.clamp(-0.5, 1.5)
