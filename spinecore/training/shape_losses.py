"""What the shape classifiers are trained by: the class, the outline, and where the class is read from."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from spinecore.shapes.classes import BALL_AS, LABELS
from spinecore.training.shape_augment import Batch

_MUSHROOM, _BALL = LABELS.index(BALL_AS), LABELS.index("ball")
#: Weight of what cells outside the spine say, see `outside_share`.
OUTSIDE_WEIGHT = 0.5


def class_loss(logits: torch.Tensor, labels: torch.Tensor, simulated: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with 0.05 label smoothing; a simulated mushroom may be called ball or mushroom.

    Parameters
    ----------
    logits : Tensor, shape (N, 5)
    labels : Tensor of int, shape (N,)
    simulated : Tensor of bool, shape (N,)
    """
    chance = F.log_softmax(logits, 1)
    right = chance.gather(1, labels[:, None])[:, 0]
    either = torch.logaddexp(chance[:, _MUSHROOM], chance[:, _BALL])
    right = torch.where(simulated & (labels == _MUSHROOM), either, right)
    return -(0.95 * right + 0.05 * chance.mean(1)).mean()


def shape_loss(model: Any, batch: Batch, outline_weight: float = 0.5) -> torch.Tensor:
    """Class loss; for networks that draw, the outline's weighted cross-entropy; for those that read cell by cell, `outside_share`."""
    patches = batch.patches.contiguous(memory_format=torch.channels_last)
    if hasattr(model, "forward_all"):
        logits, outline, said = model.forward_all(patches)
        drawn = F.binary_cross_entropy_with_logits(outline.float(), batch.outline)
        named = class_loss(logits.float(), batch.labels, batch.simulated)
        return named + 2 * outline_weight * drawn + OUTSIDE_WEIGHT * outside_share(said.float(), batch)
    if outline_weight == 0 or not hasattr(model, "forward_both"):
        return class_loss(model(patches).float(), batch.labels, batch.simulated)
    logits, outline = model.forward_both(patches)
    drawn = F.binary_cross_entropy_with_logits(outline.float(), batch.outline)
    return class_loss(logits.float(), batch.labels, batch.simulated) + outline_weight * drawn


def outside_share(said: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Return the share of all evidence for any class that comes from cells off the spine, a scalar from 0 to 1.

    Attention supervision as in Li et al. (2018, guided attention inference), with the aim of Ross et al. (2017): right for
    the right reasons. The spine is its true outline and the one given, grown by one pixel.

    Parameters
    ----------
    said : Tensor, shape (N, 5, Y, X)
        What each cell says for each class.
    batch : Batch
    """
    near = F.max_pool2d(torch.maximum(batch.outline, batch.patches[:, 1:2]), 3, stride=1, padding=1)
    heat = said.clamp(min=0)
    outside = (heat * (1 - near)).sum((1, 2, 3))
    return (outside / (heat.sum((1, 2, 3)) + 1e-6)).mean()
