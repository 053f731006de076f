"""The frame of the dashboard and its first three pages, driven without a browser (one test starts a real server)."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
import tifffile
import vendor_files
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.testing.v1 import AppTest
from waiting import wait_for_answer, wait_until

from spinecore.analysis.result import Settings
from spinecore.errors import SpinecoreError
from spinecore.evaluation.builtin import REAL, SIMULATED
from spinecore.jobs import manager as jobs
from spinecore.jobs.manager import JobManager
from spinecore.jobs.work import Kind, Report, Summary, Task
from spinecore.reading import read_stack
from spinecore.ui import queue, session
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent
UPLOAD, ANALYSE = "pages/upload.py", "pages/analyse.py"


def tiff(shape: tuple[int, ...] = (3, 64, 64), pixel_um: float | None = 0.1, seed: int = 0) -> bytes:
    """Return a small ImageJ TIFF, with or without a voxel size."""
    voxels = np.random.default_rng(seed).integers(0, 4000, shape).astype(np.uint16)
    file = BytesIO()
    axes = "ZYX"[-len(shape) :]
    known: dict[str, Any] = {"metadata": {"axes": axes}}
    if pixel_um is not None:
        known = {
            "resolution": (1 / pixel_um, 1 / pixel_um),
            "metadata": {"axes": axes, "spacing": 0.4, "unit": "um"},
        }
    tifffile.imwrite(file, voxels, imagej=True, **known)
    return file.getvalue()


class QuickAnalysis(Kind):
    """Leave a result at once; fail for a threshold of 0.9, and wait for the file "go" for one of 0.8."""

    name = "analysis"

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        report("Finding spines", 0.5)
        if task.settings["threshold"] == 0.9:
            raise SpinecoreError("every voxel has the value 7: choose another channel")

        def may_go_on() -> bool:
            report("Finding spines", 0.5)
            return task.settings["threshold"] != 0.8 or (task.folder / "go").exists()

        wait_until(may_go_on)
        (out / "analysis.json").write_text("{}")
        return {"spines": 12, "dendrites": 1, "dendrite_um": 24.5}


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "space")


@pytest.fixture
def manager(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobManager]:
    monkeypatch.setattr(jobs, "describe_device", lambda: "CPU, 2 cores")
    made = JobManager(workspace, executor=ThreadPoolExecutor(1), kinds={"analysis": QuickAnalysis()})
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(workspace.root))
    monkeypatch.delenv("SPINECORE_DATA_ROOT", raising=False)
    monkeypatch.setattr(session, "_workspace", lambda root: workspace)
    monkeypatch.setattr(session, "_manager", lambda root, workers: made)
    st.cache_data.clear()
    yield made
    for job in workspace.jobs(states=("queued", "running")):
        made.cancel(job.id)
        wait_for(workspace, job.id, "cancelled", "done")
    made.close()


@pytest.fixture
def open_page(manager: JobManager, monkeypatch: pytest.MonkeyPatch) -> Callable[..., AppTest]:
    monkeypatch.chdir(ROOT)

    def go(page: str | None = None, **address: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=30)
        for name, value in address.items():
            app.query_params[name] = value
        app.run()
        if page is not None:
            app.switch_page(page).run()
        assert not app.exception
        return app

    return go


def wait_for(workspace: Workspace, job_id: str, *states: str) -> JobRecord:
    wait_until(  # the list of jobs follows the job's own file
        lambda: any(job.id == job_id for job in workspace.jobs(states=states)),
        lambda: f"still {workspace.job(job_id).state}, wanted {states}",
    )
    return workspace.job(job_id)


def button(app: AppTest, key: str) -> Any:
    """Return the button whose key begins with `key`."""
    found = [element for element in app.button if (element.key or "").startswith(key)]
    assert found, f"no button {key} among {[element.key for element in app.button]}"
    return found[0]


def in_address(app: AppTest, name: str) -> str:
    """Return a value of the address (a list of one, or the value, depending on who wrote it)."""
    value = app.query_params[name]
    return value if isinstance(value, str) else value[0]


def words(app: AppTest) -> str:
    """Return all text of the page."""
    kinds = (
        app.title,
        app.subheader,
        app.markdown,
        app.caption,
        app.error,
        app.warning,
        app.sidebar.markdown,
    )
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_start_says_what_this_is(open_page) -> None:
    app = open_page()
    text = words(app)
    assert "spines" in app.title[0].value and "no image leaves it" in text
    assert "simulated" in text and "None yet" in text
    assert "Workspace:" in text and "Nothing is running" in text


def test_the_sample_is_one_click_away(open_page, workspace: Workspace) -> None:
    app = open_page()
    button(app, "try_sample").click().run()
    job = workspace.jobs()[0]
    assert workspace.stack(job.stack_sha256).origin == REAL.origin
    wait_for(workspace, job.id, "done")
    app.run()
    assert in_address(app, "analysis") == job.id, "it opens by itself when it is done"
    again = open_page()
    assert "12 spines" in words(again) and "24.5 µm dendrite" in words(again)
    button(again, "try_sample").click().run()
    assert len(workspace.jobs()) == 1, "the finished analysis is opened, not made again"
    third = open_page()
    button(third, "open_").click().run()
    assert in_address(third, "analysis") == job.id


def badges(app: AppTest) -> list[str]:
    """Return the states that the page shows."""
    states = ("Queued", "Running", "Done", "Cancelled")
    return [state for text in app.main.markdown for state in states if f"[{state}]" in text.value]


def test_an_analysis_is_shown_in_one_state_at_a_time(open_page, workspace: Workspace, manager) -> None:
    """The sample's card follows its analysis, the list below is drawn once: both showed it, in two states."""
    app = open_page()
    record = workspace.add_stack(SIMULATED.stack, origin=SIMULATED.origin)
    settings = Settings(channel=0).model_dump(mode="json") | {"threshold": 0.8}
    job = manager.submit(record.sha256, settings)
    app.query_params["sample"] = job.id
    app.run()
    assert len(badges(app)) == 1
    wait_for(workspace, job.id, "running")
    app.run()
    assert badges(app) == ["Running"]
    manager.cancel(job.id)
    wait_for(workspace, job.id, "cancelled")
    app.run()
    assert badges(app) == ["Cancelled", "Cancelled"], "one that has ended can be deleted in the list"


def test_the_list_follows_an_analysis_that_begins(
    open_page, workspace: Workspace, manager, monkeypatch
) -> None:
    first, second = (workspace.add_stack(BytesIO(tiff(seed=n)), f"{n}.tif") for n in range(2))
    ahead = manager.submit(first.sha256, {"threshold": 0.8})
    waiting = manager.submit(second.sha256, {"threshold": 0.8})
    wait_for(workspace, ahead.id, "running")
    app = open_page()
    assert badges(app) == ["Queued", "Running"], "the newest first"
    drawn = queue.active_states()
    again: list[str] = []
    monkeypatch.setattr(queue.st, "rerun", lambda: again.append("rerun"))
    queue.rerun_after_changes(drawn)
    assert not again
    manager.cancel(ahead.id)
    wait_for(workspace, waiting.id, "running")
    queue.rerun_after_changes(drawn)
    assert again == ["rerun"]
    app.run()
    assert badges(app) == ["Running", "Cancelled"]


def test_an_upload_is_stored_shown_and_freed(open_page, workspace: Workspace, monkeypatch) -> None:
    freed: list[str] = []
    keep = MemoryUploadedFileManager.remove_file

    def remove(self: MemoryUploadedFileManager, session_id: str, file_id: str) -> None:
        keep(self, session_id, file_id)
        freed.extend([file_id] if not self.get_files(session_id, [file_id]) else [])

    monkeypatch.setattr(MemoryUploadedFileManager, "remove_file", remove)
    app = open_page(UPLOAD)
    app.file_uploader(key="upload_0").set_value(
        [("a.tif", tiff(), "image/tiff"), ("b.tif", tiff((64, 64), None, 1), "image/tiff")]
    ).run()
    assert not app.exception and not app.error
    assert len(freed) >= 2
    assert {record.file for record in workspace.stacks()} == {"a.tif", "b.tif"}
    text = words(app)
    assert "3 slices of 64 × 64 px" in text and "64 × 64 px" in text and "uint16" in text
    assert "From the file" in text and "does not give" in text and "saturated" in text
    assert app.file_uploader(key="upload_1").value == []
    assert button(app, "analyse_all").label == "Analyse these 2 stacks"


def test_a_bad_file_gets_one_sentence_and_the_next_one_works(open_page, workspace: Workspace) -> None:
    app = open_page(UPLOAD)
    app.file_uploader(key="upload_0").set_value([("notes.tif", b"just some words", "image/tiff")]).run()
    assert len(app.error) == 1 and "\n" not in app.error[0].value and "Traceback" not in app.error[0].value
    assert workspace.stacks() == []
    assert not [path for path in (workspace.root / "tmp").iterdir() if path.is_dir()]
    app.file_uploader(key="upload_1").set_value([("a.tif", tiff(), "image/tiff")]).run()
    assert not app.error and len(workspace.stacks()) == 1


def test_the_voxel_size_is_kept_with_the_stack(open_page, workspace: Workspace) -> None:
    record = workspace.add_stack(BytesIO(tiff(pixel_um=None)), "a.tif")
    app = open_page(UPLOAD)
    assert "pixel size is unknown" in words(app)
    app.number_input(key=f"pixel_{record.sha256}").set_value(0.08).run()
    app.number_input(key=f"z_{record.sha256}").set_value(0.5).run()
    assert "unknown" not in words(app)
    kept = workspace.stack(record.sha256).spacing
    assert (kept.pixel_um, kept.z_um) == (0.08, 0.5)
    assert "Entered by you" in words(app)


def test_a_missing_size_is_asked_for_before_the_start(open_page, workspace: Workspace) -> None:
    record = workspace.add_stack(BytesIO(tiff(pixel_um=None)), "a.tif")
    app = open_page(ANALYSE)
    assert "Please enter it" in words(app) and button(app, "start").disabled
    app.number_input(key=f"pixel_{record.sha256}").set_value(0.08).run()
    assert button(app, "start").disabled, "the distance of the slices is missing too"
    app.number_input(key=f"z_{record.sha256}").set_value(0.5).run()
    button(app, "start").click().run()
    job = workspace.jobs()[0]
    assert (job.settings["pixel_um"], job.settings["z_um"]) == (0.08, 0.5)


def test_files_from_the_server_folder(open_page, workspace: Workspace, tmp_path: Path, monkeypatch) -> None:
    app = open_page(UPLOAD)
    app.session_state["way_in"] = "From a folder on the server"
    app.run()
    assert "SPINECORE_DATA_ROOT" in words(app)
    data = tmp_path / "data"
    (data / "day 1").mkdir(parents=True)
    (data / "day 1" / "a.tif").write_bytes(tiff())
    (data / "day 1" / "bad.tif").write_bytes(b"no image")
    monkeypatch.setenv("SPINECORE_DATA_ROOT", str(data))
    app.run()
    app.selectbox(key="server_go_").select("day 1").run()
    app.multiselect(key="server_files_day 1").set_value(["day 1/a.tif", "day 1/bad.tif"]).run()
    button(app, "server_copy").click().run()
    assert [record.origin for record in workspace.stacks()] == ["server folder"]
    assert len(app.error) == 1 and "bad.tif" in app.error[0].value


def test_an_ome_zarr_in_the_server_folder_is_one_image(
    open_page, workspace: Workspace, tmp_path: Path, monkeypatch
) -> None:
    pytest.importorskip("zarr")
    voxels = vendor_files.stack()
    data = tmp_path / "data"
    data.mkdir()
    vendor_files.write_zarr(data / "cell.ome.zarr", voxels)
    monkeypatch.setenv("SPINECORE_DATA_ROOT", str(data))
    app = open_page(UPLOAD)
    app.session_state["way_in"] = "From a folder on the server"
    app.run()
    app.multiselect(key="server_files_").set_value(["cell.ome.zarr"]).run()
    button(app, "server_copy").click().run()
    assert not app.exception and not app.error
    (record,) = workspace.stacks()
    assert record.file == "cell.ome.tif"
    read = read_stack(workspace.stack_path(record.sha256), 1, 1)
    np.testing.assert_array_equal(read.voxels, voxels[1, 1])
    assert read.spacing.z_um == pytest.approx(vendor_files.Z_UM)


def test_deleting_asks_and_can_be_taken_back(open_page, workspace: Workspace, manager: JobManager) -> None:
    record = workspace.add_stack(BytesIO(tiff()), "a.tif")
    job = manager.submit(record.sha256, {"threshold": None})
    wait_for(workspace, job.id, "done")
    app = open_page()
    button(app, f"delete_{job.id}").click().run()
    assert workspace.jobs(), "asked first"
    button(app, "confirm_delete").click().run()
    assert workspace.jobs() == []
    app.run()
    button(app, "restore_").click().run()
    assert [kept.id for kept in workspace.jobs()] == [job.id]


def test_an_analysis_that_is_not_here_opens_nothing(open_page, workspace: Workspace) -> None:
    for address in ("../../etc", "20260101-000000-abcdef", ""):
        app = open_page(analysis=address)
        assert not app.exception


def test_a_setting_that_cannot_be_used_is_one_sentence(open_page, monkeypatch) -> None:
    monkeypatch.setenv("SPINECORE_WORKERS", "many")
    app = open_page()
    assert len(app.error) == 1 and "workers" in app.error[0].value
    assert not app.title


def test_a_link_to_a_page_is_the_first_thing_asked_of_a_new_server(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--server.headless=true", f"--server.port={port}", "--server.enableAgentApi=true"]
    server = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app.py", *options],
        cwd=ROOT,
        env={**os.environ, "SPINECORE_WORKSPACE": str(tmp_path / "space")},
        stdout=subprocess.DEVNULL,
    )
    try:
        url = f"http://127.0.0.1:{port}/_stcore"
        wait_for_answer(f"{url}/health", lambda: server.poll() is None)
        request = urllib.request.Request(
            f"{url}/agent/interact",
            json.dumps({"page": "upload"}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            snapshot = json.load(answer)
    finally:
        server.terminate()
        server.wait(timeout=20)
    assert snapshot["status"] == "ready"
    text = json.dumps(snapshot)
    assert '"Upload"' in text and '"Analyse"' in text
    assert "Workspace: " in text, "the common frame is there"
