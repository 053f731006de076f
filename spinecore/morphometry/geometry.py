"""Where the measures of one spine are taken: the voxel grid, and the centre lines on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from spinecore.morphometry.contact import Contact
from spinecore.tracing.sections import tangents
from spinecore.tracing.trace import Dendrite

#: The shaft counts as traced at a base up to this far from its surface (um): shorter side pieces are not traced on purpose.
TRACED_UM = 1.5
#: A spine farther than this from every dendrite's surface gets none (um).
REACH_UM = 5.0


@dataclass(frozen=True)
class MeasurementGrid:
    """The voxel grid that spines are cut from.

    Parameters
    ----------
    spacing : ndarray, shape (3,)
        Voxel size in um, ZYX.
    shape : tuple of int
        ZYX; Z == 1 for a projection.
    scale : ndarray, shape (3,)
        Grid pixels per input pixel, ZYX.
    """

    spacing: np.ndarray
    shape: tuple[int, int, int]
    scale: np.ndarray

    @property
    def flat(self) -> bool:
        """True for a single slice or projection."""
        return self.shape[0] == 1

    @property
    def axes(self) -> slice:
        """The axes that have an extent: all, or Y and X where the grid is flat."""
        return slice(1, 3) if self.flat else slice(0, 3)

    def to_input(self, grid_px: np.ndarray) -> np.ndarray:
        """Convert voxels of the grid (ZYX) to the input's pixels."""
        return (grid_px + 0.5) / self.scale - 0.5

    def to_grid(self, input_px: np.ndarray) -> np.ndarray:
        """Convert the input's pixels (ZYX) to voxels of the grid."""
        return (input_px + 0.5) * self.scale - 0.5


class CentreLines:
    """All points of the centre lines, to be searched.

    Parameters
    ----------
    dendrites : sequence of Dendrite
    spacing : ndarray, shape (3,)
        Voxel size of the grid in um.

    Attributes
    ----------
    points, tangent : ndarray, shape (n, 3)
        ZYX in um, and the unit direction there.
    arc : ndarray, shape (n,)
        Path distance from the root end of the dendrite, in um.
    owner, branch : ndarray of int, shape (n,)
        Numbers of the dendrite, and of the branch within it, from 1.
    """

    def __init__(self, dendrites: Sequence[Dendrite], spacing: np.ndarray) -> None:
        self.spacing = spacing
        branches = [(d.id, k, b) for d in dendrites for k, b in enumerate(d.branches, 1)]
        sizes = [len(b.points_um) for _, _, b in branches]
        self.points = np.concatenate([np.zeros((0, 3)), *(b.points_um for _, _, b in branches)])
        self.tangent = np.concatenate([np.zeros((0, 3)), *(tangents(b.points_um) for _, _, b in branches)])
        self.arc = np.concatenate([np.zeros(0), *(b.arc_um for _, _, b in branches)])
        self._radius = np.concatenate([np.zeros(0), *(b.radii_um for _, _, b in branches)])
        self.owner = np.repeat(np.array([i for i, _, _ in branches], int), sizes)
        self.branch = np.repeat(np.array([k for _, k, _ in branches], int), sizes)
        self._tree = cKDTree(self.points) if len(self.points) else None
        self._trees = {}
        for d in dendrites:
            own = np.flatnonzero(self.owner == d.id)
            self._trees[d.id] = cKDTree(self.points[own]), own

    def near(self, start: Contact) -> tuple[int | None, float]:
        """Return the index of the point of the spine's dendrite nearest to the base, and the shaft's radius there.

        None and 0.5 um where the dendrite has no centre line.
        """
        if start.dendrite_id not in self._trees:
            return None, 0.5
        tree, index = self._trees[start.dendrite_id]
        k = int(index[tree.query(start.path[0])[1]])
        return k, float(max(self._radius[k], self.spacing[1]))

    def is_traced_at(self, start: Contact) -> bool:
        """Say whether the centre line runs near the base: within the shaft's radius and `TRACED_UM`, depth at half weight.

        True where the dendrite has no centre line at all, e.g. labels that were made elsewhere.
        """
        k, radius = self.near(start)
        if k is None:
            return True
        off = (start.path[0] - self.points[k]) * (0.5, 1.0, 1.0)
        return float(np.linalg.norm(off)) <= radius + TRACED_UM

    def beside(self, start: Contact, reach_um: float) -> np.ndarray | None:
        """Return the points (n, 3) of the spine's dendrite within a distance of the base; None without a centre line."""
        if start.dendrite_id not in self._trees:
            return None
        tree, index = self._trees[start.dendrite_id]
        return self.points[index[tree.query_ball_point(start.path[0], reach_um)]]

    def owner_at(self, point_px: np.ndarray) -> int | None:
        """Return the dendrite whose centre line is nearest to a voxel position; None where there is none."""
        if self._tree is None:
            return None
        return int(self.owner[self._tree.query(point_px * self.spacing)[1]])

    def _nearest(self, point_um: np.ndarray, owner: int | None) -> tuple[float, int] | None:
        """Return distance and index of the nearest point, of any dendrite or of one."""
        if owner is None:
            if self._tree is None:
                return None
            distance, index = self._tree.query(point_um)
            return float(distance), int(index)
        if owner not in self._trees:
            return None
        tree, own = self._trees[owner]
        distance, index = tree.query(point_um)
        return float(distance), int(own[index])

    def reach(self, point_px: np.ndarray, owner: int | None = None) -> np.ndarray | None:
        """Return the point nearest to a voxel position, in voxels, or None beyond `REACH_UM` + 1 um.

        With an `owner`, of that dendrite and however far.
        """
        found = self._nearest(point_px * self.spacing, owner)
        if found is None or (owner is None and found[0] > REACH_UM + 1.0):
            return None
        return self.points[found[1]] / self.spacing

    def straight_contact(self, point_px: np.ndarray, owner: int | None = None) -> Contact | None:
        """Return the contact straight from a voxel position to the nearest shaft; None beyond `REACH_UM`.

        With an `owner`, to that dendrite and however far.
        """
        point = point_px * self.spacing
        found = self._nearest(point, owner)
        if found is None:
            return None
        distance, index = found
        radius = float(self._radius[index])
        if owner is None and distance - radius > REACH_UM:
            return None
        axis = self.points[index]
        base = axis + (point - axis) * min(radius / max(distance, 1e-9), 0.9)
        n = max(int(np.linalg.norm(point - base) / 0.1), 1)
        return Contact(base + np.linspace(0, 1, n + 1)[:, None] * (point - base), int(self.owner[index]))
