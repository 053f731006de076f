"""How the default method's network for stacks is rounded to 8 bits, and what that costs: `python -m benchmarks.int8`.

    python -m benchmarks.int8 --calibrate           # after new weights: writes the field "int8" of their card
    python -m benchmarks.int8 --stacks 4 --days tp1 tp3 tp5

`--calibrate` runs the network over one simulated stack of each kind of `benchmarks.detection` (seeds from 600) and notes the lowest and
highest value of every tensor. Without it, stacks for tuning (simulated seeds from 500; segment 0 of days of
`real_stacks`) go through networks and second look with float32 and with int8, and F1 of the heads (score from 0.5; centre within 1 um, or by
mark) is printed for both, with the processor time of each.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np

from benchmarks.detection import SIMULATED
from spinecore.evaluation.matching import Counts, match
from spinecore.methods import DEFAULT_METHOD, get_method
from spinecore.methods.weights import Weights
from spinecore.networks.engine import VARIABLE
from spinecore.networks.onnx_int8 import Ranges, measure_ranges
from spinecore.networks.zoo import Network, forget_networks, load_network, write_card
from spinecore.reading import read_stack
from spinecore.simulation import simulate
from spinecore.stack import Spacing, Stack
from spinecore.training.real_stacks import OWN_SEGMENT, Marks, count_by_segment, load_marks
from spinecore.training.recipes import default_data

CALIBRATION_SEED, TUNING_SEED = 600, 500
CALIBRATION_SHAPE = (12, 256, 256)
#: Of the network's inputs every so many-th is measured.
EVERY = 9
THRESHOLD = 0.5
COMMAND = "python -m benchmarks.int8 --calibrate"
#: Around the segment this much of a real stack is analysed (um; z, y).
MARGIN_UM = (7.0, 8.0)


class Recorder:
    """Answers as a network of ONNX Runtime's does and keeps some of what it is given."""

    def __init__(self, model: Any) -> None:
        self.model, self.engine, self.planes, self.stride = model, model.engine, model.planes, model.stride
        self.calls, self.kept = 0, list[dict[str, np.ndarray]]()

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Return the network's answer."""
        if self.calls % EVERY == 0:
            self.kept.append({"image": image.copy()})
        self.calls += 1
        return self.model(image)


def load(engine: str) -> Weights:
    """Load the default method's networks for stacks with an engine."""
    os.environ[VARIABLE] = engine
    forget_networks()
    return get_method(DEFAULT_METHOD).load(is_2d=False, device="cpu")


def calibrate() -> None:
    """Measure ranges and write them on the card."""
    weights = load("onnx")
    card = weights.main.card
    found: list[Ranges] = []
    for seed, (preset, _, spacing) in enumerate(SIMULATED.values(), CALIBRATION_SEED):
        recorder = Recorder(weights.main.model)
        stack = simulate(seed, preset, CALIBRATION_SHAPE, spacing).stack
        alone = Weights(Network(card, recorder))
        get_method(DEFAULT_METHOD).predict(stack, alone)
        found.append(measure_ranges(load_network(card.name), recorder.kept))
    low, high = np.min(found, axis=0)[:, 0], np.max(found, axis=0)[:, 1]
    ranges = [[float(f"{a:.4g}"), float(f"{b:.4g}")] for a, b in zip(low, high, strict=True)]
    card.data["int8"] = {"sha256": card.sha256, "ranges": ranges, "measured_by": COMMAND}
    write_card(card.path, card.data)
    print(f"{card.name}: {len(ranges)} tensors, values from {low.min():.1f} to {high.max():.1f}")


def real_part(marks: Marks) -> tuple[Stack, np.ndarray]:
    """Return the part of a real stack around the segment, and where it begins (z, y, x; um)."""
    line = marks.lines_um[OWN_SEGMENT]
    spacing = Spacing(1.0, 0.12, 0.12, source="user", detail="")
    voxels = read_stack(marks.path).voxels
    z, y = (
        slice(max(0, int((line[:, k].min() - margin) / step)), int((line[:, k].max() + margin) / step) + 1)
        for k, (margin, step) in enumerate(zip(MARGIN_UM, (1.0, 0.12), strict=True))
    )
    return Stack(voxels[z, y], spacing, marks.name), np.array([z.start, 0.12 * y.start, 0.0])


def items(stacks: int, days: list[str], data: Path) -> Iterator[tuple[str, Stack, Any]]:
    """Yield kind, stack, and a function that counts places (n, 3) against the truth."""
    for name, (preset, shape, spacing) in SIMULATED.items():
        for seed in range(TUNING_SEED, TUNING_SEED + stacks):
            made = simulate(seed, preset, shape, spacing)
            truth = made.spines[["z_um", "y_um", "x_um"]].to_numpy(float)
            yield (
                name,
                made.stack,
                lambda found, truth=truth: Counts(
                    len(truth), len(found), len(match(truth, found, threshold=1.0).pairs)
                ),
            )
    for marks in load_marks(data, days) if days else []:
        stack, start = real_part(marks)
        yield (
            "real, segment 0",
            stack,
            lambda found, marks=marks, start=start: count_by_segment(marks, found + start)[OWN_SEGMENT],
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--stacks", type=int, default=4, help="simulated stacks of each kind")
    parser.add_argument("--days", nargs="*", default=[], help="of real_stacks")
    parser.add_argument("--data", type=Path, default=None)
    args = parser.parse_args()
    if args.calibrate:
        calibrate()
        return
    engines = {name: load(name) for name in ("onnx", "onnx-int8")}
    method = get_method(DEFAULT_METHOD)
    counts: dict[tuple[str, str], Counts] = {}
    seconds = dict.fromkeys(engines, 0.0)
    for kind, stack, count in items(args.stacks, args.days, args.data or default_data()):
        for name, weights in engines.items():
            start = process_time()
            found = method.predict(stack, weights).finished()
            seconds[name] += process_time() - start
            heads, places = found.heads, found.heads.centres_px * found.spacing_zyx_um
            own = count(places[heads.scores >= THRESHOLD])
            counts[kind, name] = counts.get((kind, name), Counts()) + own
            counts["all", name] = counts.get(("all", name), Counts()) + own
    for kind in sorted(dict.fromkeys(kind for kind, _ in counts), key="all".__eq__):
        told = (
            f"{name} {counts[kind, name].f1:.4f} ({counts[kind, name].n_matched} of {counts[kind, name].n_truth}, "
            f"{counts[kind, name].n_predicted} found)"
            for name in engines
        )
        print(f"{kind}: F1 {'; '.join(told)}")
    print("processor time: " + "; ".join(f"{name} {value:.0f} s" for name, value in seconds.items()))


if __name__ == "__main__":
    main()
