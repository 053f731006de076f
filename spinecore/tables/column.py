"""What a table column is; the columns themselves are declared in `spinecore.tables.columns`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One column of a result table.

    Parameters
    ----------
    name : str
        Name in the table and in files.
    unit : str
        Unit for people ("um", "px", "um^3"), empty for counts, texts and ratios.
    title : str
        Short title for headings and axes, without the unit.
    description : str
        What the value says, in one sentence.
    how : str
        How it is computed.
    missing : str
        When it is empty; an empty text means that it is never missing.
    """

    name: str
    unit: str
    title: str
    description: str
    how: str
    missing: str = ""

    @property
    def heading(self) -> str:
        """Title with its unit, for table headings and plot axes."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def flag_column(name: str, title: str, values: str) -> Column:
    """Return the text column of a measure's flags; `values` lists the flags that it may hold."""
    return Column(
        name,
        "",
        title,
        "What to know before this measure is used; empty when nothing is unusual.",
        f"One or more of: {values}; several are joined by '; '.",
        "nothing is unusual",
    )


def by_name(*columns: Column) -> dict[str, Column]:
    """Return the columns keyed by name, in the given order."""
    return {column.name: column for column in columns}
