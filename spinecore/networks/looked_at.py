"""Where a stack can hold anything, so that a network need not look at the rest.

A cheap pass at half the networks' resolution: differences of Gaussians at two widths (about 0.16 and 0.4 um, those of a
thin spine and of a shaft) against the noise of the same slice. Blocks in which anything rises above the noise are
looked at, with a margin around them in plane and along z. It knows nothing of any network, so it serves own weights
too, and haze or clutter are looked at as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter, maximum_filter

#: Side of a block (px of 0.2 um).
BLOCK_PX = 16
#: Standard deviations (px of 0.2 um) of the narrow Gaussians; the wide one has four times as much.
_WIDTHS_PX = (0.8, 2.0)
#: Lowest rise above the noise (standard deviations) at which a block is looked at. In 16 simulated stacks (seeds 700 and
#: 701 of the benchmark's kinds) dendrite and spine maps were below 0.04 everywhere else, and three of them faded to 0.03 of their
#: contrast in the same noise lost no voxel of dendrite, spine or candidate head; a stack of noise alone is
#: looked at in a hundredth (512 x 512 pixels) to an eighth (small stacks) of its blocks.
RISE = 5.0
#: Noise is never taken as less than this (of the normalised brightness, which is 1 in the brightest parts).
_LEAST_NOISE = 1e-3
#: What is looked at beyond such a block: blocks in plane, um along z.
_MARGIN_BLOCKS, _MARGIN_Z_UM = 1, 1.5
#: The noise of a slice is the standard deviation in its quiet blocks: side (px of 0.2 um), and percentile of all blocks.
_NOISE_BLOCK_PX, _QUIET_PERCENT = 32, 25


@dataclass(frozen=True, eq=False)
class LookedAt:
    """The blocks of each slice that a network looks at.

    Parameters
    ----------
    blocks : ndarray of bool, shape (Z, rows, columns)
        Of `BLOCK_PX` pixels of the coarse slices.
    coarse_yx : tuple of int
        Shape of the coarse slices.
    """

    blocks: np.ndarray
    coarse_yx: tuple[int, int]

    @cached_property
    def share(self) -> float:
        """Share of the stack that is looked at."""
        return float(np.mean([self.of_slice(i, self.coarse_yx).mean() for i in range(len(self.blocks))]))

    def of_slice(self, index: int, shape_yx: tuple[int, int]) -> np.ndarray:
        """Return where a slice of another resolution is looked at, bool (Y, X)."""
        rows, columns = (
            np.minimum((np.arange(n) + 0.5) * coarse / n, coarse - 1).astype(int) // BLOCK_PX
            for n, coarse in zip(shape_yx, self.coarse_yx, strict=True)
        )
        return self.blocks[index][rows[:, None], columns[None, :]]


def everything(n_slices: int, coarse_yx: tuple[int, int]) -> LookedAt:
    """Return all blocks of a stack."""
    rows, columns = (-(-n // BLOCK_PX) for n in coarse_yx)
    return LookedAt(np.ones((n_slices, rows, columns), bool), coarse_yx)


def find_looked_at(
    coarse_slice: Callable[[int], np.ndarray], n_slices: int, coarse_yx: tuple[int, int], z_um: float
) -> LookedAt:
    """Say where a stack can hold anything.

    Parameters
    ----------
    coarse_slice : callable
        Returns normalised slice i in pixels of 0.2 um, float32 (Y, X).
    n_slices : int
    coarse_yx : tuple of int
        Shape of these slices.
    z_um : float
        Distance between slices.
    """
    found = [_rises(coarse_slice(index)) for index in range(n_slices)]
    noise = np.array([levels for _, levels in found])
    noise = np.maximum(np.minimum(noise, np.median(noise, axis=0)), _LEAST_NOISE)
    lit = np.stack(
        [(rises > RISE * own[:, None, None]).any(0) for (rises, _), own in zip(found, noise, strict=True)]
    )
    side = 2 * _MARGIN_BLOCKS + 1
    size = (2 * int(np.ceil(_MARGIN_Z_UM / z_um)) + 1, side, side)
    return LookedAt(maximum_filter(lit.astype(np.uint8), size=size, mode="constant") > 0, coarse_yx)


def where_seen(maps: np.ndarray, level: int, before: LookedAt) -> LookedAt:
    """Return those of the blocks that were looked at in which something was seen, and those around.

    Parameters
    ----------
    maps : ndarray, uint8, shape (maps, Z, Y, X)
    level : int
        From which value of any map on something is seen.
    before : LookedAt
    """
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * coarse / n, coarse - 1).astype(int) // BLOCK_PX
        for n, coarse in zip(maps.shape[2:], before.coarse_yx, strict=True)
    )
    row_starts, column_starts = (np.flatnonzero(np.diff(k, prepend=-1)) for k in (rows, columns))
    seen = np.zeros_like(before.blocks)
    for index in range(len(seen)):
        highest = maps[:, index].max(0)
        in_rows = np.maximum.reduceat(highest, row_starts, axis=0)
        in_blocks = np.maximum.reduceat(in_rows, column_starts, axis=1) >= level
        seen[index][np.ix_(rows[row_starts], columns[column_starts])] = in_blocks
    side = 2 * _MARGIN_BLOCKS + 1
    around = maximum_filter(seen.astype(np.uint8), size=(3, side, side), mode="constant") > 0
    return LookedAt(around & before.blocks, before.coarse_yx)


def _rises(plane: np.ndarray) -> tuple[np.ndarray, tuple[float, ...]]:
    """Return the highest rise within each block, float32 (widths, rows, columns), and the noise at each width."""
    rises, noise = [], []
    for width in _WIDTHS_PX:
        rise = _difference(plane, width)
        rises.append(_in_blocks(rise, BLOCK_PX).max((1, 3)))
        noise.append(float(np.percentile(_in_blocks(rise, _NOISE_BLOCK_PX).std((1, 3)), _QUIET_PERCENT)))
    return np.stack(rises), tuple(noise)


def _difference(plane: np.ndarray, width: float) -> np.ndarray:
    return gaussian_filter(plane, width, truncate=3) - gaussian_filter(plane, 4 * width, truncate=2)


def _in_blocks(plane: np.ndarray, side: int) -> np.ndarray:
    """Return a plane as (rows, side, columns, side), its last rows and columns repeated where it does not divide."""
    height, width = plane.shape
    padded = np.pad(plane, ((0, -height % side), (0, -width % side)), mode="symmetric")
    return padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
