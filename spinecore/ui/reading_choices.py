"""How a file is read where it leaves that open or says it wrongly: axes, image, time points, lines; kept with the stack."""

from __future__ import annotations

from typing import Any

import streamlit as st

from spinecore.reading.choices import ReadingChoices
from spinecore.reading.inspection import StackReport
from spinecore.ui.session import workspace
from spinecore.ui.words import distinct
from spinecore.workspace.records import StackRecord

_ROLES = {"T": "time points", "C": "channels", "Z": "slices"}


def draw_reading(record: StackRecord, looked: StackReport) -> None:
    """Draw what can be chosen about the reading of a stack, if anything can."""
    shown = record.reading
    axes = _axes_options(looked, shown)
    several = len(looked.images) > 1
    times = looked.shape_tczyx[0] > 1 or shown.average_time
    lines = looked.line_shift_px or shown.line_shift_px
    if not (several or times or lines or shown.axes or _doubtful(looked, shown)):
        return
    with st.expander("Axes and reading", expanded=_doubtful(looked, shown)):
        if several:
            options = {k: image.words for k, image in enumerate(looked.images)}
            _choice(record, "series", "Image in the file", options, looked.image)
        if len(axes) > 1:
            _choice(record, "axes", "Axes", axes, shown.axes)
        if times:
            _switch(record, "average_time", "Average the time points", shown.average_time)
        if lines:
            shift = shown.line_shift_px or float(looked.line_shift_px)
            way = "right" if shift > 0 else "left"
            label = f"Align the lines (odd lines {abs(shift):g} pixels to the {way})"
            _switch(record, "line_shift_px", label, bool(shown.line_shift_px), on=shift, off=0.0)


def _doubtful(looked: StackReport, shown: ReadingChoices) -> bool:
    """Return True where the file says something that is probably wrong, or the user said something."""
    asked = any("“Axes”" in warning and "z slices" in warning for warning in looked.warnings)
    return shown != ReadingChoices() or bool(looked.line_shift_px) or asked


def _axes_options(looked: StackReport, shown: ReadingChoices) -> dict[str | None, str]:
    """Return what the axes could be, in words, by `ReadingChoices.axes`; None is what the file says."""
    sizes = dict(zip("TCZ", looked.shape_tczyx[:3], strict=True))
    long = [role for role in "TCZ" if sizes[role] > 1]
    options: dict[str | None, str] = {None: "As the file says"}
    if shown.axes is not None:
        wanted = shown.axes.removesuffix("YX")
        options[shown.axes] = _words(wanted, [sizes[role] for role in wanted])
    elif len(long) == 1 and long != ["Z"]:
        options["ZYX"] = f"Read as z slices ({sizes[long[0]]} slices)"
    elif long == ["Z"]:
        options["TYX"] = f"Read as time points ({sizes['Z']} of one slice)"
    elif len(long) == 2:
        for first, second in (("T", "Z"), ("C", "Z"), ("Z", "T"), ("Z", "C"), ("T", "C"), ("C", "T")):
            if [first, second] != long:
                options[f"{first}{second}YX"] = _words(first + second, [sizes[role] for role in long])
    return options


def _words(roles: str, sizes: list[int]) -> str:
    return "Read as " + " and ".join(
        f"{size} {_ROLES[role]}" for role, size in zip(roles, sizes, strict=True)
    )


def _choice(record: StackRecord, field: str, label: str, options: dict[Any, str], chosen: Any) -> None:
    key = f"reading_{field}_{record.sha256}"
    keys, names = list(options), distinct(options)
    st.selectbox(
        label,
        keys,
        index=keys.index(chosen) if chosen in keys else 0,
        format_func=lambda value: names[value],
        key=key,
        on_change=_keep,
        args=(record, field, key),
    )


def _switch(
    record: StackRecord,
    field: str,
    label: str,
    is_on: bool,
    on: float | bool = True,
    off: float | bool = False,
) -> None:
    key = f"reading_{field}_{record.sha256}"
    values = {True: on, False: off}
    st.toggle(label, value=is_on, key=key, on_change=_keep, args=(record, field, key, values))


def _keep(record: StackRecord, field: str, key: str, values: dict[bool, float | bool] | None = None) -> None:
    """Store a choice with the stack, and forget the sizes drawn for another reading of it."""
    value = st.session_state[key] if values is None else values[st.session_state[key]]
    current = workspace().stack(record.sha256).reading
    workspace().set_reading(record.sha256, current.model_copy(update={field: value}))
    for name in ("pixel", "pixel_y", "z"):
        st.session_state.pop(f"{name}_{record.sha256}", None)
