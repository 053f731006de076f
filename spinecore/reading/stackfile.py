"""Opening a file as time points and channels of ZYX stacks, read lazily."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.limits import MAX_BYTES
from spinecore.reading.names import stem
from spinecore.reading.photo import PhotoPlanes
from spinecore.reading.pixels import Converter
from spinecore.reading.sniff import sniff
from spinecore.reading.tiff import TiffPlanes
from spinecore.reading.units import NO_PIXEL_SIZE, NO_Z_STEP
from spinecore.stack import Spacing, Stack


class StackFile:
    """An open image file; a context manager.

    Nothing but the header is read until `read` or `slices` is called.

    Parameters
    ----------
    path : Path
        The file.
    planes : TiffPlanes or PhotoPlanes
        Where planes come from.

    Attributes
    ----------
    name : str
        The file's name without its last suffix.
    path : Path
    format : str
        "TIFF", "BigTIFF", "OME-TIFF", "ImageJ TIFF", "LSM", "ScanImage TIFF", "FLIMage TIFF", "PNG", "JPEG".
    shape_tczyx : tuple of int
    dtype : dtype
        Of the voxels that `read` and `slices` give.
    stored_dtype : dtype
        In the file.
    spacing : Spacing
    channel_names : tuple of str
    notes : tuple of str
        What was guessed, converted or is missing, in sentences.
    """

    def __init__(self, path: Path, planes: TiffPlanes | PhotoPlanes) -> None:
        self._planes = planes
        self.path = path
        self.name = stem(path)
        self.format: str = planes.format
        self.shape_tczyx: tuple[int, int, int, int, int] = planes.shape_tczyx
        self.dtype: np.dtype = planes.dtype
        self.stored_dtype: np.dtype = planes.stored_dtype
        self.spacing: Spacing = planes.spacing
        self.channel_names: tuple[str, ...] = planes.channel_names
        self.notes: tuple[str, ...] = tuple(planes.notes)

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
            yield converter(self._planes.plane(time_point, channel, z))
        converter.finish()

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
            voxels[z] = converter(self._planes.plane(time_point, channel, z))
        return Stack(
            voxels=voxels,
            spacing=self.spacing,
            name=self.name,
            channel=channel,
            time_point=time_point,
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


def open_stack(path: str | os.PathLike[str], max_bytes: int = MAX_BYTES) -> StackFile:
    """Open an image file by its content, whatever its suffix, and read its header.

    Parameters
    ----------
    path : path
        TIFF, OME-TIFF, ImageJ TIFF, BigTIFF, LSM, ScanImage, FLIMage, PNG or JPEG.
    max_bytes : int
        Refuse files whose single channel and time point would take more memory than this.

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
    kind = sniff(path)
    if kind == "tiff":
        return StackFile(path, TiffPlanes(path, max_bytes))
    return StackFile(path, PhotoPlanes(path, kind, max_bytes))


def read_stack(
    path: str | os.PathLike[str],
    channel: int = 0,
    time_point: int = 0,
    pixel_um: float | None = None,
    z_um: float | None = None,
    max_bytes: int = MAX_BYTES,
) -> Stack:
    """Read one channel at one time point of a file.

    Parameters
    ----------
    path : path
    channel, time_point : int
        Counted from 0.
    pixel_um, z_um : float or None
        Sizes given by the user (um); they replace those of the file.
    max_bytes : int
        As in `open_stack`.

    Raises
    ------
    SpinecoreError
        One sentence, as in `open_stack` and `StackFile.read`.
    """
    for word, value in (("pixel size", pixel_um), ("z step", z_um)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise SpinecoreError(f"the {word} must be a positive number of micrometres, not {value}")
    with open_stack(path, max_bytes) as file:
        stack = file.read(channel, time_point)
    settled = {NO_PIXEL_SIZE} if pixel_um else set()
    settled |= {NO_Z_STEP} if z_um else set()
    notes = tuple(note for note in stack.notes if note not in settled)
    return replace(stack, spacing=stack.spacing.with_user(pixel_um, z_um), notes=notes)
