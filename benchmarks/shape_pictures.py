"""Spines as the page Shapes showed them at first and as it shows them now: `python -m benchmarks.shape_pictures STACK... --picture FILE`.

Without a stack it takes the built-in real sample. The surest spines of each class are drawn four times, one above another: the
patch that the networks see (which the page showed until 2026-11-27) and on it the Grad-CAM map of `shape-joint` (the default until
then); the stack's own pixels with the dendrite below, and on them the map of the default of today. Nothing is chosen here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.builtin import REAL
from spinecore.figures.class_colours import CLASS_COLOURS
from spinecore.figures.fonts import drawing_font
from spinecore.figures.portraits import SIDE_PX, place_of, portrait, take_crops
from spinecore.figures.surfaces import grid_of
from spinecore.reading import read_stack
from spinecore.shapes.classes import CLASSES
from spinecore.shapes.classify import DEFAULT_MODEL, load_classifier
from spinecore.shapes.explain import explain
from spinecore.shapes.patches import PATCH_PX
from spinecore.shapes.pictures import heated, outlined
from spinecore.stack import Stack

FIRST_MODEL = "shape-joint"
ROWS = ("first", f"first: {FIRST_MODEL}", "now", f"now: {DEFAULT_MODEL}")
_CELL, _EDGE, _TEXT = 150, 6, 22


def surest(analysis: Analysis, each: int) -> list[int]:
    """Return the numbers of the spines of each class with the highest probabilities, class by class."""
    spines = analysis.spines.sort_values("class_probability", ascending=False)
    return [int(i) for name in CLASSES for i in spines[spines["class"] == name]["spine_id"].head(each)]


def columns(stack: Stack, analysis: Analysis, ids: list[int]) -> list[list[np.ndarray]]:
    """Return the pictures of each spine, from top to bottom as in `ROWS`, uint8 RGB."""
    views = analysis.cutter.views(analysis.threshold, set(ids))
    grid = grid_of(analysis.candidates, analysis.spacing)
    patches = {i: views[i].patch() for i in ids}
    places = {i: place_of(views[i], patches[i], grid) for i in ids}
    crops = take_crops(
        stack.voxels, 0, places, stack.voxels.shape[1:], analysis.spacing.zyx_um(z_default=1.0)[1:]
    )
    own = [patches[i] for i in ids]
    first, now = (explain(own, load_classifier(name, "cpu")).maps for name in (FIRST_MODEL, DEFAULT_MODEL))
    names = dict(zip(analysis.spines["spine_id"], analysis.spines["class"], strict=True))
    zoom = round(SIDE_PX / PATCH_PX)
    found = []
    for k, i in enumerate(ids):
        colour, letter = ImageColor.getrgb(CLASS_COLOURS[names[i]]), names[i][0].upper()
        found.append(
            [
                outlined(patches[i], zoom),
                heated(patches[i], first[k], zoom),
                portrait(crops[i], places[i], colour, letter=letter),
                portrait(crops[i], places[i], colour, heat=now[k]),
            ]
        )
    return found


def sheet(name: str, found: list[list[np.ndarray]], labels: list[str]) -> Image.Image:
    """Return one picture of all: a column a spine, a row for each of `ROWS`."""
    step, left = _CELL + _EDGE, 150
    size = (left + step * len(found), step * len(ROWS) + 2 * _TEXT)
    whole = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(whole), drawing_font(13)
    draw.text((4, 4), name, "black", font)
    for row, title in enumerate(ROWS):
        draw.text((4, _TEXT + step * row + _CELL // 2), title, "black", font)
    for column, (pictures, label) in enumerate(zip(found, labels, strict=True)):
        x = left + step * column
        draw.text((x, _TEXT + step * len(ROWS)), label, "black", font)
        for row, picture in enumerate(pictures):
            small = Image.fromarray(picture).resize((_CELL, _CELL), Image.Resampling.LANCZOS)
            whole.paste(small, (x, _TEXT + step * row))
    return whole


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stacks", nargs="*", type=Path)
    parser.add_argument("--each", type=int, default=2, help="spines of a class")
    parser.add_argument("--picture", type=Path, required=True)
    call = parser.parse_args()
    sheets = []
    for path in call.stacks or [REAL.stack]:
        stack = read_stack(path)
        analysis = analyse(stack, Settings(device="cpu"))
        ids = surest(analysis, call.each)
        rows = analysis.spines.set_index("spine_id").loc[ids]
        labels = [f"{i}: {r['class']} {r['class_probability']:.2f}" for i, r in rows.iterrows()]
        sheets.append(sheet(path.name, columns(stack, analysis, ids), labels))
        print(f"{path.name}: spines {', '.join(map(str, ids))}", flush=True)
    width, height = max(s.width for s in sheets), sum(s.height for s in sheets)
    whole = Image.new("RGB", (width, height), "white")
    top = 0
    for one in sheets:
        whole.paste(one, (0, top))
        top += one.height
    whole.save(call.picture, optimize=True)


if __name__ == "__main__":
    main()
