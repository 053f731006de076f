"""How a comparison with the truth is drawn: numbers, curve, lists and cut-outs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from spinecore.evaluation.comparison import Comparison
from spinecore.evaluation.consensus import CONSENSUS_KINDS, Placement
from spinecore.evaluation.curves import Curve
from spinecore.evaluation.gallery import cut_outs, to_pictures
from spinecore.evaluation.matching import Counts
from spinecore.evaluation.report import LISTED_COLUMNS, EvaluationReport
from spinecore.reading import open_stack
from spinecore.ui.words import count_text

LINE_COLOUR = "#1f5f8b"
MARK_COLOUR = "#c46a1b"
#: Cut-outs shown of each list.
MAX_CUT_OUTS = 12
#: Half width of a cut-out in um, and in px where the pixel size is unknown.
HALF_UM = 2.0
HALF_PX = 24


def number_text(value: float) -> str:
    """Return a score with three decimals, a dash where it is undefined."""
    return "–" if np.isnan(value) else f"{value:.3f}"


def draw_score(label: str, value: float, help: str, interval: str | None = None) -> None:
    """Draw one score, with its interval where there is one."""
    st.metric(
        label,
        number_text(value),
        delta=interval,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=help,
        height="stretch",
    )


def draw_numbers(report: EvaluationReport) -> None:
    """Draw counts and scores of the shown figure, and how it was reached."""
    shown, counts = report.shown, report.shown.counts
    interval = shown.interval("f1", report.level)
    counted = {
        "True": counts.n_truth,
        "Predicted": counts.n_predicted,
        "Matched": counts.n_matched,
        "Missed": counts.n_misses,
        "False": counts.n_false_alarms,
    }
    with st.grid(5, min_column_width=96):
        for label, value in counted.items():
            st.metric(label, f"{value:,}", border=True, height="stretch")
    with st.grid(4, min_column_width=110):
        draw_score("Precision", counts.precision, "Matched share of the predictions")
        draw_score("Recall", counts.recall, "Matched share of the truth")
        draw_score(
            report.f1_name,
            counts.f1,
            f"2 matched / (true + predicted). Bootstrap interval: {interval}",
            "no interval" if np.isnan(interval.low) else f"{interval.low:.3f}–{interval.high:.3f}",
        )
        if shown.curve is not None:
            draw_score(
                "AP",
                shown.curve.average_precision,
                "Average precision: area under the precision-recall curve",
            )
    st.caption(" ".join(_words(report)))


def _words(report: EvaluationReport) -> list[str]:
    shown = report.shown
    units = len(shown.units)
    words = [
        "All stacks are pooled into one coordinate space."
        if shown.pooled
        else f"One {shown.unit}, matched one to one."
        if units == 1
        else f"{units} {shown.unit}s, each matched apart, one to one."
    ]
    words.append(f"{report.f1_name}: {shown.interval('f1', report.level)}.")
    if report.score_threshold is not None:
        words.append(f"Predictions with a score below {report.score_threshold:g} are left out.")
    if shown.n_ignored_truth:
        words.append(
            f"{shown.n_ignored_truth} spines marked as invisible are ignored, with "
            f"{count_text(shown.n_ignored_predicted, 'prediction')} on them."
        )
    return [*words, *shown.notes]


def counts_row(name: str, counts: Counts) -> dict[str, object]:
    """Return one row of a table of counts."""
    return {
        "": name,
        "True": counts.n_truth,
        "Predicted": counts.n_predicted,
        "Matched": counts.n_matched,
        "Precision": counts.precision,
        "Recall": counts.recall,
        "F1": counts.f1,
    }


def draw_counts(rows: list[dict[str, object]]) -> None:
    """Draw a table of counts."""
    scores = {name: st.column_config.NumberColumn(format="%.3f") for name in ("Precision", "Recall", "F1")}
    st.dataframe(pd.DataFrame(rows), hide_index=True, width="stretch", column_config=scores)


def draw_stacks(report: EvaluationReport) -> None:
    """Draw the other treatment of the stacks, and every stack or image."""
    if report.other is not None:
        rows = []
        for comparison, role in ((report.shown, "shown"), (report.other, "for comparison")):
            name = "Stacks pooled" if comparison.pooled else "Stacks apart"
            rows.append(counts_row(f"{name} ({role})", comparison.counts))
        draw_counts(rows)
    apart = report.other if report.shown.pooled and report.other is not None else report.shown
    if len(apart.units) > 1:
        draw_counts([counts_row(unit.name, unit.matching.counts) for unit in apart.units])


def curve_figure(curve: Curve, counts: Counts) -> go.Figure:
    """Return the precision-recall curve with the figure shown marked on it."""
    figure = go.Figure()
    figure.add_scatter(
        x=curve.recall,
        y=curve.precision,
        customdata=np.stack([curve.thresholds, curve.f1], axis=1),
        mode="lines+markers",
        marker={"size": 4},
        line={"color": LINE_COLOUR},
        name="score threshold",
        hovertemplate="score ≥ %{customdata[0]:.3f}<br>recall %{x:.3f}<br>precision %{y:.3f}"
        "<br>F1 %{customdata[1]:.3f}<extra></extra>",
    )
    figure.add_scatter(
        x=[counts.recall],
        y=[counts.precision],
        mode="markers",
        marker={"size": 12, "color": MARK_COLOUR, "symbol": "diamond"},
        name="shown above",
        hovertemplate="recall %{x:.3f}<br>precision %{y:.3f}<extra>shown above</extra>",
    )
    axis = {"range": [0, 1.03], "gridcolor": "#e4eaf0", "zeroline": False, "automargin": True}
    figure.update_layout(
        height=340,
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        plot_bgcolor="white",
        legend={"x": 0.02, "y": 0.04},
        xaxis={**axis, "title": "Recall"},
        yaxis={**axis, "title": "Precision"},
    )
    return figure


def draw_list(comparison: Comparison, which: str, stack: tuple[str, str, int, int] | None) -> None:
    """Draw misses or false alarms as a table and, where the stack is here, as pictures.

    Parameters
    ----------
    comparison : Comparison
        What to list.
    which : str
        "misses" or "false_alarms".
    stack : (sha256, path, channel, time point) or None
        The stack to cut pictures from.
    """
    table = getattr(comparison, which)
    if table.empty:
        st.markdown("None.")
        return
    if which == "misses":
        table = table.assign(score=np.nan)
    columns = [name for name in LISTED_COLUMNS if name in table and table[name].notna().any()]
    if set(table["stack"]) == {""}:
        columns.remove("stack")
    if stack is not None and table[["x_px", "y_px"]].notna().all(axis=None):
        sizes = comparison.units[0].predicted
        pixel = (
            (sizes["x_um"] / sizes["x_px"].where(sizes["x_px"] > 0)).median() if "x_um" in sizes else np.nan
        )
        half = HALF_PX if np.isnan(pixel) else int(np.clip(round(HALF_UM / pixel), 8, 80))
        first = table.head(MAX_CUT_OUTS)
        pictures = _pictures(
            *stack, tuple(map(tuple, first[["z_px", "y_px", "x_px"]].to_numpy(float).tolist())), half
        )
        with st.container(horizontal=True, gap="small"):
            for picture, row in zip(pictures, first.to_dict("records"), strict=True):
                score = "" if pd.isna(row["score"]) else f", {row['score']:.2f}"
                st.image(picture, caption=f"{row['object_id']}{score}", width=118)
        more = f" of {len(table)}; the table has all" if len(table) > len(first) else ""
        st.caption(
            f"{len(first)} shown{more}. Each is a projection of five slices, {2 * half + 1} pixels wide."
        )
    st.dataframe(
        table[columns],
        hide_index=True,
        width="stretch",
        height=min(38 + 35 * len(table), 300),
        column_config={
            name: st.column_config.NumberColumn(
                name.removesuffix("_um").removesuffix("_px") + (" (µm)" if name.endswith("um") else " (px)"),
                format="%.2f" if name.endswith("um") else "%.1f",
            )
            for name in columns
            if name.endswith(("_um", "_px"))
        }
        | {
            "object_id": "Spine",
            "stack": "Stack",
            "score": st.column_config.NumberColumn("Score", format="%.3f"),
        },
    )


@st.cache_data(max_entries=8, show_spinner="Cutting out the spines")
def _pictures(
    sha256: str, path: str, channel: int, time_point: int, centres: tuple[tuple[float, ...], ...], half: int
) -> list[np.ndarray]:
    with open_stack(path) as file:
        pictures = cut_outs(file.slices(channel, time_point), np.array(centres), half)
    return to_pictures(pictures)


def draw_downloads(report: EvaluationReport) -> None:
    """Offer the report as text and JSON, and the lists as CSV."""
    with st.container(horizontal=True):
        st.download_button("Report (text)", report.to_text, "evaluation.txt", "text/plain", key="get_text")
        st.download_button(
            "Report (JSON)", report.to_json, "evaluation.json", "application/json", key="get_json"
        )
        st.download_button(
            "Misses and false alarms (CSV)", lambda: _lists(report), "errors.csv", "text/csv", key="get_csv"
        )


def _lists(report: EvaluationReport) -> str:
    records = json.loads(report.to_json())
    rows = [{"error": kind, **row} for kind in ("misses", "false_alarms") for row in records[kind]]
    return pd.DataFrame(rows).to_csv(index=False)


def draw_placements(placements: dict[str, Placement], model: str | None) -> None:
    """Draw every annotator's F1 against the three truths, and the model among them."""
    for kind in CONSENSUS_KINDS:
        placement = placements[kind]
        st.markdown(f"**{kind.capitalize()} truth**")
        if placement.model is not None:
            st.markdown(placement.verdict)
        rows = [counts_row(name, counts) for name, counts in placement.annotators.items()]
        if placement.model is not None:
            rows.append(counts_row(f"{model} (the predictions)", placement.model))
        draw_counts(rows)
