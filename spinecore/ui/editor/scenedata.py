"""What the canvas draws over the voxels: spines as small masks, dendrites as lines, measures as text."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.morphometry.hand import AUTOMATIC, BY_HAND, CORRECTED, MARKED
from spinecore.morphometry.measurer import position_only
from spinecore.ui.colours import has_values, value_text

if TYPE_CHECKING:
    from spinecore.analysis.result import Analysis

#: Measures of the chosen spine, and of its dendrite, in the panel.
SPINE_MEASURES = (
    "length_um",
    "head_width_um",
    "neck_length_um",
    "neck_width_um",
    "volume_um3",
    "position_along_dendrite_um",
)
DENDRITE_MEASURES = ("path_length_um", "n_spines", "density_per_um")


def scene_of(analysis: Analysis) -> dict[str, Any]:
    """Return the stack's geometry, its spines, candidates and dendrites; places are ZYX in the stack's own voxels."""
    known = analysis.spacing.known_xy
    step = 1 / np.array([1.0, *analysis.candidates.scale_yx])
    return {
        "shape": list(analysis.shape),
        "voxel": list(analysis.spacing.zyx_um(z_default=1.0)) if known else [1.0, 1.0, 1.0],
        "unit": "µm" if known else "px",
        "grid": {"step": step.tolist(), "offset": (0.5 * step - 0.5).tolist()},
        "flat": analysis.is_2d,
        "spines": _spines(analysis),
        "candidates": _candidates(analysis),
        "dendrites": _dendrites(analysis),
        "soma": None
        if analysis.corrections.soma_px is None
        else _rounded(np.array(analysis.corrections.soma_px)),
    }


def to_stack_px(analysis: Analysis, grid_px: np.ndarray) -> np.ndarray:
    """Return places (..., 3) of the analysis grid in the stack's own voxels (ZYX, from 0)."""
    return (np.asarray(grid_px, float) + 0.5) / np.array([1.0, *analysis.candidates.scale_yx]) - 0.5


def pack_mask(mask: np.ndarray, origin: tuple[int, ...]) -> dict[str, Any]:
    """Return the voxels of a mask in their own box: its first voxel, its shape and a bit a voxel.

    Examples
    --------
    >>> mask = np.zeros((2, 3, 3), bool)
    >>> mask[1, 1, 1:] = True
    >>> pack_mask(mask, (5, 0, 0))
    {'o': [6, 1, 1], 's': [1, 1, 2], 'm': 'wA=='}
    """
    where = np.nonzero(mask)
    if not len(where[0]):
        return {"o": list(origin), "s": [0, 0, 0], "m": ""}
    low, high = [int(w.min()) for w in where], [int(w.max()) + 1 for w in where]
    box = mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    return {
        "o": [int(a + b) for a, b in zip(origin, low, strict=True)],
        "s": list(box.shape),
        "m": base64.b64encode(np.packbits(box).tobytes()).decode("ascii"),
    }


def _spines(analysis: Analysis) -> list[dict[str, Any]]:
    rows = analysis.spines.set_index("spine_id")
    bare = set(rows.index[position_only(rows)])
    known = [name for name in SPINE_MEASURES if has_values(analysis.spines, name)]
    records = rows.to_dict("index")
    out = []
    for number, origin, mask in analysis.cutter.cut(analysis.threshold):
        row = records.get(number)
        if row is None:
            continue
        head = to_stack_px(analysis, analysis.candidates.centres_px[number - 1])
        out.append(
            {
                "id": number,
                **pack_mask(mask, origin),
                "bare": number in bare,
                "head": _rounded(head),
                "base": _place(row, "base"),
                "tip": _place(row, "tip"),
                "dendrite": _whole(row.get("dendrite_id")),
                "class": row["class"] if isinstance(row.get("class"), str) else "",
                "score": None if pd.isna(row["score"]) else round(float(row["score"]), 3),
                "neck": _number(row.get("neck_length_um")),
                "length": _number(row.get("length_um")),
                "hand": row.get("origin") in (BY_HAND, MARKED),
                "mark": row["mark"] if isinstance(row.get("mark"), str) else "",
                "edited": row.get("origin") == CORRECTED,
                "branched": bool(row.get("branched")),
                "values": [[SPINE_COLUMNS[n].title, value_text(row[n], SPINE_COLUMNS[n])] for n in known],
                "why": row["missing_reason"] if isinstance(row.get("missing_reason"), str) else "",
            }
        )
    return out


def _candidates(analysis: Analysis) -> list[dict[str, Any]]:
    """Return what was proposed and does not count, with its score and whether a person removed it; no addition undone."""
    candidates = analysis.candidates
    everyone = np.arange(len(candidates.scores))
    out = np.setdiff1d(everyone[~candidates.far], candidates.counting(everyone, analysis.threshold))
    standing = {e.spine for e in analysis.corrections.standing if e.kind == "add"}
    verdicts = candidates.verdicts if len(candidates.verdicts) else np.zeros(len(everyone), np.int8)
    return [
        {
            "id": int(n) + 1,
            "head": _rounded(to_stack_px(analysis, candidates.centres_px[n])),
            "score": None if np.isnan(candidates.scores[n]) else round(float(candidates.scores[n]), 3),
            "removed": bool(verdicts[n] < 0),
        }
        for n in out
        if n < candidates.n_detected or int(n) + 1 in standing
    ]


def _dendrites(analysis: Analysis) -> list[dict[str, Any]]:
    rows = analysis.dendrites.set_index("dendrite_id").to_dict("index") if len(analysis.dendrites) else {}
    out = []
    for dendrite in analysis.candidates.dendrites:
        row = rows.get(dendrite.id, {})
        lines = [np.round(to_stack_px(analysis, points), 3) for points in dendrite.points_px]
        hand = dendrite.origin != AUTOMATIC
        out.append(
            {
                "id": int(dendrite.id),
                "lines": [{"points": line.ravel().tolist(), "hand": hand} for line in lines],
                "values": [
                    [DENDRITE_COLUMNS[n].title, value_text(row[n], DENDRITE_COLUMNS[n])]
                    for n in DENDRITE_MEASURES
                    if n in row
                ],
            }
        )
    return out


def path_of(analysis: Analysis, spine: int | None) -> list[float] | None:
    """Return the path along which a spine's length is taken, base to tip, as z, y, x, z, y, x, ...; None without a length."""
    if spine is None:
        return None
    row = analysis.spines.loc[analysis.spines["spine_id"] == spine, "length_um"]
    if row.empty or pd.isna(row.iloc[0]):
        return None
    crop, centre, _ = analysis.cutter.crop_of(spine, analysis.threshold)
    path = analysis.cutter.measurer.path_px(crop, centre)
    return None if path is None else np.round(to_stack_px(analysis, path), 3).ravel().tolist()


def _place(row: dict[str, Any], what: str) -> list[float] | None:
    """Return a place of the table, None where it is not known."""
    px = np.array([row.get(f"{what}_{axis}_px", np.nan) for axis in "zyx"], float)
    if np.isnan(px[1:]).any():
        return None
    return _rounded(np.nan_to_num(px))


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(v), 3) for v in values]


def _number(value: Any) -> float | None:
    return None if value is None or pd.isna(value) else round(float(value), 4)


def _whole(value: Any) -> int | None:
    return None if value is None or pd.isna(value) else int(value)
