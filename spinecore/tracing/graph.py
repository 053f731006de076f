"""The graph of a raw skeleton: built with skan, pruned, freed of small loops and joined over gaps.

Nodes are end points and junctions; edges are polylines (ZYX, um). All operations change the graph in place; none knows
about voxels any more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import networkx as nx
import numpy as np
from scipy import ndimage as ndi


def path_length(points: np.ndarray) -> float:
    """Return the arc length of a polyline of shape (n, 3)."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


@dataclass
class Edge:
    """One unbranched piece from node `a` to node `b`; `points` (n, 3) include both nodes."""

    a: int
    b: int
    points: np.ndarray

    @property
    def length(self) -> float:
        """Arc length in um."""
        return path_length(self.points)

    def other(self, node: int) -> int:
        """Return the node at the other end."""
        return self.b if node == self.a else self.a

    def from_node(self, node: int) -> np.ndarray:
        """Return the points, beginning at `node`."""
        return self.points if node == self.a else self.points[::-1]


def _without_isolated(skeleton: np.ndarray) -> np.ndarray:
    """Leave out voxels without a neighbour: they are no path."""
    pieces, n = ndi.label(skeleton, structure=np.ones((3,) * skeleton.ndim))
    large = np.bincount(pieces.ravel(), minlength=n + 1) > 1
    large[0] = False
    return large[pieces]


@dataclass
class SkeletonGraph:
    """Nodes (positions in um) and edges of one or more skeletons."""

    nodes: dict[int, np.ndarray] = field(default_factory=dict)
    edges: dict[int, Edge] = field(default_factory=dict)
    _next: int = 0

    def add_node(self, point: np.ndarray) -> int:
        """Add a node and return its number."""
        self._next += 1
        self.nodes[self._next] = np.asarray(point, float)
        return self._next

    def add_edge(self, a: int, b: int, points: np.ndarray) -> int:
        """Add an edge and return its number."""
        self._next += 1
        self.edges[self._next] = Edge(a, b, np.asarray(points, float))
        return self._next

    def incident(self) -> dict[int, list[int]]:
        """Return the edges at each node; a loop counts twice."""
        at: dict[int, list[int]] = {node: [] for node in self.nodes}
        for key, edge in self.edges.items():
            at[edge.a].append(key)
            at[edge.b].append(key)
        return at

    def add_skeleton(self, skeleton: np.ndarray, step_um: np.ndarray, offset_um: np.ndarray) -> None:
        """Add a thinned mask (2 or 3 axes), whose voxel (0, 0, 0) lies at `offset_um` (ZYX).

        Junctions of several adjacent voxels become one node.
        """
        from skan import Skeleton

        skeleton = _without_isolated(skeleton)
        if not skeleton.any():
            return
        traced = Skeleton(skeleton, spacing=tuple(step_um[-skeleton.ndim :]), keep_images=False)
        coordinates = np.zeros((len(traced.coordinates), 3))
        coordinates[:, 3 - skeleton.ndim :] = traced.coordinates
        coordinates = coordinates * step_um + offset_um
        number: dict[int, int] = {}
        for i in range(traced.n_paths):
            path = traced.path(i)
            ends = []
            for pixel in (int(path[0]), int(path[-1])):
                if pixel not in number:
                    number[pixel] = self.add_node(coordinates[pixel])
                ends.append(number[pixel])
            self.add_edge(ends[0], ends[1], coordinates[path])
        self._contract(2.5 * float(np.max(step_um)))

    def _contract(self, limit_um: float) -> None:
        """Merge junctions that are joined by an edge shorter than `limit_um`."""
        at = self.incident()
        merged = nx.utils.UnionFind(self.nodes)
        for key, edge in list(self.edges.items()):
            if len(at[edge.a]) > 2 and len(at[edge.b]) > 2 and edge.length < limit_um:
                merged.union(edge.a, edge.b)
                del self.edges[key]
        centre = {}
        for group in list(merged.to_sets()):
            keep = min(group)
            mean = np.mean([self.nodes[node] for node in group], axis=0)
            for node in group:
                centre[node] = keep
                if node != keep:
                    del self.nodes[node]
            self.nodes[keep] = mean
        for edge in self.edges.values():
            if (
                centre[edge.a] != edge.a
                or centre[edge.b] != edge.b
                or len(at[edge.a]) > 2
                or len(at[edge.b]) > 2
            ):
                edge.a, edge.b = centre[edge.a], centre[edge.b]
                edge.points = edge.points.copy()
                edge.points[0], edge.points[-1] = self.nodes[edge.a], self.nodes[edge.b]
        self.dissolve()

    def remove_edge(self, key: int) -> None:
        """Remove an edge and the nodes that it leaves alone."""
        edge = self.edges.pop(key)
        at = self.incident()
        for node in {edge.a, edge.b}:
            if not at[node]:
                del self.nodes[node]

    def dissolve(self) -> None:
        """Join the two edges at each node of degree 2, and drop isolated nodes."""
        at = self.incident()
        for node in list(self.nodes):
            if not at[node]:
                del self.nodes[node]
            elif len(at[node]) == 2 and at[node][0] != at[node][1]:
                first, second = (self.edges.pop(key) for key in at[node])
                points = np.vstack([first.from_node(node)[::-1], second.from_node(node)[1:]])
                key = self.add_edge(first.other(node), second.other(node), points)
                for end, old in ((first.other(node), at[node][0]), (second.other(node), at[node][1])):
                    at[end][at[end].index(old)] = key
                del self.nodes[node]

    def prune(self, twig_um: float, radius_at: Callable[[np.ndarray], np.ndarray]) -> None:
        """Remove end pieces that reach less than `twig_um` beyond the shaft's surface, shortest first.

        Parameters
        ----------
        twig_um : float
            Longest piece to remove, beyond the radius of the shaft at its junction.
        radius_at : callable
            Maps points (n, 3) in um to the shaft's radii (n,) in um.
        """
        while True:
            at = self.incident()
            twigs = []
            for key, edge in self.edges.items():
                degrees = len(at[edge.a]), len(at[edge.b])
                if min(degrees) == 1 and max(degrees) > 2:
                    junction = edge.a if degrees[0] > degrees[1] else edge.b
                    twigs.append((edge.length - float(radius_at(self.nodes[junction][None])[0]), key))
            if not twigs or min(twigs)[0] >= twig_um:
                return
            self.remove_edge(min(twigs)[1])
            self.dissolve()

    def open_loops(self, limit_um: float) -> None:
        """Remove the longest edge of each loop with a perimeter below `limit_um` (holes of the mask)."""
        changed = True
        while changed:
            changed = False
            for key in sorted(self.edges, key=lambda k: -self.edges[k].length):
                edge = self.edges[key]
                rest = nx.Graph()
                rest.add_nodes_from(self.nodes)
                for other, e in self.edges.items():
                    if other != key and not (
                        rest.has_edge(e.a, e.b) and rest[e.a][e.b]["weight"] <= e.length
                    ):
                        rest.add_edge(e.a, e.b, weight=e.length)
                budget = limit_um - edge.length
                near = (
                    nx.single_source_dijkstra_path_length(rest, edge.a, cutoff=max(budget, 0.0))
                    if budget > 0
                    else {}
                )
                if edge.b in near:
                    self.remove_edge(key)
                    self.dissolve()
                    changed = True
                    break

    def components(self) -> list[set[int]]:
        """Return the nodes of each connected piece."""
        graph = nx.Graph()
        graph.add_nodes_from(self.nodes)
        graph.add_edges_from((edge.a, edge.b) for edge in self.edges.values())
        return [set(group) for group in nx.connected_components(graph)]

    def outward(self, node: int, edge: Edge, reach_um: float = 1.5) -> np.ndarray:
        """Return the unit direction in which an end points, measured over the last `reach_um`."""
        points = edge.from_node(node)
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        back = points[min(int(np.searchsorted(arc, reach_um)), len(points) - 1)]
        direction = points[0] - back
        return direction / max(float(np.linalg.norm(direction)), 1e-9)

    def join_gaps(self, max_gap_um: float) -> None:
        """Join ends of different pieces that point at each other over at most `max_gap_um`, nearest first."""
        at = self.incident()
        ends = [(n, keys[0]) for n, keys in at.items() if len(keys) == 1]
        if len(ends) < 2:
            return
        piece = nx.utils.UnionFind(self.nodes)
        for edge in self.edges.values():
            piece.union(edge.a, edge.b)
        position = np.array([self.nodes[n] for n, _ in ends])
        heading = np.array([self.outward(n, self.edges[k]) for n, k in ends])
        pairs = []
        for i in range(len(ends)):
            step = position[i + 1 :] - position[i]
            distance = np.linalg.norm(step, axis=1)
            for j in np.flatnonzero(distance <= max_gap_um):
                unit = step[j] / max(distance[j], 1e-9)
                if min(heading[i] @ unit, -heading[i + 1 + j] @ unit) > 0.7:
                    pairs.append((float(distance[j]), i, i + 1 + int(j)))
        used: set[int] = set()
        for _, i, j in sorted(pairs):
            a, b = ends[i][0], ends[j][0]
            if i in used or j in used or piece[a] == piece[b]:
                continue
            used |= {i, j}
            piece.union(a, b)
            self.add_edge(a, b, np.vstack([self.nodes[a], self.nodes[b]]))
        self.dissolve()

    def split_crossings(self, radius_at: Callable[[np.ndarray], np.ndarray], straight: float = 0.9) -> None:
        """Take apart junctions where two straight lines cross.

        Two junctions within 1.5 shaft diameters count as one. At a junction of four edges that form two pairs of
        opposite headings (cosine above `straight`), each pair becomes one continuous line.
        """
        at = self.incident()
        for key in list(self.edges):
            edge = self.edges.get(key)  # an earlier crossing may have moved or removed it
            if edge is None:
                continue
            if len(at[edge.a]) == 3 and len(at[edge.b]) == 3 and edge.a != edge.b:
                reach = 3.0 * float(radius_at(self.nodes[edge.a][None])[0])
                if edge.length < reach:
                    self._uncross([edge.a, edge.b], key, straight, reach)
                    at = self.incident()
        for node in list(self.nodes):
            if len(at.get(node, [])) == 4 and len(set(at[node])) == 4:
                self._uncross([node], None, straight, 3.0 * float(radius_at(self.nodes[node][None])[0]))
                at = self.incident()
        self.dissolve()

    def _uncross(self, centre: list[int], between: int | None, straight: float, reach: float) -> None:
        arms = [
            (node, key)
            for node in centre
            for key, edge in self.edges.items()
            if key != between and node in (edge.a, edge.b)
        ]
        if len(arms) != 4 or len({key for _, key in arms}) != 4:
            return
        heading = [-self.outward(node, self.edges[key], max(reach, 1.5)) for node, key in arms]
        best, pairs = -1.0, None
        for partner in (1, 2, 3):
            rest = [k for k in (1, 2, 3) if k != partner]
            worst = min(-heading[0] @ heading[partner], -heading[rest[0]] @ heading[rest[1]])
            if worst > best:
                best, pairs = worst, ((0, partner), tuple(rest))
        if best < straight or pairs is None:
            return
        for i, j in pairs:
            ends = [self._detach(*arms[k], 0.4 * reach) for k in (i, j)]
            self.add_edge(ends[0], ends[1], np.vstack([self.nodes[ends[0]], self.nodes[ends[1]]]))
        if between is not None:
            del self.edges[between]
        for node in centre:
            del self.nodes[node]

    def _detach(self, node: int, key: int, trim_um: float) -> int:
        """Cut `trim_um` off an edge at `node`, give it an end of its own there, and return that node."""
        edge = self.edges[key]
        points = edge.from_node(node)
        arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
        points = points[min(int(np.searchsorted(arc, trim_um)), len(points) - 2) :]
        fresh = self.add_node(points[0])
        self.edges[key] = Edge(fresh, edge.other(node), points.copy())
        return fresh
