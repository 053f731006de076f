"""The font of drawn pictures: one that has µ, ² and ³, which Pillow's own lacks. It comes with matplotlib."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from PIL import ImageFont
from PIL.ImageFont import FreeTypeFont


@lru_cache(maxsize=32)
def drawing_font(size: int) -> FreeTypeFont:
    """Return DejaVu Sans in a size in px.

    Raises
    ------
    OSError
        If matplotlib's fonts are not installed.
    """
    found = find_spec("matplotlib")
    if found is None or not found.submodule_search_locations:
        raise OSError("matplotlib's fonts are not installed: install the requirements again")
    path = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size)
