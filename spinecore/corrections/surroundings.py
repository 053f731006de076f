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

    def are(self, numbers: Collection[int]) -> np.ndarray:
        """Which rows are of some dendrites, bool (n,)."""
        return np.isin(self.rows[:, 0], list(numbers))

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
    renamed: Collection[int],
) -> tuple[tuple[str, str], ...]:
    """Return for each region what its looks and its measures depend on; empty texts where that is as detected.

    Parameters
    ----------
    detected : Candidates
    regions : sequence of Region
        As they are now; the first are those of `detected`, in their order.
    dendrites : sequence of Dendrite
        As they are now.
    touched, renamed : collection of int
        Regions whose voxels changed, and those in which dendrites have other numbers.
    """
    redrawn = redrawn_dendrites(detected.dendrites, dendrites)
    if not touched and not renamed and not redrawn:
        return ()
    now, then = _Lines(dendrites), _Lines(detected.dendrites)
    old, new = ({row.tobytes() for row in lines.rows[lines.are(redrawn)]} for lines in (then, now))
    changed = _points(old ^ new)
    spacing = np.array(detected.spacing_zyx_um)
    sizes = np.array([r.mask.shape for r in regions]).reshape(-1, 3) * spacing
    middles = np.array([r.origin for r in regions]).reshape(-1, 3) * spacing + sizes / 2
    reach = REACH_UM + 1.0 + np.ceil(max(now.widest, then.widest))
    around = reach + np.linalg.norm(sizes, axis=1) / 2
    near = cKDTree(changed).query(middles)[0] <= around if len(changed) else np.zeros(len(regions), bool)
    # a dendrite that has voxels in a crop and its line elsewhere is looked at however far that is
    for number in redrawn:
        same = _points({row for row in old & new if np.frombuffer(row)[0] == number})
        far = cKDTree(same).query(middles)[0] > around if len(same) else np.ones(len(regions), bool)
        near[[k for k in np.flatnonzero(far & ~near).tolist() if (regions[k].dendrite == number).any()]] = (
            True
        )
    out = [("", "")] * len(regions)
    for place, region in enumerate(regions):
        look = _look(region) if place in touched else ""
        text = ""
        if look or place in renamed or near[place]:
            text = _text(region, now, middles[place], around[place])
            if not look and text == _text(detected.regions[place], then, middles[place], around[place]):
                text = ""
        out[place] = (look, look + text)
    return tuple(out)


def _points(rows: Collection[bytes]) -> np.ndarray:
    """The points of rows of `_Lines`."""
    return np.array([np.frombuffer(row)[1:4] for row in rows]).reshape(-1, 3)


def _look(region: Region) -> str:
    """A short text for the voxels of a region, whatever its dendrites' numbers."""
    found = blake2b(repr((region.origin, region.mask.shape)).encode(), digest_size=12)
    for part in (region.mask, region.dendrite > 0, region.intensity):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def _text(region: Region, lines: _Lines, middle: np.ndarray, reach: float) -> str:
    rows = lines.near(middle, reach)
    found = blake2b(rows.tobytes(), digest_size=12)
    for number in np.unique(region.dendrite[region.dendrite > 0]):
        if not (rows[:, 0] == number).any():
            found.update(f"{number}".encode() + lines.of(int(number)).tobytes())
    found.update(region.dendrite.tobytes())
    return found.hexdigest()
