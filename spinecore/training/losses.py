"""Losses of the default method."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def heatmap_focal(
    logits: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    truncate: torch.Tensor | None = None,
    alpha: float = 2.0,
    beta: float = 4.0,
) -> torch.Tensor:
    """Penalty-reduced focal loss for centre heat maps (Law and Deng 2018, CornerNet, eq. 1).

    Parameters
    ----------
    logits, target, weight : Tensor, shape (N, Y, X)
        Target is 1 at centres and falls off as a Gaussian; weight 0 leaves a pixel out.
    truncate : Tensor, shape (N,), optional
        Where below 1: background pixels of that image that the network already takes for a
        centre with more than this probability are left out, since in a set with gaps they may
        be unmarked spines.

    Returns
    -------
    Tensor
        Scalar, divided by the number of centres in the batch.
    """
    p = torch.sigmoid(logits)
    positive = (target > 0.95).float() * weight
    negative = (target <= 0.95).float() * weight
    if truncate is not None:
        unmarked = (p.detach() > truncate[:, None, None]) & (target < 0.05)
        negative = negative * (~unmarked).float()
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    loss = -(positive * (1 - p) ** alpha * log_p + negative * (1 - target) ** beta * p**alpha * log_q).sum()
    return loss / positive.sum().clamp(min=1.0)


def mask_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, positive_weight: float = 2.0
) -> torch.Tensor:
    """Cross-entropy plus soft Dice over the pixels with weight; target in 0..1, all (N, Y, X)."""
    balance = 1 + (positive_weight - 1) * target
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none") * weight * balance
    p = torch.sigmoid(logits) * weight
    dice = 1 - (2 * (p * target).sum() + 1) / (p.sum() + (target * weight).sum() + 1)
    return entropy.sum() / weight.sum().clamp(min=1.0) + dice * (weight.sum() > 0)
