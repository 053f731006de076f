"""OME-Zarr folders (0.4 and 0.5), read by zarr (MIT)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.microscopes.base import Slabs, VendorFile, VendorImage, folder_bytes, load_reader
from spinecore.reading.units import Finding, positive, um_per_unit

_MAX_IMAGES = 1_000


def open_zarr(path: Path) -> VendorFile:
    """Open an OME-Zarr folder: one image, or those of a collection as bioformats2raw writes it.

    Raises
    ------
    SpinecoreError
        If the folder is a plate, or no image by the OME-Zarr rules.
    """
    zarr = load_reader("zarr", path)
    images = open_group(zarr, zarr.open_group(str(path), mode="r"), path.name)
    claimed = max(math.prod(i.sizes) * np.dtype(i.dtype).itemsize for i in images)
    return VendorFile("OME-Zarr", images, lambda: None, folder_bytes(path, claimed))


def open_group(zarr: Any, root: Any, name: str) -> list[VendorImage]:
    """Return the images of an open Zarr group.

    Parameters
    ----------
    zarr : module
    root : zarr.Group
    name : str
        Of the folder or file, for messages.

    Raises
    ------
    SpinecoreError
        As `open_zarr`.
    """
    facts = _ome(root)
    if "plate" in facts:
        raise SpinecoreError(f"{name} is a plate of many wells: give the folder of one field in it")
    groups = {"": root} if "multiscales" in facts else {}
    if not groups:
        for number in range(_MAX_IMAGES):
            if str(number) not in root or not hasattr(root[str(number)], "members"):
                break
            groups[f"series {number}"] = root[str(number)]
    images = [image for series, group in groups.items() for image in _images(zarr, group, series)]
    if not images:
        raise SpinecoreError(
            f"{name} is a Zarr folder without an OME-Zarr image in it: export it as OME-TIFF or OME-Zarr"
        )
    return images


def _ome(group: Any) -> dict[str, Any]:
    """Return the OME attributes, which stand one level deeper since version 0.5."""
    attributes = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, dict) else attributes


def _images(zarr: Any, group: Any, name: str) -> list[VendorImage]:
    facts = _ome(group)
    labels = (facts.get("omero") or {}).get("channels") or []
    return (
        [_image(group, scales, str(scales.get("name") or name), labels) for scales in facts["multiscales"]]
        if facts.get("multiscales")
        else []
    )


def _image(group: Any, scales: dict[str, Any], name: str, labels: list[dict[str, Any]]) -> VendorImage:
    finest = scales["datasets"][0]
    array = group[finest["path"]]
    axes = [_axis(axis) for axis in scales.get("axes") or "tczyx"[-array.ndim :]]
    roles = [axis["name"].upper() for axis in axes]
    if (
        len(roles) != array.ndim
        or len(set(roles)) != len(roles)
        or not {"Y", "X"} <= set(roles) <= set("TCZYX")
    ):
        raise ValueError(f"axes {roles} of an array of shape {array.shape}")
    size = dict(zip(roles, map(int, array.shape), strict=True))
    chunk = dict(zip(roles, array.chunks, strict=True))
    shape = (size.get("T", 1), size.get("C", 1), size.get("Z", 1), size["Y"], size["X"])

    def load(time_point: int, channel: int, first: int, last: int) -> np.ndarray:
        wanted: dict[str, Any] = {"T": time_point, "C": channel, "Z": slice(first, last)}
        part = np.asarray(array[tuple(wanted.get(role, slice(None)) for role in roles)])
        left = [role for role in roles if role in "ZYX"]
        part = part.transpose([left.index(role) for role in "ZYX" if role in left])
        return part if "Z" in left else part[None]

    names = tuple(str(label.get("label") or "") for label in labels)
    dtype = np.dtype(array.dtype)
    return VendorImage(
        name=name,
        sizes=shape,
        dtype=dtype,
        load=Slabs(load, shape[2], int(chunk.get("Z", 1)), shape[3] * shape[4] * dtype.itemsize),
        finding=_size(scales, finest, axes, roles),
        channel_names=names if len(names) == shape[1] and all(names) else (),
    )


def _axis(axis: Any) -> dict[str, Any]:
    """Return an axis, which up to version 0.3 is no more than its name."""
    return axis if isinstance(axis, dict) else {"name": str(axis)}


def _size(
    scales: dict[str, Any], finest: dict[str, Any], axes: list[dict[str, Any]], roles: list[str]
) -> Finding:
    """Return the voxel size: the scale of the finest level times that of all levels, in the unit of each axis."""
    factors = np.ones(len(roles))
    given = False
    for part in (finest, scales):
        for step in part.get("coordinateTransformations") or []:
            if step.get("type") == "scale" and len(step["scale"]) == len(roles):
                factors *= np.asarray(step["scale"], float)
                given = True
    um: dict[str, float | None] = {}
    for role, axis, factor in zip(roles, axes, factors, strict=True):
        scale = um_per_unit(axis.get("unit"))
        um[role] = None if scale is None or not given else positive(factor * scale)
    notes = (
        ("The file gives a scale but no unit of length, so the pixel size is taken as unknown.",)
        if given and um["X"] is None and not np.allclose(factors, 1)
        else ()
    )
    return Finding("the OME-Zarr metadata", um.get("Z"), um["Y"], um["X"], notes=notes)
