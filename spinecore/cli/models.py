"""Command-line commands about models: agreement of two analyses, own weights, fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from spinecore.cli.tools import user_mistakes


def agreement(
    a: Annotated[Path, typer.Argument(metavar="DIR_A", help="A folder written by analyse.")],
    b: Annotated[Path, typer.Argument(metavar="DIR_B", help="Another one, of the same stack.")],
    tolerance_um: Annotated[
        float, typer.Option(help="Largest distance between two centres that count as one spine.")
    ] = 1.0,
    out: Annotated[Path | None, typer.Option(help="Table to write (CSV): both, only A, only B.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare two analyses of one stack: spines that both found, only A, only B."""
    with user_mistakes():
        from spinecore.analysis.storage import write_table
        from spinecore.evaluation.agreement import compare_folders

        found = compare_folders(a, b, tolerance_um)
        if out is not None:
            write_table(found.table, out)
    typer.echo(json.dumps(found.summary(), indent=2, ensure_ascii=False) if json_output else found.to_text())


models_app = typer.Typer(help="The shipped models and your own, with their scores.")


def _own_folder() -> Path:
    from spinecore.workspace.own_models import models_folder
    from spinecore.workspace.settings import load_settings

    return models_folder(load_settings().workspace)


@models_app.callback(invoke_without_command=True)
def models(context: typer.Context) -> None:
    """List the shipped models and your own, with their scores."""
    if context.invoked_subcommand is not None:
        return
    from spinecore.networks.zoo import list_cards
    from spinecore.workspace.own_models import list_own

    with user_mistakes():
        own = list_own(_own_folder())
    for card, is_own in (*((c, False) for c in list_cards()), *((c, True) for c in own)):
        data = card.data
        typer.echo(f"{card.name}: {data.get('title', '')}{' (your own)' if is_own else ''}")
        typer.echo(
            f"  {data['parameters']:,} parameters, {data['bytes'] / 1e6:.1f} MB, sha256 {data['sha256'][:12]}"
        )
        if data.get("recipe"):
            typer.echo(f"  made by: {data['recipe']}")
        for score in data.get("scores", []):
            typer.echo(f"  {score['data']}: {score['measure']} {score['value']:.3f}  ({score['command']})")


@models_app.command("add")
def add(
    weights: Annotated[Path, typer.Argument(metavar="WEIGHTS", help="A .safetensors file.")],
    card: Annotated[Path, typer.Argument(metavar="CARD", help="Its card (.json).")],
    name: Annotated[str | None, typer.Option(help="Its name (default: the file's name).")] = None,
) -> None:
    """Check and add your own weights, for `analyse --model NAME`; files that would be unpickled are rejected."""
    with user_mistakes():
        from spinecore.workspace.own_models import add_model

        added = add_model(_own_folder(), weights, card, name)
    typer.echo(f"{added.name}: replaces {added.data['replaces']}; use it with analyse --model {added.name}")


@models_app.command("remove")
def remove(name: Annotated[str, typer.Argument(metavar="NAME", help="One of your own models.")]) -> None:
    """Delete your own weights permanently."""
    with user_mistakes():
        from spinecore.workspace.own_models import remove_model

        remove_model(_own_folder(), name)
    typer.echo(f"{name} was deleted")


def finetune(
    images: Annotated[Path, typer.Option(help="An image or stack, or a folder of them.")],
    annotations: Annotated[
        Path,
        typer.Option(
            help="Where the spines are: one table for all images (column stack or image), or a folder with a table or "
            "a folder written by analyse for each image's name."
        ),
    ],
    name: Annotated[str, typer.Option(help="Name of the new model.")],
    parent: Annotated[
        str | None,
        typer.Option(
            help="Model to start from (default: centre-unet-2d for single images, for stacks head-score, the second look at "
            "each head; centre-unet-3d teaches the maps of stacks, which then have no second look)."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="Length of the training.")] = 5.0,
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in um, where the files have none.")
    ] = None,
    z_step: Annotated[float | None, typer.Option(help="Distance between slices in um.")] = None,
    channel: Annotated[int, typer.Option(help="Channel, counted from 0.")] = 0,
    partly: Annotated[
        bool, typer.Option("--partly", help="Not every spine in the images is annotated.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps (Apple).")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="Folder for weights and card (default: your own models).")
    ] = None,
) -> None:
    """Fine-tune a copy of a model on your own annotated images; the old model is kept."""
    import tempfile

    with user_mistakes():
        from spinecore.networks.device import pick_device
        from spinecore.reading import open_stack
        from spinecore.training.finetune import finetune as run
        from spinecore.training.request import Request, check_minutes, default_parent
        from spinecore.training.sources import find_sources
        from spinecore.workspace.own_models import list_own

        length = check_minutes(minutes)
        sources, left_out = find_sources(images, annotations, pixel_size, z_step, channel)
        for file in left_out:
            typer.echo(f"{file}: no annotations, left out")
        folder = out or _own_folder()
        if parent is None:
            with open_stack(sources[0].image) as image:
                parent = default_parent(image.shape_tczyx[2] == 1)
        own = parent in {card.name for card in list_own(_own_folder())}
        with tempfile.TemporaryDirectory() as work:
            request = Request(
                name=name,
                parent=parent,
                parent_folder=_own_folder() if own else None,
                sources=tuple(sources),
                minutes=length,
                complete=not partly,
                device=pick_device(device),
            )
            result = run(request, folder, Path(work), say=typer.echo)
    before, after = result.before, result.after
    typer.echo(
        f"held out ({result.held_out}, {before.n_truth} spines): F1 {before.f1:.3f} before, {after.f1:.3f} after"
    )
    if not result.improved:
        typer.echo(
            f"the new model is no better there: keep {parent}, or annotate more images and train longer"
        )
    typer.echo(f"{result.card.name} -> {folder}; use it with analyse --model {result.card.name}")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the command line."""
    app.command()(agreement)
    app.command()(finetune)
    app.add_typer(models_app, name="models")
