"""What a score is worth, measured on validation data: `python -m benchmarks.score_calibration`.

The network for stacks on simulated stacks of tuning seeds (from 500), the one for projections on images of
points2d/val; the curves go into spinecore/score_calibration.json and docs/score_calibration.png. Then the intervals are
tried on stacks of the reported seeds (from 100), which took no part: how often does the 95 % interval hold the truth?
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.detection import (
    CALIBRATION_SEED,
    FIRST_SEED,
    HELD_PER_GROUP,
    real_analyses,
    simulated_analyses,
)
from spinecore.analysis.result import Analysis
from spinecore.detection.calibration import (
    Labelled,
    ScoreCalibration,
    fit_calibration,
    label_candidates,
    store_calibration,
    stored_calibrations,
)
from spinecore.detection.doubt import STORE as STORE_OF_MARKS
from spinecore.figures.plots import calibration_figure
from spinecore.methods.weights import card_of_scores
from spinecore.networks.zoo import get_card
from spinecore.training.recipes import default_data

KINDS = ("confocal", "twophoton", "confocal-oblique")
DOCS = Path(__file__).resolve().parent.parent / "docs"


def labelled(items: list[tuple[str, Analysis, object]]) -> list[Labelled]:
    """Return the candidates of analyses at the floor, each with whether it is a spine."""
    out = []
    for _, analysis, truth in items:
        columns = ["y_um", "x_um"] if analysis.is_2d else ["z_um", "y_um", "x_um"]
        found = analysis.spines[columns].to_numpy(float)
        # a corrected number is an estimate of how many spines are bright enough to count: a dim one does not match here
        own = truth[truth["visible"].to_numpy(bool)] if "visible" in truth else truth
        scores, places = analysis.spines["score"].to_numpy(float), own[columns].to_numpy(float)
        out.append(label_candidates(found, scores, places, np.ones(len(own), bool)))
    return out


def simulated(first: int, stacks: int) -> dict[str, list[Labelled]]:
    """Return labelled stacks of each kind."""
    return {kind: labelled(simulated_analyses(kind, stacks, first)) for kind in KINDS}


def coverage(calibration: ScoreCalibration, stacks: list[Labelled]) -> tuple[int, int, float]:
    """Return (stacks whose true number lies in the detection interval, stacks, median relative error of the number)."""
    hits, errors = 0, []
    for stack in stacks:
        guess = calibration.estimate(stack.scores)
        hits += bool(guess.detection_low <= stack.n_spines <= guess.detection_high)
        if stack.n_spines:
            errors.append(abs(guess.number / stack.n_spines - 1))
    return hits, len(stacks), float(np.median(errors)) if errors else float("nan")


def main() -> None:
    """Fit, store, try and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=6, help="simulated stacks of each kind")
    parser.add_argument("--images", type=int, default=30, help="real images of each subset")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--models", nargs="*", default=["centre-unet-3d", "centre-unet-2d"])
    parser.add_argument(
        "--real-marks",
        action="store_true",
        help="instead count the right ones at each score in points2d/val, for what a page says of single images",
    )
    parser.add_argument(
        "--no-coverage", action="store_true", help="do not try the intervals on unseen stacks"
    )
    args = parser.parse_args()
    command = f"python -m benchmarks.score_calibration --stacks {args.stacks} --images {args.images}"
    data = args.data or default_data()
    if args.real_marks:
        count_real_marks(data, args.images)
        return
    if "centre-unet-3d" in args.models:
        tuning = [s for own in simulated(CALIBRATION_SEED, args.stacks).values() for s in own]
        source = f"simulated {', '.join(KINDS)}, seeds from {CALIBRATION_SEED}"
        made = fit_and_store("centre-unet-3d", tuning, source, command)
        if not args.no_coverage:
            for kind, own in simulated(FIRST_SEED, args.stacks).items():
                print_coverage(made, own, f"unseen {kind}")
    if "centre-unet-2d" in args.models and data.is_dir():
        items = real_analyses(data, 2 * args.images)
        halves = [[s for own in items.values() for s in labelled(own[k::2])] for k in (0, 1)]
        source = f"points2d/val, every second of the first {2 * args.images} images of each subset"
        print_coverage(fit_and_store("centre-unet-2d", halves[0], source, command), halves[1], "other images")


def count_real_marks(data: Path, images: int) -> None:
    """Count the right ones at each score over the subsets, and try that with one half of the images on the other."""
    items = [item for own in real_analyses(data, images, per_group=HELD_PER_GROUP).values() for item in own]
    card = get_card("centre-unet-2d")
    power = float(card.data.get("score_power", 1.0))
    command = f"python -m benchmarks.score_calibration --real-marks --images {images}"
    source = f"as on {len(items)} real projections with marks"

    def fitted(some: list[Labelled]) -> ScoreCalibration:
        return fit_calibration(some, card.name, card.sha256, power, source, command)

    every = labelled(items)
    for first in (0, 1):
        made, others = fitted(every[first::2]), every[1 - first :: 2]
        kept = [(np.nan_to_num(s.scores) >= card.data["threshold"], s) for s in others]
        expected = sum(float(made.probability(s.scores[own]).sum()) for own, s in kept)
        right, found = (
            sum(int(v) for v in values)
            for values in zip(*((s.real[own].sum(), own.sum()) for own, s in kept), strict=True)
        )
        print(
            f"half of the images: {expected / found:.3f} of {found} expected to be right, {right / found:.3f} are",
            flush=True,
        )
    store_calibration(fitted(every), STORE_OF_MARKS)
    for score, share, n in fitted(every).bins:
        print(f"score {score:.2f}: {share:.2f} of {n} are right")


def fit_and_store(model: str, stacks: list[Labelled], source: str, command: str) -> ScoreCalibration:
    """Fit one model's calibration, store it, and draw all that are stored."""
    card = card_of_scores(get_card(model))
    power = float(card.data.get("score_power", 1.0))
    made = fit_calibration(stacks, card.name, card.sha256, power, source, command)
    store_calibration(made)
    calibration_figure(list(stored_calibrations().values())).savefig(DOCS / "score_calibration.png", dpi=110)
    print(
        f"{model}: missed {made.missed:.3f}, spread {made.spread:.3f}, {made.n_candidates} candidates",
        flush=True,
    )
    return made


def print_coverage(made: ScoreCalibration, stacks: list[Labelled], name: str) -> None:
    """Print how often the interval holds the truth on stacks that took no part."""
    hits, n, error = coverage(made, stacks)
    print(
        f"  {name}: truth in the interval {hits}/{n}, median error of the number {100 * error:.1f} %",
        flush=True,
    )


if __name__ == "__main__":
    main()
