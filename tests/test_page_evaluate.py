"""The Evaluate page: an analysis of the sample, uploaded files, several annotators, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from spinecore.evaluation.builtin import SIMULATED
from spinecore.evaluation.gallery import cut_outs, to_pictures
from spinecore.simulation.sample import SAMPLE_STACK, SAMPLE_TRUTH
from spinecore.workspace.workspace import Workspace

PAGE = str(Path(__file__).parents[1] / "pages" / "evaluate.py")
DATA = Path(os.environ.get("SPINE_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
TRACKS = DATA / "tracks3d"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("SPINECORE_WORKSPACE", str(tmp_path / "workspace"))
    return Workspace(tmp_path / "workspace")


@pytest.fixture
def analysis(workspace) -> tuple[str, int]:
    """A finished analysis of the sample that misses two visible spines and invents one; (id, visible spines)."""
    stack = workspace.add_stack(SAMPLE_STACK, origin=SIMULATED.origin)
    job = workspace.new_job(stack.sha256, {"channel": 0, "time_point": 0})
    truth = pd.read_csv(SAMPLE_TRUTH)
    seen = truth[truth["visible"].astype(bool)]
    found = seen.iloc[2:].assign(score=np.linspace(0.95, 0.5, len(seen) - 2)).drop(columns="visible")
    invented = found.iloc[[0]].assign(spine_id=999, x_um=0.2, y_um=0.2, x_px=2.5, y_px=2.5, score=0.9)
    folder = workspace.result_folder(job.id)
    folder.mkdir(parents=True)
    pd.concat([found, invented]).to_csv(folder / "spines.csv", index=False)
    workspace.put_job(job.model_copy(update={"state": "done"}))
    return job.id, len(seen)


def opened(**address: str) -> AppTest:
    page = AppTest.from_file(PAGE, default_timeout=30)
    for key, value in address.items():
        page.query_params[key] = value
    page.run()
    assert not page.exception
    return page


def metrics(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def csv(rows: str) -> bytes:
    return f"spine_id,x_um,y_um\n{rows}".encode()


def test_analysis_of_the_sample_is_scored_against_its_own_truth(analysis):
    job_id, visible = analysis
    page = opened(analysis=job_id)
    shown = metrics(page)
    assert (shown["True"], shown["Matched"]) == (str(visible), str(visible - 2))
    assert (shown["Missed"], shown["False"]) == ("2", "1")
    assert shown["Recall"] == f"{(visible - 2) / visible:.3f}"
    assert {"Missed (2)", "False alarms (1)"} <= {part.value for part in page.subheader}
    tables = [table.value for table in page.dataframe]
    assert [999] in [table["object_id"].tolist() for table in tables if "object_id" in table]
    assert any("true spines of the sample" in caption.value for caption in page.caption)


def test_leaving_out_low_scores_lowers_recall(analysis):
    page = opened(analysis=analysis[0])
    before = float(metrics(page)["Recall"])
    page.toggle(key="use_score").set_value(True).run()
    page.slider(key="lowest_score").set_value(0.8).run()
    assert not page.exception and float(metrics(page)["Recall"]) < before


def test_uploaded_files_are_compared_and_named_in_the_address(workspace):
    page = opened()
    assert "Choose predictions and a ground truth" in page.info[0].value
    page.file_uploader(key="upload_predicted_0").upload("found.csv", csv("1,1,1\n2,5,5\n"), "text/csv").run()
    page.file_uploader(key="upload_truth_0").upload(
        "truth.csv", csv("1,1,1.5\n2,9,9\n3,5,5\n"), "text/csv"
    ).run()
    assert not page.exception
    shown = metrics(page)
    assert (shown["True"], shown["Predicted"], shown["Matched"], shown["F1"]) == ("3", "2", "2", "0.800")
    address = {key: "".join(page.query_params[key]) for key in ("truth", "predicted")}
    # A new session, as after a refresh, finds the same files by the address alone.
    assert metrics(opened(**address)) == shown
    page.button(key="remove_truth").click().run()
    assert "Choose predictions and a ground truth" in page.info[0].value


def test_pixel_positions_ask_for_the_pixel_size(workspace):
    page = opened()
    page.file_uploader(key="upload_predicted_0").upload("found.csv", csv("1,1,1\n"), "text/csv").run()
    page.file_uploader(key="upload_truth_0").upload("truth.csv", b"x_px,y_px\n10,10\n", "text/csv").run()
    assert "no positions in micrometres" in page.error[0].value
    page.number_input[1].set_value(0.1).run()
    assert not page.error and metrics(page)["F1"] == "1.000"


def test_unreadable_upload_is_one_sentence_and_the_next_one_works(workspace):
    page = opened()
    page.file_uploader(key="upload_predicted_0").upload("odd.csv", b"a,b\n1,2\n", "text/csv").run()
    assert not page.exception and "no columns that say where" in page.error[0].value
    page.file_uploader(key="upload_predicted_1").upload("found.csv", csv("1,1,1\n"), "text/csv").run()
    assert not page.error and page.query_params["predicted"]


def test_unknown_addresses_are_no_fault(workspace):
    page = opened(truth="../../etc/passwd", predicted="0123456789abcdef", analysis="no-such")
    assert "Choose predictions and a ground truth" in page.info[0].value


def test_model_is_placed_among_annotators(workspace):
    page = opened()
    page.file_uploader(key="upload_predicted_0").upload("model.csv", csv("1,1,1\n2,5,5\n"), "text/csv").run()
    page.segmented_control(key="evaluate_mode").set_value("several").run()
    assert "at least two people" in page.info[0].value
    people = [
        ("anna.csv", csv("1,1,1\n2,5,5\n3,9,9\n"), "text/csv"),
        ("ben.csv", csv("1,1,1.2\n"), "text/csv"),
    ]
    for turn, (name, content, kind) in enumerate(people):
        page.file_uploader(key=f"upload_annotators_{turn}").upload(name, content, kind).run()
    assert not page.exception and not page.error
    text = " ".join(part.value for part in page.markdown)
    assert "2 annotators marked 3 spines in total" in text
    assert "F1 0.800 of the model lies inside the spread" in text
    names = page.dataframe[0].value[""].tolist()
    assert names == ["anna.csv", "ben.csv", "model.csv (the predictions)"]


@pytest.mark.data
@pytest.mark.skipif(not TRACKS.is_dir(), reason=f"the data folder tracks3d is absent (looked in {DATA})")
def test_published_tracks_show_both_figures(workspace):
    page = opened()
    for name, parameter in (("detections_model.csv", "predicted"), ("truth_max.csv", "truth")):
        content = (TRACKS / name).read_bytes()
        page.file_uploader(key=f"upload_{parameter}_0").upload(name, content, "text/csv").run()
    page.selectbox(key="criterion_others").set_value("box3d").run()
    assert not page.exception and metrics(page)["F1-3D"] == "0.898"
    both = page.dataframe[0].value
    assert both[""].tolist() == ["Stacks pooled (shown)", "Stacks apart (for comparison)"]
    assert both["Matched"].tolist() == [53, 68]
    assert any("pooled into one coordinate space" in caption.value for caption in page.caption)


def test_cut_outs_show_what_is_at_the_place():
    stack = np.zeros((9, 20, 30), np.uint16)
    stack[4, 10, 12], stack[0, 10, 12], stack[8, 0, 0] = 50, 99, 70
    pictures = cut_outs(iter(stack), [[4, 10, 12], [np.nan, 10, 12], [8, 0, 0], [4, 90, 90]], half_px=3)
    assert pictures.shape == (4, 7, 7)
    assert pictures[0, 3, 3] == 50 and pictures[1, 3, 3] == 99 and pictures[2, 3, 3] == 70
    assert (
        np.isnan(pictures[2, :3]).all() and np.isnan(pictures[2, :, :3]).all() and np.isnan(pictures[3]).all()
    )
    shown = to_pictures(pictures, 40)
    assert shown[0].shape == (42, 42, 3) and shown[0].dtype == np.uint8
    assert shown[0][21, 21].tolist() == [255] * 3 and json.dumps(shown[3][0, 0].tolist()) == "[20, 28, 48]"


def test_a_table_without_units_asks_for_them(analysis):
    job_id, visible = analysis
    truth = pd.read_csv(SAMPLE_TRUTH)
    table = truth[truth["visible"].astype(bool)].rename(columns={"x_px": "x", "y_px": "y", "z_px": "z"})[
        ["x", "y", "z"]
    ]
    page = opened(analysis=job_id)
    page.file_uploader(key="upload_truth_0").set_value(
        [("marks.txt", table.to_csv(sep="\t").encode(), "text/plain")]
    ).run()
    assert not page.exception
    assert any("without a unit" in error.value and "--units" not in error.value for error in page.error)
    (units,) = [c for c in page.segmented_control if c.label == "Positions in marks.txt are in"]
    units.set_value("px").run()
    assert not page.exception and not page.error
    assert metrics(page)["Matched"] == str(visible - 2)
