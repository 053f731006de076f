"""How well the pixel size is estimated from the image: ``python -m benchmarks.pixel_estimate``.

Images of recorded size (real files), of nominal size (points2d, see its README) and of known size
(simulated). Each group weighs the same, whatever its number of images.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spinecore.reading import list_inputs, open_stack, read_stack
from spinecore.reading.pixel_estimate import APPARENT_WIDTH_UM, ESTIMATE_FACTOR, neurite_width_px
from spinecore.simulation import simulate

NOMINAL_UM = {"findspines": 0.10, "smirnov_spineyolo": 0.05, "flimage_max": 0.05}
PUBLISHED_UM = {"auditory_cortex": 0.1}
SIMULATED_UM = (0.05, 0.08, 0.1, 0.13, 0.2)


def images(data: Path, per_group: int) -> Iterator[tuple[str, float, np.ndarray]]:
    """Yield group, pixel size (um) and projection of every calibration image."""
    if (data / "real_inputs").is_dir():
        for path in list_inputs(data / "real_inputs"):
            group = path.stem.split("_t0")[0].split("_t1")[0].split("_slice")[0]
            with open_stack(path) as file:
                size = file.spacing.pixel_um or PUBLISHED_UM.get(group)
            if size is not None and size < 0.5:
                yield group, size, read_stack(path).voxels.max(axis=0)
    listing = data / "points2d" / "images.csv"
    if listing.exists():
        with open(listing, newline="") as stream:
            rows = list(csv.DictReader(stream))
        for group, size in NOMINAL_UM.items():
            mine = [row["image"] for row in rows if row["subset"] == group]
            for name in random.Random(1).sample(mine, min(per_group, len(mine))):
                yield group, size, read_stack(data / "points2d" / "images" / name).voxels[0]
    for seed in range(per_group):
        size = SIMULATED_UM[seed % len(SIMULATED_UM)]
        preset = ("confocal", "twophoton")[seed % 2]
        stack = simulate(1000 + seed, preset, (12, 256, 256), (0.4, size, size)).stack
        yield f"simulated {preset}", size, stack.voxels.max(axis=0)


def main() -> None:
    """Print the apparent width in um per group and how often the estimate is within a factor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-group", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("SPINE_DATA", "../shared/data")))
    options = parser.parse_args()
    widths: dict[str, list[float]] = {}
    missed = 0
    for group, size, image in images(options.data, options.per_group):
        width = neurite_width_px(image)
        if width is None:
            missed += 1
        else:
            widths.setdefault(group, []).append(width * size)
    logs, weights = [], []
    for group, values in widths.items():
        log = np.log(values)
        print(
            f"{group:24s} {len(values):3d} images, width {np.exp(log.mean()):.2f} um, factor {np.exp(log.std()):.2f}"
        )
        logs.append(log)
        weights.append(np.full(len(values), 1 / len(values)))
    log, weight = np.concatenate(logs), np.concatenate(weights) / len(weights)
    mean = float((weight * log).sum())
    off = np.abs(log - np.log(APPARENT_WIDTH_UM))
    print(f"all: width {np.exp(mean):.2f} um (in use {APPARENT_WIDTH_UM}), no estimate for {missed}")
    for factor in (ESTIMATE_FACTOR, 2.0):
        print(f"estimate within a factor of {factor}: {(weight * (off < np.log(factor))).sum():.0%}")


if __name__ == "__main__":
    main()
