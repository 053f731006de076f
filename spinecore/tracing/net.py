"""The pieces of dendrites and the nodes that join them: taken apart, changed, and made into dendrites again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise

import networkx as nx
import numpy as np

from spinecore.tracing.edge import path_length
from spinecore.tracing.trace import BY_HAND, CORRECTED, Branch, Dendrite, centreline_points

Three = tuple[float, float, float]


@dataclass
class Piece:
    """An unbranched piece between two nodes, and the dendrite that it came from."""

    a: int
    b: int
    points: np.ndarray
    radii: np.ndarray
    owner: int

    @property
    def length(self) -> float:
        """Length in um."""
        return path_length(self.points)

    def from_node(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        """Points and radii, beginning at a node."""
        turn = slice(None) if node == self.a else slice(None, None, -1)
        return self.points[turn], self.radii[turn]


class Net:
    """The pieces of some dendrites, by number, and the nodes that join them.

    Parameters
    ----------
    dendrites : sequence of Dendrite
    spacing_zyx_um : tuple of float, optional
        Voxel size of the grid; that of the dendrites where there are any.
    """

    def __init__(self, dendrites: Sequence[Dendrite], spacing_zyx_um: Three = (1.0, 1.0, 1.0)) -> None:
        self.pieces: dict[int, Piece] = {}
        self.spacing = dendrites[0].spacing_zyx_um if dendrites else spacing_zyx_um
        self._nodes = count(1)
        self._keys = count(0)
        self._of: dict[tuple[int, int], int] = {}
        for dendrite in dendrites:
            numbers: dict[int, int] = {}
            for place, b in enumerate(dendrite.branches):
                for node in (b.start, b.end):
                    numbers.setdefault(node, next(self._nodes))
                piece = Piece(numbers[b.start], numbers[b.end], b.points_um, b.radii_um, dendrite.id)
                self._of[dendrite.id, place] = self.add(piece)

    def new_node(self) -> int:
        """Return the number of a node that no piece ends at yet."""
        return next(self._nodes)

    def add(self, piece: Piece) -> int:
        """Take in a piece and return its number."""
        key = next(self._keys)
        self.pieces[key] = piece
        return key

    def key_of(self, dendrite_id: int, branch: int) -> int:
        """The piece that was a branch of a dendrite."""
        return self._of[dendrite_id, branch]

    def as_lines(self, without: int | None = None) -> list[Dendrite]:
        """One dendrite for all pieces (but those of one owner), whose branches are numbered as these."""
        size = max(self.pieces, default=-1) + 1
        far = Branch(np.full((1, 3), np.inf), np.zeros(1), 0, 0)
        branches = [far] * size
        for key, piece in self.pieces.items():
            if piece.owner == without:
                continue
            branches[key] = Branch(piece.points, piece.radii, piece.a, piece.b)
        return [Dendrite(0, tuple(branches), self.spacing)]

    def at(self, node: int) -> int | None:
        """A piece that ends at a node."""
        return next((key for key, p in self.pieces.items() if node in (p.a, p.b)), None)

    def degree(self, node: int) -> int:
        """Return how many ends of pieces lie at a node."""
        return sum((p.a == node) + (p.b == node) for p in self.pieces.values())

    def split(self, key: int, index: int) -> int:
        """Return the node at a point of a piece, made when the point is not at its end."""
        piece = self.pieces[key]
        if index <= 0:
            return piece.a
        if index >= len(piece.points) - 1:
            return piece.b
        node = self.new_node()
        del self.pieces[key]
        for part, (a, b) in (
            (slice(None, index + 1), (piece.a, node)),
            (slice(index, None), (node, piece.b)),
        ):
            self.add(replace(piece, a=a, b=b, points=piece.points[part], radii=piece.radii[part]))
        return node

    def unite(self, one: int, other: int) -> None:
        """Make one node of two that lie at one place."""
        for piece in self.pieces.values():
            piece.a = one if piece.a == other else piece.a
            piece.b = one if piece.b == other else piece.b

    def way(self, start: int, end: int) -> list[int]:
        """The pieces of the shortest way between two nodes."""
        net = nx.Graph()
        for key, piece in self.pieces.items():
            known = net.get_edge_data(piece.a, piece.b)
            if known is None or known["weight"] > piece.length:
                net.add_edge(piece.a, piece.b, weight=piece.length, key=key)
        try:
            nodes = nx.shortest_path(net, start, end, weight="weight")
        except (nx.NetworkXNoPath, nx.NodeNotFound):
            return []
        return [net.edges[pair]["key"] for pair in pairwise(nodes)]

    def dissolve(self) -> None:
        """Join the two pieces at every node that has just two."""
        at: dict[int, list[int]] = {}
        for key, piece in self.pieces.items():
            at.setdefault(piece.a, []).append(key)
            at.setdefault(piece.b, []).append(key)
        for node, keys in at.items():
            if len(keys) != 2 or keys[0] == keys[1]:
                continue
            first, second = self.pieces.pop(keys[0]), self.pieces.pop(keys[1])
            (p, pr), (q, qr) = first.from_node(node), second.from_node(node)
            joined = self.add(
                Piece(
                    first.b if node == first.a else first.a,
                    second.b if node == second.a else second.a,
                    np.vstack([p[::-1], q[1:]]),
                    np.concatenate([pr[::-1], qr[1:]]),
                    first.owner if first.length >= second.length else second.owner,
                )
            )
            made = self.pieces[joined]
            for other in (made.a, made.b):
                at[other] = [joined if key in keys else key for key in at[other]]

    def built(self, before: Sequence[Dendrite], fresh: count[int]) -> tuple[Dendrite, ...]:
        """Return dendrites of the pieces; what is as it was before is the very same object."""
        net = nx.MultiGraph()
        for key, piece in self.pieces.items():
            net.add_edge(piece.a, piece.b, key=key)
        groups = [
            sorted({key for node in nodes for *_, key in net.edges(node, keys=True)})
            for nodes in nx.connected_components(net)
        ]
        old = {d.id: d for d in before}
        points, owners = centreline_points(before)
        owner_of = dict(zip(map(bytes, points), owners.tolist(), strict=True))
        shares = [self._shares(keys, owner_of) for keys in groups]
        numbers = _numbered(shares, [sum(self.pieces[k].length for k in keys) for keys in groups], fresh)
        out = []
        for keys, number, share in zip(groups, numbers, shares, strict=True):
            known = old.get(number)
            if known is not None and _same(known, [self.pieces[k] for k in keys]):
                out.append(known)
            else:
                root = None if known is None else known.branches[0].points_um[0]
                origin = CORRECTED if any(old[owner].origin != BY_HAND for owner in share) else BY_HAND
                branches = _directed([self.pieces[k] for k in keys], root)
                out.append(Dendrite(number, branches, self.spacing, origin))
        return tuple(sorted(out, key=lambda d: d.id))

    def _shares(self, keys: list[int], owner_of: dict[bytes, int]) -> dict[int, int]:
        """How many points of each dendrite that was there before a group of pieces holds."""
        found: dict[int, int] = {}
        for key in keys:
            for point in map(bytes, self.pieces[key].points):
                if point in owner_of:
                    found[owner_of[point]] = found.get(owner_of[point], 0) + 1
        return found


def _numbered(shares: list[dict[int, int]], lengths: list[float], fresh: count[int]) -> list[int]:
    """Give each group the number of the dendrite that it holds most of, where it holds more of it than others do."""
    numbers = [0] * len(shares)
    claims = sorted(((n, i, owner) for i, own in enumerate(shares) for owner, n in own.items()), reverse=True)
    taken: set[int] = set()
    for _, group, owner in claims:
        if not numbers[group] and owner not in taken:
            numbers[group] = owner
            taken.add(owner)
    for group in sorted(range(len(shares)), key=lambda i: -lengths[i]):
        numbers[group] = numbers[group] or next(fresh)
    return numbers


def _same(known: Dendrite, pieces: list[Piece]) -> bool:
    """Whether pieces are a dendrite's own branches, untouched."""
    own = {id(b.points_um) for b in known.branches}
    return len(own) == len(pieces) and all(id(p.points) in own for p in pieces)


def _directed(pieces: list[Piece], root_um: np.ndarray | None) -> tuple[Branch, ...]:
    """Return branches directed away from the root: where it was before, else the thickest end."""
    net = nx.MultiGraph()
    for key, piece in enumerate(pieces):
        net.add_edge(piece.a, piece.b, key=key, weight=piece.length)
    ends = [node for node in net if net.degree(node) == 1] or list(net)

    def line(node: int) -> tuple[np.ndarray, np.ndarray]:
        return pieces[next(iter(net.edges(node, keys=True)))[2]].from_node(node)

    kept = [node for node in ends if root_um is not None and np.array_equal(line(node)[0][0], root_um)]
    thickness = {node: float(np.mean(line(node)[1][:20])) for node in ends}
    root = kept[0] if kept else max(ends, key=lambda node: (round(thickness[node], 3), -node))
    distance = nx.single_source_dijkstra_path_length(net, root, weight="weight")
    order = nx.single_source_shortest_path_length(net, root)
    number = {node: i for i, node in enumerate(sorted(distance, key=distance.get))}
    branches = []
    for piece in pieces:
        start, end = (piece.a, piece.b) if distance[piece.a] <= distance[piece.b] else (piece.b, piece.a)
        points, radii = piece.from_node(start)
        branches.append(
            Branch(points, radii, number[start], number[end], float(distance[start]), order[start])
        )
    return tuple(sorted(branches, key=lambda branch: (branch.start_um, branch.end)))
