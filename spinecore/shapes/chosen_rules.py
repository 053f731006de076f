"""The rule set that an analysis uses: its name, its thresholds, and whether errors of the measures count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.files import replacing
from spinecore.shapes.rules import DEFAULT_RULES, RULE_SETS, RuleSet, rule_text
from spinecore.shapes.uncertain import apply_with_errors


@dataclass(frozen=True)
class ChosenRules:
    """One rule set as it is used.

    Parameters
    ----------
    name : str
        A key of `RULE_SETS`.
    rules : RuleSet
        With its thresholds.
    errors : bool
        Leave a spine undecided whose class an error of a measure would change.
    fitted_to : int
        Spines with a class by hand that the thresholds were fitted to; 0 where they were not.
    """

    name: str = DEFAULT_RULES
    rules: RuleSet = field(default_factory=RULE_SETS[DEFAULT_RULES])
    errors: bool = True
    fitted_to: int = 0

    @property
    def changed(self) -> dict[str, float]:
        """The thresholds that are not the published ones."""
        published = type(self.rules)()
        return {k: v for k, v in self.rules.model_dump().items() if v != getattr(published, k)}

    @property
    def words(self) -> str:
        """Source and thresholds, for a methods section.

        Examples
        --------
        >>> ChosenRules().words
        'the rules of Rodriguez et al. 2008, PLoS ONE 3(4): e1997 (NeuronStudio)'
        """
        said = f"the rules of {self.rules.source}"
        if self.changed:
            values = ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in self.changed.items())
            how = f"fitted to {self.fitted_to} spines named by hand" if self.fitted_to else "changed by hand"
            said += f" with thresholds {how} ({values})"
        return said if self.errors else f"{said}, errors of the measures left out of account"

    def apply(self, table: pd.DataFrame) -> pd.DataFrame:
        """Classify every row of a spine table: columns `class` and `rule`, see `RuleSet.apply`."""
        return apply_with_errors(self.rules, table) if self.errors else self.rules.apply(table)

    def texts(self, ruled: pd.DataFrame) -> pd.Series:
        """Return what `class_rule` holds for what `apply` returned."""
        return rule_text(self.name, ruled)

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON can hold them."""
        return {
            "rules": self.name,
            "thresholds": self.rules.model_dump(),
            "errors": self.errors,
            "fitted_to": self.fitted_to,
        }

    @classmethod
    def from_dict(cls, said: Any) -> ChosenRules:
        """Return the rules that `to_dict` wrote.

        Raises
        ------
        SpinecoreError
            If there is no such rule set, or a threshold is unknown or out of range.
        """
        name = said.get("rules") if isinstance(said, Mapping) else None
        if not isinstance(name, str) or name not in RULE_SETS:
            raise SpinecoreError(f"there is no rule set {name!r}: choose one of {', '.join(RULE_SETS)}")
        try:
            rules = RULE_SETS[name].model_validate(said.get("thresholds", {}))
            fitted_to = int(said.get("fitted_to", 0))
        except (ValueError, TypeError) as error:
            ranges = "; ".join(f"{key} {_range(info)}" for key, info in RULE_SETS[name].model_fields.items())
            raise SpinecoreError(
                f"these thresholds do not fit the rule set {name}: it has {ranges}, and no others"
            ) from error
        return cls(name, rules, said.get("errors", True) is not False, fitted_to)

    def write(self, path: Path) -> None:
        """Write them as a JSON file, which `read_rules` reads."""
        with replacing(path) as temporary:
            Path(temporary).write_text(json.dumps(self.to_dict(), indent=1) + "\n", encoding="utf-8")


def read_rules(text: str | Path) -> ChosenRules:
    """Return the rules of a JSON file, or the published ones of a name.

    Raises
    ------
    SpinecoreError
        If it is neither a name nor a file of rules.
    """
    if str(text) in RULE_SETS:
        return ChosenRules(str(text), RULE_SETS[str(text)]())
    path = Path(text)
    if not path.is_file():
        raise SpinecoreError(
            f"{str(text)!r} is neither a rule set ({', '.join(RULE_SETS)}) nor a file: give one of these names, or a file that "
            "`spinecore fit-rules` or the Shapes page wrote"
        )
    try:
        said = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise SpinecoreError(
            f"{path.name} is not a file of rules (JSON): save it on the Shapes page"
        ) from error
    return ChosenRules.from_dict(said)


def _range(info: Any) -> str:
    low, high = limits(info)
    return f"{low:g} to {high:g}"


def limits(info: Any) -> tuple[float, float]:
    """Return the lowest and highest value of a threshold, from the field of its rule set."""
    low, high = (next(getattr(m, side) for m in info.metadata if hasattr(m, side)) for side in ("ge", "le"))
    return float(low), float(high)
