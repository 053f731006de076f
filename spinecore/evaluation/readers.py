"""Read annotations and detections of any supported kind into `Annotations`. Nothing here needs torch."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import (
    EDGE_COLUMNS,
    Annotations,
    empty_objects,
    objects_of_boxes,
    picture_stem,
    split_picture_name,
)
from spinecore.evaluation.marks import BASE_COLUMNS
from spinecore.evaluation.readers_image import read_label_tiff, read_roi_zip
from spinecore.evaluation.readers_points import (
    name_positions,
    napari_points,
    read_cell_counter,
    unitless_points,
)
from spinecore.evaluation.readers_via import read_via_csv, read_via_json
from spinecore.reading.text import decode_text, separator_line

#: Names of spine tables looked for in a folder, truth first.
TABLE_NAMES = ("truth_spines.csv", "spines.csv")
#: Hand-traced centre lines of the dendrites whose spines a table marks, beside that table.
SEGMENTS_NAME = "segments.csv"
#: Largest annotation table read, in bytes.
MAX_TABLE_BYTES = 512 * 1024**2
BOX_CSV_COLUMNS = ("filename", "xmin", "ymin", "xmax", "ymax")
FALSE_WORDS = {"false", "0", "0.0", "no", "f", "n"}
TRUE_WORDS = {"true", "1", "1.0", "yes", "t", "y", "", "nan"}
#: Our box columns (inclusive pixels) and the edge each gives, with the half pixel to its outside.
INCLUSIVE_BOX = (
    ("x_min_px", "left_px", -0.5),
    ("y_min_px", "top_px", -0.5),
    ("x_max_px", "right_px", 0.5),
    ("y_max_px", "bottom_px", 0.5),
)


def read_annotations(path: str | Path, with_labels: bool = False, units: str | None = None) -> Annotations:
    """Read one annotation file, or a folder of analyses.

    Parameters
    ----------
    path : str or Path
        spines.csv or truth_spines.csv; a row-per-slice box CSV; a VGG Image Annotator CSV or JSON; a table of points
        (ImageJ Results, napari, x and y; any separator and encoding); Cell Counter XML; a label TIFF (ZYX or YX); an
        ImageJ ROI zip or .roi; or a folder with one of our tables, or with one such folder per stack.
    with_labels : bool
        Also read the label image beside a spine table (labels.tif, truth_labels.tif).
    units : str, optional
        "px" or "um", for tables whose columns do not say it.

    Raises
    ------
    SpinecoreError
        One sentence saying what is wrong and what to do.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, with_labels)
    if not path.is_file():
        raise SpinecoreError(f"{path.name} does not exist: check the path")
    suffix = path.suffix.lower()
    if suffix in (".tif", ".tiff"):
        return read_label_tiff(path)
    if suffix in (".zip", ".roi"):
        return read_roi_zip(path)
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise SpinecoreError(
            f"{path.name} is larger than {MAX_TABLE_BYTES // 1024**2} MB, too large for annotations"
        )
    if suffix == ".json":
        return read_via_json(path)
    if suffix == ".xml":
        return read_cell_counter(path)
    if suffix in (".csv", ".txt", ".tsv", ".xls"):
        return _read_table(path, with_labels, units)
    raise SpinecoreError(
        f"{path.name} is of no known kind: give a CSV, a VIA JSON, a Cell Counter XML, a label TIFF or an ImageJ ROI zip"
    )


def _read_folder(folder: Path, with_labels: bool) -> Annotations:
    for name in TABLE_NAMES:
        if (folder / name).is_file():
            found = read_annotations(folder / name, with_labels)
            return replace(found, name=f"{folder.name}/{name}")
    parts = []
    for child in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        table = next((child / name for name in TABLE_NAMES if (child / name).is_file()), None)
        if table is None:
            continue
        part = read_annotations(table, with_labels)
        labels = dict.fromkeys([child.name], next(iter(part.labels.values()))) if part.labels else {}
        objects = part.objects.assign(stack=child.name)
        parts.append(replace(part, objects=objects, labels=labels, stack_names=(child.name,)))
    if not parts:
        raise SpinecoreError(
            f"{folder.name} holds no {' or '.join(TABLE_NAMES)}, neither itself nor one folder down"
        )
    return Annotations(
        name=folder.name,
        kind="folder of spine tables",
        objects=pd.concat([part.objects for part in parts], ignore_index=True),
        labels={stack: image for part in parts for stack, image in part.labels.items()},
        stack_names=tuple(stack for part in parts for stack in part.stack_names),
        notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)),
    )


def _read_table(path: Path, with_labels: bool, units: str | None) -> Annotations:
    table = read_text_table(path)
    table.columns = [str(name).strip() for name in table.columns]
    if found := napari_points(path.name, table):
        return found
    if "region_shape_attributes" not in table:
        table.columns = [str(name).lower() for name in table.columns]
    columns = set(table.columns)
    if "region_shape_attributes" in columns:
        return read_via_csv(path, table)
    if columns.issuperset(BOX_CSV_COLUMNS):
        return _box_csv(path.name, table)
    if columns.issuperset({"x_px", "y_px"}) or columns.issuperset({"x_um", "y_um"}):
        return _spine_table(path, table, with_labels)
    if found := unitless_points(path.name, table, units):
        return found
    raise SpinecoreError(
        f"{path.name} has no columns that say where a spine is: it needs x_px and y_px, x_um and y_um, "
        "filename with xmin, ymin, xmax, ymax, or VIA's region_shape_attributes"
    )


def lacks_unit(path: Path) -> bool:
    """Return True for a table whose columns x and y do not say their unit, so that `read_annotations` needs `units`."""
    if path.is_dir() or path.suffix.lower() not in (".csv", ".txt", ".tsv"):
        return False
    try:
        columns = {str(name).strip().lower() for name in read_text_table(path)}
    except SpinecoreError:
        return False
    told = {"x_px", "y_px"} <= columns or {"x_um", "y_um"} <= columns or "region_shape_attributes" in columns
    return {"x", "y"} <= columns and not told


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a text table of any encoding, separated by commas, semicolons or tabs, with dots or decimal commas.

    Raises
    ------
    SpinecoreError
        If it is no text, or its lines do not fit its heading.
    """
    text = decode_text(path.read_bytes(), path.name)
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip(" \t;,")]
    separator = ","
    if lines and (given := separator_line(lines[0])):
        separator, lines = given, lines[1:]
    elif lines:
        separator = max(",\t;", key=lines[0].count)
    if not lines:
        raise SpinecoreError(f"{path.name} is empty: give a CSV with a header line")
    if path.suffix.lower() == ".xls" and "\t" not in lines[0]:
        raise SpinecoreError(f"{path.name} is an Excel file: save it as CSV (UTF-8)")
    decimal = "," if separator != "," and any(re.search(r"\d,\d", line) for line in lines[1:50]) else "."
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO("\n".join(lines)),
                sep=separator,
                decimal=decimal,
                low_memory=False,
                index_col=False,
            )
    except (pd.errors.EmptyDataError, pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as fault:
        raise SpinecoreError(
            f"{path.name} cannot be read as a table: save it again as CSV (UTF-8)"
        ) from fault
    return name_positions(table)


def _numbers(name: str, table: pd.DataFrame, column: str, required: bool = False) -> np.ndarray:
    """Return a column as floats; text, and where required gaps and infinity, raise one sentence."""
    values = pd.to_numeric(table[column], errors="coerce").to_numpy(float)
    text = np.isnan(values) & table[column].notna().to_numpy()
    wrong = np.isinf(values) | text | (np.isnan(values) if required else False)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SpinecoreError(
            f"{name}: {column} in line {row + 2} is {table[column].iloc[row]!r}, which is no number: correct that line"
        )
    return values


def _visibility(name: str, table: pd.DataFrame) -> np.ndarray:
    words = pd.Series([str(value).strip().lower() for value in table["visible"]], dtype=object)
    wrong = ~words.isin(FALSE_WORDS | TRUE_WORDS)
    if wrong.any():
        raise SpinecoreError(
            f"{name}: visible must be True or False (or 1 or 0), not {words[wrong].iloc[0]!r}"
        )
    return ~words.isin(FALSE_WORDS).to_numpy()


def _spine_table(path: Path, table: pd.DataFrame, with_labels: bool) -> Annotations:
    name = path.name
    objects = empty_objects(len(table))
    plane = [c for c in ("x_px", "y_px", "x_um", "y_um") if c in table]
    required = {"x_px", "y_px"} if {"x_px", "y_px"} <= set(plane) else {"x_um", "y_um"}
    for column in ("x_px", "y_px", "z_px", "x_um", "y_um", "z_um", *BASE_COLUMNS, "score"):
        if column in table:
            objects[column] = _numbers(name, table, column, column in required)
    for column, edge, half in INCLUSIVE_BOX:
        if column in table:
            objects[edge] = _numbers(name, table, column) + half
    for column, edge in (("z_min_px", "first_slice"), ("z_max_px", "last_slice")):
        if column in table:
            objects[edge] = _numbers(name, table, column)
    identity = next((c for c in ("spine_id", "id", "object_id", "spine") if c in table), None)
    if identity is not None:
        objects["object_id"] = table[identity].to_numpy()
    grouping = next((c for c in ("stack", "image") if c in table), None)
    if grouping is not None:
        objects["stack"] = [picture_stem(value) for value in table[grouping].astype(str)]
    if "visible" in table:
        objects["visible"] = _visibility(name, table)
    if "is_bad" in table:
        objects["visible"] &= ~(_numbers(name, table, "is_bad") > 0)
    labels = {"": _labels_beside(path)} if with_labels else {}
    shafts = read_shafts(path.with_name(SEGMENTS_NAME)) if set(BASE_COLUMNS) <= set(table) else {}
    names = () if grouping is not None else ("",)
    return Annotations(name, "spine table", objects, labels=labels, shafts=shafts, stack_names=names)


def read_shafts(path: Path) -> dict[str, np.ndarray]:
    """Read the hand-traced centre lines of each stack, shape (n, 3), z, y, x in um; none where there is no such file.

    Raises
    ------
    SpinecoreError
        If a column is missing or holds no number.
    """
    if not path.is_file():
        return {}
    table = read_text_table(path)
    columns = ["z_um", "y_um", "x_um"]
    if lacking := [name for name in columns if name not in table]:
        raise SpinecoreError(f"{path.name} has no column {lacking[0]}: it needs x_um, y_um and z_um")
    points = np.stack([_numbers(path.name, table, column, True) for column in columns], 1)
    if "stack" not in table:
        return {"": points}
    names = np.array([picture_stem(value) for value in table["stack"].astype(str)])
    return {str(name): points[names == name] for name in pd.unique(names)}


def _labels_beside(table: Path) -> np.ndarray:
    beside = table.with_name(table.stem.replace("spines", "labels") + ".tif")
    if beside == table.with_suffix(".tif") or not beside.is_file():
        raise SpinecoreError(
            f"{table.name} has no label image {beside.name} beside it: give the label TIFF itself for the mask criterion"
        )
    return next(iter(read_label_tiff(beside).labels.values()))


def _box_csv(name: str, table: pd.DataFrame) -> Annotations:
    edges = ("xmin", "ymin", "xmax", "ymax")
    # These files count from the corner of the first pixel; the half pixel moves them to its centre.
    boxes = pd.DataFrame(
        {
            edge: _numbers(name, table, column, True) - 0.5
            for edge, column in zip(EDGE_COLUMNS, edges, strict=True)
        }
    )
    if ((boxes["right_px"] < boxes["left_px"]) | (boxes["bottom_px"] < boxes["top_px"])).any():
        raise SpinecoreError(f"{name} holds a box whose xmax or ymax is below its xmin or ymin: correct it")
    where = [split_picture_name(value) for value in table["filename"]]
    boxes["stack"] = pd.Series([stack for stack, _ in where], dtype=object)
    boxes["slice"] = np.array([0 if number is None else number for _, number in where], int)
    boxes["object_id"] = table["id"].to_numpy() if "id" in table else np.arange(len(table))
    boxes["score"] = _numbers(name, table, "score") if "score" in table else np.nan
    spread = boxes.groupby("object_id")["stack"].nunique() if "id" in table else pd.Series(dtype=int)
    notes: tuple[str, ...] = ()
    if "id" not in table and len(table):
        notes = (f"{name} has no id column, so every box is an object of its own.",)
    return Annotations(
        name=name,
        kind="boxes per slice",
        objects=objects_of_boxes(boxes),
        boxes=boxes,
        shares_ids=bool((spread > 1).any()),
        notes=notes,
    )
