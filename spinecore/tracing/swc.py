"""Centre lines as SWC files, the format of neuron tracers: id, type, x, y, z, radius, parent (um).

Dendrites have type 3; a spine is a chain base - head - tip of type 7 (custom) that hangs on the nearest dendrite node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from spinecore.errors import SpinecoreError
from spinecore.files import write_atomic
from spinecore.tracing.refine import STEP_UM
from spinecore.tracing.trace import Branch, Dendrite

DENDRITE_TYPE = 3
SPINE_TYPE = 7


def swc_text(
    dendrites: Iterable[Dendrite],
    spines: Iterable[tuple[int, np.ndarray, np.ndarray]] = (),
    offset_um: np.ndarray | None = None,
    comment: str = "",
) -> str:
    """Return the text of an SWC file.

    Parameters
    ----------
    dendrites : iterable of Dendrite
    spines : iterable of (spine id, points, radii)
        `points` (n, 3) from the base to the tip, ZYX in um in the file's frame; `radii` (n,) in um.
    offset_um : ndarray, shape (3,), optional
        Added to the dendrites' points (ZYX).
    comment : str
        Lines for the head of the file.
    """
    offset = np.zeros(3) if offset_um is None else np.asarray(offset_um, float)
    lines = [f"# {line}" for line in comment.splitlines()]
    lines += ["# units: um; origin: centre of the first voxel", "# id type x y z radius parent"]
    points: list[np.ndarray] = []

    def add(kind: int, point: np.ndarray, radius: float, parent: int) -> int:
        points.append(point)
        z, y, x = point
        lines.append(f"{len(points)} {kind} {x:.4f} {y:.4f} {z:.4f} {radius:.4f} {parent}")
        return len(points)

    for dendrite in dendrites:
        written: dict[int, int] = {}
        for branch in dendrite.branches:
            path = branch.points_um + offset
            if branch.start not in written:
                written[branch.start] = add(DENDRITE_TYPE, path[0], float(branch.radii_um[0]), -1)
            parent = written[branch.start]
            for point, radius in zip(path[1:], branch.radii_um[1:], strict=True):
                parent = add(DENDRITE_TYPE, point, float(radius), parent)
            written.setdefault(branch.end, parent)
    tree = cKDTree(np.array(points)) if points else None
    for number, chain, radii in spines:
        lines.append(f"# spine {number}")
        parent = -1 if tree is None else int(tree.query(chain[0])[1]) + 1
        for point, radius in zip(chain, radii, strict=True):
            parent = add(SPINE_TYPE, point, float(radius), parent)
    return "\n".join(lines) + "\n"


def read_swc(path: Path, spacing_zyx_um: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> list[Dendrite]:
    """Read the dendrites of an SWC file; nodes of type 7 (spines) are left out.

    Parameters
    ----------
    path : Path
        Positions in um.
    spacing_zyx_um : tuple of float
        Voxel size of the stack that they belong to, for positions in pixels.

    Returns
    -------
    list of Dendrite
        One for each root, in the file's order.

    Raises
    ------
    SpinecoreError
        If a line has not seven numbers, a parent is missing, or no node is left.
    """
    nodes: dict[int, tuple[np.ndarray, float, int]] = {}
    for count, line in enumerate(
        Path(path).read_text(encoding="utf-8", errors="replace").splitlines(), start=1
    ):
        text = line.split("#")[0].split()
        if not text:
            continue
        try:
            number, kind, parent = int(float(text[0])), int(float(text[1])), int(float(text[6]))
            x, y, z, radius = (float(value) for value in text[2:6])
        except (ValueError, IndexError) as error:
            raise SpinecoreError(
                f"line {count} of {Path(path).name} is not SWC: it needs seven numbers"
            ) from error
        if kind != SPINE_TYPE:
            nodes[number] = (np.array([z, y, x]), radius, parent)
    if not nodes:
        raise SpinecoreError(
            f"{Path(path).name} holds no dendrite node: export it again from the tracing program"
        )
    children: dict[int, list[int]] = {}
    for number, (_, _, parent) in nodes.items():
        if parent > 0 and parent not in nodes:
            raise SpinecoreError(
                f"node {number} of {Path(path).name} has the parent {parent}, which does not exist"
            )
        children.setdefault(parent if parent > 0 else -1, []).append(number)
    found = [_grown(root, nodes, children) for root in children.get(-1, [])]
    found = [branches for branches in found if branches]
    return [Dendrite(i, branches, spacing_zyx_um) for i, branches in enumerate(found, start=1)]


def read_tracing(
    path: Path, shape_zyx: tuple[int, int, int], spacing_zyx_um: tuple[float, float, float]
) -> list[Dendrite]:
    """Read a user's own tracing of a stack, with points every `STEP_UM`.

    Parameters
    ----------
    path : Path
        SWC in um, from the centre of the first voxel (as `swc_text` writes it).
    shape_zyx : tuple of int
        Shape of the stack; with one slice, depth is left out.
    spacing_zyx_um : tuple of float
        Its voxel size.

    Returns
    -------
    list of Dendrite
        Numbered from 1 in the file's order.

    Raises
    ------
    SpinecoreError
        If the file is missing or no SWC, or if less than half of the tracing lies inside the stack.
    """
    try:
        found = read_swc(path, spacing_zyx_um)
    except OSError as error:
        raise SpinecoreError(
            f"the tracing {Path(path).name} cannot be read: give the path of an SWC file"
        ) from error
    dendrites = [replace(d, branches=tuple(_even(b, shape_zyx[0] == 1) for b in d.branches)) for d in found]
    points = np.concatenate([b.points_um for d in dendrites for b in d.branches] or [np.zeros((0, 3))])
    spacing = np.asarray(spacing_zyx_um, float)
    high = (np.array(shape_zyx) - 0.5) * spacing
    inside = np.all((points >= -spacing / 2) & (points <= high), axis=1)
    if not len(points) or inside.mean() < 0.5:
        raise SpinecoreError(
            f"the tracing {Path(path).name} does not lie inside this stack of {high[2]:.4g} x {high[1]:.4g} x {high[0]:.4g} um "
            "(x, y, z): export it in micrometres, from the stack's first voxel"
        )
    return dendrites


def keep_tracing(root: Path, name: str, content: bytes) -> Path:
    """Keep an uploaded SWC file in a workspace, under its checksum and name, and check that it can be read.

    Raises
    ------
    SpinecoreError
        If it is no SWC.
    """
    path = Path(root) / "tracings" / hashlib.sha256(content).hexdigest()[:12] / Path(name).name
    if path.exists():  # checked when it was kept
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    try:
        read_swc(path)
    except SpinecoreError:
        path.unlink()
        raise
    return path


def _even(branch: Branch, flat: bool) -> Branch:
    """Return a branch with a point every `STEP_UM`."""
    points = branch.points_um * (0.0, 1.0, 1.0) if flat else branch.points_um
    arc = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    at = np.linspace(0.0, arc[-1], max(round(arc[-1] / STEP_UM), 1) + 1)
    even = np.stack([np.interp(at, arc, points[:, k]) for k in range(3)], axis=1)
    return replace(branch, points_um=even, radii_um=np.interp(at, arc, branch.radii_um))


def _grown(root: int, nodes: dict, children: dict[int, list[int]]) -> tuple[Branch, ...]:
    """Return the branches that grow from a root node."""
    branches: list[Branch] = []
    open_: list[tuple[int, float, int]] = [(root, 0.0, 0)]
    while open_:
        start, distance, order = open_.pop()
        for child in children.get(start, []):
            chain = [start, child]
            while len(children.get(chain[-1], [])) == 1:
                chain.append(children[chain[-1]][0])
            points = np.array([nodes[n][0] for n in chain])
            radii = np.array([nodes[n][1] for n in chain])
            branch = Branch(points, radii, start, chain[-1], distance, order)
            branches.append(branch)
            open_.append((chain[-1], distance + branch.length_um, order + 1))
    return tuple(sorted(branches, key=lambda branch: (branch.start_um, branch.end)))
