"""Morphometry of spines: one row of `spinecore.morphometry.columns.SPINE_COLUMNS` per spine.

`Measurer` knows the dendrites and the grid and measures one spine from a small crop (`SpineCrop`), so that a changed
threshold measures only what changed; `measure_spines` runs it over a label volume; `finish_table` adds what needs
all spines and withholds what the spacing does not allow. A value that cannot be measured is NaN and has a reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from spinecore.errors import SpinecoreError
from spinecore.morphometry.columns import SPINE_COLUMNS, TEXT_COLUMNS
from spinecore.morphometry.contact import SpineCrop
from spinecore.morphometry.measurer import RESOLUTION_UM, Measurer
from spinecore.morphometry.place import among_spines
from spinecore.stack import Spacing
from spinecore.tracing.trace import Dendrite

#: In-plane size taken for geometry while the pixel size is unknown; no um value is reported then.
NOMINAL_ZYX_UM = (0.3, 0.1, 0.1)


def measure_spines(
    labels: np.ndarray,
    dendrite_labels: np.ndarray,
    intensity: np.ndarray | None,
    spacing: Spacing,
    dendrites: Sequence[Dendrite],
    *,
    scores: Mapping[int, float] | None = None,
    seeds: Mapping[int, np.ndarray] | None = None,
    only: Iterable[int] | None = None,
    resolution_um: float = RESOLUTION_UM,
    progress: Callable[[float], None] | None = None,
) -> pd.DataFrame:
    """Measure every spine of a label volume.

    Parameters
    ----------
    labels : ndarray of int, shape (Z, Y, X)
        Spine numbers, 0 outside; Z == 1 for a projection.
    dendrite_labels : ndarray of int, shape (Z, Y, X)
        Dendrite numbers, 0 outside.
    intensity : ndarray, shape (Z, Y, X), or None
        Raw intensities.
    spacing : Spacing
        An unknown size makes the um columns missing; the dendrites must then have been traced with `geometry_zyx_um`.
    dendrites : list of Dendrite
        Their centre lines.
    scores, seeds : mapping from spine number, optional
        Confidence, and head centre in voxels (ZYX).
    only : iterable of int, optional
        Measure these spines only.
    resolution_um : float
        Widths below this (or two pixels) are flagged as resolution-limited.
    progress : callable, optional
        Called with the fraction done.

    Returns
    -------
    DataFrame
        Columns of `SPINE_COLUMNS`, one row per spine, by number.

    Raises
    ------
    ValueError
        If the arrays do not have one ZYX shape.
    """
    arrays = [labels, dendrite_labels] + ([] if intensity is None else [intensity])
    if labels.ndim != 3 or any(array.shape != labels.shape for array in arrays):
        raise SpinecoreError(
            f"labels, dendrite labels and intensity must share one ZYX shape, not {[a.shape for a in arrays]}"
        )
    zyx = np.asarray(geometry_zyx_um(spacing))
    background = 0.0
    if intensity is not None:
        sample = intensity[:: max(1, intensity.shape[0] // 8), ::4, ::4]
        background = float(np.percentile(sample, 10))
    measurer = Measurer(
        dendrites, tuple(zyx), labels.shape, background=background, resolution_um=resolution_um
    )
    wanted = None if only is None else {int(i) for i in only}
    boxes = {i: box for i, box in enumerate(ndi.find_objects(labels), start=1) if box is not None}
    heads = {int(i): np.asarray(place, float) for i, place in (seeds or {}).items()}
    for i, place in heads.items():
        boxes.setdefault(i, tuple(slice(round(v), round(v) + 1) for v in place))
    ids = sorted(i for i in boxes if wanted is None or i in wanted)
    rows = []
    for done, i in enumerate(ids):
        seed = heads.get(i)
        window = _window(boxes[i], seed, measurer)
        own = labels[window]
        crop = SpineCrop(
            origin=(window[0].start, window[1].start, window[2].start),
            mask=own == i,
            others=(own != i) & (own > 0),
            dendrite=dendrite_labels[window],
            intensity=None if intensity is None else intensity[window],
        )
        rows.append(measurer.measure_one(i, crop, seed, np.nan if scores is None else scores.get(i, np.nan)))
        if progress and done % 20 == 0:
            progress(done / len(ids))
    return finish_table(rows, spacing, measurer.grid.flat)


def geometry_zyx_um(spacing: Spacing) -> tuple[float, float, float]:
    """Return the voxel size for geometry: the known sizes, and `NOMINAL_ZYX_UM` where they are unknown."""
    if spacing.pixel_um is None:
        return NOMINAL_ZYX_UM
    return spacing.zyx_um(z_default=3 * spacing.pixel_um)


def _window(box: tuple, seed: np.ndarray | None, measurer: Measurer) -> tuple[slice, ...]:
    """Return the spine's box with its seed and the nearest point of a centre line within reach, and a margin."""
    low = np.array([s.start for s in box], float)
    high = np.array([s.stop - 1 for s in box], float)
    centre = (low + high) / 2 if seed is None else seed
    if seed is not None:
        low, high = np.minimum(low, np.floor(seed)), np.maximum(high, np.ceil(seed))
    axis = measurer.lines.reach(centre)
    if axis is not None:
        low, high = np.minimum(low, np.floor(axis)), np.maximum(high, np.ceil(axis))
    margin = np.array([1, 10, 10])
    low = np.clip(low - margin, 0, np.array(measurer.grid.shape) - 1).astype(int)
    high = np.clip(high + margin + 1, 1, measurer.grid.shape).astype(int)
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))


#: Columns that need no spacing, only the in-plane size, or (all other um columns) the whole voxel.
_NEEDS_XY = {"x_um", "y_um", "area_um2"}
_NEEDS_NONE = {name for name, column in SPINE_COLUMNS.items() if "um" not in column.unit}


def finish_table(rows: list[dict[str, Any]], spacing: Spacing, flat: bool) -> pd.DataFrame:
    """Make the spine table from measured rows.

    Adds positions in um and the distance to the nearest neighbour, and withholds every um value that the spacing does
    not allow, with the reason.

    Parameters
    ----------
    rows : list of dict
        From `Measurer.measure_one`.
    spacing : Spacing
        Of the input, which the rows' pixel positions refer to.
    flat : bool
        True for a single slice or projection.

    Returns
    -------
    DataFrame
        Columns of `SPINE_COLUMNS`.
    """
    table = pd.DataFrame(rows, columns=list(SPINE_COLUMNS))
    if len(table) == 0:
        return table
    texts = [name for name in table if name in TEXT_COLUMNS]
    table[texts] = table[texts].astype(object).fillna("")
    table["edited"] = [bool(row.get("edited", False)) for row in rows]
    for name in ("dendrite_id", "branch"):
        table[name] = table[name].astype("Int64")
    table = among_spines(table, geometry_zyx_um(spacing), flat)
    withheld, reason = set(), ""
    if not spacing.known_xy:
        withheld, reason = set(SPINE_COLUMNS) - _NEEDS_NONE, "the pixel size is unknown"
    elif not flat and not spacing.known_z:
        withheld, reason = (
            set(SPINE_COLUMNS) - _NEEDS_NONE - _NEEDS_XY,
            "the distance between the slices is unknown",
        )
    if withheld:
        table[sorted(withheld)] = np.nan
        old = table["missing_reason"].astype(str)
        table["missing_reason"] = np.where(old == "", reason, old + "; " + reason)
    return table
