"""Every flavour of file gives the right voxels, axes and voxel size, or says what is missing."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from spinecore.errors import SpinecoreError
from spinecore.reading import content_hash, list_inputs, open_stack, read_stack, stem
from spinecore.reading.headers import Header, plane_order

RNG = np.random.default_rng(0)
REAL = Path(os.environ.get("SPINE_DATA", "../shared/data")) / "real_inputs"
needs_data = pytest.mark.skipif(not REAL.is_dir(), reason="the folder of real files (SPINE_DATA) is absent")


def numbered(shape: tuple[int, ...], dtype: str = "uint16") -> np.ndarray:
    """Return an array in which every voxel of a small file is different."""
    return np.arange(np.prod(shape)).reshape(shape).astype(dtype)


def canonical(data: np.ndarray, axes: str) -> np.ndarray:
    """Return data of the given axes as TCZYX."""
    missing = [axis for axis in "TCZYX" if axis not in axes]
    data = data.reshape((1,) * len(missing) + data.shape)
    axes = "".join(missing) + axes
    return data.transpose([axes.index(axis) for axis in "TCZYX"])


def assert_reads(path: Path, expected: np.ndarray) -> None:
    """Compare every channel and time point, whole and slice by slice, with a TCZYX array."""
    with open_stack(path) as file:
        assert file.shape_tczyx == expected.shape
        for t in range(expected.shape[0]):
            for c in range(expected.shape[1]):
                stack = file.read(c, t)
                assert (stack.channel, stack.time_point) == (c, t)
                np.testing.assert_array_equal(stack.voxels, expected[t, c])
                for z, plane in enumerate(file.slices(c, t)):
                    np.testing.assert_array_equal(plane, expected[t, c, z])


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32"])
def test_types_are_kept(tmp_path: Path, dtype: str) -> None:
    data = (RNG.random((5, 20, 30)) * 200).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", data, metadata={"axes": "ZYX"})
    assert read_stack(tmp_path / "a.tif").voxels.dtype == dtype
    assert_reads(tmp_path / "a.tif", data[None, None])


@pytest.mark.parametrize(
    "axes", ["ZYX", "CZYX", "TZYX", "TCZYX", "ZCYX", "CTZYX", "ZTCYX", "TZCYX", "ZYXC", "YXZ"]
)
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_any_stored_order(tmp_path: Path, axes: str, compression: str | None) -> None:
    sizes = {"T": 3, "C": 2, "Z": 5, "Y": 16, "X": 18}
    data = numbered(tuple(sizes[axis] for axis in axes))
    tifffile.imwrite(
        tmp_path / "a.tif", data, metadata={"axes": axes}, photometric="minisblack", compression=compression
    )
    assert_reads(tmp_path / "a.tif", canonical(data, axes))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("big", [False, True])
def test_byte_orders_and_bigtiff(tmp_path: Path, byteorder: str, big: bool) -> None:
    data = numbered((4, 16, 18))
    tifffile.imwrite(tmp_path / "a.tif", data, byteorder=byteorder, bigtiff=big, metadata=None)
    assert read_stack(tmp_path / "a.tif").voxels.dtype.isnative
    assert_reads(tmp_path / "a.tif", data[None, None])
    with open_stack(tmp_path / "a.tif") as file:
        assert file.format == ("BigTIFF" if big else "TIFF")


@pytest.mark.parametrize("compression", ["lzw", "zlib", "zstd", "packbits", "lzma"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_compressed(tmp_path: Path, compression: str, tile: tuple[int, int] | None) -> None:
    data = RNG.integers(0, 300, (3, 40, 50)).astype(np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif", data, compression=compression, tile=tile, predictor=compression == "zlib",
        metadata={"axes": "ZYX"},
    )  # fmt: skip
    assert_reads(tmp_path / "a.tif", data[None, None])


def test_imagej_hyperstack_with_size(tmp_path: Path) -> None:
    data = numbered((2, 4, 3, 16, 18))
    tifffile.imwrite(
        tmp_path / "a.tif", data, imagej=True, resolution=(10.0, 8.0),
        metadata={"axes": "TZCYX", "spacing": 0.5, "unit": "um"},
    )  # fmt: skip
    assert_reads(tmp_path / "a.tif", canonical(data, "TZCYX"))
    spacing = read_stack(tmp_path / "a.tif").spacing
    assert spacing.source == "file"
    assert spacing.zyx_um() == pytest.approx((0.5, 0.125, 0.1))
    assert "ImageJ" in spacing.detail


def test_imagej_pages_without_axes_become_slices(tmp_path: Path) -> None:
    data = numbered((20, 16, 18))
    tifffile.imwrite(tmp_path / "calls_them_channels.tif", data, imagej=True)
    tifffile.imwrite(
        tmp_path / "says_nothing.tif", data, description="ImageJ=1.53t\nimages=20\n", metadata=None
    )
    for name in ("calls_them_channels.tif", "says_nothing.tif"):
        assert_reads(tmp_path / name, data[None, None])
        assert any("read as z slices" in note for note in read_stack(tmp_path / name).notes)


def test_plain_three_slices_are_not_colours(tmp_path: Path) -> None:
    data = numbered((3, 16, 18))
    tifffile.imwrite(tmp_path / "a.tif", data)
    assert_reads(tmp_path / "a.tif", data[None, None])


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_slices_written_one_by_one_are_one_stack(tmp_path: Path, compression: str | None) -> None:
    data = numbered((6, 16, 18))
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in data:
            writer.write(plane, contiguous=False, compression=compression)
    assert_reads(tmp_path / "a.tif", data[None, None])


@pytest.mark.parametrize(("unit", "factor"), [("µm", 1.0), ("nm", 1000.0), ("mm", 0.001), (None, 1.0)])
def test_ome(tmp_path: Path, unit: str | None, factor: float) -> None:
    data = numbered((2, 3, 4, 16, 18))
    meta = {"axes": "TCZYX", "Channel": {"Name": ["GFP", "RFP", "DAPI"]}}
    for axis, size in (("X", 0.09), ("Y", 0.11), ("Z", 0.4)):
        meta[f"PhysicalSize{axis}"] = size * factor
        if unit:
            meta[f"PhysicalSize{axis}Unit"] = unit
    tifffile.imwrite(tmp_path / "cell.ome.tif", data, ome=True, metadata=meta)
    assert_reads(tmp_path / "cell.ome.tif", data)
    with open_stack(tmp_path / "cell.ome.tif") as file:
        assert file.name == "cell"
        assert file.format == "OME-TIFF"
        assert file.channel_names == ("GFP", "RFP", "DAPI")
        assert file.spacing.zyx_um() == pytest.approx((0.4, 0.11, 0.09))


def test_ome_set_is_one_stack_and_a_whole_channel_of_it_can_stand_alone(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'SizeX="18" SizeY="16" SizeZ="2" SizeC="2" SizeT="1" DimensionOrder="XYZCT" Type="uint16" PhysicalSizeX="0.1" '
        'PhysicalSizeY="0.1" PhysicalSizeZ="0.3">'
        + "".join(
            f'<TiffData FirstC="{c}" FirstZ="{z}" IFD="{z}"><UUID FileName="c{c}.ome.tif">urn:uuid:{c}</UUID></TiffData>'
            for c in range(2)
            for z in range(2)
        )
        + "</Pixels></Image></OME>"
    )
    planes = numbered((2, 2, 16, 18))
    for c in range(2):
        tifffile.imwrite(tmp_path / f"c{c}.ome.tif", planes[c], description=xml, metadata=None)
    assert_reads(tmp_path / "c1.ome.tif", planes[None])
    (tmp_path / "c0.ome.tif").unlink()
    assert_reads(tmp_path / "c1.ome.tif", planes[1][None, None])
    stack = read_stack(tmp_path / "c1.ome.tif")
    assert stack.spacing.zyx_um() == pytest.approx((0.3, 0.1, 0.1))
    assert any("one of a set" in note for note in stack.notes)


def write_lsm(path: Path, data: np.ndarray, voxel_m: tuple[float, float, float]) -> None:
    """Write a Zeiss LSM file of planes (Z, 3, Y, X) uint8 with the CZ_LSMINFO tag and thumbnails."""
    slices, channels, height, width = data.shape
    info = struct.pack("<I9i", 0x00400494C, 500, width, height, slices, channels, 1, 1, 16, 16)
    info += struct.pack("<3d", voxel_m[2], voxel_m[1], voxel_m[0]) + struct.pack("<3d", 0, 0, 0)
    info += struct.pack("<HHI", 0, 0, 0)
    info = info.ljust(500, b"\x00")
    with tifffile.TiffWriter(path) as writer:
        for z in range(slices):
            writer.write(
                data[z], photometric="rgb", planarconfig="separate",
                contiguous=False, metadata=None, extratags=[(34412, "B", len(info), info, True)] if z == 0 else (),
            )  # fmt: skip
            writer.write(
                data[z][:, ::2, ::2], photometric="rgb", planarconfig="separate",
                subfiletype=1, contiguous=False, metadata=None,
            )  # fmt: skip


def test_lsm(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (4, 3, 16, 18)).astype(np.uint8)
    write_lsm(tmp_path / "a.lsm", data, (0.4e-6, 0.08e-6, 0.07e-6))
    assert_reads(tmp_path / "a.lsm", canonical(data, "ZCYX"))
    with open_stack(tmp_path / "a.lsm") as file:
        assert file.format == "LSM"
        assert file.spacing.zyx_um() == pytest.approx((0.4, 0.08, 0.07))


def test_scanimage_3_interleaved_channels(tmp_path: Path) -> None:
    data = numbered((3, 2, 2, 16, 18))  # slices, frames, channels
    header = "\r".join(
        ["state.software.version=3.8", "state.acq.numberOfChannelsSave=2", "state.acq.numberOfZSlices=3",
         "state.acq.zStepSize=0.75", "state.acq.zoomFactor=20"]
    )  # fmt: skip
    tifffile.imwrite(tmp_path / "a.tif", data.reshape(12, 16, 18), description=header, metadata=None)
    assert_reads(tmp_path / "a.tif", canonical(data, "ZTCYX"))
    stack = read_stack(tmp_path / "a.tif")
    assert stack.spacing.z_um == 0.75
    assert not stack.spacing.known_xy
    assert any("not derivable" in note for note in stack.notes)


def test_scanimage_5_field_of_view(tmp_path: Path) -> None:
    header = "\n".join(
        ["SI.hChannels.channelSave = [1;3]", "SI.hStackManager.numSlices = 5", "SI.hStackManager.framesPerSlice = 1",
         "SI.hStackManager.stackZStepSize = -0.5", "SI.hRoiManager.linesPerFrame = 16",
         "SI.hRoiManager.imagingFovUm = [-0.9 -0.8;0.9 -0.8;0.9 0.8;-0.9 0.8]"]
    )  # fmt: skip
    data = numbered((5, 2, 16, 18))
    tifffile.imwrite(
        tmp_path / "a.tif", data.reshape(10, 16, 18), description=header, software=header, metadata=None
    )
    assert_reads(tmp_path / "a.tif", canonical(data, "ZCYX"))
    assert read_stack(tmp_path / "a.tif").spacing.zyx_um() == pytest.approx((0.5, 0.1, 0.1))


def test_scanimage_fast_stack_and_a_header_that_does_not_fit() -> None:
    values = {
        "SI.hChannels.channelSave": "1",
        "SI.hFastZ.enable": "true",
        "SI.hFastZ.numFramesPerVolume": "4",
    }
    order = plane_order(Header("scanimage5", values), 12)
    assert order is not None
    assert (order.times, order.slices, order.channels) == (3, 4, 1)
    assert order.page(2, 0, 1) == 9
    short = Header("scanimage3", {"state.acq.numberOfChannelsSave": "2", "state.acq.numberOfZSlices": "5"})
    order = plane_order(short, 6)
    assert order is not None
    assert (order.times, order.slices, order.channels) == (1, 3, 2)
    assert "5 slices" in order.notes[0]
    order = plane_order(short, 7)
    assert order is not None and order.slices == 3
    assert "1 of 2 channels" in order.notes[-1]
    assert plane_order(short, 1) is None


def test_grey_stored_as_rgb_comes_back_exactly(tmp_path: Path) -> None:
    grey = RNG.integers(0, 255, (40, 50)).astype(np.uint8)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    Image.fromarray(np.dstack([rgb, np.full_like(grey, 255)])).save(tmp_path / "b.png")
    tifffile.imwrite(tmp_path / "c.tif", rgb, photometric="rgb")
    single = np.zeros_like(rgb)
    single[..., 2] = grey
    tifffile.imwrite(tmp_path / "d.tif", single, photometric="rgb")
    for name in ("a.png", "b.png", "c.tif", "d.tif"):
        stack = read_stack(tmp_path / name)
        np.testing.assert_array_equal(stack.voxels[0], grey)
        assert any("converted to grey" in note for note in stack.notes)


def test_png_and_jpeg(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65535, (40, 50)).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(read_stack(tmp_path / "deep.png").voxels[0], deep)
    smooth = np.add.outer(np.arange(40), np.arange(50)).astype(np.uint8)
    Image.fromarray(smooth).save(tmp_path / "a.jpg", quality=95)
    stack = read_stack(tmp_path / "a.jpg")
    assert np.abs(stack.voxels[0].astype(int) - smooth).max() <= 4
    assert any("Lossy" in note for note in stack.notes)


def test_white_is_zero_is_inverted(tmp_path: Path) -> None:
    data = numbered((16, 16), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", data, photometric="miniswhite", metadata=None)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.tif").voxels[0], 255 - data)


def test_a_channel_that_is_not_there(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered((2, 4, 16, 18)), metadata={"axes": "CZYX"})
    with pytest.raises(SpinecoreError, match=r"no channel 2: .*2 channels, 0 to 1"):
        read_stack(tmp_path / "a.tif", channel=2)
    with open_stack(tmp_path / "a.tif") as file, pytest.raises(SpinecoreError, match="only time point 0"):
        file.slices(time_point=1)


def test_slices_read_only_what_is_asked(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", numbered((9, 16, 18)), metadata={"axes": "ZYX"}, compression="zlib")
    with open_stack(tmp_path / "a.tif") as file:
        asked: list[int] = []
        plane = file._planes.plane
        file._planes.plane = lambda t, c, z: asked.append(z) or plane(t, c, z)
        iterator = file.slices(step=4)
        assert asked == []
        next(iterator)
        assert asked == [0]
        assert len(list(iterator)) == 2
        assert asked == [0, 4, 8]


def test_names_hash_and_batches(tmp_path: Path) -> None:
    assert [stem(n) for n in ("a.ome.tif", "a.b.OME.TIFF", "a.ome.png", "x.lsm", ".tif")] == [
        "a", "a.b", "a.ome", "x", ".tif"
    ]  # fmt: skip
    (tmp_path / "one").write_bytes(b"abc")
    assert content_hash(tmp_path / "one").startswith("ba7816bf8f01cfea")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(SpinecoreError, match="holds no image"):
        list_inputs(folder)
    for name in ("b.tif", "a.PNG", ".hidden.tif", "notes.txt"):
        (folder / name).write_bytes(b"")
    found = list_inputs([folder, folder / "b.tif", tmp_path / "one"])
    assert [p.name for p in found] == ["a.PNG", "b.tif", "one"]
    with pytest.raises(SpinecoreError, match="does not exist"):
        list_inputs(tmp_path / "nowhere")


@needs_data
@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "shape", "pixel_um", "z_um", "kind"),
    [
        ("twophoton_projection_a_t01.tif", (1, 1, 1, 512, 512), 1 / 7.75, None, "ImageJ TIFF"),
        ("twophoton_projection_b_t01.tif", (1, 1, 1, 512, 512), None, None, "TIFF"),
        ("scanimage_stack_4z_2ch.tif", (1, 2, 4, 128, 128), None, 1.0, "ScanImage TIFF"),
        ("scanimage_stack_4z_2ch_b.tif", (1, 2, 4, 128, 128), None, 1.0, "ScanImage TIFF"),
        ("flimage_mip.tif", (1, 1, 1, 128, 128), 260 / 15 / 128, None, "FLIMage TIFF"),
        ("twophoton_series_20t_2ch.tif", (20, 2, 1, 256, 256), 1 / 0.84832, None, "ImageJ TIFF"),
        ("spiny_dendrite_248x718.tif", (1, 1, 1, 248, 718), None, None, "ImageJ TIFF"),
        ("auditory_cortex_slice_1.png", (1, 1, 1, 512, 512), None, None, "PNG"),
    ],
)
def test_real_files(
    name: str, shape: tuple[int, ...], pixel_um: float | None, z_um: float | None, kind: str
) -> None:
    with open_stack(REAL / name) as file:
        assert (file.shape_tczyx, file.format) == (shape, kind)
        assert file.spacing.pixel_um == (None if pixel_um is None else pytest.approx(pixel_um))
        assert file.spacing.z_um == z_um
        assert (file.spacing.source == "unknown") == (pixel_um is None)
        assert any("no pixel size" in note for note in file.notes) == (pixel_um is None)


@needs_data
@pytest.mark.data
def test_every_real_file_gives_the_stored_values() -> None:
    for path in list_inputs(REAL):
        stored = tifffile.imread(path) if path.suffix == ".tif" else np.asarray(Image.open(path))[..., 0]
        with open_stack(path) as file:
            t, c, *_ = file.shape_tczyx
            planes = [file.read(j, i).voxels.sum(dtype=np.int64) for i in range(t) for j in range(c)]
        assert sum(planes) == stored.sum(dtype=np.int64), path.name
    strong = read_stack(REAL / "scanimage_stack_4z_2ch.tif", channel=0).voxels.mean()
    weak = read_stack(REAL / "scanimage_stack_4z_2ch.tif", channel=1).voxels.mean()
    assert strong > 20 * weak, "channels are told apart"
