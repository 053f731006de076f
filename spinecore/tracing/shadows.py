"""One shaft has one line: lines in the blur of a brighter one are taken away, and folds within a shaft are pulled straight.

See `spinecore.tracing.blur`: two places are the same body where nothing darker lies between them. So a line is the
*shadow* of another where the image is nowhere darker between them and the other is within the blur's reach: above or below
it, or beside it within its radius and a margin that grows with depth, as a cone of light does.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from scipy import ndimage as ndi
from scipy.spatial import cKDTree

from spinecore.tracing.edge import Edge, arc_lengths
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.refine import RadiusFunction

#: How far above or below a shaft a line may be its shadow, in heights of the shaft (all of its light above half), and at most
#: (um).
HEIGHTS, AXIAL_UM = 1.0, 8.0
#: How far beside the shaft's surface, in heights, and how much more for each um of depth.
BESIDE, CONE = 0.2, 0.4
#: Nothing darker lies between two places where the light between them is at least this share of that of the darker one.
NO_GAP = 0.85
#: A line is the shadow only of one at least this bright in comparison.
BRIGHT = 0.6
#: A line goes where at least this share of it is shadow.
SHARE = 0.7
#: A line with no free end goes only where it is in a loop of at most this perimeter (um), so nothing is cut in two.
LOOP_UM = 60.0
#: A line that comes back to within this (um) of where it was, over at least `FOLD` times the way, is pulled straight.
CHORD_UM, WAY_UM, FOLD = 6.0, 25.0, 1.1
#: Shorter chords are left as they are (um).
LEAST_CHORD_UM = 0.3
#: Lines are looked at every so many um, and between two places at so many.
STEP_UM = 0.4
BETWEEN = 12
_ROUNDS = 6


@dataclass(frozen=True)
class Light:
    """The light of a stack (`spinecore.tracing.blur.light_of`), asked at places in um."""

    voxels: np.ndarray
    spacing: np.ndarray

    def at(self, points_um: np.ndarray) -> np.ndarray:
        """Return the light at points (n, 3), linear between voxels."""
        return ndi.map_coordinates(self.voxels, (points_um / self.spacing).T, order=1, mode="nearest")

    def height_at(self, points_um: np.ndarray) -> np.ndarray:
        """Return over what length (um) around points (n, 3) the light along z is above half of that at the point."""
        place = np.rint(points_um / self.spacing).astype(int)
        z, y, x = np.clip(place, 0, np.array(self.voxels.shape) - 1).T
        column = self.voxels[:, y, x]
        half = 0.5 * column[z, np.arange(len(z))]
        count = np.ones(len(z), int)
        for way in (1, -1):
            on = np.ones(len(z), bool)
            for step in range(1, int(np.ceil(AXIAL_UM / self.spacing[0])) + 1):
                at = z + way * step
                on &= (at >= 0) & (at < len(column))
                on &= column[np.clip(at, 0, len(column) - 1), np.arange(len(z))] > half
                count += on
        return count * self.spacing[0]

    def least_between(self, one_um: np.ndarray, other_um: np.ndarray) -> np.ndarray:
        """Return the least light on each straight line between points (n, 3)."""
        least = np.full(len(one_um), np.inf)
        for part in np.linspace(0, 1, BETWEEN):
            np.minimum(least, self.at(one_um + part * (other_um - one_um)), out=least)
        return least


@dataclass(frozen=True)
class _Samples:
    """Points every `STEP_UM` on all edges: place, direction, number of the edge, length that each stands for."""

    points: np.ndarray
    along: np.ndarray
    edge: np.ndarray
    length: np.ndarray

    @classmethod
    def of(cls, edges: list[Edge]) -> _Samples:
        points, along, number, length = [], [], [], []
        for k, edge in enumerate(edges):
            own, step = _even(edge.points)
            tangent = np.gradient(own, axis=0)
            points.append(own)
            along.append(tangent / np.maximum(np.linalg.norm(tangent, axis=1), 1e-9)[:, None])
            number.append(np.full(len(own), k))
            length.append(np.full(len(own), step))
        return cls(*(np.concatenate(parts) for parts in (points, along, number, length)))


def remove_shadows(graph: SkeletonGraph, light: Light, radius_at: RadiusFunction) -> None:
    """Remove the lines that are the shadow of a stronger one (light times length), weakest first.

    Parameters
    ----------
    graph : SkeletonGraph
        Changed in place.
    light : Light
    radius_at : callable
        Maps points (n, 3) in um to the shaft's radii (n,) in um.
    """
    for _ in range(_ROUNDS):
        if len(graph.edges) < 2 or not _remove_round(graph, light, radius_at):
            return


def _remove_round(graph: SkeletonGraph, light: Light, radius_at: RadiusFunction) -> bool:
    """Remove shadows as the lines are now; say whether any went. What was joined is looked at in the next round."""
    keys = list(graph.edges)
    samples = _Samples.of([graph.edges[key] for key in keys])
    bright = light.at(samples.points)
    strength = np.bincount(samples.edge, bright * samples.length)
    length = np.bincount(samples.edge, samples.length)
    shaded_by: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for i, j in _shadow_pairs(samples, bright, strength, light, radius_at):
        shaded_by[int(samples.edge[i])].append((int(i), int(samples.edge[j])))
    gone: set[int] = set()
    for number in sorted(shaded_by, key=lambda k: strength[k]):
        shaded = sorted({i for i, by in shaded_by[number] if by not in gone})
        if samples.length[shaded].sum() >= SHARE * length[number] and _may_go(graph, keys[number]):
            graph.remove_edge(keys[number])
            gone.add(number)
    return bool(gone)


def _may_go(graph: SkeletonGraph, key: int) -> bool:
    """Say whether an edge is still there and its removal cuts nothing in two."""
    if key not in graph.edges:
        return False
    edge = graph.edges[key]
    return min(graph.degree[edge.a], graph.degree[edge.b]) == 1 or graph.in_short_loop(key, LOOP_UM)


def _shadow_pairs(
    samples: _Samples, bright: np.ndarray, strength: np.ndarray, light: Light, radius_at: RadiusFunction
) -> np.ndarray:
    """Return (point in the shadow, point that casts it) as rows of sample numbers."""
    points, edge = samples.points, samples.edge
    radius, height = radius_at(points), light.height_at(points)
    deepest = np.minimum(HEIGHTS * height, AXIAL_UM)
    beside = BESIDE * height + radius
    widest = float((beside + CONE * deepest).max())
    scaled = points / (deepest.max(), widest, widest)
    pairs = cKDTree(scaled).query_pairs(2**0.5, output_type="ndarray")
    pairs = pairs[edge[pairs[:, 0]] != edge[pairs[:, 1]]]
    weaker_first = strength[edge[pairs[:, 0]]] < strength[edge[pairs[:, 1]]]
    i, j = np.where(weaker_first[:, None], pairs, pairs[:, ::-1]).T
    away = points[j] - points[i]
    depth, aside = np.abs(away[:, 0]), np.hypot(away[:, 1], away[:, 2])
    # the next piece of the same shaft lies ahead, not beside
    ahead = np.abs((away[:, 1:] * samples.along[i, 1:]).sum(1))
    near = (depth <= deepest[j]) & (aside <= beside[j] + CONE * depth)
    near &= (bright[j] >= BRIGHT * bright[i]) & ((ahead <= 0.5 * aside) | (aside < 0.3))
    i, j = i[near], j[near]
    open_ = light.least_between(points[i], points[j]) >= NO_GAP * np.minimum(bright[i], bright[j])
    return np.stack([i[open_], j[open_]], 1)


def pull_straight(graph: SkeletonGraph, light: Light) -> None:
    """Shorten the lines that fold back on themselves within one body, along chords with nothing darker on them."""
    for edge in graph.edges.values():
        if edge.a != edge.b and edge.length >= 2.0:
            edge.points = _pulled(edge.points, light)


def _pulled(points: np.ndarray, light: Light) -> np.ndarray:
    """Return the shortest way along a line (n, 3) and the chords that may be taken; the line itself where there is none."""
    inner, _ = _even(points)
    line = np.vstack([points[:1], inner, points[-1:]])
    arc = arc_lengths(line)
    n, reach = len(line), int(WAY_UM / STEP_UM)
    i, j = (part.ravel() for part in np.broadcast_arrays(np.arange(n)[:, None], np.arange(2, reach + 1)))
    i, j = i[i + j < n], (i + j)[i + j < n]
    chord = np.linalg.norm(line[j] - line[i], axis=1)
    folded = (chord >= LEAST_CHORD_UM) & (chord <= CHORD_UM) & (arc[j] - arc[i] >= FOLD * chord)
    i, j, chord = i[folded], j[folded], chord[folded]
    if len(i):
        bright = light.at(line)
        clear = light.least_between(line[i], line[j]) >= NO_GAP * np.minimum(bright[i], bright[j])
        i, j, chord = i[clear], j[clear], chord[clear]
    if not len(i):
        return points
    order = np.argsort(j, kind="stable")
    i, j, chord = i[order], j[order], chord[order]
    first = np.searchsorted(j, np.arange(n + 1))
    way, before = np.zeros(n), np.arange(n) - 1
    for k in range(1, n):
        way[k] = way[k - 1] + arc[k] - arc[k - 1]
        chords = slice(first[k], first[k + 1])
        over = way[i[chords]] + chord[chords]
        if len(over) and over.min() < way[k]:
            best = int(np.argmin(over))
            way[k], before[k] = over[best], i[chords][best]
    path = [n - 1]
    while path[-1] > 0:
        path.append(int(before[path[-1]]))
    return line[path[::-1]] if len(path) < n else points


def _even(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return points about every `STEP_UM` along a line, at least two, none at its ends, and their distance."""
    arc = arc_lengths(points)
    n = max(int(np.ceil(arc[-1] / STEP_UM)), 2)
    even = (np.arange(n) + 0.5) / n * arc[-1]
    return np.stack([np.interp(even, arc, points[:, k]) for k in range(3)], 1), float(arc[-1]) / n
