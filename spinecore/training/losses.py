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
    alpha, beta : float
        Exponents of the paper: focus on hard pixels, and weight of the surroundings of a centre.

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


def thin_weight(target: torch.Tensor, window_px: int = 17, most: float = 3.0) -> torch.Tensor:
    """Weight of each pixel of a mask loss: 1, and up to `most` on structures thin against a window.

    Cross-entropy and Dice count area, so that one thick dendrite hides a lost thin one; a spine
    whose dendrite is lost is dropped, however clear its head.

    Parameters
    ----------
    target : Tensor, shape (N, Y, X)
        Mask, 0..1.
    window_px : int
        Odd side of the window; a structure that fills 60 % of it has weight 1.
    most : float
        Largest weight.

    Returns
    -------
    Tensor, shape (N, Y, X)
    """
    filled = F.avg_pool2d(target[:, None], window_px, stride=1, padding=window_px // 2)[:, 0]
    return 1 + target * ((0.6 / filled.clamp(min=1e-3)).clamp(1.0, most) - 1)
