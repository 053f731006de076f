"""Rule sets: published examples, thresholds that move, and gaps that are not guessed over."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from spinecore.shapes.rules import RULE_SETS, OrderedRules, Risher, Rodriguez, named_class, rule_text
from spinecore.shapes.uncertain import apply_with_errors, compared


def table(**columns) -> pd.DataFrame:
    """One spine per entry: a 1.2 um spine with a 0.5 um head, a 0.2 um neck of 0.5 um, unless said."""
    n = max((len(v) for v in columns.values()), default=1)
    base = {"length_um": 1.2, "head_width_um": 0.5, "neck_width_um": 0.2, "neck_length_um": 0.5}
    flags = {"neck_width_um_flag": ""}
    return pd.DataFrame({k: [v] * n for k, v in (base | flags).items()} | columns)


def test_rodriguez_follows_its_tree() -> None:
    found = Rodriguez().apply(
        table(
            length_um=[1.2, 1.2, 4.5, 0.7, 4.0],
            head_width_um=[0.5, 0.3, 0.3, 0.6, 0.3],
            neck_width_um=[0.2, 0.2, 0.2, 0.58, 0.3],
            neck_length_um=[0.5, 0.5, 3.5, 0.1, 0.1],
        )
    )
    assert found["class"].tolist() == ["mushroom", "thin", "filopodium", "stubby", "filopodium"]
    assert found["rule"][0] == "head/neck > 1.1 and head >= 0.35 um"


def test_a_spine_without_neck_is_stubby_or_long_not_missing() -> None:
    bare = table(
        neck_width_um=[np.nan, np.nan, np.nan],
        neck_length_um=[np.nan] * 3,
        neck_width_um_flag=["no neck", "resolution-limited; no neck", "no clear peak"],
        length_um=[0.7, 3.5, 0.7],
    )
    found = Rodriguez().apply(bare)
    assert found["class"].tolist() == ["stubby", "filopodium", None]
    assert found["rule"][2] == "not decided: neck width is missing"


def test_a_neck_that_was_found_but_not_measured_is_a_neck() -> None:
    fine = table(
        neck_width_um=[np.nan, np.nan, np.nan],
        head_width_um=[0.5, 0.2, 0.5],
        neck_length_um=[0.5, 0.5, np.nan],
    )
    found = Rodriguez().apply(fine.assign(neck_width_um_flag="no clear peak"))
    assert found["class"].tolist()[:2] == ["mushroom", "thin"] and found["class"].isna()[2]
    assert found["rule"][0] == "a neck too fine to measure and head >= 0.35 um"


def test_missing_values_are_not_guessed() -> None:
    gaps = table(length_um=[np.nan, 1.2], head_width_um=[0.5, np.nan])
    for rules in RULE_SETS.values():
        found = rules().apply(gaps)
        decided = found["class"].notna()
        assert (found.loc[~decided, "rule"].str.startswith("not decided")).all()
        assert not decided[1]
    assert Rodriguez().apply(gaps)["class"][0] == "mushroom", "this branch needs no length"
    assert Risher().apply(pd.DataFrame({"spine_id": [1]}))["class"][0] is None


def test_risher_in_order() -> None:
    found = Risher().apply(
        table(
            length_um=[2.5, 1.5, 0.3, 0.8, 1.5, 1.5],
            head_width_um=[0.7, 0.7, 0.4, 0.4, 0.4, 0.4],
            n_heads=[1, 1, 1, 1, 1, 2],
        )
    )
    assert found["class"].tolist() == ["filopodium", "mushroom", "stubby", "thin", "thin", "branched"]
    assert found["rule"][4].startswith("long thin")


def test_imaris_like_in_order() -> None:
    found = OrderedRules().apply(
        table(
            length_um=[0.8, 1.5, 1.5, 1.5],
            head_width_um=[0.6, 0.6, 0.3, 0.2],
            neck_width_um=[0.1, 0.2, 0.2, 0.3],
        )
    )
    assert found["class"].tolist() == ["stubby", "mushroom", "thin", "filopodium"]


def test_a_moved_threshold_changes_the_class_and_its_text() -> None:
    one = table()
    assert Rodriguez().apply(one)["class"][0] == "mushroom"
    moved = Rodriguez(head_um=0.55).apply(one)
    assert moved["class"][0] == "thin"
    text = rule_text("rodriguez", moved)[0]
    assert text == "rodriguez: thin, no mushroom, no stubby, neck length <= 3 um"
    assert named_class(text) == "thin"
    with pytest.raises(ValidationError):
        Rodriguez(head_um=-1)


def test_ten_thousand_spines_at_once() -> None:
    rng = np.random.default_rng(0)
    many = table(
        length_um=rng.uniform(0.2, 5, 10_000).tolist(),
        head_width_um=rng.uniform(0.1, 1, 10_000).tolist(),
        neck_width_um=rng.uniform(0.1, 0.5, 10_000).tolist(),
    )
    for rules in RULE_SETS.values():
        assert rules().apply(many)["class"].isin(["mushroom", "thin", "stubby", "filopodium"]).all()


def test_a_class_that_hangs_on_an_error_is_not_decided() -> None:
    near = table(head_width_um=[0.36, 0.5, 0.3])
    found = apply_with_errors(Rodriguez(), near)
    assert found["class"][1] == "mushroom" and found["class"].isna()[0]
    assert found["rule"][0].startswith("not decided: head width 0.36 um")
    assert "mushroom or thin" in found["rule"][0]
    assert found["class"][2] == "thin"
    assert named_class(rule_text("rodriguez", found)[0]) is None
    limited = table(neck_width_um=[0.5], head_width_um=[0.53], neck_width_um_flag=["resolution-limited"])
    assert apply_with_errors(Rodriguez(), limited)["class"][0] is None, "the neck may be half as wide"
    gap = table(head_width_um=[np.nan])
    assert apply_with_errors(Rodriguez(), gap)["rule"][0] == "not decided: head width is missing"


def test_measures_stand_beside_their_thresholds() -> None:
    for rules in RULE_SETS.values():
        lines = compared(rules(), table().iloc[0])
        assert len(lines) == len(rules.lines)
        assert all(line.low < line.value < line.high and line.threshold > 0 for line in lines)
    first = compared(Rodriguez(), table().iloc[0])[0]
    assert first.value == pytest.approx(2.5) and first.threshold == 1.1 and first.unit == ""
    assert first.low == pytest.approx(0.5 * 0.89 / (0.2 * 1.2))
