"""Shapes to voxels: signed distances on a fine grid, then blur, then sampling.

The fine grid has the detector's pixels in plane (halved above 0.12 um) and several
sub-slices per optical slice, so that thin necks and the axial blur are sampled properly.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d


@dataclass
class Grid:
    """A fine grid over a stack.

    Parameters
    ----------
    shape_zyx : tuple of int
        Shape of the stack that will come out.
    spacing_um : tuple of float
        Its voxel size.
    sub_z, sub_xy : int
        Fine samples per voxel along each axis.
    """

    shape_zyx: tuple[int, int, int]
    spacing_um: tuple[float, float, float]
    sub_z: int
    sub_xy: int

    @classmethod
    def for_stack(cls, shape_zyx: tuple[int, int, int], spacing_um: tuple[float, float, float]) -> Grid:
        """Choose sub-sampling so that fine voxels are at most 0.15 um deep and 0.12 um wide."""
        sub_z = max(1, int(np.ceil(spacing_um[0] / 0.15)))
        sub_z += 1 - sub_z % 2
        sub_xy = 1 if spacing_um[1] <= 0.12 else 2
        z, y, x = shape_zyx
        z_um, y_um, x_um = spacing_um
        return cls((z, y, x), (z_um, y_um, x_um), sub_z, sub_xy)

    @property
    def fine_shape(self) -> tuple[int, int, int]:
        """Samples of the fine grid (ZYX)."""
        z, y, x = self.shape_zyx
        return (z * self.sub_z, y * self.sub_xy, x * self.sub_xy)

    @property
    def fine_um(self) -> np.ndarray:
        """Distance of the samples of the fine grid (ZYX, um)."""
        z, y, x = self.spacing_um
        return np.array([z / self.sub_z, y / self.sub_xy, x / self.sub_xy])

    @property
    def origin_um(self) -> np.ndarray:
        """Position of fine voxel (0, 0, 0) when voxel (0, 0, 0)'s centre is the origin."""
        return -(np.array(self.spacing_um) - self.fine_um) / 2

    def plane_index(self) -> np.ndarray:
        """Fine z index of each optical slice's centre."""
        return np.arange(self.shape_zyx[0]) * self.sub_z + self.sub_z // 2


def draw_chain(
    distance: np.ndarray,
    owner: np.ndarray | None,
    owner_id: int,
    points_um: np.ndarray,
    radii_um: np.ndarray,
    grid: Grid,
    min_radius_um: float = 0.0,
) -> None:
    """Lower `distance` to the signed distance of a tapered capsule chain, in place.

    Parameters
    ----------
    distance : ndarray, float32, fine grid
        Signed distance in um (negative inside); positive values are only kept near shapes.
    owner : ndarray of int or None
        Where given, set to `owner_id` wherever this chain is the nearest shape.
    owner_id : int
    points_um, radii_um : ndarray
        Chain in um, ZYX.
    grid : Grid
    min_radius_um : float
        Radii below this are raised to it (used for labels of thin necks).
    """
    fine, origin = grid.fine_um, grid.origin_um
    radii = np.maximum(radii_um, min_radius_um)
    points = np.asarray(points_um, float)
    for a, b, ra, rb in zip(points[:-1], points[1:], radii[:-1], radii[1:], strict=True):
        pad = max(ra, rb) + 0.25
        low = np.floor((np.minimum(a, b) - pad - origin) / fine).astype(int)
        high = np.ceil((np.maximum(a, b) + pad - origin) / fine).astype(int) + 1
        low, high = np.maximum(low, 0), np.minimum(high, distance.shape)
        if np.any(high <= low):
            continue
        z, y, x = (
            (np.arange(low[i], high[i], dtype=np.float32) * fine[i] + origin[i] - a[i]).astype(np.float32)
            for i in range(3)
        )
        ab = (b - a).astype(np.float32)
        squared = float(ab @ ab)
        dot = z[:, None, None] * ab[0] + y[None, :, None] * ab[1] + x[None, None, :] * ab[2]
        t = np.clip(dot / squared, 0, 1) if squared > 1e-12 else np.zeros_like(dot)
        d2 = (z * z)[:, None, None] + (y * y)[None, :, None] + (x * x)[None, None, :]
        d2 = d2 - 2 * t * dot + t * t * squared
        sd = np.sqrt(np.maximum(d2, 0)) - (ra + (rb - ra) * t)
        window = tuple(slice(lo, hi) for lo, hi in zip(low, high, strict=True))
        nearer = sd < distance[window]
        distance[window][nearer] = sd[nearer]
        if owner is not None:
            owner[window][nearer & (sd < 0)] = owner_id


def occupancy(distance: np.ndarray, width_um: float) -> np.ndarray:
    """Turn signed distance into the fraction of a voxel that is filled, in 0..1."""
    return np.clip(0.5 - distance / width_um, 0, 1)


@dataclass(frozen=True)
class PointSpread:
    """A separable microscope blur: a Gaussian core and a wide axial tail.

    Parameters
    ----------
    lateral_fwhm_um, axial_fwhm_um : float
        Full widths at half maximum of the core.
    tail : float
        Share of the light in a tail three times as long and as wide.
    """

    lateral_fwhm_um: float
    axial_fwhm_um: float
    tail: float = 0.0

    def apply(self, volume: np.ndarray, grid: Grid) -> np.ndarray:
        """Blur a fine-grid volume and return it at the stack's own sampling (Z, Y, X)."""
        core = self._blur(volume, grid, 1.0, 1.0)
        if self.tail > 0:
            core = (1 - self.tail) * core + self.tail * self._blur(volume, grid, 3.0, 3.0)
        return core

    def at_voxel(self, light: np.ndarray, low: np.ndarray, voxel: tuple[int, int, int], grid: Grid) -> float:
        """Return what `apply` gives at one voxel for light inside a window of the fine grid and none outside.

        Parameters
        ----------
        light : ndarray, shape (z, y, x)
            The window.
        low : ndarray, shape (3,)
            Fine index of its first sample.
        voxel : tuple of int
            Voxel of the stack.
        grid : Grid
        """
        value = 0.0
        for share, factor in ((1 - self.tail, 1.0), (self.tail, 3.0)):
            if share > 0:
                weights = self._weights(light.shape, low, voxel, grid, factor)
                value += share * float(np.einsum("zyx,z,y,x->", light, *weights, optimize=True))
        return value

    def _weights(
        self, shape: tuple[int, ...], low: np.ndarray, voxel: tuple[int, int, int], grid: Grid, factor: float
    ) -> list[np.ndarray]:
        """Return the kernel along each axis, as `gaussian_filter1d` cuts and scales it, for the samples of a window."""
        weights = []
        for axis, (n, sub) in enumerate(zip(shape, (grid.sub_z, grid.sub_xy, grid.sub_xy), strict=True)):
            width = (self.lateral_fwhm_um if axis else self.axial_fwhm_um) * factor
            sigma = width / 2.355 / grid.fine_um[axis]
            reach = int(3.0 * sigma + 0.5)
            kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
            first = voxel[axis] * sub
            seen = np.arange(first, first + sub) if axis else np.array([first + sub // 2])
            away = low[axis] + np.arange(n)[:, None] - seen[None]
            inside = np.abs(away) <= reach
            weights.append(
                np.where(inside, kernel[np.clip(away + reach, 0, 2 * reach)], 0).mean(1) / kernel.sum()
            )
        return weights

    def _blur(self, volume: np.ndarray, grid: Grid, lateral: float, axial: float) -> np.ndarray:
        fine = grid.fine_um
        sigma_z = self.axial_fwhm_um * axial / 2.355 / fine[0]
        blurred = gaussian_filter1d(volume, sigma_z, axis=0, mode="nearest", truncate=3.0)[grid.plane_index()]
        for axis in (1, 2):
            sigma = self.lateral_fwhm_um * lateral / 2.355 / fine[axis]
            blurred = gaussian_filter1d(blurred, sigma, axis=axis, mode="nearest", truncate=3.0)
        return bin_pixels(blurred, grid.sub_xy)


def bin_pixels(volume: np.ndarray, factor: int) -> np.ndarray:
    """Average `factor` x `factor` pixels in plane."""
    if factor == 1:
        return volume
    z, y, x = volume.shape
    return volume.reshape(z, y // factor, factor, x // factor, factor).mean((2, 4))
