"""Two analyses of one stack: one-to-one matches, what is refused, and the command line."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import drawn_analysis
from typer.testing import CliRunner

from spinecore.analysis.storage import save_analysis
from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.evaluation.agreement import (
    BOTH,
    ONLY_A,
    ONLY_B,
    compare_analyses,
    compare_folders,
    match_spines,
)


def spines(*zyx: tuple[float, float, float], first: int = 1) -> pd.DataFrame:
    table = pd.DataFrame(zyx, columns=["z_px", "y_px", "x_px"], dtype=float)
    return table.assign(spine_id=np.arange(first, first + len(table)), score=0.7)


def test_two_spines_close_together_are_both_matched():
    a = spines((0, 0, 0), (0, 0, 10))
    b = spines((0, 0, 9), (0, 0, 14), first=11)
    table, counts = match_spines(a, b, (0.5, 0.1, 0.1))
    assert counts.n_matched == 2 and counts.f1 == 1.0
    assert table["a_spine_id"].tolist() == [1, 2] and table["b_spine_id"].tolist() == [11, 12]
    assert table["distance_um"].tolist() == pytest.approx([0.9, 0.4])
    assert table["x_um"].tolist() == pytest.approx([0.45, 1.2])


def test_depth_counts_in_a_stack_and_not_in_an_image():
    a, b = spines((0, 5, 5)), spines((4, 5, 5))
    assert match_spines(a, b, (0.5, 0.1, 0.1))[1].n_matched == 0
    assert match_spines(a, b, (0.5, 0.1, 0.1), is_2d=True)[1].n_matched == 1


def test_the_agreement_does_not_depend_on_which_side_is_a():
    rng = np.random.default_rng(0)
    a, b = (spines(*map(tuple, rng.uniform(0, 60, (n, 3)))) for n in (30, 22))
    one, other = (match_spines(*pair, (0.3, 0.1, 0.1)) for pair in ((a, b), (b, a)))
    assert one[1].f1 == other[1].f1
    assert (one[0]["found_by"] == ONLY_A).sum() == (other[0]["found_by"] == ONLY_B).sum()
    assert len(one[0]) == 30 + 22 - one[1].n_matched


def test_nothing_on_a_side_is_no_fault():
    empty = spines()
    table, counts = match_spines(empty, spines((0, 0, 0)), (1, 1, 1))
    assert table["found_by"].tolist() == [ONLY_B] and counts.f1 == 0
    table, counts = match_spines(empty, empty, (1, 1, 1))
    assert len(table) == 0 and np.isnan(counts.f1)


def test_an_impossible_tolerance_is_refused():
    with pytest.raises(SpinecoreError, match="positive"):
        match_spines(spines(), spines(), (1, 1, 1), 0)


def test_thresholds_of_one_analysis_against_each_other():
    analysis, _ = drawn_analysis()
    found = compare_analyses(analysis, analysis.at_threshold(0.75))
    assert (found.n_both, found.n_only_a, found.n_only_b) == (2, 2, 0)
    assert found.f1 == pytest.approx(2 * 2 / (4 + 2)) and found.median_distance_um == 0
    assert set(found.table["found_by"]) == {BOTH, ONLY_A}
    assert "0.75" in found.name_b and "a_length_um" in found.table


def test_analyses_of_different_images_are_refused():
    analysis, _ = drawn_analysis()
    flat, _ = drawn_analysis(flat=True)
    with pytest.raises(SpinecoreError, match="same stack"):
        compare_analyses(analysis, flat)
    brighter = {key: value + 1 for key, value in analysis.projections.items()}
    with pytest.raises(SpinecoreError, match="same image"):
        compare_analyses(analysis, replace(analysis, projections=brighter))


def test_the_command_line_writes_the_table(tmp_path):
    analysis, _ = drawn_analysis()
    save_analysis(analysis, tmp_path / "a")
    save_analysis(analysis.at_threshold(0.75), tmp_path / "b")
    out = tmp_path / "both.csv"
    call = ["agreement", str(tmp_path / "a"), str(tmp_path / "b"), "--out", str(out), "--json"]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    facts = json.loads(result.stdout)
    assert (facts["both"], facts["only_a"], facts["only_b"]) == (2, 2, 0)
    table = pd.read_csv(out)
    assert table["found_by"].value_counts().to_dict() == {BOTH: 2, ONLY_A: 2}
    assert "only A 2" in compare_folders(tmp_path / "a", tmp_path / "b").to_text()
    missing = CliRunner().invoke(app, ["agreement", str(tmp_path / "a"), str(tmp_path / "nowhere")])
    assert missing.exit_code == 2
