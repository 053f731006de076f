"""Positions as other programs write them: ImageJ Results, Cell Counter, napari, tables without units."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations, empty_objects
from spinecore.reading.units import um_per_unit

_NAPARI = re.compile(r"^axis-(\d+)$")
_POSITION = re.compile(
    r"^(?:position[\s_]*|cent(?:er|re)[\s_]*)?([xyz])m?\s*(?:[\[(]([^\])]*)[\])])?$", re.IGNORECASE
)
_PIXEL_WORDS = {"px", "pixel", "pixels", "slice", "slices", "voxel", "voxels"}
#: Units that `--units` takes for tables whose columns have none.
UNITS = ("px", "um")


def name_positions(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose positions have this program's names: ``X (µm)``, ``y [px]``, ``XM``, ``Position Z`` with a unit.

    Examples
    --------
    >>> list(name_positions(pd.DataFrame(columns=["X (µm)", "y [px]", "XM"])))
    ['x_um', 'y_px', 'x']
    >>> list(name_positions(pd.DataFrame({"Position X": [1.0], "Position Y": [1.0], "Unit": ["um"]})))
    ['x_um', 'y_um', 'Unit']
    """
    lower = {str(name).strip().lower(): name for name in table}
    units = set(table[lower["unit"]].dropna().astype(str)) if "unit" in lower else set()
    shared = units.pop() if len(units) == 1 else None
    names: dict[object, str] = {}
    for name in table:
        match = _POSITION.match(str(name).strip())
        if match is None:
            continue
        axis, unit = match.group(1).lower(), match.group(2) or shared
        scale = um_per_unit(unit)
        suffix = "_um" if scale == 1.0 else "_px" if str(unit).lower().strip() in _PIXEL_WORDS else ""
        if scale in (None, 1.0) and f"{axis}{suffix}" not in {*lower, *names.values()}:
            names[name] = f"{axis}{suffix}"
    return table.rename(columns=names)


def read_cell_counter(path: Path) -> Annotations:
    """Read the XML of ImageJ's Cell Counter: each marker is one object, whatever its type.

    Raises
    ------
    SpinecoreError
        If it is none.
    """
    content = path.read_bytes()
    try:
        if b"<!ENTITY" in content or b"<!DOCTYPE" in content:
            raise ElementTree.ParseError
        root = ElementTree.fromstring(content)
        markers = [
            (
                float(m.findtext("MarkerX", "")),
                float(m.findtext("MarkerY", "")),
                float(m.findtext("MarkerZ", "1")),
                kind,
            )
            for group in root.iter("Marker_Type")
            for kind in [group.findtext("Type", "")]
            for m in group.iter("Marker")
        ]
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise SpinecoreError(
            f"{path.name} is no Cell Counter file: save the markers again from the plugin"
        ) from error
    if root.tag != "CellCounter_Marker_File":
        raise SpinecoreError(f"{path.name} is no Cell Counter file: save the markers again from the plugin")
    table = empty_objects(len(markers))
    if markers:
        values = np.array([m[:3] for m in markers])
        table["x_px"], table["y_px"], table["z_px"] = values[:, 0], values[:, 1], values[:, 2] - 1
    kinds = sorted({m[3] for m in markers})
    notes = (
        (f"{path.name} holds markers of {len(kinds)} types; all are taken as spines.",)
        if len(kinds) > 1
        else ()
    )
    return Annotations(path.name, "Cell Counter markers", table, stack_names=("",), notes=notes)


def napari_points(name: str, table: pd.DataFrame) -> Annotations | None:
    """Return a napari points or shapes table (axis-0, axis-1, ...: z, y, x in pixels), or None if it is none.

    Raises
    ------
    SpinecoreError
        If it has other than two or three axes, or its shapes are damaged.
    """
    axes = sorted((c for c in table if _NAPARI.match(c)), key=lambda c: int(c.split("-")[1]))
    if not axes:
        return None
    if len(axes) not in (2, 3):
        raise SpinecoreError(
            f"{name} has {len(axes)} axes: save the points of one time point and channel (z, y, x)"
        )
    values = table[axes].apply(pd.to_numeric, errors="coerce")
    if values.isna().to_numpy().any():
        raise SpinecoreError(f"{name} holds a position that is no number: correct it")
    order = ", ".join("zyx"[-len(axes) :])
    note = f"Positions of napari are taken as pixels ({order})."
    if "vertex-index" in table:
        vertices = pd.to_numeric(table["vertex-index"], errors="coerce")
        if table.assign(v=vertices).duplicated(["index", "v"]).any():
            raise SpinecoreError(
                f"{name} repeats a vertex of a shape, so its shapes cannot be told apart: save a Points layer, or the shapes again"
            )
        values = values.groupby(table["index"], sort=False).mean()
        note = f"Each napari shape is placed at the mean of its corners, in pixels ({order})."
    objects = empty_objects(len(values))
    for axis, column in zip("zyx"[-len(axes) :], axes, strict=True):
        objects[f"{axis}_px"] = values[column].to_numpy(float)
    return Annotations(name, "napari layer", objects, stack_names=("",), notes=(note,))


def unitless_points(name: str, table: pd.DataFrame, units: str | None) -> Annotations | None:
    """Return a table with columns x, y and perhaps z or slice, in the unit that the user gives; None if it has none.

    ImageJ's Results count from the corner of the first pixel where the image is calibrated, and slices from 1.

    Parameters
    ----------
    name : str
    table : DataFrame
        With column names in lower case.
    units : str or None
        "px" or "um".

    Raises
    ------
    SpinecoreError
        If no unit is given.
    """
    if not {"x", "y"} <= set(table):
        return None
    imagej = "slice" in table or "label" in table
    if units is None:
        kind = "ImageJ Results" if imagej else "columns x and y"
        raise SpinecoreError(
            f"{name} has {kind} without a unit: say whether they are pixels or micrometres",
            f"{name} has {kind} without a unit: say whether they are pixels or micrometres (--units px or --units um)",
        )
    if units not in UNITS:
        raise SpinecoreError(f"units must be px or um, not {units!r}")
    objects = empty_objects(len(table))
    notes = [f"x and y of {name} are taken as {'pixels' if units == 'px' else 'micrometres'}."]
    for axis in ("x", "y", *(("z",) if "z" in table else ())):
        values = pd.to_numeric(table[axis], errors="coerce").to_numpy(float)
        if np.isnan(values).any():
            raise SpinecoreError(f"{name} holds a position {axis} that is no number: correct it")
        objects[f"{axis}_{units}"] = values
    if "z" not in table and "slice" in table:
        objects["z_px"] = pd.to_numeric(table["slice"], errors="coerce").to_numpy(float) - 1
        notes.append("Slices are counted from 1.")
    return Annotations(name, "points", objects, stack_names=("",), notes=tuple(notes))
