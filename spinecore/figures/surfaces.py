"""Surfaces of spines and dendrites in um, by marching cubes on small crops, thinned out to a face budget.

Points are XYZ in um in the input's own frame: the centre of the input's first voxel is (0, 0, 0), as in the `x_um`,
`y_um` and `z_um` columns of the spine table. Faces turn counter-clockwise seen from outside.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import fast_simplification
import numpy as np
from scipy import ndimage as ndi

from spinecore.detection.candidates import Candidates
from spinecore.morphometry.surface import smooth_surface
from spinecore.stack import Spacing

#: Finest step (um) and most voxels at which a dendrite is meshed.
DENDRITE_STEP_UM = 0.15
MOST_VOXELS = 6_000_000
#: Gaussian (um) that takes the staircase off a dendrite before it is meshed; at most 0.7 voxels along each axis.
SMOOTH_UM = 0.12
#: A surface keeps at least this number of faces while the budget allows it for all.
FEWEST_FACES = 40


@dataclass(frozen=True)
class Surface:
    """A triangle mesh.

    Parameters
    ----------
    points_um : ndarray, float32, shape (n, 3)
        XYZ in um.
    faces : ndarray, int32, shape (m, 3)
        Indices into `points_um`.
    """

    points_um: np.ndarray
    faces: np.ndarray

    @property
    def n_faces(self) -> int:
        """Number of triangles."""
        return len(self.faces)


@dataclass(frozen=True)
class Grid:
    """How voxels of the analysis grid lie in the input's frame.

    Parameters
    ----------
    spacing_um : ndarray, shape (3,)
        Voxel size, ZYX.
    offset_um : ndarray, shape (3,)
        Position of the centre of voxel (0, 0, 0), ZYX.
    """

    spacing_um: np.ndarray
    offset_um: np.ndarray

    def to_um(self, zyx: np.ndarray) -> np.ndarray:
        """Return ZYX positions in um of ZYX grid coordinates of voxel centres, shape (..., 3)."""
        return np.asarray(zyx, float) * self.spacing_um + self.offset_um


def grid_of(candidates: Candidates, spacing: Spacing) -> Grid:
    """Return how the analysis grid lies in the input's frame.

    Parameters
    ----------
    candidates : Candidates
    spacing : Spacing
        Of the stack; its in-plane size must be known.
    """
    own = np.array(candidates.spacing_zyx_um, float)
    stack = np.array(spacing.zyx_um(z_default=own[0]), float)
    offset = (own - stack) / 2
    offset[0] = 0.0
    return Grid(own, offset)


def mask_surface(mask: np.ndarray, origin: tuple[int, ...], grid: Grid) -> Surface | None:
    """Return the surface of a small mask: the one whose area is the table's `surface_um2`.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
    origin : tuple of int
        Grid index of its first voxel.
    grid : Grid

    Returns
    -------
    Surface or None
        None for an empty mask.
    """
    if not mask.any():
        return None
    points, faces = smooth_surface(mask, grid.spacing_um)
    points_um = points + grid.to_um(np.array(origin))
    return Surface(np.ascontiguousarray(points_um[:, ::-1], np.float32), faces.astype(np.int32))


def dendrite_surface(
    ids: np.ndarray, number: int, grid: Grid, box: tuple[slice, ...] | None = None
) -> Surface | None:
    """Return the surface of one dendrite, on a grid coarsened to what a picture needs.

    Parameters
    ----------
    ids : ndarray of int, shape (Z, Y, X)
        Dendrite ids on the analysis grid.
    number : int
        The dendrite's id.
    grid : Grid
    box : tuple of slice, optional
        Its bounding box, where it is known (`scipy.ndimage.find_objects`).

    Returns
    -------
    Surface or None
        None when it has no voxels.
    """
    if box is None:
        boxes = ndi.find_objects((ids == number).astype(np.uint8))
        if not boxes:
            return None
        box = boxes[0]
    mask = ids[box] == number
    fine = DENDRITE_STEP_UM / grid.spacing_um[1:].mean()
    by_size = (mask.size / MOST_VOXELS) ** 0.5
    factor = max(1, round(fine), int(np.ceil(by_size)))
    soft = np.pad(_pooled(mask, factor), 2)
    step = np.array([1, factor, factor], float)
    soft = ndi.gaussian_filter(soft, np.minimum(SMOOTH_UM / (grid.spacing_um * step), 0.7))
    start = np.array([s.start for s in box]) + (step - 1) / 2 - 2 * step
    return _marched(soft, start, step, grid)


def _pooled(mask: np.ndarray, factor: int) -> np.ndarray:
    """Return the mean of a mask over in-plane blocks, float32."""
    if factor == 1:
        return mask.astype(np.float32)
    pad = [(0, 0)] + [(0, -n % factor) for n in mask.shape[1:]]
    padded = np.pad(mask, pad)
    z, y, x = padded.shape
    blocks = padded.reshape(z, y // factor, factor, x // factor, factor)
    return blocks.sum(axis=(2, 4), dtype=np.uint16).astype(np.float32) / factor**2


def _marched(soft: np.ndarray, start: np.ndarray, step: np.ndarray, grid: Grid) -> Surface | None:
    from skimage.measure import marching_cubes  # takes a quarter of a second to import

    if soft.max() <= 0.5:
        return None
    points, faces, _, _ = marching_cubes(soft, 0.5, allow_degenerate=False)
    points_um = grid.to_um(points * step + start)[:, ::-1]
    return Surface(np.ascontiguousarray(points_um, np.float32), np.ascontiguousarray(faces, np.int32))


def simplify(surface: Surface, most_faces: int) -> Surface:
    """Return the surface thinned out to about `most_faces` triangles (quadric error metric)."""
    if surface.n_faces <= most_faces:
        return surface
    points, faces = fast_simplification.simplify(
        surface.points_um, surface.faces, target_count=max(int(most_faces), 4)
    )
    return Surface(np.asarray(points, np.float32), np.asarray(faces, np.int32))


def spine_surfaces(
    cuts: Iterable[tuple[int, tuple[int, int, int], np.ndarray]], grid: Grid
) -> dict[int, Surface]:
    """Return the surface of every spine, by id.

    Parameters
    ----------
    cuts : iterable of (spine id, origin, mask)
        What `Cutter.cut` gives.
    grid : Grid
    """
    found = {number: mask_surface(mask, origin, grid) for number, origin, mask in cuts}
    return {number: surface for number, surface in found.items() if surface is not None}


def dendrite_surfaces(ids: np.ndarray, grid: Grid) -> dict[int, Surface]:
    """Return the surface of every dendrite, by id."""
    boxes = ndi.find_objects(ids)
    found = {
        n: dendrite_surface(ids, n, grid, box) for n, box in enumerate(boxes, start=1) if box is not None
    }
    return {number: surface for number, surface in found.items() if surface is not None}


def within_budget(
    surfaces: dict[int, Surface], most_faces: int, fewest: int = FEWEST_FACES
) -> dict[int, Surface]:
    """Thin out surfaces evenly, so that together they have at most about `most_faces` triangles.

    Parameters
    ----------
    surfaces : dict of int to Surface
    most_faces : int
    fewest : int
        Small surfaces keep this number where the budget allows it; large ones then give more.
    """
    total = sum(surface.n_faces for surface in surfaces.values())
    if total <= most_faces:
        return surfaces
    floor = min(fewest, max(most_faces // len(surfaces), 4))
    small = sum(min(surface.n_faces, floor) for surface in surfaces.values())
    share = max(most_faces - small, 0) / max(total - small, 1)

    def target(n_faces: int) -> int:
        kept = min(n_faces, floor)
        return kept + int((n_faces - kept) * share)

    return {number: simplify(surface, target(surface.n_faces)) for number, surface in surfaces.items()}


def part_within(
    surface: Surface, owner: np.ndarray, low_um: np.ndarray, high_um: np.ndarray
) -> tuple[Surface, np.ndarray]:
    """Return the triangles whose corners all lie in a box (XYZ, um), and the owners of the points they use."""
    inside = np.all((surface.points_um >= low_um) & (surface.points_um <= high_um), axis=1)
    faces = surface.faces[inside[surface.faces].all(1)]
    used = np.unique(faces)
    place = np.zeros(len(surface.points_um), np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    return Surface(surface.points_um[used], place[faces]), owner[used]


def merge(surfaces: dict[int, Surface]) -> tuple[Surface, np.ndarray]:
    """Join surfaces into one.

    Returns
    -------
    surface : Surface
    owner : ndarray of int32, shape (n,)
        Id of the surface that each point came from.
    """
    if not surfaces:
        return Surface(np.zeros((0, 3), np.float32), np.zeros((0, 3), np.int32)), np.zeros(0, np.int32)
    sizes = [len(s.points_um) for s in surfaces.values()]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    points = np.concatenate([s.points_um for s in surfaces.values()])
    faces = np.concatenate([s.faces + start for s, start in zip(surfaces.values(), starts, strict=True)])
    owner = np.repeat(np.array(list(surfaces), np.int32), sizes)
    return Surface(points, faces.astype(np.int32)), owner
