"""Real projections as thin stacks: their light lies around a plane, their marks in it, and no group takes part twice."""

from __future__ import annotations

import numpy as np
import pytest

from spinecore.training.pool import decode
from spinecore.training.recipes import default_data
from spinecore.training.samples import RealImage
from spinecore.training.thin_stacks import IMAGES, SIDE_PX, SLICES, label_thin_stack, pick_images, thin_stack


def spots(shape: tuple[int, int], places: np.ndarray) -> RealImage:
    """Gaussian spots of height 0.8."""
    y, x = np.indices(shape)
    image = np.zeros(shape)
    for at in places:
        image = np.maximum(image, 0.8 * np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / 8))
    return RealImage("spots.png", "findspines", "findspines:1", image.astype(np.float32), places)


def test_spots_are_brightest_at_the_depth_of_their_marks():
    places = np.array([[20.0, 30.0], [60.0, 100.0], [100.0, 20.0]], np.float32)
    stack = thin_stack(spots((120, 130), places), np.random.default_rng(3))
    assert stack.image.shape == (SLICES, 120, 130) and stack.z_um == 1.0
    np.testing.assert_allclose(stack.centres[:, 1:3], places)
    assert (stack.centres[:, 3] == 1).all() and np.ptp(stack.centres[:, 0]) > 0
    values = decode(stack.image)
    for z, y, x, _ in stack.centres:
        line = values[:, int(y), int(x)]
        assert abs(int(line.argmax()) - z) <= 1.0
        assert line[0] < 0.3 and line[-1] < 0.3 and line.max() > 0.6


def test_large_images_are_cut_around_a_mark():
    image = spots((2 * SIDE_PX, SIDE_PX + 40), np.array([[5.0, 5.0], [2 * SIDE_PX - 5.0, SIDE_PX + 30.0]]))
    for seed in range(6):
        stack = thin_stack(image, np.random.default_rng(seed))
        assert stack.image.shape[1:] == (SIDE_PX, SIDE_PX) and len(stack.centres) == 1
        (mark,) = stack.centres
        assert decode(stack.image)[round(float(mark[0])), int(mark[1]), int(mark[2])] > 0.5


def test_what_lies_far_from_every_mark_is_unknown():
    places = np.array([[30.0, 30.0], [30.0, 45.0], [100.0, 100.0]], np.float32)
    stack = thin_stack(spots((130, 130), places[:1]), np.random.default_rng(0))
    maps = np.zeros((3, *stack.image.shape), np.uint8)
    for y, x in places.astype(int):
        maps[2, 4, y - 1 : y + 2, x - 1 : x + 2], maps[2, 4, y, x] = 150, 220
    found = label_thin_stack(stack, maps)
    truth = dict(zip(map(tuple, found.centres_px[:, 1:].round().astype(int)), found.truth, strict=True))
    assert truth == {(30, 30): 1, (30, 45): 0, (100, 100): -1}


def test_no_field_takes_part_twice():
    data = default_data()
    if not (data / "points2d").is_dir():
        pytest.skip("points2d is not here")
    picked = pick_images(data)
    assert len({image.group for image in picked}) == len(picked)
    for subset, wanted in IMAGES.items():
        assert 0 < sum(image.subset == subset for image in picked) <= wanted
