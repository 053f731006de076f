"""Every exported file is read back with the library that its users use."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import openpyxl
import pandas as pd
import pytest
import roifile
import tifffile
import trimesh
from phantoms import grid, tube

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.errors import SpinecoreError
from spinecore.evaluation.readers import read_annotations
from spinecore.export import FORMATS, export_analysis
from spinecore.export.bundle import methods_text
from spinecore.export.images import outline, write_rois
from spinecore.marking.slices import join_slices
from spinecore.morphometry.columns import BRANCH_COLUMNS, DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.morphometry.measurer import position_only
from spinecore.networks.zoo import list_cards
from spinecore.reading import read_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.shapes.words import class_words
from spinecore.simulation.sample import SAMPLE_STACK
from spinecore.stack import Stack
from spinecore.tracing.swc import read_swc, swc_text
from spinecore.tracing.trace import trace_dendrites


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An analysis of part of the built-in sample, saved."""
    stack = read_stack(SAMPLE_STACK)
    part = Stack(stack.voxels[:, :160, :160], stack.spacing, name="part")
    path = tmp_path_factory.mktemp("analysis")
    save_analysis(analyse(part, Settings(device="cpu")), path)
    return path


@pytest.fixture(scope="module")
def analysis(folder):
    return load_analysis(folder)


def test_csv_has_the_declared_columns_and_their_meanings(folder, analysis, tmp_path):
    written = export_analysis(folder, "csv", tmp_path)
    assert [path.name for path in written] == ["spines.csv", "dendrites.csv", "branches.csv", "columns.csv"]
    spines = pd.read_csv(written[0])
    assert list(spines.columns) == list(SPINE_COLUMNS) and len(spines) == len(analysis.spines) > 2
    assert spines.x_um.to_numpy() == pytest.approx(analysis.spines.x_um.to_numpy(), rel=1e-5)
    assert pd.read_csv(written[2])["n_spines"].sum() == spines["dendrite_id"].notna().sum()
    meanings = pd.read_csv(written[3])
    assert set(meanings.name) == set(SPINE_COLUMNS) | set(DENDRITE_COLUMNS) | set(BRANCH_COLUMNS)
    assert not list(tmp_path.glob(".writing*"))


def test_xlsx_has_its_sheets_and_empty_cells_for_missing_values(folder, analysis, tmp_path):
    (path,) = export_analysis(folder, "xlsx", tmp_path)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["spines", "dendrites", "branches", "columns", "settings"]
    sheet = book["spines"]
    header = [cell.value for cell in sheet[1]]
    assert header == list(SPINE_COLUMNS) and sheet.max_row == len(analysis.spines) + 1
    assert "um" in sheet.cell(1, header.index("length_um") + 1).comment.text
    column = header.index("neck_width_um") + 1
    values = [sheet.cell(row, column).value for row in range(2, sheet.max_row + 1)]
    assert [value is None for value in values] == analysis.spines.neck_width_um.isna().tolist()
    items = {row[0].value: row[1].value for row in book["settings"].iter_rows()}
    assert items["score threshold used"] == pytest.approx(analysis.threshold)
    assert items["version spinecore"] == analysis.versions["spinecore"]


def test_parquet_is_the_same_table(folder, analysis, tmp_path):
    spines, dendrites = (pd.read_parquet(path) for path in export_analysis(folder, "parquet", tmp_path))
    assert list(spines.columns) == list(SPINE_COLUMNS) and len(dendrites) == len(analysis.dendrites)
    assert spines.volume_um3.to_numpy() == pytest.approx(analysis.spines.volume_um3.to_numpy(), nan_ok=True)


def test_imagej_outlines_lie_on_their_spine_at_their_slice(folder, analysis, tmp_path):
    path, lines = export_analysis(folder, "imagej", tmp_path)
    rois = roifile.roiread(path)
    labels = analysis.labels
    bare = set(analysis.spines.loc[position_only(analysis.spines), "spine_id"])
    assert {int(roi.name.split("_")[1]) for roi in rois} == set(np.unique(labels)) - {0} - bare
    assert bare < set(np.unique(labels))
    for roi in rois:
        number, plane = int(roi.name.split("_")[1]), labels[roi.position - 1]
        assert roi.name.split("_")[2] == f"z{roi.position:03d}"
        rows, columns = np.nonzero(plane == number)
        points = roi.coordinates()
        assert points[:, 0].min() >= columns.min() - 0.01 and points[:, 0].max() <= columns.max() + 1.01
        assert points[:, 1].min() >= rows.min() - 0.01 and points[:, 1].max() <= rows.max() + 1.01
    drawn = {roi.name: roi for roi in roifile.roiread(lines)}
    shafts = [roi for name, roi in drawn.items() if name.startswith("dendrite_")]
    assert shafts and all(roi.roitype == roifile.ROI_TYPE.POLYLINE and roi.position == 0 for roi in shafts)
    step = analysis.spacing.x_um
    lengths = [np.linalg.norm(np.diff(roi.coordinates(), axis=0), axis=1).sum() * step for roi in shafts]
    assert (
        0.8 * analysis.dendrites.path_length_um.sum()
        < sum(lengths)
        <= 1.01 * analysis.dendrites.path_length_um.sum()
    )
    row = analysis.spines.iloc[0]
    head = drawn[f"spine_{row.spine_id:04d}_head"]
    assert head.roitype == roifile.ROI_TYPE.POINT and head.position == round(row.z_px) + 1
    assert head.coordinates()[0] == pytest.approx([row.x_px + 0.5, row.y_px + 0.5], abs=0.01)


def test_every_piece_of_a_spine_has_its_outline(folder, analysis, tmp_path):
    """In a slice where a spine is seen in two pieces the smaller one was left out."""
    labels = analysis.labels.copy()
    number = int(analysis.spines.loc[~position_only(analysis.spines), "spine_id"].iloc[0])
    z = int(np.argwhere(labels == number)[0, 0])
    labels[z][labels[z] == number] = 0
    labels[z, 2:5, 2:4] = labels[z, 2:4, 8:10] = number
    other = replace(analysis)
    vars(other)["labels"] = labels
    path, _ = write_rois(other, folder, tmp_path)
    found = {roi.name: roi.coordinates() for roi in roifile.roiread(path)}
    name = f"spine_{number:04d}_z{z + 1:03d}"
    assert [round(found[n][:, 0].mean()) for n in (name, f"{name}_2")] == [3, 9]
    assert join_slices(read_annotations(path), path)[0].objects["object_id"].size == len(
        {n.split("_")[1] for n in found}
    )


def test_outlines_of_a_hyperstack_carry_channel_slice_and_time(folder, analysis, tmp_path):
    source = analysis.input | {"channel": 1, "channels": 2, "time_point": 0, "time_points": 3}
    path, lines = write_rois(replace(analysis, input=source), folder, tmp_path)
    for roi in roifile.roiread(path):
        assert (roi.position, roi.c_position, roi.t_position) == (0, 2, 1)
        assert roi.name.split("_")[2] == f"z{roi.z_position:03d}"
    assert {roi.c_position for roi in roifile.roiread(lines)} == {2}


def test_an_outline_encloses_its_pixels():
    mask = np.zeros((8, 9), bool)
    mask[2:5, 3:7] = True
    points = outline(mask)
    x, y = points[:, 0], points[:, 1]
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
    assert area == pytest.approx(12, abs=0.6)
    assert (x.mean(), y.mean()) == pytest.approx((5.0, 3.5), abs=0.01)


def test_label_images_keep_ids_and_spacing(folder, analysis, tmp_path):
    spines, dendrites = export_analysis(folder, "labels", tmp_path)
    with tifffile.TiffFile(spines) as file:
        assert (file.asarray() == analysis.labels).all()
        assert file.imagej_metadata["spacing"] == pytest.approx(analysis.spacing.z_um)
        tags = file.pages[0].tags
        top, bottom = tags["XResolution"].value
        assert bottom / top == pytest.approx(analysis.spacing.x_um, rel=1e-4)
    assert (tifffile.imread(dendrites) == analysis.dendrite_labels).all()


def test_swc_holds_the_dendrites_and_every_spine(folder, analysis, tmp_path):
    (path,) = export_analysis(folder, "swc", tmp_path)
    rows = np.loadtxt(path)
    assert (rows[:, 0] == np.arange(1, len(rows) + 1)).all()
    assert (rows[:, 6] < rows[:, 0]).all() and set(rows[:, 1]) == {3.0, 7.0}
    found = read_swc(path).dendrites
    assert len(found) == len(analysis.dendrites)
    lengths = sorted(d.path_length_um for d in found)
    assert lengths == pytest.approx(sorted(analysis.dendrites.path_length_um), rel=1e-3)
    tips = rows[(rows[:, 1] == 7) & ~np.isin(rows[:, 0], rows[:, 6])]
    assert len(tips) == len(analysis.spines)
    scale = analysis.spacing.x_um
    assert sorted(tips[:, 2]) == pytest.approx(
        sorted(analysis.spines.tip_x_px.fillna(analysis.spines.x_px) * scale), abs=1e-3
    )


def test_meshes_are_in_um_where_the_spines_are(folder, analysis, tmp_path):
    written = {path.name: path for path in export_analysis(folder, "mesh", tmp_path)}
    spines = trimesh.load(written["part_spines.ply"], process=False)
    assert spines.is_watertight
    volume = analysis.spines.volume_um3.sum()
    assert abs(spines.volume) == pytest.approx(volume, rel=0.1)
    ids = np.asarray(spines.metadata["_ply_raw"]["vertex"]["data"]["id"]).ravel()
    row = analysis.spines.iloc[0]
    middle = spines.vertices[ids == row.spine_id].mean(axis=0)
    assert np.linalg.norm(middle - [row.x_um, row.y_um, row.z_um]) < 0.8
    stl = trimesh.load(written["part_spines.stl"])
    assert len(stl.faces) == len(spines.faces)
    scene = trimesh.load_scene(written["part.obj"], split_objects=True)
    assert {f"spine_{n}" for n in np.unique(ids)} <= set(scene.geometry)


def test_the_methods_paragraph_tells_the_classifier_and_its_caveat():
    spines = pd.DataFrame({"class": ["thin", "stubby", None], "class_disagrees": [True, False, None]})
    card = next(c for c in list_cards() if c.name.startswith("shape-"))
    used = [{"name": card.name, "sha256": card.sha256}]
    text = " ".join(class_words(spines, used))
    assert card.name in text and "differ on 1 of the 2 spines" in text and "Ofer et al. 2021" in text
    assert "of 197 spines" in text, "the accuracy of the card"
    assert "of 197 spines" not in " ".join(class_words(spines, [{"name": card.name, "sha256": "other"}]))
    assert class_words(spines, []) == [] and class_words(spines.assign(**{"class": None}), used) == []


def test_the_bundle_holds_everything_and_a_methods_paragraph(folder, analysis, tmp_path):
    (path,) = export_analysis(folder, "bundle", tmp_path)
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        methods = archive.read("methods.txt").decode()
        facts = json.loads(archive.read("analysis.json"))
        assert archive.testzip() is None
    assert {
        "spines.csv",
        "part.xlsx",
        "labels.tif",
        "part_rois.zip",
        "part.swc",
        "part.obj",
        "overview.png",
    } <= names
    assert facts["name"] == "part"
    for text in (
        f"spinecore {analysis.versions['spinecore']}",
        "scikit-image",
        "Garwood",
        f"{len(analysis.spines)} spines",
    ):
        assert text in methods
    assert str(folder) not in methods


def test_a_projection_has_no_surface_but_all_else(analysis, tmp_path):
    flat = analyse(
        Stack(analysis.projections["xy"][None], replace(analysis.spacing, z_um=None), name="flat"),
        Settings(device="cpu"),
    )
    save_analysis(flat, tmp_path / "flat")
    with pytest.raises(SpinecoreError, match="no surfaces"):
        export_analysis(tmp_path / "flat", "mesh", tmp_path)
    (path,) = export_analysis(tmp_path / "flat", "bundle", tmp_path)
    names = zipfile.ZipFile(path).namelist()
    assert "flat.swc" in names and "flat.obj" not in names
    assert "projected lengths" in methods_text(flat) and "A single image" in methods_text(flat)
    chosen = flat.settings.model_copy(update={"reading": ReadingChoices(axes="ZYX", line_shift_px=3)})
    guessed = replace(flat, settings=chosen, spacing=replace(flat.spacing, source="estimated"))
    assert "estimated from the image and accepted by the user" in methods_text(guessed)
    assert "read as ZYX" in methods_text(guessed) and "moved by 3 pixels" in methods_text(guessed)


def test_wrong_calls_say_what_to_do(folder, tmp_path):
    with pytest.raises(SpinecoreError, match="choose one of csv, xlsx"):
        export_analysis(folder, "docx", tmp_path)
    with pytest.raises(SpinecoreError):
        export_analysis(tmp_path, "csv", tmp_path)
    assert set(FORMATS) >= {"csv", "xlsx", "imagej", "swc", "mesh", "labels", "bundle"}


def test_swc_there_and_back_keeps_branches_and_refuses_what_is_none(tmp_path):
    spacing = (0.3, 0.1, 0.1)
    where = grid((16, 100, 160), spacing)
    mask = tube(where, np.array([[2, 5, -2.0], [2, 5, 8.0], [2, 1, 18.0]]), 0.4)
    mask |= tube(where, np.array([[2, 5, 8.0], [3, 9, 18.0]]), 0.4)
    (dendrite,) = trace_dendrites(mask, spacing)
    path = tmp_path / "y.swc"
    spine = (4, np.array([[2, 5.4, 4.0], [2, 6.4, 4.0]]), np.array([0.1, 0.3]))
    path.write_text(swc_text([dendrite], [spine], comment="a\nb"), encoding="utf-8")
    (back,) = read_swc(path, spacing).dendrites
    assert len(back.branches) == len(dendrite.branches) == 3
    assert back.path_length_um == pytest.approx(dendrite.path_length_um, rel=1e-4)
    assert [b.order for b in back.branches] == [0, 1, 1]
    assert back.mean_radius_um == pytest.approx(dendrite.mean_radius_um, rel=0.01)
    for text, words in (
        ("1 3 0 0\n", "seven numbers"),
        ("", "no dendrite node"),
        ("2 3 0 0 0 1 9\n", "does not exist"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(SpinecoreError, match=words):
            read_swc(path)
