"""Imaris IMS (HDF5), read by h5py (BSD)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.microscopes.base import Slabs, VendorFile, VendorImage, load_reader
from spinecore.reading.units import Finding, positive, um_per_unit

_LEVEL = "DataSet/ResolutionLevel 0"
_MAX_COUNT = 100_000


def open_ims(path: Path) -> VendorFile:
    """Open an IMS file; the finest of its resolutions is read.

    Raises
    ------
    SpinecoreError
        If it is an HDF5 file of another program.
    """
    h5py = load_reader("ims", path)
    file = h5py.File(path, "r")
    try:
        if _LEVEL not in file:
            raise SpinecoreError(
                f"{path.name} is an HDF5 file but not of Imaris: export the image in it as TIFF or OME-TIFF"
            )
        image = _image(file, h5py.ExternalLink)
    except BaseException:
        file.close()
        raise
    return VendorFile("IMS", [image], file.close, path.stat().st_size)


def _image(file: Any, external: type) -> VendorImage:
    level = file[_LEVEL]
    times = _numbered(level, "TimePoint")
    channels = _numbered(level["TimePoint 0"], "Channel")
    data = _own(file, f"{_LEVEL}/TimePoint 0/Channel 0/Data", external)
    if data.ndim != 3:
        raise ValueError(f"data of shape {data.shape}")
    facts = {key: _text(value) for key, value in file["DataSetInfo/Image"].attrs.items()}
    # stored data are padded to whole chunks; the true size stands in the attributes
    slices, height, width = (
        min(_count(facts.get(axis)) or stored, stored) for axis, stored in zip("ZYX", data.shape, strict=True)
    )

    def load(time_point: int, channel: int, first: int, last: int) -> np.ndarray:
        stored = _own(file, f"{_LEVEL}/TimePoint {time_point}/Channel {channel}/Data", external)
        return stored[first:last, :height, :width]

    depth = data.chunks[0] if data.chunks else 1
    names = tuple(_channel_name(file, k) for k in range(channels))
    return VendorImage(
        name="",
        sizes=(times, channels, slices, height, width),
        dtype=data.dtype,
        load=Slabs(load, slices, depth, height * width * data.dtype.itemsize),
        finding=_size(facts, (width, height, slices)),
        channel_names=names if all(names) else (),
    )


def _own(file: Any, place: str, external: type) -> Any:
    """Return the data at a place, which must lie in this file: HDF5 can point to any other file of the computer."""
    group = file
    for name in place.split("/"):
        if isinstance(group.get(name, getlink=True), external):
            raise ValueError(f"{place} is in another file")
        group = group[name]
    if group.external or group.is_virtual:
        raise ValueError(f"{place} is in another file")
    return group


def _numbered(group, word: str) -> int:
    """Return how many members "WORD 0", "WORD 1", ... a group has."""
    count = 0
    while count < _MAX_COUNT and f"{word} {count}" in group:
        count += 1
    return count


def _text(value: object) -> str:
    """Return an attribute, which Imaris stores as an array of single characters."""
    array = np.asarray(value)
    if array.dtype.kind == "S":
        return b"".join(array.ravel().tolist()).decode("utf-8", errors="replace").strip("\x00 ")
    return str(array.ravel()[0]) if array.size else ""


def _count(text: str | None) -> int:
    number = positive(text)
    return int(number) if number is not None and number < 2**31 else 0


def _channel_name(file, channel: int) -> str:
    group = file.get(f"DataSetInfo/Channel {channel}")
    return _text(group.attrs["Name"]) if group is not None and "Name" in group.attrs else ""


def _size(facts: dict[str, str], counts: tuple[int, int, int]) -> Finding:
    """Return the voxel size from the extents of the image."""
    scale = um_per_unit(facts.get("Unit") or "um")
    um: list[float | None] = []
    for k, count in enumerate(counts):
        try:
            extent = abs(float(facts[f"ExtMax{k}"]) - float(facts[f"ExtMin{k}"]))
        except (KeyError, ValueError):
            extent = 0.0
        um.append(None if scale is None else positive(extent * scale / count))
    return Finding("the IMS header", um[2] if counts[2] > 1 else None, um[1], um[0])
