"""What each engine costs on this processor, and that all find the same.

    python -m benchmarks.engines [--rounds 2] [--engines onnx torch-bfloat16 ...]

The sample, a simulated confocal and a simulated two-photon stack are analysed with each engine of
`spinecore.networks.engine` in turn, so that a busy machine is equally busy for all; the fastest round counts. Spines
are compared with those of the first engine: paired one to one within 0.3 um.
"""

from __future__ import annotations

import argparse
import os

import numpy as np

from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import analyse
from spinecore.evaluation.matching import match
from spinecore.networks import zoo
from spinecore.networks.engine import ENGINES, VARIABLE, processor
from spinecore.reading import read_stack
from spinecore.simulation import simulate
from spinecore.simulation.sample import SAMPLE_STACK
from spinecore.stack import Stack

SAME_UM = 0.3


def stacks() -> dict[str, Stack]:
    """Return the stacks that are analysed."""
    return {
        "sample": read_stack(SAMPLE_STACK),
        "confocal": simulate(500, "confocal", (20, 320, 320), (0.3, 0.1, 0.1)).stack,
        "two-photon": simulate(501, "twophoton", (16, 320, 320), (1.0, 0.15, 0.15)).stack,
    }


def analyse_with(engine: str, stack: Stack) -> Analysis:
    """Analyse with one engine, nothing remembered of another."""
    os.environ[VARIABLE] = engine
    zoo.forget_networks()
    return analyse(stack, Settings(device="cpu"))


def compare(one: Analysis, other: Analysis) -> str:
    """Say how the spines of two analyses differ."""
    columns = ["z_um", "y_um", "x_um"]
    places = [a.spines[columns].fillna(0).to_numpy(float) for a in (one, other)]
    pairs = match(*places, threshold=SAME_UM).pairs
    scores = [a.spines["score"].to_numpy(float) for a in (one, other)]
    gaps = np.abs(scores[0][pairs[:, 0]] - scores[1][pairs[:, 1]])
    most = f"{gaps.max():.4f}" if len(gaps) else "-"
    return f"{len(pairs)} of {len(places[0])} and {len(places[1])} spines are the same, score differs by at most {most}"


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    args = parser.parse_args()
    name, features = processor()
    print(f"{name}, {os.cpu_count()} cores, {' '.join(features) or 'features unknown'}")
    for label, stack in stacks().items():
        made: dict[str, Analysis] = {}
        seconds: dict[str, list[float]] = {engine: [] for engine in args.engines}
        for _ in range(args.rounds):
            for engine in args.engines:
                made[engine] = analyse_with(engine, stack)
                seconds[engine].append(made[engine].seconds["network"])
        for engine in args.engines:
            told = compare(made[args.engines[0]], made[engine])
            print(
                f"{label} {stack.shape}, {ENGINES[engine]}: networks {min(seconds[engine]):.1f} s; {told}",
                flush=True,
            )


if __name__ == "__main__":
    main()
