"""A spine as a person wants to see it: the stack's own pixels, turned so that the dendrite lies below, outline and path thin.

What the networks see (`spinecore.shapes.patches`) is another picture: 0.1 um pixels and nothing but the spine's surroundings.
A heat map of the patch is laid over the portrait where it belongs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import affine_transform, gaussian_filter
from skimage.measure import find_contours

from spinecore.figures.class_colours import ink_on
from spinecore.figures.fonts import drawing_font
from spinecore.figures.surfaces import Grid
from spinecore.networks.scale import CANONICAL_UM
from spinecore.shapes.classify import SpineView
from spinecore.shapes.patches import PATCH_PX, Patch
from spinecore.shapes.pictures import inferno

#: Side of a portrait, and its thickest slab in a stack (um).
SIDE_UM = 4.5
SLAB_UM = 1.5
#: Pixels of a portrait.
SIDE_PX = 270
#: Grey of what lies outside the stack.
OUTSIDE = 70
#: The dendrite's direction is taken within this distance of the spine (um).
_NEAR_UM = 2.0
_GAMMA = 0.8
_PATH_COLOUR = (255, 255, 255)


@dataclass(frozen=True)
class Place:
    """Where a portrait is taken.

    Parameters
    ----------
    middle_um : ndarray, shape (2,)
        (y, x) in the stack's frame, where the first pixel's centre is 0.
    turn : ndarray, shape (2, 2)
        Takes a step on the portrait (down, across) to one in the stack (y, x).
    slices : tuple of int
        First and last slice (last excluded).
    outline : tuple of ndarray, shape (n, 2)
        Lines (y, x) in um of the stack.
    to_patch : tuple of ndarray
        Matrix (2, 2) and offset (2,) that take a point of the stack (y, x; um) to a pixel of the patch.
    """

    middle_um: np.ndarray
    turn: np.ndarray
    slices: tuple[int, int]
    outline: tuple[np.ndarray, ...]
    to_patch: tuple[np.ndarray, np.ndarray]

    def on_portrait(self, points_um: np.ndarray, side_px: int = SIDE_PX) -> np.ndarray:
        """Return (down, across) in pixels of the portrait of points (n, 2) in um of the stack."""
        steps = (np.asarray(points_um) - self.middle_um) @ self.turn
        return steps * side_px / SIDE_UM + (side_px - 1) / 2


@dataclass(frozen=True)
class Crop:
    """The stack's pixels around a place, as the projection of its slab.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
    first : tuple of int
        (row, column) of its first pixel in the stack.
    pixel_um : tuple of float
        (y, x).
    """

    image: np.ndarray
    first: tuple[int, int]
    pixel_um: tuple[float, float]


def place_of(view: SpineView, patch: Patch, grid: Grid) -> Place:
    """Return where the portrait of a spine is taken: at the middle of its patch, its dendrite lying below.

    In a stack the slab is the spine's own slices, or `SLAB_UM` of them round its brightest depth where it is thicker.

    Parameters
    ----------
    view : SpineView
    patch : Patch
        Of that view.
    grid : Grid
        How the view's voxels lie in the stack.
    """
    size = grid.spacing_um[1:]
    first = np.array(view.origin[1:]) * size + grid.offset_um[1:]
    middle = (patch.matrix @ np.full(2, (PATCH_PX - 1) / 2) + patch.offset) * size + first
    flat = np.pad(view.mask.any(0), 2).astype(np.float32)
    smooth = gaussian_filter(flat, 0.6)
    lines = [(line - 2) * size + first for line in find_contours(smooth, 0.5 * float(smooth.max()))]
    back = np.linalg.inv(patch.matrix)
    to_patch = back / size, -back @ (first / size + patch.offset)
    turn = _lying(view, (middle - first) / size)
    if turn is None:
        turn = patch.matrix * (size / CANONICAL_UM)[:, None]
    return Place(middle, turn, _slab(view), tuple(lines), to_patch)


def _lying(view: SpineView, middle_px: np.ndarray) -> np.ndarray | None:
    """Return the turn that lays the dendrite near a spine flat, the spine above it; None where it has no clear direction."""
    size = np.array(view.spacing_zyx_um[1:])
    shaft = np.argwhere(view.dendrite.any(0)) * size
    away = shaft - middle_px * size
    distance = np.hypot(*away.T)
    if not len(shaft):
        return None
    near = away[distance < max(_NEAR_UM, float(distance.min()) + 0.8)]
    if len(near) < 6:
        return None
    centre = near.mean(0)
    strength, axes = np.linalg.eigh(np.cov((near - centre).T))
    if strength[1] < 1.5 * strength[0]:
        return None
    along = axes[:, 1]
    below = np.array([along[1], -along[0]])
    if below @ centre < 0:
        below = -below
    return np.column_stack([below, [-below[1], below[0]]])


def _slab(view: SpineView) -> tuple[int, int]:
    inside = np.flatnonzero(view.mask.any((1, 2)))
    first, last = int(inside[0]), int(inside[-1]) + 1
    most = max(1, round(SLAB_UM / view.spacing_zyx_um[0]))
    if last - first > most:
        low = float(view.image.min())
        light = ((view.image - low) * view.mask)[first:last].sum((1, 2), dtype=float)
        sums = np.convolve(light, np.ones(most), "valid")
        first += int(sums.argmax())
        last = first + most
    return first + view.origin[0], last + view.origin[0]


def take_crops(
    slices: Iterable[np.ndarray],
    first: int,
    places: Mapping[int, Place],
    shape_yx: tuple[int, int],
    pixel_um: tuple[float, float],
) -> dict[int, Crop]:
    """Project the slab of every place, going through the slices once.

    Parameters
    ----------
    slices : iterable of ndarray, shape (Y, X)
        Of the stack, from number `first` on.
    first : int
    places : mapping of spine number to Place
    shape_yx : tuple of int
        Of a slice.
    pixel_um : tuple of float
        (y, x).
    """
    reach = SIDE_UM * 0.75
    windows = {n: _window(place.middle_um, reach, shape_yx, pixel_um) for n, place in places.items()}
    found: dict[int, np.ndarray] = {}
    for z, plane in enumerate(slices, start=first):
        for number, place in places.items():
            if place.slices[0] <= z < place.slices[1]:
                part = plane[windows[number]]
                found[number] = np.maximum(found[number], part) if number in found else part.copy()
    return {
        n: Crop(image, (windows[n][0].start, windows[n][1].start), pixel_um) for n, image in found.items()
    }


def _window(
    middle_um: np.ndarray, reach_um: float, shape_yx: tuple[int, int], pixel_um: tuple[float, float]
) -> tuple[slice, slice]:
    out = []
    for middle, size, count in zip(middle_um, pixel_um, shape_yx, strict=True):
        low = int(np.clip(np.floor((middle - reach_um) / size), 0, count - 1))
        high = int(np.clip(np.ceil((middle + reach_um) / size) + 1, low + 1, count))
        out.append(slice(low, high))
    return out[0], out[1]


def turned(crop: Crop, place: Place, side_px: int = SIDE_PX) -> tuple[np.ndarray, np.ndarray]:
    """Return a crop's intensities on the portrait, float32 (side, side), and where the stack reaches, bool."""
    per_um = 1 / np.array(crop.pixel_um)
    matrix = per_um[:, None] * place.turn * (SIDE_UM / side_px)
    middle = place.middle_um * per_um - crop.first
    offset = middle - matrix @ np.full(2, (side_px - 1) / 2)
    size = (side_px, side_px)
    image = affine_transform(crop.image.astype(np.float32), matrix, offset, size, order=3, mode="nearest")
    places = np.indices(size).reshape(2, -1).T @ matrix.T + offset
    inside = ((places > -0.5) & (places < np.array(crop.image.shape) - 0.5)).all(1)
    return image, inside.reshape(size)


def portrait(
    crop: Crop,
    place: Place,
    colour: tuple[int, int, int],
    path_um: np.ndarray | None = None,
    heat: np.ndarray | None = None,
    letter: str = "",
    side_px: int = SIDE_PX,
) -> np.ndarray:
    """Draw a spine as uint8 RGB (side, side, 3).

    Contrast is that of the spine: its surroundings' dark end is black, its own bright end white.

    Parameters
    ----------
    crop : Crop
    place : Place
    colour : tuple of int
        Of the outline.
    path_um : ndarray, shape (n, 2), optional
        The measured path (y, x) in um of the stack.
    heat : ndarray, shape (PATCH_PX, PATCH_PX), optional
        A heat map of the patch, 0..1, laid over the image.
    letter : str
        Of its class, drawn into the upper left corner on the colour of the outline, as in the legend.
    side_px : int
    """
    image, inside = turned(crop, place, side_px)
    outline = [place.on_portrait(line, side_px) for line in place.outline]
    low, high = contrast(image, inside, _filled(outline, side_px))
    grey = np.clip((image - low) / (high - low), 0, 1) ** _GAMMA * 255
    rgb = np.repeat(np.where(inside, grey, OUTSIDE)[..., None], 3, 2)
    if heat is not None:
        rgb = with_heat(rgb, heat, place, side_px)
    picture = Image.fromarray(rgb.clip(0, 255).astype(np.uint8))
    _draw_lines(picture, outline, colour)
    if path_um is not None and len(path_um) > 1:
        _draw_lines(picture, [place.on_portrait(path_um, side_px)], _PATH_COLOUR)
    _draw_scale(picture, side_px)
    if letter:
        _draw_letter(picture, letter, colour, side_px)
    return np.asarray(picture)


def contrast(image: np.ndarray, inside: np.ndarray, spine: np.ndarray) -> tuple[float, float]:
    """Return what is shown black and white: the 2nd percentile of the picture, and a fifth beyond the spine's 98th."""
    low = float(np.percentile(image[inside] if inside.any() else image, 2))
    own = image[spine & inside]
    high = float(np.percentile(own, 98)) if own.size else float(image.max())
    high += 0.2 * (high - low)
    return (low, high) if high > low else (low, low + 1.0)


def with_heat(rgb: np.ndarray, heat: np.ndarray, place: Place, side_px: int = SIDE_PX) -> np.ndarray:
    """Lay a heat map of the patch over a portrait's colours (side, side, 3), each float 0..255."""
    matrix, offset = place.to_patch
    step = matrix @ place.turn * (SIDE_UM / side_px)
    start = matrix @ place.middle_um + offset - step @ np.full(2, (side_px - 1) / 2)
    fine = affine_transform(heat.astype(np.float32), step, start, (side_px, side_px), order=1)
    fine = np.clip(fine, 0, 1)[..., None]
    return np.asarray(rgb * (1 - 0.7 * fine) + inferno(fine[..., 0]) * 0.7 * fine)


def _filled(outline: Sequence[np.ndarray], side_px: int) -> np.ndarray:
    canvas = Image.new("1", (side_px, side_px))
    draw = ImageDraw.Draw(canvas)
    for line in outline:
        draw.polygon([(float(x), float(y)) for y, x in line], fill=1)
    return np.asarray(canvas, bool)


def _draw_lines(picture: Image.Image, lines: Iterable[np.ndarray], colour: tuple[int, int, int]) -> None:
    """Draw lines two pixels wide, smoothed by drawing them three times as large."""
    zoom = 3
    over = Image.new("L", (picture.width * zoom, picture.height * zoom))
    draw = ImageDraw.Draw(over)
    for line in lines:
        draw.line([(float(x + 0.5) * zoom, float(y + 0.5) * zoom) for y, x in line], fill=255, width=6)
    mask = over.resize(picture.size, Image.Resampling.BOX)
    picture.paste(Image.new("RGB", picture.size, colour), (0, 0), mask)


def _draw_letter(picture: Image.Image, letter: str, colour: tuple[int, int, int], side_px: int) -> None:
    """Draw a letter on a square of a colour into the upper left corner."""
    side, edge = side_px // 7, round(side_px / 30)
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((edge, edge, edge + side, edge + side), side // 6, fill=colour)
    middle = edge + side / 2
    draw.text(
        (middle, middle), letter, fill=ink_on(colour), font=drawing_font(round(side * 0.8)), anchor="mm"
    )


def _draw_scale(picture: Image.Image, side_px: int) -> None:
    """Draw a bar of 1 um into the lower left corner."""
    length, edge = side_px / SIDE_UM, round(side_px / 30)
    draw = ImageDraw.Draw(picture)
    bottom = side_px - edge
    draw.rectangle((edge - 1, bottom - 4, edge + length + 1, bottom + 1), fill=(0, 0, 0))
    draw.rectangle((edge, bottom - 3, edge + length, bottom), fill=(255, 255, 255))
