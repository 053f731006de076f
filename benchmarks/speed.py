"""How long things take and how much memory they need: `python -m benchmarks.speed`.

Makes a 40 x 1024 x 1024 16-bit stack (four simulated tiles side by side), then, each in a process
of its own: analyses it end to end with the command line (read to written tables), inspects it as
the Upload page does, changes the threshold of the finished analysis, and loads it. Times are wall
clock; peak memory is the operating system's figure for the finished process. `--tiles` instead times
the network on one slice cut into tiles of several sizes, side by side in one run. `--real DIR` takes
real stacks (`real_stacks`, in vivo two-photon): each as it is, one of them mirrored on to 70 x 1024 x 1024,
and that one's brightest projection of 1024 x 1024. `--growth` takes one simulated stack, mirrored on to each of some sizes (MB), and
prints the exponent with which the processor's time grows: 1 is proportional to the size. A busy machine changes it little.
`--against DIR`, another checkout of this project, analyses each stack with it as well, right after this one, and prints how many times
as long it took; it is stopped after `--at-most` seconds.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from time import perf_counter
from typing import NamedTuple

import numpy as np
import tifffile

from spinecore.simulation import simulate

#: Slices of the stacks that grow.
GROWTH_SLICES = 40
_INSPECT = """
import sys, time
from spinecore.reading.inspection import inspect_stack
t = time.perf_counter(); inspect_stack(sys.argv[1]); print(f"{time.perf_counter() - t:.2f}")
"""
_THRESHOLD = """
import sys, time
from spinecore.analysis.storage import load_analysis
t = time.perf_counter(); a = load_analysis(sys.argv[1]); n = len(a.spines); load = time.perf_counter() - t
a.at_threshold(a.threshold)
out = []
for p in (0.5, 0.45, 0.6, 0.3, 0.4):
    t = time.perf_counter(); a.at_threshold(p); out.append(time.perf_counter() - t)
t = time.perf_counter(); a.at_threshold(0.5); again = time.perf_counter() - t
print(f"{load:.2f} {max(out):.2f} {again:.3f}")
"""


def make_stack(path: Path, slices: int, side: int) -> None:
    """Write a stack of four simulated quarters."""
    half = side // 2
    quarters = []
    for seed in range(4):
        voxels = simulate(700 + seed, "confocal", (slices, half, half), (0.3, 0.1, 0.1)).stack.voxels.astype(
            float
        )
        low, high = np.percentile(voxels, [1, 99.9])
        quarters.append((np.clip((voxels - low) / (high - low), 0, 1) * 4000 + 100).astype(np.uint16))
    rows = [np.concatenate(quarters[i : i + 2], axis=2) for i in (0, 2)]
    metadata = {"axes": "ZYX", "spacing": 0.3, "unit": "um"}
    tifffile.imwrite(path, np.concatenate(rows, axis=1), imagej=True, resolution=(10, 10), metadata=metadata)


def make_real(path: Path, source: Path, shape: tuple[int, int, int] | None, projected: bool = False) -> None:
    """Write a real stack mirrored at its faces to a shape (slices, rows, columns), or its brightest projection.

    The stacks of `real_stacks` are written with their sizes of 1.0, 0.12 and 0.12 um, which their files do not hold.
    """
    voxels = tifffile.imread(source)
    if shape is not None:
        more = [(0, max(0, side - have)) for side, have in zip(shape, voxels.shape, strict=True)]
        voxels = np.pad(voxels, more, mode="symmetric")[tuple(slice(side) for side in shape)]
    if projected:
        voxels = voxels.max(axis=0, keepdims=True)
    metadata = {"axes": "ZYX", "spacing": 1.0, "unit": "um"}
    tifffile.imwrite(path, voxels, imagej=True, resolution=(1 / 0.12, 1 / 0.12), metadata=metadata)


def print_real(folder: Path, device: str, against: Other | None = None) -> None:
    """Analyse real stacks end to end, each in a process of its own."""
    sources = sorted(folder.glob("tp*.tif"))
    if not sources:
        raise SystemExit(f"{folder} holds no stack tp*.tif. Give the folder of real_stacks.")
    large = sources[len(sources) // 2]
    work: list[tuple[str, Path, tuple[int, int, int] | None, bool]] = [
        (source.stem, source, None, False) for source in sources
    ]
    work.append((f"{large.stem}, mirrored", large, (70, 1024, 1024), False))
    work.append((f"{large.stem}, mirrored, projected", large, (44, 1024, 1024), True))
    with TemporaryDirectory() as temporary:
        for name, source, shape, projected in work:
            stack = Path(temporary) / "real.tif"
            make_real(stack, source, shape, projected)
            size = " x ".join(str(side) for side in tifffile.imread(stack).shape)
            print(f"{name}, {size}:", flush=True)
            print_analysis(stack, Path(temporary) / name.replace(", ", "_"), device, against)


def print_growth(sizes_mb: list[float], device: str) -> None:
    """Analyse stacks of some sizes end to end and print the exponent of the processor's time."""
    tile = simulate(700, "confocal", (GROWTH_SLICES, 320, 320), (0.3, 0.1, 0.1)).stack.voxels
    low, high = np.percentile(tile, [1, 99.9])
    tile = (np.clip((tile - low) / (high - low), 0, 1) * 4000 + 100).astype(np.uint16)
    metadata = {"axes": "ZYX", "spacing": 0.3, "unit": "um"}
    sizes, seconds = [], []
    with TemporaryDirectory() as folder:
        for wanted in sizes_mb:
            side = round((wanted * 1e6 / 2 / GROWTH_SLICES) ** 0.5)
            more = max(0, side - tile.shape[1])
            voxels = np.pad(tile, [(0, 0), (0, more), (0, more)], mode="symmetric")[:, :side, :side]
            stack = Path(folder) / "stack.tif"
            tifffile.imwrite(stack, voxels, imagej=True, resolution=(10, 10), metadata=metadata)
            run = timed([*analysis(stack, Path(folder) / "out", device), "--overwrite"])
            sizes.append(voxels.nbytes / 1e6)
            seconds.append(run.processor_s)
            print(
                f"{sizes[-1]:.0f} MB ({GROWTH_SLICES} x {side} x {side}): {run.processor_s:.0f} s of the "
                f"processor, peak {run.memory_mb:.0f} MB; {run.text.splitlines()[0]}",
                flush=True,
            )
    exponent = np.polyfit(np.log(sizes), np.log(seconds), 1)[0]
    last = np.log(seconds[-1] / seconds[-2]) / np.log(sizes[-1] / sizes[-2])
    print(f"exponent {exponent:.2f} over all sizes, {last:.2f} between the last two")


class Other(NamedTuple):
    """Another checkout of this project, and how long an analysis by it may take (s)."""

    folder: Path
    at_most_s: float


class Run(NamedTuple):
    """What a command took (s; the processor's time of all threads), its peak resident memory, and what it printed."""

    seconds: float
    processor_s: float
    memory_mb: float
    text: str


def analysis(stack: Path, out: Path, device: str) -> list[str]:
    """Return the command that analyses a stack end to end."""
    return [sys.executable, "-m", "spinecore", "analyse", str(stack), "--out", str(out), "--device", device]


def print_analysis(stack: Path, out: Path, device: str, against: Other | None = None) -> None:
    """Analyse a stack, and then with another checkout of the project."""
    run = timed(analysis(stack, out, device))
    print(f"  {in_all(run)}; {run.text.splitlines()[0]}", flush=True)
    if against is not None:
        name = against.folder.name
        command = analysis(stack, out.with_name(f"{out.name}_other"), device)
        try:
            other = timed(command, *against)
        except TimeoutError:
            print(f"  {name}: not done after {against.at_most_s:.0f} s, and stopped", flush=True)
            return
        ratio = f"{other.seconds / run.seconds:.1f} times as long"
        print(f"  {name}: {in_all(other)}, {ratio}; {other.text.splitlines()[0]}", flush=True)


def timed(command: list[str], folder: Path | None = None, at_most_s: float | None = None) -> Run:
    """Run a command, in a folder.

    Raises
    ------
    TimeoutError
        If it was stopped, since it took longer than allowed.
    """
    start = perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=folder)
    stop = Timer(at_most_s or 0.0, process.kill)
    if at_most_s is not None:
        stop.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    stop.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode == -signal.SIGKILL and at_most_s is not None:
        raise TimeoutError
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed with exit code {process.returncode}")
    seconds = perf_counter() - start
    return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.strip())


def in_all(run: Run) -> str:
    """Say what a command took."""
    return (
        f"{run.seconds:.1f} s in all, {run.processor_s:.1f} s of the processor, peak {run.memory_mb:.0f} MB"
    )


def print_tiles(
    side: int, device: str, sides: tuple[int, ...] = (1024, 544, 512, 288), rounds: int = 5
) -> None:
    """Time one slice in one view of the default's network for stacks, with tiles of each size in turn."""
    from spinecore.methods import DEFAULT_METHOD, get_method
    from spinecore.networks.slices import predict_slices
    from spinecore.networks.zoo import load_network

    model = load_network(get_method(DEFAULT_METHOD).model_3d, device, folded=True)
    plane = np.random.default_rng(0).random((side, side), np.float32)
    seconds: dict[int, list[float]] = {tile: [] for tile in sides}
    for _ in range(rounds + 1):  # the first warms up
        for tile in sides:
            start = perf_counter()
            predict_slices(model, lambda _: plane, 2, 0.3, lambda *_: None, tile_px=tile)
            seconds[tile].append((perf_counter() - start) / 2)
    for tile, times in seconds.items():
        ratio = np.median(times[1:]) / min(np.median(t[1:]) for t in seconds.values())
        print(
            f"tiles of {tile} px: {np.median(times[1:]):.2f} s per {side} x {side} slice, {ratio:.2f} times the best"
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=40)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tiles", action="store_true", help="time tile sizes only")
    parser.add_argument("--real", type=Path, metavar="DIR", help="time the real stacks of this folder only")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="another checkout of this project, timed beside it"
    )
    parser.add_argument(
        "--at-most", type=float, default=1200, metavar="S", help="stop an analysis by it after so long (s)"
    )
    parser.add_argument(
        "--growth", nargs="+", type=float, metavar="MB", help="time stacks of these sizes only"
    )
    args = parser.parse_args()
    if args.growth and len(args.growth) < 2:
        parser.error("--growth needs at least two sizes, as in --growth 10 40 160 640")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    )
    if args.tiles:
        print_tiles(args.side, args.device)
        return
    if args.growth:
        print_growth(args.growth, args.device)
        return
    against = Other(args.against, args.at_most) if args.against else None
    if args.real:
        print_real(args.real, args.device, against)
        return
    with TemporaryDirectory() as folder:
        stack, out = Path(folder) / "big.tif", Path(folder) / "out"
        make_stack(stack, args.slices, args.side)
        megabytes = stack.stat().st_size / 1e6
        python = sys.executable
        run = timed([python, "-c", "import pandas, skimage.measure, onnxruntime, spinecore.analysis.storage"])
        print(f"start of Python and its libraries: {in_all(run)}")
        print(
            f"analyse {args.slices} x {args.side} x {args.side} ({megabytes:.0f} MB; allowed: {3 * megabytes + 1500:.0f} MB):"
        )
        print_analysis(stack, out, args.device, against)
        run = timed([python, "-c", _INSPECT, str(stack)])
        print(f"inspect, as on the Upload page: {run.text} s, peak {run.memory_mb:.0f} MB")
        load, change, again = timed([python, "-c", _THRESHOLD, str(out)]).text.split()
        print(f"load {load} s; change the threshold {change} s at most, {again} s for one seen before")


if __name__ == "__main__":
    main()
