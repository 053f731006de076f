"""What each correction costs: `python -m benchmarks.correcting`.

Makes and analyses the 40 x 1024 x 1024 stack of `benchmarks.speed` (518 spines), or takes an analysis and its stack
(`--analysis DIR --stack FILE`), and corrects a copy of it: each kind of correction at several places, from the call to the new tables
on the disk. Printed are the seconds of processor time of this process, the median and the most. Run with OMP_NUM_THREADS=1; wall clock
is the same on an idle machine. The first corrections load the shape network and are not counted.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time

import numpy as np
from scipy.spatial import cKDTree

from benchmarks.speed import make_stack
from spinecore.analysis.editor import Editor, Line
from spinecore.errors import SpinecoreError
from spinecore.reading import read_stack


def places_of(editor: Editor) -> np.ndarray:
    """Heads of all spines, ZYX px, by their row."""
    return editor.analysis.spines[["z_px", "y_px", "x_px"]].to_numpy(float)


def time_corrections(editor: Editor, rounds: int, seed: int) -> dict[str, list[float]]:
    """Do every kind of correction at random places; return the seconds of each."""
    rng = np.random.default_rng(seed)
    seconds: dict[str, list[float]] = {}

    def timed(name: str, do: Callable[[], object]) -> None:
        start = process_time()
        try:
            do()
        except SpinecoreError as error:
            print(f"  {name}: {error}", file=sys.stderr)
            return
        seconds.setdefault(name, []).append(process_time() - start)

    def some_spine() -> int:
        return int(rng.choice(editor.analysis.spines["spine_id"]))

    def place(spine: int) -> np.ndarray:
        return places_of(editor)[editor.analysis.spines["spine_id"].to_numpy() == spine][0]

    def some_line(least: int = 120) -> Line:
        return rng.choice([line for line in editor.lines() if len(line.points_px) >= least])  # type: ignore[arg-type]

    for _ in range(rounds):
        spine = some_spine()
        timed("remove a spine", lambda s=spine: editor.remove(s))
        timed("undo", editor.undo)
        timed("redo", editor.redo)
        at = place(some_spine()) + np.array([0.0, *rng.choice([-7.0, 7.0], 2)])
        timed("add a spine", lambda p=at: editor.add(p))
        spine = some_spine()
        timed("class", lambda s=spine: editor.set_class(s, "thin"))
        timed("yes to a spine", lambda s=spine: editor.check(s, "yes"))
        timed("move a head", lambda s=spine: editor.move_head(s, place(s) + np.array([0.0, 0.5, 0.5])))
        timed("move a tip", lambda s=spine: editor.move_tip(s, place(s) + np.array([0.0, 2.0, 2.0])))
        spine = some_spine()
        timed("grow an outline", lambda s=spine: editor.grow(s, 0.45))
        heads = places_of(editor)
        numbers = editor.analysis.spines["spine_id"].to_numpy()
        apart = np.linalg.norm((heads[:, None] - heads[None]) * (3, 1, 1), axis=-1) + 1e9 * np.eye(len(heads))
        first, second = np.unravel_index(int(apart.argmin()), apart.shape)
        timed("merge two spines", lambda a=int(numbers[first]), b=int(numbers[second]): editor.merge(a, b))
        points = some_line().points_px
        half = len(points) // 2
        timed("redraw 5 um", lambda p=points, k=half: editor.redraw([p[k - 25], p[k], p[k + 25]]))
        timed("cut", lambda p=points, k=half: editor.cut(p[k]))
        timed("join", lambda p=points, k=half: editor.join(p[k - 2], p[k + 2]))
        timed("delete a branch", lambda p=points, k=half: editor.delete_branch(p[k]))
        timed("trace it again", lambda p=points, k=half: editor.trace([p[8], p[k], p[-8]]))
    return seconds


def follow_lines(editor: Editor, reach_um: float) -> None:
    """Let the line snap between two clicks beside each traced dendrite, and say how far it runs from that."""
    candidates = editor.analysis.candidates
    spacing, scale = np.array(candidates.spacing_zyx_um), np.array([1.0, *candidates.scale_yx])
    off, ratio = [], []
    for line in editor.lines():
        points = line.points_px
        step = round(reach_um * 10)  # a point every 0.1 um
        for start in range(5, len(points) - step - 5, step):
            true = points[start : start + step + 1]
            aside = np.array([0.0, 1.5, -1.5])
            found = editor.preview([true[0] + aside, true[-1] - aside])
            found_um, true_um = (((line + 0.5) * scale - 0.5) * spacing for line in (found, true))
            off.append(np.median(cKDTree(true_um).query(found_um)[0]))
            length, true_length = (
                np.linalg.norm(np.diff(p, axis=0), axis=1).sum() for p in (found_um, true_um)
            )
            ratio.append(length / true_length)
    if off:
        print(
            f"lines between clicks {reach_um:g} um apart and 0.2 um beside the shaft's middle: {len(off)}, {np.median(off):.2f} um "
            f"(median) and {max(off):.2f} um (most) from the traced line, length {np.median(ratio):.3f} of its"
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--analysis", type=Path, metavar="DIR", help="take this analysis")
    parser.add_argument("--stack", type=Path, metavar="FILE", help="and this stack")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with TemporaryDirectory() as temporary:
        stack, source = args.stack, args.analysis
        if source is None:
            stack, source = Path(temporary) / "stack.tif", Path(temporary) / "analysis"
            make_stack(stack, 40, 1024)
            command = [sys.executable, "-m", "spinecore", "analyse", str(stack), "--out", str(source)]
            subprocess.run([*command, "--device", args.device], check=True)
        folder = Path(temporary) / "copy"
        shutil.copytree(source, folder)
        voxels = read_stack(stack).voxels
        editor = Editor(folder, lambda wanted: voxels[wanted.start : wanted.stop])
        editor.prepare()
        first = int(editor.analysis.spines["spine_id"].iloc[0])
        editor.grow(first, 0.5)
        editor.undo()
        lengths = [len(line.points_px) / 10 for line in editor.lines()]
        print(
            f"{' x '.join(map(str, editor.analysis.shape))}, {len(editor.analysis.spines)} spines, {len(lengths)} branches of "
            f"{min(lengths):.0f} to {max(lengths):.0f} um"
        )
        for reach in (10.0, 25.0, 50.0):
            follow_lines(editor, reach)
        for name, times in time_corrections(editor, args.rounds, args.seed).items():
            print(f"{name}: median {np.median(times):.2f} s, most {max(times):.2f} s ({len(times)})")


if __name__ == "__main__":
    main()
