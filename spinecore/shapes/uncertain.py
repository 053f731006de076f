"""Rules on measures that have errors: where an error spans a threshold, no class is the honest answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from spinecore.shapes.rules import RuleSet, measure_values

#: Median relative error of each measure: lengths and head widths as `python -m benchmarks.measurement_simulated` finds them on
#: simulated stacks of both microscopes, necks as `python -m benchmarks.measurement_accuracy` does with blur and noise.
ERRORS = {"length_um": 0.11, "head_width_um": 0.11, "neck_width_um": 0.2, "neck_length_um": 0.15}
#: A width at the microscope's resolution may as well be half of it.
LIMITED, LIMITED_ERROR = "resolution-limited", 0.5
_WORDS = {
    "length_um": "length",
    "head_width_um": "head width",
    "neck_width_um": "neck width",
    "neck_length_um": "neck length",
}
#: The columns that a rule set reads.
_READ = {*_WORDS, *(f"{name}_flag" for name in _WORDS), "n_heads"}


@dataclass(frozen=True)
class Compared:
    """One measure of a spine beside a threshold of a rule set.

    Parameters
    ----------
    title : str
    value, low, high : float
        The measure and the ends of its error; NaN where it is missing.
    threshold : float
    unit : str
        "um", or "" for a ratio.
    """

    title: str
    value: float
    low: float
    high: float
    threshold: float
    unit: str


def error_ranges(table: pd.DataFrame, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the low and the high end of a measure, (n,) each; NaN where it is missing."""
    values = measure_values(table, name)
    flags = table[f"{name}_flag"] if f"{name}_flag" in table else pd.Series("", index=table.index)
    limited = flags.fillna("").astype(str).str.contains(LIMITED, regex=False).to_numpy(bool)
    down = np.where(limited & (name == "neck_width_um"), LIMITED_ERROR, ERRORS[name])
    return values * (1 - down), values * (1 + ERRORS[name])


def apply_with_errors(rules: RuleSet, table: pd.DataFrame) -> pd.DataFrame:
    """Classify every row, and leave those undecided whose class an error of one measure would change.

    Parameters
    ----------
    rules : RuleSet
    table : DataFrame
        As for `RuleSet.apply`.

    Returns
    -------
    DataFrame
        As `RuleSet.apply` gives; a class that hangs on an error is None, and the rule names the measure and both classes.
    """
    read = [name for name in table if name in _READ]
    table = table[read]
    found = rules.apply(table)
    answer = found["class"].to_numpy(object)
    sure, rule = answer.copy(), found["rule"].to_numpy(object).copy()
    for name, word in _WORDS.items():
        if name not in table:
            continue
        values = measure_values(table, name)
        for end in error_ranges(table, name):
            other = rules.apply(table.assign(**{name: end}))["class"].to_numpy(object)
            for at in np.flatnonzero((other != answer) & pd.notna(sure)):
                rival = other[at] if isinstance(other[at], str) else "no class"
                sure[at] = None
                rule[at] = (
                    f"not decided: {word} {values[at]:.2f} um, with its error down or up to {end[at]:.2f} um, "
                    f"lies on both sides of a threshold ({answer[at]} or {rival})"
                )
    return pd.DataFrame({"class": pd.Series(sure, table.index, dtype=object), "rule": rule}, table.index)


def compared(rules: RuleSet, row: pd.Series) -> list[Compared]:
    """Return the measures of one spine beside the thresholds of a rule set, in the order of its rules."""
    table = pd.DataFrame([row])
    out = []
    for title, above, below, field in rules.lines:
        value = measure_values(table, above)[0]
        low, high = (ends[0] for ends in error_ranges(table, above))
        if below:
            other = measure_values(table, below)[0]
            least, most = (ends[0] for ends in error_ranges(table, below))
            value, low, high = value / other, low / most, high / least
        out.append(
            Compared(
                title,
                float(value),
                float(low),
                float(high),
                float(getattr(rules, field)),
                "" if below else "um",
            )
        )
    return out
