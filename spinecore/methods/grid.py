"""The analysis grid of a stack, and what a method's maps need to become a `Prediction` on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spinecore.methods.prediction import Prediction
from spinecore.networks.scale import CANONICAL_UM, canonical_shape, resize_plane
from spinecore.stack import Stack

#: Slice distance given to a single image, where depth has no meaning (um).
Z_OF_2D_UM = 1.0


@dataclass(frozen=True)
class AnalysisGrid:
    """The stack's slices; in plane its own pixels, or 0.1 um where they are finer.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing.
    """

    stack: Stack

    @cached_property
    def _stack_um(self) -> tuple[float, float, float]:
        return self.stack.spacing.zyx_um(Z_OF_2D_UM)

    @cached_property
    def network_yx(self) -> tuple[int, int]:
        """Shape of a slice at the canonical pixel size."""
        return canonical_shape(self.stack.shape[1:], self._stack_um[1:])

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """ZYX shape of the analysis grid."""
        n, height, width = self.stack.shape
        return n, min(height, self.network_yx[0]), min(width, self.network_yx[1])

    @property
    def scale_yx(self) -> tuple[float, float]:
        """Grid pixels per input pixel."""
        return self.shape[1] / self.stack.shape[1], self.shape[2] / self.stack.shape[2]

    @property
    def spacing_um(self) -> tuple[float, float, float]:
        """Voxel size of the grid in um, ZYX."""
        z, y, x = self._stack_um
        return z, y / self.scale_yx[0], x / self.scale_yx[1]

    @property
    def network_um(self) -> tuple[float, float, float]:
        """Voxel size of the stack's slices at the canonical pixel size in um, ZYX."""
        return self._stack_um[0], CANONICAL_UM, CANONICAL_UM

    @cached_property
    def intensity(self) -> np.ndarray:
        """Raw intensities on the grid, ZYX, in the stack's own type where it is an integer."""
        voxels = self.stack.voxels
        if self.shape == self.stack.shape:
            return voxels
        planes = np.stack([resize_plane(p.astype(np.float32), self.shape[1:]) for p in voxels])
        return planes.round().astype(voxels.dtype) if voxels.dtype.itemsize < 4 else planes

    def prediction(
        self, dendrite: np.ndarray, spine: np.ndarray, centre: np.ndarray, model: str
    ) -> Prediction:
        """Put maps (uint8, shape of the grid) together with the grid."""
        return Prediction(dendrite, spine, centre, self.intensity, self.spacing_um, self.scale_yx, model)


def to_byte(probability: np.ndarray) -> np.ndarray:
    """Return a probability times 255, rounded, as uint8."""
    return (probability * 255).round().clip(0, 255).astype(np.uint8)
