"""Headers of ScanImage: which page is which slice, channel and time point."""

from __future__ import annotations

from pathlib import Path

import pytest
import tifffile
from test_reading_kinds import pages

from spinecore.reading import open_stack, read_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.inspection import inspect_stack


def scanimage(path: Path, count: int, **values: object) -> Path:
    """Write a ScanImage TIFF of `count` pages with the given SI. header values (dots as double underscores)."""
    header = "\n".join(f"SI.{key.replace('__', '.')} = {value}" for key, value in values.items())
    tifffile.imwrite(
        path, pages(count), software=header, description="frameNumbers = 1", metadata=None, contiguous=False
    )
    return path


MANAGER = {
    "hChannels__channelSave": "[1;2]",
    "hStackManager__enable": "true",
    "hStackManager__framesPerSlice": 1,
}


@pytest.mark.parametrize(
    ("count", "values", "shape", "place", "page", "says"),
    [
        # fast volumes of 2019 and later, two channels, two flyback frames of five
        (
            40,
            MANAGER
            | {
                "hFastZ__enable": "true",
                "hStackManager__stackMode": "'fast'",
                "hStackManager__numSlices": 9,
                "hStackManager__actualNumSlices": 3,
                "hStackManager__numFramesPerVolume": 3,
                "hStackManager__numFramesPerVolumeWithFlyback": 5,
            },
            (4, 2, 3),
            (2, 1, 1),
            23,
            "2 flyback frames",
        ),
        # 2018 and before: numFramesPerVolume counts the flyback frame
        (
            24,
            {
                "hChannels__channelSave": 1,
                "hFastZ__enable": "true",
                "hFastZ__numFramesPerVolume": 6,
                "hFastZ__numDiscardFlybackFrames": 1,
                "hStackManager__numSlices": 5,
            },
            (4, 1, 5),
            (3, 0, 4),
            22,
            "1 flyback frame",
        ),
        # the last volume was stopped early
        (
            11,
            {"hChannels__channelSave": 1, "hFastZ__enable": "true", "hFastZ__numFramesPerVolume": 4},
            (2, 1, 4),
            (1, 0, 3),
            7,
            "stopped after 3 of 4",
        ),
        # slow stack, three frames of each slice
        (
            24,
            MANAGER
            | {
                "hFastZ__enable": "false",
                "hStackManager__stackMode": "'slow'",
                "hStackManager__numSlices": 4,
                "hStackManager__actualNumSlices": 4,
                "hStackManager__framesPerSlice": 3,
            },
            (3, 2, 4),
            (1, 0, 2),
            14,
            "recorded 3 times",
        ),
        # the stack manager is off: numSlices is left over
        (
            16,
            {"hChannels__channelSave": 1, "hStackManager__enable": "false", "hStackManager__numSlices": 8},
            (16, 1, 1),
            (5, 0, 0),
            5,
            "",
        ),
        # no switch in the header, and numbers that do not fit the pages
        (
            16,
            {"hChannels__channelSave": 1, "hStackManager__numSlices": 8},
            (16, 1, 1),
            (9, 0, 0),
            9,
            "",
        ),
        # a slow stack recorded three times: volumes follow each other
        (
            24,
            MANAGER | {"hStackManager__stackMode": "'slow'", "hStackManager__numSlices": 4, "hStackManager__numVolumes": 3},
            (3, 2, 4),
            (1, 0, 2),
            12,
            "",
        ),
        # ten frames averaged into each page of a slow stack
        (
            10,
            MANAGER
            | {
                "hStackManager__stackMode": "'slow'",
                "hStackManager__numSlices": 5,
                "hStackManager__framesPerSlice": 10,
                "hScan2D__logAverageFactor": 10,
                "hStackManager__numVolumes": 1,
            },
            (1, 2, 5),
            (0, 1, 3),
            7,
            "",
        ),
        # a fast stack that was stopped: what is left over could be three volumes without flyback frames, and is not
        (
            9,
            {
                "hChannels__channelSave": 1,
                "hFastZ__enable": "true",
                "hStackManager__actualNumSlices": 3,
                "hStackManager__actualNumVolumes": 10,
                "hStackManager__numFramesPerVolume": 3,
                "hStackManager__numFramesPerVolumeWithFlyback": 4,
            },
            (2, 1, 3),
            (1, 0, 2),
            6,
            "stopped after 1 of 4",
        ),
        # averaged across the ends of volumes
        (
            10,
            {
                "hChannels__channelSave": 1,
                "hFastZ__enable": "true",
                "hStackManager__actualNumSlices": 2,
                "hStackManager__framesPerSlice": 2,
                "hStackManager__numFramesPerVolume": 4,
                "hStackManager__numFramesPerVolumeWithFlyback": 5,
                "hScan2D__logAverageFactor": 2,
            },
            (10, 1, 1),
            (3, 0, 0),
            3,
            "cannot be put into volumes",
        ),
        # stopped between the channels of the last frame
        (
            15,
            MANAGER | {"hStackManager__stackMode": "'slow'", "hStackManager__numSlices": 7, "hStackManager__numVolumes": 1},
            (1, 2, 7),
            (0, 1, 6),
            13,
            "stopped after 1 of 2 channels",
        ),
    ],
)  # fmt: skip
def test_scanimage_planes(tmp_path, count, values, shape, place, page, says):
    path = scanimage(tmp_path / "a.tif", count, **values)
    with open_stack(path) as file:
        assert file.shape_tczyx[:3] == shape
        time_point, channel, z = place
        assert read_stack(path, channel, time_point).voxels[z, 0, 0] == 100 * page
        assert says in " ".join(file.notes)


def test_scanimage_4(tmp_path):
    header = "\n".join(
        f"scanimage.SI4.{key} = {value}"
        for key, value in {
            "channelsSave": "[1;2]",
            "fastZEnable": 1,
            "stackNumSlices": 3,
            "fastZNumDiscardFrames": 1,
            "stackZStepSize": 2,
        }.items()
    )
    tifffile.imwrite(tmp_path / "a.tif", pages(16), description=header, metadata=None)
    with open_stack(tmp_path / "a.tif") as file:
        assert file.shape_tczyx[:3] == (2, 2, 3)
        assert file.spacing.z_um == 2.0
        assert file.read(1, 1).voxels[2, 0, 0] == 100 * 13


@pytest.mark.parametrize(
    ("prefix", "values", "shape", "z_um"),
    [
        ("SI5", {"channelsSave": "[1;2]", "fastZEnable": 1, "stackNumSlices": 3, "fastZNumDiscardFrames": 1}, (2, 2, 3), 2.0),
        ("SI4", {"channelsSave": "1", "fastZEnable": 0, "stackNumSlices": 8, "acqNumFrames": 16}, (16, 1, 1), None),
        ("SI4", {"channelsSave": "1", "fastZEnable": 0, "stackNumSlices": 8, "acqNumFrames": 2}, (2, 1, 8), 2.0),
    ],
)  # fmt: skip
def test_scanimage_4_slow_stale_and_the_first_5(tmp_path, prefix, values, shape, z_um):
    lines = [
        f"scanimage.{prefix}.{key} = {value}" for key, value in (values | {"stackZStepSize": -2}).items()
    ]
    tifffile.imwrite(tmp_path / "a.tif", pages(16), description="\n".join(lines), metadata=None)
    with open_stack(tmp_path / "a.tif") as file:
        assert file.shape_tczyx[:3] == shape
        assert file.spacing.z_um == z_um


def test_frames_of_a_slice_can_be_averaged(tmp_path):
    values = MANAGER | {"hStackManager__numSlices": 2, "hStackManager__framesPerSlice": 4}
    path = scanimage(tmp_path / "a.tif", 16, **values)
    report = inspect_stack(path)
    assert any("recorded 4 times" in w and "--average-time" in w.command for w in report.warnings)
    stack = read_stack(path, 1, choices=ReadingChoices(average_time=True))
    assert stack.voxels[:, 0, 0].tolist() == [400, 1200]
    assert any("mean of 4 time points" in note for note in stack.notes)
