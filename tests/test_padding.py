"""Blank slices, borders and corners: found, filled, cut off and left out."""

from __future__ import annotations

import numpy as np

from spinecore.detection.padding import cropped, data_box, embedded
from spinecore.methods.grid import AnalysisGrid
from spinecore.methods.prediction import Heads, Prediction
from spinecore.reading.blank import blank_words, fill_padding, find_padding
from spinecore.stack import Spacing, Stack

RNG = np.random.default_rng(5)


def test_padding_is_found_and_filled_and_a_dark_background_is_not():
    data = RNG.poisson(30, (6, 60, 80)).astype(np.uint16) + 1
    assert find_padding(data) is None
    padded = data.copy()
    padded[0] = padded[3] = 0
    padded[1:3, :7] = 0
    padded[4, :, 70:] = 0
    rows, columns = np.mgrid[:60, :80]
    corner = rows + columns < 25
    padded[5][corner] = 0
    found = find_padding(padded)
    assert found is not None
    expected = padded == 0
    wrong = found ^ expected
    assert wrong[:5].sum() == 0 and wrong[5].sum() < 40  # a turned edge is cut off at the last pixels
    looks = fill_padding(padded, found)
    assert looks.bridged == (3,) and looks.blank == (0,)
    assert abs(float(looks.voxels[3].mean()) - float(data.mean())) < 1
    np.testing.assert_array_equal(looks.voxels[0], looks.voxels[1])
    assert not np.any(looks.voxels[1, :7] == 0)
    assert looks.left_out[0].all() and looks.left_out[1, :7].all() and looks.left_out[3].mean() < 0.02
    dark = (RNG.random((3, 60, 80)) < 0.02).astype(np.uint8) * 40
    assert find_padding(dark) is None
    assert blank_words([5], [3], 6, 0.02) == (
        "1 of 6 slices is blank (6), and 2.0% of the voxels are an empty border or corner: nothing is traced or counted "
        "there. 1 of 6 slices is blank (4) and is interpolated from its neighbours."
    )


def test_maps_of_the_data_are_placed_in_the_whole_and_silent_elsewhere():
    """Finer and coarser pixels than the grid's: a feature keeps its place to less than a grid pixel."""
    for pixel in (0.08, 0.2):
        voxels = np.zeros((6, 90, 100), np.uint16)
        voxels[1:5, 20:80, 13:95] = 50
        stack = Stack(voxels, Spacing(0.5, pixel, pixel, "user"))
        empty = voxels == 0
        grid = AnalysisGrid(stack)
        box = data_box(empty, grid.scale_yx)
        part = cropped(stack, box)
        assert part.shape[0] == 4 and part.shape[1] >= 60
        inner = AnalysisGrid(part)
        maps = np.zeros(inner.shape, np.uint8)
        place = (
            2,
            round((50 - box[1].start) * inner.scale_yx[0]),
            round((40 - box[2].start) * inner.scale_yx[1]),
        )
        maps[place] = 200
        heads = Heads(np.array([place, (0, 0, 0)], float), np.array([0.9, 0.2]))
        made = Prediction(
            maps, maps, maps, inner.intensity, inner.spacing_zyx_um, inner.scale_yx, "x", heads=heads
        )
        whole = embedded(made, box, stack, empty)
        assert whole.dendrite.shape == grid.shape
        assert (
            np.abs(
                np.argwhere(whole.dendrite == 200)[0] - (3, 50 * grid.scale_yx[0], 40 * grid.scale_yx[1])
            ).max()
            <= 1
        )
        assert whole.heads is not None and whole.heads.scores[0] == 0.9
        assert not whole.dendrite[0].any() and whole.scale_yx == grid.scale_yx


def test_lines_run_on_to_the_border_of_the_data() -> None:
    from spinecore.detection.candidates import find_candidates
    from spinecore.methods.prediction import Prediction

    dendrite = np.zeros((9, 40, 90), bool)
    dendrite[3:6, 17:23] = True
    spacing = (0.3, 0.1, 0.1)

    def predicted(mask: np.ndarray, box: tuple[slice, slice, slice] | None) -> Prediction:
        byte = (mask * 255).astype(np.uint8)
        nothing = np.zeros_like(byte)
        image = (100 + 900 * mask).astype(np.uint16)
        return Prediction(byte, nothing, nothing, image, spacing, (1.0, 1.0), "by hand", data_box=box)

    alone = find_candidates(predicted(dendrite, None))[0].dendrites
    wide = np.pad(dendrite, ((0, 0), (10, 12), (20, 30)))
    bordered = find_candidates(predicted(wide, (slice(0, 9), slice(10, 50), slice(20, 110))))[0].dendrites
    assert len(alone) == len(bordered) == 1 and alone[0].path_length_um > 8.8
    assert bordered[0].path_length_um == alone[0].path_length_um
    np.testing.assert_allclose(
        bordered[0].branches[0].points_um - alone[0].branches[0].points_um,
        [[0, 1, 2]] * len(alone[0].branches[0].points_um),
    )
