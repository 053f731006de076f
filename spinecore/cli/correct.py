"""The command `correct`: what the page Correct does, from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from spinecore.cli.tools import numbers, user_mistakes
from spinecore.errors import SpinecoreError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(correct)


def correct(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by analyse.")],
    remove: Annotated[
        list[int] | None, typer.Option(metavar="ID", help="Remove this spine; may be repeated.")
    ] = None,
    count: Annotated[
        list[int] | None,
        typer.Option(metavar="ID", help="Accept this candidate whatever its score; may be repeated."),
    ] = None,
    add: Annotated[
        list[str] | None,
        typer.Option(
            metavar="Z,Y,X", help="Add a spine whose head is at this voxel, from 0; may be repeated."
        ),
    ] = None,
    edits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.jsonl",
            help="Corrections of spines and dendrites, one JSON object a line; done last.",
        ),
    ] = None,
    stack: Annotated[
        Path | None, typer.Option(help="The analysed file; needed for --add, and for --edits that draw.")
    ] = None,
    undo: Annotated[int, typer.Option(help="First undo this many earlier corrections.")] = 0,
) -> None:
    """Correct the detections; tables, labels and overview in DIR are rewritten."""
    with user_mistakes():
        import numpy as np

        from spinecore.analysis.editfile import apply_file
        from spinecore.analysis.editor import Editor
        from spinecore.analysis.gridimage import ReadPlanes
        from spinecore.corrections.replay import count_corrections
        from spinecore.reading import read_stack

        places = [np.array(numbers(text, "--add")) for text in add or []]
        if places and stack is None:
            raise SpinecoreError("--add needs the analysed file: give it with --stack")
        editor = Editor(folder)
        planes: ReadPlanes | None = None
        if stack is not None:
            facts, choices = editor.analysis.input, editor.analysis.settings.reading
            voxels = read_stack(
                stack, int(facts["channel"]), int(facts["time_point"]), choices=choices
            ).voxels
            if voxels.shape != editor.analysis.shape:
                raise SpinecoreError(f"{stack.name} is not the stack that was analysed: its shape differs")
            planes = lambda wanted: voxels[wanted.start : wanted.stop]  # noqa: E731
            editor = Editor(folder, planes, analysis=editor.analysis)
        try:
            for _ in range(undo):
                editor.undo(anyones=True)
            for spine in remove or []:
                editor.remove(spine)
            for spine in count or []:
                editor.count(spine)
            for place in places:
                editor.add(place)
            if edits is not None:
                apply_file(editor, edits)
        finally:
            editor.finish()
        found = editor.analysis
    words = count_corrections(found.candidates, found.threshold).words
    if not words:
        standing = len(found.corrections.standing)
        words = f"{standing} correction{'' if standing == 1 else 's'}" if standing else "nothing corrected"
    typer.echo(f"{len(found.spines)} spines ({words}) -> {folder / 'spines.csv'}")
