"""Batches whose outlines are spoilt as a detector spoils them, and whose surroundings say nothing about the class.

A detector draws loose and tight outlines, loses the neck, stops too early, or takes a piece of the shaft along; people
draw boxes. Each spine of a batch gets one of these, before it is turned, so that its shaft lies below. What lies around the
spine is removed or swapped with that of another spine now and then, and parts are erased: a class that would change with
the background is not learned (the poster removes the background for good).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import binary_dilation, binary_opening, gaussian_filter, label

from spinecore.training.shape_augment import Batch, move, relight
from spinecore.training.shape_samples import Spines

#: How an outline is changed, and how often.
KINDS = {
    "as given": 0.2,
    "tight": 0.2,
    "redrawn": 0.3,
    "cut": 0.1,
    "head only": 0.08,
    "with shaft": 0.08,
    "box": 0.04,
}
#: Shares of a batch: nothing around the spine, another spine's surroundings, a part erased, nothing at all.
BARE, SWAPPED, ERASED, EMPTY = 0.35, 0.2, 0.12, 0.02
_DISC = np.hypot(*np.mgrid[-2:3, -2:3]) < 2.3


def spoil(
    kind: str, given: np.ndarray, tight: np.ndarray, image: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return one outline changed in one of `KINDS`; it is never empty unless the one given is.

    Parameters
    ----------
    kind : str
    given, tight : ndarray of bool, shape (Y, X)
        The outline as drawn, and reduced to what is lit; the shaft lies below.
    image : ndarray, shape (Y, X)
        Normalised intensity.
    rng : Generator
    """
    mask = tight if kind == "tight" or (kind != "as given" and rng.random() < 0.6) else given
    if not mask.any():
        return given
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if kind == "cut":
        lost = max(1, round(rng.uniform(0.15, 0.4) * len(rows)))
        cut = mask.copy()
        if rng.random() < 0.7:
            cut[rows[-1] + 1 - lost :] = False
        else:
            cut[: rows[0] + lost] = False
        return cut if cut.any() else mask
    if kind == "head only":
        head = _largest(binary_opening(mask, _DISC))
        return head if head.any() else mask
    if kind == "with shaft":
        grown = binary_dilation(mask, iterations=int(rng.integers(2, 5)))
        grown[: rows[-1] - 1] = False
        return mask | (grown & (image > 0.3))
    if kind == "box":
        box = np.zeros_like(mask)
        box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = True
        return box
    return _redrawn(mask, rng) if kind == "redrawn" or rng.random() < 0.3 else mask


def _redrawn(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur an outline and draw it anew at a random level: looser or tighter, without its corners."""
    soft = gaussian_filter(mask.astype(np.float32), rng.uniform(0.5, 1.6))
    return np.asarray(soft >= min(rng.uniform(0.15, 0.6), 0.8 * float(soft.max())))


def _largest(mask: np.ndarray) -> np.ndarray:
    parts, count = label(mask)
    return mask if count < 2 else np.asarray(parts == 1 + np.bincount(parts.ravel())[1:].argmax())


def augment_as_detected(spines: Spines, simulated: np.ndarray, rng: np.random.Generator) -> Batch:
    """Make a batch of augmented patches out of stored ones, with outlines as a detector draws them."""
    count = len(spines)
    image, given, depth = (spines.patches[:, k].astype(np.float32) for k in range(3))
    kinds = rng.choice(list(KINDS), count, p=list(KINDS.values()))
    spoilt = np.stack(
        [spoil(kind, given[k] >= 0.5, spines.tight[k], image[k], rng) for k, kind in enumerate(kinds)]
    )
    stored = np.stack([image, spoilt, depth, spines.tight], 1).astype(np.float32)
    moved = move(torch.from_numpy(stored), simulated, rng)
    image_, outline, depth_, target = (moved[:, k : k + 1] for k in range(4))
    outline, target = (outline >= 0.5).float(), (target >= 0.5).float()
    flat = _some(count, 0.2, rng)
    depth_ = torch.where(flat, torch.zeros(()), depth_ * outline)
    image_ = _change_surroundings(relight(image_, rng), torch.maximum(outline, target), rng)
    keep = _kept(count, image_.shape[-1], rng)
    return Batch(
        torch.cat([image_ * keep, outline * keep, depth_ * keep], 1),
        target * keep,
        torch.from_numpy(spines.labels.astype(np.int64)),
        torch.from_numpy(simulated),
    )


def _some(count: int, share: float, rng: np.random.Generator) -> torch.Tensor:
    return torch.from_numpy(rng.random(count) < share)[:, None, None, None]


def _change_surroundings(image: torch.Tensor, spine: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Remove what lies further than 0.2 um from some spines, or put another spine's image there."""
    near = F.max_pool2d(spine, 5, stride=1, padding=2) > 0
    what = rng.random(len(image))
    bare = torch.from_numpy(what < BARE)[:, None, None, None]
    swapped = torch.from_numpy((what >= BARE) & (what < BARE + SWAPPED))[:, None, None, None]
    other = image.roll(1, 0)
    out = torch.where(bare & ~near, torch.zeros(()), image)
    return torch.where(swapped & ~near, other, out)


def _kept(count: int, size: int, rng: np.random.Generator) -> torch.Tensor:
    """Return 0 where a part is erased, else 1, (N, 1, Y, X)."""
    keep = np.ones((count, 1, size, size), np.float32)
    for index in np.flatnonzero(rng.random(count) < ERASED):
        side = rng.integers(4, 10, 2)
        y, x = rng.integers(size // 4, 3 * size // 4, 2)
        keep[index, 0, y : y + side[0], x : x + side[1]] = 0
    keep[rng.random(count) < EMPTY] = 0
    return torch.from_numpy(keep)
