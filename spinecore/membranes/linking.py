"""Cells of a stack followed from section to section by overlap.

The rule: a cell continues one of the section before when each is the other's largest overlap and the overlap covers
at least `MIN_OVERLAP` of the smaller of the two. Every cell continues one cell at most; one that splits goes on in its
larger part, and the other part begins a new number.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

#: Least share of the smaller cell that must overlap.
MIN_OVERLAP = 0.3


class Linker:
    """Renumbers one section after another so that the same cell keeps its number.

    Parameters
    ----------
    min_overlap : float
        See the rule above.
    """

    def __init__(self, min_overlap: float = MIN_OVERLAP) -> None:
        self.min_overlap = min_overlap
        self._before: np.ndarray | None = None
        self._used = 0

    def __call__(self, labels: np.ndarray) -> np.ndarray:
        """Take the next section's cells (int, (Y, X), 0 = membrane) and return them renumbered, uint32."""
        numbers = np.zeros(int(labels.max(initial=0)) + 1, np.uint32)
        if self._before is not None:
            for here, before in matches(self._before, labels, self.min_overlap):
                numbers[here] = before
        new = [k for k in np.unique(labels) if k and not numbers[k]]
        numbers[new] = np.arange(self._used + 1, self._used + len(new) + 1)
        self._used += len(new)
        self._before = numbers[labels]
        return self._before


def link_sections(sections: Iterable[np.ndarray], min_overlap: float = MIN_OVERLAP) -> list[np.ndarray]:
    """Renumber the cells of consecutive sections, all at once.

    Examples
    --------
    >>> a, b = np.array([[1, 1, 0, 2]]), np.array([[0, 3, 0, 0]])
    >>> [s.tolist() for s in link_sections([a, b])]
    [[[1, 1, 0, 2]], [[0, 1, 0, 0]]]
    """
    linker = Linker(min_overlap)
    return [linker(labels) for labels in sections]


def matches(before: np.ndarray, here: np.ndarray, min_overlap: float) -> list[tuple[int, int]]:
    """Return pairs (cell here, cell before) that are each other's largest overlap."""
    both = (before > 0) & (here > 0)
    most = int(before.max(initial=0)) + 1
    keys, overlaps = np.unique(here[both].astype(np.int64) * most + before[both], return_counts=True)
    area_before, area_here = np.bincount(before.ravel()), np.bincount(here.ravel())
    best_here: dict[int, tuple[int, int]] = {}
    best_before: dict[int, tuple[int, int]] = {}
    for key, overlap in zip(keys.tolist(), overlaps.tolist(), strict=True):
        now, then = divmod(key, most)
        best_here[now] = max(best_here.get(now, (0, 0)), (overlap, then))
        best_before[then] = max(best_before.get(then, (0, 0)), (overlap, now))
    return [
        (now, then)
        for now, (overlap, then) in best_here.items()
        if best_before[then][1] == now and overlap >= min_overlap * min(area_here[now], area_before[then])
    ]
