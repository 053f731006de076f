"""The detector methods end to end, with the shipped weights, on a small simulated stack."""

from __future__ import annotations

import numpy as np
import pytest

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.methods import METHODS, get_method
from spinecore.methods.grid import AnalysisGrid
from spinecore.networks.zoo import list_cards
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack

OWN = ("faster-rcnn", "faster-rcnn-fast", "panoptic")
SHIPPED = {c.name for c in list_cards()}
pytestmark = pytest.mark.skipif(
    not {"faster-rcnn", "panoptic", "centre-unet-3d"} <= SHIPPED,
    reason="weights of the detectors are not here",
)


@pytest.fixture(scope="module")
def made():
    return simulate(97, "confocal", (8, 170, 170), (0.4, 0.1, 0.1))


@pytest.mark.parametrize("name", OWN)
def test_maps_lie_on_the_analysis_grid_and_progress_rises(made, name):
    ticks: list[float] = []
    method = get_method(name)
    prediction = method.predict(made.stack, method.load(is_2d=False), ticks.append)
    shape = (8, *AnalysisGrid(made.stack).shape_yx)
    for values in (prediction.dendrite, prediction.spine, prediction.centre):
        assert values.shape == shape and values.dtype == np.uint8
    assert prediction.intensity.shape == shape and prediction.centre.max() > 127
    assert ticks == sorted(ticks) and ticks[-1] == pytest.approx(1.0)
    assert not (prediction.spine[prediction.dendrite >= 128] > 0).any()


@pytest.mark.parametrize("name", OWN)
def test_most_of_what_is_found_is_a_spine(made, name):
    """Most reported heads lie on or within 1 um of a true one, and at least a third of the visible are found."""
    found = analyse(made.stack, Settings(method=name)).spines
    truth = made.spines
    columns = ["z_um", "y_um", "x_um"]
    gap = np.linalg.norm(found[columns].to_numpy()[:, None] - truth[columns].to_numpy()[None], axis=-1)
    assert (gap.min(1) <= 1.0).mean() > 0.5
    visible = truth["visible"].to_numpy(bool)
    assert (gap.min(0)[visible] <= 1.0).mean() > 1 / 3


@pytest.mark.parametrize("name", ("faster-rcnn", "panoptic"))
def test_a_single_image_of_coarse_pixels_is_analysed(made, name):
    voxels = made.stack.voxels.max(0)[None, ::2, ::2]
    stack = Stack(voxels, Spacing(None, 0.2, 0.2, source="user"), "projection")
    prediction = get_method(name).predict(stack, get_method(name).load(is_2d=True))
    assert prediction.centre.shape == (1, 85, 85) and prediction.scale_yx == (1.0, 1.0)
    assert prediction.centre.max() > 76


@pytest.mark.parametrize("name", OWN)
def test_an_empty_field_has_no_spines(name):
    rng = np.random.default_rng(0)
    stack = Stack(
        rng.poisson(5, (4, 96, 96)).astype(np.uint16), Spacing(0.5, 0.1, 0.1, source="user"), "noise"
    )
    assert len(analyse(stack, Settings(method=name)).spines) == 0


def test_unknown_mode_is_named(made):
    method = get_method("faster-rcnn")
    with pytest.raises(ValueError, match="fast projection"):
        method.predict(made.stack, method.load(is_2d=False), mode="turbo")


def test_cards_say_where_dendrites_come_from_and_what_was_trained_on():
    for name in OWN:
        method = METHODS[name]
        assert method.good_at and method.model_2d == method.model_3d
    cards = {c.name: c.data for c in list_cards()}
    assert "default" in cards["faster-rcnn"]["dendrites"] and "default" in METHODS["faster-rcnn"].good_at
    for name in ("faster-rcnn", "panoptic"):
        assert {"trained_on", "recipe", "started_from", "chosen_by", "history", "sha256"} <= set(cards[name])
