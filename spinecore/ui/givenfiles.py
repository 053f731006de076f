"""What a person gives beside a stack before an analysis: an own tracing of the dendrites, and own marks of spines."""

from __future__ import annotations

from typing import Any

import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.evaluation.readers import lacks_unit
from spinecore.marking.files import keep_marks
from spinecore.tracing.swc import keep_tracing
from spinecore.ui.annotation_files import SUFFIXES, UNITS
from spinecore.ui.session import workspace
from spinecore.ui.words import sentence
from spinecore.workspace.records import StackRecord

TRACING_UNITS = {"um": "Micrometres", "pixels": "Pixels of the stack"}


def choose_tracing(stacks: list[StackRecord]) -> dict[str, str]:
    """Draw the upload of a user's own tracing, for a single stack; return its settings: the kept SWC file, and its units."""
    if len(stacks) != 1:
        return {}
    with st.expander("Own tracing of the dendrites (SWC)"):
        given = st.file_uploader(
            "SWC, from the centre of the first voxel",
            type=["swc"],
            key=f"tracing_{stacks[0].sha256}",
            help="Spines are then found along these lines only, and lengths and densities refer to the tracing. "
            "A soma in it is marked.",
        )
        units = st.segmented_control(
            "Its positions are in",
            list(TRACING_UNITS),
            default="um",
            format_func=TRACING_UNITS.__getitem__,
            required=True,
            key=f"tracing_units_{stacks[0].sha256}",
        )
    if given is None:
        return {}
    try:
        path = keep_tracing(workspace().root, given.name, given.getvalue())
    except (SpinecoreError, OSError) as error:
        st.error(f"The tracing is left out. {sentence(error)}")
        return {}
    return {"tracing": str(path), "tracing_units": units}


def choose_marks(stacks: list[StackRecord]) -> dict[str, Any]:
    """Draw the upload of a user's own marks of spines, for a single stack; return its settings."""
    if len(stacks) != 1:
        return {}
    key = stacks[0].sha256
    with st.expander("Own marks of spines (ROIs, points, boxes, labels)"):
        given = st.file_uploader(
            "ImageJ ROIs, points (CSV, Cell Counter, napari), VGG boxes or a label TIFF",
            type=SUFFIXES,
            key=f"marks_{key}",
            help="Each mark becomes a spine, measured like the others and corrected like one added by hand.",
        )
        if given is None:
            return {}
        try:
            path = keep_marks(workspace().root, given.name, given.getvalue())
        except (SpinecoreError, OSError) as error:
            st.error(f"The marks are left out. {sentence(error)}")
            return {}
        units = None
        if lacks_unit(path):
            units = st.segmented_control(
                "Its positions are in",
                list(UNITS),
                default="px",
                format_func=UNITS.__getitem__,
                required=True,
                key=f"marks_units_{key}",
            )
        only = st.toggle(
            "Measure only what I marked",
            key=f"only_marked_{key}",
            help="What the program finds beside is then left out; dendrites are traced as ever, or taken from your tracing.",
        )
    return {"marks": str(path), "marks_units": units, "only_marked": only}
