"""The graph of raw centre lines: what it removes, and that its work grows with the number of edges only."""

import networkx as nx
import numpy as np
import pytest
from scipy import ndimage as ndi

from benchmarks.tracing import haze_graph, timed
from spinecore.tracing.edge import Edge, path_length
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.paths import skeleton_paths
from spinecore.tracing.trace import trace_dendrites


def lines(graph: SkeletonGraph) -> list[tuple]:
    """The edges as comparable values: their points from either end, sorted."""
    return sorted(min(e.points.tolist(), e.points[::-1].tolist()) for e in graph.edges.values())


def shortest_loop(graph: SkeletonGraph, key: int) -> float:
    """Perimeter of the shortest loop through an edge."""
    edge = graph.edges[key]
    net = nx.Graph()
    net.add_nodes_from(graph.nodes)
    for other, e in graph.edges.items():
        if other != key:
            old = net.get_edge_data(e.a, e.b, {"weight": np.inf})["weight"]
            net.add_edge(e.a, e.b, weight=min(old, path_length(e.points)))
    try:
        return path_length(edge.points) + nx.dijkstra_path_length(net, edge.a, edge.b)
    except nx.NetworkXNoPath:
        return np.inf


def test_loops_are_opened_as_when_every_edge_is_tried_again_after_each_removal():
    for seed in range(4):
        graph, plain = haze_graph(90, seed), haze_graph(90, seed)
        assert lines(graph) == lines(plain)
        before = len(graph.edges)
        graph.open_loops(8.0)
        while True:
            longest_first = sorted(plain.edges, key=lambda k: -path_length(plain.edges[k].points))
            key = next((k for k in longest_first if shortest_loop(plain, k) <= 8.0), None)
            if key is None:
                break
            plain.remove_edge(key)
            plain.dissolve()
        assert lines(graph) == lines(plain) and len(graph.edges) < before


def test_twigs_are_removed_shortest_first_and_their_shaft_becomes_one_edge():
    graph = SkeletonGraph()
    places = [(0.0, 0.0, x) for x in (0.0, 3.0, 5.0, 9.0)]
    nodes = [graph.add_node(np.array(place)) for place in places]
    for k in range(3):
        graph.add_edge(nodes[k], nodes[k + 1], np.linspace(places[k], places[k + 1], 5))
    for k, reach in ((1, 1.0), (2, 4.0)):
        tip = np.array([0.0, reach, places[k][2]])
        graph.add_edge(nodes[k], graph.add_node(tip), np.linspace(places[k], tip, 5))
    graph.prune(1.5, lambda points: np.full(len(points), 0.3))
    assert sorted(edge.length for edge in graph.edges.values()) == pytest.approx([4.0, 4.0, 5.0])
    assert graph.net.number_of_edges() == 3 and set(graph.net) == set(graph.nodes)


def test_the_length_of_an_edge_follows_its_points():
    edge = Edge(1, 2, np.array([[0.0, 0, 0], [0, 0, 1]]))
    assert edge.length == 1.0
    edge.points = np.array([[0.0, 0, 0], [0, 0, 3]])
    assert edge.length == 3.0


def straight(graph: SkeletonGraph, a: int, b: int) -> None:
    graph.add_edge(a, b, np.linspace(graph.nodes[a], graph.nodes[b], 6))


def shaft_with_twigs(edges: int) -> SkeletonGraph:
    """One long shaft with a twig of the same length every micrometre: all fall, one after the other along the shaft."""
    graph = SkeletonGraph()
    last = graph.add_node(np.zeros(3))
    for k in range(1, edges // 2 + 1):
        node = graph.add_node(np.array([0.0, 0.0, k]))
        straight(graph, last, node)
        straight(graph, node, graph.add_node(np.array([0.0, 0.5, k])))
        last = node
    return graph


def ladder(edges: int) -> SkeletonGraph:
    """Two rails with a rung every micrometre: each step is a loop of 3 um."""
    graph = SkeletonGraph()
    before: list[int] = []
    for k in range(edges // 3 + 1):
        here = [graph.add_node(np.array([0.0, y, k])) for y in (0.0, 0.5)]
        straight(graph, *here)
        for old, new in zip(before, here, strict=False):
            straight(graph, old, new)
        before = here
    return graph


def star(edges: int) -> SkeletonGraph:
    """One junction of all edges, as where haze has contracted to a point."""
    graph, rng = SkeletonGraph(), np.random.default_rng(0)
    centre = graph.add_node(np.zeros(3))
    for _ in range(edges):
        straight(graph, centre, graph.add_node(rng.normal(0, 1, 3)))
    return graph


@pytest.mark.parametrize("make", [haze_graph, shaft_with_twigs, ladder, star])
def test_the_work_grows_with_the_number_of_edges(make, monkeypatch):
    """Counted, not timed: lengths read, edges looked at around nodes, and points of lines that are measured."""
    work = {"n": 0}
    length, keys_at = Edge.length.fget, SkeletonGraph.keys_at

    def read_length(edge):
        work["n"] += 1
        return length(edge)

    def read_keys(graph, node):
        keys = keys_at(graph, node)
        work["n"] += 1 + len(keys)
        return keys

    def measured(points):
        work["n"] += len(points)
        return path_length(points)

    monkeypatch.setattr(Edge, "length", property(read_length))
    monkeypatch.setattr(SkeletonGraph, "keys_at", read_keys)
    monkeypatch.setattr("spinecore.tracing.edge.path_length", measured)
    per_edge = []
    for edges in (300, 3000):
        graph = make(edges)
        work["n"], size = 0, len(graph.edges)
        timed(graph)
        per_edge.append(work["n"] / size)
    assert per_edge[1] < 1.5 * per_edge[0]


def test_a_joined_edge_has_the_points_of_its_parts_in_order():
    graph = SkeletonGraph()
    places = [(0.0, 0.0, x) for x in (0.0, 1.0, 3.0, 6.0, 10.0)]
    nodes = [graph.add_node(np.array(place)) for place in places]
    for a, b in ((0, 1), (2, 1), (2, 3), (4, 3)):  # every other edge runs backwards
        straight(graph, nodes[a], nodes[b])
    graph.dissolve()
    (edge,) = graph.edges.values()
    x = edge.from_node(nodes[0])[:, 2]
    assert {edge.a, edge.b} == {nodes[0], nodes[4]} and edge.length == pytest.approx(10.0)
    assert len(x) == 4 * 5 + 1 and (np.diff(x) > 0).all() and (x[0], x[-1]) == (0.0, 10.0)
    assert edge.shorter_than(10.1) and not edge.shorter_than(10.0)


def test_a_volume_of_noise_is_traced():
    """Thousands of small pieces; before, each loop and twig searched all others, and the program seemed to hang."""
    noise = np.random.default_rng(0).standard_normal((12, 110, 110)).astype(np.float32)
    noise = ndi.gaussian_filter(noise, (0.25, 2, 2))
    mask = noise > np.quantile(noise, 0.95)
    assert ndi.label(mask, np.ones((3, 3, 3)))[1] > 150
    found = trace_dendrites(mask, (1.0, 0.12, 0.12), 3.0)
    lengths = [d.path_length_um for d in found]
    assert lengths and min(lengths) >= 3.0 and lengths == sorted(lengths, reverse=True)
    assert sum(lengths) < mask.sum() * 0.12


def test_paths_run_from_ends_and_junctions_and_round_rings():
    image = np.zeros((14, 14), bool)
    image[1, 1:8] = True  # a line with a branch from its middle
    image[2:6, 4] = True
    y, x = np.indices(image.shape)
    image |= abs(y - 9) + abs(x - 9) == 3  # a ring of twelve voxels
    image[10, 0] = True  # a voxel by itself
    voxels, paths = skeleton_paths(image, np.ones(2))
    ends = [{tuple(voxels[p[0]].tolist()), tuple(voxels[p[-1]].tolist())} for p in paths]
    on_paths = {tuple(voxels[k].tolist()) for p in paths for k in p}
    assert {(1, 1)} < ends[0] and any((1, 7) in e for e in ends) and any((5, 4) in e for e in ends)
    rings = [p for p in paths if p[0] == p[-1]]
    assert len(rings) == 1 and len(set(rings[0])) == 12
    assert (10, 0) not in on_paths and len(on_paths) == image.sum() - 1
    steps = [np.abs(np.diff(voxels[p], axis=0)).max() for p in paths]
    assert max(steps) == 1


def test_a_block_of_voxels_has_no_loops_of_its_own():
    image = np.zeros((5, 5, 5), bool)
    image[2, 2, :] = image[2, :, 2] = image[:, 2, 2] = True
    graph = SkeletonGraph()
    graph.add_skeleton(image, np.full(3, 0.1), np.zeros(3))
    assert len(graph.edges) == 6 and sum(graph.net.degree(n) == 6 for n in graph.net) == 1
