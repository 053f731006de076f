"""What fine-tuning on marks in real stacks brings on another dendrite: `python -m benchmarks.finetune_real`.

As a user would, some days of `real_stacks` are marked along one dendrite only (`--partly`), the shipped weights learn from them for some
minutes, and the other dendrite is analysed before and after, on other days (criterion `mark`).
The shipped weights themselves learned from segment 0 on tp0, tp2 and tp4, and tp1, tp3 and tp5 chose them; nothing of segment 1 did, so
that the marks of segment 0 are learned here, and segment 1 is a report: choose nothing by it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from benchmarks.real_stacks import figures
from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.matching import Counts
from spinecore.reading import read_stack
from spinecore.training.finetune import finetune
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
from spinecore.training.request import Request, Source, default_parent

NAME = "own"


def write_marks(marks: Marks, segment: int, path: Path) -> int:
    """Write the heads that are marked along a segment as a person's table; return how many they are."""
    z_um, y_um, x_um = read_stack(marks.path).spacing.zyx_um()
    own = marks.heads_um()[(marks.segment == segment) & marks.counts]
    table = pd.DataFrame(own / (z_um, y_um, x_um), columns=["z_px", "y_px", "x_px"])
    table.to_csv(path, index=False)
    return len(table)


def count(every: list[Marks], segment: int, settings: Settings, own_models: Path) -> Counts:
    """Analyse stacks and count what is found along a segment."""
    total = Counts()
    for marks in every:
        spines = analyse(read_stack(marks.path), settings, own_models=own_models).spines
        counts = count_by_segment(marks, spines[["z_um", "y_um", "x_um"]].to_numpy(float))[segment]
        print(f"  {marks.name}: F1 {counts.f1:.3f}", flush=True)
        total += counts
    return total


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--days", nargs="+", default=list(CHOOSING), help="marked days")
    parser.add_argument("--on", nargs="+", default=list(LEARNED), help="days that are analysed")
    parser.add_argument("--parent", default=default_parent(is_2d=False))
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        sources, spines = [], 0
        for marks in load_marks(args.data, tuple(args.days)):
            table = folder / f"{marks.name}.csv"
            spines += write_marks(marks, OWN_SEGMENT, table)
            sources.append(Source(image=marks.path, annotation=table, name=marks.name))
        print(f"{spines} marks along segment {OWN_SEGMENT} of {', '.join(args.days)}", flush=True)
        request = Request(
            name=NAME, parent=args.parent, sources=tuple(sources), minutes=args.minutes, complete=False
        )
        models = folder / "models"
        result = finetune(request, models, folder / "work")
        before, after = result.before.f1, result.after.f1
        print(f"held out ({result.held_out}): F1 {before:.3f} before, {after:.3f} after", flush=True)
        every = load_marks(args.data, tuple(args.on))
        for what, settings in (("before", Settings()), ("after", Settings(model=NAME))):
            print(f"segment {REPORT_SEGMENT} of {', '.join(args.on)}, {what}:", flush=True)
            found = figures(count(every, REPORT_SEGMENT, settings, models))
            print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{k} {v}" for k, v in found.items()))


if __name__ == "__main__":
    main()
