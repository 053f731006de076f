"""Analyse: choose stacks, method and settings; start; watch the queue."""

from __future__ import annotations

import sys
from collections.abc import Callable

import streamlit as st

from spinecore.analysis.result import Settings
from spinecore.errors import SpinecoreError
from spinecore.methods import DEFAULT_METHOD, METHODS
from spinecore.networks.zoo import Card
from spinecore.ui.domain import draw_outside, outside, shipped_card
from spinecore.ui.fields import within
from spinecore.ui.givenfiles import choose_marks, choose_tracing
from spinecore.ui.layout import side_by_side
from spinecore.ui.moving import go_to
from spinecore.ui.queue import draw_queue
from spinecore.ui.session import manager, report, stacks_in_address, workspace
from spinecore.ui.stackcard import draw_sizes, is_size_missing, size_problem
from spinecore.ui.words import channel_text, distinct, sentence
from spinecore.workspace.own_models import list_own, models_folder
from spinecore.workspace.records import StackRecord

DEVICES = {"auto": "Automatic", "cpu": "CPU", "mps" if sys.platform == "darwin" else "cuda": "GPU"}


def choose_stacks() -> list[StackRecord]:
    """Draw the choice of stacks; those that cannot be read are named and left out."""
    records = {record.sha256: record for record in workspace().stacks()}
    names = distinct({key: record.file for key, record in records.items()})
    linked = [record.sha256 for record in stacks_in_address()]
    keys = st.multiselect(
        "Stacks",
        list(names),
        default=linked or list(names)[:1],
        format_func=names.__getitem__,
        placeholder="Choose one or more stacks",
        key=f"stacks_{st.query_params.get('stack', '')}",
    )
    good = []
    for key in keys:
        try:
            report(records[key])
        except (SpinecoreError, OSError) as error:
            st.error(f"{names[key]} is left out. {sentence(error)}")
        else:
            good.append(records[key])
    return good


def choose_methods() -> list[str]:
    """Draw the choice of one or several methods, each of which makes an analysis of its own."""
    names = st.multiselect(
        "Methods",
        list(METHODS),
        default=[DEFAULT_METHOD],
        format_func=lambda key: METHODS[key].title,
        placeholder="Choose at least one method",
        key="methods",
        persist_state="session",
        help="Each method makes an analysis of its own; compare them on the Agreement page.",
    )
    for name in names:
        st.caption(f"**{METHODS[name].title}**: good at {METHODS[name].good_at}.")
    return names


def choose_weights(methods: list[str], stacks: list[StackRecord]) -> Card | None:
    """Draw the choice of the user's own weights, where there are some for one chosen method; None means shipped."""
    fitting = {METHODS[name].model_for(report(r).shape_tczyx[2] == 1) for name in methods for r in stacks}
    scorers = {
        role
        for name in methods
        for role in METHODS[name].roles(False)[1:]
        if METHODS[name].model_3d in fitting
    }
    own = {
        card.name: card
        for card in list_own(models_folder(workspace().root))
        if card.data.get("method") in methods and card.data.get("replaces") in fitting | scorers
    }
    if not own or len(fitting) > len(methods):
        return None
    wanted = st.session_state.pop("own_weights", None)
    if wanted in own:
        st.session_state["weights"] = wanted
    if st.session_state.get("weights") not in own:
        st.session_state.pop("weights", None)
    name = st.selectbox(
        "Weights",
        [None, *own],
        format_func=lambda n: (
            "Shipped with the program" if n is None else f"{n} (in place of {own[n].data['replaces']})"
        ),
        key="weights",
        help="Your own models, from the Fine-tune and Own models pages.",
    )
    return None if name is None else own.get(name)


def choose_channel(stacks: list[StackRecord]) -> int | None:
    """Draw the choice of channel; None means each stack's own suggestion."""
    channels = min(report(record).shape_tczyx[1] for record in stacks)
    if channels == 1:
        return 0 if len(stacks) == 1 else None
    suggested, names = "Suggested for each stack", [f"channel {k}" for k in range(channels)]
    if len(stacks) == 1:
        only = report(stacks[0])
        names = list(only.channel_names)
        suggested = f"{channel_text(names, only.suggested_channel)} (suggested)"
    options = [None, *range(channels)]
    return st.selectbox(
        "Channel",
        options,
        format_func=lambda c: suggested if c is None else channel_text(names, c),
        key=f"channel_{channels}",
    )


def choose_time_point(stacks: list[StackRecord]) -> tuple[int, str | None]:
    """Draw the choice of time point, where there is one; return it (from 0), and why it cannot be used."""
    times = min(report(record).shape_tczyx[0] for record in stacks)
    if times == 1:
        return 0, None
    title = "Time point"
    typed = st.number_input(title, value=1, key=f"time_{times}", help=f"1 to {times}")
    try:
        return within(title, typed, 1, times) - 1, None
    except SpinecoreError as error:
        return 0, sentence(error)


def choose_threshold() -> float | None:
    """Draw the choice of threshold; None means the model's own."""
    own = st.toggle(
        "Use the model's threshold",
        value=True,
        key="own_threshold",
        persist_state="session",
        help="It can be changed later on the Overlay page, without running the analysis again.",
    )
    return (
        None
        if own
        else st.slider("Threshold", 0.1, 0.95, 0.5, 0.01, key="threshold", persist_state="session")
    )


def choose_everywhere(methods: list[str], stacks: list[StackRecord]) -> bool:
    """Draw the advanced settings, where a chosen method passes over empty parts of a chosen stack."""
    if not any(METHODS[name].skips_empty for name in methods):
        return False
    if all(report(record).shape_tczyx[2] == 1 for record in stacks):
        return False
    with st.expander("Advanced settings"):
        return st.toggle(
            "Look everywhere in the stack",
            key="everywhere",
            persist_state="session",
            help="Parts in which nothing rises above the noise are passed over, which saves time. Switch this on if a dendrite "
            "that can hardly be seen was left out. The result says what share of the stack was looked at.",
        )


def ask_for_sizes(stacks: list[StackRecord]) -> bool:
    """Ask for voxel sizes that are missing; return True when all are known."""
    asked = [record for record in stacks if is_size_missing(record, report(record))]
    if not asked:
        return True
    with st.container(border=True, height=330 if len(asked) > 3 else "content", gap="xsmall"):
        st.markdown("Measuring in micrometres needs the **voxel size**. Please enter it:")
        for record in asked:
            st.markdown(f"**{record.file}**: {size_problem(record, report(record))}")
            draw_sizes(record, report(record))
    return False


def warn_outside(
    stacks: list[StackRecord], methods: list[str], channel: int | None, time_point: int, own: Card | None
) -> None:
    """Warn about stacks that lie outside what the chosen methods' models were trained on."""
    pairs = [
        (record, name, own if own and own.data["method"] == name else shipped_card(record, name))
        for record in stacks
        for name in methods
    ]
    draw_outside(
        [
            (record.file, METHODS[name].title, list(outside(record, card, channel, time_point).values()))
            for record, name, card in pairs
            if card is not None
        ]
    )


def start(stacks: list[StackRecord], every: list[Settings], channel: int | None) -> None:
    """Queue one analysis for each stack and each of the settings."""
    for record in stacks:
        own = report(record).suggested_channel if channel is None else channel
        for settings in every:
            manager().submit(record.sha256, settings.model_copy(update={"channel": own}))


def draw_choices() -> Callable[[], None] | None:
    """Draw all that is to be chosen, and the button that starts; return what warns, below that button.

    Stacks are read for the warnings, so they come last, when the rest of the page is there.
    """
    stacks = choose_stacks()
    if not stacks:
        st.caption("Choose at least one stack.")
        return None
    complete = ask_for_sizes(stacks)
    methods = choose_methods()
    own = choose_weights(methods, stacks)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        channel = choose_channel(stacks)
        time_point, problem = choose_time_point(stacks)
        device = st.segmented_control(
            "Device",
            list(DEVICES),
            default="auto",
            format_func=DEVICES.__getitem__,
            required=True,
            key="device",
        )
    if problem:
        st.error(problem)
    threshold = choose_threshold()
    given = choose_tracing(stacks) | choose_marks(stacks)
    everywhere = choose_everywhere(methods, stacks)
    every = [
        Settings.model_validate(
            {
                "method": method,
                "threshold": threshold,
                "time_point": time_point,
                "device": device,
                "model": own.name if own is not None and own.data["method"] == method else None,
                "everywhere": everywhere and METHODS[method].skips_empty,
                **given,
            }
        )
        for method in methods
    ]
    count = len(stacks) * len(every)
    label = "Start the analysis" if count < 2 else f"Start {count} analyses"
    ready = complete and bool(every) and problem is None
    if st.button(label, type="primary", disabled=not ready, key="start", width="stretch"):
        try:
            start(stacks, every, channel)
        except SpinecoreError as error:
            st.error(sentence(error))
    slot = st.container()  # below the button, which warnings would push out of sight

    def warn() -> None:
        with slot:
            warn_outside(stacks, methods, channel, time_point, own)

    return warn


st.title("Analyse", anchor=False)
left, right = side_by_side("analyse", [1, 1.15], gap="large")
later = None
with left:
    if workspace().stacks():
        later = draw_choices()
    else:
        st.markdown("There is no stack yet.")
        if st.button("Upload a stack", type="primary", key="go_upload"):
            go_to("pages/upload.py")
with right:
    st.subheader("Queue", anchor=False)
    draw_queue()
    st.page_link("pages/agreement.py", label="Compare two analyses of one stack")
if later is not None:
    later()
