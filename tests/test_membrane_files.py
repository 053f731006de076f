"""Membranes: files, corrections of cells, truths and the command line, with a stand-in network."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import label
from test_membranes import grid_map

from spinecore.corrections.cells import append_cell_step, merge_cells, paint_area, read_cell_steps, split_cell
from spinecore.errors import SpinecoreError
from spinecore.export.membranes import methods_text, write_cell_rois, write_membrane_bundle
from spinecore.membranes import segment
from spinecore.membranes.methods import KNOWN, get_method
from spinecore.membranes.result import load_segmentation
from spinecore.membranes.truth import read_truth, score_map, truth_for
from spinecore.networks.zoo import Card


@pytest.fixture
def method(monkeypatch, tmp_path):
    """A stand-in network whose membranes are the dark pixels."""

    class Dark(torch.nn.Module):
        stride, margin_px = 16, 0

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.tensor(-8.0))

        def forward(self, x):
            return self.weight * (x + 1.5)

    card = Card(
        "membrane-fast", tmp_path / "card.json", {"threshold": 0.5, "sha256": "0" * 64, "title": "Dark"}
    )
    monkeypatch.setattr(segment, "get_card", lambda name: card)
    monkeypatch.setattr(segment, "load_network", lambda name, device: Dark().eval())
    monkeypatch.setattr(segment, "get_method", lambda name: KNOWN[name])
    monkeypatch.setattr("spinecore.export.membranes.get_card", lambda name: card)
    return card


def micrograph(sections=1):
    rng = np.random.default_rng(0)
    walls = grid_map((96, 128), 32)
    return (
        np.stack([rng.normal(170 - 150 * walls, 12) for _ in range(sections)]).clip(0, 255).astype(np.uint8)
    )


def test_a_section_becomes_map_cells_table_and_record(method, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", micrograph()[0])
    settings = segment.MembraneSettings(pixel_um=0.004)
    done = segment.segment_file(tmp_path / "a.tif", settings, tmp_path / "out")
    assert [f.name for f in done.files] == ["a_membrane.tif", "a_cells.tif", "a_cells.csv"]
    membrane, cells = (tifffile.imread(f) for f in done.files[:2])
    assert membrane.dtype == np.float32 and membrane.shape[-2:] == (96, 128)
    assert cells.dtype == np.uint32 and done.n_cells == 12 == cells.max()
    assert membrane.min() >= 0 and membrane.max() <= 1
    with tifffile.TiffFile(done.files[0]) as file:
        assert file.imagej_metadata["unit"] == "um"
        assert file.pages[0].tags["XResolution"].value[0] / file.pages[0].tags["XResolution"].value[1] == 250
    record = json.loads((tmp_path / "out" / "a_membranes.json").read_text())
    assert record["cells"] == 12 and record["settings"]["method"] == "membrane-fast"


def test_sixteen_bits_give_the_same_cells(method, tmp_path):
    eight = micrograph()[0]
    tifffile.imwrite(tmp_path / "a.tif", eight)
    tifffile.imwrite(tmp_path / "b.tif", eight.astype(np.uint16) * 257)
    counts = [
        segment.segment_file(tmp_path / f, segment.MembraneSettings(), tmp_path / "out").n_cells
        for f in ("a.tif", "b.tif")
    ]
    assert counts == [12, 12]


def test_other_pixel_sizes_are_brought_to_those_learned_and_back(method, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", micrograph()[0])
    settings = segment.MembraneSettings(pixel_um=0.008)
    done = segment.segment_file(tmp_path / "a.tif", settings, tmp_path / "out")
    assert tifffile.imread(done.files[0]).shape == (96, 128) and done.n_cells == 12
    record = json.loads((tmp_path / "out" / "a_membranes.json").read_text())
    assert "Resized from 8 to 4 nm" in record["notes"][-1]
    result = load_segmentation(tmp_path / "out")
    assert "Resized from 8 to 4 nm" in methods_text(result, 0.5, 12, read_cell_steps(tmp_path / "out"))


def test_a_linked_stack_counts_each_cell_once(method, tmp_path):
    tifffile.imwrite(tmp_path / "s.tif", micrograph(3), imagej=True, metadata={"axes": "ZYX"})
    stages = []
    done = segment.segment_file(
        tmp_path / "s.tif",
        segment.MembraneSettings(linked=True),
        tmp_path / "out",
        progress=lambda stage, fraction: stages.append((stage, fraction)),
    )
    cells = tifffile.imread(done.files[1])
    assert cells.shape == (3, 96, 128) and done.n_cells == 12 and done.n_sections == 3
    assert (cells[0, 40, 40] == cells[2, 40, 40]) and ("section 2 of 3" in "".join(s for s, _ in stages))
    fractions = [f for _, f in stages]
    assert fractions == sorted(fractions)


def test_a_result_is_read_back_at_any_level_corrected_and_bundled(method, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", micrograph()[0])
    out = tmp_path / "out"
    segment.segment_file(tmp_path / "a.tif", segment.MembraneSettings(), out)
    result = load_segmentation(out)
    steps = read_cell_steps(out)
    assert next(result.sections(0.5, steps)).max() == 12 and not steps.words
    append_cell_step(out, "merge", 0, ((16, 16), (16, 48)))
    append_cell_step(out, "split", 0, ((80, 0), (80, 30)))
    steps = read_cell_steps(out)
    cells = next(result.sections(0.5, steps))
    assert steps.words == "1 merged, 1 split"
    assert cells[16, 16] == cells[16, 48] == cells[16, 32], "the membrane between is filled"
    assert cells[70, 10] != cells[90, 10]
    append_cell_step(out, "undo")
    assert read_cell_steps(out).words == "1 merged"
    path = write_membrane_bundle(result, 0.5, steps, tmp_path / "a.zip")
    names = set(zipfile.ZipFile(path).namelist())
    assert {"a_membrane.tif", "a_cells.tif", "a_cells.csv", "a_rois.zip", "methods.txt"} <= names
    assert len(zipfile.ZipFile(write_cell_rois(result, 0.5, steps, tmp_path / "r.zip")).namelist()) == 12
    text = methods_text(result, 0.5, 12, steps)
    assert "corrected by hand: 1 merged, 1 split" in text and "12 cells" in text


def test_corrections_that_cannot_be_done_say_why():
    cells = label(grid_map() < 0.5)[0]
    for work, first, second, text in (
        (merge_cells, (30, 5), (5, 5), "membrane"),
        (merge_cells, (5, 5), (6, 6), "both clicks"),
        (split_cell, (10, 10), (12, 12), "does not divide"),
        (split_cell, (30, 1), (30, 8), "crosses no cell"),
    ):
        with pytest.raises(SpinecoreError, match=text):
            work(cells, first, second)


def test_an_area_is_painted_for_the_cell_it_begins_in_and_erased():
    cells = label(grid_map() < 0.5)[0]
    own = int(cells[16, 16])
    square = [(16, 16), (16, 44), (24, 44), (24, 16)]
    painted = paint_area(cells, square)
    assert (painted[16:24, 16:44] == own).all(), "over the membrane and into the next cell"
    assert painted[16, 50] == cells[16, 50] != own
    wall = next(x for x in range(16, 60) if cells[16, x] == 0)
    new = paint_area(cells, [(16, wall), (16, wall + 9), (26, wall + 9), (26, wall)])
    assert new[20, wall + 5] == cells.max() + 1
    erased = paint_area(cells, square, erase=True)
    assert not erased[16:24, 16:44].any() and erased[16, 50] == cells[16, 50]
    assert (paint_area(cells, [(-9, -9), (-9, 5), (5, 5), (5, -9)]) >= 0).all(), "what sticks out is cut off"
    with pytest.raises(SpinecoreError, match="next to nothing"):
        paint_area(cells, [(5, 5), (5, 6), (6, 6)])
    with pytest.raises(SpinecoreError, match="no cell in the outline"):
        paint_area(np.zeros_like(cells), square, erase=True)


def test_a_truth_is_read_and_its_mistakes_are_named(tmp_path):
    from PIL import Image

    truth = grid_map() < 0.5
    Image.fromarray((truth * 255).astype(np.uint8)).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "n.tif", label(truth)[0].astype(np.uint16))
    np.testing.assert_array_equal(read_truth(tmp_path / "a.png")[0], truth)
    np.testing.assert_array_equal(read_truth(tmp_path / "n.tif")[0], truth)
    tifffile.imwrite(tmp_path / "blank.tif", np.full((8, 8), 3, np.uint8))
    with pytest.raises(SpinecoreError, match="is no truth"):
        read_truth(tmp_path / "blank.tif")
    with pytest.raises(SpinecoreError, match="truth of this section"):
        score_map(truth, np.zeros((9, 9), np.float32), 0.5)
    scores = score_map(truth, grid_map(), 0.5)
    assert scores["dice"] == 1 and scores["v_rand"] == pytest.approx(1)
    assert truth_for(tmp_path / "x" / "a.tif", tmp_path) == tmp_path / "a.png"
    assert truth_for(tmp_path / "z.tif", tmp_path) is None


def test_an_unknown_method_names_those_there_are():
    with pytest.raises(SpinecoreError, match="choose one of"):
        get_method("magic")


def test_a_folder_without_a_segmentation_is_refused(tmp_path):
    with pytest.raises(SpinecoreError, match="no segmentation"):
        load_segmentation(tmp_path)


# --- command --------------------------------------------------------------------------------------


def test_the_command_goes_past_a_bad_file_and_scores(method, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    monkeypatch.setattr("spinecore.membranes.methods.METHODS", KNOWN)
    tifffile.imwrite(tmp_path / "a.tif", micrograph()[0])
    (tmp_path / "bad.tif").write_bytes(b"II*\0nothing")
    (tmp_path / "truth").mkdir()
    tifffile.imwrite(tmp_path / "truth" / "a.tif", ((grid_map((96, 128), 32) < 0.5) * 255).astype(np.uint8))
    call = ["membranes", str(tmp_path / "a.tif"), str(tmp_path / "bad.tif"), "--out", str(tmp_path / "out")]
    found = CliRunner().invoke(app, [*call, "--truth", str(tmp_path / "truth")])
    assert found.exit_code == 2, found.output
    assert (
        "a.tif: 12 cells" in found.output
        and "Dice: 0.9" in found.output
        and "1 of 2 files failed" in found.output
    )
    assert (tmp_path / "out" / "a_cells.csv").is_file()
    assert not list((tmp_path / "out").glob("*bad*"))


def test_the_command_names_a_wrong_option(method, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    monkeypatch.setattr("spinecore.membranes.methods.METHODS", KNOWN)
    tifffile.imwrite(tmp_path / "a.tif", micrograph()[0])
    found = CliRunner().invoke(
        app, ["membranes", str(tmp_path / "a.tif"), "--out", str(tmp_path / "o"), "--level", "1.5"]
    )
    assert found.exit_code == 2 and "--level" in found.output


def test_the_command_reads_axes_images_channels_and_sections_as_told(method, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    monkeypatch.setattr("spinecore.membranes.methods.METHODS", KNOWN)
    plane = micrograph()[0]
    blank = np.full_like(plane, 90)
    frames = {"imagej": True, "metadata": {"axes": "TYX"}}
    tifffile.imwrite(tmp_path / "frames.tif", np.stack([plane, plane, plane]), **frames)
    tifffile.imwrite(
        tmp_path / "two.tif",
        np.stack([blank, plane]),
        imagej=True,
        metadata={"axes": "CYX", "ImageJ": "1.53t"},
    )
    with tifffile.TiffWriter(tmp_path / "pos.ome.tif", ome=True) as writer:
        for name, data in (("Pos0", blank), ("Pos1", plane)):
            writer.write(data, metadata={"axes": "YX", "Name": name}, photometric="minisblack")
    (tmp_path / "cut").mkdir()
    for k in range(3):
        tifffile.imwrite(tmp_path / "cut" / f"s{k:02d}.tif", plane)

    def run(*call: str) -> str:
        found = CliRunner().invoke(app, ["membranes", *call, "--out", str(tmp_path / "out")])
        assert found.exit_code == 0, found.output
        return found.output

    alone = run(str(tmp_path / "frames.tif"))
    assert (
        "frames.tif: 12 cells," in alone and "3 time points of one slice" in alone and "--axes ZYX" in alone
    )
    assert "36 cells in 3 sections" in run(str(tmp_path / "frames.tif"), "--axes", "ZYX")
    assert "frames.tif: 12 cells," in run(str(tmp_path / "frames.tif"), "--average-time")
    suggested = run(str(tmp_path / "two.tif"))
    assert "two.tif: 12 cells" in suggested and "Channel 1 of channels 0 to 1" in suggested
    assert "two.tif: 12 cells" not in run(str(tmp_path / "two.tif"), "--channel", "0")
    assert "Choose another with --series" in run(str(tmp_path / "pos.ome.tif"))
    assert "pos.ome.tif: 12 cells" in run(str(tmp_path / "pos.ome.tif"), "--series", "1")
    apart = run(str(tmp_path / "cut"))
    assert "s01.tif: 12 cells" in apart and "add --stack" in apart
    assert "12 cells in 3 sections" in run(str(tmp_path / "cut"), "--stack")
