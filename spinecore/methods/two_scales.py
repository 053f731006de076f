"""A second scale for stacks: the maps of the same network where everything is drawn smaller.

The network learned heads of up to about a micrometre. Larger ones look like pieces of a shaft to it, and like heads once the stack is
drawn at `COARSE` of its size; so does a stack whose pixel size was given too large. What only the coarse maps call spine is taken
out of the dendrite map and given to the spine map, and the second look reads both scales.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, find_objects, label, maximum_filter

#: Size at which the stack is looked at once more, in parts of its own. With 0.5 spines of the choosing days of `real_stacks` and of
#: simulated stacks were told less well.
COARSE = 0.6
#: By so much (of 255) has the coarse spine map to be above the coarse dendrite map where a head centre of the coarse map counts.
_SURE = 64
#: A piece of shaft beside a head has at least so many pixels, up to this far (px) from what the coarse map calls spine.
_PIECE_PX, _NEAR_PX = 12, 8
#: Where the fine dendrite map is above this (of 255), it says dendrite.
_DENDRITE = 128
#: The fine map calls the rim of such a head a piece of shaft up to this far (px) around what the coarse map calls spine.
_RIM_PX = 3


def coarse_shape(shape_yx: tuple[int, int]) -> tuple[int, int]:
    """Return the shape in which slices of a shape are looked at once more."""
    return max(1, round(shape_yx[0] * COARSE)), max(1, round(shape_yx[1] * COARSE))


def both_scales(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the maps of both scales, with large heads given back to the spine map of the fine one.

    Parameters
    ----------
    fine, coarse : ndarray, uint8, shape (3, Z, Y, X)
        Dendrite, spine and centre probability times 255, of the stack as it is and of the stack drawn smaller, brought to one shape.

    Returns
    -------
    ndarray, uint8, shape (6, Z, Y, X)
        Those of the stack as it is, changed, and the coarse ones.
    """
    out = np.empty((6, *fine.shape[1:]), np.uint8)
    out[3:] = coarse
    for index in range(fine.shape[1]):  # slice by slice, as it needs more than a byte
        dendrite, spine, centre = (plane.astype(np.int32) for plane in fine[:, index])
        surer = np.maximum(coarse[1, index].astype(np.int32) - coarse[0, index], 0)
        surer[_within_shafts(dendrite, (dendrite > spine) & (surer >= _SURE))] = 0
        taken = (dendrite > spine) & (surer >= _SURE)
        rim = maximum_filter(np.where(taken, surer, 0), 2 * _RIM_PX + 1) * (255 - coarse[0, index]) // 255
        out[0, index] = dendrite * (255 - np.maximum(surer, rim)) // 255
        out[1, index] = np.maximum(spine, surer * coarse[1, index] // 255)
        out[2, index] = np.maximum(centre, np.where(taken, coarse[2, index], 0))
    return out


def _within_shafts(dendrite: np.ndarray, heads: np.ndarray) -> np.ndarray:
    """Return those heads of a slice, with their rims, that lie within a shaft: with pieces of dendrite on two sides that meet nowhere near.

    A thick place of a thin dendrite looks like a head where it is drawn smaller, and its dendrite would be cut there.

    Parameters
    ----------
    dendrite : ndarray, shape (Y, X)
        The fine map, 0..255.
    heads : ndarray of bool, shape (Y, X)
    """
    within = np.zeros(heads.shape, bool)
    labels, _ = label(heads, np.ones((3, 3)))
    for number, box in enumerate(find_objects(labels), start=1):
        reach = _RIM_PX + _NEAR_PX
        window = tuple(slice(max(0, part.start - reach), part.stop + reach) for part in box)
        own = binary_dilation(labels[window] == number, iterations=_RIM_PX)
        pieces, _ = label((dendrite[window] >= _DENDRITE) & ~own, np.ones((3, 3)))
        touching = np.unique(pieces[binary_dilation(own, iterations=2)])
        sizes = np.bincount(pieces.ravel())
        if sum(sizes[k] >= _PIECE_PX for k in touching if k) > 1:
            within[window] |= own
    return within
