"""Cells merged, split, painted and erased by a person: an append-only list of steps, replayed onto the cells at any level.

A step remembers places in pixels rather than cell numbers, which change with the level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from scipy.ndimage import binary_closing, binary_dilation, label
from skimage.draw import polygon

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog

#: Name of the list in the folder of a segmentation.
FILE_NAME = "cell_corrections.jsonl"
#: Membrane up to twice as thick is filled between merged cells (px).
_FILL_PX = 5
#: A smaller area is a slip of the hand (px).
_FEWEST_PX = 9

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
                try:
                    labels = correct_cells(labels, step["action"], [(y, x) for y, x in step["points"]])
                except SpinecoreError:
                    continue  # at this level there is nothing to correct here
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


_WORDS = (("merge", "merged"), ("split", "split"), ("paint", "painted"), ("erase", "erased"))


def read_cell_steps(folder: Path) -> CellSteps:
    """Return the steps of a folder that still stand."""
    lines = AppendOnlyLog(Path(folder) / FILE_NAME).read()
    return CellSteps(tuple(_without_undone(lines, lambda line: line["action"] == "undo")))


def append_cell_step(folder: Path, action: str, section: int = 0, points: Sequence[Point] = ()) -> None:
    """Add a step: "merge" or "split" with two points (y, x), "paint" or "erase" with an outline, or "undo".

    It is on the disk when this returns.
    """
    AppendOnlyLog(Path(folder) / FILE_NAME).append(
        {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "action": action,
            "section": section,
            "points": [[int(y), int(x)] for y, x in points],
        }
    )


def correct_cells(labels: np.ndarray, action: str, points: Sequence[Point]) -> np.ndarray:
    """Return the cells of a section, ints (Y, X), with one step done.

    Raises
    ------
    SpinecoreError
        If there is nothing to do it to.
    """
    if action in ("paint", "erase"):
        return paint_area(labels, points, erase=action == "erase")
    return (merge_cells if action == "merge" else split_cell)(labels, points[0], points[1])


def paint_area(labels: np.ndarray, outline: Sequence[Point], erase: bool = False) -> np.ndarray:
    """Return the cells with an area painted: for the cell in which its outline begins, else for a new cell.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
        Cells, 0 on membranes.
    outline : sequence of (y, x)
        In pixels; closed by its first point.
    erase : bool
        Make the area membrane.

    Raises
    ------
    SpinecoreError
        If the outline holds next to nothing, or an area to erase no cell.
    """
    area = np.zeros(labels.shape, bool)
    rows, columns = polygon([y for y, _ in outline], [x for _, x in outline], labels.shape)
    area[rows, columns] = True
    if area.sum() < _FEWEST_PX:
        raise SpinecoreError(
            "the outline holds next to nothing: draw round an area with the button held down"
        )
    if erase and not labels[area].any():
        raise SpinecoreError("there is no cell in the outline: draw round a part of one")
    height, width = labels.shape
    begin = (min(max(outline[0][0], 0), height - 1), min(max(outline[0][1], 0), width - 1))
    out = labels.copy()
    out[area] = 0 if erase else (int(labels[begin]) or int(labels.max()) + 1)
    return out


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
