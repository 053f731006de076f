"""One correction by a person, and which of many still stand: undo and redo without limit, each correction with a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

UNDO, REDO = "undo", "redo"
#: Corrections of spines, of dendrites, and what is said without a change of any measure.
SPINE_KINDS = ("remove", "count", "add", "outline", "move", "attach", "class", "branched")
DENDRITE_KINDS = ("trace", "cut", "delete branch", "delete dendrite", "redraw", "tracing")
OTHER_KINDS = ("soma", "check", "settle", "rules")
KINDS = (*SPINE_KINDS, *DENDRITE_KINDS, *OTHER_KINDS, UNDO, REDO)


@dataclass(frozen=True)
class Edit:
    """One line of the log.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    n : int
        Its number in the log, from 1; below 0 for those that older versions wrote.
    spine, dendrite : int or None
        The number that it is about.
    values : mapping
        What else it says, as JSON can hold it.
    voxels : mapping of str to ndarray
        Voxels of outlines and crops.
    words : str
        Its name for people: "add spine 79".
    by, session : str
        Who, and in which sitting.
    time : str
        ISO time (UTC).
    """

    kind: str
    n: int = 0
    spine: int | None = None
    dendrite: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    voxels: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False, repr=False)
    words: str = ""
    by: str = ""
    session: str = ""
    time: str = ""

    @property
    def of(self) -> int:
        """The correction that an undo or redo is about."""
        return int(self.values["of"])

    @cached_property
    def digest(self) -> str:
        """A short text that differs for corrections that do something else."""
        found = blake2b(repr((self.kind, self.spine, self.dendrite)).encode(), digest_size=12)
        found.update(repr(sorted(self.values.items())).encode())
        for name in sorted(self.voxels):
            array = np.ascontiguousarray(self.voxels[name])
            found.update(f"{name}{array.shape}{array.dtype}".encode() + array.tobytes())
        return found.hexdigest()

    def to_line(self) -> dict[str, Any]:
        """Return the line of the log; the voxels have a file of their own."""
        line: dict[str, Any] = {"n": self.n, "time": self.time, "session": self.session, "by": self.by}
        line |= {"kind": self.kind, "words": self.words}
        for name in ("spine", "dendrite"):
            if getattr(self, name) is not None:
                line[name] = getattr(self, name)
        if self.values:
            line["values"] = dict(self.values)
        if self.voxels:
            line["voxels"] = True
        return line

    @classmethod
    def from_line(cls, line: Mapping[str, Any], voxels: Mapping[str, np.ndarray]) -> Edit:
        """Build one from a line of the log."""
        return cls(
            kind=line["kind"],
            n=int(line["n"]),
            spine=line.get("spine"),
            dendrite=line.get("dendrite"),
            values=line.get("values", {}),
            voxels=voxels,
            words=line.get("words", ""),
            by=line.get("by", ""),
            session=line.get("session", ""),
            time=line.get("time", ""),
        )


def standing_edits(history: Iterable[Edit]) -> tuple[Edit, ...]:
    """Return the corrections that stand, in order: without those undone and not done again.

    Examples
    --------
    >>> said = [Edit("remove", 1, spine=4), Edit("remove", 2, spine=5), Edit("undo", 3, values={"of": 1})]
    >>> [edit.spine for edit in standing_edits(said)]
    [5]
    """
    history = tuple(history)
    undone: set[int] = set()
    for edit in history:
        if edit.kind == UNDO:
            undone.add(edit.of)
        elif edit.kind == REDO:
            undone.discard(edit.of)
    return tuple(e for e in history if e.kind not in (UNDO, REDO) and e.n not in undone)


def to_undo(history: Sequence[Edit], session: str | None) -> Edit | None:
    """Return the last correction that stands: of a sitting, or of anyone where that is None."""
    own = [e for e in standing_edits(history) if session is None or e.session == session]
    return own[-1] if own else None


def to_redo(history: Sequence[Edit], session: str) -> Edit | None:
    """Return the correction that a sitting undid last; none after it has corrected something else.

    Examples
    --------
    >>> said = [Edit("remove", 1, spine=4, session="a"), Edit("undo", 2, values={"of": 1}, session="a")]
    >>> to_redo(said, "a").spine
    4
    >>> to_redo([*said, Edit("remove", 3, spine=5, session="a")], "a") is None
    True
    """
    waiting: list[int] = []
    for edit in history:
        if edit.session != session:
            continue
        if edit.kind == UNDO:
            waiting.append(edit.of)
        elif edit.kind == REDO:
            waiting = [n for n in waiting if n != edit.of]
        else:
            waiting.clear()
    return next((e for e in history if waiting and e.n == waiting[-1] and e.kind not in (UNDO, REDO)), None)
