"""The Sample check page: draw segments, count them one by one, and watch the estimate."""

from __future__ import annotations

import numpy as np
import streamlit as st

from spinecore.corrections.samplecheck import (
    DEFAULT_SEGMENTS,
    Answer,
    SampleCheck,
    append_answer,
    draw_check,
    extend_check,
    read_check,
)
from spinecore.corrections.sampling import SampleEstimate
from spinecore.corrections.segments import Segment, cut_segments
from spinecore.errors import SpinecoreError
from spinecore.ui.charts import draw_chart
from spinecore.ui.fields import within
from spinecore.ui.layout import side_by_side
from spinecore.ui.segmentview import segment_figure, segment_scene
from spinecore.ui.session import workspace
from spinecore.ui.shown import COLUMNS, Shown
from spinecore.ui.words import count_text, sentence, time_text

SECONDS_A_SEGMENT = 15
#: Largest and least height of the picture, and its usual width (px).
HEIGHT, LOWEST, WIDTH = 540, 260, 640
YES, NO = "Yes", "No"
_COUNT = "Spines on this segment"


def draw_sample_check(shown: Shown) -> None:
    """Draw the page of an analysis: the draw where there is none, else the segments and the estimate."""
    try:
        check = read_check(workspace().result_folder(shown.job.id))
    except SpinecoreError as error:
        st.error(sentence(error))
        return
    if check is None:
        _draw_start(shown)
        return
    segment = _current(shown, check)
    picture, side = side_by_side("check", COLUMNS)
    with side:
        st.progress(len(check.checked) / check.n, text=f"{len(check.checked)} of {check.n} checked")
        _draw_questions(shown, check, segment)
        _draw_estimate(shown, check)
        st.text_input(
            "Checked by", key="check_by", persist_state="session", placeholder="Name or initials (optional)"
        )
        with st.popover("Draw anew"):
            st.caption("The answers so far stay in the log, but no longer count.")
            _choose_draw(shown)
    with picture:
        _draw_picture(shown, check, segment)


def estimate_text(found: SampleEstimate, digits: int = 2) -> str:
    """Return an interval as text.

    Examples
    --------
    >>> estimate_text(SampleEstimate(1.2, 1.0, 1.4, 1.1, 5, 9, ""))
    '95 % CI 1.00–1.40'
    >>> estimate_text(SampleEstimate(1.2, 1.0, float("inf"), 1.1, 1, 9, ""))
    'no interval yet'
    """
    if not np.isfinite(found.high):
        return "no interval yet"
    if found.n == found.population:
        return "all segments checked"
    return f"95 % CI {found.low:.{digits}f}–{found.high:.{digits}f}"


def _draw_start(shown: Shown) -> None:
    st.markdown(
        "Count the spines on a few segments of dendrite, drawn at random. The number of spines and the density then get an "
        "interval that is valid **whatever the detector missed or added**; correcting every spine is not needed."
    )
    _choose_draw(shown)


def _choose_draw(shown: Shown) -> None:
    candidates = shown.saved.candidates
    segments = cut_segments(candidates.dendrites, shown.saved.spines, candidates.scale_yx)
    if not segments:
        st.markdown("No dendrite was traced in this analysis, so there is nothing to draw from.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.number_input(
            f"Segments to check, of {len(segments)}",
            value=min(DEFAULT_SEGMENTS, len(segments)),
            key=f"check_n_{shown.job.id}",
        )
        st.number_input(
            "Seed",
            value=1,
            key=f"check_seed_{shown.job.id}",
            help="The same seed draws the same segments.",
        )
    try:
        n, _ = _choice_now(shown, segments)
    except SpinecoreError as error:
        st.error(sentence(error))
    else:
        st.caption(f"About {time_text(n * SECONDS_A_SEGMENT)} of work, at 15 s a segment of about 5 µm.")
    st.button("Draw segments", type="primary", key="check_draw", on_click=_draw_now, args=(shown, segments))


def _choice_now(shown: Shown, segments: list[Segment]) -> tuple[int, int]:
    """Return how many segments to draw and the seed as the fields hold them now, maybe typed just before a click.

    Raises
    ------
    SpinecoreError
        If one cannot be used.
    """
    values = st.session_state
    n = within("Segments to check", values[f"check_n_{shown.job.id}"], 1, len(segments))
    return int(n), int(within("Seed", values[f"check_seed_{shown.job.id}"], 0))


def _draw_now(shown: Shown, segments: list[Segment]) -> None:
    folder = workspace().result_folder(shown.job.id)
    try:
        n, seed = _choice_now(shown, segments)
    except SpinecoreError:
        return  # the field says why
    draw_check(folder, segments, n, seed, shown.saved.threshold)
    st.session_state.pop(_place_key(shown), None)
    for key in [k for k in st.session_state if str(k).startswith(f"sample_{shown.job.id}_")]:
        del st.session_state[key]


def _place_key(shown: Shown) -> str:
    return f"check_place_{shown.job.id}"


def _current(shown: Shown, check: SampleCheck) -> Segment:
    """Return the segment shown: the one gone to, else the first that is not checked yet."""
    open_ones = [k for k, s in enumerate(check.drawn) if s.number not in check.answers]
    place = st.session_state.get(_place_key(shown), open_ones[0] if open_ones else check.n - 1)
    return check.drawn[min(place, check.n - 1)]


def _draw_questions(shown: Shown, check: SampleCheck, segment: Segment) -> None:
    """Draw the questions about a segment, with what was answered before."""
    place = check.drawn.index(segment)
    before = check.answers.get(segment.number)
    key = f"sample_{shown.job.id}_{segment.number}"
    automatic = len(segment.spines)
    st.markdown(
        f"**Segment {place + 1}** of {check.n}: {count_text(automatic, 'automatic spine')}"
        f"{'' if before is None else ' · checked'}"
    )
    none_key = f"{key}_none"
    known = list(before.not_spines) if before else []
    if segment.spines:
        st.pills(
            "Not a spine",
            segment.spines,
            selection_mode="multi",
            default=known or None,
            key=none_key,
            on_change=_count_again,
            args=(key, automatic, list(st.session_state.get(none_key, known))),
        )
    st.number_input(
        _COUNT,
        value=before.true_count if before else automatic,
        key=f"{key}_count",
        help="Those whose base lies between the two marks; missed ones too. A spine right on a mark counts once, on the "
        "segment where more of it lies.",
    )
    with st.container(horizontal=True):
        for name, label, default in (
            ("shaft", "Line on the shaft?", YES if before is None or before.on_shaft is not False else NO),
            ("missing", "Shaft missing?", YES if before and before.shaft_missing else NO),
        ):
            st.segmented_control(label, [YES, NO], default=default, required=True, key=f"{key}_{name}")
    with st.container(horizontal=True):
        st.button("Back", key="check_previous", on_click=_go, args=(shown, place - 1), disabled=place == 0)
        st.button(
            "Done, next",
            type="primary",
            key="check_done",
            shortcut="N",
            on_click=_answer,
            args=(shown, check, segment, key),
        )


def _count_again(key: str, automatic: int, before: list[int]) -> None:
    """Let the count follow what was said to be no spine; the browser may report once more on a segment that is no longer shown."""
    said = st.session_state[f"{key}_none"]
    if sorted(said) != sorted(before):
        st.session_state[f"{key}_count"] = automatic - len(said)


def _go(shown: Shown, place: int) -> None:
    st.session_state[_place_key(shown)] = place


def _answer(shown: Shown, check: SampleCheck, segment: Segment, key: str) -> None:
    """Store what was answered and go to the next segment that is not checked."""
    values = st.session_state
    try:
        count = int(within(_COUNT, values[f"{key}_count"], 0, 999))
    except SpinecoreError as error:
        st.toast(f"Nothing was stored: {sentence(error)}")
        return
    answer = Answer(
        segment.number,
        count,
        values[f"{key}_shaft"] == YES,
        values[f"{key}_missing"] == YES,
        tuple(values.get(f"{key}_none") or ()),
        (values.get("check_by") or "").strip(),
    )
    try:
        append_answer(workspace().result_folder(shown.job.id), answer)
    except OSError as error:
        st.toast(f"Nothing was stored: {sentence(error)}")
        return
    place = check.drawn.index(segment)
    left = [k for k, s in enumerate(check.drawn) if s.number not in check.answers and k != place]
    following = [k for k in left if k > place] or left
    _go(shown, following[0] if following else place)


def _draw_estimate(shown: Shown, check: SampleCheck) -> None:
    """Draw the estimate beside the automatic number, and what more segments would bring."""
    density, total, more = check.density(), check.total(), check.more()
    now = f"**{density.value:.2f}/µm**, {estimate_text(density)}" if check.checked else "–"
    st.markdown(
        f"Checked density: {now}  \nAutomatic density: {density.automatic:.2f}/µm, score ≥ {check.threshold:.2f}"
    )
    if not check.checked:
        return
    st.caption(
        f"{total.value:.0f} spines ({estimate_text(total, 0)}), automatic {total.automatic:.0f}; {total.n} of "
        f"{total.population} segments; {total.method}."
    )
    if more is None:
        return
    if more == 0:
        st.caption("The interval is within ±10 %.")
        return
    st.caption(f"About {count_text(more, 'more segment')} would bring the interval to ±10 %.")
    extra = len(check.checked) + more - check.n
    if len(check.checked) == check.n and extra > 0:
        st.button(
            f"Draw {extra} more",
            key="check_more",
            on_click=_draw_more,
            args=(shown, check.n + extra, check.n),
        )


def _draw_more(shown: Shown, n: int, first: int) -> None:
    extend_check(workspace().result_folder(shown.job.id), n)
    _go(shown, first)


def _draw_picture(shown: Shown, check: SampleCheck, segment: Segment) -> None:
    plane = "XY"
    if not shown.saved.is_2d:
        plane = st.segmented_control(
            "View",
            ["XY", "XZ", "YZ"],
            default="XY",
            required=True,
            key="check_plane",
            label_visibility="collapsed",
            persist_state="session",
        )
    try:
        scene, line = segment_scene(shown, segment, check.threshold, plane.lower())
    except (SpinecoreError, OSError) as error:
        st.error(sentence(error))
        return
    name = f"check-{shown.job.id}-{segment.number}-{plane}"
    height = round(min(HEIGHT, max(LOWEST, WIDTH * scene.window.height / scene.window.width + 80)))
    figure = segment_figure(scene, line, segment, height, name)
    draw_chart(figure, "check_figure", scene.title, height, scrollZoom=True, displayModeBar=False)
    st.caption(
        f"Dendrite {segment.dendrite}, {segment.from_um:.1f} to {segment.to_um:.1f} µm from its root end: maximum of a slab "
        "around the segment. Scroll to zoom, drag to move."
    )
