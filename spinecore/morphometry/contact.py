"""Where a spine meets its dendrite: the cheapest path from its head.

Voxels of the spine cost 1 per um, others up to `OUTSIDE_COST`, less where the image is bright.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.graph import MCP_Geometric

from spinecore.detection.candidates import ByHand

#: Cost of a um outside the spine where the image is dark, and inside another spine.
OUTSIDE_COST = 5.0
OTHER_COST = 20.0
NOTHING_SAID = ByHand()


@dataclass(frozen=True)
class SpineCrop:
    """The surroundings of one spine, cut out of the volume.

    Parameters
    ----------
    origin : tuple of int
        Index (ZYX) of the crop's first voxel in the volume.
    mask : ndarray of bool
        Voxels of this spine.
    others : ndarray of bool
        Voxels of other spines.
    dendrite : ndarray of int
        Dendrite numbers, 0 outside.
    intensity : ndarray or None
        Raw intensity.
    untraced : bool
        True when the spine's dendrite could not be traced: it then belongs to none, though another may be near.
    by_hand : ByHand
        What a person said about its base, tip and dendrite.
    outlined : bool
        False where only the head's position is known: the mask is a mark of it and is not measured.
    """

    origin: tuple[int, int, int]
    mask: np.ndarray
    others: np.ndarray
    dendrite: np.ndarray
    intensity: np.ndarray | None
    untraced: bool = False
    by_hand: ByHand = NOTHING_SAID
    outlined: bool = True

    @property
    def image(self) -> np.ndarray:
        """The raw intensity, where there must be one.

        Raises
        ------
        ValueError
            If the crop was cut without an image.
        """
        if self.intensity is None:
            raise ValueError("this crop was cut without an image")
        return self.intensity


@dataclass(frozen=True)
class Contact:
    """Where a spine meets its dendrite: the path from there to the head centre (n, 3) and the dendrite's number."""

    path: np.ndarray
    dendrite_id: int


def contact(
    crop: SpineCrop,
    seed: np.ndarray,
    spacing: np.ndarray,
    bright: np.ndarray | None,
    toward: np.ndarray | None = None,
) -> Contact | None:
    """Find the cheapest path from the head centre to a dendrite in the crop.

    Parameters
    ----------
    crop : SpineCrop
    seed : ndarray, shape (3,)
        Head centre, in voxels of the crop.
    spacing : ndarray, shape (3,)
        Voxel size in um.
    bright : ndarray or None
        Brightness of the crop, 0 (background) to 1 (spine).
    toward : ndarray, shape (3,), optional
        A point of the nearest centre line, in voxels of the crop: the search is kept to the surroundings of the spine
        and of this point.

    Returns
    -------
    Contact or None
        None when the crop holds no dendrite.
    """
    if toward is not None:
        crop, bright, shift = narrowed(crop, bright, np.array([seed, toward]))
        seed = seed - shift
    goal = crop.dendrite > 0
    if not goal.any():
        return None
    cost = _costs(crop, bright, goal)
    start = _inside(seed, goal.shape)
    search = MCP_Geometric(cost, sampling=tuple(spacing))
    reached, _ = search.find_costs([start])
    at = np.flatnonzero(goal)
    end = np.unravel_index(int(at[np.argmin(reached.ravel()[at])]), goal.shape)
    track = np.array(search.traceback(end))[::-1]
    number = int(crop.dendrite[end])
    outside = np.flatnonzero(~goal[tuple(track.T)])
    offset = np.asarray(crop.origin)
    if len(outside) == 0:
        return Contact(((np.array([end, start]) + offset) * spacing).astype(float), number)
    first = int(outside[0])
    base = (track[first] + track[max(first - 1, 0)]) / 2
    path = np.vstack([base, track[first:]])
    return Contact((path + offset) * spacing, number)


def _costs(crop: SpineCrop, bright: np.ndarray | None, goal: np.ndarray) -> np.ndarray:
    """Return what a um costs in each voxel on the way to the goal."""
    cost = np.full(goal.shape, OUTSIDE_COST)
    if bright is not None:
        cost = OUTSIDE_COST - (OUTSIDE_COST - 1.5) * bright
    cost[crop.others] = OTHER_COST
    cost[crop.mask | goal] = 1.0
    return cost


def contact_at(
    crop: SpineCrop,
    seed: np.ndarray,
    base: np.ndarray,
    spacing: np.ndarray,
    bright: np.ndarray | None,
    dendrite_id: int,
) -> Contact:
    """Return the contact at a base that a person chose: the cheapest path from there to the head centre.

    Parameters
    ----------
    crop : SpineCrop
    seed, base : ndarray, shape (3,)
        Head centre and base, in voxels of the crop.
    spacing : ndarray, shape (3,)
    bright : ndarray or None
        As in `contact`.
    dendrite_id : int
    """
    offset = np.asarray(crop.origin)
    goal = np.zeros(crop.mask.shape, bool)
    start, end = _inside(seed, goal.shape), _inside(base, goal.shape)
    goal[end] = True
    search = MCP_Geometric(_costs(crop, bright, goal), sampling=tuple(spacing))
    search.find_costs([start], [end])
    track = np.array(search.traceback(end))[::-1]
    path = np.vstack([base, track[1:] if len(track) > 1 else track])
    return Contact((path + offset) * spacing, dendrite_id)


def _inside(point: np.ndarray, shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(v) for v in np.clip(np.rint(point), 0, np.array(shape) - 1))


def narrowed(
    crop: SpineCrop, bright: np.ndarray | None, points: np.ndarray
) -> tuple[SpineCrop, np.ndarray | None, np.ndarray]:
    """Cut a crop down to its mask and some points with a margin of 4 pixels; return it and its shift in voxels."""
    where = np.vstack([np.argwhere(crop.mask), np.rint(points).astype(int)])
    shape = np.array(crop.mask.shape)
    low = np.clip(where.min(axis=0) - np.array([1, 4, 4]), 0, shape - 1)
    high = np.clip(where.max(axis=0) + np.array([2, 5, 5]), low + 1, shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    origin = tuple(int(o + a) for o, a in zip(crop.origin, low, strict=True))
    parts = (crop.mask[window], crop.others[window], crop.dendrite[window])
    intensity = None if crop.intensity is None else crop.intensity[window]
    return (
        SpineCrop((origin[0], origin[1], origin[2]), *parts, intensity),
        (None if bright is None else bright[window]),
        low,
    )
