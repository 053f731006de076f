"""What the readers of microscope formats share: images of a file, and planes of the one that is read."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.images import ImageFacts, first_image
from spinecore.reading.limits import check_claim, check_side
from spinecore.reading.pixels import COLOURS, grey_from_rgb, target_dtype
from spinecore.reading.units import Finding
from spinecore.reading.vendors import VENDORS

#: Slices that are decoded together are kept together up to this size (bytes).
_SLAB_BYTES = 128 * 2**20

LoadPlane = Callable[[int, int, int], np.ndarray]
Sizes = tuple[int, int, int, int, int]


def sizes_along(size_of: Callable[[str], int]) -> Sizes:
    """Return the sizes along T, C, Z, Y and X, as a function gives them for an axis.

    Examples
    --------
    >>> sizes_along({"T": 1, "C": 2, "Z": 3, "Y": 4, "X": 5}.__getitem__)
    (1, 2, 3, 4, 5)
    """
    return size_of("T"), size_of("C"), size_of("Z"), size_of("Y"), size_of("X")


@dataclass(frozen=True)
class VendorImage:
    """One image of a file.

    Parameters
    ----------
    name : str
        As the file names it; may be empty.
    sizes : tuple of int
        Time points, channels, slices, rows and columns.
    dtype : dtype
        As stored.
    load : callable
        Gives the plane of a time point, channel and slice, shape (Y, X), or (Y, X, samples) of a colour image.
    finding : Finding
        On the voxel size.
    channel_names : tuple of str
        Empty where the file has none.
    samples : int
        3 or 4 for a colour image, else 1.
    notes : tuple of str
    """

    name: str
    sizes: Sizes
    dtype: np.dtype
    load: LoadPlane
    finding: Finding
    channel_names: tuple[str, ...] = ()
    samples: int = 1
    notes: tuple[str, ...] = ()

    @property
    def facts(self) -> ImageFacts:
        """For the choice among images: axes that are longer than 1."""
        kept = [k for k, size in enumerate(self.sizes) if size > 1 or k > 2]
        shape = tuple(self.sizes[k] for k in kept)
        return ImageFacts(self.name, shape, "".join("TCZYX"[k] for k in kept), np.dtype(self.dtype).name)


@dataclass(frozen=True)
class VendorFile:
    """An open file.

    Parameters
    ----------
    format : str
        For people.
    images : list of VendorImage
    close : callable
    stored_bytes : int
        What the file takes on the disk; what it claims is held against that.
    """

    format: str
    images: list[VendorImage]
    close: Callable[[], object]
    stored_bytes: int


class VendorPlanes:
    """Planes of one image of a microscope file; the same attributes as `spinecore.reading.tiff.TiffPlanes`.

    Parameters
    ----------
    path : Path
    kind : str
        A key of `spinecore.reading.vendors.VENDORS`.
    opener : callable
        Opens the file; whatever it raises is put into one sentence.
    max_bytes : int
        Refuse a channel and time point larger than this.
    series : int, optional
        Which image; by default the first that is no mask, preview or overview.
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        opener: Callable[[Path], VendorFile],
        max_bytes: int,
        series: int | None = None,
    ) -> None:
        self._path, self._kind = path, kind
        with self._damage_named():
            self._file = opener(path)
        try:
            with self._damage_named():
                self._choose(max_bytes, series)
        except BaseException:
            self.close()
            raise

    def _choose(self, max_bytes: int, series: int | None) -> None:
        name = self._path.name
        if not self._file.images:
            raise SpinecoreError(f"{name} holds no image: export the image as OME-TIFF and try again")
        self.images = tuple(image.facts for image in self._file.images)
        self.image = first_image(self.images, series, name)
        chosen = self._chosen = self._file.images[self.image]
        if min(chosen.sizes) < 1:
            raise SpinecoreError(f"{name} claims an image of size zero, so it is damaged: export it again")
        self.format = self._file.format
        self.stored_dtype = np.dtype(chosen.dtype).newbyteorder("=")
        self.dtype, note = target_dtype(self.stored_dtype, name)
        self.findings = [chosen.finding]
        self.notes = [*chosen.notes, *([note] if note else [])]
        times, channels, slices, height, width = chosen.sizes
        self._colours = chosen.samples > 1 and channels == 1
        if self._colours:
            self.notes.append("The file is a colour picture; red, green and blue are read as channels.")
        elif chosen.samples > 1:
            self.notes.append("Colours were converted to grey (the brightest of red, green and blue).")
        self.channel_names = COLOURS if self._colours else chosen.channel_names
        self.shape_tczyx = (times, len(COLOURS) if self._colours else channels, slices, height, width)
        plane_bytes = height * width * chosen.samples * self.stored_dtype.itemsize
        check_claim(
            name,
            stack_bytes=slices * height * width * max(self.dtype.itemsize, self.stored_dtype.itemsize),
            total_bytes=times * channels * slices * plane_bytes,
            file_bytes=self._file.stored_bytes,
            compressed=True,
            max_bytes=max_bytes,
        )
        check_side(name, height, width)

    def plane(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane as stored, shape (Y, X).

        Raises
        ------
        SpinecoreError
            If it cannot be decoded.
        """
        with self._damage_named():
            stored = 0 if self._colours else channel
            plane = np.asarray(self._chosen.load(time_point, stored, z))
            expected: tuple[int, ...] = self._chosen.sizes[3:]
            if self._chosen.samples > 1:
                expected = (*expected, self._chosen.samples)
            if plane.shape != expected:
                raise ValueError(f"a plane has shape {plane.shape} in place of {expected}")
            if self._colours:
                plane = plane[..., channel]
            elif self._chosen.samples > 1:
                plane = grey_from_rgb(plane)
            return np.ascontiguousarray(plane, self.stored_dtype)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        """Turn whatever a damaged file makes a reader raise into one sentence."""
        vendor, name = VENDORS[self._kind], self._path.name
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except SpinecoreError:
            raise
        except MemoryError:
            raise SpinecoreError(
                f"{name} does not fit into memory: crop it or close other programs"
            ) from None
        except Exception as error:  # readers of foreign bytes raise any type
            raise SpinecoreError(
                f"{name} is {vendor.words} that is damaged or of a kind that cannot be read: {vendor.export}"
            ) from error


def load_reader(kind: str, path: Path) -> Any:
    """Return the module that reads a kind of file.

    Raises
    ------
    SpinecoreError
        If it is not installed; the sentence says how to install it.
    """
    vendor = VENDORS[kind]
    try:
        return importlib.import_module(vendor.package)
    except ImportError as error:
        raise SpinecoreError(
            f"{path.name} is {vendor.words} and its reader is not installed: run `pip install {vendor.package}`, "
            f"or {vendor.export}"
        ) from error


@dataclass
class Slabs:
    """Gives planes of data in which several slices are compressed together, without decoding them again for each.

    Parameters
    ----------
    load : callable
        Gives slices ``first`` to ``last`` (excluded) of a time point and channel, shape (Z, Y, X).
    slices : int
        In all.
    depth : int
        Slices in one compressed piece.
    plane_bytes : int
    """

    load: Callable[[int, int, int, int], np.ndarray]
    slices: int
    depth: int
    plane_bytes: int
    _held: tuple[int, int, int] | None = field(default=None, init=False)
    _slab: np.ndarray | None = field(default=None, init=False)

    def __call__(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane, shape (Y, X)."""
        depth = max(1, min(self.depth, _SLAB_BYTES // max(1, self.plane_bytes)))
        first = z - z % depth
        if self._slab is None or self._held != (time_point, channel, first):
            self._slab = None
            self._slab = self.load(time_point, channel, first, min(first + depth, self.slices))
            self._held = (time_point, channel, first)
        return self._slab[z - first]


def folder_bytes(folder: Path, enough: int) -> int:
    """Return the bytes of the files in a folder, counted until `enough` are found."""
    total = 0
    for file in folder.rglob("*"):
        if file.is_file():
            total += file.stat().st_size
            if total >= enough:
                break
    return total
