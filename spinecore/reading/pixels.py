"""Turning stored samples into grey intensities of a type that the rest can compute with."""

from __future__ import annotations

import numpy as np

from spinecore.errors import SpinecoreError

#: Kept as they are; the rest are converted by `target_dtype`.
KEPT_DTYPES = ("uint8", "uint16", "uint32", "int16", "float32")

#: Floating-point values from here on are no intensities, and overflow when they are squared.
MAX_VALUE = 1e18

#: A stack in which more than this share of voxels is NaN or infinite is refused.
MAX_NON_FINITE = 0.5


def target_dtype(dtype: np.dtype, name: str) -> tuple[np.dtype, str | None]:
    """Return the type voxels are given in, and a note when it is not the stored one.

    Parameters
    ----------
    dtype : dtype
        As stored.
    name : str
        The file's name, for the message.

    Raises
    ------
    SpinecoreError
        For complex numbers and anything else that is not a real number.
    """
    plain = np.dtype(dtype).newbyteorder("=")
    if plain.name in KEPT_DTYPES:
        return plain, None
    if plain.kind == "b":
        return np.dtype(np.uint8), "The file holds a black-and-white mask (0 and 1), not intensities."
    if plain.kind == "i" and plain.itemsize == 1:
        return np.dtype(np.int16), "8-bit signed integers were widened to 16 bits."
    if plain.kind in "iuf":
        exact = "" if plain.itemsize <= 2 else " (about 7 digits are kept)"
        return np.dtype(np.float32), f"{plain.name} values were converted to 32-bit floats{exact}."
    if plain.kind == "c":
        raise SpinecoreError(
            f"{name} holds complex numbers, not intensities: export the magnitude as 16-bit or 32-bit TIFF"
        )
    raise SpinecoreError(f"{name} holds values of type {plain}, not intensities: export it as 16-bit TIFF")


#: Names of the channels of a colour picture.
COLOURS = ("red", "green", "blue")


def colours_differ(samples: np.ndarray) -> bool:
    """Return True where two of the three colours hold pictures that are not the same but for a factor.

    A grey image stored as RGB and a picture in one colour (a look-up table) do not.

    Parameters
    ----------
    samples : ndarray, shape (Y, X, 3 or 4)
    """
    planes = samples[..., :3].astype(np.float64).reshape(-1, 3)
    spread = planes.std(axis=0)
    lively = np.flatnonzero(spread > 0.02 * max(1.0, spread.max()))
    if len(lively) < 2:
        return False
    likeness = np.corrcoef(planes[:, lively], rowvar=False)
    return bool(likeness.min() < 0.98)


def oriented(plane: np.ndarray, tag: int) -> np.ndarray:
    """Turn a plane as stored, shape (Y, X), upright by its orientation tag (TIFF 6.0, tag 274).

    Examples
    --------
    >>> oriented(np.array([[1, 2], [3, 4]]), 6).tolist()
    [[3, 1], [4, 2]]
    """
    if tag >= 5:
        plane = plane.T
    rows = slice(None, None, -1) if tag in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if tag in (2, 3, 6, 7) else slice(None)
    return plane[rows, columns]


def grey_from_rgb(samples: np.ndarray) -> np.ndarray:
    """Return the brightest of the three colours, shape (Y, X), dtype kept.

    The maximum returns a grey image stored as RGB, and a single-colour look-up table, exactly, and
    keeps a blue or magenta dye as bright as a green one, which luminance weights would not.

    Parameters
    ----------
    samples : ndarray, shape (Y, X, 3 or 4)
        A fourth sample (opacity) is left out.
    """
    return samples[..., :3].max(axis=-1)


def grey_from_cmyk(samples: np.ndarray) -> np.ndarray:
    """Return the brightest colour that the inks print, shape (Y, X).

    The naive conversion ``(top - ink) * (top - black) / top`` of the least of the three colour inks.

    Parameters
    ----------
    samples : ndarray of unsigned integers, shape (Y, X, 4)
        Cyan, magenta, yellow and black; 0 is no ink.
    """
    top = np.iinfo(samples.dtype).max
    light = top - samples[..., :3].min(axis=-1).astype(np.float64)
    grey = light * (top - samples[..., 3].astype(np.float64)) / top
    return np.rint(grey).astype(samples.dtype)


class Converter:
    """Converts planes of one stack and counts what it had to replace.

    Parameters
    ----------
    dtype : dtype
        Type of the planes that come out.
    name : str
        The file's name, for messages.
    """

    def __init__(self, dtype: np.dtype, name: str) -> None:
        self.dtype = np.dtype(dtype)
        self.name = name
        self.seen = 0
        self.replaced = 0
        self.low = np.inf
        self.high = -np.inf

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        """Return a C-contiguous plane of `dtype`; NaN, infinity and the like become the plane's lowest value."""
        if self.dtype.kind == "f":
            with np.errstate(over="ignore", invalid="ignore"):
                plane = plane.astype(self.dtype)
                finite = np.abs(plane) < MAX_VALUE  # False for NaN
            bad = plane.size - int(np.count_nonzero(finite))
            if bad:
                lowest = plane[finite].min() if bad < plane.size else 0
                plane[~finite] = lowest
            self.replaced += bad
        else:
            plane = np.ascontiguousarray(plane, dtype=self.dtype)
        self.seen += plane.size
        self.low = min(self.low, float(plane.min()))
        self.high = max(self.high, float(plane.max()))
        return plane

    def finish(self) -> list[str]:
        """Return notes on the whole stack.

        Raises
        ------
        SpinecoreError
            If more than `MAX_NON_FINITE` of the voxels were NaN or infinite.
        """
        if self.replaced > MAX_NON_FINITE * self.seen:
            raise SpinecoreError(
                f"{self.name} has {self.replaced / self.seen:.0%} of its voxels NaN, infinite or beyond 1e18: "
                "export it again without masking or failed arithmetic"
            )
        notes = []
        if self.replaced:
            notes.append(
                f"{self.replaced:,} voxels ({self.replaced / self.seen:.2%}) were NaN, infinite or beyond 1e18 and "
                "were set to the lowest value of their slice."
            )
        if self.seen and self.low == self.high:
            notes.append(f"Every voxel has the same value ({self.low:g}), so there is nothing to find.")
        return notes
