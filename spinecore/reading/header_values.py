"""A parsed text header: values by key, as numbers and counts."""

from __future__ import annotations

import re
from dataclasses import dataclass

from spinecore.reading.units import positive

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


@dataclass(frozen=True)
class Header:
    """A parsed text header.

    Parameters
    ----------
    kind : str
        "scanimage3" (``state.``), "scanimage4" (``SI4.``), "scanimage5" (``SI.``) or "flimage" (``State.``).
    values : dict of str to str
        Right-hand sides as written.
    """

    kind: str
    values: dict[str, str]

    def number(self, key: str) -> float | None:
        """Return the first number of a value, or None."""
        found = self.numbers(key)
        return found[0] if found else None

    def numbers(self, key: str) -> list[float]:
        """Return every number of a value."""
        return [float(text) for text in _NUMBER.findall(self.values.get(key, ""))]

    def count(self, key: str) -> int:
        """Return a value as a count of at least 1."""
        number = positive(self.number(key))
        return 1 if number is None else max(1, int(number))

    def true(self, key: str) -> bool:
        """Return True for 1 and true."""
        return self.values.get(key, "").strip().lower() in ("1", "true")
