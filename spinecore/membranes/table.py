"""The table of cells: what is measured, and the columns that say so."""

from __future__ import annotations

import numpy as np
import pandas as pd

from spinecore.stack import Spacing
from spinecore.tables.column import Column, by_name

_NO_SIZE = "the pixel size is unknown"
_CROFTON = "Length of the outline by Crofton's formula in four directions (scikit-image, perimeter_crofton)."

#: Columns of cells.csv, in order.
CELL_COLUMNS: dict[str, Column] = by_name(
    Column(
        "cell_id",
        "",
        "Cell",
        "Number of the cell; in a linked stack the same cell has it in every section.",
        "Value of its pixels in cells.tif.",
    ),
    Column("section", "", "Section", "Section of the stack, counted from 0.", "Index along z."),
    Column("x_px", "px", "x", "Centre of the cell along x.", "Mean of its pixels, from 0."),
    Column("y_px", "px", "y", "Centre of the cell along y.", "Mean of its pixels, from 0."),
    Column("area_px", "px", "Area in pixels", "Area without the membrane.", "Number of pixels."),
    Column("perimeter_px", "px", "Perimeter in pixels", "Length of the cell's outline.", _CROFTON),
    Column(
        "area_um2", "um^2", "Area", "Area without the membrane.", "area_px times the pixel's area.", _NO_SIZE
    ),
    Column(
        "perimeter_um",
        "um",
        "Perimeter",
        "Length of the cell's outline.",
        "perimeter_px times the pixel size.",
        _NO_SIZE,
    ),
    Column(
        "equivalent_diameter_um",
        "um",
        "Equivalent diameter",
        "Diameter of a circle of the same area.",
        "2 sqrt(area / pi).",
        _NO_SIZE,
    ),
    Column(
        "circularity",
        "",
        "Circularity",
        "How round the outline is: 1 for a circle, less for a long or ragged one.",
        "4 pi area / perimeter^2, at most 1.",
    ),
    Column(
        "elongation",
        "",
        "Elongation",
        "Long over short axis: 1 for a disc.",
        "Axes of the ellipse with the same second moments.",
        "the cell is a straight line of pixels",
    ),
    Column(
        "touches_edge",
        "",
        "Touches the edge",
        "1 where the cell reaches the edge of the image, so that its area and outline are cut; else 0.",
        "A pixel in the outermost row or column.",
    ),
)


def measure_cells(labels: np.ndarray, spacing: Spacing, section: int = 0) -> pd.DataFrame:
    """Measure the cells of one section.

    Parameters
    ----------
    labels : ndarray of int, shape (Y, X)
        Cell numbers, 0 = membrane.
    spacing : Spacing
        Micrometre columns are empty where the pixel size is unknown.
    section : int
        Written into the table.

    Returns
    -------
    DataFrame
        Columns of `CELL_COLUMNS`, one row a cell, by cell number.
    """
    from skimage.measure import regionprops_table

    asked = (
        "label",
        "centroid",
        "area",
        "perimeter_crofton",
        "axis_major_length",
        "axis_minor_length",
        "bbox",
    )
    raw = regionprops_table(labels.astype(np.int32, copy=False), properties=asked)
    area, outline = raw["area"].astype(float), raw["perimeter_crofton"].astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        roundness = np.minimum(1.0, 4 * np.pi * area / outline**2)
        elongation = raw["axis_major_length"] / raw["axis_minor_length"]
    pixel = np.nan if spacing.pixel_um is None else spacing.pixel_um
    height, width = labels.shape
    edge = (raw["bbox-0"] == 0) | (raw["bbox-1"] == 0) | (raw["bbox-2"] == height) | (raw["bbox-3"] == width)
    table = pd.DataFrame(
        {
            "cell_id": raw["label"],
            "section": section,
            "x_px": raw["centroid-1"],
            "y_px": raw["centroid-0"],
            "area_px": raw["area"].astype(int),
            "perimeter_px": outline,
            "area_um2": area * pixel**2,
            "perimeter_um": outline * pixel,
            "equivalent_diameter_um": 2 * np.sqrt(area / np.pi) * pixel,
            "circularity": np.where(outline > 0, roundness, np.nan),
            "elongation": np.where(np.isfinite(elongation), elongation, np.nan),
            "touches_edge": edge.astype(int),
        }
    )
    return table[list(CELL_COLUMNS)]
