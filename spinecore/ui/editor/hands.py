"""Corrections of a stored analysis, one at a time, with the analysis as it then is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spinecore.analysis.edits import (
    add_spine,
    change_class,
    count_spine,
    remove_spine,
    set_soma,
    undo_correction,
)
from spinecore.analysis.storage import load_analysis
from spinecore.corrections.edit import to_undo

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis


@dataclass(frozen=True)
class Change:
    """What was done, in words, and what is to be chosen after it."""

    words: str
    spine: int | None = None
    dendrite: int | None = None
    notes: tuple[str, ...] = ()


class Hands:
    """Changes the analysis in a folder.

    Parameters
    ----------
    folder : Path
    read_planes : callable
        Gives some of the stack's slices (Y, X) of the analysed channel.
    """

    redo_words: str | None = None
    earlier_words: str | None = None

    def __init__(self, folder: Path, read_planes: Callable[[range], Iterable[np.ndarray]]) -> None:
        self._folder, self._read_planes = Path(folder), read_planes
        self.analysis: Analysis = load_analysis(self._folder)

    @property
    def undo_words(self) -> str | None:
        """What an undo takes back."""
        found = to_undo(self.analysis.corrections.history, None)
        return None if found is None else found.words

    def add(self, place: np.ndarray) -> Change:
        """Add a spine, divide one, or count a candidate."""
        self.analysis, number = add_spine(self._folder, place, self._read_planes)
        return Change(f"Added spine {number}", number)

    def remove(self, spine: int) -> Change:
        """Say that it is no spine."""
        self.analysis = remove_spine(self._folder, spine)
        return Change(f"Removed spine {spine}")

    def count(self, candidate: int) -> Change:
        """Say that it is a spine."""
        self.analysis = count_spine(self._folder, candidate)
        return Change(f"Candidate {candidate} counts as a spine", candidate)

    def set_class(self, spine: int, name: str | None) -> Change:
        """Give a spine another class."""
        self.analysis = change_class(self._folder, spine, name)
        return Change(f"Class of spine {spine}: {name or 'the network’s'}", spine)

    def set_soma(self, place: np.ndarray | None) -> Change:
        """Mark the soma."""
        self.analysis = set_soma(self._folder, None if place is None else place.tolist())
        return Change("Marked the soma" if place is not None else "Removed the mark of the soma")

    def undo(self, anyones: bool = False) -> Change:
        """Take the last correction back."""
        words = self.undo_words
        self.analysis = undo_correction(self._folder)
        return Change(f"Undone: {words}")
