"""The soma, marked by a person, and how far each spine is from it: straight, and along the dendrite where it gets there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import networkx as nx
import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.files import write_json
from spinecore.morphometry import missing
from spinecore.tables.column import Column, columns_of, measures
from spinecore.tracing.trace import Dendrite

#: Name of the mark in an analysis folder.
FILE_NAME = "soma.json"
#: A dendrite whose centre line ends farther than this from the mark has no known way to the soma (um).
REACH_UM = 20.0


def mark_soma(folder: Path, zyx_px: Sequence[float] | None) -> None:
    """Keep where the soma is (z, y, x in the stack's own voxels) beside an analysis; None removes the mark.

    Raises
    ------
    SpinecoreError
        When the numbers are not finite.
    """
    axes = ("z_px", "y_px", "x_px")
    facts: dict[str, float | None] = dict.fromkeys(axes)
    if zyx_px is not None:
        if len(zyx_px) != 3 or not np.all(np.isfinite(np.asarray(zyx_px, float))):
            raise SpinecoreError("the soma needs three finite numbers: x, y and z in pixels")
        facts = {axis: float(value) for axis, value in zip(axes, zyx_px, strict=True)}
    write_json(Path(folder) / FILE_NAME, facts, indent=None)


def read_soma(folder: Path) -> tuple[float, float, float] | None:
    """Return where the soma is (z, y, x in voxels), or None where it is not marked."""
    try:
        facts = json.loads((Path(folder) / FILE_NAME).read_text(encoding="utf-8"))
        return float(facts["z_px"]), float(facts["y_px"]), float(facts["x_px"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


@measures(
    Column(
        "soma_distance_um",
        "um",
        "Distance to soma",
        "Straight distance from the soma, where a person marked it, to the spine's base.",
        "Euclidean distance.",
        f"no soma is marked; {missing.DENDRITE}; or {missing.VOXEL}",
    ),
    Column(
        "soma_path_um",
        "um",
        "Path to soma",
        "Distance from the marked soma to the spine's base along the dendrite.",
        "Straight from the mark to the nearest free end of the dendrite's centre line, then along it.",
        f"no soma is marked, no end of the dendrite lies within {REACH_UM:g} um of it, or {missing.VOXEL}",
    ),
)
def soma_distances(
    spines: pd.DataFrame,
    dendrites: Sequence[Dendrite],
    soma_um: np.ndarray,
    bases_um: np.ndarray,
    reach_um: float = REACH_UM,
) -> pd.DataFrame:
    """Return the distance of every spine's base from the soma.

    Parameters
    ----------
    spines : DataFrame
        With dendrite_id, branch and position_along_dendrite_um.
    dendrites : sequence of Dendrite
    soma_um : ndarray, shape (3,)
        ZYX, in the frame of the centre lines.
    bases_um : ndarray, shape (n, 3)
        Where each spine leaves its dendrite; NaN where unknown.
    reach_um : float

    Returns
    -------
    DataFrame
        `SOMA_COLUMNS`, index of `spines`. The path runs straight from the mark to the nearest end of the dendrite's
        centre line, and then along it; NaN where no end lies within `reach_um`.
    """
    straight = np.linalg.norm(np.asarray(bases_um, float) - soma_um, axis=1)
    to_nodes = {d.id: _distances_to_nodes(d, np.asarray(soma_um, float), reach_um) for d in dendrites}
    single = {d.id for d in dendrites if len(d.branches) == 1}
    lines = {d.id: d for d in dendrites}
    path = np.full(len(spines), np.nan)
    numbers = spines["branch"] if "branch" in spines else pd.Series(np.nan, spines.index)
    for k, (owner, number, place) in enumerate(
        zip(spines["dendrite_id"], numbers, spines["position_along_dendrite_um"], strict=True)
    ):
        nodes = None if pd.isna(owner) else to_nodes.get(int(owner))
        if nodes is None or pd.isna(place):
            continue
        if pd.isna(number) and int(owner) not in single:
            continue
        branch = lines[int(owner)].branches[0 if pd.isna(number) else int(number) - 1]
        along = float(place) - branch.start_um
        path[k] = min(nodes[branch.start] + along, nodes[branch.end] + branch.length_um - along)
    return pd.DataFrame({"soma_distance_um": straight, "soma_path_um": path}, index=spines.index)


def _distances_to_nodes(dendrite: Dendrite, soma_um: np.ndarray, reach_um: float) -> dict[int, float] | None:
    """Path distance from the soma to every node of a dendrite, or None where no free end is near."""
    net = nx.MultiGraph()
    places: dict[int, np.ndarray] = {}
    for branch in dendrite.branches:
        net.add_edge(branch.start, branch.end, weight=branch.length_um)
        places[branch.start], places[branch.end] = branch.points_um[0], branch.points_um[-1]
    ends = [node for node in net if net.degree(node) == 1] or list(net)
    gaps = {node: float(np.linalg.norm(places[node] - soma_um)) for node in ends}
    gap, entry = min((gap, node) for node, gap in gaps.items())
    if gap > reach_um:
        return None
    found = nx.single_source_dijkstra_path_length(net, entry, weight="weight")
    return {node: gap + value for node, value in found.items()}


#: What a marked soma adds to a spine table.
SOMA_COLUMNS = columns_of(soma_distances)


def with_soma(
    spines: pd.DataFrame,
    dendrites: Sequence[Dendrite],
    soma_px: Sequence[float] | None,
    zyx_um: Sequence[float],
) -> pd.DataFrame:
    """Return a spine table with `SOMA_COLUMNS` filled in; without a mark they are empty.

    Parameters
    ----------
    spines : DataFrame
        Positions in the stack's own voxels.
    dendrites : sequence of Dendrite
    soma_px : sequence of float or None
        z, y, x in the stack's own voxels.
    zyx_um : sequence of float
        The stack's voxel size.
    """
    if soma_px is None:
        return spines.assign(**dict.fromkeys(SOMA_COLUMNS, np.nan))
    size = np.asarray(zyx_um, float)
    bases = spines[["base_z_px", "base_y_px", "base_x_px"]].to_numpy(float) * size
    return spines.assign(**soma_distances(spines, dendrites, np.asarray(soma_px, float) * size, bases))
