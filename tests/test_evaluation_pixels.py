"""Pixel scores against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinecore.evaluation.pixels import pixel_scores

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
labels = arrays(np.int32, (6, 7), elements=st.integers(0, 4))


def test_pixel_scores_in_closed_form():
    scores = pixel_scores(np.array([1, 1, 1, 0, 0, 0, 0, 0]), np.array([1, 1, 0, 1, 1, 0, 0, 0]))
    assert (scores.n_both, scores.n_truth_only, scores.n_predicted_only, scores.n_neither) == (2, 1, 2, 3)
    assert scores.iou == pytest.approx(2 / 5)
    assert scores.dice == pytest.approx(4 / 7)
    assert scores.precision == 0.5 and scores.recall == pytest.approx(2 / 3)
    assert scores.pixel_error == pytest.approx(3 / 8)


def test_empty_masks_are_undefined_not_zero():
    nothing = pixel_scores(np.zeros((2, 2)), np.zeros((2, 2)))
    assert np.isnan([nothing.iou, nothing.dice, nothing.precision, nothing.recall]).all()
    assert nothing.pixel_error == 0


def test_unequal_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        pixel_scores(np.zeros((2, 2)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="no pixels"):
        pixel_scores(np.zeros((0, 2)), np.zeros((0, 2)))


@QUICK
@given(labels, labels)
def test_pixel_scores_are_symmetric_and_pool(truth, predicted):
    one, other = pixel_scores(truth, predicted), pixel_scores(predicted, truth)
    assert one.iou == pytest.approx(other.iou, nan_ok=True) and one.dice == pytest.approx(
        other.dice, nan_ok=True
    )
    assert one.precision == pytest.approx(other.recall, nan_ok=True)
    halves = pixel_scores(truth[:3], predicted[:3]) + pixel_scores(truth[3:], predicted[3:])
    assert halves == one
    if not np.isnan(one.iou):
        assert one.dice == pytest.approx(2 * one.iou / (1 + one.iou))
