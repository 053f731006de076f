"""The plots and the card of one spine on the Results page, each with its files for a paper."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from spinecore.analysis.edits import set_soma
from spinecore.errors import SpinecoreError
from spinecore.export.spine_card import SpinePicture, card_figure, spine_picture
from spinecore.export.tables import branch_table
from spinecore.figures.plots import calibration_figure, distribution_figure, profile_figure, scatter_figure
from spinecore.figures.surfaces import Grid, mask_surface
from spinecore.groups.figure import FORMATS, figure_bytes
from spinecore.methods.sizes import ESTIMATED
from spinecore.morphometry.channels import channel_columns, measure_channels
from spinecore.morphometry.columns import BRANCH_COLUMNS, SPINE_COLUMNS
from spinecore.tables.column import NUMBER_FORMAT
from spinecore.ui.charts import draw_chart
from spinecore.ui.colours import DENDRITE, SERIES, has_values, heading, measures, value_text
from spinecore.ui.layout import side_by_side
from spinecore.ui.session import open_stored, reading_of, workspace
from spinecore.ui.shown import Shown
from spinecore.ui.tables import column_config
from spinecore.ui.words import sentence

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MIME = {"svg": "image/svg+xml", "pdf": "application/pdf", "png": "image/png"}
#: Measures on the card of a spine, in order.
CARD = (
    "score",
    "class",
    "class_probability",
    "length_um",
    "length_estimated_um",
    "length_euclidean_um",
    "head_width_um",
    "head_width_estimated_um",
    "neck_width_um",
    "neck_length_um",
    "area_um2",
    "volume_um3",
    "volume_estimated_um3",
    "volume_fluorescence_um3",
    "head_volume_um3",
    "surface_um2",
    "intensity_mean",
    "spine_to_shaft_ratio",
    "dendrite_id",
    "branch",
    "position_along_dendrite_um",
    "side",
    "nearest_neighbour_um",
)


def show_figure(
    shown: Shown, figure: Figure, name: str, text: str, width: Literal["stretch", "content"] = "content"
) -> None:
    """Draw a figure as it will be in the file, and the buttons for SVG, PDF and PNG."""
    svg = figure_bytes(figure, "svg")
    st.image(svg.decode("utf-8"), width=width, caption=text)
    with st.container(horizontal=True, gap="small"):
        for kind in FORMATS:
            st.download_button(
                kind.upper(),
                svg if kind == "svg" else partial(figure_bytes, figure, kind),
                f"{shown.file_stem}_{name}.{kind}",
                MIME[kind],
                key=f"figure_{name}_{kind}",
                on_click="ignore",
                help=f"This figure as {kind.upper()}.",
            )


# --- the card of one spine ----------------------------------------------------------------------


@st.cache_resource(max_entries=16, show_spinner=False)
def _picture(key: tuple[str, int, float], spine_id: int, _shown: Shown) -> SpinePicture:
    return spine_picture(_shown.analysis, spine_id)


def draw_card(shown: Shown, spine_id: int) -> None:
    """Draw one spine: projection and planes with outline and path, surface, and its measures with flags."""
    row = shown.analysis.spines.set_index("spine_id").loc[spine_id]
    picture = _picture(shown.key, spine_id, shown)
    st.subheader(f"Spine {spine_id}", anchor=False)
    left, right = side_by_side("card", [1.9, 1])
    with left:
        parts = ["orange: outline", "blue: path from base (square) to tip (dot)", "pink: dendrite"]
        if picture.path is None:
            parts[1] = "no path could be traced"
        show_figure(shown, card_figure(picture), f"spine_{spine_id}", "; ".join(parts), "stretch")
        if not picture.flat:
            draw_chart(
                surface_figure(picture),
                f"card_surface_{spine_id}",
                f"Surface of spine {spine_id} and its dendrite",
            )
    with right:
        st.dataframe(
            measure_table(row),
            hide_index=True,
            width="stretch",
            height=38 + 35 * 14,
            column_config={"Note": st.column_config.TextColumn(width="medium")},
        )
        reason = row.get("missing_reason")
        if isinstance(reason, str) and reason:
            st.caption(f"Empty because {reason}.")


def measure_table(row: pd.Series) -> pd.DataFrame:
    """Return measures, values and flags of one spine as texts."""
    rows = []
    for name in CARD:
        if name not in row:
            continue
        column, flag = SPINE_COLUMNS[name], row.get(f"{name}_flag")
        note = flag if isinstance(flag, str) else ""
        if name in ESTIMATED and pd.notna(row[name]):
            note = f"± {row[ESTIMATED[name]]:.0f} %"
        rows.append((column.title, value_text(row[name], column), note))
    return pd.DataFrame(rows, columns=["Measure", "Value", "Note"])


def surface_figure(picture: SpinePicture, height: int = 320) -> go.Figure:
    """Return the surfaces of a spine and of the dendrite beside it, in um and true proportion."""
    grid = Grid(picture.spacing_zyx_um, np.zeros(3))
    figure = go.Figure()
    for mask, colour, name in ((picture.shaft, DENDRITE, "dendrite"), (picture.mask, SERIES[0], "spine")):
        surface = mask_surface(np.ascontiguousarray(mask), (0, 0, 0), grid)
        if surface is None:
            continue
        (x, y, z), (i, j, k) = surface.points_um.T, surface.faces.T
        figure.add_mesh3d(
            x=x,
            y=y,
            z=z,
            i=i,
            j=j,
            k=k,
            color=colour,
            name=name,
            opacity=0.45 if name == "dendrite" else 1.0,
            hoverinfo="name",
        )
    if picture.path is not None:
        z, y, x = (picture.path * picture.spacing_zyx_um).T
        figure.add_scatter3d(x=x, y=y, z=z, mode="lines", line={"color": "#56b4e9", "width": 7}, name="path")
    axis = {"backgroundcolor": "#ffffff", "gridcolor": "#d5dbe1", "ticksuffix": " µm", "nticks": 4}
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        showlegend=False,
        scene={
            "aspectmode": "data",
            "xaxis": axis | {"title": {"text": "x"}},
            "yaxis": axis | {"title": {"text": "y"}, "autorange": "reversed"},
            "zaxis": axis | {"title": {"text": "z"}},
        },
    )
    return figure


# --- plots --------------------------------------------------------------------------------------


def draw_plots(shown: Shown, rows: pd.DataFrame) -> None:
    """Draw distributions, the density along the dendrite, and one measure against another."""
    choices = measures(rows)
    if not choices:
        st.caption("There is nothing to plot: no spine passes the filters.")
        return
    groupings = {"dendrite_id": "dendrite"}
    if has_values(rows, "class"):
        groupings = {"class": "class", **groupings}
    kind = st.segmented_control(
        "Plot",
        ["Distribution", "Scatter plot", "Density along the dendrite"],
        default="Distribution",
        key="plot_kind",
        label_visibility="collapsed",
    )

    def name_of(name: str) -> str:
        return heading(SPINE_COLUMNS[name])

    chooser, picture = side_by_side("plots", [1, 2.4])
    if kind == "Density along the dendrite":
        lines = shown.analysis.candidates.dendrites
        with chooser:
            width = st.slider("Window (µm)", 2.0, 20.0, 5.0, 1.0, key="profile_width")
            st.caption(
                "Band: 95 % interval of the count. Ticks: spines. The root end is the thickest free end."
            )
        if not any(d.path_length_um >= width for d in lines):
            picture.caption("Every dendrite is shorter than the window.")
            return
        with picture:
            show_figure(shown, profile_figure(rows, lines, width), "density_profile", "", "stretch")
    elif kind == "Scatter plot":
        with chooser:
            x = st.selectbox(
                "x axis", choices, _place(choices, "length_um"), format_func=name_of, key="plot_x"
            )
            y = st.selectbox(
                "y axis", choices, _place(choices, "head_width_um"), format_func=name_of, key="plot_y"
            )
            texts: dict[str | None, str] = (
                {None: "nothing"} | groupings | {name: name_of(name) for name in choices}
            )
            colour_by = st.selectbox(
                "Colour", list(texts), 1, format_func=texts.__getitem__, key="plot_colour"
            )
            st.caption("Spines of one dendrite are not independent: test between animals on the Groups page.")
        with picture:
            show_figure(shown, scatter_figure(rows, x, y, colour_by), f"{y}_over_{x}", "")
    else:
        with chooser:
            name = st.selectbox(
                "Measure", choices, _place(choices, "length_um"), format_func=name_of, key="plot_measure"
            )
            by = st.selectbox("By", list(groupings), format_func=groupings.__getitem__, key="plot_by")
            st.caption("Points: spines; line: median; bar: quartiles.")
        with picture:
            show_figure(shown, distribution_figure(rows, name, by), f"{name}_by_{groupings[by]}", "")


def _place(choices: list[str], name: str) -> int:
    return choices.index(name) if name in choices else 0


def draw_branches(shown: Shown) -> None:
    """Draw the table of branches."""
    table = branch_table(shown.analysis)
    if table.empty:
        st.caption("The voxel size is unknown, so branches have no length.")
        return
    st.markdown("**Branches**")
    st.dataframe(table, hide_index=True, width="stretch", column_config=column_config(table, BRANCH_COLUMNS))


# --- the soma and the other channels ------------------------------------------------------------


def choose_soma(shown: Shown) -> None:
    """Draw the fields that mark the soma, and the buttons that keep or drop the mark."""
    shape, folder = shown.saved.shape, workspace().result_folder(shown.job.id)
    known = shown.saved.corrections.soma_px
    with st.popover("Soma"):
        st.markdown(
            "Mark the soma to get each spine's distance from it; pixels as on the Overlay page, from 0."
        )
        start = known or ((shape[0] - 1) / 2, 0.0, 0.0)
        for axis, name, value, size in zip("zyx", "ZYX", start, shape, strict=True):
            if axis == "z" and shown.saved.is_2d:
                continue
            st.number_input(
                f"{name} ({'slice' if axis == 'z' else 'px'})",
                value=float(value),
                step=1.0,
                format="%.1f",
                key=f"soma_{axis}_{shown.job.id}",
                help=f"The stack runs from 0 to {size - 1}; the soma may lie outside it.",
            )

        def mark() -> None:
            # what the fields hold now: a number may have been typed just before the click
            set_soma(folder, [st.session_state.get(f"soma_{axis}_{shown.job.id}", 0.0) for axis in "zyx"])

        def remove() -> None:
            set_soma(folder, None)

        st.button("Mark the soma here", type="primary", key="soma_keep", on_click=mark)
        if known is not None:
            st.button("Remove the mark", key="soma_drop", on_click=remove)
            text = ", ".join(f"{v:g}" for v in known[::-1])
            st.caption(f"Marked at x, y, z = {text}: see the columns Distance to soma and Path to soma.")


def draw_channels(shown: Shown) -> None:
    """Offer the intensities in every channel where the stack has several."""
    sha256 = shown.job.stack_sha256
    try:
        n = _n_channels(sha256, reading_of(shown.job))
    except (SpinecoreError, OSError):
        return
    if n < 2:
        return
    st.markdown(f"**Intensity in every channel** ({n} channels, above the local background of each)")
    asked = f"channels_{shown.job.id}"
    if st.button("Measure all channels", key="measure_channels"):
        st.session_state[asked] = True
    if not st.session_state.get(asked):
        return
    try:
        table, names = _channels(shown.key, sha256, shown)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        return
    st.dataframe(
        table, hide_index=True, width="stretch", column_config=column_config(table, channel_columns(names))
    )
    st.download_button(
        "Channels as CSV",
        table.to_csv(index=False, float_format=NUMBER_FORMAT).encode("utf-8"),
        f"{shown.file_stem}_channels.csv",
        "text/csv",
        key="download_channels",
        on_click="ignore",
    )


@st.cache_data(max_entries=64, show_spinner=False)
def _n_channels(sha256: str, reading: str) -> int:
    with open_stored(sha256, reading) as file:
        return file.shape_tczyx[1]


@st.cache_resource(max_entries=4, show_spinner="Measuring every channel")
def _channels(
    key: tuple[str, int, float], sha256: str, _shown: Shown
) -> tuple[pd.DataFrame, tuple[str, ...]]:
    analysis = _shown.analysis
    return measure_channels(
        analysis.labels,
        analysis.dendrite_labels,
        workspace().stack_path(sha256),
        int(analysis.input.get("time_point", 0)),
        analysis.settings.reading,
    )


# --- what scores are worth ----------------------------------------------------------------------


def draw_calibration(shown: Shown) -> None:
    """Draw what the scores of the model used are worth, or say that it was not measured."""
    st.markdown("**Score calibration**")
    found = shown.saved.calibration
    if found is None:
        st.caption(
            "The scores of these weights are not calibrated, so the tables have no corrected density. To "
            "calibrate them, run `python -m benchmarks.score_calibration`."
        )
        return
    text = (
        f"Measured on validation data ({found.data}). {100 * found.missed:.0f} % of the visible spines "
        "have no candidate "
        f"at all; the number of spines in a stack differs from the expected one by a factor of about "
        f"{np.exp(found.spread):.2f} (SD between stacks, beyond chance). The corrected density and its interval come "
        "from here; they hold for images like the validation data."
    )
    show_figure(shown, calibration_figure([found]), "score_calibration", text)
