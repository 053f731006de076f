"""What a score is worth: the share of real spines among candidates of a score, and how many spines were missed.

`fit_calibration` learns it from stacks with known spines; the command `python -m benchmarks.score_calibration` does so
on validation data and stores the answer in `score_calibration.json`, with the checksum of the weights it belongs to.
`ScoreCalibration.estimate` turns the scores of a stack's candidates into the expected number of spines and an interval
that holds the errors of detection besides the error of counting.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.spatial import cKDTree

from spinecore.errors import SpinecoreError
from spinecore.files import write_json
from spinecore.methods.weights import SCORER
from spinecore.networks.zoo import get_card

#: The stored calibrations, by model.
STORE = Path(__file__).resolve().parent / "score_calibration.json"
#: Standard normal quantile of a two-sided 95 % interval.
Z95 = 1.959964
#: Steps of the stored curve.
STEPS = 46


@dataclass(frozen=True)
class Labelled:
    """The candidates of one stack whose spines are known.

    Parameters
    ----------
    scores : ndarray, shape (n,)
    real : ndarray of bool, shape (n,)
        True where the candidate is a spine.
    n_missed : int
        Visible spines without any candidate.
    """

    scores: np.ndarray
    real: np.ndarray
    n_missed: int

    @property
    def n_spines(self) -> int:
        """Spines that are visible or were found."""
        return int(self.real.sum()) + self.n_missed


@dataclass(frozen=True)
class Estimate:
    """An estimated number of spines.

    Parameters
    ----------
    number : float
    low, high : float
        95 % interval with counting (Poisson) and detection errors.
    detection_low, detection_high : float
        With detection errors only: the interval for the spines that are really there.
    """

    number: float
    low: float
    high: float
    detection_low: float
    detection_high: float


@dataclass(frozen=True)
class ScoreCalibration:
    """How often a candidate of a score is a spine, for one model.

    Parameters
    ----------
    model, sha256, score_power : str, str, float
        The weights it was measured with; it holds for no others.
    scores, probabilities : tuple of float
        The curve (isotonic regression, smoothed by its bins' means), linear in between.
    missed : float
        Share of the visible spines that have no candidate at all.
    spread : float
        Standard deviation between stacks of the logarithm of true over expected number, beyond chance.
    bins : tuple of (mean score, share of real, number)
        What the curve was fitted to, for a plot.
    n_stacks, n_candidates : int
    data, command : str
        Where it comes from.
    """

    model: str
    sha256: str
    score_power: float
    scores: tuple[float, ...]
    probabilities: tuple[float, ...]
    missed: float
    spread: float
    bins: tuple[tuple[float, float, int], ...]
    n_stacks: int
    n_candidates: int
    data: str = ""
    command: str = ""

    def probability(self, scores: np.ndarray) -> np.ndarray:
        """Return the probability that candidates of these scores are spines."""
        return np.interp(np.asarray(scores, float), self.scores, self.probabilities)

    def estimate(self, scores: np.ndarray, verdicts: np.ndarray | None = None) -> Estimate:
        """Estimate the number of spines from the scores of all candidates, also those below the threshold.

        The number is the sum of the probabilities over the share that has a candidate. Its relative variance is the sum
        of p (1 - p) over the squared sum (chance of each candidate), plus `spread` squared (stacks differ), plus
        1 / number where the interval is for the density of such dendrites (counting, Poisson). Intervals are symmetric
        in the logarithm. Where a person gave a verdict (1 a spine, -1 none, 0 not looked at), that is certain.
        """
        p = self.probability(np.nan_to_num(np.asarray(scores, float)))
        if verdicts is not None:
            p = np.where(verdicts > 0, 1.0, np.where((verdicts < 0) | np.isnan(scores), 0.0, p))
        total = float(p.sum())
        if total <= 0:
            return Estimate(0.0, 0.0, np.nan, 0.0, np.nan)
        number = total / (1 - self.missed)
        detection = float((p * (1 - p)).sum()) / total**2 + self.spread**2
        inner, outer = (np.exp(Z95 * np.sqrt(v)) for v in (detection, detection + 1 / number))
        return Estimate(number, number / outer, number * outer, number / inner, number * inner)


def label_candidates(
    centres_um: np.ndarray,
    scores: np.ndarray,
    truth_um: np.ndarray,
    visible: np.ndarray,
    tolerance_um: float = 1.0,
) -> Labelled:
    """Say which candidates are spines: from the highest score down, each takes the nearest free truth within reach.

    Parameters
    ----------
    centres_um, truth_um : ndarray, shape (n, 3) and (m, 3)
    scores : ndarray, shape (n,)
    visible : ndarray of bool, shape (m,)
        Truth that is not visible is no miss.
    tolerance_um : float
    """
    real = np.zeros(len(scores), bool)
    taken = np.zeros(len(truth_um), bool)
    if len(truth_um) and len(scores):
        near = cKDTree(truth_um).query_ball_point(centres_um, tolerance_um)
        for k in np.argsort(-np.asarray(scores), kind="stable"):
            free = [t for t in near[k] if not taken[t]]
            if free:
                distance = np.linalg.norm(truth_um[free] - centres_um[k], axis=1)
                taken[free[int(np.argmin(distance))]] = real[k] = True
    return Labelled(np.asarray(scores, float), real, int((np.asarray(visible, bool) & ~taken).sum()))


def fit_calibration(
    stacks: Sequence[Labelled],
    model: str,
    sha256: str,
    score_power: float,
    data: str = "",
    command: str = "",
) -> ScoreCalibration:
    """Fit the curve, the share missed and the spread between stacks.

    Raises
    ------
    SpinecoreError
        With fewer than two stacks, or without any candidate that is a spine.
    """
    if len(stacks) < 2 or not any(s.real.any() for s in stacks):
        raise SpinecoreError("a calibration needs at least two stacks with spines")
    scores = np.concatenate([s.scores for s in stacks])
    real = np.concatenate([s.real for s in stacks]).astype(float)
    order = np.argsort(scores, kind="stable")
    bins = tuple(
        (round(float(scores[part].mean()), 4), round(float(real[part].mean()), 4), len(part))
        for part in np.array_split(order, min(15, max(1, len(order) // 20)))
    )
    fitted = isotonic_regression(real[order]).x
    grid = np.linspace(0.1, 1.0, STEPS)
    curve = np.array([_around(scores[order], fitted, value) for value in grid])
    curve = np.maximum.accumulate(np.clip(curve, 0, 1))
    found, missed = real.sum(), sum(s.n_missed for s in stacks)
    draft = ScoreCalibration(
        model=model,
        sha256=sha256,
        score_power=score_power,
        scores=tuple(float(v) for v in grid.round(4)),
        probabilities=tuple(float(v) for v in curve.round(4)),
        missed=round(float(missed / (missed + found)), 4),
        spread=0.0,
        bins=bins,
        n_stacks=len(stacks),
        n_candidates=len(scores),
        data=data,
        command=command,
    )
    return ScoreCalibration(**(_plain(draft) | {"spread": round(_spread(draft, stacks), 4)}))


def _around(scores: np.ndarray, fitted: np.ndarray, value: float, width: float = 0.03) -> float:
    """Mean of the isotonic fit near a score, Gaussian-weighted (its steps come from chance); far from all, the nearest."""
    far = ((scores - value) / width) ** 2
    weight = np.exp(-0.5 * (far - far.min()))
    return float((weight * fitted).sum() / weight.sum())


def _spread(calibration: ScoreCalibration, stacks: Sequence[Labelled]) -> float:
    """Between-stack SD of log(true / expected), less what chance gives (method of moments, weighted by number)."""
    logs, chance, weight = [], [], []
    for stack in stacks:
        p = calibration.probability(stack.scores)
        total = p.sum()
        if stack.n_spines < 3 or total < 3:
            continue
        logs.append(np.log(stack.n_spines * (1 - calibration.missed) / total))
        chance.append((p * (1 - p)).sum() / total**2 + calibration.missed / stack.n_spines)
        weight.append(total)
    if len(logs) < 2:
        return 0.3
    w = np.array(weight) / np.sum(weight)
    return float(np.sqrt(max((w * (np.array(logs) ** 2 - np.array(chance))).sum(), 0.0)))


def _plain(calibration: ScoreCalibration) -> dict[str, Any]:
    return {f.name: getattr(calibration, f.name) for f in fields(calibration)}


def store_calibration(calibration: ScoreCalibration, path: Path = STORE) -> None:
    """Put a calibration into the store, in place of an earlier one of that model."""
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[calibration.model] = asdict(calibration)
    write_json(path, known, indent=1)
    _stored.cache_clear()


@lru_cache(maxsize=4)
def _stored(path: Path) -> dict[str, dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def stored_calibrations(path: Path = STORE) -> dict[str, ScoreCalibration]:
    """Return every stored calibration by model, whether or not its weights are still the ones in use."""
    return {name: ScoreCalibration(**facts) for name, facts in _stored(path).items()}


def calibration_for(models: Sequence[dict[str, Any]], path: Path = STORE) -> ScoreCalibration | None:
    """Return the calibration of the weights an analysis was made with (its `models`); None where there is none.

    A calibration of other weights of the same name, or from before the scores were rescaled, does not count. Where
    heads had a second look (`spinecore.methods.second_look`), it is the weights of that which gave the scores.
    """
    for used in [m for m in models if m.get("name") == SCORER] or models:
        facts = _stored(path).get(str(used.get("name")))
        if facts is None or facts["sha256"] != used.get("sha256"):
            continue
        try:
            power = float(get_card(facts["model"]).data.get("score_power", 1.0))
        except SpinecoreError:
            continue
        if abs(power - facts["score_power"]) < 1e-6:
            return ScoreCalibration(**facts)
    return None
