"""The one error that reading raises."""

from __future__ import annotations


class ReadingError(ValueError):
    """A file cannot be used; the message is one sentence: what is wrong and what to do."""
