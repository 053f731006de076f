"""Portraits of spines: where they are taken, which way up, what is drawn; and the colours of the classes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab
from test_shape_classify import scene

from spinecore.figures.class_colours import CLASS_COLOURS
from spinecore.figures.overview import DENDRITE_COLOUR
from spinecore.figures.portraits import OUTSIDE, SIDE_PX, SIDE_UM, place_of, portrait, take_crops, turned
from spinecore.figures.surfaces import Grid
from spinecore.shapes.classify import SpineView
from spinecore.tables.class_names import CLASSES
from spinecore.ui.colours import (
    DENDRITE,
    MAPS,
    MISSING,
    PLAIN,
    POSITION_ONLY_COLOUR,
    class_legend,
    map_colours,
    rgb_of,
)

#: Machado et al. (2009), full strength: protanopia, deuteranopia, tritanopia, for linear RGB.
_BLIND = (
    ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
)


def seen(colour: tuple[int, int, int]) -> np.ndarray:
    """Lab of a colour for the four kinds of colour vision, (4, 3)."""
    rgb = np.array(colour) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    each = [linear, *(np.clip(np.array(m) @ linear, 0, 1) for m in _BLIND)]
    back = np.array([np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055) for c in each])
    return rgb2lab(back[None])[0]


def test_class_colours_differ_for_every_colour_vision_and_from_the_dendrite() -> None:
    colours = [seen(rgb_of(CLASS_COLOURS[name])) for name in CLASSES] + [seen(DENDRITE_COLOUR)]
    assert min(deltaE_ciede2000(a, b).min() for a, b in itertools.combinations(colours, 2)) > 15
    legend = class_legend()
    assert all(f">{name[0].upper()}</span> {name}" in legend for name in CLASSES)


@pytest.mark.parametrize("others", [*MAPS, "names"])
def test_a_head_without_an_outline_is_told_from_every_other_one_with_every_colour_vision(others: str) -> None:
    named = (*CLASS_COLOURS.values(), PLAIN, MISSING, DENDRITE)
    colours = named if others == "names" else map_colours(others)
    own = seen(rgb_of(POSITION_ONLY_COLOUR))
    assert min(deltaE_ciede2000(own, seen(rgb_of(colour))).min() for colour in colours) > 14


@pytest.mark.parametrize("turned_by", [0, 1, 2, 3])
def test_the_dendrite_lies_flat_below_and_the_outline_is_where_the_spine_is(turned_by: int) -> None:
    image, mask, shaft = scene(turned=turned_by)
    view = SpineView(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    place = place_of(view, view.patch(), Grid(np.array([0.3, 0.1, 0.1]), np.zeros(3)))
    assert place.slices == (1, 2)
    crop = take_crops(iter(image[1:2]), 1, {7: place}, image.shape[1:], (0.1, 0.1))[7]
    grey, inside = turned(crop, place)
    bright = grey > 700
    rows = np.flatnonzero(bright.mean(1) > 0.5)
    assert len(rows) * SIDE_UM / SIDE_PX == pytest.approx(0.8, abs=0.1), "the shaft is flat and 0.8 um wide"
    assert rows.mean() > SIDE_PX * 0.6
    lines = [place.on_portrait(line) for line in place.outline]
    down, across = np.concatenate(lines).T
    assert np.ptp(down) * SIDE_UM / SIDE_PX == pytest.approx(1.35, abs=0.2)
    assert across.mean() == pytest.approx(SIDE_PX / 2, abs=8) and down.max() < rows.min() + 5
    picture = portrait(crop, place, (255, 0, 0), path_um=np.array([[4.6, 4.0], [3.6, 4.0]]))
    assert picture.shape == (SIDE_PX, SIDE_PX, 3)
    red = (picture[..., 0] > 200) & (picture[..., 1] < 60)
    assert red.sum() > 100
    assert inside.all()
    cut = take_crops(iter(image[1:2, :50]), 1, {7: place}, (50, image.shape[2]), (0.1, 0.1))[7]
    outside = ~turned(cut, place)[1]
    assert 0.05 < outside.mean() < 0.5
    assert np.mean((portrait(cut, place, (255, 0, 0)) == OUTSIDE).all(2)[outside]) > 0.95


def test_a_class_has_its_letter_and_the_smallest_spine_its_outline() -> None:
    image, mask, shaft = scene()
    small = np.zeros_like(mask)
    small[tuple(np.argwhere(mask > 0)[0])] = 1
    view = SpineView(image, small > 0, shaft > 0, (0.3, 0.1, 0.1))
    place = place_of(view, view.patch(), Grid(np.array([0.3, 0.1, 0.1]), np.zeros(3)))
    assert place.outline and np.ptp(place.outline[0], 0).max() < 0.2, "one pixel is outlined, too"
    crop = take_crops(
        iter(image[place.slices[0] : place.slices[1]]),
        place.slices[0],
        {7: place},
        image.shape[1:],
        (0.1, 0.1),
    )[7]
    bare, lettered = portrait(crop, place, (255, 0, 0)), portrait(crop, place, (255, 0, 0), letter="M")
    changed = (bare != lettered).any(2)
    rows, columns = np.nonzero(changed)
    assert changed.sum() > 900 and max(rows.max(), columns.max()) < SIDE_PX / 5
    assert {(255, 0, 0), (255, 255, 255)} <= set(map(tuple, lettered[changed].tolist()))


def test_heat_lies_where_the_patch_says() -> None:
    image, mask, shaft = scene(turned=1)
    view = SpineView(image, mask > 0, shaft > 0, (0.3, 0.1, 0.1))
    patch = view.patch()
    place = place_of(view, patch, Grid(np.array([0.3, 0.1, 0.1]), np.zeros(3)))
    crop = take_crops(iter(image[1:2]), 1, {7: place}, image.shape[1:], (0.1, 0.1))[7]
    cold = portrait(crop, place, (255, 0, 0)).astype(int)
    hot = portrait(crop, place, (255, 0, 0), heat=patch.outline).astype(int)
    changed = np.abs(hot - cold).sum(2) > 60
    down, across = np.nonzero(changed)
    lines = np.concatenate([place.on_portrait(line) for line in place.outline])
    assert down.mean() == pytest.approx(lines[:, 0].mean(), abs=20)
    assert across.mean() == pytest.approx(lines[:, 1].mean(), abs=8)
    assert changed.mean() == pytest.approx(patch.outline.sum() * 0.01 / SIDE_UM**2, rel=0.4)


def test_a_thick_spine_shows_its_brightest_slices() -> None:
    image = np.zeros((12, 60, 60))
    mask = np.zeros(image.shape, bool)
    mask[1:11, 28:33, 28:33] = True
    image[6:8, 28:33, 28:33] = 100
    view = SpineView(image, mask, np.zeros(image.shape, bool), (0.5, 0.1, 0.1), (3, 0, 0))
    place = place_of(view, view.patch(), Grid(np.array([0.5, 0.1, 0.1]), np.zeros(3)))
    first, last = place.slices
    assert last - first == 3 and first <= 6 + 3 and last >= 8 + 3
