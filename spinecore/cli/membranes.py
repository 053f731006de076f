"""The command `membranes`: membranes and cells of electron micrographs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinecore.cli.tools import user_mistakes
from spinecore.errors import SpinecoreError

if TYPE_CHECKING:
    from spinecore.membranes.segment import MembraneSettings

_OPTIONS = {
    "pixel_um": "--pixel-size",
    "pixel_y_um": "--pixel-size-y",
    "z_um": "--z-step",
    "linked": "--stack",
    "line_shift_px": "--line-shift",
}


def membranes(
    inputs: Annotated[
        list[Path],
        typer.Argument(metavar="IMAGE...", help="Electron micrographs, stacks or folders of them."),
    ],
    out: Annotated[Path, typer.Option(help="Folder for maps, labels and tables.")],
    method: Annotated[
        str, typer.Option(help="membrane-fast, unet-weighted, unet-valid, unet-small or dmcn.")
    ] = "membrane-fast",
    level: Annotated[
        float | None,
        typer.Option(help="Probability from which a pixel is membrane (default: the method's own)."),
    ] = None,
    min_area: Annotated[int, typer.Option(help="Cells smaller than this are left out (px).")] = 30,
    views: Annotated[int, typer.Option(help="1, 2 or 4 mirrored views that are averaged.")] = 1,
    join: Annotated[str, typer.Option(help="For unet-valid: average or resize.")] = "average",
    stack: Annotated[
        bool,
        typer.Option(
            "--stack",
            help="Link the cells of a stack through its sections; numbered files of one section each are one stack.",
        ),
    ] = False,
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in um, where the file has none.")
    ] = None,
    pixel_size_y: Annotated[
        float | None, typer.Option(help="Height of a pixel in um, where it differs from --pixel-size.")
    ] = None,
    z_step: Annotated[float | None, typer.Option(help="Distance between sections in um.")] = None,
    channel: Annotated[
        int | None,
        typer.Option(help="Channel, counted from 0 (default: the one with the clearest structures)."),
    ] = None,
    time_point: Annotated[int, typer.Option(help="Time point, counted from 0.")] = 0,
    axes: Annotated[
        str | None,
        typer.Option(
            help="Axes of the file, where its metadata is wrong: ZYX reads time points as sections."
        ),
    ] = None,
    series: Annotated[
        int | None, typer.Option(help="Which image of a file that holds several (positions), from 0.")
    ] = None,
    average_time: Annotated[
        bool, typer.Option("--average-time", help="Segment the mean of all time points.")
    ] = False,
    line_shift: Annotated[
        float, typer.Option(help="Move odd lines by this many pixels (bidirectional scanning).")
    ] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    truth: Annotated[
        Path | None,
        typer.Option(help="Labels to score against (white cells, black membranes), or a folder of them."),
    ] = None,
) -> None:
    """Find membranes and cells in electron micrographs; write maps, labels and a table of cells."""
    with user_mistakes():
        settings = parse_membrane_settings(
            method=method,
            level=level,
            min_area_px=min_area,
            views=views,
            join=join,
            linked=stack,
            pixel_um=pixel_size,
            pixel_y_um=pixel_size_y,
            z_um=z_step,
            channel=channel,
            time_point=time_point,
            reading={
                "axes": axes,
                "series": series,
                "average_time": average_time,
                "line_shift_px": line_shift,
            },
            device=device,
        )
        failures = run_membranes(inputs, out, settings, truth)
    if failures:
        raise typer.Exit(2)


def parse_membrane_settings(**values: Any) -> MembraneSettings:
    """Build `MembraneSettings`, or say in one sentence which value is wrong."""
    from pydantic import ValidationError

    from spinecore.membranes.methods import get_method
    from spinecore.membranes.segment import MembraneSettings

    get_method(values["method"])
    try:
        return MembraneSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][-1])
        option = _OPTIONS.get(name, f"--{name.removesuffix('_px').replace('_', '-')}")
        raise SpinecoreError(f"{option}: {first['msg'].lower()}, not {first['input']!r}") from error


def run_membranes(
    inputs: list[Path], out: Path, settings: MembraneSettings, truth: Path | None = None
) -> list[str]:
    """Segment files and folders of files into one folder, going on past a bad one.

    Without a channel the one in which structures stand out most is taken.

    Returns
    -------
    list of str
        One sentence for every file that failed.
    """
    from spinecore.cli.batch import folder_names, progress_line, run_each
    from spinecore.cli.inputs import collect
    from spinecore.membranes.segment import segment_file

    stacks = collect(inputs, settings.linked, not settings.linked, _to_stderr, must_join=False).stacks
    _mention_sequences([stack.files[0] for stack in stacks], settings.linked)
    if out.exists() and not out.is_dir():
        raise SpinecoreError(f"{out} is a file: give a folder with --out")
    names = dict(zip(stacks, folder_names([stack.name for stack in stacks]), strict=True))
    by_file = {stack.files[0]: stack for stack in stacks}
    rows: list[dict[str, float]] = []

    def one(file: Path) -> None:
        stack = by_file[file]
        own, advice = _looked_at(stack.source, settings)
        with progress_line(file.name) as progress:
            done = segment_file(stack.source, own, out, names[stack], progress)
        seconds = ", ".join(f"{stage} {value:.1f} s" for stage, value in done.seconds.items())
        where = f" in {done.n_sections} sections" if done.n_sections > 1 else ""
        typer.echo(f"{file.name}: {done.n_cells} cells{where}, level {done.level:g} ({seconds}) -> {out}")
        for note in advice:
            typer.echo(f"  note: {note}")
        if truth is not None:
            rows.extend(_scores(file, truth, done.files[0], done.level, settings.min_area_px))

    failures = run_each(list(by_file), one)
    if rows:
        _print_scores(rows)
    return failures


def _to_stderr(text: str) -> None:
    typer.echo(text, err=True)


def _mention_sequences(files: list[Path], linked: bool) -> None:
    """Say where files look like the sections of one stack and are not read so."""
    from spinecore.reading.sets import numbered_slices

    for sequence in [] if linked else numbered_slices(files):
        _to_stderr(
            f"spinecore: {sequence[0].name} to {sequence[-1].name} are {len(sequence)} numbered files of one section each and "
            "are segmented one by one; add --stack to read them as one stack"
        )


def _looked_at(
    source: Path | tuple[Path, ...], settings: MembraneSettings
) -> tuple[MembraneSettings, list[str]]:
    """Return the settings with a channel, and what should be said about how the file is read."""
    from spinecore.reading.advice import channel_words, file_advice, time_words
    from spinecore.reading.channel import suggest_channel
    from spinecore.reading.stackfile import open_input

    with open_input(source, choices=settings.reading) as file:
        suggested = suggest_channel(file, settings.time_point)
        channel = suggested if settings.channel is None else settings.channel
        said = [advice.command for advice in file_advice(file, 0)]
        if channel < file.shape_tczyx[1]:  # else reading says what there is
            said += [channel_words(file.channel_names, channel, suggested) or ""]
        said += [time_words(file.shape_tczyx[0], settings.time_point, said) or "", *file.notes]
    return settings.model_copy(update={"channel": channel}), [text for text in said if text]


def _scores(
    file: Path, given: Path, map_file: Path, level: float, min_area_px: int
) -> list[dict[str, float]]:
    import tifffile

    from spinecore.membranes.truth import read_truth, score_map, truth_for

    path = truth_for(file, given)
    if path is None:
        raise SpinecoreError(f"{file.name} has no truth of the same name in {given}: it was not scored")
    interior = read_truth(path)
    maps = tifffile.imread(map_file).reshape(-1, *interior.shape[1:])
    if len(maps) != len(interior):
        raise SpinecoreError(f"{path.name} has {len(interior)} sections and {file.name} {len(maps)}")
    return [score_map(t, m, level, min_area_px) for t, m in zip(interior, maps, strict=True)]


def _print_scores(rows: list[dict[str, float]]) -> None:
    from spinecore.membranes.truth import SCORE_TITLES, mean_scores

    means = mean_scores(rows)
    typer.echo(f"scores over {len(rows)} section{'s' if len(rows) > 1 else ''}:")
    for key, value in means.items():
        typer.echo(f"  {SCORE_TITLES[key][0]}: {value:.4f}")


def register(app: typer.Typer) -> None:
    """Add the command of this module to the command line."""
    app.command()(membranes)
