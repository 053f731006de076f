"""Numbers, times and states as text."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeVar

from spinecore.workspace.records import State

_Key = TypeVar("_Key", bound=Hashable)
#: Colour of the badge of each state.
STATE_COLOURS: dict[State, Literal["gray", "blue", "green", "red", "orange"]] = {
    "queued": "gray",
    "running": "blue",
    "done": "green",
    "failed": "red",
    "cancelled": "gray",
    "interrupted": "orange",
}


def size_text(size: float) -> str:
    """Return a number of bytes as text.

    Examples
    --------
    >>> size_text(900), size_text(84_000_000), size_text(1.26e9)
    ('900 bytes', '84 MB', '1.3 GB')
    """
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= scale:
            value = size / scale
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return f"{size:.0f} bytes"


def time_text(seconds: float) -> str:
    """Return a duration as text.

    Examples
    --------
    >>> time_text(0.4), time_text(42), time_text(100), time_text(5000)
    ('1 s', '42 s', '1 min 40 s', '1 h 23 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        minutes, rest = divmod(whole, 60)
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, rest = divmod(whole, 3600)
    return f"{hours} h {rest // 60} min"


def when_text(moment: datetime, at: datetime) -> str:
    """Return a moment in local time, without the date when it is today's."""
    local, today = moment.astimezone(), at.astimezone()
    if local.date() == today.date():
        return f"today, {local:%H:%M}"
    return f"{local.day} {local:%b %Y, %H:%M}"


def count_text(number: float, noun: str) -> str:
    """Return "1 spine", "3 spines"."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"


def distinct(names: Mapping[_Key, str]) -> dict[_Key, str]:
    """Return the names of the choices of a list, those that read alike numbered from the last one up.

    A list of choices on a page knows them only by what is read there: of two that read alike, it gives the wrong one.
    Where the newest stands first, a name that is shown already stays as it is when another one comes.

    Examples
    --------
    >>> distinct({"c": "cell.tif", "b": "other.tif", "a": "cell.tif"})
    {'c': 'cell.tif (2)', 'b': 'other.tif', 'a': 'cell.tif'}
    """
    taken = set(names.values())
    seen: set[str] = set()
    found: dict[_Key, str] = {}
    for key, name in reversed(list(names.items())):
        text, number = name, 1
        while text in seen or (number > 1 and text in taken):
            number += 1
            text = f"{name} ({number})"
        seen.add(text)
        found[key] = text
    return {key: found[key] for key in names}


def sentence(error: Exception | str) -> str:
    """Return an error's text beginning with a capital, unless it begins with a file's name, and ending with a stop.

    Examples
    --------
    >>> sentence("the file is empty: choose another one"), sentence("a.tif is empty: choose another one.")
    ('The file is empty: choose another one.', 'a.tif is empty: choose another one.')
    """
    text = str(error).strip()
    if "." not in text.split(" ", 1)[0]:
        text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?")) else f"{text}."


def channel_text(names: Sequence[str], channel: int) -> str:
    """Return what a channel is called: its number from 1, and its name where the file has one.

    Examples
    --------
    >>> channel_text(["red", "green"], 1), channel_text(["channel 0", "channel 1"], 1)
    ('Channel 2: green', 'Channel 2')
    """
    own = names[channel]
    return f"Channel {channel + 1}" + ("" if own == f"channel {channel}" else f": {own}")
