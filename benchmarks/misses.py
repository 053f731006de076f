"""What the default method misses in simulated stacks, sorted by cause, with pictures: `python -m benchmarks.misses`.

Every visible true spine that has no detection of its own (one to one, centres within 1 um, score 0.5) is one of:
*merged* (a detection lies within 1 um, but it is another spine's: two heads were found as one), *weak* (a candidate
lies there with a lower score) or *unseen*. A false alarm is the *second head* of a spine that has two (the truth counts it
once), or lies in the box of a spine that was found already (*seen twice*); else it is *close* when a true spine lies within
1.5 um, or *apart*.
`--picture FILE` draws examples of each from the stacks (they are simulated, so they may be shown).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist

from benchmarks.detection import FIRST_SEED, simulated_analyses
from spinecore.analysis.result import Analysis
from spinecore.evaluation.matching import match
from spinecore.networks.intensity import intensity_range

KINDS = ("confocal", "confocal-crowded", "confocal-oblique", "twophoton")
CAUSES = ("found", "merged", "weak", "unseen", "second head", "seen twice", "false, close", "false, apart")
SHOWN = 5
HALF_UM = 2.0


@dataclass
class Example:
    """A place in a stack: z, y, x in um, why it is shown, and the spines round it."""

    cause: str
    place_um: np.ndarray
    analysis: Analysis
    truth_um: np.ndarray
    found_um: np.ndarray


def sort_out(analysis: Analysis, truth: pd.DataFrame) -> list[Example]:
    """Return every visible true spine and every false alarm of one stack with its cause."""
    columns = ["z_um", "y_um", "x_um"]
    spines = analysis.at_threshold(0.1).spines
    every, scores = spines[columns].to_numpy(float), spines["score"].to_numpy(float)
    found = every[scores >= 0.5]
    places, seen = truth[columns].to_numpy(float), truth["visible"].to_numpy(bool)
    near = cdist(places, found) <= 1.0
    result = match(places, found, "centre", 1.0, visible=seen)
    matched = set(result.pairs[:, 0])
    out = []

    def add(cause: str, place: np.ndarray) -> None:
        out.append(Example(cause, place, analysis, places[seen], found))

    for k in np.flatnonzero(seen):
        if k in matched:
            add("found", places[k])
        elif near[k].any():
            add("merged", places[k])
        elif len(every) and (cdist(places[[k]], every) <= 1.0).any():
            add("weak", places[k])
        else:
            add("unseen", places[k])
    for k in result.false_alarms:
        distance = cdist(found[[k]], places)[0] if len(places) else np.array([np.inf])
        if distance.min() > 1.0 or seen[distance.argmin()]:
            add(false_alarm(found[k], distance, truth, analysis), found[k])
    return out


def false_alarm(place_um: np.ndarray, distance: np.ndarray, truth: pd.DataFrame, analysis: Analysis) -> str:
    """Return the cause of a false alarm at a place (z, y, x; um), given its distances from all true spines (um)."""
    near = np.flatnonzero(distance <= 1.5)
    if len(near) and truth["n_heads"].iloc[near[distance[near].argmin()]] > 1:
        return "second head"
    at = place_um / analysis.spacing.zyx_um()
    low, high = (
        truth[[f"{a}_{end}_px" for a in "zyx"]].to_numpy(float).reshape(-1, 3) for end in ("min", "max")
    )
    inside = ((at >= low - 1) & (at <= high + 1)).all(axis=1) & truth["visible"].to_numpy(bool)
    if inside.any():
        return "seen twice"
    return "false, close" if len(near) else "false, apart"


def draw(examples: list[Example], path: Path) -> None:
    """Draw up to `SHOWN` examples of each cause: projection over 1.5 um about the place."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    causes = [c for c in CAUSES if c != "found" and any(e.cause == c for e in examples)]
    figure, axes = plt.subplots(len(causes), SHOWN, figsize=(2.1 * SHOWN, 2.3 * len(causes)), squeeze=False)
    for row, cause in zip(axes, causes, strict=True):
        own = [e for e in examples if e.cause == cause]
        picked = own[:: max(1, len(own) // SHOWN)][:SHOWN]
        row[0].set_title(cause, loc="left")
        for place in row:
            place.axis("off")
        for place, example in zip(row, picked, strict=False):
            projection = example.analysis.projections["xy"]
            low, high = intensity_range(projection[None])
            _, y_um, x_um = example.analysis.spacing.zyx_um()
            grey = np.sqrt(np.clip((projection - low) / (high - low), 0, 1))
            extent = (0, grey.shape[1] * x_um, grey.shape[0] * y_um, 0)
            place.imshow(grey, cmap="gray", extent=extent)
            for points, marker, colour in (
                (example.truth_um, "o", "#56b4e9"),
                (example.found_um, "+", "#e69f00"),
            ):
                place.scatter(
                    points[:, 2],
                    points[:, 1],
                    marker=marker,
                    s=60,
                    lw=1.4,
                    color=colour if marker == "+" else None,
                    facecolors="none" if marker == "o" else None,
                    edgecolors=colour if marker == "o" else None,
                )
            _, y, x = example.place_um
            place.set_xlim(x - HALF_UM, x + HALF_UM)
            place.set_ylim(y + HALF_UM, y - HALF_UM)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=6)
    parser.add_argument("--seed", type=int, default=FIRST_SEED)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    everything: list[Example] = []
    print("| stacks | " + " | ".join(CAUSES) + " |\n|---|" + "---|" * len(CAUSES))
    for kind in args.kinds:
        own: list[Example] = []
        for _, analysis, truth in simulated_analyses(kind, args.stacks, args.seed):
            own += sort_out(analysis, truth)
        counts = pd.Series([e.cause for e in own]).value_counts()
        print(f"| {kind} | " + " | ".join(str(counts.get(c, 0)) for c in CAUSES) + " |", flush=True)
        everything += own
    if args.picture:
        draw(everything, args.picture)


if __name__ == "__main__":
    main()
