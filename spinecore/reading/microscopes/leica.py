"""Leica LIF, read by liffile (BSD)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.microscopes.base import VendorFile, VendorImage, load_reader, sizes_along
from spinecore.reading.units import Finding, positive, um_per_unit

#: Any other axis (mosaic tiles, rotations, loops) makes images of their own.
_KNOWN = "TCZYXS"
_DESCRIPTION = "./Data/Image/ImageDescription"
#: By DimID.
_AXES = {"1": "X", "2": "Y", "3": "Z"}


def open_lif(path: Path) -> VendorFile:
    """Open a LIF file; every image that has rows and columns is one image."""
    reader = load_reader("lif", path)
    size = path.stat().st_size
    file = reader.LifFile(path, squeeze=True)
    try:
        images = [found for image in file.images if not image.is_flim for found in _images(image, size)]
        if not images:
            raise SpinecoreError(
                f"{path.name} holds no image with rows and columns: in LAS X, use Export > OME-TIFF"
            )
    except BaseException:
        file.close()
        raise
    return VendorFile("LIF", images, file.close, size)


def _images(image, file_bytes: int) -> list[VendorImage]:
    """Return the images of one entry: one, or one for each tile of a mosaic."""
    sizes = dict(image.sizes)
    if "Y" not in sizes or "X" not in sizes:
        return []
    extra = [axis for axis in sizes if axis not in _KNOWN]
    if len(extra) > 1:
        raise ValueError(f"axes {tuple(sizes)} of {image.name}")
    count = sizes[extra[0]] if extra else 1
    if not 1 <= count <= file_bytes:
        raise ValueError(f"{count} tiles in {image.name}")
    return [_image(image, sizes, {extra[0]: k} if extra else {}) for k in range(count)]


def _image(image, sizes: dict[str, int], fixed: dict[str, int]) -> VendorImage:
    samples = sizes.get("S", 1)
    shape = sizes_along(lambda axis: sizes.get(axis, 1))

    def load(time_point: int, channel: int, z: int) -> np.ndarray:
        wanted = {"T": time_point, "C": channel, "Z": z}
        place = {axis: k for axis, k in wanted.items() if axis in sizes}
        return image.frame(**place, **fixed)

    name = ", ".join([str(image.path or image.name), *(f"tile {k}" for k in fixed.values())])
    return VendorImage(
        name=name,
        sizes=shape,
        dtype=np.dtype(image.dtype),
        load=load,
        finding=_size(image),
        channel_names=_channel_names(image, shape[1]),
        samples=samples,
    )


def _size(image) -> Finding:
    """Return the voxel size from the length between the first and the last position along each axis."""
    um = {}
    for axis in image.xml_element.iterfind(f"{_DESCRIPTION}/Dimensions/DimensionDescription"):
        steps = (positive(axis.get("NumberOfElements")) or 0) - 1
        length, scale = positive(str(axis.get("Length", "")).lstrip("-")), um_per_unit(axis.get("Unit"))
        if steps > 0 and length is not None and scale is not None:
            um[_AXES.get(axis.get("DimID", ""))] = length * scale / steps
    return Finding("the LIF header", um.get("Z"), um.get("Y"), um.get("X"))


def _channel_names(image, channels: int) -> tuple[str, ...]:
    """Return the dyes or, without them, the look-up tables of the channels."""
    names = []
    for channel in image.xml_element.iterfind(f"{_DESCRIPTION}/Channels/ChannelDescription"):
        properties = {p.findtext("Key"): p.findtext("Value") for p in channel.iterfind("./ChannelProperty")}
        names.append(properties.get("DyeName") or channel.get("LUTName") or "")
    return tuple(names) if len(names) == channels and all(names) else ()
