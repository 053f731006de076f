"""Write the pages of the reference that come from the code: `python docs/write_reference.py`.

`docs/reference/columns.md` says what the code declares of every table column, `docs/reference/commands.md` what each
command of the command line takes. A test fails when either is out of date.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from spinecore.cli.main import app
from spinecore.morphometry.columns import TABLES
from spinecore.tables.column import Column
from spinecore.training.recipes import RECIPES

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by docs/write_reference.py; change the code, then run it again. -->"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _column_table(columns: dict[str, Column]) -> list[str]:
    lines = ["| column | unit | meaning | how | empty when |", "|---|---|---|---|---|"]
    for column in columns.values():
        cells = (column.description, column.how, column.missing or "never")
        lines.append(f"| `{column.name}` | {column.unit} | {' | '.join(map(_cell, cells))} |")
    return lines


def columns_page() -> str:
    """Return the page of all table columns."""
    lines = [
        "# Table columns",
        "",
        NOTE,
        "",
        "What cannot be measured is empty, never 0; `missing_reason` or the measure's flag says why. Files are UTF-8 with a",
        "decimal point. `px` are pixels of the input counted from 0, `um` are micrometres.",
    ]
    for name, (first, columns) in TABLES.items():
        lines += ["", f"## {name}.csv", "", first, "", *_column_table(columns)]
    return "\n".join(lines) + "\n"


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "option":
        return ", ".join((*parameter.opts, *parameter.secondary_opts))
    return parameter.metavar or parameter.name.upper()


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    return "" if parameter.default is None or parameter.default is False else f"`{parameter.default}`"


def _usage(name: str, parameters: list[Any]) -> str:
    required = [p for p in parameters if p.required]
    words = [_name(p) for p in required if p.param_type_name == "argument"]
    words += [
        f"{p.opts[0]} {p.metavar or p.opts[0].strip('-').upper()}" for p in required if p.opts[0][0] == "-"
    ]
    options = ["[OPTIONS]"] if len(required) < len(parameters) else []
    return " ".join(["spinecore", name, *words, *options])


def _command(name: str, command: Any) -> list[str]:
    parameters = [p for p in command.params if p.name != "help"]
    lines = ["", f"## {name}", "", command.help or "", "", "```", _usage(name, parameters), "```"]
    if parameters:
        lines += ["", "| option | default | meaning |", "|---|---|---|"]
    for parameter in parameters:
        lines.append(f"| `{_name(parameter)}` | {_default(parameter)} | {_cell(parameter.help or '')} |")
    for inner, part in getattr(command, "commands", {}).items():
        lines += _command(f"{name} {inner}", part)
    return lines


def commands_page() -> str:
    """Return the page of all commands, with the recipes that `train` takes."""
    group: Any = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        NOTE,
        "",
        "`spinecore COMMAND` and `python -m spinecore COMMAND` are the same. `spinecore COMMAND --help` prints what is below.",
        "Exit codes: 0 done; 2 a mistake in the call or in a file (one line on stderr says what is wrong and what to do);",
        "1 an internal error. With several inputs, `analyse` continues past a bad file, lists it at the end and exits with 2.",
    ]
    for name, command in group.commands.items():
        lines += _command(name, command)
    lines += [
        "",
        "## Recipes",
        "",
        "What `spinecore train` can make:",
        "",
        "| recipe | minutes | what |",
        "|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {recipe.minutes:g} | {_cell(recipe.title)} |" for name, recipe in RECIPES.items()
    ]
    return "\n".join(lines) + "\n"


PAGES = {"columns.md": columns_page, "commands.md": commands_page}


def main() -> None:
    """Write both pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
