"""How well the default method finds spines in real stacks with marks: `python -m benchmarks.real_stacks`.

The six days of `real_stacks` are analysed one after the other (some minutes each on a CPU); `--analyses DIR` reads what
`spinecore analyse real_stacks/tp*.tif --out DIR` wrote in place of that. Criterion `mark`: a head's centre within 1.0 um of the
outer 60 % of the line from mark to base, z at half weight, one to one; detections farther than 4 um from the traced dendrites
and unmatched ones over or under them do not count. The traced length is that of the centre lines within 4 um of a
hand-traced one and no nearer to the other, and the hand tracing is smoothed, since its points are whole pixels and slices. The
lengths of the spines found on the choosing days are compared with the distance from mark to base, which was drawn by hand.

Segment 0 is for learning (days tp0, tp2, tp4) and choosing (tp1, tp3, tp5). Segment 1 is printed only with `--report`:
use it once, at the end, and choose nothing by it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import cKDTree

from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import load_analysis
from spinecore.evaluation.marks import JUDGED_UM
from spinecore.evaluation.matching import Counts, match_edges
from spinecore.reading import read_stack
from spinecore.training.real_stacks import (
    CHOOSING,
    LEARNED,
    OWN_SEGMENT,
    REPORT_SEGMENT,
    Marks,
    count_by_segment,
    load_marks,
)
from spinecore.training.recipes import default_data

#: The hand tracing is smoothed by this (um; z, y, x).
SMOOTH_UM = (3.0, 0.6, 0.6)
FLOOR = 0.1
#: Compared with the distance from a mark to its base; that one ends in the shaft, so it is longer by up to the shaft's radius.
LENGTHS = ("length_um", "length_estimated_um")
SWEEP = np.round(np.arange(0.15, 0.96, 0.05), 2)


def hand_length_um(line_um: np.ndarray) -> float:
    """Return the length of a hand-traced line of whole pixels and slices (n, 3), smoothed by `SMOOTH_UM`."""
    step = float(np.median(np.linalg.norm(np.diff(line_um[:, 1:], axis=0), axis=1)))
    pad = min(round(4 * max(SMOOTH_UM) / step), len(line_um) - 1)
    longer = np.pad(line_um, ((pad, pad), (0, 0)), mode="reflect", reflect_type="odd")
    smooth = np.stack([gaussian_filter1d(longer[:, k], SMOOTH_UM[k] / step) for k in range(3)], 1)
    return path_um(smooth[pad : len(longer) - pad])


def path_um(points_um: np.ndarray) -> float:
    """Return the length of a line (n, 3)."""
    return float(np.linalg.norm(np.diff(points_um, axis=0), axis=1).sum())


def traced_um(branches_um: list[np.ndarray], marks: Marks, segment: int | None) -> float:
    """Return the length of the centre lines that lie at one segment, or beyond `JUDGED_UM` of all (None)."""
    total = 0.0
    tree = cKDTree(marks.line_um)
    for points in branches_um:
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
        middle = (points[1:] + points[:-1]) / 2
        if not len(middle):
            continue
        near = tree.query(middle)[0] <= JUDGED_UM
        own = ~near if segment is None else near & (marks.segment_near(middle) == segment)
        total += float(steps[own].sum())
    return total


def rows_of(marks: Marks, analysis: Analysis, segments: tuple[int, ...]) -> list[dict[str, object]]:
    """Return a row of counts and lengths for each segment of one day."""
    spines = analysis.spines
    counts = count_by_segment(marks, spines[["z_um", "y_um", "x_um"]].to_numpy(float))
    branches = [branch.points_um for dendrite in analysis.detected.dendrites for branch in dendrite.branches]
    return [
        {
            "day": marks.name,
            "segment": segment,
            **figures(counts[segment]),
            "traced_um": traced_um(branches, marks, segment),
            "by_hand_um": hand_length_um(marks.lines_um[segment]),
        }
        for segment in segments
    ]


def figures(counts: Counts) -> dict[str, float]:
    """Return true positives, false ones, misses, and what follows from them."""
    return {
        "TP": counts.n_matched,
        "FP": counts.n_false_alarms,
        "FN": counts.n_misses,
        "precision": counts.precision,
        "recall": counts.recall,
        "F1": counts.f1,
    }


def pooled(table: pd.DataFrame, what: str, days: tuple[str, ...], segment: int) -> dict[str, object]:
    """Return the row of several days together."""
    own = table[table["day"].isin(days) & (table["segment"] == segment)]
    tp, fp, fn = (int(own[name].sum()) for name in ("TP", "FP", "FN"))
    lengths = {name: own[name].sum() for name in ("traced_um", "by_hand_um")}
    return {"day": what, "segment": segment, **figures(Counts(tp + fn, tp + fp, tp)), **lengths}


def sweep(analyses: list[tuple[Marks, Analysis]], days: tuple[str, ...]) -> pd.DataFrame:
    """Return the counts on segment 0 of some days at each of `SWEEP`."""
    rows = []
    for threshold in SWEEP:
        total = Counts()
        for marks, analysis in analyses:
            if marks.name in days:
                spines = analysis.at_threshold(float(threshold)).spines
                places = spines[["z_um", "y_um", "x_um"]].to_numpy(float)
                total += count_by_segment(marks, places)[OWN_SEGMENT]
        rows.append({"threshold": threshold, **figures(total)})
    return pd.DataFrame(rows)


def lengths_by_hand(marks: Marks, analysis: Analysis, segment: int) -> pd.DataFrame:
    """Return, for the found spines of a segment, the distance from mark to base drawn by hand, and the lengths measured (um)."""
    spines = analysis.spines
    own = (marks.segment == segment) & marks.counts
    pairs = match_edges(marks.edges(spines[["z_um", "y_um", "x_um"]].to_numpy(float)), own).pairs
    pairs = pairs[own[pairs[:, 0]]]
    drawn = marks.places_um[pairs[:, 0], :3] - marks.places_um[pairs[:, 0], 3:]
    found = spines.iloc[pairs[:, 1]].reindex(columns=list(LENGTHS)).reset_index(drop=True)
    return found.assign(by_hand_um=np.linalg.norm(drawn, axis=1))


def print_lengths(table: pd.DataFrame) -> None:
    """Print how each length compares with the distance drawn by hand."""
    for name in LENGTHS:
        both = table[[name, "by_hand_um"]].astype(float).dropna()
        if len(both) > 2:
            r = np.corrcoef(both[name], both["by_hand_um"])[0, 1]
            middle, hand = both.median()
            print(f"{name}: median {middle:.2f}, by hand {hand:.2f} um, r {r:.2f}, {len(both)} spines")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--analyses", type=Path, default=None, help="folder of stored analyses tp0 to tp5")
    parser.add_argument("--days", nargs="*", default=None, help="only these")
    parser.add_argument("--sweep", action="store_true", help="F1 on the choosing days over thresholds")
    parser.add_argument("--report", action="store_true", help="print segment 1 too")
    args = parser.parse_args()
    segments = (OWN_SEGMENT, REPORT_SEGMENT) if args.report else (OWN_SEGMENT,)
    rows, analyses = [], []
    for marks in load_marks(args.data or default_data(), args.days):
        if args.analyses is None:
            analysis = analyse(read_stack(marks.path), Settings())
        else:
            analysis = load_analysis(args.analyses / marks.name)
        branches = [b.points_um for d in analysis.detected.dendrites for b in d.branches]
        print(f"{marks.name}: {traced_um(branches, marks, None):.0f} um traced elsewhere", flush=True)
        rows += rows_of(marks, analysis, segments)
        analyses.append((marks, analysis))
    table = pd.DataFrame(rows)
    groups = [("learned", LEARNED, OWN_SEGMENT), ("choosing", CHOOSING, OWN_SEGMENT)]
    if args.report:
        groups.append(("REPORT", (*LEARNED, *CHOOSING), REPORT_SEGMENT))
    table = pd.concat([table, pd.DataFrame([pooled(table, *group) for group in groups])])
    table["length_ratio"] = table["traced_um"] / table["by_hand_um"]
    print(table.round(3).to_string(index=False))
    print_lengths(
        pd.concat(
            [lengths_by_hand(m, a, OWN_SEGMENT) for m, a in analyses if m.name in CHOOSING]
            or [pd.DataFrame()]
        ).reindex(columns=[*LENGTHS, "by_hand_um"])
    )
    if args.sweep:
        print(sweep(analyses, CHOOSING).round(3).to_string(index=False))


if __name__ == "__main__":
    main()
