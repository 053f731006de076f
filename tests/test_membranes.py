"""Membranes: cells from a map, scores by their definitions, weights, the table, linking."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from spinecore.membranes.cells import label_cells, partition
from spinecore.membranes.linking import link_sections
from spinecore.membranes.predict import JOINS, normalise_section, predict_maps
from spinecore.membranes.scores import pixel_scores, region_scores
from spinecore.membranes.table import CELL_COLUMNS, measure_cells
from spinecore.membranes.weight_map import dividing_lines, membrane_weights
from spinecore.networks.membranes import MembraneFast, PublishedUNet
from spinecore.networks.views import MIRRORED
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
