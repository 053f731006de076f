"""Does everything run on this machine's GPU, and how fast? Under five minutes on a data-centre GPU.

    python -m benchmarks.gpu_check [--device auto|cuda|mps|cpu] [--quick] [--only methods recipes speed]

1. methods: the sample with every method.
2. recipes: 50 training steps and one validation of every recipe, on made-up data.
3. speed: the networks of the default method on a stack of 40 x 1024 x 1024, and the whole analysis of it.

Each line says how long it took; what fails is listed at the end, and the exit code is then 1. `--quick` makes
everything small, so that the script itself can be tested without a GPU.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import torch

from benchmarks.recipe_data import made_up_data, made_up_volume
from benchmarks.speed import make_stack
from spinecore.analysis.result import Settings
from spinecore.analysis.run import analyse
from spinecore.methods import METHODS
from spinecore.networks.device import device_name, pick_device
from spinecore.reading import read_stack
from spinecore.simulation.sample import SAMPLE_STACK
from spinecore.stack import Stack
from spinecore.training.engine import start_network
from spinecore.training.loop import train
from spinecore.training.precision import pick_precision
from spinecore.training.recipe import Context, Stage
from spinecore.training.recipes import RECIPES, make_recipe
from spinecore.training.schedule import Schedule

PARTS = ("methods", "recipes", "speed")
STEPS, QUICK_STEPS = 50, 1
#: Recipes whose networks are too large for a processor to learn with in a quick check.
LARGE = ("faster-rcnn-published", "unet-valid", "unet-weighted", "dmcn", "unet-small", "shape-resnet50")


@dataclass
class Report:
    """Prints one line for each check and remembers which failed."""

    failed: list[str] = field(default_factory=list)

    def check(self, name: str, run: Callable[[], str]) -> None:
        """Run a check, which returns what there is to say."""
        start = perf_counter()
        try:
            told = run()
        except Exception as error:  # whatever it is, the other checks go on
            self.failed.append(name)
            traceback.print_exc()
            told = f"FAILED: {type(error).__name__}: {error}"
        print(f"{name:42s} {perf_counter() - start:7.1f} s  {told}", flush=True)


def middle(stack: Stack, shape: tuple[int, int, int]) -> Stack:
    """Return the middle of a stack."""
    window = tuple(slice((n - m) // 2, (n - m) // 2 + m) for n, m in zip(stack.shape, shape, strict=True))
    return Stack(stack.voxels[window], stack.spacing, stack.name)


def check_method(name: str, stack: Stack, device: str) -> str:
    """Analyse a stack and its projection with a method."""
    found = [analyse(one, Settings(method=name, device=device)) for one in (stack, _projection(stack))]
    spines = " and ".join(str(len(analysis.spines)) for analysis in found)
    seconds = " and ".join(f"{analysis.seconds['network']:.1f}" for analysis in found)
    return f"{spines} spines in the stack and its projection, networks {seconds} s"


def _projection(stack: Stack) -> Stack:
    return Stack(stack.voxels.max(0)[None], stack.spacing, f"{stack.name}, projected")


def check_recipe(name: str, context: Context, steps: int) -> str:
    """Train some steps and validate once, on the context's device."""
    recipe = make_recipe(name)
    recipe.prepare(context)
    try:
        model, _ = start_network(recipe, context)
        model = model.to(context.device)
        stage = Stage("check", recipe.samples, Schedule(steps=steps, warm_up=1))
        begin = perf_counter()
        folder = recipe.folder(context) / name
        trained, _ = train(
            model,
            stage,
            recipe.loss,
            folder,
            precision=pick_precision("auto", context.device),
            say=context.say,
        )
        each_ms = (perf_counter() - begin) / steps * 1000
        scores = recipe.validate(trained)
    finally:
        recipe.close()
    return f"{each_ms:.0f} ms a step, select {scores['select']:.3f}"


def check_speed(device: str, slices: int, side: int) -> str:
    """Time the default method's networks and the whole analysis of a large stack."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "big.tif"
        make_stack(path, slices, side)
        start = perf_counter()
        analysis = analyse(read_stack(path), Settings(device=device))
        seconds = perf_counter() - start
    parts = ", ".join(f"{name} {value:.1f}" for name, value in analysis.seconds.items())
    return f"{seconds:.1f} s from file to tables ({parts}), {len(analysis.spines)} spines"


def run_checks(device: str, quick: bool, parts: list[str], recipes: list[str]) -> list[str]:
    """Run the checks; return the names of those that failed."""
    report = Report()
    if "methods" in parts:
        stack = read_stack(SAMPLE_STACK)
        stack = middle(stack, (4, 128, 128)) if quick else stack
        for name in METHODS:
            report.check(f"method {name}", lambda n=name: check_method(n, stack, device))  # type: ignore[misc]
    if "recipes" in parts:
        volume, number = made_up_volume(), count()
        steps = QUICK_STEPS if quick else STEPS
        for name in recipes:
            with (
                TemporaryDirectory() as folder,
                made_up_data(Path(folder) / str(next(number)), volume, device) as context,
            ):
                report.check(f"recipe {name}", lambda n=name, c=context: check_recipe(n, c, steps))  # type: ignore[misc]
    if "speed" in parts:
        slices, side = (2, 128) if quick else (40, 1024)
        report.check(f"speed {slices} x {side} x {side}", lambda: check_speed(device, slices, side))
    return report.failed


def main() -> int:
    """Run and print; 1 when a check failed, 2 when there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", default="auto", choices=("auto", "cuda", "mps", "cpu"))
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--recipes", nargs="+", choices=list(RECIPES), help="by default all")
    args = parser.parse_args()
    device = pick_device(args.device)
    if device == "cpu" and args.device == "auto":
        print("there is no GPU on this machine: --device cpu --quick tests the script itself")
        return 2
    chosen = args.recipes or [name for name in RECIPES if not (args.quick and name in LARGE)]
    print(f"{device_name(device)}, PyTorch {torch.__version__}")
    start = perf_counter()
    failed = run_checks(device, args.quick, args.only, chosen)
    print(
        f"{perf_counter() - start:.0f} s in all; "
        + (f"FAILED: {', '.join(failed)}" if failed else "nothing failed")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
