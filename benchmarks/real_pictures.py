"""What two versions draw on the same real files, side by side: `python -m benchmarks.real_pictures`.

The six stacks of `real_stacks`, one file of each kind of `real_inputs` that shows spines, and twenty images of points2d/val (one of each of
ten, five and five fields of findspines, smirnov and flimage, drawn at random). No truth is used: the sheets are for the eye. The
files of `real_inputs` have no licence, so their sheet is not for publication.

    python -m benchmarks.real_pictures --commands DIR | sh             # analyse all with the version whose folder this is
    python -m benchmarks.real_pictures --before DIR --after DIR --out SHEETS
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

#: Files of `real_inputs`, and the sizes to say (um a pixel, um a slice) where they tell none; that of b is taken from a.
FILES: dict[str, tuple[float | None, float | None]] = {
    "twophoton_projection_a_t01.tif": (None, None),
    "twophoton_projection_b_t01.tif": (0.129, None),
    "scanimage_stack_4z_2ch.tif": (0.12, 1.0),
    "scanimage_stack_4z_2ch_b.tif": (0.12, 1.0),
    "flimage_mip.tif": (0.05, None),
    "spiny_dendrite_248x718.tif": (0.1, None),
    "auditory_cortex_slice_1.png": (0.1, None),
    "auditory_cortex_slice_2.png": (0.1, None),
}
#: Images of each subset of points2d/val, and um a pixel there (nominal).
IMAGES = {"findspines": (10, 0.10), "smirnov_spineyolo": (5, 0.05), "flimage_max": (5, 0.05)}
SEED = 20
#: Width of a picture, space round it, and pictures of one version beside each other.
WIDTH, GAP, PAIRS = 330, 6, 2


def inputs(data: Path) -> Iterator[tuple[str, Path, float | None, float | None]]:
    """Give (sheet, file, pixel size or None, z step or None)."""
    for path in sorted((data / "real_stacks").glob("tp*.tif")):
        yield "stacks", path, None, None
    for name, (pixel, step) in FILES.items():
        yield "inputs", data / "real_inputs" / name, pixel, step
    table = pd.read_csv(data / "points2d" / "images.csv")
    rng = np.random.default_rng(SEED)
    for subset, (count, pixel) in IMAGES.items():
        own = table[(table["split"] == "val") & (table["subset"] == subset)]
        for group in rng.permutation(sorted(own["group"].unique()))[:count]:
            yield (
                "images",
                data / "points2d" / "images" / own[own["group"] == group]["image"].iloc[0],
                pixel,
                None,
            )


def commands(data: Path, out: Path) -> Iterator[str]:
    """Give the command that analyses each file; a file that stops or takes more than half an hour stops no other."""
    for sheet, path, pixel, step in inputs(data):
        sizes = [f"--pixel-size {pixel}"] * (pixel is not None) + [f"--z-step {step}"] * (step is not None)
        told = " ".join(["timeout 1800 python -m spinecore analyse", shlex.quote(str(path)), *sizes])
        yield f"{told} --out {shlex.quote(str(out / sheet / path.stem))}"


def picture(folder: Path) -> Image.Image:
    """Return the overview of an analysis with its number of spines; an empty picture where there is none."""
    if not (folder / "spines.csv").is_file():
        empty = Image.new("RGB", (WIDTH, 60), "white")
        ImageDraw.Draw(empty).text((8, 22), "no result within half an hour", fill="black")
        return empty
    with Image.open(folder / "overview.png") as found:
        small = found.convert("RGB").resize((WIDTH, max(1, round(WIDTH * found.height / found.width))))
    return small.crop((0, 0, WIDTH, min(small.height, WIDTH)))


def sheet(names: list[str], before: Path, after: Path) -> Image.Image:
    """Draw every file twice, before on the left."""
    rows = []
    for first in range(0, len(names), PAIRS):
        own = names[first : first + PAIRS]
        pictures = [(name, [picture(side / name) for side in (before, after)]) for name in own]
        height = max(p.height for _, pair in pictures for p in pair) + 22
        row = Image.new("RGB", (PAIRS * 2 * (WIDTH + GAP) + GAP, height), "white")
        pen = ImageDraw.Draw(row)
        for k, (name, pair) in enumerate(pictures):
            for side, one in enumerate(pair):
                x = GAP + (2 * k + side) * (WIDTH + GAP)
                row.paste(one, (x, 18))
                table = (before, after)[side] / name / "spines.csv"
                count = f"{len(pd.read_csv(table))} spines" if table.is_file() else ""
                pen.text((x, 3), f"{name[:34]}: {('before', 'after')[side]}, {count}", fill="black")
        rows.append(row)
    whole = Image.new("RGB", (rows[0].width, sum(r.height for r in rows)), "white")
    y = 0
    for row in rows:
        whole.paste(row, (0, y))
        y += row.height
    return whole


def main() -> None:
    """Print the commands, or draw the sheets."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--commands", type=Path, help="folder for the analyses")
    parser.add_argument("--before", type=Path)
    parser.add_argument("--after", type=Path)
    parser.add_argument("--out", type=Path, default=Path())
    args = parser.parse_args()
    if args.commands:
        print("\n".join(commands(args.data.resolve(), args.commands.resolve())))
        return
    if not (args.before and args.after):
        parser.error("give --commands DIR, or --before DIR and --after DIR")
    sheets: dict[str, list[str]] = {}
    for name, path, _, _ in inputs(args.data):
        sheets.setdefault(name, []).append(path.stem)
    for name, own in sheets.items():
        path = args.out / f"real_{name}.jpg"
        sheet(own, args.before / name, args.after / name).save(path, quality=82)
        print(path)


if __name__ == "__main__":
    main()
