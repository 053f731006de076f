"""Scoring against marks at the far end of heads, which are complete only beside traced dendrites."""

from __future__ import annotations

import doctest
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from spinecore.cli.main import app
from spinecore.errors import SpinecoreError
from spinecore.evaluation import edges, marks
from spinecore.evaluation.annotations import Annotations, empty_objects
from spinecore.evaluation.edges import mark_edges
from spinecore.evaluation.matching import match, match_edges
from spinecore.evaluation.readers import read_annotations
from spinecore.evaluation.report import evaluate_files

#: A spine 2 um long that points along y from a shaft along x.
SPINE = [[0.0, 2.0, 5.0, 0.0, 0.0, 5.0]]
SHAFT_UM = np.arange(0, 20.01, 0.1)


def table(rows):
    """Spine table of detections (y, x, z) in um."""
    return pd.DataFrame(rows, columns=["y_um", "x_um", "z_um"]).assign(score=0.9)


@pytest.fixture
def marked(tmp_path):
    """A truth of two stacks with one dendrite each along x at y = 5 um; in `day1` the last spine is bad."""
    folder = tmp_path / "truth"
    folder.mkdir()
    columns = ["stack", "spine", "x_um", "y_um", "z_um", "base_x_um", "base_y_um", "base_z_um", "is_bad"]
    pd.DataFrame(
        [
            ("day0", 7, 4.0, 7.0, 3.0, 4.0, 5.4, 3.0, 0),
            ("day0", 9, 9.0, 7.0, 3.0, 9.0, 5.4, 3.0, 0),
            ("day1", 7, 4.0, 7.0, 3.0, 4.0, 5.4, 3.0, 0),
            ("day1", 9, 9.0, 7.0, 3.0, 9.0, 5.4, 3.0, 1),
        ],
        columns=columns,
    ).to_csv(folder / "spines.csv", index=False)
    line = pd.DataFrame({"x_um": SHAFT_UM, "y_um": 5.0, "z_um": 3.0})
    pd.concat([line.assign(stack=name, segment=0) for name in ("day0", "day1")]).to_csv(
        folder / "segments.csv", index=False
    )
    return folder / "spines.csv"


@pytest.mark.parametrize("module", [edges, marks])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize(
    ("centre", "value"),
    [
        ([0, 2.0, 5.0], 0.0),  # on the mark
        ([0, 2.5, 5.0], 0.5),  # beyond it
        ([0, 1.0, 5.4], 0.4),  # beside the line
        ([1.6, 1.0, 5.0], 0.8),  # z at half weight
        ([0, 0.8, 5.0], 0.0),  # the inner end of the outer 60 %
        ([0, 0.3, 5.0], 0.5),  # nearer to the base
    ],
)
def test_distance_to_the_outer_part_of_a_spine(centre, value):
    found = mark_edges(np.array(SPINE), np.array([centre]))
    assert found.value.tolist() == pytest.approx([value])


def test_the_tolerance_itself_matches_and_what_lies_beyond_does_not():
    centres = np.array([[0, 3.0, 5.0], [0, 3.01, 5.0]])
    assert mark_edges(np.array(SPINE), centres).predicted.tolist() == [0]


def test_a_mark_on_its_base_is_a_point():
    assert mark_edges(np.array([[0, 1, 1, 0, 1, 1.0]]), np.array([[0, 1, 1.5]])).value.tolist() == [0.5]


def test_one_mark_matches_one_detection():
    twice = np.array([[0, 1.9, 5.0], [0, 1.2, 5.0]])
    found = match(np.array(SPINE), twice, "mark")
    assert (found.n_matched, found.n_predicted) == (1, 2)


def test_excused_predictions_count_only_when_matched():
    found = mark_edges(np.array(SPINE), np.array([[0, 2.0, 5.0], [0, 9.0, 5.0], [0, 9.0, 9.0]]))
    counted = match_edges(found, excused=np.array([True, True, False]))
    assert (counted.n_matched, counted.n_predicted, counted.ignored_predicted.tolist()) == (1, 2, [1])


def test_detections_far_from_the_traced_dendrites_or_over_them_are_not_judged(marked, tmp_path):
    folder = tmp_path / "found"
    for name, rows in (
        ("day0", [(6.6, 4.0, 3.0), (5.3, 12.0, 5.0), (9.5, 12.0, 3.0), (3.5, 15.0, 3.0)]),
        ("day1", [(6.6, 4.0, 3.0), (6.6, 9.0, 3.0)]),
    ):
        (folder / name).mkdir(parents=True)
        table(rows).to_csv(folder / name / "spines.csv", index=False)
    report = evaluate_files(marked, folder, "mark")
    counts = [unit.matching.counts for unit in report.shown.units]
    # day0: one found, one missed, one false; over the shaft and beyond 4 um are not judged
    assert (counts[0].n_truth, counts[0].n_predicted, counts[0].n_matched) == (2, 2, 1)
    # day1: the spine marked as bad is no miss, and its detection no false alarm
    assert (counts[1].n_truth, counts[1].n_predicted, counts[1].n_matched) == (1, 1, 1)
    assert report.shown.curve is not None


def test_the_command_compares_one_analysis_with_its_stack(marked, tmp_path):
    folder = tmp_path / "day1"
    folder.mkdir()
    table([(6.6, 4.0, 3.0)]).to_csv(folder / "spines.csv", index=False)
    call = [
        "evaluate",
        "--criterion",
        "mark",
        "--truth",
        str(marked),
        "--predicted",
        str(folder / "spines.csv"),
        "--json",
    ]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    report = json.loads(done.output)
    assert (report["n_truth"], report["n_matched"], report["f1"]) == (1, 1, 1.0)
    assert "compared with day1" in report["notes"][-1]


def test_marks_without_traced_dendrites_are_refused(marked, tmp_path):
    (marked.parent / "segments.csv").unlink()
    folder = tmp_path / "day0"
    folder.mkdir()
    table([(6.6, 4.0, 3.0)]).to_csv(folder / "spines.csv", index=False)
    with pytest.raises(SpinecoreError, match=r"segments\.csv"):
        evaluate_files(marked, folder, "mark")


def test_a_truth_without_bases_is_refused(tmp_path):
    table([(6.6, 4.0, 3.0)]).to_csv(tmp_path / "plain.csv", index=False)
    with pytest.raises(SpinecoreError, match="base"):
        evaluate_files(tmp_path / "plain.csv", tmp_path / "plain.csv", "mark")


def test_a_segment_table_must_hold_numbers(marked):
    (marked.parent / "segments.csv").write_text("stack,x_um,y_um\nday0,1,2\n")
    with pytest.raises(SpinecoreError, match="z_um"):
        read_annotations(marked)


def test_one_stack_of_several_keeps_only_its_own():
    objects = empty_objects(2).assign(stack=["a", "b"])
    both = Annotations("t", "spine table", objects, shafts={"a": np.zeros((1, 3)), "b": np.ones((1, 3))})
    assert both.only("b").objects["object_id"].tolist() == [1]
    assert list(both.only("b").shafts) == ["b"]
