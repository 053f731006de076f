"""The analysis grid of a stack, and what a method's maps need to become a `Prediction` on it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spinecore.methods.prediction import Heads, HeadsLater, Prediction
from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.networks.zoo import Card
from spinecore.stack import Stack

#: Slice distance of a stack that records none, and of a single image, where depth has no meaning (um).
UNKNOWN_Z_UM = 1.0


@dataclass(frozen=True, eq=False)
class AnalysisGrid:
    """The stack's slices; in plane its own pixels, or 0.1 um where they are finer.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing; without it every property raises SpinecoreError.
    """

    stack: Stack

    @cached_property
    def _stack_um(self) -> tuple[float, float, float]:
        return self.stack.spacing.zyx_um(UNKNOWN_Z_UM)

    @cached_property
    def canonical_yx(self) -> tuple[int, int]:
        """Pixels of 0.1 um that cover a slice: its shape in the networks."""
        return canonical_shape(self.stack.shape[1:], self._stack_um[1:])

    @cached_property
    def shape(self) -> tuple[int, int, int]:
        """ZYX shape of the grid."""
        n, height, width = self.stack.shape
        return n, min(height, self.canonical_yx[0]), min(width, self.canonical_yx[1])

    @property
    def shape_yx(self) -> tuple[int, int]:
        """Shape of one slice of the grid."""
        return self.shape[1], self.shape[2]

    @property
    def scale_yx(self) -> tuple[float, float]:
        """Grid pixels per input pixel."""
        return self.shape[1] / self.stack.shape[1], self.shape[2] / self.stack.shape[2]

    @property
    def per_canonical_yx(self) -> tuple[float, float]:
        """Grid pixels per pixel of 0.1 um."""
        return self.shape[1] / self.canonical_yx[0], self.shape[2] / self.canonical_yx[1]

    @property
    def spacing_zyx_um(self) -> tuple[float, float, float]:
        """Voxel size of the grid (um)."""
        z, y, x = self._stack_um
        return z, y / self.scale_yx[0], x / self.scale_yx[1]

    @cached_property
    def intensity(self) -> np.ndarray:
        """Raw intensities on the grid (Z, Y, X), in the stack's own type where that is a small integer's."""
        voxels = self.stack.voxels
        if self.shape == self.stack.shape:
            return voxels
        planes = np.stack([resize_plane(p.astype(np.float32), self.shape_yx) for p in voxels])
        return planes.round().astype(voxels.dtype) if voxels.dtype.itemsize < 4 else planes

    def prediction(
        self,
        dendrite: np.ndarray,
        spine: np.ndarray,
        centre: np.ndarray,
        card: Card,
        heads: Heads | HeadsLater | None = None,
        heads_from: tuple[Card, ...] = (),
    ) -> Prediction:
        """Put the maps (uint8, shape of the grid) that a card's weights gave together with the grid."""
        return Prediction(
            dendrite,
            spine,
            centre,
            self.intensity,
            self.spacing_zyx_um,
            self.scale_yx,
            card.name,
            float(card.data.get("score_power", 1.0)),
            heads,
            heads_from,
        )


def to_byte(probability: np.ndarray) -> np.ndarray:
    """Return a probability times 255, rounded, as uint8."""
    return (probability * 255).round().clip(0, 255).astype(np.uint8)
