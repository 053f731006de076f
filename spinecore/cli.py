"""The command line: `python -m spinecore COMMAND`. Exit codes: 0 done, 2 a mistake in the call or a file, 1 our fault."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Find, measure and explain dendritic spines.")


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="Name of the recipe, e.g. centre-unet.")],
    data: Annotated[Path | None, typer.Option(help="Folder of labelled images (default: SPINE_DATA or ../shared/data).")] = None,
    out: Annotated[Path, typer.Option(help="Where weights and card go.")] = Path("models"),
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    minutes: Annotated[float | None, typer.Option(help="Length of the training.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last saved state.")] = False,
) -> None:
    """Train a model; the only way a weight file comes into being."""
    from spinecore.training.recipes import run_recipe

    run_recipe(recipe, data, out, device, minutes, resume)


@app.command()
def models() -> None:
    """List the shipped models with their scores."""
    from spinecore.modelzoo import list_cards

    for card in list_cards():
        typer.echo(f"{card.name}: {card.data.get('title', '')}")


def main() -> None:
    """Run the command line."""
    app()
