"""The sample check: its statistics against closed forms, its records, its sheet and its command."""

from __future__ import annotations

import json
import zipfile
from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import drawn_analysis
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from benchmarks import sample_check as benchmark
from spinecore.analysis.storage import remove_analysis, save_analysis
from spinecore.cli.main import app
from spinecore.corrections import samplecheck, sampling
from spinecore.corrections.checksheet import read_sheet
from spinecore.corrections.samplecheck import Answer, SampleCheck
from spinecore.corrections.sampling import (
    drawing_order,
    estimate_ratio,
    estimate_total,
    make_strata,
    merge_strata,
    most_disagreeing,
    segments_needed,
)
from spinecore.corrections.segments import Segment, cut_segments, segment_line
from spinecore.errors import SpinecoreError

ONE = np.zeros(20, int)
COUNTS = np.arange(20) % 7


def test_one_stratum_has_the_textbook_interval():
    checked = np.array([0, 3, 4, 9, 11, 13, 17, 19])
    off = np.array([1, 0, 2, -1, 0, 1, 3, 1])
    found = estimate_total(COUNTS, checked, COUNTS[checked] + off, ONE)
    value = COUNTS.sum() + 20 * off.mean()
    half = stats.t.ppf(0.975, 7) * 20 * np.sqrt((1 - 8 / 20) * off.var(ddof=1) / 8)
    assert found.method == sampling.STUDENT and found.value == pytest.approx(value)
    assert (found.low, found.high) == (pytest.approx(value - half), pytest.approx(value + half))


def test_strata_add_up_with_satterthwaite_freedom():
    strata = np.repeat([0, 1], [12, 8])
    checked, off = np.array([0, 2, 5, 8, 13, 15, 19]), np.array([0, 1, 2, 0, 4, 1, 6])
    found = estimate_total(COUNTS, checked, COUNTS[checked] + off, strata)
    parts = [(12, off[:4]), (8, off[4:])]
    variances = [n**2 * (1 - len(o) / n) * o.var(ddof=1) / len(o) for n, o in parts]
    freedom = sum(variances) ** 2 / sum(
        v**2 / (len(o) - 1) for v, (_, o) in zip(variances, parts, strict=True)
    )
    value = COUNTS.sum() + sum(n * o.mean() for n, o in parts)
    assert found.value == pytest.approx(value)
    assert found.high - value == pytest.approx(stats.t.ppf(0.975, freedom) * sum(variances) ** 0.5)


def test_the_estimate_is_unbiased_over_all_samples():
    auto, true = np.array([0, 2, 5, 1, 3, 4]), np.array([1, 2, 3, 4, 3, 6])
    strata = np.array([0, 0, 1, 0, 1, 1])
    values = [
        estimate_total(auto, np.array(a + b), true[list(a + b)], strata).value
        for a in combinations((0, 1, 3), 2)
        for b in combinations((2, 4, 5), 2)
    ]
    assert np.mean(values) == pytest.approx(true.sum())


def test_a_complete_count_leaves_no_interval():
    found = estimate_total(COUNTS, np.arange(20), COUNTS + 1, ONE)
    assert found.value == found.low == found.high == COUNTS.sum() + 20 and found.method == sampling.COMPLETE


def test_without_disagreement_the_rule_of_three_bounds_the_number():
    counts = np.full(1000, 2)
    found = estimate_total(counts, np.arange(30), np.full(30, 2), np.zeros(1000, int))
    assert found.value == 2000 and found.method == sampling.NO_DISAGREEMENT
    assert (found.high - 2000) / 1000 == pytest.approx(3 / 30, abs=0.01)
    assert 2000 - found.low == found.high - 2000


@pytest.mark.parametrize(("seen", "n", "population", "chance"), [(0, 7, 25, 0.05), (2, 10, 40, 0.025)])
def test_the_exact_bound_is_that_of_the_hypergeometric(seen, n, population, chance):
    def chance_of(number: int) -> float:
        ways = sum(comb(number, k) * comb(population - number, n - k) for k in range(seen + 1))
        return ways / comb(population, n)

    bound = most_disagreeing(seen, n, population, chance)
    assert chance_of(bound) > chance >= chance_of(bound + 1)


def test_few_disagreements_widen_students_interval():
    counts, checked = np.full(100, 3), np.arange(30)
    true = np.full(30, 3)
    true[4] = 4
    found = estimate_total(counts, checked, true, np.zeros(100, int))
    assert found.method == sampling.FEW_DISAGREEMENTS
    student = stats.t.ppf(0.975, 29) * 100 * np.sqrt(0.7 * (true - 3).var(ddof=1) / 30)
    assert found.high > found.value + student


def test_the_interval_never_falls_below_what_was_seen():
    counts, checked = np.zeros(50, int), np.arange(10)
    true = np.array([0, 0, 0, 0, 0, 9, 1, 1, 1, 1])
    found = estimate_total(counts, checked, true, np.zeros(50, int))
    assert found.low == 13 and found.value == 65


def test_nothing_or_one_segment_gives_no_upper_bound():
    for n in (0, 1):
        found = estimate_total(COUNTS, np.arange(n), COUNTS[:n], ONE)
        assert found.method == sampling.TOO_FEW and found.high == np.inf and found.value == COUNTS.sum()


def test_a_ratio_has_the_linearised_variance():
    top, bottom = np.arange(20.0), np.full(20, 5.0)
    checked = np.array([1, 4, 8, 12, 15, 18])
    true_top, true_bottom = top[checked] + [1, 0, 2, 1, 0, 1], bottom[checked] - [0, 5, 0, 0, 1, 0]
    found = estimate_ratio(top, bottom, checked, true_top, true_bottom, ONE)
    total = 100 - 20 * 1.0
    value = (190 + 20 * 5 / 6) / total
    off = true_top - top[checked] - value * (true_bottom - bottom[checked])
    half = stats.t.ppf(0.975, 5) * 20 * np.sqrt((1 - 6 / 20) * off.var(ddof=1) / 6) / total
    assert found.value == pytest.approx(value) and found.high - found.value == pytest.approx(half)


def test_the_number_of_further_segments_reaches_the_aim():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5, 300)
    strata = make_strata(counts, 20)
    order = drawing_order(strata, 1)
    true = counts + rng.integers(-3, 4, 300)
    checked = order[:20]
    more = segments_needed(counts, checked, true[checked], strata)
    assert more is not None and 0 < more < 280
    later = order[: 20 + more]
    found = estimate_total(counts, later, true[later], strata)
    assert (found.high - found.low) / 2 / found.value == pytest.approx(0.10, rel=0.35)
    assert segments_needed(counts, order, true[order], strata) == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=120), st.integers(1, 80), st.integers(0, 10_000))
def test_any_first_part_of_the_order_is_spread_over_the_strata(counts, n, seed):
    values = np.array(counts)
    strata = make_strata(values, n)
    order = drawing_order(strata, seed)
    assert sorted(order.tolist()) == list(range(len(counts)))
    first = order[: min(n, len(counts))]
    for stratum in np.unique(strata):
        own = strata == stratum
        assert abs(own[first].sum() - len(first) * own.mean()) < len(np.unique(strata)) + 1
    for stratum in np.unique(strata):
        others = values[strata != stratum]
        assert not np.isin(values[strata == stratum], others).any()
    groups = merge_strata(first, strata)
    for group in np.unique(groups):
        size, seen = (groups == group).sum(), (groups[first] == group).sum()
        assert seen >= 2 or seen == size or len(np.unique(groups)) == 1


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=60),
    st.integers(1, 60),
    st.integers(0, 1000),
)
def test_every_interval_holds_its_value_and_what_was_seen(pairs, n, seed):
    auto, true = (np.array(v) for v in zip(*pairs, strict=True))
    strata = make_strata(auto, n)
    checked = drawing_order(strata, seed)[:n]
    found = estimate_total(auto, checked, true[checked], strata)
    assert true[checked].sum() <= found.low <= found.high
    assert found.low <= max(found.value, true[checked].sum()) <= max(found.high, found.low) + 1e-9
    if found.n == found.population:
        assert found.value == true.sum()


# --- records ------------------------------------------------------------------------------------


def _check(answers: dict[int, Answer]) -> SampleCheck:
    """Ten segments of 5 um with two spines each, all drawn."""
    segments = [Segment(k, 1, 1, 5.0 * (k - 1), 5.0 * k, 0, 0, 0, (2 * k - 1, 2 * k)) for k in range(1, 11)]
    return SampleCheck(1, 10, 0.5, tuple(segments), 10, answers)


def test_means_and_shares_leave_out_what_is_no_spine():
    spines = pd.DataFrame({"spine_id": range(1, 21), "length_um": 1.0, "class": "thin"})
    spines.loc[spines["spine_id"] % 2 == 0, ["length_um", "class"]] = 3.0, "stubby"
    answers = {k: Answer(k, 1, not_spines=(2 * k,)) for k in range(1, 11)}
    check = _check(answers)
    assert check.mean(spines, "length_um").value == 1.0 and check.mean(spines, "length_um").automatic == 2.0
    assert check.share(spines, "thin").value == 1.0 and check.share(spines, "stubby").value == 0.0
    part = _check({k: answers[k] for k in (1, 2, 3)} | {4: Answer(4, 2)})
    found = part.mean(spines, "length_um")
    assert found.low < 1.5 < found.high and found.method == sampling.STUDENT
    unnamed = _check({k: Answer(k, 1) for k in (1, 2, 3)})
    assert np.isnan(unnamed.mean(spines, "length_um").value), "which one is false was not said"


def test_a_line_beside_the_shaft_does_not_count_as_length():
    answers = {k: Answer(k, 2, on_shaft=True) for k in range(1, 11)}
    assert _check(answers).density().value == pytest.approx(20 / 50)
    answers[3] = Answer(3, 0, on_shaft=False)
    assert _check(answers).density().value == pytest.approx(18 / 45)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stored analysis with one dendrite of 12 um."""
    analysis, _ = drawn_analysis()
    save_analysis(analysis, tmp_path / "cell")
    return tmp_path / "cell"


def test_segments_hold_every_spine_of_a_dendrite_and_its_whole_length():
    analysis, _ = drawn_analysis()
    cut = cut_segments(analysis.candidates.dendrites, analysis.spines, (1.0, 1.0))
    assert sorted(n for s in cut for n in s.spines) == analysis.spines["spine_id"].tolist()
    length = float(analysis.dendrites["path_length_um"].sum())
    assert sum(s.length_um for s in cut) == pytest.approx(length, abs=0.01)
    assert all(abs(s.y_px - 45) < 1.5 and abs(s.z_px - 7) < 1 for s in cut)
    line = segment_line(analysis.candidates.dendrites, cut[0], (1.0, 1.0))
    assert np.linalg.norm(np.diff(line, axis=0), axis=1).sum() == pytest.approx(cut[0].length_um, abs=0.05)


def test_draws_and_answers_are_read_back_and_a_new_draw_starts_anew(folder):
    segments = _check({}).segments
    assert samplecheck.read_check(folder) is None
    first = samplecheck.draw_check(folder, segments, 4, 7, 0.5)
    samplecheck.append_answer(folder, Answer(first.drawn[0].number, 3, by="AB"))
    samplecheck.append_answer(folder, Answer(first.drawn[0].number, 4, True, False, (), "AB"))
    samplecheck.extend_check(folder, 6)
    found = samplecheck.read_check(folder)
    assert found.n == 6 and found.drawn[:4] == first.drawn and found.people == ["AB"]
    assert [a.true_count for a in found.checked] == [4]
    samplecheck.draw_check(folder, segments, 4, 8, 0.5)
    assert samplecheck.read_check(folder).checked == []
    remove_analysis(folder)
    assert samplecheck.read_check(folder) is None, "an analysis that takes this one's place has no check"


def test_corrections_made_later_leave_the_automatic_counts_of_the_draw(folder):
    samplecheck.draw_check(folder, _check({}).segments, 4, 7, 0.5)
    CliRunner().invoke(app, ["correct", str(folder), "--remove", "1"])
    assert samplecheck.read_check(folder).counts.sum() == 20


# --- the command ---------------------------------------------------------------------------------


def run(*arguments: object) -> tuple[int, str]:
    """Return exit code and output of `spinecore check`."""
    result = CliRunner().invoke(app, ["check", *map(str, arguments)])
    return result.exit_code, result.output


def filled(sheet: Path, change: dict[str, list[object]], **how: str) -> Path:
    """Write a sheet with columns filled in."""
    table = pd.read_csv(sheet).assign(**change)
    out = sheet.with_name("filled.csv")
    table.astype(object).where(table.notna(), "").to_csv(out, index=False, **how)
    return out


def test_a_sheet_is_drawn_filled_in_and_estimated(folder, tmp_path):
    sheet = tmp_path / "sheet.csv"
    code, text = run("draw", folder, "--segments", 30, "--seed", 1, "--out", sheet)
    assert code == 0 and "2 of 2 segments" in text
    table = pd.read_csv(sheet)
    assert table.columns[:4].tolist() == ["segment", "dendrite", "from_um", "to_um"]
    assert table["true_count"].isna().all() and table["automatic_count"].sum() == 4
    done = filled(
        sheet,
        {"true_count": table["automatic_count"] + [1, 0], "on_shaft": "yes"},
        sep=";",
        encoding="utf-16",
    )
    code, text = run("estimate", folder, "--sheet", done, "--by", "AB", "--json")
    values = json.loads(text)
    assert code == 0 and values["total"] == values["low"] == values["high"] == 5
    assert (values["n"], values["N"], values["method"]) == (2, 2, sampling.COMPLETE)
    assert values["density_per_um"] == pytest.approx(5 / values["length_um"], rel=1e-4)
    assert values["automatic_total"] == 4 and values["checked_by"] == ["AB"] and values["off_shaft"] == [0, 2]
    lines = (folder / "sample_check.jsonl").read_text().count("\n")
    assert run("estimate", folder, "--sheet", done, "--by", "AB")[0] == 0
    assert (folder / "sample_check.jsonl").read_text().count("\n") == lines, "the same answers are kept once"
    assert "spines: 5 (95 % CI 5 to 5); automatic 4" in run("estimate", folder)[1]
    assert CliRunner().invoke(app, ["export", str(folder), "--to", "bundle"]).exit_code == 0
    with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
        assert "2 of 2 segments of about 5 um" in archive.read("methods.txt").decode()
        assert "sample_check.jsonl" in archive.namelist()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"true_count": ["x", 1]}, "true_count must be a whole number, not 'x'"),
        ({"true_count": [1.5, 1]}, "must be a whole number"),
        ({"true_count": [1, 1], "segment": [1, 99]}, "segment 99, which is not in the last draw"),
        ({"true_count": [1, 1], "segment": [1, 1]}, "segment 1 a second time"),
        ({"true_count": [1, 1], "not_spines": [50, ""]}, "a spine that is not on segment"),
        ({"true_count": [1, 1], "on_shaft": ["maybe", ""]}, "on_shaft must be yes or no, not 'maybe'"),
        ({"true_count": ["", ""]}, "no true_count is filled in"),
    ],
)
def test_mistakes_in_a_sheet_are_one_sentence(folder, tmp_path, change, message):
    run("draw", folder, "--out", tmp_path / "sheet.csv")
    code, text = run("estimate", folder, "--sheet", filled(tmp_path / "sheet.csv", change))
    assert code == 2 and message in text and text.count("\n") == 1
    assert not samplecheck.read_check(folder).checked, "nothing of a wrong sheet is kept"


def test_what_is_missing_is_said(folder, tmp_path):
    code, text = run("estimate", folder)
    assert code == 2 and "no segments were drawn" in text
    assert run("draw", folder, "--segments", 0, "--out", tmp_path / "s.csv")[0] == 2
    run("draw", folder, "--out", tmp_path / "sheet.csv")
    assert "no segment was counted yet" in run("estimate", folder)[1]
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(SpinecoreError, match="no column segment"):
        read_sheet(other, samplecheck.read_check(folder))


def test_the_benchmark_covers_and_is_unbiased():
    rng = np.random.default_rng(3)
    cells = [benchmark.drawn_segments(rng, 120) for _ in range(4)]
    for detector in benchmark.DETECTORS.values():
        row = benchmark.try_detector(cells, detector, 30, 200, 0)
        assert row.covered / row.drawn >= 0.90
        assert abs(np.mean(row.errors)) < 4 * np.std(row.errors) / row.drawn**0.5 + 0.002
    cell = benchmark.simulated_cell(1)
    assert len(cell.true) == len(cell.depth) > 10 and ((cell.depth >= 0) & (cell.depth <= 1)).all()
