"""Cells from a membrane map: a watershed into many regions once, and a merge order that any level can cut at once.

The rule: two neighbouring regions are one cell where the mean membrane probability along their common border is
below the level. Merging goes from the weakest border up, and means are taken again over merged borders, so that a
short gap in a membrane does not join two cells.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

#: Smoothing of the map before its minima are taken as seeds (px), and the number of steps it is rounded to.
SEED_SIGMA_PX = 1.0
SEED_STEPS = 32
#: Side of the tiles in which a large section is cut into regions (px).
TILE_PX = 1024
#: Cells smaller than this are left out (px).
MIN_AREA_PX = 30


@dataclass(frozen=True)
class Partition:
    """A section cut into regions, and the order in which they merge.

    Parameters
    ----------
    regions : ndarray of int32, shape (Y, X)
        1 to n; every pixel belongs to one.
    merges : ndarray of int64, shape (n - 1 or fewer, 2)
        Pairs of regions (any member of two cells), weakest border first.
    heights : ndarray of float32, shape (number of merges,)
        Mean membrane probability at which each merge happens; never falling.
    """

    regions: np.ndarray
    merges: np.ndarray
    heights: np.ndarray

    def cells_of_regions(self, level: float) -> np.ndarray:
        """Return the cell number (1 to m) of each region, index 0 being 0, when borders below `level` are no borders."""
        parent = np.arange(int(self.regions.max()) + 1)
        for a, b in self.merges[: int(np.searchsorted(self.heights, level, side="left"))]:
            parent[_root(parent, int(b))] = _root(parent, int(a))
        roots = np.array([_root(parent, k) for k in range(len(parent))])
        numbers = np.zeros(len(parent), np.int64)
        kept = np.unique(roots[1:])
        numbers[kept] = np.arange(1, len(kept) + 1)
        return np.where(np.arange(len(parent)) == 0, 0, numbers[roots])

    def zones(self, level: float) -> np.ndarray:
        """Return the cells grown over the membranes until they touch, uint32 (Y, X)."""
        return self.cells_of_regions(level)[self.regions].astype(np.uint32)


def _root(parent: np.ndarray, node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = int(parent[node])
    return node


def partition(membrane: np.ndarray, tile_px: int = TILE_PX) -> Partition:
    """Cut a section into regions by watershed, one for each minimum of the smoothed membrane map.

    A large section is cut tile by tile. The seams are borders like any other: where no membrane runs along them, the
    regions on both sides merge.

    Parameters
    ----------
    membrane : ndarray, float, shape (Y, X)
        Probability 0..1.
    tile_px : int
        Side of a tile.

    Returns
    -------
    Partition
    """
    regions = np.zeros(membrane.shape, np.int32)
    count = 0
    for y in range(0, membrane.shape[0], tile_px):
        for x in range(0, membrane.shape[1], tile_px):
            window = (slice(y, y + tile_px), slice(x, x + tile_px))
            found = _watershed(membrane[window])
            regions[window] = found + count
            count += int(found.max())
    return Partition(regions, *merge_order(*borders(regions, membrane)))


def _watershed(membrane: np.ndarray) -> np.ndarray:
    from skimage.measure import label
    from skimage.morphology import local_minima
    from skimage.segmentation import watershed

    smooth = gaussian_filter(membrane.astype(np.float32, copy=False), SEED_SIGMA_PX)
    steps = np.round(smooth * SEED_STEPS).astype(np.uint8)
    if steps.min() == steps.max():
        return np.ones(membrane.shape, np.int32)
    seeds = label(local_minima(steps), connectivity=1).astype(np.int32)
    return watershed(steps, seeds).astype(np.int32)


def borders(regions: np.ndarray, membrane: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs of touching regions, the sum of the map along their border, and its length.

    Returns
    -------
    pairs : ndarray of int64, shape (n, 2)
        The lower region first.
    totals : ndarray of float64, shape (n,)
        Of the higher probability of each two facing pixels.
    counts : ndarray of int64, shape (n,)
        Facing pixels.
    """
    most = int(regions.max()) + 1
    keys, values = [], []
    for axis in (0, 1):
        a, b = (np.moveaxis(regions, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
        low, high = (np.moveaxis(membrane, axis, 0)[s] for s in (slice(None, -1), slice(1, None)))
        at = a != b
        first, second = a[at].astype(np.int64), b[at].astype(np.int64)
        keys.append(np.minimum(first, second) * most + np.maximum(first, second))
        values.append(np.maximum(low[at], high[at]))
    unique, inverse = np.unique(np.concatenate(keys), return_inverse=True)
    totals = np.bincount(inverse, np.concatenate(values), len(unique))
    counts = np.bincount(inverse, minlength=len(unique))
    return np.column_stack([unique // most, unique % most]), totals, counts


def merge_order(pairs: np.ndarray, totals: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Merge regions, the weakest border first, until nothing touches; return the merges and their heights.

    The mean of a border between merged regions is that of all its facing pixels (average linkage).

    Parameters
    ----------
    pairs, totals, counts
        As `borders` returns them.

    Returns
    -------
    merges : ndarray of int64, shape (m, 2)
    heights : ndarray of float32, shape (m,)
        Made non-decreasing, so that cutting at a level keeps the order.
    """
    links: dict[int, dict[int, tuple[float, int]]] = {}
    heap: list[tuple[float, int, int]] = []
    for (a, b), total, count in zip(pairs.tolist(), totals.tolist(), counts.tolist(), strict=True):
        links.setdefault(a, {})[b] = links.setdefault(b, {})[a] = (total, count)
        heap.append((total / count, a, b))
    heapq.heapify(heap)
    merges, heights, highest = [], [], 0.0
    while heap:
        height, a, b = heapq.heappop(heap)
        border = links.get(a, {}).get(b)
        if border is None or border[0] / border[1] != height:
            continue  # merged or changed since
        highest = max(highest, height)
        merges.append((a, b))
        heights.append(highest)
        if len(links[a]) < len(links[b]):
            a, b = b, a
        gone = links.pop(b)
        del links[a][b]
        for other, (total, count) in gone.items():
            if other == a:
                continue
            del links[other][b]
            before = links[a].get(other, (0.0, 0))
            joined = (before[0] + total, before[1] + count)
            links[a][other] = links[other][a] = joined
            heapq.heappush(heap, (joined[0] / joined[1], min(a, other), max(a, other)))
    return np.array(merges, np.int64).reshape(-1, 2), np.array(heights, np.float32)


def label_cells(
    cut: Partition, membrane: np.ndarray, level: float, min_area_px: int = MIN_AREA_PX
) -> np.ndarray:
    """Return the cells at a level: what lies inside of them, without the membrane.

    Parameters
    ----------
    cut : Partition
        Of this map.
    membrane : ndarray, shape (Y, X)
        Probability 0..1.
    level : float
        Pixels at or above it are membrane, and borders whose mean is below it are none.
    min_area_px : int
        Smaller cells are left out.

    Returns
    -------
    ndarray of uint32, shape (Y, X)
        1 to m without gaps; 0 on membranes.
    """
    zones = cut.zones(level)
    zones[membrane >= level] = 0
    areas = np.bincount(zones.ravel())
    keep = areas >= max(1, min_area_px)
    keep[0] = False
    numbers = np.zeros(len(areas), np.uint32)
    numbers[keep] = np.arange(1, int(keep.sum()) + 1)
    return numbers[zones]
