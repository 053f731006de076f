"""Corrections out of a file, one JSON object a line, with the keys of the log: kind, spine, dendrite, values.

Places are z, y, x in the stack's own voxels (`zyx_px`), where the log keeps voxels; a z of null is found from the image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.analysis.editor import Change, Editor
from spinecore.errors import SpinecoreError, command_words
from spinecore.shapes.chosen_rules import ChosenRules

Line = Mapping[str, Any]


def _place(line: Line) -> np.ndarray:
    return _places({"values": {"zyx_px": [line["values"]["zyx_px"]]}})[0]


def _places(line: Line) -> np.ndarray:
    """Return the places of a line, (n, 3)."""
    found = np.array(
        [[np.nan if v is None else float(v) for v in p] for p in line["values"]["zyx_px"]], float
    )
    if found.ndim != 2 or found.shape[1] != 3 or not np.isfinite(found[:, 1:]).all():
        raise ValueError("places are z, y, x")
    return found


def _move(editor: Editor, line: Line) -> Change:
    parts = {"head": editor.move_head, "base": editor.move_base, "tip": editor.move_tip}
    return parts[line["values"]["part"]](int(line["spine"]), _place(line))


#: What each kind of line does.
KINDS: dict[str, Callable[[Editor, Line], Change]] = {
    "add": lambda e, a: e.add(_place(a)),
    "remove": lambda e, a: e.remove(int(a["spine"])),
    "count": lambda e, a: e.count(int(a["spine"])),
    "merge": lambda e, a: e.merge(int(a["spine"]), int(a["values"]["other"])),
    "move": _move,
    "outline": lambda e, a: e.set_outline(
        int(a["spine"]), int(a["values"]["z"]), np.array(a["values"]["yx_px"], float)
    ),
    "paint": lambda e, a: e.paint(
        int(a["spine"]),
        int(a["values"]["z"]),
        np.array(a["values"]["yx_px"], float),
        float(a["values"]["width_px"]),
        bool(a["values"].get("erase")),
    ),
    "grow": lambda e, a: e.grow(int(a["spine"]), float(a["values"]["level"])),
    "attach": lambda e, a: e.attach(int(a["spine"]), int(a["values"]["dendrite_id"])),
    "class": lambda e, a: e.set_class(int(a["spine"]), a["values"]["class"]),
    "branched": lambda e, a: e.set_branched(int(a["spine"]), bool(a["values"]["branched"])),
    "trace": lambda e, a: e.trace(list(_places(a))),
    "extend": lambda e, a: e.extend(list(_places(a))),
    "join": lambda e, a: e.join(*_places(a)[:2]),
    "redraw": lambda e, a: e.redraw(list(_places(a))),
    "tracing": lambda e, a: e.take_tracing(Path(a["values"]["path"]), str(a["values"].get("units", "um"))),
    "cut": lambda e, a: e.cut(_place(a)),
    "delete branch": lambda e, a: e.delete_branch(_place(a)),
    "delete dendrite": lambda e, a: e.delete_dendrite(int(a["dendrite"])),
    "soma": lambda e, a: e.set_soma(None if a["values"]["zyx_px"] is None else _place(a).tolist()),
    "check": lambda e, a: e.check(int(a["spine"]), a["values"]["answer"]),
    "rules": lambda e, a: e.set_rules(ChosenRules.from_dict(a["values"]["chosen"])),
    "settle": lambda e, a: e.settle(int(a["spine"]), a["values"]["answer"]),
}


def apply_file(editor: Editor, path: Path) -> list[Change]:
    """Do every correction of a file, one after the other.

    Parameters
    ----------
    editor : Editor
    path : Path
        JSON lines; empty ones are passed over. `by` in a line says who.

    Returns
    -------
    list of Change

    Raises
    ------
    SpinecoreError
        At the first line that is wrong or cannot be done, with its number; those before it are done and stored.
    """
    name = Path(path).name
    done: list[Change] = []
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise SpinecoreError(f"{name} is not UTF-8 text: save it again as UTF-8") from error
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        before = f"line {number} of {name}" + (f" (the {len(done)} before it are done)" if done else "")
        try:
            line: dict[str, Any] = {"values": {}} | dict(json.loads(text))
            act = KINDS[str(line["kind"])]
            editor.by = str(line.get("by", editor.by))
            done.append(act(editor, line))
        except SpinecoreError as error:
            raise SpinecoreError(f"{before}: {error}", f"{before}: {command_words(error)}") from error
        except (ValueError, TypeError, KeyError, IndexError) as error:
            kinds = ", ".join(KINDS)
            raise SpinecoreError(
                f"{before} is no correction: it needs a kind ({kinds}) and what that is about, as the documentation shows"
            ) from error
    return done
