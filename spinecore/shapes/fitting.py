"""Thresholds of a rule set fitted to spines whose class a person named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.shapes.chosen_rules import ChosenRules, limits
from spinecore.shapes.classes import CLASSES
from spinecore.shapes.rules import RULE_SETS, RuleSet, measure_values

#: Spines with a class by hand that a fit needs, and how many of them in the second largest class.
FEWEST, FEWEST_OF_SECOND = 30, 5
FOLDS = 5
#: Thresholds are rounded to this, and no more than so many are tried of each (of the spines' own values, evenly).
STEP, MOST_TRIED = 0.05, 40
_ROUNDS = 6


@dataclass(frozen=True)
class FittedRules:
    """A rule set fitted to a person's classes.

    Parameters
    ----------
    chosen : ChosenRules
        With the fitted thresholds.
    published, fitted : float
        Share of them that the published thresholds and the fitted ones name as the person did.
    left_out : float
        The same share for thresholds fitted without the spine: what to expect on other spines.
    """

    chosen: ChosenRules
    published: float
    fitted: float
    left_out: float

    @property
    def helps(self) -> bool:
        """Whether fitted thresholds do better than the published ones on spines that the fit did not see."""
        return self.left_out > self.published

    @property
    def words(self) -> str:
        """What was found, as a sentence."""
        verdict = (
            "fitted thresholds are better on spines left out of the fit"
            if self.helps
            else "no better on spines left out of the fit: the published thresholds are as good"
        )
        return (
            f"{self.chosen.fitted_to} spines with a class by hand: the published thresholds name {self.published:.0%} of them so, the fitted "
            f"ones {self.fitted:.0%}, and {self.left_out:.0%} where each fifth was left out of the fit; {verdict}."
        )


def fit_rules(name: str, table: pd.DataFrame, classes: Mapping[int, str]) -> FittedRules:
    """Fit the thresholds of a rule set to classes given by a person.

    The share of spines named alike is raised threshold by threshold, over the values at which it can change, until no change
    of one of them helps; among equals the one nearest to the published threshold is kept. A spine that the rules cannot
    decide counts as named otherwise. Errors of the measures are left out of account.

    Parameters
    ----------
    name : str
        A key of `RULE_SETS`.
    table : DataFrame
        Spines with `spine_id` and the measures.
    classes : mapping of int to str
        The person's classes, by spine number.

    Raises
    ------
    SpinecoreError
        If too few spines have a class.
    """
    kind = RULE_SETS[name]
    known = table[table["spine_id"].isin([i for i, c in classes.items() if c in CLASSES])]
    truth = known["spine_id"].map(classes).to_numpy(object)
    _check_enough(truth)
    known = known.reset_index(drop=True)
    fold = np.random.default_rng(0).permutation(len(known)) % FOLDS
    right = 0
    for k in range(FOLDS):
        out = fold == k
        rules = _best(kind, known[~out], truth[~out])
        right += _right(rules, known[out], truth[out])
    fitted = _best(kind, known, truth)
    n = len(known)
    return FittedRules(
        ChosenRules(name, fitted, fitted_to=n),
        _right(kind(), known, truth) / n,
        _right(fitted, known, truth) / n,
        right / n,
    )


def pool_labelled(
    analyses: Iterable[tuple[pd.DataFrame, Mapping[int, str]]],
) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the spines of several analyses whose class a person named as one table, numbered anew, and their classes.

    Parameters
    ----------
    analyses : iterable of (DataFrame, mapping of int to str)
        Spine table and the person's classes by spine number.
    """
    tables: list[pd.DataFrame] = []
    classes: dict[int, str] = {}
    for table, named in analyses:
        own = table[table["spine_id"].isin(list(named))]
        start = 1 + len(classes)
        numbers = range(start, start + len(own))
        classes |= dict(zip(numbers, own["spine_id"].map(dict(named)), strict=True))
        tables.append(own.assign(spine_id=list(numbers)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame({"spine_id": []}), classes


def _check_enough(truth: np.ndarray) -> None:
    sizes = sorted((int((truth == c).sum()) for c in CLASSES), reverse=True)
    if len(truth) < FEWEST or sizes[1] < FEWEST_OF_SECOND:
        raise SpinecoreError(
            f"{len(truth)} spines have a class by hand, {sizes[1]} of them of the second most frequent class: name at least {FEWEST}, "
            f"{FEWEST_OF_SECOND} or more of a second class"
        )


def _right(rules: RuleSet, table: pd.DataFrame, truth: np.ndarray) -> int:
    return int((rules.apply(table)["class"].to_numpy(object) == truth).sum())


def _best(kind: type[RuleSet], table: pd.DataFrame, truth: np.ndarray) -> RuleSet:
    """Return the rules that name most spines as `truth` does, changed one threshold at a time."""
    rules = kind()
    best = _right(rules, table, truth)
    for _ in range(_ROUNDS):
        before = best
        for field in kind.model_fields:
            for value in _tried(kind, field, table):
                other = rules.model_copy(update={field: value})
                right = _right(other, table, truth)
                nearer = _away(kind, field, value) < _away(kind, field, getattr(rules, field))
                if right > best or (right == best and nearer):
                    rules, best = other, right
        if best == before:
            break
    return rules


def _away(kind: type[RuleSet], field: str, value: float) -> float:
    return abs(float(np.log(value / kind.model_fields[field].default)))


def _tried(kind: type[RuleSet], field: str, table: pd.DataFrame) -> list[float]:
    """Return thresholds between the spines' own values, and the published one."""
    info = kind.model_fields[field]
    low, high = limits(info)
    values = np.concatenate(
        [_values(table, above, below) for _, above, below, name in kind.lines if name == field]
    )
    values = values[np.isfinite(values)]
    if len(values) > MOST_TRIED:
        values = np.quantile(values, np.linspace(0, 1, MOST_TRIED))
    either_side = np.concatenate([np.floor(values / STEP), np.ceil(values / STEP)]) * STEP
    tried = np.unique(np.round(np.clip(either_side, low, high), 2))
    return [float(info.default), *(float(v) for v in tried)]


def _values(table: pd.DataFrame, above: str, below: str) -> np.ndarray:
    values = measure_values(table, above)
    return values / measure_values(table, below) if below else values
