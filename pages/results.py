"""Results: the spine table, its summary and histograms, and all downloads."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from spinecore.analysis.cutter import estimate_number
from spinecore.corrections.replay import count_corrections
from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.shapes.classes import CAVEAT
from spinecore.ui.charts import draw_chart
from spinecore.ui.checkline import draw_check_line
from spinecore.ui.colours import has_values, heading, measures
from spinecore.ui.correcting import draw_remove, show_last_correction
from spinecore.ui.doubtline import draw_doubt_line
from spinecore.ui.downloads import draw_downloads, draw_provenance
from spinecore.ui.layout import side_by_side
from spinecore.ui.moving import go_to
from spinecore.ui.resultplots import (
    choose_soma,
    draw_branches,
    draw_calibration,
    draw_card,
    draw_channels,
    draw_plots,
)
from spinecore.ui.results import HISTOGRAMS, RANGES, Filters, histogram_figure, summarise
from spinecore.ui.samplescore import draw_sample_score
from spinecore.ui.shown import Shown, chosen_spine, note_threshold, open_shown
from spinecore.ui.tables import (
    DEFAULT_DENDRITE_COLUMNS,
    DEFAULT_SPINE_COLUMNS,
    column_config,
    draw_spine_rows,
    filled,
)
from spinecore.ui.words import count_text

TABLE_HEIGHT = 390

#: Said under the table of a stack that has estimated sizes.
WHICH_TO_PUBLISH = (
    "To publish, prefer **Length, est.** and **Head width, est.**: in stacks they come nearer to the truth, and each has its "
    "expected error in a column beside it. The measured ones follow the outline, which blur makes larger or shorter."
)


def choose_filters(shown: Shown) -> Filters:
    """Draw the filters."""
    spines = shown.analysis.spines
    dendrites = sorted(int(i) for i in spines["dendrite_id"].dropna().unique())
    with st.popover("Filter"):
        some_dendrites = (
            st.multiselect("Dendrites", dendrites, placeholder="All", key=f"filter_dendrites_{shown.job.id}")
            if len(dendrites) > 1
            else []
        )
        classes = sorted(c for c in spines["class"].dropna().unique() if c) if "class" in spines else []
        some_classes = (
            st.multiselect("Classes", classes, placeholder="All", key="filter_classes") if classes else []
        )
        ranges = {}
        for name in RANGES:
            if not has_values(spines, name):
                continue
            low, high = float(spines[name].min()), float(spines[name].max())
            if low == high:
                continue
            step = (high - low) / 100
            chosen = st.slider(
                heading(SPINE_COLUMNS[name]),
                low,
                high + step,
                (low, high + step),
                step,
                format="%.2f",
                key=f"filter_{name}_{shown.job.id}_{shown.threshold}",
            )
            if chosen[0] > low or chosen[1] < high:
                ranges[name] = chosen
        border = st.toggle("Exclude spines that touch the border", key="filter_border")
    return Filters(tuple(some_dendrites), tuple(some_classes), ranges, border)


def choose_columns(shown: Shown) -> list[str]:
    """Draw the choice of columns."""
    spines = shown.analysis.spines
    known = [name for name in SPINE_COLUMNS if name in spines]
    with st.popover("Columns"):
        chosen = st.multiselect(
            "Columns of the spine table",
            known,
            default=filled(spines, DEFAULT_SPINE_COLUMNS),
            format_func=lambda name: heading(SPINE_COLUMNS[name]),
            key=f"columns_{shown.job.id}",
        )
        st.caption("Downloads always hold all columns. Hover over a heading to read what the column means.")
    return [name for name in known if name in chosen] or ["spine_id"]


def draw_number(label: str, value: str, note: str, help: str | None = None) -> None:
    """Draw one number of the summary with a note below it."""
    st.metric(
        label, value, note, delta_color="off", delta_arrow="off", border=True, height="stretch", help=help
    )


def draw_summary(shown: Shown, rows: pd.DataFrame, filters: Filters) -> None:
    """Draw the summary numbers of the spines shown."""
    found = summarise(rows, shown.analysis.dendrites, filters.dendrites)
    projected = ", projected" if shown.saved.is_2d else ""
    all_spines = len(shown.analysis.spines)
    known = not pd.isna(found.density)
    with st.grid(5, min_column_width=150):
        draw_number(
            "Spines",
            f"{found.n_spines:,}",
            f"of {all_spines:,}, filtered" if filters.active else f"score ≥ {shown.threshold:.2f}",
        )
        draw_number(
            "Dendrite length",
            length_text(found.length_um),
            count_text(found.n_dendrites, "dendrite") + projected,
            "Sum of the path lengths along the centre lines of the dendrites, with the voxel spacing.",
        )
        draw_number(
            "Density",
            f"{found.density:.2f}/µm" if known else "unknown",
            f"95 % CI {found.density_low:.2f}–{found.density_high:.2f}" if known else "no length",
            "Spines per dendrite length, with the exact Poisson interval of the count. The interval "
            "covers counting error "
            "only, not missed or false spines" + corrected_text(shown, filters) + ".",
        )
        for name, title in (("length_um", "Spine length"), ("head_width_um", "Head width")):
            n = int(rows[name].notna().sum()) if name in rows else 0
            read = name.replace("_um", "_estimated_um")
            draw_number(
                title,
                f"{found.medians[name]:.2f} µm" if name in found.medians else "–",
                f"est. {rows[read].median():.2f} µm" if has_values(rows, read) else f"median, n = {n:,}",
                f"Median of {count_text(n, 'spine')}; below it, where a network reads it from the image, the median of that "
                f"(est.). {SPINE_COLUMNS[name].description}",
            )
    by_hand = count_corrections(shown.saved.candidates, shown.threshold)
    if by_hand.any:
        st.caption(
            f"Corrected by hand: {by_hand.words}. The column “Edited” marks the spines that were changed."
        )
    draw_doubt_line(shown)
    draw_check_line(shown)
    if found.n_position_only:
        st.caption(
            f"{count_text(found.n_position_only, 'spine')}: position only. The detector sees a head there but no outline of "
            "it, so it is counted and has no sizes and no class from its shape. Draw its outline to measure it."
        )
    if found.n_untraced:
        st.caption(
            f"{count_text(found.n_untraced, 'spine')} could not be assigned to a dendrite (too faint to "
            "trace, or too far away): counted and measured where possible, but not part of the density."
        )


def length_text(length_um: float) -> str:
    """Return a total length for a narrow card."""
    if pd.isna(length_um):
        return "unknown"
    return f"{length_um:,.0f} µm" if length_um >= 100 else f"{length_um:.1f} µm"


def corrected_text(shown: Shown, filters: Filters) -> str:
    """Return what the density is after correction, where the model's scores are calibrated and nothing is filtered."""
    table = shown.analysis.dendrites
    if filters.active or not has_values(table, "density_corrected_per_um"):
        return ""
    calibration = shown.analysis.calibration
    if calibration is None:
        return ""
    guess = estimate_number(calibration, shown.saved.candidates)
    length = float(table["path_length_um"].sum())
    return (
        f". Corrected for these with validation data ({calibration.data}): "
        f"{guess.number / length:.2f}/µm, 95 % interval {guess.low / length:.2f} to {guess.high / length:.2f}"
    )


def draw_spines(shown: Shown, rows: pd.DataFrame, columns: list[str]) -> None:
    """Draw the spine table."""
    if rows.empty:
        st.caption(
            "No spine passes the filters: widen them."
            if len(shown.analysis.spines)
            else "No spine was found at this score: lower the threshold on the Overlay page, or check the channel."
        )
        return
    chosen = chosen_spine(shown)
    draw_spine_rows(shown, rows, columns, SPINE_COLUMNS, chosen, "result_rows", TABLE_HEIGHT)
    words, link = side_by_side("rows", [4, 1])
    words.caption(
        "Choose a row to see that spine with its path and flags; the Overlay and 3-D pages then show it too. "
        "Empty cells could not be measured; the column “Why values are missing” gives the reason."
    )
    if has_values(rows, "length_estimated_um"):
        words.caption(WHICH_TO_PUBLISH)
    if chosen is not None:
        with link:
            if st.button(f"See spine {chosen}", key="see_spine", width="stretch"):
                go_to("pages/overlay.py", query_params={"analysis": shown.job.id, "spine": str(chosen)})
            draw_remove(shown, chosen, "results_remove")
        draw_card(shown, chosen)
    draw_channels(shown)


def draw_dendrites(shown: Shown) -> None:
    """Draw the dendrite table."""
    table = shown.analysis.dendrites
    if table.empty:
        st.caption("No dendrite was found in this stack.")
        return
    names = filled(table, DEFAULT_DENDRITE_COLUMNS)
    st.dataframe(
        table[names],
        hide_index=True,
        width="stretch",
        column_config=column_config(table[names], DENDRITE_COLUMNS),
    )
    st.caption(
        "The filters do not apply to these tables. Density bounds: 95 % confidence interval of the "
        "count. "
        "Corrected density: adjusted for missed and false spines with validation data; its interval includes that uncertainty."
    )
    draw_branches(shown)


def draw_histograms(rows: pd.DataFrame) -> None:
    """Draw the histograms of the chosen measures."""
    choices = measures(rows)
    if not choices:
        st.caption("There are no values to plot.")
        return
    names = st.multiselect(
        "Measures",
        choices,
        default=[name for name in HISTOGRAMS if name in choices],
        format_func=lambda name: heading(SPINE_COLUMNS[name]),
        key="histogram_measures",
        max_selections=6,
    )
    by_class = has_values(rows, "class") and st.toggle("Colour by class", key="histogram_class")
    if by_class:
        st.caption(CAVEAT)
    for start in range(0, len(names), 3):
        for place, name in zip(st.columns(3), names[start : start + 3], strict=False):
            with place:
                draw_chart(
                    histogram_figure(rows, name, by_class),
                    f"histogram_{name}",
                    f"Histogram of {heading(SPINE_COLUMNS[name])} over {len(rows)} spines",
                    toImageButtonOptions={"format": "svg", "filename": f"histogram_{name}"},
                )


def draw_origin(shown: Shown) -> None:
    """Draw how this analysis was made, and what its scores mean."""
    draw_provenance(shown)
    draw_calibration(shown)


def draw_page(shown: Shown) -> None:
    """Draw summary, tables, histograms and downloads."""
    show_last_correction()
    note_threshold(shown)
    summary, score = st.container(), st.container()
    tools = st.container(horizontal=True, gap="small")
    with tools:
        filters = choose_filters(shown)
        columns = choose_columns(shown)
        choose_soma(shown)
        rows = filters.apply(shown.analysis.spines)
        draw_downloads(shown, rows)
    with summary:
        draw_summary(shown, rows, filters)
    if shown.sample is not None:
        with score:
            draw_sample_score(shown)
    spines, dendrites, histograms, plots, made = st.tabs(
        ["Spines", "Dendrites", "Histograms", "Plots", "Methods and settings"],
        key="results_tab",
        on_change="rerun",
    )
    for tab, draw in (
        (spines, lambda: draw_spines(shown, rows, columns)),
        (dendrites, lambda: draw_dendrites(shown)),
        (histograms, lambda: draw_histograms(rows)),
        (plots, lambda: draw_plots(shown, rows)),
        (made, lambda: draw_origin(shown)),
    ):
        if tab.open:
            with tab:
                draw()


draw_page(open_shown("Results"))
