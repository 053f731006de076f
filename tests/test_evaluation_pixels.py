"""Pixel, region and panoptic scores against closed forms and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from skimage.metrics import adapted_rand_error, variation_of_information

from spinecore.evaluation.pixels import (
    fill_borders,
    label_cells,
    mean_panoptic_quality,
    membrane_scores,
    panoptic_quality,
    pixel_precision_recall,
    pixel_scores,
    region_scores,
    thin_borders,
)

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
    with pytest.raises(ValueError, match="only background"):
        region_scores(np.zeros((2, 2), int), np.ones((2, 2), int))


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


def test_two_regions_merged_in_closed_form():
    truth, merged = np.array([[1, 1, 2, 2]]), np.array([[5, 5, 5, 5]])
    scores = region_scores(truth, merged)
    # 2 of the 6 pairs are together in both, all 6 in the prediction: 4 disagree.
    assert scores.rand_error == pytest.approx(4 / 6)
    assert scores.rand_split == 1 and scores.rand_merge == pytest.approx(8 / 16)
    assert scores.v_rand == pytest.approx(2 / 3) and scores.adapted_rand_error == pytest.approx(1 / 3)
    assert scores.information_split == 0 and scores.information_merge == pytest.approx(1)
    assert scores.variation_of_information == pytest.approx(1)


@QUICK
@given(labels, labels)
def test_region_scores_agree_with_scikit_image(truth, predicted):
    scores = region_scores(truth + 1, predicted + 1)
    split, merge = variation_of_information(truth + 1, predicted + 1)
    # Which of the two is the split is settled by the closed form above; scikit-image names them differently.
    assert sorted((scores.information_split, scores.information_merge)) == pytest.approx(
        sorted((split, merge)), abs=1e-9
    )
    # Its adapted Rand error leaves out pairs of a pixel with itself, ours keeps them: equal for repeated pixels.
    many = 60
    error, precision, recall = adapted_rand_error(
        np.repeat(truth + 1, many, 0), np.repeat(predicted + 1, many, 0), ignore_labels=()
    )
    assert scores.adapted_rand_error == pytest.approx(error, abs=0.02)
    pair = sorted((scores.rand_merge, scores.rand_split))
    assert pair == pytest.approx(sorted((precision, recall)), abs=0.02)


@QUICK
@given(labels)
def test_equal_partitions_are_perfect_whatever_their_numbers(truth):
    renumbered = np.array([9, 4, 1, 7, 2])[truth]
    scores = region_scores(truth, renumbered, ignore_background=False)
    assert scores.rand_error == 0 and scores.v_rand == 1
    assert scores.variation_of_information == pytest.approx(0, abs=1e-12)


def cells(width: int, gap: bool = False) -> np.ndarray:
    """Two cells side by side, with a membrane `width` px wide; `gap` opens a hole in it."""
    interior = np.ones((20, 30), np.uint8)
    interior[:, 15 - width // 2 : 15 - width // 2 + width] = 0
    if gap:
        interior[9:11] = 1
    return interior


def test_membrane_score_ignores_thickness_but_not_a_merger():
    assert membrane_scores(cells(1), cells(5)).v_rand == pytest.approx(1, abs=0.1)
    thick = membrane_scores(cells(5), cells(5))
    assert thick.v_rand == 1 and thick.variation_of_information == pytest.approx(0, abs=1e-12)
    merged = membrane_scores(cells(3), cells(3, gap=True))
    assert merged.rand_split == 1 and merged.rand_merge < 0.6
    assert merged.v_rand == pytest.approx(2 / 3, abs=0.03)


def test_thinned_borders_are_one_pixel_wide_and_keep_all_cells():
    thinned = thin_borders(label_cells(cells(7)))
    assert (thinned == 0).sum(axis=1).tolist() == [1] * 20
    assert set(np.unique(thinned)) == {0, 1, 2}
    assert (fill_borders(label_cells(cells(7))) != 0).all()
    assert not fill_borders(np.zeros((3, 3), int)).any()
    with pytest.raises(ValueError, match="section by section"):
        label_cells(np.ones((2, 3, 3)))


def test_panoptic_quality_in_closed_form():
    truth, predicted = np.zeros((10, 10), int), np.zeros((10, 10), int)
    truth[:4, :4], truth[6:, 6:] = 1, 2
    predicted[:4, :3], predicted[:2, 6:] = 1, 2
    quality = panoptic_quality(truth, predicted)
    assert quality.segmentation_quality == pytest.approx(0.75)
    assert quality.recognition_quality == pytest.approx(0.5)
    assert quality.pq == pytest.approx(0.75 / (1 + 0.5 + 0.5)) == pytest.approx(0.75 * 0.5)
    # Exactly half an overlap is no match: above 0.5 a match is unique.
    predicted[:] = 0
    predicted[:4, :2] = 1
    assert panoptic_quality(truth, predicted).counts.n_matched == 0
    both = {
        "spine": quality,
        "dendrite": panoptic_quality((truth > 0).astype(int), (truth > 0).astype(int)),
        "absent": panoptic_quality(truth * 0, truth * 0),
    }
    assert mean_panoptic_quality(both) == pytest.approx((0.375 + 1) / 2)
    assert (quality + quality).pq == pytest.approx(quality.pq)


def test_pixel_curve_in_closed_form():
    truth, probability = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    curve = pixel_precision_recall(truth, probability)
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7, 0.1]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3, 1 / 2])
    assert curve.recall == pytest.approx([0.5, 0.5, 1, 1])
    assert curve.average_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert curve.best == (0.7, pytest.approx(0.8))
    with pytest.raises(ValueError, match="missing values"):
        pixel_precision_recall(truth, np.array([0.9, np.nan, 0, 0]))


@QUICK
@given(arrays(bool, 40), arrays(float, 40, elements=st.floats(0, 1)))
def test_pixel_curve_agrees_with_masks(truth, probability):
    curve = pixel_precision_recall(truth, probability, levels=5)
    for threshold, precision, recall in zip(curve.thresholds, curve.precision, curve.recall, strict=True):
        scores = pixel_scores(truth, probability >= threshold)
        assert precision == pytest.approx(scores.precision) and recall == pytest.approx(
            scores.recall, nan_ok=True
        )
