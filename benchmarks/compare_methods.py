"""Every method on the same data by one evaluator: `python -m benchmarks.compare_methods`.

Data: the choosing days of real_stacks (criterion of `benchmarks.real_stacks`; they chose weights of the default, so its row is
validation); points2d/val by subset (centres within 1.0 um, nominal pixel sizes); simulated dendrites with real shapes that no
training saw; simulated stacks of seeds that no training and no choice saw (`benchmarks.detection.SIMULATED`); projections of the
confocal and two-photon ones. Every method runs at the threshold on its card. Voxels of spines too dim to be seen count neither way. `--sets` runs some of them: those of an earlier run stay
where the weights are the same. Each method runs in a process of its own; time and memory come from a further one that only
predicts. A method whose weights are not here is skipped, saying so. Results go to
`spinecore/evaluation/method_table.json`, where page Methods reads them, and into docs/accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.compare_sets import REAL_SHAPES, REAL_STACKS, Case, load_cases, make_cases
from benchmarks.detection import score
from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import Counts
from spinecore.evaluation.method_table import (
    MEASURES,
    cost_table,
    load_results,
    save_results,
    score_table,
    to_markdown,
)
from spinecore.evaluation.pixels import PixelScores, pixel_scores
from spinecore.methods.registry import KNOWN
from spinecore.networks.zoo import get_card, list_cards, write_card
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack
from spinecore.training.real_stacks import OWN_SEGMENT, count_by_segment, load_marks
from spinecore.training.recipes import default_data

DOCS = Path("docs/accuracy.md")
#: Measures whose tables stand in the documentation; page Methods shows all of them.
DOCUMENTED = ("f1", "f1_3d", "spine_iou", "dendrite_iou", "false_per_stack")
BEGIN, END = "<!-- compare_methods begins -->", "<!-- compare_methods ends -->"
#: Stack for time and memory: slices of 512 x 512, confocal, a seed that nothing else uses.
COST_SEED, COST_SHAPE, COST_UM = 190, (8, 512, 512), (0.3, 0.1, 0.1)


def overlap(truth: np.ndarray, found: np.ndarray) -> PixelScores:
    """Compare masks where the truth counts."""
    counts = truth < 2
    return pixel_scores(truth[counts] == 1, found[counts] > 0)


def score_set(method: str, name: str, cases: list[Case]) -> dict[str, Any]:
    """Analyse a set and score it."""
    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse

    if cases[0].day:
        return score_days(method, cases)
    items, masks = [], {}
    for case in cases:
        analysis = analyse(case.stack, Settings(method=method))
        items.append((case.name, analysis, case.truth))
        if case.spine is not None:
            for part, truth, found in (
                ("spine", case.spine, analysis.labels),
                ("dendrite", case.dendrite, analysis.dendrite_labels),
            ):
                one = overlap(truth, found)
                masks[part] = masks[part] + one if part in masks else one
    threshold = items[0][1].threshold
    centre = score(items, threshold, "centre")
    row: dict[str, Any] = {
        "n": len(items),
        "threshold": threshold,
        "truth": centre["truth"],
        "found": centre["found"],
    }
    if "clutter" in name:
        row["false_per_stack"] = centre["found"] / len(items)
    else:
        if len(items) > 1:  # the interval is over images
            row |= {"f1_low": centre["low"], "f1_high": centre["high"]}
        row |= {m: centre[m] for m in ("precision", "recall", "f1")}
        if name.startswith("simulated"):
            row["f1_3d"] = score(items, threshold, "box3d")["f1"]
        for part, value in masks.items():
            row |= {f"{part}_iou": value.iou, f"{part}_dice": value.dice}
    return {
        k: None if np.isnan(v) else v if isinstance(v, int) else round(float(v), 4) for k, v in row.items()
    }


def score_days(method: str, cases: list[Case]) -> dict[str, Any]:
    """Analyse real stacks and score them by the marks along the dendrite that is for learning."""
    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse

    total, threshold = Counts(), 0.0
    for case in cases:
        analysis = analyse(case.stack, Settings(method=method))
        places = analysis.spines[["z_um", "y_um", "x_um"]].to_numpy(float)
        total += count_by_segment(load_marks(default_data(), [case.day])[0], places)[OWN_SEGMENT]
        threshold = analysis.threshold
    row = {"n": len(cases), "threshold": threshold, "truth": total.n_truth, "found": total.n_predicted}
    measures = {m: round(float(getattr(total, m)), 4) for m in ("precision", "recall", "f1")}
    return row | measures


def child_scores(method: str, folder: Path) -> None:
    """Score one method on all sets; a line of JSON for each."""
    for home in sorted(p for p in folder.iterdir() if p.is_dir()):
        name = (home / "name.txt").read_text(encoding="utf-8")
        print(json.dumps({"set": name, "row": score_set(method, name, load_cases(home))}), flush=True)


def child_cost(method: str, path: Path, device: str) -> None:
    """Predict one stack; prints seconds of wall clock and processor, and slices."""
    with np.load(path) as held:
        stack = Stack(held["voxels"], Spacing(*COST_UM, source="file"), "cost")
    few = Stack(stack.voxels[:1, :64, :64], stack.spacing, "warm-up")
    weights = KNOWN[method].load(stack.is_2d, device)
    KNOWN[method].predict(few, KNOWN[method].load(few.is_2d, device))
    wall, cpu = perf_counter(), process_time()
    KNOWN[method].predict(stack, weights).finished()
    wall, cpu = perf_counter() - wall, process_time() - cpu
    scale = stack.voxels[0].size / 512**2 * len(stack.voxels)
    print(json.dumps({"wall": wall / scale, "cpu": cpu / scale}), flush=True)


def run_child(arguments: list[str], each_line: Any = None) -> tuple[list[dict[str, Any]], float]:
    """Run this module in a process of its own; return its lines and its peak memory in MB."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.compare_methods", *arguments], stdout=subprocess.PIPE, text=True
    )
    lines = []
    for text in process.stdout:
        if text.startswith("{"):
            lines.append(json.loads(text))
            if each_line:
                each_line(lines[-1])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the process for {' '.join(arguments[:2])} ended with code {process.returncode}")
    return lines, usage.ru_maxrss / 1024


def hardware() -> str:
    """Name the machine."""
    import torch

    gpu = f", {torch.cuda.get_device_name(0)}" if torch.cuda.is_available() else ", no GPU"
    return f"{os.cpu_count()} {platform.machine()} CPU cores{gpu}"


def cards_of(method: str) -> list[Any]:
    """Return the cards of a method's weights.

    Raises
    ------
    SpinecoreError
        If one is not here.
    """
    known = KNOWN[method]
    needed = dict.fromkeys([known.model_2d, known.model_3d])
    return [get_card(name) for name in needed] + [c for c in list_cards() if c.name in known.further_models]


def write_docs(results: dict[str, Any], path: Path = DOCS) -> None:
    """Put the tables between their marks in the documentation."""
    parts = []
    for measure in DOCUMENTED:
        title, meaning = MEASURES[measure]
        table = score_table(results, measure)
        if len(table.columns) > 1:
            turned = table.set_index("Method").T.rename_axis("Images").reset_index()
            parts.append(f"#### {title}\n\n{meaning}\n\n{to_markdown(turned)}")
    parts.append(f"#### Cost\n\n{to_markdown(cost_table(results))}")
    runs = [f"- {e['title']}: {e['date']}, {e['hardware']}; `{e['command']}`" for e in results.values()]
    counts = next(iter(results.values()))["sets"]
    parts.append(
        "Images: " + ", ".join(f"{n} {r['n']}" for n, r in counts.items()) + ".\n\n" + "\n".join(runs)
    )
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    path.write_text(
        f"{before}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{rest.split(END)[1]}", encoding="utf-8"
    )


def compare(
    methods: list[str], folder: Path, command: str, store: Any = None, say: Any = print
) -> dict[str, Any]:
    """Run methods on the cases in `folder`; return an entry for each whose weights are here (`store` gets it at once)."""
    import torch

    entries: dict[str, Any] = {}
    with TemporaryDirectory() as temporary:
        stack = Path(temporary) / "cost.npz"
        np.savez(stack, voxels=simulate(COST_SEED, "confocal", COST_SHAPE, COST_UM).stack.voxels)
        for method in methods:
            try:
                cards = cards_of(method)
            except SpinecoreError as error:
                say(f"{method} is skipped: {error}")
                continue
            sets: dict[str, Any] = {}

            def keep(line: dict[str, Any], method: str = method, sets: dict[str, Any] = sets) -> None:
                sets[line["set"]] = line["row"]
                say(f"{method:12s} {line['set']:28s} {line['row']}")

            run_child(["--scores", method, "--folder", str(folder)], keep)
            cost, peak = run_child(["--cost", method, "--folder", str(stack)])
            gpu = None
            if torch.cuda.is_available():
                gpu = run_child(["--cost", method, "--folder", str(stack), "--device", "cuda"])[0][0]["wall"]
            entries[method] = {
                "title": KNOWN[method].title,
                "date": date.today().isoformat(),
                "hardware": hardware(),
                "command": command,
                "models": [{"name": c.name, "sha256": c.sha256} for c in cards],
                "sets": sets,
                "cost": {
                    "cpu_seconds_per_slice": round(cost[0]["cpu"], 3),
                    "gpu_seconds_per_slice": gpu,
                    "peak_mb": round(peak),
                    "parameters": sum(c.data["parameters"] for c in cards),
                    "bytes": sum(c.data["bytes"] for c in cards),
                },
            }
            say(f"{method:12s} {entries[method]['cost']}")
            if store:
                store({method: entries[method]})
    return entries


def store(entries: dict[str, Any]) -> None:
    """Keep entries where page Methods and the documentation show them."""
    earlier = load_results()
    for method, entry in entries.items():
        before = earlier.get(method)
        if before and before["models"] == entry["models"]:
            entry["sets"] = in_order(before["sets"] | entry["sets"])
    save_results(entries)
    for method, entry in entries.items():
        write_scores(method, entry)
    if DOCS.exists():
        write_docs(load_results())


def in_order(sets: dict[str, Any]) -> dict[str, Any]:
    """Return sets with the real ones first, as they are made."""
    kinds = (REAL_STACKS, "points2d", REAL_SHAPES)
    place = {
        name: next((n for n, kind in enumerate(kinds) if name.startswith(kind)), len(kinds)) for name in sets
    }
    return {name: sets[name] for name in sorted(sets, key=lambda name: place[name])}


def write_scores(method: str, entry: dict[str, Any]) -> None:
    """Put the F1 values on the card of a method that no benchmark of its own has scored."""
    for card in cards_of(method):
        scores = card.data.get("scores") or []
        if any("compare_methods" not in s["command"] for s in scores):
            continue
        card.data["scores"] = [
            {
                "data": name,
                "measure": "F1 (centre within 1 um)",
                "value": round(float(row["f1"]), 4),
                "threshold": row["threshold"],
                "command": entry["command"],
            }
            for name, row in entry["sets"].items()
            if row.get("f1") is not None and np.isfinite(row["f1"])
        ]
        write_card(card.path, card.data)


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=4, help="simulated stacks of each kind")
    parser.add_argument("--images", type=int, default=None, help="at most so many real images of each subset")
    parser.add_argument("--methods", nargs="*", default=list(KNOWN), choices=list(KNOWN))
    parser.add_argument(
        "--sets",
        nargs="*",
        default=None,
        help=f"{REAL_STACKS}, '{REAL_SHAPES}', subsets of points2d, kinds of stacks",
    )
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument(
        "--cases", type=Path, help="keep the images here, or use those that an earlier run kept"
    )
    parser.add_argument("--dry", action="store_true", help="print only; store nothing")
    for hidden in ("--scores", "--cost", "--folder"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    parser.add_argument("--device", default="cpu", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.scores:
        return child_scores(args.scores, Path(args.folder))
    if args.cost:
        return child_cost(args.cost, Path(args.folder), args.device)
    command = "python -m benchmarks.compare_methods " + " ".join(
        f"--{k} {v}" for k, v in (("stacks", args.stacks), ("images", args.images)) if v is not None
    )
    if args.data:
        os.environ["SPINE_DATA"] = str(args.data)  # for the other processes, too
    with TemporaryDirectory() as temporary:
        folder = args.cases or Path(temporary) / "cases"
        if not folder.is_dir():
            make_cases(folder, default_data(), args.sets, args.stacks, args.images)
        entries = compare(args.methods, folder, command, None if args.dry else store)
    for measure in MEASURES:
        table = score_table(entries, measure) if entries else pd.DataFrame()
        if len(table.columns) > 1:
            print(f"\n{MEASURES[measure][0]}\n{table.round(3).to_string(index=False)}")
    return None


if __name__ == "__main__":
    main()
