"""Planes of a TIFF of any flavour, read one at a time."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import tifffile

from spinecore.errors import SpinecoreError
from spinecore.reading.headers import Header, plane_order, read_header
from spinecore.reading.images import chosen_image, image_facts
from spinecore.reading.layout import SEPARATED, Layout, resolve_layout
from spinecore.reading.limits import check_claim, check_side
from spinecore.reading.metadata import channel_names, find_sizes
from spinecore.reading.pixels import (
    COLOURS,
    colours_differ,
    grey_from_cmyk,
    grey_from_rgb,
    oriented,
    target_dtype,
)
from spinecore.reading.scanimage import PageOrder
from spinecore.reading.sniff import page_chain

# tifffile reports damage to its log; what matters is found again here and said in a sentence.
tifffile.logger().addHandler(logging.NullHandler())
tifffile.logger().propagate = False

_MIN_IS_WHITE, _PALETTE = 0, 3
_SOFTWARE, _ORIENTATION = 305, 274
_UNCOMPRESSED, _LOSSY = 1, (6, 7, 33003, 33005, 34712, 34892, 50002)
#: A file of differently sized pages is sorted into series by tifffile in quadratic time.
_MAX_MIXED_PAGES = 5_000

#: ImageJ shows at most this many channels; more are slices of a stack saved without its axes.
_IMAGEJ_CHANNELS = 7


def _imagej_planes(meta: dict) -> int:
    """Return how many planes an ImageJ description claims."""
    counts = [meta.get(key, 1) for key in ("channels", "slices", "frames")]
    images = meta.get("images", 1)
    return max(n if isinstance(n, int) else 1 for n in (math.prod(counts), images))


def _joined(series: list[tifffile.TiffPageSeries]) -> list[tifffile.TiffPageSeries]:
    """Return equal series as one, as a loop of ``TiffWriter.write`` leaves them; beside others only those of one page."""
    kinds = {(s.shape, s.dtype, s.kind, len(s.pages)) for s in series}
    alike: dict[object, list[tifffile.TiffPageSeries]] = {}
    for k, one in enumerate(series):
        joins = one.kind == "shaped" and (len(kinds) == 1 or len(one.pages) == 1)
        alike.setdefault((one.shape, one.dtype) if joins else k, []).append(one)
    return [members[0] if len(members) == 1 else _join(members) for members in alike.values()]


def _join(series: list[tifffile.TiffPageSeries]) -> tifffile.TiffPageSeries:
    first = series[0]
    pages = [page for one in series for page in one.pages]
    return tifffile.TiffPageSeries(
        pages, (len(series), *first.shape), first.dtype, "Q" + first.axes, kind="shaped"
    )


@contextmanager
def _in_one_sentence(name: str):
    """Turn whatever a damaged file makes the decoders raise into a SpinecoreError."""
    try:
        yield
    except SpinecoreError:
        raise
    except MemoryError:
        raise SpinecoreError(f"{name} does not fit into memory: crop it or close other programs") from None
    except Exception as error:  # decoders of foreign bytes raise any type
        shown = (
            () if isinstance(error, TypeError | AttributeError | LookupError | AssertionError) else (error,)
        )
        reason = "".join(f" ({str(e).splitlines()[0][:80]})" for e in shown if str(e))
        raise SpinecoreError(
            f"{name} is damaged or of a TIFF kind that cannot be decoded{reason}: export it again as TIFF"
        ) from error


class TiffPlanes:
    """An open TIFF whose planes are read on demand.

    Uncompressed contiguous files are read with one seek per plane (not mapped, so that resident
    memory stays at one plane); others page by page.

    Parameters
    ----------
    path : Path
    max_bytes : int
        Refuse a channel and time point larger than this.
    series : int, optional
        Which image of the file; by default `default_image` decides.

    Attributes
    ----------
    format : str
    shape_tczyx : tuple of int
    stored_dtype, dtype : dtype
        As stored, and as planes are given after conversion.
    findings : list of Finding
        What the file says on the voxel size.
    channel_names : tuple of str
    images : tuple of ImageFacts
        All images that the file holds; `image` is the one that is read.
    image : int
    notes : list of str
    """

    def __init__(self, path: Path, max_bytes: int, series: int | None = None) -> None:
        self._path = path
        self._wanted_series = series
        self._name = path.name
        chain = page_chain(path)
        if chain.count == 0 or chain.broken:
            raise SpinecoreError(
                f"{self._name} is truncated (its list of pages ends outside the file): copy or export it again"
            )
        with _in_one_sentence(self._name):
            # a set of OME files is never followed into other files
            self._tif = tifffile.TiffFile(path, _multifile=False)
        try:
            with _in_one_sentence(self._name):
                self._open(chain.count, chain.big, max_bytes)
        except BaseException:
            self._tif.close()
            raise

    def _open(self, pages: int, big: bool, max_bytes: int) -> None:
        tif = self._tif
        self.notes: list[str] = []
        if pages > _MAX_MIXED_PAGES and not tif.is_uniform:
            raise SpinecoreError(f"{self._name} has {pages:,} pages of differing kinds: split it into stacks")
        self._series, self._series_index = self._choose_series()
        page = self._series.keyframe
        if page is None or page.dtype is None or self._series.dtype is None:
            raise SpinecoreError(
                f"{self._name} has samples of a type that cannot be read: export it as 16-bit TIFF"
            )
        self._photometric = int(page.photometric)
        header = read_header(tif)
        self.format = self._format(header, big)
        self._order: PageOrder | None = None
        self._split: int | None = None
        self._colours = False
        self._layout = self._resolve(header)
        self.notes.extend(self._layout.notes)
        self.shape_tczyx = self._layout.shape_tczyx
        if self._order is not None:
            order = self._order
            self.shape_tczyx = (order.times, order.channels, order.slices, *self.shape_tczyx[3:])
        self.stored_dtype = np.dtype(self._series.dtype).newbyteorder("=")
        self.dtype, note = target_dtype(self.stored_dtype, self._name)
        if note:
            self.notes.append(note)
        self._prepare_access(page, max_bytes)
        self._note_colours(page)
        self.findings = find_sizes(tif, self._series_index, header, page)
        self.channel_names = (
            COLOURS if self._colours else channel_names(tif, self._series_index, self.shape_tczyx[1])
        )
        self._orient(int(page.tags.valueof(_ORIENTATION, 1) or 1))

    def _choose_series(self) -> tuple[tifffile.TiffPageSeries, int]:
        """Return the largest series, with a note when there are others."""
        series = [s for s in self._tif.series if math.prod(s.shape) > 0]
        if not series:
            raise SpinecoreError(
                f"{self._name} claims an image of size zero, so it is damaged: export it again"
            )
        series = _joined(series)
        if self._tif.is_lsm:  # the others are thumbnails
            series = [max(series, key=lambda s: math.prod(s.shape))]
        self.images = tuple(image_facts(s) for s in series)
        self.image = chosen_image(series, self.images, self._wanted_series, self._tif.is_ome, self._name)
        chosen = series[self.image]
        index = next((k for k, s in enumerate(self._tif.series) if s is chosen), 0)
        if self._tif.is_ome and chosen.kind != "ome":
            self.notes.append("This file is one of a set of OME files; only its own planes are read.")
        claimed = _imagej_planes(self._tif.imagej_metadata or {}) if self._tif.is_imagej else 1
        if chosen.kind != "imagej" and claimed > len(chosen):
            raise SpinecoreError(
                f"{self._name} is truncated (it claims {claimed} planes and holds {len(chosen)}): copy or export it again"
            )
        return chosen, index

    def _format(self, header: Header | None, big: bool) -> str:
        if header is not None:
            return "FLIMage TIFF" if header.kind == "flimage" else "ScanImage TIFF"
        if self._tif.is_lsm:
            return "LSM"
        if self._tif.is_ome:
            return "OME-TIFF"
        if self._tif.is_imagej:
            return "ImageJ TIFF"
        return "BigTIFF" if big else "TIFF"

    def _resolve(self, header: Header | None) -> Layout:
        """Return the role of each axis, by the header where it says how planes are interleaved."""
        axes, shape = self._series.get_axes(squeeze=False), self._series.get_shape(squeeze=False)
        axes = self._correct_axes(axes, shape)
        samples = math.prod(self._series.keyframe.shape)
        planes = math.prod(shape) // samples
        order = plane_order(header, planes) if header is not None and planes > 1 else None
        if order is not None:
            self._order, self._split = order, 1
            self.notes.extend(order.notes)
            keyframe = self._series.keyframe
            inside = resolve_layout(keyframe.axes, tuple(keyframe.shape), self._photometric, self._name)
            return Layout((planes, *inside.shape), ("P", *inside.roles), inside.notes)
        layout = resolve_layout(axes, shape, self._photometric, self._name)
        self._split = next(
            (k for k in range(len(shape) + 1) if math.prod(shape[k:]) == samples),
            None,
        )
        return layout

    def _correct_axes(self, axes: str, shape: tuple[int, ...]) -> str:
        """Return the axes without what tifffile makes of z stacks written without axes.

        ``imwrite(..., imagej=True)`` then calls slices channels, and without imagej it stores three or
        four slices as colours.
        """
        page = self._series.keyframe
        by_tifffile = str(page.tags.valueof(_SOFTWARE, "")).startswith("tifffile")
        if by_tifffile and "SY" in axes and '"axes"' not in (page.description or ""):
            return axes.replace("S", "Q", 1)
        meta = self._tif.imagej_metadata or {} if self._tif.is_imagej else {}
        channels = shape[axes.index("C")] if "C" in axes else 1
        alone = channels > 1 and meta.get("slices", 1) == 1 and meta.get("frames", 1) == 1
        unlikely = meta.get("ImageJ") == "1.11a" and (channels > 4 or "spacing" in meta)
        if alone and (channels > _IMAGEJ_CHANNELS or unlikely):
            self.notes.append(f"The file calls its {channels} planes channels; they are read as z slices.")
            return axes.replace("Z", "Q").replace("C", "Z")
        return axes

    def _prepare_access(self, page: tifffile.TiffPage, max_bytes: int) -> None:
        """Choose how planes are read, after refusing impossible or oversized claims."""
        _, _, z, height, width = self.shape_tczyx
        size = self._tif.filehandle.size
        check_claim(
            self._name,
            stack_bytes=max(
                z * height * width * max(self.dtype.itemsize, self.stored_dtype.itemsize), page.nbytes
            ),
            total_bytes=math.prod(self._layout.shape)
            * self.stored_dtype.itemsize
            * page.bitspersample
            // max(page.bitspersample, 8 * self.stored_dtype.itemsize),
            file_bytes=size,
            compressed=page.compression != _UNCOMPRESSED,
            max_bytes=max_bytes,
        )
        check_side(self._name, height, width)
        split = self._split
        in_page = split is not None and {"Y", "X"} <= set(self._layout.roles[split:])
        offset = self._series.dataoffset if page.is_memmappable else None
        self._read_page: Callable[[int], np.ndarray] | None
        if not in_page:
            if self._series.nbytes > max_bytes:
                raise SpinecoreError(
                    f"{self._name} stores its axes across pages and is too large for that: export it anew"
                )
            self._read_page = None
        elif offset is not None:
            if offset + self._series.nbytes > size:
                raise SpinecoreError(f"{self._name} is truncated: copy or export it again")
            self._read_page = partial(self._read_direct, offset)
        else:
            for stored in (self._series.pages[0], self._series.pages[-1]):
                self._check_extent(stored)
            self._read_page = self._read_decoded

    def _note_colours(self, page: tifffile.TiffPage) -> None:
        if "S" in self._layout.roles:
            self._colours = (
                self._photometric != SEPARATED and self.shape_tczyx[1] == 1 and self._colours_differ()
            )
            if self._colours:
                self.shape_tczyx = (self.shape_tczyx[0], len(COLOURS), *self.shape_tczyx[2:])
                self.notes.append("The file is a colour picture; red, green and blue are read as channels.")
            else:
                self.notes.append("Colours were converted to grey (the brightest of red, green and blue).")
        if self._photometric == _PALETTE and not self._tif.is_imagej:
            self.notes.append("A colour table in the file is ignored; the stored values are the intensities.")
        self._invert = (
            self._photometric == _MIN_IS_WHITE and not self._tif.is_imagej and self.stored_dtype.kind == "u"
        )
        if self._invert:
            self.notes.append("The file is stored with white as zero and was inverted.")
        self._top = 2 ** int(page.bitspersample) - 1
        if int(page.compression) in _LOSSY:
            self.notes.append("Lossy compression has altered the intensities.")

    def _colours_differ(self) -> bool:
        """Return True where two colours hold different pictures, in the first or the middle plane."""
        times, _, slices, *_ = self.shape_tczyx
        return any(
            colours_differ(self._samples(times // 2, 0, z)) for z in sorted({0, slices // 2, slices - 1})
        )

    def _orient(self, tag: int) -> None:
        """Obey the orientation tag (TIFF 6.0, tag 274)."""
        self._orientation = tag if 1 < tag <= 8 else 1
        if self._orientation == 1:
            return
        self.notes.append("The picture was turned as the file's orientation tag says.")
        if self._orientation >= 5:
            times, channels, slices, height, width = self.shape_tczyx
            self.shape_tczyx = (times, channels, slices, width, height)
            for finding in self.findings:
                finding.y_um, finding.x_um = finding.x_um, finding.y_um

    def _check_extent(
        self, page: tifffile.TiffPage | tifffile.TiffFrame | None
    ) -> tifffile.TiffPage | tifffile.TiffFrame:
        """Return a page that lies inside the file as a whole."""
        if page is None or not page.dataoffsets or 0 in page.databytecounts:
            raise SpinecoreError(f"{self._name} has a plane that was never written: export it again")
        end = max(o + n for o, n in zip(page.dataoffsets, page.databytecounts, strict=False))
        if end > self._tif.filehandle.size:
            raise SpinecoreError(f"{self._name} is truncated: copy or export it again")
        return page

    def _read_direct(self, offset: int, index: int) -> np.ndarray:
        shape = self._layout.shape[self._split :]
        count = math.prod(shape)
        dtype = np.dtype(self._tif.byteorder + self.stored_dtype.char)
        data = np.fromfile(self._path, dtype, count, offset=offset + index * count * dtype.itemsize)
        return data.reshape(shape)

    def _read_decoded(self, index: int) -> np.ndarray:
        page = self._check_extent(self._series.pages[index])
        return page.asarray().reshape(self._layout.shape[self._split :])

    @property
    def repeats(self) -> int:
        """Frames of each slice, where the header says that a slice was recorded several times."""
        return 1 if self._order is None or self._order.slices == 1 else self._order.repeats

    def plane(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane as stored but grey, shape (Y, X).

        Raises
        ------
        SpinecoreError
            If it cannot be decoded.
        """
        with _in_one_sentence(self._name):
            plane = self._samples(time_point, 0 if self._colours else channel, z)
            if "S" in self._layout.roles:
                cmyk = self._photometric == SEPARATED and plane.dtype.kind == "u"
                if self._colours:
                    plane = np.ascontiguousarray(plane[..., channel])
                else:
                    plane = grey_from_cmyk(plane) if cmyk else grey_from_rgb(plane)
            elif self._invert:
                plane = (self._top - plane.astype(self.stored_dtype.newbyteorder("="))).astype(self.dtype)
            return oriented(plane, self._orientation)

    def _samples(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane as stored, shape (Y, X) or (Y, X, S)."""
        wanted = {"T": time_point, "C": channel, "Z": z, "1": 0}
        index = tuple(wanted.get(role, slice(None)) for role in self._layout.roles)
        roles = [role for role in self._layout.roles if role in "YXS"]
        if self._read_page is None:
            plane = self._whole()[index]
        else:
            if self._order is not None:
                number = self._order.page(time_point, channel, z)
            else:
                sizes = self._layout.shape[: self._split]
                place = [wanted[role] for role in self._layout.roles[: self._split]]
                number = int(np.ravel_multi_index(place, sizes)) if sizes else 0
            plane = self._read_page(number)[index[self._split :]]
        return plane.transpose([roles.index(role) for role in "YXS" if role in roles])

    def _whole(self) -> np.ndarray:
        """Return the whole series, for files whose pages are not YX planes (read once)."""
        if not hasattr(self, "_voxels"):
            self._voxels = self._series.asarray().reshape(self._layout.shape)
        return self._voxels

    def close(self) -> None:
        """Close the file."""
        self._tif.close()
