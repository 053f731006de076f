"""An address that names an analysis that is not there: each page says so and offers those that are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_analysis import put_in_workspace
from streamlit.testing.v1 import AppTest
from test_pages_view import open_page, served, text_of

from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.ui import session
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace

VIEWS = ("overlay", "view3d", "shapes", "check", "results")
UNKNOWN = "20200101-000000-abcdef"


@pytest.fixture
def stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Workspace, JobRecord, JobRecord]]:
    """A workspace with two analyses of one stack."""
    space = Workspace(tmp_path / "space")
    first = put_in_workspace(space, tmp_path)
    second = space.new_job(first.stack_sha256, {"method": "other", "threshold": 0.75})
    save_analysis(
        load_analysis(space.result_folder(first.id)).at_threshold(0.75), space.result_folder(second.id)
    )
    second = second.model_copy(update={"state": "done"})
    space.put_job(second)
    yield from ((served_space, first, second) for served_space in served(space, monkeypatch))


def offered(at: AppTest, label: str = "Analysis") -> list[str]:
    """Return what can be chosen in the field of that label, in which nothing is chosen yet."""
    field = next(box for box in at.selectbox if box.label == label)
    assert field.value is None
    return field.options


@pytest.mark.parametrize("name", [*VIEWS, "evaluate"])
def test_an_unknown_analysis_is_named_as_such_and_the_list_is_offered(name, stored):
    at = open_page(f"pages/{name}.py", analysis=UNKNOWN)
    assert "The analysis in this address is not in this workspace: choose another one." in text_of(at)
    assert len(offered(at)) == 2
    box = next(box for box in at.selectbox if box.label == "Analysis")
    box.select_index(0).run()
    assert not at.exception and "in this address" not in text_of(at)


@pytest.mark.parametrize("name", [*VIEWS, "evaluate"])
def test_a_deleted_analysis_can_be_restored(name, stored):
    space, first, _ = stored
    space.delete_job(first.id)
    at = open_page(f"pages/{name}.py", analysis=first.id)
    assert "was deleted: choose another one, or restore it from the trash on the Start page." in text_of(at)
    assert len(offered(at)) == 1


@pytest.mark.parametrize("name", VIEWS)
def test_without_any_analysis_the_page_says_both(name, tmp_path, monkeypatch):
    for _ in served(Workspace(tmp_path / "empty"), monkeypatch):
        text = text_of(open_page(f"pages/{name}.py", analysis=UNKNOWN))
        assert "is not in this workspace" in text and "no finished analysis yet" in text


def test_agreement_compares_nothing_in_place_of_an_unknown_analysis(stored):
    _, first, second = stored
    at = open_page("pages/agreement.py", a=UNKNOWN, b=first.id)
    assert "is not in this workspace" in text_of(at) and not at.metric
    assert len(offered(at, "A")) == 2
    next(box for box in at.selectbox if box.label == "A").select(second.id).run()
    assert not at.exception and "in this address" not in text_of(at) and len(at.metric) == 4


def test_a_job_of_another_kind_is_no_analysis(stored):
    space, first, _ = stored
    other = space.new_job(first.stack_sha256, {}, "", "membranes")
    assert "is not in this workspace" in text_of(open_page("pages/results.py", analysis=other.id))
    assert session.workspace() is space
    assert "The segmentation in this address" in text_of(
        open_page("pages/membranes.py", segmentation=UNKNOWN)
    )
