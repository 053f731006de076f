"""Time of the operations on a skeleton graph against its number of edges, on graphs as haze leaves them.

Usage: python -m benchmarks.tracing [--edges 200,600,2000,6000,20000] [--seed 0]

Each graph is a shaft with twigs, the length of which grows with the number of edges, in a cloud of points that are joined to
their near neighbours: many small pieces, loops and ends that point at each other, at one density. The time of a step
that looks only at its surroundings grows with the number of edges (exponent 1). Exits with 1 where the exponent is
above 1.2 or 20,000 edges take more than 5 s of the processor.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from scipy.spatial import cKDTree

from spinecore.tracing.graph import SkeletonGraph

#: Parameters of `spinecore.tracing.trace.trace_dendrites`, in um.
LOOP_UM, TWIG_UM, GAP_UM, RADIUS_UM = 8.0, 1.5, 2.0, 0.3
#: What is asked for.
MOST_EXPONENT, MOST_SECONDS, MOST_EDGES = 1.2, 5.0, 20_000


def haze_graph(edges: int, seed: int = 0) -> SkeletonGraph:
    """Return a graph of about a number of edges: a shaft with twigs in a haze of small pieces.

    Parameters
    ----------
    edges : int
        At least 50; the volume grows with them.
    seed : int
    """
    rng = np.random.default_rng(seed)
    graph = SkeletonGraph()
    _add_shaft(graph, rng, edges // 4)
    n = int(1.65 * (edges - len(graph.edges)))  # two at a node of degree 2 become one
    side = (n / 2) ** 0.5
    places = rng.random((n, 3)) * (8.0, side, side)
    numbers = [graph.add_node(place) for place in places]
    near = cKDTree(places).query_pairs(1.2, output_type="ndarray")
    for i, j in near[np.argsort(rng.random(len(near)))][:n]:
        line = np.linspace(places[i], places[j], 8)
        line[1:-1] += rng.normal(0, 0.05, (6, 3))
        graph.add_edge(numbers[i], numbers[j], line)
    graph.dissolve()
    return graph


def _add_shaft(graph: SkeletonGraph, rng: np.random.Generator, edges: int) -> None:
    """Add a straight shaft beside the haze, with a twig of 0.3 to 3 um every micrometre."""
    last = graph.add_node(np.array([4.0, -20.0, 0.0]))
    for k in range(1, edges // 2):
        place = np.array([4.0, -20.0, float(k)])
        node = graph.add_node(place)
        graph.add_edge(last, node, np.linspace(graph.nodes[last], place, 11))
        tip = np.array([4.0, -20.0 + rng.uniform(0.3, 3.0), float(k)])
        graph.add_edge(node, graph.add_node(tip), np.linspace(place, tip, 11))
        last = node


def timed(graph: SkeletonGraph) -> dict[str, float]:
    """Run the steps of tracing on a graph; return the processor seconds of each."""

    def radius_at(points: np.ndarray) -> np.ndarray:
        return np.full(len(points), RADIUS_UM)

    steps = {
        "loops": lambda: graph.open_loops(LOOP_UM),
        "twigs": lambda: graph.prune(TWIG_UM, radius_at),
        "crossings": lambda: graph.split_crossings(radius_at),
        "gaps": lambda: graph.join_gaps(GAP_UM),
    }
    seconds = {}
    for name, step in steps.items():
        begun = time.process_time()
        step()
        seconds[name] = time.process_time() - begun
    return seconds


def main() -> int:
    """Print the table and the exponent; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--edges", default="200,600,2000,6000,20000")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{'edges':>7} {'loops':>8} {'twigs':>8} {'crossings':>9} {'gaps':>8} {'all (s)':>8} {'left':>7}")
    sizes, totals = [], []
    for wanted in (int(text) for text in options.edges.split(",")):
        graph = haze_graph(wanted, options.seed)
        sizes.append(len(graph.edges))
        seconds = timed(graph)
        totals.append(sum(seconds.values()))
        row = " ".join(f"{seconds[k]:{w}.3f}" for k, w in zip(seconds, (8, 8, 9, 8), strict=True))
        print(f"{sizes[-1]:7d} {row} {totals[-1]:8.3f} {len(graph.edges):7d}", flush=True)
    exponent = float(np.polyfit(np.log(sizes), np.log(totals), 1)[0])
    print(f"time grows with the number of edges to the power of {exponent:.2f}")
    slow = max((t for n, t in zip(sizes, totals, strict=True) if n <= MOST_EDGES), default=0.0)
    return int(exponent > MOST_EXPONENT or slow > MOST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
