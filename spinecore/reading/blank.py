"""Voxels that hold no data: blank slices, masks among the slices, constant borders, empty corners of turned or stitched stacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from spinecore.reading.masks import flatness, listed, split_masks

#: A corner whose block of this side (px) is constant is looked at more closely.
_BLOCK_PX = 8
#: Smallest piece of a plane, as a share, that counts as an empty corner.
_SMALLEST = 0.002
#: Where more than this share of the rest has the same value, the value is the background's own.
_BACKGROUND = 0.5
#: This many blank slices in a row, with data on both sides, are interpolated (dropped frames).
_BRIDGED = 2


def padding_of(plane: np.ndarray) -> np.ndarray | None:
    """Return where a plane was filled with one value up to its border, or None where it was not.

    Looked for are rows and columns of one value along the border, and pieces of one value at least 9 px thick that
    reach a corner. A value that more than half of the other pixels have too is the background's.

    Parameters
    ----------
    plane : ndarray, shape (Y, X)

    Returns
    -------
    ndarray of bool, shape (Y, X), or None
    """
    found = np.zeros(plane.shape, bool)
    for value in np.unique([plane[0, 0], plane[0, -1], plane[-1, 0], plane[-1, -1]]):
        if not _worth_a_look(plane, value):
            continue
        same = plane == value
        piece = _border_lines(same) | _corner_pieces(same)
        rest = same[~piece]
        if piece.any() and (rest.size == 0 or rest.mean() <= _BACKGROUND):
            found |= piece
    return found if found.any() else None


def _worth_a_look(plane: np.ndarray, value: float) -> bool:
    """Return True where a corner block or a whole border line has the value."""
    n = min(_BLOCK_PX, *plane.shape)
    blocks = (plane[:n, :n], plane[:n, -n:], plane[-n:, :n], plane[-n:, -n:])
    lines = (plane[0], plane[-1], plane[:, 0], plane[:, -1])
    return any((part == value).all() for part in (*blocks, *lines))


def _border_lines(same: np.ndarray) -> np.ndarray:
    """Return the rows and columns along the border that hold nothing else."""
    piece = np.zeros(same.shape, bool)
    for axis in (0, 1):
        full = np.logical_and.reduce(same, axis=1 - axis)
        inside = np.flatnonzero(~full)
        first, last = (inside[0], inside[-1] + 1) if len(inside) else (len(full), len(full))
        line = np.zeros(len(full), bool)
        line[:first] = line[last:] = True
        piece |= line[:, None] if axis == 0 else line[None, :]
    return piece


def _corner_pieces(same: np.ndarray) -> np.ndarray:
    """Return the thick connected pieces that hold a corner."""
    side = 2 * (_BLOCK_PX // 2) + 1
    wide = np.pad(same, side, constant_values=True)
    thick = ndimage.binary_opening(wide, np.ones((side, side), bool))[side:-side, side:-side] & same
    labels, _ = ndimage.label(thick)
    corners = {int(labels[y, x]) for y in (0, -1) for x in (0, -1)} - {0}
    sizes = np.bincount(labels.ravel())
    kept = [k for k in corners if sizes[k] >= _SMALLEST * same.size]
    return np.isin(labels, kept) if kept else np.zeros(same.shape, bool)


def find_padding(voxels: np.ndarray) -> np.ndarray | None:
    """Return which voxels of a stack hold no data, or None where all do.

    Parameters
    ----------
    voxels : ndarray, shape (Z, Y, X)

    Returns
    -------
    ndarray of bool, shape (Z, Y, X), or None
    """
    found: np.ndarray | None = None
    masks, _ = split_masks([flatness(plane) for plane in voxels])
    for z, plane in enumerate(voxels):
        blank = plane.min() == plane.max() or z in masks
        part = None if blank else padding_of(plane)
        if blank or part is not None:
            if found is None:
                found = np.zeros(voxels.shape, bool)
            found[z] = True if part is None else part
    return None if found is None or found.all() else found


@dataclass(frozen=True)
class Filled:
    """A stack whose voxels without data look like their surroundings, so that no edge is seen there.

    Parameters
    ----------
    voxels : ndarray, shape (Z, Y, X)
    left_out : ndarray of bool, shape (Z, Y, X)
        Voxels without data that must not be traced or counted: all but the bridged slices.
    bridged : tuple of int
        Blank slices between slices with data that were interpolated, from 0.
    blank : tuple of int
        The other blank slices.
    masks : tuple of int
        Those of either that hold a mask or labels.
    """

    voxels: np.ndarray
    left_out: np.ndarray
    bridged: tuple[int, ...]
    blank: tuple[int, ...]
    masks: tuple[int, ...] = ()

    @property
    def words(self) -> str | None:
        """Say in a sentence what holds no data and what became of it."""
        whole = np.zeros(len(self.voxels), bool)
        whole[list(self.blank)] = True
        share = float(self.left_out[~whole].mean()) if not whole.all() else 0.0
        return blank_words(self.blank, self.bridged, len(self.voxels), share, self.masks)


def fill_padding(voxels: np.ndarray, padding: np.ndarray) -> Filled:
    """Fill the voxels without data.

    One or two blank slices in a row between slices with data are interpolated and count as data; other blank slices
    repeat the nearest slice; other padding gets the median of the slice's data.

    Parameters
    ----------
    voxels : ndarray, shape (Z, Y, X)
    padding : ndarray of bool
        As `find_padding` gives it.
    """
    out, left_out = voxels.copy(), padding.copy()
    blank = np.asarray(padding.all(axis=(1, 2)))
    for z in np.flatnonzero(~blank & padding.any(axis=(1, 2))).tolist():
        out[z][padding[z]] = np.median(voxels[z][~padding[z]]).astype(voxels.dtype)
    bridged, others = split_blank(np.flatnonzero(blank).tolist(), len(voxels))
    with_data = np.flatnonzero(~blank)
    for z in (*bridged, *others):
        below, above = with_data[with_data < z], with_data[with_data > z]
        lower, upper = (below[-1] if len(below) else above[0]), (above[0] if len(above) else below[-1])
        share = 0.0 if lower == upper else (z - lower) / (upper - lower)
        if z not in bridged:
            share = round(share)
        mixed = (1 - share) * out[lower].astype(np.float64) + share * out[upper].astype(np.float64)
        out[z] = mixed.round() if voxels.dtype.kind in "iu" else mixed
    for z in bridged:
        left_out[z] = left_out[[k for k in (z - 1, z + 1) if not blank[k]]].all(axis=0)
    masks = tuple(z for z in (*bridged, *others) if voxels[z].min() != voxels[z].max())
    return Filled(out, left_out, bridged, others, masks)


def split_blank(blank: Sequence[int], slices: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the blank slices that are bridged (one or two in a row, with data on both sides), and the others.

    Examples
    --------
    >>> split_blank([0, 1, 5, 8, 9, 10], 12)
    ((5,), (0, 1, 8, 9, 10))
    """
    bridged: list[int] = []
    run: list[int] = []
    for z in [*blank, -1]:
        if run and z != run[-1] + 1:
            if len(run) <= _BRIDGED and run[0] > 0 and run[-1] < slices - 1:
                bridged += run
            run = []
        run.append(z)
    return tuple(bridged), tuple(z for z in blank if z not in bridged)


def blank_words(
    blank: Sequence[int], bridged: Sequence[int], slices: int, share: float, masks: Sequence[int] = ()
) -> str | None:
    """Say in a sentence what holds no data, or None where there is nothing to say.

    Parameters
    ----------
    blank, bridged : sequence of int
        Numbers of blank slices that are left out, and of those that are interpolated, from 0.
    slices : int
        Slices of the stack.
    share : float
        Share of the voxels of the other slices that hold no data.
    masks : sequence of int
        Slices that hold a mask or labels.

    Examples
    --------
    >>> blank_words([0, 1], [], 12, 0.0)
    '2 of 12 slices are blank (1 and 2): nothing is traced or counted there.'
    >>> blank_words([], [6], 12, 0.0)
    '1 of 12 slices is blank (7) and is interpolated from its neighbours.'
    >>> blank_words([11], [], 12, 0.0, [11])
    '1 of 12 slices looks like labels or a mask (12): not taken for image.'
    """
    said = []
    if masks:
        verb = "looks" if len(masks) == 1 else "look"
        said.append(
            f"{len(masks)} of {slices} slices {verb} like labels or a mask ({listed(masks)}): not taken for image."
        )
    blank, bridged = ([z for z in part if z not in masks] for part in (blank, bridged))
    parts = [_counted(blank, slices)] if blank else []
    if share > 0:
        parts.append(f"{share:.1%} of the voxels are an empty border or corner")
    if parts:
        said.append(f"{', and '.join(parts)}: nothing is traced or counted there.")
    if bridged:
        said.append(
            f"{_counted(bridged, slices)} and {'is' if len(bridged) == 1 else 'are'} interpolated from its neighbours."
        )
    return " ".join(said) or None


def _counted(numbers: Sequence[int], slices: int) -> str:
    verb = "is" if len(numbers) == 1 else "are"
    return f"{len(numbers)} of {slices} slices {verb} blank ({listed(numbers)})"
