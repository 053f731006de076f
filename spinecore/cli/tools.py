"""Small things the command line needs: parsing numbers, and turning a user's mistake into one line and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from spinecore.errors import SpinecoreError, command_words


@contextmanager
def user_mistakes() -> Iterator[None]:
    """Turn errors that are about the call or its files into one line on stderr and exit code 2."""
    try:
        yield
    except (SpinecoreError, OSError) as error:
        typer.echo(f"spinecore: {command_words(error)}", err=True)
        raise typer.Exit(2) from error


def numbers(text: str, option: str, whole: bool = False) -> list[float]:
    """Parse "Z,Y,X" into three numbers."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 3 or (whole and any(v != int(v) for v in values)):
        kind = "whole numbers" if whole else "numbers"
        raise SpinecoreError(
            f"{option} must be three {kind} with commas, as in "
            f"{'24,384,384' if whole else '0.3,0.08,0.08'}, not {text!r}"
        )
    return values
