"""Consensus of annotators, bootstrap intervals and precision-recall curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import BOX_COLUMNS, Annotations, empty_objects, objects_of_boxes
from spinecore.evaluation.bootstrap import bootstrap_interval, bootstrap_values
from spinecore.evaluation.consensus import find_consensus, place_model, votes_needed
from spinecore.evaluation.curves import Scored, precision_recall_curve
from spinecore.evaluation.edges import centre_edges
from spinecore.evaluation.matching import Counts

QUICK = settings(max_examples=15, deadline=None, derandomize=True)


def marks(name: str, points, stack: str = "") -> Annotations:
    """Annotations with centres (x, y) in um at z 0."""
    points = np.asarray(points, float).reshape(-1, 2)
    objects = empty_objects(len(points)).assign(stack=stack, x_um=points[:, 0], y_um=points[:, 1], z_um=0.0)
    return Annotations(name, "test", objects, stack_names=(stack,))


def five() -> list[Annotations]:
    """Spine at x 0 marked by five, at 10 by three, at 20 by one; the marks scatter a little."""
    spots = {0: range(5), 10: range(3), 20: [4]}
    return [
        marks(f"annotator {who}", [[x + 0.05 * who, 0] for x, whom in spots.items() if who in whom])
        for who in range(5)
    ]


def test_minimal_majority_and_maximal_truth():
    found = find_consensus(five())
    assert sorted(found.groups["votes"]) == [1, 3, 5]
    assert [len(found.truth(kind).objects) for kind in ("minimal", "majority", "maximal")] == [3, 2, 1]
    assert found.truth("maximal").objects["x_um"].tolist() == pytest.approx([0.1])
    with pytest.raises(ValueError, match="kind must be"):
        votes_needed("most", 5)


def test_model_is_placed_in_the_spread():
    found = find_consensus(five())
    placed = place_model(found, marks("model", [[0, 0], [10, 0], [30, 0]]))["majority"]
    assert placed.annotators["annotator 0"].f1 == 1
    assert placed.annotators["annotator 3"].f1 == pytest.approx(2 / 3)
    assert placed.annotators["annotator 4"].f1 == pytest.approx(0.5)
    assert placed.spread == (pytest.approx(0.5), 1)
    assert placed.model.f1 == pytest.approx(0.8) and placed.rank == 4
    assert "inside the spread" in placed.verdict
    best = place_model(found, marks("model", []))["majority"]
    assert "below the spread" in best.verdict
    assert "no model score" in place_model(found)["minimal"].verdict


def test_no_annotator_votes_twice():
    # Two marks of one person lie within the tolerance of the other's single mark.
    found = find_consensus([marks("a", [[0, 0], [0.6, 0]]), marks("b", [[0.4, 0]]), marks("c", [[0.5, 0]])])
    assert sorted(found.groups["votes"]) == [1, 3]
    assert found.groups.loc[found.groups["votes"] == 3, "x_um"].tolist() == pytest.approx([0.5])


def test_names_of_single_stacks_may_differ():
    found = find_consensus([marks("a", [[0, 0]], "left"), marks("b", [[0, 0]], "right")])
    assert found.groups["votes"].tolist() == [2]
    assert place_model(found, marks("m", [[0, 0]], "third"))["maximal"].model.f1 == 1


def boxed(name: str, rows) -> Annotations:
    """Annotations with boxes per slice from (stack, id, slice, left)."""
    table = pd.DataFrame(
        [(s, i, z, left, 0.0, left + 10, 10.0, np.nan) for s, i, z, left in rows], columns=list(BOX_COLUMNS)
    )
    return Annotations(name, "test", objects_of_boxes(table), boxes=table)


def test_plane_boxes_are_joined_slice_by_slice():
    a = boxed("a", [("s", 0, 1, 0.0), ("s", 0, 2, 0.0), ("t", 1, 1, 0.0)])
    b = boxed("b", [("s", 0, 1, 1.0), ("s", 5, 4, 0.0), ("t", 1, 1, 1.0)])
    found = find_consensus([a, b], "box2d")
    assert found.by_slice and sorted(found.groups["votes"]) == [1, 1, 2, 2]
    placed = place_model(found, a)["maximal"]
    assert placed.model.f1 == pytest.approx(2 * 2 / (2 + 3)) and placed.annotators["b"].n_predicted == 3
    with pytest.raises(SpinecoreError, match="no boxes per slice"):
        place_model(found, marks("m", [[0, 0]]))


def test_what_a_consensus_cannot_be_made_of():
    with pytest.raises(SpinecoreError, match="at least two"):
        find_consensus([marks("a", [[0, 0]])])
    with pytest.raises(SpinecoreError, match="centres or boxes"):
        find_consensus([marks("a", []), marks("b", [])], "mask")


points = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=6, unique=True)


@QUICK
@given(st.lists(points, min_size=2, max_size=4))
def test_truths_are_nested_and_votes_are_honest(sets):
    people = [marks(str(who), np.array(own, float).reshape(-1, 2)) for who, own in enumerate(sets)]
    found = find_consensus(people, threshold=0.5)
    sizes = [len(found.truth(kind).objects) for kind in ("minimal", "majority", "maximal")]
    assert sizes[0] >= sizes[1] >= sizes[2]
    assert found.groups["votes"].sum() == sum(map(len, sets))
    assert sizes[0] == len(set().union(*map(set, sets)))
    assert sizes[2] == len(set.intersection(*map(set, sets)))
    placed = place_model(found, people[0])
    assert placed["minimal"].model == placed["minimal"].annotators["0"]


def test_bootstrap_over_stacks():
    same = bootstrap_interval([Counts(10, 10, 8)] * 6)
    assert same.low == same.high == pytest.approx(0.8) and same.unit == "stack"
    spread = bootstrap_interval([Counts(10, 10, n) for n in (2, 5, 8, 9, 10)])
    assert spread.low < 0.68 < spread.high
    assert spread == bootstrap_interval([Counts(10, 10, n) for n in (2, 5, 8, 9, 10)])
    wide = bootstrap_interval([Counts(10, 10, n) for n in (2, 5, 8, 9, 10)], level=0.99)
    assert wide.low <= spread.low and wide.high >= spread.high
    assert "over 5 stacks" in str(spread)


def test_bootstrap_values_have_the_frequencies_of_drawing_two_stacks():
    """Both good 1/4, one of each 1/2, both bad 1/4: in closed form."""
    units = np.array([1.0, 0.0])
    values = bootstrap_values([units], lambda found, axis=-1: found.mean(axis), 4000, seed=1)
    share = [np.mean(values == value) for value in (0.0, 0.5, 1.0)]
    assert share == pytest.approx([0.25, 0.5, 0.25], abs=4 * np.sqrt(0.25 / 4000))


def test_bootstrap_values_leave_out_draws_without_a_score():
    def ratio(above, below, axis=-1):
        total = below.sum(axis)
        return np.divide(above.sum(axis), total, out=np.full(np.shape(total), np.nan), where=total > 0)

    samples = [np.array([1.0, 0.0, 0.0]), np.array([1.0, 0.0, 0.0])]
    values = bootstrap_values(samples, ratio, 3000, seed=2, paired=True)
    assert (values == 1).all()
    assert len(values) / 3000 == pytest.approx(1 - (2 / 3) ** 3, abs=0.04)


def test_bootstrap_with_one_stack_draws_spines_and_says_so():
    one = bootstrap_interval([Counts(100, 100, 80)], "recall")
    # A binomial share of 100 spines: 0.8 +- 1.96 * 0.04.
    assert one.low == pytest.approx(0.72, abs=0.02) and one.high == pytest.approx(0.88, abs=0.02)
    assert "says nothing of other stacks" in str(one)
    none = bootstrap_interval([])
    assert np.isnan(none.low) and "no interval" in str(none)
    assert np.isnan(bootstrap_interval([Counts(5, 0, 0)], "precision").low)
    with pytest.raises(ValueError, match="statistic"):
        bootstrap_interval([], "accuracy")
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval([], level=1.0)


def scored(truth, predicted, scores) -> Scored:
    """Points on a line in um, tolerance 1 um."""
    edges = centre_edges(*(np.c_[np.asarray(x, float), np.zeros(len(x))] for x in (truth, predicted)), 1.0)
    return Scored(edges, np.asarray(scores, float))


def test_curve_and_average_precision_in_closed_form():
    stacks = [scored([0, 10], [0.1, 50], [0.9, 0.8]), scored([0], [0.1], [0.7])]
    curve = precision_recall_curve(stacks)
    assert curve.thresholds.tolist() == [0.9, 0.8, 0.7]
    assert curve.precision == pytest.approx([1, 1 / 2, 2 / 3]) and curve.recall == pytest.approx(
        [1 / 3, 1 / 3, 2 / 3]
    )
    assert curve.average_precision == pytest.approx(1 / 3 + 1 / 3 * 2 / 3)
    assert curve.best == (0.7, pytest.approx(4 / 6))
    short = precision_recall_curve(stacks, max_points=2)
    assert short.thresholds.tolist() == [0.9, 0.7]
    with pytest.raises(ValueError, match="score for every prediction"):
        precision_recall_curve([scored([0], [0], [np.nan])])


@QUICK
@given(
    st.lists(st.integers(0, 30), max_size=8),
    st.lists(st.tuples(st.integers(0, 30), st.floats(0, 1)), max_size=8),
)
def test_recall_never_falls_along_the_curve(truth, predicted):
    curve = precision_recall_curve([scored(truth, [p for p, _ in predicted], [s for _, s in predicted])])
    if truth:
        assert (np.diff(curve.recall) >= 0).all()
        assert 0 <= curve.average_precision <= 1
