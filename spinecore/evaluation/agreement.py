"""Two analyses of one stack compared: which spines both found, and which only one of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import load_analysis
from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import Counts, match

#: Values of `found_by`.
BOTH, ONLY_A, ONLY_B = "both", "only A", "only B"
DEFAULT_TOLERANCE_UM = 1.0
#: What is shown of a spine from either side, where its table has it.
MEASURES = ("score", "length_um", "head_width_um", "volume_um3", "class")
_AXES = ("z", "y", "x")


@dataclass(frozen=True)
class Agreement:
    """The result of one comparison.

    Parameters
    ----------
    name_a, name_b : str
        What the sides are called.
    tolerance_um : float
        Largest distance of two head centres that are the same spine.
    table : DataFrame
        One row a spine: `found_by`, position (`x_px` ... `z_um`; where both found it, the middle of the two),
        `distance_um` between the two centres, and `a_...`, `b_...` with the id and `MEASURES` of each side.
    counts : Counts
        A stands where the truth would: recall is the share of A's spines that B found, precision the other way.
    notes : tuple of str
        Sentences that a person should see.
    """

    name_a: str
    name_b: str
    tolerance_um: float
    table: pd.DataFrame
    counts: Counts
    notes: tuple[str, ...] = ()

    @property
    def n_both(self) -> int:
        """Spines that both found."""
        return self.counts.n_matched

    @property
    def n_only_a(self) -> int:
        """Spines that only A found."""
        return self.counts.n_misses

    @property
    def n_only_b(self) -> int:
        """Spines that only B found."""
        return self.counts.n_false_alarms

    @property
    def f1(self) -> float:
        """2 both / (A + B), the same whichever side is A; NaN when neither found a spine."""
        return self.counts.f1

    @property
    def median_distance_um(self) -> float:
        """Median distance of the matched centres (um); NaN without a match."""
        return float(self.table["distance_um"].median()) if self.n_both else float("nan")

    def summary(self) -> dict[str, Any]:
        """Return the numbers as plain values; what is undefined is None."""
        number = {"f1": self.f1, "median_distance_um": self.median_distance_um}
        return {
            "a": self.name_a,
            "b": self.name_b,
            "tolerance_um": self.tolerance_um,
            "n_a": self.counts.n_truth,
            "n_b": self.counts.n_predicted,
            "both": self.n_both,
            "only_a": self.n_only_a,
            "only_b": self.n_only_b,
            **{key: None if np.isnan(value) else round(value, 4) for key, value in number.items()},
            "notes": list(self.notes),
        }

    def to_text(self) -> str:
        """Return the summary as lines for people."""
        facts = self.summary()
        lines = [
            f"A {self.name_a}: {facts['n_a']} spines; B {self.name_b}: {facts['n_b']} spines",
            f"the same spine: head centres at most {self.tolerance_um:g} um apart, one to one",
            f"both {self.n_both}, only A {self.n_only_a}, only B {self.n_only_b}",
            f"agreement F1 {'undefined' if facts['f1'] is None else facts['f1']}",
        ]
        if facts["median_distance_um"] is not None:
            lines.append(f"median distance of the shared centres {facts['median_distance_um']} um")
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])


def match_spines(
    a: pd.DataFrame,
    b: pd.DataFrame,
    spacing_um: tuple[float, float, float],
    tolerance_um: float = DEFAULT_TOLERANCE_UM,
    is_2d: bool = False,
) -> tuple[pd.DataFrame, Counts]:
    """Match two spine tables of one stack by their head centres, one to one.

    Parameters
    ----------
    a, b : DataFrame
        Spine tables with `spine_id`, `x_px`, `y_px`, `z_px`.
    spacing_um : tuple of float
        Voxel size (z, y, x) in um.
    tolerance_um : float
        Largest distance in um, itself included.
    is_2d : bool
        True for a single image, where depth has no meaning.

    Returns
    -------
    table : DataFrame
        As `Agreement.table`, shared spines first, each group in the order of its ids.
    counts : Counts

    Raises
    ------
    SpinecoreError
        If the tolerance is not a positive number.

    Examples
    --------
    >>> a = pd.DataFrame({"spine_id": [1, 2], "x_px": [0, 50], "y_px": [0, 0], "z_px": [0, 0]})
    >>> b = pd.DataFrame({"spine_id": [7], "x_px": [4], "y_px": [0], "z_px": [0]})
    >>> table, counts = match_spines(a, b, (0.5, 0.1, 0.1))
    >>> table[["found_by", "a_spine_id", "b_spine_id", "distance_um"]].to_numpy().tolist()[0]
    ['both', 1, 7, 0.4]
    >>> counts.n_matched, counts.n_misses, counts.n_false_alarms
    (1, 1, 0)
    """
    if not (np.isfinite(tolerance_um) and tolerance_um > 0):
        raise SpinecoreError(f"the tolerance must be a positive number of micrometres, not {tolerance_um}")
    axes = _AXES[1:] if is_2d else _AXES
    size = np.array(spacing_um[-len(axes) :])
    names = [f"{axis}_px" for axis in axes]
    found = match(a[names].to_numpy(float) * size, b[names].to_numpy(float) * size, "centre", tolerance_um)
    groups = (
        (BOTH, found.pairs[:, 0], found.pairs[:, 1], found.values),
        (ONLY_A, found.misses, None, None),
        (ONLY_B, None, found.false_alarms, None),
    )
    parts = []
    for name, rows_a, rows_b, distance in groups:
        sides = [
            table.iloc[rows].reset_index(drop=True)
            for table, rows in ((a, rows_a), (b, rows_b))
            if rows is not None
        ]
        part = pd.DataFrame({"found_by": [name] * len(sides[0])})
        for axis, step_um in zip(_AXES[::-1], spacing_um[::-1], strict=True):
            middle = np.mean([side[f"{axis}_px"].to_numpy(float) for side in sides], axis=0)
            part[f"{axis}_px"] = middle
            part[f"{axis}_um"] = middle * step_um
        part["distance_um"] = np.nan if distance is None else np.round(distance, 6)
        for letter, rows in (("a", rows_a), ("b", rows_b)):
            source = a if letter == "a" else b
            for column in ("spine_id", *(m for m in MEASURES if m in a and m in b)):
                values = None if rows is None else source[column].iloc[rows].to_numpy()
                if column == "spine_id":
                    values = pd.array([None] * len(part) if values is None else values, dtype="Int64")
                part[f"{letter}_{column}"] = values
        parts.append(part)
    kept = [part for part in parts if len(part)]
    table = pd.concat(kept, ignore_index=True) if kept else parts[0]
    px = [f"{axis}_px" for axis in _AXES[::-1]]
    um = [f"{axis}_um" for axis in _AXES[::-1]]
    rest = [name for name in table if name not in ("found_by", *px, *um)]
    return table[["found_by", *px, *um, *rest]], found.counts


def compare_analyses(
    a: Analysis, b: Analysis, tolerance_um: float = DEFAULT_TOLERANCE_UM, names: tuple[str, str] | None = None
) -> Agreement:
    """Compare two analyses of the same stack.

    Parameters
    ----------
    a, b : Analysis
    tolerance_um : float
        Largest distance of two head centres that are the same spine.
    names : tuple of str, optional
        What the sides are called; by default their methods and thresholds.

    Raises
    ------
    SpinecoreError
        If they are of different stacks.
    """
    for what, one, other in (
        ("size", "x".join(map(str, a.shape[::-1])), "x".join(map(str, b.shape[::-1]))),
        ("channel", a.input.get("channel"), b.input.get("channel")),
        ("time point", a.input.get("time_point"), b.input.get("time_point")),
    ):
        if one != other:
            raise SpinecoreError(
                f"the two analyses are not of the same image (their {what} is {one} and {other}): "
                "choose two of the same stack"
            )
    notes = []
    same_light = all(np.array_equal(a.projections[key], b.projections[key]) for key in a.projections)
    if not same_light:
        raise SpinecoreError("the two analyses are not of the same image: choose two of the same stack")
    size = a.spacing.zyx_um()
    if not np.allclose(size, b.spacing.zyx_um(), rtol=1e-3):
        notes.append("The two analyses used different voxel sizes; distances are in micrometres of A.")
    table, counts = match_spines(a.spines, b.spines, size, tolerance_um, a.is_2d)
    return Agreement(*(names or (side_name(a), side_name(b))), tolerance_um, table, counts, tuple(notes))


def side_name(analysis: Analysis) -> str:
    """Return how an analysis is called: method, own weights, and threshold."""
    own = getattr(analysis.settings, "model", None)
    return f"{analysis.settings.method}{f' ({own})' if own else ''}, score from {analysis.threshold:.2g}"


def compare_folders(a: Path, b: Path, tolerance_um: float = DEFAULT_TOLERANCE_UM) -> Agreement:
    """Hold two folders written by `analyse` against each other; see `compare_analyses`."""
    one, other = load_analysis(a), load_analysis(b)
    names = (side_name(one), side_name(other))
    if names[0] == names[1]:
        names = (f"{a.name}: {names[0]}", f"{b.name}: {names[1]}")
    return compare_analyses(one, other, tolerance_um, names)
