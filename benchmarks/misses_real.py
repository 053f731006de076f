"""What the default method misses and adds in real stacks, with pictures: `python -m benchmarks.misses_real`.

Segment 0 on the choosing days of `real_stacks` (never segment 1), at score 0.5, by the criterion `mark`. A mark without a detection is *merged*
(a detection lies at it that is another mark's), *weak* (a candidate of a lower score lies at it) or *unseen*. A detection without a mark is at
the *edge* of the shaft (within 1 um of the traced line in projection) or *apart*. `--picture FILE` draws examples of each: the three
slices around the place, 6 um wide.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.marks import marks_are_silent
from spinecore.evaluation.matching import match_edges
from spinecore.networks.intensity import intensity_range
from spinecore.reading import read_stack
from spinecore.training.real_stacks import CHOOSING, OWN_SEGMENT, Marks, load_marks
from spinecore.training.recipes import default_data

CAUSES = ("found", "merged", "weak", "unseen", "false, edge", "false, apart")
SCORE, FLOOR = 0.5, 0.1
EDGE_UM = 1.0
SHOWN, HALF_UM, SLICES = 6, 3.0, 1
_COLUMNS = ["z_um", "y_um", "x_um"]


@dataclass
class Example:
    """A place (z, y, x; um) with its cause, and what is drawn round it: slab, marks and detections."""

    cause: str
    place_um: np.ndarray
    voxels: np.ndarray
    spacing_um: tuple[float, float, float]
    marks_um: np.ndarray
    found_um: np.ndarray


def sort_out(marks: Marks, every_um: np.ndarray, scores: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Return every counted mark of the segment and every false detection beside it: (cause, place).

    Parameters
    ----------
    marks : Marks
    every_um : ndarray, shape (n, 3)
        Candidates, z, y, x.
    scores : ndarray, shape (n,)
    """
    found = every_um[scores >= SCORE]
    edges, below = marks.edges(found), marks.edges(every_um)
    result = match_edges(edges, marks.counts, None, marks_are_silent(found, marks.line_um))
    matched = set(result.pairs[:, 0])
    out = []
    for k in np.flatnonzero(marks.counts & (marks.segment == OWN_SEGMENT)):
        one = np.arange(len(marks.counts)) == k
        if k in matched:
            cause = "found"
        elif len(edges.keep(one).predicted):
            cause = "merged"
        else:
            cause = "weak" if len(below.keep(one).predicted) else "unseen"
        out.append((cause, marks.heads_um()[k]))
    line = cKDTree(marks.lines_um[OWN_SEGMENT][:, 1:])
    for k in result.false_alarms:
        if marks.segment_near(found[[k]])[0] == OWN_SEGMENT:
            edge = line.query(found[k, 1:])[0] <= EDGE_UM
            out.append(("false, edge" if edge else "false, apart", found[k]))
    return out


def examples_of(marks: Marks) -> list[Example]:
    """Analyse one day and return its examples."""
    stack = read_stack(marks.path)
    spines = analyse(stack, Settings()).at_threshold(FLOOR).spines
    every, scores = spines[_COLUMNS].to_numpy(float), spines["score"].to_numpy(float)
    spacing = stack.spacing.zyx_um()
    heads, found = marks.heads_um()[marks.counts], every[scores >= SCORE]
    return [
        Example(cause, place, stack.voxels, spacing, heads, found)
        for cause, place in sort_out(marks, every, scores)
    ]


def draw(examples: list[Example], path: Path) -> None:
    """Draw up to `SHOWN` examples of each cause, evenly out of all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    causes = [c for c in CAUSES if any(e.cause == c for e in examples)]
    figure, axes = plt.subplots(len(causes), SHOWN, figsize=(1.9 * SHOWN, 2.1 * len(causes)), squeeze=False)
    for row, cause in zip(axes, causes, strict=True):
        own = [e for e in examples if e.cause == cause]
        picked = [own[k] for k in np.unique(np.linspace(0, len(own) - 1, SHOWN).astype(int))]
        row[0].set_title(f"{cause}: {len(own)}", loc="left", fontsize=10)
        for place in row:
            place.axis("off")
        for place, example in zip(row, picked, strict=False):
            _draw_one(place, example)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def _draw_one(place: plt.Axes, example: Example) -> None:  # noqa: F821
    z_um, y_um, x_um = example.spacing_um
    z, y, x = example.place_um
    middle = round(z / z_um)
    slab = example.voxels[max(0, middle - SLICES) : middle + SLICES + 1].max(0)
    rows = slice(max(0, round((y - HALF_UM) / y_um)), round((y + HALF_UM) / y_um) + 1)
    columns = slice(max(0, round((x - HALF_UM) / x_um)), round((x + HALF_UM) / x_um) + 1)
    low, high = intensity_range(slab[None, rows, columns])
    grey = np.sqrt(np.clip((slab - low) / max(high - low, 1e-6), 0, 1))
    place.imshow(
        grey,
        cmap="gray",
        extent=(-x_um / 2, (slab.shape[1] - 0.5) * x_um, (slab.shape[0] - 0.5) * y_um, -y_um / 2),
    )
    for points, style in (
        (example.marks_um, {"marker": "o", "facecolors": "none", "edgecolors": "#56b4e9"}),
        (example.found_um, {"marker": "+", "color": "#e69f00"}),
    ):
        near = points[np.abs(points[:, 0] - z) <= 2.0]
        place.scatter(near[:, 2], near[:, 1], s=70, lw=1.5, **style)
    place.set_xlim(x - HALF_UM, x + HALF_UM)
    place.set_ylim(y + HALF_UM, y - HALF_UM)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    everything: list[Example] = []
    print("| day | " + " | ".join(CAUSES) + " |\n|---|" + "---|" * len(CAUSES))
    for marks in load_marks(args.data or default_data(), CHOOSING):
        own = examples_of(marks)
        counts = pd.Series([e.cause for e in own]).value_counts()
        print(f"| {marks.name} | " + " | ".join(str(counts.get(c, 0)) for c in CAUSES) + " |", flush=True)
        everything += own
    if args.picture:
        draw(everything, args.picture)


if __name__ == "__main__":
    main()
