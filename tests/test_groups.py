"""Comparing groups: the sheet, the nested summary, and the statistics against closed forms."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import drawn_analysis
from scipy import stats
from typer.testing import CliRunner

from spinecore.analysis.storage import save_analysis
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.groups.figure import figure_bytes, group_figure
from spinecore.groups.sheet import Sample, parse_sheet, samples_in_folder
from spinecore.groups.statistics import (
    bootstrap_g,
    compare,
    difference_interval,
    effective_number,
    hedges_g,
    hedges_g_paired,
    holm,
    intraclass_correlation,
    permutation_test,
    small_sample_factor,
)
from spinecore.groups.summary import (
    COMPARISON_COLUMNS,
    compare_conditions,
    group_notes,
    independence,
    measure_columns,
    summarise_groups,
)
from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS

A = np.array([1.0, 2.0, 4.0, 5.0])
B = np.array([3.0, 6.0, 7.0, 9.0, 10.0])


# --- statistics ---------------------------------------------------------------------------------


def test_hedges_g_is_the_corrected_standardised_difference() -> None:
    pooled = np.sqrt((3 * A.var(ddof=1) + 4 * B.var(ddof=1)) / 7)
    assert hedges_g(A, B) == pytest.approx(small_sample_factor(7) * (7.0 - 3.0) / pooled)
    assert small_sample_factor(7) == pytest.approx(1 - 3 / (4 * 7 - 1), abs=2e-3)  # Hedges' approximation
    assert hedges_g(B, A) == pytest.approx(-hedges_g(A, B))
    assert np.isnan(hedges_g(A[:1], B)) and np.isnan(hedges_g(np.ones(3), np.ones(3)))


def test_paired_g_uses_the_spread_between_animals() -> None:
    b = A + 1
    assert hedges_g_paired(A, b) == pytest.approx(small_sample_factor(3) / A.std(ddof=1))


def test_interval_and_p_agree_with_scipy() -> None:
    low, high, p = difference_interval(A, B)
    wanted = stats.ttest_ind(B, A, equal_var=False)
    assert (low, high) == pytest.approx(tuple(wanted.confidence_interval()))
    assert p == pytest.approx(wanted.pvalue)
    low, high, p = difference_interval(A, B[:4], paired=True)
    wanted = stats.ttest_rel(B[:4], A)
    assert (low, high) == pytest.approx(tuple(wanted.confidence_interval()))
    assert p == pytest.approx(wanted.pvalue)


def test_permutation_is_exact_for_few_animals() -> None:
    wanted = stats.permutation_test(
        (A, B), lambda a, b: abs(a.mean() - b.mean()), alternative="greater", n_resamples=np.inf
    )
    assert permutation_test(A, B)[0] == pytest.approx(wanted.pvalue)
    assert permutation_test(A[:3], B[2:]) == pytest.approx((0.1, 0.1))
    # pairs: all four differences are positive, so only the signs all + and all - reach them
    assert permutation_test(A, A + 2, paired=True) == pytest.approx((2 / 16, 2 / 16))
    assert all(np.isnan(permutation_test(A[:1], B)))


def test_many_pairs_agree_with_all_their_swaps() -> None:
    """Differences of +-1 only: the number of positive ones is binomial, so p is known in closed form."""
    signs = np.array([1.0] * 15 + [-1.0] * 5)
    p, smallest = permutation_test(np.zeros(20), signs, paired=True)
    assert p == pytest.approx(2 * stats.binom.cdf(5, 20, 0.5), abs=0.005)
    assert smallest == pytest.approx(1 / 20_001)


def test_holm_is_stepwise_bonferroni_and_not_a_false_discovery_rate() -> None:
    p = [0.01, 0.02, np.nan, 0.03, 0.04]
    assert holm(p) == pytest.approx([0.04, 0.06, np.nan, 0.06, 0.06], nan_ok=True)
    assert stats.false_discovery_control([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04] * 4)
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0]


def test_drawn_permutations_agree_with_the_t_test() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 20), rng.normal(0.7, 1, 20)
    p, smallest = permutation_test(a, b)
    assert p == pytest.approx(stats.ttest_ind(a, b).pvalue, abs=0.01)
    assert 0 < smallest < 1e-4


def test_bootstrap_interval_covers_the_true_effect() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for k in range(40):
        a, b = rng.normal(0, 1, 15), rng.normal(1, 1, 15)
        low, high = bootstrap_g(a, b, seed=k)
        hits += low <= 1 <= high
    assert hits >= 34
    assert all(np.isnan(bootstrap_g(A[:2], B)))


def test_permutation_keeps_its_error_rate_where_spines_do_not() -> None:
    """Animals differ, conditions do not: counting spines finds an effect most of the time, counting animals rarely."""
    rng = np.random.default_rng(2)
    naive = animals = 0
    for _ in range(60):
        means = rng.normal(0, 1, (2, 5))
        spines = means[:, :, None] + rng.normal(0, 1, (2, 5, 60))
        naive += stats.ttest_ind(spines[0].ravel(), spines[1].ravel()).pvalue < 0.05
        animals += permutation_test(spines[0].mean(1), spines[1].mean(1))[0] < 0.05
    assert naive > 30 and animals <= 8


def test_intraclass_correlation_recovers_the_variance_share() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(200), 20)
    values = rng.normal(0, 1, 200)[groups] + rng.normal(0, 2, len(groups))
    assert intraclass_correlation(values, groups) == pytest.approx(1 / 5, abs=0.04)
    assert intraclass_correlation(rng.normal(0, 1, 4000), groups) == pytest.approx(0, abs=0.02)
    assert intraclass_correlation(groups.astype(float), groups) == pytest.approx(1)
    assert np.isnan(intraclass_correlation(values[:20], groups[:20]))
    assert effective_number(400, 8, 1.0) == 8


def test_holm_agrees_with_the_step_down_rule() -> None:
    assert holm([0.01, np.nan, 0.04, 0.03]).tolist() == pytest.approx([0.03, np.nan, 0.06, 0.06], nan_ok=True)


def test_compare_leaves_out_what_is_missing() -> None:
    found = compare([*A, np.nan], B)
    assert (found.n_a, found.n_b, found.difference) == (4, 5, 4.0)
    pairs = compare([1.0, np.nan, 3.0], [2.0, 5.0, 5.0], paired=True)
    assert (pairs.n_a, pairs.difference) == (2, 1.5)
    with pytest.raises(ValueError, match="same animals"):
        compare(A, B, paired=True)


# --- the sheet ----------------------------------------------------------------------------------


def test_sheet_takes_tabs_semicolons_synonyms_and_further_columns() -> None:
    for separator in "\t;,":
        text = "\ufeff" + "\n".join(
            separator.join(row)
            for row in (("Group", "Mouse", "notes", "File", "Neuron"), ("wt", "1", "x", "a b.tif", "c1"))
        )
        assert parse_sheet(text).to_dict("records") == [
            {"analysis": "a b.tif", "animal": "1", "cell": "c1", "condition": "wt"}
        ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        ("analysis,animal,condition\n", "heading only"),
        ("analysis,animal\na,1", "no column 'condition'"),
        ("analysis,animal,condition\na,,wt", "Line 2 of the sheet has no animal"),
        ("analysis,animal,condition\na,1,wt\na,2,ko", "comes twice"),
    ],
)
def test_sheet_says_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(SpinecoreError, match=said):
        parse_sheet(text)


# --- summaries ----------------------------------------------------------------------------------


def made_sample(
    analysis: str,
    animal: str,
    cell: str,
    condition: str,
    lengths: list[float],
    counts: list[int],
    size: float = 1.0,
    how: str = "model, lowest score 0.50",
) -> Sample:
    """A sample with dendrites of given lengths and numbers of spines, all of one length."""
    dendrites = pd.DataFrame(columns=list(DENDRITE_COLUMNS), index=range(len(lengths)))
    dendrites["dendrite_id"] = range(1, len(lengths) + 1)
    dendrites["path_length_um"] = lengths
    dendrites["path_length_um_flag"] = ""
    n = sum(counts)
    spines = pd.DataFrame(index=range(n), columns=list(SPINE_COLUMNS), dtype=float)
    spines["spine_id"] = range(1, n + 1)
    spines["dendrite_id"] = np.repeat(dendrites["dendrite_id"], counts).to_numpy()
    spines["touches_border"] = False
    spines["class"] = pd.Series(["thin"] * n, dtype=object)
    spines["length_um"] = float(size)
    return Sample(analysis, animal, cell, condition, spines, dendrites, how)


def test_nested_summary_against_numbers_worked_out_by_hand() -> None:
    samples = [
        made_sample("a", "m1", "c1", "wt", [10, 30], [10, 10], 1.0),  # cell: 20 / 40
        made_sample("b", "m1", "c2", "wt", [10], [10], 2.0),  # cell: 1
        made_sample("c", "m2", "c1", "wt", [20], [5], 1.0),  # another animal's cell of the same name
        made_sample("d", "m3", "c1", "ko", [10], [0]),
    ]
    samples[0].spines.loc[0, ["touches_border", "length_um"]] = [True, 99.0]
    tables = summarise_groups(samples)
    assert tables["dendrite"]["density_per_um"].tolist() == pytest.approx([1.0, 1 / 3, 1.0, 0.25, 0.0])
    assert tables["cell"]["density_per_um"].tolist() == pytest.approx([0.5, 1.0, 0.25, 0.0])
    animals = tables["animal"].set_index("animal")
    assert animals["density_per_um"].to_dict() == pytest.approx({"m1": 0.75, "m2": 0.25, "m3": 0.0})
    assert animals.loc["m1", ["n_cells", "n_spines", "path_length_um"]].tolist() == [2, 30, 50]
    assert tables["cell"]["n_spines"].tolist() == [20, 10, 5, 0]
    wt = tables["condition"].set_index("condition").loc["wt"]
    assert wt["density_per_um"] == pytest.approx(0.5)
    assert wt["density_per_um_sd"] == pytest.approx(np.std([0.75, 0.25], ddof=1))
    assert wt[["n_animals", "n_cells", "n_dendrites", "n_spines"]].tolist() == [2, 3, 4, 35]
    # the spine at the border counts for density, but its length does not
    assert wt["length_um"] == pytest.approx(((1.0 + 2.0) / 2 + 1.0) / 2)
    assert wt["fraction_thin"] == 1 and np.isnan(animals.loc["m3", "fraction_thin"])


def test_cutting_a_dendrite_in_two_changes_no_cell() -> None:
    whole = summarise_groups([made_sample("a", "m", "c", "wt", [30], [12])])
    cut = summarise_groups([made_sample("a", "m", "c", "wt", [10, 20], [2, 10])])
    for level in ("cell", "animal", "condition"):
        assert cut[level]["density_per_um"].tolist() == pytest.approx(whole[level]["density_per_um"].tolist())


def many(conditions: dict[str, float], animals: int = 4, prefix: bool = True) -> list[Sample]:
    """Animals of two cells each; density as given plus what the animal adds."""
    return [
        made_sample(
            f"{condition}{animal}{cell}",
            f"{condition if prefix else ''}{animal}",
            f"c{cell}",
            condition,
            [20],
            [round(20 * density) + 2 * animal],
            density,
        )
        for condition, density in conditions.items()
        for animal in range(animals)
        for cell in range(2)
    ]


def test_comparison_counts_animals_and_adjusts_for_several_measures() -> None:
    tables = summarise_groups(many({"wt": 1.0, "ko": 2.0}))
    found = compare_conditions(tables, ["density_per_um", "length_um"])
    assert list(found.columns) == list(COMPARISON_COLUMNS)
    density = found.iloc[0]
    assert (density["n_a"], density["n_b"], density["difference"]) == (4, 4, 1.0)
    values = np.array([1.0, 1.1, 1.2, 1.3])
    assert density["g"] == pytest.approx(hedges_g(values, values + 1))
    assert density["p_permutation"] == pytest.approx(2 / 70) and density["p_holm"] == pytest.approx(4 / 70)
    assert not density["paired"]
    with pytest.raises(ValueError, match="cannot be compared"):
        compare_conditions(tables, ["nonsense"])
    with pytest.raises(ValueError, match="no condition"):
        compare_conditions(tables, reference="nobody")


def test_reference_limits_the_pairs() -> None:
    tables = summarise_groups(many({"wt": 1.0, "ko": 2.0, "drug": 1.5}))
    assert len(compare_conditions(tables, ["density_per_um"])) == 3
    found = compare_conditions(tables, ["density_per_um"], reference="drug")
    assert found[["condition_a", "condition_b"]].values.tolist() == [["drug", "wt"], ["drug", "ko"]]


def test_animals_with_both_conditions_are_pairs_and_that_is_said() -> None:
    samples = many({"before": 1.0, "after": 1.5}, prefix=False)
    tables = summarise_groups(samples)
    row = compare_conditions(tables, ["density_per_um"]).iloc[0]
    assert row["paired"] and row["p_permutation"] == pytest.approx(2 / 16)
    assert any("different names" in note for note in group_notes(samples, tables))
    partly = samples[:-2]
    tables = summarise_groups(partly)
    assert compare_conditions(tables, ["density_per_um"]).iloc[0][["n_a", "n_b"]].tolist() == [3, 3]
    assert any("Only some animals" in note for note in group_notes(partly, tables))


def test_notes_tell_of_unlike_methods_single_animals_and_empty_stacks() -> None:
    samples = [
        made_sample("a", "m1", "c", "wt", [10], [5]),
        made_sample("b", "m2", "c", "ko", [10], [5], how="other model"),
        made_sample("e", "m2", "d", "ko", [], []),
    ]
    tables = summarise_groups(samples)
    text = " ".join(group_notes(samples, tables))
    assert "not made alike" in text and "Only one animal in wt, ko" in text and "in e:" in text
    row = compare_conditions(tables, ["density_per_um"]).iloc[0]
    assert np.isnan(row["g"]) and np.isnan(row["p_permutation"])


def test_independence_tells_what_many_spines_are_worth() -> None:
    alike = many({"wt": 1.0, "ko": 2.0})
    rng = np.random.default_rng(0)
    for sample in alike:
        sample.spines["head_width_um"] = rng.normal(0.5, 0.1, len(sample.spines))
        offset = 0.1 * int(sample.animal[-1])
        sample.spines["length_um"] = 1 + offset + rng.normal(0, 0.01, len(sample.spines))
    n, animals, correlation, worth = independence(alike, "length_um")
    assert animals == 8 and correlation > 0.95 and worth < 9
    assert independence(alike, "head_width_um")[3] > n / 2
    assert independence(alike[:1], "length_um") is None and independence(alike, "volume_um3") is None


def test_figure_in_every_format_has_all_conditions() -> None:
    tables = summarise_groups(many({"wt": 1.0, "ko": 2.0}))
    figure = group_figure(tables, "density_per_um")
    svg = figure_bytes(figure, "svg").decode()
    assert "wt" in svg and "ko" in svg and "1/µm" in svg and "n = 4" in svg
    assert figure_bytes(figure, "pdf").startswith(b"%PDF") and figure_bytes(figure, "png").startswith(
        b"\x89PNG"
    )
    with pytest.raises(ValueError, match="svg, pdf, png"):
        figure_bytes(figure, "bmp")


# --- the command --------------------------------------------------------------------------------


def test_command_writes_every_table(tmp_path: Path) -> None:
    analysis, _ = drawn_analysis()
    for name in ("one", "two", "three", "four"):
        save_analysis(analysis, tmp_path / "out" / name)
    sheet = tmp_path / "sheet.csv"
    rows = ["analysis,animal,cell,condition", "one,m1,c,wt", "two,m2,c,wt", "three,m3,c,ko", "four,m4,c,ko"]
    sheet.write_text("\n".join(rows), encoding="utf-8")
    samples = samples_in_folder(parse_sheet(sheet.read_text(encoding="utf-8")), tmp_path / "out")
    assert [s.animal for s in samples] == ["m1", "m2", "m3", "m4"] and "lowest score 0.50" in samples[
        0
    ].made_with
    target = tmp_path / "groups"
    call = ["groups", str(sheet), "--folder", str(tmp_path / "out"), "--out", str(target)]
    result = CliRunner().invoke(app, [*call, "--measure", "density_per_um", "--measure", "length_um"])
    assert result.exit_code == 0, result.output
    names = {
        "dendrites.csv",
        "cells.csv",
        "animals.csv",
        "conditions.csv",
        "comparison.csv",
        "columns.csv",
        "notes.txt",
    }
    assert names <= {p.name for p in target.iterdir()}
    assert (target / "density_per_um.svg").exists()
    table = pd.read_csv(target / "comparison.csv")
    assert table["measure"].tolist() == ["density_per_um", "length_um"] and (table["difference"] == 0).all()
    assert pd.read_csv(target / "animals.csv")["n_spines"].tolist() == [len(analysis.spines)] * 4
    sheet.write_text("\n".join([*rows, "five,m5,c,ko"]), encoding="utf-8")
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 2 and "no finished analysis of five" in result.output
    assert set(measure_columns()) >= {"density_per_um", "fraction_thin"}
