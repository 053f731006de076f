"""Rule sets for the shape of a spine, on measured lengths and widths, with thresholds that can be changed.

A rule that needs a value which is missing cannot decide: the answer is then empty and the reason is given.
The one exception is a missing *neck width* where the measurement says that there is no neck (its flag
"no neck"): having no neck is an answer, not a gap.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

#: What a rule set says beyond the four classes of `spinecore.shapes.classes`.
BRANCHED = "branched"
_LENGTH, _HEAD, _NECK, _NECK_LENGTH = "length_um", "head_width_um", "neck_width_um", "neck_length_um"
_WORDS = {_LENGTH: "length", _HEAD: "head width", _NECK: "neck width", _NECK_LENGTH: "neck length"}


class _Decider:
    """Collects answers: the first rule whose condition holds wins; a gap met before that ends the search."""

    def __init__(self, table: pd.DataFrame) -> None:
        n = len(table)
        self.answer = np.full(n, None, object)
        self.rule = np.full(n, "", object)
        self.open = np.ones(n, bool)

    def need(self, table: pd.DataFrame, name: str, where: np.ndarray | None = None) -> None:
        """Close the rows in which a value that the next rules read is missing."""
        values = measure_values(table, name)
        gap = self.open & np.isnan(values) & (True if where is None else where)
        self.rule[gap] = f"not decided: {_WORDS[name]} is missing"
        self.open &= ~gap

    def say(self, condition: np.ndarray, answer: str, rule: str) -> None:
        """Answer the open rows in which a condition holds."""
        applies = self.open & condition
        self.answer[applies], self.rule[applies] = answer, rule
        self.open &= ~applies

    def result(self, table: pd.DataFrame) -> pd.DataFrame:
        answers = pd.Series(self.answer, table.index, dtype=object)
        return pd.DataFrame({"class": answers, "rule": self.rule}, index=table.index)


def measure_values(table: pd.DataFrame, name: str) -> np.ndarray:
    """Return a measure as float (n,); NaN where the table lacks it."""
    if name not in table:
        return np.full(len(table), np.nan)
    return pd.to_numeric(table[name], errors="coerce").to_numpy(float, na_value=np.nan)


def without_neck(table: pd.DataFrame) -> np.ndarray:
    """Return where the measurement says that a spine has no neck, as bool (n,)."""
    flags = table["neck_width_um_flag"] if f"{_NECK}_flag" in table else pd.Series("", index=table.index)
    said = flags.fillna("").astype(str).str.split("; ").map(lambda parts: "no neck" in parts).to_numpy(bool)
    return said & np.isnan(measure_values(table, _NECK))


class RuleSet(BaseModel):
    """Base of the rule sets: settings with units in their names, and `apply`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    title: ClassVar[str]
    source: ClassVar[str]
    #: What is compared with which field: title, measure, what it is divided by ("" for nothing), field.
    lines: ClassVar[tuple[tuple[str, str, str, str], ...]]

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """Classify every row of a spine table.

        Parameters
        ----------
        table : DataFrame
            With length_um, head_width_um, neck_width_um, neck_length_um and their flags; a column that is not
            there counts as missing.

        Returns
        -------
        DataFrame
            Columns `class` (None where no rule could decide) and `rule` (the rule that fired, with its numbers, or why
            none did), on the table's index.
        """
        raise TypeError("choose one of RULE_SETS")


class Rodriguez(RuleSet):
    """NeuronStudio's rules.

    A neck is there when head over neck width exceeds `neck_ratio`. With a neck, a head of `head_um` or more is a
    mushroom. Without one, length over head width below `stubby_ratio` is stubby. All else is a
    filopodium if the neck is longer than `filopodium_neck_um`, otherwise thin. A spine without a neck is judged on its
    whole length there. Where a neck was found (it has a length) whose width could not be measured, it counts as a neck.
    """

    title: ClassVar[str] = "Rodriguez 2008"
    source: ClassVar[str] = "Rodriguez et al. 2008, PLoS ONE 3(4): e1997 (NeuronStudio)"
    lines: ClassVar[tuple[tuple[str, str, str, str], ...]] = (
        ("head / neck width", _HEAD, _NECK, "neck_ratio"),
        ("head width", _HEAD, "", "head_um"),
        ("length / head width", _LENGTH, _HEAD, "stubby_ratio"),
        ("neck length", _NECK_LENGTH, "", "filopodium_neck_um"),
    )

    neck_ratio: float = Field(default=1.1, ge=1.0, le=3.0, title="Neck: head over neck width above")
    head_um: float = Field(default=0.35, ge=0.1, le=1.5, title="Mushroom: head width from (µm)")
    stubby_ratio: float = Field(default=2.5, ge=0.5, le=6.0, title="Stubby: length over head width below")
    filopodium_neck_um: float = Field(default=3.0, ge=0.5, le=8.0, title="Filopodium: neck longer than (µm)")

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """See `RuleSet.apply`."""
        length, head = measure_values(table, _LENGTH), measure_values(table, _HEAD)
        neck, neck_length = measure_values(table, _NECK), measure_values(table, _NECK_LENGTH)
        bare = without_neck(table)
        seen = ~bare & np.isnan(neck) & (neck_length > 0)
        decide = _Decider(table)
        decide.need(table, _HEAD)
        decide.need(table, _NECK, ~bare & ~seen)
        necked = seen | (~bare & (head > self.neck_ratio * neck))
        wide = head >= self.head_um
        at_least = f"head >= {self.head_um:g} um"
        decide.say(seen & wide, "mushroom", f"a neck too fine to measure and {at_least}")
        decide.say(necked & wide, "mushroom", f"head/neck > {self.neck_ratio:g} and {at_least}")
        decide.need(table, _LENGTH, ~necked)
        decide.say(
            ~necked & (length < self.stubby_ratio * head),
            "stubby",
            f"no neck and length/head < {self.stubby_ratio:g}",
        )
        reach = np.where(necked, neck_length, length)
        decide.need(table, _NECK_LENGTH, necked)
        decide.say(
            reach > self.filopodium_neck_um,
            "filopodium",
            f"no mushroom, no stubby, neck length > {self.filopodium_neck_um:g} um",
        )
        decide.say(
            np.ones(len(table), bool),
            "thin",
            f"no mushroom, no stubby, neck length <= {self.filopodium_neck_um:g} um",
        )
        return decide.result(table)


class Risher(RuleSet):
    """Rules in this order: two heads, filopodium, mushroom, stubby, thin ("long thin" counts as thin).

    Length over width of the stubby rule uses the head width. A spine's number of heads is only known where the table has
    a column `n_heads`.
    """

    title: ClassVar[str] = "Risher 2014"
    source: ClassVar[str] = "Risher et al. 2014, PLoS ONE 9(9): e107591"
    lines: ClassVar[tuple[tuple[str, str, str, str], ...]] = (
        ("length, filopodium", _LENGTH, "", "filopodium_um"),
        ("head width", _HEAD, "", "head_um"),
        ("length / head width", _LENGTH, _HEAD, "stubby_ratio"),
        ("length, thin", _LENGTH, "", "thin_um"),
    )

    filopodium_um: float = Field(default=2.0, ge=0.5, le=8.0, title="Filopodium: longer than (µm)")
    head_um: float = Field(default=0.6, ge=0.1, le=1.5, title="Mushroom: head wider than (µm)")
    stubby_ratio: float = Field(default=1.0, ge=0.3, le=3.0, title="Stubby: length over width below")
    thin_um: float = Field(default=1.0, ge=0.3, le=3.0, title="Thin rather than long thin: shorter than (µm)")

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """See `RuleSet.apply`."""
        length, head = measure_values(table, _LENGTH), measure_values(table, _HEAD)
        decide = _Decider(table)
        decide.say(measure_values(table, "n_heads") >= 2, BRANCHED, "2 heads or more")
        decide.need(table, _LENGTH)
        decide.say(length > self.filopodium_um, "filopodium", f"length > {self.filopodium_um:g} um")
        decide.need(table, _HEAD)
        decide.say(head > self.head_um, "mushroom", f"head > {self.head_um:g} um")
        decide.say(length < self.stubby_ratio * head, "stubby", f"length/width < {self.stubby_ratio:g}")
        decide.say(length < self.thin_um, "thin", f"length < {self.thin_um:g} um")
        decide.say(
            np.ones(len(table), bool), "thin", f"long thin: {self.thin_um:g} to {self.filopodium_um:g} um"
        )
        return decide.result(table)


class OrderedRules(RuleSet):
    """Imaris-like rules, tried in order; a spine without a neck has head = neck.

    "Long thin" counts as thin.
    """

    title: ClassVar[str] = "Imaris-like"
    source: ClassVar[str] = "default order and thresholds of the spine classifier in Imaris"
    lines: ClassVar[tuple[tuple[str, str, str, str], ...]] = (
        ("length, stubby", _LENGTH, "", "stubby_um"),
        ("length, mushroom", _LENGTH, "", "mushroom_um"),
        ("head / neck width", _HEAD, _NECK, "mushroom_ratio"),
    )

    stubby_um: float = Field(default=1.0, ge=0.2, le=3.0, title="Stubby: shorter than (µm)")
    mushroom_um: float = Field(default=3.0, ge=0.5, le=8.0, title="Mushroom: shorter than (µm)")
    mushroom_ratio: float = Field(default=2.0, ge=1.0, le=5.0, title="Mushroom: head over neck width above")

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """See `RuleSet.apply`."""
        length, head, neck = (
            measure_values(table, _LENGTH),
            measure_values(table, _HEAD),
            measure_values(table, _NECK),
        )
        bare = without_neck(table)
        neck = np.where(bare, head, neck)
        decide = _Decider(table)
        decide.need(table, _LENGTH)
        decide.say(length < self.stubby_um, "stubby", f"length < {self.stubby_um:g} um")
        decide.need(table, _HEAD)
        decide.need(table, _NECK, ~bare)
        decide.say(
            (length < self.mushroom_um) & (head > self.mushroom_ratio * neck),
            "mushroom",
            f"length < {self.mushroom_um:g} um and head > {self.mushroom_ratio:g} x neck",
        )
        decide.say(head >= neck, "thin", "long thin: head >= neck")
        decide.say(np.ones(len(table), bool), "filopodium", "head < neck")
        return decide.result(table)


#: The rule sets by the name that is written into tables.
RULE_SETS: dict[str, type[RuleSet]] = {"rodriguez": Rodriguez, "risher": Risher, "imaris-like": OrderedRules}
DEFAULT_RULES = "rodriguez"


def rule_text(name: str, rules: pd.DataFrame) -> pd.Series:
    """Return what is written into the table's `class_rule`: set, class and the rule that fired.

    Parameters
    ----------
    name : str
        A key of `RULE_SETS`.
    rules : DataFrame
        From `RuleSet.apply`.
    """
    answer = rules["class"].map(lambda value: value if isinstance(value, str) else "")
    return f"{name}: " + np.where(answer == "", "", answer + ", ") + rules["rule"]


def named_class(text: Any) -> str | None:
    """Read the class back out of a `class_rule` text; None where no rule decided.

    Examples
    --------
    >>> named_class("risher: mushroom, head > 0.6 um"), named_class("risher: not decided: length is missing")
    ('mushroom', None)
    """
    if not isinstance(text, str) or ": " not in text:
        return None
    answer = text.split(": ", 1)[1].split(",", 1)[0]
    return None if answer.startswith("not decided") else answer
