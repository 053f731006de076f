"""Lists of choices: a page knows a choice only by what is read there, so no two may read alike."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import tifffile
from drawn_analysis import drawn_analysis, put_analysis
from streamlit.testing.v1 import AppTest
from test_page_membranes import put_segmentation
from test_pages_view import open_page, served

from spinecore.analysis.result import Analysis
from spinecore.ui.words import distinct
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace

PAGES = ("overlay", "view3d", "results", "correct", "evaluate", "agreement", "analyse", "train", "membranes")


@pytest.fixture
def alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Workspace, list[JobRecord]]]:
    """Two stacks of one file name, each with two analyses and two time points of one minute; two alike segmentations."""
    space = Workspace(tmp_path / "space")
    analysis, voxels = drawn_analysis()
    jobs = [job for k in range(2) for job in _analysed(space, tmp_path / str(k), analysis, voxels + k)]
    minute = jobs[0].submitted.replace(second=0)
    for second, job in enumerate(jobs):
        space.put_job(job.model_copy(update={"submitted": minute.replace(second=second)}))
    put_segmentation(space, tmp_path)
    put_segmentation(space, tmp_path)
    yield from ((served_space, jobs) for served_space in served(space, monkeypatch))


def _analysed(space: Workspace, folder: Path, analysis: Analysis, voxels) -> Iterator[JobRecord]:
    folder.mkdir()
    path = folder / "cell.tif"
    tifffile.imwrite(path, voxels, imagej=True, metadata={"axes": "ZYX", "spacing": 0.25, "unit": "um"})
    for time in (0, 0, 1, 1):
        job = put_analysis(space, path, analysis)
        job = job.model_copy(update={"settings": {"time_point": time}})
        space.put_job(job)
        yield job


def boxes(at: AppTest) -> list:
    return [*at.selectbox, *at.multiselect]


@pytest.mark.parametrize("name", PAGES)
def test_no_two_choices_of_a_list_read_alike(name: str, alike: tuple[Workspace, list[JobRecord]]) -> None:
    at = open_page(f"pages/{name}.py", analysis=alike[1][0].id)
    assert not at.exception and boxes(at)
    for box in boxes(at):
        double = [text for text, count in Counter(box.options).items() if count > 1]
        assert not double, f"{box.label}: {double}"


def test_what_is_read_leads_to_its_analysis(alike: tuple[Workspace, list[JobRecord]]) -> None:
    _, jobs = alike
    at = open_page("pages/overlay.py", analysis=jobs[0].id)
    for place, job in enumerate(reversed(jobs)):  # the newest first
        next(box for box in at.selectbox if box.label == "Analysis").select_index(place).run()
        assert at.query_params["analysis"] == job.id


def test_the_stack_that_is_read_is_the_one_analysed(alike: tuple[Workspace, list[JobRecord]]) -> None:
    space, _ = alike
    at = open_page("pages/analyse.py")
    box = next(box for box in at.multiselect if box.label == "Stacks")
    named = dict(zip(box.options, space.stacks(), strict=True))
    assert {"cell.tif", "cell.tif (2)"} < set(named)
    older = min((s for s in space.stacks() if s.file == "cell.tif"), key=lambda s: s.added)
    assert named["cell.tif"] == older, "a name that is shown stays when another file comes"
    box.set_value(["cell.tif"]).run()
    assert next(box for box in at.multiselect if box.label == "Stacks").value == [older.sha256]


def test_numbers_never_meet_a_name_that_is_there() -> None:
    names = distinct({4: "a", 3: "a (2)", 2: "a", 1: "a"})
    assert names == {4: "a (4)", 3: "a (2)", 2: "a (3)", 1: "a"}
