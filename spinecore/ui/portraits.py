"""Pictures of single spines on the pages: places, crops of the stack and paths from bounded caches."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.figures.class_colours import CLASS_COLOURS
from spinecore.figures.portraits import Crop, Place, place_of, portrait, take_crops
from spinecore.figures.surfaces import grid_of
from spinecore.shapes.patches import Patch
from spinecore.shapes.pictures import outlined
from spinecore.tables.class_names import CLASSES
from spinecore.ui.colours import MISSING, rgb_of
from spinecore.ui.correcting import planes_of
from spinecore.ui.shown import Shown


@st.cache_resource(max_entries=6, show_spinner="Cutting out the spines")
def patches(key: tuple[str, int, float], _shown: Shown) -> dict[int, Patch]:
    """Return the patch of every spine of the analysis shown, by id."""
    views = _shown.analysis.cutter.views(_shown.threshold)
    return {number: view.patch() for number, view in views.items()}


@st.cache_resource(max_entries=6, show_spinner=False)
def places(key: tuple[str, int, float], _shown: Shown) -> dict[int, Place]:
    """Return where the portrait of every spine is taken."""
    analysis = _shown.analysis
    grid = grid_of(analysis.candidates, analysis.spacing)
    known = patches(key, _shown)
    views = analysis.cutter.views(_shown.threshold)
    return {number: place_of(view, known[number], grid) for number, view in views.items()}


@st.cache_resource(max_entries=40, show_spinner="Looking at the stack")
def crops(key: tuple[str, int, float], ids: tuple[int, ...], _shown: Shown) -> dict[int, Crop]:
    """Return the stack's pixels around some spines."""
    analysis = _shown.analysis
    known = places(key, _shown)
    wanted = {number: known[number] for number in ids}
    first = min(place.slices[0] for place in wanted.values())
    last = max(place.slices[1] for place in wanted.values())
    _, height, width = analysis.shape
    pixel_um = analysis.spacing.zyx_um(z_default=1.0)[1:]
    return take_crops(planes_of(_shown)(range(first, last)), first, wanted, (height, width), pixel_um)


@st.cache_resource(max_entries=400, show_spinner=False)
def path_um(key: tuple[str, int, float], spine: int, _shown: Shown) -> np.ndarray | None:
    """Return the measured path of a spine, (y, x) in um of the stack; None where it has none."""
    analysis = _shown.analysis
    try:
        crop, centre, _ = analysis.cutter.crop_of(spine, _shown.threshold)
    except KeyError:
        return None
    path = analysis.cutter.measurer.path_px(crop, centre)
    if path is None:
        return None
    return grid_of(analysis.candidates, analysis.spacing).to_um(path)[:, 1:]


def colour_of(name: object) -> tuple[int, int, int]:
    """Return the colour of a class as three numbers; grey for none."""
    return rgb_of(CLASS_COLOURS.get(name, MISSING) if isinstance(name, str) else MISSING)


def letter_of(name: object) -> str:
    """Return the letter of a class, which stands in every legend; nothing for none."""
    return str(name)[0].upper() if name in CLASSES else ""


def spine_pictures(
    shown: Shown, ids: Sequence[int], classes: Sequence[object], with_path: bool = False
) -> list[np.ndarray]:
    """Return the portraits of spines, outlined in the colours of their classes; the network's patch where the stack is gone."""
    try:
        found = crops(shown.key, tuple(ids), shown)
    except (SpinecoreError, OSError):
        found = {}
    known = places(shown.key, shown)
    out = []
    for number, name in zip(ids, classes, strict=True):
        if number not in found:
            out.append(outlined(patches(shown.key, shown)[number], 6))
            continue
        path = path_um(shown.key, number, shown) if with_path else None
        out.append(portrait(found[number], known[number], colour_of(name), path, letter=letter_of(name)))
    return out


def heat_pictures(
    shown: Shown, spine: int, name: object, maps: Sequence[np.ndarray]
) -> list[np.ndarray] | None:
    """Return the portrait of a spine under each of some heat maps of its patch; None where the stack is gone."""
    try:
        found = crops(shown.key, (spine,), shown)
    except (SpinecoreError, OSError):
        return None
    if spine not in found:
        return None
    place = places(shown.key, shown)[spine]
    return [portrait(found[spine], place, colour_of(name), heat=heat) for heat in maps]
