"""How measured and estimated sizes answer to the true one: `python -m benchmarks.size_response`.

The network of `spinecore.methods.sizes` learned from spines whose sizes follow Harris 1992; an estimate could be drawn towards
those. Here straight dendrites carry spines that are all of one size (a ball on a neck), a size after the other, in
stacks with the microscopes of the presets and with seeds that nothing else uses. What follows the truth has a ratio of 1 at
every size. Writes a section of docs/accuracy.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from benchmarks.detection import SIMULATED
from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.simulation.detector import draw_camera, expose
from spinecore.simulation.geometry import Neurite, SpineShape
from spinecore.simulation.rendering import Grid, PointSpread
from spinecore.simulation.scene import PRESETS, Scene
from spinecore.simulation.simulate import render
from spinecore.stack import Spacing, Stack

DOCS = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
BEGIN, END = "<!-- response: written by benchmarks.size_response -->", "<!-- end of response -->"
KINDS = ("confocal", "twophoton")
HEADS_UM = (0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
FIRST_SEED = 300
NECK_UM, GAP_UM, SHAFT_UM, APART_UM = 0.12, 0.5, 0.45, 2.4
#: value of the table -> (name for people, truth of a ball on a neck)
MEASURES = {
    "head_width_um": "head width",
    "head_width_estimated_um": "head width, estimated",
    "volume_um3": "volume",
    "volume_estimated_um3": "volume, estimated",
    "length_um": "length",
    "length_estimated_um": "length, estimated",
}


def spine(base_um: np.ndarray, outward: np.ndarray, head_um: float) -> SpineShape:
    """Make a ball of diameter `head_um` on a straight neck of `GAP_UM` (um), from a base on the shaft's surface."""
    centre = base_um + outward * (GAP_UM + head_um / 2)
    neck = np.stack([base_um - 0.2 * outward, centre])
    chains = [(neck, np.full(2, NECK_UM / 2)), (np.stack([centre, centre]), np.full(2, head_um / 2))]
    return SpineShape(
        chains,
        centre,
        base_um,
        centre + outward * head_um / 2,
        GAP_UM + head_um,
        head_um,
        NECK_UM,
        GAP_UM,
        "mushroom",
        0,
        0.0,
    )


def scene(rng: np.random.Generator, extent_um: np.ndarray, head_um: float) -> Scene:
    """Put spines of one size around a straight dendrite through the middle of a box, those that point along z left out."""
    x = np.arange(-1.0, extent_um[2] + 1, 0.25)
    middle = extent_um / 2 + np.array([0.0, rng.uniform(-1, 1), 0.0])
    line = np.stack([np.full_like(x, middle[0]), np.full_like(x, middle[1]), x], axis=1)
    spines = []
    for k, at in enumerate(np.arange(2.0, extent_um[2] - 2, APART_UM / 2)):
        tilt = rng.uniform(-0.7, 0.7)
        outward = np.array([np.sin(tilt), np.cos(tilt) * (-1) ** k, 0.0])
        place = np.array([middle[0], middle[1], at + rng.uniform(-0.1, 0.1)])
        spines.append(spine(place + SHAFT_UM * outward, outward, head_um))
    return Scene([Neurite(line, np.full(len(line), SHAFT_UM))], [1.0], spines)


def errors(kind: str, head_um: float, seed: int) -> pd.DataFrame:
    """Analyse one stack; one row per spine found with measured over true size."""
    preset, shape, spacing = SIMULATED[kind]
    rng = np.random.default_rng([seed, round(1000 * head_um)])
    grid, ranges = Grid.for_stack(shape, spacing), PRESETS[preset]
    drawn = scene(rng, np.array(shape) * spacing, head_um)
    psf = PointSpread(
        rng.uniform(*ranges.lateral_fwhm_um), rng.uniform(*ranges.axial_fwhm_um), rng.uniform(*ranges.tail)
    )
    rendered = render(drawn, grid, psf)
    voxels, _, _ = expose(rendered.light, [], draw_camera(rng, ranges.photons), grid, rng)
    stack = Stack(voxels, Spacing(*spacing, source="file", detail="simulated"), f"{kind}_{head_um:g}_{seed}")
    found = analyse(stack, Settings()).spines
    if found.empty:
        return pd.DataFrame()
    heads = np.array([s.head_um for s in drawn.spines])
    gap = cdist(heads, found[["z_um", "y_um", "x_um"]].to_numpy(float))
    rows = []
    for k, j in enumerate(gap.argmin(axis=1)):
        if gap[k, j] <= 0.6:
            true = {"head": head_um, "volume": float(rendered.volumes_um3[k]), "length": GAP_UM + head_um}
            own = {name: found[name].iloc[j] / true[name.split("_")[0]] for name in MEASURES}
            rows.append({"kind": kind, "head_um": head_um, "of": len(heads), **own})
    return pd.DataFrame(rows)


def tables(found: pd.DataFrame, command: str) -> str:
    """Return the ratios as Markdown."""
    lines = [
        f"`{command}`",
        "",
        "Median of measured over true size, and half of its interquartile range.",
        "",
    ]
    for kind, rows in found.groupby("kind", sort=False):
        sizes = sorted(rows["head_um"].unique())
        lines.append(f"| {kind}, head (um) | " + " | ".join(f"{s:g}" for s in sizes) + " |")
        lines.append("|---|" + "---|" * len(sizes))
        for name, title in MEASURES.items():
            cells = []
            for size in sizes:
                values = rows.loc[rows["head_um"] == size, name].dropna()
                spread = (values.quantile(0.75) - values.quantile(0.25)) / 2
                cells.append(f"{values.median():.2f} ± {spread:.2f}" if len(values) else "none")
            lines.append(f"| {title} | " + " | ".join(cells) + " |")
        counts = [int((rows["head_um"] == size).sum()) for size in sizes]
        lines += ["| spines | " + " | ".join(map(str, counts)) + " |", ""]
    return "\n".join(lines)


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=4, help="stacks of each kind and size")
    args = parser.parse_args()
    parts = []
    for kind in KINDS:
        for head_um in HEADS_UM:
            parts += [errors(kind, head_um, seed) for seed in range(FIRST_SEED, FIRST_SEED + args.stacks)]
            print(f"{kind} {head_um:g} um: {sum(map(len, parts[-args.stacks :]))} spines", flush=True)
    text = tables(pd.concat(parts), f"python -m benchmarks.size_response --stacks {args.stacks}")
    print(text)
    old = DOCS.read_text(encoding="utf-8")
    start, stop = old.index(BEGIN) + len(BEGIN), old.index(END)
    DOCS.write_text(f"{old[:start]}\n\n{text}\n{old[stop:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
