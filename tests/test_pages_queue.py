"""The queue of analyses: batches, the engine, cancelling, another run."""

from __future__ import annotations

from io import BytesIO

from test_pages_frame import ANALYSE, button, in_address, manager, open_page, tiff, wait_for, words, workspace

from spinecore.jobs.manager import JobManager
from spinecore.networks.engine import choose_engine
from spinecore.workspace.workspace import Workspace

__all__ = ["manager", "open_page", "workspace"]


def test_a_batch_runs_and_opens(open_page, workspace: Workspace) -> None:
    records = [workspace.add_stack(BytesIO(tiff(seed=n)), f"{n}.tif") for n in range(2)]
    app = open_page(ANALYSE)
    app.multiselect[0].set_value([record.sha256 for record in records]).run()
    assert button(app, "start").label == "Start 2 analyses"
    button(app, "start").click().run()
    queued = workspace.jobs()
    assert {job.stack_sha256 for job in queued} == {record.sha256 for record in records}
    for job in queued:
        wait_for(workspace, job.id, "done")
    app.run()
    assert words(app).count("12 spines") == 2
    button(app, f"open_{queued[0].id}").click().run()
    assert in_address(app, "analysis") == queued[0].id


def test_the_start_page_names_the_engine_and_lets_it_be_changed(open_page, monkeypatch) -> None:
    monkeypatch.setenv("SPINECORE_ENGINE", "onnx")
    app = open_page("pages/start.py")
    assert "ONNX Runtime, float32 (chosen with SPINECORE_ENGINE)" in words(app)
    assert app.radio(key="engine_onnx").disabled
    monkeypatch.delenv("SPINECORE_ENGINE")
    choose_engine(None)
    app = open_page("pages/start.py")
    app.radio(key="engine_automatic").set_value("torch-float32").run()
    assert "PyTorch, float32 (chosen on the Start page)" in words(app)
    app.radio(key="engine_torch-float32").set_value("automatic").run()
    assert "chosen on the Start page" not in words(app)


def test_the_switch_that_looks_everywhere_reaches_the_analysis(open_page, workspace: Workspace) -> None:
    workspace.add_stack(BytesIO(tiff()), "a.tif")
    app = open_page(ANALYSE)
    assert app.toggle(key="everywhere").value is False
    app.toggle(key="everywhere").set_value(True).run()
    button(app, "start").click().run()
    assert workspace.jobs()[0].settings["everywhere"] is True


def test_an_image_has_no_such_switch(open_page, workspace: Workspace) -> None:
    workspace.add_stack(BytesIO(tiff((64, 64))), "image.tif")
    app = open_page(ANALYSE)
    assert [toggle.key for toggle in app.toggle] == ["own_threshold"]


def test_cancel_failure_and_another_run(open_page, workspace: Workspace, manager: JobManager) -> None:
    record = workspace.add_stack(BytesIO(tiff()), "a.tif")
    slow = manager.submit(record.sha256, {"threshold": 0.8})
    wait_for(workspace, slow.id, "running")
    app = open_page(ANALYSE)
    assert "a.tif" in words(app) and button(app, f"cancel_{slow.id}").label == "Cancel"
    button(app, f"cancel_{slow.id}").click().run()
    wait_for(workspace, slow.id, "cancelled")
    app.run()
    button(app, f"again_{slow.id}").click().run()
    wait_for(workspace, slow.id, "running")
    manager.cancel(slow.id)
    wait_for(workspace, slow.id, "cancelled")
    bad = manager.submit(record.sha256, {"threshold": 0.9})
    wait_for(workspace, bad.id, "failed")
    app.run()
    assert app.error[0].value == "Every voxel has the value 7: choose another channel."
