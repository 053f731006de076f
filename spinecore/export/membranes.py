"""A segmentation for other programs: ImageJ outlines, label images at any level, and one ZIP with a methods paragraph."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
from roifile import ImagejRoi, roiwrite
from scipy.ndimage import find_objects

from spinecore.corrections.cells import CellSteps
from spinecore.errors import SpinecoreError
from spinecore.export.images import outline
from spinecore.files import scratch_folder
from spinecore.membranes.result import Segmentation
from spinecore.membranes.segment import write_cells
from spinecore.membranes.table import CELL_COLUMNS, measure_cells
from spinecore.networks.zoo import get_card
from spinecore.tables.column import NUMBER_FORMAT, describe


def cell_table(result: Segmentation, level: float, steps: CellSteps) -> pd.DataFrame:
    """Return the table of all cells at a level, with a person's corrections."""
    parts = [
        measure_cells(labels, result.spacing, z) for z, labels in enumerate(result.sections(level, steps))
    ]
    return pd.concat(parts, ignore_index=True)


def write_cell_labels(result: Segmentation, level: float, steps: CellSteps, path: Path) -> Path:
    """Write the cells at a level as uint32 TIFF (Z, Y, X) with the pixel size."""
    write_cells(result.sections(level, steps), result.membrane.shape, result.spacing, path)
    return path


def write_cell_rois(result: Segmentation, level: float, steps: CellSteps, path: Path) -> Path:
    """Write one outline a cell and section for ImageJ's ROI Manager, named cell_ID_zSECTION (from 1).

    Raises
    ------
    SpinecoreError
        If there is no cell.
    """
    rois = []
    for z, labels in enumerate(result.sections(level, steps)):
        for number, box in enumerate(find_objects(labels.astype(np.int32)), start=1):
            if box is None:
                continue
            points = outline(labels[box] == number) + np.array([box[1].start, box[0].start], np.float32)
            roi = ImagejRoi.frompoints(points, name=f"cell_{number:05d}_z{z + 1:03d}")
            roi.position = z + 1
            rois.append(roi)
    if not rois:
        raise SpinecoreError("there is no cell to outline: change the level")
    roiwrite(path, rois, mode="w")
    return path


def methods_text(result: Segmentation, level: float, n_cells: int, steps: CellSteps) -> str:
    """Return a paragraph that says how membranes and cells were found, for a paper's methods section."""
    record, settings = result.record, result.record["settings"]
    depth, height, width = record["input"]["shape_zyx"]
    size = result.spacing.pixel_um
    pixels = f"pixels of {size * 1000:.3g} nm" if size else "pixels of unknown size"
    what = f"{depth} sections of" if depth > 1 else "one section of"
    views = f", averaged over {settings['views']} mirrored views" if settings["views"] > 1 else ""
    join = f"; tiles joined by '{settings['join']}'" if settings["method"] == "unet-valid" else ""
    card = get_card(record["model"]["name"])
    sentences = [
        f"Membranes in {what} {width} x {height} {pixels} were found with spinecore {record['spinecore']} "
        f"(method {settings['method']}: {card.data['title']}; weights SHA-256 {record['model']['sha256'][:12]}, "
        f"trained on sections 00-19 of the ISBI 2012 challenge{views}{join}).",
        *(note for note in record.get("notes", ()) if note.startswith("Resized")),
        "The membrane probability was cut into regions by watershed from the minima of the smoothed map; neighbouring "
        f"regions whose common border had a mean probability below {level:g} were merged, the weakest border first, and "
        f"pixels at or above {level:g} were taken as membrane. Cells smaller than {settings['min_area_px']} pixels were "
        f"left out: {n_cells} cells.",
        *([f"Cells were corrected by hand: {steps.words}."] if steps.words else []),
        *(
            [
                "Cells were followed through the sections where each was the other's largest overlap, of at least 30 % "
                "of the smaller one."
            ]
            if result.linked
            else []
        ),
        "Perimeters follow Crofton's formula (scikit-image); circularity is 4 pi area / perimeter^2.",
        f"Device: {record['device']}.",
    ]
    return " ".join(sentences) + "\n"


def write_membrane_bundle(result: Segmentation, level: float, steps: CellSteps, path: Path) -> Path:
    """Write one ZIP: membrane map, cells, table with the meaning of its columns, outlines, record and methods text."""
    table = cell_table(result, level, steps)
    count = table["cell_id"].nunique() if result.linked else len(table)
    name = result.name
    with scratch_folder(path.parent) as scratch, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        labels = write_cell_labels(result, level, steps, scratch / f"{name}_cells.tif")
        table.to_csv(scratch / f"{name}_cells.csv", index=False, float_format=NUMBER_FORMAT)
        pd.DataFrame(describe(CELL_COLUMNS)).to_csv(scratch / "columns.csv", index=False)
        (scratch / "methods.txt").write_text(methods_text(result, level, count, steps), encoding="utf-8")
        files = [labels, scratch / f"{name}_cells.csv", scratch / "columns.csv", scratch / "methods.txt"]
        if count:
            files.append(write_cell_rois(result, level, steps, scratch / f"{name}_rois.zip"))
        for file in [result.file("membrane.tif"), *files, result.file("membranes.json")]:
            archive.write(file, file.name)
    return path
