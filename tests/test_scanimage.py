"""ScanImage headers where other programs drop them: the block in front of a BigTIFF's first page, version 3.8, lists of positions."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile

from spinecore.reading import open_stack, read_stack

FAST = {
    "hChannels.channelSave": "[1;3]",
    "hStackManager.enable": "true",
    "hFastZ.enable": "true",
    "hStackManager.stackMode": "'fast'",
    "hStackManager.numSlices": 50,
    "hStackManager.actualNumSlices": 5,
    "hStackManager.numFramesPerVolume": 5,
    "hStackManager.numFramesPerVolumeWithFlyback": 6,
    "hStackManager.actualStackZStepSize": -0.5,
    "hRoiManager.imagingFovUm": "[-2 -1;2 -1;2 1;-2 1]",
}


def write(path: Path, values: dict[str, object], pages: int, version: int = 4) -> Path:
    """Write a BigTIFF whose only header is ScanImage's block; page k has the value 10 k."""
    text = "\n".join(f"SI.{key} = {value}" for key, value in values.items()).encode() + b"\0"
    block = struct.pack("<IIII", 0x07030301, version, len(text), 0) + text
    at = 16 + len(block) + -len(block) % 16
    height, width = 20, 40
    out = bytearray(struct.pack("<2sHHHQ", b"II", 43, 8, 0, at) + block).ljust(at, b"\0")
    tags = {
        256: (4, width),
        257: (4, height),
        258: (3, 16),
        259: (3, 1),
        262: (3, 1),
        277: (3, 1),
        278: (4, height),
    }
    for page in range(pages):
        here, size = len(out), 8 + 20 * (len(tags) + 2) + 8
        entries = tags | {273: (16, here + size), 279: (16, 2 * height * width)}
        out += struct.pack("<Q", len(entries))
        for tag, (kind, value) in sorted(entries.items()):
            out += struct.pack("<HHQQ", tag, kind, 1, value)
        after = here + size + 2 * height * width
        out += struct.pack("<Q", after if page < pages - 1 else 0)
        out += np.full((height, width), 10 * page, "<u2").tobytes()
    path.write_bytes(out)
    return path


@pytest.mark.parametrize("version", [3, 4])
def test_the_block_before_the_first_page_is_read(tmp_path, version):
    path = write(tmp_path / "a.tif", FAST, 36, version)
    with open_stack(path) as file:
        assert (file.format, file.shape_tczyx[:3]) == ("ScanImage TIFF", (3, 2, 5))
        assert "The 1 flyback frame at the end of each volume is left out." in file.notes
    stack = read_stack(path, 1, 2)
    assert stack.voxels[:, 0, 0].tolist() == [250, 270, 290, 310, 330]
    assert stack.spacing.zyx_um() == pytest.approx((0.5, 0.1, 0.1))


@pytest.mark.parametrize(
    ("places", "z_um", "said"),
    [("[0 2 4 6 8]", 2.0, ""), ("[0 2 4 8 16]", None, "recorded the slices at uneven distances")],
)
def test_slices_at_a_list_of_positions_have_the_step_of_the_list(tmp_path, places, z_um, said):
    values = FAST | {
        "hStackManager.stackDefinition": "'arbitrary'",
        "hStackManager.zs": places,
        "hStackManager.numFramesPerVolumeWithFlyback": 5,
    }
    with open_stack(write(tmp_path / "a.tif", values, 20)) as file:
        assert (file.shape_tczyx[:3], file.spacing.z_um) == ((2, 2, 5), z_um)
        assert said in " ".join(file.notes)


@pytest.mark.parametrize(
    ("values", "pages", "shape"),
    [
        ({"numberOfChannelsSave": 2, "numberOfZSlices": 6, "numberOfFrames": 1}, 12, (1, 2, 6)),
        (
            {"savingChannel1": 1, "savingChannel3": 1, "numberOfZSlices": 6, "numberOfFrames": 1},
            12,
            (1, 2, 6),
        ),
        ({"numberOfChannelsSave": 2, "numberOfZSlices": 6, "numberOfFrames": 4}, 48, (4, 2, 6)),
        (
            {"numberOfChannelsSave": 2, "numberOfZSlices": 6, "numberOfFrames": 4, "averaging": 1},
            12,
            (1, 2, 6),
        ),
        ({"numberOfChannelsSave": 1, "numberOfZSlices": 1, "numberOfFrames": 9}, 9, (9, 1, 1)),
    ],
)
def test_version_3_8(tmp_path, values, pages, shape):
    lines = ["state.software.version=3.8", *(f"state.acq.{key}={value}" for key, value in values.items())]
    data = np.arange(pages, dtype=np.uint16)[:, None, None] + np.zeros((20, 40), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, description="\r".join(lines), metadata=None, contiguous=False)
    with open_stack(tmp_path / "a.tif") as file:
        assert file.shape_tczyx[:3] == shape
    last = read_stack(tmp_path / "a.tif", shape[1] - 1, shape[0] - 1)
    assert last.voxels[-1, 0, 0] == pages - 1
