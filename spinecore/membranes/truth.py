"""A labelled truth: reading it, and scoring a membrane map against it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.membranes.cells import MIN_AREA_PX, label_cells, partition
from spinecore.membranes.scores import pixel_scores, region_scores
from spinecore.reading import open_stack, stem

#: Names of the scores, as shown to people, and whether more is better.
SCORE_TITLES: dict[str, tuple[str, bool]] = {
    "iou": ("IoU", True),
    "dice": ("Dice", True),
    "pixel_error": ("Pixel error", False),
    "rand_error": ("Rand error (two classes)", False),
    "adapted_rand_error": ("Adapted Rand error", False),
    "v_rand": ("V_rand, thinned borders", True),
    "v_info": ("V_info, thinned borders", True),
    "rand_split": ("V_rand split", True),
    "rand_merge": ("V_rand merge", True),
}


def read_truth(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a labelled truth: white inside cells and black on membranes, or cell numbers with 0 on membranes.

    Returns
    -------
    ndarray of bool, shape (Z, Y, X)
        True inside cells.

    Raises
    ------
    SpinecoreError
        If the file cannot be read or holds one value only.
    """
    with open_stack(path) as file:
        voxels = file.read().voxels
    inside = voxels > (voxels.max() / 2 if len(np.unique(voxels)) == 2 else 0)
    if inside.all() or not inside.any():
        raise SpinecoreError(
            f"{Path(path).name} is no truth: it needs white cells and black membranes, or cell numbers and 0"
        )
    return inside


def truth_for(image: Path, given: Path) -> Path | None:
    """Return the truth of an image: the given file, or in a given folder the one of the same name."""
    if not given.exists():
        raise SpinecoreError(f"{given} does not exist: check --truth")
    if given.is_file():
        return given
    same = [path for path in sorted(given.iterdir()) if path.is_file() and stem(path) == stem(image)]
    return same[0] if same else None


def score_map(
    interior: np.ndarray, membrane: np.ndarray, level: float, min_area_px: int = MIN_AREA_PX
) -> dict[str, float]:
    """Score the membrane map of one section; see `PixelScores` and `RegionScores`.

    Parameters
    ----------
    interior : ndarray of bool, shape (Y, X)
        Truth, True inside cells.
    membrane : ndarray, shape (Y, X)
        Probability 0..1.
    level : float
        As in `label_cells`.
    min_area_px : int

    Raises
    ------
    SpinecoreError
        If the two differ in shape.
    """
    if interior.shape != membrane.shape:
        raise SpinecoreError(
            f"the truth has {interior.shape[1]} x {interior.shape[0]} pixels and the section "
            f"{membrane.shape[1]} x {membrane.shape[0]}: give the truth of this section"
        )
    cut = partition(membrane)
    pieces = label_cells(cut, membrane, level, min_area_px)
    return asdict(pixel_scores(interior, membrane < level)) | asdict(
        region_scores(interior, pieces, cut.zones(level))
    )


def mean_scores(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each score over sections."""
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
