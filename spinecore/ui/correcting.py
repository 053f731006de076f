"""What other pages than Correct do about corrections: the way to it, what was changed, and removing the spine chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

import numpy as np
import pandas as pd
import streamlit as st

from spinecore.analysis.edits import remove_spine
from spinecore.corrections.replay import count_corrections
from spinecore.errors import SpinecoreError
from spinecore.ui.planeviews import KEPT_BYTES, volume_of
from spinecore.ui.session import open_stored, reading_of, select_spine, workspace
from spinecore.ui.shown import Shown, update_summary
from spinecore.ui.words import sentence

_MESSAGE = "correction_message"


def draw_way_to_correct(shown: Shown, chosen: int | None) -> None:
    """Draw the link to the page Correct, where the chosen spine is then chosen too, and what was changed by hand so far."""
    spine = {} if chosen is None else {"spine": str(chosen)}
    st.page_link(
        "pages/correct.py",
        label="Correct →" if chosen is None else f"Correct spine {chosen} →",
        query_params={"analysis": shown.job.id} | spine,
        width="content",
        help="Correct spines and dendrites on the image.",
    )
    done = count_corrections(shown.saved.candidates, shown.threshold)
    if done.any:
        st.caption(f"By hand: {done.words}.")


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


def by_doubt(spines: pd.DataFrame) -> list[int]:
    """Return the numbers of the spines, the most doubtful first (the lowest score; added ones last)."""
    return spines.sort_values(["score", "spine_id"], ascending=[True, False])["spine_id"].astype(int).tolist()


def beside(shown: Shown, spine_id: int, step: int) -> int | None:
    """Return the spine so many steps on in the order of doubt, or None at its ends."""
    order = by_doubt(shown.analysis.spines)
    place = order.index(spine_id) + step
    return order[place] if 0 <= place < len(order) else None


def draw_remove(shown: Shown, chosen: int, key: str, shortcut: str | None = None) -> None:
    """Draw the button that says that the chosen spine is none."""
    st.button(
        "Not a spine",
        key=key,
        on_click=remove,
        args=(shown, chosen),
        shortcut=shortcut,
        help="Remove this detection from all tables and counts and go to the next one. "
        "It can be undone on the page Correct.",
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
