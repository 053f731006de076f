"""The pages Own models, Fine-tune and the choice of methods and weights on Analyse, driven without a browser."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
import tifffile
from drawn_analysis import put_in_workspace
from streamlit.testing.v1 import AppTest
from waiting import wait_until

from spinecore.files import AppendOnlyLog, write_model
from spinecore.jobs import manager as jobs
from spinecore.jobs.manager import JobManager
from spinecore.jobs.trainings import Training, TrainingResult, data_folder, read_request
from spinecore.jobs.work import Kind, Report, Summary, Task
from spinecore.methods import METHODS
from spinecore.methods.registry import Method
from spinecore.networks.zoo import get_card
from spinecore.training import sources
from spinecore.training.request import Request, Source
from spinecore.ui import session
from spinecore.workspace.own_models import add_model, list_own, models_folder
from spinecore.workspace.records import now
from spinecore.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent
OWN, TRAIN, ANALYSE = "pages/ownmodels.py", "pages/train.py", "pages/analyse.py"


class AtOnce(Kind):
    """An analysis that finds nothing at once."""

    name = "analysis"

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        return {"spines": 0}


class PatientTraining(Training):
    """A training that learns nothing and goes on until it is cancelled."""

    def run(self, task: Task, out: Path, report: Report) -> Summary:
        wait_until(lambda: report("Training", 0.5))
        return {}


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    workspace = Workspace(tmp_path / "space")
    monkeypatch.setattr(jobs, "describe_device", lambda: "CPU, 2 cores")
    kinds = {"analysis": AtOnce(), "training": PatientTraining()}
    manager = JobManager(workspace, executor=ThreadPoolExecutor(2), kinds=kinds)
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(workspace.root))
    monkeypatch.setattr(session, "_workspace", lambda root: workspace)
    monkeypatch.setattr(session, "_manager", lambda root, workers: manager)
    st.cache_data.clear()
    yield workspace
    manager.close()
    st.cache_resource.clear()


def opened(page: str) -> AppTest:
    at = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    at.run()
    at.switch_page(page)
    at.run()
    assert not at.exception, [e.value for e in at.exception]
    return at


def words(at: AppTest) -> str:
    parts = (*at.markdown, *at.caption, *at.error, *at.warning, *at.success)
    return "\n".join(element.value for element in parts)


def shipped(name: str = "centre-unet-2d") -> tuple[bytes, bytes]:
    card = get_card(name)
    return card.weights.read_bytes(), card.path.read_bytes()


def add_own(space: Workspace, name: str = "mine", shipped_name: str = "centre-unet-2d") -> None:
    card = get_card(shipped_name)
    add_model(models_folder(space.root), card.weights, card.path, name)


def add_image(space: Workspace, pixel_um: float = 0.1, seed: int = 0) -> str:
    voxels = np.random.default_rng(seed).integers(0, 4000, (64, 64)).astype(np.uint16)
    file = BytesIO()
    tifffile.imwrite(file, voxels, imagej=True, resolution=(1 / pixel_um,) * 2, metadata={"unit": "um"})
    file.seek(0)
    return space.add_stack(file, f"image{seed}.tif").sha256


# --- own models -----------------------------------------------------------------------------------


def upload(at: AppTest, *files: tuple[str, bytes]) -> AppTest:
    at.file_uploader[0].set_value([(name, content, "application/octet-stream") for name, content in files])
    at.run()
    assert not at.exception, [e.value for e in at.exception]
    return at


def test_own_models_empty_state(space):
    assert "There are none yet" in words(opened(OWN))


def test_two_files_become_a_model_that_can_be_deleted(space):
    weights, card = shipped()
    at = upload(opened(OWN), ("lab.safetensors", weights), ("lab.json", card))
    assert "**lab** was added" in words(at) and [c.name for c in list_own(models_folder(space.root))] == [
        "lab"
    ]
    assert "in place of centre-unet-2d" in words(at)
    at.button(key="delete_lab").click().run()
    assert not at.exception and list_own(models_folder(space.root)) == []


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([("model.pth", b"\x80\x02")], "can run code"),
        ([("model.pt", b"PK\x03\x04"), ("model.json", b"{}")], "can run code"),
        ([("a.safetensors", b"PK\x03\x04xxxxxxxxxxxx"), ("a.json", b"{}")], "pickle or zip"),
        ([("a.safetensors", b""), ("b.safetensors", b"")], "exactly two files"),
        ([("a.safetensors", None), ("a.json", b"{")], "cannot be read as JSON"),
    ],
)
def test_refused_uploads_say_one_sentence(space, files, expected):
    weights, _ = shipped()
    at = upload(opened(OWN), *((name, weights if c is None else c) for name, c in files))
    assert len(at.error) == 1 and expected in at.error[0].value
    assert list_own(models_folder(space.root)) == []


def test_one_file_alone_waits_for_the_other(space):
    at = upload(opened(OWN), ("lab.json", shipped()[1]))
    assert "its weights (.safetensors) is still missing" in words(at) and not at.error


# --- analyse --------------------------------------------------------------------------------------


def test_several_methods_make_an_analysis_each(space, monkeypatch):
    second = METHODS["centre-unet"]
    other = Method("other", "Other", second.module, second.model_2d, second.model_3d, "tests")
    monkeypatch.setitem(METHODS, "other", other)
    add_image(space)
    at = opened(ANALYSE)
    at.multiselect(key="methods").set_value(["centre-unet", "other"]).run()
    button = at.button(key="start")
    assert button.label == "Start 2 analyses"
    button.click().run()
    assert not at.exception
    assert {job.settings["method"] for job in space.jobs()} == {"centre-unet", "other"}
    at.multiselect(key="methods").set_value([]).run()
    assert at.button(key="start").disabled


def test_an_analysis_that_ends_while_the_queue_is_drawn_is_drawn_once(space, monkeypatch):
    add_image(space)
    at = opened(ANALYSE)
    at.button(key="start").click().run()
    (job,) = space.jobs()
    from spinecore.ui.session import manager

    both = manager().status(job.id)
    monkeypatch.setattr(type(manager()), "active", lambda self, kind=None: [both])
    monkeypatch.setattr(type(space), "jobs", lambda self, **wanted: [both.job])
    at.run()
    assert not at.exception


def test_own_weights_can_be_chosen_where_they_fit(space):
    add_own(space)
    add_own(space, "for-stacks", "centre-unet-3d")
    add_image(space)
    at = opened(ANALYSE)
    box = at.selectbox(key="weights")
    assert len(box.options) == 2 and "for-stacks" not in " ".join(box.options)
    box.set_value("mine").run()
    at.button(key="start").click().run()
    assert not at.exception and [job.settings["model"] for job in space.jobs()] == ["mine"]


def test_without_own_weights_nothing_is_asked(space):
    add_image(space)
    assert not [box for box in opened(ANALYSE).selectbox if box.key == "weights"]


def test_a_stack_outside_the_training_data_is_told_before_the_analysis(space):
    add_image(space, pixel_um=0.6)
    at = opened(ANALYSE)
    assert any("pixel size (0.6 µm) is above" in w.value and "image0.tif" in w.value for w in at.warning)


# --- fine-tune ------------------------------------------------------------------------------------


def test_fine_tune_empty_state(space):
    text = words(opened(TRAIN))
    assert "no finished analysis" in text and "No model has been trained here yet" in text


def test_a_training_is_started_from_a_checked_analysis(space, tmp_path, monkeypatch):
    job = put_in_workspace(space, tmp_path)
    at = opened(TRAIN)
    at.multiselect(key="train_analyses").set_value([job.id]).run()
    assert "4 spines in total" in words(at)
    assert at.selectbox[0].options == [
        "head-score (the second look at each head)",
        "centre-unet-3d (the maps of stacks)",
    ]
    at.button(key="start_training").click().run()
    assert "Only 4 spines are marked" in at.error[0].value and not space.jobs(kind="training")
    monkeypatch.setattr(sources, "FEWEST_SPINES", 4)
    at.number_input(key="train_minutes").set_value(0.02).run()
    at.button(key="start_training").click().run()
    assert "takes from 0.05 to 1440 minutes, not 0.02: change the minutes" in at.error[0].value
    assert not space.jobs(kind="training"), "the old value of the field is not used in its place"
    at.number_input(key="train_minutes").set_value(5.0).run()
    at.button(key="start_training").click().run()
    assert not at.exception and not at.error, words(at)
    (training,) = space.jobs(kind="training")
    request = read_request(training)
    assert request.sources[0].annotation == space.result_folder(job.id)
    assert request.name == "head-score-own"
    wait_until(lambda: space.job(training.id).state == "running")
    at.run()
    assert f"**{request.name}** from head-score" in words(at)
    at.button(key="start_training").click().run()
    assert len(space.jobs(kind="training")) == 1, "a double click starts one training"
    at.number_input(key="train_minutes").set_value(9.0).run()
    at.button(key="start_training").click().run()
    assert len(at.error) == 1 and "choose another name" in at.error[0].value
    at.button(key=f"cancel_{training.id}").click().run()
    wait_until(lambda: space.job(training.id).state == "cancelled")


def test_uploaded_images_are_paired_or_refused(space):
    file = BytesIO()
    tifffile.imwrite(
        file, np.zeros((64, 64), np.uint16), imagej=True, metadata={"unit": "um"}, resolution=(10, 10)
    )
    at = opened(TRAIN)
    at.segmented_control(key="train_way").set_value("upload").run()
    upload(at, ("cell.tif", file.getvalue()))
    at.button(key="start_training").click().run()
    assert "no annotation table" in at.error[0].value
    assert not list(data_folder(space).iterdir())
    for marks, said in (
        (b"x_px,y_px\n3,4\n", "Only 1 spine is marked"),
        (b"x,y\n3,4\n", "name them x_px and y_px"),
    ):
        upload(at, ("cell.tif", file.getvalue()), ("cell.csv", marks))
        at.button(key="start_training").click().run()
        assert said in at.error[0].value and not list(data_folder(space).iterdir())
    upload(at, ("cell.tif", file.getvalue()), ("cell.csv", b"x_px,y_px\n" + b"3,4\n" * 10))
    at.button(key="start_training").click().run()
    assert not at.exception and not at.error, words(at)
    (training,) = space.jobs(kind="training")
    (source,) = read_request(training).sources
    assert source.name == "cell" and source.image.is_file() and source.annotation.name == "cell.csv"
    at.button(key=f"cancel_{training.id}").click().run()
    wait_until(lambda: space.job(training.id).state == "cancelled")
    at.run()
    at.button(key=f"remove_run_{training.id}").click().run()
    assert not source.image.exists() and not space.jobs(kind="training"), "the upload goes with it"


@pytest.mark.parametrize(
    ("after", "told", "arrow"), [(0.6, "The old model is kept", "0.200"), (0.4, "no better than", "")]
)
def test_a_finished_training_shows_curve_and_both_scores(space, after, told, arrow):
    source = Source(image=Path("a.tif"), annotation=Path("a.csv"), name="a")
    request = Request(name="better", sources=(source,))
    job = space.new_job(None, request.model_dump(mode="json"), kind="training")
    space.put_job(job.model_copy(update={"state": "done", "finished": now()}))
    rows = [{"step": 10 * k, "minutes": 0.5 * k, "f1": 0.4 + 0.1 * k} for k in range(3)]
    log = AppendOnlyLog(space.job_folder(job.id) / "history.jsonl")
    for row in rows:
        log.append(row)
    score = {"n_truth": 50, "n_predicted": 40, "n_matched": 30}
    result = TrainingResult(
        model="better",
        held_out="2 of 6 images",
        before={**score, "f1": 0.4},
        after={**score, "f1": after},
    )
    space.result_folder(job.id).mkdir()
    write_model(space.result_folder(job.id) / "training.json", result)
    at = opened(TRAIN)
    assert {m.label: m.value for m in at.metric} == {"F1 before": "0.400", "F1 after": f"{after:.3f}"}
    assert next(m.delta for m in at.metric if m.label == "F1 after").lstrip("+") == arrow
    assert "2 of 6 images, 50 spines" in words(at) and told in words(at)
    assert len(at.get("arrow_vega_lite_chart")) + len(at.get("vega_lite_chart")) == 1
    at.button(key=f"remove_run_{job.id}").click().run()
    assert not at.exception and "No model has been trained here yet" in words(at)
