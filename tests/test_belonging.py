"""Which heads count: near a shaft, reached by their mask, supported by neighbours, looked at twice, traced by the user."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from spinecore.detection.belonging import (
    DetectionRules,
    decide_belonging,
    nearest_axis,
    supported_by_neighbours,
)
from spinecore.tracing.trace import Branch, Dendrite

SPACING = (0.3, 0.1, 0.1)
#: A straight shaft along x at y = 0 with a radius of 0.5 um.
LINE = np.stack([np.zeros(201), np.zeros(201), np.linspace(0, 20, 201)], 1)
SHAFT = Dendrite(1, (Branch(LINE, np.full(201, 0.5), 0, 1, 0.0, 1),), SPACING)
NO_MASK = np.zeros((0, 3), int)


def heads(*gaps_um: float, x_um: float = 10.0) -> np.ndarray:
    """Heads at distances from the shaft's surface, in grid voxels."""
    return np.array([[0.0, (0.5 + gap) / 0.1, x_um / 0.1] for gap in gaps_um])


def decide(centres: np.ndarray, score: float = 0.9, masks: dict[int, np.ndarray] | None = None, **options):
    scores = np.full(len(centres), score)
    return decide_belonging(
        centres, scores, [SHAFT], SPACING, lambda i: (masks or {}).get(i, NO_MASK), **options
    )


def test_a_head_belongs_to_a_shaft_up_to_the_limit():
    found = decide(heads(0.1, 3.1, 3.3))
    assert found.counts.tolist() == [True, True, False] and not found.untraced.any()
    np.testing.assert_allclose(found.anchors_px[0], [0, 0, 100], atol=1e-9)
    assert decide(heads(0.1, 3.1, 3.3), rules=DetectionRules(near_um=3.0)).counts.tolist() == [
        True,
        False,
        False,
    ]


def test_a_farther_head_needs_a_mask_that_comes_near():
    def mask(to_um: float, from_um: float) -> np.ndarray:
        y = np.arange((0.5 + to_um) / 0.1, (0.5 + from_um) / 0.1)
        return np.stack([np.zeros_like(y), y, np.full_like(y, 100)], 1).astype(int)

    centres = heads(6.0, 6.0, 12.0)
    masks = {0: mask(1.0, 6.0), 1: mask(2.0, 6.0), 2: mask(0.2, 12.0)}
    assert decide(centres, masks=masks).counts.tolist() == [True, False, False]
    looser = DetectionRules(attached_um=2.5, reach_um=13.0)
    assert decide(centres, masks=masks, rules=looser).counts.all()


@pytest.mark.parametrize(("n", "score", "counts"), [(5, 0.5, True), (4, 0.9, False), (5, 0.49, False)])
def test_five_strong_heads_together_count_without_a_shaft(n: int, score: float, counts: bool):
    centres = np.concatenate([heads(15.0, x_um=5 + 0.5 * k) for k in range(n)])
    found = decide(centres, score)
    assert found.counts.tolist() == found.untraced.tolist() == [counts] * n
    if counts:
        np.testing.assert_array_equal(found.anchors_px, centres)
        assert not decide(centres, score, own_tracing=True).counts.any(), "the user said where dendrites are"
        both = DetectionRules(untraced_beside_own_tracing=True)
        assert decide(centres, score, own_tracing=True, rules=both).counts.all()


def test_neighbours_must_be_near():
    row = np.stack([np.zeros(5), np.zeros(5), np.arange(5) * 1.0], 1)  # the ends are 4.0 um apart
    assert supported_by_neighbours(row, np.ones(5)).all()
    assert supported_by_neighbours(row * 1.5, np.ones(5)).tolist() == [False, False, True, False, False]
    assert not supported_by_neighbours(row * 2.1, np.ones(5)).any()


def test_a_second_look_reaches_farther():
    centres = heads(3.0, 4.9, 5.1)
    found = decide(centres, second_look=True)
    assert found.counts.tolist() == [True, True, False] and found.untraced.tolist() == [False, True, False]


def test_without_dendrites_nothing_is_near():
    points, gaps = nearest_axis(heads(1.0), [], SPACING)
    assert points.shape == (1, 3) and np.isinf(gaps).all()
    empty = decide(np.zeros((0, 3)))
    assert empty.counts.shape == (0,) and empty.anchors_px.shape == (0, 3)


def test_rules_are_fixed_and_refuse_nonsense():
    rules = DetectionRules()
    assert (rules.near_um, rules.reach_um, rules.attached_um) == (3.2, 10.0, 1.2)
    assert (rules.neighbours, rules.neighbour_score, rules.neighbour_um) == (5, 0.5, 4.0)
    assert rules.second_look_um == rules.by_hand_um == 5.0
    with pytest.raises(ValidationError):
        rules.near_um = 1.0
    for wrong in ({"near_um": -1}, {"neighbour_score": 2}, {"nearby_um": 3}):
        with pytest.raises(ValidationError):
            DetectionRules(**wrong)
    assert all(field.description for field in DetectionRules.model_fields.values()), "each says what it is"
