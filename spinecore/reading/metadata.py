"""Voxel size and channel names from the metadata of an open TIFF."""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import tifffile

from spinecore.reading.headers import Header, header_size
from spinecore.reading.units import (
    Finding,
    even_step,
    from_print_resolution,
    per_pixel,
    positive,
    um_per_unit,
    unit_in_words,
)
from spinecore.reading.xmltext import parse_xml

_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296
#: The baseline units, and those that tifffile and others write besides (millimetre, micrometre).
_UM_PER_RESOLUTION_UNIT = {2: (25400.0, "inch"), 3: (10000.0, "cm"), 4: (1000.0, "mm"), 5: (1.0, "um")}
_MICROMETRE = 5


def find_sizes(
    tif: tifffile.TiffFile, series_index: int, header: Header | None, keyframe: tifffile.TiffPage
) -> list[Finding]:
    """Return what each part of the file says on the voxel size, most trusted first.

    Parameters
    ----------
    tif : TiffFile
        Open file.
    series_index : int
        The series (OME image) that is read.
    header : Header or None
        ScanImage or FLIMage text header.
    keyframe : TiffPage
        First page of the series.
    """
    page = tif.pages.first
    findings = []
    if tif.is_ome:
        findings.append(ome_size(tif.ome_metadata or "", series_index))
    if tif.is_lsm:
        findings.append(lsm_size(tif.lsm_metadata or {}))
    if header is not None:
        findings.append(header_size(header, page.imagelength, page.imagewidth))
    if tif.is_imagej:
        findings.extend(scifio_size(page.description or ""))
        findings.append(
            imagej_size(
                tif.imagej_metadata or {}, page.tags.valueof(_X_RESOLUTION), page.tags.valueof(_Y_RESOLUTION)
            )
        )
    if tif.is_micromanager:
        findings.append(micromanager_size(tif.micromanager_metadata or {}))
    findings.extend(metamorph_size(tif))
    if not any(finding.x_um for finding in findings):
        findings.append(tag_size(keyframe))
    return findings


def _ome_pixels(xml: str, image: int) -> Any:
    """Return the Pixels element of an OME image, or None if the XML cannot be trusted or read."""
    root = parse_xml(xml)
    if root is None:
        return None
    pixels = root.findall(".//{*}Pixels")
    return pixels[image] if image < len(pixels) else (pixels[0] if pixels else None)


def ome_size(xml: str, image: int = 0) -> Finding:
    """Return PhysicalSizeX/Y/Z of an OME-XML text, by their units (um where none is given)."""
    pixels = _ome_pixels(xml, image)
    if pixels is None:
        return Finding("OME-XML", notes=("The OME-XML of the file cannot be read, so it is ignored.",))
    sizes: dict[str, float | None] = {}
    notes = []
    for axis in "ZYX":
        value = pixels.get(f"PhysicalSize{axis}")
        unit = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        scale = um_per_unit(unit)
        number = positive(value)
        sizes[axis] = None if scale is None or number is None else scale * number
        if value is not None and number is None:
            notes.append(f"OME-XML gives {value!r} as size along {axis.lower()}, which is not a length.")
        elif value is not None and scale is None:
            notes.append(f"OME-XML gives the size along {axis.lower()} in {unit!r}, which is not a length.")
    if sizes["X"] == sizes["Y"] == 1.0:
        notes.append("OME-XML gives exactly 1 um per pixel, which is often a placeholder: check it.")
    steps = plane_steps(pixels)
    positions = even_step(steps)
    claimed = sizes["Z"]
    if positions is not None and claimed is not None and abs(positions - claimed) > 0.05 * claimed:
        placeholder = claimed == 1.0
        used = positions if placeholder else claimed
        notes.append(
            f"OME-XML gives {claimed:g} um as the z step{', which is often a placeholder' if placeholder else ''}, but the "
            f"positions of its planes are {positions:g} um apart: {used:g} um is used; give the z step if that is wrong."
        )
        sizes["Z"] = used
    elif claimed is None:
        sizes["Z"] = positions
    if steps and positions is None and max(steps) > 0:
        used_words = "no z step is taken from them" if claimed is None else f"{claimed:g} um is used"
        notes.append(
            f"The positions of the planes in OME-XML are {min(steps):.3g} to {max(steps):.3g} um apart, not even: "
            f"{used_words}; give the z step if that is wrong."
        )
    from_planes = positions is not None and sizes["Z"] == positions != claimed
    origin = "the positions of the planes in OME-XML" if from_planes else None
    return Finding("OME-XML", sizes["Z"], sizes["Y"], sizes["X"], tuple(notes), origin)


def plane_steps(pixels: Any) -> list[float]:
    """Return the distances between neighbouring slices (um) by PositionZ of an OME image's planes.

    Parameters
    ----------
    pixels : Element
        Of the OME-XML.

    Returns
    -------
    list of float
        Empty where fewer than two slices have positions.
    """
    found: dict[int, float] = {}
    for plane in pixels.iterfind("{*}Plane"):
        scale, position = um_per_unit(plane.get("PositionZUnit", "µm")), _number(plane.get("PositionZ"))
        z = plane.get("TheZ", "")
        if scale is not None and position is not None and z.isdecimal():
            found.setdefault(int(z), position * scale)
    order = sorted(found)
    return [abs(found[b] - found[a]) / (b - a) for a, b in itertools.pairwise(order)]


def ome_channel_names(xml: str, image: int = 0) -> list[str]:
    """Return the Name (or Fluor) of each Channel of an OME image; empty text where it has none."""
    pixels = _ome_pixels(xml, image)
    if pixels is None:
        return []
    return [c.get("Name") or c.get("Fluor") or "" for c in pixels.findall("{*}Channel")]


def lsm_size(info: dict[str, Any]) -> Finding:
    """Return VoxelSizeX/Y/Z (metres) of a Zeiss LSM header."""
    z, y, x = (positive(info.get(f"VoxelSize{axis}")) for axis in "ZYX")
    z, y, x = (None if size is None else size * 1e6 for size in (z, y, x))
    return Finding("the LSM header", z, y, x)


def imagej_size(meta: dict[str, Any], x_resolution: object, y_resolution: object) -> Finding:
    """Return the voxel size of an ImageJ TIFF.

    Parameters
    ----------
    meta : dict
        ImageJ's description: ``unit``, ``yunit``, ``zunit`` and ``spacing``.
    x_resolution, y_resolution : (int, int) or None
        The resolution tags, in pixels per unit.
    """
    unit = meta.get("unit")
    scale = um_per_unit(unit)
    if scale is None:
        known = str(unit or "").strip().lower() in ("", "pixel", "pixels", "px", "none")
        note = (
            () if known else (f"ImageJ gives sizes in {unit!r}, which is not a length that is known here.",)
        )
        return Finding("ImageJ tags", notes=note)
    x, y = per_pixel(x_resolution), per_pixel(y_resolution)
    notes = []
    if x == 1.0 and y in (1.0, None) and scale == 1.0:
        notes.append("ImageJ gives exactly 1 um per pixel, which is often a placeholder: check it.")
    if scale == 25400.0 and x is not None:
        print_setting = from_print_resolution(1 / x, 1 / (y or x), scale, "inch")
        if print_setting.x_um is None:
            return print_setting
    y_scale = um_per_unit(meta.get("yunit", unit)) or scale
    z_scale = um_per_unit(meta.get("zunit", unit)) or scale
    spacing = meta.get("spacing")
    z = positive(abs(spacing)) if isinstance(spacing, int | float) and math.isfinite(spacing) else None
    return Finding(
        f"ImageJ tags (unit {unit_in_words(str(unit))})",
        None if z is None else z * z_scale,
        None if y is None else y * y_scale,
        None if x is None else x * scale,
        tuple(notes),
    )


def scifio_size(description: str) -> list[Finding]:
    """Return the sizes in the description of a TIFF written by SCIFIO (ImageJ2): axes, scales and units lines."""
    if "SCIFIO" not in description[:200]:
        return []
    lines = dict(line.split("=", 1) for line in description.splitlines() if "=" in line)
    axes, scales, units = (lines.get(key, "").split(",") for key in ("axes", "scales", "units"))
    sizes: dict[str, float] = {}
    for axis, scale, unit in zip(axes, scales, units, strict=False):
        factor, number = um_per_unit(unit), positive(scale)
        if factor is not None and number is not None:
            sizes[axis.strip().upper()] = number * factor
    return [Finding("the SCIFIO description", sizes.get("Z"), sizes.get("Y"), sizes.get("X"))]


_PROPERTY = re.compile(r'<prop\s+id="([^"]+)"[^>]*?value="([^"]*)"')


def metamorph_size(tif: tifffile.TiffFile) -> list[Finding]:
    """Return the calibration of a MetaMorph TIFF: its XML description, or the tags of an STK file."""
    if tif.is_stk:
        meta = tif.stk_metadata or {}
        scale = um_per_unit(meta.get("CalibrationUnits"))
        x, y = positive(meta.get("XCalibration")), positive(meta.get("YCalibration"))
        steps = [positive(abs(float(d))) for d in list(meta.get("ZDistance", []))[1:2]]
        if scale is None or x is None:
            return []
        return [
            Finding(
                "the MetaMorph tags", steps[0] if steps else None, None if y is None else y * scale, x * scale
            )
        ]
    properties = [dict(_PROPERTY.findall(page.description or "")) for page in _some_pages(tif)]
    first = properties[0] if properties else {}
    scale = um_per_unit(first.get("spatial-calibration-units"))
    if scale is None or first.get("spatial-calibration-state", "on").lower() in ("off", "false", "0"):
        return []
    x, y = positive(first.get("spatial-calibration-x")), positive(first.get("spatial-calibration-y"))
    heights = [_number(p.get("z-position")) for p in properties]
    known = [height for height in heights if height is not None]
    whole = len(known) == len(heights)
    step = even_step([abs(b - a) for a, b in itertools.pairwise(known)]) if whole else None
    return [
        Finding(
            "the MetaMorph description",
            step,
            None if y is None else y * scale,
            None if x is None else x * scale,
        )
    ]


def _number(text: str | None) -> float | None:
    """Return a finite number, or None."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _some_pages(tif: tifffile.TiffFile) -> list[tifffile.TiffPage]:
    """Return the first page and, where it speaks of MetaMorph, up to four more."""
    first = tif.pages.first
    if not (first.description or "").lstrip().startswith("<MetaData"):
        return []
    return [first, *(page for page in tif.pages[1:5] if isinstance(page, tifffile.TiffPage))]


def micromanager_size(meta: dict[str, Any]) -> Finding:
    """Return PixelSize_um and z-step_um of a Micro-Manager summary."""
    summary = meta.get("Summary") or {}
    pixel = positive(summary.get("PixelSize_um"))
    return Finding("the Micro-Manager summary", positive(summary.get("z-step_um")), pixel, pixel)


def tag_size(page: tifffile.TiffPage) -> Finding:
    """Return the size by the resolution tags; 72, 96 or 300 dpi give none."""
    x, y = per_pixel(page.tags.valueof(_X_RESOLUTION)), per_pixel(page.tags.valueof(_Y_RESOLUTION))
    unit = page.tags.valueof(_RESOLUTION_UNIT, 2)
    if x is None:
        return Finding("TIFF resolution tag")
    if unit not in _UM_PER_RESOLUTION_UNIT:
        told = (
            ()
            if x == 1.0
            else (f"The resolution tag gives {1 / x:.6g} pixels per unit, but no unit that is known.",)
        )
        return Finding("TIFF resolution tag", notes=told)
    scale, word = _UM_PER_RESOLUTION_UNIT[int(unit)]
    if unit == _MICROMETRE and x == y == 1.0:
        return Finding(
            "TIFF resolution tag", notes=("The resolution tag gives 1 um per pixel, which is a placeholder.",)
        )
    return from_print_resolution(1 / x, 1 / (y or x), scale, word)


def channel_names(tif: tifffile.TiffFile, series_index: int, channels: int) -> tuple[str, ...]:
    """Return one name per channel: the file's own where it has them, else "channel 0", ..."""
    given: list[str] = []
    if tif.is_ome:
        given = ome_channel_names(tif.ome_metadata or "", series_index)
    elif tif.is_lsm:
        colours = (tif.lsm_metadata or {}).get("ChannelColors") or {}
        given = [str(name) for name in colours.get("ColorNames", [])]
    clean = [re.sub(r"[\x00-\x1f]", "", name).strip() for name in given]
    return tuple(clean[i] if len(clean) == channels and clean[i] else f"channel {i}" for i in range(channels))
