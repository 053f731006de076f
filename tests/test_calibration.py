"""What a score is worth: candidates with known answers give the curve, and the interval holds the true number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from drawn_analysis import drawn_analysis

from spinecore.analysis.cutter import candidate_dendrites, dendrite_table
from spinecore.detection.calibration import (
    Labelled,
    ScoreCalibration,
    calibration_for,
    fit_calibration,
    label_candidates,
    store_calibration,
)
from spinecore.networks.zoo import list_cards


def drawn_stacks(n: int, seed: int, missed: float = 0.1, spread: float = 0.0) -> list[Labelled]:
    """Stacks whose candidates are spines with a probability equal to the square of their score."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(n):
        scores = rng.uniform(0.1, 1.0, 150)
        chance = np.clip(scores**2 * np.exp(rng.normal(0, spread)), 0, 1)
        real = rng.random(150) < chance
        out.append(Labelled(scores, real, int(rng.binomial(real.sum() / (1 - missed), missed))))
    return out


def test_fit_recovers_curve_share_missed_and_spread() -> None:
    fitted = fit_calibration(drawn_stacks(60, 1), "m", "s", 1.0)
    scores = np.linspace(0.15, 0.95, 9)
    assert np.abs(fitted.probability(scores) - scores**2).max() < 0.06
    assert fitted.missed == pytest.approx(0.1, abs=0.02) and fitted.spread < 0.07
    assert np.all(np.diff(fitted.probabilities) >= 0)
    assert fit_calibration(drawn_stacks(60, 2, spread=0.3), "m", "s", 1.0).spread == pytest.approx(
        0.22, abs=0.1
    )
    with pytest.raises(ValueError, match="two stacks"):
        fit_calibration(drawn_stacks(1, 1), "m", "s", 1.0)


def test_scores_that_no_candidate_has_take_after_the_nearest() -> None:
    """The curve was the overall mean below the lowest score, and the mean there drew the rest up to it."""
    rng = np.random.default_rng(5)
    stacks = []
    for _ in range(20):
        scores = rng.uniform(0.4, 1.0, 60)
        stacks.append(Labelled(scores, rng.random(60) < (scores - 0.4) / 0.6, 2))
    made = fit_calibration(stacks, "m", "s", 1.0)
    assert made.probability(np.array([0.1, 0.3, 0.41])).max() < 0.1
    assert made.probability(np.array([0.7]))[0] == pytest.approx(0.5, abs=0.08)


def test_interval_holds_the_true_number_about_as_often_as_it_says() -> None:
    fitted = fit_calibration(drawn_stacks(40, 3, spread=0.1), "m", "s", 1.0)
    inside = [
        (e := fitted.estimate(s.scores)).detection_low <= s.n_spines <= e.detection_high
        for s in drawn_stacks(200, 4, spread=0.1)
    ]
    assert 0.88 <= np.mean(inside) <= 1.0


def test_estimate_against_its_formula() -> None:
    curve = ScoreCalibration("m", "s", 1.0, (0.0, 1.0), (0.0, 1.0), 0.2, 0.1, (), 2, 10)
    scores = np.array([0.5, 0.5, 1.0])
    found = curve.estimate(scores)
    assert found.number == pytest.approx(2 / 0.8)
    detection = (0.25 + 0.25) / 4 + 0.01
    assert found.detection_high / found.number == pytest.approx(np.exp(1.959964 * np.sqrt(detection)))
    assert found.high / found.number == pytest.approx(np.exp(1.959964 * np.sqrt(detection + 0.8 / 2)))
    assert found.low < found.detection_low < found.number
    assert curve.estimate(np.zeros(0)).number == 0


def test_labels_give_each_truth_to_its_best_candidate() -> None:
    truth = np.array([[0.0, 0, 0], [0, 0, 5], [0, 0, 9]])
    found = np.array([[0, 0, 0.1], [0, 0, 0.4], [0, 0, 5.9], [0, 0, 20]])
    got = label_candidates(found, np.array([0.3, 0.8, 0.5, 0.9]), truth, np.array([True, True, False]))
    assert got.real.tolist() == [False, True, True, False]
    assert (got.n_missed, got.n_spines) == (0, 2)


def test_a_calibration_holds_for_its_weights_only(tmp_path: Path) -> None:
    cards = list_cards()
    if not cards:
        pytest.skip("no model is installed")
    card, store = cards[0], tmp_path / "store.json"
    power = float(card.data.get("score_power", 1.0))
    made = fit_calibration(drawn_stacks(3, 5), card.name, card.sha256, power)
    store_calibration(made, store)
    used = [{"name": card.name, "sha256": card.sha256}]
    assert calibration_for(used, store) == ScoreCalibration(**json.loads(store.read_text())[card.name])
    assert calibration_for([{"name": card.name, "sha256": "other"}], store) is None
    assert calibration_for([], store) is None
    store_calibration(fit_calibration(drawn_stacks(3, 5), card.name, card.sha256, power + 1), store)
    assert calibration_for(used, store) is None


def test_dendrite_table_corrects_with_all_candidates() -> None:
    analysis, _ = drawn_analysis()
    candidates = analysis.candidates
    owner = candidate_dendrites(analysis.spines, candidates)
    assert len(owner) == len(candidates.scores) and set(owner) == {1}
    curve = ScoreCalibration("m", "s", 1.0, (0.0, 1.0), (0.0, 1.0), 0.0, 0.0, (), 2, 10)
    row = dendrite_table(analysis.spines, candidates, analysis.spacing, False, curve).iloc[0]
    wanted = candidates.scores.sum() / row["path_length_um"]
    assert row["density_corrected_per_um"] == pytest.approx(wanted)
    assert row["density_corrected_low_per_um"] < wanted < row["density_corrected_high_per_um"]
    assert np.isnan(analysis.dendrites["density_corrected_per_um"]).all()  # drawn by hand: no calibration
