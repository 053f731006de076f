"""From a file to membranes and cells: settings, the run over its sections, and the files it leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

import spinecore
from spinecore.files import replacing_files, write_json
from spinecore.membranes.cells import MIN_AREA_PX, label_cells, partition
from spinecore.membranes.linking import Linker
from spinecore.membranes.methods import DEFAULT_METHOD, get_method
from spinecore.membranes.predict import network_shape, normalise_section, predict_maps
from spinecore.membranes.table import measure_cells
from spinecore.networks.device import device_name, pick_device
from spinecore.networks.scale import resize_plane
from spinecore.networks.views import AS_IS, MIRRORED, TWO_VIEWS
from spinecore.networks.zoo import get_card, load_network
from spinecore.reading import StackFile, content_hash
from spinecore.reading.channel import suggest_channel
from spinecore.reading.choices import ReadingChoices
from spinecore.reading.stackfile import open_input
from spinecore.stack import Spacing
from spinecore.tables.column import NUMBER_FORMAT

#: Called with (stage, fraction 0..1); may raise to stop.
Progress = Callable[[str, float], None]
#: Views whose probabilities are averaged.
VIEWS = {1: AS_IS, 2: TWO_VIEWS, 4: MIRRORED}


class MembraneSettings(BaseModel):
    """What a segmentation is made with.

    Parameters
    ----------
    method : str
        A name from `spinecore.membranes.methods`.
    level : float, optional
        Membrane probability from which a pixel is membrane and a border a border; None takes the card's.
    min_area_px : int
        Smaller cells are left out.
    join : str
        How tiles of a network with valid padding are joined, see `predict_maps`.
    views : int
        1, 2 or 4 mirrored views, whose probabilities are averaged.
    linked : bool
        Whether cells of a stack keep their numbers from section to section.
    channel, time_point : int
        Which part of the file, from 0; a channel of None is the one in which thin structures stand out most.
    pixel_um, z_um : float, optional
        In place of the file's sizes (um).
    pixel_y_um : float, optional
        Height of a pixel, where it is not as high as it is wide (`pixel_um`).
    reading : ReadingChoices
        How the file is read where it leaves that open or says it wrongly.
    device : str
        "auto", "cpu" or "cuda".
    """

    method: str = DEFAULT_METHOD
    level: float | None = Field(default=None, gt=0, lt=1)
    min_area_px: int = Field(default=MIN_AREA_PX, ge=0)
    join: Literal["average", "resize"] = "average"
    views: Literal[1, 2, 4] = 1
    linked: bool = False
    channel: int | None = Field(default=0, ge=0)
    time_point: int = Field(default=0, ge=0)
    pixel_um: float | None = Field(default=None, gt=0)
    pixel_y_um: float | None = Field(default=None, gt=0)
    z_um: float | None = Field(default=None, gt=0)
    reading: ReadingChoices = ReadingChoices()
    device: Literal["auto", "cpu", "cuda"] = "auto"


@dataclass(frozen=True)
class Segmented:
    """What a run left.

    Parameters
    ----------
    files : tuple of Path
        Membrane map, cells and table, in this order.
    n_cells, n_sections : int
        Cells (in a linked stack each counts once) and sections.
    level : float
        That was used.
    seconds : dict
        By stage.
    """

    files: tuple[Path, ...]
    n_cells: int
    n_sections: int
    level: float
    seconds: dict[str, float]


def segment_file(
    path: Path | Sequence[Path],
    settings: MembraneSettings,
    out: Path,
    name: str | None = None,
    progress: Progress | None = None,
) -> Segmented:
    """Find membranes and cells in every section of a file; write a map, labels, a table and a record.

    Sections are read, predicted and written one after another, so that memory does not grow with their number.

    Parameters
    ----------
    path : Path, or sequence of paths
        An image or stack; a sequence holds one section a file.
    settings : MembraneSettings
    out : Path
        Folder, made when missing. `NAME_membrane.tif` (float32, 0..1), `NAME_cells.tif` (uint32), `NAME_cells.csv` and
        `NAME_membranes.json` appear there when all are complete.
    name : str, optional
        Instead of the file's.
    progress : callable, optional

    Returns
    -------
    Segmented

    Raises
    ------
    SpinecoreError
        If the file cannot be read or the method is not there.
    """
    say = progress or (lambda stage, fraction: None)
    say("Loading the network", 0.0)
    with open_input(path, choices=settings.reading) as file, replacing_files(out) as scratch:
        if settings.channel is None:
            settings = settings.model_copy(update={"channel": suggest_channel(file, settings.time_point)})
        runner = _Runner(settings)
        name = name or file.name
        spacing = file.spacing.with_user(settings.pixel_um, settings.z_um, settings.pixel_y_um)
        writer = _Writer(scratch, name, file.shape_tczyx[2:], spacing)
        linker = Linker() if settings.linked else None
        for z, section in enumerate(file.slices(runner.settings.channel or 0, settings.time_point)):
            membrane = runner.membrane(section, spacing.pixel_um, z, file.shape_tczyx[2], say)
            labels = runner.timed("cells", cells_of, membrane, runner.level, settings.min_area_px)
            if linker is not None:
                labels = linker(labels)
            writer.add(z, membrane, labels)
        table = writer.finish()
        count = int(table["cell_id"].nunique()) if settings.linked else len(table)
        write_json(scratch / f"{name}_membranes.json", _record(file, name, spacing, runner, count))
    paths = tuple(out / n for n in writer.names)
    return Segmented(paths, count, file.shape_tczyx[2], runner.level, runner.seconds)


def _record(file: StackFile, name: str, spacing: Spacing, runner: _Runner, count: int) -> dict[str, Any]:
    """Return what is written down about a run, for people and for `spinecore.membranes.result`."""
    return {
        "spinecore": spinecore.__version__,
        "name": name,
        "input": {
            "file": file.path.name,
            "format": file.format,
            "shape_zyx": list(file.shape_tczyx[2:]),
            "sha256": content_hash(file.path),
        },
        "spacing": asdict(spacing),
        "settings": runner.settings.model_dump(),
        "level": runner.level,
        "model": {"name": runner.card.name, "sha256": runner.card.sha256},
        "device": runner.device,
        "cells": count,
        "seconds": {stage: round(value, 2) for stage, value in runner.seconds.items()},
        "notes": [*file.notes, *_resizing(file.shape_tczyx[3:], spacing.pixel_um)],
    }


def _resizing(shape_yx: tuple[int, ...], pixel_um: float | None) -> list[str]:
    if network_shape(shape_yx, pixel_um) == tuple(shape_yx):
        return []
    return [f"Resized from {1000 * (pixel_um or 0):.3g} to 4 nm per pixel for the network, and the map back."]


def cells_of(membrane: np.ndarray, level: float, min_area_px: int = MIN_AREA_PX) -> np.ndarray:
    """Return the cells (uint32, Y, X) of one membrane map."""
    return label_cells(partition(membrane), membrane, level, min_area_px)


class _Runner:
    """A loaded network with its settings; adds up the seconds of its stages."""

    def __init__(self, settings: MembraneSettings) -> None:
        method = get_method(settings.method)
        self.settings = settings
        self.card = get_card(method.name)
        device = pick_device(settings.device)
        self.device = device_name(device)
        self.model = load_network(method.name, device)
        self.level = float(self.card.data["threshold"]) if settings.level is None else settings.level
        self.seconds: dict[str, float] = {}

    def timed(self, stage: str, work: Callable[..., np.ndarray], *args: Any) -> np.ndarray:
        start = time.perf_counter()
        result = work(*args)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start
        return result

    def membrane(
        self, section: np.ndarray, pixel_um: float | None, z: int, depth: int, say: Progress
    ) -> np.ndarray:
        stage = "Finding membranes" if depth == 1 else f"Finding membranes in section {z + 1} of {depth}"

        def tick(fraction: float) -> None:
            say(stage, (z + 0.95 * fraction) / depth)

        def work() -> np.ndarray:
            views = VIEWS[self.settings.views]
            image = normalise_section(section)
            seen = resize_plane(image, network_shape(image.shape, pixel_um))
            maps = predict_maps(self.model, seen, self.settings.join, views, tick=tick)
            # a copy, so that the other map does not stay in memory
            return np.clip(resize_plane(maps[0].copy(), image.shape), 0, 1)

        return self.timed("network", work)


class _Writer:
    """Writes map, cells and table of a file section by section."""

    def __init__(self, folder: Path, name: str, shape_zyx: tuple[int, ...], spacing: Spacing) -> None:
        self.names = (f"{name}_membrane.tif", f"{name}_cells.tif", f"{name}_cells.csv")
        self._folder, self._spacing = folder, spacing
        self._maps = _open_tiff(folder / self.names[0], shape_zyx, np.float32, spacing)
        self._cells = _open_tiff(folder / self.names[1], shape_zyx, np.uint32, spacing)
        self._tables: list[pd.DataFrame] = []

    def add(self, z: int, membrane: np.ndarray, labels: np.ndarray) -> None:
        self._maps[z], self._cells[z] = membrane, labels
        self._tables.append(measure_cells(labels, self._spacing, z))

    def finish(self) -> pd.DataFrame:
        for image in (self._maps, self._cells):
            image.flush()
        del self._maps, self._cells
        table = pd.concat(self._tables, ignore_index=True)
        table.to_csv(self._folder / self.names[2], index=False, float_format=NUMBER_FORMAT)
        return table


def write_cells(
    sections: Iterable[np.ndarray], shape_zyx: tuple[int, ...], spacing: Spacing, path: Path
) -> None:
    """Write the cells of consecutive sections as one uint32 TIFF (Z, Y, X) with the pixel size."""
    image = _open_tiff(path, shape_zyx, np.uint32, spacing)
    for z, labels in enumerate(sections):
        image[z] = labels
    image.flush()


def _open_tiff(path: Path, shape_zyx: tuple[int, ...], dtype: type, spacing: Spacing) -> np.memmap:
    """Make a TIFF to be filled section by section: for ImageJ where it knows the type, with the pixel size."""
    import tifffile

    for_imagej = dtype is not np.uint32
    options: dict[str, Any] = {"imagej": True} if for_imagej else {}
    metadata: dict[str, Any] = {"axes": "ZYX"}
    if spacing.y_um is not None and spacing.x_um is not None:
        if for_imagej:
            metadata |= {"unit": "um", **({} if spacing.z_um is None else {"spacing": spacing.z_um})}
            options["resolution"] = (1 / spacing.x_um, 1 / spacing.y_um)
        else:
            options |= {
                "resolution": (1e4 / spacing.x_um, 1e4 / spacing.y_um),
                "resolutionunit": "CENTIMETER",
            }
    return tifffile.memmap(path, shape=shape_zyx, dtype=dtype, metadata=metadata, **options)
