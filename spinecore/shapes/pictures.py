"""Patches and heat maps as pictures for people: grey projection, outline, heat; and the figure sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from spinecore.shapes.explain import Heat
from spinecore.shapes.patches import Patch

_OUTLINE = (240, 228, 66)
#: Spines on one figure sheet, at most.
SHEET_LIMIT = 100


def grey(patch: Patch, zoom: int = 4) -> np.ndarray:
    """Return a patch's projection as uint8 RGB, enlarged `zoom` times."""
    value = np.clip(patch.image / 1.1, 0, 1)
    return _enlarge((np.repeat(value[..., None], 3, -1) * 255).astype(np.uint8), zoom)


def outlined(patch: Patch, zoom: int = 4) -> np.ndarray:
    """Return the projection with the spine's outline, uint8 RGB."""
    return _with_outline(grey(patch, zoom), patch, zoom)


def example_picture(planes: np.ndarray, zoom: int = 6, margin_px: int = 6) -> np.ndarray:
    """Return a labelled example (3, Y, X) with its outline, uint8 RGB, without the patch's outermost pixels."""
    image, outline, depth = planes
    whole = outlined(Patch(image, outline, depth, np.eye(2), np.zeros(2)), zoom)
    edge = margin_px * zoom
    return whole[edge:-edge, edge:-edge]


def heated(patch: Patch, heat: np.ndarray, zoom: int = 4) -> np.ndarray:
    """Return the projection with a heat map (0..1) laid over it and the outline, uint8 RGB."""
    from PIL import Image

    size = heat.shape[1] * zoom, heat.shape[0] * zoom
    fine = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
    fine = np.clip(fine, 0, 1)[..., None]
    colour = inferno(fine[..., 0])
    mixed = grey(patch, zoom) * (1 - 0.65 * fine) + colour * 0.65 * fine
    return _with_outline(mixed.clip(0, 255).astype(np.uint8), patch, zoom)


def inferno(value: np.ndarray) -> np.ndarray:
    """Return colours (..., 3) 0..255 of values 0..1 (a seven-step reading of matplotlib's inferno)."""
    steps = np.array(
        [
            (0, 0, 4),
            (51, 10, 95),
            (120, 28, 109),
            (187, 55, 84),
            (237, 105, 37),
            (252, 181, 25),
            (252, 255, 164),
        ],
        float,
    )
    place = np.linspace(0, 1, len(steps))
    return np.stack([np.interp(value, place, steps[:, k]) for k in range(3)], -1)


def _enlarge(picture: np.ndarray, zoom: int) -> np.ndarray:
    return picture.repeat(zoom, 0).repeat(zoom, 1)


def _with_outline(picture: np.ndarray, patch: Patch, zoom: int) -> np.ndarray:
    inside = _enlarge((patch.outline > 0)[..., None], zoom)[..., 0]
    padded = np.pad(inside, 1)
    core = padded[1:-1, :-2] & padded[1:-1, 2:] & padded[:-2, 1:-1] & padded[2:, 1:-1]
    out = picture.copy()
    out[inside & ~core] = _OUTLINE
    return out


def figure_sheet(
    ids: Sequence[int], patches: Sequence[Patch], heat: Heat, rules: Sequence[str | None], title: str
) -> bytes:
    """Return a PNG with one cell per spine: projection, heat map and control, with class, rule and shares.

    Parameters
    ----------
    ids : sequence of int
        At most `SHEET_LIMIT`.
    patches : sequence of Patch
    heat : Heat
    rules : sequence of str or None
        The rules' class.
    title : str
        Written on top.
    """
    from PIL import Image, ImageDraw

    zoom, columns, text = 3, 3, 40
    side = patches[0].image.shape[0] * zoom
    width, height = 3 * side + 16, side + text + 10
    rows = -(-len(ids) // columns)
    sheet = Image.new("RGB", (columns * width + 16, rows * height + 56), "white")
    draw = ImageDraw.Draw(sheet)
    draw.text((16, 10), title, fill="black", font_size=16)
    draw.text((16, 32), "projection | heat map | control (randomised weights)", fill="#5b6875", font_size=12)
    for k, (number, patch) in enumerate(zip(ids, patches, strict=True)):
        left, top = 16 + (k % columns) * width, 56 + (k // columns) * height
        cells = (
            outlined(patch, zoom),
            heated(patch, heat.maps[k], zoom),
            heated(patch, heat.controls[k], zoom),
        )
        for j, cell in enumerate(cells):
            sheet.paste(Image.fromarray(cell), (left + j * side, top))
        against = f" against {heat.against[k]}" if heat.against[k] else ""
        draw.text(
            (left, top + side + 3),
            f"{number}: {heat.classes[k]}{against} {heat.probabilities[k].max():.2f}; rules: {rules[k] or 'not decided'}",
            fill="black",
            font_size=12,
        )
        draw.text(
            (left, top + side + 19),
            f"heat on the spine {heat.inside[k]:.0%} (control {heat.control_inside[k]:.0%}, area {heat.area[k]:.0%})",
            fill="#5b6875",
            font_size=12,
        )
    out = io.BytesIO()
    sheet.save(out, "PNG", dpi=(200, 200))
    return out.getvalue()
