"""A stack whose planes lie in several files, read on demand."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tifffile

from spinecore.errors import SpinecoreError
from spinecore.reading.images import ImageFacts
from spinecore.reading.limits import MAX_BYTES, check_claim, check_side
from spinecore.reading.photo import PhotoPlanes
from spinecore.reading.pixels import target_dtype
from spinecore.reading.sniff import page_chain, sniff
from spinecore.reading.units import Finding


@dataclass(frozen=True)
class FileSet:
    """Files that make one stack.

    Parameters
    ----------
    name : str
        Of the stack.
    planes : dict
        File and page of each plane by (time point, channel, z).
    sizes : tuple of int
        Time points, channels and slices.
    shape_yx : tuple of int
    findings : tuple of Finding
        On the voxel size.
    channel_names : tuple of str
    format : str
    notes : tuple of str
    images : tuple of ImageFacts
    image : int
    """

    name: str
    planes: dict[tuple[int, int, int], tuple[Path, int]]
    sizes: tuple[int, int, int]
    shape_yx: tuple[int, int]
    findings: tuple[Finding, ...]
    channel_names: tuple[str, ...]
    format: str
    notes: tuple[str, ...] = ()
    images: tuple[ImageFacts, ...] = ()
    image: int = 0

    @property
    def files(self) -> list[Path]:
        """The files, each once, in order."""
        return list(dict.fromkeys(path for path, _ in self.planes.values()))


@dataclass
class _Open:
    """The file that was read last stays open, since planes of one file follow each other."""

    path: Path | None = None
    tif: tifffile.TiffFile | None = None
    seen: set[Path] = field(default_factory=set)


class JoinedPlanes:
    """The planes of a `FileSet`, read on demand; the same attributes as `spinecore.reading.tiff.TiffPlanes`.

    Parameters
    ----------
    files : FileSet
    max_bytes : int
        Refuse a channel and time point larger than this.
    """

    def __init__(self, files: FileSet, max_bytes: int) -> None:
        self._set = files
        self._last = _Open()
        first, page = next(iter(files.planes.values()))
        shape: tuple[int, ...]
        with _damage_named(first):
            photo = open_photo(first)
            if photo is not None:
                dtype, shape = np.dtype(photo.stored_dtype), photo.shape_tczyx[3:]
            else:
                keyframe = self._file(first).pages[page]
                dtype, shape = np.dtype(keyframe.dtype), keyframe.shape
        if len(shape) != 2:
            raise SpinecoreError(f"{first.name} holds colours or samples, so it cannot be a slice of a set")
        self.stored_dtype = dtype.newbyteorder("=")
        self.dtype, note = target_dtype(self.stored_dtype, first.name)
        self.shape_tczyx = (*files.sizes, int(shape[0]), int(shape[1]))
        stack_bytes = files.sizes[2] * math.prod(shape) * self.dtype.itemsize
        check_claim(
            first.name,
            stack_bytes=stack_bytes,
            total_bytes=0,
            file_bytes=1,
            compressed=True,
            max_bytes=max_bytes,
        )
        check_side(first.name, *self.shape_tczyx[3:])
        self.set_name = files.name
        self.format = files.format
        self.findings = list(files.findings)
        self.channel_names = files.channel_names
        self.images, self.image = files.images, files.image
        self.notes = [*files.notes, *([note] if note else [])]

    def plane(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return one plane as stored, shape (Y, X).

        Raises
        ------
        SpinecoreError
            If it is missing, differs from the others in size or type, or cannot be decoded.
        """
        place = self._set.planes.get((time_point, channel, z))
        if place is None:
            raise SpinecoreError(
                f"slice {z} of the set {self.set_name} is in none of its files: export it again"
            )
        path, page = place
        with _damage_named(path):
            photo = open_photo(path)
            if photo is not None:
                return self._checked(photo.plane(0, 0, 0), path)
            tif = self._file(path)
            if page >= len(tif.pages):
                raise SpinecoreError(f"{path.name} ends before slice {z} of its set: copy or export it again")
            plane = tif.pages[page].asarray()
        return self._checked(plane, path)

    def _checked(self, plane: np.ndarray, path: Path) -> np.ndarray:
        """Return a plane that is like the others."""
        if plane.shape != self.shape_tczyx[3:] or plane.dtype.newbyteorder("=") != self.stored_dtype:
            raise SpinecoreError(
                f"{path.name} differs from the other files of its set in size or type: take it out or export it again"
            )
        return plane

    def _file(self, path: Path) -> tifffile.TiffFile:
        if self._last.path != path or self._last.tif is None:
            self.close()
            if path not in self._last.seen:
                if sniff(path) != "tiff" or page_chain(path).broken:
                    raise SpinecoreError(f"{path.name} is damaged or no TIFF: copy or export it again")
                self._last.seen.add(path)
            self._last.path, self._last.tif = path, tifffile.TiffFile(path, _multifile=False)
        return self._last.tif

    def close(self) -> None:
        """Close what is open."""
        if self._last.tif is not None:
            self._last.tif.close()
        self._last.path = self._last.tif = None


def open_photo(path: Path) -> PhotoPlanes | None:
    """Open a PNG or JPEG; return None for any other file."""
    kind = sniff(path)
    return PhotoPlanes(path, kind, MAX_BYTES) if kind in ("png", "jpeg") else None


class _damage_named:
    """Turn what a damaged file makes the decoders raise into one sentence."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SpinecoreError | MemoryError) or not isinstance(error, Exception):
            return
        raise SpinecoreError(f"{self._path.name} is damaged: copy or export it again") from error
