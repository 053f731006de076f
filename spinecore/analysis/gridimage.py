"""The intensities of a stack on the grid of its analysis, of which only what is asked for is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from spinecore.networks.scale import resize_plane

#: Gives some of a stack's slices (Y, X) of the analysed channel.
ReadPlanes = Callable[[range], Iterable[np.ndarray]]
#: Slices kept, of those that had to be brought to another size.
MOST_KEPT = 64


class GridImage:
    """Intensities (Z, Y, X) on an analysis grid.

    Parameters
    ----------
    read_planes : callable
    shape : tuple of int
        Of the grid.
    """

    def __init__(self, read_planes: ReadPlanes, shape: tuple[int, int, int]) -> None:
        self.shape = shape
        self._read = read_planes
        self._planes: dict[int, np.ndarray] = {}

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        """Return the voxels of a window (three slices)."""
        z = range(*window[0].indices(self.shape[0]))
        missing = [k for k in z if k not in self._planes]
        if missing:
            run = range(min(missing), max(missing) + 1)
            for k, plane in zip(run, self._read(run), strict=True):
                self._planes[k] = self._on_grid(plane)
        found = np.stack([self._planes[k][window[1:]] for k in z])
        for k in [k for k in self._planes if k not in z][: max(len(self._planes) - MOST_KEPT, 0)]:
            del self._planes[k]
        return found

    def _on_grid(self, plane: np.ndarray) -> np.ndarray:
        if plane.shape == self.shape[1:]:
            return plane
        return resize_plane(plane.astype(np.float32), self.shape[1:])
