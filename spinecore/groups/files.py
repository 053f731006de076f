"""The tables and figures of a group comparison as files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from spinecore.files import write_atomic
from spinecore.groups.checks import check_table
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
from spinecore.tables.column import NUMBER_FORMAT, describe


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
        dendrites.csv, cells.csv, animals.csv, conditions.csv, comparison.csv, columns.csv, notes.txt,
        `<measure>.<kind>`, and sample_check.csv where segments were drawn.
    """
    tables = summarise_groups(samples)
    comparison = compare_conditions(tables, measures, reference)
    files = {f"{level}s.csv": _csv(tables[level]) for level in LEVELS}
    files |= {"comparison.csv": _csv(comparison), "columns.csv": _csv(column_meanings())}
    if any(sample.check is not None for sample in samples):
        files["sample_check.csv"] = _csv(check_table(samples))
    files["notes.txt"] = ("\n".join(group_notes(samples, tables)) + "\n").encode("utf-8")
    chosen = measures or [n for n in measure_columns() if tables["animal"][n].notna().any()]
    for name in chosen:
        if tables["animal"][name].notna().any():
            figure = group_figure(tables, name)
            files |= {f"{name}.{kind}": figure_bytes(figure, kind) for kind in figures}
    return files


def comparison_words(row: Mapping[Hashable, Any]) -> str:
    """Return one row of a comparison for the command line; what is missing is left out.

    Examples
    --------
    >>> row = dict(measure="length_um", condition_a="wt", condition_b="ko", difference=0.2, unit="um", difference_low=0.1,
    ...            difference_high=0.3, g=1.5, p_permutation=0.04, n_a=4, n_b=5)
    >>> comparison_words(row)
    "length_um: ko - wt = +0.2 um (95 % CI 0.1 to 0.3), Hedges' g 1.50, p 0.04 (4 and 5 animals)"
    >>> comparison_words(row | dict(difference_low=float("nan"), g=float("nan"), p_permutation=float("nan")))
    'length_um: ko - wt = +0.2 um (no interval), too few animals for a test (4 and 5 animals)'
    """
    interval = (
        "no interval"
        if pd.isna(row["difference_low"])
        else f"95 % CI {row['difference_low']:.3g} to {row['difference_high']:.3g}"
    )
    size = [] if pd.isna(row["g"]) else [f"Hedges' g {row['g']:.2f}"]
    test = "too few animals for a test" if pd.isna(row["p_permutation"]) else f"p {row['p_permutation']:.3g}"
    unit = f" {row['unit']}" if row["unit"] else ""
    found = ", ".join([f"{row['difference']:+.3g}{unit} ({interval})", *size, test])
    return (
        f"{row['measure']}: {row['condition_b']} - {row['condition_a']} = {found} "
        f"({row['n_a']} and {row['n_b']} animals)"
    )


def _csv(table: pd.DataFrame) -> bytes:
    return table.to_csv(index=False, float_format=NUMBER_FORMAT).encode("utf-8")


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
