"""Dividing a piece of spine mask among the heads in it: a watershed from the heads, halfway between them."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from skimage.segmentation import watershed

from spinecore.detection.candidates import Candidates, Region


def cut_region(region: Region, candidates: Candidates, members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split a region among some of its candidates (see `Candidates.counting`).

    Returns
    -------
    labels : ndarray, int32, shape of the crop
        0 outside; k + 1 for the k-th candidate in `members`.
    members : ndarray of int
        Candidate indices that count; may be empty.
    """
    members = np.asarray(members, int)
    labels = np.zeros(region.mask.shape, np.int32)
    if len(members) == 0:
        return labels, members
    if len(members) == 1:
        labels[region.mask] = 1
        return labels, members
    markers = np.zeros(region.mask.shape, np.int32)
    limit = np.array(region.mask.shape) - 1
    inside = np.argwhere(region.mask)
    tree = cKDTree(inside * np.array(candidates.spacing_zyx_um))
    for number, member in enumerate(members, 1):
        local = np.clip(np.round(candidates.centres_px[member]).astype(int) - region.origin, 0, limit)
        if not region.mask[tuple(local)] or markers[tuple(local)]:
            order = tree.query(local * np.array(candidates.spacing_zyx_um), k=min(8, len(inside)))[1]
            free = [inside[k] for k in np.atleast_1d(order) if not markers[tuple(inside[k])]]
            if not free:
                continue
            local = free[0]
        markers[tuple(local)] = number
    labels = watershed(_landscape(region, candidates, members), markers, mask=region.mask).astype(np.int32)
    present = np.unique(labels)
    kept = [k for k in range(1, len(members) + 1) if k in present]
    lookup = np.zeros(len(members) + 1, np.int32)
    lookup[kept] = np.arange(1, len(kept) + 1)
    return lookup[labels], members[np.array(kept) - 1]


def _landscape(region: Region, candidates: Candidates, members: np.ndarray) -> np.ndarray:
    """Distance to the nearest head (um), so that a split runs halfway between heads."""
    spacing = np.array(candidates.spacing_zyx_um)
    grids = np.meshgrid(*(np.arange(n) for n in region.mask.shape), indexing="ij")
    points = np.stack(grids, -1) + np.array(region.origin)
    distance = np.full(region.mask.shape, np.inf)
    for member in members:
        offset = (points - candidates.centres_px[member]) * spacing
        np.minimum(distance, np.sqrt((offset**2).sum(-1)), out=distance)
    return distance - region.spine / 255.0 * 0.3
