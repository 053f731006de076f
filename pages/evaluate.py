"""Evaluate: compare an analysis, or a file of predictions, with a truth or with several annotators."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import streamlit as st

from spinecore.analysis.edits import draw_corrections
from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations
from spinecore.evaluation.builtin import BuiltInSample
from spinecore.evaluation.consensus import find_consensus, place_model
from spinecore.evaluation.edges import CRITERIA
from spinecore.evaluation.report import EvaluationReport, evaluate
from spinecore.ui.annotation_files import file_chooser, read
from spinecore.ui.charts import draw_chart
from spinecore.ui.checked import with_checked
from spinecore.ui.evaluation_views import (
    curve_figure,
    draw_downloads,
    draw_list,
    draw_numbers,
    draw_placements,
    draw_stacks,
)
from spinecore.ui.fields import within
from spinecore.ui.layout import side_by_side
from spinecore.ui.session import current_job, missing_in_address, sample_of, workspace
from spinecore.ui.words import count_text, distinct, sentence

SOURCES = {"analysis": "An analysis", "file": "A file"}
TRUTHS = {"one": "Ground truth", "several": "Several annotators"}
CRITERION_NAMES = {
    "centre": "Distance of centres",
    "mark": "Distance to the outer part of marked spines",
    "box2d": "Boxes in the plane (IoU)",
    "box2d-iom": "Boxes in the plane (IoM)",
    "box3d": "Boxes in 3-D (IoM, F1-3D)",
    "mask": "Masks (IoU)",
}
#: Title, least and largest value of each number field.
_LIMITS = {
    "tolerance_um": ("Matching distance (µm)", 0.05, 20.0),
    "pixel_um": ("Pixel size (µm)", 0.001, 10.0),
    "z_um": ("Slice step (µm)", 0.001, 50.0),
}
KINDS_HELP = (
    "A spine table of this program, a table of positions (any separator; ImageJ Results, napari), boxes per slice (CSV), "
    "VGG Image Annotator (CSV or JSON), Cell Counter (XML), a label TIFF or mask, or an ImageJ ROI zip."
)


def choose_analysis() -> Path | None:
    """Draw the choice among finished analyses; it is kept in the address."""
    done = {job.id: job for job in workspace().jobs(states=("done",))}
    if not done:
        st.caption("There is no finished analysis yet: upload a file, or analyse a stack first.")
        return None
    current, missing = current_job(), missing_in_address()
    notice = st.container()
    keys = list(done)
    first = None if missing else 0
    names = distinct(
        {k: f"{job.stack_name}, {job.submitted.astimezone():%d %b %Y, %H:%M}" for k, job in done.items()}
    )
    key = st.selectbox(
        "Analysis",
        keys,
        index=keys.index(current.id) if current is not None and current.id in done else first,
        placeholder="Choose an analysis",
        format_func=lambda job_id: with_checked(names[job_id], job_id),
    )
    if key is None:
        notice.warning(missing)
        return None
    st.query_params["analysis"] = key
    return workspace().result_folder(key)


def choose_predictions() -> tuple[Path | None, bool]:
    """Draw the choice of predictions; return a file or result folder, and whether it is an analysis."""
    start = (
        "file"
        if "predicted" in st.query_params or not workspace().jobs(limit=1, states=("done",))
        else "analysis"
    )
    source = st.segmented_control(
        "Predictions",
        list(SOURCES),
        default=start,
        format_func=SOURCES.__getitem__,
        required=True,
        key="evaluate_source",
    )
    if source == "analysis":
        st.query_params.pop("predicted", None)
        return choose_analysis(), True
    paths = file_chooser("File of predictions", "predicted", help=KINDS_HELP)
    return (paths[0] if paths else None), False


def sample_chosen(is_analysis: bool) -> BuiltInSample | None:
    """Return the built-in sample when an analysis of it is chosen."""
    job = current_job() if is_analysis else None
    return None if job is None else sample_of(job)


def choose_rule(sides: list[Annotations], masks: bool) -> tuple[str, dict[str, float | None]]:
    """Draw the criterion, its tolerance or overlap, and a pixel size where one is missing.

    Raises
    ------
    SpinecoreError
        If a number that was typed cannot be used.
    """
    possible = {"mask": masks, "mark": any(side.shafts for side in sides)}
    names = [name for name in CRITERIA if possible.get(name, True)]
    kind = "marks" if possible["mark"] else "others"
    criterion = st.selectbox(
        "Matching criterion",
        names,
        index=names.index("mark") if possible["mark"] else 0,
        format_func=CRITERION_NAMES.__getitem__,
        key=f"criterion_{kind}",
        persist_state="session",
    )
    options: dict[str, float | None] = {}
    if CRITERIA[criterion].unit:
        options["tolerance_um"] = st.number_input(
            _LIMITS["tolerance_um"][0], value=1.0, step=0.1, key="tolerance_um", persist_state="session"
        )
        if any(side.objects["x_um"].isna().any() for side in sides):
            known = next((side.pixel_size() for side in sides if side.pixel_size()[0]), (None, None))
            st.caption("One of the files gives positions in pixels only, so the pixel size is needed.")
            with st.container(horizontal=True):
                options["pixel_um"] = st.number_input(
                    _LIMITS["pixel_um"][0], value=known[0], step=0.01, format="%.4f"
                )
                options["z_um"] = st.number_input(_LIMITS["z_um"][0], value=known[1], step=0.1, format="%.3f")
    else:
        options["overlap"] = st.slider(
            "Smallest overlap", 0.05, 1.0, 0.5, 0.05, key="overlap", persist_state="session"
        )
    for name, (title, low, high) in _LIMITS.items():
        if (typed := options.get(name)) is not None:
            within(title, typed, low, high)
    return criterion, options


def load_side(
    path: Path, criterion: str, options: dict[str, float | None], name: str | None = None
) -> Annotations:
    """Read one side with what the criterion needs."""
    if criterion == "mask" and (path / "analysis.json").is_file():
        draw_corrections(path)
    side = read(path, with_labels=criterion == "mask")
    side = side.with_pixel_size(options.get("pixel_um"), options.get("z_um"))
    return side if name is None else replace(side, name=name)


def stack_of_analysis(is_analysis: bool) -> tuple[str, str, int, int] | None:
    """Return what the cut-outs need to find the analysed stack, None when it is not here."""
    job = current_job() if is_analysis else None
    if job is None:
        return None
    try:
        path = workspace().stack_path(job.stack_sha256)
    except SpinecoreError:
        return None
    if not path.is_file():
        return None
    return (
        job.stack_sha256,
        str(path),
        int(job.settings.get("channel", 0)),
        int(job.settings.get("time_point", 0)),
    )


def draw_report(report: EvaluationReport, stack: tuple[str, str, int, int] | None) -> None:
    """Draw numbers, curve, stacks, lists and downloads."""
    draw_numbers(report)
    draw_stacks(report)
    if report.shown.curve is not None:
        draw_chart(
            curve_figure(report.shown.curve, report.shown.counts), "pr_curve", "Precision and recall by score"
        )
    misses, false = report.shown.counts.n_misses, report.shown.counts.n_false_alarms
    for which, title in (("misses", f"Missed ({misses})"), ("false_alarms", f"False alarms ({false})")):
        st.subheader(title, anchor=False)
        draw_list(report.shown, which, stack)
    if stack is None and misses + false:
        st.caption("Choose an analysis whose stack is in the workspace to see these as pictures.")
    draw_downloads(report)


def name_of_predictions(is_analysis: bool) -> str | None:
    """Return the analysed stack's name for an analysis, None for a file, which has its own."""
    job = current_job() if is_analysis else None
    return None if job is None else job.stack_name


def compare_with_truth(predicted: Path | None, is_analysis: bool, right) -> None:
    """Choose one truth on the left and draw the comparison on the right."""
    sample = sample_chosen(is_analysis)
    paths = file_chooser("Ground truth", "truth", help=KINDS_HELP)
    truth = paths[0] if paths else None if sample is None else sample.truth
    if not paths and sample is not None:
        st.caption(f"Without an uploaded ground truth, {sample.truth_name} of the sample are used.")
    if predicted is None or truth is None:
        right.info("Choose predictions and a ground truth to see the scores.")
        return
    criterion, options = choose_rule([read(truth), read(predicted)], masks=True)
    use_scores = st.toggle("Exclude low scores", key="use_score", persist_state="session")
    threshold = st.slider("Lowest score", 0.0, 1.0, 0.5, 0.01, key="lowest_score") if use_scores else None
    report = evaluate(
        load_side(truth, criterion, options),
        load_side(predicted, criterion, options, name_of_predictions(is_analysis)),
        criterion,
        tolerance_um=options.get("tolerance_um") or 1.0,
        overlap=options.get("overlap") or 0.5,
        score_threshold=threshold,
    )
    with right:
        draw_report(report, stack_of_analysis(is_analysis))


def compare_with_annotators(predicted: Path | None, is_analysis: bool, right) -> None:
    """Choose several annotation files on the left and draw the consensus on the right."""
    paths = file_chooser("Annotation files, one per person", "annotators", several=True, help=KINDS_HELP)
    if len(paths) < 2:
        right.info(
            "Upload the annotation files of at least two people; predictions can be ranked among them."
        )
        return
    everyone = [read(path) for path in paths]
    model = None if predicted is None else read(predicted)
    criterion, options = choose_rule([*everyone, *([] if model is None else [model])], masks=False)
    people = [load_side(path, criterion, options) for path in paths]
    if predicted is not None:
        model = load_side(predicted, criterion, options, name_of_predictions(is_analysis))
    consensus = find_consensus(people, criterion, options.get("tolerance_um", options.get("overlap")))
    with right:
        votes = consensus.groups["votes"]
        st.markdown(
            f"{count_text(len(people), 'annotator')} marked {count_text(len(votes), 'spine')} in total."
        )
        draw_placements(place_model(consensus, model), None if model is None else model.name)
        st.caption(
            "Each annotator's own marks are part of the consensus, so with few annotators their scores "
            "are optimistic."
        )


st.title("Evaluate", anchor=False)
left, right = side_by_side("evaluate", [1, 1.9], gap="large")
try:
    with left:
        predicted, is_analysis = choose_predictions()
        mode = st.segmented_control(
            "Compare with",
            list(TRUTHS),
            default="one",
            format_func=TRUTHS.__getitem__,
            required=True,
            key="evaluate_mode",
        )
        if mode == "one":
            compare_with_truth(predicted, is_analysis, right)
        else:
            compare_with_annotators(predicted, is_analysis, right)
except SpinecoreError as error:
    right.error(sentence(error))
