"""Centre lines of dendrites, traced with the voxel spacing.

How: each connected piece of the mask is cropped and resampled to an isotropic grid, thinned (`skimage`), turned into a
graph, freed of small loops, pruned of twigs, taken apart at crossings and joined over gaps. Each branch is resampled and
smoothed along its arc, so that its length no longer follows the staircase of the voxels, and moved to the centroids of
the mask's cross-sections. Where the image is given, the mask is first freed of the blur above and below a shaft, and
lines that are only the blur of a brighter one are taken away. What is then too short to be a dendrite is dropped; free ends of the rest are moved to the
image border or to one radius before the mask's surface.

Coordinates are ZYX in um with the origin at the centre of voxel (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import networkx as nx
import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from spinecore.threads import in_order, most_together
from spinecore.tracing.blur import light_of, without_axial_blur
from spinecore.tracing.edge import arc_lengths, path_length
from spinecore.tracing.forks import straighten_forks
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.refine import (
    STEP_UM,
    RadiusFunction,
    move_ends,
    radius_function,
    recentre,
    section_radii,
    smooth_path,
)
from spinecore.tracing.shadows import Light, pull_straight, remove_shadows
from spinecore.tracing.thinning import thin_piece

#: A piece of the mask that extends less than this is not thinned (um).
LEAST_EXTENT_UM = 1.0
#: Centred lines shorter than this share of the shortest dendrite are dropped before their ends are moved, which cannot make
#: them long enough: an end moves within the mask, and a mask with such a line is hardly longer.
LEAST_SHARE = 0.5
#: Where a dendrite or a spine comes from: found by the program, found by it and changed by a person, or made by a person.
ORIGINS = AUTOMATIC, CORRECTED, BY_HAND = "automatic", "corrected", "by hand"


@dataclass(frozen=True)
class Branch:
    """One unbranched piece of a centre line, directed away from the root.

    Parameters
    ----------
    points_um : ndarray, shape (n, 3)
        ZYX points.
    radii_um : ndarray, shape (n,)
        Radius of the shaft at each point.
    start, end : int
        Numbers of its end nodes within the dendrite.
    start_um : float
        Path distance from the dendrite's root to the first point.
    order : int
        Number of branch points between the root and this piece.
    """

    points_um: np.ndarray
    radii_um: np.ndarray
    start: int
    end: int
    start_um: float = 0.0
    order: int = 0

    @cached_property
    def arc_um(self) -> np.ndarray:
        """Path distance from the dendrite's root to each point, in um."""
        return self.start_um + arc_lengths(self.points_um)

    @property
    def length_um(self) -> float:
        """Arc length in um."""
        return path_length(self.points_um)


@dataclass(frozen=True)
class Dendrite:
    """The centre line of one dendrite.

    Parameters
    ----------
    id : int
        Its number.
    branches : tuple of Branch
    spacing_zyx_um : tuple of float
        Voxel size that they were traced with.
    origin : str
        One of `ORIGINS`.
    """

    id: int
    branches: tuple[Branch, ...]
    spacing_zyx_um: tuple[float, float, float]
    origin: str = AUTOMATIC

    @property
    def path_length_um(self) -> float:
        """Length over all branches in um."""
        return float(sum(branch.length_um for branch in self.branches))

    @property
    def path_length_px(self) -> float:
        """In-plane length over all branches in pixels."""
        return float(sum(path_length(points * (0, 1, 1)) for points in self.points_px))

    @property
    def points_px(self) -> list[np.ndarray]:
        """The branches' points in voxels (ZYX)."""
        return [branch.points_um / np.asarray(self.spacing_zyx_um) for branch in self.branches]

    @property
    def mean_radius_um(self) -> float:
        """Mean radius over the centre line in um."""
        return float(np.mean(np.concatenate([branch.radii_um for branch in self.branches])))

    def moved(self, by_um: np.ndarray) -> Dendrite:
        """Return the same lines elsewhere (ZYX, um)."""
        branches = tuple(replace(branch, points_um=branch.points_um + by_um) for branch in self.branches)
        return replace(self, branches=branches)


def trace_dendrites(
    mask: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    min_length_um: float = 3.0,
    *,
    intensity: np.ndarray | None = None,
    twig_um: float = 1.5,
    max_gap_um: float = 2.0,
    loop_um: float = 8.0,
) -> list[Dendrite]:
    """Trace the centre lines of a dendrite mask.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
        Dendrite voxels, spines left out; Z == 1 for a projection.
    spacing_zyx_um : tuple of float
        Voxel size in um.
    min_length_um : float
        Shorter dendrites are dropped.
    intensity : ndarray, shape (Z, Y, X), optional
        The image. In a stack it tells a shaft from its own blur (`spinecore.tracing.blur`), so that one shaft has one line.
    twig_um : float
        Side pieces that reach less than this beyond the shaft's surface are pruned (stumps of spines).
    max_gap_um : float
        Ends that point at each other over at most this distance are joined.
    loop_um : float
        Loops of smaller perimeter (holes of the mask) are opened.

    Returns
    -------
    list of Dendrite
        Longest first, numbered from 1.

    Raises
    ------
    ValueError
        If the mask has not three axes or a voxel size is not positive.
    """
    mask = np.asarray(mask, bool)
    spacing = np.asarray(spacing_zyx_um, float)
    if mask.ndim != 3:
        raise ValueError(f"a dendrite mask has axes ZYX; this one has {mask.ndim}")
    if spacing.shape != (3,) or not np.all(np.isfinite(spacing) & (spacing > 0)):
        raise ValueError(f"the voxel size must be three positive numbers of um, not {spacing_zyx_um!r}")
    light: Light | None = None
    if intensity is not None and len(mask) > 1 and mask.any():
        light = Light(light_of(intensity, spacing), spacing)
        mask = without_axial_blur(mask, light.voxels, spacing)
    graph = _thinned(mask, spacing)
    radius_at = radius_function(mask, spacing)
    graph.open_loops(loop_um)
    graph.prune(twig_um, radius_at)
    if light is not None:
        remove_shadows(graph, light, radius_at)
        graph.prune(twig_um, radius_at)
    graph.split_crossings(radius_at)
    graph.join_gaps(max_gap_um)
    if light is not None:
        pull_straight(graph, light)
    if not graph.edges:
        return []
    for edge in graph.edges.values():
        edge.points = smooth_path(
            edge.points, STEP_UM, float(np.clip(np.median(radius_at(edge.points)), 0.3, 0.8))
        )
    cloud = np.argwhere(mask) * spacing
    for _ in range(2):
        recentre(graph, cloud, mask.shape, spacing)
    radius_at = section_radii(graph, cloud, mask.shape, spacing)
    _remove_specks(graph, LEAST_SHARE * min_length_um)
    straighten_forks(graph, radius_at)
    move_ends(graph, mask, spacing, radius_at)
    found = [_directed(graph, nodes, radius_at) for nodes in graph.components()]
    found = [branches for branches in found if sum(b.length_um for b in branches) >= min_length_um]
    found.sort(key=lambda branches: -sum(b.length_um for b in branches))
    zyx = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    return [Dendrite(i, branches, zyx) for i, branches in enumerate(found, start=1)]


def _thinned(mask: np.ndarray, spacing: np.ndarray) -> SkeletonGraph:
    """Return the raw centre lines of a mask."""
    graph = SkeletonGraph()
    pieces, _ = ndi.label(mask, structure=np.ones((3, 3, 3), bool))
    boxes = dict(enumerate(ndi.find_objects(pieces), start=1))

    def extent_um(box: tuple[slice, ...]) -> float:
        sides = np.array([s.stop - s.start for s in box]) * spacing
        return float(np.linalg.norm(sides[mask.shape[0] == 1 :]))

    chosen = [number for number, box in boxes.items() if extent_um(box) >= LEAST_EXTENT_UM]
    together = most_together(len(chosen))
    for thinned in in_order(lambda k: thin_piece(pieces, k, boxes[k], spacing), chosen, together):
        graph.add_skeleton(*thinned)
    return graph


def _remove_specks(graph: SkeletonGraph, least_um: float) -> None:
    """Remove each connected piece whose lines are shorter than `least_um` altogether."""
    for nodes in graph.components():
        if sum(graph.edges[key].length for key in graph.keys_of(nodes)) < least_um:
            graph.remove_component(nodes)


def with_mask_radii(
    dendrites: Sequence[Dendrite], mask: np.ndarray, spacing_zyx_um: tuple[float, float, float]
) -> list[Dendrite]:
    """Give centre lines that were drawn elsewhere the radii of a mask, where they run inside it.

    Tracing programs often write the same radius everywhere. Where a line leaves the mask its own radius stays, within
    0.1 to 2 um.
    """
    mask, spacing = np.asarray(mask, bool), np.asarray(spacing_zyx_um, float)
    radius_at = radius_function(mask, spacing)

    def measured(branch: Branch) -> Branch:
        voxel = np.clip(np.rint(branch.points_um / spacing).astype(int), 0, np.array(mask.shape) - 1)
        inside = mask[tuple(voxel.T)]
        own = np.clip(branch.radii_um, 0.1, 2.0)
        return replace(branch, radii_um=np.where(inside, radius_at(branch.points_um), own))

    return [replace(d, branches=tuple(measured(b) for b in d.branches)) for d in dendrites]


def dendrite_labels(
    mask: np.ndarray, dendrites: Sequence[Dendrite], spacing_zyx_um: tuple[float, float, float]
) -> np.ndarray:
    """Give every voxel of a mask the number of its dendrite.

    Pieces with one dendrite belong to it; in a piece with several, each voxel goes to the nearest centre line;
    pieces without a centre line (dropped as too short) become 0.

    Returns
    -------
    ndarray of uint16, shape of `mask`
    """
    mask = np.asarray(mask, bool)
    spacing = np.asarray(spacing_zyx_um, float)
    out = np.zeros(mask.shape, np.uint16)
    if not dendrites:
        return out
    pieces, n = ndi.label(mask, structure=np.ones((3, 3, 3), bool))
    points, owner = centreline_points(dendrites)
    voxel = np.clip(np.rint(points / spacing).astype(int), 0, np.array(mask.shape) - 1)
    inside = pieces[tuple(voxel.T)]
    table = np.zeros(n + 1, np.uint16)
    boxes = ndi.find_objects(pieces)
    for piece in np.unique(inside[inside > 0]):
        owners = np.unique(owner[inside == piece])
        table[piece] = owners[0]
        if len(owners) > 1:
            box = boxes[piece - 1]
            where = np.argwhere(pieces[box] == piece) + [part.start for part in box]
            nearest = cKDTree(points).query(where * spacing)[1]
            out[tuple(where.T)] = owner[nearest]
            table[piece] = 0
    plain = mask & (out == 0)
    out[plain] = table[pieces[plain]]
    return out


def centreline_points(dendrites: Sequence[Dendrite]) -> tuple[np.ndarray, np.ndarray]:
    """Return all centre line points (n, 3) in um and the number of the dendrite of each (n,)."""
    if not dendrites:
        return np.zeros((0, 3)), np.zeros(0, int)
    points = [branch.points_um for d in dendrites for branch in d.branches]
    owner = [np.full(len(branch.points_um), d.id) for d in dendrites for branch in d.branches]
    return np.concatenate(points), np.concatenate(owner)


def _directed(graph: SkeletonGraph, nodes: set[int], radius_at: RadiusFunction) -> tuple[Branch, ...]:
    """Return the branches of one connected piece, directed away from its thickest end."""
    edges = {key: graph.edges[key] for key in graph.keys_of(nodes)}
    radii = {key: radius_at(edge.points) for key, edge in edges.items()}
    net = nx.MultiGraph()
    for key, edge in edges.items():
        net.add_edge(edge.a, edge.b, key=key, weight=edge.length)
    ends = [node for node in net if net.degree(node) == 1] or list(net)

    def thickness(node: int) -> float:
        key = next(iter(net.edges(node, keys=True)))[2]
        values = radii[key] if edges[key].a == node else radii[key][::-1]
        return float(np.mean(values[:20]))

    root = max(ends, key=lambda node: (round(thickness(node), 3), -node))
    distance = nx.single_source_dijkstra_path_length(net, root, weight="weight")
    order = nx.single_source_shortest_path_length(net, root)
    number = {node: i for i, node in enumerate(sorted(distance, key=distance.get))}
    branches = []
    for key, edge in edges.items():
        forward = distance[edge.a] <= distance[edge.b]
        start, end = (edge.a, edge.b) if forward else (edge.b, edge.a)
        points, radius = (edge.points, radii[key]) if forward else (edge.points[::-1], radii[key][::-1])
        branches.append(
            Branch(points, radius, number[start], number[end], float(distance[start]), order[start])
        )
    return tuple(sorted(branches, key=lambda branch: (branch.start_um, branch.end)))
