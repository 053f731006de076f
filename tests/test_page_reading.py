"""The Upload page: files that come in parts, and files whose axes are saved wrongly."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO

import numpy as np
import pandas as pd
import pytest
import tifffile
import vendor_files
from test_pages_frame import UPLOAD, button, manager, open_page, wait_for, words, workspace
from test_reading_joined import bruker

from spinecore.jobs.kinds import StackAnalysis
from spinecore.jobs.work import Task
from spinecore.reading import open_stack
from spinecore.reading.choices import ReadingChoices

__all__ = ["manager", "open_page", "workspace"]
RNG = np.random.default_rng(2)


def as_tiff(data: np.ndarray, **how: object) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, data, **how)
    return file.getvalue()


def upload(app, *files: tuple[str, bytes]):
    app.file_uploader[0].set_value([(name, content, "image/tiff") for name, content in files])
    app.run()
    assert not app.exception
    return app.run()


def test_slices_saved_as_time_points_are_read_as_slices_and_analysed_so(open_page, manager, workspace):
    data = RNG.integers(0, 999, (7, 64, 64)).astype(np.uint16)
    frames = as_tiff(
        data, imagej=True, resolution=(10, 10), metadata={"axes": "TYX", "spacing": 0.4, "unit": "um"}
    )
    app = upload(open_page(UPLOAD), ("frames.tif", frames))
    assert "7 time points of one slice" in words(app)
    (record,) = workspace.stacks()
    app.selectbox(key=f"reading_axes_{record.sha256}").select("ZYX").run()
    assert not app.exception
    assert workspace.stack(record.sha256).reading == ReadingChoices(axes="ZYX")
    assert "7 slices of 64 × 64 px" in words(app) and "7 time points of one slice" not in words(app)
    job = manager.submit(record.sha256, {"threshold": 0.5})
    wait_for(workspace, job.id, "done")
    assert workspace.job(job.id).settings["reading"]["axes"] == "ZYX"


def test_few_channels_with_a_slice_distance_can_be_read_as_slices(open_page, workspace):
    """The warning named a choice that was drawn only from five channels on."""
    header = "ImageJ=1.53t\nimages=4\nchannels=4\nhyperstack=true\nunit=um\nspacing=0.3\nloop=false\n"
    data = RNG.integers(0, 999, (4, 64, 64)).astype(np.uint16)
    channels = as_tiff(data, description=header, metadata=None, resolution=(10, 10), resolutionunit=1)
    app = upload(open_page(UPLOAD), ("four.tif", channels))
    assert "4 channels of one slice" in words(app)
    (record,) = workspace.stacks()
    app.selectbox(key=f"reading_axes_{record.sha256}").select("ZYX").run()
    assert not app.exception and "4 slices of 64 × 64 px" in words(app)
    with open_stack(
        workspace.stack_path(record.sha256), choices=workspace.stack(record.sha256).reading
    ) as file:
        assert file.spacing.z_um == pytest.approx(0.3)


def test_a_missing_number_among_uploaded_slices_is_named(open_page):
    slices = [
        (f"s_{k:02d}.tif", as_tiff(RNG.integers(0, 999, (64, 64)).astype(np.uint16))) for k in (0, 1, 2, 4)
    ]
    app = upload(open_page(UPLOAD), *slices)
    assert "4 numbered files of one slice each, and number 3 is missing" in words(app)


def test_the_files_of_a_set_become_one_stack(open_page, workspace, tmp_path):
    data = RNG.integers(0, 999, (5, 64, 64)).astype(np.uint16)
    files = bruker(tmp_path, data, binary_only=True)
    parts = [(path.name, path.read_bytes()) for path in [*files, tmp_path / "ZSeries.companion.ome"]]
    app = upload(open_page(UPLOAD), *parts)
    (record,) = workspace.stacks()
    assert record.origin == "joined from 5 files"
    with open_stack(workspace.stack_path(record.sha256)) as file:
        np.testing.assert_array_equal(file.read().voxels, data)
        assert file.spacing.zyx_um() == pytest.approx((0.5, 0.1, 0.2))
    assert "Pixel width" in " ".join(field.label for field in app.number_input)
    assert "5 files of an OME set are read as one stack" in words(app)


def test_a_part_of_a_set_alone_says_what_is_missing(open_page, workspace, tmp_path):
    files = bruker(tmp_path, RNG.integers(0, 999, (3, 64, 64)).astype(np.uint16), binary_only=False)
    app = upload(open_page(UPLOAD), (files[1].name, files[1].read_bytes()))
    assert not workspace.stacks()
    assert "one of a set of 3 files" in words(app) and "is missing" in words(app)


def test_numbered_slices_are_joined_by_a_click(open_page, workspace):
    data = RNG.integers(0, 999, (4, 64, 64)).astype(np.uint16)
    slices = [(f"cell_z{k:03d}.tif", as_tiff(plane)) for k, plane in enumerate(data)]
    app = upload(open_page(UPLOAD), *slices)
    assert len(workspace.stacks()) == 4
    assert "4 numbered files of one slice each" in words(app)
    button(app, "join_cell_z000.tif").click().run()
    assert not app.exception
    (record,) = workspace.stacks()
    with open_stack(workspace.stack_path(record.sha256)) as file:
        np.testing.assert_array_equal(file.read().voxels, data)


def test_an_accepted_estimate_is_kept_as_one(workspace, manager, open_page):
    rows, columns = np.mgrid[:256, :256]
    image = RNG.poisson(20, (256, 256)).astype(float)
    image[np.abs(rows - 100 - 0.2 * columns) < 9] += 400
    app = upload(open_page(UPLOAD), ("plain.tif", as_tiff(image.astype(np.uint16))))
    (record,) = workspace.stacks()
    button(app, "estimate_").click().run()
    assert not app.exception
    kept = workspace.stack(record.sha256).spacing
    assert kept.pixel_estimated and kept.pixel_um is not None
    assert "estimated from the image and accepted by you" in words(app)
    job = manager.submit(record.sha256, {"threshold": 0.5})
    assert workspace.job(job.id).settings["pixel_estimated"] is True
    wait_for(workspace, job.id, "done")


def test_a_pixel_size_that_cannot_show_spines_starts_no_analysis(open_page, workspace):
    wide = as_tiff(
        RNG.integers(0, 999, (64, 64)).astype(np.uint16),
        imagej=True,
        resolution=(0.5, 0.5),
        metadata={"unit": "um"},
    )
    upload(open_page(UPLOAD), ("wide.tif", wide))
    (record,) = workspace.stacks()
    app = open_page("pages/analyse.py", stack=record.sha256[:12])
    assert "cannot show spines" in words(app) and "--pixel-size" not in words(app)
    assert button(app, "start").disabled


def test_an_image_of_several_is_chosen_and_shown(open_page, workspace):
    first, second = (RNG.integers(0, 999, (depth, 64, 64)).astype(np.uint16) for depth in (4, 6))
    file = BytesIO()
    with tifffile.TiffWriter(file, ome=True) as writer:
        for name, data in (("Pos0", first), ("Pos1", second)):
            writer.write(data, metadata={"axes": "ZYX", "Name": name}, photometric="minisblack")
    app = upload(open_page(UPLOAD), ("two.ome.tif", file.getvalue()))
    (record,) = workspace.stacks()
    assert "Pos1" in words(app) and "4 slices of 64 × 64 px" in words(app)
    app.selectbox(key=f"reading_series_{record.sha256}").select(1).run()
    assert not app.exception
    assert workspace.stack(record.sha256).reading == ReadingChoices(series=1)
    assert "6 slices of 64 × 64 px" in words(app)


def test_a_tracing_comes_with_its_units(open_page, workspace):
    upload(
        open_page(UPLOAD),
        (
            "fine.tif",
            as_tiff(
                RNG.integers(0, 999, (3, 64, 64)).astype(np.uint16),
                imagej=True,
                resolution=(10, 10),
                metadata={"axes": "ZYX", "spacing": 0.4, "unit": "um"},
            ),
        ),
    )
    (record,) = workspace.stacks()
    app = open_page("pages/analyse.py", stack=record.sha256[:12])
    line = b"1 3 5 30 1 5 -1\n2 3 55 30 1 5 1\n"
    app.file_uploader(key=f"tracing_{record.sha256}").upload("line.swc", line, "text/plain").run()
    app.segmented_control(key=f"tracing_units_{record.sha256}").select("pixels").run()
    button(app, "start").click().run()
    assert not app.exception
    (job,) = workspace.jobs()
    assert job.settings["tracing"].endswith("line.swc") and job.settings["tracing_units"] == "pixels"
    wait_for(workspace, job.id, "done")


def test_own_marks_become_the_spines_of_an_analysis(open_page, workspace, tmp_path):
    """Bright balls on a dim line; the marks are in a table that does not say its unit, and one lies outside."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in (9, 96, 96)), indexing="ij")
    voxels = RNG.normal(100, 4, z.shape) + 900 * (np.hypot((z - 4) * 0.4, (y - 48) * 0.1) < 0.4)
    for place in ((4, 36, 30), (4, 60, 60)):
        away = [(a - b) * s for a, b, s in zip((z, y, x), place, (0.4, 0.1, 0.1), strict=True)]
        voxels += 900 * (np.sqrt(sum(a**2 for a in away)) < 0.45)
    metadata = {"axes": "ZYX", "spacing": 0.4, "unit": "um"}
    content = as_tiff(voxels.astype(np.uint16), imagej=True, resolution=(10, 10), metadata=metadata)
    upload(open_page(UPLOAD), ("marked.tif", content))
    (record,) = workspace.stacks()
    app = open_page("pages/analyse.py", stack=record.sha256[:12])
    app.file_uploader(key=f"marks_{record.sha256}").upload("bad.csv", b"a,b\n1,2\n", "text/csv").run()
    assert "The marks are left out. bad.csv has no columns" in words(app)
    table = b"x,y,z\n3.0,3.6,1.6\n6.0,6.0,1.6\n60,6.0,1.6\n"
    app.file_uploader(key=f"marks_{record.sha256}").upload("mine.csv", table, "text/csv").run()
    app.segmented_control(key=f"marks_units_{record.sha256}").select("um").run()
    app.toggle(key=f"only_marked_{record.sha256}").set_value(True).run()
    button(app, "start").click().run()
    assert not app.exception
    (job,) = workspace.jobs()
    assert job.settings["marks"].endswith("mine.csv") and job.settings["only_marked"]
    wait_for(workspace, job.id, "done")
    task = Task(job.settings, tmp_path, workspace.root, workspace.stack_path(record.sha256))
    StackAnalysis().run(task, tmp_path / "out", lambda stage, fraction: None)
    spines = pd.read_csv(tmp_path / "out" / "spines.csv")
    assert spines["origin"].tolist() == ["marked", "marked"] and spines["mark"].tolist() == [1, 2]
    assert np.allclose(spines[["x_px", "y_px"]], [[30, 36], [60, 60]], atol=1.5)
    notes = json.loads((tmp_path / "out" / "analysis.json").read_text(encoding="utf-8"))["notes"]
    assert "Mark 3 of mine.csv lies outside the stack, and is left out." in notes


def test_an_image_in_a_folder_comes_as_a_zip(open_page, workspace, tmp_path):
    pytest.importorskip("oiffile")
    voxels = vendor_files.stack()
    vendor_files.write_oif(tmp_path / "cell.oif", voxels)
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for part in [tmp_path / "cell.oif", *(tmp_path / "cell.oif.files").iterdir()]:
            archive.write(part, f"day 1/{part.relative_to(tmp_path).as_posix()}")
    app = upload(open_page(UPLOAD), ("cell.zip", packed.getvalue()))
    (record,) = workspace.stacks()
    assert "5 slices of 24 × 32 px" in words(app) and "OIF" in words(app)
    with open_stack(workspace.stack_path(record.sha256)) as file:
        np.testing.assert_array_equal(file.read(1, 1).voxels, voxels[1, 1])


def test_a_collection_of_ome_zarr_in_the_server_folder_keeps_its_choice(
    open_page, workspace, tmp_path, monkeypatch
):
    zarr = pytest.importorskip("zarr")
    many = tmp_path / "data" / "many.zarr"
    zarr.open_group(str(many), mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    for number in range(2):
        vendor_files.write_zarr(many / str(number), vendor_files.stack(number))
    monkeypatch.setenv("SPINECORE_DATA_ROOT", str(tmp_path / "data"))
    app = open_page(UPLOAD)
    app.session_state["way_in"] = "From a folder on the server"
    app.run()
    app.multiselect(key="server_files_").set_value(["many.zarr"]).run()
    button(app, "server_copy").click().run()
    assert not app.exception and not app.error
    (record,) = workspace.stacks()
    app.selectbox(key=f"reading_series_{record.sha256}").select(1).run()
    choices = workspace.stack(record.sha256).reading
    with open_stack(workspace.stack_path(record.sha256), choices=choices) as file:
        np.testing.assert_array_equal(file.read(1, 1).voxels, vendor_files.stack(1)[1, 1])


def test_a_part_of_a_zarr_folder_says_what_to_do(open_page, workspace):
    app = upload(open_page(UPLOAD), (".zattrs", b"{}"))
    assert not workspace.stacks() and "pack the whole folder into a ZIP" in words(app)
