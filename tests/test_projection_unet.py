"""The U-Net on projections: its examples, its weights between touching spines, and depth from light."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import label

from spinecore.membranes.weight_map import touching_weights
from spinecore.methods import METHODS
from spinecore.methods.components import component_centres, mark_centres
from spinecore.methods.mip_unet import dendrite_depth, half_run, slice_blocks, spine_depth
from spinecore.methods.peaks import find_peaks
from spinecore.networks.zoo import MODELS_DIR
from spinecore.training import mip_unet
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.touching import cut_contacts

needs_weights = pytest.mark.skipif(
    not (MODELS_DIR / "mip-unet.safetensors").exists() or "mip-unet" not in METHODS,
    reason="the weights of mip-unet are not here",
)


def disc(shape, centre, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def test_weight_between_two_lines_follows_the_formula():
    labels = np.zeros((5, 30), np.int32)
    labels[:, 10], labels[:, 16] = 1, 2
    weight = touching_weights(labels, strength=10, sigma_px=2)
    # Between lines at 10 and 16, d1 + d2 is 6 everywhere.
    np.testing.assert_allclose(weight[2, 11:16], 10 * np.exp(-36 / 8), rtol=1e-5)
    assert weight[2, 10] == 0 and weight[2, 29] < 1e-6


def test_a_lonely_object_gets_no_extra_weight():
    labels = disc((40, 40), (20, 20), 5).astype(np.int32)
    assert touching_weights(labels).max() == 0


def test_touching_objects_are_cut_apart_and_others_stay():
    labels = np.zeros((12, 12), np.int32)
    labels[2:6, 2:6], labels[2:6, 6:10], labels[9:11, 2:5] = 1, 2, 3
    cut = cut_contacts(labels)
    assert label(cut > 0, structure=np.ones((3, 3)))[1] == 3
    assert (cut[9:11, 2:5] == 3).all() and (cut[2:6, 5:7] == 0).all()


def test_homography_maps_four_corners():
    a = np.array([[0, 0], [0, 9], [9, 9], [9, 0]], float)
    b = np.array([[1, 2], [0, 8], [10, 9], [8, 1]], float)
    mapped = mip_unet.homography(a, b) @ np.column_stack([a, np.ones(4)]).T
    np.testing.assert_allclose((mapped[:2] / mapped[2]).T, b, atol=1e-9)


def test_random_slices_are_sorted_inside_and_vary():
    rng = np.random.default_rng(0)
    drawn = [mip_unet.random_slices(12, rng) for _ in range(50)]
    assert all((np.diff(d) > 0).all() and d.min() >= 0 and d.max() < 12 for d in drawn)
    assert len({tuple(d) for d in drawn}) > 20
    assert len(mip_unet.random_slices(1, rng)) == 1


@pytest.fixture
def volume():
    """A shaft along x and three heads; the third is too dim to be seen."""
    classes = np.zeros((6, 60, 60), np.uint8)
    classes[2:4, 28:33] = 1
    for z, y, x in ((1, 22, 20), (4, 40, 30), (2, 22, 45)):
        classes[z, disc((60, 60), (y, x), 3)] = 2
    image = np.where(classes > 0, 0.8, 0.05).astype(np.float32)
    centres = np.array([[1, 22, 20, 1], [4, 40, 30, 1], [2, 22, 45, 0]], np.float32)
    return PoolVolume(encode(image), classes, centres, 0.4)


def test_projection_knows_shaft_spines_and_what_is_too_dim(volume):
    image, labels = mip_unet.project(volume, np.arange(6))
    assert labels[30, 10] == -1 and labels[22, 20] == 1 and labels[40, 30] == 2 and labels[22, 45] == -2
    assert image[30, 10] > 0.7 and abs(image[5, 5]) < 0.3
    assert mip_unet.project(volume, np.array([0, 1]))[1][40, 30] == 0


def test_examples_are_centred_at_true_pixels(volume, monkeypatch):
    monkeypatch.setattr(mip_unet, "ANCHORS", {"spine": 1.0, "dendrite": 0.0, "anywhere": 0.0})
    image, labels = mip_unet.project(volume, np.arange(6))
    rng = np.random.default_rng(1)
    for _ in range(10):
        _, ids, known = mip_unet.cut_patch(image, labels, 32, rng, (0.9, 1.1))
        assert (ids[12:20, 12:20] > 0).any() and known[12:20, 12:20].all()


def test_an_example_leaves_out_what_is_too_dim_and_what_lies_beyond(volume):
    rng = np.random.default_rng(2)
    pair = mip_unet.project(volume, np.arange(6))
    made = mip_unet.make_example(*pair, rng, weighted=True)
    assert made["image"].shape == (1, 128, 128) and made["spine"].max() == 1
    assert 0 < made["known"].mean() < 0.9  # 60 pixels of image in a patch of 128
    assert (made["weight"] >= made["known"]).all()


def test_components_have_heads_where_they_are_deepest():
    spine = np.zeros((40, 60))
    spine[disc((40, 60), (20, 15), 5)] = 0.9
    spine[disc((40, 60), (20, 45), 3)] = 0.6
    spine[5, 5] = 0.9  # a single pixel is noise
    labels, centres, scores = component_centres(spine, (0.1, 0.1))
    np.testing.assert_allclose(centres, [[20, 15], [20, 45]], atol=1)
    np.testing.assert_allclose(scores, [0.9, 0.6])
    assert labels[20, 45] == 2 and labels[5, 5] == 0


def test_no_component_gives_empty_arrays():
    labels, centres, scores = component_centres(np.zeros((4, 20, 20)), (0.3, 0.1, 0.1))
    assert labels.max() == 0 and centres.shape == (0, 3) and len(scores) == 0


def test_marked_heads_are_found_again_with_their_scores():
    heads, scores = np.array([[2.0, 10, 12], [5.0, 30, 31]]), np.array([0.8, 0.55])
    spacing = (0.4, 0.1, 0.1)
    centres, heights = find_peaks(mark_centres((8, 40, 40), heads, scores, spacing), spacing)
    np.testing.assert_allclose(centres, heads, atol=0.1)
    np.testing.assert_allclose(heights, scores, atol=0.01)


def test_blocks_cover_a_stack_once():
    assert slice_blocks(1, 1.0) == [slice(0, 1)]
    blocks = slice_blocks(23, 0.5, 4.0)
    assert np.concatenate([np.arange(b.start, b.stop) for b in blocks]).tolist() == list(range(23))


def test_a_spine_gets_the_slices_in_which_it_shines():
    labels = disc((20, 20), (10, 10), 3).astype(np.int32)
    light = np.full((9, 20, 20), 10.0)
    light[:, disc((20, 20), (10, 10), 3)] += np.array([0, 0, 10, 60, 100, 60, 10, 0, 0])[:, None]
    volume, depth = spine_depth(labels, labels * 0.7, light)
    assert np.flatnonzero(volume[:, 10, 10]).tolist() == [3, 4, 5]
    assert depth[0] == pytest.approx(4.0)
    assert half_run(np.array([0.0, 9, 0, 10, 8])) == slice(3, 5)


def test_a_dendrite_pixel_keeps_one_run_of_slices():
    light = np.full((8, 9, 9), 5.0, np.float32)
    light[1], light[4:6] = 90, 100  # another fibre passes at slice 1
    volume = dendrite_depth(np.full((9, 9), 0.9), light, (0.1, 0.1))
    assert np.flatnonzero(volume[:, 4, 4]).tolist() == [4, 5]
    assert dendrite_depth(np.zeros((9, 9)), light, (0.1, 0.1)).max() == 0


@needs_weights
def test_a_simulated_stack_is_analysed_with_projections():
    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse
    from spinecore.simulation import simulate

    made = simulate(960, "confocal", (12, 160, 160), (0.4, 0.1, 0.1))
    analysis = analyse(made.stack, Settings(method="mip-unet"))
    assert len(analysis.dendrites) and len(analysis.spines)
    assert analysis.models[0]["name"] == "mip-unet"
    assert analysis.spines["z_px"].between(0, 11).all()
