"""Writes files that must not break anything: ``python tests/hostile.py FOLDER``.

Each entry says what a reader must do with it: "refuse" (one sentence) or "read" (a stack, perhaps
with a note). The files are small on disk whatever they claim.
"""

from __future__ import annotations

import sys
from pathlib import Path

import hostile_containers
import hostile_contents
from hostile_core import TABLE

__all__ = ["TABLE", "hostile_containers", "hostile_contents", "write_all"]


def write_all(folder: Path) -> dict[str, str]:
    """Write every file into a folder and return the expected outcome by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (_, maker) in TABLE.items():
        maker(folder / name)
    return {name: outcome for name, (outcome, _) in TABLE.items()}


if __name__ == "__main__":
    written = write_all(Path(sys.argv[1]))
    print(f"{len(written)} files in {sys.argv[1]}")
