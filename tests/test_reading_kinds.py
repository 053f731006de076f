"""Kinds of files that were once read wrongly without a word: axes, positions, sizes, colours, blank voxels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

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
