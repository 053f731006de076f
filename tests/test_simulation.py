"""The simulation: reproducible, true to its own geometry, and sensible."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from spinecore.simulation import PRESETS, simulate, write_simulated
from spinecore.simulation.geometry import SPINE_CLASSES, SpineShape, draw_sizes, make_spine, wander
from spinecore.simulation.rendering import Grid, PointSpread, draw_chain, occupancy
from spinecore.simulation.scene import Scene
from spinecore.simulation.simulate import render

SMALL = (10, 160, 160)
SPACING = (0.4, 0.1, 0.1)


@pytest.fixture(scope="module")
def made():
    return simulate(5, "confocal", SMALL, SPACING)


def test_same_seed_same_stack(made):
    again = simulate(5, "confocal", SMALL, SPACING)
    np.testing.assert_array_equal(made.stack.voxels, again.stack.voxels)
    assert made.spines.equals(again.spines)
    assert not np.array_equal(made.stack.voxels, simulate(6, "confocal", SMALL, SPACING).stack.voxels)


def test_every_spine_has_labels_at_its_head_and_inside_its_box(made):
    assert len(made.spines) > 5
    present = set(np.unique(made.labels)) - {0}
    boxes = made.spines.set_index("spine_id")
    for number in present:
        z, y, x = (made.labels == number).nonzero()
        row = boxes.loc[number]
        for axis, at in (("z", z), ("y", y), ("x", x)):
            assert row[f"{axis}_min_px"] <= at.min() and at.max() <= row[f"{axis}_max_px"]
        assert x.min() - 8 <= row.x_px <= x.max() + 8


def ball(width_um: float, at_um: np.ndarray) -> SpineShape:
    chain = (np.stack([at_um, at_um]), np.full(2, width_um / 2))
    still = np.zeros(3)
    return SpineShape([chain], at_um, still, still, 1.0, width_um, 0.1, 0.0, "stubby", 0, 0.0)


@pytest.mark.parametrize("z_um", [0.3, 0.5, 1.0])
@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_true_volume_is_that_of_the_shape_wherever_the_slices_fall(z_um, shift):
    grid = Grid.for_stack((8, 64, 64), (z_um, 0.08, 0.08))
    scene = Scene(spines=[ball(0.5, np.array([(4 + shift) * z_um, 2.6, 2.6]))])
    rendered = render(scene, grid, PointSpread(0.25, 0.7))
    assert rendered.volumes_um3[0] == pytest.approx(np.pi / 6 * 0.5**3, rel=0.08)
    first, last = rendered.boxes[0, [0, 3]]
    low, high = ((4 + shift) + sign * 0.25 / z_um + 0.5 for sign in (-1, 1))
    some = 0.15 / z_um  # less than this of the ball in its outermost slice may be lost
    assert np.floor(low) <= first <= np.floor(low + some)
    assert np.floor(high - some) <= last <= np.floor(high)


def test_labels_do_not_overlap_and_fit_the_stack(made):
    assert made.labels.shape == made.dendrite_labels.shape == made.stack.shape == SMALL
    assert not ((made.labels > 0) & (made.dendrite_labels > 0)).any()


def test_positions_in_um_are_pixels_times_spacing(made):
    np.testing.assert_allclose(made.spines["x_um"], made.spines["x_px"] * SPACING[2])
    np.testing.assert_allclose(made.spines["z_um"], made.spines["z_px"] * SPACING[0])


def test_spines_are_brighter_than_what_surrounds_them(made):
    seen = made.spines[made.spines["visible"]]
    at = tuple(seen[["z_px", "y_px", "x_px"]].round().astype(int).clip(lower=0).to_numpy().T)
    assert np.median(made.stack.voxels[at]) > 1.5 * np.median(made.stack.voxels)


def test_clutter_presets_have_no_dendrite_and_no_spine():
    made = simulate(3, "confocal-clutter", SMALL, SPACING)
    assert len(made.spines) == 0 and len(made.dendrites) == 0
    assert made.labels.max() == 0 and made.dendrite_labels.max() == 0


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_makes_a_stack(preset):
    made = simulate(1, preset, (6, 96, 96), (0.5, 0.12, 0.12))
    assert made.stack.voxels.max() > made.stack.voxels.min()


@pytest.mark.parametrize(
    ("call", "word"),
    [
        ({"preset": "xray"}, "preset"),
        ({"shape_zyx": (4, 8, 8)}, "shape"),
        ({"spacing_zyx_um": (0.3, -0.1, 0.1)}, "spacing"),
    ],
)
def test_mistakes_are_named(call, word):
    with pytest.raises(ValueError, match=word):
        simulate(0, **call)


def test_sizes_follow_the_published_ones():
    rng = np.random.default_rng(0)
    thin = np.array([draw_sizes(rng, "thin") for _ in range(3000)])
    mushroom = np.array([draw_sizes(rng, "mushroom") for _ in range(3000)])
    assert abs(thin[:, 0].mean() - 0.98) < 0.15
    assert abs(thin[:, 2].mean() - 0.10) < 0.02
    assert abs(mushroom[:, 0].mean() - 1.5) < 0.1
    assert abs((np.pi / 6 * mushroom[:, 1] ** 3).mean() - 0.29) < 0.04
    filopodia = np.array([draw_sizes(rng, "filopodium") for _ in range(500)])
    assert filopodia[:, 0].min() >= 2 and filopodia[:, 1].max() <= 0.3


@pytest.mark.parametrize("kind", SPINE_CLASSES)
def test_length_is_the_path_from_surface_to_tip(kind):
    rng = np.random.default_rng(2)
    up, along = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    for _ in range(20):
        spine = make_spine(rng, kind, np.zeros(3), -0.2 * up, up, along, 0, 0.0)
        assert spine.length_um >= np.linalg.norm(spine.tip_um - spine.base_um) - 1e-6
        assert 0 < spine.head_width_um < 1.5


def test_wander_has_steps_of_equal_length():
    steps = np.diff(wander(np.random.default_rng(0), np.zeros(3), np.array([0, 0, 1.0]), 20, 0.1), axis=0)
    np.testing.assert_allclose(np.linalg.norm(steps, axis=1), 0.25, rtol=1e-6)


def test_a_drawn_capsule_has_the_volume_of_a_capsule():
    grid = Grid((40, 60, 100), (0.1, 0.1, 0.1), 1, 1)
    distance = np.full(grid.fine_shape, 9.0, np.float32)
    a, b, r = np.array([2.0, 3.0, 3.0]), np.array([2.0, 3.0, 7.0]), 0.8
    draw_chain(distance, None, 0, np.stack([a, b]), np.array([r, r]), grid)
    volume = occupancy(distance, 0.1).sum() * 0.1**3
    expected = np.pi * r**2 * 4.0 + 4 / 3 * np.pi * r**3
    assert abs(volume / expected - 1) < 0.01


def test_the_point_spread_function_has_the_stated_width():
    grid = Grid((41, 64, 64), (0.1, 0.05, 0.05), 1, 1)
    point = np.zeros(grid.fine_shape, np.float32)
    point[20, 32, 32] = 1
    blurred = PointSpread(0.3, 0.8).apply(point, grid)
    assert abs(blurred.sum() - 1) < 0.02
    for profile, step, fwhm in ((blurred[20, 32], 0.05, 0.3), (blurred[:, 32, 32], 0.1, 0.8)):
        fine = np.interp(np.arange(0, len(profile) - 1, 0.01), np.arange(len(profile)), profile)
        assert abs((fine > fine.max() / 2).sum() * 0.01 * step - fwhm) < 0.03


def test_written_files_read_back(made, tmp_path):
    write_simulated(made, tmp_path)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "stack.tif"), made.stack.voxels)
    assert tifffile.imread(tmp_path / "truth_labels.tif").max() == made.labels.max()
    nodes = [
        line.split() for line in (tmp_path / "truth.swc").read_text().splitlines() if not line.startswith("#")
    ]
    assert all(len(n) == 7 for n in nodes)
    parents = {int(n[0]) for n in nodes}
    assert all(int(n[6]) == -1 or int(n[6]) in parents for n in nodes)


def test_the_sample_is_what_its_recipe_makes():
    from spinecore.simulation.sample import (
        SAMPLE_PRESET,
        SAMPLE_SEED,
        SAMPLE_SHAPE,
        SAMPLE_SPACING_UM,
        SAMPLE_STACK,
    )

    again = simulate(SAMPLE_SEED, SAMPLE_PRESET, SAMPLE_SHAPE, SAMPLE_SPACING_UM)
    np.testing.assert_array_equal(tifffile.imread(SAMPLE_STACK), again.stack.voxels)


def test_spines_that_share_a_voxel_each_keep_one():
    from spinecore.simulation.simulate import _mark_missing
    from spinecore.training.pool import FIRST_SEED, make_volume

    rng = np.random.default_rng(0)
    up, along = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0])
    spine = make_spine(rng, "thin", np.array([1.0, 1.0, 1.0]), np.ones(3), up, along, 0, 0.0)
    labels = np.zeros((4, 40, 40), np.int32)
    _mark_missing(labels, [spine, spine, spine], Grid((4, 40, 40), (0.5, 0.1, 0.1), 3, 1))
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    assert make_volume(FIRST_SEED + 47).centres.shape[1] == 4  # the stack on which this failed first


def test_true_length_is_cut_exactly_at_the_faces() -> None:
    from spinecore.simulation.geometry import length_inside

    low, high = np.zeros(3), np.array([4.0, 10.0, 10.0])
    along = np.stack([np.full(41, 2.0), np.full(41, 5.0), np.linspace(-3.1, 13.3, 41)], axis=1)
    assert length_inside(along, low, high) == pytest.approx(10.0)
    oblique = np.linspace([-1.0, 0.0, 0.0], [5.0, 6.0, 0.0], 13)
    assert length_inside(oblique, low, high) == pytest.approx(4 * np.sqrt(2))
    assert length_inside(along + np.array([9.0, 0, 0]), low, high) == 0


def test_the_light_at_one_voxel_is_what_the_blurred_stack_has_there():
    grid = Grid.for_stack((9, 32, 40), (0.5, 0.15, 0.15))
    psf = PointSpread(0.35, 1.1, tail=0.2)
    light = np.zeros(grid.fine_shape, np.float32)
    low = np.array([14, 20, 30])
    light[14:20, 20:31, 30:44] = np.random.default_rng(0).random((6, 11, 14))
    blurred = psf.apply(light, grid)
    for voxel in ((4, 12, 18), (3, 10, 22), (5, 15, 15)):
        alone = psf.at_voxel(light[14:20, 20:31, 30:44], low, voxel, grid)
        assert alone == pytest.approx(blurred[voxel], rel=1e-4)


def test_a_faint_spine_beside_a_bright_one_is_not_visible_by_its_light():
    """Once the light of all spines counted as the spine's own."""
    grid = Grid.for_stack((15, 64, 64), (0.3, 0.08, 0.08))

    def spine(x_um: float, bright: float) -> SpineShape:
        points = np.array([[2.1, 2.0, x_um], [2.1, 2.6, x_um]])
        chains = [(points, np.array([0.1, 0.2]))]
        sizes = (0.6, 0.4, 0.2, 0.3)
        return SpineShape(chains, points[1], points[0], points[1], *sizes, "thin", 0, 0.0, brightness=bright)

    def own_share(*spines: SpineShape) -> np.ndarray:
        scene = Scene(spines=list(spines))
        rendered = render(scene, grid, PointSpread(0.3, 0.9))
        heads = [tuple(np.round(s.head_um / grid.spacing_um).astype(int)) for s in spines]
        return rendered.own_light / np.array([rendered.light[h] for h in heads])

    faint, bright = own_share(spine(2.0, 0.2), spine(2.2, 1.0))
    assert faint < 0.5 and bright > 0.9
    assert own_share(spine(2.0, 0.2))[0] == pytest.approx(1.0, abs=1e-3)
    assert own_share(spine(1.0, 0.2), spine(4.0, 1.0)) == pytest.approx([1.0, 1.0], abs=0.01)
