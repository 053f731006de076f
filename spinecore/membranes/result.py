"""A finished segmentation, read back from its folder, and its cells at any level."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.membranes.cells import Partition, label_cells, partition
from spinecore.membranes.linking import Linker
from spinecore.stack import Spacing

#: (cells of a section, its number) -> cells; what a person changed.
Change = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Segmentation:
    """Membranes of a file, as `segment_file` left them.

    Parameters
    ----------
    folder : Path
    record : dict
        What `NAME_membranes.json` says.
    membrane : ndarray of float32, shape (Z, Y, X)
        Probability 0..1, mapped from the disk.
    """

    folder: Path
    record: dict[str, Any]
    membrane: np.ndarray

    @property
    def name(self) -> str:
        """The input's name, with which all files begin."""
        return str(self.record["name"])

    @property
    def level(self) -> float:
        """The level that was used."""
        return float(self.record["level"])

    @property
    def spacing(self) -> Spacing:
        """Pixel size and distance of sections."""
        return Spacing(**self.record["spacing"])

    @property
    def linked(self) -> bool:
        """Whether cells keep their numbers through the sections."""
        return bool(self.record["settings"]["linked"])

    @property
    def min_area_px(self) -> int:
        """Smaller cells are left out."""
        return int(self.record["settings"]["min_area_px"])

    def file(self, part: str) -> Path:
        """Return one of the files: "membrane.tif", "cells.tif", "cells.csv" or "membranes.json"."""
        return self.folder / f"{self.name}_{part}"

    def sections(self, level: float, change: Change | None = None) -> Iterator[np.ndarray]:
        """Yield the cells of each section at a level, uint32 (Y, X), numbered through a linked stack.

        Parameters
        ----------
        level : float
        change : callable, optional
            Applied to the cells of each section before they are linked.
        """
        linker = Linker() if self.linked else None
        for z in range(len(self.membrane)):
            labels = self.section(z, level)
            if change is not None:
                labels = change(labels, z)
            yield linker(labels) if linker is not None else labels

    def section(self, z: int, level: float) -> np.ndarray:
        """Return the cells of one section at a level, not linked, uint32 (Y, X)."""
        cut = section_partition(self.file("membrane.tif"), z)
        return label_cells(cut, self.membrane[z], level, self.min_area_px)


@lru_cache(maxsize=16)
def section_partition(map_file: Path, z: int) -> Partition:
    """Return the partition of one section of a stored map; the last sixteen are kept."""
    return partition(np.asarray(_map(map_file)[z]))


def _map(path: Path) -> np.ndarray:
    import tifffile

    image = tifffile.memmap(path, mode="r")
    return image.reshape(-1, *image.shape[-2:])


def load_segmentation(folder: Path) -> Segmentation:
    """Read a folder that `segment_file` wrote.

    Raises
    ------
    SpinecoreError
        If it holds none, or more than one.
    """
    records = sorted(Path(folder).glob("*_membranes.json"))
    if len(records) != 1:
        raise SpinecoreError(
            f"the folder {Path(folder).name} holds {len(records) or 'no'} segmentation{'s' if records else ''}: "
            "give a folder with one"
        )
    record = json.loads(records[0].read_text(encoding="utf-8"))
    try:
        membrane = _map(Path(folder) / f"{record['name']}_membrane.tif")
    except (OSError, ValueError) as error:
        raise SpinecoreError(
            "the membrane map of this segmentation is missing or damaged: find the membranes again"
        ) from error
    return Segmentation(Path(folder), record, membrane)
