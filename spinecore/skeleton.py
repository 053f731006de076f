"""Centre lines of dendrites, traced with the voxel spacing.

How: each connected piece of the mask is cropped and resampled to an isotropic grid, thinned (`skimage`), turned into a
graph (`skan`), pruned of twigs, freed of small loops, taken apart at crossings and joined over gaps. Each branch is
then resampled and smoothed along its arc, so that its length no longer follows the staircase of the voxels, and its
free ends are moved to the image border or to the centre of the last inscribed ball.

Coordinates are ZYX in um with the origin at the centre of voxel (0, 0, 0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import networkx as nx
import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from spinecore.sections import sections, tangents
from spinecore.skeleton_graph import SkeletonGraph, path_length

#: Finest isotropic step used for thinning, in um, and the most voxels of one resampled piece.
FINEST_STEP_UM = 0.1
MOST_VOXELS = 16_000_000

#: Distance of neighbouring centre line points, in um.
STEP_UM = 0.1


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
        steps = np.linalg.norm(np.diff(self.points_um, axis=0), axis=1)
        return self.start_um + np.concatenate([[0.0], np.cumsum(steps)])

    @property
    def length_um(self) -> float:
        """Arc length in um."""
        return path_length(self.points_um)


@dataclass(frozen=True)
class Dendrite:
    """The centre line of one dendrite: a number, its branches and the spacing they were traced with."""

    id: int
    branches: tuple[Branch, ...]
    spacing_zyx_um: tuple[float, float, float]

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


def trace_dendrites(
    mask: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    min_length_um: float = 3.0,
    *,
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
    graph = SkeletonGraph()
    pieces, _ = ndi.label(mask, structure=np.ones((3, 3, 3), bool))
    for number, box in enumerate(ndi.find_objects(pieces), start=1):
        extent = np.array([s.stop - s.start for s in box]) * spacing
        if np.linalg.norm(extent[mask.shape[0] == 1 :]) >= 1.0:
            _add_piece(graph, pieces, number, box, spacing)
    del pieces
    if not graph.edges:
        return []
    radius_at = _radius_function(mask, spacing, graph)
    graph.open_loops(loop_um)
    graph.prune(twig_um, radius_at)
    graph.split_crossings(radius_at)
    graph.join_gaps(max_gap_um)
    for edge in graph.edges.values():
        edge.points = smooth_path(edge.points, STEP_UM, float(np.clip(np.median(radius_at(edge.points)), 0.3, 0.8)))
    cloud = np.argwhere(mask) * spacing
    for _ in range(2):
        _recentre(graph, cloud, mask.shape, spacing)
    radius_at = _section_radii(graph, cloud, mask.shape, spacing)
    _move_ends(graph, mask, spacing, radius_at)
    found = [_directed(graph, nodes, radius_at) for nodes in graph.components()]
    found = [branches for branches in found if sum(b.length_um for b in branches) >= min_length_um]
    found.sort(key=lambda branches: -sum(b.length_um for b in branches))
    zyx = (float(spacing[0]), float(spacing[1]), float(spacing[2]))
    return [Dendrite(i, branches, zyx) for i, branches in enumerate(found, start=1)]


def smooth_path(points: np.ndarray, step_um: float, sigma_um: float) -> np.ndarray:
    """Resample a polyline evenly and smooth it along its arc by a Gaussian; both ends stay.

    Parameters
    ----------
    points : ndarray, shape (n, 3)
        ZYX in um.
    step_um, sigma_um : float
        Distance of the new points and width of the Gaussian, which is at most a quarter of the length.

    Returns
    -------
    ndarray, shape (m, 3)
    """
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    n = max(int(np.ceil(arc[-1] / step_um)), 2)
    even = np.linspace(0.0, arc[-1], n + 1)
    path = np.stack([np.interp(even, arc, points[:, axis]) for axis in range(3)], axis=1)
    sigma = min(sigma_um, arc[-1] / 4) / max(arc[-1] / n, 1e-9)
    first, last = path[0], path[-1]
    odd = np.vstack([2 * first - path[:0:-1], path, 2 * last - path[-2::-1]])
    return ndi.gaussian_filter1d(odd, sigma, axis=0, mode="nearest")[n : 2 * n + 1]


def dendrite_labels(mask: np.ndarray, dendrites: list[Dendrite], spacing_zyx_um: tuple[float, float, float]) -> np.ndarray:
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
    for piece in np.unique(inside[inside > 0]):
        owners = np.unique(owner[inside == piece])
        table[piece] = owners[0]
        if len(owners) > 1:
            where = np.argwhere(pieces == piece)
            nearest = cKDTree(points).query(where * spacing)[1]
            out[tuple(where.T)] = owner[nearest]
            table[piece] = 0
    plain = mask & (out == 0)
    out[plain] = table[pieces[plain]]
    return out


def centreline_points(dendrites: list[Dendrite]) -> tuple[np.ndarray, np.ndarray]:
    """Return all centre line points (n, 3) in um and the number of the dendrite of each (n,)."""
    if not dendrites:
        return np.zeros((0, 3)), np.zeros(0, int)
    points = [branch.points_um for d in dendrites for branch in d.branches]
    owner = [np.full(len(branch.points_um), d.id) for d in dendrites for branch in d.branches]
    return np.concatenate(points), np.concatenate(owner)


def _add_piece(graph: SkeletonGraph, pieces: np.ndarray, number: int, box: tuple, spacing: np.ndarray) -> None:
    """Thin one connected piece of the mask on an isotropic grid and add it to the graph."""
    from skimage.morphology import skeletonize

    pad = tuple(slice(max(s.start - 2, 0), min(s.stop + 2, n)) for s, n in zip(box, pieces.shape, strict=True))
    crop = (pieces[pad] == number).astype(np.float32)
    flat = pieces.shape[0] == 1
    extent = np.array(crop.shape) * spacing
    step = max(FINEST_STEP_UM, float(spacing[1:].min()))
    size = np.prod(extent[1:] if flat else extent)
    step = max(step, float((size / MOST_VOXELS) ** (1 / (2 if flat else 3))))
    scale = step / spacing
    shape = np.maximum(np.ceil(np.array(crop.shape) / scale), 1).astype(int)
    if flat:
        scale[0], shape[0] = 1.0, 1
    sigma = np.where(np.array(crop.shape) > 1, 0.5 * np.maximum(scale, 1.0), 0.0)
    crop = ndi.gaussian_filter(crop, sigma, mode="nearest", truncate=3.0)
    offset = (scale - 1) / 2
    fine = ndi.affine_transform(crop, scale, offset, tuple(shape), order=1, mode="nearest") > 0.5
    del crop
    fine = _without_holes(fine[0])[None] if flat else _without_holes(fine)
    thin = skeletonize(fine[0]) if flat else skeletonize(fine)
    origin = (np.array([s.start for s in pad]) + offset) * spacing
    graph.add_skeleton(thin, np.where([flat, False, False], spacing[0], step), origin)


def _without_holes(mask: np.ndarray) -> np.ndarray:
    """Fill closed cavities (in 2-D only those under 400 pixels, which no loop of dendrites encloses)."""
    empty, n = ndi.label(~mask)
    if n < 2:
        return mask
    open_ = np.zeros(n + 1, bool)
    for axis in range(mask.ndim):
        for side in (0, -1):
            open_[np.unique(np.take(empty, side, axis=axis))] = True
    if mask.ndim == 2:
        open_ |= np.bincount(empty.ravel(), minlength=n + 1) > 400
    return mask | ~open_[empty]


def _radius_function(mask: np.ndarray, spacing: np.ndarray, graph: SkeletonGraph) -> Callable[[np.ndarray], np.ndarray]:
    """Return a function from points (n, 3) in um to the distance from the mask's surface, in um.

    The surface lies half way between the outermost voxels of the mask and the voxels next to them; the faces of the
    volume are no surface. A thin tilted shaft is measured across its narrowest direction.
    """
    inner, outer = _shells(mask)
    trees = [cKDTree(np.argwhere(shell) * spacing) for shell in (inner, outer)]
    if not all(tree.n for tree in trees):
        return lambda points: np.full(len(points), float(spacing[1:].min()))

    def radius_at(points: np.ndarray) -> np.ndarray:
        inside, outside = (tree.query(points)[0] for tree in trees)
        return np.maximum((inside + outside) / 2, float(spacing[1:].min()) / 2)

    return radius_at


def _assigned(graph: SkeletonGraph, cloud: np.ndarray) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Return the edges' keys, the index of each edge's first point, and each cloud point's nearest point (or -1).

    Cloud points nearest to a free end lie beyond it and belong to no cross-section.
    """
    keys = list(graph.edges)
    sizes = [len(graph.edges[key].points) for key in keys]
    first = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
    tree = cKDTree(np.concatenate([graph.edges[key].points for key in keys]))
    nearest = tree.query(cloud, distance_upper_bound=5.0)[1]
    drop = np.zeros(tree.n + 1, bool)
    drop[-1] = True
    drop[first[:-1]] = drop[first[1:] - 1] = True
    return keys, first, np.where(drop[nearest], -1, nearest)


def _edge_sections(graph: SkeletonGraph, cloud: np.ndarray, shape: tuple, spacing: np.ndarray):
    """Yield (edge, its cross-sections), smoothed over about one radius or one z step, whichever is longer."""
    flat = shape[0] == 1
    keys, first, nearest = _assigned(graph, cloud)
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], first)
    sigma_um = 0.5 if flat else float(np.clip(0.75 * spacing[0], 0.5, 1.0))
    for i, key in enumerate(keys):
        edge = graph.edges[key]
        own = order[bounds[i] : bounds[i + 1]]
        step = max(edge.length / (len(edge.points) - 1), 1e-6)
        sigma = min(sigma_um, edge.length / 4) / step
        yield edge, sections(edge.points, nearest[own] - first[i], cloud[own], spacing, sigma, flat)


def _recentre(graph: SkeletonGraph, cloud: np.ndarray, shape: tuple, spacing: np.ndarray) -> None:
    """Move the centre lines to the centroids of the mask's cross-sections; junctions stay."""
    degree = {node: len(keys) for node, keys in graph.incident().items()}
    for edge, found in list(_edge_sections(graph, cloud, shape, spacing)):
        known = np.isfinite(found.centroid[:, 0])
        if known.sum() < 2:
            continue
        moved = np.where(known[:, None], found.centroid, edge.points)
        along = tangents(edge.points)
        shift = moved - edge.points
        shift -= np.einsum("ij,ij->i", shift, along)[:, None] * along
        n = len(edge.points)
        ramp = np.minimum(np.arange(n), 10) / 10
        if degree[edge.a] > 1:
            shift *= ramp[:, None]
        if degree[edge.b] > 1:
            shift *= ramp[::-1, None]
        points = edge.points + shift
        edge.points = smooth_path(points, STEP_UM, 0.3)
        for node, point in ((edge.a, edge.points[0]), (edge.b, edge.points[-1])):
            if degree[node] == 1:
                graph.nodes[node] = point


def _section_radii(graph: SkeletonGraph, cloud: np.ndarray, shape: tuple, spacing: np.ndarray):
    """Return a function from points (n, 3) to the radius of the nearest cross-section (half its in-plane width)."""
    points, radii = [], []
    for edge, found in _edge_sections(graph, cloud, shape, spacing):
        usable = np.flatnonzero(found.width > 0)
        if len(usable) == 0:
            continue
        # sums thin out within one smoothing width of an end: the nearest full section stands in for it
        inner = np.clip(np.arange(len(edge.points)), usable[0], usable[-1])
        margin = min(5, len(inner) // 4)
        inner = np.clip(inner, margin, len(inner) - 1 - margin)
        points.append(edge.points)
        radii.append(found.width[inner] / 2)
    if not points:
        return lambda query: np.full(len(query), float(spacing[1:].min()))
    tree, values = cKDTree(np.concatenate(points)), np.concatenate(radii)
    return lambda query: values[tree.query(query)[1]]


def _shells(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mask's voxels with an empty face neighbour, and those neighbours; the volume's faces do not count."""
    inner, outer = np.zeros_like(mask), np.zeros_like(mask)
    for axis in range(3):
        low = tuple(slice(None, -1) if i == axis else slice(None) for i in range(3))
        high = tuple(slice(1, None) if i == axis else slice(None) for i in range(3))
        for one, other in ((low, high), (high, low)):
            step = mask[one] & ~mask[other]
            inner[one] |= step
            outer[other] |= step
    return inner, outer


def _cut_points(points: np.ndarray, radius: float, low: np.ndarray, high: np.ndarray) -> int:
    """Return how many of the first points have a cross-section cut by a face that the line runs into.

    There the centroid of the voxels is off the axis, so these points are replaced by a straight line.
    """
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    near = points[: min(int(np.searchsorted(arc, 3 * radius + 0.5)), len(points) // 2)]
    if len(near) < 2:
        return 0
    along = (near[0] - near[-1]) / max(float(np.linalg.norm(near[0] - near[-1])), 1e-9)
    reach = radius * np.sqrt(np.maximum(1 - along**2, 0.0))
    cut = ((near - reach < low) & (along < -0.2)) | ((near + reach > high) & (along > 0.2))
    return int(np.flatnonzero(cut.any(axis=1)).max(initial=-1)) + 1


def _move_ends(graph: SkeletonGraph, mask: np.ndarray, spacing: np.ndarray, radius_at) -> None:
    """Move free ends to the volume's face or, inside the volume, to one radius before the mask's surface."""
    limit = np.array(mask.shape)
    low, high = -spacing / 2, (limit - 0.5) * spacing
    if limit[0] == 1:
        low[0], high[0] = -np.inf, np.inf
    for node, keys in graph.incident().items():
        if len(keys) != 1:
            continue
        edge = graph.edges[keys[0]]
        points = edge.from_node(node)
        radius = float(np.median(radius_at(points[: int(1.5 / STEP_UM)])))
        points = points[_cut_points(points, radius, low, high) :]
        edge.points = points if edge.a == node else points[::-1]
        direction = graph.outward(node, edge)
        travel = np.arange(0.0, 6 * radius + 1.0, float(spacing[1:].min()) / 4)
        line = (points[0] + travel[:, None] * direction) / spacing
        voxel = np.rint(line).astype(int)
        within = np.all((voxel >= 0) & (voxel < limit), axis=1)
        held = within.copy()
        held[within] = mask[tuple(voxel[within].T)]
        leave = int(np.argmin(held)) if not held.all() else len(travel) - 1
        move = float(travel[leave]) - (0.0 if not within[leave] else radius)
        if move > 0:
            points = np.vstack([points[0] + move * direction, points])
        else:
            arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
            points = points[min(int(np.searchsorted(arc, min(-move, radius))), len(points) - 2) :]
        graph.nodes[node] = points[0]
        edge.points = points if edge.a == node else points[::-1]


def _directed(graph: SkeletonGraph, nodes: set[int], radius_at) -> tuple[Branch, ...]:
    """Return the branches of one connected piece, directed away from its thickest end."""
    edges = {key: edge for key, edge in graph.edges.items() if edge.a in nodes}
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
        branches.append(Branch(points, radius, number[start], number[end], float(distance[start]), order[start]))
    return tuple(sorted(branches, key=lambda branch: (branch.start_um, branch.end)))
