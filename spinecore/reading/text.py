"""Tables as people have them: any common encoding and separator, and Excel sheets."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata

from spinecore.errors import SpinecoreError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_XLSX, _XLS = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
_SEPARATOR_LINE = re.compile(r'^"?sep=(.)"?[\s,;]*$', re.IGNORECASE)
_SEPARATORS = "\t;,|"


def decode_text(content: bytes, name: str) -> str:
    """Return the text of a table, whatever its encoding: UTF-8, UTF-16 or 32 with their marks, else Windows-1252.

    Parameters
    ----------
    content : bytes
    name : str
        The file's name, for messages.

    Raises
    ------
    SpinecoreError
        If it is no text.

    Examples
    --------
    >>> decode_text("L\u00e4sion".encode("cp1252"), "a.csv"), decode_text("\u00c4".encode("utf-16"), "a.csv")
    ('L\u00e4sion', '\u00c4')
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return content.decode(encoding, errors="replace")
    if b"\x00" in content[:4096]:
        for encoding in ("utf-16-le", "utf-16-be"):
            text = content.decode(encoding, errors="replace")
            if text and all(0 < ord(letter) < 0x3000 for letter in text[:200]):
                return text
        raise _no_text(name)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        pass
    try:
        return content.decode("cp1252")
    except UnicodeDecodeError:
        raise _no_text(name) from None


def _no_text(name: str) -> SpinecoreError:
    return SpinecoreError(f"{name} is no text table: save it as CSV (UTF-8) or as an Excel sheet (.xlsx)")


def read_rows(content: bytes, name: str) -> list[list[str]]:
    """Return the cells of a table, row by row.

    Excel sheets (.xlsx: the first sheet, merged cells filled with their value), and text separated by tabs, semicolons,
    commas or bars. Empty rows, comments (#) and Excel's ``sep=;`` line are left out; blanks and no-break spaces around
    a cell, too.

    Parameters
    ----------
    content : bytes
    name : str
        The file's name, for messages.

    Raises
    ------
    SpinecoreError
        If it is neither.
    """
    if content.startswith(_XLSX):
        rows = _excel_rows(content, name)
    elif content.startswith(_XLS):
        raise SpinecoreError(f"{name} is an old Excel file (.xls): save it as .xlsx or CSV")
    else:
        rows = text_rows(decode_text(content, name))
    return rows


def text_rows(text: str) -> list[list[str]]:
    r"""Return the cells of a text table as `read_rows` does.

    Examples
    --------
    >>> text_rows("sep=;\na;b\n1,5;x\n;;\n")
    [['a', 'b'], ['1,5', 'x']]
    """
    lines = [line for line in text.lstrip("\ufeff").splitlines() if line.strip('\u00a0 \t;,|"')]
    while lines and lines[0].lstrip().startswith("#"):
        del lines[0]
    separator = separator_line(lines[0]) if lines else None
    if separator is not None:
        del lines[0]
    if not lines:
        return []
    separator = separator or max(_SEPARATORS, key=lines[0].count)
    rows = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator)
    found = [cells for row in rows if any(cells := [clean(cell) for cell in row])]
    # further down a line is a comment only where it is no row
    return [cells for cells in found if not (cells[0].startswith("#") and sum(map(bool, cells)) == 1)]


def separator_line(line: str) -> str | None:
    """Return the separator that a line of Excel names, or None for any other line.

    Examples
    --------
    >>> separator_line("sep=;"), separator_line('"sep=|"'), separator_line("sep=,,,,"), separator_line("a;b")
    (';', '|', ',', None)
    """
    match = _SEPARATOR_LINE.match(line)
    return match.group(1) if match else None


def clean(cell: str) -> str:
    """Return a cell without blanks around it, with plain single blanks inside and each accented letter as one sign."""
    return " ".join(unicodedata.normalize("NFC", cell).replace("\u00a0", " ").replace("\u202f", " ").split())


def _excel_rows(content: bytes, name: str) -> list[list[str]]:
    """Return the cells of the first sheet of an Excel file."""
    import openpyxl  # only where an Excel file comes

    try:
        sheet = openpyxl.load_workbook(io.BytesIO(content), data_only=True).worksheets[0]
        values = [[cell.value for cell in row] for row in sheet.iter_rows()]
        for merged in sheet.merged_cells.ranges:
            for row in range(merged.min_row, merged.max_row + 1):
                for column in range(merged.min_col, merged.max_col + 1):
                    values[row - 1][column - 1] = values[merged.min_row - 1][merged.min_col - 1]
    except Exception as error:  # the library raises many kinds for damaged archives
        raise SpinecoreError(f"{name} cannot be read as an Excel sheet: save it as CSV (UTF-8)") from error
    rows = [[_excel_cell(value) for value in row] for row in values]
    return [row for row in rows if any(row)]


def _excel_cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return clean(str(value))
