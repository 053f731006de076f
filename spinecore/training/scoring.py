"""Scores of a centre map while a network is trained: heads found on real images and in simulated stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from spinecore.evaluation.edges import centre_edges
from spinecore.evaluation.matching import match_edges
from spinecore.methods.peaks import find_peaks
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import predict_slices
from spinecore.simulation import simulate
from spinecore.training.pool import PoolVolume, decode, to_volume
from spinecore.training.samples import RealImage

#: Heads this close are the same (um).
TOLERANCE_UM = 1.0
#: Simulated stacks on which the weights are chosen: preset, seeds, slices and voxel size (z, xy; um).
VALIDATION = (
    ("confocal", range(900, 904), 24, 0.3, 0.08),
    ("confocal-crowded", range(904, 905), 24, 0.3, 0.1),
    ("twophoton", range(900, 904), 20, 0.5, 0.1),
    ("confocal-oblique", range(906, 908), 24, 0.4, 0.1),
    ("twophoton-clutter", range(908, 909), 16, 0.5, 0.1),
)


def predict_plane(model: Any, image: np.ndarray, tile_px: int = 1024) -> np.ndarray:
    """Return the maps (maps, Y, X) of a single image (Y, X)."""
    maps: list[np.ndarray] = []
    predict_slices(
        model, lambda _: image, 1, 1.0, lambda _, probabilities: maps.append(probabilities), tile_px=tile_px
    )
    return maps[0]


def score_points(
    model: Any, images: list[RealImage], thresholds: np.ndarray, near_um: float = np.inf
) -> np.ndarray:
    """Return (matched, predicted, truth) counts per threshold over real images, 1.0 um tolerance.

    Heads farther than `near_um` from every mark are left out: for images on which not every dendrite was looked at.
    """
    counts = np.zeros((len(thresholds), 3))
    for image in images:
        heat = (predict_plane(model, image.image)[2] * 255).astype(np.uint8)
        centres, scores = find_peaks(heat[None], (1.0, CANONICAL_UM, CANONICAL_UM))
        counted = near_marks(centres[:, 1:] * CANONICAL_UM, image.centres * CANONICAL_UM, near_um)
        counts += count_matches(centres[counted, 1:], scores[counted], image.centres, thresholds)
    return counts


def count_matches(
    found_px: np.ndarray,
    scores: np.ndarray,
    truth_px: np.ndarray,
    thresholds: np.ndarray,
    scale_um: Any = CANONICAL_UM,
) -> np.ndarray:
    """Return (matched, predicted, truth) for each threshold by one-to-one centre matching within 1 um.

    Parameters
    ----------
    found_px, truth_px : ndarray, shape (n, 2|3) and (m, 2|3)
    scores : ndarray, shape (n,)
    thresholds : ndarray, shape (t,)
    scale_um : float or array-like
        Size of a pixel, or of a voxel (z, y, x).

    Returns
    -------
    ndarray of float, shape (t, 3)
    """
    scale = np.asarray(scale_um, float)
    edges = centre_edges(np.asarray(truth_px) * scale, np.asarray(found_px) * scale, TOLERANCE_UM)
    found = (match_edges(edges, predicted=scores >= threshold).counts for threshold in thresholds)
    return np.array([(c.n_matched, c.n_predicted, c.n_truth) for c in found], float)


def beside_hidden(found_um: np.ndarray, truth_um: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return which heads are near a spine too dim to count and near no other: they neither help nor harm.

    Parameters
    ----------
    found_um, truth_um : ndarray, shape (n, 3) and (m, 3)
    visible : ndarray of bool, shape (m,)

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    edges = centre_edges(truth_um, found_um, TOLERANCE_UM)
    near = np.zeros(len(found_um), bool)
    near[edges.predicted] = True
    near[edges.keep(visible).predicted] = False
    return near


def near_marks(found_um: np.ndarray, marks_um: np.ndarray, near_um: float) -> np.ndarray:
    """Return which heads are at most `near_um` from a mark; all for an infinite distance.

    Examples
    --------
    >>> near_marks(np.array([[0.0, 1.0], [0.0, 9.0]]), np.zeros((1, 2)), 4.0).tolist()
    [True, False]
    """
    if np.isinf(near_um) or not len(found_um):
        return np.ones(len(found_um), bool)
    if not len(marks_um):
        return np.zeros(len(found_um), bool)
    near: np.ndarray = cKDTree(marks_um).query(found_um)[0] <= near_um
    return near


def centre_heat(model: Any, volume: PoolVolume) -> np.ndarray:
    """Return the centre map of a stack times 255, uint8 (Z, Y, X)."""
    heat = np.zeros(volume.image.shape, np.uint8)

    def emit(index: int, maps: np.ndarray) -> None:
        heat[index] = (maps[2] * 255).astype(np.uint8)

    predict_slices(model, lambda index: decode(volume.image[index]), len(heat), volume.z_um, emit)
    return heat


def score_volumes(
    model: Any, volumes: list[PoolVolume], thresholds: np.ndarray, near_um: float = np.inf
) -> np.ndarray:
    """Return counts per threshold over stacks; invisible spines neither help nor harm. `near_um`: see `score_points`."""
    counts = np.zeros((len(thresholds), 3))
    for volume in volumes:
        heat = centre_heat(model, volume)
        spacing = (volume.z_um, CANONICAL_UM, CANONICAL_UM)
        centres, scores = find_peaks(heat, spacing)
        um, seen = np.array(spacing), volume.centres[:, 3] > 0
        counted = ~beside_hidden(centres * um, volume.centres[:, :3] * um, seen)
        counted &= near_marks(centres * um, volume.centres[seen, :3] * um, near_um)
        counts += count_matches(centres[counted], scores[counted], volume.centres[seen, :3], thresholds, um)
    return counts


def f1(counts: np.ndarray) -> np.ndarray:
    """F1 from (matched, predicted, truth) rows."""
    return 2 * counts[:, 0] / np.maximum(counts[:, 1] + counts[:, 2], 1)


def validation_volumes(every: int = 1) -> list[PoolVolume]:
    """Simulate the stacks of `VALIDATION`, or each `every`-th of them."""
    wanted = [(p, seed, n, z, xy) for p, seeds, n, z, xy in VALIDATION for seed in seeds][::every]
    out = []
    for preset, seed, slices, z_um, pixel in wanted:
        made = simulate(seed, preset, (slices, 300, 300), (z_um, pixel, pixel))
        out.append(to_volume(made.stack.voxels, made))
    return out
