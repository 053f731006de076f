"""The graph of a raw skeleton: pruned, freed of small loops and joined over gaps.

Nodes are end points and junctions; edges are polylines (ZYX, um). All operations change the graph in place; none knows
about voxels any more. Every operation looks only at the surroundings of what it changes, so that the thousands of small
pieces that haze in a real image leaves cost no more than their number (`benchmarks.tracing`).
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable

import networkx as nx
import numpy as np
from scipy.spatial import cKDTree

from spinecore.tracing.edge import Edge, arc_lengths
from spinecore.tracing.paths import skeleton_paths


class SkeletonGraph:
    """Nodes (positions in um) and edges of one or more skeletons.

    Attributes
    ----------
    nodes : dict of int to ndarray, shape (3,)
        ZYX in um, by number.
    edges : dict of int to Edge
        By number. Numbers are given once, in order, to nodes and edges alike.
    net : networkx.MultiGraph
        Which node each edge joins; the keys are the edges' numbers.
    degree : dict of int to int
        Number of edges at each node, a loop counted twice (networkx counts anew each time).
    """

    def __init__(self) -> None:
        self.nodes: dict[int, np.ndarray] = {}
        self.edges: dict[int, Edge] = {}
        self.net = nx.MultiGraph()
        self.degree: dict[int, int] = {}
        self._last = 0

    def add_node(self, point: np.ndarray) -> int:
        """Add a node and return its number."""
        self._last += 1
        self.nodes[self._last] = np.asarray(point, float)
        self.net.add_node(self._last)
        self.degree[self._last] = 0
        return self._last

    def add_edge(self, a: int, b: int, points: np.ndarray) -> int:
        """Add an edge and return its number."""
        return self._add(Edge(a, b, np.asarray(points, float)))

    def _add(self, edge: Edge) -> int:
        self._last += 1
        self._link(self._last, edge)
        return self._last

    def _replace(self, key: int, a: int, b: int, points: np.ndarray) -> None:
        """Replace the edge of a number."""
        self._unlink(key)
        self._link(key, Edge(a, b, points))

    def _take(self, key: int) -> Edge:
        """Remove an edge and return it; its nodes stay."""
        self._unlink(key)
        return self.edges.pop(key)

    def _link(self, key: int, edge: Edge) -> None:
        self.edges[key] = edge
        self.net.add_edge(edge.a, edge.b, key)
        for node in (edge.a, edge.b):
            self.degree[node] += 1

    def _unlink(self, key: int) -> None:
        edge = self.edges[key]
        self.net.remove_edge(edge.a, edge.b, key)
        for node in (edge.a, edge.b):
            self.degree[node] -= 1

    def _drop_node(self, node: int) -> None:
        del self.nodes[node], self.degree[node]
        self.net.remove_node(node)

    def keys_at(self, node: int) -> list[int]:
        """Return the numbers of the edges at a node, in order; a loop counts twice."""
        return sorted(
            key
            for neighbour, keys in self.net.adj[node].items()
            for key in keys
            for _ in range(1 + (neighbour == node))
        )

    def keys_of(self, nodes: Iterable[int]) -> list[int]:
        """Return the edges at any of some nodes, in order."""
        return sorted({key for node in nodes for key in self.keys_at(node)})

    def incident(self) -> dict[int, list[int]]:
        """Return the edges at each node; a loop counts twice."""
        return {node: self.keys_at(node) for node in self.nodes}

    def add_skeleton(self, skeleton: np.ndarray, step_um: np.ndarray, offset_um: np.ndarray) -> None:
        """Add a thinned mask (2 or 3 axes), whose voxel (0, 0, 0) lies at `offset_um` (ZYX).

        Junctions of several adjacent voxels become one node.
        """
        voxels, paths = skeleton_paths(skeleton, step_um[-skeleton.ndim :])
        coordinates = np.zeros((len(voxels), 3))
        coordinates[:, 3 - skeleton.ndim :] = voxels
        coordinates = coordinates * step_um + offset_um
        number: dict[int, int] = {}
        for path in paths:
            ends = []
            for pixel in (path[0], path[-1]):
                if pixel not in number:
                    number[pixel] = self.add_node(coordinates[pixel])
                ends.append(number[pixel])
            self.add_edge(ends[0], ends[1], coordinates[path])
        self._contract(set(number.values()), 2.5 * float(np.max(step_um)))

    def _contract(self, piece: set[int], limit_um: float) -> None:
        """Merge the junctions of a piece that are joined by an edge shorter than `limit_um`, until none is left."""
        while True:
            merged, keys = nx.utils.UnionFind(sorted(piece)), set()
            junctions = {node for node in piece if self.degree[node] > 2}
            for key in self.keys_of(piece):
                edge = self.edges[key]
                if edge.a in junctions and edge.b in junctions and edge.length < limit_um:
                    merged.union(edge.a, edge.b)
                    keys.add(key)
            if not keys:
                break
            for key in keys:
                self._take(key)
            for group in merged.to_sets():
                if len(group) > 1:
                    self._merge(sorted(group))
            piece &= set(self.nodes)
            self.dissolve(piece)
            piece &= set(self.nodes)
        self.dissolve(piece)

    def _merge(self, group: list[int]) -> None:
        """Make one node of several, at their mean; edges are drawn to it."""
        keep = group[0]
        self.nodes[keep] = np.mean([self.nodes[node] for node in group], axis=0)
        for key in self.keys_of(group):
            edge = self.edges[key]
            a, b = (keep if node in group else node for node in (edge.a, edge.b))
            points = edge.points.copy()
            points[0], points[-1] = self.nodes[a], self.nodes[b]
            self._replace(key, a, b, points)
        for node in group[1:]:
            self._drop_node(node)

    def remove_edge(self, key: int) -> list[int]:
        """Remove an edge and the nodes that it leaves alone; join the edges at those that it leaves with two.

        Returns
        -------
        list of int
            The edges that were made by joining.
        """
        edge = self._take(key)
        return self.dissolve({edge.a, edge.b})

    def dissolve(self, nodes: Collection[int] | None = None) -> list[int]:
        """Join the two edges at each node of degree 2, and drop nodes without an edge.

        Parameters
        ----------
        nodes : collection of int, optional
            Look only at these; at all otherwise.

        Returns
        -------
        list of int
            The edges that were made by joining and are still there.
        """
        few = [node for node in (self.nodes if nodes is None else nodes) if self.degree[node] <= 2]
        at = {node: self.keys_at(node) for node in sorted(few)}
        made = []
        for node, keys in at.items():
            if not keys:
                self._drop_node(node)
            elif len(keys) == 2 and keys[0] != keys[1]:
                edge = Edge.joined(self._take(keys[0]), node, self._take(keys[1]))
                joined = self._add(edge)
                made.append(joined)
                for end, old in zip((edge.a, edge.b), keys, strict=True):
                    if end in at:
                        at[end][at[end].index(old)] = joined
                self._drop_node(node)
        return [key for key in made if key in self.edges]

    def prune(self, twig_um: float, radius_at: Callable[[np.ndarray], np.ndarray]) -> None:
        """Remove end pieces that reach less than `twig_um` beyond the shaft's surface, shortest first.

        Parameters
        ----------
        twig_um : float
            Longest piece to remove, beyond the radius of the shaft at its junction.
        radius_at : callable
            Maps points (n, 3) in um to the shaft's radii (n,) in um.
        """
        queue = self._twigs(self.edges, twig_um, radius_at)
        heapq.heapify(queue)
        while queue:
            key = heapq.heappop(queue)[1]
            if key in self.edges:
                # a twig stays one until it is joined or removed; only a joined edge can become one
                for twig in self._twigs(self.remove_edge(key), twig_um, radius_at):
                    heapq.heappush(queue, twig)

    def _twigs(
        self, keys: Iterable[int], twig_um: float, radius_at: Callable[[np.ndarray], np.ndarray]
    ) -> list[tuple[float, int]]:
        """Return (length beyond the shaft's surface, key) of the edges that lead from a junction to a free end near it."""
        found, junctions = [], []
        for key in keys:
            edge = self.edges[key]
            degrees = self.degree[edge.a], self.degree[edge.b]
            if min(degrees) == 1 and max(degrees) > 2:
                found.append(key)
                junctions.append(self.nodes[edge.a if degrees[0] > degrees[1] else edge.b])
        if not found:
            return []
        radii = radius_at(np.array(junctions))
        near = [(key, float(r)) for key, r in zip(found, radii, strict=True)]
        near = [(key, r) for key, r in near if self.edges[key].shorter_than(twig_um + r + 1e-6)]
        twigs = [(self.edges[key].length - r, key) for key, r in near]
        return [twig for twig in twigs if twig[0] < twig_um]

    def open_loops(self, limit_um: float) -> None:
        """Remove the longest edge of each loop with a perimeter below `limit_um` (holes of the mask).

        Edges are tried from the longest on. One that is in no short loop is never tried again: removing others only
        makes its loops longer, and a joined edge is in no loop in which its parts were not.
        """
        bridges = {frozenset(ends) for ends in nx.bridges(self.net)}
        queue = [
            (-edge.length, key)
            for key, edge in self.edges.items()
            if edge.length < limit_um and frozenset((edge.a, edge.b)) not in bridges
        ]
        heapq.heapify(queue)
        while queue:
            key = heapq.heappop(queue)[1]
            if key in self.edges and self.in_short_loop(key, limit_um):
                for joined in self.remove_edge(key):
                    if self.edges[joined].shorter_than(limit_um):
                        heapq.heappush(queue, (-self.edges[joined].length, joined))

    def in_short_loop(self, key: int, limit_um: float) -> bool:
        """Return whether the ends of an edge are joined without it by a path that makes a loop below the limit."""
        edge = self.edges[key]
        budget = limit_um - edge.length
        if edge.a == edge.b:
            return True
        nearest, queue = {edge.a: 0.0}, [(0.0, edge.a)]
        while queue:  # Dijkstra's search, within the budget
            distance, node = heapq.heappop(queue)
            if distance > nearest[node]:
                continue
            for neighbour, between in self.net.adj[node].items():
                for other in between:
                    if other == key or not self.edges[other].shorter_than(budget - distance + 1e-6):
                        continue
                    reached = distance + self.edges[other].length
                    if reached <= budget and reached < nearest.get(neighbour, np.inf):
                        if neighbour == edge.b:
                            return True
                        nearest[neighbour] = reached
                        heapq.heappush(queue, (reached, neighbour))
        return False

    def components(self) -> list[set[int]]:
        """Return the nodes of each connected piece."""
        return [set(group) for group in nx.connected_components(self.net)]

    def remove_component(self, nodes: set[int]) -> None:
        """Remove a connected piece."""
        for key in self.keys_of(nodes):
            self._take(key)
        for node in nodes:
            self._drop_node(node)

    def outward(self, node: int, edge: Edge, reach_um: float = 1.5) -> np.ndarray:
        """Return the unit direction in which an end points, measured over the last `reach_um`."""
        points = edge.from_node(node)
        arc = arc_lengths(points)
        back = points[min(int(np.searchsorted(arc, reach_um)), len(points) - 1)]
        direction = points[0] - back
        return direction / max(float(np.linalg.norm(direction)), 1e-9)

    def join_gaps(self, max_gap_um: float) -> None:
        """Join ends of different pieces that point at each other over at most `max_gap_um`, nearest first."""
        ends = [node for node in self.nodes if self.degree[node] == 1]
        if len(ends) < 2:
            return
        piece = nx.utils.UnionFind(self.nodes)
        for edge in self.edges.values():
            piece.union(edge.a, edge.b)
        position = np.array([self.nodes[node] for node in ends])
        heading = np.array([self.outward(node, self.edges[self.keys_at(node)[0]]) for node in ends])
        near = cKDTree(position).query_pairs(max_gap_um * (1 + 1e-9), output_type="ndarray")
        step = position[near[:, 1]] - position[near[:, 0]]
        distance = np.linalg.norm(step, axis=1)
        unit = step / np.maximum(distance, 1e-9)[:, None]
        onward = np.einsum("ij,ij->i", heading[near[:, 0]], unit)
        towards = -np.einsum("ij,ij->i", heading[near[:, 1]], unit)
        facing = (distance <= max_gap_um) & (np.minimum(onward, towards) > 0.7)
        used: set[int] = set()
        for _, i, j in sorted(zip(distance[facing], *near[facing].T, strict=True)):
            a, b = ends[i], ends[j]
            if a in used or b in used or piece[a] == piece[b]:
                continue
            used |= {a, b}
            piece.union(a, b)
            self.add_edge(a, b, np.vstack([self.nodes[a], self.nodes[b]]))
        self.dissolve()

    def split_crossings(self, radius_at: Callable[[np.ndarray], np.ndarray], straight: float = 0.9) -> None:
        """Take apart junctions where two straight lines cross.

        Two junctions within 1.5 shaft diameters count as one. At a junction of four edges that form two pairs of
        opposite headings (cosine above `straight`), each pair becomes one continuous line.
        """
        for key in list(self.edges):
            edge = self.edges.get(key)  # an earlier crossing may have moved or removed it
            if edge is None or edge.a == edge.b:
                continue
            if self.degree[edge.a] == 3 and self.degree[edge.b] == 3:
                reach = 3.0 * float(radius_at(self.nodes[edge.a][None])[0])
                if edge.length < reach:
                    self._uncross([edge.a, edge.b], key, straight, reach)
        for node in list(self.nodes):
            if node in self.nodes and len(set(self.keys_at(node))) == self.degree[node] == 4:
                self._uncross([node], None, straight, 3.0 * float(radius_at(self.nodes[node][None])[0]))
        self.dissolve()

    def _uncross(self, centre: list[int], between: int | None, straight: float, reach: float) -> None:
        arms = [(node, key) for node in centre for key in self.keys_of([node]) if key != between]
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
            self._take(between)
        for node in centre:
            self._drop_node(node)

    def _detach(self, node: int, key: int, trim_um: float) -> int:
        """Cut `trim_um` off an edge at `node`, give it an end of its own there, and return that node."""
        edge = self.edges[key]
        points = edge.from_node(node)
        arc = arc_lengths(points)
        points = points[min(int(np.searchsorted(arc, trim_um)), len(points) - 2) :]
        fresh = self.add_node(points[0])
        self._replace(key, fresh, edge.other(node), points.copy())
        return fresh
