"""Membranes: cells from a map, scores by their definitions, linking, files, corrections."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import tifffile
import torch
from scipy.ndimage import label

from spinecore.corrections.cells import append_cell_step, merge_cells, paint_area, read_cell_steps, split_cell
from spinecore.errors import SpinecoreError
from spinecore.export.membranes import methods_text, write_cell_rois, write_membrane_bundle
from spinecore.membranes import segment
from spinecore.membranes.cells import label_cells, partition
from spinecore.membranes.linking import link_sections
from spinecore.membranes.methods import KNOWN, get_method
from spinecore.membranes.predict import JOINS, normalise_section, predict_maps
from spinecore.membranes.result import load_segmentation
from spinecore.membranes.scores import pixel_scores, region_scores
from spinecore.membranes.table import CELL_COLUMNS, measure_cells
from spinecore.membranes.truth import read_truth, score_map, truth_for
from spinecore.membranes.weight_map import dividing_lines, membrane_weights
from spinecore.networks.membranes import MembraneFast, PublishedUNet
from spinecore.networks.views import MIRRORED
from spinecore.networks.zoo import Card
from spinecore.stack import Spacing


def grid_map(shape=(60, 90), every=30, gap=0, height=0.9):
    """A membrane map of square cells whose walls are 3 px thick; `gap` px of each wall are open."""
    walls = np.zeros(shape, np.float32)
    for at in range(every, shape[1], every):
        walls[:, at - 1 : at + 2] = height
    for at in range(every, shape[0], every):
        walls[at - 1 : at + 2] = height
    if gap:
        walls[10 : 10 + gap, every - 1 : every + 2] = 0.02
    return walls


# --- cells ----------------------------------------------------------------------------------------


def test_cells_of_a_clean_map_are_its_squares():
    walls = grid_map()
    cells = label_cells(partition(walls), walls, 0.5)
    assert cells.dtype == np.uint32 and cells.max() == 6
    assert (cells[walls > 0.5] == 0).all()
    assert len(np.unique(cells[5:25, 5:25])) == 1


def test_a_short_gap_in_a_wall_does_not_join_two_cells_and_a_long_one_does():
    for gap, joined in ((3, False), (26, True)):
        walls = grid_map(gap=gap)
        cells = label_cells(partition(walls), walls, 0.5)
        assert (cells[5, 5] == cells[5, 45]) == joined, gap


def test_a_higher_level_never_makes_more_cells():
    noise = np.random.default_rng(3).normal(0, 1, (80, 80))
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(noise, 3)
    walls = ((field - field.min()) / np.ptp(field)).astype(np.float32)
    cut = partition(walls)
    counts = [len(np.unique(cut.zones(level))) for level in (0.2, 0.4, 0.5, 0.6, 0.8, 1.1)]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1] == 1
    assert (cut.zones(0.5) > 0).all(), "zones leave no pixel out"


def test_seams_of_tiles_leave_no_border():
    walls = grid_map()
    whole, tiled = partition(walls), partition(walls, tile_px=25)
    a, b = (label_cells(cut, walls, 0.5) for cut in (whole, tiled))
    assert b.max() == a.max()
    pairs = {(int(p), int(q)) for p, q in zip(a.ravel(), b.ravel(), strict=True)}
    assert len(pairs) == a.max() + 1, "the same cells, whatever the tiles"


def test_a_blank_map_is_one_cell():
    walls = np.zeros((20, 30), np.float32)
    assert (label_cells(partition(walls), walls, 0.5) == 1).all()


def test_small_cells_are_left_out_and_numbers_have_no_gap():
    walls = grid_map()
    walls[:6, :6] = 0.9
    walls[2:4, 2:4] = 0
    cells = label_cells(partition(walls), walls, 0.5, min_area_px=30)
    assert cells[2, 2] == 0 and sorted(np.unique(cells)) == list(range(7))


# --- scores ---------------------------------------------------------------------------------------


def test_rand_error_of_two_classes_counts_pairs_of_pixels():
    rng = np.random.default_rng(0)
    truth, found = rng.random((6, 7)) < 0.7, rng.random((6, 7)) < 0.7
    a, b = truth.ravel(), found.ravel()
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    wrong = sum((a[i] == a[j]) != (b[i] == b[j]) for i, j in pairs)
    assert pixel_scores(truth, found).rand_error == pytest.approx(wrong / len(pairs))


def test_the_publication_s_rand_errors_are_those_of_two_classes():
    from spinecore.membranes.methods import PUBLISHED

    for _, _, pixel, rand in PUBLISHED.values():
        assert 2 * pixel * (1 - pixel) == pytest.approx(rand, abs=4e-4)


def test_a_perfect_segmentation_scores_one():
    truth = grid_map() < 0.5
    cells = label(truth)[0]
    zones = label_cells(partition(grid_map()), np.zeros_like(grid_map()), 0.5)
    scores = region_scores(truth, cells, zones)
    assert scores.v_rand == pytest.approx(1) and scores.v_info == pytest.approx(1)
    assert scores.adapted_rand_error == pytest.approx(0, abs=1e-9)


def test_mergers_and_splits_fall_on_their_own_scores():
    truth = grid_map() < 0.5
    merged = region_scores(truth, label(truth)[0], np.ones(truth.shape, int))
    assert merged.rand_split == pytest.approx(1) and merged.rand_merge < 0.3
    rows = np.arange(truth.size).reshape(truth.shape) // 45 + 1
    split = region_scores(truth, label(truth)[0], rows)
    assert split.rand_split < 0.2


def test_adapted_rand_error_is_that_of_scikit_image():
    from skimage.metrics import adapted_rand_error

    truth = grid_map() < 0.5
    cells = label(grid_map(gap=12) < 0.5)[0]
    ours = region_scores(truth, cells, cells + 1).adapted_rand_error
    error, _, _ = adapted_rand_error(label(truth)[0], cells)
    assert ours == pytest.approx(error, abs=2e-3)


def test_v_info_of_two_halves_against_one_cell():
    truth = np.ones((4, 8), bool)
    halves = np.repeat([[1] * 4 + [2] * 4], 4, axis=0)
    # H(T) = 0, so that the two share no information
    assert region_scores(truth, halves, halves).v_info == pytest.approx(0)


# --- weights and prediction -----------------------------------------------------------------------


def test_weight_map_is_balance_plus_gap_term():
    interior = np.ones((5, 40), bool)
    interior[:, 18:23] = False
    weights = membrane_weights(interior, strength=10, sigma_px=5)
    balance = 0.5 / (~interior).mean()
    # Between cells ending at 17 and beginning at 23, d1 + d2 is 6 everywhere.
    np.testing.assert_allclose(weights[2, 18:23], balance + 10 * np.exp(-36 / 50), rtol=1e-5)
    np.testing.assert_allclose(weights[2, 5], 0.5 / interior.mean(), rtol=1e-5)


def test_dividing_lines_stay_on_membranes_and_leave_blind_ends_out():
    interior = grid_map() < 0.5
    interior[14:17, 5:15] = False  # a membrane that ends blindly in one cell
    lines = dividing_lines(interior)
    assert lines[10, 30] and not (lines & interior).any()
    assert not lines[15, 8:14].any()


def test_tiles_and_whole_agree_for_every_padding():
    torch.manual_seed(0)
    image = normalise_section(np.random.default_rng(0).normal(100, 20, (150, 130)))
    for model in (MembraneFast((4, 4, 4, 4, 6)).eval(), PublishedUNet((2, 2, 2, 2, 2), valid=True).eval()):
        whole, tiled = predict_maps(model, image), predict_maps(model, image, tile_px=68)
        assert whole.shape[1:] == image.shape and tiled.shape == whole.shape
        assert whole.min() >= 0 and whole.max() <= 1
        if model.margin_px:  # with valid padding no tile sees an edge that is not there
            np.testing.assert_allclose(tiled, whole, atol=0.08)  # pooling counts from each tile


def test_joins_give_the_section_s_own_size():
    model = PublishedUNet((2, 2, 2, 2, 2), valid=True).eval()
    image = np.random.default_rng(1).normal(0, 1, (70, 110)).astype(np.float32)
    for join in JOINS:
        assert predict_maps(model, image, join).shape == (1, 70, 110)


def test_mirrored_views_make_the_answer_symmetric():
    model = MembraneFast((4, 4, 4, 4, 6)).eval()
    image = np.random.default_rng(1).normal(0, 1, (64, 64)).astype(np.float32)
    there = predict_maps(model, image, views=MIRRORED)
    back = predict_maps(model, np.ascontiguousarray(image[::-1]), views=MIRRORED)[:, ::-1]
    np.testing.assert_allclose(there, back, atol=0.01)


def test_normalising_is_robust_and_survives_a_blank_image():
    image = np.random.default_rng(0).normal(120, 30, (100, 100))
    image[:5] = 60_000  # a scale bar
    out = normalise_section(image)
    assert abs(np.median(out)) < 0.05 and 0.8 < np.percentile(out, 84) < 1.3 and out.max() <= 5
    assert (normalise_section(np.full((9, 9), 7)) == 0).all()


# --- table, linking -------------------------------------------------------------------------------


def test_a_disc_is_measured_as_one():
    y, x = np.mgrid[:80, :80]
    disc = ((y - 40) ** 2 + (x - 40) ** 2 <= 30**2).astype(np.uint32)
    row = measure_cells(disc, Spacing(y_um=0.004, x_um=0.004), 3).iloc[0]
    assert row["area_um2"] == pytest.approx(np.pi * 0.12**2, rel=0.02)
    assert row["perimeter_um"] == pytest.approx(2 * np.pi * 0.12, rel=0.02)
    assert row["circularity"] > 0.97 and row["elongation"] == pytest.approx(1, abs=0.01)
    assert row["section"] == 3 and row["touches_edge"] == 0
    without = measure_cells(disc, Spacing())
    assert list(without.columns) == list(CELL_COLUMNS) and without["area_um2"].isna().all()


def test_cells_keep_their_numbers_while_they_move_split_and_vanish():
    a = np.zeros((20, 40), np.uint32)
    a[2:18, 2:18], a[2:18, 22:38] = 1, 2
    b = np.zeros_like(a)
    b[2:18, 4:20] = 7  # moved
    b[2:10, 22:38], b[12:18, 22:38] = 3, 4  # split: the larger part goes on
    c = np.zeros_like(a)
    c[2:18, 6:20] = 1
    first, second, third = link_sections([a, b, c])
    assert second[5, 6] == first[5, 6] == third[5, 8]
    assert second[5, 30] == first[5, 30] and second[15, 30] == 3
    assert set(np.unique(third)) == {0, int(first[5, 6])}


# --- files ----------------------------------------------------------------------------------------


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
