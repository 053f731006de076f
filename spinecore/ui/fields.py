"""Number fields whose limits are told in words.

Streamlit's own limits only turn a field red where a number beyond them is typed: the value before stays, and the next click
works with that. So no field here has them; `within` checks what was typed where it is used.
"""

from __future__ import annotations

from typing import TypeVar

from spinecore.errors import SpinecoreError

Number = TypeVar("Number", int, float)


def within(title: str, value: Number, low: float | None = None, high: float | None = None) -> Number:
    """Return a number that was typed if it may be used.

    Parameters
    ----------
    title : str
        Of the field.
    value : int or float
    low, high : float, optional
        The least and the largest that may be used.

    Raises
    ------
    SpinecoreError
        If it is beyond them.

    Examples
    --------
    >>> within("Time point", 3, 1, 20)
    3
    >>> within("Time point", 21, 1, 20)
    Traceback (most recent call last):
    ...
    spinecore.errors.SpinecoreError: The field Time point takes 1 to 20, not 21
    """
    if (low is None or value >= low) and (high is None or value <= high):
        return value
    allowed = f"{low:g} to {high:g}" if low is not None and high is not None else ""
    allowed = allowed or (f"{low:g} or more" if low is not None else f"at most {high:g}")
    raise SpinecoreError(f"The field {title} takes {allowed}, not {value:g}")
