"""What the measures of a spine depend on beyond its own voxels, as a short text: so that only what changed is measured anew.

The measures of a spine look at the crop around it and at the centre lines within reach. A region whose crop and lines are
as the detector left them has an empty text, and its measures are those that were taken then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b

import numpy as np
from scipy.spatial import cKDTree

from spinecore.detection.candidates import Candidates, Region
from spinecore.morphometry.geometry import REACH_UM
from spinecore.tracing.trace import Dendrite


class _Lines:
    """All centre-line points with their dendrite and radius, to be searched."""

    def __init__(self, dendrites: Sequence[Dendrite]) -> None:
        branches = [(d.id, b) for d in dendrites for b in d.branches]
        points = np.concatenate([np.zeros((0, 3)), *(b.points_um for _, b in branches)])
        radii = np.concatenate([np.zeros(0), *(b.radii_um for _, b in branches)])
        owner = np.repeat([i for i, _ in branches], [len(b.points_um) for _, b in branches]).astype(float)
        self.rows = np.column_stack([owner, points, radii]) if len(points) else np.zeros((0, 5))
        self.widest = float(radii.max()) if len(radii) else 0.0
        self._tree = cKDTree(points) if len(points) else None

    def near(self, middle: np.ndarray, reach: float) -> np.ndarray:
        """The rows within reach of a place, in an order that depends on nothing else."""
        if self._tree is None:
            return self.rows
        found = self.rows[self._tree.query_ball_point(middle, reach)]
        return found[np.lexsort(found.T)]

    def of(self, number: int) -> np.ndarray:
        """The rows of one dendrite."""
        found = self.rows[self.rows[:, 0] == number]
        return found[np.lexsort(found.T)]


def redrawn_dendrites(before: Sequence[Dendrite], after: Sequence[Dendrite]) -> frozenset[int]:
    """Return the numbers of the dendrites that are not as they were: changed, new or gone."""
    old, new = {d.id: d for d in before}, {d.id: d for d in after}
    return frozenset(number for number in {*old, *new} if old.get(number) is not new.get(number))


def digests_of_regions(
    detected: Candidates,
    regions: Sequence[Region],
    dendrites: Sequence[Dendrite],
    touched: Collection[int],
) -> tuple[str, ...]:
    """Return for each region what its measures depend on, where that is not as detected; otherwise an empty text.

    Parameters
    ----------
    detected : Candidates
    regions : sequence of Region
        As they are now; the first are those of `detected`, in their order.
    dendrites : sequence of Dendrite
        As they are now.
    touched : collection of int
        Regions whose voxels changed.
    """
    out = [""] * len(regions)
    redrawn = redrawn_dendrites(detected.dendrites, dendrites)
    if not touched and not redrawn:
        return ()
    now, then = _Lines(dendrites), _Lines(detected.dendrites)
    changed = _changed_points(
        [d for d in detected.dendrites if d.id in redrawn], [d for d in dendrites if d.id in redrawn]
    )
    tree = cKDTree(changed) if len(changed) else None
    spacing = np.array(detected.spacing_zyx_um)
    reach = REACH_UM + 1.0 + np.ceil(max(now.widest, then.widest))
    for place, region in enumerate(regions):
        size = np.array(region.mask.shape) * spacing
        middle = np.array(region.origin) * spacing + size / 2
        around = reach + float(np.linalg.norm(size)) / 2
        near = tree is not None and tree.query(middle)[0] <= around
        if place in touched:
            out[place] = _text(region, now, middle, around)
        elif near or (redrawn and not redrawn.isdisjoint(np.unique(region.dendrite).tolist())):
            text = _text(region, now, middle, around)
            out[place] = "" if text == _text(region, then, middle, around) else text
    return tuple(out)


def _changed_points(before: Sequence[Dendrite], after: Sequence[Dendrite]) -> np.ndarray:
    """The points that have another dendrite or radius, or are only in one of both."""
    one, other = ({row.tobytes() for row in _Lines(lines).rows} for lines in (before, after))
    rows = [np.frombuffer(row)[1:4] for row in one ^ other]
    return np.array(rows).reshape(-1, 3)


def _text(region: Region, lines: _Lines, middle: np.ndarray, reach: float) -> str:
    rows = lines.near(middle, reach)
    found = blake2b(rows.tobytes(), digest_size=12)
    for number in np.setdiff1d(region.dendrite, [0]):
        if not (rows[:, 0] == number).any():
            found.update(f"{number}".encode() + lines.of(int(number)).tobytes())
    for part in (region.mask, region.dendrite):
        found.update(repr((region.origin, part.shape)).encode() + np.ascontiguousarray(part).tobytes())
    return found.hexdigest()
