"""Detections checked by a person: candidates that count whatever their score, others that do not, and added spines.

Every step is a line of `spine_corrections.jsonl` beside the analysis, which is only ever appended to; an added spine
with a place of its own has its voxels in a file as well. `with_corrections` replays the list onto the candidates that
were found. The number of a spine never changes: an added one gets the next that is free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from spinecore.detection.candidates import Candidates, Region
from spinecore.files import AppendOnlyLog, replacing

#: Name of the list in an analysis folder, and of the files with the voxels of added spines.
FILE_NAME = "spine_corrections.jsonl"
VOXELS = "added_{:05d}.npz"
_PARTS = ("mask", "spine", "dendrite", "intensity")


@dataclass(frozen=True)
class Counts:
    """What a person changed, as it now stands."""

    removed: int
    counted: int
    added: int

    @property
    def any(self) -> bool:
        """True when anything was changed."""
        return bool(self.removed or self.counted or self.added)

    @property
    def words(self) -> str:
        """The changes as words; empty without any.

        Examples
        --------
        >>> Counts(2, 0, 1).words
        '2 removed, 1 added'
        """
        parts = (
            (self.removed, "removed"),
            (self.counted, "counted below the threshold"),
            (self.added, "added"),
        )
        return ", ".join(f"{n} {text}" for n, text in parts if n)


def read_steps(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of the list; one cut off by a crash is passed over."""
    return AppendOnlyLog(Path(folder) / FILE_NAME).read()


def append_step(folder: Path, **facts: Any) -> None:
    """Append a line to the list; it is on the disk when this returns."""
    line = {"time": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
    AppendOnlyLog(Path(folder) / FILE_NAME).append(line)


def standing(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the steps that still stand: "undo" takes the last one back."""
    out: list[dict[str, Any]] = []
    for step in steps:
        if step["action"] != "undo":
            out.append(step)
        elif out:
            out.pop()
    return out


def with_corrections(candidates: Candidates, folder: Path) -> Candidates:
    """Return candidates with a folder's corrections applied; the same where there are none."""
    steps = read_steps(folder)
    if not steps:
        return candidates
    added = [step for step in steps if step["action"] == "add"]
    count = len(candidates.scores) + len(added)
    regions = list(candidates.regions)
    for number, step in enumerate(added, len(candidates.scores)):
        if step["region"] is not None:
            old = regions[step["region"]]
            regions[step["region"]] = replace(old, peaks=np.append(old.peaks, number))
        else:
            regions.append(_read_region(Path(folder) / VOXELS.format(number + 1), number))
    verdicts = np.zeros(count, np.int8)
    for step in standing(steps):
        if 0 < step["spine_id"] <= count:
            verdicts[step["spine_id"] - 1] = -1 if step["action"] == "remove" else 1
    untraced = candidates.untraced if len(candidates.untraced) else np.zeros(len(candidates.scores), bool)
    return replace(
        candidates,
        centres_px=np.concatenate(
            [candidates.centres_px.reshape(-1, 3), *(np.array([s["centre_px"]], float) for s in added)]
        ),
        scores=np.concatenate([candidates.scores, np.full(len(added), np.nan)]),
        regions=regions,
        untraced=np.concatenate(
            [untraced, np.array([bool(s.get("untraced", s.get("lone"))) for s in added], bool)]
        ),
        verdicts=verdicts,
        found=candidates,
    )


def count_corrections(candidates: Candidates, threshold: float) -> Counts:
    """Count what a person's corrections change at a threshold."""
    if not len(candidates.verdicts):
        return Counts(0, 0, 0)
    by_hand = np.isnan(candidates.scores)
    above = np.nan_to_num(candidates.scores, nan=-1.0) >= threshold
    yes, no = candidates.verdicts > 0, candidates.verdicts < 0
    return Counts(int((no & above).sum()), int((yes & ~above & ~by_hand).sum()), int((yes & by_hand).sum()))


def write_region(folder: Path, spine_id: int, region: Region) -> None:
    """Keep the voxels of an added spine; the file appears only when complete."""
    arrays = {name: getattr(region, name) for name in _PARTS}
    with replacing(Path(folder) / VOXELS.format(spine_id)) as temporary:
        np.savez_compressed(temporary, origin=np.array(region.origin), **arrays)


def _read_region(path: Path, candidate: int) -> Region:
    with np.load(path, allow_pickle=False) as data:
        z, y, x = (int(v) for v in data["origin"])
        parts = {name: data[name] for name in _PARTS}
    return Region(origin=(z, y, x), peaks=np.array([candidate], int), **parts)
