"""The documentation is true where that can be checked: generated pages are up to date, links and commands exist."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
import typer

from spinecore.cli.main import app

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_generated_pages_of_the_reference_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("write_reference", ROOT / "docs/write_reference.py")
    assert spec is not None and spec.loader is not None
    written = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(written)
    for name, page in written.PAGES.items():
        stored = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
        assert stored == page(), f"{name} is out of date: run python docs/write_reference.py"


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_exist(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_named_commands_exist_with_their_options(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    wrong = []
    for name, rest in re.findall(r"python -m benchmarks\.(\w+)([^`\n]*)", text):
        path = ROOT / "benchmarks" / f"{name}.py"
        source = path.read_text(encoding="utf-8") if path.exists() else ""
        wrong += [f"benchmarks.{name} {o}" for o in re.findall(r"--[\w-]+", rest) if f'"{o}"' not in source]
        wrong += [] if source else [f"benchmarks.{name}"]
    for name, rest in re.findall(r"(?:^|`|-m )spinecore ([a-z][\w-]+)([^`\n#]*)", text, re.MULTILINE):
        if name not in COMMANDS:
            wrong.append(f"spinecore {name}")
            continue
        command = COMMANDS[name]
        parameters = [
            *command.params,
            *(p for c in getattr(command, "commands", {}).values() for p in c.params),
        ]
        known = {option for p in parameters for option in (*p.opts, *p.secondary_opts)}
        wrong += [
            f"spinecore {name} {o}"
            for o in re.findall(r"--[\w-]+", rest)
            if o not in known and o[2:8] != "server"
        ]
    assert not wrong
