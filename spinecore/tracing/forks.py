"""Forks of centre lines: a branch begins on the axis of the shaft that it leaves.

Where a branch leaves at a small angle, both run in one mask for a while. The skeleton there is a single line between both
axes, so the shaft is drawn towards its branch and the branch loses its first micrometres. Here the shaft is continued
straight past the fork and the branch is continued backwards to it, along the direction that it has where it is free.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from spinecore.tracing.edge import Edge, arc_lengths
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.refine import STEP_UM, RadiusFunction, smooth_path

#: The shaft goes on through a fork where it turns by less than this.
STRAIGHT_COSINE = -0.7
#: A branch is free of the shaft this many shaft radii from its axis.
FREE_RADII = 1.6
#: Length over which a direction is taken, and the farthest that a branch is continued backwards (um).
DIRECTION_UM, REACH_UM = 1.5, 5.0


def straighten_forks(graph: SkeletonGraph, radius_at: RadiusFunction) -> None:
    """Redraw every fork of three edges of which two go straight on; edges and the fork's node change in place."""
    for node, keys in graph.incident().items():
        if len(keys) != 3 or len(set(keys)) != 3:
            continue
        edges = [graph.edges[key] for key in keys]
        if min(edge.length for edge in edges) < 2 * DIRECTION_UM:
            continue
        found = _redrawn(node, edges, radius_at)
        if found is None:
            continue
        graph.nodes[node] = found[0][1][0]
        for edge, points in found:
            edge.points = points if edge.a == node else points[::-1]


def _heading(points: np.ndarray, start_um: float) -> np.ndarray:
    """Return the unit direction of a polyline over `DIRECTION_UM` from an arc length on."""
    arc = arc_lengths(points)
    first = min(int(np.searchsorted(arc, start_um)), len(points) - 2)
    last = max(min(int(np.searchsorted(arc, start_um + DIRECTION_UM)), len(points) - 1), first + 1)
    step = points[last] - points[first]
    return step / max(float(np.linalg.norm(step)), 1e-9)


def _redrawn(node: int, edges: list[Edge], radius_at: RadiusFunction) -> list[tuple[Edge, np.ndarray]] | None:
    """Return the new points of each edge from the fork on; None where no two go straight on or nothing is gained."""
    lines = [edge.from_node(node) for edge in edges]
    radius = float(np.median(np.concatenate([radius_at(p[: int(3.0 / STEP_UM)]) for p in lines])))
    out = [_heading(points, radius) for points in lines]
    cosines = {(i, j): float(out[i] @ out[j]) for i, j in ((0, 1), (0, 2), (1, 2))}
    (i, j), cosine = min(cosines.items(), key=lambda item: item[1])
    if cosine > STRAIGHT_COSINE:
        return None
    branch = 3 - i - j
    shaft = _straight(lines[i], lines[j], 2 * radius)
    distance = cKDTree(shaft).query(lines[branch])[0]
    free = np.flatnonzero(distance > FREE_RADII * radius)
    if not len(free):
        return None
    first = int(free[0])
    arc = arc_lengths(lines[branch])
    if arc[first] > REACH_UM or arc[-1] - arc[first] < DIRECTION_UM:
        return None
    direction = _heading(lines[branch][first:], 0.0)
    travel = np.arange(0.0, REACH_UM, STEP_UM)
    back = lines[branch][first] - travel[:, None] * direction
    gap, nearest = cKDTree(shaft).query(back)
    stop = int(np.argmin(gap))
    at = int(nearest[stop])
    if gap[stop] > radius or not 2 < at < len(shaft) - 3:
        return None
    start = np.vstack([shaft[at], back[:stop][::-1]]) if stop else shaft[at][None]
    begun = smooth_path(np.vstack([start, lines[branch][first:]]), STEP_UM, 0.2)
    return [(edges[i], shaft[: at + 1][::-1]), (edges[j], shaft[at:]), (edges[branch], begun)]


def _straight(one: np.ndarray, other: np.ndarray, cut_um: float) -> np.ndarray:
    """Join two edges that begin at a fork into one line, straight within `cut_um` of it."""
    left, right = (p[min(int(np.searchsorted(arc_lengths(p), cut_um)), len(p) - 2) :] for p in (one, other))
    return smooth_path(np.vstack([left[::-1], right]), STEP_UM, 0.3)
