"""Cross-sections along a path: centroid, area and width of a voxel cloud, sub-voxel by construction.

Each voxel is a small weight at a point of the path; sums along the path give A(s) = dV/ds (the co-area formula). The
width is measured in the image plane, because masks of light microscopy are stretched along the optical axis: a
section of area A whose axial spread is q times its in-plane spread is taken for an ellipse, whose in-plane diameter
is 2 sqrt(A / (pi q)).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi


@dataclass(frozen=True)
class Sections:
    """Cross-sections at the points of a path.

    Parameters
    ----------
    area : ndarray, shape (n,)
        Area in um^2 (in 2-D the width in um).
    width : ndarray, shape (n,)
        In-plane diameter in um; 0 where there are no voxels.
    centroid : ndarray, shape (n, 3)
        Centroid of the voxels, NaN where there are none.
    weight : ndarray, shape (n,)
        Volume in um^3 that each point stands for.
    """

    area: np.ndarray
    width: np.ndarray
    centroid: np.ndarray
    weight: np.ndarray


def tangents(path: np.ndarray) -> np.ndarray:
    """Return the unit tangents of a polyline of shape (n, 3)."""
    step = np.gradient(path, axis=0)
    return step / np.maximum(np.linalg.norm(step, axis=1, keepdims=True), 1e-12)


def across(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the in-plane and the axial unit vectors across each direction.

    Parameters
    ----------
    direction : ndarray, shape (n, 3)
        Unit vectors, ZYX.

    Returns
    -------
    lateral, axial : ndarray, shape (n, 3)
        `lateral` lies in the YX plane, to the right of the direction as the image is shown (Y down); `axial`
        completes the frame, towards higher z for a direction in the plane.
    """
    lateral = np.stack([np.zeros(len(direction)), direction[:, 2], -direction[:, 1]], axis=1)
    norm = np.linalg.norm(lateral, axis=1, keepdims=True)
    lateral = np.where(norm > 1e-6, lateral / np.maximum(norm, 1e-12), np.array([0.0, 0.0, 1.0]))
    axial = np.cross(direction, lateral)
    axial /= np.maximum(np.linalg.norm(axial, axis=1, keepdims=True), 1e-12)
    return lateral, np.where(axial[:, :1] < 0, -axial, axial)


def sections(
    path: np.ndarray, nearest: np.ndarray, points: np.ndarray, voxel_um: np.ndarray, sigma: float, flat: bool
) -> Sections:
    """Measure the cross-sections of a point cloud along a path.

    Parameters
    ----------
    path : ndarray, shape (n, 3)
        Evenly spaced points, ZYX in um.
    nearest : ndarray of int, shape (m,)
        Index of the path point to which each cloud point belongs.
    points : ndarray, shape (m, 3)
        Cloud, ZYX in um.
    voxel_um : ndarray, shape (3,)
        Extent of the box that each cloud point stands for.
    sigma : float
        Width of the Gaussian that smooths the sums along the path, in path points.
    flat : bool
        True in 2-D.

    Returns
    -------
    Sections
    """
    n = len(path)
    step = float(np.linalg.norm(np.diff(path, axis=0), axis=1).mean())
    weight = float(np.prod(voxel_um[flat:]))
    lateral, axial = across(tangents(path))
    own_side, own_height = (((vector * voxel_um) ** 2).sum(axis=1) / 12 for vector in (lateral, axial))
    offset = points - path[nearest]
    side = np.einsum("ij,ij->i", offset, lateral[nearest])
    height = np.einsum("ij,ij->i", offset, axial[nearest])
    columns = [np.ones(len(points)), side, side**2, height, height**2, *points.T]
    sums = np.stack([np.bincount(nearest, column, n) for column in columns]) * weight
    if sigma > 0:
        sums = ndi.gaussian_filter1d(sums, sigma, axis=1, mode="constant")
    total = np.maximum(sums[0], 1e-30)
    filled = sums[0] > 1e-3 * weight
    side_sd = np.sqrt(np.maximum(sums[2] / total - (sums[1] / total) ** 2, 0.0) + own_side)
    height_sd = np.sqrt(np.maximum(sums[4] / total - (sums[3] / total) ** 2, 0.0) + own_height)
    area = np.where(filled, sums[0] / step, 0.0)
    ratio = np.clip(height_sd / side_sd, 0.2, 5.0)
    width = area if flat else 2 * np.sqrt(area / (np.pi * ratio))
    centroid = np.where(filled[:, None], (sums[5:] / total).T, np.nan)
    return Sections(area, np.where(filled, width, 0.0), centroid, sums[0])
