"""The sheet that says which analysis comes from which animal, cell and condition, and the tables that belong to it."""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from spinecore.analysis.storage import read_table
from spinecore.corrections.log import read_corrections
from spinecore.corrections.samplecheck import SampleCheck, read_check
from spinecore.errors import SpinecoreError
from spinecore.reading.names import SUFFIXES, stem
from spinecore.reading.text import read_rows, text_rows

FIELDS = ("analysis", "animal", "cell", "condition")
#: Headings that are understood, in lower case, English and German; a heading of several words is understood by one of them.
SYNONYMS: dict[str, tuple[str, ...]] = {
    "analysis": (
        "analysis",
        "analysis_id",
        "file",
        "filename",
        "stack",
        "image",
        "name",
        "folder",
        "analyse",
        "datei",
        "dateiname",
        "stapel",
        "bild",
        "bilddatei",
        "bildname",
        "aufnahme",
        "ordner",
    ),
    "animal": (
        "animal",
        "animal_id",
        "mouse",
        "rat",
        "subject",
        "donor",
        "id",
        "tier",
        "tiernummer",
        "versuchstier",
        "maus",
        "ratte",
        "spender",
    ),
    "cell": ("cell", "cell_id", "neuron", "culture", "zelle", "zellnummer", "kultur"),
    "condition": (
        "condition",
        "group",
        "treatment",
        "genotype",
        "gruppe",
        "versuchsgruppe",
        "bedingung",
        "behandlung",
        "genotyp",
    ),
}
#: Headings that give way to any other of their field.
_WEAK = {"name", "id"}
EXAMPLE = "analysis\tanimal\tcell\tcondition\ncell_01.tif\tm1\tc1\tcontrol\ncell_02.tif\tm2\tc1\ttreated\n"


@dataclass(frozen=True)
class Sample:
    """One analysis and where it comes from.

    Parameters
    ----------
    analysis, animal, cell, condition : str
        As in the sheet.
    spines, dendrites : DataFrame
        Columns of `spinecore.morphometry.columns`.
    made_with : str
        Model and threshold, for people; samples that differ in it should not be compared.
    check : SampleCheck or None
        Its sample check, where segments were drawn.
    """

    analysis: str
    animal: str
    cell: str
    condition: str
    spines: pd.DataFrame
    dendrites: pd.DataFrame
    made_with: str = ""
    check: SampleCheck | None = None


def parse_sheet(text: str) -> pd.DataFrame:
    """Read a pasted sheet; see `sheet_of_rows`.

    Examples
    --------
    >>> parse_sheet("File,Mouse,Group\\na.tif,m1,control").loc[0].to_dict()
    {'analysis': 'a.tif', 'animal': 'm1', 'cell': 'a.tif', 'condition': 'control'}
    """
    return sheet_of_rows(text_rows(text))


def read_sheet(content: bytes, name: str) -> pd.DataFrame:
    """Read a sheet from a file's bytes (CSV or text of any encoding, or .xlsx); see `sheet_of_rows`."""
    return sheet_of_rows(read_rows(content, name))


def sheet_of_rows(rows: list[list[str]]) -> pd.DataFrame:
    """Make a sheet of its cells.

    Parameters
    ----------
    rows : list of list of str
        A heading and one row per analysis; the headings of `SYNONYMS` are understood, in any order and case. Further
        columns are passed over. Without a cell column each analysis counts as a cell of its own.

    Returns
    -------
    DataFrame
        Columns of `FIELDS`, texts, one row per analysis.

    Raises
    ------
    SpinecoreError
        Where a column or a value is missing, an analysis comes twice, or two values differ so little that they
        probably mean the same.
    """
    if not rows:
        raise SpinecoreError("The sheet is empty: give a heading and one line for each analysis.")
    places = _places(rows[0])
    if len(rows) < 2:
        raise SpinecoreError("The sheet has a heading only: give one line for each analysis.")
    found: list[list[str]] = []
    lines_of: dict[str, int] = {}
    for number, row in enumerate(rows[1:], start=2):
        values = {field: row[k] if k < len(row) else "" for field, k in places.items()}
        values.setdefault("cell", values["analysis"])
        for field in FIELDS:
            if not values[field]:
                raise SpinecoreError(
                    f"Line {number} of the sheet has no {field}: fill it in (merged cells keep their value in the first "
                    "line only)."
                )
        name = values["analysis"]
        if name in lines_of:
            raise SpinecoreError(
                f"{name} comes twice in the sheet (lines {lines_of[name]} and {number}): keep one."
            )
        lines_of[name] = number
        found.append([values[field] for field in FIELDS])
    sheet = pd.DataFrame(found, columns=list(FIELDS), dtype=object)
    for field in ("condition", "animal"):
        _refuse_near_doubles(field, list(dict.fromkeys(sheet[field])))
    return sheet


def _refuse_near_doubles(field: str, values: list[str]) -> None:
    """Refuse values that differ only in case, blanks or the way a number is written."""
    first: dict[str, str] = {}
    for value in values:
        plain = re.sub(r"[\s_\-]+", "", value).casefold()
        with contextlib.suppress(ValueError, OverflowError):
            plain = f"{float(plain):g}" if re.fullmatch(r"[\d.]+", plain) else plain
        if plain in first:
            raise SpinecoreError(
                f"The {field}s {first[plain]!r} and {value!r} look like one: write them alike, or, if they are two, give them "
                "names that differ in more than case, blanks or zeros."
            )
        first[plain] = value


def _places(headings: list[str]) -> dict[str, int]:
    """Return the place of each field's column."""
    plain = [heading.lower().strip() for heading in headings]
    places: dict[str, int] = {}
    for field, names in SYNONYMS.items():
        hits = [k for name in names for k, heading in enumerate(plain) if heading == name]
        rivals = [k for k in hits if plain[k] == field] or [k for k in hits if plain[k] not in _WEAK]
        if len(rivals) > 1 and field != "analysis":  # a wrong name would be refused later
            listed = " and ".join(f"'{headings[k]}'" for k in sorted(rivals))
            raise SpinecoreError(
                f"The sheet has several columns that may be the {field} ({listed}): name the one that is meant '{field}', or "
                "leave the others out."
            )
        if hits:
            places[field] = (rivals or hits)[0]
    words = [set(re.findall(r"[^\W\d_]+", heading)) for heading in plain]
    for field, names in SYNONYMS.items():
        if field in places:
            continue
        open_columns = [k for k in range(len(plain)) if k not in places.values()]
        hits = [k for k in open_columns if words[k] & set(names) - {"name", "id"}]
        if len(hits) == 1:
            places[field] = hits[0]
        elif field != "cell":
            raise SpinecoreError(
                f"The sheet has no column '{field}': its first line must name the columns "
                f"{', '.join(FIELDS)} (it reads: {', '.join(headings)[:120]})."
            )
    return places


def match_names(names: list[str], known: Mapping[str, list[str]]) -> dict[str, str]:
    """Find the analysis that each name in a sheet means.

    A name is compared whole, then without the folders before it, then without the suffix of an image; upper and lower
    case count. A name that fits two analyses, or none, is refused: another analysis never takes its place.

    Parameters
    ----------
    names : list of str
        From the sheet.
    known : mapping from key to list of str
        For each analysis the names that it goes by (its id or folder, the file's name).

    Returns
    -------
    dict of str to str
        Key of each name's analysis.

    Raises
    ------
    SpinecoreError
        Where a name fits none or several, or two names mean one analysis.
    """
    found: dict[str, str] = {}
    missing: list[str] = []
    known = {key: [unicodedata.normalize("NFC", given) for given in own] for key, own in known.items()}
    for name in names:
        keys = _keys_of(unicodedata.normalize("NFC", name), known)
        if not keys:
            missing.append(name)
        elif len(keys) > 1:
            candidates = " and ".join(f"{known[key][0]}" for key in keys[:4])
            raise SpinecoreError(
                f"{name} fits {len(keys)} analyses ({candidates}): write the one that is meant in the sheet."
            )
        else:
            found[name] = keys[0]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        near = _near(missing[0], known)
        hint = f" ({near} is near it)" if near else ""
        raise SpinecoreError(
            f"There is no finished analysis of {', '.join(missing[:3])}{more}{hint}: "
            "correct the name in the sheet, or analyse that stack first."
        )
    owners: dict[str, str] = {}
    for name, key in found.items():
        if key in owners:
            raise SpinecoreError(f"{owners[key]} and {name} mean the same analysis: keep one line.")
        owners[key] = name
    return found


def _keys_of(name: str, known: Mapping[str, list[str]]) -> list[str]:
    """Return the analyses that a name fits best."""
    forms = list(dict.fromkeys([name, _last(name), _bare(_last(name))]))
    for form in forms:
        whole = [key for key, own in known.items() if form in own]
        if whole:
            return whole
    bare = _bare(_last(name))
    return [key for key, own in known.items() if any(_bare(_last(given)) == bare for given in own)]


def _last(name: str) -> str:
    """Return a name without the folders before it, Windows or not."""
    return re.split(r"[/\\\\]", name.strip())[-1]


def _bare(name: str) -> str:
    """Return a name without the suffix of an image; other dots belong to the name."""
    return stem(name) if name.lower().endswith(SUFFIXES) else name


def _near(name: str, known: Mapping[str, list[str]]) -> str | None:
    """Return a known name that differs from another in case, blanks or suffix only, or little else."""
    every = {given for own in known.values() for given in own}
    plain = {_bare(_last(given)).casefold(): given for given in sorted(every, key=lambda g: (-len(g), g))}
    close = difflib.get_close_matches(_bare(_last(name)).casefold(), list(plain), 1, 0.8)
    return plain[close[0]] if close else None


def read_sample(folder: Path, row: Mapping[str, str]) -> Sample:
    """Read the tables of one analysis folder, with a person's corrections of classes.

    Raises
    ------
    SpinecoreError
        Where the folder holds no complete analysis.
    """
    try:
        spines, dendrites = (read_table(Path(folder) / f"{name}.csv") for name in ("spines", "dendrites"))
        facts = json.loads((Path(folder) / "analysis.json").read_text(encoding="utf-8"))
        models, threshold = facts["models"], float(facts["threshold"])
    except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
        raise SpinecoreError(
            f"The result of {row['analysis']} cannot be read: run the analysis of that stack again."
        ) from error
    corrected = read_corrections(Path(folder)).class_of
    if corrected and "class" in spines:
        changed = spines["spine_id"].map(corrected)
        spines["class"] = changed.where(changed.notna(), spines["class"].astype(object))
    finding = [m for m in models if not str(m["name"]).startswith("shape-")]
    weights = " + ".join(f"{m['name']} {str(m['sha256'])[:8]}" for m in finding) or "unknown model"
    return Sample(
        **{field: str(row[field]) for field in FIELDS},
        spines=spines,
        dendrites=dendrites,
        made_with="marks of a person alone"
        if facts.get("settings", {}).get("only_marked")
        else f"{weights}, lowest score {threshold:.2f}",
        check=read_check(Path(folder)),
    )


def samples_in_folder(sheet: pd.DataFrame, root: Path) -> list[Sample]:
    """Read the samples of a sheet whose analyses are folders (written by `analyse`) below a folder.

    Raises
    ------
    SpinecoreError
        Where one is missing or cannot be read.
    """
    places = folders_of(sheet, root)
    return [read_sample(place, row) for place, row in zip(places, sheet.to_dict("records"), strict=True)]


def folders_of(sheet: pd.DataFrame, root: Path) -> list[Path]:
    """Return the folder of the analysis of each row of a sheet.

    Raises
    ------
    SpinecoreError
        Where one is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise SpinecoreError(
            f"There is no folder {root}: give the one that holds the analyses with --folder."
        )
    folders = sorted(path.parent for path in root.rglob("analysis.json"))
    known = {str(path): [path.relative_to(root).as_posix(), path.name] for path in folders}
    keys = match_names(list(sheet["analysis"]), known)
    return [Path(keys[name]) for name in sheet["analysis"]]
