"""Hostile files: one clear sentence or a stack, in bounded time and memory, and the next file still opens."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hostile import TABLE, write_all

from spinecore.errors import SpinecoreError
from spinecore.reading import read_stack
from spinecore.reading.inspection import inspect_stack

#: Of processor time, so that a busy machine does not matter.
SECONDS = 10.0
#: No file here holds more than a few MB, so resident memory must not grow by more than this.
GROWTH_BYTES = 200 * 2**20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile")
    write_all(path)
    return path


def peak_bytes() -> int:
    """Return the peak resident memory, or 0 where the system does not give it (Windows)."""
    if sys.platform == "win32":
        return 0
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def is_one_sentence(text: str) -> bool:
    return "\n" not in text and 20 < len(text) < 250 and "Traceback" not in text and "0x" not in text


def test_there_are_enough_of_both_kinds() -> None:
    outcomes = [outcome for outcome, _ in TABLE.values()]
    assert outcomes.count("refuse") >= 25
    assert outcomes.count("read") >= 20


@pytest.mark.parametrize("name", TABLE)
def test_hostile_file(folder: Path, name: str) -> None:
    outcome = TABLE[name][0]
    before, start = peak_bytes(), time.process_time()
    if outcome == "refuse":
        with pytest.raises(SpinecoreError) as caught:
            read_stack(folder / name)
        message = str(caught.value)
        assert is_one_sentence(message)
        assert name in message
        assert ": " in message, "says what to do after the colon"
        assert str(folder) not in message
        with pytest.raises(SpinecoreError):
            inspect_stack(folder / name)
    else:
        stack = read_stack(folder / name)
        assert stack.voxels.ndim == 3
        assert np.isfinite(stack.voxels).all()
        assert stack.voxels.dtype.name in ("uint8", "uint16", "uint32", "int16", "float32")
        assert stack.voxels.dtype.isnative
        assert all(is_one_sentence(note) for note in stack.notes)
        assert not stack.spacing.known_xy, "none of these files tells a believable pixel size"
        report = inspect_stack(folder / name)
        assert report.thumbnail.dtype == np.uint8
        assert all(is_one_sentence(warning) for warning in report.warnings)
    assert time.process_time() - start < SECONDS
    assert peak_bytes() - before < GROWTH_BYTES


def test_values_that_are_not_numbers_are_replaced(folder: Path) -> None:
    stack = read_stack(folder / "nan_few.tif")
    stored = tifffile.imread(folder / "nan_few.tif")
    bad = ~np.isfinite(stored)
    assert np.array_equal(stack.voxels[~bad], stored[~bad])
    for z in range(3):
        assert (stack.voxels[z][bad[z]] == stored[z][~bad[z]].min()).all()
    assert any(f"{bad.sum():,} voxels" in note for note in stack.notes)


def test_the_next_file_opens_after_a_refusal(folder: Path, tmp_path: Path) -> None:
    good = np.random.default_rng(0).integers(0, 999, (3, 32, 32)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "good.tif", good, metadata={"axes": "ZYX"})
    with pytest.raises(SpinecoreError):
        read_stack(folder / "corrupt_lzw.tif")
    assert np.array_equal(read_stack(tmp_path / "good.tif").voxels, good)


def test_a_limit_is_obeyed_before_anything_is_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((10, 64, 64), np.uint16), metadata={"axes": "ZYX"})
    with pytest.raises(SpinecoreError, match=r"above the limit of 64\.0 KiB"):
        read_stack(tmp_path / "a.tif", max_bytes=65536)
    assert read_stack(tmp_path / "a.tif", max_bytes=10 * 64 * 64 * 2).shape == (10, 64, 64)
