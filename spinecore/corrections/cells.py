"""Cells merged and split by a person: an append-only list of steps, replayed onto the cells at any level.

A step remembers places in pixels rather than cell numbers, which change with the level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, label

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog

#: Name of the list in the folder of a segmentation.
FILE_NAME = "cell_corrections.jsonl"
#: Membrane up to twice as thick is filled between merged cells (px).
_FILL_PX = 5

Point = tuple[int, int]
Step = TypeVar("Step")


@dataclass(frozen=True)
class CellSteps:
    """The steps that stand, applied section by section."""

    steps: tuple[dict[str, Any], ...]

    def __call__(self, labels: np.ndarray, section: int) -> np.ndarray:
        """Return the cells of a section (ints, (Y, X), 0 = membrane) with its steps applied."""
        for step in self.steps:
            if step["section"] == section:
                points = [tuple(p) for p in step["points"]]
                work = merge_cells if step["action"] == "merge" else split_cell
                try:
                    labels = work(labels, points[0], points[1])
                except SpinecoreError:
                    continue  # at this level there is nothing to merge or split here
        return labels

    @property
    def words(self) -> str:
        """The steps in words; empty without any.

        Examples
        --------
        >>> CellSteps(({"action": "merge"}, {"action": "split"}, {"action": "merge"})).words
        '2 merged, 1 split'
        """
        counts = [(sum(s["action"] == a for s in self.steps), t) for a, t in _WORDS]
        return ", ".join(f"{n} {text}" for n, text in counts if n)


_WORDS = (("merge", "merged"), ("split", "split"))


def read_cell_steps(folder: Path) -> CellSteps:
    """Return the steps of a folder that still stand."""
    lines = AppendOnlyLog(Path(folder) / FILE_NAME).read()
    return CellSteps(tuple(_without_undone(lines, lambda line: line["action"] == "undo")))


def append_cell_step(folder: Path, action: str, section: int = 0, points: tuple[Point, ...] = ()) -> None:
    """Add a step: "merge" or "split" with two points (y, x), or "undo"; it is on the disk when this returns."""
    AppendOnlyLog(Path(folder) / FILE_NAME).append(
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "action": action,
            "section": section,
            "points": [[int(y), int(x)] for y, x in points],
        }
    )


def merge_cells(labels: np.ndarray, first: Point, second: Point) -> np.ndarray:
    """Return the cells with those at two points joined, and the membrane between them filled.

    Raises
    ------
    SpinecoreError
        If a point lies on a membrane, or both in one cell.
    """
    a, b = int(labels[first]), int(labels[second])
    if not a or not b:
        raise SpinecoreError("a membrane was clicked: click inside two cells")
    if a == b:
        raise SpinecoreError("both clicks are in one cell: click inside two neighbouring cells")
    out = labels.copy()
    out[labels == b] = a
    box = _box(out == a, _FILL_PX)
    filled = binary_closing(out[box] == a, iterations=_FILL_PX)
    out[box][filled & (out[box] == 0)] = a
    return out


def split_cell(labels: np.ndarray, start: Point, end: Point) -> np.ndarray:
    """Return the cells with the one under a line cut along it; the largest part keeps the number.

    Raises
    ------
    SpinecoreError
        If the line crosses no cell, or does not divide it.
    """
    line = line_pixels(start, end, labels.shape)
    crossed = labels[line]
    crossed = crossed[crossed > 0]
    if not len(crossed):
        raise SpinecoreError("the line crosses no cell: draw it through a cell, from membrane to membrane")
    cell = int(np.bincount(crossed).argmax())
    whole = labels == cell
    pieces, count = label(whole & ~binary_dilation(line, iterations=1))
    sizes = np.bincount(pieces.ravel())[1:]
    if count < 2 or np.sort(sizes)[-2] < 4:
        raise SpinecoreError("the line does not divide the cell: draw it from membrane to membrane")
    out = labels.copy()
    out[whole] = 0
    order = np.argsort(sizes)[::-1] + 1
    numbers = [cell, *range(int(labels.max()) + 1, int(labels.max()) + count)]
    for piece, number in zip(order, numbers, strict=True):
        out[pieces == piece] = number
    return out


def line_pixels(start: Point, end: Point, shape_yx: tuple[int, ...]) -> np.ndarray:
    """Return a mask of the pixels on a straight line, bool (Y, X)."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1])) + 1
    rows, columns = (np.linspace(a, b, steps).round().astype(int) for a, b in zip(start, end, strict=True))
    mask = np.zeros(shape_yx, bool)
    mask[np.clip(rows, 0, shape_yx[0] - 1), np.clip(columns, 0, shape_yx[1] - 1)] = True
    return mask


def _box(mask: np.ndarray, margin: int) -> tuple[slice, ...]:
    return tuple(slice(max(int(at.min()) - margin, 0), int(at.max()) + margin + 1) for at in np.nonzero(mask))


def _without_undone(steps: Iterable[Step], is_undo: Callable[[Step], bool]) -> list[Step]:
    """Return the steps that still stand: each undo takes away the last of them."""
    out: list[Step] = []
    for step in steps:
        if not is_undo(step):
            out.append(step)
        elif out:
            out.pop()
    return out
