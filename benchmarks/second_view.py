"""What it costs to take the second view of a stack's slices only where the first is unsure: `python -m benchmarks.second_view`.

Stacks for tuning (those of `benchmarks.int8`) go through the default method's networks with both views everywhere and with the
second where the first gives spine or head centre (`UNSURE_FROM`). Printed for each kind: F1 of the heads (score from 0.5; centre within 1 um, or by
mark) with both ways, how far scores above 0.25 differ at most, and the processor time of each way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import process_time

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.int8 import THRESHOLD, items
from spinecore.evaluation.matching import Counts
from spinecore.methods import DEFAULT_METHOD, centre_unet, get_method
from spinecore.methods.prediction import Heads
from spinecore.training.recipes import default_data

#: Scores below this are not compared: both ways leave such heads out at any usual threshold.
COMPARED_FROM = 0.25
#: A head is the same one within so many um.
SAME_UM = 0.3


@contextmanager
def everywhere() -> Iterator[None]:
    """Take both views everywhere."""
    before = centre_unet.UNSURE_FROM
    centre_unet.UNSURE_FROM = None
    try:
        yield
    finally:
        centre_unet.UNSURE_FROM = before


def largest_change(one: Heads, other: Heads, spacing: tuple[float, float, float]) -> float:
    """Return how far the scores of the same heads differ at most; that of a head which only one way has counts in full."""
    most = 0.0
    for some, rest in ((one, other), (other, one)):
        strong = some.scores >= COMPARED_FROM
        if not strong.any():
            continue
        tree = cKDTree((rest.centres_px * spacing).reshape(-1, 3))
        away, nearest = tree.query(some.centres_px[strong] * spacing, distance_upper_bound=SAME_UM)
        known = np.append(rest.scores, 0.0)[nearest]
        most = max(most, float(np.abs(np.where(np.isfinite(away), known, 0.0) - some.scores[strong]).max()))
    return most


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=2, help="simulated stacks of each kind")
    parser.add_argument("--days", nargs="*", default=[], help="of real_stacks")
    parser.add_argument("--data", type=Path, default=None)
    args = parser.parse_args()
    method = get_method(DEFAULT_METHOD)
    weights = method.load(is_2d=False, device="cpu")
    counts: dict[str, list[Counts]] = {}
    changes: dict[str, float] = {}
    seconds = [0.0, 0.0]
    for kind, stack, count in items(args.stacks, args.days, args.data or default_data()):
        start = process_time()
        with everywhere():
            whole = method.predict(stack, weights).finished()
        middle = process_time()
        part = method.predict(stack, weights).finished()
        seconds = [seconds[0] + middle - start, seconds[1] + process_time() - middle]
        assert whole.heads is not None and part.heads is not None
        found = [
            count((heads.centres_px * whole.spacing_zyx_um)[heads.scores >= THRESHOLD])
            for heads in (whole.heads, part.heads)
        ]
        change = largest_change(whole.heads, part.heads, whole.spacing_zyx_um)
        for name in (kind, "all"):
            before = counts.get(name, [Counts(), Counts()])
            counts[name] = [a + b for a, b in zip(before, found, strict=True)]
            changes[name] = max(change, changes.get(name, 0.0))
    for kind in sorted(counts, key="all".__eq__):
        both, some = counts[kind]
        print(
            f"{kind}: F1 {both.f1:.4f} with both views everywhere, {some.f1:.4f} as shipped ({both.n_truth} spines); "
            f"scores differ by {changes[kind]:.3f} at most"
        )
    print(f"processor time: {seconds[0]:.0f} s and {seconds[1]:.0f} s")


if __name__ == "__main__":
    main()
