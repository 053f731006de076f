"""The Overlay, 3-D and Results pages, driven without a browser, on an analysis that was drawn."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import pytest
import streamlit as st
import tifffile
from drawn_analysis import put_in_workspace
from streamlit.testing.v1 import AppTest

from spinecore.analysis.storage import load_analysis
from spinecore.evaluation.builtin import SIMULATED
from spinecore.jobs import manager as jobs
from spinecore.jobs.manager import JobManager
from spinecore.simulation.sample import SAMPLE_TRUTH
from spinecore.ui import downloads, session
from spinecore.ui.planeviews import View, build_scene, plane_image
from spinecore.ui.shown import Shown
from spinecore.workspace.records import JobRecord
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent
OVERLAY, VIEW3D, RESULTS = "pages/overlay.py", "pages/view3d.py", "pages/results.py"


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """A workspace with a stack, a single image and a stack that passes for the sample."""
    root = tmp_path_factory.mktemp("view")
    space = Workspace(root / "space")
    return {
        "space": space,
        "3d": put_in_workspace(space, root),
        "2d": put_in_workspace(space, root, flat=True),
        "sample": put_in_workspace(space, root, origin=SIMULATED.origin),
    }


def served(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """Let the pages work on a workspace, with a job manager that starts no processes."""
    monkeypatch.setattr(jobs, "describe_device", lambda: "CPU, 2 cores")
    manager = JobManager(workspace, executor=ThreadPoolExecutor(1))
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(session, "_workspace", lambda root: workspace)
    monkeypatch.setattr(session, "_manager", lambda root, workers: manager)
    yield workspace
    manager.close()
    st.cache_resource.clear()


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    yield from served(Workspace(tmp_path / "empty"), monkeypatch)


@pytest.fixture
def space(stored, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    yield from served(stored["space"], monkeypatch)


def open_page(page: str, job: JobRecord | None = None, **query: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.run()
    at.switch_page(page)
    if job is not None:
        at.query_params["analysis"] = job.id
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception, [e.value for e in at.exception]
    return at


def text_of(at: AppTest) -> str:
    return "\n".join(element.value for element in (*at.markdown, *at.caption, *at.error, *at.warning))


def shown_of(space: Workspace, job: JobRecord, threshold: float | None = None) -> Shown:
    saved = load_analysis(space.result_folder(job.id))
    return Shown(job, saved, 1, saved.threshold if threshold is None else threshold, None)


# --- which analysis -------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [OVERLAY, VIEW3D, RESULTS])
def test_without_an_analysis_the_page_says_what_to_do(page, empty):
    assert "no finished analysis yet" in text_of(open_page(page))


@pytest.mark.parametrize("page", [OVERLAY, VIEW3D, RESULTS])
def test_the_analysis_can_be_chosen_on_the_page(page, space, stored):
    at = open_page(page)
    assert "Choose the analysis to look at" in text_of(at)
    at.selectbox[0].select(stored["3d"].id).run()
    assert not at.exception
    assert stored["3d"].id in at.query_params["analysis"]
    assert "Choose the analysis" not in text_of(at)


def test_an_unfinished_analysis_points_to_the_queue(space, stored):
    job = space.new_job(stored["3d"].stack_sha256, {})
    at = open_page(OVERLAY, job)
    assert "is queued" in text_of(at)
    space.put_job(job.model_copy(update={"state": "cancelled"}))
    space.delete_job(job.id)


def test_the_sample_is_labelled_as_simulated_everywhere(space, stored):
    for page in (OVERLAY, VIEW3D, RESULTS):
        assert "Simulated" in text_of(open_page(page, stored["sample"]))
        assert "Simulated" not in text_of(open_page(page, stored["3d"]))


# --- overlay --------------------------------------------------------------------------------------


def test_overlay_shows_count_table_and_note(space, stored):
    at = open_page(OVERLAY, stored["3d"])
    words = text_of(at)
    assert "4 spines of 5 candidates" in words and "This is a note." in words
    assert "Maximum projection along z, 12.0 × 9.0 µm" in words
    assert list(at.dataframe[0].value["spine_id"]) == [1, 2, 3, 4]


def test_another_threshold_acts_at_once_and_is_in_the_address(space, stored):
    at = open_page(OVERLAY, stored["3d"])
    slider = next(s for s in at.slider if s.label.startswith("Lowest score"))
    slider.set_value(0.35).run()
    assert "5 spines of 5 candidates" in text_of(at)
    assert "0.35" in str(at.query_params["threshold"])
    assert "Keep this threshold" in [b.label for b in at.button]
    next(b for b in at.button if b.label.startswith("Back to")).click().run()
    assert "4 spines of 5 candidates" in text_of(at) and "threshold" not in at.query_params


def test_a_threshold_in_the_address_is_used_and_nonsense_is_not(space, stored):
    assert "2 spines of 5 candidates" in text_of(open_page(OVERLAY, stored["3d"], threshold="0.75"))
    assert "4 spines of 5 candidates" in text_of(open_page(OVERLAY, stored["3d"], threshold="nan"))
    at = open_page(RESULTS, stored["3d"], threshold="0.75")
    assert "minimum score of **0.75**" in text_of(at) and at.metric[0].value == "2"


def test_kept_thresholds_are_stored(space, tmp_path):
    job = put_in_workspace(space, tmp_path, origin="to keep")
    at = open_page(OVERLAY, job, threshold="0.75")
    next(b for b in at.button if b.label == "Keep this threshold").click().run()
    assert not at.exception
    kept = load_analysis(space.result_folder(job.id))
    assert kept.threshold == 0.75 and len(kept.spines) == 2
    assert space.progress(job.id).summary["spines"] == 2
    assert "Keep this threshold" not in [b.label for b in at.button] and "threshold" not in at.query_params


def test_a_spine_in_the_address_is_zoomed_to(space, stored):
    at = open_page(OVERLAY, stored["3d"], spine="3")
    assert "6.0 × 6.0 µm" in text_of(at)
    next(b for b in at.button if b.label == "Show all").click().run()
    assert "12.0 × 9.0 µm" in text_of(at) and "spine" not in at.query_params
    assert "12.0 × 9.0 µm" in text_of(open_page(OVERLAY, stored["3d"], spine="77"))


@pytest.mark.parametrize(("plane", "size"), [("xz", "12.0 × 3.5 µm"), ("yz", "9.0 × 3.5 µm")])
def test_slices_along_every_axis(space, stored, plane, size):
    at = open_page(OVERLAY, stored["3d"])
    at.segmented_control(key="overlay_plane").set_value(plane).run()
    at.toggle(key="overlay_one_slice").set_value(True).run()
    assert not at.exception and size in text_of(at) and "Slice " in text_of(at)


def test_slices_are_those_of_the_stack(space, stored):
    shown = shown_of(space, stored["3d"])
    voxels = tifffile.imread(space.stack_path(stored["3d"].stack_sha256))
    for index in (0, 1, 7, 13):
        assert (plane_image(shown, "xy", index) == voxels[index]).all()
    assert (plane_image(shown, "xz", 33) == voxels[:, 33]).all()
    assert (plane_image(shown, "yz", 20) == voxels[:, :, 20]).all()


def test_a_scene_of_a_slice_has_only_its_spines(space, stored):
    scene = build_scene(shown_of(space, stored["3d"]), View(index=10, levels=(0, 1600)), None)
    assert set(scene.spines) == {4} and set(scene.heads) == {4}


def test_a_deleted_stack_still_has_its_projection(space, tmp_path):
    job = put_in_workspace(space, tmp_path, origin="to delete")
    space.delete_stack(job.stack_sha256)
    at = open_page(OVERLAY, job)
    assert "4 spines of 5 candidates" in text_of(at)
    at.toggle(key="overlay_one_slice").set_value(True).run()
    assert not at.exception and "The projection can still be shown" in text_of(at)


def test_a_single_image_has_no_planes_to_choose(space, stored):
    at = open_page(OVERLAY, stored["2d"])
    assert not [s for s in at.segmented_control if s.key == "overlay_plane"]
    assert "The image, 12.0 × 9.0 µm" in text_of(at)


# --- 3-D ------------------------------------------------------------------------------------------


def test_3d_draws_surfaces_and_tells_about_simplification(space, stored):
    at = open_page(VIEW3D, stored["3d"], spine="2")
    words = text_of(at)
    assert "Around spine 2" in words and "triangles" in words
    assert len(at.get("bidi_component")) == 1
    whole = text_of(open_page(VIEW3D, stored["3d"]))
    assert "12.0 × 9.0 × 3.5 µm, in true proportion" in whole and "surroundings" not in whole


def test_3d_of_a_single_image_says_why_there_is_nothing(space, stored):
    at = open_page(VIEW3D, stored["2d"])
    assert "has no depth" in text_of(at) and not at.get("bidi_component")


def test_3d_where_the_static_folder_cannot_be_written_serves_plotly_js_as_a_media_file(
    space, stored, monkeypatch
):
    monkeypatch.setattr("spinecore.ui.figurecomponent.library_address", lambda: None)
    at = open_page(VIEW3D, stored["3d"], spine="2")
    assert not at.exception and len(at.get("bidi_component")) == 1


def test_3d_without_any_place_for_plotly_js_uses_the_usual_chart(space, stored, monkeypatch):
    monkeypatch.setattr("spinecore.ui.figurecomponent.library_address", lambda: None)
    monkeypatch.setattr("spinecore.ui.figurecomponent.media_address", lambda: None)
    at = open_page(VIEW3D, stored["3d"], spine="2")
    assert not at.exception and len(at.get("plotly_chart")) == 1


# --- results --------------------------------------------------------------------------------------


def test_results_show_the_summary_with_units(space, stored):
    at = open_page(RESULTS, stored["3d"])
    metrics = {m.label: m for m in at.metric}
    assert metrics["Spines"].value == "4" and metrics["Dendrite length"].value.endswith("µm")
    assert metrics["Density"].value == "0.33/µm" and metrics["Density"].delta == "95 % CI 0.09–0.85"
    assert metrics["Spine length"].delta == "median, n = 4"
    assert {"spine_id", "score", "length_um", "head_width_um"} <= set(at.dataframe[0].value.columns)


def test_filters_change_table_and_summary(space, stored):
    at = open_page(RESULTS, stored["3d"])
    score = next(s for s in at.slider if s.label == "Score")
    low, high = score.value
    score.set_value((0.75, high)).run()
    assert low < 0.75 and not at.exception
    assert at.metric[0].value == "2" and at.metric[0].delta == "of 4, filtered"
    assert list(at.dataframe[0].value["spine_id"]) == [1, 2]


def test_the_sample_shows_its_own_score(space, stored):
    words = text_of(open_page(RESULTS, stored["sample"]))
    visible = int(pd.read_csv(SAMPLE_TRUTH)["visible"].sum())
    assert f"the true spines, **{visible}** spines" in words and "precision" in words and "**F1" in words
    assert "true spines" not in text_of(open_page(RESULTS, stored["3d"]))


@pytest.mark.parametrize(
    ("tab", "expected"),
    [
        ("Dendrites", "Density bounds"),
        ("Dendrites", "Branches"),
        ("Plots", "Points: spines"),
        ("Methods and settings", "paragraph for a paper"),
    ],
)
def test_other_tabs(space, stored, tab, expected):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.run()
    at.switch_page(RESULTS)
    at.query_params["analysis"] = stored["3d"].id
    at.session_state["results_tab"] = tab
    at.run()
    assert not at.exception and expected in text_of(at)


@pytest.mark.parametrize("kind", ["3d", "2d"])
def test_the_chosen_spine_has_a_card(space, stored, kind):
    at = open_page(RESULTS, stored[kind], spine="1")
    assert [s.value for s in at.subheader] == ["Spine 1"]
    card = at.dataframe[1].value.set_index("Measure")
    assert card.loc["Length", "Value"].endswith("µm")
    assert ("projected" in card.loc["Length", "Note"]) == (kind == "2d")


def test_the_soma_is_marked_and_the_mark_removed_again(space, stored):
    """Once a number typed just before the click was not the one that was kept."""
    job = stored["3d"]
    folder = space.result_folder(job.id)
    at = open_page(RESULTS, job)
    at.number_input(key=f"soma_y_{job.id}").set_value(45.0)
    at.button(key="soma_keep").click().run()
    assert not at.exception and "Marked at x, y, z = 0, 45" in text_of(at)
    assert load_analysis(folder).spines["soma_distance_um"].notna().all()
    at.button(key="soma_drop").click().run()
    assert not at.exception and "Marked at" not in text_of(at)
    assert pd.read_csv(folder / "spines.csv")["soma_distance_um"].isna().all(), "the stored table follows"


def test_plots_can_be_changed(space, stored):
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.run()
    at.switch_page(RESULTS)
    at.query_params["analysis"] = stored["3d"].id
    at.session_state["results_tab"] = "Plots"
    at.run()
    for kind, key in (
        ("Scatter plot", "plot_x"),
        ("Density along the dendrite", "profile_width"),
    ):
        at.segmented_control(key="plot_kind").set_value(kind).run()
        assert not at.exception, at.exception
        widgets = [*at.selectbox, *at.slider]
        assert key in {w.key for w in widgets}


@pytest.mark.parametrize("threshold", [0.5, 0.75])
def test_every_download_is_what_is_shown(space, stored, threshold):
    shown = shown_of(space, stored["3d"], threshold)
    n = len(shown.analysis.spines)
    table = pd.read_csv(io.BytesIO(downloads.table_bytes(shown.analysis.spines)))
    assert len(table) == n and table["length_um"].notna().all()
    labels = tifffile.imread(io.BytesIO(downloads.stored_bytes(shown, "labels.tif")))
    assert labels.shape == shown.saved.shape and len(set(labels.ravel()) - {0}) == n
    assert tifffile.imread(io.BytesIO(downloads.stored_bytes(shown, "dendrite.tif"))).max() == 1
    sheets = pd.read_excel(io.BytesIO(downloads.exported_bytes(shown, "xlsx")), sheet_name=None)
    assert len(sheets) >= 4 and len(next(iter(sheets.values()))) == n
    with zipfile.ZipFile(io.BytesIO(downloads.exported_bytes(shown, "bundle"))) as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"spines.csv", "dendrites.csv", "analysis.json", "labels.tif", "methods.txt"} <= names
