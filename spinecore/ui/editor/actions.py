"""What the canvas asks for, done: each event names an action and what it needs; places are ZYX in the stack's voxels."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.analysis.editor import Change, Editor
from spinecore.errors import SpinecoreError

Event = dict[str, Any]


def place_of(event: Event) -> np.ndarray:
    """Return the place of an event.

    Raises
    ------
    SpinecoreError
        When it holds none.

    Examples
    --------
    >>> place_of({"place": [None, 4, 5.5]}).tolist()
    [nan, 4.0, 5.5]
    """
    return points_of({"points": [event.get("place")]})[0]


def points_of(event: Event) -> np.ndarray:
    """Return the places of an event, (n, 3).

    Raises
    ------
    SpinecoreError
        When one of them is none.
    """
    try:
        found = np.array([[np.nan if v is None else float(v) for v in p] for p in event["points"]], float)
    except (KeyError, TypeError, ValueError) as error:
        raise SpinecoreError("that place was not understood: click again") from error
    if found.ndim != 2 or found.shape[1] != 3 or not np.isfinite(found[:, 1:]).all():
        raise SpinecoreError("that place was not understood: click again")
    return found


def number_of(event: Event, name: str = "spine") -> int:
    """Return the number of a spine or dendrite in an event.

    Raises
    ------
    SpinecoreError
        When there is none.
    """
    try:
        return int(event[name])
    except (KeyError, TypeError, ValueError) as error:
        raise SpinecoreError(f"no {name} was chosen: click one first") from error


def _soma(editor: Editor, event: Event) -> Change:
    return editor.set_soma(None if event.get("place") is None else place_of(event).tolist())


def _tracing(editor: Editor, event: Event) -> Change:
    """Take the lines of a file that was chosen in the browser."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / (Path(str(event.get("name", ""))).name or "tracing.swc")
        path.write_text(str(event.get("text", "")), encoding="utf-8")
        return editor.take_tracing(path, "pixels" if event.get("units") == "pixels" else "um")


#: What each action calls, and the method of the editor that must be there for its tool to be shown.
ACTIONS: dict[str, tuple[str, Callable[[Any, Event], Change]]] = {
    "add": ("add", lambda e, a: e.add(place_of(a))),
    "divide": ("add", lambda e, a: e.add(place_of(a))),
    "remove": ("remove", lambda e, a: e.remove(number_of(a))),
    "count": ("count", lambda e, a: e.count(number_of(a))),
    "merge": ("merge", lambda e, a: e.merge(number_of(a), number_of(a, "other"))),
    "class": ("set_class", lambda e, a: e.set_class(number_of(a), a.get("class"))),
    "branched": ("set_branched", lambda e, a: e.set_branched(number_of(a), bool(a.get("on", True)))),
    "head": ("move_head", lambda e, a: e.move_head(number_of(a), place_of(a))),
    "base": ("move_base", lambda e, a: e.move_base(number_of(a), place_of(a))),
    "tip": ("move_tip", lambda e, a: e.move_tip(number_of(a), place_of(a))),
    "attach": ("attach", lambda e, a: e.attach(number_of(a), number_of(a, "dendrite"))),
    "outline": (
        "set_outline",
        lambda e, a: e.set_outline(number_of(a), int(a["z"]), np.array(a["polygon"], float)),
    ),
    "paint": (
        "paint",
        lambda e, a: e.paint(
            number_of(a), int(a["z"]), np.array(a["stroke"], float), float(a["width"]), bool(a.get("erase"))
        ),
    ),
    "grow": ("grow", lambda e, a: e.grow(number_of(a), float(a["level"]))),
    "trace": ("trace", lambda e, a: e.trace(points_of(a))),
    "extend": ("extend", lambda e, a: e.extend(points_of(a))),
    "join": ("join", lambda e, a: e.join(*points_of(a)[:2])),
    "cut": ("cut", lambda e, a: e.cut(place_of(a))),
    "delete_branch": ("delete_branch", lambda e, a: e.delete_branch(place_of(a))),
    "delete_dendrite": ("delete_dendrite", lambda e, a: e.delete_dendrite(number_of(a, "dendrite"))),
    "redraw": ("redraw", lambda e, a: e.redraw(points_of(a))),
    "tracing": ("take_tracing", _tracing),
    "soma": ("set_soma", _soma),
    "undo": ("undo", lambda e, a: e.undo(anyones=bool(a.get("anyones")))),
    "redo": ("redo", lambda e, a: e.redo()),
    "check": ("check", lambda e, a: e.check(number_of(a), a.get("answer"))),
    "settle": ("settle", lambda e, a: e.settle(number_of(a), a.get("answer"))),
}


def available(editor: Editor) -> list[str]:
    """Return the actions that an editor has a method for."""
    return [name for name, (method, _) in ACTIONS.items() if hasattr(editor, method)]


def do(editor: Editor, event: Event) -> Change:
    """Do what an event asks for; return the editor's `Change`.

    Raises
    ------
    SpinecoreError
        When it cannot be done; nothing was changed then.
    """
    found = ACTIONS.get(str(event.get("do")))
    if found is None or not hasattr(editor, found[0]):
        raise SpinecoreError("that cannot be done here: reload the page")
    return found[1](editor, event)
