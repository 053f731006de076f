"""Peak memory of reading against the size of the stack, and of an idle worker: ``python -m benchmarks.memory``.

Every measurement runs in a process of its own; what Python and the libraries need before anything is
read is taken off. The limit that the project sets itself is three times the stack plus 1.5 GB. ``--worker`` instead prints what
the dashboard's worker holds while it has nothing to do: at its start, and after its first and second analysis of the sample (Linux).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile

TASKS = ("nothing", "projection", "inspect", "read")


def write_stack(path: Path, slices: int, side: int, compression: str | None) -> int:
    """Write slices of photon noise one by one and return the bytes of the voxels."""
    rng = np.random.default_rng(0)
    noise = rng.poisson(200, (side, side)).astype(np.uint16)
    with tifffile.TiffWriter(path, bigtiff=True) as writer:
        for z in range(slices):
            writer.write(
                np.roll(noise, 17 * z, axis=1), contiguous=compression is None, compression=compression
            )
    return slices * side * side * 2


def perform(task: str, path: Path) -> None:
    """Do one task and print its seconds and the peak resident bytes of this process."""
    from spinecore.reading import open_stack, read_stack
    from spinecore.reading.inspection import inspect_stack

    start = time.perf_counter()
    if task == "projection":
        with open_stack(path) as file:
            planes = file.slices()
            projection = next(planes).copy()
            for plane in planes:
                np.maximum(projection, plane, out=projection)
    elif task == "inspect":
        inspect_stack(path)
    elif task == "read":
        read_stack(path)
    print(time.perf_counter() - start, peak_bytes())


def peak_bytes() -> int:
    """Return the peak resident memory of this process."""
    if sys.platform == "win32":
        raise SystemExit("peak memory cannot be measured on Windows: run this on Linux or macOS")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def measure(task: str, path: Path) -> tuple[float, int]:
    """Run a task in a fresh process and return its seconds and peak bytes."""
    command = [sys.executable, "-m", "benchmarks.memory", "--task", task, "--path", str(path)]
    seconds, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(seconds), int(peak)


def resident_bytes() -> int:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def analyse_sample(folder: Path) -> None:
    """Analyse the simulated sample as a job does, and save it."""
    from spinecore.analysis.result import Settings
    from spinecore.analysis.run import analyse
    from spinecore.analysis.storage import save_analysis
    from spinecore.reading import read_stack
    from spinecore.simulation.sample import SAMPLE_STACK

    stack = read_stack(SAMPLE_STACK)
    save_analysis(analyse(stack, Settings(device="auto")), folder)


def print_worker() -> None:
    """Print what an idle worker holds."""
    from benchmarks.memory import analyse_sample, resident_bytes  # by names that the worker can import
    from spinecore.jobs.executor import WorkerExecutor
    from spinecore.jobs.work import describe_device

    workers = WorkerExecutor()
    print(f"at its start: {workers.submit(resident_bytes).result() / 1e6:.0f} MB")
    workers.submit(describe_device).result()
    print(f"with what the first analysis needs: {workers.submit(resident_bytes).result() / 1e6:.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("first", "second"):
            workers.submit(analyse_sample, Path(folder) / name).result()
            held = workers.submit(resident_bytes).result()
            print(f"idle after its {name} analysis: {held / 1e6:.0f} MB")
    workers.shutdown()


def main() -> None:
    """Print one line per kind of file and task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=50)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--worker", action="store_true", help="memory of an idle worker only")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        perform(options.task, options.path)
        return
    if options.worker:
        print_worker()
        return
    with tempfile.TemporaryDirectory() as folder:
        for compression in (None, "zlib"):
            path = Path(folder) / f"{compression}.tif"
            size = write_stack(path, options.slices, options.side, compression)
            kind = compression or "uncompressed"
            print(f"{kind}: {size / 1e6:.0f} MB of voxels, {path.stat().st_size / 1e6:.0f} MB on disk")
            _, base = measure("nothing", path)
            print(f"  libraries alone {base / 1e6:.0f} MB")
            for task in TASKS[1:]:
                seconds, peak = measure(task, path)
                more = peak - base
                print(
                    f"  {task:10s} {seconds:6.2f} s, {more / 1e6:7.0f} MB more ({more / size:.2f} x the stack)"
                )


if __name__ == "__main__":
    main()
