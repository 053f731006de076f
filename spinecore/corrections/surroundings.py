"""What the measures of a spine depend on beyond its own voxels, as a short text: so that only what changed is measured anew.

The measures of a spine look at the crop around it, at the point of the centre lines nearest to its head, and at the lines of
its shaft beside its base. A region where these are as the detector left them has an empty text, and its measures are those that
were taken then.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from hashlib import blake2b

import numpy as np
from scipy.spatial import cKDTree

from spinecore.detection.candidates import Candidates, Region
from spinecore.morphometry.geometry import REACH_UM
from spinecore.morphometry.intensity import SHAFT_UM
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

    def inside(self, box: _Box) -> np.ndarray:
        """The rows in a box, in an order that depends on nothing else."""
        if self._tree is None:
            return self.rows
        found = self.rows[self._tree.query_ball_point(box.middle, box.reach)]
        found = found[(np.abs(found[:, 1:4] - box.middle) <= box.half).all(1)]
        return found[np.lexsort(found.T)]

    def nearest(self, places: np.ndarray) -> np.ndarray:
        """The row nearest to each place (n, 3), zeros beyond the reach of a spine."""
        if self._tree is None or not len(places):
            return np.zeros((len(places), 5))
        distance, index = self._tree.query(places)
        found = self.rows[index]
        found[distance - found[:, 4] > REACH_UM + 1.0] = 0.0
        return found

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
    centres_px: np.ndarray,
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
    centres_px : ndarray, shape (n, 3)
        Heads of all candidates on the grid.
    touched, renamed : collection of int
        Regions whose voxels changed, and those in which dendrites have other numbers.
    """
    redrawn = redrawn_dendrites(detected.dendrites, dendrites)
    if not touched and not renamed and not redrawn:
        return ()
    then = _Lines(detected.dendrites)
    now = _Lines(dendrites) if redrawn else then
    old, new = ({row.tobytes() for row in lines.rows[lines.are(redrawn)]} for lines in (then, now))
    changed = _points(old ^ new)
    spacing = np.array(detected.spacing_zyx_um)
    margin = SHAFT_UM + max(now.widest, then.widest, 0.5) + 0.5
    boxes = [_Box(region, spacing, margin) for region in regions]
    near = _nearest_changed(regions, centres_px * spacing, now, then)
    if len(changed):
        distance = cKDTree(changed).query(np.array([box.middle for box in boxes]).reshape(-1, 3))[0]
        near |= distance <= [box.reach for box in boxes]
    # a dendrite that has voxels in a crop and its line elsewhere is looked at however far that is
    for number in redrawn:
        same = _points({row for row in old & new if np.frombuffer(row)[0] == number})
        tree = cKDTree(same) if len(same) else None
        for place, region in enumerate(regions):
            far = tree is None or tree.query(boxes[place].middle)[0] > boxes[place].reach
            near[place] |= far and not near[place] and bool((region.dendrite == number).any())
    out = [("", "")] * len(regions)
    for place, region in enumerate(regions):
        look = _look(region) if place in touched else ""
        text = ""
        if look or place in renamed or near[place]:
            text = _text(region, now, boxes[place], centres_px * spacing)
            if not look:
                before = _text(detected.regions[place], then, boxes[place], centres_px * spacing)
                text = "" if text == before else text
        out[place] = (look, look + text)
    return tuple(out)


class _Box:
    """The box of a region in um, and how far lines around it are looked at."""

    def __init__(self, region: Region, spacing: np.ndarray, margin: float) -> None:
        size = np.array(region.mask.shape) * spacing
        self.middle = np.array(region.origin) * spacing + size / 2
        self.half = size / 2 + margin
        self.reach = float(np.linalg.norm(self.half))


def _nearest_changed(regions: Sequence[Region], centres: np.ndarray, now: _Lines, then: _Lines) -> np.ndarray:
    """Say for each region whether another point of the lines is nearest to one of its heads, bool (n,)."""
    other = (now.nearest(centres) != then.nearest(centres)).any(1)
    return np.array([bool(other[region.peaks].any()) for region in regions], bool)


def _points(rows: Collection[bytes]) -> np.ndarray:
    """The points of rows of `_Lines`."""
    return np.array([np.frombuffer(row)[1:4] for row in rows]).reshape(-1, 3)


def _look(region: Region) -> str:
    """A short text for the voxels of a region, whatever its dendrites' numbers."""
    found = blake2b(repr((region.origin, region.mask.shape)).encode(), digest_size=12)
    for part in (region.mask, region.dendrite > 0, region.intensity):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.hexdigest()


def _text(region: Region, lines: _Lines, box: _Box, centres: np.ndarray) -> str:
    rows = lines.inside(box)
    found = blake2b(rows.tobytes(), digest_size=12)
    found.update(lines.nearest(centres[region.peaks]).tobytes())
    for number in np.unique(region.dendrite[region.dendrite > 0]):
        if not (rows[:, 0] == number).any():
            found.update(f"{number}".encode() + lines.of(int(number)).tobytes())
    found.update(region.dendrite.tobytes())
    return found.hexdigest()
