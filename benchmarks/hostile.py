"""What reading does with damaged files: ``python -m benchmarks.hostile --count 1000``.

Every file is opened, looked at and read (one channel) by a process of its own, which is replaced when it hangs or
crashes. Right is a stack or one sentence; a table says how often each came, and the slowest file and the peak memory.
Sources are the simulated sample in many containers, and real files where SPINE_DATA is.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

from benchmarks.mutations import MUTATIONS, Case, cases
from spinecore.errors import SpinecoreError
from spinecore.reading import open_stack, read_stack
from spinecore.reading.inspection import inspect_stack
from spinecore.training.recipes import default_data

#: Limits that the project sets itself.
LIMIT_S, LIMIT_BYTES = 20.0, int(1.5 * 2**30)
_SAMPLE = Path(__file__).parent.parent / "spinecore" / "sample" / "sample_stack.tif"
_REAL_BYTES = 6 * 2**20


@dataclass(frozen=True)
class Outcome:
    """What became of one file.

    Parameters
    ----------
    word : str
        "opened", "refused", "internal error", "hang" or "crash".
    text : str
        The sentence or the error.
    seconds : float
        Of processor time.
    peak_bytes : int
        Largest resident memory of the process so far.
    """

    word: str
    text: str = ""
    seconds: float = 0.0
    peak_bytes: int = 0


def look_at(path: Path) -> Outcome:
    """Open, inspect and read one file in this process."""
    start = time.process_time()
    try:
        with open_stack(path) as file:
            texts = list(file.notes)
        report = inspect_stack(path)
        texts += [str(warning) for warning in report.warnings]
        read_stack(path, report.channel)
        word, text = "opened", ""
        wrong = [each for each in texts if not is_one_sentence(each)]
        if wrong:
            word, text = "internal error", f"a note that is no sentence: {wrong[0]!r}"
    except SpinecoreError as error:
        text = str(error)
        word = "refused" if is_one_sentence(text) else "internal error"
    except Exception as error:  # whatever else is raised is what this looks for
        word, text = "internal error", f"{type(error).__name__}: {error}"
    return Outcome(word, text, time.process_time() - start, _peak_bytes())


def is_one_sentence(text: str) -> bool:
    """Return True for one printable line of a reasonable length without a traceback."""
    return 20 < len(text) < 400 and text.isprintable() and "Traceback" not in text


def _peak_bytes() -> int:
    """Return the most memory that this process has held; on Linux without what its parent held when it began."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return 0
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _serve(pipe: Connection) -> None:
    """Answer paths with outcomes until the pipe closes; what libraries print is thrown away."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    while True:
        try:
            pipe.send(look_at(pipe.recv()))
        except EOFError:
            return


def outcomes(files: Iterable[Case], limit_s: float = LIMIT_S * 6) -> Iterator[tuple[Case, Outcome]]:
    """Look at each file in another process.

    Parameters
    ----------
    files : iterable of Case
    limit_s : float
        Seconds on the clock after which a file counts as hanging; generous, since the machine may be busy.
    """
    context = multiprocessing.get_context("spawn")
    worker = pipe = None
    for case in files:
        if worker is None or pipe is None:
            pipe, inner = context.Pipe()
            worker = context.Process(target=_serve, args=(inner,), daemon=True)
            worker.start()
            inner.close()
        try:
            pipe.send(case.path)
            outcome = pipe.recv() if pipe.poll(limit_s) else Outcome("hang", seconds=limit_s)
        except (EOFError, OSError):
            outcome = Outcome("crash", f"the process ended with {worker.exitcode}")
        if outcome.word in ("hang", "crash") or outcome.peak_bytes > LIMIT_BYTES:
            worker.kill()  # a new process, whose peak memory is that of the next files
            worker.join()
            pipe.close()
            worker = pipe = None
        yield case, outcome
    if worker is not None and pipe is not None:
        pipe.close()
        worker.join(10)


def containers(folder: Path) -> list[Path]:
    """Write a part of the simulated sample in many containers and return the files."""
    with open_stack(_SAMPLE) as file:
        sample = file.read().voxels[:6, :96, :96]
    made = []

    def add(name: str, data: np.ndarray, **options: object) -> None:
        tifffile.imwrite(folder / name, data, **options)
        made.append(folder / name)

    add("imagej.tif", sample, imagej=True, resolution=(12.5, 12.5), metadata={"axes": "ZYX", "spacing": 0.3})
    add(
        "ome.ome.tif",
        np.stack([sample, sample // 2]),
        metadata={"axes": "CZYX", "PhysicalSizeX": 0.08, "PhysicalSizeY": 0.08, "PhysicalSizeZ": 0.3},
    )
    add("big.tif", sample, bigtiff=True, byteorder=">", metadata={"axes": "ZYX"})
    add("deflate.tif", sample, compression="zlib", predictor=True, metadata=None)
    add("tiles.tif", sample, compression="lzw", tile=(32, 32), metadata=None)
    add("float.tif", sample.astype(np.float32), compression="zstd", metadata=None)
    add("rgb.tif", (sample[:3] >> 4).astype(np.uint8).transpose(1, 2, 0).copy(), photometric="rgb")
    plane = (sample.max(0) >> 4).astype(np.uint8)
    for name in ("photo.png", "photo.jpg"):
        Image.fromarray(plane).save(folder / name)
        made.append(folder / name)
    return made


def microscope_files(folder: Path) -> list[Path]:
    """Write a file of every microscope format whose reader is installed and return them."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    import vendor_files

    data = vendor_files.stack()
    writers = {
        "v.czi": lambda p: vendor_files.write_czi(p, [data, data]),
        "zstd.czi": lambda p: vendor_files.write_czi(p, [data], compress=6, tiles=2),
        "v.lif": lambda p: vendor_files.write_lif(p, {"one": data}),
        "v.nd2": lambda p: vendor_files.write_nd2(p, [data]),
        "v.oib": lambda p: vendor_files.write_oib(p, data, folder / "scratch"),
        "v.ims": lambda p: vendor_files.write_ims(p, data),
        "v.zarr": lambda p: vendor_files.write_zarr(p, data),
        "v.zarr.zip": lambda p: _packed(p, lambda f: vendor_files.write_zarr(f / "v.zarr", data)),
        "v.oif.zip": lambda p: _packed(p, lambda f: vendor_files.write_oif(f / "v.oif", data)),
    }
    made = []
    for name, write in writers.items():
        try:
            write(folder / name)
            open_stack(folder / name).close()
        except (ImportError, SpinecoreError):  # the package is not installed
            continue
        made.append(folder / name)
    return made


def _packed(path: Path, write: Callable[[Path], None]) -> None:
    """Write into a folder and pack what is there into a ZIP."""
    with tempfile.TemporaryDirectory() as scratch:
        write(Path(scratch))
        shutil.make_archive(str(path.with_suffix("")), "zip", scratch)


def real_files(data: Path) -> list[Path]:
    """Return the real images of a few MB, where the data are."""
    folders = [data / "real_inputs", data / "real_stacks"]
    return sorted(
        path
        for folder in folders
        if folder.is_dir()
        for path in folder.iterdir()
        if path.suffix in (".tif", ".png") and path.stat().st_size < _REAL_BYTES
    )


def main() -> None:
    """Run and print the table; exit 1 where anything but a stack or a sentence came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for copies of the files that went wrong")
    options = parser.parse_args()
    table: dict[str, list[tuple[Case, Outcome]]] = {kind: [] for kind in MUTATIONS}
    with tempfile.TemporaryDirectory() as scratch:
        good, bad = Path(scratch, "good"), Path(scratch, "bad")
        good.mkdir()
        bad.mkdir()
        sources = [*containers(good), *microscope_files(good), *real_files(default_data())]
        for case, outcome in outcomes(cases(sources, options.count, options.seed, bad)):
            table[case.kind].append((case, outcome))
            if not is_right(outcome):
                used = f"{outcome.seconds:.1f} s, {outcome.peak_bytes / 1e6:.0f} MB"
                print(
                    f"{case.kind}: {case.path.name}: {outcome.word}, {used}: {outcome.text}", file=sys.stderr
                )
                if options.keep and case.path.is_file():
                    options.keep.mkdir(parents=True, exist_ok=True)
                    (options.keep / case.path.name).write_bytes(case.path.read_bytes())
    print(f"{options.count} files from {len(sources)} sources, seed {options.seed}\n")
    print(
        "| kind | files | opened | refused | internal errors | hang or crash | slowest (s) | peak memory (MB) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows = [*table.items(), ("all", [each for found in table.values() for each in found])]
    for kind, found in rows:
        print(_row(kind, [outcome for _, outcome in found]))
    raise SystemExit(0 if all(is_right(outcome) for _, outcome in rows[-1][1]) else 1)


def is_right(outcome: Outcome) -> bool:
    """Return True for a stack or a sentence within the limits of time and memory."""
    within = outcome.seconds <= LIMIT_S and outcome.peak_bytes <= LIMIT_BYTES
    return within and outcome.word in ("opened", "refused")


def _row(kind: str, found: list[Outcome]) -> str:
    count = {word: sum(o.word == word for o in found) for word in ("opened", "refused", "internal error")}
    lost = len(found) - sum(count.values())
    slowest = max((o.seconds for o in found), default=0.0)
    peak = max((o.peak_bytes for o in found), default=0) / 1e6
    return f"| {kind} | {len(found)} | {count['opened']} | {count['refused']} | {count['internal error']} | {lost} | {slowest:.1f} | {peak:.0f} |"


if __name__ == "__main__":
    main()
