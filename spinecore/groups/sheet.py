"""The sheet that says which analysis comes from which animal, cell and condition, and the tables that belong to it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.reading.names import stem

FIELDS = ("analysis", "animal", "cell", "condition")
#: Headings that are understood, in lower case.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "analysis": (
        "analysis",
        "analysis_id",
        "file",
        "filename",
        "file name",
        "stack",
        "image",
        "name",
        "folder",
    ),
    "animal": ("animal", "animal_id", "mouse", "rat", "subject", "donor", "id"),
    "cell": ("cell", "cell_id", "neuron", "culture"),
    "condition": ("condition", "group", "treatment", "genotype"),
}
EXAMPLE = "analysis\tanimal\tcell\tcondition\ncell_01.tif\tm1\tc1\tcontrol\ncell_02.tif\tm2\tc1\ttreated\n"


@dataclass(frozen=True)
class Sample:
    """One analysis and where it comes from.

    Parameters
    ----------
    analysis, animal, cell, condition : str
        As in the sheet.
    spines, dendrites : DataFrame
        Columns of `spinecore.tables.columns`.
    made_with : str
        Model and threshold, for people; samples that differ in it should not be compared.
    """

    analysis: str
    animal: str
    cell: str
    condition: str
    spines: pd.DataFrame
    dendrites: pd.DataFrame
    made_with: str = ""


def parse_sheet(text: str) -> pd.DataFrame:
    """Read a pasted or uploaded sheet.

    Parameters
    ----------
    text : str
        A heading and one line per analysis, separated by tabs, semicolons or commas; the headings of `SYNONYMS`
        are understood, in any order and case. Further columns are passed over. Without a cell column each analysis
        counts as a cell of its own.

    Returns
    -------
    DataFrame
        Columns of `FIELDS`, texts, one row per analysis.

    Raises
    ------
    SpinecoreError
        Where a column or a value is missing, or an analysis comes twice.

    Examples
    --------
    >>> parse_sheet("File,Mouse,Group\\na.tif,m1,control").loc[0].to_dict()
    {'analysis': 'a.tif', 'animal': 'm1', 'cell': 'a.tif', 'condition': 'control'}
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip()]
    if not lines:
        raise SpinecoreError("The sheet is empty: give a heading and one line for each analysis.")
    separator = max("\t;,", key=lines[0].count)
    rows = [
        [cell.strip() for cell in row]
        for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
    ]
    places = _places(rows[0])
    if len(rows) < 2:
        raise SpinecoreError("The sheet has a heading only: give one line for each analysis.")
    found, lines_of = [], {}
    for number, row in enumerate(rows[1:], start=2):
        values = {field: row[k] if k < len(row) else "" for field, k in places.items()}
        values.setdefault("cell", values["analysis"])
        for field in FIELDS:
            if not values[field]:
                raise SpinecoreError(f"Line {number} of the sheet has no {field}: fill it in.")
        name = values["analysis"]
        if name in lines_of:
            raise SpinecoreError(
                f"{name} comes twice in the sheet (lines {lines_of[name]} and {number}): keep one."
            )
        lines_of[name] = number
        found.append([values[field] for field in FIELDS])
    return pd.DataFrame(found, columns=list(FIELDS), dtype=object)


def _places(headings: list[str]) -> dict[str, int]:
    """Return the place of each field's column."""
    plain = [heading.lower().strip() for heading in headings]
    places = {}
    for field, names in SYNONYMS.items():
        hits = [k for name in names for k, heading in enumerate(plain) if heading == name]
        if hits:
            places[field] = hits[0]
        elif field != "cell":
            raise SpinecoreError(
                f"The sheet has no column '{field}': its first line must name the columns "
                f"{', '.join(FIELDS)} (it reads: {', '.join(headings)})."
            )
    return places


def match_names(names: list[str], known: Mapping[str, list[str]]) -> dict[str, str]:
    """Find the analysis that each name in a sheet means.

    Parameters
    ----------
    names : list of str
        From the sheet.
    known : mapping from key to list of str
        For each analysis, the newest first, the names that it goes by (its id, the file's name).

    Returns
    -------
    dict of str to str
        Key of each name's analysis.

    Raises
    ------
    SpinecoreError
        Where a name is not known, or two names mean one analysis.
    """
    exact: dict[str, str] = {}
    loose: dict[str, str] = {}
    for key, own in known.items():
        for name in own:
            exact.setdefault(name, key)
            loose.setdefault(stem(name).lower(), key)
    found: dict[str, str] = {}
    missing = []
    for name in names:
        key = exact.get(name) or loose.get(stem(name).lower())
        if key is None:
            missing.append(name)
        else:
            found[name] = key
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise SpinecoreError(
            f"There is no finished analysis of {', '.join(missing[:3])}{more}: "
            "correct the name in the sheet, or analyse that stack first."
        )
    owners: dict[str, str] = {}
    for name, key in found.items():
        if key in owners:
            raise SpinecoreError(f"{owners[key]} and {name} mean the same analysis: keep one line.")
        owners[key] = name
    return found


def read_sample(folder: Path, row: Mapping[str, str]) -> Sample:
    """Read the tables of one analysis folder, with a person's corrections of classes.

    Raises
    ------
    SpinecoreError
        Where the folder holds no complete analysis.
    """
    from spinecore.analysis.storage import read_table
    from spinecore.corrections.classes import read_corrections

    try:
        spines, dendrites = (read_table(Path(folder) / f"{name}.csv") for name in ("spines", "dendrites"))
        facts = json.loads((Path(folder) / "analysis.json").read_text(encoding="utf-8"))
        models, threshold = facts["models"], float(facts["threshold"])
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise SpinecoreError(
            f"The result of {row['analysis']} cannot be read: run the analysis of that stack again."
        ) from error
    corrections = read_corrections(Path(folder))
    if corrections and "class" in spines:
        changed = spines["spine_id"].map(corrections)
        spines["class"] = changed.where(changed.notna(), spines["class"].astype(object))
    finding = [m for m in models if not str(m["name"]).startswith("shape-")]
    weights = " + ".join(f"{m['name']} {str(m['sha256'])[:8]}" for m in finding) or "unknown model"
    return Sample(
        **{field: str(row[field]) for field in FIELDS},
        spines=spines,
        dendrites=dendrites,
        made_with=f"{weights}, lowest score {threshold:.2f}",
    )


def samples_in_folder(sheet: pd.DataFrame, root: Path) -> list[Sample]:
    """Read the samples of a sheet whose analyses are folders (written by `analyse`) below a folder.

    Raises
    ------
    SpinecoreError
        Where one is missing or cannot be read.
    """
    root = Path(root)
    if not root.is_dir():
        raise SpinecoreError(
            f"There is no folder {root}: give the one that holds the analyses with --folder."
        )
    folders = sorted(path.parent for path in root.rglob("analysis.json"))
    known = {str(path): [path.relative_to(root).as_posix(), path.name] for path in folders}
    keys = match_names(list(sheet["analysis"]), known)
    return [read_sample(Path(keys[row["analysis"]]), row) for row in sheet.to_dict("records")]
