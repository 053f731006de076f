"""How well the default method does on simulated stacks of real shapes: `python -m benchmarks.real_shapes`.

Dendrites cut from electron micrographs (`em_dendrites`) that no training saw, imaged by the simulated microscope, seeds from 100:
confocal, two-photon, and the brightest projection of two-photon stacks. Heads are matched one to one within 1.0 um to the spines
whose own light shows (the rest neither counts nor harms). Measures are compared on matched spines: the median error in per cent
of the truth, and Pearson's r.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.edges import centre_edges
from spinecore.evaluation.matching import Counts, match_edges
from spinecore.simulation.real_shapes import ShapeSet, simulate_shapes
from spinecore.simulation.simulate import Simulated
from spinecore.stack import Spacing, Stack
from spinecore.training.pool import SHAPES
from spinecore.training.recipes import default_data

FIRST_SEED = 100
#: preset, shape, spacing (um), projected.
KINDS = {
    "confocal": ("confocal", (24, 320, 320), (0.3, 0.08, 0.08), False),
    "two-photon": ("twophoton", (20, 320, 320), (0.5, 0.1, 0.1), False),
    "projection": ("twophoton", (20, 320, 320), (0.5, 0.1, 0.1), True),
}
TOLERANCE_UM = 1.0
#: measure -> column of the truth
MEASURES = {
    "length_um": "length_um",
    "length_estimated_um": "length_um",
    "head_width_um": "head_width_um",
    "head_width_estimated_um": "head_width_um",
    "neck_length_um": "neck_length_um",
    "volume_um3": "volume_um3",
    "volume_estimated_um3": "volume_um3",
}


@dataclass
class Total:
    """What is found in the stacks of one kind."""

    counts: Counts = field(default_factory=Counts)
    matched: list[pd.DataFrame] = field(default_factory=list)


def project(stack: Stack) -> Stack:
    """Return the brightest projection of a stack as a single image."""
    spacing = Spacing(None, stack.spacing.y_um, stack.spacing.x_um, "file", "simulated")
    return Stack(stack.voxels.max(axis=0, keepdims=True), spacing, f"{stack.name}_projected")


def compare(made: Simulated, analysis: Analysis, projected: bool) -> tuple[Counts, pd.DataFrame]:
    """Return counts, and matched spines with their truth in columns that end in `_true`."""
    axes = ["y_um", "x_um"] if projected else ["z_um", "y_um", "x_um"]
    truth, found = made.spines, analysis.spines
    places, centres = (
        table.reindex(columns=axes).to_numpy(float) if len(table) else np.zeros((0, len(axes)))
        for table in (truth, found)
    )
    seen = truth["visible"].to_numpy(bool) if len(truth) else np.zeros(0, bool)
    edges = centre_edges(places, centres, TOLERANCE_UM)
    result = match_edges(edges, seen)
    pairs = np.asarray(result.pairs).reshape(-1, 2)
    true = truth.iloc[pairs[:, 0]].add_suffix("_true").reset_index(drop=True)
    return result.counts, pd.concat([found.iloc[pairs[:, 1]].reset_index(drop=True), true], axis=1)


def print_measures(kind: str, matched: pd.DataFrame) -> None:
    """Print how each measure compares with the truth."""
    for measure, column in MEASURES.items():
        if measure not in matched:
            continue
        both = matched[[measure, f"{column}_true"]].astype(float).dropna()
        both = both[both[f"{column}_true"] > 0]
        if len(both) < 10:
            print(f"  {kind}, {measure}: too few ({len(both)})")
            continue
        value, true = both[measure].to_numpy(), both[f"{column}_true"].to_numpy()
        error = np.median((value - true) / true)
        r = float(np.corrcoef(value, true)[0, 1])
        print(f"  {kind}, {measure}: {error:+.0%} in the median, r {r:.2f}, n {len(both)}")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=6, help="of each kind")
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--only", nargs="*", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--data", type=Path, default=None)
    args = parser.parse_args()
    shapes = ShapeSet.of((args.data or default_data()) / SHAPES, unseen=True)
    print(f"{len(shapes.dendrites)} dendrites that no training saw")
    for kind in args.only:
        preset, shape, spacing, projected = KINDS[kind]
        total = Total()
        for seed in range(args.seed, args.seed + args.stacks):
            made = simulate_shapes(seed, shapes, preset, shape, spacing)
            analysis = analyse(project(made.stack) if projected else made.stack, Settings())
            counts, matched = compare(made, analysis, projected)
            total.counts += counts
            total.matched.append(matched)
        c = total.counts
        print(
            f"{kind}, {args.stacks} stacks: {c.n_truth} visible spines, precision {c.precision:.2f}, "
            f"recall {c.recall:.2f}, F1 {c.f1:.3f}",
            flush=True,
        )
        print_measures(kind, pd.concat(total.matched))


if __name__ == "__main__":
    main()
