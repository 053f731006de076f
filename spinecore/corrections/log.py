"""What people said about a result, read from the files beside it and added to them.

Each correction is a line of `EDITS`, which is only ever appended to; outlines and crops have their voxels in a file as
well. What versions before 0.2 wrote is in `spinecore.corrections.old_logs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.corrections.answers import Answers, answers_about
from spinecore.corrections.bound import binding, now, read_bound
from spinecore.corrections.classes import ClassChange
from spinecore.corrections.edit import Edit, standing_edits
from spinecore.corrections.old_logs import (
    CLASSES,
    SPINES,
    SpineStep,
    append_class_change,
    append_step,
    as_edits,
    read_class_changes,
    read_steps,
)
from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, replacing
from spinecore.morphometry.soma import FILE_NAME as SOMA
from spinecore.morphometry.soma import mark_soma, read_soma

#: The log of corrections in an analysis folder, and the file with the voxels of one, by its number.
EDITS = "corrections.jsonl"
EDIT_VOXELS = "edit_{:05d}.npz"
#: Every file whose change means that something was corrected.
FILES = (EDITS, SPINES, CLASSES, SOMA)
#: Log of the sample check, which changes no result.
SAMPLE_CHECK = "sample_check.jsonl"


@dataclass(frozen=True)
class Corrections:
    """What people said about one result, in the order in which they said it; never changed in place.

    Parameters
    ----------
    spines : tuple of SpineStep
        Of the log of versions before 0.2, as are `classes` and `soma`.
    classes : tuple of ClassChange
    soma : tuple of float or None
        Where the soma is (z, y, x in the stack's own voxels); None where it is not marked.
    edits : tuple of Edit
        Every line of the log.
    """

    spines: tuple[SpineStep, ...] = ()
    classes: tuple[ClassChange, ...] = ()
    soma: tuple[float, float, float] | None = None
    edits: tuple[Edit, ...] = ()

    @cached_property
    def history(self) -> tuple[Edit, ...]:
        """Everything that was said, undo and redo included, what older versions wrote first."""
        return (*as_edits(self.spines, self.classes, self.soma), *self.edits)

    @cached_property
    def standing(self) -> tuple[Edit, ...]:
        """The corrections that stand."""
        return standing_edits(self.history)

    @cached_property
    def class_of(self) -> dict[int, str]:
        """The class of each spine whose class a person changed, by its number."""
        found = {e.spine: e.values["class"] for e in self.standing if e.kind == "class" and e.spine}
        return {spine: name for spine, name in found.items() if name is not None}

    @cached_property
    def soma_px(self) -> tuple[float, float, float] | None:
        """Where the soma is now (z, y, x in the stack's own voxels)."""
        said = [
            e.values["zyx_px"]
            for e in self.standing
            if e.kind in ("soma", "tracing") and "zyx_px" in e.values
        ]
        if not said or said[-1] is None:
            return None
        z, y, x = said[-1]
        return float(z), float(y), float(x)

    @cached_property
    def rules(self) -> Mapping[str, Any] | None:
        """The rule set chosen for this analysis, as `spinecore.shapes.chosen_rules` writes it; None where nobody chose one."""
        said = [e.values["chosen"] for e in self.standing if e.kind == "rules"]
        return said[-1] if said else None

    @cached_property
    def branched(self) -> frozenset[int]:
        """The spines that a person marked as branched."""
        found = {e.spine: bool(e.values["branched"]) for e in self.standing if e.kind == "branched"}
        return frozenset(spine for spine, yes in found.items() if yes and spine is not None)

    @cached_property
    def marked(self) -> dict[int, str]:
        """The name of each spine's mark in a person's file, by its number; of those that came from one."""
        return {e.spine: str(e.values["mark"]) for e in self.standing if e.spine and "mark" in e.values}

    @cached_property
    def corrected(self) -> bool:
        """Whether a person corrected something that stands: neither the choice of rules nor marks out of a file are that."""
        taken_back = ("class", "soma")  # by one more edit, which stands
        others = (e for e in self.standing if e.kind not in (*taken_back, "rules") and "mark" not in e.values)
        return any(others) or bool(self.class_of) or self.soma_px is not None

    @cached_property
    def answers(self) -> dict[int, Answers]:
        """What people said about candidates as such (yes, no, removed, counted, added), by number."""
        return answers_about(self.standing)

    def with_edit(self, edit: Edit) -> Corrections:
        """Return these corrections and one more."""
        return replace(self, edits=(*self.edits, edit))


def read_corrections(folder: Path) -> Corrections:
    """Read everything that people said about the analysis in a folder.

    Raises
    ------
    SpinecoreError
        If the voxels of an outline are missing.
    """
    return Corrections(
        read_steps(folder), read_class_changes(folder), read_soma(folder), tuple(read_edits(folder))
    )


def read_edits(folder: Path, after: int = 0) -> list[Edit]:
    """Read the lines of the log beyond a number; one cut off by a crash is passed over.

    Raises
    ------
    SpinecoreError
        If the voxels of an outline are missing, or lines are about another analysis.
    """
    folder = Path(folder)
    return [
        Edit.from_line(
            line, _read_voxels(folder / EDIT_VOXELS.format(int(line["n"]))) if "voxels" in line else {}
        )
        for line in read_bound(folder, EDITS)
        if int(line["n"]) > after
    ]


def append_edit(folder: Path, edit: Edit) -> Edit:
    """Append a correction; it is on the disk when this returns, with its number and time.

    Nobody else may append meanwhile: the lock of the analysis must be held (`spinecore.analysis.editor`).
    """
    folder = Path(folder)
    n = edit.n or 1 + max((int(line["n"]) for line in AppendOnlyLog(folder / EDITS).read()), default=0)
    edit = replace(edit, n=n, time=edit.time or now())
    if edit.voxels:
        with replacing(folder / EDIT_VOXELS.format(n)) as temporary:
            np.savez_compressed(temporary, **dict(edit.voxels))  # type: ignore[arg-type]
    AppendOnlyLog(folder / EDITS).append(edit.to_line() | binding(folder))
    return edit


def _read_voxels(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise SpinecoreError(
            f"{path.name}, the voxels of a correction, is missing from {path.parent.name}: put it back there"
        ) from error


def write_corrections(corrections: Corrections, folder: Path) -> None:
    """Write corrections beside a copy of the analysis that they belong to; files that are there stay as they are."""
    folder = Path(folder)
    if not (folder / EDITS).exists():
        for edit in corrections.edits:
            append_edit(folder, edit)
    if not (folder / SPINES).exists():
        for step in corrections.spines:
            append_step(folder, step)
    if not (folder / CLASSES).exists():
        for change in corrections.classes:
            append_class_change(folder, change)
    if corrections.soma is not None and not (folder / SOMA).exists():
        mark_soma(folder, corrections.soma)


def remove_corrections(folder: Path) -> None:
    """Delete everything that people said about the analysis in a folder."""
    for path in [
        *(Path(folder) / name for name in (*FILES, SAMPLE_CHECK)),
        *Path(folder).glob("added_*.npz"),
        *Path(folder).glob("edit_*.npz"),
    ]:
        path.unlink(missing_ok=True)
