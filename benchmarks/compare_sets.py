"""The images on which `benchmarks.compare_methods` tries every method, with their truth, and how they are handed to other processes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.detection import FIRST_SEED, SIMULATED
from benchmarks.real_shapes import KINDS as SHAPE_KINDS
from spinecore.reading import read_stack
from spinecore.simulation import simulate
from spinecore.simulation.real_shapes import ShapeSet, simulate_shapes
from spinecore.simulation.simulate import Simulated
from spinecore.stack import Spacing, Stack
from spinecore.training.pool import SHAPES
from spinecore.training.real_stacks import CHOOSING, FOLDER, load_marks
from spinecore.training.samples import NOMINAL_UM

#: Sets of which projections are scored, too.
PROJECTED = ("confocal", "twophoton")
#: Names of the sets of real stacks with marks, and of simulated dendrites with real shapes.
REAL_STACKS, REAL_SHAPES = "real_stacks", "real shapes"


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
    day : str
        Of `real_stacks`, where the marks of that day are the truth.
    """

    name: str
    stack: Stack
    truth: pd.DataFrame
    spine: np.ndarray | None = None
    dendrite: np.ndarray | None = None
    day: str = ""


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


def real_stack_cases(data: Path) -> list[Case]:
    """Read the choosing days of the real stacks; their marks are read where they are scored."""
    nothing = pd.DataFrame({"spine_id": []})
    return [
        Case(marks.name, read_stack(marks.path), nothing, day=marks.name)
        for marks in load_marks(data, CHOOSING)
    ]


def shape_cases(data: Path, kind: str, count: int) -> list[Case]:
    """Simulate dendrites with real shapes that no training saw."""
    preset, shape, spacing, _ = SHAPE_KINDS[kind]
    shapes = ShapeSet.of(data / SHAPES, unseen=True)
    cases = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        made = simulate_shapes(seed, shapes, preset, shape, spacing)
        cases.append(Case(f"{kind}_{seed}", made.stack, made.spines, *truth_masks(made)))
    return cases


def make_cases(folder: Path, data: Path, sets: list[str] | None, stacks: int, images: int | None) -> None:
    """Read and simulate all sets into `folder`."""
    cases: dict[str, list[Case]] = {}

    def wanted(name: str) -> bool:
        return sets is None or name in sets

    if not data.is_dir():
        print(f"{data} is not here: simulated data only")
    else:
        if wanted(REAL_STACKS) and (data / FOLDER).is_dir():
            cases[f"{REAL_STACKS}, choosing days"] = real_stack_cases(data)
        for subset in filter(wanted, NOMINAL_UM):
            cases[f"points2d/val {subset}"] = real_cases(data, subset, images)
        if wanted(REAL_SHAPES) and (data / SHAPES).is_dir():
            for kind, (*_, projected) in SHAPE_KINDS.items():
                if not projected:
                    cases[f"{REAL_SHAPES} {kind}"] = shape_cases(data, kind, stacks)
    for kind in filter(wanted, SIMULATED):
        cases |= simulated_cases(kind, stacks)
    save_cases({name: items for name, items in cases.items() if items}, folder)


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
                day=case.day,
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
            truth = pd.read_csv(path.with_suffix(".csv"))
            cases.append(Case(stack.name, stack, truth, *masks, day=str(held["day"])))
    return cases
