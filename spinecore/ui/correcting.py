"""Correcting what was found, on the Overlay page: a click removes a spine, counts a candidate or adds a spine."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import pandas as pd
import streamlit as st

from spinecore.analysis.edits import add_spine, count_spine, remove_spine, undo_correction
from spinecore.corrections.replay import count_corrections
from spinecore.errors import SpinecoreError
from spinecore.ui.figurecomponent import Click, can_report_clicks
from spinecore.ui.planes import AXES, heads_um
from spinecore.ui.planeviews import KEPT_BYTES, View, volume_of
from spinecore.ui.session import open_stored, reading_of, select_spine, workspace
from spinecore.ui.shown import Shown, update_summary
from spinecore.ui.words import sentence

ZOOM, REMOVE, ADD = "Zoom", "Remove", "Add"
_MESSAGE = "correction_message"


def choose_mode(shown: Shown) -> str:
    """Draw what a click does, what was changed so far, and undo; return `ZOOM`, `REMOVE` or `ADD`."""
    show_last_correction()
    if not can_report_clicks():
        return ZOOM
    mode = st.segmented_control(
        "A click in the picture",
        [ZOOM, REMOVE, ADD],
        default=ZOOM,
        required=True,
        key="overlay_click",
        persist_state="session",
        help="Remove takes a detection out of all tables and counts. "
        "Add accepts a rejected candidate (open circle) or segments a new spine where you click; "
        "a click beside the head of a spine that is really two splits it. "
        "Each step is saved at once and can be undone.",
    )
    done = count_corrections(shown.saved.candidates, shown.threshold)
    if shown.saved.corrections.standing:
        text, button = st.columns(2, vertical_alignment="center")
        text.caption(f"By hand: {done.words or 'nothing that counts at this score'}.")
        button.button(
            "Undo", key="correction_undo", on_click=_undo, args=(shown,), width="stretch", shortcut="Ctrl+Z"
        )
    return mode


def show_last_correction() -> None:
    """Show what the last correction led to."""
    message = st.session_state.pop(_MESSAGE, None)
    if message is None:
        return
    if message.startswith("!"):
        st.warning(message[1:])
    else:
        st.toast(message)


def _change(shown: Shown, change: Callable[[], str]) -> None:
    """Do a correction; describe the result in one sentence."""
    try:
        st.session_state[_MESSAGE] = change()
        update_summary(shown.job.id)
    except (SpinecoreError, OSError) as error:
        st.session_state[_MESSAGE] = f"!Nothing was changed: {sentence(error)}"


def _undo(shown: Shown) -> None:
    folder = workspace().result_folder(shown.job.id)

    def change() -> str:
        undo_correction(folder)
        return "The last correction was undone."

    _change(shown, change)


def by_doubt(spines: pd.DataFrame) -> list[int]:
    """Return the numbers of the spines, the most doubtful first (the lowest score; added ones last)."""
    return spines.sort_values(["score", "spine_id"], ascending=[True, False])["spine_id"].astype(int).tolist()


def beside(shown: Shown, spine_id: int, step: int) -> int | None:
    """Return the spine so many steps on in the order of doubt, or None at its ends."""
    order = by_doubt(shown.analysis.spines)
    place = order.index(spine_id) + step
    return order[place] if 0 <= place < len(order) else None


def draw_checking(shown: Shown, chosen: int | None) -> None:
    """Draw the buttons that lead through the spines one by one, the doubtful first."""
    if chosen is None:
        first = next(iter(by_doubt(shown.analysis.spines)), None)
        if first is not None:
            st.button(
                "Review one by one",
                key="check_start",
                on_click=select_spine,
                args=(first,),
                help="Go through the spines, lowest score first.",
            )
        return
    st.button("Show all", key="overlay_all", on_click=select_spine, args=(None,))
    for label, key, step, letter in (("Back", "check_back", -1, "B"), ("Next", "check_next", 1, "N")):
        other = beside(shown, chosen, step)
        st.button(
            label,
            key=key,
            on_click=select_spine,
            args=(other,),
            disabled=other is None,
            shortcut=letter,
            help="The next higher score." if step > 0 else "The next lower score.",
        )
    draw_remove(shown, chosen, "overlay_remove", "Delete")
    order = by_doubt(shown.analysis.spines)
    score = shown.analysis.spines.set_index("spine_id").loc[chosen, "score"]
    score_text = "added by hand" if pd.isna(score) else f"score {score:.2f}"
    st.caption(f"Spine {chosen}, {score_text}; {order.index(chosen) + 1} of {len(order)}.")


def draw_remove(shown: Shown, chosen: int, key: str, shortcut: str | None = None) -> None:
    """Draw the button that says that the chosen spine is none."""
    st.button(
        "Not a spine",
        key=key,
        on_click=remove,
        args=(shown, chosen),
        shortcut=shortcut,
        help="Remove this detection from all tables and counts and go to the next one. "
        "It can be undone on the Overlay page.",
    )


def remove(shown: Shown, spine_id: int) -> None:
    """Remove a spine, and choose the next in the order of doubt where it was the chosen one."""
    folder = workspace().result_folder(shown.job.id)

    def change() -> str:
        remove_spine(folder, spine_id)
        return f"Spine {spine_id} is removed."

    if st.query_params.get("spine") == str(spine_id):
        select_spine(beside(shown, spine_id, 1))
    _change(shown, change)


def handle_click(shown: Shown, view: View, mode: str, click: Click) -> None:
    """Do what a click in the picture asks for.

    Parameters
    ----------
    shown : Shown
    view : View
    mode : str
        `REMOVE` or `ADD`.
    click : Click
        Places in um.
    """
    folder = workspace().result_folder(shown.job.id)
    if mode == REMOVE:
        if click.spine is not None:
            remove(shown, click.spine)
        return

    def change() -> str:
        if click.spine is not None:
            count_spine(folder, click.spine)
            return f"Candidate {click.spine} now counts as a spine."
        place = place_px(shown, view, click)
        analysis, number = add_spine(folder, place, planes_of(shown))
        row = analysis.spines.set_index("spine_id").loc[number]
        length = row.get("length_um", np.nan)
        return f"Spine {number} is added" + (f": {length:.2f} µm long." if length > 0 else ".")

    _change(shown, change)


def place_px(shown: Shown, view: View, click: Click) -> np.ndarray:
    """Return the voxel (z, y, x) that was clicked; z is NaN in the projection.

    Raises
    ------
    SpinecoreError
        In a projection along y or x, where the depth of a click is unknown.
    """
    along, down, across = AXES[view.plane]
    if view.index is None and along != 0:
        raise SpinecoreError("to add a spine choose the XY view, or one slice of this one")
    step = np.array(shown.saved.spacing.zyx_um(z_default=1.0))
    place = np.full(3, np.nan)
    place[down], place[across] = click.y / step[down], click.x / step[across]
    if view.index is not None:
        place[along] = view.index
    return place


def planes_of(shown: Shown) -> Callable[[range], Iterable[np.ndarray]]:
    """Return a reader of slices of the analysed channel."""
    facts = shown.saved.input
    chosen = int(facts["channel"]), int(facts["time_point"])

    def read(wanted: range) -> Iterable[np.ndarray]:
        reading = reading_of(shown.job)
        with open_stored(shown.job.stack_sha256, reading) as file:
            if file.stack_bytes > KEPT_BYTES:
                yield from islice(file.slices(*chosen), wanted.start, wanted.stop)
                return
        yield from volume_of(shown.job.stack_sha256, *chosen, reading)[wanted.start : wanted.stop]

    return read


def left_out(shown: Shown, view: View) -> dict[int, tuple[float, float]]:
    """Return where the candidates lie that do not count (across, down in um), by number; in a slice only those near it."""
    candidates = shown.saved.candidates
    everyone = np.arange(len(candidates.scores))
    out = np.setdiff1d(everyone, candidates.counting(everyone, shown.threshold))
    if not len(out):
        return {}
    scale = np.array([1.0, *candidates.scale_yx])
    px = (candidates.centres_px[out] + 0.5) / scale - 0.5
    step = np.array(shown.saved.spacing.zyx_um(z_default=1.0))
    if view.index is not None:
        along = AXES[view.plane][0]
        near = np.abs(px[:, along] - view.index) * step[along] <= 0.6
        out, px = out[near], px[near]
    table = pd.DataFrame(px, columns=["z_px", "y_px", "x_px"])
    places = heads_um(table, shown.saved.spacing, view.plane)
    return {int(n) + 1: (float(x), float(y)) for n, (x, y) in zip(out, places, strict=True)}
