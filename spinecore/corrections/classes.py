"""Classes changed by a person: the last line about a spine counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.shapes.classes import CLASSES


@dataclass(frozen=True)
class ClassChange:
    """One change of a class.

    Parameters
    ----------
    spine_id : int
    answer : str or None
        The class now; None takes earlier changes back.
    before : str or None
        The class shown until then.
    time : str
        ISO time (UTC).
    """

    spine_id: int
    answer: str | None
    before: str | None = None
    time: str = ""

    def __post_init__(self) -> None:
        """Refuse a class that does not exist.

        Raises
        ------
        SpinecoreError
        """
        if self.answer is not None and self.answer not in CLASSES:
            raise SpinecoreError(f"there is no class {self.answer!r}: choose one of {', '.join(CLASSES)}")

    @classmethod
    def from_line(cls, line: dict[str, Any]) -> ClassChange:
        """Build one from a line of the log."""
        return cls(int(line["spine_id"]), line["class"], line.get("before"), line.get("time", ""))

    def to_line(self) -> dict[str, Any]:
        """Return the line of the log."""
        return {
            "time": self.time,
            "spine_id": self.spine_id,
            "class": self.answer,
            "before": self.before,
        }
