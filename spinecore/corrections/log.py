"""What people said about a result, read from the files beside it and added to them.

Each correction is a line of `EDITS`, which is only ever appended to; outlines and crops have their voxels in a file as
well. Versions before 0.2 kept spines, classes and the soma in files of their own (`SPINES`, `CLASSES`,
`spinecore.morphometry.soma`), which are read as what an earlier sitting said.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from spinecore.corrections.answers import Answers, answers_about
from spinecore.corrections.classes import ClassChange
from spinecore.corrections.edit import UNDO, Edit, standing_edits
from spinecore.detection.candidates import Region
from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, replacing
from spinecore.morphometry.soma import FILE_NAME as SOMA
from spinecore.morphometry.soma import mark_soma, read_soma

#: The log of corrections in an analysis folder, and the file with the voxels of one, by its number.
EDITS = "corrections.jsonl"
EDIT_VOXELS = "edit_{:05d}.npz"
#: Names of the logs of versions before 0.2.
SPINES = "spine_corrections.jsonl"
CLASSES = "class_corrections.jsonl"
#: Every file whose change means that something was corrected.
FILES = (EDITS, SPINES, CLASSES, SOMA)
#: Log of the sample check, which changes no result.
SAMPLE_CHECK = "sample_check.jsonl"
#: Name of the file with the voxels of an added spine, by its number.
VOXELS = "added_{:05d}.npz"
Step = TypeVar("Step")
_PARTS = ("mask", "spine", "dendrite", "intensity")


@dataclass(frozen=True)
class SpineStep:
    """One correction of what counts as a spine.

    Parameters
    ----------
    action : str
        "remove" (no spine, whatever its score), "count" (a spine, whatever its score), "add", or "undo" (of the last
        step that still stands).
    spine_id : int or None
        None for "undo".
    centre_px : tuple of float or None
        Head of an added spine on the analysis grid (ZYX).
    region : int or None
        The region that an added spine shares with the spines in it.
    grown : Region or None
        A region of an added spine's own.
    untraced : bool
        True for an added spine that no dendrite is near.
    time : str
        ISO time (UTC).
    """

    action: Literal["remove", "count", "add", "undo"]
    spine_id: int | None = None
    centre_px: tuple[float, float, float] | None = None
    region: int | None = None
    grown: Region | None = None
    untraced: bool = False
    time: str = ""

    def to_line(self) -> dict[str, Any]:
        """Return the line of the log; the voxels have a file of their own."""
        line: dict[str, Any] = {"time": self.time, "action": self.action}
        if self.spine_id is not None:
            line["spine_id"] = self.spine_id
        if self.centre_px is not None:
            line |= {"centre_px": list(self.centre_px), "region": self.region, "untraced": self.untraced}
        return line


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
        return (*_as_edits(self), *self.edits)

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
        said = [e.values["zyx_px"] for e in self.standing if e.kind == "soma"]
        if not said or said[-1] is None:
            return None
        z, y, x = said[-1]
        return float(z), float(y), float(x)

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
    def answers(self) -> dict[int, Answers]:
        """What people said about candidates as such (yes, no, removed, counted, added), by number."""
        return answers_about(self.standing)

    def with_edit(self, edit: Edit) -> Corrections:
        """Return these corrections and one more."""
        return replace(self, edits=(*self.edits, edit))


def _as_edits(said: Corrections) -> list[Edit]:
    """What the logs of versions before 0.2 hold, with numbers below 0."""
    out: list[Edit] = []
    total = sum((len(said.spines), len(said.classes), said.soma is not None))
    for step in said.spines:
        n = len(out) - total
        if step.action == "undo":
            last = [e for e in standing_edits(out) if e.kind != UNDO]
            if last:
                out.append(Edit(UNDO, n, values={"of": last[-1].n}, time=step.time))
            else:
                out.append(Edit(UNDO, n, values={"of": 0}, time=step.time))
            continue
        values: dict[str, Any] = {}
        if step.action == "add":
            values = {"centre_px": step.centre_px, "region": step.region, "untraced": step.untraced}
        voxels = {} if step.grown is None else region_voxels(step.grown)
        words = f"{step.action} spine {step.spine_id}"
        out.append(
            Edit(step.action, n, step.spine_id, values=values, voxels=voxels, words=words, time=step.time)
        )
    for change in said.classes:
        words = f"class of spine {change.spine_id}"
        values = {"class": change.answer, "before": change.before}
        out.append(
            Edit("class", len(out) - total, change.spine_id, values=values, words=words, time=change.time)
        )
    if said.soma is not None:
        out.append(Edit("soma", len(out) - total, values={"zyx_px": list(said.soma)}, words="mark the soma"))
    return out


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
        for line in _own_lines(folder, EDITS)
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
    AppendOnlyLog(folder / EDITS).append(edit.to_line() | _binding(folder))
    return edit


def _read_voxels(path: Path) -> Mapping[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except FileNotFoundError as error:
        raise SpinecoreError(
            f"{path.name}, the voxels of a correction, is missing from {path.parent.name}: put it back there"
        ) from error


def region_voxels(region: Region) -> dict[str, np.ndarray]:
    """Return the arrays of a region, as a correction keeps them."""
    return {"origin": np.array(region.origin), **{name: getattr(region, name) for name in _PARTS}}


def voxels_region(voxels: Mapping[str, np.ndarray]) -> Region:
    """Return the region that a correction keeps."""
    z, y, x = (int(v) for v in voxels["origin"])
    parts: dict[str, Any] = {name: voxels[name] for name in _PARTS}
    return Region(origin=(z, y, x), peaks=np.zeros(0, int), **parts)


def read_steps(folder: Path) -> tuple[SpineStep, ...]:
    """Read the corrections of what counts as a spine; a line cut off by a crash is passed over.

    Raises
    ------
    SpinecoreError
        If the voxels of an added spine are missing.
    """
    return tuple(_step(line, Path(folder)) for line in _own_lines(Path(folder), SPINES))


def read_class_changes(folder: Path) -> tuple[ClassChange, ...]:
    """Read the changes of classes; a line cut off by a crash is passed over."""
    return tuple(ClassChange.from_line(line) for line in _own_lines(Path(folder), CLASSES))


def append_step(folder: Path, step: SpineStep) -> None:
    """Append a correction of what counts as a spine; it is on the disk when this returns."""
    if step.grown is not None and step.spine_id is not None:
        _write_region(Path(folder) / VOXELS.format(step.spine_id), step.grown)
    line = replace(step, time=step.time or now()).to_line()
    AppendOnlyLog(Path(folder) / SPINES).append(line | _binding(Path(folder)))


def append_class_change(folder: Path, change: ClassChange) -> None:
    """Append a change of a class; it is on the disk when this returns."""
    line = replace(change, time=change.time or now()).to_line()
    AppendOnlyLog(Path(folder) / CLASSES).append(line | _binding(Path(folder)))


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


def without_undone(steps: Iterable[Step], is_undo: Callable[[Step], bool]) -> list[Step]:
    """Return the steps that still stand: each undo takes away the last of them."""
    out: list[Step] = []
    for step in steps:
        if not is_undo(step):
            out.append(step)
        elif out:
            out.pop()
    return out


def append_bound(folder: Path, name: str, line: dict[str, Any]) -> None:
    """Append a line with its time to a log of an analysis, bound to it; it is on the disk when this returns."""
    AppendOnlyLog(Path(folder) / name).append({"time": now()} | line | _binding(Path(folder)))


def read_bound(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the lines of a log of an analysis.

    Raises
    ------
    SpinecoreError
        If one of them is about another analysis.
    """
    return _own_lines(Path(folder), name)


def _binding(folder: Path) -> dict[str, str]:
    """Return what a line says of the analysis that it is about: its id, where that is known."""
    try:
        found = json.loads((folder / "analysis.json").read_text(encoding="utf-8")).get("id")
    except (OSError, ValueError):
        return {}
    return {"analysis": found} if found else {}


def _own_lines(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the lines of a log.

    Raises
    ------
    SpinecoreError
        If one of them is about another analysis than the one in the folder.
    """
    lines = AppendOnlyLog(folder / name).read()
    own = _binding(folder).get("analysis")
    foreign = sum(own is not None and line.get("analysis", own) != own for line in lines)
    if foreign:
        raise SpinecoreError(
            f"{foreign} of {len(lines)} corrections in {folder.name}/{name} were made on another analysis: move that file out "
            "of the folder, or put the analysis back that it belongs to"
        )
    return lines


def now() -> str:
    """Return the time (UTC) as the log holds it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _step(line: dict[str, Any], folder: Path) -> SpineStep:
    action, time = line["action"], line.get("time", "")
    if action == "undo":
        return SpineStep(action, time=time)
    spine_id = int(line["spine_id"])
    if action != "add":
        return SpineStep(action, spine_id, time=time)
    z, y, x = (float(v) for v in line["centre_px"])
    region = line["region"]
    return SpineStep(
        action,
        spine_id,
        centre_px=(z, y, x),
        region=region,
        grown=_read_region(folder / VOXELS.format(spine_id), spine_id - 1) if region is None else None,
        untraced=bool(line.get("untraced", line.get("lone"))),  # "lone" until version 0.1
        time=time,
    )


def _write_region(path: Path, region: Region) -> None:
    with replacing(path) as temporary:
        np.savez_compressed(
            temporary, origin=np.array(region.origin), **{name: getattr(region, name) for name in _PARTS}
        )


def _read_region(path: Path, candidate: int) -> Region:
    try:
        with np.load(path, allow_pickle=False) as data:
            z, y, x = (int(v) for v in data["origin"])
            parts = {name: data[name] for name in _PARTS}
    except FileNotFoundError as error:
        raise SpinecoreError(
            f"{path.name}, the voxels of a spine added by hand, is missing from {path.parent.name}: put it back there"
        ) from error
    return Region(origin=(z, y, x), peaks=np.array([candidate], int), **parts)
