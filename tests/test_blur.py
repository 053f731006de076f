"""One shaft has one line: blur above, below and beside it is not traced; dendrites at other depths are."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import grid, tube
from scipy import ndimage as ndi

from spinecore.tracing.blur import light_of, without_axial_blur
from spinecore.tracing.graph import SkeletonGraph
from spinecore.tracing.shadows import Light, pull_straight
from spinecore.tracing.trace import trace_dendrites

SPACING = (1.0, 0.12, 0.12)
SHAPE = (30, 100, 250)
BLUR_UM = 1.8


def line(z_um, y_um, to_z_um=None, to_y_um=None):
    """A straight line along x through the whole phantom."""
    ends = (
        [z_um, y_um, -1.0],
        [
            z_um if to_z_um is None else to_z_um,
            y_um if to_y_um is None else to_y_um,
            31.0,
        ],
    )
    return np.array(ends, float)


def image_of(shafts, gain=1.0):
    """8-bit image of shafts (bool volumes), blurred mostly along z, with a little noise."""
    sharp = np.sum([shaft.astype(np.float32) for shaft in shafts], axis=0)
    seen = ndi.gaussian_filter(sharp, (BLUR_UM / SPACING[0], 0.25 / SPACING[1], 0.25 / SPACING[2]))
    noise = np.random.default_rng(0).normal(0, 3, sharp.shape)
    return np.clip(10 + gain * seen / seen.max() * 240 + noise, 0, 255).astype(np.uint8)


def lengths(mask, image):
    return sorted(round(d.path_length_um, 1) for d in trace_dendrites(mask, SPACING, intensity=image))


@pytest.fixture(scope="module")
def shaft():
    return tube(grid(SHAPE, SPACING), line(15, 6), 0.5)


def test_a_saturated_shaft_with_halo_above_and_below_has_one_line(shaft):
    image = image_of([shaft], gain=6)
    wide = ndi.binary_dilation(shaft.any(0), iterations=2)
    mask = shaft.copy()
    for z in (10, 11, 19, 20):  # what a network draws slice by slice: the halo looks like a dim dendrite
        mask[z] |= wide
    for x in range(20, 240, 40):  # and walls between them
        mask[11:20, :, x : x + 6] |= wide[:, x : x + 6]
    naive = sum(d.path_length_um for d in trace_dendrites(mask, SPACING))
    found = lengths(mask, image)
    assert naive > 60
    assert len(found) == 1
    assert found[0] == pytest.approx(30.0, rel=0.03)


def test_dendrites_over_one_another_with_a_darker_gap_stay_two():
    shafts = [tube(grid(SHAPE, SPACING), line(z, 6), 0.5) for z in (9, 20)]
    found = lengths(shafts[0] | shafts[1], image_of(shafts, gain=2))
    assert found == pytest.approx([30.0, 30.0], rel=0.03)


def test_a_crossing_at_another_depth_leaves_both_whole():
    where = grid(SHAPE, SPACING)
    shafts = [tube(where, line(9, 2, 9, 10), 0.5), tube(where, line(19, 10, 19, 2), 0.5)]
    found = lengths(shafts[0] | shafts[1], image_of(shafts, gain=2))
    assert found == pytest.approx([31.0, 31.0], rel=0.04)


def test_a_dim_dendrite_beside_a_bright_one_is_kept(shaft):
    dim = tube(grid(SHAPE, SPACING), line(15, 9), 0.4)
    bright = ndi.gaussian_filter(shaft.astype(float) * 5 + dim, (BLUR_UM, 2, 2))
    image = np.clip(10 + 240 * bright / bright.max() * 2, 0, 255).astype(np.uint8)
    assert lengths(shaft | dim, image) == pytest.approx([30.0, 30.0], rel=0.03)


def test_a_tilted_shaft_loses_nothing():
    where = grid((40, 100, 250), (0.5, 0.12, 0.12))
    shaft = tube(where, line(2, 6, 18, 6), 0.5)
    seen = ndi.gaussian_filter(shaft.astype(float), (2, 2, 2))
    image = (10 + 240 * seen / seen.max()).astype(np.uint8)
    spacing = np.array([0.5, 0.12, 0.12])
    kept = without_axial_blur(shaft, light_of(image, spacing), spacing)
    assert kept.sum() > 0.95 * shaft.sum()


def test_a_single_slice_is_left_alone(shaft):
    flat = shaft[15:16]
    image = np.where(flat, 200, 10).astype(np.uint8)
    with_image, without = (trace_dendrites(flat, SPACING, intensity=i) for i in (image, None))
    assert [d.path_length_um for d in with_image] == [d.path_length_um for d in without]
    assert without_axial_blur(flat, image.astype(float), np.array(SPACING)) is flat


@pytest.mark.parametrize("between", ["as bright", "dark"])
def test_a_fold_is_pulled_straight_only_within_one_body(between):
    voxels = np.full((30, 20, 150), 10.0, np.float32)
    if between == "dark":
        voxels[8:10, :, :62] = voxels[11:13, :, 46:] = 1.0
    graph = SkeletonGraph()
    there, back = np.arange(0.0, 8.0, 0.2), np.arange(8.0, 5.0, -0.2)
    parts = [(7.0, there), (10.0, back), (13.0, np.arange(5.0, 16.0, 0.2))]
    points = np.concatenate([np.stack([np.full_like(x, z), np.full_like(x, 1.2), x], 1) for z, x in parts])
    ends = graph.add_node(points[0]), graph.add_node(points[-1])
    key = graph.add_edge(*ends, points)
    pull_straight(graph, Light(voxels, np.array([1.0, 0.12, 0.12])))
    after = graph.edges[key].length
    straight = float(np.linalg.norm(points[-1] - points[0]))
    # corners are rounded either way; where it is dark between, the way there, back and there again stays
    assert (after < 1.2 * straight) if between == "as bright" else (after > straight + 5)
