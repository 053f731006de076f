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


def test_the_work_grows_with_the_number_of_edges(monkeypatch):
    """Counted, not timed: the lengths that are read and the nodes that are looked at."""
    count = {"n": 0}
    length, keys_at = Edge.length.fget, SkeletonGraph.keys_at

    def counted(function):
        def wrapper(*args):
            count["n"] += 1
            return function(*args)

        return wrapper

    monkeypatch.setattr(Edge, "length", property(counted(length)))
    monkeypatch.setattr(SkeletonGraph, "keys_at", counted(keys_at))
    work = []
    for edges in (400, 4000):
        graph = haze_graph(edges)
        count["n"], size = 0, len(graph.edges)
        timed(graph)
        work.append(count["n"] / size)
    assert work[1] < 1.4 * work[0]


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
