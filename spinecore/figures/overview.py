"""The picture beside every table: a projection with dendrite and spine outlines and a scale bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from spinecore.figures.fonts import drawing_font

#: Colours that people with any common colour blindness can distinguish (Okabe and Ito 2008).
SPINE_COLOUR = (255, 176, 0)
DENDRITE_COLOUR = (86, 180, 233)


def to_grey(image: np.ndarray, low: float, high: float, gamma: float = 0.7) -> np.ndarray:
    """Return uint8 grey values with `low` black and `high` white."""
    scaled = np.clip((image.astype(np.float32) - low) / max(high - low, 1e-9), 0, 1)
    return (scaled**gamma * 255).round().astype(np.uint8)


def outline(mask_ids: np.ndarray) -> np.ndarray:
    """Return the inner boundary of every id in a 2-D label image as a bool mask."""
    edge = np.zeros(mask_ids.shape, bool)
    for axis in (0, 1):
        for step in (1, -1):
            edge |= mask_ids != np.roll(mask_ids, step, axis)
    return edge & (mask_ids > 0)


def nice_length(span: float) -> float:
    """Return 1, 2 or 5 times a power of ten, at most a quarter of `span`."""
    target = span / 4
    power = 10.0 ** np.floor(np.log10(target))
    return float(max(f * power for f in (1, 2, 5) if f * power <= target))


def draw_overview(
    projection: np.ndarray,
    spine_ids: np.ndarray,
    dendrite_ids: np.ndarray,
    pixel_um: float | None,
    intensity_range: tuple[float, float],
    path: Path,
    title: str = "",
) -> None:
    """Write a PNG of a (Y, X) projection with outlines.

    Parameters
    ----------
    projection : ndarray, shape (Y, X)
    spine_ids, dendrite_ids : ndarray of int, shape (Y, X)
        Label projections.
    pixel_um : float or None
        For the scale bar; none is drawn when unknown.
    intensity_range : (low, high)
    path : Path
    title : str
        Written in the lower left corner.
    """
    factor = max(1, int(np.ceil(900 / max(projection.shape))))
    rgb = np.repeat(to_grey(projection, *intensity_range)[..., None], 3, axis=2)
    rgb = np.kron(rgb, np.ones((factor, factor, 1), np.uint8))
    for ids, colour in ((dendrite_ids, DENDRITE_COLOUR), (spine_ids, SPINE_COLOUR)):
        rgb[outline(np.kron(ids, np.ones((factor, factor), ids.dtype)))] = colour
    image = Image.fromarray(rgb)
    draw = ImageDraw.Draw(image)
    width, height = image.size
    if pixel_um:
        length_um = nice_length(projection.shape[1] * pixel_um)
        bar = length_um / pixel_um * factor
        draw.rectangle([width - 20 - bar, height - 24, width - 20, height - 18], fill=(255, 255, 255))
        draw.text(
            (width - 20 - bar, height - 42), f"{length_um:g} µm", fill=(255, 255, 255), font=drawing_font(16)
        )
    if title:
        draw.text((12, height - 30), title, fill=(255, 255, 255), font=drawing_font(16))
    image.save(path)
