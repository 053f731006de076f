"""One-to-one matching: closed forms, brute force, and properties that must hold for any input."""

from __future__ import annotations

import doctest
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spinecore.evaluation import annotations, consensus, curves, matching, pixels
from spinecore.evaluation.edges import (
    CRITERIA,
    box3d_overlap,
    box_overlap,
    centre_edges,
    combine_overlaps,
    criterion_named,
    slice_overlap,
)
from spinecore.evaluation.matching import Counts, match, match_edges

QUICK = settings(max_examples=60, deadline=None, derandomize=True)
centres = st.integers(0, 9).flatmap(
    lambda n: arrays(float, (n, 3), elements=st.integers(0, 6).map(lambda v: v / 2))
)


@st.composite
def boxes(draw):
    """Small 3-D boxes: left, top, right, bottom, first and last slice."""
    low = draw(st.integers(0, 6).flatmap(lambda n: arrays(float, (n, 3), elements=st.integers(0, 6))))
    size = draw(arrays(float, low.shape, elements=st.integers(1, 4)))
    right, bottom, last = low[:, 0] + size[:, 0], low[:, 1] + size[:, 1], low[:, 2] + size[:, 2] - 1
    return np.stack([low[:, 0], low[:, 1], right, bottom, low[:, 2], last], axis=1)


@pytest.mark.parametrize("module", [matching, pixels, curves, consensus, annotations])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


def test_box_overlaps_in_closed_form():
    a, b = np.array([[0.0, 0, 10, 10]]), np.array([[5.0, 0, 15, 10]])
    assert box_overlap(a, b, "iou")[0, 0] == pytest.approx(50 / 150)
    assert box_overlap(a, b, "iom")[0, 0] == pytest.approx(0.5)
    inside = np.array([[2.0, 2, 4, 4]])
    assert box_overlap(a, inside, "iom")[0, 0] == 1
    assert box_overlap(a, inside, "iou")[0, 0] == pytest.approx(0.04)
    assert box_overlap(a, np.array([[10.0, 0, 12, 10]]), "iom")[0, 0] == 0
    with pytest.raises(ValueError, match="kind must be"):
        box_overlap(a, b, "dice")


def test_sharing_one_slice_counts_as_one_slice():
    assert slice_overlap(np.array([[2, 5]]), np.array([[5, 9]]))[0, 0] == pytest.approx(1 / 4)
    assert slice_overlap(np.array([[5, 5]]), np.array([[5, 5]]))[0, 0] == 1
    assert slice_overlap(np.array([[2, 4]]), np.array([[5, 9]]))[0, 0] == 0


def test_f_half_is_equation_4():
    xy, z = 0.8, 0.3
    assert combine_overlaps(np.array(xy), np.array(z)) == pytest.approx(5 * xy * z / (xy + 4 * z))
    assert combine_overlaps(np.array(0.0), np.array(0.0)) == 0
    one = np.array([[0, 0, 10, 10, 0, 3]], float)
    other = np.array([[4, 0, 14, 10, 3, 6]], float)
    assert box3d_overlap(one, other)[0, 0] == pytest.approx(5 * 0.6 * 0.25 / (0.6 + 1.0))


def test_number_of_matches_comes_before_distance():
    # Greedy nearest-first would take the pair at distance 0.1 and leave the rest unmatched.
    found = match([[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.9], [0.0, 1.9]], threshold=1.0)
    assert found.n_matched == 2 and found.pairs.tolist() == [[0, 0], [1, 1]]


def test_distance_decides_among_equal_numbers_of_matches():
    found = match([[0.0, 0.0], [0.0, 1.0]], [[0.0, 0.1], [0.0, 1.1]], threshold=5.0)
    assert found.pairs.tolist() == [[0, 0], [1, 1]]
    assert found.values == pytest.approx([0.1, 0.1])


def test_tolerance_is_inclusive_and_in_3d():
    assert match([[0.0, 0, 0]], [[0.6, 0, 0.8]], threshold=1.0).n_matched == 1
    assert match([[0.0, 0, 0]], [[0.6, 0, 0.81]], threshold=1.0).n_matched == 0


def test_invisible_truth_is_neither_miss_nor_false_alarm():
    truth, visible = [[0.0, 0], [0, 5], [0, 9]], [True, False, False]
    found = match(truth, [[0.0, 5.2], [3.0, 3.0]], visible=visible)
    assert (found.n_truth, found.n_predicted, found.n_matched) == (1, 1, 0)
    assert found.ignored_predicted.tolist() == [0]
    assert found.false_alarms.tolist() == [1] and found.misses.tolist() == [0]


def test_a_visible_spine_is_served_before_an_invisible_one():
    found = match([[0.0, 0], [0, 1]], [[0.0, 0.9]], visible=[True, False])
    assert found.n_matched == 1 and found.precision == found.recall == 1


def test_one_prediction_excuses_only_one_invisible_spine():
    found = match([[0.0, 0]], [[0.0, 0.1], [0, 0.2]], visible=[False])
    assert found.n_predicted == 1 and len(found.ignored_predicted) == 1


def test_empty_sets():
    nothing = np.zeros((0, 3))
    both = match(nothing, nothing)
    assert both.counts == Counts(0, 0, 0)
    assert np.isnan([both.precision, both.recall, both.f1]).all()
    missed = match([[0.0, 0, 0]], nothing)
    assert missed.f1 == 0 and missed.recall == 0 and np.isnan(missed.precision)
    false = match(nothing, [[0.0, 0, 0]])
    assert false.f1 == 0 and false.precision == 0 and np.isnan(false.recall)
    for name in ("box2d", "box2d-iom", "box3d"):
        assert match([], [], name).counts == Counts()


def test_masks_match_by_iou():
    truth = np.zeros((2, 8, 8), np.int32)
    truth[0, :4, :4], truth[1, 4:, 4:] = 7, 3
    predicted = np.zeros_like(truth)
    predicted[0, :4, :3], predicted[1, 4:, 7:] = 1, 2
    found = match(truth, predicted, "mask", 0.5)
    # Labels are numbered in rising order: 3 is the first truth, 7 the second.
    assert found.pairs.tolist() == [[1, 0]] and found.values == pytest.approx([0.75])
    assert match(truth, predicted, "mask", 0.25).n_matched == 2
    assert match(truth, truth, "mask", 1.0).f1 == 1


def test_wrong_input_is_one_clear_error():
    with pytest.raises(ValueError, match="choose one of centre"):
        criterion_named("iou3d")
    with pytest.raises(ValueError, match="shape"):
        match([[0.0, 0, 0, 0]], [[0.0, 0, 0, 0]])
    with pytest.raises(ValueError, match="both be 2-D or both be 3-D"):
        match([[0.0, 0]], [[0.0, 0, 0]])
    with pytest.raises(ValueError, match="missing"):
        match([[0.0, np.nan]], [[0.0, 0]])
    with pytest.raises(ValueError, match="integers"):
        match(np.zeros((2, 2)), np.zeros((2, 2), int), "mask")
    with pytest.raises(ValueError, match="one entry"):
        match([[0.0, 0]], [[0.0, 0]], visible=[True, False])


def brute_force(distance: np.ndarray, limit: float) -> tuple[int, float]:
    """Best (number of pairs, minus total distance) over all assignments of a small matrix."""
    if distance.shape[0] > distance.shape[1]:
        distance = distance.T
    best = (0, 0.0)
    for columns in permutations(range(distance.shape[1]), distance.shape[0]):
        values = distance[np.arange(len(columns)), list(columns)]
        good = values[values <= limit]
        best = max(best, (len(good), -float(good.sum())))
    return best


@QUICK
@given(centres.filter(lambda a: len(a) <= 5), centres.filter(lambda a: len(a) <= 5))
def test_assignment_equals_brute_force(truth, predicted):
    found = match(truth, predicted, threshold=1.0)
    distance = np.linalg.norm(truth[:, None] - predicted[None], axis=2)
    number, total = brute_force(distance, 1.0 + 1e-9) if min(distance.shape) else (0, 0.0)
    assert found.n_matched == number
    assert found.values.sum() == pytest.approx(-total)


@QUICK
@given(centres, centres, st.floats(0.1, 3))
def test_matching_is_one_to_one_and_symmetric(truth, predicted, tolerance):
    found, mirrored = (
        match(truth, predicted, threshold=tolerance),
        match(predicted, truth, threshold=tolerance),
    )
    assert len(set(found.pairs[:, 0])) == len(set(found.pairs[:, 1])) == found.n_matched
    assert (found.values <= tolerance + 1e-8).all()
    assert mirrored.n_matched == found.n_matched
    assert (found.precision, found.recall) == pytest.approx(
        (mirrored.recall, mirrored.precision), nan_ok=True
    )
    assert found.n_matched + len(found.misses) == len(truth)
    assert found.n_matched + len(found.false_alarms) == len(predicted)


@QUICK
@given(centres, centres, st.randoms(use_true_random=False))
def test_order_of_rows_does_not_matter(truth, predicted, random):
    order = list(range(len(truth))), list(range(len(predicted)))
    for part in order:
        random.shuffle(part)
    found, shuffled = match(truth, predicted), match(truth[order[0]], predicted[order[1]])
    assert found.counts == shuffled.counts
    assert found.values.sum() == pytest.approx(shuffled.values.sum())


@QUICK
@given(boxes(), boxes())
def test_3d_boxes_are_symmetric_and_perfect_with_themselves(truth, predicted):
    found = match(truth, predicted, "box3d")
    assert found.n_matched == match(predicted, truth, "box3d").n_matched
    overlap = box3d_overlap(truth, predicted)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-12)).all()
    if len(truth):
        for name, width in (("box2d", 4), ("box2d-iom", 4), ("box3d", 6)):
            same = match(truth[:, :width], truth[:, :width], name)
            assert same.precision == same.recall == same.f1 == 1


@QUICK
@given(
    arrays(np.int32, (3, 5, 5), elements=st.integers(0, 4)),
    arrays(np.int32, (3, 5, 5), elements=st.integers(0, 4)),
)
def test_masks_are_symmetric_and_indifferent_to_renumbering(truth, predicted):
    found = match(truth, predicted, "mask", 0.2)
    assert match(predicted, truth, "mask", 0.2).n_matched == found.n_matched
    renumbered = np.array([0, 40, 7, 900, 3])[truth]
    assert match(renumbered, predicted, "mask", 0.2).counts == found.counts


@QUICK
@given(centres, centres, st.data())
def test_ignoring_truth_never_adds_misses_or_false_alarms(truth, predicted, data):
    visible = data.draw(arrays(bool, len(truth)))
    edges = centre_edges(truth, predicted, 1.0)
    found, strict = match_edges(edges, visible), match_edges(edges.keep(visible))
    assert found.n_truth == visible.sum()
    assert found.n_matched == strict.n_matched
    assert len(found.false_alarms) <= len(strict.false_alarms)
    parts = [found.pairs[:, 1], found.false_alarms, found.ignored_predicted]
    assert sorted(np.concatenate(parts)) == list(range(len(predicted)))


def test_boxes_beyond_one_chunk_are_matched_as_well():
    left = np.arange(1300) * 4.0
    many = np.stack([left, left, left + 3, left + 3, left * 0, left * 0 + 2], axis=1)
    assert match(many, many[::-1], "box3d").f1 == 1
    assert CRITERIA["box3d"].describe(0.5).endswith("at least 0.5")


def test_a_preference_decides_between_predictions_and_costs_no_pair():
    truth = np.array([[0.0, 0.0], [0.0, 1.5]])
    predicted = np.array([[0.0, 0.1], [0.0, 0.8], [0.0, 0.9]])
    preference = np.array([0.0, 9.0, 0.0])
    assert match(truth, predicted, "centre").pairs.tolist() == [[0, 0], [1, 2]]
    assert match(truth, predicted, "centre", preference=preference).pairs.tolist() == [[0, 0], [1, 1]]
    chain = np.array([[0.0, 0.0], [0.0, 1.8]]), np.array([[0.0, 0.9], [0.0, -0.9]])
    # both could be the first truth; only the preferred one could be the second
    assert match(*chain, "centre", preference=np.array([9.0, 0.0])).pairs.tolist() == [[0, 1], [1, 0]]
