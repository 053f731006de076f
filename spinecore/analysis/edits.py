"""Changes of a stored analysis by a person: corrections, appended to a log, and another threshold; tables are written anew.

One change is made at a time: others, in this process or another, wait until its files are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from filelock import FileLock

from spinecore.analysis.result import Analysis
from spinecore.analysis.storage import FILES, RESULTS, check_complete, load_analysis, save_analysis
from spinecore.corrections.classes import ClassChange
from spinecore.corrections.grow import COLUMN_UM, depth_of_head, find_place
from spinecore.corrections.log import SpineStep, append_class_change, append_step, read_corrections
from spinecore.corrections.replay import standing
from spinecore.detection.candidates import Candidates
from spinecore.errors import SpinecoreError
from spinecore.morphometry.soma import mark_soma
from spinecore.networks.scale import resize_plane

#: Name of the lock in an analysis folder.
LOCK = ".corrections.lock"
#: What another class or soma changes.
TABLES = ("spines.csv", "dendrites.csv", "analysis.json")


def change_class(folder: Path, spine_id: int, answer: str | None) -> Analysis:
    """Give a spine another class (None: the network's again) and return the analysis as it now is.

    The correction is appended to a log, and the tables are written anew.

    Raises
    ------
    SpinecoreError
        If the class is unknown, the analysis has no such spine, or the folder holds no complete analysis.
    """
    with _opened(folder) as analysis:
        shown = analysis.spines.loc[analysis.spines["spine_id"] == spine_id, "class"]
        if shown.empty:
            raise SpinecoreError(f"this analysis has no spine {spine_id}: choose one from its table")
        before = shown.iloc[0]
        change = ClassChange(int(spine_id), answer, before if isinstance(before, str) else None)
        append_class_change(folder, change)
        return _saved(load_analysis(folder), folder, TABLES)


def set_soma(folder: Path, zyx_px: Sequence[float] | None) -> Analysis:
    """Mark the soma (z, y, x in the stack's own voxels; None removes the mark) and return the analysis as it now is.

    Raises
    ------
    SpinecoreError
        If the numbers are not finite, or the folder holds no complete analysis.
    """
    with _opened(folder):
        mark_soma(folder, zyx_px)
        return _saved(load_analysis(folder), folder, TABLES)


def set_threshold(folder: Path, threshold: float) -> Analysis:
    """Store an analysis at another threshold, and return it as it now is.

    Raises
    ------
    SpinecoreError
        If the folder holds no complete analysis.
    """
    with _opened(folder) as analysis:
        return _saved(analysis.at_threshold(threshold), folder, FILES)


def remove_spine(folder: Path, spine_id: int) -> Analysis:
    """Say that a detection is no spine, whatever its score; return the analysis as it now is.

    As all corrections here, it is first appended to a log, and then the tables, labels and overview are written anew.

    Raises
    ------
    SpinecoreError
        If there is no such candidate, or the folder holds no complete analysis.
    """
    with _opened(folder) as analysis:
        return _with_verdict(folder, analysis, spine_id, "remove")


def count_spine(folder: Path, spine_id: int) -> Analysis:
    """Say that a candidate is a spine, whatever its score; see `remove_spine`."""
    with _opened(folder) as analysis:
        return _with_verdict(folder, analysis, spine_id, "count")


def undo_correction(folder: Path) -> Analysis:
    """Undo the last correction that still stands.

    Raises
    ------
    SpinecoreError
        If there is none, or the folder holds no complete analysis.
    """
    with _opened(folder) as analysis:
        if not standing(analysis.corrections.spines):
            raise SpinecoreError("there is no correction left to undo")
        return _with_step(folder, analysis, SpineStep("undo"))


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
        If nothing can be a spine there, or the folder holds no complete analysis.
    """
    with _opened(folder) as analysis:
        place = _on_grid(place_px, analysis, read_planes)
        intensity = _intensity_near(place[0], analysis.candidates, read_planes)
        found = find_place(
            analysis.candidates, analysis.threshold, analysis.dendrite_ids, intensity, place, analysis.rules
        )
        if found.candidate is not None:
            number = found.candidate + 1
            return _with_verdict(folder, analysis, number, "count"), number
        number = len(analysis.candidates.scores) + 1
        z, y, x = (round(float(v), 3) for v in found.centre_px)
        step = SpineStep("add", number, (z, y, x), found.region, found.grown, found.untraced)
        changed = _with_step(folder, analysis, step)
        if not (changed.spines["spine_id"] == number).any():
            _with_step(folder, changed, SpineStep("undo"))
            raise SpinecoreError("that spine has no room for a second one: click farther from its head")
        return changed, number


@contextmanager
def _opened(folder: Path) -> Iterator[Analysis]:
    """Read an analysis and keep others from correcting it for the length of a `with` block."""
    check_complete(Path(folder))
    with FileLock(Path(folder) / LOCK):
        yield load_analysis(folder)


def _with_verdict(
    folder: Path, analysis: Analysis, spine_id: int, action: Literal["remove", "count"]
) -> Analysis:
    if not 0 < spine_id <= len(analysis.candidates.scores):
        raise SpinecoreError(f"this analysis has no candidate {spine_id}: choose one from its table")
    return _with_step(folder, analysis, SpineStep(action, int(spine_id)))


def _with_step(folder: Path, analysis: Analysis, step: SpineStep) -> Analysis:
    append_step(folder, step)
    return _saved(analysis.with_corrections(read_corrections(folder)), folder, RESULTS)


def _saved(analysis: Analysis, folder: Path, files: tuple[str, ...]) -> Analysis:
    save_analysis(analysis, folder, files)
    return analysis


def _on_grid(
    place_px: np.ndarray, analysis: Analysis, read_planes: Callable[[range], Iterable[np.ndarray]]
) -> np.ndarray:
    """Bring a place in the stack's voxels to the analysis grid, and find its depth where that is unknown."""
    scale = np.array([1.0, *analysis.candidates.scale_yx])
    place = (np.asarray(place_px, float) + 0.5) * scale - 0.5
    place[0] = place_px[0]
    if np.isnan(place[0]):
        place[0] = _depth_of(place_px[1:], analysis, read_planes)
    return place


def _intensity_near(
    z: float, candidates: Candidates, read_planes: Callable[[range], Iterable[np.ndarray]]
) -> np.ndarray:
    """Return the stack on the analysis grid; slices far from a depth are 0."""
    wanted = _slices_near(z, candidates)
    intensity = np.zeros(candidates.shape, np.float32)
    for k, plane in zip(wanted, read_planes(wanted), strict=True):
        intensity[k] = resize_plane(plane.astype(np.float32), candidates.shape[1:])
    return intensity


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
