"""A first look at a file before it is analysed: thumbnail, histogram, warnings, time and memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinecore.reading.advice import Advice, file_advice, memory_advice, size_advice, value_advice
from spinecore.reading.blank import blank_words, padding_of, split_blank
from spinecore.reading.channel import suggest_channel
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.images import ImageFacts
from spinecore.reading.limits import MAX_BYTES
from spinecore.reading.lines import measure_line_shift
from spinecore.reading.masks import FLAT, flatness, mask_words, split_masks
from spinecore.reading.micrograph import looks_like_micrograph
from spinecore.reading.noise import signal_to_noise
from spinecore.reading.pixel_estimate import PixelEstimate, estimate_pixel
from spinecore.reading.stackfile import AS_IT_IS, open_input
from spinecore.stack import Spacing

#: Seconds per million canonical pixels (0.1 um) on two CPU cores, and the fixed part.
SECONDS_PER_MEGAPIXEL, SECONDS_FIXED = 1.0, 4.0
#: Memory of an analysis: this many times the stack, and the fixed part.
STACK_COPIES, BYTES_FIXED = 3, int(1.5 * 2**30)

_CANONICAL_UM = 0.1
_THUMBNAIL_PX = 512
_SAMPLE_BYTES, _SAMPLE_SLICES = 512 * 2**20, 2_000
_BINS = 256
_SAMPLES_PER_SLICE = 8_000


@dataclass(frozen=True)
class StackReport:
    """What a file holds and what a person should know before analysing it.

    Parameters
    ----------
    name, path, format : str
    shape_tczyx : tuple of int
    dtype : str
        As stored in the file.
    spacing : Spacing
    channel_names : tuple of str
    channel, time_point : int
        The part that was looked at.
    suggested_channel : int
        The channel in which structures stand out most.
    thumbnail : ndarray, shape (Y, X), uint8
        Maximum projection, longest side at most 512 pixels, stretched from the 1st to the 99.8th percentile.
    projection_step : int
        Distance between the slices that were looked at; 1 when all were.
    histogram_counts : ndarray, shape (256,)
        Voxels per bin.
    histogram_edges : ndarray, shape (257,)
        In stored intensities.
    minimum, maximum : float
    saturated_fraction : float
        Share of voxels at the top of the range; 0 where the top is not a limit.
    signal_to_noise : float or None
        (99.8th percentile - median) over the noise of the brightest slice; None where the noise cannot be measured.
    pixel_estimate : PixelEstimate or None
        Offered only where the file has no pixel size.
    estimated_seconds : float
        For an analysis on two CPU cores.
    estimated_bytes : int
        Memory an analysis may need.
    notes : tuple of str
        From reading: what was guessed or converted.
    micrograph : bool
        Whether it looks like an electron micrograph.
    warnings : tuple of Advice
        What may spoil the result, in sentences for the page, each with its words for the command line.
    images : tuple of ImageFacts
        All images in the file; number `image` is the one looked at.
    image : int
    line_shift_px : int
        Pixels by which odd lines would have to be moved to agree with even ones; 0 where they do.
    """

    name: str
    path: str
    format: str
    shape_tczyx: tuple[int, int, int, int, int]
    dtype: str
    spacing: Spacing
    channel_names: tuple[str, ...]
    channel: int
    time_point: int
    suggested_channel: int
    thumbnail: np.ndarray
    projection_step: int
    histogram_counts: np.ndarray
    histogram_edges: np.ndarray
    minimum: float
    maximum: float
    saturated_fraction: float
    signal_to_noise: float | None
    pixel_estimate: PixelEstimate | None
    estimated_seconds: float
    estimated_bytes: int
    notes: tuple[str, ...]
    warnings: tuple[Advice, ...]
    micrograph: bool = False
    images: tuple[ImageFacts, ...] = ()
    image: int = 0
    line_shift_px: int = 0

    def warnings_with(self, spacing: Spacing) -> tuple[Advice, ...]:
        """Return the warnings as they stand once the user has given a voxel size."""
        from_file = size_advice(self.shape_tczyx, self.spacing)
        others = (warning for warning in self.warnings if warning not in from_file)
        return (*size_advice(self.shape_tczyx, spacing), *others)


def inspect_stack(
    path: str | os.PathLike[str] | Sequence[Path],
    channel: int | None = None,
    time_point: int = 0,
    max_bytes: int = MAX_BYTES,
    choices: ReadingChoices = AS_IT_IS,
) -> StackReport:
    """Look at one channel and time point of a file, slice by slice.

    Memory stays at a few slices. Of stacks above 512 MiB or 2,000 slices every second, third, ... slice is looked at.

    Parameters
    ----------
    path : path, or sequence of paths
        A sequence holds one slice a file.
    channel : int or None
        None looks at the suggested one.
    time_point : int
    max_bytes : int
    choices : ReadingChoices
        As in `open_stack`.

    Raises
    ------
    SpinecoreError
        If the file cannot be read.
    """
    with open_input(path, max_bytes, choices) as file:
        suggested = suggest_channel(file, time_point)
        look = suggested if channel is None else channel
        step = max(1, -(-file.stack_bytes // _SAMPLE_BYTES), -(-file.shape_tczyx[2] // _SAMPLE_SLICES))
        seen = _Tally(file.dtype)
        shares = []
        for number, plane in enumerate(file.slices(look, time_point, step)):
            shares.append(flatness(plane))
            if (shares[-1] or 0.0) < FLAT:
                seen.add(plane, number)
        masks, unsure = split_masks(shares)
        if unsure:  # they count as image after all
            for number, plane in enumerate(file.slices(look, time_point, step)):
                if number in unsure:
                    seen.add(plane, number)
    counts, edges = seen.histogram()
    saturated = seen.saturated_fraction()
    noise_ratio = signal_to_noise(seen.brightest)
    shift = 0 if choices.line_shift_px else measure_line_shift(seen.brightest)
    slices = file.shape_tczyx[2]
    masks = masks if step == 1 else []
    bridged, blank = split_blank(sorted([*seen.blank, *masks]) if step == 1 else [], slices)
    empty = blank_words(blank, bridged, slices, seen.empty_share, masks)
    flat = mask_words(unsure, len(shares), shares.count(None))
    estimate = None if file.spacing.known_xy else estimate_pixel(seen.projection)
    seconds = estimate_seconds(file.shape_tczyx, file.spacing, estimate)
    memory = STACK_COPIES * file.stack_bytes + BYTES_FIXED
    return StackReport(
        name=file.name,
        path=str(file.path),
        format=file.format,
        shape_tczyx=file.shape_tczyx,
        dtype=file.stored_dtype.name,
        spacing=file.spacing,
        channel_names=file.channel_names,
        channel=look,
        time_point=time_point,
        suggested_channel=suggested,
        thumbnail=thumbnail(seen.projection),
        projection_step=step,
        histogram_counts=counts,
        histogram_edges=edges,
        minimum=seen.low,
        maximum=seen.high,
        saturated_fraction=saturated,
        signal_to_noise=noise_ratio,
        pixel_estimate=estimate,
        micrograph=looks_like_micrograph(seen.brightest),
        estimated_seconds=seconds,
        estimated_bytes=memory,
        notes=file.notes,
        warnings=tuple(
            [
                *size_advice(file.shape_tczyx, file.spacing),
                *file_advice(file, shift),
                *value_advice(seen.low, seen.high, saturated, noise_ratio),
                *([Advice(empty)] if empty and seen.low < seen.high else []),
                *([Advice(flat)] if flat else []),
                *memory_advice(memory),
            ]
        ),
        images=file.images,
        image=file.image,
        line_shift_px=shift,
    )


class _Tally:
    """Running projection, histogram and brightest slice of a stack."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self._exact = dtype.kind in "iu" and dtype.itemsize <= 2
        self._base = int(np.iinfo(dtype).min) if self._exact else 0
        self._limit = np.iinfo(dtype).max if dtype.kind in "iu" else None
        self._counts = np.zeros(1 << (8 * dtype.itemsize) if self._exact else _BINS, np.int64)
        self._samples: list[np.ndarray] = []
        self._at_top = 0
        self._voxels = 0
        self._best = -np.inf
        self.low = np.inf
        self.high = -np.inf
        self.projection = np.empty((0, 0))
        self.brightest = np.empty((0, 0))
        self.blank: list[int] = []
        self._empty = 0

    def add(self, plane: np.ndarray, number: int) -> None:
        """Take in one slice."""
        low, high = float(plane.min()), float(plane.max())
        if high >= self.high:
            at_top = int(np.count_nonzero(plane == high))
            self._at_top = at_top + (self._at_top if high == self.high else 0)
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._voxels += plane.size
        if low == high:
            self.blank.append(number)
        elif (part := padding_of(plane)) is not None:
            self._empty += int(np.count_nonzero(part))
        if self._exact:
            offset = plane.ravel() if self._base == 0 else plane.ravel().astype(np.int32) - self._base
            self._counts += np.bincount(offset, minlength=self._counts.size)
        else:
            self._samples.append(
                plane.ravel()[:: max(1, plane.size // _SAMPLES_PER_SLICE)].astype(np.float64)
            )
        contrast = float(np.percentile(plane[::4, ::4], 99.5))
        if self.projection.size == 0:
            self.projection = plane.copy()
        else:
            np.maximum(self.projection, plane, out=self.projection)
        if contrast > self._best:
            self._best, self.brightest = contrast, plane

    @property
    def empty_share(self) -> float:
        """Share of the voxels, outside blank slices, that are an empty border or corner."""
        return self._empty / self._voxels

    def histogram(self) -> tuple[np.ndarray, np.ndarray]:
        """Return counts in 256 bins between the extremes, and their edges."""
        if not self._exact:
            counts, edges = np.histogram(
                np.concatenate(self._samples), _BINS, (self.low, _above(self.low, self.high))
            )
            return counts, edges
        values = np.flatnonzero(self._counts)
        edges_range = (self.low, _above(self.low, self.high))
        return np.histogram(values + self._base, _BINS, edges_range, weights=self._counts[values])

    def saturated_fraction(self) -> float:
        """Return the share of voxels at the top value, if that value is a limit of the detector.

        A limit is the end of the type's range, one below a power of two (4095 for 12 bits), or a value
        that is five times as frequent as those just below it (images clipped and then rescaled).
        """
        if self.low == self.high:
            return 0.0
        share = self._at_top / self._voxels
        top = int(self.high) if self.high.is_integer() and self.high < 2**40 else 0
        if self.high == self._limit or (top >= 255 and top & (top + 1) == 0):
            return share
        counts = self.histogram()[0]
        below = counts[-4:-1].mean() * self._voxels / max(1, counts.sum())
        spike = self._at_top >= 20 and share >= 1e-4 and self._at_top > 5 * below
        return share if spike and (self.dtype.kind == "f" or self.high - self.low >= 200) else 0.0


def _above(low: float, high: float) -> float:
    """Return an upper edge that leaves room for 256 bins."""
    if high == low:
        return low + max(1.0, abs(low) * 1e-6)
    return max(high, low + max(abs(low), abs(high)) * 1e-9, low + 1e-300)


def thumbnail(projection: np.ndarray) -> np.ndarray:
    """Return a uint8 picture of at most 512 pixels along its longer side.

    Blocks are reduced to their maximum, so that single-pixel spines stay visible.

    Parameters
    ----------
    projection : ndarray, shape (Y, X)
    """
    factor = max(1, -(-max(projection.shape) // _THUMBNAIL_PX))
    height, width = projection.shape
    rows, columns = np.arange(0, height, factor), np.arange(0, width, factor)
    small = np.maximum.reduceat(np.maximum.reduceat(projection, rows, axis=0), columns, axis=1).astype(
        np.float64
    )
    low, high = np.percentile(small, (1.0, 99.8))
    if high <= low:
        low, high = float(small.min()), float(small.max())
    if high <= low:
        return np.zeros(small.shape, np.uint8)
    return (np.clip((small - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)


def estimate_seconds(
    shape_tczyx: tuple[int, int, int, int, int], spacing: Spacing, estimate: PixelEstimate | None = None
) -> float:
    """Return the seconds an analysis with the default method may take on two CPU cores.

    Slices are brought to 0.1 um per pixel first, so the cost goes with the area in um.
    """
    pixel_um = spacing.pixel_um or (estimate.pixel_um if estimate else _CANONICAL_UM)
    scale = float(np.clip(pixel_um / _CANONICAL_UM, 0.25, 2.5))
    _, _, z, y, x = shape_tczyx
    return SECONDS_FIXED + SECONDS_PER_MEGAPIXEL * z * y * x * scale**2 / 1e6
