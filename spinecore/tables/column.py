"""What a table column is, and how the function that computes a column declares it.

A function says beside itself what it computes:

    @measures(Column("area_um2", "um^2", "Projected area", "Area seen from above.", "Pixels times pixel area.", "..."))
    def size(...): ...

and each table collects its columns from its functions (`columns_of`). The order in files, the help texts of the pages, the
sheet of column meanings and the reference in docs all read from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

#: How numbers are written in tables.
NUMBER_FORMAT = "%.6g"


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
    text : bool
        True where it holds words; empty is then "" and not NaN.
    """

    name: str
    unit: str
    title: str
    description: str
    how: str
    missing: str = ""
    text: bool = False

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
        text=True,
    )


def by_name(*columns: Column) -> dict[str, Column]:
    """Return the columns keyed by name, in the given order.

    Raises
    ------
    ValueError
        If a name comes twice.
    """
    found = {column.name: column for column in columns}
    if len(found) < len(columns):
        names = [column.name for column in columns]
        raise ValueError(f"declared twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    return found


_DECLARED: dict[Callable[..., Any], tuple[Column, ...]] = {}


def measures(*columns: Column) -> Callable[[Function], Function]:
    """Declare the columns that the decorated function computes.

    Examples
    --------
    >>> @measures(Column("area_px", "px", "Area", "Area of the spine.", "Number of its pixels."))
    ... def area(mask):
    ...     return {"area_px": int(mask.sum())}
    >>> list(columns_of(area))
    ['area_px']
    """

    def declare(function: Function) -> Function:
        _DECLARED[function] = columns
        return function

    return declare


def columns_of(*functions: Callable[..., Any], order: Iterable[str] | None = None) -> dict[str, Column]:
    """Return the columns that functions declare, keyed by name.

    Parameters
    ----------
    *functions : callable
        Each decorated with `measures`.
    order : iterable of str, optional
        Every name once, in the order of the table; by default that of the functions.

    Raises
    ------
    KeyError
        If a function declares nothing.
    ValueError
        If two declare one name, or `order` names others than they declare.
    """
    found = by_name(*(column for function in functions for column in _DECLARED[function]))
    if order is None:
        return found
    names = list(order)
    if sorted(names) != sorted(found):
        raise ValueError(f"order and declarations differ in {sorted(set(names) ^ set(found))}")
    return {name: found[name] for name in names}


def describe(columns: dict[str, Column]) -> list[dict[str, str]]:
    """Return the columns as plain records (name, unit, title, description, how, missing), in order.

    Examples
    --------
    >>> describe(by_name(Column("n", "", "Number", "How many.", "Counted.")))[0]["title"]
    'Number'
    """
    names = ("name", "unit", "title", "description", "how", "missing")
    return [{name: getattr(column, name) for name in names} for column in columns.values()]
