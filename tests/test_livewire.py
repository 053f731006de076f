"""A line that snaps to a shaft: through thick slices it stays on the shaft, whichever slice was clicked in."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage as ndi

from spinecore.tracing.edge import path_length
from spinecore.tracing.livewire import snap_path

SPACING = (1.0, 0.1, 0.1)


@pytest.fixture(scope="module")
def thick() -> np.ndarray:
    """A shaft along x that rises from slice 0 to slice 2 of four, blurred along z so that every slice shows it."""
    z, y, x = np.indices((4, 60, 120))
    height = np.clip((x - 60) / 25, 0, 2)
    shaft = np.exp(-(((y - 30) / 3.0) ** 2) - ((z - height) / 1.2) ** 2)
    noise = np.random.default_rng(0).normal(0, 0.02, shaft.shape)
    return 100 + 1000 * (shaft + ndi.gaussian_filter(noise, (0, 1, 1)))


@pytest.mark.parametrize("clicked", [0, 1, 2])
@pytest.mark.parametrize("places", [2, 4, 6])
def test_a_click_in_another_thick_slice_costs_no_way_along_z(thick, clicked, places):
    """Lines had run up and down to the clicked slice at each click, and were up to a quarter longer."""
    x = np.linspace(10, 110, places)
    clicks = np.column_stack([np.full(places, clicked), np.full(places, 30), x]) * SPACING
    line = snap_path(thick, SPACING, clicks).points_um
    wanted = 5.0 + np.hypot(5.0, 2.0)
    assert path_length(line) == pytest.approx(wanted, rel=0.06)
    assert path_length(line * (0, 1, 1)) == pytest.approx(10.0, rel=0.03)


def test_a_place_on_another_line_is_kept_where_it_is(thick):
    clicks = np.array([[2, 30, 10], [0, 30, 60], [1, 30, 110]]) * SPACING
    line = snap_path(thick, SPACING, clicks, fixed=(True, True)).points_um
    assert line[0] == pytest.approx(clicks[0]) and line[-1] == pytest.approx(clicks[-1])


def test_of_two_shafts_above_each_other_the_clicked_one_is_taken_in_thin_slices():
    spacing = (0.25, 0.1, 0.1)
    z, y, _ = np.indices((24, 60, 120))
    both = [np.exp(-((np.hypot((z - at) * 0.25, (y - 30) * 0.1) / 0.35) ** 2)) for at in (6, 16)]
    image = 100 + 600 * both[0] + 1000 * both[1]
    clicks = np.array([[6, 30, 10], [6, 30, 110]]) * spacing
    line = snap_path(image, spacing, clicks).points_um
    assert np.abs(line[:, 0] - 1.5).max() < 0.3
