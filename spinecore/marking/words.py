"""What a person should know of the marks that were put into an analysis, in words."""

from __future__ import annotations

from collections.abc import Sequence


def placing_notes(
    file: str, total: int, kept: int, found: int | None, twice: Sequence[str], unclear: Sequence[str]
) -> list[str]:
    """Return sentences about placed marks.

    Parameters
    ----------
    file : str
        Name of the person's file.
    total, kept : int
        Marks in it, and those that are spines now.
    found : int or None
        Those of them that the program found as well; None where nothing but marks is counted.
    twice, unclear : sequence of str
        Names of the marks on a spine that has one, and of those where nothing stands out.
    """
    out = [
        f"{kept} of {total} marks of {file} are spines of this analysis; "
        + (
            "nothing else was counted."
            if found is None
            else f"{found} of them lie on spines that the program also found."
        )
    ]
    if twice:
        out.append(
            f"{listed('mark', twice)} of {file} lie on a spine that another mark has, and "
            f"{'are' if len(twice) > 1 else 'is'} left out."
        )
    if unclear:
        out.append(
            f"Nothing stands out from its surroundings at {listed('mark', unclear)} of {file}: counted there, but not measured."
        )
    if len(unclear) > max(2, total / 2):
        out.append(
            f"That is most of {file}: look whether its positions are those of this stack, and in the unit that was said."
        )
    return out


def listed(noun: str, names: Sequence[str], most: int = 8) -> str:
    """Return names as words.

    Examples
    --------
    >>> listed("mark", ["4"]), listed("mark", ["4", "7", "9"], most=2)
    ('mark 4', 'marks 4, 7 and 1 more')
    """
    if len(names) == 1:
        return f"{noun} {names[0]}"
    if len(names) > most:
        return f"{noun}s {', '.join(names[:most])} and {len(names) - most} more"
    return f"{noun}s {', '.join(names[:-1])} and {names[-1]}"
