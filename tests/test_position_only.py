"""What is not seen is not measured: heads without an outline, and lengths where the shaft at the base is not traced."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import drawn_analysis
from phantoms import grid, tube

from spinecore.analysis.cutter import Cutter
from spinecore.detection.candidates import find_candidates
from spinecore.methods.prediction import Heads, Prediction
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.measurer import POSITION_ONLY, Measurer, position_only
from spinecore.stack import Spacing
from spinecore.tracing.trace import Dendrite
from spinecore.ui.colours import POSITION_ONLY_COLOUR, colour_spines
from spinecore.ui.editor.scenedata import scene_of
from spinecore.ui.planes import cross_of
from spinecore.ui.results import summarise

SPACING = (0.3, 0.1, 0.1)
SHAPE = (14, 60, 120)


def lines(*points):
    return np.array(points, float)


@pytest.fixture(scope="module")
def found():
    """Candidates of a shaft along x with a spine that the mask covers and a head that it does not."""
    where = grid(SHAPE, SPACING)
    shaft = tube(where, lines([2, 2, -1], [2, 2, 13]), 0.4)
    spine = tube(where, lines([2, 2, 4], [2, 3.4, 4]), 0.2) & ~shaft
    bright = shaft * 150.0 + spine * 120.0 + 10
    heads = Heads(np.array([[2 / 0.3, 34, 40], [2 / 0.3, 34, 80]]), np.array([0.9, 0.8]))
    maps = [np.where(part, 255, 0).astype(np.uint8) for part in (shaft, spine, np.zeros(SHAPE, bool))]
    prediction = Prediction(*maps, bright.astype(np.uint16), SPACING, (1.0, 1.0), "drawn", heads=heads)
    return find_candidates(prediction)[0]


def test_a_head_without_an_outline_is_counted_and_not_measured(found):
    assert [region.outlined for region in found.regions] == [True, False]
    cutter = Cutter(found, SHAPE, Spacing(*SPACING, source="user"))
    table = cutter.table(0.5)
    seen, bare = (table.iloc[k] for k in (0, 1))
    assert seen["length_um"] > 0.8 and seen["missing_reason"] == ""
    assert bare["missing_reason"] == POSITION_ONLY and bare["length_um_flag"] == "position only"
    sizes = [
        "length_um",
        "head_width_um",
        "neck_width_um",
        "area_um2",
        "volume_um3",
        "surface_um2",
        "intensity_mean",
    ]
    assert bare[sizes].isna().all() and seen[["length_um", "head_width_um", "volume_um3"]].notna().all()
    assert bare["dendrite_id"] == seen["dendrite_id"] and bare["position_along_dendrite_um"] > 0
    assert (bare["x_px"], bare["x_min_px"], bare["x_max_px"]) == (80.0, 80, 80)
    assert pd.isna(bare["class"]) and pd.isna(bare["p_mushroom"]) and seen["class"] is not None
    assert cutter.measurer.path_px(*cutter.crop_of(2, 0.5)[:2]) is None
    assert summarise(table, pd.DataFrame({"dendrite_id": [1], "path_length_um": [12.0]})).n_position_only == 1


def test_an_outline_of_a_few_voxels_has_no_shape_and_no_class(found):
    """On real images such spines were called thin with a probability of .95."""
    region = found.regions[0]

    def table(count):
        few = np.zeros_like(region.mask)
        few[tuple(np.argwhere(region.mask)[:count].T)] = True
        changed = replace(found, regions=(replace(region, mask=few), *found.regions[1:]))
        return Cutter(changed, SHAPE, Spacing(*SPACING, source="user")).table(0.5).iloc[0]

    assert "fewer than 4 voxels" in table(3)["missing_reason"] and np.isnan(table(3)["length_um"])
    assert pd.isna(table(3)["class"]) and pd.isna(table(3)["class_probability"])
    assert isinstance(table(4)["class"], str)


def test_it_is_drawn_as_a_cross_of_its_own_colour_that_the_key_explains(found):
    table = Cutter(found, SHAPE, Spacing(*SPACING, source="user")).table(0.5)
    assert position_only(table).tolist() == [False, True]
    for by in ("plain", "class", "length_um"):
        colouring = colour_spines(table, by)
        assert colouring.colours[2] == POSITION_ONLY_COLOUR != colouring.colours[1]
        assert colouring.entries[-1] == ("position only", POSITION_ONLY_COLOUR)
        assert "missing" not in [text for text, _ in colouring.entries]
    one, other = cross_of([np.array([[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]])])
    np.testing.assert_allclose([one.mean(0), other.mean(0)], [[1.5, 1.5]] * 2)
    assert len(one) == len(other) == 2


def test_the_canvas_of_corrections_draws_it_as_a_cross_too(found):
    """It had drawn the few voxels that stand for it as an outline, which no file holds."""
    drawn, _ = drawn_analysis()
    analysis = replace(drawn, detected=found, shape=SHAPE).at_threshold(0.5)
    assert [s["bare"] for s in scene_of(analysis)["spines"]] == [False, True]


def test_where_the_shaft_is_not_traced_at_the_base_there_is_no_length(found):
    whole = found.dendrites[0]
    branch = whole.branches[0]

    def row(keep_um):
        kept = branch.points_um[:, 2] > keep_um
        cut = replace(branch, points_um=branch.points_um[kept], radii_um=branch.radii_um[kept])
        region = found.regions[0]
        nothing = np.zeros_like(region.mask)
        crop = SpineCrop(region.origin, region.mask, nothing, region.dendrite, region.intensity)
        measurer = Measurer([Dendrite(1, (cut,), SPACING)], SPACING, SHAPE)
        return measurer.measure_one(1, crop, found.centres_px[0], 0.9)

    traced, near, far = row(-1), row(5.0), row(7.0)  # the base is at x = 4 um, the radius 0.4 um
    assert traced["length_um"] == pytest.approx(near["length_um"]) and traced["length_um"] > 0.8
    assert np.isnan(far["length_um"]) and np.isnan(far["neck_length_um"]) and np.isnan(far["dendrite_id"])
    assert "the shaft is not traced at its base" in far["missing_reason"]
    assert far["volume_um3"] == pytest.approx(traced["volume_um3"])  # sizes of the spine itself stay
