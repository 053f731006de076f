"""The Membranes page, driven without a browser, on a segmentation made from a drawn map."""

from __future__ import annotations

import io
import json
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from test_pages_view import open_page, served, text_of

from spinecore.corrections.cells import read_cell_steps
from spinecore.membranes.segment import MembraneSettings, write_cells
from spinecore.reading import open_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.stack import Spacing
from spinecore.ui import membrane_pictures as pictures
from spinecore.ui import membrane_views, membranes
from spinecore.ui.figurecomponent import Click
from spinecore.workspace.records import now
from spinecore.workspace.workspace import Workspace

PAGE = "pages/membranes.py"
WALLS = np.zeros((1, 60, 90), np.float32)
WALLS[0, :, 29:32] = WALLS[0, :, 59:62] = 0.9
WALLS[0, 29:32] = 0.6


def put_segmentation(space: Workspace, folder, method: str = "membrane-fast", walls=WALLS):
    """Store a micrograph and a finished segmentation of it."""
    path = folder / "tissue.tif"
    rng = np.random.default_rng(0)
    tifffile.imwrite(
        path, (180 - 140 * WALLS + rng.normal(0, 5, WALLS.shape))[0].clip(0, 255).astype(np.uint8)
    )
    stack = space.add_stack(path)
    settings = MembraneSettings(method=method, pixel_um=0.004)
    job = space.new_job(stack.sha256, settings.model_dump(mode="json"), "", "membranes")
    result = space.job_folder(job.id) / "result"
    result.mkdir()
    tifffile.imwrite(result / "tissue_membrane.tif", walls, imagej=True, metadata={"axes": "ZYX"})
    write_cells([np.zeros(walls.shape[1:], np.uint32)], walls.shape, Spacing(), result / "tissue_cells.tif")
    record = {
        "spinecore": "0",
        "name": "tissue",
        "input": {"shape_zyx": list(walls.shape)},
        "spacing": {"z_um": None, "y_um": 0.004, "x_um": 0.004, "source": "user", "detail": ""},
        "settings": settings.model_dump(),
        "level": 0.5,
        "model": {"name": "membrane-fast", "sha256": "0" * 64},
        "device": "CPU",
        "cells": 6,
    }
    (result / "tissue_membranes.json").write_text(json.dumps(record))
    job = job.model_copy(update={"state": "done", "finished": now()})
    space.put_job(job)
    return job


@pytest.fixture
def space(tmp_path, monkeypatch):
    yield from served(Workspace(tmp_path / "space"), monkeypatch)


def shown_of(job, level=0.5):
    result, steps, version = membranes.load(job.id)
    return membranes.ShownCells(job, result, steps, version, level, 0)


def test_without_an_image_the_page_asks_for_one(space):
    at = open_page(PAGE)
    assert "upload a micrograph" in text_of(at).lower()
    assert "the result appears here" in text_of(at)
    table = at.dataframe[0].value.set_index(["Method", "Used with"])
    assert table.shape[1] == 6, "more columns would be cut off beside the choices"
    assert table.loc[("Weighted U-Net", "1 view"), "Dice: paper, here"].startswith("0.962, 0.9")
    assert table.loc[("Membrane-fast (default)", "1 view"), "Dice: paper, here"].startswith("–, 0.9")


def test_the_level_changes_the_cells_at_once(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    at = open_page(PAGE)
    assert "6 cells in this section at level 0.50" in text_of(at)
    at.slider(key=f"membrane_level_{job.id}").set_value(0.8).run()
    assert not at.exception and "3 cells in this section at level 0.80" in text_of(at)


def test_each_segmentation_has_a_level_of_its_own(space, tmp_path):
    first, second = (put_segmentation(space, tmp_path) for _ in range(2))
    at = open_page(PAGE)
    at.slider(key=f"membrane_level_{second.id}").set_value(0.8).run()
    at.button(key=f"show_{first.id}").click().run()
    assert not at.exception and "at level 0.50" in text_of(at)
    assert at.slider(key=f"membrane_level_{first.id}").value == 0.5


def test_another_segmentation_is_looked_at_first_and_not_painted(space, tmp_path):
    first, second = (put_segmentation(space, tmp_path) for _ in range(2))
    at = open_page(PAGE)
    next(c for c in at.button_group if c.key == f"membrane_mode_{second.id}").set_value("Paint").run()
    assert "Draw round an area" in text_of(at)
    at.button(key=f"show_{first.id}").click().run()
    assert not at.exception and "Draw round an area" not in text_of(at)


def test_finding_membranes_queues_a_job_of_its_kind(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    at = open_page(PAGE)
    at.number_input(key="membrane_smallest").set_value(50).run()
    at.button(key="find_membranes").click().run()
    assert not at.exception
    jobs = space.jobs(kind="membranes")
    assert len(jobs) == 2 and jobs[0].stack_sha256 == job.stack_sha256
    assert jobs[0].settings["min_area_px"] == 50 and jobs[0].settings["method"] == "membrane-fast"
    assert not space.jobs(), "analyses of spines do not list it"


def test_clicks_merge_split_and_are_undone(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    open_page(PAGE)
    shown = shown_of(job)
    state = membrane_views.st.session_state
    membrane_views._clicked(shown, membrane_views.MERGE, Click(x=10.0, y=10.0))
    membrane_views._clicked(shown, membrane_views.MERGE, Click(x=45.0, y=10.0))
    merged = shown_of(job)
    assert merged.cells[10, 10] == merged.cells[10, 45] == merged.cells[10, 30]
    assert len(merged.table) == 5
    membrane_views._clicked(merged, membrane_views.SPLIT, Click(x=70.0, y=1.0))
    membrane_views._clicked(merged, membrane_views.SPLIT, Click(x=71.0, y=4.0))
    assert "does not divide" in state[membrane_views._MESSAGE]
    folder = space.result_folder(job.id)
    assert read_cell_steps(folder).words == "1 merged"
    at = open_page(PAGE)
    at.button(key="membrane_undo").click().run()
    assert not at.exception and "6 cells in this section" in text_of(at)
    assert not read_cell_steps(folder).words


def test_a_click_outside_of_a_mode_chooses_a_cell(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    shown = shown_of(job)
    membrane_views._clicked(shown, membrane_views.LOOK, Click(x=10.0, y=10.0))
    assert membrane_views.st.session_state["membrane_chosen"] == int(shown.cells[10, 10])


def test_two_methods_stand_side_by_side(space, tmp_path):
    put_segmentation(space, tmp_path, "unet-small", np.where(WALLS == 0.6, 0.2, WALLS).astype(np.float32))
    put_segmentation(space, tmp_path)
    at = open_page(PAGE)
    at.session_state["membrane_tab"] = "Side by side"
    at.run()
    assert not at.exception
    assert "Small U-Net**, level 0.50: 3 cells" in text_of(at) and "differ in" in text_of(at)


def test_everything_can_be_taken_away(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    shown = shown_of(job)
    from spinecore.export.membranes import write_membrane_bundle

    path = write_membrane_bundle(shown.result, 0.8, shown.steps, tmp_path / "all.zip")
    with zipfile.ZipFile(path) as archive:
        assert "3 cells" in archive.read("methods.txt").decode()
        cells = tifffile.imread(io.BytesIO(archive.read("tissue_cells.tif")))
    assert cells.max() == 3 and cells.dtype == np.uint32


def test_a_missing_result_is_named(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    (space.result_folder(job.id) / "tissue_membrane.tif").unlink()
    at = open_page(PAGE)
    assert "find the membranes again" in text_of(at)


def test_pictures_show_what_they_should():
    image = np.linspace(0, 255, 400).reshape(20, 20)
    grey = pictures.grey(image)
    assert grey.shape == (20, 20, 3) and grey[0, 0, 0] == 0 and grey[-1, -1, 0] == 255
    red = pictures.with_membranes(grey, np.eye(20, dtype=np.float32))
    assert (red[0, 1] == grey[0, 1]).all() and red[3, 3, 0] > red[3, 3, 1]
    labels = np.zeros((20, 20), np.uint32)
    labels[:, 10:] = 4
    coloured = pictures.with_cells(grey, labels, (4,))
    assert (coloured[:, :10] == grey[:, :10]).all() and (coloured[:, 10:] != grey[:, 10:]).any()
    assert pictures.step_for((4096, 4096)) == 3 and pictures.step_for((512, 512)) == 1
    assert pictures.heat(np.array([[0.0, 9.0]])).dtype == np.uint8
    figure = pictures.picture_figure(grey, 3, [(1, 2), (3, 4)])
    assert list(figure.layout.yaxis.range) == [60, 0] and len(figure.data) == 2


def test_upload_offers_membranes_for_a_micrograph(space, tmp_path, monkeypatch):
    from spinecore.reading import inspection

    monkeypatch.setattr(inspection, "looks_like_micrograph", lambda plane: True)
    put_segmentation(space, tmp_path)
    at = open_page("pages/upload.py")
    assert "looks like an **electron micrograph**" in text_of(at)
    key = next(b.key for b in at.button if b.key and b.key.startswith("membranes_"))
    assert at.button(key=key).label == "Open Membranes"


def test_the_job_writes_what_the_page_reads(tmp_path, monkeypatch):
    from spinecore.jobs.membranes import MembraneSegmentation
    from spinecore.jobs.work import Task

    asked = {}

    def stand_in(path, settings, out, progress):
        asked.update(path=path, settings=settings, out=out)
        return SimpleNamespace(n_cells=4, n_sections=2)

    monkeypatch.setattr("spinecore.jobs.membranes.segment_file", stand_in)
    task = Task(MembraneSettings(views=4).model_dump(mode="json"), tmp_path, tmp_path, tmp_path / "a.tif")
    summary = MembraneSegmentation().run(task, tmp_path / "out", lambda stage, fraction: None)
    assert summary == {"cells": 4, "sections": 2} and asked["settings"].views == 4


def test_a_segmentation_goes_to_the_trash_and_comes_back(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    at = open_page(PAGE)
    at.button(key=f"delete_{job.id}").click().run()
    at.button(key="confirm_delete").click().run()
    assert not at.exception and not space.jobs(kind="membranes")
    assert "the result appears here" in text_of(open_page(PAGE))
    entry = space.trash()[0]
    assert "segmentation" in entry.noun
    space.restore(entry.entry)
    assert "6 cells in this section" in text_of(open_page(PAGE))


def test_axes_and_channel_of_the_stack_are_obeyed_and_chosen(space, tmp_path, monkeypatch):
    """Three "time points" of two channels, which the user reads as sections."""
    rng = np.random.default_rng(1)
    path = tmp_path / "serial.tif"
    tifffile.imwrite(
        path,
        rng.integers(0, 255, (3, 2, 64, 64)).astype(np.uint8),
        imagej=True,
        resolution=(250, 200),
        metadata={"axes": "TCYX", "unit": "um"},
    )
    stack = space.add_stack(path)
    asked = []
    monkeypatch.setattr(
        "spinecore.jobs.manager.JobManager.submit",
        lambda self, sha, settings, kind: asked.append(settings) or space.new_job(sha, {}, "", kind),
    )
    at = open_page(PAGE)
    assert any(field.label == "Time point" for field in at.number_input)
    at.selectbox(key=f"reading_axes_{stack.sha256}").select("ZCYX").run()
    assert not any(field.label == "Time point" for field in at.number_input)
    (channel,) = [field for field in at.selectbox if field.label == "Channel"]
    other = 1 - channel.value
    channel.select(other).run()
    next(b for b in at.button if b.key == "find_membranes").click().run()
    (settings,) = asked
    assert settings.reading.axes == "ZCYX" and settings.channel == other
    assert settings.pixel_um is None, "width and height stay those of the file"


def test_the_picture_is_that_of_the_reading(space, tmp_path):
    first, second = (np.full((1, 60, 90), value, np.uint8) for value in (10, 200))
    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for data in (first, second):
            writer.write(data, metadata={"axes": "ZYX"}, photometric="minisblack")
    stack = space.add_stack(path)
    reading = ReadingChoices(series=1).model_dump_json()
    assert membranes.section_image(stack.sha256, reading, 0, 0, 0).max() == 200
    assert membranes.section_image(stack.sha256, "{}", 0, 0, 0).max() == 10


def test_the_start_page_lists_segmentations_too(space, tmp_path):
    job = put_segmentation(space, tmp_path)
    folder = space.job_folder(job.id)
    at = open_page("pages/start.py")
    assert "**tissue.tif**" in text_of(at)
    next(b for b in at.button if b.key == f"delete_{job.id}").click().run()
    next(b for b in at.button if b.key == "confirm_delete").click().run()
    assert not at.exception and not folder.exists(), "it is in the trash"
    assert space.trash()[0].noun == "segmentation"


def test_numbered_sections_are_joined_by_a_click(space, tmp_path):
    rng = np.random.default_rng(4)
    for k in range(3):
        tifffile.imwrite(tmp_path / f"section_{k}.tif", rng.integers(0, 255, (64, 64)).astype(np.uint8))
    stacks = [space.add_stack(tmp_path / f"section_{k}.tif") for k in range(3)]
    at = open_page(PAGE, stack=",".join(record.sha256[:12] for record in stacks))
    next(b for b in at.button if b.key == "join_section_0.tif").click().run()
    assert not at.exception
    (joined,) = space.stacks()
    with open_stack(space.stack_path(joined.sha256)) as file:
        assert file.shape_tczyx[:3] == (1, 1, 3)
