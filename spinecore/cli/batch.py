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

from spinecore.analysis.inputs import read_input
from spinecore.analysis.result import Analysis, Settings
from spinecore.analysis.run import Progress
from spinecore.analysis.storage import remove_analysis, save_analysis
from spinecore.cli.inputs import Input, Inputs
from spinecore.errors import SpinecoreError, command_words
from spinecore.marking.run import analyse_marked
from spinecore.methods import get_method
from spinecore.networks.device import DEVICES
from spinecore.reading.advice import channel_words, time_words
from spinecore.reading.inspection import inspect_stack
from spinecore.workspace.own_models import models_folder
from spinecore.workspace.settings import load_settings

#: Options whose names are not those of the settings.
_OPTIONS = {
    "pixel_um": "--pixel-size",
    "pixel_y_um": "--pixel-size-y",
    "z_um": "--z-step",
    "line_shift_px": "--line-shift",
    "tracing": "--swc",
    "tracing_units": "--swc-units",
    "marks": "--spines",
    "marks_units": "--spines-units",
}


def parse_settings(values: dict[str, Any]) -> Settings:
    """Build `Settings`, or say in one sentence which value is wrong."""
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        option = _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        raise SpinecoreError(f"{option}: {first['msg'].lower()}, not {first['input']!r}") from error
    get_method(settings.method)
    if settings.device not in DEVICES:
        raise SpinecoreError(f"--device must be one of {', '.join(DEVICES)}, not {settings.device!r}")
    return settings


def folder_names(names: list[str]) -> list[str]:
    """Return a folder name for each stack's name; one that comes twice gets _2, _3 and so on."""
    taken: set[str] = set()
    out = []
    for base in names:
        name, number = base, 1
        while name.lower() in taken:
            number += 1
            name = f"{base}_{number}"
        taken.add(name.lower())
        out.append(name)
    return out


def run_batch(
    inputs: Inputs,
    out: Path,
    values: dict[str, Any],
    say: Callable[[str], None] = print,
    overwrite: bool = False,
) -> list[str]:
    """Analyse stacks.

    Parameters
    ----------
    inputs : Inputs
        With a single file the results go straight into `out`, otherwise into `out/<name>`.
    out : Path
    values : dict
        Fields of `Settings`; without a channel the one in which structures stand out most is taken.
    say : callable
        Receives one line per file.
    overwrite : bool
        Replace an analysis that is in the folder already.

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
    stacks = inputs.stacks
    if out.exists() and not out.is_dir():
        raise SpinecoreError(f"{out} is a file: give a folder with --out")
    if settings.tracing is not None and len(stacks) > 1:
        raise SpinecoreError("--swc is the tracing of one stack: give one file")
    if settings.marks is not None and len(stacks) > 1:
        raise SpinecoreError("--spines holds the marks of one stack: give one file")
    names = folder_names([stack.name for stack in stacks])
    targets = {
        stack.files[0]: out / name if inputs.in_folders else out
        for stack, name in zip(stacks, names, strict=True)
    }
    by_file = {stack.files[0]: stack for stack in stacks}

    def one(file: Path) -> None:
        make_room(targets[file], overwrite)
        analysis, advice = _run_one(by_file[file], settings, "channel" in values, targets[file])
        say(_line(file.name, analysis, advice, targets[file]))

    return run_each(list(by_file), one)


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
            reason = command_words(error) or "there is not enough memory for this file"
            failed.append(file.name)
            failures.append(f"{file.name}: {reason}" if file.name not in reason else reason)
            print(f"spinecore: {failures[-1]}", file=sys.stderr)
    if failures and len(files) > 1:
        print(
            f"spinecore: {len(failures)} of {len(files)} files failed: {', '.join(failed)}",
            file=sys.stderr,
        )
    return failures


def make_room(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds an analysis, or empty it of that analysis and its corrections.

    Raises
    ------
    SpinecoreError
        If it holds one and `overwrite` is False.
    """
    if not (folder / "analysis.json").exists():
        return
    if not overwrite:
        raise SpinecoreError(
            f"{folder} holds an analysis already: give another folder with --out, or add --overwrite to "
            "replace it and "
            "its corrections"
        )
    remove_analysis(folder)


def _run_one(
    given: Input, settings: Settings, channel_given: bool, target: Path
) -> tuple[Analysis, list[str]]:
    """Analyse and save one stack; also return what should be said about its file."""
    report = inspect_stack(
        given.source,
        settings.channel if channel_given else None,
        settings.time_point,
        choices=settings.reading,
    )
    settings = settings.model_copy(update={"channel": report.channel})
    stack = read_input(given.source, settings)
    spacing = report.spacing.with_user(settings.pixel_um, settings.z_um, settings.pixel_y_um)
    words = channel_words(report.channel_names, report.channel, report.suggested_channel)
    advice = [*([words] if words else []), *(warning.command for warning in report.warnings_with(spacing))]
    times = time_words(report.shape_tczyx[0], report.time_point, advice)
    advice = [*advice, *([times] if times else [])]
    with progress_line(given.files[0].name) as progress, _said_on_failure(given.files[0].name, advice):
        analysis = analyse_marked(stack, settings, progress, models_folder(load_settings().workspace))
    save_analysis(analysis, target)
    return analysis, advice


@contextmanager
def _said_on_failure(file: str, advice: list[str]) -> Iterator[None]:
    """Say what is known about a file also where it cannot be analysed: that may be why, or come next."""
    try:
        yield
    except SpinecoreError as error:
        for text in advice:
            if text.rstrip(".") not in command_words(error):
                print(f"spinecore: {file}: note: {text}", file=sys.stderr)
        raise


def _line(file: str, analysis: Analysis, advice: list[str], target: Path) -> str:
    length = analysis.dendrites["path_length_um"].sum() if len(analysis.dendrites) else 0.0
    seconds = analysis.seconds
    timing = ", ".join(f"{stage} {value:.1f} s" for stage, value in seconds.items())
    text = f"{file}: {len(analysis.spines)} spines, {length:.1f} um of dendrite ({timing}) -> {target}"
    said = dict.fromkeys([*advice, *analysis.notes])
    return "\n".join([text, *(f"  note: {note}" for note in said)])


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
