"""The drawn segments as a sheet to be filled in, and what was filled in read back."""

from __future__ import annotations

import csv
from pathlib import Path

from spinecore.corrections.samplecheck import Answer, SampleCheck
from spinecore.errors import SpinecoreError
from spinecore.files import replacing
from spinecore.reading.text import read_rows

#: Columns of the sheet; the last four are filled in, of which only `true_count` must be.
COLUMNS = (
    "segment",
    "dendrite",
    "from_um",
    "to_um",
    "x_px",
    "y_px",
    "z_px",
    "automatic_count",
    "automatic_spines",
    "true_count",
    "not_spines",
    "on_shaft",
    "shaft_missing",
)
_YES, _NO = ("yes", "y", "true", "1", "ja", "oui"), ("no", "n", "false", "0", "nein", "non")


def write_sheet(check: SampleCheck, path: Path) -> None:
    """Write the drawn segments in the order in which they are to be checked; pixels are the stack's own, from 0."""
    with replacing(Path(path)) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for s in check.drawn:
            ends = (f"{v:.2f}" for v in (s.from_um, s.to_um))
            place = (f"{v:.1f}" for v in (s.x_px, s.y_px, s.z_px))
            spines = " ".join(map(str, s.spines))
            rows.writerow([s.number, s.dendrite, *ends, *place, len(s.spines), spines, "", "", "", ""])


def read_sheet(path: Path, check: SampleCheck, by: str = "") -> list[Answer]:
    """Read the answers of a sheet: any separator and encoding, or Excel; rows without a true count are passed over.

    Raises
    ------
    SpinecoreError
        If it is not a sheet of this draw, or a cell cannot be understood.
    """
    rows = read_rows(Path(path).read_bytes(), Path(path).name)
    names = [cell.lower().replace(" ", "_") for cell in rows[0]] if rows else []
    missing = [name for name in ("segment", "true_count") if name not in names]
    if missing:
        raise SpinecoreError(
            f"{Path(path).name} has no column {missing[0]}: use a sheet that `spinecore check draw` wrote",
        )
    drawn = {segment.number: segment for segment in check.drawn}
    answers: dict[int, Answer] = {}
    for number, cells in enumerate(rows[1:], 2):
        row = dict(zip(names, cells, strict=False))
        if not row.get("true_count"):
            continue
        where = f"row {number} of {Path(path).name}"
        segment = _whole(row.get("segment", ""), where, "segment")
        if segment not in drawn or not _same(row.get("dendrite", ""), drawn[segment].dendrite):
            raise SpinecoreError(
                f"{where} names segment {row.get('segment')}, which is not in the last draw of this analysis: use the "
                "sheet of that draw, or draw again"
            )
        if segment in answers:
            raise SpinecoreError(f"{where} names segment {segment} a second time: remove one of the two rows")
        own = drawn[segment].spines
        none = tuple(
            _whole(text, where, "not_spines")
            for text in row.get("not_spines", "").replace(",", " ").replace(";", " ").split()
        )
        if any(spine not in own for spine in none):
            raise SpinecoreError(
                f"{where}: not_spines names a spine that is not on segment {segment}: correct it"
            )
        answers[segment] = Answer(
            segment,
            _whole(row["true_count"], where, "true_count"),
            _yes(row.get("on_shaft", ""), where, "on_shaft"),
            _yes(row.get("shaft_missing", ""), where, "shaft_missing"),
            none,
            by,
        )
    if not answers:
        raise SpinecoreError(
            f"no true_count is filled in in {Path(path).name}: count the spines of some segments first"
        )
    return list(answers.values())


def _same(text: str, dendrite: int) -> bool:
    return not text or text.split(".")[0] == str(dendrite)


def _whole(text: str, where: str, column: str) -> int:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = -1.0
    if not 0 <= value < 10_000 or value != int(value):
        raise SpinecoreError(f"{where}: {column} must be a whole number, not {text!r}")
    return int(value)


def _yes(text: str, where: str, column: str) -> bool | None:
    word = text.lower()
    if not word:
        return None
    if word in (*_YES, *_NO):
        return word in _YES
    raise SpinecoreError(f"{where}: {column} must be yes or no, not {text!r}")
