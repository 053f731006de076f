"""Spine measures against closed forms, and under changes that must not matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phantoms import grid, measure, spine_phantom, tube

from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.dendrites import summarise_dendrites
from spinecore.morphometry.intervals import poisson_interval
from spinecore.morphometry.measurer import Measurer
from spinecore.morphometry.surface import smooth_surface, surface_area
from spinecore.morphometry.table import measure_spines
from spinecore.stack import Spacing
from spinecore.tracing.sections import across
from spinecore.tracing.trace import dendrite_labels, trace_dendrites

FINE = (0.05, 0.05, 0.05)
CONFOCAL = (0.3, 0.1, 0.1)


@pytest.mark.parametrize("angle", [0, 35, 90])
@pytest.mark.parametrize(("length", "head", "neck"), [(1.2, 0.5, 0.2), (1.6, 0.8, 0.3), (2.5, 0.6, 0.3)])
def test_fine_isotropic_voxels_give_the_closed_form(length, head, neck, angle):
    row, _ = spine_phantom(
        FINE, length, head, neck, angle, extent=(8.0, 8.0, 4.0) if angle else (4.0, 8.0, 4.0)
    ).measure()
    assert row.length_um == pytest.approx(length, rel=0.05)
    assert row.length_euclidean_um == pytest.approx(length, rel=0.06)
    assert row.head_width_um == pytest.approx(head, rel=0.05)
    flare = np.sqrt(head**2 - neck**2) / 2
    assert row.neck_length_um == pytest.approx(length - head / 2 - flare, abs=0.08)
    assert row.dendrite_id == 1 and row.missing_reason == ""
    if neck >= 0.25:
        assert row.neck_width_um == pytest.approx(neck, abs=FINE[0]) and row.neck_width_um_flag == ""
    else:
        assert "resolution-limited" in row.neck_width_um_flag


@pytest.mark.parametrize("angle", [0, 90])
def test_confocal_voxels_give_it_within_the_voxel(angle):
    row, _ = spine_phantom(
        CONFOCAL, 1.6, 0.8, 0.3, angle, shift=(0.1, 0.03, 0.02), extent=(6.0, 7.0, 5.0)
    ).measure()
    assert row.length_um == pytest.approx(1.6, rel=0.1)
    assert row.head_width_um == pytest.approx(0.8, rel=0.1)


@pytest.mark.parametrize("slices", [1, 2, 3])
def test_a_head_drawn_out_along_z_by_the_blur_is_no_longer_for_it(slices):
    """In vivo, slices 1 um apart: heads whose outline reached three slices deep had lengths of 5 um in place of 1.5."""
    spacing = (1.0, 0.1, 0.1)
    made = spine_phantom(spacing, 1.4, 0.7, 0.3, shift=(0.5, 0.0, 0.0), extent=(9.0, 7.0, 6.0))
    plain, _ = made.measure()
    deeper = made.spine.copy()
    for step in range(1, slices + 1):
        deeper[step:] |= made.spine[:-step]
    drawn_out, _ = replace(made, spine=deeper & ~made.dendrite).measure()
    assert drawn_out["length_um"] == pytest.approx(plain["length_um"], abs=0.25)
    assert plain["length_um"] == pytest.approx(1.4, abs=0.2)


def test_a_stubby_spine_has_no_neck():
    row, _ = spine_phantom(FINE, 0.7, 0.6, 0.6, extent=(3.0, 5.0, 4.0)).measure()
    assert row.neck_width_um_flag == row.neck_length_um_flag == "no neck"
    assert np.isnan(row.neck_width_um) and np.isnan(row.neck_length_um)
    assert row.head_volume_um3 == pytest.approx(row.volume_um3)


def test_base_tip_box_and_place_on_the_dendrite():
    phantom = spine_phantom(CONFOCAL, 1.6, 0.8, 0.3, shift=(0.0, 0.02, 0.04))
    row, dendrites = phantom.measure()
    for name, truth in (("base", phantom.base_um), ("tip", phantom.tip_um)):
        found = np.array([row[f"{name}_z_px"], row[f"{name}_y_px"], row[f"{name}_x_px"]]) * CONFOCAL
        assert np.linalg.norm(found - truth) < 0.15, name
    where = np.argwhere(phantom.spine)
    assert [row.z_min_px, row.y_min_px, row.x_min_px] == list(where.min(axis=0))
    assert [row.z_max_px, row.y_max_px, row.x_max_px] == list(where.max(axis=0))
    length = dendrites[0].path_length_um
    expected = phantom.base_um[2] + CONFOCAL[2] / 2
    assert min(abs(row.position_along_dendrite_um - p) for p in (expected, length - expected)) < 0.1
    assert row.side in {"left", "right"} and abs(row.angle_deg) in (
        pytest.approx(0, abs=8),
        pytest.approx(180, abs=8),
    )
    assert not row.touches_border and row.score == 0.9


def test_sides_and_angles_turn_the_right_way():
    lateral, axial = across(np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert lateral[0] @ [0, 1, 0] == pytest.approx(1)  # walking to +x, the right hand is down the image
    assert lateral[1] @ [0, 0, -1] == pytest.approx(1)
    assert axial[0] @ [1, 0, 0] == pytest.approx(1)
    assert np.allclose(np.einsum("ij,ij->i", lateral, axial), 0)


def test_volume_surface_and_fluorescence_of_a_ball():
    spacing, radius = (0.1, 0.1, 0.1), 0.5
    phantom = spine_phantom(spacing, 2.0, 2 * radius, 0.3, extent=(5.0, 7.0, 5.0))
    where = grid(phantom.spine.shape, spacing)
    ball = np.linalg.norm(where - phantom.head_um, axis=-1) <= radius
    row, _ = measure(
        ball, phantom.dendrite, (100 + 1000.0 * (phantom.dendrite | ball)), spacing, phantom.head_um
    )
    assert row.volume_um3 == pytest.approx(4 / 3 * np.pi * radius**3, rel=0.06)
    assert row.surface_um2 == pytest.approx(4 * np.pi * radius**2, rel=0.05)
    assert row.sphericity == pytest.approx(1.0, abs=0.06)
    assert row.elongation == pytest.approx(1.0, abs=0.05)
    assert row.volume_fluorescence_um3 == pytest.approx(row.volume_um3, rel=0.02)
    assert row.spine_to_shaft_ratio == pytest.approx(1.0, rel=0.01)
    assert row.intensity_mean == row.intensity_max == pytest.approx(1000.0)
    assert row.intensity_background == 100.0
    assert row.length_um_flag == "neck not segmented"
    assert row.length_um == pytest.approx(2.0, rel=0.06)
    assert row.neck_length_um == pytest.approx(1.0, abs=0.15)


def test_two_dimensional_input_gives_only_what_it_can():
    row, dendrites = spine_phantom((1.0, 0.05, 0.05), 1.5, 0.7, 0.3, extent=(1.0, 6.0, 4.0)).measure()
    assert row.length_um == pytest.approx(1.5, rel=0.04) and row.length_um_flag == "projected"
    assert row.head_width_um == pytest.approx(0.7, rel=0.05)
    assert row.neck_width_um == pytest.approx(0.3, abs=0.06)
    assert np.isnan(
        [row.volume_um3, row.surface_um2, row.z_um, row.volume_fluorescence_um3, row.angle_deg]
    ).all()
    assert "no depth" in row.missing_reason and row.area_um2 > 0 and row.z_px == 0
    summary = summarise_dendrites(pd.DataFrame([row]), dendrites, flat=True)
    assert summary.path_length_um_flag[0] == "projected"


@pytest.mark.parametrize(
    ("spacing", "kept", "reason"),
    [
        (Spacing(), set(), "the pixel size is unknown"),
        (
            Spacing(None, 0.1, 0.1, "user"),
            {"x_um", "y_um", "area_um2"},
            "the distance between the slices is unknown",
        ),
    ],
)
def test_an_unknown_voxel_size_withholds_micrometres_but_no_pixels(spacing, kept, reason):
    phantom = spine_phantom(CONFOCAL, 1.6, 0.8, 0.3)
    dendrites = trace_dendrites(phantom.dendrite, CONFOCAL)
    ids = dendrite_labels(phantom.dendrite, dendrites, CONFOCAL)
    table = measure_spines(phantom.spine.astype(np.int32), ids, phantom.intensity, spacing, dendrites)
    row = table.iloc[0]
    for name, column in SPINE_COLUMNS.items():
        if "um" in column.unit:
            assert np.isnan(row[name]) != (name in kept) or name == "nearest_neighbour_um", name
    assert reason in row.missing_reason
    assert np.isfinite([row.x_px, row.base_x_px, row.tip_x_px, row.intensity_mean, row.elongation]).all()
    summary = summarise_dendrites(table, dendrites, spacing)
    assert np.isnan(summary.density_per_um[0]) and summary.path_length_px[0] > 50


def test_a_lone_head_belongs_to_its_nearest_dendrite_and_a_far_one_to_none():
    where = grid((20, 160, 60), CONFOCAL)
    shaft = tube(where, np.array([[3, 2, -5.0], [3, 2, 12.0]]), 0.4)
    near = np.linalg.norm(where - [3, 4, 3], axis=-1) <= 0.3
    far = np.linalg.norm(where - [3, 12, 3], axis=-1) <= 0.3
    dendrites = trace_dendrites(shaft, CONFOCAL)
    labels = near.astype(np.int32) + 2 * far
    ids = dendrite_labels(shaft, dendrites, CONFOCAL)
    table = measure_spines(labels, ids, None, Spacing(*CONFOCAL, source="user"), dendrites).set_index(
        "spine_id"
    )
    assert table.dendrite_id[1] == 1 and table.length_um[1] == pytest.approx(1.9, rel=0.1)
    assert pd.isna(table.dendrite_id[2]) and np.isnan(table.length_um[2])
    assert table.length_um_flag[2] == "no dendrite" and "5 um" in table.missing_reason[2]
    assert table.volume_um3[2] > 0 and np.isnan(table.intensity_mean[1])
    assert table.nearest_neighbour_um[1] == pytest.approx(8.0, rel=0.02)


def test_a_spine_of_two_voxels_and_one_without_any():
    phantom = spine_phantom(CONFOCAL, 1.6, 0.8, 0.3)
    labels = np.zeros(phantom.spine.shape, np.int32)
    centre = np.rint(phantom.head_um / CONFOCAL).astype(int)
    labels[centre[0], centre[1], centre[2] : centre[2] + 2] = 1
    dendrites = trace_dendrites(phantom.dendrite, CONFOCAL)
    ids = dendrite_labels(phantom.dendrite, dendrites, CONFOCAL)
    seeds = {1: centre.astype(float), 2: centre + np.array([0.0, 0.0, 8.0])}
    table = measure_spines(
        labels, ids, phantom.intensity, Spacing(*CONFOCAL, source="user"), dendrites, seeds=seeds
    ).set_index("spine_id")
    assert (table.head_width_um_flag == "too few voxels").all() and table.head_width_um.isna().all()
    assert (table.missing_reason == "the spine has fewer than 4 voxels").all()
    assert (table.dendrite_id == 1).all()
    assert table.volume_um3[1] == pytest.approx(2 * 0.003) and np.isnan(table.volume_um3[2])


def test_measuring_from_a_crop_is_measuring_in_the_volume():
    phantom = spine_phantom(CONFOCAL, 1.6, 0.8, 0.3)
    whole, dendrites = phantom.measure()
    window = (slice(2, 14), slice(15, 62), slice(14, 46))
    crop = SpineCrop(
        (2, 15, 14),
        phantom.spine[window],
        np.zeros_like(phantom.spine[window]),
        dendrite_labels(phantom.dendrite, dendrites, CONFOCAL)[window],
        phantom.intensity[window],
    )
    measurer = Measurer(dendrites, CONFOCAL, phantom.spine.shape)
    row = measurer.measure_one(1, crop, phantom.head_um / CONFOCAL, 0.9)
    for name in (
        "length_um",
        "head_width_um",
        "neck_length_um",
        "volume_um3",
        "intensity_mean",
        "x_px",
        "base_y_px",
    ):
        assert row[name] == pytest.approx(whole[name], rel=1e-6), name
    halved = Measurer(dendrites, CONFOCAL, phantom.spine.shape, scale_yx=(0.5, 0.5)).measure_one(1, crop)
    assert (halved["y_px"] + 0.5) * 0.5 - 0.5 == pytest.approx(row["y_px"], abs=0.5)
    assert halved["x_min_px"] == 2 * row["x_min_px"] and halved["x_max_px"] == 2 * row["x_max_px"] + 1


MEASURES = (
    "length_um",
    "head_width_um",
    "neck_length_um",
    "volume_um3",
    "surface_um2",
    "elongation",
    "intensity_mean",
)


@pytest.mark.parametrize("change", ["rotate", "flip z", "transpose", "intensity", "pad"])
def test_measures_do_not_depend_on_how_the_stack_lies(change):
    phantom = spine_phantom(CONFOCAL, 1.5, 0.7, 0.3, 20, shift=(0.07, 0.03, -0.04))
    arrays = [phantom.spine, phantom.dendrite, phantom.intensity]
    turn = {
        "rotate": lambda a: np.rot90(a, axes=(1, 2)),
        "flip z": lambda a: a[::-1],
        "transpose": lambda a: a.transpose(0, 2, 1),
        "intensity": lambda a: a * 3 if a.dtype == np.float32 else a,
        "pad": lambda a: np.pad(
            a, ((3, 3), (5, 5), (0, 0)), mode="edge" if a.dtype == np.float32 else "constant"
        ),
    }[change]
    plain, _ = measure(*arrays, CONFOCAL)
    changed, _ = measure(*(np.ascontiguousarray(turn(a)) for a in arrays), CONFOCAL)
    for name in MEASURES:
        factor = 3 if change == "intensity" and name == "intensity_mean" else 1
        assert changed[name] == pytest.approx(factor * plain[name], rel=0.03), name
    assert changed.volume_fluorescence_um3 == pytest.approx(plain.volume_fluorescence_um3, rel=0.02)


@settings(max_examples=8, deadline=None)
@given(
    length=st.floats(1.0, 2.2),
    head=st.floats(0.45, 0.9),
    shift=st.tuples(*[st.floats(-0.15, 0.15)] * 3),
    angle=st.sampled_from([0, 45, 90, 180, 270]),
)
def test_any_spine_on_a_fine_grid_is_measured(length, head, shift, angle):
    spacing = (0.1, 0.1, 0.1)
    row, _ = spine_phantom(
        spacing, max(length, head + 0.2), head, 0.3, angle, shift, (6.4, 6.4, 3.4)
    ).measure()
    assert row.length_um == pytest.approx(max(length, head + 0.2), abs=0.16)
    assert row.head_width_um == pytest.approx(head, rel=0.12)
    assert row.head_volume_um3 <= row.volume_um3
    assert row.length_euclidean_um <= row.length_um + 1e-9


def test_a_surface_keeps_the_volume_and_needs_a_mask():
    mask = np.linalg.norm(grid((30, 30, 30), FINE) - 0.75, axis=-1) <= 0.4
    assert surface_area(mask, FINE) == pytest.approx(4 * np.pi * 0.16, rel=0.04)
    vertices, faces = smooth_surface(mask, FINE)
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    volume = abs(np.einsum("ij,ij->i", a, np.cross(b, c)).sum()) / 6
    assert volume == pytest.approx(mask.sum() * 0.05**3, rel=0.06)
    with pytest.raises(ValueError, match="empty mask"):
        smooth_surface(np.zeros((3, 3, 3), bool), FINE)


def test_density_has_an_exact_interval():
    assert poisson_interval(0)[0] == 0.0 and poisson_interval(0)[1] == pytest.approx(3.689, abs=0.001)
    assert poisson_interval(10) == pytest.approx((4.795, 18.390), abs=0.001)
    where = grid((10, 60, 200), CONFOCAL)
    dendrites = trace_dendrites(tube(where, np.array([[1.5, 3, -5.0], [1.5, 3, 25.0]]), 0.4), CONFOCAL)
    rows = [
        {
            "spine_id": i + 1,
            "dendrite_id": 1,
            "touches_border": i == 0,
            "class": "filopodium" if i == 1 else "thin",
            "position_along_dendrite_um": 2.0 * i,
            "length_um": np.nan if i == 2 else 1.0,
            "head_width_um": 0.5,
        }
        for i in range(10)
    ]
    summary = summarise_dendrites(pd.DataFrame(rows, columns=list(SPINE_COLUMNS)), dendrites).iloc[0]
    assert list(summary.index) == list(DENDRITE_COLUMNS)
    assert summary.path_length_um == pytest.approx(20.0, rel=0.01)
    assert summary.density_per_um == pytest.approx(0.5, rel=0.01)
    assert summary.density_low_per_um == pytest.approx(4.795 / 20, rel=0.01)
    assert summary.density_high_per_um == pytest.approx(18.39 / 20, rel=0.01)
    assert summary.density_without_filopodia_per_um == pytest.approx(0.45, rel=0.01)
    assert summary.density_without_border_per_um == pytest.approx(0.45, rel=0.01)
    assert summary.spacing_mean_um == pytest.approx(2.0) and summary.spacing_cv == pytest.approx(0.0)
    assert summary.mean_length_um == 1.0


def test_shapes_that_do_not_fit_are_refused_and_no_spine_is_no_row():
    phantom = spine_phantom(CONFOCAL, 1.6, 0.8, 0.3)
    labels, where = phantom.spine.astype(np.int32), Spacing(*CONFOCAL, source="user")
    with pytest.raises(ValueError, match="share one ZYX shape"):
        measure_spines(labels, phantom.dendrite[1:].astype(int), None, where, [])
    empty = measure_spines(labels * 0, phantom.dendrite.astype(int), None, where, [])
    assert len(empty) == 0 and list(empty.columns) == list(SPINE_COLUMNS)


@pytest.mark.parametrize("tilt", [0, 25, 50])
def test_twice_the_z_step_changes_density_by_less_than_five_percent(tilt):
    """The same dendrite with the same eight heads, with all slices and with every second one."""
    spacing = np.array([0.3, 0.1, 0.1])
    shape = (34, 60, 200)
    where = grid(shape, spacing)
    slope = np.array([np.sin(np.deg2rad(tilt)), 0.0, np.cos(np.deg2rad(tilt))])
    middle = np.array([4.95, 3.0, 10.0])
    dendrite = tube(where, np.array([middle - 30 * slope, middle + 30 * slope]), 0.5)
    labels = np.zeros(shape, np.int32)
    inside = min(4.0 / max(slope[0], 1e-9), 8.0 / slope[2])
    for k, along in enumerate(np.linspace(-0.8, 0.8, 8) * inside, 1):
        head = middle + along * slope + (0, 1.1 if k % 2 else -1.1, 0)
        ball = (np.linalg.norm(where - head, axis=-1) < 0.45) & ~dendrite
        labels[ball] = k
    densities = []
    for step in (1, 2):
        coarse = Spacing(0.3 * step, 0.1, 0.1, source="user")
        zyx = coarse.zyx_um()
        found = trace_dendrites(dendrite[::step], zyx)
        ids = dendrite_labels(dendrite[::step], found, zyx)
        table = measure_spines(labels[::step], ids, None, coarse, found)
        densities.append(summarise_dendrites(table, found, coarse)["density_per_um"].iloc[0])
    assert densities[1] == pytest.approx(densities[0], rel=0.05)


def test_a_surface_smaller_than_a_balls_is_withheld():
    """A flake of one slice: marching cubes rounds it to less surface than any body of that volume can have."""
    mask = np.zeros((6, 40, 40), bool)
    mask[2:3, 18:21, 18:21] = True
    dendrite = np.zeros_like(mask)
    dendrite[1:5, 5:12, :] = True
    row, _ = measure(mask, dendrite, mask * 100.0, CONFOCAL)
    assert np.isnan(row.surface_um2) and np.isnan(row.sphericity)
    assert "too few voxels for a surface" in row.missing_reason
    assert row.volume_um3 == pytest.approx(9 * 0.003)
