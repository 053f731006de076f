"""The command `check`: draw segments of dendrite to count by eye, and estimate from what was counted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from spinecore.cli.tools import user_mistakes
from spinecore.errors import SpinecoreError

if TYPE_CHECKING:
    from spinecore.corrections.samplecheck import SampleCheck

check_app = typer.Typer(
    no_args_is_help=True,
    help="Count a random sample of segments by eye: a density with a valid interval, whatever the detector missed.",
)
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by analyse.")]


@check_app.command("draw")
def draw(
    folder: Folder,
    out: Annotated[Path, typer.Option(help="Sheet to write (CSV); fill in its column true_count.")],
    segments: Annotated[int, typer.Option(help="How many to count.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed draws the same segments.")] = 1,
) -> None:
    """Draw segments of about 5 um, stratified by the automatic count, and write a sheet to fill in."""
    with user_mistakes():
        from spinecore.analysis.storage import load_analysis
        from spinecore.corrections.checksheet import write_sheet
        from spinecore.corrections.samplecheck import draw_check
        from spinecore.corrections.segments import cut_segments

        found = load_analysis(folder)
        cut = cut_segments(found.candidates.dendrites, found.spines, found.candidates.scale_yx)
        check = draw_check(folder, cut, segments, seed, found.threshold)
        write_sheet(check, out)
        untraced = int(found.spines["dendrite_id"].isna().sum()) if len(found.spines) else 0
    typer.echo(f"{check.n} of {len(cut)} segments -> {out}")
    if untraced:
        typer.echo(f"note: {untraced} spines belong to no traced dendrite and are on no segment")


@check_app.command("draw-group")
def draw_group_sheet(
    sheet: Annotated[Path, typer.Argument(metavar="SHEET", help="As for `spinecore groups`.")],
    folder: Annotated[Path, typer.Option(help="Holds the analyses' folders, named as in the sheet.")],
    out: Annotated[Path, typer.Option(help="Folder for one sheet an analysis, to be filled in.")],
    segments: Annotated[int, typer.Option(help="How many to count in all.")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed draws the same segments.")] = 1,
) -> None:
    """Draw segments over all analyses of a group sheet; `groups` then compares the checked density as well."""
    with user_mistakes():
        from spinecore.corrections.checksheet import write_sheet
        from spinecore.groups.checks import draw_group
        from spinecore.groups.sheet import folders_of, read_sheet

        table = read_sheet(sheet.read_bytes(), sheet.name)
        folders = list(dict.fromkeys(folders_of(table, folder)))
        drawn = draw_group(folders, segments, seed)
        out.mkdir(parents=True, exist_ok=True)
        for path, check in drawn:
            write_sheet(check, out / f"{path.name}.csv")
    typer.echo(f"{sum(check.n for _, check in drawn)} segments of {len(drawn)} analyses -> {out}")
    typer.echo("fill in each sheet, then: spinecore check estimate DIR --sheet FILE --by NAME")


@check_app.command("estimate")
def estimate(
    folder: Folder,
    sheet: Annotated[
        Path | None, typer.Option(help="The filled sheet (default: what was answered on the page).")
    ] = None,
    by: Annotated[str, typer.Option(help="Who counted; kept with the answers.")] = "",
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Estimate number and density of spines from the segments that were counted; answers are kept in DIR."""
    with user_mistakes():
        from spinecore.analysis.storage import load_analysis
        from spinecore.corrections.samplecheck import summarise_check

        found = load_analysis(folder)
        check = _with_sheet(folder, sheet, by)
        if not check.checked:
            raise SpinecoreError("no segment was counted yet: give the filled sheet with --sheet")
        values = summarise_check(check, found.spines)
    typer.echo(json.dumps(values, indent=2, ensure_ascii=False) if json_output else _text(values))


def _with_sheet(folder: Path, sheet: Path | None, by: str) -> SampleCheck:
    """Return the last draw, with the answers of a sheet stored where they are new."""
    from spinecore.corrections.checksheet import read_sheet
    from spinecore.corrections.samplecheck import append_answer, read_check

    check = read_check(folder)
    if check is None:
        raise SpinecoreError(f"no segments were drawn for {folder.name}: run `spinecore check draw` first")
    if sheet is None:
        return check
    for answer in read_sheet(sheet, check, by):
        before = check.answers.get(answer.segment)
        if before is None or not before.says_the_same(answer):
            append_answer(folder, answer)
    return read_check(folder) or check


def _text(values: dict[str, Any]) -> str:
    """Return the estimate in a few lines."""
    lines = [
        f"{values['n']} of {values['N']} segments counted ({values['method']})",
        _line("spines", values, "total", "low", "high", "automatic_total"),
        _line(
            "density (1/um)",
            values,
            "density_per_um",
            "density_low_per_um",
            "density_high_per_um",
            "automatic_density_per_um",
        ),
    ]
    if values["more_for_10_percent"]:
        lines.append(f"about {values['more_for_10_percent']} more segments bring the number to +-10 %")
    return "\n".join(lines)


def _line(title: str, values: dict[str, Any], value: str, low: str, high: str, automatic: str) -> str:
    def text(name: str) -> str:
        return "unknown" if values[name] is None else f"{values[name]:.4g}"

    return f"{title}: {text(value)} (95 % CI {text(low)} to {text(high)}); automatic {text(automatic)}"


@check_app.command("report")
def report(
    folder: Folder,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare the automatic result with what people said about the spines that they looked at."""
    with user_mistakes():
        from spinecore.analysis.checking import check_report
        from spinecore.analysis.storage import load_analysis

        found = check_report(load_analysis(folder))
        if not found["reviewed"]:
            raise SpinecoreError(
                "nobody has looked at the spines of this analysis: check some on the page Correct first",
            )
    if json_output:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    who = f" by {' and '.join(filter(None, found['people']))}" if any(found["people"]) else ""
    typer.echo(
        f"{found['reviewed']} reviewed{who}, {found['unreviewed']} not yet; {found['open']} differences open"
    )
    if not found["all"]["n"]:
        typer.echo("only marks were measured here, so what the program finds by itself is not known")
        return
    typer.echo(f"all: {_rate_words(found['all'])}")
    for row in found["by_score"]:
        if row["n"]:
            typer.echo(f"score {row['from']:.1f} to {row['to']:.1f}: {_rate_words(row)}")
    for row in found["by_class"]:
        typer.echo(f"{row['class']}: {_rate_words(row)}")
    for pair in found["agreement"]:
        typer.echo(
            f"{pair['a']} and {pair['b']}: {pair['n']} in common, F1 {_three(pair['f1'])}, kappa {_three(pair['kappa'])}"
        )


def _rate_words(row: dict[str, Any]) -> str:
    rates = ", ".join(
        f"{word} {_three(row[name])}"
        for name, word in (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
    )
    return f"{row['right']} right, {row['false']} false, {row['missed']} missed; {rates}"


def _three(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
