"""What in the tables comes from a person: which spines were made or changed by hand, and marks on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from spinecore.detection.candidates import Candidates
from spinecore.tables.column import Column, measures
from spinecore.tracing.trace import AUTOMATIC, BY_HAND, CORRECTED

#: Origin of a spine that a person's file marks.
MARKED = "marked"


@measures(
    Column(
        "origin",
        "",
        "Origin",
        "marked: marked in a person's file, with a score where the program found it as well; by hand: added by a person; corrected: found by the program, its head, outline, base, tip, dendrite or class then set by a "
        "person, or counted by a person's word; automatic: as the program found it.",
        "From the list of corrections beside the analysis.",
        "never",
        text=True,
    ),
    Column(
        "mark",
        "",
        "Mark",
        "Its number or name in the person's file that marks it.",
        "From the list of corrections beside the analysis.",
        "no file marks it",
        text=True,
    ),
    Column(
        "branched",
        "",
        "Branched",
        "True when a person marked the spine as branched: two heads on one neck.",
        "From the list of corrections beside the analysis.",
        "never",
    ),
    Column(
        "reviewed",
        "",
        "Reviewed",
        "True when a person looked at the spine and said that it is one.",
        "From the list of corrections beside the analysis: checked, counted or added.",
        "never",
    ),
    Column(
        "reviewed_by",
        "",
        "Reviewed by",
        "Who did, by the names that they gave.",
        "Names joined by '; '.",
        "nobody did, or gave no name",
        text=True,
    ),
    Column(
        "reviewed_at",
        "",
        "Reviewed at",
        "When that was last said (UTC).",
        "ISO 8601.",
        "nobody did",
        text=True,
    ),
)
def with_marks(
    table: pd.DataFrame,
    candidates: Candidates,
    branched: Collection[int],
    reviewed: Mapping[int, tuple[Sequence[str], str]],
    marked: Mapping[int, str] | None = None,
) -> pd.DataFrame:
    """Return a spine table with what people said about each spine.

    Parameters
    ----------
    table : DataFrame
        With spine_id and edited.
    candidates : Candidates
        With corrections applied.
    branched : collection of int
        Spines marked as branched.
    reviewed : mapping from spine to (names, time)
        Who looked at it, and when.
    marked : mapping from spine to str, optional
        Its name in a person's file.
    """
    numbers = table["spine_id"].to_numpy(int)
    added = numbers > candidates.n_detected
    changed = table["edited"].fillna(False).to_numpy(bool)
    origin = np.where(added, BY_HAND, np.where(changed, CORRECTED, AUTOMATIC))
    names_of_marks = [(marked or {}).get(int(n), "") for n in numbers]
    origin = np.where([name != "" for name in names_of_marks], MARKED, origin)
    who = [reviewed.get(int(n), ((), "")) for n in numbers]
    return table.assign(
        origin=origin,
        mark=pd.Series(names_of_marks, table.index, dtype=object),
        branched=np.isin(numbers, list(branched)),
        reviewed=np.isin(numbers, list(reviewed)),
        reviewed_by=pd.Series(
            ["; ".join(filter(None, names)) for names, _ in who], table.index, dtype=object
        ),
        reviewed_at=pd.Series([time for _, time in who], table.index, dtype=object),
    )
