"""The state of the page Correct in one tab: its editor, and what the canvas was told last.

The canvas numbers its events and sends those again that were not answered, so that none is lost or done twice.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from threading import RLock
from typing import Any

from spinecore.analysis.checking import checking_order, checking_progress
from spinecore.analysis.editor import Editor
from spinecore.errors import SpinecoreError
from spinecore.shapes.classes import CLASSES
from spinecore.ui.editor.actions import available, do
from spinecore.ui.editor.bricks import blocks_of, field_picture
from spinecore.ui.editor.checks import summary_of
from spinecore.ui.editor.scenedata import path_of, scene_of
from spinecore.ui.session import keep_spine, select_spine
from spinecore.ui.shown import Shown, update_summary
from spinecore.ui.words import sentence

_DONE = {"undo": "Undone", "redo": "Done again"}


@dataclass
class EditorState:
    """What one tab holds of the page.

    Parameters
    ----------
    shown : Shown
    editor : Editor
        Changes the analysis and holds it as it is.
    order : str or None
        In which the spines are checked one by one.
    client : str
        Names the canvas whose events are counted.
    done : int
        Number of its last event that was answered.
    chosen : int or None
        The spine chosen.
    version : int
        Rises with each change of what is drawn.
    """

    shown: Shown
    editor: Editor
    client: str = ""
    done: int = 0
    chosen: int | None = None
    order: str | None = None
    version: int = 0

    def __post_init__(self) -> None:
        """Begin with nothing sent."""
        self._messages: list[dict[str, Any]] = []
        self._blocks: dict[str, Any] = {}
        self._scene: tuple[int, str] = (-1, "")
        self._report: tuple[int, dict[str, Any]] = (-1, {})
        self._path: tuple[tuple[int, int | None], str] = ((-1, None), "null")
        # a page that is left may still be at work in its old thread when the new one begins
        self._turn = RLock()

    def answer(self, sent: dict[str, Any]) -> None:
        """Do the events that a canvas sent and that were not done yet, one call after the other."""
        with self._turn:
            self._answer(sent)

    def _answer(self, sent: dict[str, Any]) -> None:
        client = str(sent.get("client", ""))
        if client != self.client:
            self.client, self.done, self._messages = client, 0, []
        self.editor.session = str(sent.get("session", ""))[:20] or self.editor.session
        self.editor.by = str(sent.get("by", ""))[:40]
        new = [event for event in sent.get("events", []) if int(event.get("n", 0)) > self.done]
        if new:  # what was told before has arrived; else it was asked for again
            self._messages, self._blocks = self._messages[-10:], {}
        for event in new:
            self.done = int(event["n"])
            self._one(event, self.done)
        keep_spine(self.chosen)

    def _one(self, event: dict[str, Any], number: int) -> None:
        try:
            match event.get("do"):
                case "blocks":
                    self._blocks |= self._read(event.get("keys", []))
                case "choose":
                    self.choose(event.get("spine"))
                case "checking":
                    self.order = event.get("how")
                    self._report = (-1, {})
                case _:
                    self._change(event, number)
        except (SpinecoreError, OSError) as error:
            self._messages.append({"n": number, "bad": True, "text": sentence(error)})

    def _read(self, keys: list[str]) -> dict[str, Any]:
        """Return blocks of voxels; "field" is the picture of the whole field."""
        found: dict[str, Any] = dict(blocks_of(self.shown, [k for k in keys if k != "field"]))
        if "field" in keys:
            found["field"] = field_picture(self.shown.job.id, self.shown.saved.projections["xy"])
        return found

    def _change(self, event: dict[str, Any], number: int) -> None:
        change = do(self.editor, event)
        self.version += 1
        update_summary(self.shown.job.id, len(self.editor.analysis.spines))
        words = f"{_DONE.get(str(event.get('do')), 'Saved')}: {change.words}."
        there = set(self.editor.analysis.spines["spine_id"].astype(int))
        follow = change.spine in there and event.get("do") not in ("check", "settle")
        if follow:
            self.choose(change.spine)
        elif self.chosen is not None and self.chosen not in there:
            self.choose(None)
        self._messages.append(
            {
                "n": number,
                "text": " ".join([words, *change.notes]),
                "spine": change.spine,
                "goto": follow,
            }
        )

    def choose(self, spine: Any) -> None:
        """Choose a spine, for the other pages too."""
        self.chosen = None if spine is None else int(spine)
        select_spine(self.chosen)

    def data(self) -> dict[str, Any]:
        """Return what the canvas is told now; messages and blocks stay in it until it asks for the next thing."""
        with self._turn:
            return self._data()

    def _data(self) -> dict[str, Any]:
        if self.editor.refresh():
            self.version += 1
        analysis = self.editor.analysis
        if self._scene[0] != self.version:
            text = json.dumps(scene_of(analysis), separators=(",", ":"), allow_nan=False)
            self._scene = (self.version, text)
        at = (self.version, self.chosen)
        if self._path[0] != at:
            self._path = (at, json.dumps(path_of(analysis, self.chosen)))
        return {
            "analysis": self.shown.job.id,
            "client": self.client,
            "done": self.done,
            "messages": self._messages,
            "scene": self._scene[1],
            "path": self._path[1],
            "blocks": self._blocks,
            "chosen": self.chosen,
            "classes": list(CLASSES),
            "can": available(self.editor),
            "undo": self.editor.undo_words,
            "redo": self.editor.redo_words,
            "earlier": self.editor.earlier_words,
            "check": self._check(),
        }

    def _check(self) -> dict[str, Any]:
        """Return how far checking got: the order and this person's answers, or between checks a summary."""
        analysis = self.editor.analysis
        if self.order is not None:
            order = checking_order(analysis, self.order)
            return {
                "order": order,
                "answers": self.editor.answers(),
                **asdict(checking_progress(analysis, self.editor.by, order)),
            }
        if self._report[0] != self.version:
            self._report = (self.version, summary_of(analysis))
        return self._report[1]
