"""The Agreement page, driven without a browser, on analyses that were drawn."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import streamlit as st
from drawn_analysis import put_in_workspace
from streamlit.testing.v1 import AppTest

from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.jobs import manager as jobs
from spinecore.jobs.manager import JobManager
from spinecore.ui import session
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent
PAGE = "pages/agreement.py"


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "space")
    monkeypatch.setattr(jobs, "describe_device", lambda: "CPU, 2 cores")
    manager = JobManager(workspace, executor=ThreadPoolExecutor(1))
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(session, "_workspace", lambda root: workspace)
    monkeypatch.setattr(session, "_manager", lambda root, workers: manager)
    yield workspace
    manager.close()
    st.cache_resource.clear()


def two_analyses(space: Workspace, folder: Path) -> tuple[JobRecord, JobRecord]:
    """Store the drawn analysis, and once more at a higher threshold."""
    first = put_in_workspace(space, folder)
    second = space.new_job(first.stack_sha256, {"method": "other", "threshold": 0.75})
    analysis = load_analysis(space.result_folder(first.id)).at_threshold(0.75)
    save_analysis(analysis, space.result_folder(second.id))
    space.put_job(second.model_copy(update={"state": "done"}))
    return first, second


def opened(**address: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.run()
    at.switch_page(PAGE)
    for name, value in address.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception, [e.value for e in at.exception]
    return at


def test_with_nothing_to_compare_the_page_says_what_to_do(space, tmp_path):
    put_in_workspace(space, tmp_path)
    at = opened()
    assert any("no two finished analyses" in m.value for m in at.markdown)
    assert [b.label for b in at.button] == ["Analyse a stack with two methods"]


def test_counts_table_and_picture(space, tmp_path):
    first, second = two_analyses(space, tmp_path)
    at = opened()
    assert {m.label: m.value for m in at.metric} == {
        "○ Both": "2",
        "△ Only A": "2",
        "□ Only B": "0",
        "Agreement F1": "0.667",
    }
    assert any("0.00 µm apart" in c.value for c in at.caption)
    assert first.id in at.query_params["a"] and second.id in at.query_params["b"]
    assert list(at.dataframe[0].value["Found by"]) == ["both", "both", "only A", "only A"]
    assert len(at.get("plotly_chart")) == 1
    at.segmented_control(key="agreement_view").set_value("two").run()
    assert not at.exception and len(at.get("plotly_chart")) == 1


def test_the_address_chooses_the_sides(space, tmp_path):
    first, second = two_analyses(space, tmp_path)
    at = opened(a=second.id, b=first.id)
    assert {m.label: m.value for m in at.metric}["□ Only B"] == "2"
    at.pills[0].set_value(["only B"]).run()
    assert list(at.dataframe[0].value["Found by"]) == ["only B", "only B"]


def test_a_result_that_is_gone_gives_one_sentence(space, tmp_path):
    _, second = two_analyses(space, tmp_path)
    (space.result_folder(second.id) / "analysis.json").unlink()
    at = opened()
    assert len(at.error) == 1 and "run the analysis again" in at.error[0].value
