"""How well the default method finds spines, on validation data: `python -m benchmarks.detection`.

Real images: points2d/val, one-to-one centre matching within 1.0 um (nominal pixel sizes), per
subset. Simulated stacks of seeds that training never saw: centres within 1.0 um in 3-D, and F1-3D
by IoM >= 0.5 (Vogel et al. 2023). One threshold, the card's, serves all. Stacks of clutter alone
count false alarms. `--sweep` prints F1 over thresholds; `--write-card` stores the scores on the
models' cards. `--calibrate` first sets, on all sets of points2d/val (a few images of each field) and on simulated seeds from 500 and segment 0 of
real_stacks,
the power to which each model's peak heights are raised so that its best threshold is 0.5.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.analysis.storage import write_table
from spinecore.evaluation.matching import Counts
from spinecore.evaluation.report import evaluate_files
from spinecore.methods.weights import card_of_scores
from spinecore.networks.zoo import get_card, write_card
from spinecore.reading import read_stack
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack
from spinecore.training.centre_unet import HELD_PER_GROUP
from spinecore.training.real_stacks import (
    CHOOSING,
    FOLDER,
    LEARNED,
    OWN_SEGMENT,
    count_by_segment,
    load_marks,
)
from spinecore.training.recipes import default_data
from spinecore.training.samples import NOMINAL_UM

#: name -> preset, shape, spacing (um); seeds are FIRST_SEED onwards.
SIMULATED = {
    "confocal": ("confocal", (24, 320, 320), (0.3, 0.08, 0.08)),
    "confocal-crowded": ("confocal-crowded", (24, 320, 320), (0.3, 0.08, 0.08)),
    "confocal-noisy": ("confocal-noisy", (24, 320, 320), (0.3, 0.08, 0.08)),
    "confocal-oblique": ("confocal-oblique", (30, 320, 320), (0.3, 0.08, 0.08)),
    "twophoton": ("twophoton", (20, 320, 320), (0.5, 0.1, 0.1)),
    "twophoton-oblique": ("twophoton-oblique", (24, 320, 320), (0.5, 0.1, 0.1)),
    "clutter": ("confocal-clutter", (24, 320, 320), (0.3, 0.08, 0.08)),
    "twophoton-clutter": ("twophoton-clutter", (20, 320, 320), (0.5, 0.1, 0.1)),
}
FIRST_SEED = 100
CALIBRATION_SEED = 500
FLOOR = 0.1
SWEEP = np.round(np.arange(0.15, 0.71, 0.05), 2)


def real_analyses(
    data: Path,
    limit: int | None,
    subsets: tuple[str, ...] = tuple(NOMINAL_UM),
    per_group: int | None = None,
) -> dict[str, list[tuple[str, Analysis, pd.DataFrame]]]:
    """Analyse points2d/val, at most so many of a subset and of a field; per subset (name, analysis at the floor, truth in um)."""
    from PIL import Image

    folder = data / "points2d"
    images = pd.read_csv(folder / "images.csv")
    points = pd.read_csv(folder / "points.csv")
    images = images[images["split"] == "val"]
    if per_group:
        images = images.groupby(["subset", "group"], sort=False).head(per_group)
    out: dict[str, list] = {}
    for row in images.itertuples():
        if row.subset not in subsets or (limit and len(out.get(row.subset, [])) >= limit):
            continue
        pixel = NOMINAL_UM[row.subset]
        voxels = np.asarray(Image.open(folder / "images" / row.image).convert("L"))[None]
        stack = Stack(voxels, Spacing(None, pixel, pixel, source="assumed", detail="nominal"), row.image)
        own = points[points["image"] == row.image]
        truth = pd.DataFrame({"x_um": own["x_px"] * pixel, "y_um": own["y_px"] * pixel})
        truth.insert(0, "spine_id", np.arange(1, len(truth) + 1))
        out.setdefault(row.subset, []).append(
            (Path(row.image).stem, analyse(stack, Settings(threshold=FLOOR)), truth)
        )
    return out


#: Thresholds whose F1 differs by no more than this from the best are as good.
AS_GOOD = 0.005


def simulated_analyses(
    name: str, count: int, first: int = FIRST_SEED
) -> list[tuple[str, Analysis, pd.DataFrame]]:
    """Analyse `count` simulated stacks of one kind with the default method."""
    preset, shape, spacing = SIMULATED[name]
    out = []
    for seed in range(first, first + count):
        made = simulate(seed, preset, shape, spacing)
        out.append((f"{name}_{seed}", analyse(made.stack, Settings(threshold=FLOOR)), made.spines))
    return out


def score(
    items: list[tuple[str, Analysis, pd.DataFrame]], threshold: float, criterion: str
) -> dict[str, float]:
    """Score analyses at a threshold, stacks kept apart."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for name, analysis, truth in items:
            for side in ("truth", "predicted"):
                (root / side / name).mkdir(parents=True)
            write_table(truth, root / "truth" / name / "truth_spines.csv")
            write_table(analysis.at_threshold(threshold).spines, root / "predicted" / name / "spines.csv")
        report = evaluate_files(root / "truth", root / "predicted", criterion, stacks="apart")
    counts = report.shown.counts
    interval = report.shown.interval("f1")
    return {
        "precision": counts.precision,
        "recall": counts.recall,
        "f1": counts.f1,
        "low": interval.low,
        "high": interval.high,
        "truth": counts.n_truth,
        "found": counts.n_predicted,
        "matched": counts.n_matched,
    }


def real_stacks_curve(data: Path, thresholds: np.ndarray) -> list[float]:
    """Return the F1 of marks at each threshold along the dendrite of real stacks that is for learning and choosing, all days."""
    stacks = [
        (marks, analyse(read_stack(marks.path), Settings(threshold=FLOOR)))
        for marks in load_marks(data, (*LEARNED, *CHOOSING))
    ]
    out = []
    for threshold in thresholds:
        total = Counts()
        for marks, analysis in stacks:
            spines = analysis.at_threshold(float(threshold)).spines
            places = spines[["z_um", "y_um", "x_um"]].to_numpy(float)
            total += count_by_segment(marks, places)[OWN_SEGMENT]
        out.append(total.f1)
    return out


def middle_of_best(thresholds: np.ndarray, f1: np.ndarray) -> float:
    """Return the middle of the thresholds whose F1 is within `AS_GOOD` of the best: where the curve is flat, its peak is chance.

    Examples
    --------
    >>> middle_of_best(np.array([0.3, 0.4, 0.5, 0.6]), np.array([0.81, 0.838, 0.84, 0.836]))
    0.5
    """
    return round(float(np.mean(thresholds[f1 >= f1.max() - AS_GOOD])), 3)


def calibrate(data: Path, images: int | None, stacks: int, families: set[str]) -> None:
    """Set the `score_power` of the cards that give the scores so that 0.5 is the threshold with the best F1 on data for that purpose."""
    kinds = ("confocal", "twophoton", "confocal-oblique")
    jobs = {
        "points2d": ("centre-unet-2d", lambda: real_analyses(data, images, per_group=HELD_PER_GROUP)),
        "simulated": (
            "centre-unet-3d",
            lambda: {k: simulated_analyses(k, stacks, CALIBRATION_SEED) for k in kinds},
        ),
    }
    fine = np.round(np.arange(0.2, 0.81, 0.02), 2)
    for model, make in (jobs[f] for f in sorted(families)):
        sets = make()
        curves = [[score(items, t, "centre")["f1"] for t in fine] for items in sets.values()]
        if model == "centre-unet-3d" and (data / FOLDER).is_dir():
            curves.append(real_stacks_curve(data, fine))
        curve = np.mean(curves, axis=0)
        best = middle_of_best(fine, curve)
        card = card_of_scores(get_card(model))
        power = float(card.data.get("score_power", 1.0)) * np.log(0.5) / np.log(best)
        card.data.update(
            score_power=round(float(power), 4),
            threshold=0.5,
            calibrated_by=f"python -m benchmarks.detection --calibrate --stacks {stacks}",
        )
        write_card(card.path, card.data)
        print(f"{model}: best F1 {curve.max():.3f} at {best}, score power {power:.3f}", flush=True)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=8, help="simulated stacks of each kind")
    parser.add_argument("--seed", type=int, default=FIRST_SEED, help="of the first simulated stack")
    parser.add_argument("--images", type=int, default=None, help="at most so many real images of each subset")
    parser.add_argument("--threshold", type=float, default=None, help="default: the card's")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--only", nargs="*", default=None, help="names of sets to run")
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--write-card", action="store_true")
    args = parser.parse_args()
    if args.write_card and args.seed != FIRST_SEED:
        parser.error(f"--write-card is for stacks from seed {FIRST_SEED}: leave --seed out")
    cards = {"points2d": get_card("centre-unet-2d"), "simulated": get_card("centre-unet-3d")}
    command = "python -m benchmarks.detection" + (f" --stacks {args.stacks}" if args.stacks != 8 else "")
    if args.calibrate:
        real = args.only is None or "points2d" in args.only
        simulated = args.only is None or any(n in SIMULATED for n in args.only)
        families = {f for f, wanted in (("points2d", real), ("simulated", simulated)) if wanted}
        calibrate(args.data or default_data(), args.images, args.stacks, families)
        cards = {k: get_card(c.name) for k, c in cards.items()}
    sets: dict[str, list] = {}
    data = args.data or default_data()
    wanted = args.only
    if data.is_dir() and (wanted is None or "points2d" in wanted):
        sets |= {f"points2d/val {k}": v for k, v in real_analyses(data, args.images).items()}
    for name in SIMULATED:
        if wanted is None or name in wanted:
            sets[f"simulated {name}"] = simulated_analyses(name, args.stacks, args.seed)
    rows, scores = [], []
    for name, items in sets.items():
        threshold = args.threshold or float(cards[re.split("[/ ]", name)[0]].data["threshold"])
        criteria = ["centre"] if name.startswith("points2d") or "clutter" in name else ["centre", "box3d"]
        for criterion in criteria:
            result = score(items, threshold, criterion)
            rows.append(
                {"data": name, "threshold": threshold, "criterion": criterion, "n": len(items), **result}
            )
            print(pd.DataFrame(rows[-1:]).round(3).to_string(index=False, header=len(rows) == 1), flush=True)
            if "clutter" in name:
                measure, value = "false spines per stack", result["found"] / len(items)
            else:
                measure, value = (
                    ("F1 (centre within 1 um)" if criterion == "centre" else "F1-3D (IoM)"),
                    result["f1"],
                )
            scores.append(
                {
                    "data": name,
                    "measure": measure,
                    "value": round(float(value), 4),
                    "threshold": threshold,
                    "command": command,
                }
            )
    if args.sweep:
        table = {
            n: [score(i, t, "centre")["f1" if "clutter" not in n else "found"] for t in SWEEP]
            for n, i in sets.items()
        }
        print(pd.DataFrame(table, index=SWEEP).round(3).T.to_string())
    if args.write_card:
        for family, card in cards.items():
            own = [s for s in scores if s["data"].startswith(family)]
            if not own:
                continue
            card.data["scores"] = own
            write_card(card.path, card.data)


if __name__ == "__main__":
    main()
