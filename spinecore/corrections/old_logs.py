"""What versions before 0.2 wrote: files of their own for spines, classes and the soma, read as what an earlier sitting said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spinecore.corrections.bound import binding, now, read_bound
from spinecore.corrections.classes import ClassChange
from spinecore.corrections.edit import UNDO, Edit, standing_edits
from spinecore.corrections.regions import PARTS, region_voxels
from spinecore.detection.candidates import Region
from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, replacing

#: Names of the logs, and of the file with the voxels of an added spine, by its number.
SPINES = "spine_corrections.jsonl"
CLASSES = "class_corrections.jsonl"
VOXELS = "added_{:05d}.npz"


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


def as_edits(
    spines: Sequence[SpineStep], classes: Sequence[ClassChange], soma: tuple[float, float, float] | None
) -> list[Edit]:
    """Return what the logs of versions before 0.2 hold, with numbers below 0."""
    out: list[Edit] = []
    total = sum((len(spines), len(classes), soma is not None))
    for step in spines:
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
    for change in classes:
        words = f"class of spine {change.spine_id}"
        values = {"class": change.answer, "before": change.before}
        out.append(
            Edit("class", len(out) - total, change.spine_id, values=values, words=words, time=change.time)
        )
    if soma is not None:
        out.append(Edit("soma", len(out) - total, values={"zyx_px": list(soma)}, words="mark the soma"))
    return out


def read_steps(folder: Path) -> tuple[SpineStep, ...]:
    """Read the corrections of what counts as a spine; a line cut off by a crash is passed over.

    Raises
    ------
    SpinecoreError
        If the voxels of an added spine are missing.
    """
    return tuple(_step(line, Path(folder)) for line in read_bound(Path(folder), SPINES))


def read_class_changes(folder: Path) -> tuple[ClassChange, ...]:
    """Read the changes of classes; a line cut off by a crash is passed over."""
    return tuple(ClassChange.from_line(line) for line in read_bound(Path(folder), CLASSES))


def append_step(folder: Path, step: SpineStep) -> None:
    """Append a correction of what counts as a spine; it is on the disk when this returns."""
    if step.grown is not None and step.spine_id is not None:
        _write_region(Path(folder) / VOXELS.format(step.spine_id), step.grown)
    line = replace(step, time=step.time or now()).to_line()
    AppendOnlyLog(Path(folder) / SPINES).append(line | binding(Path(folder)))


def append_class_change(folder: Path, change: ClassChange) -> None:
    """Append a change of a class; it is on the disk when this returns."""
    line = replace(change, time=change.time or now()).to_line()
    AppendOnlyLog(Path(folder) / CLASSES).append(line | binding(Path(folder)))


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
            temporary, origin=np.array(region.origin), **{name: getattr(region, name) for name in PARTS}
        )


def _read_region(path: Path, candidate: int) -> Region:
    try:
        with np.load(path, allow_pickle=False) as data:
            z, y, x = (int(v) for v in data["origin"])
            parts = {name: data[name] for name in PARTS}
    except FileNotFoundError as error:
        raise SpinecoreError(
            f"{path.name}, the voxels of a spine added by hand, is missing from {path.parent.name}: put it back there"
        ) from error
    return Region(origin=(z, y, x), peaks=np.array([candidate], int), **parts)
