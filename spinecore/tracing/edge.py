"""One unbranched piece of a centre line, as it is before the dendrites are made."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def path_length(points: np.ndarray) -> float:
    """Return the arc length of a polyline of shape (n, 3)."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def arc_lengths(points: np.ndarray) -> np.ndarray:
    """Return the distance along a polyline (n, 3) of each point from the first, shape (n,).

    Examples
    --------
    >>> arc_lengths(np.array([[0.0, 0, 0], [0, 3, 4], [0, 3, 5]])).tolist()
    [0.0, 5.0, 6.0]
    """
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])


class Edge:
    """One unbranched piece from node `a` to node `b`.

    Edges that are joined keep their parts until their points are asked for: a shaft from which thousands of twigs fall is
    put together once, not once a twig.

    Parameters
    ----------
    a, b : int
        Numbers of its nodes.
    points : ndarray, shape (n, 3)
        Both nodes included. They are replaced as a whole, never changed in place: the length is kept.
    """

    __slots__ = ("_length", "_parts", "_points", "_sum", "a", "b")
    _points: np.ndarray | None
    _parts: tuple[tuple[Edge, bool], ...]
    _length: float | None
    _sum: float

    def __init__(self, a: int, b: int, points: np.ndarray) -> None:
        self.a, self.b = a, b
        self.points = points

    @classmethod
    def joined(cls, first: Edge, node: int, second: Edge) -> Edge:
        """Return two edges that meet at a node as one, from the other end of the first to that of the second."""
        edge = cls.__new__(cls)
        edge.a, edge.b = first.other(node), second.other(node)
        edge._points, edge._length = None, None
        edge._parts = ((first, node == first.a), (second, node != second.a))
        edge._sum = first._rough() + second._rough()
        return edge

    @property
    def points(self) -> np.ndarray:
        """Points (n, 3) from `a` to `b`, ZYX in um."""
        if self._points is None:
            lines = list(self._lines())
            self._points = np.vstack([lines[0], *(line[1:] for line in lines[1:])])
            self._parts = ()
        return self._points

    @points.setter
    def points(self, points: np.ndarray) -> None:
        self._points, self._parts, self._length = points, (), None

    def _lines(self) -> Iterator[np.ndarray]:
        """Yield the points of the parts in their order, each from its first node to its last."""
        waiting = [(self, False)]
        while waiting:
            edge, turned = waiting.pop()
            if edge._points is not None:
                yield edge._points[::-1] if turned else edge._points
            else:  # the last one in is the next one out
                parts = edge._parts if turned else edge._parts[::-1]
                waiting += [(part, turned != own) for part, own in parts]

    @property
    def length(self) -> float:
        """Arc length in um."""
        if self._length is None:
            self._length = path_length(self.points)
        return self._length

    def _rough(self) -> float:
        """Return the length, or the sum of the parts' lengths, which is the same but for rounding."""
        return self._sum if self._points is None else self.length

    def shorter_than(self, limit_um: float) -> bool:
        """Return whether the length is below a limit; a long edge is not put together to know that."""
        return self._rough() < limit_um + 1e-6 and self.length < limit_um

    def other(self, node: int) -> int:
        """Return the node at the other end."""
        return self.b if node == self.a else self.a

    def from_node(self, node: int) -> np.ndarray:
        """Return the points, beginning at `node`."""
        return self.points if node == self.a else self.points[::-1]
