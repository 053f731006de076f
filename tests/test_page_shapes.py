"""The Shapes page, driven without a browser, on an analysis drawn by hand; and what it is made of."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import streamlit as st
from drawn_analysis import drawn_analysis, put_in_workspace
from PIL import Image
from streamlit.testing.v1 import AppTest

from spinecore.analysis import edits
from spinecore.analysis.storage import load_analysis, save_analysis
from spinecore.jobs import manager as jobs
from spinecore.jobs.manager import JobManager
from spinecore.shapes import fitting
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.shapes.classes import CLASSES
from spinecore.shapes.classify import DEFAULT_MODEL, has_model
from spinecore.shapes.summary import count_classes, principal_plane, wilson
from spinecore.ui import session, shaperules
from spinecore.ui.shapes import in_order, with_rules
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent
needs_model = pytest.mark.skipif(not has_model(), reason=f"{DEFAULT_MODEL} is not in models/")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobRecord]:
    space = Workspace(tmp_path / "space")
    monkeypatch.setattr(jobs, "describe_device", lambda: "CPU, 2 cores")
    made = JobManager(space, executor=ThreadPoolExecutor(1))
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(space.root))
    monkeypatch.setattr(session, "_workspace", lambda root: space)
    monkeypatch.setattr(session, "_manager", lambda root, workers: made)
    monkeypatch.chdir(ROOT)
    st.cache_data.clear()
    st.cache_resource.clear()
    yield put_in_workspace(space, tmp_path / "stacks")
    made.close()


@pytest.fixture
def open_page(job: JobRecord) -> Callable[..., AppTest]:
    def go(**address: str) -> AppTest:
        app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for name, value in {"analysis": job.id, **address}.items():
            app.query_params[name] = value
        app.run()
        app.switch_page("pages/shapes.py").run()
        assert not app.exception, app.exception
        return app

    return go


def words(app: AppTest) -> str:
    kinds = (
        app.title,
        app.subheader,
        app.markdown,
        app.caption,
        app.info,
        app.error,
        app.warning,
        app.success,
    )
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def folder_of(job: JobRecord) -> Path:
    return session.workspace().result_folder(job.id)


@needs_model
def test_the_page_shows_caveat_card_control_and_rule(open_page) -> None:
    app = open_page()
    text = words(app)
    assert "continuum" in text and "Ofer" in text
    assert "Rules: " in text and "Labelled spines most like it" in text
    assert "Faithful heat map" in text or "The heat map explains nothing here" in text
    picks = [b for b in app.button if (b.key or "").startswith("pick_")]
    assert len(picks) == 4
    picks[-1].click().run()
    assert not app.exception
    assert app.query_params["spine"] in (picks[-1].label, [picks[-1].label])
    assert f"Spine {picks[-1].label}" in words(app)


@needs_model
def test_a_spine_without_a_class_has_nothing_to_explain(open_page, monkeypatch: pytest.MonkeyPatch) -> None:
    from spinecore.ui import shapes

    def without(spines: pd.DataFrame, *rest: object) -> pd.DataFrame:
        table = with_rules(spines, *rest)
        return table.assign(**{"class": table["class"].where(table["spine_id"] != 1, None)})

    monkeypatch.setattr(shapes, "with_rules", without)
    assert "nothing to explain" not in words(open_page(spine="2"))
    text = words(open_page(spine="1"))
    assert "has no class, so there is nothing to explain" in text and "most like it" not in text


@needs_model
def test_next_goes_through_the_order(open_page) -> None:
    app = open_page()
    first = next(s.value for s in app.subheader if s.value.startswith("Spine "))
    next(b for b in app.button if b.key == "shape_forward").click().run()
    assert next(s.value for s in app.subheader if s.value.startswith("Spine ")) != first
    next(b for b in app.button if b.key == "shape_back").click().run()
    assert next(s.value for s in app.subheader if s.value.startswith("Spine ")) == first


@needs_model
def test_one_click_changes_a_class_for_good_and_undo_takes_it_back(open_page, job: JobRecord) -> None:
    app = open_page(spine="2")
    before = load_analysis(folder_of(job)).spines.set_index("spine_id").loc[2, "class"]
    other = next(name for name in CLASSES if name != before)
    control = next(c for c in app.button_group if (c.key or "").startswith("shape_class_"))
    control.set_value(other).run()
    assert not app.exception and "Class named by hand" in words(app)
    stored = pd.read_csv(folder_of(job) / "spines.csv").set_index("spine_id")
    assert stored.loc[2, "class"] == other and stored["edited"].tolist() == [False, True, False, False]
    next(b for b in app.button if b.key == "shape_undo_2").click().run()
    assert "Class named by hand" not in words(app)
    assert load_analysis(folder_of(job)).spines.set_index("spine_id").loc[2, "class"] == before
    assert len((folder_of(job) / "corrections.jsonl").read_text().splitlines()) == 2


def test_sliders_change_the_rules_answer_at_once(open_page) -> None:
    app = open_page(spine="1")
    before = next(m.value for m in app.markdown if "Rules: " in m.value)
    slider = next(s for s in app.slider if s.key == "rule_rodriguez_head_um")
    slider.set_value(1.5).run()
    slider = next(s for s in app.slider if s.key == "rule_rodriguez_stubby_ratio")
    slider.set_value(0.5).run()
    assert not app.exception
    assert next(m.value for m in app.markdown if "Rules: " in m.value) != before


@needs_model
def test_heat_maps_lie_on_the_stack_and_the_scores_have_a_tab(open_page) -> None:
    app = open_page(spine="1")
    app.session_state["shape_tab"] = "On the stack"
    app.run()
    assert not app.exception, app.exception
    assert "Grad-CAM of 4 spines" in words(app)
    layer = next(c for c in app.button_group if c.key == "shape_layer")
    layer.set_value("None").run()
    assert not app.exception and "Grad-CAM of 4 spines" not in words(app)
    app.session_state["shape_tab"] = "Accuracy"
    app.run()
    assert not app.exception, app.exception
    assert "benchmarks.shape_table" in words(app)


@needs_model
def test_heat_is_drawn_where_the_spine_lies(job: JobRecord) -> None:
    from spinecore.ui.shapes import heat_settings
    from spinecore.ui.shapes_projection import LAYERS, heat_ids, heat_planes, heat_scene
    from spinecore.ui.shown import Shown

    saved = load_analysis(folder_of(job))
    shown = Shown(job, saved, 1, saved.threshold, None)
    heat, control = heat_planes(shown.key, heat_settings(), heat_ids(shown, 1), shown)
    assert heat.shape == control.shape == saved.shape[1:] and 0 < heat.max() <= 1
    spine = saved.spines.set_index("spine_id").loc[1]
    far = np.hypot(
        *(np.mgrid[: heat.shape[0], : heat.shape[1]].T - spine[["y_px", "x_px"]].to_numpy(float)).T
    )
    alone = heat_planes(shown.key, heat_settings(), (1,), shown)[0]
    pixel = saved.spacing.zyx_um()[1]
    assert alone.max() > 0.5 and alone[far * pixel > 4.0].max(initial=0) == 0, "a patch is 4 um wide"
    plain, hot = (
        heat_scene(shown, heat_settings(), layer, 1, True).picture.rgb for layer in (LAYERS[-1], LAYERS[0])
    )
    assert plain.shape == hot.shape and (plain != hot).any()


@needs_model
def test_the_caveat_stands_where_outlines_are_coloured_by_class(job: JobRecord) -> None:
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["analysis"] = job.id
    app.run()
    app.switch_page("pages/overlay.py").run()
    assert not app.exception and "continuum" not in words(app)
    next(s for s in app.selectbox if s.key == "overlay_colour").set_value("class").run()
    assert not app.exception and "continuum" in words(app)


def test_the_comparison_is_read_with_its_gains(tmp_path: Path) -> None:
    from spinecore.shapes.comparison import read_comparison

    def row(recipe: str, start: str, test: float) -> dict:
        scores = {"accuracy_four_way": test, "balanced_accuracy_four_way": test}
        parts = dict.fromkeys(("train", "val", "val_tight", "simulated"), scores)
        own = {"recipe": recipe, "start": start, "title": recipe, "poster_train": None, "poster_test": 67.19}
        return own | parts | {"heat": {"inside": test / 2, "control": 0.1, "area": 0.1}}

    path = tmp_path / "comparison.json"
    assert read_comparison(path) is None
    rows = [row("shape-resnet18", "simulation", 0.8), row("shape-resnet18-masked", "simulation", 0.9)]
    path.write_text(
        json.dumps({"date": "2026-01-01", "rows": rows, "cross_validation": {"of": 5, "folds": [0.5]}})
    )
    found = read_comparison(path)
    assert found is not None and (found.folds, found.n_folds) == ([0.5], 5)
    assert found.accuracy["test"].tolist() == pytest.approx([80, 90])
    assert found.accuracy["poster_train"].tolist() == ["–", "–"]
    assert [gain.title for gain in found.gains] == ["Background removed (ResNet-18)"]
    assert found.gains[0].changes["test"] == (0.8, 0.9)
    assert found.gains[0].changes["heat on spine"] == (0.4, 0.45)
    assert found.shipped == ""
    shipped = {"shape-joint": {"balanced_accuracy_four_way": 0.8, "balanced_interval_four_way": [0.7, 0.9]}}
    shipped["new"] = shipped["shape-joint"] | {
        part: {"accuracy_four_way": share} for part, share in (("val", 0.94), ("val_tight", 0.92))
    }
    measured = {"date": "2026-01-02", "scores": shipped}
    path.write_text(json.dumps({"date": "2026-01-01", "rows": rows, "shipped_on_simulation": measured}))
    said = read_comparison(path).shipped
    assert "shape-joint 80.0 % (70.0 to 90.0)" in said
    assert said.endswith("On the real spines: new 94.0 % with outlines as given and 92.0 % with tight ones.")
    assert read_comparison(path).in_use == {}
    shipped["shape-focus"] = shipped["new"]
    path.write_text(json.dumps({"date": "2026-01-01", "rows": rows, "shipped_on_simulation": measured}))
    assert read_comparison(path).in_use == pytest.approx({"test": 94, "tight": 92, "simulated": 80})


def test_a_correction_survives_saving_loading_and_another_threshold(tmp_path: Path) -> None:
    analysis, _ = drawn_analysis()
    save_analysis(analysis, tmp_path)
    changed = edits.change_class(tmp_path, 1, "filopodium")
    assert changed.spines.set_index("spine_id").loc[1, "class"] == "filopodium"
    again = load_analysis(tmp_path).at_threshold(0.3)
    assert len(again.spines) == 5
    assert again.spines.set_index("spine_id").loc[1, ["class", "edited"]].tolist() == ["filopodium", True]
    with pytest.raises(ValueError, match="no spine 77"):
        edits.change_class(tmp_path, 77, "thin")


def test_orders_and_counts() -> None:
    table = pd.DataFrame(
        {
            "spine_id": [1, 2, 3],
            "class": ["thin", "mushroom", None],
            "class_probability": [0.9, 0.5, np.nan],
            "dendrite_id": [1, 1, 2],
            "length_um": [1.2, 0.5, np.nan],
            "head_width_um": [0.6, 0.6, 0.3],
            "neck_width_um": [0.2, np.nan, np.nan],
            "neck_width_um_flag": ["", "no neck", ""],
        }
    )
    ruled = with_rules(table, ChosenRules())
    assert in_order(ruled, "Least certain first")["spine_id"].tolist() == [2, 1, 3]
    assert in_order(ruled, "Most certain first")["spine_id"].tolist() == [1, 2, 3]
    assert in_order(ruled, "Class")["spine_id"].tolist() == [2, 1, 3]
    assert in_order(ruled, "Disagreements first")["spine_id"].tolist()[-1] == 3
    counts = count_classes(table["class"])
    assert counts.set_index("class")["n"].to_dict() == {
        "mushroom": 1,
        "thin": 1,
        "stubby": 0,
        "filopodium": 0,
    }
    assert count_classes(table["class"], table["dendrite_id"])["group"].unique().tolist() == [1]
    low, high = wilson(0, 20)
    assert low == pytest.approx(0, abs=1e-12) and 0.15 < high < 0.17


def test_the_map_finds_the_direction_of_most_change() -> None:
    rng = np.random.default_rng(0)
    size = rng.normal(size=200)
    noise = rng.normal(scale=0.1, size=(200, 3))
    values = np.column_stack([size + noise[:, 0], -2 * size + noise[:, 1], noise[:, 2], np.full(200, np.nan)])
    values[3, 0] = np.nan
    points, share = principal_plane(values)
    assert abs(np.corrcoef(points[:, 0], size)[0, 1]) > 0.98 and share[0] > 0.6
    assert principal_plane(values[:2])[0].tolist() == [[0, 0], [0, 0]]


@needs_model
def test_the_figure_sheet_is_a_picture_of_all_spines() -> None:
    from spinecore.shapes.classify import load_classifier
    from spinecore.shapes.explain import explain
    from spinecore.shapes.pictures import figure_sheet

    analysis, _ = drawn_analysis()
    views = analysis.cutter.views(analysis.threshold)
    cut = [view.patch() for view in views.values()]
    png = figure_sheet(
        list(views), cut, explain(cut, load_classifier()), ["thin", None, "thin", "thin"], "drawn"
    )
    assert Image.open(io.BytesIO(png)).width > 900


def test_rules_are_kept_in_the_tables_and_fitted_to_classes_by_hand(
    open_page, job: JobRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    def button(app: AppTest, key: str):
        return next(b for b in app.button if b.key == key)

    app = open_page(spine="1")
    assert button(app, "keep_rules").disabled and button(app, "fit_rules").disabled
    next(s for s in app.slider if s.key == "rule_rodriguez_head_um").set_value(0.8).run()
    assert "The tables hold the rules of Rodriguez et al. 2008" in words(app)
    button(app, "keep_rules").click().run()
    assert not app.exception and button(app, "keep_rules").disabled
    assert load_analysis(folder_of(job)).cutter.chosen_rules.changed == {"head_um": 0.8}
    # another page and back: the sliders show what the analysis keeps
    app = open_page(spine="1")
    assert next(s for s in app.slider if s.key == "rule_rodriguez_head_um").value == 0.8
    for module, name, value in (
        (shaperules, "FEWEST", 4),
        (fitting, "FEWEST", 4),
        (fitting, "FEWEST_OF_SECOND", 1),
    ):
        monkeypatch.setattr(module, name, value)
    for spine, answer in enumerate(["thin", "thin", "stubby", "thin"], start=1):
        edits.change_class(folder_of(job), spine, answer)
    app.run()
    assert button(app, "fit_rules").label == "Fit thresholds to 4 spines named by hand"
    button(app, "fit_rules").click().run()
    assert not app.exception
    assert "4 spines with a class by hand: the published thresholds name" in words(app)


@needs_model
def test_a_click_on_the_class_shown_confirms_it(open_page, job: JobRecord) -> None:
    app = open_page(spine="2")
    before = load_analysis(folder_of(job)).spines.set_index("spine_id").loc[2, "class"]
    control = next(c for c in app.button_group if (c.key or "").startswith("shape_class_"))
    control.set_value(None).run()
    assert not app.exception and "Class named by hand" in words(app)
    assert load_analysis(folder_of(job)).corrections.class_of == {2: before}


def test_spines_named_in_other_analyses_take_part_in_a_fit(open_page, job: JobRecord, tmp_path: Path) -> None:
    space = session.workspace()
    other = put_in_workspace(space, tmp_path / "more", origin="other")
    edits.change_class(space.result_folder(other.id), 1, "thin")
    space.new_job(job.stack_sha256, {})  # queued: it has no result yet
    gone = put_in_workspace(space, tmp_path / "gone", origin="gone")
    (space.result_folder(gone.id) / "analysis.json").unlink()
    edits.change_class(folder_of(job), 2, "stubby")

    def label(app: AppTest) -> str:
        return next(b for b in app.button if b.key == "fit_rules").label

    app = open_page(spine="1")
    assert label(app) == "Fit thresholds to 1 spine named by hand"
    next(t for t in app.toggle if t.key == "rules_everywhere").set_value(True).run()
    assert not app.exception and label(app) == "Fit thresholds to 2 spines named by hand"
