"""Large heads are given back from the dendrite map, where the stack drawn smaller shows them as heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinecore.methods.second_look import (
    CHANNELS,
    CHANNELS_OF_TWO_SCALES,
    CUBES,
    read_cubes,
    reads_two_scales,
)
from spinecore.methods.two_scales import both_scales, coarse_shape
from spinecore.networks.zoo import build_network
from spinecore.training.start import with_more_channels

SHAPE = (3, 2, 40, 60)


def maps_with(**places: tuple[slice, slice]) -> np.ndarray:
    """Maps that are 240 of 255 in a place."""
    maps = np.zeros(SHAPE, np.uint8)
    for number, name in enumerate(("dendrite", "spine", "centre")):
        if name in places:
            maps[(number, slice(None), *places[name])] = 240
    return maps


HEAD, RIM, SHAFT = np.s_[5:15, 20:30], np.s_[3:17, 18:32], np.s_[24:32, :]


def test_a_head_that_the_fine_map_calls_shaft_is_given_back_with_its_rim():
    fine = maps_with(dendrite=RIM)
    fine[0][(slice(None), *SHAFT)] = 250
    coarse = maps_with(spine=HEAD, centre=np.s_[10:11, 25:26])
    coarse[0][(slice(None), *SHAFT)] = 230
    found = both_scales(fine, coarse)
    assert found.shape == (6, *SHAPE[1:]) and (found[3:] == coarse).all()
    dendrite, spine, centre = found[:3]
    assert dendrite[(slice(None), *RIM)].max() < 20 and spine[(slice(None), *HEAD)].min() > 200
    assert (dendrite[(slice(None), *SHAFT)] == 250).all() and not spine[(slice(None), *SHAFT)].any()
    assert centre[0, 10, 25] == 240 and np.count_nonzero(centre) == len(centre)


def test_what_both_scales_agree_on_and_what_only_the_fine_one_sees_stays():
    fine = maps_with(dendrite=SHAFT, spine=HEAD, centre=np.s_[10:11, 25:26])
    for coarse in (maps_with(), maps_with(dendrite=SHAFT, spine=HEAD, centre=HEAD)):
        np.testing.assert_array_equal(both_scales(fine, coarse)[:3], fine)


def test_the_second_scale_has_a_little_more_than_half_of_the_pixels_a_side():
    assert coarse_shape((400, 660)) == (240, 396) and coarse_shape((1, 1)) == (1, 1)


def test_a_network_with_more_channels_begins_with_the_same_answers():
    torch.manual_seed(0)
    small, large = (
        build_network({"kind": "head-score", "channels": n, "width": 4}).eval()
        for n in (CHANNELS, CHANNELS_OF_TWO_SCALES)
    )
    more = with_more_channels(small, large).eval()
    assert reads_two_scales(more) and not reads_two_scales(small)
    rng = np.random.default_rng(1)
    maps = rng.integers(0, 255, (6, 9, 30, 30)).astype(np.uint8)
    stack = rng.random((9, 30, 30)).astype(np.float32)
    given = (
        lambda window: stack[window],
        maps,
        np.array([[4.0, 15, 15], [3.0, 10, 18]]),
        np.array([0.7, 0.4]),
    )
    answers = [read_cubes(model, *given, (0.5, 0.1, 0.1), np.arange(2)) for model in (small, more, large)]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)
    assert np.abs(answers[2] - answers[0]).max() > 1e-3
    with pytest.raises(RuntimeError, match="channels"):  # a network is not given what it does not read
        large(*(torch.zeros(1, CHANNELS, *cube.shape) for cube in CUBES), torch.zeros(1, 2))


def test_a_thick_place_within_a_shaft_is_no_head():
    fine = maps_with(dendrite=np.s_[17:23, 2:58])
    fine[0][(slice(None), *np.s_[14:26, 24:36])] = 240
    coarse = maps_with(spine=np.s_[15:25, 25:35], centre=np.s_[20:21, 30:31])
    np.testing.assert_array_equal(both_scales(fine, coarse)[:3], fine)
    # the same at the end of a shaft is one
    fine[0, :, :, 36:] = 0
    dendrite, spine, centre = both_scales(fine, coarse)[:3]
    assert spine[0, 20, 30] > 200 and centre[0, 20, 30] == 240 and dendrite[0, 20, 30] < 20
    assert (dendrite[0, 18:22, 2:20] == 240).all()
