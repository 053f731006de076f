"""The first look at a file: what it shows, what it warns of, and the estimate of the pixel size."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from spinecore.errors import SpinecoreError
from spinecore.reading.inspection import inspect_stack, thumbnail
from spinecore.reading.noise import noise_sigma, signal_to_noise
from spinecore.reading.pixel_estimate import ESTIMATE_FACTOR, estimate_pixel, neurite_width_px

REAL = Path(os.environ.get("SPINE_DATA", "../shared/data")) / "real_inputs"


def dendrite(width_px: float, side: int = 256, noise: float = 4.0, peak: float = 200.0) -> np.ndarray:
    """Return a slanted bar of the given width with round spines, blurred and noisy, as uint16."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:side, :side].astype(float)
    distance = np.abs((y - side / 2) - 0.3 * (x - side / 2)) / np.hypot(1, 0.3)
    image = peak * (distance < width_px / 2)
    for centre in range(20, side, 40):
        row = side / 2 + 0.3 * (centre - side / 2) - width_px
        image[np.hypot(y - row, x - centre) < width_px / 4] = peak * 0.7
    image = ndimage.gaussian_filter(image, width_px / 8) + 50 + rng.normal(0, noise, image.shape)
    return image.clip(0).astype(np.uint16)


def stack_of(image: np.ndarray, slices: int = 6) -> np.ndarray:
    """Return slices in which the image comes in and out of focus."""
    rng = np.random.default_rng(4)
    weights = np.exp(-0.5 * ((np.arange(slices) - slices / 2) / 1.5) ** 2)
    planes = (image - 50.0) * weights[:, None, None] + 50 + rng.normal(0, 3, (slices, *image.shape))
    return planes.clip(0).astype(np.uint16)


def write(path: Path, data: np.ndarray, pixel_um: float | None = 0.1, z_um: float | None = 0.4) -> Path:
    meta: dict[str, object] = {"axes": "TZCYX"[-data.ndim :] if data.ndim != 3 else "ZYX"}
    if pixel_um:
        meta["unit"] = "um"
    if z_um:
        meta["spacing"] = z_um
    resolution = (1 / pixel_um, 1 / pixel_um) if pixel_um else None
    tifffile.imwrite(path, data, imagej=True, resolution=resolution, metadata=meta)
    return path


def test_a_good_stack_gives_no_warning(tmp_path: Path) -> None:
    data = stack_of(dendrite(12))
    report = inspect_stack(write(tmp_path / "good.tif", data))
    assert report.warnings == ()
    assert report.shape_tczyx == (1, 1, 6, 256, 256)
    assert (report.minimum, report.maximum) == (data.min(), data.max())
    assert report.histogram_counts.sum() == data.size
    assert np.array_equal(
        report.histogram_counts, np.histogram(data, 256, (float(data.min()), float(data.max())))[0]
    )
    assert report.saturated_fraction == 0
    assert report.pixel_estimate is None, "the size is known, so none is offered"
    assert report.thumbnail.shape == (256, 256)
    assert np.corrcoef(report.thumbnail.ravel(), data.max(axis=0).ravel())[0, 1] > 0.99
    assert report.estimated_bytes >= 3 * data.nbytes
    assert 1 < report.estimated_seconds < 60


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    report = inspect_stack(write(tmp_path / "a.tif", stack_of(dendrite(12)), pixel_um=None, z_um=None))
    text = " ".join(report.warnings)
    assert "pixel size is unknown" in text
    assert "z step is unknown" in text


@pytest.mark.parametrize(
    ("pixel_um", "z_um", "words"),
    [
        (0.4, 0.4, "too coarse to resolve"),
        (0.1, 2.0, "z step of 2 um is too coarse"),
        (0.02, 0.4, "far finer"),
    ],
)
def test_sizes_outside_the_trained_range(tmp_path: Path, pixel_um: float, z_um: float, words: str) -> None:
    report = inspect_stack(write(tmp_path / "a.tif", stack_of(dendrite(12)), pixel_um, z_um))
    assert len(report.warnings) == 1
    assert words in report.warnings[0]


@pytest.mark.parametrize("top", [4095, 65535, 3000])
def test_saturation_is_found_at_any_limit(tmp_path: Path, top: int) -> None:
    data = (stack_of(dendrite(12)).astype(float) * 40).clip(0, top)
    data[2][dendrite(12, noise=0) > 180] = top
    data = data.astype(np.uint16)
    report = inspect_stack(write(tmp_path / "a.tif", data))
    assert report.saturated_fraction == pytest.approx((data == top).mean())
    assert any("saturated" in warning and f"{top:g}" in warning for warning in report.warnings)


def test_dim_photon_counts_are_not_saturated(tmp_path: Path) -> None:
    data = np.random.default_rng(0).poisson(2.0, (4, 128, 128)).clip(0, 6).astype(np.uint16)
    assert inspect_stack(write(tmp_path / "a.tif", data)).saturated_fraction == 0


def test_noise_is_measured_and_warned_of(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    slope = np.add.outer(np.arange(256.0), np.arange(256.0))
    assert noise_sigma(slope + rng.normal(0, 7, slope.shape)) == pytest.approx(7, rel=0.05)
    assert signal_to_noise(np.zeros((64, 64))) is None
    noisy = stack_of(dendrite(6, noise=60, peak=90))
    report = inspect_stack(
        write(tmp_path / "a.tif", noisy + rng.normal(300, 80, noisy.shape).clip(0).astype(np.uint16))
    )
    assert any("noisy" in warning for warning in report.warnings)


def test_constant_and_small_images(tmp_path: Path) -> None:
    report = inspect_stack(write(tmp_path / "a.tif", np.full((3, 64, 64), 7, np.uint16)))
    assert report.warnings == ("Every voxel has the same value (7): check the channel and the export.",)
    assert not report.thumbnail.any()
    small = inspect_stack(write(tmp_path / "b.tif", stack_of(dendrite(4, 32))))
    assert any("32 x 32 pixels" in warning for warning in small.warnings)


def test_the_channel_with_structure_is_suggested(tmp_path: Path) -> None:
    good = stack_of(dendrite(12))
    empty = np.random.default_rng(2).normal(400, 20, good.shape).astype(np.uint16)
    data = np.stack([empty, good], axis=1)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "ZCYX"})
    report = inspect_stack(tmp_path / "a.tif")
    assert (report.suggested_channel, report.channel) == (1, 1)
    other = inspect_stack(tmp_path / "a.tif", channel=0)
    assert (other.suggested_channel, other.channel) == (1, 0)
    assert other.minimum == empty.min()
    with pytest.raises(SpinecoreError, match="no channel 2"):
        inspect_stack(tmp_path / "a.tif", channel=2)


def test_thumbnail_keeps_single_bright_pixels() -> None:
    image = np.zeros((1500, 2000), np.uint16)
    image[701, 1203] = 60000
    small = thumbnail(image)
    assert small.shape == (375, 500)
    assert small[701 // 4, 1203 // 4] == 255


@pytest.mark.parametrize("width", [8, 12, 20, 32])
def test_width_follows_the_dendrite(width: int) -> None:
    assert neurite_width_px(dendrite(width)) == pytest.approx(width, rel=0.35)


def test_an_estimate_is_offered_only_where_something_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", dendrite(14), pixel_um=None, z_um=None)
    estimate = inspect_stack(path).pixel_estimate
    assert estimate is not None
    assert estimate.low_um == pytest.approx(estimate.pixel_um / ESTIMATE_FACTOR)
    assert estimate.low_um < 0.13 < estimate.high_um
    assert "stimated" in estimate.sentence
    assert "confirm" in estimate.sentence
    assert estimate_pixel(np.zeros((64, 64))) is None
    assert estimate_pixel(np.random.default_rng(0).normal(100, 5, (256, 256))) is None


def test_estimate_scales_with_the_image() -> None:
    fine, coarse = estimate_pixel(dendrite(28, 512)), estimate_pixel(dendrite(14, 256))
    assert fine is not None
    assert coarse is not None
    assert coarse.pixel_um / fine.pixel_um == pytest.approx(2, rel=0.15)


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real files (SPINE_DATA) is absent")
@pytest.mark.parametrize(
    ("name", "channel", "words"),
    [
        ("twophoton_projection_a_t01.tif", 0, ["saturated"]),
        ("twophoton_projection_b_t01.tif", 0, ["pixel size is unknown"]),
        ("scanimage_stack_4z_2ch.tif", 0, ["pixel size is unknown"]),
        ("twophoton_series_20t_2ch.tif", 0, ["too coarse", "20 time points"]),
        ("auditory_cortex_slice_1.png", 0, ["pixel size is unknown", "saturated"]),
        ("flimage_mip.tif", 0, []),
    ],
)
def test_real_files(name: str, channel: int, words: list[str]) -> None:
    report = inspect_stack(REAL / name)
    assert report.suggested_channel == channel
    assert len(report.warnings) == len(words)
    for word in words:
        assert any(word in warning for warning in report.warnings)
    assert (report.pixel_estimate is None) == report.spacing.known_xy


@pytest.mark.parametrize(
    "values",
    [
        np.float32([0, 1e-40]),
        np.float32([-1e17, 1e17]),
        np.float32([1e17, 1.00001e17]),
        np.uint32([2143289344, 2143289599]),
        np.uint32([0, 2**32 - 1]),
        np.int16([-32768, 32767]),
    ],
)
def test_extreme_ranges_have_a_histogram(tmp_path: Path, values: np.ndarray) -> None:
    data = np.random.default_rng(0).choice(values, (3, 64, 64))
    tifffile.imwrite(tmp_path / "a.tif", data, metadata={"axes": "ZYX"})
    report = inspect_stack(tmp_path / "a.tif")
    assert report.histogram_counts.sum() == data.size
    assert np.all(np.diff(report.histogram_edges) > 0)
    assert report.histogram_counts[0] == np.count_nonzero(data == values[0])
