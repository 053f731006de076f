"""Raw skeleton paths to smooth centre lines: centred on the mask, with radii, and with their ends in the right place.

The network of paths is a `SkeletonGraph`; its edges change in place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from spinecore.tracing.edge import Edge, arc_lengths
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.sections import Sections, sections, tangents

#: Maps points (n, 3) in um to shaft radii (n,) in um.
RadiusFunction = Callable[[np.ndarray], np.ndarray]

#: Distance of neighbouring centre line points, in um.
STEP_UM = 0.1
#: A shaft that a face of the volume cuts lengthwise is continued straight to the face over at most this length (um).
LONGEST_CUT_UM = 4.0


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
    arc = arc_lengths(points)
    n = max(int(np.ceil(arc[-1] / step_um)), 2)
    even = np.linspace(0.0, arc[-1], n + 1)
    path = np.stack([np.interp(even, arc, points[:, axis]) for axis in range(3)], axis=1)
    sigma = min(sigma_um, arc[-1] / 4) / max(arc[-1] / n, 1e-9)
    first, last = path[0], path[-1]
    odd = np.vstack([2 * first - path[:0:-1], path, 2 * last - path[-2::-1]])
    return ndi.gaussian_filter1d(odd, sigma, axis=0, mode="nearest")[n : 2 * n + 1]


def radius_function(mask: np.ndarray, spacing: np.ndarray) -> RadiusFunction:
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


def section_sigma_um(spacing: np.ndarray, flat: bool) -> float:
    """Return the width of the Gaussian that smooths cross-sections along a shaft, in um."""
    return 0.5 if flat else float(np.clip(0.75 * spacing[0], 0.5, 1.0))


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


def _edge_sections(
    graph: SkeletonGraph, cloud: np.ndarray, shape: tuple, spacing: np.ndarray
) -> Iterator[tuple[Edge, Sections]]:
    """Yield (edge, its cross-sections), smoothed over about one radius or one z step, whichever is longer."""
    flat = shape[0] == 1
    keys, first, nearest = _assigned(graph, cloud)
    order = np.argsort(nearest, kind="stable")
    bounds = np.searchsorted(nearest[order], first)
    sigma_um = section_sigma_um(spacing, flat)
    for i, key in enumerate(keys):
        edge = graph.edges[key]
        own = order[bounds[i] : bounds[i + 1]]
        step = max(edge.length / (len(edge.points) - 1), 1e-6)
        sigma = min(sigma_um, edge.length / 4) / step
        yield edge, sections(edge.points, nearest[own] - first[i], cloud[own], spacing, sigma, flat)


def recentre(graph: SkeletonGraph, cloud: np.ndarray, shape: tuple, spacing: np.ndarray) -> None:
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


def section_radii(
    graph: SkeletonGraph, cloud: np.ndarray, shape: tuple, spacing: np.ndarray
) -> RadiusFunction:
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


def _to_face(point: np.ndarray, direction: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    """Return the distance from a point to the first face of the volume in a direction."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(direction > 0, high - point, low - point) / direction
    return float(np.min(np.where(np.abs(direction) > 1e-6, np.maximum(distance, 0.0), np.inf)))


def _meets(mask: np.ndarray, point: np.ndarray, radius: float, spacing: np.ndarray) -> bool:
    """Tell whether the mask has a voxel within half a radius of a point, along each axis."""
    low = np.clip(np.rint((point - radius / 2) / spacing).astype(int), 0, np.array(mask.shape) - 1)
    high = np.clip(np.rint((point + radius / 2) / spacing).astype(int), 0, np.array(mask.shape) - 1)
    return bool(mask[tuple(slice(a, b + 1) for a, b in zip(low, high, strict=True))].any())


def _cut_by_face(
    points: np.ndarray, arc: np.ndarray, radius_at: RadiusFunction, low: np.ndarray, high: np.ndarray
) -> float:
    """Return the length at a free end in which a face of the volume cuts the shaft lengthwise.

    A tilted shaft goes on beyond the point where its axis leaves the volume, and the centroids of what is left of it bend
    along the face. 0 where the shaft is whole, or is cut for longer than `LONGEST_CUT_UM`.
    """
    inner = points[(arc > 1.0) & (arc < LONGEST_CUT_UM + 1.0)]
    if len(inner) == 0:
        return 0.0
    radius = float(np.median(radius_at(inner)))
    clearance = np.minimum(points - low, high - points).min(axis=1)
    whole = np.flatnonzero(clearance >= radius)
    if len(whole) == 0 or arc[whole[0]] > min(LONGEST_CUT_UM, arc[-1] / 2):
        return 0.0
    return float(arc[whole[0]])


def move_ends(graph: SkeletonGraph, mask: np.ndarray, spacing: np.ndarray, radius_at: RadiusFunction) -> None:
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
        # near an end the cross-sections are cut obliquely, so their centroids are off the axis: a straight line is better
        arc = arc_lengths(points)
        trim = min(radius / 2 + section_sigma_um(spacing, limit[0] == 1), arc[-1] / 4)
        trim = max(trim, _cut_by_face(points, arc, radius_at, low, high))
        points = points[int(np.searchsorted(arc, trim)) :]
        edge.points = points if edge.a == node else points[::-1]
        direction = graph.outward(node, edge, 1.0)
        face = _to_face(points[0], direction, low, high)
        if face < trim + 2 * radius and _meets(mask, points[0] + face * direction, radius, spacing):
            graph.nodes[node] = points[0] + face * direction
            points = np.vstack([graph.nodes[node], points])
            edge.points = points if edge.a == node else points[::-1]
            continue
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
            arc = arc_lengths(points)
            points = points[min(int(np.searchsorted(arc, min(-move, radius))), len(points) - 2) :]
        graph.nodes[node] = points[0]
        edge.points = points if edge.a == node else points[::-1]
