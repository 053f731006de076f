"""Compare predictions with truth stack by stack (or image by image), and pool the counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import EDGE_COLUMNS, Annotations
from spinecore.evaluation.bootstrap import Interval, bootstrap_interval
from spinecore.evaluation.curves import Curve, Scored, precision_recall_curve
from spinecore.evaluation.edges import Edges, criterion_named, label_ids
from spinecore.evaluation.marks import MARK_COLUMNS, marks_are_silent
from spinecore.evaluation.matching import Counts, Matching, match_edges

BOX3D_COLUMNS = (*EDGE_COLUMNS, "first_slice", "last_slice")


@dataclass(frozen=True)
class Unit:
    """One stack, or one image of it, compared.

    Parameters
    ----------
    name : str
        Name of the stack or image; "" when it has none.
    matching : Matching
        The pairs, as positions in `truth` and `predicted`.
    truth, predicted : DataFrame
        The objects compared.
    scored : Scored or None
        For the precision-recall curve; None when a prediction has no score.
    """

    name: str
    matching: Matching
    truth: pd.DataFrame
    predicted: pd.DataFrame
    scored: Scored | None


@dataclass(frozen=True)
class Comparison:
    """All units of one comparison.

    Parameters
    ----------
    units : tuple of Unit
        Stacks or images, each matched apart from the others.
    unit : str
        "stack" or "image".
    pooled : bool
        True when the stacks were joined into one coordinate space before matching.
    notes : tuple of str
        Sentences a person should see.
    """

    units: tuple[Unit, ...]
    unit: str = "stack"
    pooled: bool = False
    notes: tuple[str, ...] = ()

    @property
    def counts(self) -> Counts:
        """Counts of all units together."""
        return sum((unit.matching.counts for unit in self.units), Counts())

    @property
    def n_ignored_truth(self) -> int:
        """Truth that did not count."""
        return sum(len(unit.matching.ignored_truth) for unit in self.units)

    @property
    def n_ignored_predicted(self) -> int:
        """Predictions that met truth that did not count."""
        return sum(len(unit.matching.ignored_predicted) for unit in self.units)

    def interval(self, statistic: str = "f1", level: float = 0.95, seed: int = 0) -> Interval:
        """Bootstrap interval over the units, see `bootstrap_interval`."""
        return bootstrap_interval(
            [u.matching.counts for u in self.units], statistic, level, seed=seed, unit=self.unit
        )

    @cached_property
    def curve(self) -> Curve | None:
        """Precision-recall curve over all predictions, or None where one has no score."""
        scored = [unit.scored for unit in self.units if unit.scored is not None]
        if len(scored) < len(self.units) or not any(len(unit.predicted) for unit in self.units):
            return None
        return precision_recall_curve(scored)

    def _chosen(self, side: str, which: str) -> pd.DataFrame:
        parts = []
        for unit in self.units:
            rows = getattr(unit, side).iloc[getattr(unit.matching, which)]
            parts.append(rows.assign(stack=unit.name))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    @property
    def misses(self) -> pd.DataFrame:
        """Truth that counts and was not found, one row each."""
        return self._chosen("truth", "misses")

    @property
    def false_alarms(self) -> pd.DataFrame:
        """Predictions that meet no truth, one row each, highest score first."""
        table = self._chosen("predicted", "false_alarms")
        return table.sort_values("score", ascending=False, kind="stable", ignore_index=True)

    @property
    def pairs(self) -> pd.DataFrame:
        """Matched pairs: stack, truth_id, predicted_id and the criterion's value."""
        parts = [
            pd.DataFrame(
                {
                    "stack": unit.name,
                    "truth_id": unit.truth["object_id"].to_numpy()[unit.matching.pairs[:, 0]],
                    "predicted_id": unit.predicted["object_id"].to_numpy()[unit.matching.pairs[:, 1]],
                    "value": unit.matching.values,
                }
            )
            for unit in self.units
        ]
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def stack_pairs(truth: Annotations, predicted: Annotations) -> list[tuple[str, str | None, str | None]]:
    """Return (name, name in truth, name in prediction) of every stack; None where one side lacks it.

    Raises
    ------
    SpinecoreError
        If several stacks are on either side and no name is on both.
    """
    a, b = truth.stacks, predicted.stacks
    if len(a) <= 1 and len(b) <= 1:
        one, other = (a or (None,))[0], (b or (None,))[0]
        return [(one or other or "", one, other)] if a or b else []
    if a and b and not set(a) & set(b):
        raise SpinecoreError(
            f"{truth.name} and {predicted.name} have no stack in common "
            f"({_named(a)} against {_named(b)}): give both the same names"
        )
    names = dict.fromkeys([*a, *b])
    return [(name, name if name in a else None, name if name in b else None) for name in names]


def _named(stacks: tuple[str, ...]) -> str:
    return (
        "an unnamed stack"
        if stacks == ("",)
        else ", ".join(stacks[:2]) + (", ..." if len(stacks) > 2 else "")
    )


def _needed(annotations: Annotations, table: pd.DataFrame, columns: tuple[str, ...], what: str) -> np.ndarray:
    values = table[list(columns)].to_numpy(float)
    if np.isnan(values).any():
        raise SpinecoreError(f"{annotations.name} {what}")
    return values


def _centre_columns(truth: Annotations, predicted: Annotations) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the centre columns both sides have (3-D if they can) and notes."""
    for side in (truth, predicted):
        if side.objects[["y_um", "x_um"]].isna().to_numpy().any():
            raise SpinecoreError(
                f"{side.name} has no positions in micrometres (columns x_um and y_um): give the pixel size",
                f"{side.name} has no positions in micrometres (columns x_um and y_um): give --pixel-size and --z-step",
            )
    depth = [side.objects["z_um"].notna() for side in (truth, predicted)]
    if all(known.all() for known in depth):
        return ("z_um", "y_um", "x_um"), ()
    for side, known in zip((truth, predicted), depth, strict=True):
        if known.any() and not known.all():
            raise SpinecoreError(
                f"{side.name} has some rows without z_um: fill them in, or leave the column empty"
            )
    return ("y_um", "x_um"), (
        "A side has no depth in micrometres (z_um), so distances are taken in the plane.",
    )


def _by_slice(truth: Annotations, predicted: Annotations) -> bool:
    return truth.boxes is not None and predicted.boxes is not None


def _tables(annotations: Annotations, by_slice: bool) -> pd.DataFrame:
    boxes = annotations.boxes
    if not by_slice or boxes is None:
        return annotations.objects
    return boxes.assign(
        visible=True,
        x_px=(boxes["left_px"] + boxes["right_px"]) / 2,
        y_px=(boxes["top_px"] + boxes["bottom_px"]) / 2,
        z_px=boxes["slice"],
    )


def _rows(table: pd.DataFrame, stack: str | None) -> pd.DataFrame:
    return table[table["stack"] == stack].reset_index(drop=True) if stack is not None else table.iloc[:0]


def _unit_tables(
    truth: Annotations, predicted: Annotations, by_slice: bool
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame]]:
    tables = _tables(truth, by_slice), _tables(predicted, by_slice)
    for name, *stacks in stack_pairs(truth, predicted):
        rows = [_rows(table, stack) for table, stack in zip(tables, stacks, strict=True)]
        if not by_slice:
            yield name, rows[0], rows[1]
            continue
        for number in sorted(set(rows[0]["slice"]) | set(rows[1]["slice"])):
            picked = [part[part["slice"] == number].reset_index(drop=True) for part in rows]
            yield f"{name} slice {number}", picked[0], picked[1]


def _mask_units(
    truth: Annotations, predicted: Annotations
) -> Iterator[tuple[str, pd.DataFrame, pd.DataFrame, np.ndarray, np.ndarray]]:
    for side in (truth, predicted):
        if not side.labels and side.stacks:
            raise SpinecoreError(
                f"{side.name} holds no masks: give a label TIFF, or a table with one beside it"
            )
    for name, *stacks in stack_pairs(truth, predicted):
        found = [
            None if stack is None else side.labels.get(stack)
            for side, stack in zip((truth, predicted), stacks, strict=True)
        ]
        known = next(image for image in found if image is not None)
        images = [np.zeros_like(known) if image is None else image for image in found]
        if images[0].shape != images[1].shape:
            raise SpinecoreError(
                f"the label images of {truth.name} and {predicted.name} differ in shape "
                f"({images[0].shape} and {images[1].shape}): compare labels of the same stack"
            )
        tables = []
        for side, stack, image in zip((truth, predicted), stacks, images, strict=True):
            rows = _rows(side.objects, stack).drop_duplicates("object_id").set_index("object_id")
            rows = rows.reindex(label_ids(image)).rename_axis("object_id").reset_index()
            tables.append(
                rows.assign(visible=rows["visible"].map(lambda value: value is not False and value != 0))
            )
        yield name, tables[0], tables[1], images[0], images[1]


def compare(
    truth: Annotations,
    predicted: Annotations,
    criterion: str = "centre",
    threshold: float | None = None,
    score_threshold: float | None = None,
) -> Comparison:
    """Match every stack apart from the others.

    Parameters
    ----------
    truth, predicted : Annotations
        Both sides, as read.
    criterion : str
        A key of `CRITERIA`. The plane box criteria compare slice by slice where both sides have a box for every
        slice, and otherwise the boxes of whole objects in projection.
    threshold : float, optional
        Largest distance in um or smallest overlap; the criterion's own by default.
    score_threshold : float, optional
        Predictions with a lower score are left out of the counts (not of the precision-recall curve).

    Raises
    ------
    SpinecoreError
        One sentence, where a side lacks what the criterion needs.
    """
    entry = criterion_named(criterion)
    limit = entry.threshold if threshold is None else threshold
    by_slice = criterion.startswith("box2d") and _by_slice(truth, predicted)
    columns: tuple[str, ...] = EDGE_COLUMNS if criterion.startswith("box2d") else BOX3D_COLUMNS
    lacking = (
        "has no boxes for every spine (x_min_px to y_max_px, z_min_px, z_max_px): compare by centre instead"
    )
    notes = (*truth.notes, *predicted.notes)
    if criterion == "centre":
        columns, more = _centre_columns(truth, predicted)
        lacking, notes = "has a spine without a position: fill it in or remove the row", (*notes, *more)
    strays = [name for name, one, _ in stack_pairs(truth, predicted) if one is None and truth.stacks]
    if strays:
        notes = (
            *notes,
            f"The truth says nothing of {_named(tuple(strays))}: all predictions there are false alarms.",
        )
    if criterion == "mark":
        lacking = "has a spine without mark or base in micrometres (x_um to base_z_um): fill it in or remove the row"
    units = []
    if criterion == "mask":
        for name, a, b, labels_a, labels_b in _mask_units(truth, predicted):
            units.append(_unit(name, a, b, entry.edges(labels_a, labels_b, limit), score_threshold))
    elif criterion == "mark":
        for name, a, b in _unit_tables(truth, predicted, False):
            marks = _needed(truth, a, MARK_COLUMNS, lacking)
            centres = _needed(predicted, b, MARK_COLUMNS[:3], lacking)
            silent = marks_are_silent(centres, _shaft_of(truth, name))
            units.append(_unit(name, a, b, entry.edges(marks, centres, limit), score_threshold, silent))
    else:
        for name, a, b in _unit_tables(truth, predicted, by_slice):
            places_a, places_b = (
                _needed(side, table, columns, lacking) for side, table in ((truth, a), (predicted, b))
            )
            units.append(_unit(name, a, b, entry.edges(places_a, places_b, limit), score_threshold))
    return Comparison(tuple(units), "image" if by_slice else "stack", notes=notes)


def _shaft_of(truth: Annotations, stack: str) -> np.ndarray:
    """Return the centre lines beside which a stack is judged."""
    if not truth.shafts:
        raise SpinecoreError(
            f"{truth.name} has no traced dendrites beside it, so nothing says where its marks are complete: "
            "put segments.csv (stack, x_um, y_um, z_um) in the same folder"
        )
    only = next(iter(truth.shafts.values())) if len(truth.shafts) == 1 and len(truth.stacks) <= 1 else None
    return truth.shafts.get(stack, np.zeros((0, 3)) if only is None else only)


def _unit(
    name: str,
    truth: pd.DataFrame,
    predicted: pd.DataFrame,
    edges: Edges,
    score_threshold: float | None,
    excused: np.ndarray | None = None,
) -> Unit:
    visible, scores = truth["visible"].to_numpy(bool), predicted["score"].to_numpy(float)
    present = np.ones(len(predicted), bool) if score_threshold is None else ~(scores < score_threshold)
    scored = None if np.isnan(scores).any() else Scored(edges, scores, visible, excused)
    return Unit(name, match_edges(edges, visible, present, excused), truth, predicted, scored)
