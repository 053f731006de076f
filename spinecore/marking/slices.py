"""Outlines and boxes of one spine in several slices, which a file without ids does not say to be one: joined where they overlap."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.evaluation.annotations import EDGE_COLUMNS, Annotations, Outline
from spinecore.evaluation.edges import Edges
from spinecore.evaluation.matching import assign

#: Boxes of neighbouring slices are of one spine where they share this much of the smaller one.
LEAST_OVERLAP = 0.5
#: Names that this program's export gives to the outlines of a spine.
_OWN_NAME = re.compile(r"(?:^|/)spine_(\d+)_z\d+(?:_\d+)?\.roi$")


def join_slices(found: Annotations, path: Path) -> tuple[Annotations, tuple[str, ...]]:
    """Return annotations in which what overlaps in neighbouring slices is one object, and a sentence about it.

    Files that say which object each outline is of, points and lines stay as they are.
    """
    table = found.objects
    edges = table[list(EDGE_COLUMNS)].to_numpy(float)
    area = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    own = table["first_slice"].to_numpy(float)
    single = np.isfinite(own) & (own == table["last_slice"].to_numpy(float)) & (area > 0)
    given = list(table["object_id"]) != list(range(len(table)))
    if given or found.labels or not len(table) or not single.all():
        return found, ()
    numbers = _exported_numbers(path)
    known = len(numbers) == len(table)
    of = np.unique(numbers, return_inverse=True)[1] if known else np.arange(len(table))
    for number in [] if known else np.unique(own):
        here, there = np.flatnonzero(own == number), np.flatnonzero(own == number + 1)
        overlap = _overlap(edges[here], edges[there])
        a, b = np.nonzero(overlap >= LEAST_OVERLAP)
        pairs = Edges(a, b, overlap[a, b], overlap[a, b], len(here), len(there))
        for k in assign(pairs):
            of[there[b[k]]] = of[here[a[k]]]
    groups = [np.flatnonzero(of == first) for first in pd.unique(of)]
    if len(groups) == len(table):
        return found, ()
    rows = []
    outlines: dict[int, tuple[Outline, ...]] = {}
    for members in groups:
        largest = members[area[members].argmax()]
        row = table.iloc[largest].copy()
        row["z_px"] = float(np.average(own[members], weights=area[members]))
        row["first_slice"], row["last_slice"] = own[members].min(), own[members].max()
        rows.append(row)
        own_lines = [line for k in members for line in found.outlines.get(table["object_id"].iloc[k], ())]
        if len(own_lines) == len(members):
            outlines[len(rows) - 1] = tuple(own_lines)
    joined = pd.DataFrame(rows).reset_index(drop=True).assign(object_id=np.arange(len(rows)))
    joined["visible"] = joined["visible"].astype(bool)
    note = f"The {len(table)} outlines of {found.name} are {len(rows)} spines: "
    note += "they are named so." if known else "those that overlap in neighbouring slices are one."
    joined = joined.astype({c: float for c in ("x_px", "y_px", "z_px", *EDGE_COLUMNS)})
    return replace(found, objects=joined, outlines=outlines), (note,)


def _exported_numbers(path: Path) -> list[int]:
    """Return the spine of every outline where all are named as this program exports them; else nothing."""
    if path.suffix.lower() != ".zip":
        return []
    with zipfile.ZipFile(path) as packed:
        names = [name for name in packed.namelist() if name.lower().endswith(".roi")]
    found = [_OWN_NAME.search(name) for name in names]
    return [int(m.group(1)) for m in found if m] if all(found) else []


def _overlap(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Share of the smaller of each two boxes (left, top, right, bottom) that lies in both."""
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), -1)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], -1) for boxes in (one, other)]
    return shared / np.maximum(np.minimum(areas[0][:, None], areas[1][None]), 1e-9)
