"""Opening a file as time points and channels of ZYX stacks, read lazily."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.choices import ReadingChoices, reassigned
from spinecore.reading.images import ImageFacts
from spinecore.reading.joined import JoinedPlanes
from spinecore.reading.limits import MAX_BYTES
from spinecore.reading.lines import shift_lines
from spinecore.reading.microscopes.base import VendorPlanes
from spinecore.reading.microscopes.opening import open_vendor
from spinecore.reading.names import stem
from spinecore.reading.photo import PhotoPlanes
from spinecore.reading.pixels import COLOURS, Converter
from spinecore.reading.sets import ome_set, sequence_set
from spinecore.reading.sniff import sniff
from spinecore.reading.tiff import TiffPlanes
from spinecore.reading.units import NO_PIXEL_SIZE, NO_Z_STEP, combine
from spinecore.reading.vendors import VENDORS
from spinecore.stack import Stack

Planes = TiffPlanes | PhotoPlanes | JoinedPlanes | VendorPlanes
#: No choice made: the file decides.
AS_IT_IS = ReadingChoices()


class StackFile:
    """An open image file; a context manager.

    Nothing but the header is read until `read` or `slices` is called.

    Parameters
    ----------
    path : Path
        The file.
    planes : TiffPlanes, PhotoPlanes, JoinedPlanes or VendorPlanes
        Where planes come from.
    choices : ReadingChoices
        What the user said about the axes, time points and lines.

    Attributes
    ----------
    name : str
        The file's name without its last suffix.
    path : Path
    format : str
        "TIFF", "BigTIFF", "OME-TIFF", "ImageJ TIFF", "LSM", "ScanImage TIFF", "FLIMage TIFF", "PNG", "JPEG",
        "CZI", "LIF", "ND2", "OIB", "OIF", "IMS", "OME-Zarr".
    shape_tczyx : tuple of int
    dtype : dtype
        Of the voxels that `read` and `slices` give.
    stored_dtype : dtype
        In the file.
    spacing : Spacing
    channel_names : tuple of str
    images : tuple of ImageFacts
        All images in the file; number `image` is read.
    image : int
    findings : tuple of Finding
        What the file says on the voxel size.
    is_colour : bool
        Whether the channels are the colours of a picture.
    repeats_slices : bool
        Whether time points are frames of one slice.
    notes : tuple of str
        What was guessed, converted or is missing, in sentences.
    """

    def __init__(self, path: Path, planes: Planes, choices: ReadingChoices = AS_IT_IS) -> None:
        self._planes = planes
        self.choices = choices
        self.path = path
        self.name = planes.set_name if isinstance(planes, JoinedPlanes) else stem(path)
        self.format: str = planes.format
        times, channels, slices, height, width = planes.shape_tczyx
        self._source = (0, 1, 2)
        if choices.axes is not None:
            self._source = reassigned((times, channels, slices), choices.axes, path.name)
        sizes = tuple((times, channels, slices)[k] for k in self._source)
        self.stored_times = sizes[0]
        self.shape_tczyx: tuple[int, int, int, int, int] = (
            1 if choices.average_time else sizes[0],
            sizes[1],
            sizes[2],
            height,
            width,
        )
        self.dtype: np.dtype = planes.dtype
        self.stored_dtype: np.dtype = planes.stored_dtype
        self.spacing, size_notes = combine(planes.findings, sizes[2])
        self.channel_names: tuple[str, ...] = (
            planes.channel_names
            if len(planes.channel_names) == sizes[1]
            else tuple(f"channel {k}" for k in range(sizes[1]))
        )
        self.images: tuple[ImageFacts, ...] = planes.images
        self.image: int = planes.image
        self.findings = tuple(planes.findings)
        self.is_colour = self.channel_names == COLOURS
        self.repeats_slices = bool(getattr(planes, "repeats", 1) > 1)
        own = [f"The axes were given by the user as {choices.axes}."] if choices.axes else []
        if choices.average_time and sizes[0] > 1:
            own.append(f"The mean of {sizes[0]} time points is read.")
        if choices.line_shift_px:
            own.append(f"Odd lines were moved by {choices.line_shift_px:g} pixels along x.")
        self.notes: tuple[str, ...] = (*planes.notes, *size_notes, *own)

    def __enter__(self) -> StackFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._planes.close()

    @property
    def stack_bytes(self) -> int:
        """Bytes of one channel at one time point."""
        return math.prod(self.shape_tczyx[2:]) * self.dtype.itemsize

    def slices(self, channel: int = 0, time_point: int = 0, step: int = 1) -> Iterator[np.ndarray]:
        """Return an iterator over the z slices of one channel and time point, each read when it is due.

        Parameters
        ----------
        channel, time_point : int
            Counted from 0.
        step : int
            Give every `step`-th slice.

        Returns
        -------
        iterator of ndarray, shape (Y, X)
            NaN and infinity replaced as in `read`.

        Raises
        ------
        SpinecoreError
            If the channel or time point does not exist, a slice cannot be decoded, or (after the
            last slice) most voxels were not numbers.
        """
        self._check(channel, time_point)
        return self._iterate(channel, time_point, step, Converter(self.dtype, self.path.name))

    def _iterate(
        self, channel: int, time_point: int, step: int, converter: Converter
    ) -> Iterator[np.ndarray]:
        for z in range(0, self.shape_tczyx[2], step):
            yield converter(self._plane(time_point, channel, z))
        converter.finish()

    def _plane(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane as the choices want it, shape (Y, X)."""
        if self.choices.average_time and self.stored_times > 1:
            total = np.zeros(self.shape_tczyx[3:])
            for each in range(self.stored_times):
                total += self._stored(each, channel, z)
            plane = total / self.stored_times
            plane = plane.round().astype(self.dtype) if self.dtype.kind in "iu" else plane.astype(self.dtype)
        else:
            plane = self._stored(time_point, channel, z)
        return shift_lines(plane, self.choices.line_shift_px) if self.choices.line_shift_px else plane

    def _stored(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane by the roles of the axes as wanted."""
        place = [0, 0, 0]
        for source, index in zip(self._source, (time_point, channel, z), strict=True):
            place[source] = index
        return self._planes.plane(*place)

    def read(self, channel: int = 0, time_point: int = 0) -> Stack:
        """Return one channel at one time point; memory is that stack and one slice.

        Raises
        ------
        SpinecoreError
            As in `slices`, or if the stack does not fit into memory.
        """
        self._check(channel, time_point)
        converter = Converter(self.dtype, self.path.name)
        try:
            voxels = np.empty(self.shape_tczyx[2:], self.dtype)
        except MemoryError:
            raise SpinecoreError(
                f"{self.path.name} does not fit into memory: crop it or close other programs"
            ) from None
        for z in range(voxels.shape[0]):
            voxels[z] = converter(self._plane(time_point, channel, z))
        return Stack(
            voxels=voxels,
            spacing=self.spacing,
            name=self.name,
            channel=channel,
            time_point=time_point,
            channels=self.shape_tczyx[1],
            time_points=self.shape_tczyx[0],
            path=str(self.path),
            notes=(*self.notes, *converter.finish()),
        )

    def _check(self, channel: int, time_point: int) -> None:
        for word, value, count in (
            ("channel", channel, self.shape_tczyx[1]),
            ("time point", time_point, self.shape_tczyx[0]),
        ):
            if not 0 <= value < count:
                has = f"{count} {word}s, 0 to {count - 1}" if count > 1 else f"only {word} 0"
                raise SpinecoreError(f"{self.path.name} has no {word} {value}: choose among its own ({has})")


def open_stack(
    path: str | os.PathLike[str], max_bytes: int = MAX_BYTES, choices: ReadingChoices = AS_IT_IS
) -> StackFile:
    """Open an image file by its content, whatever its suffix, and read its header.

    A file that is one part of a set of OME files is opened as the whole set where the others lie beside it.

    Parameters
    ----------
    path : path
        TIFF, OME-TIFF, ImageJ TIFF, BigTIFF, LSM, ScanImage, FLIMage, PNG, JPEG, CZI, LIF, ND2, OIB, OIF, IMS, or a
        folder of OME-Zarr.
    max_bytes : int
        Refuse files whose single channel and time point would take more memory than this.
    choices : ReadingChoices
        How the file is to be read, where the user said so.

    Returns
    -------
    StackFile
        Close it, or use it in a ``with`` statement.

    Raises
    ------
    SpinecoreError
        One sentence: what is wrong with the file and what to do.
    """
    path = Path(path)
    found = ome_set(path, choices.series)
    if found is not None:
        return StackFile(path, JoinedPlanes(found, max_bytes), choices)
    kind = sniff(path)
    if kind == "tiff":
        return StackFile(path, TiffPlanes(path, max_bytes, choices.series), choices)
    if kind in VENDORS:
        return StackFile(path, open_vendor(path, kind, max_bytes, choices.series), choices)
    return StackFile(path, PhotoPlanes(path, kind, max_bytes), choices)


def open_sequence(
    paths: Sequence[Path], max_bytes: int = MAX_BYTES, choices: ReadingChoices = AS_IT_IS
) -> StackFile:
    """Open files that hold one slice each as one stack, in the order given.

    Raises
    ------
    SpinecoreError
        If they are not of one size and type, or one of them holds more than one slice.
    """
    planes = JoinedPlanes(sequence_set(paths), max_bytes)
    return StackFile(Path(paths[0]), planes, choices)


def open_input(
    source: str | os.PathLike[str] | Sequence[Path],
    max_bytes: int = MAX_BYTES,
    choices: ReadingChoices = AS_IT_IS,
) -> StackFile:
    """Open one file as `open_stack` does, or several as `open_sequence` does."""
    if isinstance(source, str | os.PathLike):
        return open_stack(source, max_bytes, choices)
    return open_sequence(source, max_bytes, choices)


def read_stack(
    path: str | os.PathLike[str] | Sequence[Path],
    channel: int = 0,
    time_point: int = 0,
    pixel_um: float | None = None,
    z_um: float | None = None,
    max_bytes: int = MAX_BYTES,
    choices: ReadingChoices = AS_IT_IS,
    pixel_y_um: float | None = None,
) -> Stack:
    """Read one channel at one time point of a file.

    Parameters
    ----------
    path : path, or sequence of paths
        A sequence holds one slice a file.
    channel, time_point : int
        Counted from 0.
    pixel_um, z_um : float or None
        Sizes given by the user (um); they replace those of the file.
    max_bytes : int
    choices : ReadingChoices
        As in `open_stack`.
    pixel_y_um : float or None
        Given where the pixel is not as high as it is wide.

    Raises
    ------
    SpinecoreError
        One sentence, as in `open_stack` and `StackFile.read`.
    """
    for word, value in (("pixel size", pixel_um), ("pixel size along y", pixel_y_um), ("z step", z_um)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SpinecoreError(f"the {word} must be a positive number of micrometres, not {value}")
    with open_input(path, max_bytes, choices) as file:
        stack = file.read(channel, time_point)
    settled = {NO_PIXEL_SIZE} if pixel_um else set()
    settled |= {NO_Z_STEP} if z_um else set()
    notes = tuple(note for note in stack.notes if note not in settled)
    return replace(stack, spacing=stack.spacing.with_user(pixel_um, z_um, pixel_y_um), notes=notes)
