"""Candidates checked one by one: order, progress, two people, what holds, and what the program was worth."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_analysis import HEADS, drawn_analysis
from typer.testing import CliRunner

from spinecore.analysis.checking import (
    RANDOM,
    agreement_of,
    check_report,
    checking_order,
    checking_progress,
    disagreements,
    people,
)
from spinecore.analysis.editor import Editor
from spinecore.analysis.storage import load_analysis, read_facts, read_table, save_analysis
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError


@pytest.fixture
def ada(tmp_path) -> Editor:
    """Spines 1 to 4 count at 0.5 (scores 0.9, 0.8, 0.7, 0.6); candidate 5 has 0.4."""
    analysis, voxels = drawn_analysis()
    save_analysis(analysis, tmp_path)
    return Editor(tmp_path, lambda r: voxels[r.start : r.stop], by="Ada")


def ids(editor: Editor) -> list[int]:
    return editor.analysis.spines["spine_id"].tolist()


def test_orders_hold_the_same_candidates_and_no_answer_changes_them(ada):
    sure, along = checking_order(ada.analysis), checking_order(ada.analysis, "along dendrites")
    assert set(sure[:2]) == {4, 5} and sure[-1] == 1, "score nearest to the threshold first"
    start = ada.analysis.candidates.dendrites[0].branches[0].points_um[0, 2]
    by_x = sorted(range(1, 6), key=lambda n: HEADS[n - 1][2], reverse=bool(start > 6))
    assert along == by_x
    drawn = checking_order(ada.analysis, RANDOM, seed=3)
    assert sorted(drawn) == [1, 2, 3, 4, 5] and drawn == checking_order(ada.analysis, RANDOM, seed=3)
    assert sorted(checking_order(ada.analysis, margin=0.05)) == [1, 2, 3, 4]
    ada.check(4, "no")
    ada.check(5, "yes")
    assert checking_order(ada.analysis) == sure and ids(ada) == [1, 2, 3, 5]
    with pytest.raises(SpinecoreError, match="there is no order"):
        checking_order(ada.analysis, "upwards")


def test_answers_are_in_the_table_and_can_be_undone(ada):
    ada.check(1, "yes")
    table = read_table(ada.folder / "spines.csv").set_index("spine_id")
    assert table.loc[1, ["reviewed", "reviewed_by"]].tolist() == [True, "Ada"]
    assert str(table.loc[1, "reviewed_at"]).startswith("20") and not table.loc[2, "reviewed"]
    assert not table["edited"].any() and set(table["origin"]) == {"automatic"}, "a yes changes nothing"
    assert read_facts(ada.folder)["n_reviewed"] == 1
    assert ada.undo().words == "yes to spine 1" and not ada.analysis.spines["reviewed"].any()
    with pytest.raises(SpinecoreError, match="an answer is"):
        ada.check(1, "maybe")


def test_where_two_people_differ_neither_overwrites_the_other(ada):
    ben = Editor(ada.folder, ada._read, by="Ben")
    ada.check(4, "no")
    ada.check(5, "no")
    assert ids(ada) == [1, 2, 3]
    ben.check(4, "yes")
    ben.check(5, "no")
    assert ids(ben) == [1, 2, 3, 4], "the score decides until they settle it"
    found = disagreements(ben.analysis)
    assert [(d.candidate, d.answers) for d in found] == [(4, {"Ada": "no", "Ben": "yes"})]
    assert ada.answers() == {4: "no", 5: "no"} and ben.answers() == {4: "yes", 5: "no"}
    ben.settle(4, "no")
    assert ids(ben) == [1, 2, 3] and not disagreements(ben.analysis)
    assert ben.answers("Ada") == {4: "no", 5: "no"}, "what each said stays as it was said"
    again = load_analysis(ada.folder)
    assert again.spines["spine_id"].tolist() == [1, 2, 3] and people(again) == ["Ada", "Ben"]


def test_agreement_is_that_of_the_answers(ada):
    ben = Editor(ada.folder, ada._read, by="Ben")
    for number, one, other in ((1, "yes", "yes"), (2, "yes", "yes"), (3, "yes", "no"), (4, "no", "no")):
        ada.check(number, one)
        ben.check(number, other)
    found = agreement_of(ben.analysis, "Ada", "Ben")
    assert (found["n"], found["both_yes"], found["only_a"], found["only_b"], found["both_no"]) == (
        4,
        2,
        1,
        0,
        1,
    )
    assert found["f1"] == pytest.approx(4 / 5)
    assert found["kappa"] == pytest.approx((0.75 - 0.5) / 0.5)
    nobody = agreement_of(ben.analysis, "Ada", "Eve")
    assert nobody["n"] == 0 and nobody["f1"] is None and nobody["kappa"] is None


def test_progress_counts_what_is_left_at_the_persons_own_pace(ada):
    order = checking_order(ada.analysis)
    assert checking_progress(ada.analysis, "Ada", order).checked == 0
    ada.check(1, "yes")
    ada.check(2, "no")
    found = checking_progress(ada.analysis, "Ada", order)
    assert (found.checked, found.total) == (2, 5) and found.minutes_left == pytest.approx(3 * 4 / 60)
    assert checking_progress(ada.analysis, "Ben", order).checked == 0


def test_the_report_compares_the_program_with_what_people_said(ada):
    for number, answer in ((1, "yes"), (2, "yes"), (3, "no"), (5, "yes")):
        ada.check(number, answer)
    added = ada.add(np.array([9, 30, 21])).spine
    report = check_report(ada.analysis)
    assert (report["reviewed"], report["unreviewed"]) == (5, 1)
    assert (report["all"]["right"], report["all"]["false"], report["all"]["missed"]) == (2, 1, 2), added
    assert report["all"]["precision"] == pytest.approx(2 / 3) and report["all"]["recall"] == pytest.approx(
        0.5
    )
    assert report["all"]["f1"] == pytest.approx(4 / 7)
    scored = {row["from"]: row for row in report["by_score"] if row["n"]}
    assert sum(row["n"] for row in scored.values()) == 4, "an added spine has no score"
    assert scored[0.9]["precision"] == 1 or scored[0.8]["precision"] == 1
    assert report["people"] == ["Ada"] and report["agreement"] == []


def test_the_command_prints_the_report(ada):
    ada.check(1, "yes")
    ada.check(3, "no")
    done = CliRunner().invoke(app, ["check", "report", str(ada.folder), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.output)["all"] == {
        "n": 2,
        "right": 1,
        "false": 1,
        "missed": 0,
        "precision": 0.5,
        "recall": 1.0,
        "f1": pytest.approx(2 / 3),
    }
    plain = CliRunner().invoke(app, ["check", "report", str(ada.folder)])
    assert "2 reviewed" in plain.output and "precision 0.500" in plain.output
    empty = CliRunner().invoke(app, ["check", "report", str(ada.folder / "nothing")])
    assert empty.exit_code == 2
