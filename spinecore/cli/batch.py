"""Many files on the command line: one folder each, going on past a bad one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as ProgressLine

from spinecore.analysis.result import Analysis, Progress, Settings, analyse
from spinecore.analysis.storage import save_analysis
from spinecore.errors import SpinecoreError
from spinecore.methods import get_method
from spinecore.networks.device import DEVICES
from spinecore.reading import list_inputs, read_stack, stem
from spinecore.workspace.own_models import models_folder
from spinecore.workspace.settings import load_settings


def parse_settings(values: dict[str, Any]) -> Settings:
    """Build `Settings`, or say in one sentence which value is wrong."""
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"pixel_um": "--pixel-size", "z_um": "--z-step"}.get(
            str(first["loc"][0]), f"--{first['loc'][0]}"
        )
        raise SpinecoreError(
            f"{option.replace('_', '-')}: {first['msg'].lower()}, not {first['input']!r}"
        ) from error
    get_method(settings.method)
    if settings.device not in DEVICES:
        raise SpinecoreError(f"--device must be one of {', '.join(DEVICES)}, not {settings.device!r}")
    return settings


def folder_names(files: list[Path]) -> list[str]:
    """Return a folder name for each file; a name that comes twice gets _2, _3 and so on."""
    taken: set[str] = set()
    names = []
    for file in files:
        base = name = stem(file)
        number = 1
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def run_batch(
    inputs: list[Path], out: Path, values: dict[str, Any], say: Callable[[str], None] = print
) -> list[str]:
    """Analyse files and folders of files.

    Parameters
    ----------
    inputs : list of Path
        With a single file the results go straight into `out`, otherwise into `out/<name>`.
    out : Path
    values : dict
        Fields of `Settings`.
    say : callable
        Receives one line per file.

    Returns
    -------
    list of str
        One sentence for every file that failed; they were also written to stderr.

    Raises
    ------
    SpinecoreError
        If nothing can be run.
    """
    settings = parse_settings(values)
    files = list_inputs(inputs)
    if not files:
        raise SpinecoreError(
            "no image files were found: give TIFF, LSM, PNG or JPEG files, or a folder that holds some"
        )
    if out.exists() and not out.is_dir():
        raise SpinecoreError(f"{out} is a file: give a folder with --out")
    if settings.tracing is not None and len(files) > 1:
        raise SpinecoreError("--swc is the tracing of one stack: give one file")
    single = len(files) == 1 and not any(Path(i).is_dir() for i in inputs)
    targets = {
        file: out if single else out / name for file, name in zip(files, folder_names(files), strict=True)
    }
    return run_each(
        files, lambda file: say(_line(file, _run_one(file, settings, targets[file]), targets[file]))
    )


def run_each(files: list[Path], work: Callable[[Path], None]) -> list[str]:
    """Do something with every file, going on past a bad one.

    Returns
    -------
    list of str
        One sentence for every file that failed; they were also written to stderr.
    """
    failures: list[str] = []
    failed: list[str] = []
    for file in files:
        try:
            work(file)
        except (SpinecoreError, OSError, MemoryError) as error:
            reason = " ".join(str(error).split()) or "there is not enough memory for this file"
            failed.append(file.name)
            failures.append(f"{file.name}: {reason}" if file.name not in reason else reason)
            print(f"spinecore: {failures[-1]}", file=sys.stderr)
    if failures and len(files) > 1:
        print(
            f"spinecore: {len(failures)} of {len(files)} files failed: {', '.join(failed)}",
            file=sys.stderr,
        )
    return failures


def _run_one(file: Path, settings: Settings, target: Path) -> Analysis:
    stack = read_stack(file, settings.channel, settings.time_point, settings.pixel_um, settings.z_um)
    with progress_line(file.name) as progress:
        analysis = analyse(stack, settings, progress, models_folder(load_settings().workspace))
    save_analysis(analysis, target)
    return analysis


def _line(file: Path, analysis: Analysis, target: Path) -> str:
    length = analysis.dendrites["path_length_um"].sum() if len(analysis.dendrites) else 0.0
    seconds = analysis.seconds
    timing = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    text = f"{file.name}: {len(analysis.spines)} spines, {length:.1f} um of dendrite ({timing}) -> {target}"
    return "\n".join([text, *(f"  note: {note}" for note in analysis.notes)])


@contextmanager
def progress_line(name: str) -> Iterator[Progress]:
    """Yield what `analyse` calls with its progress: a line on stderr, drawn only where that is a terminal."""
    columns = (
        TextColumn("{task.fields[file]}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
    )
    hidden = not sys.stderr.isatty()
    with ProgressLine(*columns, console=Console(stderr=True), disable=hidden) as line:
        task = line.add_task("", total=1.0, file=escape(name[:40]))
        yield lambda stage, fraction: line.update(task, completed=fraction, description=stage)
