"""What the Overlay, 3-D and Results pages share: which analysis is shown, at which threshold, and its header."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import streamlit as st

from spinecore.analysis.edits import set_threshold
from spinecore.errors import SpinecoreError
from spinecore.evaluation.builtin import BuiltInSample
from spinecore.files import write_model
from spinecore.ui.checked import ticked
from spinecore.ui.colours import MAPS, colour_choices
from spinecore.ui.layout import side_by_side
from spinecore.ui.session import (
    current_job,
    load,
    missing_in_address,
    result_version,
    sample_of,
    select_spine,
    selected_spine,
    workspace,
)
from spinecore.ui.warmup import warm_up
from spinecore.ui.words import count_text, distinct, sentence
from spinecore.workspace.records import JobRecord

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

LOWEST, HIGHEST = 0.10, 1.00
#: Widths of the picture and of what stands beside it.
COLUMNS = (2.2, 1)
_CHOOSER = "shown_analysis"
_THRESHOLDS = "shown_thresholds"


#: Of the two kinds of built-in samples.
BADGES = {"Real": ":green-badge[Real]", "Simulated": ":orange-badge[Simulated]"}


@dataclass(frozen=True)
class Shown:
    """The analysis shown.

    Parameters
    ----------
    job : JobRecord
    saved : Analysis
        As it is stored.
    version : int
        Changes when the stored analysis does.
    threshold : float
        Lowest score shown.
    sample : BuiltInSample or None
        Where one of the stacks that come with the program was analysed.
    """

    job: JobRecord
    saved: Analysis
    version: int
    threshold: float
    sample: BuiltInSample | None

    @property
    def key(self) -> tuple[str, int, float]:
        """What caches of things made from this analysis are keyed on."""
        return self.job.id, self.version, self.threshold

    @property
    def changed(self) -> bool:
        """True when the threshold shown is not the one stored."""
        return abs(self.threshold - self.saved.threshold) > 1e-6

    @cached_property
    def analysis(self) -> Analysis:
        """The analysis at the threshold shown."""
        return at_threshold(self.key, self.saved) if self.changed else self.saved

    @property
    def file_stem(self) -> str:
        """Beginning of the names of downloaded files."""
        return re.sub(r"[^\w.-]+", "_", self.saved.name) or "analysis"


@st.cache_resource(max_entries=8, show_spinner=False)
def at_threshold(key: tuple[str, int, float], _saved: Analysis) -> Analysis:
    """Return an analysis at the threshold that ends its key."""
    return _saved.at_threshold(key[2])


def open_shown(title: str) -> Shown:
    """Draw the head of a page and return the analysis it shows; without one, say what to do and stop the page."""
    heading, chooser = side_by_side("heading", COLUMNS, vertical_alignment="center")
    heading.title(title, anchor=False)
    done = {job.id: job for job in workspace().jobs(states=("done",))}
    job = current_job()
    if job is None:
        _stop_without(done)
    if job.state != "done":
        st.markdown(f"The analysis of **{job.stack_name}** is {job.state}, so there is nothing to show yet.")
        _links(("pages/analyse.py", "See the queue"))
        st.stop()
    with chooser:
        _draw_chooser(done | {job.id: job}, job.id)
    try:
        saved = load(job.id)
        version = result_version(job.id)
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        _links(("pages/start.py", "Choose another analysis"), ("pages/analyse.py", "Analyse again"))
        st.stop()
    shown = Shown(job, saved, version, threshold_shown(job.id, saved.threshold), sample_of(job))
    if shown.sample is not None:
        heading.caption(f"{BADGES[shown.sample.kind]} {shown.sample.description}")
    return shown


def _stop_without(done: dict[str, JobRecord]) -> NoReturn:
    missing = missing_in_address()
    if missing:
        st.warning(missing)
    if done:
        st.markdown("Choose the analysis to look at.")
        _draw_chooser(done, None)
        st.stop()
    st.markdown("There is no finished analysis yet: try the sample, or upload a stack of your own.")
    _links(("pages/start.py", "Try the sample"), ("pages/upload.py", "Upload a stack"))
    st.stop()


def _links(*targets: tuple[str, str]) -> None:
    with st.container(horizontal=True):
        for page, label in targets:
            st.page_link(page, label=label, width="content")


def _draw_chooser(done: dict[str, JobRecord], current: str | None) -> None:
    def choose() -> None:
        chosen = st.session_state.get(key)  # none where the browser went back to another page
        if chosen:
            st.query_params["analysis"] = chosen
            st.session_state["last_analysis"] = chosen
            st.query_params.pop("threshold", None)
            select_spine(None)

    key = f"{_CHOOSER}_{current}"
    names = distinct({k: f"{job.stack_name}, {_day(job)}" for k, job in done.items()})
    st.selectbox(
        "Analysis",
        list(done),
        index=list(done).index(current) if current else None,
        format_func=lambda job_id: ticked(names[job_id], job_id),
        placeholder="Choose an analysis",
        label_visibility="collapsed",
        key=key,
        on_change=choose,
    )


def _day(job: JobRecord) -> str:
    local = job.submitted.astimezone()
    return f"{local.day} {local:%b, %H:%M}"


# --- the threshold ------------------------------------------------------------------------------


def threshold_shown(job_id: str, saved: float) -> float:
    """Return the threshold at which an analysis is shown in this tab, and keep it in the address.

    It is the one chosen on the Overlay page, else that of `?threshold=`, else the stored one.
    """
    chosen = st.session_state.setdefault(_THRESHOLDS, {})
    if job_id not in chosen:
        given = _number(st.query_params.get("threshold"))
        if given is not None:
            chosen[job_id] = given
    value = chosen.get(job_id, saved)
    if abs(value - saved) > 1e-6:
        st.query_params["threshold"] = f"{value:g}"
    elif "threshold" in st.query_params:
        del st.query_params["threshold"]
    return value


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return round(value, 4) if LOWEST <= value <= HIGHEST else None


def choose_threshold(shown: Shown) -> None:
    """Draw the slider of the threshold and, once it is moved, the buttons that keep it or undo it."""
    warm_up()
    key = f"lowest_score_{shown.job.id}_{shown.version}"
    chosen = st.session_state[_THRESHOLDS]

    def remember() -> None:
        chosen[shown.job.id] = round(float(st.session_state[key]), 4)

    st.slider(
        "Lowest score of a spine",
        LOWEST,
        HIGHEST,
        round(shown.threshold, 4),
        0.01,
        key=key,
        on_change=remember,
        help="Candidates below this score are excluded; touching spines are then split and measured again.",
    )
    found, possible = len(shown.analysis.spines), int((~shown.saved.candidates.far).sum())
    st.caption(f"{count_text(found, 'spine')} of {count_text(possible, 'candidate')}")
    # always there, or else all that follows would be rebuilt in the browser when the buttons come
    buttons = st.container(horizontal=True, gap="small")
    if not shown.changed:
        return

    def undo() -> None:
        chosen.pop(shown.job.id, None)
        st.query_params.pop("threshold", None)
        st.session_state.pop(key, None)

    with buttons:
        if st.button("Keep this threshold", type="primary", key="keep_threshold"):
            keep_threshold(shown)
        st.button(f"Back to {shown.saved.threshold:.2f}", key="undo_threshold", on_click=undo)


def keep_threshold(shown: Shown) -> None:
    """Store the analysis at the threshold shown in place of the stored one, and show it."""
    try:
        with st.spinner("Saving"):
            set_threshold(workspace().result_folder(shown.job.id), shown.threshold)
            update_summary(shown.job.id)
    except (OSError, SpinecoreError) as error:
        st.error(
            f"The threshold could not be kept: {sentence(error)} Free some space or check the permissions."
        )
        return
    st.session_state[_THRESHOLDS].pop(shown.job.id, None)
    st.toast(f"Kept: {count_text(len(shown.analysis.spines), 'spine')} at {shown.threshold:.2f} and above.")
    st.rerun()


def update_summary(job_id: str, n_spines: int | None = None) -> None:
    """Bring the counts in the list of analyses up to date; without a number, it is counted in the stored result."""
    progress = workspace().progress(job_id)
    if progress is not None:
        summary = progress.summary | {"spines": len(load(job_id).spines) if n_spines is None else n_spines}
        write_model(
            workspace().job_folder(job_id) / "progress.json",
            progress.model_copy(update={"summary": summary}),
        )


def note_threshold(shown: Shown) -> None:
    """On the pages without the slider, say that the threshold is not the stored one."""
    if shown.changed:
        st.caption(
            f"Shown at a minimum score of **{shown.threshold:.2f}**; the stored result has "
            f"{shown.saved.threshold:.2f}. Keep or undo this on the Overlay page."
        )


def choose_colours(shown: Shown, what: str, key: str) -> tuple[str, str]:
    """Draw the choice of what the colours of the spines mean; return a column and the name of a colour map.

    Parameters
    ----------
    shown : Shown
    what : str
        What is coloured, as the first word of a label.
    key : str
        Beginning of the widgets' keys.
    """
    choices = colour_choices(shown.saved.spines)
    with st.container(horizontal=True):
        by = st.selectbox(
            f"{what} colour",
            list(choices),
            index=list(choices).index("score"),
            format_func=lambda name: choices[name],
            key=f"{key}_colour",
            persist_state="session",
        )
        name = st.selectbox(
            "Colour map",
            list(MAPS),
            key=f"{key}_colour_map",
            persist_state="session",
            help="All of these can be read with any colour vision.",
            width=112,
        )
    return by, name


# --- the chosen spine ---------------------------------------------------------------------------


def chosen_spine(shown: Shown) -> int | None:
    """Return the chosen spine where it is among those shown, and keep it in the address."""
    spine = selected_spine()
    if spine is None or not (shown.analysis.spines["spine_id"] == spine).any():
        if "spine" in st.query_params:
            select_spine(None)
        return None
    if st.query_params.get("spine") != str(spine):
        select_spine(spine)
    return spine
