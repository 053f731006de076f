"""Pieces of real dendrites and axons as volumes of labels, and their place in a simulated stack."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from spinecore.simulation.rendering import Grid

#: Cut off at either end of a piece, which the electron micrograph's face has cut flat (um).
CUT_UM = 0.7
#: Points at which a fine voxel is looked up, along each axis.
LOOKS = 2


@dataclass(frozen=True, eq=False)
class Piece:
    """A dendrite or an axon.

    Parameters
    ----------
    name : str
    labels : ndarray, uint8, shape (Z, Y, X)
        0 outside, 1 shaft or axon, more: spines.
    voxel_um : ndarray, shape (3,)
    path_um : ndarray, shape (n, 3)
        Middle of the shaft between its cut ends, or the two ends of an axon's long axis.
    radius_um : ndarray, shape (n,)
    """

    name: str
    labels: np.ndarray
    voxel_um: np.ndarray
    path_um: np.ndarray
    radius_um: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Piece:
        """Read a file of the shapes; the last few stay in memory."""
        return _read(path)


@lru_cache(maxsize=40)
def _read(path: Path) -> Piece:
    with np.load(path) as data:
        voxel = np.asarray(data["voxel_zyx_um"], float)
        if "spine_ids" in data:
            labels = np.asarray(data["spine_ids"]).astype(np.uint8)
            main = np.asarray(data["shaft_branch"]) == 0
            line = np.asarray(data["shaft_path_zyx_um"], float)[main]
            radius = np.asarray(data["shaft_radius_um"], float)[main]
            arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(line, axis=0), axis=1))])
            kept = (arc >= CUT_UM) & (arc <= arc[-1] - CUT_UM)
            return Piece(path.stem, labels, voxel, line[kept], radius[kept])
        shape = tuple(int(n) for n in data["shape"])
        labels = np.unpackbits(data["mask"], count=int(np.prod(shape))).reshape(shape)
    filled = np.argwhere(labels[::2, ::4, ::4]) * np.array([2, 4, 4]) * voxel
    middle = filled.mean(0)
    along = np.linalg.svd(filled - middle, full_matrices=False)[2][0]
    reach = (filled - middle) @ along
    line = middle + along * np.array([[reach.min()], [reach.max()]])
    return Piece(path.stem, labels, voxel, line, np.full(2, 0.1))


@dataclass(frozen=True, eq=False)
class Placed:
    """A piece in a stack.

    Parameters
    ----------
    piece : Piece
    turn : ndarray, shape (3, 3)
        Orthogonal (a mirror image where its determinant is -1): from the piece's directions to the stack's.
    scale : float
    start_um : ndarray, shape (3,)
        Where the first point of its path lies in the stack.
    """

    piece: Piece
    turn: np.ndarray
    scale: float
    start_um: np.ndarray

    @property
    def length_um(self) -> float:
        """Distance of the two ends of the path in the stack."""
        return float(np.linalg.norm(self.piece.path_um[-1] - self.piece.path_um[0])) * self.scale

    @property
    def path_um(self) -> np.ndarray:
        """The path in the stack, shape (n, 3)."""
        return self.to_stack(self.piece.path_um)

    @property
    def radius_um(self) -> np.ndarray:
        """The shaft's radius along the path."""
        return self.piece.radius_um * self.scale

    def to_stack(self, points_um: np.ndarray) -> np.ndarray:
        """Return where points of the piece lie in the stack."""
        return (points_um - self.piece.path_um[0]) @ self.turn.T * self.scale + self.start_um

    def to_piece(self, points_um: np.ndarray) -> np.ndarray:
        """Return where points of the stack lie in the piece."""
        return (points_um - self.start_um) @ self.turn / self.scale + self.piece.path_um[0]

    def is_cut(self, base_um: np.ndarray) -> bool:
        """Say whether a spine with this base (in the stack) is at the part that is cut off."""
        along = self.to_piece(base_um) @ self._axis
        return not self._reach[0] <= along <= self._reach[1]

    @property
    def _axis(self) -> np.ndarray:
        line = self.piece.path_um
        axis: np.ndarray = (line[-1] - line[0]) / np.linalg.norm(line[-1] - line[0])
        return axis

    @property
    def _reach(self) -> tuple[float, float]:
        return float(self.piece.path_um[0] @ self._axis), float(self.piece.path_um[-1] @ self._axis)

    def sample(self, grid: Grid) -> tuple[tuple[slice, slice, slice] | None, np.ndarray]:
        """Look up the piece on a stack's fine grid.

        Returns
        -------
        window : tuple of slices or None
            Part of the fine grid that the piece reaches into; None where it lies outside.
        labels : ndarray, uint8, shape (looks, z, y, x)
            Labels at `LOOKS` ** 3 points of every fine voxel of the window.
        """
        size = np.array(self.piece.labels.shape) * self.piece.voxel_um
        corners = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)]) * size
        ends = (self.to_stack(corners) - grid.origin_um) / grid.fine_um
        low = np.maximum(np.floor(ends.min(0)).astype(int), 0)
        high = np.minimum(np.ceil(ends.max(0)).astype(int) + 1, grid.fine_shape)
        if np.any(high <= low):
            return None, np.zeros((0, 0, 0, 0), np.uint8)
        window = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        steps = (np.arange(LOOKS) + 0.5) / LOOKS - 0.5
        offsets = np.array([[i, j, k] for i in steps for j in steps for k in steps])
        labels = np.zeros((len(offsets), *(high - low)), np.uint8)
        reach, axis = self._reach, self._axis
        for number, offset in enumerate(offsets):
            for plane in range(int(low[0]), int(high[0])):
                labels[number, plane - low[0]] = self._look(grid, window, plane, offset, axis, reach)
        return window, labels

    def _look(
        self,
        grid: Grid,
        window: tuple[slice, slice, slice],
        plane: int,
        offset: np.ndarray,
        axis: np.ndarray,
        reach: tuple[float, float],
    ) -> np.ndarray:
        """Return the labels of one plane of the fine grid at one point of its voxels."""
        rows = np.arange(window[1].start, window[1].stop)
        columns = np.arange(window[2].start, window[2].stop)
        z, y, x = (
            (index + part) * step + first
            for index, part, step, first in zip(
                (np.array([plane]), rows, columns), offset, grid.fine_um, grid.origin_um, strict=True
            )
        )
        # the map is linear: what rows and columns add is found apart, for each axis of the piece
        corner = self.to_piece(np.array([z[0], y[0], x[0]]))
        down = (y - y[0])[:, None] * (self.turn[1] / self.scale)
        across = (x - x[0])[:, None] * (self.turn[2] / self.scale)
        along = (corner @ axis + down @ axis)[:, None] + (across @ axis)[None]
        inside = (along >= reach[0]) & (along <= reach[1])
        size = np.broadcast_to(self.piece.voxel_um, 3)
        voxel = []
        for k, length in enumerate(self.piece.labels.shape):
            at = np.rint(((corner[k] + down[:, k]) / size[k])[:, None] + (across[:, k] / size[k])[None])
            inside &= (at >= 0) & (at < length)
            voxel.append(at)
        out = np.zeros(inside.shape, np.uint8)
        out[inside] = self.piece.labels[tuple(at[inside].astype(np.intp) for at in voxel)]
        return out


def place(
    piece: Piece, start_um: np.ndarray, heading: np.ndarray, scale: float, rng: np.random.Generator
) -> Placed:
    """Lay a piece along a direction, turned about it and mirrored at random."""
    line = piece.path_um if rng.random() < 0.5 else piece.path_um[::-1]
    radius = piece.radius_um if line is piece.path_um else piece.radius_um[::-1]
    turned = Piece(piece.name, piece.labels, piece.voxel_um, line, radius)
    own = _frame(line[-1] - line[0], rng)
    other = _frame(heading, rng)
    if rng.random() < 0.5:
        other[2] = -other[2]
    return Placed(turned, other.T @ own, scale, np.asarray(start_um, float))


def _frame(direction: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return three orthogonal unit vectors as rows, the first along a direction, the others at a random angle."""
    first = direction / np.linalg.norm(direction)
    second = rng.normal(size=3)
    second -= first * (second @ first)
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])
