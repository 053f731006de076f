"""The comparison of methods: its cases, masks and tables, and the page that shows it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from benchmarks import compare_methods, compare_sets
from spinecore.analysis import run
from spinecore.evaluation import method_table
from spinecore.evaluation.method_table import (
    cost_table,
    load_results,
    published_table,
    save_results,
    score_table,
    set_table,
    to_markdown,
)
from spinecore.methods import METHODS
from spinecore.simulation import simulate
from spinecore.training.real_stacks import load_marks
from spinecore.training.recipes import default_data
from spinecore.ui.methods import score_figure

PAGE = str(Path(__file__).parents[1] / "pages" / "methods.py")


def entry(title: str, f1: float) -> dict:
    row = {"n": 3, "truth": 20, "found": 21, "f1": f1, "f1_low": f1 - 0.1, "f1_high": f1 + 0.1}
    return {
        "title": title,
        "date": "2026-01-02",
        "hardware": "2 CPU cores, no GPU",
        "command": "python -m benchmarks.compare_methods --stacks 3",
        "models": [{"name": "centre-unet-2d", "sha256": "old"}],
        "sets": {
            "points2d/val findspines": row | {"precision": 0.5, "recall": 0.5},
            "simulated confocal": row | {"f1_3d": f1, "spine_iou": 0.4},
            "simulated clutter": {"n": 3, "truth": 0, "found": 3, "false_per_stack": 1.0},
        },
        "cost": {
            "cpu_seconds_per_slice": 0.5,
            "gpu_seconds_per_slice": None,
            "peak_mb": 900,
            "parameters": 1_000_000,
            "bytes": 2_000_000,
        },
    }


@pytest.fixture(scope="module")
def made():
    return simulate(110, "confocal", (10, 160, 160), (0.4, 0.1, 0.1))


@pytest.fixture
def stored(tmp_path, monkeypatch):
    path = tmp_path / "table.json"
    monkeypatch.setattr(method_table, "RESULTS", path)
    for function in (load_results, save_results):
        monkeypatch.setattr(function, "__defaults__", (path,))
    return path


def test_results_are_merged_and_the_default_comes_first(tmp_path):
    path = tmp_path / "table.json"
    assert load_results(path) == {}
    save_results({"unet3d": entry("U", 0.5)}, path)
    save_results({"centre-unet": entry("C", 0.8)}, path)
    save_results({"unet3d": entry("U", 0.6)}, path)
    results = load_results(path)
    assert list(results) == ["centre-unet", "unet3d"]
    assert score_table(results, "f1").iloc[1].tolist() == ["U", 0.6, 0.6]


def test_tables_hold_what_was_measured_only():
    results = {"centre-unet": entry("C", 0.8)}
    assert list(score_table(results, "f1_3d").columns) == ["Method", "simulated confocal"]
    assert list(score_table(results, "false_per_stack").columns) == ["Method", "simulated clutter"]
    assert "F1-3D" not in set_table(results, "points2d/val findspines").columns
    costs = cost_table(results)
    assert costs["Parameters (M)"][0] == 1 and costs["File size (MB)"][0] == 2
    with pytest.raises(KeyError):
        score_table(results, "luck")


def test_markdown_has_a_dash_for_what_is_missing():
    results = {"centre-unet": entry("C", 0.8)}
    text = to_markdown(cost_table(results))
    assert "| C | 0.50 | – | 900 | 1 | 2 |" in text


def test_published_figures_name_their_source_and_a_known_method():
    table = published_table()
    assert table["source"].str.len().min() > 5 and table["data"].str.len().min() > 5
    assert {"faster-rcnn", "panoptic", "mip-unet", "unet3d"} == set(table["method"])


def test_documentation_gets_the_tables_between_its_marks(tmp_path):
    path = tmp_path / "methods.md"
    path.write_text(
        f"before\n{compare_methods.BEGIN}\nOLD TABLE\n{compare_methods.END}\nafter\n", encoding="utf-8"
    )
    for _ in range(2):
        compare_methods.write_docs({"centre-unet": entry("C", 0.8)}, path)
    text = path.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n") and "OLD TABLE" not in text
    assert text.count("### F1\n") == 1 and "| simulated confocal | 0.80 |" in text


def test_dim_spines_count_neither_way(made):
    spine, dendrite = compare_sets.truth_masks(made)
    dim = made.spines.loc[~made.spines["visible"].astype(bool), "spine_id"]
    assert (spine[np.isin(made.labels, dim)] == 2).all()
    assert ((spine == 1) == ((made.labels > 0) & ~np.isin(made.labels, dim))).all()
    perfect = compare_methods.overlap(spine, made.labels > 0)
    assert perfect.iou == 1.0
    assert compare_methods.overlap(dendrite, made.dendrite_labels > 0).dice == 1.0


def test_a_projection_hides_what_lies_behind_the_shaft(made):
    case = compare_sets.project(made, "p")
    shaft = case.dendrite[0] == 1
    seen = case.truth[case.truth["visible"]]
    heads = made.spines.set_index("spine_id").loc[seen["spine_id"]]
    assert not shaft[heads["y_px"].round().astype(int), heads["x_px"].round().astype(int)].any()
    assert case.stack.is_2d and not (case.spine[0][shaft] > 0).any()


def test_cases_survive_the_way_to_another_process(made, tmp_path):
    case = compare_sets.Case("a", made.stack, made.spines, *compare_sets.truth_masks(made))
    compare_sets.save_cases(
        {"simulated confocal": [case], "flat": [compare_sets.project(made, "b")]}, tmp_path
    )
    back = compare_sets.load_cases(tmp_path / "00")[0]
    np.testing.assert_array_equal(back.stack.voxels, made.stack.voxels)
    assert back.stack.spacing.zyx_um() == made.stack.spacing.zyx_um() and len(back.truth) == len(made.spines)
    assert compare_sets.load_cases(tmp_path / "01")[0].stack.is_2d


def test_a_method_without_weights_is_skipped(monkeypatch, tmp_path):
    def absent(method):
        raise compare_methods.SpinecoreError("there is no model")

    monkeypatch.setattr(compare_methods, "cards_of", absent)
    said = []
    assert compare_methods.compare(["centre-unet"], tmp_path, "", say=said.append) == {}
    assert "skipped" in said[0]


def test_figure_has_a_series_a_method_and_intervals():
    results = {"centre-unet": entry("C", 0.8), "unet3d": entry("U", 0.6)}
    figure = score_figure(results, "f1", "F1")
    assert [s.name for s in figure.data] == ["C", "U"]
    assert figure.data[0].error_x.array[0] == pytest.approx(0.1)
    assert figure.data[0].marker.symbol != figure.data[1].marker.symbol


def test_page_shows_methods_scores_and_papers_apart(stored):
    stored.write_text(json.dumps({"methods": {"centre-unet": entry("Centre U-Net (default)", 0.81)}}))
    page = AppTest.from_file(PAGE, default_timeout=30).run()
    assert not page.exception
    assert len([b for b in page.button if b.label == "Analyse with it"]) == len(METHODS)
    shown = " ".join(m.value for m in page.markdown)
    assert "**0.81** findspines (3), **0.81** simulated stacks (3)" in shown, (
        "each real set by itself, with its size"
    )
    assert any("other data" in w.value for w in page.warning)
    assert any("have changed since" in c.value for c in page.caption)
    page.segmented_control(key="method_measure").set_value("f1_3d").run()
    assert not page.exception
    assert any(
        list(d.value["Images"]) == ["simulated confocal"] for d in page.dataframe if "Images" in d.value
    )


def test_sets_of_an_earlier_run_stay_while_the_weights_are_the_same(stored, monkeypatch, tmp_path):
    monkeypatch.setattr(compare_methods, "cards_of", lambda method: [])
    monkeypatch.setattr(compare_methods, "DOCS", tmp_path / "none.md")
    first, second = entry("C", 0.8), entry("C", 0.9)
    second["sets"] = {"real_stacks, choosing days": {"n": 3, "f1": 0.9}}
    compare_methods.store({"centre-unet": first})
    compare_methods.store({"centre-unet": second})
    sets = load_results()["centre-unet"]["sets"]
    assert next(iter(sets)) == "real_stacks, choosing days", "real stacks come first"
    assert sets["points2d/val findspines"]["f1"] == 0.8
    other = entry("C", 0.7) | {"sets": {}, "models": [{"name": "centre-unet-2d", "sha256": "new"}]}
    compare_methods.store({"centre-unet": other})
    assert load_results()["centre-unet"]["sets"] == {}, "scores of other weights are not kept"


@pytest.mark.data
def test_heads_at_the_marks_of_a_real_day_score_one(monkeypatch):
    data = default_data()
    if not (data / "real_stacks").is_dir():
        pytest.skip(f"{data / 'real_stacks'} is not here")
    case = compare_sets.real_stack_cases(data)[0]
    marks = load_marks(data, [case.day])[0]
    own = marks.heads_um()[(marks.segment == 0) & marks.counts]
    spines = pd.DataFrame(own[:-2], columns=["z_um", "y_um", "x_um"])
    monkeypatch.setattr(run, "analyse", lambda stack, settings: SimpleNamespace(spines=spines, threshold=0.5))
    row = compare_methods.score_days("centre-unet", [case])
    assert row["n"] == 1 and row["truth"] == len(own) > 10
    assert row["precision"] == 1.0 and row["recall"] == pytest.approx(1 - 2 / len(own), abs=1e-4)


def test_page_without_a_comparison_says_how_to_make_one(stored):
    page = AppTest.from_file(PAGE, default_timeout=30).run()
    assert not page.exception
    assert any("There is no comparison yet" in c.value for c in page.caption)
