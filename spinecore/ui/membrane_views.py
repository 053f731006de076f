"""The views of the Membranes page: picture, corrections, table, scores, two methods side by side, downloads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import altair as alt
import numpy as np
import pandas as pd
import streamlit as st

from spinecore.corrections.cells import CellSteps, Point, append_cell_step, correct_cells
from spinecore.errors import SpinecoreError
from spinecore.membranes.methods import KNOWN
from spinecore.membranes.result import Segmentation
from spinecore.membranes.table import CELL_COLUMNS
from spinecore.membranes.truth import SCORE_TITLES, read_truth, score_map
from spinecore.tables.column import NUMBER_FORMAT
from spinecore.ui import membrane_pictures as pictures
from spinecore.ui.figurecomponent import Click, show_figure
from spinecore.ui.membranes import ShownCells, done_jobs, load
from spinecore.ui.session import workspace
from spinecore.ui.words import count_text, distinct, sentence

VIEWS = ("Cells", "Membranes", "Probability", "Image")
LOOK, MERGE, SPLIT, PAINT, ERASE = "View", "Merge", "Split", "Paint", "Erase"
#: In these an area is drawn round with the button held down; in the others the picture is clicked.
DRAWN = (PAINT, ERASE)
_HINTS = {
    MERGE: "Click inside two cells that are one.",
    SPLIT: "Click at both ends of a line across a cell, from membrane to membrane.",
    PAINT: "Draw round an area with the button held down: begun inside a cell it goes to that cell, begun on a membrane it is a new cell.",
    ERASE: "Draw round an area with the button held down: it becomes membrane.",
}
PICTURE_HEIGHT = 540
_CLICKS, _CHOSEN, _MESSAGE = "membrane_clicks", "membrane_chosen", "membrane_message"
#: Columns shown first, where the pixel size is known and where it is not.
_MEASURES = ("area_um2", "perimeter_um", "equivalent_diameter_um", "area_px", "circularity", "elongation")


# --- the picture and its corrections --------------------------------------------------------------


def draw_picture(shown: ShownCells, view: str, mode: str) -> None:
    """Draw the section; a click chooses a cell, or is a step towards merging or splitting; a line paints."""
    step = pictures.step_for(shown.image.shape)
    every = (slice(None, None, step), slice(None, None, step))
    picture = view_picture(shown, view, every, _chosen(shown))
    clicks = st.session_state.get(_CLICKS, []) if mode != LOOK else []
    figure = pictures.picture_figure(picture, step, [p for p, _ in clicks] or None)
    show_figure(
        figure,
        PICTURE_HEIGHT,
        "membrane_figure",
        f"Section {shown.section + 1} of {shown.result.name}: {view.lower()}",
        {"scrollZoom": True, "displayModeBar": False},
        lambda click: _clicked(shown, mode, click),
        "crosshair" if mode != LOOK else "pointer",
        lines=mode in DRAWN,
    )


def view_picture(
    shown: ShownCells, view: str, every: tuple[slice, slice], chosen: tuple[int, ...] = ()
) -> np.ndarray:
    """Return the picture of a view, uint8 RGB, of every so many pixels."""
    grey = pictures.grey(shown.image[every])
    if view == "Membranes":
        return pictures.with_membranes(grey, np.asarray(shown.membrane[every]))
    if view == "Probability":
        return pictures.probability(np.asarray(shown.membrane[every]))
    return pictures.with_cells(grey, shown.cells[every], chosen) if view == "Cells" else grey


def _chosen(shown: ShownCells) -> tuple[int, ...]:
    """Return the cells to highlight: the chosen one, or those clicked so far."""
    numbers = [number for _, number in st.session_state.get(_CLICKS, [])]
    chosen = st.session_state.get(_CHOSEN)
    return tuple(n for n in (*numbers, *([chosen] if chosen else [])) if n)


def _clicked(shown: ShownCells, mode: str, click: Click) -> None:
    """Take a click in the picture, or a line drawn there."""
    if click.line:
        _correct(shown, mode, [(int(np.floor(y)), int(np.floor(x))) for x, y in click.line])
    if not np.isfinite(click.x) or mode in DRAWN:
        return
    height, width = shown.cells.shape
    at = (int(np.clip(click.y, 0, height - 1)), int(np.clip(click.x, 0, width - 1)))
    number = int(shown.cells[at])
    if mode == LOOK:
        st.session_state[_CHOSEN] = number or None
        return
    clicks = st.session_state.setdefault(_CLICKS, [])
    clicks.append((at, number if mode == MERGE else 0))
    if len(clicks) == 2:
        st.session_state[_CLICKS] = []
        _correct(shown, mode, [place for place, _ in clicks])


def _correct(shown: ShownCells, mode: str, points: list[Point]) -> None:
    """Try a correction, and keep it where it works."""
    try:
        correct_cells(shown.cells, mode.lower(), points)
        append_cell_step(workspace().result_folder(shown.job.id), mode.lower(), shown.section, points)
    except (SpinecoreError, OSError) as error:
        st.session_state[_MESSAGE] = f"Nothing was changed: {sentence(error)}"


def _undo(shown: ShownCells) -> None:
    append_cell_step(workspace().result_folder(shown.job.id), "undo")


def choose_mode(shown: ShownCells) -> str:
    """Draw what a click does, what was changed so far, and undo."""
    mode = st.segmented_control(
        "A click in the picture",
        [LOOK, MERGE, SPLIT, PAINT, ERASE],
        default=LOOK,
        required=True,
        key=f"membrane_mode_{shown.job.id}",  # another segmentation begins with a look
        on_change=lambda: st.session_state.pop(_CLICKS, None),
        help="Merge: click inside two cells. Split: click at both ends of a line across a cell. Paint: draw round an area with "
        "the button held down; begun inside a cell it goes to that cell, begun on a membrane it is a new cell. Erase: the area "
        "drawn round becomes membrane. Each step is stored at once and can be undone.",
    )
    # always there, so that the picture stays in its place
    st.button(
        f"Undo ({shown.steps.words})" if shown.steps.words else "Undo",
        key="membrane_undo",
        disabled=not shown.steps.words,
        on_click=_undo,
        args=(shown,),
        shortcut="Ctrl+Z",
    )
    message = st.session_state.pop(_MESSAGE, None)
    if message:
        st.toast(message)
    return mode


def draw_chosen(shown: ShownCells, mode: str = LOOK) -> None:
    """Say what the chosen cell measures, or what to do with the mouse."""
    if mode != LOOK:
        st.caption(_HINTS[mode])
        return
    rows = shown.table[
        (shown.table["cell_id"] == st.session_state.get(_CHOSEN, 0))
        & (shown.table["section"] == shown.section)
    ]
    if not len(rows):
        st.caption(
            f"{count_text(len(np.unique(shown.cells)) - (0 in shown.cells), 'cell')} in this section at level "
            f"{shown.level:.2f}. Click a cell for its measures; the wheel zooms."
        )
        return
    row = rows.iloc[0]
    facts = [f"**Cell {int(row['cell_id'])}**"]
    if np.isfinite(row["area_um2"]):
        facts.append(f"{row['area_um2']:.4g} µm²")
        facts.append(f"perimeter {row['perimeter_um']:.3g} µm")
    facts += [f"{int(row['area_px']):,} px", f"circularity {row['circularity']:.2f}"]
    if row["touches_edge"]:
        facts.append("cut by the edge")
    st.markdown(" · ".join(facts))


# --- tables and figures ---------------------------------------------------------------------------


def draw_table(shown: ShownCells) -> None:
    """Draw the table of cells and the histogram of one measure."""
    table = shown.table
    measures = [m for m in _MEASURES if table[m].notna().any()]
    if not measures:
        st.caption("There is no cell at this level: choose another level.")
        return
    left, right = st.columns([1.5, 1], gap="medium")
    left.dataframe(
        table.dropna(axis=1, how="all"),
        hide_index=True,
        width="stretch",
        height=330,
        column_config={
            name: st.column_config.NumberColumn(
                column.heading.replace("um", "µm").replace("^2", "²"),
                help=f"{column.description} {column.how}",
            )
            for name, column in CELL_COLUMNS.items()
        },
    )
    with right:
        measure = st.selectbox(
            "Histogram of", measures, format_func=lambda m: _heading(m), key="membrane_measure"
        )
        whole = st.toggle("Without cells cut by the edge", value=True, key="membrane_whole")
        rows = table[table["touches_edge"] == 0] if whole else table
        st.altair_chart(
            alt.Chart(rows)
            .mark_bar(color="#1f5f8b")
            .encode(
                x=alt.X(f"{measure}:Q", bin=alt.Bin(maxbins=30), title=_heading(measure)),
                y=alt.Y("count()", title="Cells"),
                tooltip=["count()"],
            )
            .properties(height=210),
            width="stretch",
            alt=f"Histogram of {_heading(measure)}",
        )


def _heading(name: str) -> str:
    return CELL_COLUMNS[name].heading.replace("um", "µm").replace("^2", "²")


def draw_truth(shown: ShownCells) -> None:
    """Draw the upload of a truth, the scores against it, and its weight map."""
    given = st.file_uploader(
        "Truth of this image: white inside cells and black on membranes, or cell numbers with 0 on membranes",
        type=["tif", "tiff", "png"],
        key=f"membrane_truth_{shown.job.stack_sha256}",
    )
    if given is None:
        st.caption(
            "With a truth the scores appear here: IoU and Dice of the inside of cells, pixel and Rand error, "
            "adapted Rand error, V_rand and V_info; and the weight map that a training makes from it."
        )
        return
    try:
        interior = read_given(given.name, given.getvalue())
        if len(interior) != len(shown.result.membrane):
            raise SpinecoreError(
                f"the truth has {count_text(len(interior), 'section')} and the image "
                f"{len(shown.result.membrane)}: give the truth of this image"
            )
        scores = score_map(interior[shown.section], shown.membrane, shown.level, shown.result.min_area_px)
    except SpinecoreError as error:
        st.error(sentence(error))
        return
    left, right = st.columns([1, 1.2], gap="large")
    with left:
        st.dataframe(
            pd.DataFrame(
                {
                    "Score": [SCORE_TITLES[key][0] for key in scores],
                    "Value": list(scores.values()),
                    "Better": ["higher" if SCORE_TITLES[key][1] else "lower" for key in scores],
                }
            ),
            hide_index=True,
            width="stretch",
            height="content",
            column_config={"Value": st.column_config.NumberColumn(format="%.4f")},
        )
        st.caption(f"Section {shown.section + 1} at level {shown.level:.2f}, before corrections by hand.")
    with right:
        draw_weights(interior[shown.section])


@st.cache_data(max_entries=4, show_spinner=False)
def read_given(name: str, content: bytes) -> np.ndarray:
    """Return an uploaded truth, bool (Z, Y, X)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / Path(name).name
        path.write_bytes(content)
        return read_truth(path)


def draw_weights(interior: np.ndarray) -> None:
    """Draw the weight map of a labelled section, with its two constants."""
    from spinecore.membranes.weight_map import CELL_SIGMA_PX, CELL_STRENGTH, membrane_weights

    st.markdown("**Weight map** w(x) = w_c(x) + w₀ exp(−(d₁(x) + d₂(x))² / 2σ²)")
    with st.container(horizontal=True):
        strength = st.slider("w₀", 0.0, 20.0, CELL_STRENGTH, 0.5, key="membrane_w0")
        sigma = st.slider("σ (px)", 1.0, 15.0, CELL_SIGMA_PX, 0.5, key="membrane_sigma")
    weights = membrane_weights(interior, strength, sigma)
    st.image(
        pictures.heat(weights, float(np.percentile(weights, 99.8))),
        width="stretch",
        alt="Weight map of the truth",
    )
    st.caption(
        f"Weights from {weights.min():.2f} (dark) to {weights.max():.2f} (bright): pixels in narrow gaps between two "
        "cells count most."
    )


def draw_side_by_side(shown: ShownCells, view: str) -> None:
    """Draw another segmentation of the same image beside the one shown."""
    others = {
        k: j for k, j in done_jobs().items() if j.stack_sha256 == shown.job.stack_sha256 and k != shown.job.id
    }
    if not others:
        st.caption("Segment this image with a second method to see both side by side.")
        return
    names = distinct({k: _job_title(j.settings["method"], j.submitted) for k, j in others.items()})
    key = st.selectbox(
        "Compare with",
        list(others),
        format_func=names.__getitem__,
        key="membrane_other",
    )
    try:
        result, steps, version = load(key)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        return
    other = ShownCells(others[key], result, steps, version, result.level, shown.section)
    step = pictures.step_for(shown.image.shape)
    every = (slice(None, None, step), slice(None, None, step))
    for place, one in zip(st.columns(2, gap="small"), (shown, other), strict=True):
        title = KNOWN[one.result.record["settings"]["method"]].title
        place.image(view_picture(one, view, every), width="stretch", alt=f"{view} by {title}")
        count = len(np.unique(one.cells)) - (0 in one.cells)
        place.caption(f"**{title}**, level {one.level:.2f}: {count_text(count, 'cell')}")
    differ = float(np.mean((shown.membrane < shown.level) != (other.membrane < other.level)))
    st.caption(f"The two differ in {differ:.1%} of the pixels of this section.")


def _job_title(method: str, submitted: datetime) -> str:
    return f"{KNOWN[method].title if method in KNOWN else method}, {submitted.astimezone():%d %b %Y, %H:%M}"


# --- downloads ------------------------------------------------------------------------------------


def draw_downloads(shown: ShownCells) -> None:
    """Draw the buttons; each file is made when it is asked for, at the level shown and with the corrections."""
    from spinecore.export import membranes as export

    name, steps = shown.result.name, shown.steps

    def made(
        suffix: str, work: Callable[[Segmentation, float, CellSteps, Path], Path]
    ) -> Callable[[], bytes]:
        def make() -> bytes:
            with tempfile.TemporaryDirectory() as folder:
                return work(shown.result, shown.level, steps, Path(folder) / f"{name}_{suffix}").read_bytes()

        return make

    buttons = (
        ("Membranes (TIFF)", shown.result.file("membrane.tif").read_bytes, "membrane.tif", "image/tiff"),
        ("Cells (TIFF)", made("cells.tif", export.write_cell_labels), "cells.tif", "image/tiff"),
        (
            "Table (CSV)",
            lambda: shown.table.to_csv(index=False, float_format=NUMBER_FORMAT).encode(),
            "cells.csv",
            "text/csv",
        ),
        ("ImageJ outlines", made("rois.zip", export.write_cell_rois), "rois.zip", "application/zip"),
        (
            "Everything (ZIP)",
            made("spinecore.zip", export.write_membrane_bundle),
            "spinecore.zip",
            "application/zip",
        ),
    )
    with st.container(horizontal=True, gap="small"):
        for label, data, suffix, mime in buttons:
            st.download_button(
                label,
                data,
                f"{name}_{suffix}",
                mime,
                key=f"membrane_download_{suffix}",
                on_click="ignore",
                type="primary" if suffix == "spinecore.zip" else "secondary",
            )
    st.caption("A paragraph for a paper; it is also in the ZIP.")
    count = shown.table["cell_id"].nunique() if shown.result.linked else len(shown.table)
    st.code(
        export.methods_text(shown.result, shown.level, int(count), steps).strip(),
        language=None,
        wrap_lines=True,
    )
