"""Every spine as it is cut at every threshold, measured ahead, so that a threshold slider acts at once.

A region with k candidates can be cut in k ways (its best candidate alone, its best two, ...). A stack's
regions have one or two candidates mostly, so all ways together are about twice the spines of one threshold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.shapes.classify import PROBABILITY_COLUMNS

#: A region's number and the candidates that it is cut for.
Key = tuple[int, tuple[int, ...]]
_PROBABILITY = [f"_{name}" for name in PROBABILITY_COLUMNS]


def write_ahead(
    path: Path, rows: dict[Key, list[dict]], shapes: dict[tuple[int, tuple[int, ...], int], np.ndarray]
) -> None:
    """Write measures (by cut) and class probabilities (by cut and candidate) as one Parquet table."""
    records = []
    for key, found in rows.items():
        for row in found:
            seen = shapes.get((*key, int(row["spine_id"]) - 1))
            values = [np.nan] * len(_PROBABILITY) if seen is None else np.asarray(seen, float).tolist()
            place = {"_region": key[0], "_members": " ".join(map(str, key[1]))}
            records.append({**row, **place, **dict(zip(_PROBABILITY, values, strict=True))})
    pd.DataFrame(records, columns=None if records else ["_region", "_members"]).to_parquet(path, index=False)


def read_ahead(
    path: Path,
) -> tuple[dict[Key, list[dict]], dict[tuple[int, tuple[int, ...], int], np.ndarray]]:
    """Read what `write_ahead` wrote."""
    table = pd.read_parquet(path)
    rows: dict[Key, list[dict]] = {}
    shapes: dict[tuple[int, tuple[int, ...], int], np.ndarray] = {}
    hidden = ["_region", "_members", *(n for n in _PROBABILITY if n in table)]
    kept = table.drop(columns=hidden).to_dict("records")
    has_shapes = set(_PROBABILITY) <= set(table.columns)
    values = table[_PROBABILITY].to_numpy(float) if has_shapes else np.zeros((len(table), 0))
    for row, region, members, seen in zip(
        kept, table["_region"].tolist(), table["_members"].tolist(), values, strict=True
    ):
        key = (int(region), tuple(int(m) for m in members.split()))
        rows.setdefault(key, []).append(row)
        if has_shapes and not np.isnan(seen).any():
            shapes[(*key, int(row["spine_id"]) - 1)] = seen
    return rows, shapes
