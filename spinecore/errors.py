"""The one error whose message is meant for the user."""

from __future__ import annotations


class SpinecoreError(ValueError):
    """Something that the user can put right; the message is one sentence: what is wrong and what to do.

    Every other exception is an internal error, and is reported as one.
    """
