"""Slices that hold a mask or labels, as people draw or other programs write them, among the slices of an image.

Such a slice is flat: on a background of 0, neighbouring pixels are equal, where those of a detector differ by noise. Of the
real images at hand, at most 0.18 of the neighbours are equal; of masks whose pieces are at least 5 px wide, more than 0.6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

#: Share of equal neighbours from which a slice is flat, and up to which slices beside it are surely an image.
FLAT, _UNEVEN = 0.6, 0.35
#: Fewer pixels above 0 than this tell nothing.
_FEWEST_PIXELS = 20
#: More of the pixels above 0 than this, below the highest value, must be flat by themselves: the rim of a saturated
#: cell is not.
_RIM = 0.05


def is_mask(plane: np.ndarray) -> bool:
    """Return True where a plane holds two values only, 0 and 255 or the largest of its kind, as masks are saved.

    Examples
    --------
    >>> is_mask(np.array([[0, 255]], np.uint16)), is_mask(np.array([[0, 1]], np.uint16)), is_mask(np.zeros((2, 2)))
    (True, False, False)
    """
    high = plane.max()
    tops = [255, 1.0] if plane.dtype.kind == "f" else [255, np.iinfo(plane.dtype).max]
    return bool(high in tops and plane.min() == 0 and ((plane == 0) | (plane == high)).all())


def flatness(plane: np.ndarray) -> float | None:
    """Return how flat a plane is.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)

    Returns
    -------
    float or None
        The share of neighbours along x that are equal, among those of which one at least is not 0; without those at
        the highest value, where that share is smaller. 1 for masks of two values (`is_mask`), 0 for a plane whose
        lowest value is not 0, None for one of a single value.

    Examples
    --------
    >>> plane = np.zeros((20, 30)); plane[5:15, 5:15], plane[5:15, 20:30] = 3, 7
    >>> round(flatness(plane), 2), flatness(plane + 1), flatness(plane * 0)
    (0.82, 0.0, None)
    """
    low, high = plane.min(), plane.max()
    if low == high:
        return None
    if low != 0:
        return 0.0
    if is_mask(plane):
        return 1.0
    count = int(np.count_nonzero(plane))
    if count < _FEWEST_PIXELS:
        return 0.0
    left, right = plane[:, :-1], plane[:, 1:]
    equal, larger = left == right, np.maximum(left, right)
    lit = larger > 0
    found = float(equal[lit].mean()) if lit.any() else 0.0
    rim = lit & (larger < high)
    if found >= FLAT and np.count_nonzero((plane > 0) & (plane < high)) > _RIM * count:
        found = min(found, float(equal[rim].mean()) if rim.any() else 0.0)
    return found


def split_masks(shares: Sequence[float | None]) -> tuple[list[int], list[int]]:
    """Return the slices that are surely masks or labels, and those that may be.

    Sure is a minority of flat slices among slices that are anything but flat.

    Parameters
    ----------
    shares : sequence of float or None
        The `flatness` of each slice.

    Examples
    --------
    >>> split_masks([0.1, 0.1, 0.9, None, 0.1]), split_masks([0.1, 0.9, 0.1, 0.9]), split_masks([0.9, 1.0])
    (([2], []), ([], [1, 3]), ([], [0, 1]))
    """
    flat = [z for z, share in enumerate(shares) if share is not None and share >= FLAT]
    others = [share for share in shares if share is not None and share < FLAT]
    if flat and 2 * len(flat) < len(flat) + len(others) and float(np.median(others)) <= _UNEVEN:
        return flat, []
    return [], flat


def mask_words(unsure: Sequence[int], slices: int, blank: int = 0) -> str | None:
    """Say in a sentence that slices may be masks or labels though they are read as image, or None where none may.

    Parameters
    ----------
    unsure : sequence of int
        As `split_masks` gives them.
    slices, blank : int
        Slices of the stack, and those of a single value among them.

    Examples
    --------
    >>> mask_words([1, 3], 4)
    '2 of 4 slices look like labels or a mask (2 and 4) and are read as image: if they are, export the image without them.'
    >>> mask_words([0], 1)
    'This looks like labels or a mask, not like an image: check that it is the right file and channel.'
    """
    if not unsure:
        return None
    if len(unsure) == slices - blank:
        return "This looks like labels or a mask, not like an image: check that it is the right file and channel."
    verb, read = ("looks", "is") if len(unsure) == 1 else ("look", "are")
    return (
        f"{len(unsure)} of {slices} slices {verb} like labels or a mask ({listed(unsure)}) and {read} read as image: if they "
        "are, export the image without them."
    )


def listed(numbers: Sequence[int]) -> str:
    """Return slice numbers, from 0, as people count and list them.

    Examples
    --------
    >>> listed([0]), listed([0, 2, 3]), listed(range(9))
    ('1', '1, 3 and 4', '1, 2, 3, 4, 5, 6 and ...')
    """
    names = [str(k + 1) for k in numbers[:6]] + (["..."] if len(numbers) > 6 else [])
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
