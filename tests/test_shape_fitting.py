"""Rules chosen for an analysis, and thresholds fitted to classes by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import drawn_analysis
from typer.testing import CliRunner

from spinecore.analysis import edits
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.shapes.chosen_rules import ChosenRules, read_rules
from spinecore.shapes.fitting import fit_rules, pool_labelled
from spinecore.shapes.rules import RULE_SETS, Risher, Rodriguez


def spines(n: int = 60, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    head = rng.uniform(0.2, 1.0, n)
    return pd.DataFrame(
        {
            "spine_id": np.arange(1, n + 1),
            "length_um": rng.uniform(0.4, 4.0, n),
            "head_width_um": head,
            "neck_width_um": head * rng.uniform(0.3, 1.0, n),
            "neck_length_um": rng.uniform(0.1, 3.0, n),
        }
    )


@pytest.mark.parametrize(
    "person",
    [Rodriguez(head_um=0.7, stubby_ratio=4.0), Risher(filopodium_um=3.0, head_um=0.4)],
    ids=["rodriguez", "risher"],
)
def test_a_fit_finds_the_thresholds_that_a_person_uses(person: Rodriguez | Risher) -> None:
    name = next(n for n, kind in RULE_SETS.items() if isinstance(person, kind))
    table = spines(120)
    named = dict(zip(table["spine_id"], person.apply(table)["class"], strict=True))
    found = fit_rules(name, table, named)
    assert found.published < 0.9
    assert found.fitted >= 0.98
    assert found.left_out > found.published and found.helps
    other = spines(400, seed=1)
    same = found.chosen.rules.apply(other)["class"] == person.apply(other)["class"]
    assert same.mean() > 0.93
    assert found.chosen.fitted_to == 120


def test_a_fit_to_chance_says_that_it_does_not_help() -> None:
    table = spines(40)
    rng = np.random.default_rng(3)
    published = Rodriguez().apply(table)["class"]
    named = {i: c for i, c in zip(table["spine_id"], published, strict=True)}
    named |= {i: str(rng.choice(["thin", "mushroom"])) for i in list(named)[:6]}
    found = fit_rules("rodriguez", table, named)
    assert found.fitted >= found.published >= 0.8
    assert not found.helps and "as good" in found.words


def test_published_thresholds_stay_where_nothing_speaks_against_them() -> None:
    table = spines(50)
    named = dict(zip(table["spine_id"], Rodriguez().apply(table)["class"], strict=True))
    found = fit_rules("rodriguez", table, named)
    assert found.chosen.rules == Rodriguez() and found.fitted == 1.0 and not found.helps


def test_too_few_named_spines_are_told() -> None:
    table = spines(40)
    with pytest.raises(SpinecoreError, match="29 spines have a class by hand"):
        fit_rules("rodriguez", table, {i: "thin" if i % 2 else "stubby" for i in range(1, 30)})
    with pytest.raises(SpinecoreError, match="0 of them of the second"):
        fit_rules("rodriguez", table, dict.fromkeys(range(1, 41), "thin"))


def test_spines_of_several_analyses_are_numbered_anew() -> None:
    one, other = spines(5), spines(4, seed=2)
    table, named = pool_labelled([(one, {2: "thin", 9: "stubby"}), (other, {1: "mushroom", 2: "thin"})])
    assert named == {1: "thin", 2: "mushroom", 3: "thin"}
    assert table["length_um"].tolist() == [one["length_um"][1], other["length_um"][0], other["length_um"][1]]


def test_rules_survive_a_file_and_wrong_ones_are_told(tmp_path: Path) -> None:
    chosen = ChosenRules("risher", Risher(head_um=0.45), errors=False, fitted_to=33)
    chosen.write(tmp_path / "rules.json")
    assert read_rules(tmp_path / "rules.json") == chosen
    assert "33 spines named by hand (head um 0.45)" in chosen.words
    assert read_rules("risher") == ChosenRules("risher", Risher())
    with pytest.raises(SpinecoreError, match="neither a rule set"):
        read_rules(tmp_path / "missing.json")
    for said, words in (({"rules": "own"}, "no rule set 'own'"), ([], "no rule set None")):
        (tmp_path / "wrong.json").write_text(json.dumps(said))
        with pytest.raises(SpinecoreError, match=words):
            read_rules(tmp_path / "wrong.json")
    (tmp_path / "wrong.json").write_text(json.dumps({"rules": "risher", "thresholds": {"head_um": 99}}))
    with pytest.raises(SpinecoreError, match=r"head_um 0\.1 to 1\.5"):
        read_rules(tmp_path / "wrong.json")
    (tmp_path / "wrong.json").write_text("no json")
    with pytest.raises(SpinecoreError, match="not a file of rules"):
        read_rules(tmp_path / "wrong.json")


def test_chosen_rules_fill_the_tables_and_can_be_undone(tmp_path: Path) -> None:
    save_analysis(drawn_analysis()[0], tmp_path / "a")
    before = load_analysis(tmp_path / "a").spines["class_rule"]
    assert before.str.startswith("rodriguez: ").all()
    edits.set_rules(tmp_path / "a", ChosenRules("risher", Risher(head_um=0.3), errors=False))
    stored = load_analysis(tmp_path / "a")
    assert stored.spines["class_rule"].str.startswith("risher: ").all()
    assert pd.read_csv(tmp_path / "a" / "spines.csv")["class_rule"].str.startswith("risher: ").all()
    assert stored.cutter.chosen_rules.changed == {"head_um": 0.3}
    edits.undo_correction(tmp_path / "a")
    pd.testing.assert_series_equal(load_analysis(tmp_path / "a").spines["class_rule"], before)


def test_fit_rules_on_the_command_line_says_what_is_missing(tmp_path: Path) -> None:
    save_analysis(drawn_analysis()[0], tmp_path / "a")
    ran = CliRunner().invoke(app, ["fit-rules", str(tmp_path / "a"), "--out", str(tmp_path / "r.json")])
    assert ran.exit_code == 2 and "0 spines have a class by hand" in ran.output
    assert not (tmp_path / "r.json").exists()
