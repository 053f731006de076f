"""Every method on the same data by one evaluator: `python -m benchmarks.compare_methods`.

Data: points2d/val by subset (centres within 1.0 um, nominal pixel sizes); simulated stacks of seeds that
no training and no choice saw (`benchmarks.detection.SIMULATED`); projections of the confocal and
two-photon ones. Every method runs at the threshold on its card. Voxels of spines too dim to be seen count
neither way. Each method runs in a process of its own; time and memory come from a further one that only
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
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.detection import FIRST_SEED, SIMULATED, score
from spinecore.errors import SpinecoreError
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
from spinecore.simulation.simulate import Simulated
from spinecore.stack import Spacing, Stack
from spinecore.training.recipes import default_data
from spinecore.training.samples import NOMINAL_UM

DOCS = Path("docs/accuracy.md")
#: Measures whose tables stand in the documentation; page Methods shows all of them.
DOCUMENTED = ("f1", "f1_3d", "spine_iou", "dendrite_iou", "false_per_stack")
BEGIN, END = "<!-- compare_methods begins -->", "<!-- compare_methods ends -->"
#: Sets of which projections are scored, too.
PROJECTED = ("confocal", "twophoton")
#: Stack for time and memory: slices of 512 x 512, confocal, a seed that nothing else uses.
COST_SEED, COST_SHAPE, COST_UM = 190, (8, 512, 512), (0.3, 0.1, 0.1)


@dataclass
class Case:
    """An image with its truth.

    Parameters
    ----------
    name : str
    stack : Stack
    truth : DataFrame
        Spines in um, as in `truth_spines.csv`.
    spine, dendrite : ndarray of uint8, shape of the stack, or None
        1 inside, 0 outside, 2 counts neither way; None where only points are known.
    """

    name: str
    stack: Stack
    truth: pd.DataFrame
    spine: np.ndarray | None = None
    dendrite: np.ndarray | None = None


def real_cases(data: Path, subset: str, limit: int | None) -> list[Case]:
    """Read points2d/val of one subset."""
    from PIL import Image

    folder, pixel = data / "points2d", NOMINAL_UM[subset]
    images = pd.read_csv(folder / "images.csv")
    points = pd.read_csv(folder / "points.csv")
    rows = images[(images["split"] == "val") & (images["subset"] == subset)]
    cases = []
    for row in rows.head(limit or len(rows)).itertuples():
        voxels = np.asarray(Image.open(folder / "images" / row.image).convert("L"))[None]
        own = points[points["image"] == row.image]
        truth = pd.DataFrame({"x_um": own["x_px"] * pixel, "y_um": own["y_px"] * pixel})
        truth.insert(0, "spine_id", np.arange(1, len(truth) + 1))
        spacing = Spacing(None, pixel, pixel, source="assumed", detail="nominal")
        cases.append(Case(Path(row.image).stem, Stack(voxels, spacing, row.image), truth))
    return cases


def truth_masks(made: Simulated) -> tuple[np.ndarray, np.ndarray]:
    """Return the masks of spines and dendrites, coded as in `Case`."""
    dim = made.spines.loc[~made.spines["visible"].astype(bool), "spine_id"]
    spine = (made.labels > 0).astype(np.uint8)
    spine[np.isin(made.labels, dim)] = 2
    dendrite = (made.dendrite_labels > 0).astype(np.uint8)
    dendrite[spine == 2] = 2
    return spine, dendrite


def project(made: Simulated, name: str) -> Case:
    """Project a simulated stack; a spine whose head lies before or behind a shaft counts neither way."""
    spine, dendrite = truth_masks(made)
    shaft = (dendrite == 1).any(0)
    outline = np.where((spine == 1).any(0), 1, np.where((spine == 2).any(0), 2, 0))
    outline[shaft] = 0
    truth = made.spines[["spine_id", "x_um", "y_um", "visible"]].copy()
    y, x = (
        np.clip(made.spines[c].round().astype(int), 0, n - 1)
        for c, n in zip(("y_px", "x_px"), shaft.shape, strict=True)
    )
    truth["visible"] = truth["visible"].astype(bool) & ~shaft[y, x]
    _, y_um, x_um = made.stack.spacing.zyx_um()
    stack = Stack(made.stack.voxels.max(0)[None], Spacing(None, y_um, x_um, source="file"), name)
    return Case(name, stack, truth, outline[None].astype(np.uint8), shaft[None].astype(np.uint8))


def simulated_cases(kind: str, count: int) -> dict[str, list[Case]]:
    """Simulate one kind of stack, and project it where that is scored."""
    preset, shape, spacing = SIMULATED[kind]
    out: dict[str, list[Case]] = {f"simulated {kind}": []}
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        made = simulate(seed, preset, shape, spacing)
        name = f"{kind}_{seed}"
        out[f"simulated {kind}"].append(Case(name, made.stack, made.spines, *truth_masks(made)))
        if kind in PROJECTED:
            out.setdefault(f"projected {kind}", []).append(project(made, f"projected_{name}"))
    return out


def save_cases(cases: dict[str, list[Case]], folder: Path) -> None:
    """Write sets of cases for other processes."""
    for number, (name, items) in enumerate(cases.items()):
        home = folder / f"{number:02d}"
        home.mkdir(parents=True)
        (home / "name.txt").write_text(name, encoding="utf-8")
        for index, case in enumerate(items):
            s = case.stack.spacing
            masks = {} if case.spine is None else {"spine": case.spine, "dendrite": case.dendrite}
            np.savez(
                home / f"{index:03d}.npz",
                voxels=case.stack.voxels,
                spacing=np.array([np.nan if s.z_um is None else s.z_um, s.y_um, s.x_um]),
                source=s.source,
                name=case.name,
                **masks,
            )
            case.truth.to_csv(home / f"{index:03d}.csv", index=False)


def load_cases(home: Path) -> list[Case]:
    """Read one set back."""
    cases = []
    for path in sorted(home.glob("*.npz")):
        with np.load(path) as held:
            z, y, x = (float(v) for v in held["spacing"])
            spacing = Spacing(None if np.isnan(z) else z, y, x, source=str(held["source"]))
            masks = (held["spine"], held["dendrite"]) if "spine" in held else (None, None)
            stack = Stack(held["voxels"], spacing, str(held["name"]))
            cases.append(Case(stack.name, stack, pd.read_csv(path.with_suffix(".csv")), *masks))
    return cases


def overlap(truth: np.ndarray, found: np.ndarray) -> PixelScores:
    """Compare masks where the truth counts."""
    counts = truth < 2
    return pixel_scores(truth[counts] == 1, found[counts] > 0)


def score_set(method: str, name: str, cases: list[Case]) -> dict[str, Any]:
    """Analyse a set and score it."""
    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse

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
    KNOWN[method].predict(stack, weights)
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
    save_results(entries)
    for method, entry in entries.items():
        write_scores(method, entry)
    if DOCS.exists():
        write_docs(load_results())


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


def make_cases(folder: Path, data: Path, sets: list[str] | None, stacks: int, images: int | None) -> None:
    """Read and simulate all sets into `folder`."""
    cases: dict[str, list[Case]] = {}
    if not data.is_dir():
        print(f"{data} is not here: simulated data only")
    for subset in NOMINAL_UM:
        if data.is_dir() and (sets is None or subset in sets):
            cases[f"points2d/val {subset}"] = real_cases(data, subset, images)
    for kind in SIMULATED:
        if sets is None or kind in sets:
            cases |= simulated_cases(kind, stacks)
    save_cases({name: items for name, items in cases.items() if items}, folder)


def main() -> None:
    """Run, print and store."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=4, help="simulated stacks of each kind")
    parser.add_argument("--images", type=int, default=None, help="at most so many real images of each subset")
    parser.add_argument("--methods", nargs="*", default=list(KNOWN), choices=list(KNOWN))
    parser.add_argument("--sets", nargs="*", default=None, help="subsets of points2d and kinds of stacks")
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
    with TemporaryDirectory() as temporary:
        folder = args.cases or Path(temporary) / "cases"
        if not folder.is_dir():
            make_cases(folder, args.data or default_data(), args.sets, args.stacks, args.images)
        entries = compare(args.methods, folder, command, None if args.dry else store)
    for measure in MEASURES:
        table = score_table(entries, measure) if entries else pd.DataFrame()
        if len(table.columns) > 1:
            print(f"\n{MEASURES[measure][0]}\n{table.round(3).to_string(index=False)}")
    return None


if __name__ == "__main__":
    main()
