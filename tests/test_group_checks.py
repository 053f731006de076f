"""A sample check over the analyses of a sheet: shared out, counted, and compared on animals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn_analysis import drawn_analysis
from typer.testing import CliRunner

from spinecore.analysis.storage import save_analysis
from spinecore.cli.main import app
from spinecore.corrections.samplecheck import Answer, SampleCheck, append_answer, read_check
from spinecore.corrections.segments import Segment
from spinecore.groups.checks import (
    DENSITY_CHECKED,
    MEANS_CHECKED,
    SHARES_CHECKED,
    check_table,
    checked_columns,
    draw_group,
    share_out,
)
from spinecore.groups.files import group_files
from spinecore.groups.sheet import Sample, parse_sheet, samples_in_folder
from spinecore.groups.summary import compare_conditions, group_notes, summarise_groups

SHEET = "analysis,animal,cell,condition\na,m1,c1,wt\nb,m2,c1,wt\nc,m3,c1,ko\nd,m4,c1,ko\n"


@pytest.fixture
def root(tmp_path) -> Path:
    analysis, _ = drawn_analysis()
    for name in "abcd":
        save_analysis(replace(analysis, name=name, notes=(name,)), tmp_path / name)
    return tmp_path


def samples(root: Path) -> list[Sample]:
    return samples_in_folder(parse_sheet(SHEET), root)


def count_all(folder: Path, more: int, by: str = "Ada") -> None:
    """Count every drawn segment: so many spines more than the automatic ones on the first."""
    check = read_check(folder)
    for k, segment in enumerate(check.drawn):
        append_answer(folder, Answer(segment.number, len(segment.spines) + (more if k == 0 else 0), by=by))


@pytest.mark.parametrize(
    ("sizes", "n", "wanted"),
    [
        ([100, 50, 3], 30, [17, 10, 3]),
        ([10, 10], 20, [10, 10]),
        ([10, 10], 50, [10, 10]),
        ([5, 200], 3, [4, 4]),
    ],
)
def test_segments_are_shared_out_by_size_and_none_is_left_without(sizes, n, wanted):
    assert share_out(sizes, n) == wanted


def test_checked_densities_stand_beside_the_automatic_ones_and_are_compared_on_animals(root):
    folders = [root / name for name in "abcd"]
    draw_group(folders, 12, seed=3)
    assert {read_check(f).seed for f in folders} == {3, 4, 5, 6}
    for folder, more in zip(folders, (0, 1, 4, 5), strict=True):
        count_all(folder, more)
    found = samples(root)
    tables = summarise_groups(found)
    animals = tables["animal"].set_index("animal")
    wanted = {s.animal: s.check.density().value for s in found}
    assert animals[DENSITY_CHECKED].to_dict() == pytest.approx(wanted)
    row = compare_conditions(tables, [DENSITY_CHECKED]).iloc[0]
    sides = [[wanted[m] for m in pair] for pair in (("m1", "m2"), ("m3", "m4"))]
    assert row["difference"] == pytest.approx(np.mean(sides[1]) - np.mean(sides[0])) and row["difference"] > 0
    assert row[["n_a", "n_b"]].tolist() == [2, 2] and np.isfinite(row["difference_low"])
    assert compare_conditions(tables, ["density_per_um"]).iloc[0]["difference"] == pytest.approx(0)
    table = check_table(found)
    assert table["segments_counted"].tolist() == table["segments_drawn"].tolist()
    assert set(table["checked_by"]) == {"Ada"}
    notes = group_notes(found, tables)
    assert any(
        "segments of about 5 um in 4 of 4 analyses was counted by eye by Ada" in note for note in notes
    )
    files = group_files(found, figures=())
    assert b"Ada" in files["sample_check.csv"] and DENSITY_CHECKED.encode() in files["animals.csv"]


def test_an_analysis_not_counted_to_the_end_gives_its_animal_no_checked_density(root):
    folders = [root / name for name in "abcd"]
    draw_group(folders, 12, seed=1)
    count_all(folders[0], 1)
    append_answer(folders[1], Answer(read_check(folders[1]).drawn[0].number, 2))
    tables = summarise_groups(samples(root))
    animals = tables["animal"].set_index("animal")[DENSITY_CHECKED]
    assert np.isfinite(animals["m1"]) and animals[["m2", "m3", "m4"]].isna().all()
    notes = group_notes(samples(root), tables)
    assert any(note.startswith("Not every drawn segment of b, c, d was counted") for note in notes)


def test_drawing_again_keeps_what_was_counted(root):
    folders = [root / name for name in "abcd"]
    draw_group(folders, 12, seed=1)
    count_all(folders[2], 2)
    before = read_check(folders[2])
    draw_group(folders, 12, seed=9)
    assert read_check(folders[2]).answers == before.answers and read_check(folders[2]).seed == before.seed
    assert read_check(folders[0]).seed == 9


def test_the_command_line_draws_one_sheet_an_analysis_and_compares(root, tmp_path):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text(SHEET, encoding="utf-8")
    run = CliRunner().invoke
    drawn = ["check", "draw-group", str(sheet), "--folder", str(root), "--out", str(tmp_path / "sheets")]
    result = run(app, [*drawn, "--segments", "12"])
    assert result.exit_code == 0, result.output
    assert sorted(p.name for p in (tmp_path / "sheets").iterdir()) == ["a.csv", "b.csv", "c.csv", "d.csv"]
    for name in "abcd":
        count_all(root / name, 1)
    compared = ["groups", str(sheet), "--folder", str(root), "--out", str(tmp_path / "out")]
    result = run(app, [*compared, "--measure", DENSITY_CHECKED])
    assert result.exit_code == 0, result.output
    assert f"{DENSITY_CHECKED}: ko - wt" in result.output
    assert (tmp_path / "out" / "sample_check.csv").is_file()


# --- sizes and classes ----------------------------------------------------------------------------


def sample(animal: str, condition: str, lengths, false, border=()) -> Sample:
    """An analysis of eight segments with one spine each, of which the first four are drawn and counted, two of them false."""
    numbers = list(range(1, len(lengths) + 1))
    spines = pd.DataFrame(
        {
            "spine_id": numbers,
            "dendrite_id": 1,
            "touches_border": [n in border for n in numbers],
            "class": ["thin" if n % 2 else "mushroom" for n in numbers],
            "length_um": lengths,
            "head_width_um": [v / 2 for v in lengths],
            "volume_um3": [np.nan, *lengths[1:]],
        }
    )
    segments = tuple(Segment(n, 1, 1, 5.0 * (n - 1), 5.0 * n, 0, 0, 0, (n,)) for n in numbers)
    check = SampleCheck(1, 4, 0.5, segments, 4, {})
    answers = {
        s.number: Answer(s.number, int(s.number not in false), not_spines=tuple({s.number} & set(false)))
        for s in check.drawn
    }
    dendrites = pd.DataFrame({"dendrite_id": [1], "path_length_um": [40.0], "path_length_um_flag": [""]})
    return Sample(animal, animal, "c1", condition, spines, dendrites, check=replace(check, answers=answers))


def by_hand(one: Sample, values: dict[int, float]) -> tuple[float, float]:
    """The estimated sum of a measure and of its spines: all, less those that are none, each for N / n of them."""
    false = [a.segment for a in one.check.checked if not a.true_count]
    share = len(one.check.segments) / one.check.n
    gone = [values[n] for n in false if n in values]
    return sum(values.values()) - share * sum(gone), len(values) - share * len(gone)


def of_spines(one: Sample, column: str) -> dict[int, float]:
    kept = one.spines[~one.spines["touches_border"] & one.spines[column].notna()]
    return dict(zip(kept["spine_id"], kept[column], strict=True))


def some() -> list[Sample]:
    """Two animals a condition; in each, one or two of the four segments that were drawn hold a false spine."""
    out = []
    for k, (animal, condition) in enumerate((("m1", "wt"), ("m2", "wt"), ("m3", "ko"), ("m4", "ko"))):
        lengths = [0.5 + 0.1 * n + 0.3 * k for n in range(8)]
        drawn = sorted(s.number for s in sample(animal, condition, lengths, ()).check.drawn)
        out.append(sample(animal, condition, lengths, drawn[: 1 + k % 2], border=(8,)))
    return out


def test_checked_means_and_shares_are_those_of_the_closed_form_and_compared_on_animals():
    found = some()
    tables = summarise_groups(found)
    animals = tables["animal"].set_index("animal")
    for name, measure in MEANS_CHECKED.items():
        for one in found:
            top, bottom = by_hand(one, of_spines(one, measure))
            assert animals.loc[one.animal, name] == pytest.approx(top / bottom)
    for name, cls in SHARES_CHECKED.items():
        for one in found:
            classes = of_spines(one, "class")
            top, bottom = by_hand(one, {n: float(c == cls) for n, c in classes.items()})
            assert animals.loc[one.animal, name] == pytest.approx(top / bottom)
    row = compare_conditions(tables, ["length_checked_um"]).iloc[0]
    values = animals["length_checked_um"]
    wanted = values[["m3", "m4"]].mean() - values[["m1", "m2"]].mean()
    assert row["difference"] == pytest.approx(wanted) and row[["n_a", "n_b"]].tolist() == [2, 2]
    assert row["unit"] == "um" and np.isfinite(row["difference_low"])
    files = group_files(found, figures=())
    assert b"fraction_thin_checked" in files["animals.csv"] and b"volume_checked_um3" in files["cells.csv"]
    assert all(name.encode() in files["columns.csv"] for name in checked_columns())


def test_the_stacks_of_a_cell_pool_their_estimated_sums():
    first, second = some()[:2]
    second = replace(second, animal="m1", analysis="other")
    cell = summarise_groups([first, second])["cell"].iloc[0]
    sums = [by_hand(one, of_spines(one, "length_um")) for one in (first, second)]
    wanted = sum(top for top, _ in sums) / sum(bottom for _, bottom in sums)
    assert cell["length_checked_um"] == pytest.approx(wanted)


def test_without_saying_which_spines_are_none_there_is_a_density_and_no_mean():
    first, *others = some()
    answers = {n: replace(a, not_spines=()) for n, a in first.check.answers.items()}
    found = [replace(first, check=replace(first.check, answers=answers)), *others]
    tables = summarise_groups(found)
    row = tables["animal"].set_index("animal").loc["m1"]
    assert np.isfinite(row[DENSITY_CHECKED])
    assert row[[*MEANS_CHECKED, *SHARES_CHECKED]].isna().all()
    assert any(
        "It was not said which automatic spines of m1 are none" in n for n in group_notes(found, tables)
    )
