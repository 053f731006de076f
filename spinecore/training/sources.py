"""Images and marks for fine-tuning: paired by name, and checked before a training starts. Nothing here needs torch."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from spinecore.analysis.checks import check_spacing
from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations
from spinecore.evaluation.readers import TABLE_NAMES, lacks_unit, read_annotations
from spinecore.reading import list_inputs, open_stack, stem
from spinecore.training.request import FEWEST_SPINES, Source

ANNOTATION_SUFFIXES = (".csv", ".tsv", ".txt", ".json", ".xml", ".zip", ".roi")


def find_sources(
    images: Path,
    annotations: Path,
    pixel_um: float | None = None,
    z_um: float | None = None,
    channel: int = 0,
) -> tuple[list[Source], list[str]]:
    """Pair images with annotations by name.

    Parameters
    ----------
    images : Path
        An image, or a folder of images.
    annotations : Path
        One file for all images (its `stack`, `image` or `filename` column names them), or a folder with a file
        or a sub-folder (as `analyse` writes) of each image's name.
    pixel_um, z_um : float, optional
        Voxel size in um that replaces the files' own.
    channel : int

    Returns
    -------
    sources : list of Source
    left_out : list of str
        Names of the images without annotations.

    Raises
    ------
    SpinecoreError
        If there is nothing to pair.
    """
    files = [path for path in list_inputs([images]) if not path.name.endswith(("labels.tif", "dendrite.tif"))]
    if not files:
        raise SpinecoreError(f"{images.name} holds no images: give a folder of TIFF, PNG or JPEG files")
    if not annotations.exists():
        raise SpinecoreError(f"{annotations} does not exist: give a file or folder of annotations")
    found: list[Source] = []
    left_out: list[str] = []
    common = annotations if annotations.is_file() or _table_in(annotations) else None
    known = set(read_marks(common).stacks) if common else set()
    for file in files:
        name = stem(file)
        if common is not None:
            alone = len(files) == 1 and len(known) == 1
            path = common if name in known or alone else None
        else:
            path = _annotation_of(name, annotations)
        if path is None:
            left_out.append(file.name)
            continue
        source = Source(
            image=file.absolute(),
            annotation=path.absolute(),
            name=name,
            channel=channel,
            pixel_um=pixel_um,
            z_um=z_um,
        )
        found.append(source)
    if not found:
        raise SpinecoreError(
            f"no image in {images.name} has annotations in {annotations.name}: name them alike, as cell1.tif and cell1.csv, "
            "or give a table with a column image"
        )
    return found, left_out


def _table_in(folder: Path) -> Path | None:
    return next((folder / name for name in TABLE_NAMES if (folder / name).is_file()), None)


def _annotation_of(name: str, folder: Path) -> Path | None:
    if (folder / name).is_dir() and _table_in(folder / name):
        return folder / name
    candidates = (folder / f"{name}{suffix}" for suffix in ANNOTATION_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def check_sources(sources: Iterable[Source]) -> None:
    """Check, without reading an image's voxels, that a training can begin; pages ask this before one is queued.

    Raises
    ------
    SpinecoreError
        If a voxel size is missing or impossible, or too few spines are marked.
    """
    total = 0
    for source in sources:
        with open_stack(source.image) as file:
            spacing = file.spacing.with_user(source.pixel_um, source.z_um)
            check_spacing(source.image.name, spacing, file.shape_tczyx[2] == 1)
        rows = own_rows(read_marks(source.annotation), source.name)
        total += int(rows["visible"].astype(bool).sum())
    check_enough(total)


def read_marks(path: Path) -> Annotations:
    """Read marks; here nobody is asked for the unit of columns without one."""
    if lacks_unit(path):
        raise SpinecoreError(
            f"{path.name} has columns x and y without a unit: name them x_px and y_px, or x_um and y_um"
        )
    return read_annotations(path)


def own_rows(found: Annotations, name: str) -> pd.DataFrame:
    """Return the marks of one image."""
    rows = found.objects
    return rows[rows["stack"] == name] if len(found.stacks) > 1 or name in found.stacks else rows


def check_enough(total: int) -> None:
    """Refuse too few marked spines."""
    if total < FEWEST_SPINES:
        marked = "1 spine is" if total == 1 else f"{total} spines are"
        raise SpinecoreError(
            f"only {marked} marked: mark at least {FEWEST_SPINES}, better a hundred, and try again"
        )
