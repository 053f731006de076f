"""Text headers of ScanImage and FLIMage: how planes are interleaved, and how large a voxel is."""

from __future__ import annotations

import itertools
import re
import struct

import tifffile

from spinecore.reading.header_values import Header
from spinecore.reading.scanimage import PageOrder, page_order, slow_stack
from spinecore.reading.units import Finding, even_step, positive

_ASSIGNMENT = re.compile(r"^\s*([A-Za-z][\w.]*)\s*=\s*(.*?);?\s*$")
_MAX_HEADER = 1_000_000
#: ScanImage's block in a BigTIFF: its number, a version, and the lengths of the header and of the regions.
_BLOCK, _BLOCK_AT, _BLOCK_MAGIC = struct.Struct("<IIII"), 16, 0x07030301


def read_header(tif: tifffile.TiffFile) -> Header | None:
    """Return the ScanImage or FLIMage header of an open TIFF, or None."""
    page = tif.pages.first
    software = page.tags.valueof(305)
    description = page.description or ""
    texts = [description[:_MAX_HEADER]]
    if isinstance(software, str):
        texts.append(software[:_MAX_HEADER])
    values: dict[str, str] = {}
    for line in re.split(r"[\r\n]+", "\n".join(texts)):
        if match := _ASSIGNMENT.match(line):
            values.setdefault(_plain_key(match.group(1)), match.group(2))
    for line in _own_block(tif).splitlines():
        if match := _ASSIGNMENT.match(line):
            values.setdefault(_plain_key(match.group(1)), match.group(2))
    if description.startswith("FLIMimage") or "State.Acq.field_of_view" in values:
        return Header("flimage", values)
    if any(key.startswith("SI.") for key in values):
        return Header("scanimage5", values)
    if any(key.startswith("SI4.") for key in values):
        return Header("scanimage4", values)
    if "state.acq.numberOfZSlices" in values or "state.software.version" in values:
        return Header("scanimage3", values)
    return None


def _own_block(tif: tifffile.TiffFile) -> str:
    """Return the text that ScanImage (2016 and later) puts between the TIFF's header and its first page."""
    stream = tif.filehandle
    if not tif.is_bigtiff or tif.byteorder != "<" or stream.size < _BLOCK.size + _BLOCK_AT:
        return ""
    stream.seek(_BLOCK_AT)
    magic, _, length, _ = _BLOCK.unpack(stream.read(_BLOCK.size))
    if magic != _BLOCK_MAGIC:
        return ""
    return stream.read(min(length, _MAX_HEADER)).decode("utf-8", errors="replace").rstrip("\x00")


def _plain_key(key: str) -> str:
    """Return a key without its prefix; the first SI5 used the names of SI4."""
    key = key.removeprefix("scanimage.")
    return "SI4." + key.removeprefix("SI5.") if key.startswith("SI5.") else key


def plane_order(header: Header, pages: int) -> PageOrder | None:
    """Return where the planes of a ScanImage or FLIMage file are, or None where the header does not fit its pages.

    Parameters
    ----------
    header : Header
    pages : int
        Pages in the file.
    """
    if header.kind != "flimage":
        return page_order(header, pages)
    channels = header.values.get("SaveChannels", "").lower().count("true") or 1
    if pages % channels:
        return None
    return slow_stack(header.count("State.Acq.nSlices"), 1, pages // channels, channels)


def header_size(header: Header, height: int, width: int) -> Finding:
    """Return the voxel size that a header gives.

    ScanImage 5 and later: corner points of the field in um over pixels per line. FLIMage: field of
    view / zoom x voltage multiplier over pixels per line (its own formula). ScanImage 3 and 4 record
    scan angles and zoom but no field in um, so only the z step is known.

    Parameters
    ----------
    header : Header
    height, width : int
        Size of a page in pixels.
    """
    if header.kind == "scanimage3":
        step = _length(header.number("state.acq.zStepSize"))
        note = "ScanImage 3 records zoom and scan angle but no field of view, so the pixel size is not derivable."
        return Finding("the ScanImage header", z_um=step, notes=(note,))
    if header.kind == "scanimage4":
        step = header.number("SI4.stackZStepSize")
        note = "ScanImage 4 records zoom and scan angle but no field of view, so the pixel size is not derivable."
        return Finding("the ScanImage header", z_um=_length(step), notes=(note,))
    if header.kind == "scanimage5":
        corners = header.numbers("SI.hRoiManager.imagingFovUm")
        step, notes = _scanimage_step(header)
        x_um = y_um = None
        if len(corners) >= 4:
            x_um = positive((max(corners[0::2]) - min(corners[0::2])) / width)
            lines = header.number("SI.hRoiManager.linesPerFrame")
            if lines is None or int(lines) == height:
                y_um = positive((max(corners[1::2]) - min(corners[1::2])) / height)
        return Finding("the ScanImage header", _length(step), y_um, x_um, notes)
    field = header.numbers("State.Acq.field_of_view")
    zoom = positive(header.number("State.Acq.zoom"))
    scale = header.numbers("State.Acq.scanVoltageMultiplier") or [1.0, 1.0]
    x_um = y_um = None
    if zoom and len(field) == 2 and len(scale) == 2:
        x_um = positive(field[0] * scale[0] / zoom / width)
        y_um = positive(field[1] * scale[1] / zoom / height)
    return Finding("the FLIMage header", _length(header.number("State.Acq.sliceStep")), y_um, x_um)


def _scanimage_step(header: Header) -> tuple[float | None, tuple[str, ...]]:
    """Return the distance between slices, from a list of positions where the stack was recorded by one."""
    if "arbitrary" in header.values.get("SI.hStackManager.stackDefinition", "").lower():
        places = header.numbers("SI.hStackManager.zs") or header.numbers("SI.hStackManager.arbitraryZs")
        step = even_step([abs(b - a) for a, b in itertools.pairwise(places)])
        if step is None and len(places) > 1:
            return None, ("ScanImage recorded the slices at uneven distances, so they have no z step.",)
        return step, ()
    for key in ("actualStackZStepSize", "stackZStepSize"):
        if (step := header.number(f"SI.hStackManager.{key}")) is not None:
            return step, ()
    return None, ()


def _length(step: float | None) -> float | None:
    """Return a distance between slices, which is negative where the focus went down."""
    return None if step is None else positive(abs(step))
