"""The stack that an analysis is made of, read as its settings say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from spinecore.analysis.result import Settings
from spinecore.reading import read_stack
from spinecore.stack import Stack


def read_input(path: Path | Sequence[Path], settings: Settings) -> Stack:
    """Read a file, or one slice from each of several files.

    Raises
    ------
    SpinecoreError
        As `spinecore.reading.read_stack`.
    """
    return read_stack(
        path,
        settings.channel,
        settings.time_point,
        settings.pixel_um,
        settings.z_um,
        choices=settings.reading,
        pixel_y_um=settings.pixel_y_um,
    )
