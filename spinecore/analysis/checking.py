"""Candidates looked at one by one: in which order, how far it got, where people differ, and what the program was worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinecore.analysis.result import Analysis
from spinecore.corrections.answers import YES
from spinecore.corrections.log import Corrections
from spinecore.errors import SpinecoreError

#: Orders in which candidates are shown.
LEAST_SURE, ALONG_DENDRITES, RANDOM = ORDERS = "least sure", "along dendrites", "random"
#: Candidates whose score is below the threshold by up to this take part.
MARGIN = 0.15
#: Seconds that an answer takes until it is known how long they take; a longer pause than this is no answer's time.
SECONDS, PAUSE = 4.0, 60.0
#: Edges of the classes of scores in the report.
SCORE_EDGES = tuple(round(0.1 * k, 1) for k in range(11))


@dataclass(frozen=True)
class Progress:
    """How far a person got: answered, of how many, and the minutes that the rest will take at this pace."""

    checked: int
    total: int
    minutes_left: float


@dataclass(frozen=True)
class Disagreement:
    """A candidate about which people differ: its number, and what each said."""

    candidate: int
    answers: dict[str, str]


def checking_order(
    analysis: Analysis, how: str = LEAST_SURE, margin: float = MARGIN, seed: int = 0
) -> list[int]:
    """Return the numbers of the candidates to be looked at, in an order that no answer changes.

    Parameters
    ----------
    analysis : Analysis
    how : str
        One of `ORDERS`: "least sure" (score nearest to the threshold first, spines added by hand last), "along dendrites",
        "random".
    margin : float
        Candidates take part whose score is at most so far below the threshold.
    seed : int
        Of the random order.

    Raises
    ------
    SpinecoreError
        If there is no such order.
    """
    if how not in ORDERS:
        raise SpinecoreError(f"there is no order {how!r}: choose one of {', '.join(ORDERS)}")
    candidates = analysis.candidates
    scores = candidates.scores
    standing = {e.spine for e in analysis.corrections.standing if e.kind == "add"}
    own = np.array([n in standing for n in range(1, len(scores) + 1)], bool)
    part = np.flatnonzero((np.nan_to_num(scores, nan=-1.0) >= analysis.threshold - margin) | own)
    if how == RANDOM:
        order = np.random.default_rng(seed).permutation(len(part))
    elif how == LEAST_SURE:
        order = np.argsort(np.nan_to_num(np.abs(scores[part] - analysis.threshold), nan=2.0), kind="stable")
    else:
        lines = analysis.cutter.measurer.lines
        places = candidates.centres_px[part] * candidates.spacing_zyx_um
        if len(lines.points) and len(part):
            nearest = cKDTree(lines.points).query(places)[1]
            order = np.lexsort((lines.arc[nearest], lines.branch[nearest], lines.owner[nearest]))
        else:
            order = np.lexsort(places.T)
    return [int(k) + 1 for k in part[order]]


def checking_progress(analysis: Analysis, by: str, order: Sequence[int]) -> Progress:
    """Return how many candidates of an order a person has answered, and how long the rest will take."""
    said = analysis.corrections.answers
    checked = sum(by in said[number].by for number in order if number in said)
    times = [e.time for e in analysis.corrections.edits if e.kind == "check" and e.by == by and e.time]
    gaps = [
        (datetime.fromisoformat(b) - datetime.fromisoformat(a)).total_seconds() for a, b in pairwise(times)
    ]
    gaps = [gap for gap in gaps if gap <= PAUSE]
    pace = float(np.mean(gaps)) if len(gaps) >= 5 else SECONDS
    return Progress(checked, len(order), (len(order) - checked) * max(pace, 0.5) / 60)


def disagreements(analysis: Analysis) -> list[Disagreement]:
    """Return the candidates about which people differ and that nobody settled, by number."""
    said = analysis.corrections.answers
    return [Disagreement(number, dict(said[number].by)) for number in sorted(said) if said[number].differ]


def people(analysis: Analysis) -> list[str]:
    """Return the names of those who answered, the first to do so first."""
    names = (e.by for e in analysis.corrections.standing if e.kind == "check")
    return list(dict.fromkeys(names))


def agreement_of(analysis: Analysis, one: str, other: str) -> dict[str, Any]:
    """Return how far two people agree about the candidates that both answered.

    Returns
    -------
    dict
        n, both_yes, only_a, only_b, both_no, f1 (2 both_yes / (yes of one + yes of the other)) and kappa (Cohen 1960); None
        where they are undefined.
    """
    said = analysis.corrections.answers.values()
    pairs = [(a.by[one] == YES, a.by[other] == YES) for a in said if one in a.by and other in a.by]
    first, second = np.array(pairs, bool).reshape(-1, 2).T
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    n, yes = len(pairs), int(first.sum() + second.sum())
    chance = (first.mean() * second.mean() + (1 - first.mean()) * (1 - second.mean())) if n else 1.0
    kappa = ((both + neither) / n - chance) / (1 - chance) if n and chance < 1 else None
    return {
        "a": one,
        "b": other,
        "n": n,
        "both_yes": both,
        "only_a": int((first & ~second).sum()),
        "only_b": int((~first & second).sum()),
        "both_no": neither,
        "f1": 2 * both / yes if yes else None,
        "kappa": None if kappa is None else float(kappa),
    }


def check_report(analysis: Analysis) -> dict[str, Any]:
    """Compare what the program said with what people said about the candidates that they looked at.

    Returns
    -------
    dict
        `reviewed`, `unreviewed` (spines that nobody looked at), `people`, `open` (differences that nobody settled; those about
        which nothing was said before are in no count below), the counts
        and rates of `all`, lists of the same `by_score` and `by_class`, and `agreement` of each two people. A rate that is
        undefined is None. Missed spines are those that people added, or counted below the threshold: where nobody looked
        for others, recall is an upper bound. Where only a person's marks were measured, what the program found is not known: there
        are no counts then.
    """
    said = analysis.corrections.answers
    automatic = replace(analysis, corrections=Corrections()).at_threshold(analysis.threshold).spines
    now = analysis.spines
    classes = {int(n): c for t in (automatic, now) for n, c in zip(t["spine_id"], t["class"], strict=True)}
    scores = analysis.candidates.scores
    rows, reviewed = [], 0
    for number, answers in said.items():
        if not answers.by or not 0 < number <= len(scores):
            continue
        reviewed += 1
        if answers.holds is None:  # people differ, and nothing was said before
            continue
        score = float(scores[number - 1])
        rows.append((score, classes.get(number), score >= analysis.threshold, answers.holds == YES))
    table = pd.DataFrame(rows, columns=["score", "class", "automatic", "true"])
    if analysis.settings.only_marked:
        table = table.iloc[:0]
    named = [str(c) for c in table["class"].dropna().unique() if c]
    bins = list(pairwise(SCORE_EDGES))
    who = people(analysis)
    shown = {int(n) for n in now["spine_id"]} | {int(n) for n in automatic["spine_id"]}
    return {
        "name": analysis.name,
        "threshold": analysis.threshold,
        "reviewed": reviewed,
        "unreviewed": len([n for n in shown if n not in said or not said[n].by]),
        "open": len(disagreements(analysis)),
        "people": who,
        "all": _rates(table),
        "by_score": [
            {"from": a, "to": b} | _rates(table[(table["score"] >= a) & (table["score"] < b + (b == 1.0))])
            for a, b in bins
        ],
        "by_class": [{"class": name} | _rates(table[table["class"] == name]) for name in sorted(named)],
        "agreement": [agreement_of(analysis, a, b) for k, a in enumerate(who) for b in who[k + 1 :]],
    }


def _rates(rows: pd.DataFrame) -> dict[str, Any]:
    found, true = rows["automatic"].to_numpy(bool), rows["true"].to_numpy(bool)
    right, false, missed = int((found & true).sum()), int((found & ~true).sum()), int((~found & true).sum())
    return {
        "n": len(rows),
        "right": right,
        "false": false,
        "missed": missed,
        "precision": right / (right + false) if right + false else None,
        "recall": right / (right + missed) if right + missed else None,
        "f1": 2 * right / (2 * right + false + missed) if right + false + missed else None,
    }
