"""Files that belong together: numbered slices, one OME file a plane; and pages that do not belong to the stack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from spinecore.cli.inputs import collect
from spinecore.errors import SpinecoreError
from spinecore.reading import read_stack
from spinecore.reading.inspection import inspect_stack

RNG = np.random.default_rng(5)


def test_numbered_pictures_are_mentioned_and_joined_when_told(tmp_path):
    data = RNG.integers(0, 255, (4, 30, 40)).astype(np.uint8)
    for z, plane in enumerate(data):
        Image.fromarray(plane).save(tmp_path / f"s{z:02d}.png")
    said: list[str] = []
    apart = collect([tmp_path], join=False, separate=False, say=said.append)
    assert len(apart.stacks) == 4 and "4 numbered pictures" in said[0] and "--join" in said[0]
    (stack,) = collect([tmp_path], join=True, separate=False, say=said.append).stacks
    np.testing.assert_array_equal(read_stack(stack.source).voxels, data)
    Image.fromarray(data[0, :10]).save(tmp_path / "s02.png")
    with pytest.raises(SpinecoreError, match="differ in size"):
        read_stack(stack.source)


def test_numbered_slices_whose_names_end_with_a_channel(tmp_path):
    for channel in (1, 2):
        for z in range(4):
            plane = np.full((20, 20), 10 * channel + z, np.uint8)
            tifffile.imwrite(tmp_path / f"cell_z{z}_ch{channel}.tif", plane)
    stacks = collect([tmp_path], join=True, separate=False, say=[].append).stacks
    assert [(stack.name, len(stack.files)) for stack in stacks] == [("cell_ch1", 4), ("cell_ch2", 4)]
    assert read_stack(stacks[1].source).voxels[:, 0, 0].tolist() == [20, 21, 22, 23]


@pytest.mark.parametrize("shape", [(16, 16), (100, 100)])
@pytest.mark.parametrize("described", [True, False])
def test_a_page_of_another_size_is_no_slice_and_no_data(tmp_path, shape, described):
    """A preview or an overview among the slices, as programs write page by page."""
    data = RNG.integers(0, 999, (6, 40, 50)).astype(np.uint16)
    how = {} if described else {"metadata": None}
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RNG.integers(0, 999, shape).astype(np.uint16), contiguous=False, **how)
        for plane in data:
            writer.write(plane, contiguous=False, **how)
    assert np.array_equal(read_stack(tmp_path / "a.tif").voxels, data)
    report = inspect_stack(tmp_path / "a.tif")
    assert any("holds 2 images" in w and "--series" in w.command for w in report.warnings)


def test_numbered_slices_are_joined_only_when_told(tmp_path):
    data = RNG.integers(0, 999, (4, 32, 40)).astype(np.uint16)
    for z, plane in enumerate(data):
        tifffile.imwrite(tmp_path / f"cell_z{z + 8:02d}.tif", plane)
    (tmp_path / "old.oir").write_bytes(b"OLYMPUSRAWFORMAT" + bytes(600))
    said: list[str] = []
    with pytest.raises(SpinecoreError, match="--join"):
        collect([tmp_path], join=False, separate=False, say=said.append)
    assert "Olympus OIR" in said[0]
    joined = collect([tmp_path], join=True, separate=False, say=said.append)
    assert [s.name for s in joined.stacks] == ["cell"]
    np.testing.assert_array_equal(read_stack(joined.stacks[0].source).voxels, data)
    assert len(collect([tmp_path], join=False, separate=True, say=said.append).stacks) == 4


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("a ({}).tif", range(1, 5)),
        ("a_{:03d}_ch1.tif", range(4)),
        ("a_z{}.tif", (0, 1)),
        ("z{}_day3.tif", range(3)),
    ],
)
def test_names_of_slices(tmp_path, pattern, numbers):
    for k in numbers:
        tifffile.imwrite(tmp_path / pattern.format(k), np.full((20, 20), k, np.uint8))
    (stack,) = collect([tmp_path], join=True, separate=False, say=[].append).stacks
    assert read_stack(stack.source).voxels[:, 0, 0].tolist() == list(numbers)


def test_a_missing_number_among_slices_is_named(tmp_path):
    for k in (0, 1, 2, 4, 5):
        tifffile.imwrite(tmp_path / f"s_{k:02d}.tif", np.full((20, 20), k, np.uint8))
    said: list[str] = []
    assert len(collect([tmp_path], join=False, separate=False, say=said.append).stacks) == 5
    assert "5 numbered files of one slice each, and number 3 is missing" in said[0]
    with pytest.raises(SpinecoreError, match="number 3 is missing: add what is missing"):
        collect([tmp_path], join=True, separate=False, say=said.append)


def bruker(folder: Path, data: np.ndarray, binary_only: bool) -> list[Path]:
    """Write one OME file a plane, with the whole description in each or in a companion."""
    files = [folder / f"ZSeries_{z + 1:06d}.ome.tif" for z in range(len(data))]
    parts = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{f.name}">urn:uuid:{z}</UUID></TiffData>'
        for z, f in enumerate(files)
    )
    start = '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
    whole = (
        f'{start}<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{data.shape[2]}" '
        f'SizeY="{data.shape[1]}" SizeZ="{len(data)}" SizeC="1" SizeT="1" PhysicalSizeX="0.2" PhysicalSizeY="0.1" '
        f'PhysicalSizeZ="0.5">{parts}</Pixels></Image></OME>'
    )
    pointer = f'{start}<BinaryOnly MetadataFile="ZSeries.companion.ome" UUID="urn:uuid:a"/></OME>'
    for file, plane in zip(files, data, strict=True):
        tifffile.imwrite(file, plane, description=pointer if binary_only else whole, metadata=None)
    if binary_only:
        (folder / "ZSeries.companion.ome").write_text(whole, encoding="utf-8")
    return files


@pytest.mark.parametrize("binary_only", [True, False])
def test_one_ome_file_a_plane_is_one_stack(tmp_path, binary_only):
    data = RNG.integers(0, 999, (5, 32, 40)).astype(np.uint16)
    files = bruker(tmp_path, data, binary_only)
    for start in (files[0], files[3]):
        stack = read_stack(start)
        np.testing.assert_array_equal(stack.voxels, data)
        assert stack.spacing.zyx_um() == (0.5, 0.1, 0.2)
    found = collect([tmp_path], join=False, separate=False, say=lambda text: None)
    assert len(found.stacks) == 1
    files[2].unlink()
    with pytest.raises(SpinecoreError, match=f"{files[2].name} is missing"):
        read_stack(files[0])
    if binary_only:
        (tmp_path / "ZSeries.companion.ome").unlink()
        with pytest.raises(SpinecoreError, match=r"description is in ZSeries\.companion\.ome"):
            read_stack(files[0])
