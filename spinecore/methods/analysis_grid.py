"""The grid on which a method returns its maps; see `spinecore.methods.prediction.Prediction`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.stack import Stack

#: Slice distance of a stack that records none (um).
UNKNOWN_Z_UM = 1.0


@dataclass(frozen=True)
class AnalysisGrid:
    """Shapes and scales of a stack's analysis grid.

    Parameters
    ----------
    shape_yx : tuple of int
        Pixels of the grid: the stack's own where they are coarser than 0.1 um, else canonical.
    canonical_yx : tuple of int
        Pixels of 0.1 um that cover the image.
    spacing_zyx_um : tuple of float
        Voxel size of the grid (um).
    scale_yx : tuple of float
        Grid pixels per input pixel.
    per_canonical_yx : tuple of float
        Grid pixels per canonical pixel.
    """

    shape_yx: tuple[int, int]
    canonical_yx: tuple[int, int]
    spacing_zyx_um: tuple[float, float, float]
    scale_yx: tuple[float, float]
    per_canonical_yx: tuple[float, float]

    @classmethod
    def of(cls, stack: Stack) -> AnalysisGrid:
        """Lay the grid of a stack; ValueError if its in-plane pixel size is unknown."""
        z_um, y_um, x_um = stack.spacing.zyx_um(UNKNOWN_Z_UM)
        _, height, width = stack.shape
        canonical = canonical_shape((height, width), (y_um, x_um))
        shape = (min(height, canonical[0]), min(width, canonical[1]))
        scale = (shape[0] / height, shape[1] / width)
        return cls(
            shape,
            canonical,
            (z_um, y_um / scale[0], x_um / scale[1]),
            scale,
            (shape[0] / canonical[0], shape[1] / canonical[1]),
        )

    def intensity(self, stack: Stack) -> np.ndarray:
        """Return the stack's raw intensity on the grid (Z, Y, X), in its own type where that is an integer's."""
        if self.shape_yx == tuple(stack.shape[1:]):
            return stack.voxels
        planes = np.stack([resize_plane(p.astype(np.float32), self.shape_yx) for p in stack.voxels])
        return planes.round().astype(stack.voxels.dtype) if stack.voxels.dtype.itemsize < 4 else planes
