"""The command `fit-rules`: thresholds of a rule set from spines whose class a person named."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from spinecore.cli.tools import user_mistakes


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("fit-rules")(fit_rules)


def fit_rules(
    folders: Annotated[
        list[Path], typer.Argument(metavar="DIR...", help="Folders written by analyse, with classes by hand.")
    ],
    out: Annotated[Path, typer.Option(help="File to write (JSON), for analyse --rules.")],
    rules: Annotated[str, typer.Option(help="rodriguez, risher or imaris-like.")] = "rodriguez",
) -> None:
    """Fit the thresholds of shape rules to spines whose class a person named, 30 or more."""
    with user_mistakes():
        from spinecore.analysis.storage import load_analysis
        from spinecore.shapes.chosen_rules import read_rules
        from spinecore.shapes.fitting import fit_rules as fit
        from spinecore.shapes.fitting import pool_labelled

        name = read_rules(rules).name
        found = [load_analysis(folder) for folder in folders]
        fitted = fit(name, *pool_labelled((a.spines, a.corrections.class_of) for a in found))
        fitted.chosen.write(out)
    typer.echo(f"{fitted.words} -> {out}")


def rules_from(text: str | None) -> dict[str, Any] | None:
    """Return the rules of the option --rules as `Settings` hold them.

    Raises
    ------
    SpinecoreError
        If it is neither a name nor a file of rules.
    """
    if text is None:
        return None
    from spinecore.shapes.chosen_rules import read_rules

    return read_rules(text).to_dict()
