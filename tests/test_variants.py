"""Marked volumes as other microscopes might show them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spinecore.training.pool import PoolVolume, decode, encode
from spinecore.training.variants import UNCHANGED, Variant


def spot(at: tuple[int, int, int], shape: tuple[int, int, int] = (7, 90, 100)) -> PoolVolume:
    """A Gaussian spot of height 0.8 on a background of 0.1."""
    away = np.indices(shape) - np.reshape(at, (3, 1, 1, 1))
    light = 0.1 + 0.7 * np.exp(-(away**2).sum(0) / 18)
    return PoolVolume(
        encode(light), np.zeros(shape, np.uint8), np.array([[*at, 1]], np.float32), 1.0, np.ones(shape, bool)
    )


@given(st.integers(0, 2**32 - 1))
def test_a_mark_stays_on_its_head_and_places_find_their_way_back(seed):
    volume, variant = spot((3, 40, 60)), Variant.drawn(seed)
    changed = variant.of(volume)
    values, mark = decode(changed.image), changed.centres[0, :3]
    brightest = np.array(np.unravel_index(values.argmax(), values.shape))
    assert np.abs(brightest - mark).max() <= 2.5 and changed.known is None
    back = variant.back(mark, volume.image.shape)
    np.testing.assert_allclose(back, volume.centres[:, :3], atol=1e-3)
    assert changed.z_um == pytest.approx(variant.z_zoom)
    assert abs(values.shape[1] / 90 - variant.zoom) <= 0.01


def test_the_background_stays_and_the_light_above_it_changes():
    volume = spot((3, 40, 60))
    half = decode(Variant(gain=0.5).of(volume).image)
    assert np.percentile(half, 20) == pytest.approx(0.1, abs=0.01)
    assert half.max() == pytest.approx(0.1 + 0.35, abs=0.01)
    np.testing.assert_array_equal(UNCHANGED.of(volume).image, volume.image)


def test_the_same_seed_draws_the_same():
    volume = spot((3, 40, 60))
    np.testing.assert_array_equal(Variant.drawn(5).of(volume).image, Variant.drawn(5).of(volume).image)
    assert Variant.drawn(5) != Variant.drawn(6)
