"""Kinds of files that were once read wrongly without a word: axes, volumes, sets, sizes, colours, blank voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from spinecore.cli.inputs import collect
from spinecore.errors import SpinecoreError
from spinecore.reading import open_stack, read_stack
from spinecore.reading.advice import channel_words
from spinecore.reading.channel import suggest_channel
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.inspection import inspect_stack
from spinecore.reading.lines import measure_line_shift, shift_lines
from spinecore.reading.metadata import ome_size
from spinecore.reading.units import um_per_unit

RNG = np.random.default_rng(5)


def pages(count: int, shape: tuple[int, int] = (16, 18)) -> np.ndarray:
    """Return planes that tell their own number."""
    return (np.arange(count)[:, None, None] * 100 + np.zeros(shape)).astype(np.int16)


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


def test_time_points_that_are_slices_are_named_and_can_be_read_so(tmp_path):
    path = tmp_path / "a.tif"
    data = pages(7).astype(np.uint16)
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TYX", "spacing": 0.4, "unit": "um"},
                     resolution=(10, 10))  # fmt: skip
    warning = next(w for w in inspect_stack(path).warnings if "7 time points" in w)
    assert "“Axes”" in warning and warning.command.endswith(
        "add --axes ZYX; if they are frames of one slice, add --average-time."
    )
    stack = read_stack(path, choices=ReadingChoices(axes="zyx"))
    np.testing.assert_array_equal(stack.voxels, data)
    assert stack.spacing.zyx_um() == pytest.approx((0.4, 0.1, 0.1))
    with pytest.raises(SpinecoreError, match="7 time points"):
        open_stack(path, choices=ReadingChoices(axes="TZYX"))
    with pytest.raises(ValueError, match="end with YX"):
        ReadingChoices(axes="XYZ")


def test_what_is_said_of_a_file_is_said_also_where_its_size_is_missing(tmp_path):
    from typer.testing import CliRunner

    from spinecore.cli.main import app

    tifffile.imwrite(tmp_path / "a.tif", RNG.integers(0, 999, (5, 64, 64)).astype(np.uint16), imagej=True,
                     metadata={"axes": "TYX"})  # fmt: skip
    done = CliRunner().invoke(app, ["analyse", str(tmp_path / "a.tif"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "5 time points of one slice" in done.output and "give it with --pixel-size" in done.output


def test_channels_of_one_slice_with_a_slice_distance(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages(5).astype(np.uint16), imagej=True,
                     metadata={"axes": "CYX", "spacing": 0.3, "unit": "um", "ImageJ": "1.53t"})  # fmt: skip
    with open_stack(path) as file:
        channels = file.shape_tczyx[1]
    if channels > 1:  # tifffile's own files with many channels are read as slices from the start
        assert any("are z slices" in w for w in inspect_stack(path).warnings)
    assert (
        len(read_stack(path, choices=ReadingChoices(axes="ZYX") if channels > 1 else ReadingChoices()).voxels)
        == 5
    )


def test_channels_of_one_slice_beside_time_points(tmp_path):
    path = tmp_path / "a.tif"
    data = RNG.integers(0, 999, (2, 6, 64, 64)).astype(np.uint16)
    tifffile.imwrite(path, data, imagej=True, metadata={"axes": "TCYX"})
    said = [w for w in inspect_stack(path).warnings if "6 channels of one slice" in w]
    assert len(said) == 1 and said[0].command.endswith("add --axes TZYX.")
    np.testing.assert_array_equal(read_stack(path, 0, 1, choices=ReadingChoices(axes="TZYX")).voxels, data[1])


def test_positions_in_one_file_are_listed_and_chosen(tmp_path):
    path = tmp_path / "a.ome.tif"
    positions = [RNG.integers(0, 999, (4, 32, 40)).astype(np.uint16) for _ in range(3)]
    with tifffile.TiffWriter(path, ome=True) as writer:
        for k, data in enumerate(positions):
            writer.write(data, metadata={"axes": "ZYX", "Name": f"Pos{k}"}, photometric="minisblack")
    report = inspect_stack(path)
    assert [image.name for image in report.images] == ["Pos0", "Pos1", "Pos2"]
    assert any("Pos2" in w and "--series" in w.command for w in report.warnings)
    np.testing.assert_array_equal(read_stack(path).voxels, positions[0])
    np.testing.assert_array_equal(read_stack(path, choices=ReadingChoices(series=2)).voxels, positions[2])
    with pytest.raises(SpinecoreError, match="no image 3"):
        read_stack(path, choices=ReadingChoices(series=3))


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("mask_first", [True, False])
def test_a_larger_mask_beside_the_data_is_not_taken_for_it(tmp_path, named, mask_first):
    data = RNG.integers(0, 999, (5, 40, 40)).astype(np.uint16)
    mask = np.zeros((11, 40, 40), np.uint8)
    mask[:, 10:20, 10:30] = 7
    parts = [(data, "raw"), (mask, "labels" if named else "second")]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for array, name in reversed(parts) if mask_first else parts:
            writer.write(array, metadata={"axes": "ZYX", "Name": name}, photometric="minisblack")
    np.testing.assert_array_equal(read_stack(tmp_path / "a.ome.tif").voxels, data)


def position_file(path: Path, data: np.ndarray, own: int) -> Path:
    """Write one of two position files of a set, each with the whole OME-XML (as Micro-Manager does)."""
    images = ""
    for k in range(2):
        planes = "".join(
            f'<TiffData IFD="{z}" FirstT="{z}" PlaneCount="1"><UUID FileName="MM_Pos{k}.ome.tif">urn:uuid:{k}</UUID></TiffData>'
            for z in range(len(data))
        )
        images += (
            f'<Image ID="Image:{k}" Name="Pos{k}"><Pixels ID="Pixels:{k}" DimensionOrder="XYZCT" Type="uint16" SizeX="40" '
            f'SizeY="32" SizeZ="1" SizeC="1" SizeT="{len(data)}" PhysicalSizeX="{0.1 * (k + 1)}" PhysicalSizeY="{0.1 * (k + 1)}">'
            f'<Channel ID="Channel:{k}:0" Name="dye {k}"/>{planes}</Pixels></Image>'
        )
    text = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{own}">{images}</OME>'
    )
    with tifffile.TiffWriter(path) as writer:
        for z, plane in enumerate(data):
            writer.write(plane, description=text if z == 0 else None, metadata=None, contiguous=False)
    return path


def test_a_file_of_positions_has_its_own_size_axes_and_names(tmp_path):
    for k in range(2):
        position_file(tmp_path / f"MM_Pos{k}.ome.tif", pages(4, (32, 40)).astype(np.uint16) + k, k)
    for place in (tmp_path, tmp_path / "alone"):
        place.mkdir(exist_ok=True)
        (place / "MM_Pos1.ome.tif").write_bytes((tmp_path / "MM_Pos1.ome.tif").read_bytes())
        with open_stack(place / "MM_Pos1.ome.tif") as file:
            assert file.shape_tczyx == (4, 1, 1, 32, 40)
            assert (file.spacing.x_um, file.channel_names) == (0.2, ("dye 1",))
            assert file.read(0, 2).voxels[0, 0, 0] == 201
            assert any("one of a set" in note for note in file.notes)


@pytest.mark.parametrize("uuid", [True, False])
def test_a_renamed_ome_file_is_no_part_of_a_set(tmp_path, uuid):
    data = pages(3, (32, 40)).astype(np.uint16)
    planes = "".join(
        f'<TiffData IFD="{z}" FirstZ="{z}" PlaneCount="1"><UUID FileName="before.ome.tif">urn:uuid:1</UUID></TiffData>'
        for z in range(3)
    )
    own = ' UUID="urn:uuid:1"' if uuid else ""
    text = (
        f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"{own}><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint16" SizeX="40" SizeY="32" SizeZ="3" SizeC="1" SizeT="1" PhysicalSizeX="0.2" '
        f'PhysicalSizeY="0.2" PhysicalSizeZ="0.5"><Channel ID="Channel:0:0"/>{planes}</Pixels></Image></OME>'
    )
    with tifffile.TiffWriter(tmp_path / "after.ome.tif") as writer:
        for z, plane in enumerate(data):
            writer.write(plane, description=text if z == 0 else None, metadata=None, contiguous=False)
    stack = read_stack(tmp_path / "after.ome.tif")
    np.testing.assert_array_equal(stack.voxels, data)
    assert stack.spacing.zyx_um() == pytest.approx((0.5, 0.2, 0.2))


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


def ome(step: str, positions: list[float]) -> str:
    planes = "".join(
        f'<Plane TheZ="{z}" TheC="0" TheT="0" PositionZ="{p}"/>' for z, p in enumerate(positions)
    )
    return f'<OME><Image><Pixels SizeZ="{len(positions)}" PhysicalSizeX="0.1" {step}>{planes}</Pixels></Image></OME>'


def test_plane_positions_against_the_recorded_step():
    even = [5.0, 5.4, 5.8, 6.2]
    assert ome_size(ome("", even)).z_um == 0.4
    assert "positions" in ome_size(ome("", even)).z_origin
    placeholder = ome_size(ome('PhysicalSizeZ="1.0"', even))
    assert placeholder.z_um == 0.4 and "placeholder" in placeholder.notes[0]
    other = ome_size(ome('PhysicalSizeZ="0.8"', even))
    assert other.z_um == 0.8 and "0.4 um apart" in other.notes[0]
    assert ome_size(ome('PhysicalSizeZ="1.0"', [0, 1, 2])).notes == []
    uneven = ome_size(ome("", [5.0, 5.4, 9.0]))
    assert uneven.z_um is None and "0.4 to 3.6 um apart, not even" in uneven.notes[0]
    uneven = ome_size(ome('PhysicalSizeZ="1.0"', [5.0, 5.4, 9.0]))
    assert uneven.z_um == 1.0 and "1 um is used; give the z step" in uneven.notes[0]
    assert ome_size(ome('PhysicalSizeZ="1.0"', [5.0, 5.0, 5.0])).notes == [], (
        "positions that were not recorded"
    )
    assert "placeholder" in ome_size(ome('PhysicalSizeY="1.0"', [0]).replace('X="0.1"', 'X="1.0"')).notes[0]


@pytest.mark.parametrize(
    ("unit", "um"), [("dm", 1e5), ("nm", 1e-3), ("cm", 1e4), ("pixel", None), ("mil", 25.4)]
)
def test_units(unit, um):
    assert um_per_unit(unit) == um


def test_sizes_of_metamorph_scifio_and_resolution_in_micrometres(tmp_path):
    data = pages(4).astype(np.uint16)
    properties = {"spatial-calibration-state": "on", "spatial-calibration-x": 0.07, "spatial-calibration-y": 0.09,
                  "spatial-calibration-units": "um"}  # fmt: skip
    with tifffile.TiffWriter(tmp_path / "m.tif") as writer:
        for z, plane in enumerate(data):
            props = properties | {"z-position": -0.5 + 0.25 * z}
            text = "".join(f'<prop id="{k}" type="x" value="{v}"/>' for k, v in props.items())
            writer.write(plane, description=f"<MetaData><PlaneInfo>{text}</PlaneInfo></MetaData>", metadata=None,
                         resolution=(72, 72), resolutionunit=2)  # fmt: skip
    assert read_stack(tmp_path / "m.tif").spacing.zyx_um() == pytest.approx((0.25, 0.09, 0.07))
    text = ("SCIFIO=0.43.1\naxes=X,Y,Z\nlengths=18,16,4\nscales=0.2,0.3,0.6\nunits=micron,micron,micron\nimages=4\n"
            "channels=1\nslices=4\nframes=1\nhyperstack=true\nmode=composite\nunit=micron\n")  # fmt: skip
    with tifffile.TiffWriter(tmp_path / "s.tif") as writer:
        for z, plane in enumerate(data):
            writer.write(plane, description=text if z == 0 else None, metadata=None)
    assert read_stack(tmp_path / "s.tif").spacing.zyx_um() == pytest.approx((0.6, 0.3, 0.2))
    tifffile.imwrite(tmp_path / "r.tif", data, resolution=(8, 4), resolutionunit=1)
    with open_stack(tmp_path / "r.tif") as file:
        assert not file.spacing.known_xy
        assert any("gives 8 pixels per unit, but no unit that is known" in note for note in file.notes)
    tifffile.imwrite(tmp_path / "r.tif", data, resolution=(8, 4), resolutionunit=5)
    assert read_stack(tmp_path / "r.tif").spacing.zyx_um() == pytest.approx((1.0, 0.25, 0.125))


@pytest.mark.parametrize("tag", range(1, 9))
def test_the_orientation_tag_is_obeyed(tmp_path, tag):
    upright = RNG.integers(0, 999, (20, 30)).astype(np.uint16)
    undo = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: np.transpose,
            6: lambda a: np.rot90(a, 1), 7: lambda a: np.rot90(a, 2).T, 8: lambda a: np.rot90(a, -1)}  # fmt: skip
    stored = np.ascontiguousarray(undo[tag](upright))
    tifffile.imwrite(tmp_path / "a.tif", stored, extratags=[(274, 3, 1, tag, True)], resolution=(10000, 5000),
                     resolutionunit=3)  # fmt: skip
    stack = read_stack(tmp_path / "a.tif")
    np.testing.assert_array_equal(stack.voxels[0], upright)
    assert stack.spacing.zyx_um()[1:] == pytest.approx((1.0, 2.0) if tag >= 5 else (2.0, 1.0))


def test_colours_of_a_merge_are_channels_and_the_neurite_is_suggested(tmp_path):
    merge = np.zeros((96, 96, 3), np.uint8)
    merge[40:44, 5:90, 0] = 120
    merge[..., 0] += RNG.integers(0, 20, (96, 96)).astype(np.uint8)
    rows, columns = np.mgrid[:96, :96]
    merge[..., 2][(rows - 60) ** 2 + (columns - 60) ** 2 < 400] = 250
    tifffile.imwrite(tmp_path / "a.tif", merge, photometric="rgb")
    with open_stack(tmp_path / "a.tif") as file:
        assert file.channel_names == ("red", "green", "blue")
        assert suggest_channel(file) == 0
        np.testing.assert_array_equal(file.read(2).voxels[0], merge[..., 2])


def test_a_long_thin_structure_is_preferred_to_brighter_puncta(tmp_path):
    puncta, line = (RNG.normal(100, 5, (64, 64)) for _ in range(2))
    for y, x in RNG.integers(4, 60, (12, 2)):
        puncta[y - 1 : y + 2, x - 1 : x + 2] += 900
    line[30:33] += 200
    data = np.stack([puncta, line]).clip(0).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", data, imagej=True, metadata={"axes": "CYX"})
    report = inspect_stack(tmp_path / "a.tif")
    assert report.suggested_channel == report.channel == 1
    words = channel_words(report.channel_names, 0, report.suggested_channel)
    assert words is not None and "as asked" in words and "channel 1" in words


@pytest.mark.parametrize("shift", [-5, 3, 0])
def test_odd_lines_shifted_against_even_ones(shift):
    base = np.zeros((64, 128))
    for x in RNG.integers(20, 108, 12):
        base[:, x : x + 3] += 300
    base += RNG.normal(50, 5, base.shape)
    shifted = shift_lines(base, shift)
    assert measure_line_shift(shifted) == -shift
    inside = slice(8, -8)
    np.testing.assert_array_equal(shift_lines(shifted, -shift)[:, inside], base[:, inside])


@pytest.mark.parametrize("size", [(64, 72), (128, 128), (256, 256)])
def test_a_dendrite_along_the_lines_is_no_shift(size):
    rng = np.random.default_rng(0)
    for _ in range(20):
        plane = rng.poisson(20, size).astype(float)
        plane[size[0] // 2 : size[0] // 2 + 3] += rng.poisson(60, (3, size[1]))
        assert measure_line_shift(plane) == 0
