"""Truth from several annotators, each annotator's agreement with it, and a model among them.

Objects of different annotators that match one to one become one group with a vote from each. The minimal truth
holds every group, the majority truth those marked by more than half, the maximal truth those marked by all
(Vogel et al. 2023: at least one, three and five of five).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import BOX_COLUMNS, Annotations, objects_of_boxes
from spinecore.evaluation.comparison import compare
from spinecore.evaluation.matching import Counts

CONSENSUS_KINDS = ("minimal", "majority", "maximal")
#: Columns of a group that are the mean of its members'.
MEAN_COLUMNS = (
    *("x_px", "y_px", "z_px", "x_um", "y_um", "z_um"),
    *("left_px", "top_px", "right_px", "bottom_px"),
)


def votes_needed(kind: str, annotators: int) -> int:
    """Return how many annotators must have marked a spine.

    Examples
    --------
    >>> [votes_needed(kind, 5) for kind in CONSENSUS_KINDS]
    [1, 3, 5]
    >>> votes_needed("majority", 4)
    3
    """
    if kind not in CONSENSUS_KINDS:
        raise SpinecoreError(f"kind must be one of {CONSENSUS_KINDS}, not {kind!r}")
    return {"minimal": 1, "majority": annotators // 2 + 1, "maximal": annotators}[kind]


@dataclass(frozen=True)
class Consensus:
    """The groups all annotators' marks fall into.

    Parameters
    ----------
    annotators : tuple of Annotations
        Those who were asked.
    groups : DataFrame
        One row per group with the columns of objects (means of the members, slices rounded), and `votes`.
    criterion : str
        Key of the criterion that joined them.
    threshold : float or None
        Its threshold.
    by_slice : bool
        True when boxes were joined slice by slice (plane boxes, all annotators with a box per slice).
    """

    annotators: tuple[Annotations, ...]
    groups: pd.DataFrame
    criterion: str
    threshold: float | None
    by_slice: bool = False

    def truth(self, kind: str = "majority") -> Annotations:
        """Return the minimal, majority or maximal truth."""
        kept = self.groups[self.groups["votes"] >= votes_needed(kind, len(self.annotators))]
        kept = kept.drop(columns="votes").reset_index(drop=True)
        flat = [_flattened(one, self.by_slice) for one in self.annotators]
        boxes = kept.rename(columns={"first_slice": "slice"})[list(BOX_COLUMNS)] if self.by_slice else None
        return Annotations(
            name=f"{kind} truth of {len(self.annotators)} annotators",
            kind="consensus",
            objects=kept,
            boxes=boxes,
            stack_names=tuple(dict.fromkeys(name for one in flat for name in one.stacks)),
        )


def _flattened(one: Annotations, by_slice: bool) -> Annotations:
    """Return the objects numbered by `row`; every box an object of its own where `by_slice`."""
    table, boxes = one.objects.reset_index(drop=True), None
    if by_slice:
        if one.boxes is None:
            raise SpinecoreError(
                f"{one.name} holds no boxes per slice as the annotators do: compare by box3d instead"
            )
        boxes = one.boxes.assign(row=np.arange(len(one.boxes)))
        table = objects_of_boxes(boxes.assign(object_id=boxes["row"]))
        table["stack"] = boxes["stack"].to_numpy()
    names = one.stacks
    if len(names) == 1:
        # A single stack needs no name, and its name may differ from file to file.
        table, names = table.assign(stack=""), ("",)
        boxes = None if boxes is None else boxes.assign(stack="")
    table = table.assign(row=np.arange(len(table)))
    return Annotations(one.name, one.kind, table, boxes=boxes, stack_names=names, notes=one.notes)


def find_consensus(
    annotators: Sequence[Annotations], criterion: str = "centre", threshold: float | None = None
) -> Consensus:
    """Join the marks of several annotators of the same stacks.

    Every two annotators are matched one to one; the pairs are taken from the best to the worst, and two groups
    are joined when no annotator would be in the result twice. So no one has two votes in a group.

    Parameters
    ----------
    annotators : sequence of Annotations
        At least two, of the same stacks.
    criterion : str
        "centre", "box2d", "box2d-iom" or "box3d"; plane boxes are joined slice by
        slice where all annotators have a box per slice, and as boxes of whole objects otherwise.
    threshold : float, optional
        Largest distance in um or smallest overlap.

    Raises
    ------
    SpinecoreError
        One sentence, where that cannot be done.
    """
    if len(annotators) < 2:
        raise SpinecoreError(
            "a consensus needs the annotation files of at least two annotators: add another one"
        )
    if criterion == "mask":
        raise SpinecoreError("a consensus is built from centres or boxes: choose centre, box2d or box3d")
    by_slice = criterion.startswith("box2d") and all(one.boxes is not None for one in annotators)
    sides = [_flattened(one, by_slice) for one in annotators]
    links = []
    for a, b in combinations(range(len(sides)), 2):
        for unit in compare(sides[a], sides[b], criterion, threshold).units:
            rows = unit.truth["row"].to_numpy(), unit.predicted["row"].to_numpy()
            sign = 1.0 if criterion == "centre" else -1.0
            for (i, j), value in zip(unit.matching.pairs, unit.matching.values, strict=True):
                links.append((sign * value, (a, int(rows[0][i])), (b, int(rows[1][j]))))
    members: dict[tuple[int, int], dict[int, int]] = {
        (who, row): {who: row} for who, side in enumerate(sides) for row in range(len(side.objects))
    }
    for _, one, other in sorted(links):
        first, second = members[one], members[other]
        if first is second or first.keys() & second.keys():
            continue
        first.update(second)
        for node in second.items():
            members[node] = first
    groups = {id(group): group for group in members.values()}.values()
    return Consensus(tuple(annotators), _group_table(list(groups), sides), criterion, threshold, by_slice)


def _group_table(groups: list[dict[int, int]], sides: list[Annotations]) -> pd.DataFrame:
    parts = [side.objects.assign(annotator=who) for who, side in enumerate(sides)]
    every = pd.concat(parts, ignore_index=True)
    number = {(who, row): order for order, group in enumerate(groups) for who, row in group.items()}
    every["group"] = [number[key] for key in zip(every["annotator"], every["row"], strict=True)]
    grouped = every.groupby("group", sort=True)
    table = grouped[list(MEAN_COLUMNS)].mean()
    for column in ("first_slice", "last_slice"):
        table[column] = grouped[column].mean().round()
    table["stack"] = grouped["stack"].first()
    table["votes"] = grouped.size()
    table = table.reset_index(drop=True)
    return table.assign(object_id=np.arange(len(table)), score=np.nan, visible=True)


@dataclass(frozen=True)
class Placement:
    """A model among the annotators, against one truth.

    Parameters
    ----------
    kind : str
        "minimal", "majority" or "maximal".
    annotators : dict of str to Counts
        Each annotator against the truth.
    model : Counts or None
        The model against the same truth.
    """

    kind: str
    annotators: dict[str, Counts]
    model: Counts | None = None

    @property
    def spread(self) -> tuple[float, float]:
        """Lowest and highest F1 of the annotators; NaN when none is defined."""
        values = [c.f1 for c in self.annotators.values() if not np.isnan(c.f1)]
        return (min(values), max(values)) if values else (float("nan"), float("nan"))

    @property
    def rank(self) -> int | None:
        """Place of the model among annotators and model by F1, 1 the best; None without a defined F1."""
        if self.model is None or np.isnan(self.model.f1):
            return None
        return 1 + sum(c.f1 > self.model.f1 for c in self.annotators.values())

    @property
    def verdict(self) -> str:
        """One sentence that places the model."""
        low, high = self.spread
        if self.model is None or np.isnan(self.model.f1) or np.isnan(low):
            return "There is no model score to place."
        where = "below" if self.model.f1 < low else "above" if self.model.f1 > high else "inside"
        return (
            f"F1 {self.model.f1:.3f} of the model lies {where} the spread of the annotators "
            f"({low:.3f} to {high:.3f}) against the {self.kind} truth."
        )


def place_model(consensus: Consensus, model: Annotations | None = None) -> dict[str, Placement]:
    """Score every annotator, and a model if given, against the three truths.

    An annotator's own marks are part of the truth they are scored against, as in Vogel et al. 2023, so with few
    annotators the spread flatters them.

    Returns
    -------
    dict of str to Placement
        By `CONSENSUS_KINDS`.
    """
    names = [one.name for one in consensus.annotators]
    if len(set(names)) < len(names):
        names = [f"{order + 1}. {name}" for order, name in enumerate(names)]

    def scored(truth: Annotations, one: Annotations) -> Counts:
        return compare(
            truth, _flattened(one, consensus.by_slice), consensus.criterion, consensus.threshold
        ).counts

    placements = {}
    for kind in CONSENSUS_KINDS:
        truth = consensus.truth(kind)
        own = {name: scored(truth, one) for name, one in zip(names, consensus.annotators, strict=True)}
        placements[kind] = Placement(kind, own, None if model is None else scored(truth, model))
    return placements
