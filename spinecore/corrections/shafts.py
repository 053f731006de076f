"""Corrections of dendrites, applied to the centre lines and to the voxels of the shafts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from spinecore.corrections.edit import Edit
from spinecore.corrections.patches import Patched, Window
from spinecore.detection.candidates import Candidates, Region
from spinecore.errors import SpinecoreError
from spinecore.tracing.editing import (
    Path,
    add_path,
    cut_at,
    delete_branch,
    delete_dendrite,
    new_owners,
    replace_between,
    tube_voxels,
)
from spinecore.tracing.trace import BY_HAND, Branch, Dendrite

#: A voxel of a shaft is nearer than this to its centre line, beyond the thickest radius (um).
MARGIN_UM = 2.0


@dataclass(frozen=True)
class Shafts:
    """Dendrites and the voxels that belong to them.

    Parameters
    ----------
    dendrites : tuple of Dendrite
    ids : Patched
        Dendrite of every voxel of the analysis grid, uint16 (Z, Y, X), 0 outside.
    failed : tuple of int
        Numbers of corrections that had nothing left to correct: what they were about was undone.
    """

    dendrites: tuple[Dendrite, ...]
    ids: Patched
    failed: tuple[int, ...] = ()


def path_of(edit: Edit) -> Path:
    """Return the line that a correction of a dendrite brings; of a tracing, all its lines after each other."""
    return Path(edit.voxels["path"][:, :3], edit.voxels["path"][:, 3])


def paths_of(edit: Edit) -> list[Path]:
    """Return every line that a correction of a dendrite brings, one by one."""
    if "path" not in edit.voxels:
        return []
    parts = (
        edit.voxels["branches"][:, 1].astype(int) if "branches" in edit.voxels else [len(edit.voxels["path"])]
    )
    ends = np.cumsum(parts)
    whole = path_of(edit)
    return [
        Path(whole.points_um[end - n : end], whole.radii_um[end - n : end])
        for n, end in zip(parts, ends, strict=True)
    ]


def tracing_arrays(dendrites: Sequence[Dendrite]) -> dict[str, np.ndarray]:
    """Return the lines of a tracing as a correction keeps them: all points with their radii, and a row for each branch."""
    branches = [(k, b) for k, d in enumerate(dendrites) for b in d.branches]
    return {
        "path": np.concatenate([np.column_stack([b.points_um, b.radii_um]) for _, b in branches]),
        "branches": np.array(
            [(k, len(b.points_um), b.start, b.end, b.start_um, b.order) for k, b in branches], float
        ),
    }


def _traced(edit: Edit, spacing_zyx_um: tuple[float, float, float]) -> tuple[Dendrite, ...]:
    """The dendrites of a tracing, with the numbers that it was given."""
    made: dict[int, list[Branch]] = {}
    for row, path in zip(edit.voxels["branches"], paths_of(edit), strict=True):
        start, end, order = (int(row[k]) for k in (2, 3, 5))
        branch = Branch(path.points_um, path.radii_um, start, end, float(row[4]), order)
        made.setdefault(int(row[0]), []).append(branch)
    first = int(edit.values["number"])
    return tuple(Dendrite(first + k, tuple(own), spacing_zyx_um, BY_HAND) for k, own in made.items())


def changed_lines(
    dendrites: Sequence[Dendrite], edit: Edit, spacing_zyx_um: tuple[float, float, float]
) -> tuple[Dendrite, ...]:
    """Return the dendrites after one correction, on a grid of a voxel size.

    Raises
    ------
    SpinecoreError
        If what it is about is not there.
    """
    said = edit.values
    number = int(said.get("number", 0))
    match edit.kind:
        case "trace":
            return add_path(
                dendrites,
                path_of(edit),
                number,
                spacing_zyx_um,
                at_start=said["at_start"],
                at_end=said["at_end"],
            )
        case "cut":
            return cut_at(dendrites, np.array(said["place_um"]), number)
        case "delete branch":
            return delete_branch(dendrites, np.array(said["place_um"]), number)
        case "delete dendrite":
            return delete_dendrite(dendrites, int(edit.dendrite or 0))
        case "tracing":
            return _traced(edit, spacing_zyx_um)
        case "redraw":
            return replace_between(dendrites, path_of(edit), number)
    raise ValueError(f"{edit.kind} is no correction of a dendrite")


def correct_shafts(detected: Candidates, before: Shafts, edits: Iterable[Edit]) -> Shafts:
    """Apply corrections of dendrites, in order.

    Parameters
    ----------
    detected : Candidates
        As the detector found them; outlines of spines are not painted over.
    before : Shafts
    edits : iterable of Edit
        Those that stand, after those that made `before`.
    """
    lines, ids, failed = before.dendrites, before.ids, list(before.failed)
    for edit in edits:
        try:
            after = changed_lines(lines, edit, detected.spacing_zyx_um)
        except SpinecoreError:
            failed.append(edit.n)
            continue
        ids = _relabelled(ids, lines, after, detected.spacing_zyx_um)
        for path in paths_of(edit):
            ids = _painted(ids, after, path, detected)
        lines = after
    return Shafts(lines, ids, tuple(failed))


def _relabelled(
    ids: Patched, before: Sequence[Dendrite], after: Sequence[Dendrite], spacing: Sequence[float]
) -> Patched:
    """Give the voxels of shafts whose line has another number, or none, that number."""
    points, old, new = new_owners(before, after)
    step = np.asarray(spacing, float)
    for owner in np.unique(old[old != new]):
        own = old == owner
        moved = points[own & (old != new)]
        widest = max(float(b.radii_um.max()) for d in before if d.id == owner for b in d.branches)
        reach = widest + MARGIN_UM
        low = np.clip(np.floor((moved.min(0) - reach) / step).astype(int), 0, np.array(ids.shape) - 1)
        high = np.clip(np.ceil((moved.max(0) + reach) / step).astype(int) + 1, 1, ids.shape)
        window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        part = ids[window]
        becomes = np.unique(new[own])
        if len(becomes) == 1:
            part[part == owner] = becomes[0]
        else:
            where = np.argwhere(part == owner)
            nearest = cKDTree(points[own]).query((where + low) * step)[1]
            part[tuple(where.T)] = new[own][nearest]
        ids = ids.laid(window, part)
    return ids


def _painted(ids: Patched, dendrites: Sequence[Dendrite], path: Path, detected: Candidates) -> Patched:
    """Give the free voxels within a new line's radii its number; outlines of spines keep theirs."""
    window, mask = tube_voxels(path, detected.spacing_zyx_um, ids.shape)
    for region in detected.regions:
        take_away(mask, window, region)
    middle = bytes(np.ascontiguousarray(path.points_um[len(path.points_um) // 2]))
    owner = next((d.id for d in dendrites for b in d.branches for p in b.points_um if bytes(p) == middle), 0)
    part = ids[window]
    part[mask & (part == 0)] = owner
    return ids.laid(window, part)


def take_away(mask: np.ndarray, window: Window, region: Region) -> None:
    """Clear the voxels of a region's outline in a mask of a window."""
    start = np.array([w.start for w in window])
    offset = np.array(region.origin) - start
    low, high = np.maximum(offset, 0), np.minimum(offset + region.mask.shape, mask.shape)
    if (low < high).all():
        here = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        there = tuple(slice(a, b) for a, b in zip(low - offset, high - offset, strict=True))
        mask[here] &= ~region.mask[there]
