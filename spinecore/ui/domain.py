"""Warnings, before an analysis, about stacks that lie outside what the chosen model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.methods import DEFAULT_METHOD, METHODS
from spinecore.methods.trained_range import (
    SAMPLED_SLICES,
    find_outside,
    measure_planes,
    slice_step,
    trained_range,
)
from spinecore.networks.zoo import Card, get_card
from spinecore.stack import Spacing
from spinecore.ui.session import open_stored, report
from spinecore.ui.stackcard import known_spacing
from spinecore.workspace.records import StackRecord


@st.cache_data(max_entries=64, show_spinner="Comparing the stack with the training data")
def _measured(
    sha256: str,
    channel: int,
    time_point: int,
    size_um: tuple[float | None, float | None, float | None],
    reading: str,
) -> dict[str, float]:
    with open_stored(sha256, reading) as file:
        depth = file.shape_tczyx[2]
        planes = list(islice(file.slices(channel, time_point, slice_step(depth)), SAMPLED_SLICES))
    return measure_planes(planes, Spacing(*size_um, "user"), depth)


def outside(
    record: StackRecord, card: Card, channel: int | None = None, time_point: int = 0
) -> dict[str, str]:
    """Return a sentence for each measure (by name) of a stack outside what a model was trained on.

    A stack whose pixel size is unknown, or that cannot be read, gives none.
    """
    try:
        looked = report(record)
        spacing = known_spacing(record, looked)
        if not spacing.known_xy:
            return {}
        size_um = (spacing.z_um, spacing.y_um, spacing.x_um)
        own = looked.suggested_channel if channel is None else channel
        found = _measured(record.sha256, own, time_point, size_um, record.reading.model_dump_json())
    except (SpinecoreError, OSError):
        return {}
    return find_outside(found, trained_range(card.data, looked.shape_tczyx[2] == 1))


def shipped_card(record: StackRecord, method: str) -> Card | None:
    """Return the card of the weights that a method uses for a stack; None where they are not there."""
    try:
        return get_card(METHODS[method].model_for(report(record).shape_tczyx[2] == 1))
    except (SpinecoreError, OSError):
        return None


def light_warnings(record: StackRecord) -> list[str]:
    """Return what the default method's model says about the light of a stack; sizes are checked elsewhere."""
    card = shipped_card(record, DEFAULT_METHOD)
    found = {} if card is None else outside(record, card)
    return [text for name, text in found.items() if name not in ("pixel_um", "z_um")]


def draw_outside(found: Sequence[tuple[str, str, list[str]]]) -> None:
    """Draw what was found as one warning per stack.

    Parameters
    ----------
    found : sequence of (stack, method, sentences)
    """
    by_stack: dict[str, dict[str, list[str]]] = {}
    for stack, method, sentences in found:
        for text in sentences:
            by_stack.setdefault(stack, {}).setdefault(text, []).append(method)
    several = len({method for _, method, _ in found}) > 1
    for stack, texts in by_stack.items():
        lines = [f"- {text}{_names(methods) if several else ''}" for text, methods in texts.items()]
        st.warning(
            f"**{stack}** differs from the training data: check the result by eye.\n" + "\n".join(lines)
        )


def _names(methods: list[str]) -> str:
    return f" ({', '.join(dict.fromkeys(methods))})"
