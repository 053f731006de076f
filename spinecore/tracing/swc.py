"""Centre lines as SWC files, the format of neuron tracers: id, type, x, y, z, radius, parent (um).

Dendrites have type 3; a spine is a chain base - head - tip of type 7 (custom) that hangs on the nearest dendrite node.
"""

from __future__ import annotations

import codecs
import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from spinecore.errors import SpinecoreError
from spinecore.files import write_atomic
from spinecore.tracing.edge import arc_lengths
from spinecore.tracing.refine import STEP_UM
from spinecore.tracing.trace import Branch, Dendrite

SOMA_TYPE, AXON_TYPE, DENDRITE_TYPE, APICAL_TYPE, SPINE_TYPE = 1, 2, 3, 4, 7
DENDRITE_TYPES = (DENDRITE_TYPE, APICAL_TYPE)
#: More nodes of type 1 than this are no soma.
_MOST_SOMA_NODES = 20
#: Pieces of soma that lie farther than this from their middle are several somas (um).
_SOMA_REACH_UM = 15.0
#: Numbers in a line.
_COLUMNS = 7
#: Units of the positions of a tracing.
UNITS = ("um", "pixels")


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


@dataclass(frozen=True)
class Tracing:
    """What an SWC file holds.

    Parameters
    ----------
    dendrites : list of Dendrite
        One for each root, in the file's order.
    soma_um : ndarray, shape (3,), or None
        Mean position of the soma's nodes, ZYX; None where the file holds none, or several.
    notes : tuple of str
        What was left out, in sentences.
    """

    dendrites: list[Dendrite]
    soma_um: np.ndarray | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Node:
    kind: int
    zyx: np.ndarray
    radius: float
    parent: int


def read_swc(
    path: Path, spacing_zyx_um: tuple[float, float, float] = (1.0, 1.0, 1.0), units: str = "um"
) -> Tracing:
    """Read the dendrites of an SWC file: nodes of type 3 and 4 (basal and apical).

    Axon (2), soma (1) and spines (7) are left out; a dendrite that hangs on one of these begins at its own first node.
    Where no node is of type 3 or 4, those without a type (0) or of custom types take their place.

    Parameters
    ----------
    path : Path
    spacing_zyx_um : tuple of float
        Voxel size of the stack that the tracing belongs to.
    units : str
        "um", or "pixels" for positions and radii in voxels of that stack.

    Returns
    -------
    Tracing

    Raises
    ------
    SpinecoreError
        If a line has not seven numbers, an id comes twice, a parent is missing, nodes form a circle, or no dendrite is left.
    """
    name = Path(path).name
    if units not in UNITS:
        raise SpinecoreError(f"the units of a tracing are um or pixels, not {units!r}")
    step = np.array(spacing_zyx_um if units == "pixels" else (1.0, 1.0, 1.0))
    nodes = _read_nodes(Path(path), step)
    kept, notes = _dendrite_nodes(nodes, name)
    children: dict[int, list[int]] = {}
    roots = []
    for number, node in kept.items():
        if node.parent >= 0 and node.parent != number and node.parent not in nodes and node.parent != 0:
            raise SpinecoreError(
                f"node {number} of {name} has the parent {node.parent}, which does not exist"
            )
        if node.parent in kept and node.parent >= 0 and node.parent != number:
            children.setdefault(node.parent, []).append(number)
        else:
            roots.append(number)
    reached = set(roots)
    waiting = list(roots)
    while waiting:
        grown = children.get(waiting.pop(), [])
        reached.update(grown)
        waiting += grown
    if len(reached) < len(kept):
        stray = next(number for number in kept if number not in reached)
        raise SpinecoreError(
            f"the nodes of {name} form a circle (node {stray} is its own ancestor): correct its parents"
        )
    found = [_grown(root, kept, children) for root in roots]
    found = [branches for branches in found if branches and any(_has_length(branch) for branch in branches)]
    if not found:
        raise SpinecoreError(
            f"{name} holds single points of dendrite and no line: export it again from the tracing program"
        )
    soma, said = _soma({number: node for number, node in nodes.items() if number not in kept}, name)
    return Tracing(
        [Dendrite(i, branches, spacing_zyx_um) for i, branches in enumerate(found, start=1)],
        soma,
        (*notes, *said),
    )


def _has_length(branch: Branch) -> bool:
    return bool((branch.points_um != branch.points_um[0]).any())


def _soma(others: dict[int, _Node], name: str) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Return the middle of the soma, and what is said where there are several, of which none is taken."""
    soma = {number: node for number, node in others.items() if node.kind == SOMA_TYPE}
    if not soma:
        return None, ()
    middle = np.mean([node.zyx for node in soma.values()], axis=0)
    roots = np.array(
        [node.zyx for number, node in soma.items() if node.parent not in soma or node.parent == number]
    )
    if len(roots) > 1 and np.linalg.norm(roots - roots.mean(0), axis=1).max() > _SOMA_REACH_UM:
        return None, (f"{name} holds {len(roots)} somas, so none of them was marked.",)
    return middle, ()


def _read_nodes(path: Path, step: np.ndarray) -> dict[int, _Node]:
    """Return the nodes of a file by id, in um."""
    nodes: dict[int, _Node] = {}
    content = path.read_bytes()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    lines = content.decode("utf-16" if wide else "utf-8", errors="replace").splitlines()
    for count, line in enumerate(lines, start=1):
        text = _fields(line.lstrip("\ufeff").split("#")[0])
        if not text:
            continue
        try:
            number, kind, parent = int(float(text[0])), int(float(text[1])), int(float(text[6]))
            x, y, z, radius = (float(value) for value in text[2:6])
        except (ValueError, IndexError, OverflowError) as error:
            raise SpinecoreError(f"line {count} of {path.name} is not SWC: it needs seven numbers") from error
        if not np.isfinite([x, y, z]).all():
            raise SpinecoreError(f"line {count} of {path.name} has a position that is no number: correct it")
        if number in nodes:
            raise SpinecoreError(
                f"node {number} of {path.name} comes twice (line {count}): export the tracing again"
            )
        nodes[number] = _Node(kind, np.array([z, y, x]) * step, radius * float(step[2]), parent)
    if not nodes:
        raise SpinecoreError(f"{path.name} holds no dendrite node: export it again from the tracing program")
    return nodes


def _fields(line: str) -> list[str]:
    """Return the numbers of a line, separated by blanks, tabs, semicolons or commas; commas may stand for points.

    Examples
    --------
    >>> _fields("1 3 0,5 0 0 1 -1")[2], _fields("1, 3, 0, 5, 0, 1, -1")[2], _fields("1;3;0,5;0;0;1;-1")[2]
    ('0.5', '0', '0.5')
    """
    parts = line.replace(";", " ").split()
    if len(parts) >= _COLUMNS and not any(part.endswith(",") for part in parts):
        return [part.replace(",", ".") for part in parts]
    return " ".join(parts).replace(",", " ").split()


def _dendrite_nodes(nodes: dict[int, _Node], name: str) -> tuple[dict[int, _Node], tuple[str, ...]]:
    """Return the nodes that are dendrite, and what is said about the others."""
    kept = {number: node for number, node in nodes.items() if node.kind in DENDRITE_TYPES}
    notes = []
    if not kept:
        # a soma is a few nodes; a long line of "soma" is a tracing whose types mean nothing
        soma = sum(node.kind == SOMA_TYPE for node in nodes.values())
        others = {AXON_TYPE, SPINE_TYPE} | ({SOMA_TYPE} if soma <= _MOST_SOMA_NODES else set())
        kept = {number: node for number, node in nodes.items() if node.kind not in others}
        if kept:
            kinds = ", ".join(sorted({str(node.kind) for node in kept.values()}))
            notes.append(
                f"No node of {name} is marked as dendrite (type 3 or 4); its {len(kept)} nodes of type {kinds} are taken for it."
            )
    left = Counter(node.kind for number, node in nodes.items() if number not in kept)
    words = {SOMA_TYPE: "soma", AXON_TYPE: "axon"}
    said = [
        f"{count} of {words.get(kind, f'type {kind}')}"
        for kind, count in sorted(left.items())
        if kind != SPINE_TYPE
    ]
    if said:
        notes.append(f"Left out of {name}: nodes that are no dendrite ({', '.join(said)}).")
    if not kept:
        raise SpinecoreError(
            f"{name} holds no dendrite node (type 3 or 4): export the dendrites from the tracing program"
        )
    return kept, tuple(notes)


def read_tracing(
    path: Path, shape_zyx: tuple[int, int, int], spacing_zyx_um: tuple[float, float, float], units: str = "um"
) -> Tracing:
    """Read a user's own tracing of a stack, with points every `STEP_UM`.

    Parameters
    ----------
    path : Path
        SWC, from the centre of the first voxel (as `swc_text` writes it).
    shape_zyx : tuple of int
        Shape of the stack; with one slice, depth is left out.
    spacing_zyx_um : tuple of float
        Its voxel size.
    units : str
        "um" or "pixels".

    Returns
    -------
    Tracing
        Dendrites numbered from 1 in the file's order.

    Raises
    ------
    SpinecoreError
        If the file is missing or no SWC, or if less than half of the tracing lies inside the stack.
    """
    try:
        found = read_swc(path, spacing_zyx_um, units)
    except OSError as error:
        raise SpinecoreError(
            f"the tracing {Path(path).name} cannot be read: give the path of an SWC file"
        ) from error
    flat = shape_zyx[0] == 1
    dendrites = [replace(d, branches=tuple(_even(b, flat) for b in d.branches)) for d in found.dendrites]
    points = np.concatenate([b.points_um for d in dendrites for b in d.branches] or [np.zeros((0, 3))])
    spacing = np.asarray(spacing_zyx_um, float)
    high = (np.array(shape_zyx) - 0.5) * spacing
    inside = np.all((points >= -spacing / 2) & (points <= high), axis=1)
    if not len(points) or inside.mean() < 0.5:
        raise SpinecoreError(
            f"the tracing {Path(path).name} does not lie inside this stack of {high[2]:.4g} x {high[1]:.4g} x {high[0]:.4g} um "
            "(x, y, z): say whether its positions are um or pixels, and export it from the stack's first voxel"
        )
    return replace(found, dendrites=dendrites)


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
    arc = arc_lengths(points)
    at = np.linspace(0.0, arc[-1], max(round(arc[-1] / STEP_UM), 1) + 1)
    even = np.stack([np.interp(at, arc, points[:, k]) for k in range(3)], axis=1)
    return replace(branch, points_um=even, radii_um=np.interp(at, arc, branch.radii_um))


def _grown(root: int, nodes: dict[int, _Node], children: dict[int, list[int]]) -> tuple[Branch, ...]:
    """Return the branches that grow from a root node."""
    branches: list[Branch] = []
    open_: list[tuple[int, float, int]] = [(root, 0.0, 0)]
    while open_:
        start, distance, order = open_.pop()
        for child in children.get(start, []):
            chain = [start, child]
            while len(children.get(chain[-1], [])) == 1:
                chain.append(children[chain[-1]][0])
            points = np.array([nodes[n].zyx for n in chain])
            radii = np.array([nodes[n].radius for n in chain])
            branch = Branch(points, radii, start, chain[-1], distance, order)
            branches.append(branch)
            open_.append((chain[-1], distance + branch.length_um, order + 1))
    return tuple(sorted(branches, key=lambda branch: (branch.start_um, branch.end)))
