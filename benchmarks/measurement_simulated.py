"""How well a whole analysis measures simulated stacks: `python -m benchmarks.measurement_simulated`.

Stacks of the reported seeds (from 100), analysed with the default method at its card's threshold. A measure's error is
kept apart from a miss: spines are matched one-to-one to visible truth within 1.0 um, and dendrite length is compared
for dendrites, with their branches, that are traced whole (missed and invented dendrite is reported separately). Each stack is
analysed again with every second slice. Writes a section of docs/accuracy.md.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from benchmarks.detection import FIRST_SEED, SIMULATED
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.matching import match
from spinecore.methods.sizes import COVERAGE, ESTIMATED
from spinecore.simulation import simulate
from spinecore.simulation.simulate import Simulated
from spinecore.stack import Stack

KINDS = ("confocal", "confocal-oblique", "twophoton")
DOCS = Path(__file__).resolve().parent.parent / "docs" / "accuracy.md"
BEGIN, END = "<!-- simulated: written by benchmarks.measurement_simulated -->", "<!-- end of simulated -->"
#: A point of a centre line is shared when the other one passes within this distance (um).
SHARED_UM = 0.8
STEP_UM = 0.05
#: measure -> (name for people, aim for the median absolute error in %)
MEASURES = {
    "length_um": ("spine length", 10),
    "head_width_um": ("head width (heads above 0.4 um)", 10),
    "volume_um3": ("volume", 15),
    "volume_fluorescence_um3": ("volume by fluorescence", 15),
    "length_estimated_um": ("spine length, estimated", 10),
    "head_width_estimated_um": ("head width, estimated (heads above 0.4 um)", 10),
    "volume_estimated_um3": ("volume, estimated", 15),
}


def even(points: np.ndarray) -> np.ndarray:
    """Resample a polyline to `STEP_UM`."""
    if len(points) < 2:
        return np.zeros((0, 3))
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.arange(0.0, arc[-1] + 1e-9, STEP_UM)
    return np.stack([np.interp(at, arc, points[:, k]) for k in range(3)], axis=1)


def trees(made: Simulated) -> np.ndarray:
    """Return the number of the tree that each true dendrite belongs to: a branch counts with what it springs from."""
    parents = made.dendrites["parent_id"].to_numpy(float)
    roots = np.arange(len(parents))
    for k, parent in enumerate(parents):  # parents come before their branches
        if np.isfinite(parent):
            roots[k] = roots[int(parent) - 1]
    return roots


def length_errors(made: Simulated, analysis: Analysis) -> list[dict[str, float]]:
    """Return one row per true tree: its length, the length missed, and the error where nearly all of it is traced."""
    truth = [even(points) for points, _, _ in made.centre_lines]
    branches = [even(b.points_um) for d in analysis.candidates.dendrites for b in d.branches]
    if not any(map(len, truth)) or not branches:
        return []
    found = np.concatenate(branches)
    lines = np.concatenate([p for p in truth if len(p)])
    tree_of = np.repeat(trees(made), [len(p) for p in truth])
    distance, nearest = cKDTree(lines).query(found)
    belongs = np.where(distance <= SHARED_UM, tree_of[nearest], -1)
    shared = cKDTree(found).query(lines)[0] <= SHARED_UM
    invented = float((belongs < 0).sum()) * STEP_UM
    rows = []
    for tree in np.unique(tree_of):
        own = tree_of == tree
        length = float(made.dendrites["path_length_um"][trees(made) == tree].sum())
        traced = shared[own].mean() > 0.97 and length >= 5
        rows.append(
            {
                "length": length,
                "missed": float((~shared[own]).sum()) * STEP_UM,
                "invented": invented / len(np.unique(tree_of)),
                "error": 100 * ((belongs == tree).sum() * STEP_UM / length - 1) if traced else np.nan,
            }
        )
    return rows


def spine_errors(made: Simulated, analysis: Analysis) -> list[dict[str, float]]:
    """Return one row per matched spine and measure: truth, relative error (%) and whether the value is flagged."""
    truth = made.spines[made.spines["visible"]]
    found = analysis.spines
    if truth.empty or found.empty:
        return []
    axes = ["z_um", "y_um", "x_um"]
    rows = []
    for t, f in match(truth[axes].to_numpy(float), found[axes].to_numpy(float), "centre", 1.0).pairs:
        for name in MEASURES:
            of = "volume_um3" if name.startswith("volume") else name.replace("_estimated", "")
            true = truth[of].iloc[t]
            value = found[name].iloc[f]
            flag = str(found[f"{name}_flag"].iloc[f]) if f"{name}_flag" in found else ""
            border = bool(found["touches_border"].iloc[f])
            if not np.isfinite(true) or border or (of == "head_width_um" and true <= 0.4):
                continue
            said = found[ESTIMATED[name]].iloc[f] if name in ESTIMATED else np.nan
            factor = 1 + said / 100
            rows.append(
                {
                    "measure": name,
                    "truth": true,
                    "error": 100 * (value / true - 1),
                    "limited": "limited" in flag,
                    "within": float(1 / factor <= true / value <= factor) if np.isfinite(said) else np.nan,
                }
            )
    return rows


def slope(rows: pd.DataFrame) -> float:
    """Return the slope of measured on true values (logarithms): below 1 where sizes are drawn towards common ones."""
    known = rows[np.isfinite(rows["error"]) & (rows["error"] > -100)]
    true = np.log(known["truth"].to_numpy(float))
    return float(np.polyfit(true, true + np.log1p(known["error"].to_numpy(float) / 100), 1)[0])


def density(spines: pd.DataFrame, dendrites: pd.DataFrame) -> float:
    """Return spines over length of a whole stack, spines without a dendrite left out."""
    length = float(dendrites["path_length_um"].sum())
    return float(spines["dendrite_id"].notna().sum()) / length if length > 0 else np.nan


def without_dim(made: Simulated, found: pd.DataFrame) -> pd.DataFrame:
    """Return the found spines less those that are true spines too dim to count, as in the detection scores."""
    axes = ["z_um", "y_um", "x_um"]
    dim, visible = (
        made.spines[made.spines["visible"] == seen][axes].to_numpy(float) for seen in (False, True)
    )
    if found.empty or not len(dim):
        return found
    places = found[axes].to_numpy(float)
    counted = cKDTree(dim).query(places)[0] > 1.0
    counted[match(visible, places, "centre", 1.0).pairs[:, 1]] = True
    return found[counted]


def measure_kind(kind: str, stacks: int) -> dict[str, pd.DataFrame]:
    """Analyse the stacks of one kind, whole and with every second slice."""
    preset, shape, spacing = SIMULATED[kind]
    lengths, spines, whole = [], [], []
    for seed in range(FIRST_SEED, FIRST_SEED + stacks):
        made = simulate(seed, preset, shape, spacing)
        if made.dendrites["path_length_um"].sum() < 5:
            continue
        full = analyse(made.stack, Settings())
        sparse = analyse(
            Stack(
                made.stack.voxels[::2].copy(),
                replace(made.stack.spacing, z_um=2 * made.stack.spacing.z_um),
                made.stack.name,
            ),
            Settings(),
        )
        lengths += [{"seed": seed, **row} for row in length_errors(made, full)]
        spines += [{"seed": seed, **row} for row in spine_errors(made, full)]
        visible = made.spines[made.spines["visible"]]
        true = density(visible, made.dendrites) or np.nan
        every = density(made.spines, made.dendrites)
        alike = density(without_dim(made, full.spines), full.dendrites)
        scores = full.candidates.scores[~full.candidates.far]
        calibration = full.calibration
        total = float(full.dendrites["path_length_um"].sum())
        corrected = calibration.estimate(scores).number / total if calibration and total else np.nan
        whole.append(
            {
                "seed": seed,
                "truth": true,
                "error": 100 * (density(full.spines, full.dendrites) / true - 1),
                "like": 100 * (alike / true - 1),
                "every": 100 * (density(full.spines, full.dendrites) / every - 1),
                "corrected": 100 * (corrected / true - 1),
                "sparse": 100
                * (density(sparse.spines, sparse.dendrites) / density(full.spines, full.dendrites) - 1),
            }
        )
        print(f"{kind} {seed}: " + ", ".join(f"{k} {v:.3g}" for k, v in whole[-1].items()), flush=True)
    return {"lengths": pd.DataFrame(lengths), "spines": pd.DataFrame(spines), "stacks": pd.DataFrame(whole)}


def tables(found: dict[str, dict[str, pd.DataFrame]], command: str) -> str:
    """Return the results as Markdown."""
    lines = [f"`{command}`", ""]
    lines.append("Median absolute relative error (%), the median error with its sign, and how many.")
    lines += ["", "| measure | aim | " + " | ".join(found) + " |", "|---|---|" + "---|" * len(found)]

    def cell(errors: pd.Series) -> str:
        known = errors.dropna()
        return f"{known.abs().median():.1f} ({known.median():+.1f}; n {len(known)})" if len(known) else "none"

    rows = [("dendrite length, of trees that are traced whole", "2", "lengths", lambda t: t["error"])]
    rows += [
        (title, str(aim), "spines", lambda t, name=name: t.loc[t["measure"] == name, "error"])
        for name, (title, aim) in MEASURES.items()
    ]
    rows += [
        ("density of a stack, spines bright enough to count", "5", "stacks", lambda t: t["like"]),
        (
            "density of a stack, all found against spines bright enough to count",
            "",
            "stacks",
            lambda t: t["error"],
        ),
        ("density of a stack, all found against all true spines", "", "stacks", lambda t: t["every"]),
        ("density of a stack, corrected", "5", "stacks", lambda t: t["corrected"]),
        ("density with every second slice against all", "5", "stacks", lambda t: t["sparse"]),
    ]
    for title, aim, table, pick in rows:
        cells = [cell(pick(own[table])) if len(own[table]) else "none" for own in found.values()]
        lines.append(f"| {title} | {aim} | " + " | ".join(cells) + " |")
    for name in MEASURES:
        if not all(len(own["spines"]) for own in found.values()):
            continue
        rows_of = [own["spines"][own["spines"]["measure"] == name] for own in found.values()]
        slopes = [f"{slope(of):.2f}" for of in rows_of]
        lines.append(f"| slope of measured on true: {MEASURES[name][0]} | | " + " | ".join(slopes) + " |")
        if name in ESTIMATED:
            shares = [f"{100 * of['within'].mean():.0f} %" for of in rows_of]
            title = f"true value within the stated error: {MEASURES[name][0]}"
            lines.append(f"| {title} | {100 * COVERAGE:.0f} % | " + " | ".join(shares) + " |")
    for title, column in (("dendrite missed", "missed"), ("dendrite invented", "invented")):
        cells = [
            f"{100 * own['lengths'][column].sum() / own['lengths']['length'].sum():.0f} % of the true length"
            for own in found.values()
        ]
        lines.append(f"| {title} | | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Run, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stacks", type=int, default=6, help="stacks of each kind")
    args = parser.parse_args()
    found = {kind: measure_kind(kind, args.stacks) for kind in KINDS}
    text = tables(found, f"python -m benchmarks.measurement_simulated --stacks {args.stacks}")
    print(text)
    old = DOCS.read_text(encoding="utf-8")
    start, stop = old.index(BEGIN) + len(BEGIN), old.index(END)
    DOCS.write_text(f"{old[:start]}\n\n{text}\n{old[stop:]}", encoding="utf-8")


if __name__ == "__main__":
    main()
