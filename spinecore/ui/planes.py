"""Looking at a stack along z, y or x: pictures and outlines of one projection or slice, in um.

Positions in a plane are (across, down) in um; the centre of the input's first voxel is (0, 0). XZ and YZ show depth
downwards, in true proportion.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from spinecore.figures.overview import to_grey
from spinecore.figures.surfaces import Grid
from spinecore.stack import Spacing

#: Axis looked along, and the axes that run down and across.
AXES = {"xy": (0, 1, 2), "xz": (1, 0, 2), "yz": (2, 0, 1)}
AXIS_NAMES = ("z", "y", "x")
#: Longest side of a picture sent to the browser, in pixels.
LONGEST_SIDE = 2048
#: Half the size of the cross that marks a head without an outline (um).
CROSS_UM = 0.25
#: Half of the field shown round a chosen spine, in um.
ZOOM_UM = 3.0

Outline = list[np.ndarray]
Cuts = Iterable[tuple[int, tuple[int, int, int], np.ndarray]]


@dataclass(frozen=True)
class Window:
    """A rectangle of a plane in um: left, right, top, bottom (down is larger)."""

    left: float
    right: float
    top: float
    bottom: float

    @property
    def width(self) -> float:
        """In um."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """In um."""
        return self.bottom - self.top


def plane_spacing(spacing: Spacing, plane: str) -> tuple[float, float]:
    """Return the pixel size (down, across) of a plane in um."""
    zyx = spacing.zyx_um()
    _, down, across = AXES[plane]
    return zyx[down], zyx[across]


def whole_window(shape: tuple[int, int, int], spacing: Spacing, plane: str) -> Window:
    """Return the window that shows a whole plane."""
    down, across = plane_spacing(spacing, plane)
    _, row, column = AXES[plane]
    return Window(-0.5 * across, (shape[column] - 0.5) * across, -0.5 * down, (shape[row] - 0.5) * down)


def window_round(outline: Outline, whole: Window, half_um: float = ZOOM_UM) -> Window:
    """Return a square window round an outline, inside the whole where it fits."""
    points = np.concatenate(outline)
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(half_um, float((high - low).max()) * 0.75)
    middle = (low + high) / 2

    def clamp(value: float, first: float, last: float) -> tuple[float, float]:
        if last - first <= 2 * half:
            return first, last
        value = float(np.clip(value, first + half, last - half))
        return value - half, value + half

    left, right = clamp(middle[0], whole.left, whole.right)
    top, bottom = clamp(middle[1], whole.top, whole.bottom)
    return Window(left, right, top, bottom)


def contours(mask: np.ndarray) -> Outline:
    """Return the outlines of a 2-D mask as closed (row, column) polygons, straight runs as one step.

    Parameters
    ----------
    mask : ndarray of bool, shape (rows, columns)
    """
    from skimage.measure import find_contours

    found = find_contours(np.pad(mask, 1).astype(np.float32), 0.5)
    return [_without_runs(line) - 1 for line in found if len(line) > 3]


def _without_runs(line: np.ndarray) -> np.ndarray:
    """Drop the inner points of straight runs."""
    step = np.diff(line, axis=0)
    turns = np.any(np.abs(step[1:] - step[:-1]) > 1e-6, axis=1)
    return line[np.concatenate([[True], turns, [True]])]


def spine_outlines(cuts: Cuts, grid: Grid, plane: str, index: int | None = None) -> dict[int, Outline]:
    """Return the outline of every spine that shows in a plane.

    Parameters
    ----------
    cuts : iterable of (spine id, origin, mask)
        What `Cutter.cut` gives.
    grid : Grid
        Of the masks.
    plane : str
        A key of `AXES`.
    index : int, optional
        Slice on the analysis grid; None projects.

    Returns
    -------
    dict of int to list of ndarray, shape (n, 2)
        (across, down) in um.
    """
    along, row, column = AXES[plane]
    found = {}
    for number, origin, mask in cuts:
        if index is None:
            flat = mask.any(axis=along)
        elif 0 <= index - origin[along] < mask.shape[along]:
            flat = mask.take(index - origin[along], axis=along)
        else:
            continue
        lines = [
            _to_um(line, (origin[row], origin[column]), grid, plane) for line in contours(np.asarray(flat))
        ]
        if lines:
            found[number] = lines
    return found


def cross_of(lines: Outline, half_um: float = CROSS_UM) -> Outline:
    """Return a small cross in the middle of some lines, in place of the outline of a head that has none."""
    middle = np.concatenate(lines).mean(axis=0)
    return [middle + np.array([[-half_um, s * half_um], [half_um, -s * half_um]]) for s in (-1, 1)]


def dendrite_outline(ids: np.ndarray, grid: Grid, plane: str, index: int | None = None) -> Outline:
    """Return the outline of all dendrites in a plane; parameters as in `spine_outlines`, `ids` ZYX."""
    along = AXES[plane][0]
    if index is None:
        flat = ids.any(axis=along)
    else:
        flat = ids.take(min(max(index, 0), ids.shape[along] - 1), axis=along) > 0
    return [_to_um(line, (0, 0), grid, plane) for line in contours(np.asarray(flat))]


def _to_um(line: np.ndarray, origin: tuple[int, int], grid: Grid, plane: str) -> np.ndarray:
    _, row, column = AXES[plane]
    axes = [row, column]
    um = (line + np.array(origin)) * grid.spacing_um[axes] + grid.offset_um[axes]
    return um[:, ::-1]


def grid_index(index: int, size: int, grid_size: int) -> int:
    """Return the slice of the analysis grid nearest to a slice of the stack."""
    return min(int((index + 0.5) * grid_size / size), grid_size - 1)


def heads_um(spines: pd.DataFrame, spacing: Spacing, plane: str) -> np.ndarray:
    """Return the head centres (across, down) in um, shape (n, 2)."""
    down, across = plane_spacing(spacing, plane)
    _, row, column = AXES[plane]
    names = [f"{AXIS_NAMES[axis]}_px" for axis in (column, row)]
    return spines[names].to_numpy(float) * np.array([across, down])


def image_uri(rgb: np.ndarray, lossless: bool = False) -> str:
    """Return an image as a data address: JPEG for the screen, PNG where every pixel counts."""
    from PIL import Image

    buffer = io.BytesIO()
    if lossless:
        Image.fromarray(rgb).save(buffer, "PNG")
    else:
        grey = (rgb[..., :1] == rgb).all()  # a third less to send and to decode
        Image.fromarray(rgb[..., 0] if grey else rgb).save(buffer, "JPEG", quality=88, subsampling=0)
    kind = "png" if lossless else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


@dataclass(frozen=True)
class Picture:
    """Colours of a window of a plane.

    Parameters
    ----------
    rgb : ndarray, uint8, shape (rows, columns, 3)
    left_um, top_um : float
        Outer edge of the first pixel.
    across_um, down_um : float
        Size of a pixel.
    """

    rgb: np.ndarray
    left_um: float
    top_um: float
    across_um: float
    down_um: float

    @property
    def window(self) -> Window:
        """What it covers."""
        rows, columns = self.rgb.shape[:2]
        return Window(
            self.left_um,
            self.left_um + columns * self.across_um,
            self.top_um,
            self.top_um + rows * self.down_um,
        )

    @cached_property
    def uri(self) -> str:
        """Its data address for the screen."""
        return image_uri(self.rgb)


def make_picture(
    image: np.ndarray,
    pixel_um: tuple[float, float],
    window: Window,
    levels: tuple[float, float],
    gamma: float,
    lut: np.ndarray,
) -> Picture:
    """Colour the part of a plane that a window shows, with a margin to pan into.

    Parameters
    ----------
    image : ndarray, shape (rows, columns)
        Raw intensities of the whole plane.
    pixel_um : (down, across)
    window : Window
    levels : (low, high)
        Intensities drawn black and white.
    gamma : float
        Below 1 lifts faint structures.
    lut : ndarray, uint8, shape (256, 3)

    Returns
    -------
    Picture
        Blocks of pixels are averaged where a side would be longer than `LONGEST_SIDE`.
    """
    down, across = pixel_um
    margin_x, margin_y = window.width / 2, window.height / 2
    first_column, last_column = _span(window.left - margin_x, window.right + margin_x, across, image.shape[1])
    first_row, last_row = _span(window.top - margin_y, window.bottom + margin_y, down, image.shape[0])
    part = image[first_row:last_row, first_column:last_column]
    factor = int(np.ceil(max(part.shape) / LONGEST_SIDE))
    rows_by, columns_by = min(factor, part.shape[0]), min(factor, part.shape[1])
    if factor > 1:
        rows, columns = part.shape[0] // rows_by, part.shape[1] // columns_by
        part = part[: rows * rows_by, : columns * columns_by]
        part = part.reshape(rows, rows_by, columns, columns_by).mean(axis=(1, 3), dtype=np.float32)
    rgb = lut[to_grey(part, *levels, gamma)]
    return Picture(
        rgb,
        (first_column - 0.5) * across,
        (first_row - 0.5) * down,
        across * columns_by,
        down * rows_by,
    )


def _span(low_um: float, high_um: float, pixel_um: float, size: int) -> tuple[int, int]:
    first = int(np.clip(np.floor(low_um / pixel_um + 0.5), 0, size - 1))
    last = int(np.clip(np.ceil(high_um / pixel_um + 0.5), first + 1, size))
    return first, last
