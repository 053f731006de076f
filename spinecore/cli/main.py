"""The command line: `python -m spinecore COMMAND`.

Exit codes: 0 done; 2 a mistake in the call or in a file (one line on stderr says which and what
to do); 1 an internal error.

Commands import what they need when they run, so that --help and a mistake in the call are answered at once.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from spinecore import __version__
from spinecore.cli.check import check_app
from spinecore.cli.correct import register as register_correct
from spinecore.cli.dashboard import register as register_dashboard
from spinecore.cli.membranes import register as register_membranes
from spinecore.cli.models import register as register_model_commands
from spinecore.cli.rules import register as register_rules
from spinecore.cli.tools import numbers, user_mistakes
from spinecore.errors import SpinecoreError
from spinecore.training.recipes import RECIPES, run_recipe

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Find, measure and explain dendritic spines in microscope stacks.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spinecore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Find, measure and explain dendritic spines in microscope stacks."""


@app.command()
def analyse(
    inputs: Annotated[
        list[Path], typer.Argument(metavar="INPUT...", help="Images, stacks or folders of them.")
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results.")],
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in um, where the file has none.")
    ] = None,
    pixel_size_y: Annotated[
        float | None, typer.Option(help="Height of a pixel in um, where it differs from --pixel-size.")
    ] = None,
    z_step: Annotated[float | None, typer.Option(help="Distance between slices in um.")] = None,
    channel: Annotated[
        int | None,
        typer.Option(help="Channel, counted from 0 (default: the one with the clearest structures)."),
    ] = None,
    time_point: Annotated[int, typer.Option(help="Time point, counted from 0.")] = 0,
    axes: Annotated[
        str | None,
        typer.Option(help="Axes of the file, where its metadata is wrong: ZYX reads time points as slices."),
    ] = None,
    series: Annotated[
        int | None, typer.Option(help="Which image of a file that holds several (positions), from 0.")
    ] = None,
    average_time: Annotated[
        bool, typer.Option("--average-time", help="Analyse the mean of all time points.")
    ] = False,
    line_shift: Annotated[
        float, typer.Option(help="Move odd lines by this many pixels (bidirectional scanning).")
    ] = 0.0,
    join: Annotated[
        bool, typer.Option("--join", help="Read numbered files of one slice each as one stack.")
    ] = False,
    separate: Annotated[bool, typer.Option("--separate", help="Analyse such files one by one.")] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an analysis that is in the folder, its corrections too."),
    ] = False,
    settings_file: Annotated[
        Path | None,
        typer.Option("--settings", help="TOML file of settings; options on the command line come first."),
    ] = None,
    method: Annotated[str | None, typer.Option(help="See `spinecore models` (default: centre-unet).")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda or mps (Apple).")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest score 0..1 (default: the model's own).")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Own weights in place of the method's; see `models add`.")
    ] = None,
    swc: Annotated[
        Path | None,
        typer.Option(help="Own tracing of the dendrites (SWC, from the first voxel), for a single stack."),
    ] = None,
    swc_units: Annotated[
        str | None, typer.Option(help="Of the tracing's positions: um (default) or pixels.")
    ] = None,
    spines: Annotated[
        Path | None,
        typer.Option(
            help="Own marks of spines, for a single stack: ImageJ ROIs, points (CSV, Cell Counter, napari), VGG boxes, labels."
        ),
    ] = None,
    spines_units: Annotated[
        str | None, typer.Option(help="Of their positions, where the file does not say it: px or um.")
    ] = None,
    only_marked: Annotated[
        bool, typer.Option("--only-marked", help="Count and measure nothing but what --spines marks.")
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            help="Rules beside the network's classes: rodriguez (default), risher, imaris-like, or a file of fit-rules."
        ),
    ] = None,
    everywhere: Annotated[
        bool,
        typer.Option(
            "--everywhere", help="Look at all of a stack, also where nothing rises above the noise."
        ),
    ] = False,
) -> None:
    """Find and measure spines; write tables, labels and pictures."""
    from spinecore.cli.batch import run_batch
    from spinecore.cli.inputs import collect, settings_from
    from spinecore.cli.rules import rules_from

    with user_mistakes():
        given = {
            "pixel_um": pixel_size,
            "pixel_y_um": pixel_size_y,
            "z_um": z_step,
            "channel": channel,
            "time_point": time_point or None,
            "method": method,
            "device": device,
            "threshold": threshold,
            "model": model,
            "tracing": None if swc is None else str(swc.resolve()),
            "tracing_units": swc_units,
            "marks": None if spines is None else str(spines.resolve()),
            "marks_units": spines_units,
            "only_marked": only_marked or None,
            "everywhere": everywhere or None,
            "shape_rules": rules_from(rules),
            "axes": axes,
            "series": series,
            "average_time": average_time or None,
            "line_shift_px": line_shift or None,
        }
        files = collect(inputs, join=join, separate=separate, say=lambda text: typer.echo(text, err=True))
        values = settings_from(settings_file, given)
        failures = run_batch(files, out, values, say=typer.echo, overwrite=overwrite)
    if failures:
        raise typer.Exit(2)


@app.command()
def simulate(
    seed: Annotated[int, typer.Option(help="The same seed gives the same stack.")],
    out: Annotated[Path, typer.Option(help="Folder for stack and truth.")],
    preset: Annotated[
        str, typer.Option(help="confocal, twophoton, or one of their variants, e.g. confocal-crowded.")
    ] = "confocal",
    shape: Annotated[str | None, typer.Option(help="Z,Y,X in voxels.")] = None,
    spacing: Annotated[str | None, typer.Option(help="Z,Y,X in um.")] = None,
) -> None:
    """Make a simulated stack with its full truth."""
    from spinecore.simulation import simulate as run
    from spinecore.simulation import write_simulated
    from spinecore.simulation.simulate import DEFAULT_SHAPE

    with user_mistakes():
        if seed < 0:
            raise SpinecoreError("--seed must be 0 or more")
        z, y, x = (int(v) for v in numbers(shape, "--shape", whole=True)) if shape else DEFAULT_SHAPE
        sizes_um = None
        if spacing:
            z_um, y_um, x_um = numbers(spacing, "--spacing")
            sizes_um = (z_um, y_um, x_um)
        result = run(seed, preset, (z, y, x), sizes_um)
        write_simulated(result, out)
    typer.echo(f"{len(result.spines)} spines on {len(result.dendrites)} dendrites -> {out}")


@app.command()
def evaluate(
    truth: Annotated[Path, typer.Option(help="Truth table (CSV) or labels.")],
    predicted: Annotated[Path, typer.Option(help="Table or labels to score.")],
    criterion: Annotated[str, typer.Option(help="centre, mark, box2d, box3d or mask.")] = "centre",
    tolerance_um: Annotated[
        float, typer.Option(help="Largest distance of matched centres (criteria centre and mark).")
    ] = 1.0,
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in um, for files that give positions in pixels only.")
    ] = None,
    z_step: Annotated[float | None, typer.Option(help="Distance between slices in um, likewise.")] = None,
    units: Annotated[
        str | None, typer.Option(help="px or um, for tables whose columns x and y do not say it.")
    ] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Score a spine table against the truth by one-to-one matching."""
    with user_mistakes():
        from spinecore.evaluation.report import evaluate_files

        report = evaluate_files(
            truth,
            predicted,
            criterion,
            tolerance_um=tolerance_um,
            pixel_um=pixel_size,
            z_um=z_step,
            units=units,
        )
    typer.echo(report.to_json() if json_output else report.to_text())


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help=f"One of: {', '.join(RECIPES)}.")],
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of labelled images (default: SPINE_DATA, or shared/data beside the checkout)."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Where weights and card go.")] = Path("models"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps (Apple).")] = "auto",
    minutes: Annotated[float | None, typer.Option(help="Length of the training.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")] = False,
    precision: Annotated[
        str,
        typer.Option(help="auto, bfloat16 or float32; auto is bfloat16 where the processor computes in it."),
    ] = "auto",
    stacks: Annotated[
        int | None,
        typer.Option(
            help="Simulated stacks that centre-unet-*, head-score and spine-size learn from (default: 600)."
        ),
    ] = None,
) -> None:
    """Train a model from scratch; write its weights and card."""
    with user_mistakes():
        run_recipe(recipe, data, out, device, minutes, resume, precision=precision, pool_size=stacks)


@app.command()
def classify(
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="Image or stack.")],
    labels: Annotated[Path, typer.Option(help="Image of spine numbers, 0 outside, of the same shape.")],
    out: Annotated[Path, typer.Option(help="Table to write (CSV).")],
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in um, where the file has none.")
    ] = None,
) -> None:
    """Classify the shape of outlined spines; write class and probabilities."""
    with user_mistakes():
        from spinecore.shapes.classify import classify_files

        table = classify_files(image, labels, out, pixel_size)
    counts = ", ".join(f"{count} {name}" for name, count in table["class"].value_counts().items())
    typer.echo(f"{len(table)} spines: {counts} -> {out}")


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by analyse.")],
    to: Annotated[str, typer.Option(help="csv, xlsx, imagej, swc, mesh, labels or bundle.")],
    out: Annotated[Path | None, typer.Option(help="Where the files go (default: DIR).")] = None,
) -> None:
    """Write an analysis in another program's format."""
    with user_mistakes():
        from spinecore.export import export_analysis

        written = export_analysis(folder, to, out or folder)
    for path in written:
        typer.echo(str(path))


register_dashboard(app)
register_membranes(app)
register_model_commands(app)
register_rules(app)
app.add_typer(check_app, name="check")


@app.command()
def groups(
    sheet: Annotated[
        Path, typer.Argument(metavar="SHEET", help="Table with columns analysis, animal, cell, condition.")
    ],
    folder: Annotated[Path, typer.Option(help="Folder with the analyses' folders, named as in the sheet.")],
    out: Annotated[Path, typer.Option(help="Folder for tables and figures.")],
    measure: Annotated[
        list[str] | None, typer.Option(help="Measure to compare; may be repeated (default: all).")
    ] = None,
    reference: Annotated[str | None, typer.Option(help="Compare every condition with this one only.")] = None,
) -> None:
    """Compare conditions: nested summary, effect sizes and tests that count animals, not spines."""
    with user_mistakes():
        from spinecore.groups.files import comparison_words, write_groups

        table, notes = write_groups(sheet, folder, out, measure, reference)
    for row in table.to_dict("records"):
        typer.echo(comparison_words(row))
    for note in notes:
        typer.echo(f"note: {note}")
    typer.echo(f"tables and figures -> {out}")


@app.command()
def channels(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by analyse.")],
    stack: Annotated[Path, typer.Argument(metavar="STACK", help="The stack that was analysed.")],
    out: Annotated[Path | None, typer.Option(help="Table to write (default: DIR/channels.csv).")] = None,
) -> None:
    """Measure every spine in every channel of its stack."""
    with user_mistakes():
        from spinecore.analysis.storage import load_analysis, write_table
        from spinecore.morphometry.channels import measure_channels

        found = load_analysis(folder)
        table, names = measure_channels(
            found.labels,
            found.dendrite_labels,
            stack,
            int(found.input.get("time_point", 0)),
            found.settings.reading,
        )
        target = out or folder / "channels.csv"
        write_table(table, target)
    typer.echo(f"{len(table)} spines in {len(names)} channels -> {target}")


@app.command()
def soma(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by analyse.")],
    x: Annotated[float, typer.Option(help="Pixels of the stack, from 0.")],
    y: Annotated[float, typer.Option(help="Pixels of the stack, from 0.")],
    z: Annotated[float, typer.Option(help="Slice, from 0.")] = 0.0,
) -> None:
    """Mark the soma, so that spines.csv holds every spine's distance from it."""
    with user_mistakes():
        from spinecore.analysis.edits import set_soma

        found = set_soma(folder, (z, y, x))
    near = found.spines["soma_path_um"].notna().sum() if len(found.spines) else 0
    typer.echo(f"{len(found.spines)} spines, {near} with a path to the soma -> {folder / 'spines.csv'}")


register_correct(app)


def main() -> None:
    """Run the command line; an internal error exits 1 with its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    app()
