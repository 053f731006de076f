"""One call from two files to a scored report, as text or JSON."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations
from spinecore.evaluation.comparison import Comparison, compare
from spinecore.evaluation.edges import criterion_named
from spinecore.evaluation.readers import read_annotations

#: How stacks are treated: "auto" pools only where object ids run through several stacks.
STACK_MODES = ("auto", "apart", "pooled")
#: Mean score over slices below which the authors of the row-per-slice box format drop a track.
BOX_SCORE_THRESHOLD = 0.5
#: Columns shown for a miss or a false alarm.
LISTED_COLUMNS = ("stack", "object_id", "x_px", "y_px", "z_px", "x_um", "y_um", "z_um", "score")
#: Misses or false alarms printed in the text report.
MAX_LISTED = 20


@dataclass(frozen=True)
class EvaluationReport:
    """Scores of one set of predictions against one truth.

    Parameters
    ----------
    truth, predicted : str
        Names of the files compared.
    criterion : str
        Key of the criterion.
    threshold : float
        Largest distance in um or smallest overlap.
    shown : Comparison
        The figure to quote.
    other : Comparison or None
        The same with stacks kept apart where `shown` pools them, and the other way round.
    score_threshold : float or None
        Predictions below it were left out.
    level : float
        Coverage of the intervals.
    """

    truth: str
    predicted: str
    criterion: str
    threshold: float
    shown: Comparison
    other: Comparison | None = None
    score_threshold: float | None = None
    level: float = 0.95

    @property
    def precision(self) -> float:
        """Precision of the shown figure."""
        return self.shown.counts.precision

    @property
    def recall(self) -> float:
        """Recall of the shown figure."""
        return self.shown.counts.recall

    @property
    def f1(self) -> float:
        """F1 of the shown figure."""
        return self.shown.counts.f1

    @property
    def f1_name(self) -> str:
        """'F1-3D' for 3-D boxes (Vogel et al. 2023), 'F1' otherwise."""
        return "F1-3D" if self.criterion == "box3d" else "F1"

    def _figures(self, comparison: Comparison) -> list[str]:
        c = comparison.counts
        lines = [
            f"  true {c.n_truth}, predicted {c.n_predicted}, matched {c.n_matched}, "
            f"missed {c.n_misses}, false alarms {c.n_false_alarms}",
            f"  precision {_number(c.precision)}, recall {_number(c.recall)}, {self.f1_name} {_number(c.f1)}",
            f"  {self.f1_name} interval {comparison.interval('f1', self.level)}",
        ]
        if comparison.n_ignored_truth:
            lines.append(
                f"  ignored: {comparison.n_ignored_truth} spines too faint to see, "
                f"and {comparison.n_ignored_predicted} predictions on them"
            )
        if comparison.curve is not None:
            best, f1 = comparison.curve.best
            area = _number(comparison.curve.average_precision)
            lines.append(f"  average precision {area}, best {self.f1_name} {_number(f1)} at score {best:.3g}")
        return lines

    def to_text(self) -> str:
        """Return the report as lines for people."""
        rule = criterion_named(self.criterion).describe(self.threshold)
        lines = [f"{self.predicted} against {self.truth}", f"One-to-one matches: {rule}."]
        if self.score_threshold is not None:
            lines.append(f"Predictions with a score below {self.score_threshold:g} are left out.")
        lines += [_heading(self.shown, "shown"), *self._figures(self.shown)]
        if self.other is not None:
            lines += [_heading(self.other, "for comparison"), *self._figures(self.other)]
        apart = next((c for c in (self.shown, self.other) if c is not None and not c.pooled), None)
        if apart is not None and 1 < len(apart.units) <= MAX_LISTED:
            for unit in apart.units:
                c = unit.matching.counts
                lines.append(
                    f"  {unit.name}: true {c.n_truth}, predicted {c.n_predicted}, matched {c.n_matched}, "
                    f"{self.f1_name} {_number(c.f1)}"
                )
        for title, table in (("Missed", self.shown.misses), ("False alarms", self.shown.false_alarms)):
            if len(table):
                lines.append(f"{title}:")
                lines += [f"  {_place(row)}" for row in table.head(MAX_LISTED).to_dict("records")]
                if len(table) > MAX_LISTED:
                    lines.append(f"  and {len(table) - MAX_LISTED} more")
        lines += [f"Note: {note}" for note in self.shown.notes]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values; what is undefined is None.

        The shown figure's counts stand at the top level; "stacks" says how stacks were treated, and the other
        treatment, if there is one, is under "stacks_apart" or "stacks_pooled".
        """
        entry = criterion_named(self.criterion)
        result = {
            "truth": self.truth,
            "predicted": self.predicted,
            "criterion": self.criterion,
            "threshold": self.threshold,
            "threshold_unit": entry.unit,
            "score_threshold": self.score_threshold,
            **self._summary(self.shown),
            "per_unit": [{"name": u.name, **_counts(u.matching.counts)} for u in self.shown.units],
            "misses": _records(self.shown.misses),
            "false_alarms": _records(self.shown.false_alarms),
            "notes": list(self.shown.notes),
        }
        if self.other is not None:
            result["stacks_pooled" if self.other.pooled else "stacks_apart"] = {
                **self._summary(self.other),
                "per_unit": [{"name": u.name, **_counts(u.matching.counts)} for u in self.other.units],
            }
        return _plain(result)

    def _summary(self, comparison: Comparison) -> dict[str, Any]:
        interval, curve = comparison.interval("f1", self.level), comparison.curve
        best = (None, None) if curve is None else curve.best
        return {
            "stacks": "pooled" if comparison.pooled else "apart",
            **_counts(comparison.counts),
            "n_ignored_truth": comparison.n_ignored_truth,
            "n_ignored_predicted": comparison.n_ignored_predicted,
            "f1_interval": {
                "low": interval.low,
                "high": interval.high,
                "level": interval.level,
                "drawn": interval.unit,
                "n": interval.n_units,
            },
            "average_precision": None if curve is None else curve.average_precision,
            "best_score_threshold": best[0],
            "best_f1": best[1],
        }

    def to_json(self) -> str:
        """Return `to_dict` as indented JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)


def _counts(c: Any) -> dict[str, Any]:
    return {
        "n_truth": c.n_truth,
        "n_predicted": c.n_predicted,
        "n_matched": c.n_matched,
        "n_misses": c.n_misses,
        "n_false_alarms": c.n_false_alarms,
        "precision": c.precision,
        "recall": c.recall,
        "f1": c.f1,
    }


def _plain(value: Any) -> Any:
    """Turn NumPy values into plain ones and NaN into None, so that the result is valid JSON."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return table[[name for name in LISTED_COLUMNS if name in table]].to_dict("records")


def _number(value: float) -> str:
    return "undefined" if math.isnan(value) else f"{value:.4f}"


def _heading(comparison: Comparison, role: str) -> str:
    n = len(comparison.units)
    how = (
        "stacks pooled into one coordinate space"
        if comparison.pooled
        else f"{n} {comparison.unit}{'' if n == 1 else 's'}, matched apart"
    )
    return f"{how[0].upper()}{how[1:]} ({role}):"


def _place(row: dict[str, Any]) -> str:
    position = [f"{axis} {row[f'{axis}_px']:.1f}" for axis in "xyz" if not pd.isna(row.get(f"{axis}_px"))]
    unit = "px"
    if not position:
        position = [f"{axis} {row[f'{axis}_um']:.2f}" for axis in "xyz" if not pd.isna(row.get(f"{axis}_um"))]
        unit = "um"
    score = "" if pd.isna(row.get("score")) else f", score {row['score']:.3f}"
    stack = f"{row['stack']}, " if row.get("stack") else ""
    return f"{stack}{row['object_id']} at {' '.join(position)} {unit}{score}"


def evaluate(
    truth: Annotations,
    predicted: Annotations,
    criterion: str = "centre",
    tolerance_um: float = 1.0,
    overlap: float = 0.5,
    stacks: str = "auto",
    score_threshold: float | None = None,
    level: float = 0.95,
) -> EvaluationReport:
    """Score predictions against truth; see `evaluate_files` for the parameters."""
    entry = criterion_named(criterion)
    if stacks not in STACK_MODES:
        raise SpinecoreError(f"stacks must be one of {', '.join(STACK_MODES)}, not {stacks!r}")
    threshold = tolerance_um if entry.unit else overlap
    if not (math.isfinite(threshold) and threshold > 0) or (not entry.unit and threshold > 1):
        allowed = "a positive number of micrometres" if entry.unit else "above 0 and at most 1"
        raise SpinecoreError(
            f"the {'tolerance' if entry.unit else 'overlap'} must be {allowed}, not {threshold}"
        )
    if score_threshold is None and predicted.kind == "boxes per slice":
        score_threshold = BOX_SCORE_THRESHOLD

    def run(pool: bool) -> Comparison:
        sides = (truth.pooled(), predicted.pooled()) if pool else (truth, predicted)
        return replace(compare(*sides, criterion, threshold, score_threshold), pooled=pool)

    can_pool = criterion == "box3d" and truth.boxes is not None and predicted.boxes is not None
    if stacks == "pooled" and not can_pool:
        raise SpinecoreError(
            "stacks can only be pooled for box3d with a box per slice on both sides: keep them apart"
        )
    pool = stacks == "pooled" or (stacks == "auto" and can_pool and truth.shares_ids and predicted.shares_ids)
    several = can_pool and max(len(truth.stacks), len(predicted.stacks)) > 1
    return EvaluationReport(
        truth=truth.name,
        predicted=predicted.name,
        criterion=criterion,
        threshold=threshold,
        shown=run(pool),
        other=run(not pool) if several else None,
        score_threshold=score_threshold,
        level=level,
    )


def evaluate_files(
    truth: str | Path,
    predicted: str | Path,
    criterion: str = "centre",
    tolerance_um: float = 1.0,
    overlap: float = 0.5,
    stacks: str = "auto",
    score_threshold: float | None = None,
    pixel_um: float | None = None,
    z_um: float | None = None,
    level: float = 0.95,
    units: str | None = None,
) -> EvaluationReport:
    """Read both sides and score them.

    Parameters
    ----------
    truth, predicted : str or Path
        Any file or folder `read_annotations` reads.
    criterion : str
        A key of `CRITERIA`: "centre", "mark", "box2d", "box2d-iom", "box3d" or "mask".
    tolerance_um : float
        Largest distance of matched centres in um.
    overlap : float
        Smallest overlap of matched boxes or masks, in 0..1.
    stacks : str
        "apart" matches every stack on its own, "pooled" joins boxes by object id over all stacks as if they
        shared one coordinate space, and "auto" pools where object ids of both sides run through several stacks.
        For 3-D boxes of several stacks the report holds both figures and says which is shown.
    score_threshold : float, optional
        Leave out predictions with a lower score. By default 0.5 for boxes per slice (their mean), else none.
    pixel_um, z_um : float, optional
        Pixel size and slice distance in um, for files that give positions in pixels only.
    level : float
        Coverage of the bootstrap interval.
    units : str, optional
        "px" or "um", for tables whose columns do not say it.

    Raises
    ------
    SpinecoreError
        One sentence saying which file lacks what.
    """
    sides = [read_annotations(path, criterion == "mask", units) for path in (truth, predicted)]
    sides[0], sides[1] = _of_one_stack(sides[0], sides[1], Path(predicted))
    sides = [side.with_pixel_size(pixel_um, z_um) for side in sides]
    sides = [_sized_like(side, other) for side, other in (sides, sides[::-1])]
    return evaluate(sides[0], sides[1], criterion, tolerance_um, overlap, stacks, score_threshold, level)


def _of_one_stack(truth: Annotations, predicted: Annotations, path: Path) -> tuple[Annotations, Annotations]:
    """Keep of a truth of several stacks the one that a single analysis is of, which its folder or file is named after."""
    if predicted.stacks != ("",) or len(truth.stacks) < 2:
        return truth, predicted
    names = (path.name, path.parent.name, path.stem)
    stack = next((name for name in names if name in truth.stacks), None)
    if stack is None:
        return truth, predicted
    note = (
        f"{predicted.name} is compared with {stack}, one of the {len(truth.stacks)} stacks of {truth.name}."
    )
    return truth.only(stack), replace(
        predicted,
        objects=predicted.objects.assign(stack=stack),
        labels=dict.fromkeys([stack], predicted.labels[""]) if predicted.labels else {},
        stack_names=(stack,),
        notes=(*predicted.notes, note),
    )


def _sized_like(side: Annotations, other: Annotations) -> Annotations:
    """Return a side whose positions are in pixels only with the pixel size that the other side implies, and a note."""
    known = other.pixel_size()
    if known[0] is None or not side.objects["x_um"].isna().all() or side.objects["x_px"].isna().all():
        return side
    step = "" if known[1] is None else f" and {known[1]:.4g} um per slice"
    note = f"{side.name} gives pixels only; {known[0]:.4g} um per pixel{step} are taken from {other.name}."
    return replace(side.with_pixel_size(*known), notes=(*side.notes, note))
