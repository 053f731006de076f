"""Does the interval of a sample check hold the truth? `python -m benchmarks.sample_check`.

Dendrites with known spines are counted by detectors that were made worse on purpose: half of the spines dropped; one
detection in three false; spines lost with depth. Segments are drawn and "checked" (their true count is looked up), 500
times for each detector. Printed are the share of 95 % intervals that hold the true total (aim: 93-97 %), the mean error
(aim: within 1 %), and the minutes of work at equal precision against counting segments by hand without a detector, at
15 s a segment, and against counting everything. The truth is simulated on the level of segments, and taken from simulated
stacks (their shafts and spines; no image is made of them).

At last two groups of animals are compared, of which the detector drops half of the spines in one and finds too many in the other:
printed is how often the 95 % interval of the difference holds the true one between the conditions, and the mean error, with the automatic
counts and with the checked ones. The same is done for a mean, of a size that false detections have smaller than spines: of each check of one
cell, and of the difference between the groups, in one of which a third of the detections is false.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from spinecore.corrections.sampling import (
    SampleEstimate,
    cut_edges,
    drawing_order,
    estimate_ratio,
    estimate_total,
    make_strata,
)
from spinecore.groups.statistics import compare
from spinecore.simulation.scene import PRESETS, draw_scene

SECONDS_A_SEGMENT = 15
#: Size of the volume of a simulated stack (um; z, y, x), and how many stacks stand for one cell.
EXTENT_UM = (8.0, 70.0, 70.0)
STACKS_A_CELL = 3


@dataclass(frozen=True)
class Population:
    """Segments with known counts.

    Parameters
    ----------
    true : ndarray of int, shape (N,)
    depth : ndarray, shape (N,)
        0 at the top, 1 at the bottom.
    """

    true: np.ndarray
    depth: np.ndarray


Detector = Callable[[Population, np.random.Generator], np.ndarray]


def half_dropped(cells: Population, rng: np.random.Generator) -> np.ndarray:
    """Return what a detector counts that finds each spine with a chance of one half."""
    return rng.binomial(cells.true, 0.5)


def third_false(cells: Population, rng: np.random.Generator) -> np.ndarray:
    """Return what a detector counts that misses one spine in ten, and of whose detections one in three is false."""
    found = rng.binomial(cells.true, 0.9)
    return found + rng.poisson(0.45 * cells.true.mean(), len(cells.true))


def lost_with_depth(cells: Population, rng: np.random.Generator) -> np.ndarray:
    """Return what a detector counts that finds nearly all spines at the top and one in four at the bottom."""
    return rng.binomial(cells.true, 0.98 - 0.73 * cells.depth)


def nearly_right(cells: Population, rng: np.random.Generator) -> np.ndarray:
    """Return what a good detector counts: 3 % missed, 3 % false."""
    return rng.binomial(cells.true, 0.97) + rng.poisson(0.03 * cells.true.mean(), len(cells.true))


DETECTORS: dict[str, Detector] = {
    "half dropped": half_dropped,
    "one in three false": third_false,
    "lost with depth": lost_with_depth,
    "nearly right": nearly_right,
}


def drawn_segments(rng: np.random.Generator, segments: int) -> Population:
    """Return segments of 5 um whose density varies between dendrites and clusters along them."""
    density = np.repeat(rng.gamma(4.0, 0.3, -(-segments // 20)), 20)[:segments]
    return Population(rng.poisson(density * 5 * rng.gamma(8.0, 1 / 8, segments)), rng.random(segments))


def simulated_cell(seed: int) -> Population:
    """Return the segments of `STACKS_A_CELL` simulated stacks, from the shafts and spines of their scenes."""
    true, depth = [], []
    presets = ("confocal", "confocal-oblique", "twophoton")
    for number in range(STACKS_A_CELL):
        rng = np.random.default_rng([seed, number])
        scene = draw_scene(rng, replace(PRESETS[presets[number]], clutter=0.0), np.array(EXTENT_UM))
        for index, shaft in enumerate(scene.dendrites):
            edges = cut_edges(float(shaft.arc_um[-1]))
            places = [spine.arc_um for spine in scene.spines if spine.dendrite == index]
            true.append(np.histogram(places, edges)[0])
            middles = np.interp((edges[1:] + edges[:-1]) / 2, shaft.arc_um, shaft.points_um[:, 0])
            depth.append(np.clip(middles / EXTENT_UM[0], 0, 1))
    return Population(np.concatenate(true), np.concatenate(depth))


@dataclass
class Row:
    """What came of the checks of one detector.

    Parameters
    ----------
    covered, drawn : int
    errors, widths : list of float
        Relative errors, and half widths of the intervals over the truth.
    by_hand : list of float
        Segments to be counted for the same half width without a detector.
    population : list of int
        All segments of each.
    """

    covered: int
    drawn: int
    errors: list[float]
    widths: list[float]
    by_hand: list[float]
    population: list[int]

    def text(self, name: str, n: int) -> str:
        """Return the row as text."""
        minutes = SECONDS_A_SEGMENT / 60
        share, off = self.covered / self.drawn, float(np.mean(self.errors))
        noise = float(np.std(self.errors)) / self.drawn**0.5
        return (
            f"  {name:20s} coverage {share:6.1%}   bias {off:+.2%} (standard error {noise:.2%})   "
            f"interval +-{np.median(self.widths):5.1%}   {n * minutes:4.1f} min; by hand without detector "
            f"{np.median(self.by_hand) * minutes:5.1f} min, everything {np.mean(self.population) * minutes:5.1f} min"
        )


def try_detector(cells: list[Population], detector: Detector, n: int, checks: int, seed: int) -> Row:
    """Draw and check `checks` samples of n segments, in turn from each population, with fresh detections."""
    row = Row(0, checks, [], [], [], [])
    for number in range(checks):
        cell = cells[number % len(cells)]
        rng = np.random.default_rng([seed, number])
        found = detector(cell, rng)
        strata = make_strata(found, n)
        order = drawing_order(strata, int(rng.integers(2**31)))[:n]
        guess = estimate_total(found, order, cell.true[order], strata)
        truth = float(cell.true.sum())
        row.covered += bool(guess.low <= truth <= guess.high)
        row.errors.append(guess.value / truth - 1)
        half = (guess.high - guess.low) / 2
        row.widths.append(half / truth)
        row.by_hand.append(counted_by_hand(cell.true, half))
        row.population.append(len(cell.true))
    return row


def counted_by_hand(true: np.ndarray, half: float) -> float:
    """Return how many segments must be counted, drawn at random and without a detector, for a half width of the total."""
    total = len(true)
    spread = 1.96**2 * total**2 * float(true.var(ddof=1))
    return spread / (half**2 + spread / total)


#: Spines per um of the two conditions, and the standard deviation between animals.
DENSITIES, BETWEEN_ANIMALS = (1.2, 0.9), 0.15


def compare_groups(animals: int, segments: int, trials: int) -> str:
    """Compare two groups of animals again and again, of which the detector errs in another way; return what came of it as text.

    Parameters
    ----------
    animals : int
        In each group.
    segments : int
        Counted by eye in each animal.
    trials : int
    """
    truth = DENSITIES[1] - DENSITIES[0]
    held, errors = {"automatic": 0, "checked": 0}, {"automatic": [], "checked": []}
    for number in range(trials):
        rng = np.random.default_rng([11, number])
        found: dict[str, list[list[float]]] = {"automatic": [[], []], "checked": [[], []]}
        for group, (density, detector) in enumerate(zip(DENSITIES, (half_dropped, third_false), strict=True)):
            for own in rng.normal(density, BETWEEN_ANIMALS, animals):
                true = rng.poisson(max(own, 0.1) * 5 * rng.gamma(8.0, 1 / 8, 120))
                cell = Population(true, rng.random(len(true)))
                counts = detector(cell, rng)
                strata = make_strata(counts, segments)
                order = drawing_order(strata, int(rng.integers(2**31)))[:segments]
                guess = estimate_total(counts, order, true[order], strata)
                found["automatic"][group].append(counts.sum() / (5 * len(true)))
                found["checked"][group].append(guess.value / (5 * len(true)))
        for name, sides in found.items():
            row = compare(*sides)
            held[name] += bool(row.difference_low <= truth <= row.difference_high)
            errors[name].append(row.difference - truth)
    parts = [
        f"{name}: coverage {held[name] / trials:.1%}, mean error {np.mean(errors[name]):+.3f} (standard error "
        f"{np.std(errors[name]) / trials**0.5:.3f})"
        for name in held
    ]
    return f"  {animals} animals a group, {segments} segments each, difference {truth:+.2f}: " + "; ".join(
        parts
    )


#: Mean size (um) of the spines of the two conditions, its standard deviations between animals and between spines, and the mean of what
#: is falsely detected.
SIZES_UM, SIZE_BETWEEN_ANIMALS_UM, SIZE_BETWEEN_SPINES_UM, FALSE_SIZE_UM = (0.60, 0.50), 0.04, 0.15, 0.35


class Sizes(NamedTuple):
    """Sums over the detections of each segment: of sizes and their number, (2, N) of all and of those that are spines."""

    every: np.ndarray
    spines: np.ndarray


def detected_sizes(rng: np.random.Generator, mean_um: float, segments: int, is_false: bool) -> Sizes:
    """Detect 9 spines in 10; where `is_false`, a third of the detections is none."""
    found = rng.poisson(0.9 * 5 * rng.gamma(8.0, 1 / 8, segments))
    wrong = rng.poisson(0.5 * found.mean(), segments) if is_false else np.zeros(segments, int)

    def sums(counts: np.ndarray, mean: float) -> np.ndarray:
        values = rng.normal(mean, SIZE_BETWEEN_SPINES_UM, int(counts.sum()))
        return np.stack([np.bincount(np.repeat(np.arange(segments), counts), values, segments), counts])

    spines = sums(found, mean_um)
    return Sizes(spines + sums(wrong, FALSE_SIZE_UM), spines)


def check_sizes(
    rng: np.random.Generator, sizes: Sizes, segments: int
) -> tuple[SampleEstimate, tuple[float, float]]:
    """Check some segments by eye; return the mean, and the two sums of which it is the ratio, as a check of an analysis gives them."""
    strata = make_strata(sizes.every[1], segments)
    order = drawing_order(strata, int(rng.integers(2**31)))[:segments]
    (top, bottom), (true_top, true_bottom) = sizes.every, sizes.spines[:, order]
    found = estimate_ratio(top, bottom, order, true_top, true_bottom, strata)
    sums = (estimate_total(a, order, t, strata).value for a, t in ((top, true_top), (bottom, true_bottom)))
    return found, tuple(sums)


def check_means(segments: int, trials: int) -> str:
    """Check the mean size of one cell again and again; return what came of it as text."""
    held, errors, automatic = 0, [], []
    for number in range(trials):
        rng = np.random.default_rng([12, number])
        sizes = detected_sizes(rng, SIZES_UM[0], 120, True)
        found, _ = check_sizes(rng, sizes, segments)
        truth = sizes.spines[0].sum() / sizes.spines[1].sum()
        held += bool(found.low <= truth <= found.high)
        errors.append(found.value / truth - 1)
        automatic.append(sizes.every[0].sum() / sizes.every[1].sum() / truth - 1)
    noise = np.std(errors) / trials**0.5
    return (
        f"  {segments} of 120 segments: coverage {held / trials:.1%}, bias {np.mean(errors):+.2%} (standard error {noise:.2%}); "
        f"automatic {np.mean(automatic):+.1%}"
    )


def compare_means(animals: int, segments: int, trials: int) -> str:
    """Compare the mean size of two groups, false detections in the second only; return what came of it as text."""
    truth = SIZES_UM[1] - SIZES_UM[0]
    held, errors = {"automatic": 0, "checked": 0}, {"automatic": [], "checked": []}
    for number in range(trials):
        rng = np.random.default_rng([13, number])
        found: dict[str, list[list[float]]] = {"automatic": [[], []], "checked": [[], []]}
        for group, mean_um in enumerate(SIZES_UM):
            for own in rng.normal(mean_um, SIZE_BETWEEN_ANIMALS_UM, animals):
                sizes = detected_sizes(rng, own, 120, group == 1)
                _, (top, bottom) = check_sizes(rng, sizes, segments)
                found["automatic"][group].append(sizes.every[0].sum() / sizes.every[1].sum())
                found["checked"][group].append(top / bottom)
        for name, sides in found.items():
            row = compare(*sides)
            held[name] += bool(row.difference_low <= truth <= row.difference_high)
            errors[name].append(row.difference - truth)
    parts = [
        f"{name}: coverage {held[name] / trials:.1%}, mean error {np.mean(errors[name]):+.4f} um"
        for name in held
    ]
    return f"  {animals} animals a group, {segments} segments each, difference {truth:+.2f} um: " + "; ".join(
        parts
    )


def main() -> None:
    """Try all detectors and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checks", type=int, default=500, help="drawn checks for each detector")
    parser.add_argument("--segments", type=int, nargs="*", default=[20, 30, 60], help="segments checked")
    parser.add_argument("--cells", type=int, default=20, help="populations of each kind")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    kinds = {
        "segments drawn directly": [
            drawn_segments(rng, int(rng.integers(80, 400))) for _ in range(args.cells)
        ],
        "simulated stacks": [simulated_cell(seed) for seed in range(args.cells)],
    }
    for kind, cells in kinds.items():
        sizes = [len(cell.true) for cell in cells]
        print(f"{kind}: {len(cells)} cells of {min(sizes)} to {max(sizes)} segments")
        for n in args.segments:
            print(f" {n} segments checked, {args.checks} times")
            for number, (name, detector) in enumerate(DETECTORS.items()):
                print(try_detector(cells, detector, n, args.checks, number).text(name, n), flush=True)
    print(f"two groups of animals, {args.checks} times")
    for animals in (4, 6, 10):
        print(compare_groups(animals, 10, args.checks), flush=True)
    print(f"a mean size, {args.checks} times")
    for n in args.segments:
        print(check_means(n, args.checks), flush=True)
    print(f"a mean size in two groups of animals, {args.checks} times")
    for animals in (4, 6, 10):
        print(compare_means(animals, 10, args.checks), flush=True)


if __name__ == "__main__":
    main()
