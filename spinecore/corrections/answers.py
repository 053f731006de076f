"""What people answered when they were shown candidates one by one, and what holds where they differ."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from spinecore.corrections.edit import Edit

YES, NO = "yes", "no"
#: A correction that says as much as an answer.
_SAYS = {"remove": NO, "count": YES, "add": YES}


@dataclass
class Answers:
    """What was said about one candidate.

    Parameters
    ----------
    by : dict of str to str
        The last answer ("yes" or "no") of each person.
    last : str or None
        What a correction (removed, counted, added) or a settled difference says.
    settled : bool
        True while nobody answered after that.
    time : str
        When something was said last.
    """

    by: dict[str, str] = field(default_factory=dict)
    last: str | None = None
    settled: bool = False
    time: str = ""

    @property
    def differ(self) -> bool:
        """True where people differ and nobody settled it."""
        return not self.settled and len(set(self.by.values())) > 1

    @property
    def holds(self) -> str | None:
        """What holds: what was settled, else what all say; where they differ, what held before they were asked."""
        if self.settled or self.differ or not self.by:
            return self.last
        return next(iter(self.by.values()))

    def take(self, edit: Edit) -> None:
        """Take in one more correction."""
        answer = edit.values.get("answer") if edit.kind in ("check", "settle") else _SAYS[edit.kind]
        self.time = edit.time
        if edit.kind == "check":
            self.settled = False
            if answer is None:
                self.by.pop(edit.by, None)
            else:
                self.by[edit.by] = str(answer)
            return
        if edit.kind != "settle":
            self.by[edit.by] = str(answer)
        self.last, self.settled = None if answer is None else str(answer), True


def answers_about(standing: Iterable[Edit]) -> dict[int, Answers]:
    """Return what was said about each candidate, by its number.

    Examples
    --------
    >>> said = [Edit("check", 1, spine=4, values={"answer": a}, by=by) for a, by in (("yes", "Ada"), ("no", "Ben"))]
    >>> found = answers_about(said)[4]
    >>> found.differ, found.holds, answers_about([*said, Edit("settle", 3, spine=4, values={"answer": "no"})])[4].holds
    (True, None, 'no')
    """
    found: dict[int, Answers] = {}
    for edit in standing:
        if (
            edit.kind == "outline" and "mark" in edit.values
        ):  # of a mark in a file, which says that it is a spine
            found.setdefault(int(edit.spine or 0), Answers()).take(replace(edit, kind="count"))
        elif edit.spine is not None and (edit.kind in ("check", "settle") or edit.kind in _SAYS):
            found.setdefault(edit.spine, Answers()).take(edit)
        if edit.kind == "outline":
            for other in edit.values.get("merged", ()):
                found.setdefault(int(other), Answers()).take(
                    Edit("remove", edit.n, by=edit.by, time=edit.time)
                )
    return found
