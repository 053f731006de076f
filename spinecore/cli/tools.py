"""Small things the command line needs: parsing numbers, and turning a user's mistake into one line and exit code 2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer


class UserMistake(ValueError):
    """A mistake in the call; its text is the one line the user sees."""


@contextmanager
def user_mistakes() -> Iterator[None]:
    """Turn errors that are about the call or its files into one line on stderr and exit code 2."""
    try:
        yield
    except (ValueError, FileNotFoundError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        if not _is_users(error):
            raise
        typer.echo(f"spinecore: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error


def _is_users(error: Exception) -> bool:
    """Errors of our own classes and of the file system are the user's; a bare ValueError from a library is not."""
    if isinstance(error, OSError):
        return True
    module = type(error).__module__
    return module.startswith("spinecore") or (type(error) is ValueError and _raised_by_us(error))


def _raised_by_us(error: Exception) -> bool:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith("spinecore")


def numbers(text: str, option: str, whole: bool = False) -> list[float]:
    """Parse "Z,Y,X" into three numbers."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 3 or (whole and any(v != int(v) for v in values)):
        kind = "whole numbers" if whole else "numbers"
        raise UserMistake(
            f"{option} must be three {kind} with commas, as in {'24,384,384' if whole else '0.3,0.08,0.08'}, not {text!r}"
        )
    return values
