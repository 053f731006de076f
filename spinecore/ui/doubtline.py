"""How many of an image's spines are expected to be right, beside the numbers of the Results page and on the Overlay."""

from __future__ import annotations

import numpy as np
import streamlit as st

from spinecore.detection.doubt import Doubt, doubt_of, real_marks
from spinecore.reading.advice import SATURATED_WARNING
from spinecore.ui.shown import Shown

#: Fewer spines say nothing about an image.
FEWEST = 8


def draw_doubt_line(shown: Shown) -> None:
    """Say how many of the spines of a single image are expected to be right; nothing for stacks."""
    if not shown.saved.is_2d or shown.saved.settings.only_marked:
        return
    counted = real_marks(shown.saved.models)
    doubt = None if counted is None else doubt_of(shown.analysis.spines, counted)
    if doubt is None or doubt.n_spines < FEWEST:
        return
    if doubt.doubtful:
        st.warning(doubtful_words(doubt, saturated_share(shown.saved.projections["xy"])))
    else:
        st.caption(expected_words(doubt))


def expected_words(doubt: Doubt) -> str:
    """Say what is expected."""
    return (
        f"By their scores about **{doubt.right:.0f} of the {doubt.n_spines} spines** that nobody checked are right "
        f"({doubt.data})."
    )


def doubtful_words(doubt: Doubt, saturated: float) -> str:
    """Say what is expected of a doubtful image, why, and what to do."""
    wrong = 1 - doubt.share
    part = "More than half" if wrong > 0.55 else "About half" if wrong > 0.45 else "More than a third"
    reason = (
        f", and {saturated:.1%} of its pixels are saturated, so that heads cannot be told from the shaft"
        if saturated >= SATURATED_WARNING
        else ""
    )
    return (
        f"{part} of these {doubt.n_spines} spines are not reliable: by their scores about {doubt.right:.0f} are right "
        f"({doubt.data}). Most scores are low in this image{reason}. Check them on the page Correct, least sure first, or raise "
        "the lowest score of a spine."
    )


def saturated_share(image: np.ndarray) -> float:
    """Return the share of pixels at the highest value of an integer image; 0 for other images."""
    if image.dtype.kind not in "ui":
        return 0.0
    return float((image >= image.max()).mean())
