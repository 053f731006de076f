"""How the shape classifiers compare, as `python -m benchmarks.shape_table --publish` measured it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from spinecore.shapes.classify import DEFAULT_MODEL

#: Scores of all classifiers.
COMPARISON = Path(__file__).with_name("comparison.json")
#: What was changed, and the (recipe, start) without and with it; nothing else differs unless the title says so.
ABLATIONS = (
    (
        "Pretraining on simulated spines (ResNet-18)",
        ("shape-resnet18", "none"),
        ("shape-resnet18", "simulation"),
    ),
    (
        "Background removed (ResNet-18)",
        ("shape-resnet18", "simulation"),
        ("shape-resnet18-masked", "simulation"),
    ),
    (
        "Outline as a second stream, learned together, 2.8 times the steps (from ResNet-18 without background)",
        ("shape-resnet18-masked", "simulation"),
        ("shape-joint", "simulation"),
    ),
    (
        "Outline learned together with the class (same two streams)",
        ("shape-streams-short", "simulation"),
        ("shape-joint-short", "simulation"),
    ),
)
_MEASURES = {
    "test": ("val", "accuracy_four_way"),
    "test, tight outlines": ("val_tight", "accuracy_four_way"),
    "simulated, balanced": ("simulated", "balanced_accuracy_four_way"),
    "heat on spine": ("heat", "inside"),
}


@dataclass(frozen=True)
class Gain:
    """What one change did: each measure before and after, as shares."""

    title: str
    changes: dict[str, tuple[float, float]]


def gains(rows: Sequence[dict[str, Any]]) -> list[Gain]:
    """Return the ablations whose two classifiers are among the rows of the comparison."""
    known = {(row["recipe"], row["start"]): row for row in rows}
    return [
        Gain(
            title,
            {
                name: (known[before][part][key], known[after][part][key])
                for name, (part, key) in _MEASURES.items()
            },
        )
        for title, before, after in ABLATIONS
        if before in known and after in known
    ]


@dataclass(frozen=True)
class Comparison:
    """The published comparison.

    Parameters
    ----------
    date : str
    accuracy : DataFrame
        Per classifier the four-way accuracy on training and test spines in %, beside the poster's as text.
    detail : DataFrame
        Per classifier what else was measured, in %.
    gains : list of Gain
    folds : list of float
        Four-way accuracy of the joint classifier on image groups left out of training; empty without cross-validation.
    n_folds : int
        Folds that were planned; those not trained yet are not in `folds`.
    shipped : str
        What the shipped classifiers reach on simulated stacks in which no bodies overlap, as a sentence; empty where not measured.
    in_use : dict of str to float
        Of the network that names the classes: "test" and "tight" as in the tables, "simulated" on today's simulation, in %; empty where
        not measured.
    """

    date: str
    accuracy: pd.DataFrame
    detail: pd.DataFrame
    gains: list[Gain]
    folds: list[float]
    n_folds: int
    shipped: str = ""
    in_use: dict[str, float] = field(default_factory=dict)


def read_comparison(path: Path = COMPARISON) -> Comparison | None:
    """Return the published comparison, None where there is none."""
    if not path.exists():
        return None
    found = json.loads(path.read_text(encoding="utf-8"))
    rows = found["rows"]
    accuracy = [
        {
            "classifier": row["title"],
            "train": 100 * row["train"]["accuracy_four_way"],
            "test": 100 * row["val"]["accuracy_four_way"],
            "poster_train": _percent(row["poster_train"]),
            "poster_test": _percent(row["poster_test"]),
        }
        for row in rows
    ]
    detail = [
        {
            "classifier": row["title"],
            "tight": 100 * row["val_tight"]["accuracy_four_way"],
            "balanced": 100 * row["val"]["balanced_accuracy_four_way"],
            "simulated": 100 * row["simulated"]["balanced_accuracy_four_way"],
            "heat": 100 * row["heat"]["inside"],
            "control": 100 * row["heat"]["control"],
        }
        for row in rows
    ]
    crossed = found.get("cross_validation") or {"of": 0, "folds": []}
    return Comparison(
        found["date"],
        pd.DataFrame(accuracy),
        pd.DataFrame(detail),
        gains(rows),
        crossed["folds"],
        crossed["of"],
        _shipped(found.get("shipped_on_simulation")),
        _in_use(found.get("shipped_on_simulation")),
    )


def _in_use(measured: dict[str, Any] | None) -> dict[str, float]:
    own = ((measured or {}).get("scores") or {}).get(DEFAULT_MODEL, {})
    if "val" not in own:
        return {}
    return {
        "test": 100 * own["val"]["accuracy_four_way"],
        "tight": 100 * own["val_tight"]["accuracy_four_way"],
        "simulated": 100 * own["balanced_accuracy_four_way"],
    }


def _shipped(measured: dict[str, Any] | None) -> str:
    if measured is None:
        return ""
    each, real = [], []
    for name, scores in measured["scores"].items():
        if "val" in scores:
            given, tight = (100 * scores[part]["accuracy_four_way"] for part in ("val", "val_tight"))
            real.append(f"{name} {given:.1f} % with outlines as given and {tight:.1f} % with tight ones")
        low, high = scores["balanced_interval_four_way"]
        each.append(
            f"{name} {100 * scores['balanced_accuracy_four_way']:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
        )
    return (
        "The column Simulated is of an earlier simulation, in which spines could reach into each other. In today's, the shipped classifiers "
        f"reach {', '.join(each)} (`python -m benchmarks.shape_table --shipped`, {measured['date']})."
        + (f" On the real spines: {', '.join(real)}." if real else "")
    )


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} %"
