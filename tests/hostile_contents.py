"""Hostile files that are sound as containers but hold odd values, axes, tags or units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from hostile_core import RATIONAL, case, picture, raw_tiff


@case("nan_few.tif", "read")
def _(path: Path) -> None:
    image = picture((3, 64, 64), "float32")
    image[:, :3] = np.nan
    image[1, 10, 10] = np.inf
    tifffile.imwrite(path, image)


@case("nan_all.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, np.full((3, 64, 64), np.nan, np.float32))


@case("inf_half.tif", "refuse")
def _(path: Path) -> None:
    image = picture((2, 64, 64), "float32")
    image[:, :40] = -np.inf
    tifffile.imwrite(path, image)


@case("all_zero.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, np.zeros((4, 64, 64), np.uint16))


@case("all_equal.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, np.full((64, 64), 1234, np.uint16))


@case("negative.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(dtype="int16") - 200)


@case("int32.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(dtype="int32"))


@case("int64.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(dtype="int64"))


@case("float64_huge.tif", "read")
def _(path: Path) -> None:
    image = picture(dtype="float64")
    image[0, 0] = 1e300
    tifffile.imwrite(path, image)


@case("float16.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(dtype="float16"))


@case("int8.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, (picture(dtype="int16") - 120).astype(np.int8))


@case("bool.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture() > 100)


@case("complex.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(dtype="float32").astype(np.complex64))


@case("seven_axes.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((2, 2, 2, 2, 2, 16, 64)), metadata={"axes": "QRTCZYX"})


@case("unknown_axes.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((5, 64, 64)), metadata={"axes": "RYX"})


@case("no_plane_axes.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((5, 64, 64)), metadata={"axes": "ABC"})


@case("12_channels.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((12, 3, 64, 64)), metadata={"axes": "CZYX"})


@case("sizes_differ.tif", "read")
def _(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for side in (64, 32, 48):
            writer.write(picture((side, 64)), contiguous=False, metadata=None)


@case("odd_tags.tif", "read")
def _(path: Path) -> None:
    tags = [
        (65000, "s", 0, "x" * 5000, True),
        (315, "s", 0, "nobody", True),
        (65001, "B", 7, b"\xff" * 7, True),
    ]
    tifffile.imwrite(
        path, picture(), extratags=tags, description=b"\xe2\x98\x83 \xff not = a [ header", metadata=None
    )


@case("resolution_zero.tif", "read")
def _(path: Path) -> None:
    raw_tiff(
        path,
        64,
        64,
        data=picture(dtype="uint8").tobytes(),
        extra=((282, RATIONAL, 1, 0), (283, RATIONAL, 1, 0)),
    )


@case("unit_parsec.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(), imagej=True, resolution=(10, 10), metadata={"unit": "parsec"})


@case("pixel_of_a_metre.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(
        path, picture((3, 64, 64)), imagej=True, resolution=(1, 1), metadata={"unit": "m", "spacing": -4.0}
    )


@case("ome_bad_numbers.ome.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(
        path,
        picture((3, 64, 64)),
        ome=True,
        metadata={"axes": "ZYX", "PhysicalSizeX": -0.1, "PhysicalSizeY": 0, "PhysicalSizeZ": 1e9},
    )


@case("ome_entities.ome.tif", "read")
def _(path: Path) -> None:
    xml = (
        '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0"><Pixels SizeX="64" '
        'SizeY="64" SizeZ="1" SizeC="1" SizeT="1" DimensionOrder="XYZCT" Type="uint16" ID="Pixels:0">'
        "<TiffData/></Pixels></Image></OME>"
    )
    tifffile.imwrite(path, picture(), description=xml, metadata=None)


@case("ome_broken_xml.ome.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(), description="<OME><Image><Pixels </OME>", metadata=None)


@case("ome_missing_planes.ome.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((4, 64, 64)), ome=True, metadata={"axes": "ZYX"})
    path.write_bytes(path.read_bytes().replace(b'SizeZ="4"', b'SizeZ="9"', 1))
