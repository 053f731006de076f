"""The result tables as CSV, XLSX and Parquet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import write_table
from spinecore.morphometry.branches import summarise_branches
from spinecore.morphometry.columns import (
    BRANCH_COLUMNS,
    DENDRITE_COLUMNS,
    SPINE_COLUMNS,
    TEXT_COLUMNS,
    column_rows,
)
from spinecore.tables.column import Column


def column_meanings() -> pd.DataFrame:
    """Return a table of all columns: table, name, unit, title, description, how, missing."""
    return pd.DataFrame(column_rows())


def branch_table(analysis: Analysis) -> pd.DataFrame:
    """Return one row per branch; none where the voxel size is unknown."""
    known = analysis.spacing.known_xy and (analysis.is_2d or analysis.spacing.known_z)
    return summarise_branches(analysis.spines, analysis.candidates.dendrites if known else [])


def settings_table(analysis: Analysis) -> pd.DataFrame:
    """Return what an analysis was made with, as rows of (item, value)."""
    spacing = analysis.spacing
    rows: list[tuple[str, Any]] = [
        ("name", analysis.name),
        ("created", analysis.created),
        ("shape z, y, x", ", ".join(str(n) for n in analysis.shape)),
        ("voxel size z (um)", spacing.z_um),
        ("voxel size y (um)", spacing.y_um),
        ("voxel size x (um)", spacing.x_um),
        ("voxel size from", f"{spacing.source}: {spacing.detail}" if spacing.detail else spacing.source),
        ("score threshold used", analysis.threshold),
    ]
    rows += [(f"setting {name}", value) for name, value in analysis.settings.model_dump().items()]
    rows += [(f"input {name}", value) for name, value in analysis.input.items()]
    rows += [(f"model {model.get('name', '')}", model.get("sha256", "")) for model in analysis.models]
    rows += [(f"version {name}", value) for name, value in analysis.versions.items()]
    rows += [("note", note) for note in analysis.notes]
    texts = [
        (item, value if isinstance(value, int | float | str | None) else str(value)) for item, value in rows
    ]
    return pd.DataFrame(texts, columns=["item", "value"])


def write_csv(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write spines.csv, dendrites.csv, branches.csv and columns.csv: UTF-8, dot decimals, missing values empty."""
    parts = {
        "spines": analysis.spines,
        "dendrites": analysis.dendrites,
        "branches": branch_table(analysis),
        "columns": column_meanings(),
    }
    for name, table in parts.items():
        write_table(table, out / f"{name}.csv")
    return [out / f"{name}.csv" for name in parts]


def write_parquet(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write spines.parquet and dendrites.parquet."""
    for name, table in (("spines", analysis.spines), ("dendrites", analysis.dendrites)):
        # a column of texts that is empty throughout would be read back as numbers
        texts = {c: table[c].astype("string") for c in table.columns if c in TEXT_COLUMNS}
        table.assign(**texts).to_parquet(out / f"{name}.parquet", index=False)
    return [out / "spines.parquet", out / "dendrites.parquet"]


def write_xlsx(analysis: Analysis, folder: Path, out: Path) -> list[Path]:
    """Write one workbook with the sheets spines, dendrites, branches, columns and settings."""
    path = out / f"{analysis.name}.xlsx"
    options = {"options": {"strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": True}}
    with pd.ExcelWriter(path, engine="xlsxwriter", engine_kwargs=options) as book:
        _sheet(book, "spines", analysis.spines, SPINE_COLUMNS)
        _sheet(book, "dendrites", analysis.dendrites, DENDRITE_COLUMNS)
        _sheet(book, "branches", branch_table(analysis), BRANCH_COLUMNS)
        _sheet(book, "columns", column_meanings(), {})
        _sheet(book, "settings", settings_table(analysis), {})
    return [path]


def _sheet(book: pd.ExcelWriter, name: str, table: pd.DataFrame, columns: dict[str, Column]) -> None:
    """Write one sheet: the header stays in view, and its cells explain themselves."""
    table.to_excel(book, sheet_name=name, index=False, na_rep="")
    sheet = book.sheets[name]
    sheet.freeze_panes(1, 1 if columns else 0)
    if len(table.columns):
        sheet.autofilter(0, 0, max(len(table), 1), len(table.columns) - 1)
    for i, title in enumerate(table.columns):
        longest = max([len(str(title)), *(len(str(value)) for value in table[title].head(200))], default=8)
        sheet.set_column(i, i, min(longest + 2, 12 if columns else 60))
        if title in columns:
            column = columns[title]
            unit = f" [{column.unit}]" if column.unit else ""
            sheet.write_comment(0, i, f"{column.title}{unit}: {column.description} {column.how}")
