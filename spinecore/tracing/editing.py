"""Centre lines changed by hand: a path added, a line cut, a branch taken away, a stretch replaced.

Every function takes dendrites and returns others; what is not touched keeps its number, its points and its radii, bit by
bit, so that what was measured along it stays true. Points are ZYX in um of the grid that was traced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from scipy.spatial import cKDTree

from spinecore.errors import SpinecoreError
from spinecore.tracing.edge import path_length
from spinecore.tracing.net import Net, Piece
from spinecore.tracing.trace import Dendrite, centreline_points

#: A place farther than this from every centre line means none of them (um), counted from the shaft's surface.
REACH_UM = 1.5


@dataclass(frozen=True)
class Path:
    """A line to be put in: points (n, 3), ZYX in um, and the radius of the shaft at each."""

    points_um: np.ndarray
    radii_um: np.ndarray


@dataclass(frozen=True)
class Nearest:
    """The point of the centre lines nearest to a place."""

    dendrite_id: int
    branch: int
    index: int
    point_um: np.ndarray
    radius_um: float
    gap_um: float


def nearest_place(dendrites: Sequence[Dendrite], place_um: np.ndarray) -> Nearest | None:
    """Return the centre-line point nearest to a place, whatever its distance; None without any dendrite."""
    best: Nearest | None = None
    for dendrite in dendrites:
        for number, branch in enumerate(dendrite.branches):
            distance = np.linalg.norm(branch.points_um - place_um, axis=1)
            index = int(distance.argmin())
            radius = float(branch.radii_um[index])
            gap = float(distance[index]) - radius
            if best is None or gap < best.gap_um:
                best = Nearest(dendrite.id, number, index, branch.points_um[index], radius, gap)
    return best


def place_on_line(dendrites: Sequence[Dendrite], place_um: np.ndarray, reach_um: float = REACH_UM) -> Nearest:
    """Return the centre-line point at a place.

    Raises
    ------
    SpinecoreError
        If no dendrite lies within reach.
    """
    found = nearest_place(dendrites, place_um)
    if found is None or found.gap_um > reach_um:
        raise SpinecoreError("no dendrite is traced there: click on a dendrite's line")
    return found


def add_path(
    dendrites: Sequence[Dendrite],
    path: Path,
    number: int,
    spacing_zyx_um: tuple[float, float, float],
    *,
    at_start: bool = False,
    at_end: bool = False,
) -> tuple[Dendrite, ...]:
    """Put a path in: as a dendrite of its own, or joined to those at its ends.

    Parameters
    ----------
    dendrites : sequence of Dendrite
    path : Path
    number : int
        Number of the dendrite where it is one of its own.
    spacing_zyx_um : tuple of float
        Voxel size of the grid.
    at_start, at_end : bool
        Whether the path begins or ends on a dendrite; it is then drawn to its centre line.

    Raises
    ------
    SpinecoreError
        If no dendrite is there any more.
    """
    net = Net(dendrites, spacing_zyx_um)
    points, radii = np.asarray(path.points_um, float), np.asarray(path.radii_um, float)
    ends = []
    owner: int | None = None
    for joined, end in ((at_start, 0), (at_end, -1)):
        if not joined:
            ends.append(net.new_node())
            continue
        found = place_on_line(net.as_lines(without=owner), points[end])
        owner = net.pieces[found.branch].owner
        ends.append(net.split(found.branch, found.index))
        if (found.point_um != points[end]).any():
            one, many = found.point_um[None], np.array([found.radius_um])
            points = np.vstack([one, points] if end == 0 else [points, one])
            radii = np.concatenate([many, radii] if end == 0 else [radii, many])
    if at_start and at_end and path_length(points) < 1e-6:
        net.unite(ends[0], ends[1])
    else:
        net.add(Piece(ends[0], ends[1], points, radii, number))
    net.dissolve()
    return net.built(dendrites, count(number))


def cut_at(dendrites: Sequence[Dendrite], place_um: np.ndarray, number: int) -> tuple[Dendrite, ...]:
    """Cut a dendrite in two at a place; the longer part keeps its number.

    Raises
    ------
    SpinecoreError
        If no dendrite is there, the place is at its end, or it stays in one piece (a loop).
    """
    found = place_on_line(dendrites, place_um)
    net = Net(dendrites)
    key = net.key_of(found.dendrite_id, found.branch)
    piece = net.pieces[key]
    at = int(np.clip(found.index, 1, len(piece.points) - 2))
    arc = path_length(piece.points[: found.index + 1])
    if len(piece.points) < 4 or min(arc, piece.length - arc) < 0.3:
        where = piece.a if arc < piece.length / 2 else piece.b
        if net.degree(where) < 2:
            raise SpinecoreError("that is the end of the dendrite: click where it is to be cut in two")
        # at a fork the branch is taken off
        own = net.new_node()
        if piece.a == where:
            piece.a = own
        else:
            piece.b = own
    else:
        del net.pieces[key]
        for part, (a, b) in (
            (slice(None, at + 1), (piece.a, net.new_node())),
            (slice(at, None), (net.new_node(), piece.b)),
        ):
            net.add(replace(piece, a=a, b=b, points=piece.points[part], radii=piece.radii[part]))
    net.dissolve()
    made = net.built(dendrites, count(number))
    if len(made) == len(dendrites):
        raise SpinecoreError("the dendrite is closed to a loop there and stays in one piece: cut it twice")
    return made


def delete_branch(dendrites: Sequence[Dendrite], place_um: np.ndarray, number: int) -> tuple[Dendrite, ...]:
    """Take the branch at a place away: the piece between two forks, or a fork and an end.

    Raises
    ------
    SpinecoreError
        If no dendrite is there.
    """
    found = place_on_line(dendrites, place_um)
    net = Net(dendrites)
    del net.pieces[net.key_of(found.dendrite_id, found.branch)]
    net.dissolve()
    return net.built(dendrites, count(number))


def delete_dendrite(dendrites: Sequence[Dendrite], dendrite_id: int) -> tuple[Dendrite, ...]:
    """Take a whole dendrite away.

    Raises
    ------
    SpinecoreError
        If there is none of this number.
    """
    kept = tuple(d for d in dendrites if d.id != dendrite_id)
    if len(kept) == len(dendrites):
        raise SpinecoreError(f"there is no dendrite {dendrite_id}: choose one from the table")
    return kept


def replace_between(dendrites: Sequence[Dendrite], path: Path, number: int) -> tuple[Dendrite, ...]:
    """Put a path in place of the line between its two ends, which lie on one dendrite.

    Branches that leave the old line begin at the nearest point of the new one.

    Raises
    ------
    SpinecoreError
        If the ends are not on one dendrite.
    """
    first, last = (place_on_line(dendrites, path.points_um[end]) for end in (0, -1))
    if first.dendrite_id != last.dendrite_id:
        raise SpinecoreError("these places are on two dendrites: begin and end on the one to be redrawn")
    net = Net(dendrites)
    start = net.split(net.key_of(first.dendrite_id, first.branch), first.index)
    second = place_on_line(net.as_lines(), path.points_um[-1])
    end = net.split(second.branch, second.index)
    way = net.way(start, end)
    if not way:
        raise SpinecoreError("begin and end at two places of the dendrite, farther from each other")
    inner = {node for key in way for node in (net.pieces[key].a, net.pieces[key].b)} - {start, end}
    for key in way:
        del net.pieces[key]
    points, radii = np.asarray(path.points_um, float), np.asarray(path.radii_um, float)
    points = np.vstack([first.point_um, points[1:-1], last.point_um])
    net.add(Piece(start, end, points, radii, first.dendrite_id))
    for node in sorted(inner):
        while (loose := net.at(node)) is not None:
            _hang(net, loose, node, first.dendrite_id)
    net.dissolve()
    return net.built(dendrites, count(number))


def _hang(net: Net, key: int, node: int, owner: int) -> None:
    """Let a piece that has lost its node begin at the nearest point of its dendrite's other lines."""
    piece = net.pieces[key]
    points, radii = piece.from_node(node)
    others = [k for k, other in net.pieces.items() if k != key and other.owner == owner]
    near = min(others, key=lambda k: float(np.linalg.norm(net.pieces[k].points - points[0], axis=1).min()))
    index = int(np.linalg.norm(net.pieces[near].points - points[0], axis=1).argmin())
    joint, at = net.pieces[near].points[index], net.split(near, index)
    step = max(int(np.linalg.norm(points[0] - joint) / 0.1), 1)
    drawn = joint + np.linspace(0, 1, step + 1)[:-1, None] * (points[0] - joint)
    net.pieces[key] = Piece(
        at,
        piece.b if node == piece.a else piece.a,
        np.vstack([drawn, points]),
        np.concatenate([np.full(len(drawn), radii[0]), radii]),
        owner,
    )


def new_owners(
    before: Sequence[Dendrite], after: Sequence[Dendrite]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Say whose the points of the centre lines are after a change.

    Returns
    -------
    points_um : ndarray, shape (n, 3)
        All points of the dendrites that are not the same objects any more, as they were before.
    old, new : ndarray of int, shape (n,)
        Number of their dendrite before and after; 0 where the line was taken away.
    """
    kept = {id(d) for d in after}
    points, old = centreline_points([d for d in before if id(d) not in kept])
    now, numbers = centreline_points([d for d in after if not any(d is b for b in before)])
    owner = dict(zip(map(bytes, now), numbers.tolist(), strict=True))
    return points, old, np.array([owner.get(bytes(p), 0) for p in points], int)


def tube_voxels(
    path: Path, spacing_zyx_um: Sequence[float], shape: Sequence[int]
) -> tuple[tuple[slice, ...], np.ndarray]:
    """Return the window and the mask of the voxels within a path's radii; in a single slice its depth is left out."""
    spacing = np.asarray(spacing_zyx_um, float)
    points = path.points_um * (0.0, 1.0, 1.0) if shape[0] == 1 else path.points_um
    reach = float(path.radii_um.max()) + float(spacing[1:].max())
    low = np.clip(np.floor((points.min(0) - reach) / spacing).astype(int), 0, np.array(shape) - 1)
    high = np.clip(np.ceil((points.max(0) + reach) / spacing).astype(int) + 1, 1, shape)
    window = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    mask = np.zeros([w.stop - w.start for w in window], bool)
    tree = cKDTree(points)
    # slice by slice, in the rows and columns that the path comes near
    for z in range(window[0].start, window[0].stop):
        near = np.abs(points[:, 0] - z * spacing[0]) <= reach
        if not near.any():
            continue
        a = np.clip(np.floor((points[near].min(0) - reach) / spacing).astype(int), low, high - 1)
        b = np.clip(np.ceil((points[near].max(0) + reach) / spacing).astype(int) + 1, low + 1, high)
        y, x = np.meshgrid(np.arange(a[1], b[1]), np.arange(a[2], b[2]), indexing="ij")
        grid = np.stack([np.full(y.shape, z), y, x], -1) * spacing
        distance, nearest = tree.query(grid, distance_upper_bound=reach)
        inside = distance <= np.append(path.radii_um, -1.0)[nearest]
        mask[z - low[0], a[1] - low[1] : b[1] - low[1], a[2] - low[2] : b[2] - low[2]] = inside
    for voxel in np.rint(points / spacing).astype(int):
        local = voxel - low
        if (local >= 0).all() and (local < mask.shape).all():
            mask[tuple(local)] = True
    return window, mask
