"""A sample's own score: what was found in it against the spines that are known."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import streamlit as st

from spinecore.analysis.storage import write_table
from spinecore.evaluation.builtin import SIMULATED, BuiltInSample
from spinecore.evaluation.report import EvaluationReport, evaluate_files
from spinecore.ui.layout import side_by_side
from spinecore.ui.moving import go_to
from spinecore.ui.planes import AXES, AXIS_NAMES, heads_um
from spinecore.ui.shown import BADGES, Shown

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

TOLERANCE_UM = 1.0
#: How matches are made, by criterion.
MATCHED = {
    "centre": "centres within {tolerance:g} µm",
    "mark": "centres within {tolerance:g} µm of the outer part of a marked spine, judged beside the traced dendrite only",
}
#: Marks up to this many slices away are shown in a slice.
NEAR_SLICES = 1.0


@st.cache_resource(max_entries=8, show_spinner=False)
def sample_report(
    key: tuple[str, int, float], _analysis: Analysis, _sample: BuiltInSample
) -> EvaluationReport:
    """Compare an analysis of a sample with what is known of it, one to one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spines.csv"
        write_table(_analysis.spines, path)
        return evaluate_files(_sample.truth, path, _sample.criterion, tolerance_um=TOLERANCE_UM)


def score_words(shown: Shown) -> str:
    """Return the score of an analysis of a sample as a sentence; empty where there is none."""
    sample = shown.sample
    if sample is None or shown.analysis.spines.empty:
        return ""
    report = sample_report(shown.key, shown.analysis, sample)
    counts, ignored = report.shown.counts, report.shown.n_ignored_truth
    faint = (
        f" ({ignored} more are too faint to see and are ignored)" if ignored and sample is SIMULATED else ""
    )
    return (
        f"{BADGES[sample.kind]} Compared with {sample.truth_name}, **{counts.n_truth}** spines{faint}: "
        f"found **{counts.n_matched}**, missed {counts.n_misses}, {counts.n_false_alarms} false; "
        f"precision {report.precision:.2f}, recall {report.recall:.2f}, **F1 {report.f1:.2f}** "
        f"({MATCHED[sample.criterion].format(tolerance=TOLERANCE_UM)})."
    )


def draw_sample_score(shown: Shown) -> None:
    """Draw the score of an analysis of a sample in one line, with a button for the details."""
    text = score_words(shown)
    if not text:
        return
    words, link = side_by_side("score", [5, 1], vertical_alignment="center")
    words.markdown(text)
    if link.button("Evaluate", key="see_score", width="stretch"):
        go_to("pages/evaluate.py", query_params={"analysis": shown.job.id})


def known_places(shown: Shown, plane: str, index: int | None) -> np.ndarray:
    """Return where the known spines of a sample are in a plane, (across, down) in um, shape (n, 2).

    In a slice (`index`) only those at most `NEAR_SLICES` away; without a sample none.
    """
    if shown.sample is None:
        return np.zeros((0, 2))
    table = pd.read_csv(shown.sample.truth)
    for column, wanted in (("visible", True), ("is_bad", 0)):
        if column in table:
            table = table[table[column] == wanted]
    if index is not None:
        along = AXIS_NAMES[AXES[plane][0]]
        table = table[(table[f"{along}_px"] - index).abs() <= NEAR_SLICES]
    return heads_um(table, shown.saved.spacing, plane)
