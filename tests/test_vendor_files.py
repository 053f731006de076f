"""Microscope files besides TIFF: the right voxels, sizes, names and images, and one sentence where that fails."""

from __future__ import annotations

import importlib
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import vendor_files as made

from spinecore.cli.inputs import collect
from spinecore.errors import SpinecoreError
from spinecore.reading import content_hash, open_stack, read_stack
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.inspection import inspect_stack
from spinecore.reading.names import list_with_reasons

FIRST, SECOND = made.stack(0), made.stack(1)
#: Name of the file: the package that reads it, the format as shown, and how the file is written.
KINDS: dict[str, tuple[str, str, Callable[[Path], None]]] = {
    "a.czi": ("", "CZI", lambda p: made.write_czi(p, [FIRST, SECOND])),
    "zstd.czi": ("", "CZI", lambda p: made.write_czi(p, [FIRST, SECOND], compress=5)),
    "packed_tiles.czi": ("", "CZI", lambda p: made.write_czi(p, [FIRST, SECOND], compress=6, tiles=2)),
    "a.lif": ("liffile", "LIF", lambda p: made.write_lif(p, {"cell 1": FIRST, "cell 2": SECOND})),
    "a.nd2": ("nd2", "ND2", lambda p: made.write_nd2(p, [FIRST, SECOND])),
    "a.oib": ("oiffile", "OIB", lambda p: made.write_oib(p, FIRST, p.with_suffix(".scratch"))),
    "a.oif": ("oiffile", "OIF", lambda p: made.write_oif(p, FIRST)),
    "a.ims": ("h5py", "IMS", lambda p: made.write_ims(p, FIRST)),
    "a.ome.zarr": ("zarr", "OME-Zarr", lambda p: made.write_zarr(p, FIRST)),
    "v3.zarr": ("zarr", "OME-Zarr", lambda p: made.write_zarr(p, FIRST, version=3)),
}
SEVERAL = [name for name in KINDS if name.endswith((".czi", ".lif", ".nd2"))]


def write(folder: Path, name: str) -> Path:
    """Write one of `KINDS`; the test is skipped where the package that reads it is not installed."""
    package, _, maker = KINDS[name]
    if package:
        pytest.importorskip(package)
    maker(folder / name)
    return folder / name


@pytest.mark.parametrize("name", KINDS)
def test_voxels_sizes_and_names_are_read(tmp_path, name):
    path = write(tmp_path, name)
    with open_stack(path) as file:
        assert (file.format, file.name) == (KINDS[name][1], name.removesuffix(".ome.zarr").rsplit(".", 1)[0])
        assert file.shape_tczyx == FIRST.shape
        assert file.channel_names == made.NAMES
        assert file.spacing.source == "file"
        sizes = (file.spacing.z_um, file.spacing.y_um, file.spacing.x_um)
        assert sizes == pytest.approx((made.Z_UM, made.Y_UM, made.X_UM))
        for time_point, channel in np.ndindex(2, 2):
            voxels = file.read(channel, time_point).voxels
            assert voxels.dtype == np.uint16
            np.testing.assert_array_equal(voxels, FIRST[time_point, channel])
        np.testing.assert_array_equal(next(file.slices(1, 1, step=3)), FIRST[1, 1, 0])
    report = inspect_stack(path, channel=1, time_point=1)
    assert (report.minimum, report.maximum) == (FIRST[1, 1].min(), FIRST[1, 1].max())


@pytest.mark.parametrize("name", SEVERAL)
def test_scenes_positions_and_series_are_images_to_choose_from(tmp_path, name):
    path = write(tmp_path, name)
    with open_stack(path) as file:
        assert (len(file.images), file.image) == (2, 0)
        assert len({image.name for image in file.images}) == 2
    second = read_stack(path, channel=1, choices=ReadingChoices(series=1))
    np.testing.assert_array_equal(second.voxels, SECOND[0, 1])
    with pytest.raises(SpinecoreError, match="has no image 2: choose among its own"):
        open_stack(path, choices=ReadingChoices(series=2))


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_reader_is_named_with_the_command_that_installs_it(tmp_path, name, monkeypatch):
    path = write(tmp_path, name)
    package = KINDS[name][0]
    real = importlib.import_module

    def absent(module: str, *rest: object) -> object:
        if module == package:
            raise ImportError(module)
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", absent)
    if not package:
        assert open_stack(path).shape_tczyx == FIRST.shape
        return
    with pytest.raises(SpinecoreError, match=f"run `pip install {package}`, or .*TIFF") as caught:
        open_stack(path)
    assert len(str(caught.value)) < 250


def read_all(path: Path) -> int:
    """Read every voxel of every image of a file and return how many images there are."""
    with open_stack(path) as file:
        count = len(file.images)
    for series, time_point, channel in np.ndindex(count, 2, 2):
        read_stack(path, channel, time_point, choices=ReadingChoices(series=series))
    return count


@pytest.mark.parametrize(("place", "value"), [("fat", 0), (72, 2**31), (44, 2**31)])
def test_chains_of_sectors_without_an_end_are_named(tmp_path, place, value):
    """Once followed for ever: a chain that runs in a circle, and tables larger than the file."""
    path = write(tmp_path, "a.oib")
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    words = content.view("<u4")
    if place == "fat":  # the chain of the directory
        words[(int(words[76 // 4]) + 1) * 128 + int(words[48 // 4])] = words[48 // 4]
    else:
        words[place // 4] = value
    path.write_bytes(content.tobytes())
    with pytest.raises(SpinecoreError, match="damaged or of a kind that cannot be read"):
        read_stack(path)


@pytest.mark.parametrize("name", [n for n in KINDS if not n.endswith(("zarr", "oif"))])
def test_a_truncated_file_gives_one_sentence(tmp_path, name):
    path = write(tmp_path, name)
    assert read_all(path) == (2 if name in SEVERAL else 1)
    whole = path.read_bytes()
    for part in (0.02, 0.5, 0.97):
        path.write_bytes(whole[: int(len(whole) * part)])
        with pytest.raises(SpinecoreError) as caught:
            read_all(path)
        assert str(caught.value).startswith(path.name)
        assert "\n" not in str(caught.value)


def test_an_independent_reader_of_czi_agrees(tmp_path):
    czifile = pytest.importorskip("czifile")
    made.write_czi(tmp_path / "a.czi", [FIRST])
    with czifile.CziFile(tmp_path / "a.czi") as file:
        entries = [e for e in file.subblock_directory if e.stored_shape == e.shape]
        planes = np.stack([e.data_segment().data().squeeze() for e in entries])
    np.testing.assert_array_equal(planes.reshape(FIRST.shape), FIRST)


def test_planes_that_were_never_recorded_are_blank_and_said(tmp_path):
    short = FIRST[:1, :, :2]
    made.write_czi(tmp_path / "a.czi", [FIRST[:1, :, :2]])
    data = (tmp_path / "a.czi").read_bytes()
    at = data.index(b"ZISRAWDIRECTORY") + 32
    # the second channel of the last slice is listed as a third slice of the first
    entry = data.rindex(b"DV", at)
    for start in (entry, data.rindex(b"DV", at, entry)):
        z = data.index(b"Z\0\0\0", start) + 4
        data = data[:z] + (2).to_bytes(4, "little") + data[z + 4 :]
    (tmp_path / "a.czi").write_bytes(data)
    with open_stack(tmp_path / "a.czi") as file:
        assert file.shape_tczyx == (1, 2, 3, 24, 32)
        assert file.notes == ("2 planes were never recorded and are read as blank.",)
        voxels = file.read(1).voxels
    np.testing.assert_array_equal(voxels, [short[0, 1, 0], 0 * short[0, 1, 0], short[0, 1, 1]])


def test_a_colour_czi_gives_red_green_and_blue(tmp_path, monkeypatch):
    colours = np.random.default_rng(3).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    monkeypatch.setitem(made._CZI_TYPES, "uint8", 3)
    # three samples side by side are one wide row to the writer: blue, green, red
    wide = np.ascontiguousarray(colours[..., ::-1]).reshape(1, 1, 1, 24, 96)
    made.write_czi(tmp_path / "a.czi", [wide])
    data = (tmp_path / "a.czi").read_bytes()
    narrow = data.replace((96).to_bytes(4, "little") + bytes(4), (32).to_bytes(4, "little") + bytes(4))
    narrow = narrow.replace(bytes(4) + (96).to_bytes(4, "little"), bytes(4) + (32).to_bytes(4, "little"))
    (tmp_path / "a.czi").write_bytes(narrow)
    with open_stack(tmp_path / "a.czi") as file:
        assert file.channel_names == ("red", "green", "blue")
        np.testing.assert_array_equal(file.read(2).voxels[0], colours[..., 2])


def test_an_nd2_without_calibration_has_no_pixel_size(tmp_path):
    pytest.importorskip("nd2")
    made.write_nd2(tmp_path / "a.nd2", [FIRST], calibrated=False)
    with open_stack(tmp_path / "a.nd2") as file:
        assert (file.spacing.x_um, file.spacing.z_um) == (None, pytest.approx(made.Z_UM))


def test_an_oif_without_its_folder_says_so(tmp_path):
    path = write(tmp_path, "a.oif")
    (tmp_path / "a.oif.files").rename(tmp_path / "elsewhere")
    with pytest.raises(SpinecoreError, match=r"in the folder a\.oif\.files, which is not beside it"):
        open_stack(path)


def zipped(folder: Path, name: str, root: str = "") -> Path:
    """Pack an OME-Zarr or an OIF and its folder, below `root`."""
    parts = [path for path in folder.rglob("*") if path.is_file()]
    target = folder.with_name(name)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for part in parts:
            archive.write(part, f"{root}{part.relative_to(folder).as_posix()}")
    return target


@pytest.mark.parametrize("name", ["a.oif", "a.ome.zarr", "v3.zarr"])
@pytest.mark.parametrize("root", ["", "export/of today/"])
def test_an_image_in_a_folder_is_read_from_a_zip(tmp_path, name, root):
    (tmp_path / "in").mkdir()
    write(tmp_path / "in", name)
    path = zipped(tmp_path / "in", f"{name}.zip", root)
    before = set(Path(tempfile.gettempdir()).glob("spinecore-oif-*"))
    with open_stack(path) as file:
        assert file.name == name.removesuffix(".ome.zarr").rsplit(".", 1)[0]
        assert (file.shape_tczyx, file.channel_names) == (FIRST.shape, made.NAMES)
        sizes = (file.spacing.z_um, file.spacing.y_um, file.spacing.x_um)
        assert sizes == pytest.approx((made.Z_UM, made.Y_UM, made.X_UM))
        np.testing.assert_array_equal(file.read(1, 1).voxels, FIRST[1, 1])
    assert set(Path(tempfile.gettempdir()).glob("spinecore-oif-*")) == before, "nothing unpacked is left"
    assert inspect_stack(path).shape_tczyx == FIRST.shape


def test_a_zarr_at_the_root_of_its_zip(tmp_path):
    write(tmp_path, "a.ome.zarr")
    path = zipped(tmp_path / "a.ome.zarr", "b.ozx")
    np.testing.assert_array_equal(read_stack(path, 1, 1).voxels, FIRST[1, 1])
    assert [f.name for f in list_with_reasons([tmp_path]).files] == ["a.ome.zarr", "b.ozx"]


def test_zips_of_other_things_and_of_several_images_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.tif", b"II*")
    with pytest.raises(SpinecoreError, match="without an OME-Zarr or OIF in it"):
        open_stack(tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("a.zarr/.zattrs", b"{}")
        archive.writestr("b.zarr/.zattrs", b"{}")
    with pytest.raises(SpinecoreError, match="several images"):
        open_stack(tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "c.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.oif", b"\xff\xfe[\x00")
        archive.writestr("a.oif.files/s_C001.tif", bytes(400 * 2**20))
    with pytest.raises(SpinecoreError, match="which no real image does"):
        open_stack(tmp_path / "c.zip")


def test_an_hdf5_of_another_program_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "a.ims", "w") as file:
        file["data"] = FIRST[0, 0]
    with pytest.raises(SpinecoreError, match="an HDF5 file but not of Imaris"):
        open_stack(tmp_path / "a.ims")


@pytest.mark.parametrize("way", ["link", "raw", "virtual"])
def test_an_ims_never_leads_to_another_file(tmp_path, way):
    h5py = pytest.importorskip("h5py")
    made.write_ims(tmp_path / "a.ims", FIRST)
    made.write_ims(tmp_path / "secret.ims", SECOND)
    place = "DataSet/ResolutionLevel 0/TimePoint 1/Channel 1/Data"
    with h5py.File(tmp_path / "a.ims", "r+") as file:
        del file[place]
        if way == "link":
            file[place] = h5py.ExternalLink("secret.ims", place)
        elif way == "raw":
            outside = [(str(tmp_path / "secret.ims"), 0, 8 * 32 * 32 * 2)]
            file.create_dataset(place, (8, 32, 32), "uint16", external=outside)
        else:
            layout = h5py.VirtualLayout((8, 32, 32), "uint16")
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.ims"), place, (8, 32, 32))
            file.create_virtual_dataset(place, layout)
    np.testing.assert_array_equal(read_stack(tmp_path / "a.ims", 0, 1).voxels, FIRST[1, 0])
    with pytest.raises(SpinecoreError, match="an Imaris IMS"):
        read_stack(tmp_path / "a.ims", 1, 1)


def test_a_zarr_collection_and_units(tmp_path):
    zarr = pytest.importorskip("zarr")
    folder = tmp_path / "many.zarr"
    zarr.open_group(str(folder), mode="w", zarr_format=2).attrs["bioformats2raw.layout"] = 3
    made.write_zarr(folder / "0", FIRST)
    made.write_zarr(folder / "1", SECOND)
    group = zarr.open_group(str(folder / "1"), mode="r+")
    scales = group.attrs["multiscales"]
    del scales[0]["axes"][3]["unit"], scales[0]["axes"][4]["unit"]
    group.attrs["multiscales"] = scales
    np.testing.assert_array_equal(
        read_stack(folder, 1, 1, choices=ReadingChoices(series=1)).voxels, SECOND[1, 1]
    )
    with open_stack(folder, choices=ReadingChoices(series=1)) as file:
        assert not file.spacing.known_xy
        assert any("no unit of length" in note for note in file.notes)


def test_a_claim_that_no_folder_holds_is_refused(tmp_path):
    zarr = pytest.importorskip("zarr")
    made.write_zarr(tmp_path / "a.zarr", FIRST)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r+")
    del group["0"]
    group.create_array("0", shape=(1, 1, 4000, 8000, 8000), chunks=(1, 1, 1, 64, 64), dtype="uint16")
    with pytest.raises(SpinecoreError, match="which no real image does"):
        open_stack(tmp_path / "a.zarr")


def test_a_folder_takes_them_in_and_says_what_it_passes_over(tmp_path):
    for name in ("a.czi", "a.ims", "a.oif", "a.ome.zarr"):
        write(tmp_path, name)
    (tmp_path / "b.oir").write_bytes(b"OLYMPUSRAWFORMAT" + bytes(600))
    (tmp_path / "_c_").mkdir()
    (tmp_path / "_c_" / "stack1").mkdir()
    listing = list_with_reasons([tmp_path])
    assert [path.name for path in listing.files] == ["a.czi", "a.ims", "a.oif", "a.ome.zarr"]
    assert [text.split(":")[0] for text in listing.passed_over] == ["_c_", "b.oir"]
    assert "Olympus VSI" in listing.passed_over[0] and "Olympus OIR" in listing.passed_over[1]
    stacks = collect([tmp_path / "a.ome.zarr"], join=False, separate=False, say=[].append)
    assert [stack.name for stack in stacks.stacks] == ["a"] and not stacks.in_folders


def test_the_hash_of_a_folder_changes_with_its_content(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "0").mkdir(parents=True)
        (tmp_path / name / "0" / "0").write_bytes(b"abc")
    assert content_hash(tmp_path / "a") == content_hash(tmp_path / "b")
    (tmp_path / "b" / "0" / "0").rename(tmp_path / "b" / "0" / "1")
    assert content_hash(tmp_path / "a") != content_hash(tmp_path / "b")
