"""The page Correct without a browser: what the canvas is told, and what its events do."""

from __future__ import annotations

import ast
import base64
import io
import json
import time
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
import tifffile
from drawn_analysis import HEADS, drawn_analysis, put_in_workspace
from test_pages_view import open_page, served, shown_of, text_of

from spinecore.analysis.editor import Editor
from spinecore.errors import SpinecoreError
from spinecore.ui import session
from spinecore.ui.downloads import stored_bytes
from spinecore.ui.editor.actions import points_of
from spinecore.ui.editor.bricks import blocks_of, pack_block, unpack_bytes
from spinecore.ui.editor.scenedata import path_of, scene_of
from spinecore.workspace.workspace import Workspace

CORRECT = "pages/correct.py"
ROOT = Path(__file__).parents[1]


@pytest.fixture
def own(tmp_path, monkeypatch):
    space = Workspace(tmp_path / "space")
    job = put_in_workspace(space, tmp_path)
    yield from ((space, job) for space in served(space, monkeypatch))


def _state(at):
    return at.session_state["correct_state"]


def test_the_page_opens_and_does_each_event_once(own):
    space, job = own
    at = open_page(CORRECT, job)
    assert "Correct" in [title.value for title in at.title]
    state = _state(at)
    event = {"n": 1, "do": "remove", "spine": 2}
    for _ in range(2):  # the second is the same message again
        state.answer({"client": "a", "events": [event]})
    assert [m["text"] for m in state.data()["messages"]] == ["Saved: remove spine 2."]
    assert [s["id"] for s in json.loads(state.data()["scene"])["spines"]] == [1, 3, 4]
    assert space.progress(job.id).summary["spines"] == 3
    state.answer({"client": "a", "events": [{"n": 2, "do": "remove", "spine": 99}]})
    last = state.data()["messages"][-1]
    assert last["bad"] and "no candidate 99" in last["text"]
    state.answer({"client": "a", "events": [{"n": 3, "do": "nonsense"}]})
    assert state.data()["messages"][-1]["text"] == "That cannot be done here: reload the page."


def test_what_is_sent_again_while_it_is_done_is_done_once(own, monkeypatch):
    """The browser's Back and on again: the old page is at its first event when the new one sends all three again."""
    _, job = own
    state = _state(open_page(CORRECT, job))
    begun = Event()
    remove = state.editor.remove

    def slowly(spine):
        begun.set()
        time.sleep(0.3)
        return remove(spine)

    monkeypatch.setattr(state.editor, "remove", slowly)
    events = [{"n": n, "do": "remove", "spine": spine} for n, spine in enumerate((1, 2, 4), 1)]
    old = Thread(target=state.answer, args=({"client": "a", "events": events[:1]},))
    old.start()
    assert begun.wait(10)
    state.answer({"client": "a", "events": events})
    old.join()
    assert [s["id"] for s in json.loads(state.data()["scene"])["spines"]] == [3]
    assert not [m for m in state.data()["messages"] if m.get("bad")]


def test_the_address_names_the_chosen_spine_though_a_run_was_cut_off(own, monkeypatch):
    """After a reload the page had gone back to a spine that was not chosen any more."""
    _, job = own
    state = _state(open_page(CORRECT, job))
    address = {"analysis": job.id, "spine": "1"}  # what a run took away never reached the browser
    monkeypatch.setattr(session.st, "query_params", address)
    state.chosen = None
    state.answer({"client": "a", "events": [{"n": 1, "do": "blocks", "keys": []}]})
    assert address == {"analysis": job.id}
    state.answer({"client": "a", "events": [{"n": 2, "do": "choose", "spine": 3}]})
    assert address["spine"] == "3"


def test_checking_tells_the_order_and_what_came_of_it(own):
    _, job = own
    state = _state(open_page(CORRECT, job))

    def send(number, **event):
        state.answer({"client": "a", "by": "AB", "session": "s", "events": [{"n": number} | event]})
        return state.data()["check"]

    assert state.data()["check"] == {"lines": [], "differ": []}
    told = send(1, do="checking", how="least sure")
    assert sorted(told["order"]) == [1, 2, 3, 4, 5] and (told["checked"], told["total"]) == (0, 5)
    assert send(2, do="check", spine=4, answer="no")["answers"] == {4: "no"}
    assert state.data()["messages"][-1]["goto"] is False, "the canvas goes on by itself"
    send(3, do="check", spine=1, answer="yes")
    lines = send(4, do="checking", how=None)["lines"]
    assert lines[0] == "2 spines checked by AB; 2 not looked at."
    assert lines[1].startswith("The program: 1 right, 1 false, 0 missed, precision 0.50")
    state.answer({"client": "a", "by": "CD", "events": [{"n": 5, "do": "check", "spine": 1, "answer": "no"}]})
    assert state.data()["check"]["differ"] == [{"spine": 1, "answers": "AB: yes, CD: no"}]
    assert send(6, do="settle", spine=1, answer="yes")["differ"] == []


def test_a_download_of_labels_holds_the_last_correction(own):
    space, job = own
    _state(open_page(CORRECT, job)).answer({"client": "a", "events": [{"n": 1, "do": "remove", "spine": 2}]})
    shown = shown_of(space, job)
    assert set(np.unique(tifffile.imread(io.BytesIO(stored_bytes(shown, "labels.tif"))))) == {0, 1, 3, 4}
    assert set(np.unique(shown.saved.labels)) == {0, 1, 3, 4}


def test_a_threshold_that_is_not_kept_is_said(own):
    _, job = own
    at = open_page(CORRECT, job, threshold="0.3")
    assert "the 0.30 chosen on the Overlay page is not kept yet" in text_of(at)


def test_what_is_drawn_lies_where_the_heads_are():
    analysis, _ = drawn_analysis()
    scene = scene_of(analysis)
    assert [s["id"] for s in scene["spines"]] == [1, 2, 3, 4]
    for spine in scene["spines"]:
        z, y, x = np.array(spine["head"])
        assert np.abs(np.array(HEADS[spine["id"] - 1]) - (z, y, x)).max() < 1.5
        packed = np.frombuffer(base64.b64decode(spine["m"]), np.uint8)
        mask = np.unpackbits(packed)[: np.prod(spine["s"])].reshape(spine["s"])
        inside = np.round([z, y, x]).astype(int) - spine["o"]
        assert mask[tuple(inside)] and mask.sum() > 20
    assert [c["id"] for c in scene["candidates"]] == [5]
    line = np.array(scene["dendrites"][0]["lines"][0]["points"]).reshape(-1, 3)
    assert np.abs(line[:, 1] - 45).max() < 1.5 and np.abs(line[:, 0] - 7).max() < 1.5


def test_the_path_ends_at_base_and_tip_and_is_none_without_a_length():
    analysis, _ = drawn_analysis()
    path = np.array(path_of(analysis, 1)).reshape(-1, 3)
    row = analysis.spines.set_index("spine_id").loc[1]
    tip = row[["tip_z_px", "tip_y_px", "tip_x_px"]].to_numpy(float)
    assert np.linalg.norm((path[-1] - tip) * (0.25, 0.1, 0.1)) < 0.3
    analysis.spines.loc[analysis.spines["spine_id"] == 1, "length_um"] = np.nan
    assert path_of(analysis, 1) is None and path_of(analysis, None) is None


def test_blocks_hold_the_voxels_to_within_a_grey(own):
    space, job = own
    shown = shown_of(space, job)
    _, voxels = drawn_analysis()
    found = blocks_of(shown, ["0,0,0", "0,0,1", "7,0,0"])
    assert list(found) == ["0,0,0"], "what lies outside the stack is passed over"
    block = found["0,0,0"]
    values = np.frombuffer(unpack_bytes(block["bytes"]), np.uint8).reshape(block["shape"])
    back = block["low"] + (values / 255.0) ** 2 * (block["high"] - block["low"])
    assert np.abs(back - voxels).max() <= (block["high"] - block["low"]) / 120
    assert pack_block(np.full((1, 2, 2), 7, np.uint8))["low"] == 7


def test_a_place_that_is_none_is_refused():
    for wrong in ({}, {"points": [[1, None, 2]]}, {"points": [[1, 2]]}, {"points": "x"}):
        with pytest.raises(SpinecoreError, match="not understood"):
            points_of(wrong)


def test_each_stack_has_blocks_of_its_own(own, tmp_path):
    """One store for all had shown the voxels of the stack that was opened first in every other one."""
    space, job = own
    blocks_of(shown_of(space, job), ["0,0,0"])
    other = put_in_workspace(space, tmp_path, flat=True)
    found = blocks_of(shown_of(space, other), ["0,0,0"])
    assert found["0,0,0"]["shape"] == [1, 90, 120]


def test_what_pages_keep_depends_on_what_they_are_asked_for():
    """Streamlit leaves arguments with an underscore out of the key of what it keeps."""
    wrong = []
    for path in (*(ROOT / "spinecore" / "ui").rglob("*.py"), *(ROOT / "pages").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef) or not any(
                "cache_" in ast.unparse(d) for d in node.decorator_list
            ):
                continue
            names = [a.arg for a in node.args.args]
            if names and all(name.startswith("_") for name in names):
                wrong.append(f"{path.name}: {node.name}")
    assert not wrong


def test_an_addition_undone_leaves_nothing_in_the_picture(own):
    space, job = own
    voxels = drawn_analysis()[1]
    editor = Editor(space.result_folder(job.id), lambda wanted: voxels[wanted.start : wanted.stop])
    before = scene_of(editor.analysis)
    added = editor.add(np.array([7.0, 36, 23]))
    removed = editor.remove(added.spine)
    assert removed and [c["id"] for c in scene_of(editor.analysis)["candidates"]] == [5, added.spine]
    editor.undo()
    editor.undo()
    assert scene_of(editor.analysis) == before
