"""The sample's own score: what was found in the simulated stack against the truth that it was made from."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from spinecore.analysis.storage import write_table
from spinecore.evaluation.report import EvaluationReport, evaluate_files
from spinecore.simulation.sample import SAMPLE_TRUTH
from spinecore.ui.layout import side_by_side
from spinecore.ui.shown import Shown

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

TOLERANCE_UM = 1.0


@st.cache_resource(max_entries=8, show_spinner=False)
def sample_report(key: tuple[str, int, float], _analysis: Analysis) -> EvaluationReport:
    """Compare an analysis of the sample with the sample's truth, by one-to-one matching of head centres."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spines.csv"
        write_table(_analysis.spines, path)
        return evaluate_files(SAMPLE_TRUTH, path, "centre", tolerance_um=TOLERANCE_UM)


def draw_sample_score(shown: Shown) -> None:
    """Draw the score in one line, with a button for the details."""
    if shown.analysis.spines.empty:
        return
    report = sample_report(shown.key, shown.analysis)
    counts, ignored = report.shown.counts, report.shown.n_ignored_truth
    faint = f" ({ignored} more are too faint to see and are ignored)" if ignored else ""
    words, link = side_by_side("score", [5, 1], vertical_alignment="center")
    words.markdown(
        f":orange-badge[Simulated] Compared with the sample's ground truth of **{counts.n_truth}** spines{faint}: "
        f"found **{counts.n_matched}**, missed {counts.n_misses}, {counts.n_false_alarms} false; "
        f"precision {report.precision:.2f}, recall {report.recall:.2f}, **F1 {report.f1:.2f}** "
        f"(centres within {TOLERANCE_UM:g} µm)."
    )
    if link.button("Evaluate", key="see_score", width="stretch"):
        st.switch_page("pages/evaluate.py", query_params={"analysis": shown.job.id})
