"""One person's sitting at one analysis: every correction is a line of the log before it is shown, and can be undone.

A `Sitting` keeps an `Analysis` in memory, which is immutable; a correction makes the next one, in which only what the
correction touches is measured anew. Others may correct the same analysis meanwhile, in other tabs or processes: each
correction first takes over what they appended.

Places are ZYX in the stack's own voxels, from 0, as the columns x_px, y_px and z_px.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock

import numpy as np
from filelock import FileLock

from spinecore.analysis.gridimage import GridImage, ReadPlanes
from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import (
    RESULTS,
    TABLES,
    analysis_id,
    check_complete,
    drawn_up_to,
    load_analysis,
    read_facts,
    save_analysis,
)
from spinecore.corrections.bound import now
from spinecore.corrections.edit import REDO, UNDO, Edit, standing_edits, to_redo, to_undo
from spinecore.corrections.grow import place_with_depth
from spinecore.corrections.log import EDITS, append_edit, read_edits
from spinecore.errors import SpinecoreError
from spinecore.networks.device import pick_present
from spinecore.shapes.classify import has_model, load_classifier

#: Name of the lock in an analysis folder.
LOCK = ".corrections.lock"


@dataclass(frozen=True)
class Change:
    """What a correction did.

    Parameters
    ----------
    words : str
        "add spine 79".
    spine, dendrite : int or None
        What to show next.
    notes : tuple of str
        Sentences that a person should see.
    """

    words: str
    spine: int | None = None
    dendrite: int | None = None
    notes: tuple[str, ...] = ()


def new_session() -> str:
    """Return a name for a sitting, which no other has."""
    return secrets.token_hex(4)


class Sitting:
    """One person at one analysis: what was said, what is shown, undo and redo.

    Parameters
    ----------
    folder : Path
        Of the analysis.
    read_planes : callable, optional
        Gives some of the stack's slices (Y, X) of the analysed channel; needed to add and redraw.
    by : str
        Who corrects; kept in the log.
    session : str, optional
        A sitting that goes on; a new one otherwise.
    analysis : Analysis, optional
        The analysis in the folder, where it was read before.

    Attributes
    ----------
    analysis : Analysis
        As it now is.
    """

    def __init__(
        self,
        folder: Path,
        read_planes: ReadPlanes | None = None,
        by: str = "",
        session: str | None = None,
        analysis: Analysis | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.by, self.session = by, session or new_session()
        check_complete(self.folder)
        self._file_lock = FileLock(self.folder / LOCK, thread_local=False)
        # a file lock that is held may be taken again, by another thread too: a page that is left is still at work in the old one
        self._turn = RLock()
        # an analysis that was read before may lack what was said since: the first look takes that over
        self._seen = self._stamp() if analysis is None else (-1, -1)
        self.analysis = analysis or load_analysis(self.folder)
        self._read = read_planes
        self._image: GridImage | None = None

    def prepare(self) -> None:
        """Load what the first correction needs, which takes seconds; may run in a thread while a page is drawn."""
        if has_model():
            load_classifier(device=pick_present(self.analysis.settings.device), folded=True)

    def refresh(self) -> bool:
        """Take over what others appended or changed since; say whether there was something."""
        with self._turn:
            return self._take_over()

    def _take_over(self) -> bool:
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        facts = read_facts(self.folder)
        if facts.get("id") != analysis_id(self.analysis):
            self.analysis, self._image = load_analysis(self.folder), None
            return True
        before = self.analysis
        more = read_edits(self.folder, after=self._next_n() - 1)
        if more:
            corrections = before.corrections
            self.analysis = before.with_corrections(replace(corrections, edits=(*corrections.edits, *more)))
        if facts["threshold"] != self.analysis.threshold:
            self.analysis = self.analysis.at_threshold(facts["threshold"])
        return self.analysis is not before

    def _stamp(self) -> tuple[int, int]:
        """Size of the log, and when the result was last written."""
        log = self.folder / EDITS
        return log.stat().st_size if log.exists() else 0, (self.folder / "analysis.json").stat().st_mtime_ns

    def _save(self, files: tuple[str, ...]) -> None:
        save_analysis(self.analysis, self.folder, files)
        self._seen = self._stamp()

    def finish(self) -> None:
        """Write labels, shafts and overview, where they are behind the corrections."""
        with self._turn, self._file_lock:
            self.refresh()
            if drawn_up_to(self.folder) != len(self.analysis.corrections.history):
                self._save((*RESULTS, "dendrite.tif"))

    def _do(self, make: Callable[[], Edit]) -> Change:
        """Make a correction of the analysis as it now is, append it and apply it."""
        with self._turn, self._file_lock:
            self.refresh()
            edit = make()
            edit = replace(edit, n=self._next_n(), time=now(), by=self.by, session=self.session)
            after = self.analysis.with_corrections(self.analysis.corrections.with_edit(edit))
            notes = _checked(after, edit)
            append_edit(self.folder, edit)
            self.analysis = after
            self._save(TABLES)
        return Change(edit.words, edit.spine, edit.dendrite, notes)

    def _next_n(self) -> int:
        return 1 + max((e.n for e in self.analysis.corrections.edits), default=0)

    @property
    def undo_words(self) -> str | None:
        """What `undo` would take back: the last correction of this sitting that stands; None without any."""
        found = to_undo(self.analysis.corrections.history, self.session)
        return None if found is None else found.words

    @property
    def earlier_words(self) -> str | None:
        """The last correction that stands, of whichever sitting; None without any."""
        found = to_undo(self.analysis.corrections.history, None)
        return None if found is None else found.words

    @property
    def redo_words(self) -> str | None:
        """What `redo` would do again; None without anything."""
        found = to_redo(self.analysis.corrections.history, self.session)
        return None if found is None else found.words

    def undo(self, anyones: bool = False) -> Change:
        """Take the last correction of this sitting back; with `anyones` the last of all.

        Raises
        ------
        SpinecoreError
            If there is none.
        """

        def make() -> Edit:
            found = to_undo(self.analysis.corrections.history, None if anyones else self.session)
            if found is None:
                raise SpinecoreError("there is no correction left to undo")
            return replace(found, kind=UNDO, values={"of": found.n}, voxels={}, time="")

        return self._do(make)

    def redo(self) -> Change:
        """Do again what this sitting undid last.

        Raises
        ------
        SpinecoreError
            If there is nothing.
        """

        def make() -> Edit:
            found = to_redo(self.analysis.corrections.history, self.session)
            if found is None:
                raise SpinecoreError("there is nothing to do again")
            return replace(found, kind=REDO, values={"of": found.n}, voxels={}, time="")

        return self._do(make)

    @property
    def image(self) -> GridImage:
        """The stack's intensities on the analysis grid.

        Raises
        ------
        SpinecoreError
            If the stack is not at hand.
        """
        if self._read is None:
            raise SpinecoreError(
                "this correction needs the analysed image: open the analysis where its stack is stored",
                "this correction needs the analysed file: give it with --stack",
            )
        if self._image is None:
            self._image = GridImage(self._read, self.analysis.candidates.shape)
        return self._image

    def _grid(self, place: np.ndarray) -> np.ndarray:
        scale = np.array([1.0, *self.analysis.candidates.scale_yx])
        return (np.asarray(place, float) + 0.5) * scale - 0.5

    def _um(self, places: Sequence[np.ndarray]) -> np.ndarray:
        found = np.array([self._with_depth(place) for place in places], float)
        return found * self.analysis.candidates.spacing_zyx_um

    def _to_stack(self, grid_px: np.ndarray) -> np.ndarray:
        return self.analysis.cutter.measurer.grid.to_input(grid_px)

    def _with_depth(self, place: np.ndarray) -> np.ndarray:
        """A place on the grid; a z of NaN is the slice in which something stands out there."""
        found = self._grid(place)
        if not np.isnan(found[0]):
            return found
        return place_with_depth(self.analysis.candidates, self.analysis.corrected.ids, self.image, found)


def _checked(after: Analysis, edit: Edit) -> tuple[str, ...]:
    """Refuse a correction that leaves nothing of what it made; return what should be said about others.

    Raises
    ------
    SpinecoreError
    """
    if edit.kind == "add" and not (after.spines["spine_id"] == edit.spine).any():
        raise SpinecoreError("that spine has no room for a second one: click farther from its head")
    failed = set(after.corrected.failed) & {e.n for e in standing_edits(after.corrections.history)}
    if edit.n in failed:
        raise SpinecoreError("what this was about is not there any more: look at the picture again")
    if failed:
        names = "; ".join(e.words for e in after.corrections.history if e.n in failed and e.kind != UNDO)
        return (f"Without what was undone there is nothing left to do for: {names}.",)
    return ()
