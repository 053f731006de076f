"""The voxel size as files tell it: units, print settings, impossible and missing values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from spinecore.errors import SpinecoreError
from spinecore.reading import read_stack
from spinecore.reading.headers import Header, header_size
from spinecore.reading.units import um_per_unit


def numbered(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    """Return an array in which every voxel of a small file is different."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        ("um", 1),
        ("micron", 1),
        ("microns", 1),
        (r"\u00B5m", 1),
        ("nm", 1e-3),
        ("mm", 1e3),
        ("cm", 1e4),
        ("inch", 25400),
    ],
)
def test_imagej_units(tmp_path: Path, unit: str, um: float) -> None:
    per_unit = um / 0.1
    tifffile.imwrite(
        tmp_path / "a.tif", numbered((4, 16, 18)), imagej=True, resolution=(per_unit, per_unit),
        metadata={"axes": "ZYX", "spacing": 0.5 / um, "unit": unit},
    )  # fmt: skip
    assert read_stack(tmp_path / "a.tif").spacing.zyx_um() == pytest.approx((0.5, 0.1, 0.1), rel=1e-4)


@pytest.mark.parametrize("unit", ["µm", "μm", "Âµm", "\ufffdm", "Micron", "micrometre", " UM "])
def test_micrometre_is_understood_however_written(unit: str) -> None:
    assert um_per_unit(unit) == 1.0


@pytest.mark.parametrize("unit", ["pixel", "", "parsec", "sec", None, 3, "inches of rain"])
def test_other_units_are_not_lengths(unit: object) -> None:
    assert um_per_unit(unit) is None


def test_imagej_without_spacing_leaves_z_unknown(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", numbered((4, 16, 18)), imagej=True, resolution=(10, 10),
        metadata={"axes": "ZYX", "unit": "um"},
    )  # fmt: skip
    stack = read_stack(tmp_path / "a.tif")
    assert stack.spacing.pixel_um == pytest.approx(0.1)
    assert stack.spacing.z_um is None
    assert any("no z step" in note for note in stack.notes)


def test_flimage_field_over_zoom() -> None:
    values = {"State.Acq.field_of_view": "[260, 240]", "State.Acq.zoom": "20", "State.Acq.sliceStep": "0.6",
              "State.Acq.scanVoltageMultiplier": "[1, 0.5]"}  # fmt: skip
    found = header_size(Header("flimage", values), 100, 130)
    assert (found.z_um, found.y_um, found.x_um) == pytest.approx((0.6, 0.06, 0.1))


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600])
def test_print_resolution_is_not_a_pixel_size(tmp_path: Path, dpi: int) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", numbered((16, 18)), resolution=(dpi, dpi), resolutionunit="INCH", metadata=None
    )
    Image.fromarray(numbered((16, 18), "uint8")).save(tmp_path / "a.png", dpi=(dpi, dpi))
    for name in ("a.tif", "a.png"):
        stack = read_stack(tmp_path / name)
        assert stack.spacing.source == "unknown"
        assert stack.spacing.pixel_um is None
        assert any("print setting" in note for note in stack.notes)


def test_a_believable_resolution_tag_counts(tmp_path: Path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        numbered((16, 18)),
        resolution=(100_000, 50_000),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    spacing = read_stack(tmp_path / "a.tif").spacing
    assert (spacing.y_um, spacing.x_um, spacing.source) == (pytest.approx(0.2), pytest.approx(0.1), "file")


@pytest.mark.parametrize("per_um", [0.01, 1000.0])
def test_impossible_sizes_are_unknown(tmp_path: Path, per_um: float) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif",
        numbered((16, 18)),
        imagej=True,
        resolution=(per_um, per_um),
        metadata={"unit": "um"},
    )
    stack = read_stack(tmp_path / "a.tif")
    assert not stack.spacing.known_xy
    assert any("cannot be true" in note for note in stack.notes)


def test_user_sizes_replace_those_of_the_file(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered((4, 16, 18)), metadata={"axes": "ZYX"})
    stack = read_stack(tmp_path / "a.tif", pixel_um=0.1, z_um=0.5)
    assert stack.spacing.zyx_um() == (0.5, 0.1, 0.1)
    assert stack.spacing.source == "user"
    for wrong in (0, -0.1, float("nan"), float("inf")):
        with pytest.raises(SpinecoreError, match="pixel size must be a positive number"):
            read_stack(tmp_path / "a.tif", pixel_um=wrong)


def test_a_given_size_settles_the_note_that_there_is_none(tmp_path):
    from spinecore.reading import read_stack

    tifffile.imwrite(
        tmp_path / "plain.tif", np.random.default_rng(0).integers(0, 99, (64, 64), dtype=np.uint8)
    )
    assert any("no pixel size" in note for note in read_stack(tmp_path / "plain.tif").notes)
    assert not any("no pixel size" in note for note in read_stack(tmp_path / "plain.tif", pixel_um=0.1).notes)
