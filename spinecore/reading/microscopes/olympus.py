"""Olympus OIB and OIF (FluoView), read by oiffile (BSD)."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.microscopes.base import VendorFile, VendorImage, folder_bytes, load_reader
from spinecore.reading.microscopes.compound import check_chains
from spinecore.reading.units import Finding, positive, um_per_unit

#: The plane's place in the name of its file: s_C001Z002T003.tif
_PLACE = re.compile(r"([A-Z])(\d+)")
_ROLES = {"L": "C"}
_AXES = 8


def open_oib(path: Path) -> VendorFile:
    """Open an OIB, or an OIF whose data folder lies beside it.

    Raises
    ------
    SpinecoreError
        If the folder is missing.
    """
    kind = "oif" if path.suffix.lower() == ".oif" else "oib"
    reader = load_reader(kind, path)
    data = path.with_name(path.name + ".files")
    if kind == "oif" and not data.is_dir():
        raise SpinecoreError(
            f"{path.name} has its images in the folder {data.name}, which is not beside it: put them together, or pack "
            "both into a ZIP and give that"
        )
    size = path.stat().st_size if kind == "oib" else folder_bytes(data, 2**62)
    if kind == "oib":
        check_chains(path)
    file = reader.OifFile(path)
    try:
        images = [_image(file, path.name)]
    except BaseException:
        file.close()
        raise
    return VendorFile(kind.upper(), images, file.close, size)


def _image(file, name: str) -> VendorImage:
    """Return the one image, whose planes are TIFF files named by their place."""
    planes: dict[tuple[int, int, int], str] = {}
    for each in file.glob("*.tif"):
        stem = each.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0]
        head, _, place = stem.rpartition("_")
        found = {_ROLES.get(axis, axis): int(number) - 1 for axis, number in _PLACE.findall(place)}
        if head.lower() != "s" or not found or set(found) - set("TCZ"):
            continue  # thumbnails and reference images
        planes[(found.get("T", 0), found.get("C", 0), found.get("Z", 0))] = each
    if not planes:
        raise SpinecoreError(f"{name} holds no image planes: in FluoView, export it as OME-TIFF")
    counts = [max(place[k] for place in planes) + 1 for k in range(3)]
    if counts[0] * counts[1] * counts[2] != len(planes) or min(min(p) for p in planes) < 0:
        raise SpinecoreError(f"{name} lacks some of its planes: in FluoView, export it again as OME-TIFF")
    first = file.asarray(planes[(0, 0, 0)])
    if first.ndim != 2:
        raise ValueError(f"planes of shape {first.shape}")

    def load(time_point: int, channel: int, z: int) -> np.ndarray:
        return file.asarray(planes[(time_point, channel, z)])

    sizes = (counts[0], counts[1], counts[2], int(first.shape[0]), int(first.shape[1]))
    return VendorImage(
        name=str(file.mainfile.get("File Info", {}).get("DataName", "")),
        sizes=sizes,
        dtype=first.dtype,
        load=load,
        finding=_size(file, sizes),
        channel_names=_channel_names(file, counts[1]),
    )


def _size(file, sizes: tuple[int, ...]) -> Finding:
    """Return the voxel size: of the reference image in the plane, and the interval of the z axis."""
    reference = file.mainfile.get("Reference Image Parameter", {})
    um: dict[str, float | None] = {}
    for axis, key in (("Y", "Height"), ("X", "Width")):
        um[axis] = _um(reference.get(f"{key}ConvertValue"), reference.get(f"{key}Unit"))
    for k in range(_AXES):
        axis = file.mainfile.get(f"Axis {k} Parameters Common", {})
        if axis.get("AxisCode") == "Z" and sizes[2] > 1:
            um["Z"] = _um(axis.get("Interval") or _interval(axis, sizes[2]), axis.get("UnitName"))
    return Finding("the Olympus header", um.get("Z"), um["Y"], um["X"])


def _um(value: object, unit: object) -> float | None:
    number, scale = positive(value), um_per_unit(str(unit))
    return None if number is None or scale is None else number * scale


def _interval(axis: dict, slices: int) -> float | None:
    """Return the distance between slices from the ends of the axis."""
    try:
        return abs(float(axis["EndPosition"]) - float(axis["StartPosition"])) / (slices - 1)
    except (KeyError, TypeError, ValueError):
        return None


def _channel_names(file, channels: int) -> tuple[str, ...]:
    """Return the dyes or, without them, the names of the detectors."""
    names = []
    for k in range(1, channels + 1):
        part = file.mainfile.get(f"Channel {k} Parameters", {})
        given = (part.get("DyeName"), part.get("CH Name"))
        names.append(next((str(name) for name in given if name not in (None, "", "None")), ""))
    return tuple(names) if all(names) else ()
