"""What a wrong pixel size does to the number of spines: `python -m benchmarks.claimed_size`.

Analyses a stack with the true pixel size and with sizes 0.75 and 1.33 times that: the choosing days of `real_stacks`, two simulated
stacks, and a real file that records no size (`real_inputs`), of which no size is true. Prints the spines at the threshold and the change.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from spinecore.analysis.result import Settings
from spinecore.analysis.run import find, predict, prepare
from spinecore.detection.belonging import DetectionRules
from spinecore.reading import read_stack
from spinecore.simulation import simulate
from spinecore.stack import Stack
from spinecore.training.real_stacks import CHOOSING, FOLDER
from spinecore.training.recipes import default_data

FACTORS = (0.75, 1.0, 1.33)
UNSIZED, UNSIZED_UM = Path("real_inputs") / "scanimage_stack_4z_2ch.tif", (0.075, 0.09, 0.12, 0.15)
#: Simulated stacks: preset and seed, both for tuning.
SIMULATED = (("confocal", 510), ("twophoton", 511))
SHAPE, SPACING_UM = (24, 400, 400), (0.5, 0.1, 0.1)


def stacks(data: Path, days: list[str]) -> Iterator[tuple[str, Stack, float]]:
    """Yield name, stack and true pixel size (um)."""
    for preset, seed in SIMULATED:
        yield f"simulated {preset}", simulate(seed, preset, SHAPE, SPACING_UM).stack, SPACING_UM[1]
    for day in days:
        stack = read_stack(data / FOLDER / f"{day}.tif")
        yield f"{FOLDER} {day}", stack, float(stack.spacing.zyx_um()[2])


def count(stack: Stack, pixel_um: float) -> int:
    """Return the number of spines with a pixel size (um)."""
    plan = prepare(stack, Settings(pixel_um=pixel_um), None, DetectionRules())
    prediction, _ = predict(plan, lambda stage, fraction: None)
    return int((find(plan, prediction).candidates.scores >= plan.threshold).sum())


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=default_data())
    parser.add_argument("--days", nargs="*", default=list(CHOOSING))
    call = parser.parse_args()
    if (call.data / UNSIZED).is_file():
        unsized = read_stack(call.data / UNSIZED)
        told = ", ".join(f"{count(unsized, size)} at {size} um" for size in UNSIZED_UM)
        print(f"{UNSIZED.name}: {told}", flush=True)
    for name, stack, true_um in stacks(call.data, call.days):
        counts = [count(stack, factor * true_um) for factor in FACTORS]
        told = ", ".join(
            f"{n} at {factor} x {true_um:.3g} um ({100 * (n / counts[1] - 1):+.0f} %)"
            for n, factor in zip(counts, FACTORS, strict=True)
        )
        print(f"{name}: {told}", flush=True)


if __name__ == "__main__":
    main()
