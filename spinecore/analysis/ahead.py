"""Measures of every spine as every threshold would cut it, so that a threshold slider acts at once.

A region with k candidates can be cut for its best candidate alone, for its best two, and so on. Most regions of a stack
have one or two candidates, so all cuts together are about twice the spines of one threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from spinecore.corrections.shafts import Shafts
from spinecore.detection.candidates import Candidates
from spinecore.shapes.classify import PROBABILITY_COLUMNS
from spinecore.stack import Spacing

_PROBABILITY = [f"_{name}" for name in PROBABILITY_COLUMNS]
#: Measures of the spines of one cut, as rows of the spine table.
Rows = tuple[dict[str, Any], ...]


class CutKey(NamedTuple):
    """One region cut for some of its candidates: everything that the result depends on in a stack's detections.

    Parameters
    ----------
    region : int
        Number of the region.
    members : tuple of int
        The candidates that it is cut for.
    added : tuple of str
        Digests of those among them that a person added or moved and of what a person changed around the region (see
        `spinecore.detection.candidates.Candidates`), so that a spine added elsewhere under the same number is another cut.
    """

    region: int
    members: tuple[int, ...]
    added: tuple[str, ...] = ()


class MeasuredCuts:
    """What was measured of the cuts of one stack's detections; a cache that thresholds and corrections can share.

    An entry depends on its key alone and is never changed once it is there, so it does not matter which of several
    analyses or threads puts it in. The voxels of cuts and of corrected shafts (`shafts`, see
    `spinecore.corrections.replay`) stay out of pickles: they are made again when needed.

    Parameters
    ----------
    detected : Candidates, optional
        What the cuts are of, as the detector found it; None for cuts that only one `Cutter` uses.
    shape : tuple of int
        ZYX shape of the stack.
    spacing : Spacing, optional
        Voxel size of the stack (um).
    """

    def __init__(
        self,
        detected: Candidates | None = None,
        shape: tuple[int, int, int] = (0, 0, 0),
        spacing: Spacing | None = None,
    ) -> None:
        self._detected, self._of = detected, (shape, spacing)
        self._lock = Lock()
        self.shafts: dict[tuple[str, ...], Shafts] = {}
        self._labels: dict[CutKey, tuple[np.ndarray, np.ndarray]] = {}
        self._measures: dict[Hashable, dict[str, Any]] = {}
        self._rows: dict[CutKey, Rows] = {}
        self._probabilities: dict[tuple[CutKey, int], np.ndarray] = {}
        self._classified: set[CutKey] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the lock and the voxels."""
        with self._lock:
            return {
                "_detected": self._detected,
                "_of": self._of,
                "_rows": dict(self._rows),
                "_probabilities": dict(self._probabilities),
                "_classified": set(self._classified),
            }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore what `__getstate__` left out."""
        self._lock = Lock()
        self.shafts = {}
        self._labels, self._measures = {}, {}
        self.__dict__.update(state)

    def belong_to(self, detected: Candidates, shape: tuple[int, int, int], spacing: Spacing) -> bool:
        """Say whether these are cuts of these very detections, in a stack of this shape and spacing."""
        return self._detected is detected and self._of == (shape, spacing)

    def labels(
        self, key: CutKey, make: Callable[[], tuple[np.ndarray, np.ndarray]]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the divided region of a cut and its candidates, made when it is not there yet."""
        found = self._labels.get(key)
        if found is None:
            made = make()
            with self._lock:
                found = self._labels.setdefault(key, made)
        return found

    def measures(self, spine: Hashable, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the measures of one spine as some cuts outline it alike, taken when they are not there yet."""
        found = self._measures.get(spine)
        if found is None:
            made = make()
            with self._lock:
                found = self._measures.setdefault(spine, made)
        return dict(found)

    def rows(self, key: CutKey, make: Callable[[], Iterable[dict[str, Any]]]) -> Rows:
        """Return the measures of a cut, taken when they are not there yet."""
        found = self._rows.get(key)
        return self.add_rows(key, make()) if found is None else found

    def add_rows(self, key: CutKey, rows: Iterable[dict[str, Any]]) -> Rows:
        """Put in the measures of a cut, unless it has some; return those that it has."""
        made = tuple(rows)
        with self._lock:
            return self._rows.setdefault(key, made)

    def probabilities(self, key: CutKey, member: int) -> np.ndarray | None:
        """Return the class probabilities of one spine of a cut, or None where there are none."""
        return self._probabilities.get((key, member))

    def add_probabilities(self, found: Mapping[tuple[CutKey, int], np.ndarray]) -> None:
        """Put in class probabilities, by cut and candidate; those that are there stay."""
        with self._lock:
            for key, value in found.items():
                self._probabilities.setdefault(key, value)

    def unclassified(self, keys: Iterable[CutKey]) -> list[CutKey]:
        """Return the cuts that have spines which never went through the classifier."""
        return [
            key
            for key in keys
            if key not in self._classified and any((key, m) not in self._probabilities for m in key.members)
        ]

    def mark_classified(self, keys: Iterable[CutKey]) -> None:
        """Remember that the spines of these cuts without probabilities have no voxels to classify."""
        with self._lock:
            self._classified.update(keys)

    def write(self, path: Path) -> None:
        """Write measures and probabilities as one Parquet table, but for cuts with spines that a person added."""
        with self._lock:
            rows, probabilities = dict(self._rows), dict(self._probabilities)
        records = []
        for key, found in rows.items():
            if key.added:
                continue
            for row in found:
                seen = probabilities.get((key, int(row["spine_id"]) - 1))
                values = [np.nan] * len(_PROBABILITY) if seen is None else np.asarray(seen, float).tolist()
                place = {"_region": key.region, "_members": " ".join(map(str, key.members))}
                records.append({**row, **place, **dict(zip(_PROBABILITY, values, strict=True))})
        columns = None if records else ["_region", "_members"]
        pd.DataFrame(records, columns=columns).to_parquet(path, index=False)

    def read(self, path: Path, n_candidates: int) -> None:
        """Take over what `write` wrote.

        Parameters
        ----------
        path : Path
        n_candidates : int
            Cuts with candidates beyond these are passed over: until version 0.1 they could be spines that a person
            added.
        """
        table = pd.read_parquet(path)
        hidden = ["_region", "_members", *(n for n in _PROBABILITY if n in table)]
        kept = table.drop(columns=hidden).to_dict("records")
        has_classes = set(_PROBABILITY) <= set(table.columns)
        values = table[_PROBABILITY].to_numpy(float) if has_classes else np.full((len(table), 1), np.nan)
        rows: dict[CutKey, list[dict[str, Any]]] = {}
        probabilities: dict[tuple[CutKey, int], np.ndarray] = {}
        for row, region, members, seen in zip(
            kept, table["_region"].tolist(), table["_members"].tolist(), values, strict=True
        ):
            key = CutKey(int(region), tuple(int(m) for m in members.split()))
            if max(key.members) >= n_candidates:
                continue
            rows.setdefault(key, []).append({str(name): value for name, value in row.items()})
            if not np.isnan(seen).any():
                probabilities[key, int(row["spine_id"]) - 1] = seen
        for key, found in rows.items():
            self.add_rows(key, found)
        self.add_probabilities(probabilities)
        self.mark_classified(key for key, _ in probabilities)
