"""Small pictures of single spines, cut out of a stack in one pass over its slices."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def cut_outs(
    slices: Iterable[np.ndarray], centres_px: np.ndarray, half_px: int, depth: int = 2
) -> np.ndarray:
    """Cut a square round every centre, projected over the slices nearby, holding one slice at a time.

    Parameters
    ----------
    slices : iterable of ndarray, shape (Y, X)
        The stack from slice 0 on.
    centres_px : ndarray, shape (n, 3)
        (z, y, x) in pixels; a z of NaN means all slices.
    half_px : int
        The squares are 2 half_px + 1 pixels wide.
    depth : int
        Slices above and below the centre that are projected as well.

    Returns
    -------
    ndarray of float32, shape (n, 2 half_px + 1, 2 half_px + 1)
        Maximum projections; NaN outside the stack.
    """
    centres = np.asarray(centres_px, float).reshape(-1, 3)
    width = 2 * half_px + 1
    pictures = np.full((len(centres), width, width), np.nan, np.float32)
    corners = np.rint(centres[:, 1:]).astype(int) - half_px
    for number, plane in enumerate(slices):
        near = np.isnan(centres[:, 0]) | (np.abs(centres[:, 0] - number) <= depth + 0.5)
        for index in np.flatnonzero(near):
            top, left = corners[index]
            rows = slice(max(top, 0), min(top + width, plane.shape[0]))
            cols = slice(max(left, 0), min(left + width, plane.shape[1]))
            if rows.start >= rows.stop or cols.start >= cols.stop:
                continue
            inside = pictures[index, rows.start - top : rows.stop - top, cols.start - left : cols.stop - left]
            np.fmax(inside, plane[rows, cols], out=inside)
    return pictures


def to_pictures(pictures: np.ndarray, size_px: int = 160) -> list[np.ndarray]:
    """Turn cut-outs into RGB pictures with a ring round the centre, each stretched to its own range.

    A picture of background alone stays dark: white is at least half of what it is in the middle picture.

    Parameters
    ----------
    pictures : ndarray, shape (n, W, W)
        From `cut_outs`; NaN becomes dark blue.
    size_px : int
        Least width of a picture; pixels are repeated a whole number of times.
    """
    ranges = [np.nanpercentile(p, [1, 99.8]) if np.isfinite(p).any() else (0.0, 0.0) for p in pictures]
    floor = float(np.median([high - low for low, high in ranges])) / 2 if ranges else 0.0
    results = []
    for picture, (low, own_high) in zip(pictures, ranges, strict=True):
        inside, high = np.isfinite(picture), max(own_high, low + floor)
        grey = np.clip((np.where(inside, picture, low) - low) / max(high - low, 1e-9), 0, 1) ** 0.7
        factor = max(1, -(-size_px // picture.shape[0]))
        rgb = np.repeat((grey * 255).round().astype(np.uint8)[..., None], 3, axis=2)
        rgb[~inside] = (20, 28, 48)
        rgb = rgb.repeat(factor, axis=0).repeat(factor, axis=1)
        offset = np.arange(rgb.shape[0]) - (rgb.shape[0] - 1) / 2
        radius = np.hypot(offset[:, None], offset[None])
        rgb[np.abs(radius - 0.27 * rgb.shape[0]) < 1.0] = (255, 176, 0)
        results.append(rgb)
    return results
