"""Masks and labels among the slices or channels of an image: left out where that is sure, else said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from spinecore.reading.blank import fill_padding, find_padding
from spinecore.reading.channel import suggest_channel
from spinecore.reading.inspection import inspect_stack
from spinecore.reading.masks import FLAT, flatness
from spinecore.reading.stackfile import open_stack

RNG = np.random.default_rng(3)


def image(slices: int, dtype: type = np.uint16) -> np.ndarray:
    """Return noisy slices, some of their pixels 0."""
    return RNG.poisson(4, (slices, 60, 70)).astype(dtype)


def labels(numbers: int, side: int = 7) -> np.ndarray:
    """Return a plane of squares, each with a number of its own from 1 on."""
    plane = np.zeros((60, 70), np.uint16)
    places = [(y, x) for y in range(2, 50, side + 3) for x in range(2, 60, side + 3)]
    for k, (y, x) in enumerate(places[:numbers]):
        plane[y : y + side, x : x + side] = k + 1
    return plane


def write(path: Path, data: np.ndarray, axes: str = "ZYX") -> Path:
    tifffile.imwrite(
        path, data, imagej=True, resolution=(10, 10), metadata={"axes": axes, "spacing": 0.5, "unit": "um"}
    )
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("numbers", "side"), [(1, 20), (2, 12), (5, 7), (24, 7), (24, 5)])
@pytest.mark.parametrize("place", [0, 3, 8])
def test_labels_among_the_slices_are_not_taken_for_image(tmp_path, dtype, numbers, side, place):
    mixed = np.insert(image(8, dtype), place, labels(numbers, side).astype(dtype), axis=0)
    found = find_padding(mixed)
    assert found is not None and found[place].all() and found.sum() == found[place].size
    report = inspect_stack(write(tmp_path / "a.tif", mixed))
    said = f"1 of 9 slices looks like labels or a mask ({place + 1}): not taken for image."
    assert any(said in warning for warning in report.warnings)
    assert fill_padding(mixed, found).words.startswith(said)
    assert report.maximum == np.delete(mixed, place, axis=0).max(), "nor do its numbers count as intensities"


def test_labels_between_the_slices_are_said_where_they_are_too_many(tmp_path):
    mixed = np.stack([plane for pair in zip(image(4), [labels(9)] * 4, strict=True) for plane in pair])
    report = inspect_stack(write(tmp_path / "a.tif", mixed))
    assert any(
        "4 of 8 slices look like labels or a mask (2, 4, 6 and 8) and are read" in w for w in report.warnings
    )
    assert report.maximum == mixed.max(), "they are read as image"
    report = inspect_stack(write(tmp_path / "b.tif", np.stack([labels(9)] * 3)))
    assert any("looks like labels or a mask, not like an image" in warning for warning in report.warnings)


def test_bright_clean_and_dim_slices_are_no_masks():
    rows, columns = np.mgrid[:60, :70]
    cell = 900 * np.exp(-((rows - 30) ** 2 + (columns - 35) ** 2) / 300)
    saturated = np.clip(RNG.poisson(np.clip(cell - 60, 0, None)), 0, 255).astype(np.uint8)
    smooth = ndimage.gaussian_filter(RNG.poisson(20, (60, 70)).astype(float), 1)
    clean = np.clip(10 * (smooth - 19), 0, 255).astype(np.uint8)
    dim = RNG.poisson(0.02, (60, 70)).astype(np.uint8)
    assert [share < FLAT for share in map(flatness, (saturated, clean, dim))] == [True] * 3


@pytest.mark.parametrize("first", [True, False])
def test_a_channel_of_labels_is_not_suggested(tmp_path, first):
    dendrite = image(3)
    dendrite[:, 30:33] += 40
    line = np.zeros_like(dendrite)
    line[:, 30:33] = 3000
    data = np.stack([line, dendrite] if first else [dendrite, line], axis=1)
    with open_stack(write(tmp_path / "a.tif", data, "ZCYX")) as file:
        assert suggest_channel(file) == int(first)


@pytest.mark.parametrize("place", [0, 4, 8])
def test_a_mask_among_the_slices_is_not_taken_for_image(place: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.poisson(40, (8, 60, 60)).astype(np.uint8)
    mask = np.zeros((60, 60), np.uint8)
    mask[20:40, 10:50] = 255
    mixed = np.insert(image, place, mask, axis=0)
    found = find_padding(mixed)
    assert found is not None and found[place].all() and found.sum() == found[place].size
    filled = fill_padding(mixed, found)
    assert filled.voxels.max() < 255, "nothing of the mask is left"
    assert filled.words == (f"1 of 9 slices looks like labels or a mask ({place + 1}): not taken for image.")


def test_a_stack_of_two_values_is_an_image() -> None:
    rng = np.random.default_rng(0)
    assert find_padding((rng.random((6, 40, 40)) > 0.7).astype(np.uint8) * 255) is None


def test_a_mask_among_the_slices_is_named_before_an_analysis(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    image = rng.poisson(40, (9, 60, 60)).astype(np.uint8)
    image[8] = 255 * (image[8] > 42)
    path = tmp_path / "with_mask.tif"
    tifffile.imwrite(path, image, imagej=True, metadata={"axes": "ZYX", "spacing": 0.5, "unit": "um"})
    report = inspect_stack(path)
    assert any("labels or a mask (9)" in str(advice) for advice in report.warnings)
