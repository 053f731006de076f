"""The Sample check page: drawing, counting one segment after another, the live estimate."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from drawn_analysis import put_in_workspace
from test_pages_view import RESULTS, open_page, served, shown_of, text_of

from spinecore.corrections.samplecheck import Answer, append_answer, draw_check, read_check
from spinecore.corrections.segments import Segment
from spinecore.ui import samplecheck
from spinecore.ui.downloads import exported_bytes
from spinecore.ui.segmentview import segment_scene
from spinecore.workspace.workspace import Workspace

CHECK = "pages/check.py"


@pytest.fixture
def own(tmp_path, monkeypatch):
    space = Workspace(tmp_path / "space")
    job = put_in_workspace(space, tmp_path)
    yield from ((space, job) for space in served(space, monkeypatch))


def field(at, kind: str, end: str):
    """Return the widget whose key ends so."""
    return next(w for w in getattr(at, kind) if w.key and w.key.endswith(end))


def test_segments_are_drawn_counted_and_estimated(own):
    space, job = own
    folder = space.result_folder(job.id)
    at = open_page(CHECK, job)
    assert not at.exception and "whatever the detector missed" in text_of(at)
    at.button(key="check_draw").click().run()
    assert not at.exception and "Checked density: –" in text_of(at)
    check = read_check(folder)
    assert check.n == len(check.segments) == 2
    first = check.drawn[0]
    count = field(at, "number_input", "_count")
    assert count.value == len(first.spines), "the automatic count is filled in"
    count.set_value(count.value + 2).run()
    at.text_input(key="check_by").set_value("AB").run()
    at.button(key="check_done").click().run()
    assert "**Segment 2** of 2" in text_of(at)
    at.button(key="check_done").click().run()
    assert not at.exception
    found = read_check(folder)
    assert [a.true_count - len(s.spines) for a, s in zip(found.checked, found.drawn, strict=True)] == [2, 0]
    assert found.people == ["AB"] and all(a.on_shaft and a.shaft_missing is False for a in found.checked)
    density = (4 + 2) / found.length_um
    assert f"Checked density: **{density:.2f}/µm**, all segments checked" in text_of(at)
    assert f"Automatic density: {4 / found.length_um:.2f}/µm" in text_of(at)
    assert "6 spines (all segments checked), automatic 4" in text_of(at)
    results = open_page(RESULTS, job)
    results.session_state["results_tab"] = "Methods and settings"
    results.run()
    assert not results.exception
    assert f"Sample check: **{density:.2f}/µm** (all segments checked), 2 of 2 segments" in text_of(results)
    assert any("2 of 2 segments of about 5 um" in code.value for code in results.code)


def test_the_zip_at_another_threshold_holds_the_check_too(own):
    space, job = own
    folder = space.result_folder(job.id)
    check = draw_check(folder, [Segment(1, 1, 1, 0, 5, 10, 45, 7, (1, 2))], 1, 1, 0.5)
    append_answer(folder, Answer(check.drawn[0].number, 3))
    shown = shown_of(space, job, 0.75)
    with zipfile.ZipFile(io.BytesIO(exported_bytes(shown, "bundle"))) as archive:
        assert "1 of 1 segments" in archive.read("methods.txt").decode()


def test_a_check_of_another_analysis_is_said_and_breaks_no_page(own):
    space, job = own
    log = space.result_folder(job.id) / "sample_check.jsonl"
    log.write_text('{"action": "draw", "analysis": "another"}\n')
    assert "made on another analysis" in text_of(open_page(CHECK, job))
    at = open_page(RESULTS, job)
    at.session_state["results_tab"] = "Methods and settings"
    at.run()
    assert not at.exception and "made on another analysis" in text_of(at)


def test_an_answer_can_be_changed_and_a_false_spine_named(own):
    space, job = own
    at = open_page(CHECK, job)
    at.button(key="check_draw").click().run()
    at.button(key="check_done").click().run()
    at.button(key="check_previous").click().run()
    assert "**Segment 1** of 2" in text_of(at) and "· checked" in text_of(at)
    first = read_check(space.result_folder(job.id)).drawn[0]
    field(at, "button_group", "_none").set_value([first.spines[0]]).run()
    assert field(at, "number_input", "_count").value == len(first.spines) - 1, "the count follows"
    field(at, "button_group", "_shaft").set_value("No").run()
    at.button(key="check_done").click().run()
    assert not at.exception
    answer = read_check(space.result_folder(job.id)).checked[0]
    assert answer.not_spines == first.spines[:1] and answer.true_count == len(first.spines) - 1
    assert answer.on_shaft is False


def test_more_segments_are_drawn_after_the_first_ones(own):
    space, job = own
    folder = space.result_folder(job.id)
    segments = [Segment(k, 1, 1, 0.2 * k, 0.2 * k + 0.2, 10, 45, 7, ()) for k in range(1, 51)]
    check = draw_check(folder, segments, 4, 1, 0.5)
    for number, count in zip((s.number for s in check.drawn[:3]), (1, 0, 1), strict=True):
        append_answer(folder, Answer(number, count))
    at = open_page(CHECK, job)
    field(at, "number_input", "_count").set_value(2).run()
    at.button(key="check_done").click().run()
    assert "more segments would bring the interval to ±10 %" in text_of(at)
    at.button(key="check_more").click().run()
    found = read_check(folder)
    assert not at.exception and found.n > 4 and len(found.checked) == 4
    assert f"**Segment 5** of {found.n}" in text_of(at)


def test_the_picture_is_the_slab_around_the_segment(own):
    from types import SimpleNamespace

    from spinecore.analysis.storage import load_analysis
    from spinecore.corrections.segments import cut_segments

    space, job = own
    saved = load_analysis(space.result_folder(job.id))
    shown = SimpleNamespace(saved=saved, job=job, version=1)
    segment = cut_segments(saved.candidates.dendrites, saved.spines, (1.0, 1.0))[0]
    for plane, size in (("xy", 62), ("xz", 13)):
        scene, line = segment_scene(shown, segment, saved.threshold, plane)
        assert abs(scene.picture.rgb.shape[0] - size) <= 2
        assert set(segment.spines) <= set(scene.spines)
        own_colours = {scene.colouring.colours[n] for n in segment.spines}
        others = {scene.colouring.colours[n] for n in scene.spines if n not in segment.spines}
        assert len(own_colours) == 1 and not own_colours & others
        assert np.ptp(line[0][:, 0]) == pytest.approx(segment.length_um, abs=0.3)


def test_an_image_without_depth_can_be_checked(tmp_path, monkeypatch):
    space = Workspace(tmp_path / "space")
    job = put_in_workspace(space, tmp_path, flat=True)
    for _ in served(space, monkeypatch):
        at = open_page(CHECK, job)
        at.button(key="check_draw").click().run()
        assert not at.exception and not [g for g in at.button_group if g.key == "check_plane"]
        assert "maximum of a slab" in text_of(at)


def test_a_report_of_a_segment_no_longer_shown_leaves_its_count(monkeypatch):
    held = {"k_none": [3], "k_count": 7}
    monkeypatch.setattr(samplecheck.st, "session_state", held)
    samplecheck._count_again("k", 5, [3])
    assert held["k_count"] == 7, "nothing was changed"
    samplecheck._count_again("k", 5, [])
    assert held["k_count"] == 4, "a spine was said to be none"
