"""Corrections of a stored analysis by a person: appended to a list, and its tables written anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import RESULTS, load_analysis, save_analysis, write_table
from spinecore.corrections.classes import correct_class
from spinecore.corrections.grow import COLUMN_UM, depth_of_head, find_place
from spinecore.corrections.replay import append_step, read_steps, standing, write_region
from spinecore.detection.candidates import Candidates
from spinecore.errors import SpinecoreError
from spinecore.files import replacing
from spinecore.networks.scale import resize_plane

#: Two tabs correct the same analysis one after the other.
_ONE_AT_A_TIME = threading.RLock()


def change_class(folder: Path, spine_id: int, answer: str | None) -> Analysis:
    """Give a spine another class (None: the network's again) and return the analysis as it now is.

    The correction is appended to `class_corrections.jsonl`; spines.csv and dendrites.csv are replaced, each
    only when complete.

    Raises
    ------
    ValueError
        If the class is unknown or the analysis has no such spine.
    SpinecoreError
        If the folder holds no complete analysis.
    """
    folder = Path(folder)
    spines = load_analysis(folder).spines
    shown = spines.loc[spines["spine_id"] == spine_id, "class"]
    if shown.empty:
        raise SpinecoreError(f"this analysis has no spine {spine_id}: choose one from its table")
    before = shown.iloc[0]
    correct_class(folder, spine_id, answer, before if isinstance(before, str) else None)
    changed = load_analysis(folder)
    for name, table in (("spines.csv", changed.spines), ("dendrites.csv", changed.dendrites)):
        with replacing(folder / name) as temporary:
            write_table(table, temporary)
    return changed


def remove_spine(folder: Path, spine_id: int) -> Analysis:
    """Say that a detection is no spine, whatever its score; return the analysis as it now is.

    As all corrections here, it is first appended to `spine_corrections.jsonl`, and then the tables, labels and overview
    are written anew.

    Raises
    ------
    SpinecoreError
        If there is no such candidate.
    SpinecoreError
        If the folder holds no complete analysis.
    """
    return _judge(folder, spine_id, "remove")


def count_spine(folder: Path, spine_id: int) -> Analysis:
    """Say that a candidate is a spine, whatever its score; see `remove_spine`."""
    return _judge(folder, spine_id, "count")


def undo_correction(folder: Path) -> Analysis:
    """Take the last correction that still stands back.

    Raises
    ------
    SpinecoreError
        If there is none.
    """
    with _ONE_AT_A_TIME:
        if not standing(read_steps(folder)):
            raise SpinecoreError("there is no correction to take back")
        append_step(folder, action="undo")
        return _refreshed(folder)


def add_spine(
    folder: Path, place_px: np.ndarray, read_planes: Callable[[range], Iterable[np.ndarray]]
) -> tuple[Analysis, int]:
    """Add a spine where a person points; a candidate or a larger region that lies there is used.

    Parameters
    ----------
    folder : Path
        Of the analysis.
    place_px : ndarray, shape (3,)
        Z, y, x in the stack's voxels; a z of NaN is taken from the brightest voxel above the place.
    read_planes : callable
        Gives some of the stack's slices (Y, X) of the analysed channel.

    Returns
    -------
    analysis : Analysis
        As it now is.
    spine_id : int

    Raises
    ------
    SpinecoreError
        If nothing can be a spine there.
    """
    folder = Path(folder)
    with _ONE_AT_A_TIME:
        analysis = load_analysis(folder)
        candidates = analysis.candidates
        height, width = candidates.shape[1:]
        scale = np.array([1.0, *candidates.scale_yx])
        place = (np.asarray(place_px, float) + 0.5) * scale - 0.5
        place[0] = place_px[0]
        if np.isnan(place[0]):
            place[0] = _depth_of(place_px[1:], analysis, read_planes)
        wanted = _slices_near(place[0], candidates)
        intensity = np.zeros(candidates.shape, np.float32)
        for z, plane in zip(wanted, read_planes(wanted), strict=True):
            intensity[z] = resize_plane(plane.astype(np.float32), (height, width))
        found = find_place(candidates, analysis.threshold, analysis.dendrite_ids, intensity, place)
        if found.candidate is not None:
            return count_spine(folder, found.candidate + 1), found.candidate + 1
        spine_id = len(candidates.scores) + 1
        if found.grown is not None:
            write_region(folder, spine_id, found.grown)
        append_step(
            folder,
            action="add",
            spine_id=spine_id,
            centre_px=[round(float(v), 3) for v in found.centre_px],
            region=found.region,
            untraced=found.untraced,
        )
        changed = _refreshed(folder)
        if not (changed.spines["spine_id"] == spine_id).any():
            undo_correction(folder)
            raise SpinecoreError("that spine has no room for a second one: click farther from its head")
        return changed, spine_id


def _depth_of(
    yx_px: np.ndarray, analysis: Analysis, read_planes: Callable[[range], Iterable[np.ndarray]]
) -> int:
    """Return the slice in which something stands out at a place of the projection."""
    _, y_um, x_um = analysis.spacing.zyx_um(z_default=1.0)
    reach = np.ceil(COLUMN_UM / np.array([y_um, x_um])).astype(int)
    middle = np.clip(np.round(yx_px).astype(int), 0, np.array(analysis.shape[1:]) - 1)
    low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, analysis.shape[1:])
    column = np.stack([p[low[0] : high[0], low[1] : high[1]] for p in read_planes(range(analysis.shape[0]))])
    row, line = ((middle + 0.5) * analysis.candidates.scale_yx - 0.5).round().astype(int).clip(0)
    row, line = min(row, analysis.candidates.shape[1] - 1), min(line, analysis.candidates.shape[2] - 1)
    shaft = analysis.dendrite_ids[:, row, line] > 0
    return depth_of_head(column, middle - low, shaft, (y_um, x_um))


def _slices_near(z: float, candidates: Candidates, reach_um: float = 6.0) -> range:
    step = max(1, int(np.ceil(reach_um / candidates.spacing_zyx_um[0])))
    middle = int(np.clip(round(z), 0, candidates.shape[0] - 1))
    return range(max(0, middle - step), min(candidates.shape[0], middle + step + 1))


def _judge(folder: Path, spine_id: int, action: str) -> Analysis:
    folder = Path(folder)
    with _ONE_AT_A_TIME:
        if not 0 < spine_id <= len(load_analysis(folder).candidates.scores):
            raise SpinecoreError(f"this analysis has no candidate {spine_id}: choose one from its table")
        append_step(folder, action=action, spine_id=int(spine_id))
        return _refreshed(folder)


def _refreshed(folder: Path) -> Analysis:
    analysis = load_analysis(folder)
    save_analysis(analysis, folder, RESULTS)
    return analysis
