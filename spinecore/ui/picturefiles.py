"""A scene as a file for a paper: SVG with every outline as a path, or PNG of the same drawing."""

from __future__ import annotations

import io
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from spinecore.figures.fonts import drawing_font
from spinecore.ui.colours import DENDRITE
from spinecore.ui.planes import Outline, image_uri
from spinecore.ui.scene import LINE, SELECTED_LINE, Scene

#: Longest side of the picture itself, in px of the drawing.
LONG_SIDE = 1000
#: The PNG has this many dots for one px of the drawing.
PNG_SCALE = 2
_KEY_WIDTH = 150
_FONT = "Helvetica, Arial, 'DejaVu Sans', sans-serif"
_INK = "#101820"


class _Drawing:
    """Places of a scene on a page: px from um, and the room for the colour key."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        window = scene.window
        self.scale = LONG_SIDE / max(window.width, window.height)
        self.width = round(window.width * self.scale)
        self.height = max(round(window.height * self.scale), 1)
        has_key = bool(scene.colouring.scale or scene.colouring.entries)
        self.page_width = self.width + (_KEY_WIDTH if has_key else 0)
        self.page_height = max(self.height, self.key_height)

    @property
    def key_height(self) -> int:
        """Room that the colour key needs, in px."""
        colouring = self.scene.colouring
        return (
            (220 if colouring.scale else 0) + 26 * len(colouring.entries) + (40 if colouring.entries else 0)
        )

    def place(self, points: np.ndarray) -> np.ndarray:
        """Return px of (across, down) um, shape (n, 2)."""
        window = self.scene.window
        return (np.asarray(points, float) - (window.left, window.top)) * self.scale

    def lines(self) -> list[tuple[Outline, str, float]]:
        """Return (outlines, colour, width) in drawing order."""
        scene = self.scene
        drawn = [(scene.dendrite, DENDRITE, 1.2)]
        drawn += [
            (lines, scene.colouring.colours[number], LINE)
            for number, lines in scene.spines.items()
            if number != scene.selected
        ]
        if scene.selected in scene.spines:
            chosen = scene.spines[scene.selected]
            drawn.append((chosen, scene.ink, SELECTED_LINE + 2.0))
            drawn.append((chosen, scene.colouring.colours[scene.selected], SELECTED_LINE - 0.6))
        return [item for item in drawn if item[0]]

    def bar(self) -> tuple[float, float, float]:
        """Return left, right and y of the scale bar in px."""
        right = self.width - 0.035 * self.width
        return (
            right - self.scene.bar_um * self.scale,
            right,
            self.height - 0.04 * min(self.height, self.width) - 4,
        )


def scene_svg(scene: Scene) -> str:
    """Return a scene as SVG: the picture embedded as PNG, outlines as paths, text as text."""
    page = _Drawing(scene)
    picture = scene.picture
    left, top = page.place(np.array([[picture.left_um, picture.top_um]]))[0]
    rows, columns = picture.rgb.shape[:2]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{page.page_width}" height="{page.page_height}" '
        f'viewBox="0 0 {page.page_width} {page.page_height}" font-family={quoteattr(_FONT)}>',
        f"<title>{escape(scene.title)}</title>",
        f'<rect width="{page.page_width}" height="{page.page_height}" fill="#ffffff"/>',
        f'<clipPath id="view"><rect width="{page.width}" height="{page.height}"/></clipPath>',
        '<g clip-path="url(#view)">',
        f'<image x="{left:.2f}" y="{top:.2f}" width="{columns * picture.across_um * page.scale:.2f}" '
        f'height="{rows * picture.down_um * page.scale:.2f}" preserveAspectRatio="none" '
        f'href="{image_uri(picture.rgb, lossless=True)}"/>',
    ]
    for lines, colour, width in page.lines():
        path = " ".join(_path(page.place(line)) for line in lines)
        parts.append(
            f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}" stroke-linejoin="round"/>'
        )
    x0, x1, y = page.bar()
    parts.append(f'<path d="M{x0:.1f} {y:.1f}H{x1:.1f}" stroke="{scene.ink}" stroke-width="6"/>')
    halo = "#000000" if scene.ink == "#ffffff" else "#ffffff"
    parts.append(
        f'<text x="{(x0 + x1) / 2:.1f}" y="{y - 9:.1f}" fill="{scene.ink}" stroke="{halo}" stroke-width="3" '
        f'stroke-opacity="0.6" paint-order="stroke" font-size="22" text-anchor="middle">{scene.bar_um:g} µm</text>'
    )
    parts.append("</g>")
    parts += _svg_key(page)
    parts.append("</svg>")
    return "\n".join(parts)


def _path(points: np.ndarray) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) + "Z"


def _svg_key(page: _Drawing) -> list[str]:
    colouring, x = page.scene.colouring, page.width + 22
    parts = []
    y = 20.0
    if colouring.scale:
        step = 180 / len(colouring.scale)
        for k, colour in enumerate(colouring.scale):
            parts.append(
                f'<rect x="{x}" y="{y + 180 - (k + 1) * step:.2f}" width="18" height="{step + 0.5:.2f}" fill="{colour}"/>'
            )
        for place, value in _ticks(colouring.low, colouring.high):
            parts.append(_svg_text(x + 26, y + 180 - 180 * place + 5, f"{value:.3g}"))
        parts.append(
            f'<text transform="translate({x + 92} {y + 90}) rotate(90)" text-anchor="middle" font-size="17" '
            f'fill="{_INK}">{escape(colouring.title)}</text>'
        )
        y += 215
    for text, colour in colouring.entries:
        parts.append(f'<path d="M{x} {y}h22" stroke="{colour}" stroke-width="5"/>')
        parts.append(_svg_text(x + 30, y + 5, text))
        y += 26
    return parts


def _svg_text(x: float, y: float, text: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="16" fill="{_INK}">{escape(text)}</text>'


def _ticks(low: float, high: float) -> list[tuple[float, float]]:
    return [(place, low + place * (high - low)) for place in (0.0, 0.5, 1.0)]


def scene_png(scene: Scene) -> bytes:
    """Return a scene as PNG, drawn at twice its size and smoothed."""
    from PIL import Image, ImageDraw

    page = _Drawing(scene)
    fine = PNG_SCALE * 2
    canvas = Image.new("RGB", (page.page_width * fine, page.page_height * fine), "#ffffff")
    view = _png_picture(page, fine)
    draw = ImageDraw.Draw(view)
    for lines, colour, width in page.lines():
        for line in lines:
            points = [tuple(point) for point in page.place(line) * fine]
            draw.line([*points, points[0]], fill=colour, width=max(1, round(width * fine)), joint="curve")
    x0, x1, y = (value * fine for value in page.bar())
    draw.rectangle([x0, y - 3 * fine, x1, y + 3 * fine], fill=scene.ink)
    draw.text(
        ((x0 + x1) / 2, y - 8 * fine),
        f"{scene.bar_um:g} µm",
        fill=scene.ink,
        font=drawing_font(22 * fine),
        anchor="mb",
    )
    canvas.paste(view, (0, 0))
    _png_key(canvas, page, fine)
    canvas = canvas.resize((page.page_width * PNG_SCALE, page.page_height * PNG_SCALE), Image.Resampling.BOX)
    buffer = io.BytesIO()
    dots_per_um = page.scale * PNG_SCALE
    canvas.save(buffer, "PNG", dpi=(300, 300), pnginfo=_png_facts(scene, dots_per_um))
    return buffer.getvalue()


def _png_facts(scene: Scene, dots_per_um: float):
    from PIL.PngImagePlugin import PngInfo

    facts = PngInfo()
    facts.add_itxt("Title", scene.title)
    facts.add_itxt("Scale", f"{dots_per_um:.4g} pixels per µm")
    return facts


def _png_picture(page: _Drawing, fine: int):
    from PIL import Image

    picture, window = page.scene.picture, page.scene.window
    box = (
        (window.left - picture.left_um) / picture.across_um,
        (window.top - picture.top_um) / picture.down_um,
        (window.right - picture.left_um) / picture.across_um,
        (window.bottom - picture.top_um) / picture.down_um,
    )
    rows, columns = picture.rgb.shape[:2]
    box = (max(box[0], 0), max(box[1], 0), min(box[2], columns), min(box[3], rows))
    size = (page.width * fine, page.height * fine)
    return Image.fromarray(picture.rgb).resize(size, Image.Resampling.NEAREST, box=box)


def _png_key(canvas, page: _Drawing, fine: int) -> None:
    from PIL import Image, ImageDraw

    colouring, x = page.scene.colouring, (page.width + 22) * fine
    draw = ImageDraw.Draw(canvas)
    y = 20 * fine
    length = 180 * fine
    if colouring.scale:
        step = length / len(colouring.scale)
        for k, colour in enumerate(colouring.scale):
            draw.rectangle(
                [x, y + length - (k + 1) * step, x + 18 * fine, y + length - k * step], fill=colour
            )
        for place, value in _ticks(colouring.low, colouring.high):
            draw.text(
                (x + 26 * fine, y + length * (1 - place)),
                f"{value:.3g}",
                fill=_INK,
                font=drawing_font(16 * fine),
                anchor="lm",
            )
        size = draw.textlength(colouring.title, font=drawing_font(17 * fine))
        label = Image.new("RGB", (round(size) + 4, 24 * fine), "#ffffff")
        ImageDraw.Draw(label).text(
            (0, 12 * fine), colouring.title, fill=_INK, font=drawing_font(17 * fine), anchor="lm"
        )
        label = label.rotate(-90, expand=True)
        canvas.paste(label, (x + 80 * fine, round(y + length / 2 - label.height / 2)))
        y += 215 * fine
    for text, colour in colouring.entries:
        draw.rectangle([x, y - 3 * fine, x + 22 * fine, y + 3 * fine], fill=colour)
        draw.text((x + 30 * fine, y), text, fill=_INK, font=drawing_font(16 * fine), anchor="lm")
        y += 26 * fine
