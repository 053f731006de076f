"""The tables and figures of a group comparison as files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from spinecore.files import write_atomic
from spinecore.groups.figure import figure_bytes, group_figure
from spinecore.groups.sheet import Sample, read_sheet, samples_in_folder
from spinecore.groups.summary import (
    COMPARISON_COLUMNS,
    LEVELS,
    compare_conditions,
    group_notes,
    measure_columns,
    summarise_groups,
)
from spinecore.tables.column import describe


def column_meanings() -> pd.DataFrame:
    """Return the meaning of the measures and of the comparison's columns."""
    tables = (("measures", measure_columns()), ("comparison", COMPARISON_COLUMNS))
    return pd.DataFrame(
        [{"table": name, **record} for name, columns in tables for record in describe(columns)]
    )


def group_files(
    samples: Sequence[Sample],
    measures: Sequence[str] | None = None,
    reference: str | None = None,
    figures: Sequence[str] = ("svg",),
) -> dict[str, bytes]:
    """Return every file of a comparison by name.

    Parameters
    ----------
    samples : sequence of Sample
    measures, reference : optional
        See `spinecore.groups.summary.compare_conditions`.
    figures : sequence of str
        Kinds of figure, from `spinecore.groups.figure.FORMATS`.

    Returns
    -------
    dict of str to bytes
        dendrites.csv, cells.csv, animals.csv, conditions.csv, comparison.csv, columns.csv, notes.txt, and
        `<measure>.<kind>`.
    """
    tables = summarise_groups(samples)
    comparison = compare_conditions(tables, measures, reference)
    files = {f"{level}s.csv": _csv(tables[level]) for level in LEVELS}
    files |= {"comparison.csv": _csv(comparison), "columns.csv": _csv(column_meanings())}
    files["notes.txt"] = ("\n".join(group_notes(samples, tables)) + "\n").encode("utf-8")
    chosen = measures or [n for n in measure_columns() if tables["animal"][n].notna().any()]
    for name in chosen:
        if tables["animal"][name].notna().any():
            figure = group_figure(tables, name)
            files |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in figures}
    return files


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format="%.6g").encode("utf-8")


def zipped(files: dict[str, bytes]) -> bytes:
    """Return files as one ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def write_groups(
    sheet: Path,
    folder: Path,
    out: Path,
    measures: Sequence[str] | None = None,
    reference: str | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """Compare the analyses of a sheet and write all files.

    Parameters
    ----------
    sheet : Path
        Text file; or Excel sheet; see `spinecore.groups.sheet.sheet_of_rows`.
    folder : Path
        Holds the analyses' folders, named as in the sheet.
    out : Path
        Made when missing.
    measures, reference : optional
        See `spinecore.groups.summary.compare_conditions`.

    Returns
    -------
    comparison : DataFrame
    notes : list of str
    """
    samples = samples_in_folder(read_sheet(sheet.read_bytes(), sheet.name), folder)
    files = group_files(samples, measures, reference, ("svg", "pdf", "png"))
    out.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        write_atomic(out / name, content)
    tables = summarise_groups(samples)
    return compare_conditions(tables, measures, reference), group_notes(samples, tables)
