"""Surface of a voxel mask, without the staircase of its voxels."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi


def smooth_surface(mask: np.ndarray, spacing_zyx_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the surface of a mask: smoothed by a Gaussian and cut at the level that keeps the voxel volume.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
    spacing_zyx_um : array_like of 3 float
        Voxel size.

    Returns
    -------
    vertices : ndarray, shape (n, 3)
        ZYX in um, with voxel (0, 0, 0) of the mask at the origin.
    faces : ndarray of int, shape (m, 3)
        Vertex numbers.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    from skimage.measure import marching_cubes  # takes a quarter of a second to import

    if not mask.any():
        raise ValueError("an empty mask has no surface")
    spacing = np.asarray(spacing_zyx_um, float)
    where = np.argwhere(mask)
    low, high = where.min(axis=0), where.max(axis=0) + 1
    tight = np.pad(mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], 3).astype(np.float32)
    # the same smoothing in um along every axis, where the voxels allow it
    sigma = np.clip(0.8 * float(spacing.min()) / spacing, 0.35, 0.8)
    soft = ndi.gaussian_filter(tight, sigma, mode="constant", truncate=3.0)
    n = int(mask.sum())
    ordered = np.partition(soft.ravel(), (soft.size - n - 1, soft.size - n))
    level = float(ordered[soft.size - n - 1] + ordered[soft.size - n]) / 2
    level = float(np.clip(level, 1e-3, float(soft.max()) * 0.999))
    vertices, faces, _, _ = marching_cubes(soft, level, spacing=tuple(spacing))
    return vertices + (low - 3) * spacing, faces


def surface_area(mask: np.ndarray, spacing_zyx_um: np.ndarray) -> float:
    """Return the area of `smooth_surface` in um^2."""
    vertices, faces = smooth_surface(mask, spacing_zyx_um)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)
