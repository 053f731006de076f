"""The page Compare groups, driven without a browser, on analyses drawn by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import streamlit as st
from drawn_analysis import put_in_workspace
from streamlit.testing.v1 import AppTest

from spinecore.analysis.editor import Editor
from spinecore.analysis.edits import change_class
from spinecore.corrections.samplecheck import Answer, append_answer, draw_check, read_check
from spinecore.corrections.segments import Segment
from spinecore.jobs import manager as jobs
from spinecore.jobs.manager import JobManager
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.shapes.rules import Risher
from spinecore.ui import session
from spinecore.workspace.records import now
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "space")
    monkeypatch.setattr(jobs, "describe_device", lambda: "CPU, 2 cores")
    manager = JobManager(made, executor=ThreadPoolExecutor(1))
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(made.root))
    monkeypatch.setattr(session, "_workspace", lambda root: made)
    monkeypatch.setattr(session, "_manager", lambda root, workers: manager)
    monkeypatch.chdir(ROOT)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield made
    manager.close()


def open_page() -> AppTest:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.run()
    app.switch_page("pages/groups.py").run()
    assert not app.exception, app.exception
    return app


def words(app: AppTest) -> str:
    kinds = (app.title, app.markdown, app.caption, app.info, app.error, app.warning)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_without_analyses_the_page_says_what_to_do(space: Workspace) -> None:
    assert "no finished analysis yet" in words(open_page())


def test_page_lists_reads_compares_and_warns(space: Workspace, tmp_path: Path) -> None:
    origins = ("a", "b", "c", "d")
    names = [put_in_workspace(space, tmp_path / "stacks", origin=o).stack_name for o in origins]
    app = open_page()
    app.button(key="groups_list").click().run()
    listed = app.text_area(key="groups_sheet_field").value
    assert all(name in listed for name in names)
    assert "has no animal" in app.error[0].value
    rows = [f"{name},m{k},c1,{'wt' if k < 2 else 'ko'}" for k, name in enumerate(names)]
    app.text_area(key="groups_sheet_field").set_value("\n".join(["file,mouse,cell,group", *rows])).run()
    assert not app.exception and not app.error
    text = words(app)
    assert "Animals are compared, not spines" in text and "2 and 2 animals" in text
    assert "**ko** vs **wt**" in text
    metrics = {m.label: m.value for m in app.metric}
    assert metrics["Difference (1/µm)"] == "0" and metrics["p (permutation)"] == "1"
    app.selectbox(key="groups_measure").set_value("length_um").run()
    assert not app.exception and "worth about" in words(app)
    app.selectbox(key="groups_reference").set_value("ko").run()
    assert "**wt** vs **ko**" in words(app)
    assert app.dataframe[0].value["measure"].tolist()[0] == "Density"
    # the sheet is still there after a visit elsewhere
    app.switch_page("pages/start.py").run()
    app.switch_page("pages/groups.py").run()
    assert rows[0] in app.text_area(key="groups_sheet_field").value


def test_checked_analyses_say_so_and_come_first(space: Workspace, tmp_path: Path) -> None:
    """Of two analyses of one stack the checked one is listed, though the other one is newer."""
    first = put_in_workspace(space, tmp_path / "one", origin="a")
    second = put_in_workspace(space, tmp_path / "two", origin="b")
    editor = Editor(space.result_folder(first.id), by="Ada")
    for number in editor.analysis.spines["spine_id"]:
        editor.check(int(number), "yes")
    Editor(space.result_folder(second.id), by="Ada").check(1, "yes")
    draw_check(space.result_folder(second.id), [Segment(1, 1, 1, 0, 5, 10, 45, 7, (1, 2))], 1, 1, 0.5)
    append_answer(space.result_folder(second.id), Answer(1, 2))
    newer = space.new_job(first.stack_sha256, {})
    shutil.copytree(space.result_folder(second.id), space.result_folder(newer.id))
    space.put_job(newer.model_copy(update={"state": "done", "finished": now()}))
    app = open_page()
    app.button(key="groups_list").click().run()
    listed = app.text_area(key="groups_sheet_field").value
    assert first.id in listed and newer.id not in listed
    rows = f"{first.id},m1,wt\n{second.stack_name},m2,ko\n"
    app.text_area(key="groups_sheet_field").set_value("file,mouse,group\n" + rows).run()
    assert not app.exception and not app.error
    assert f":green-badge[{first.id}: checked]" in words(app)
    assert f":orange-badge[{second.stack_name}: 1 of 4 checked, 1 of 1 segments checked]" in words(app)
    assert f"People checked every spine of {first.id}, and not of the others" in words(app)
    app.switch_page("pages/train.py").run()
    offered = app.multiselect(key="train_analyses").options
    assert [name.split(": ")[0] for name in offered] == ["checked", "1 of 4 checked"], (
        "of each stack one, checked ones first"
    )


def test_an_analysis_in_which_only_rules_were_chosen_is_not_called_corrected(
    space: Workspace, tmp_path: Path
) -> None:
    ruled, undone, classed = (put_in_workspace(space, tmp_path / name, origin=name) for name in "abc")
    for job in (ruled, undone, classed):
        Editor(space.result_folder(job.id)).set_rules(ChosenRules("risher", Risher()))
    for job in (undone, classed):
        change_class(space.result_folder(job.id), 1, "stubby")
    change_class(space.result_folder(undone.id), 1, None)
    app = open_page()
    app.switch_page("pages/train.py").run()
    offered = app.multiselect(key="train_analyses").options
    assert [name.startswith("corrected: ") for name in offered].count(True) == 1


def test_a_bad_sheet_gets_one_sentence(space: Workspace, tmp_path: Path) -> None:
    put_in_workspace(space, tmp_path / "stacks")
    app = open_page()
    app.text_area(key="groups_sheet_field").set_value("nonsense").run()
    assert len(app.error) == 1 and "no column 'analysis'" in app.error[0].value
    app.text_area(key="groups_sheet_field").set_value("file,animal,group\nother.tif,1,wt").run()
    assert "no finished analysis of other.tif" in app.error[0].value


def test_a_sample_check_is_drawn_over_the_sheet_and_compared(space: Workspace, tmp_path: Path) -> None:
    jobs_of = [put_in_workspace(space, tmp_path / "stacks", origin=o) for o in ("a", "b", "c", "d")]
    names = [job.stack_name for job in jobs_of]
    rows = [f"{name},m{k},c1,{'wt' if k < 2 else 'ko'}" for k, name in enumerate(names)]
    app = open_page()
    app.text_area(key="groups_sheet_field").set_value("\n".join(["file,mouse,cell,group", *rows])).run()
    assert "Density, checked" not in app.dataframe[0].value["measure"].tolist()
    app.number_input(key="groups_check_n").set_value(12)
    app.button(key="groups_check_draw").click().run()
    assert not app.exception and not app.error
    folders = [space.result_folder(job.id) for job in jobs_of]
    drawn = [read_check(folder) for folder in folders]
    assert [check.n for check in drawn if check] == [2, 2, 2, 2], "these have no more"
    assert any("0 of" in e.label and "counted" in e.label for e in app.expander)
    for number, (folder, check) in enumerate(zip(folders, drawn, strict=True)):
        for k, segment in enumerate(check.drawn):
            more = number if k == 0 else 0
            append_answer(folder, Answer(segment.number, len(segment.spines) + more, by="Ada"))
    app.run()
    assert not app.exception
    app.selectbox(key="groups_measure").set_value("density_checked_per_um").run()
    metrics = {m.label: m.value for m in app.metric}
    assert float(metrics["Difference (1/µm)"]) > 0, "the automatic densities are the same"
    state = app.dataframe[0].value
    assert state["checked_by"].tolist() == ["Ada"] * 4
    assert (state["segments_counted"] == state["segments_drawn"]).all()
    assert "counted by eye by Ada" in words(app)
    app.selectbox(key="groups_measure").set_value("length_checked_um").run()
    assert not app.exception and "Difference (µm)" in {m.label for m in app.metric}
    titles = app.dataframe[1].value["measure"].tolist()
    assert {"Length, checked", "Head width, checked", "Volume, checked"} <= set(titles)
    assert "Share of mushroom, checked" in titles or not any(t.startswith("Share of") for t in titles)
