"""One stack on the Upload page: picture, facts, voxel size, histogram, warnings, and the button that goes on."""

from __future__ import annotations

from collections.abc import Callable

import altair as alt
import pandas as pd
import streamlit as st

from spinecore.analysis.checks import check_spacing
from spinecore.errors import SpinecoreError
from spinecore.reading.inspection import StackReport
from spinecore.stack import Spacing
from spinecore.ui.fields import within
from spinecore.ui.layout import side_by_side
from spinecore.ui.moving import go_to
from spinecore.ui.reading_choices import draw_reading
from spinecore.ui.session import report, stacks_for_address, workspace
from spinecore.ui.trash import confirm_delete
from spinecore.ui.words import channel_text, count_text, sentence, size_text, time_text
from spinecore.workspace.records import StackRecord

#: What a size field takes (µm).
_SMALLEST_UM, _LARGEST_UM = 0.0001, 1000.0

#: Gives further warnings about a stack.
MoreWarnings = Callable[[StackRecord], list[str]]


def draw_card(record: StackRecord, more: MoreWarnings | None = None) -> None:
    """Draw one stack, with the warnings of its report and those that `more` gives."""
    with st.container(border=True):
        try:
            looked = report(record)
        except (SpinecoreError, OSError) as error:
            _draw_head(record, None)
            st.error(sentence(error))
            return
        _draw_head(record, looked)
        if looked.micrograph:
            _draw_micrograph(record)
        picture, facts, light = side_by_side(f"stack_{record.sha256[:12]}", [1.15, 1.5, 1.25])
        with picture:
            st.image(looked.thumbnail, width="stretch", alt=f"Maximum projection of {record.file}")
            st.caption(f"Maximum projection, {_lowered(channel_text(looked.channel_names, looked.channel))}")
        with facts:
            _draw_facts(record, looked)
        with light:
            _draw_light(record, looked, more(record) if more else [])


def _lowered(text: str) -> str:
    return text[:1].lower() + text[1:]


def _draw_head(record: StackRecord, looked: StackReport | None) -> None:
    name, actions = st.columns([3, 1.7], vertical_alignment="center")
    simulated = " :orange-badge[simulated]" if "simulated" in record.origin else ""
    name.markdown(f"#### {record.file}{simulated}")
    with actions.container(horizontal=True, horizontal_alignment="right"):
        if st.button("Delete", key=f"delete_{record.sha256}", type="tertiary"):
            confirm_delete("stacks", record.sha256, record.file)
        if looked is not None and st.button(
            "Analyse this stack",
            key=f"analyse_{record.sha256}",
            type="primary",
            disabled=_typed_problem(record, looked) is not None,
        ):
            go_to("pages/analyse.py", query_params={"stack": stacks_for_address([record])})


def _draw_micrograph(record: StackRecord) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("This looks like an **electron micrograph**: open Membranes.", width="content")
        if st.button("Open Membranes", key=f"membranes_{record.sha256}", type="primary"):
            go_to("pages/membranes.py", query_params={"stack": stacks_for_address([record])})


def _draw_facts(record: StackRecord, looked: StackReport) -> None:
    times, channels, depth, height, width = looked.shape_tczyx
    shape = f"{height} × {width} px" if depth == 1 else f"{depth} slices of {height} × {width} px"
    extra = [
        count_text(channels, "channel") if channels > 1 else "",
        f"{times} time points" if times > 1 else "",
    ]
    st.markdown(
        "  \n".join([f"**{shape}**", " · ".join([looked.format, looked.dtype, size_text(record.bytes)])])
    )
    if any(extra):
        st.caption(" · ".join(filter(None, extra)))
    draw_reading(record, looked)
    draw_spacing(record, looked)
    st.caption(
        f"The analysis will take about {time_text(looked.estimated_seconds)} and "
        f"{size_text(looked.estimated_bytes)} of memory on this computer."
    )


def draw_spacing(record: StackRecord, looked: StackReport) -> None:
    """Draw the fields for the voxel size and where it comes from."""
    draw_sizes(record, looked)
    st.caption(spacing_source(record, looked))
    if looked.pixel_estimate is not None and record.spacing.pixel_um is None:
        st.caption(looked.pixel_estimate.sentence)


def draw_sizes(record: StackRecord, looked: StackReport) -> None:
    """Draw the fields for the voxel size in one row; what is typed in is kept for this stack."""
    estimate, names = looked.pixel_estimate, _titles(record, looked)
    *fields, action = st.columns([*[1] * max(2, len(names)), 0.8], vertical_alignment="bottom")
    for field, (name, label) in zip(fields, names.items(), strict=False):
        with field:
            _draw_size(name, label, record, looked)
    if estimate is not None and record.spacing.pixel_um is None:
        action.button(
            f"Use {estimate.pixel_um:.2g}",
            key=f"estimate_{record.sha256}",
            help=estimate.sentence,
            on_click=_use_estimate,
            args=(record, looked, float(f"{estimate.pixel_um:.2g}")),
        )
    if problem := _typed_problem(record, looked):
        st.error(problem)


def _titles(record: StackRecord, looked: StackReport) -> dict[str, str]:
    """Return the titles of the size fields that a stack has."""
    names = {"pixel": "Pixel size (µm)"}
    if not _square(record, looked):
        names = {"pixel": "Pixel width (µm)", "pixel_y": "Pixel height (µm)"}
    if looked.shape_tczyx[2] > 1:
        names["z"] = "Slice step (µm)"
    return names


def _square(record: StackRecord, looked: StackReport) -> bool:
    """Return False where pixels are known to be wider than high, or the other way round."""
    spacing = known_spacing(record, looked)
    return not (spacing.x_um and spacing.y_um) or abs(spacing.x_um / spacing.y_um - 1) <= 0.005


def _own_size(name: str, looked: StackReport) -> float | None:
    """Return a size as the file gives it."""
    spacing = looked.spacing
    return {"pixel": spacing.x_um, "pixel_y": spacing.y_um, "z": spacing.z_um}[name]


def _draw_size(name: str, label: str, record: StackRecord, looked: StackReport) -> None:
    key = f"{name}_{record.sha256}"
    if key not in st.session_state:
        given, own = getattr(record.spacing, f"{name}_um"), _own_size(name, looked)
        if name == "pixel_y" and given is None:
            given = record.spacing.pixel_um
        known = given if given is not None else own
        st.session_state[key] = known if known is not None and _SMALLEST_UM <= known <= _LARGEST_UM else None
    st.number_input(
        label,
        value=None,
        step=0.01,
        format="%.4g",
        placeholder="?",
        key=key,
        on_change=_keep_spacing,
        args=(record, looked),
    )


def _typed_sizes(record: StackRecord) -> dict[str, float | None]:
    """Return what the size fields of a stack hold."""
    return {name: st.session_state.get(f"{name}_{record.sha256}") for name in ("pixel", "pixel_y", "z")}


def _typed_problem(record: StackRecord, looked: StackReport) -> str | None:
    """Return in a sentence why a number in the size fields cannot be a size, or None."""
    typed = _typed_sizes(record)
    for name, title in _titles(record, looked).items():
        if (value := typed[name]) is not None:
            try:
                within(title, value, _SMALLEST_UM, _LARGEST_UM)
            except SpinecoreError as error:
                return sentence(error)
    return None


def _use_estimate(record: StackRecord, looked: StackReport, pixel_um: float) -> None:
    st.session_state[f"pixel_{record.sha256}"] = pixel_um
    _keep_spacing(record, looked, estimated=True)


def _keep_spacing(record: StackRecord, looked: StackReport, estimated: bool = False) -> None:
    """Store what differs from the file's own voxel size."""
    if _typed_problem(record, looked):
        return  # the card tells it, and the sizes before stay
    values: dict[str, float | None] = {}
    typed = _typed_sizes(record)
    for name, value in typed.items():
        own = _own_size(name, looked)
        same = value is None or (own is not None and abs(value - own) <= 1e-6 * own)
        values[name] = None if same else value
    if values["pixel"] is not None and values["pixel_y"] is None:  # a height that is the file's own stays
        values["pixel_y"] = typed["pixel_y"]
    kept = estimated or (record.spacing.pixel_estimated and values["pixel"] == record.spacing.pixel_um)
    workspace().set_spacing(record.sha256, values["pixel"], values["z"], values["pixel_y"], kept)


def known_spacing(record: StackRecord, looked: StackReport) -> Spacing:
    """Return the voxel size an analysis will use: the user's where given, else the file's."""
    given = record.spacing
    return looked.spacing.with_user(given.pixel_um, given.z_um, given.pixel_y_um, given.pixel_estimated)


def is_size_missing(record: StackRecord, looked: StackReport) -> bool:
    """Return True when a voxel size is known neither from the file nor from the user, or cannot be true."""
    return size_problem(record, looked) is not None


def size_problem(record: StackRecord, looked: StackReport) -> str | None:
    """Return in a sentence why the voxel size of a stack lets no analysis start, or None."""
    try:
        check_spacing(record.file, known_spacing(record, looked), looked.shape_tczyx[2] == 1)
    except SpinecoreError as error:
        return sentence(error)
    return None


def spacing_source(record: StackRecord, looked: StackReport) -> str:
    """Say where the voxel size comes from."""
    if record.spacing.pixel_estimated:
        return "Pixel size estimated from the image and accepted by you."
    if record.spacing.pixel_um is not None or record.spacing.z_um is not None:
        return "Entered by you."
    if is_size_missing(record, looked):
        return "The file does not give the full voxel size."
    return f"From the file: {looked.spacing.detail}." if looked.spacing.detail else "From the file."


def _draw_light(record: StackRecord, looked: StackReport, more: list[str]) -> None:
    """Draw the histogram, the saturation and what the user should know."""
    edges = looked.histogram_edges
    table = pd.DataFrame({"from": edges[:-1], "to": edges[1:], "voxels": looked.histogram_counts})
    floor = 0.7  # a bar on a logarithmic axis needs a foot; one voxel must still show
    chart = (
        alt.Chart(table[table["voxels"] > 0])
        .mark_bar(color="#1f5f8b")
        .encode(
            x=alt.X("from:Q", title="Intensity", bin="binned", axis=alt.Axis(tickCount=5, grid=False)),
            x2="to:Q",
            y=alt.Y(
                "voxels:Q",
                title="Voxels",
                scale=alt.Scale(type="log", domainMin=floor),
                axis=alt.Axis(tickCount=4, format="~s"),
            ),
            y2=alt.Y2Datum(floor),
            tooltip=["from", "to", "voxels"],
        )
        .properties(height=150)
    )
    st.altair_chart(chart, width="stretch", alt="Histogram of intensities")
    st.caption(f"{looked.saturated_fraction:.2%} of the voxels are saturated.")
    for warning in (*looked.warnings_with(known_spacing(record, looked)), *more):
        st.warning(warning)
    if notes := (*record.notes, *looked.notes):
        st.caption(" ".join(notes))
