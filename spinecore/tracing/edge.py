"""One unbranched piece of a centre line, as it is before the dendrites are made."""

from __future__ import annotations

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

    Parameters
    ----------
    a, b : int
        Numbers of its nodes.
    points : ndarray, shape (n, 3)
        Both nodes included. They are replaced as a whole, never changed in place: the length is kept.
    """

    __slots__ = ("_length", "_points", "a", "b")

    def __init__(self, a: int, b: int, points: np.ndarray) -> None:
        self.a, self.b = a, b
        self.points = points

    @property
    def points(self) -> np.ndarray:
        """Points (n, 3) from `a` to `b`, ZYX in um."""
        return self._points

    @points.setter
    def points(self, points: np.ndarray) -> None:
        self._points = points
        self._length: float | None = None

    @property
    def length(self) -> float:
        """Arc length in um."""
        if self._length is None:
            self._length = path_length(self._points)
        return self._length

    def other(self, node: int) -> int:
        """Return the node at the other end."""
        return self.b if node == self.a else self.a

    def from_node(self, node: int) -> np.ndarray:
        """Return the points, beginning at `node`."""
        return self.points if node == self.a else self.points[::-1]
