"""Is a heat map true to the network? Deletion and insertion curves (Petsiuk et al. 2018), against orders by chance.

The part of a patch that holds anything is divided into blocks of 0.2 um. Blocks are taken away, the hottest first, and the
probability of the explained class is followed; or they are put into an empty patch, the hottest first. A map that shows what
the class was read from lets the probability fall sooner, and rise sooner, than blocks in an order by chance do. A block that
is taken away is dark and outside the outline.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spinecore.networks.device import device_of, one_thread
from spinecore.networks.zoo import Network
from spinecore.shapes.classes import CLASSES, four_way
from spinecore.shapes.explain import Heat

#: Side of a block in pixels of the patch.
BLOCK_PX = 2
#: Shares of the blocks that are taken away or put in.
SHARES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
#: Orders by chance that a map is compared with.
DRAWS = 3
_BATCH = 64


@dataclass(frozen=True)
class Curves:
    """Mean probability of the explained class over `SHARES`, per spine, arrays (n,).

    Parameters
    ----------
    deletion, insertion : ndarray
        In the order of the heat: a true map has a low deletion and a high insertion.
    deletion_chance, insertion_chance : ndarray
        In orders by chance, mean of `DRAWS`.
    deletion_outline, insertion_outline : ndarray
        In the order "the spine first, its blocks by chance": what the outline alone would explain.
    faithful : ndarray of bool
        Where the heat's order beats every order by chance, both ways.
    """

    deletion: np.ndarray
    insertion: np.ndarray
    deletion_chance: np.ndarray
    insertion_chance: np.ndarray
    deletion_outline: np.ndarray
    insertion_outline: np.ndarray
    faithful: np.ndarray


def judge(heat: Heat, curves: Curves, which: int = 0) -> tuple[bool, str]:
    """Say whether a map is evidence for its class, and why: more heat on the spine than its control, and faithful curves.

    Parameters
    ----------
    heat : Heat
    curves : Curves
        Of the same spines.
    which : int
        The spine.
    """
    inside, control = (float(np.nan_to_num(v[which])) for v in (heat.inside, heat.control_inside))
    ends = [
        (curves.deletion[which], curves.deletion_chance[which]),
        (curves.insertion[which], curves.insertion_chance[which]),
    ]
    (lost, lost_chance), (won, won_chance) = ends
    good = [
        (inside > control, f"{inside:.0%} of the heat is on the spine, {control:.0%} of the control's"),
        (
            lost < lost_chance,
            f"with the hottest parts taken away first the class keeps a mean probability of {lost:.2f}, in an order by "
            f"chance {lost_chance:.2f}",
        ),
        (won > won_chance, f"with the hottest parts alone it reaches {won:.2f}, by chance {won_chance:.2f}"),
    ]
    told = all(ok for ok, _ in good) and bool(curves.faithful[which])
    if not told and all(ok for ok, _ in good):
        return False, "an order by chance does as well as the order of its heat"
    return told, "; ".join(text for ok, text in good if told or not ok)


def faithfulness(
    maps: np.ndarray, planes: np.ndarray, classes: tuple[str, ...], classifier: Network, seed: int = 0
) -> Curves:
    """Return the areas under deletion and insertion curves of heat maps.

    Parameters
    ----------
    maps : ndarray, shape (n, Y, X)
        Heat, 0 and more.
    planes : ndarray, float32, shape (n, 3, Y, X)
        The patches that the maps explain.
    classes : tuple of str
        The class that each map explains.
    classifier : Network
        Whose class it is.
    seed : int
        Of the orders by chance.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for heat, patch, name in zip(maps, planes, classes, strict=True):
        seen = _blocks((patch != 0).any(0)) > 0
        inside = _blocks(patch[1])[seen]
        hot = _blocks(heat)[seen]
        chance = [rng.random(hot.size) for _ in range(DRAWS)]
        orders = [hot + 1e-9 * chance[0], *chance, (inside > 0) + 0.5 * chance[0]]
        steps = [step for order in orders for step in _steps(patch, seen, order)]
        found = _ask(classifier, np.concatenate(steps), CLASSES.index(name)).reshape(
            len(orders), 2, len(SHARES)
        )
        area = np.trapezoid(found, SHARES, axis=2)
        draws = area[1 : 1 + DRAWS]
        beats = area[0, 0] < draws[:, 0].min() and area[0, 1] > draws[:, 1].max()
        rows.append(np.concatenate([area[0], draws.mean(0), area[-1], [beats]]))
    table = np.array(rows).reshape(-1, 7)
    a, b, c, d, e, f, beats_chance = table.T
    return Curves(a, b, c, d, e, f, beats_chance > 0)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Sum a plane (Y, X) over blocks."""
    height, width = (n // BLOCK_PX for n in plane.shape)
    cut = plane[: height * BLOCK_PX, : width * BLOCK_PX].astype(float)
    return np.asarray(cut.reshape(height, BLOCK_PX, width, BLOCK_PX).sum((1, 3)))


def _steps(patch: np.ndarray, seen: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the patch with more and more blocks taken away, and an empty one with more and more put in."""
    place = np.empty(len(order), int)
    place[np.argsort(-order, kind="stable")] = np.arange(len(order))
    rank = np.full(seen.shape, len(order))
    rank[seen] = place
    fine = rank.repeat(BLOCK_PX, 0).repeat(BLOCK_PX, 1)
    fine = np.pad(fine, [(0, n - m) for n, m in zip(patch.shape[1:], fine.shape, strict=True)], mode="edge")
    count = np.array([round(share * len(order)) for share in SHARES])
    taken = fine[None] < count[:, None, None]
    return patch[None] * ~taken[:, None], patch[None] * taken[:, None]


def _ask(classifier: Network, planes: np.ndarray, target: int) -> np.ndarray:
    """Return the probability of one class for planes (n, 3, Y, X)."""
    import torch

    network: Any = classifier.model
    temperature = float(classifier.card.data.get("temperature", 1.0))
    out = []
    with torch.inference_mode(), one_thread():
        for start in range(0, len(planes), _BATCH):
            block = torch.from_numpy(planes[start : start + _BATCH].astype(np.float32)).to(device_of(network))
            block = block.contiguous(memory_format=torch.channels_last)
            chance = (network(block).float() / temperature).softmax(1).cpu().numpy()
            out.append(four_way(chance)[:, target])
    return np.concatenate(out)
