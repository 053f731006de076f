"""Command-line commands about models: agreement of two analyses, own weights, fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spinecore.cli_tools import user_mistakes


def agreement(
    a: Annotated[Path, typer.Argument(metavar="DIR_A", help="A folder written by analyse.")],
    b: Annotated[Path, typer.Argument(metavar="DIR_B", help="Another one, of the same stack.")],
    tolerance_um: Annotated[
        float, typer.Option(help="Largest distance of two centres that are the same spine.")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Table to write (CSV): both, only A, only B.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Hold two analyses of one stack against each other: spines that both found, only A, only B."""
    with user_mistakes():
        from spinecore.agreement import compare_folders
        from spinecore.storage import write_table

        found = compare_folders(a, b, tolerance_um)
        if out is not None:
            write_table(found.table, out)
    typer.echo(json.dumps(found.summary(), indent=2, ensure_ascii=False) if json_output else found.to_text())


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(agreement)
