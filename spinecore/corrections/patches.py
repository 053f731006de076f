"""A large volume of which a few windows are other than they were, without a copy of the rest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

Window = tuple[slice, ...]


class Patched:
    """A volume (Z, Y, X) and windows laid over it; each change makes another one.

    Parameters
    ----------
    base : ndarray
        Never changed.
    patches : sequence of (window, ndarray)
        Later ones lie over earlier ones.
    """

    def __init__(self, base: np.ndarray, patches: Sequence[tuple[Window, np.ndarray]] = ()) -> None:
        self.base, self.patches = base, tuple(patches)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of voxels, ZYX."""
        return self.base.shape

    @property
    def windows(self) -> tuple[Window, ...]:
        """Where it is other than it was."""
        return tuple(window for window, _ in self.patches)

    def __getitem__(self, window: Window) -> np.ndarray:
        """Return a copy of the voxels of a window (three slices with start and stop)."""
        out = self.base[window].copy()
        start = np.array([w.start for w in window])
        for other, block in self.patches:
            low = np.maximum([w.start for w in other], start)
            high = np.minimum([w.stop for w in other], start + out.shape)
            if (low < high).all():
                there = low - [w.start for w in other]
                out[_box(low - start, high - start)] = block[_box(there, there + high - low)]
        return out

    def at(self, voxel: Sequence[int]) -> int:
        """Return the value of one voxel."""
        z, y, x = (int(v) for v in voxel)
        return int(self[slice(z, z + 1), slice(y, y + 1), slice(x, x + 1)][0, 0, 0])

    def laid(self, window: Window, block: np.ndarray) -> Patched:
        """Return the volume with other voxels in a window."""
        return Patched(self.base, (*self.patches, (window, block)))

    def whole(self) -> np.ndarray:
        """Return the volume as one array: the very one that it was, where nothing lies over it."""
        if not self.patches:
            return self.base
        out = self.base.copy()
        for window, block in self.patches:
            out[window] = block
        return out


def _box(low: np.ndarray, high: np.ndarray) -> Window:
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
