"""Scores of a centre map while a network is trained: heads found on real images and in simulated stacks."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

from spinecore.methods.peaks import find_peaks
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import predict_slices
from spinecore.simulation import simulate
from spinecore.training.pool import PoolVolume, decode, to_volume
from spinecore.training.samples import RealImage

#: Simulated stacks on which the weights are chosen: preset, seeds, slices and voxel size (z, xy; um).
VALIDATION = (
    ("confocal", range(900, 904), 24, 0.3, 0.08),
    ("confocal-crowded", range(904, 905), 24, 0.3, 0.1),
    ("twophoton", range(900, 904), 20, 0.5, 0.1),
    ("confocal-oblique", range(906, 908), 24, 0.4, 0.1),
    ("twophoton-clutter", range(908, 909), 16, 0.5, 0.1),
)


def score_points(model: Any, images: list[RealImage], thresholds: np.ndarray) -> np.ndarray:
    """Return (matched, predicted, truth) counts per threshold over real images, 1.0 um tolerance."""
    counts = np.zeros((len(thresholds), 3))
    for image in images:
        planes: list[np.ndarray] = []
        predict_slices(
            model,
            lambda _, p=image.image: p,
            1,
            1.0,
            lambda _, p, o=planes: o.append(p[2]),
        )
        centres, scores = find_peaks(
            (planes[0] * 255).astype(np.uint8)[None], (1.0, CANONICAL_UM, CANONICAL_UM)
        )
        counts += count_matches(centres[:, 1:], scores, image.centres, thresholds)
    return counts


def count_matches(
    found_px: np.ndarray,
    scores: np.ndarray,
    truth_px: np.ndarray,
    thresholds: np.ndarray,
    scale_um: Any = CANONICAL_UM,
) -> np.ndarray:
    """Return (matched, predicted, truth) for each threshold by one-to-one centre matching within 1 um."""
    rows = []
    distance = cdist(found_px * scale_um, truth_px * scale_um) if len(found_px) and len(truth_px) else None
    for threshold in thresholds:
        keep = scores >= threshold
        matched = 0
        if distance is not None and keep.any():
            near = distance[keep] <= 1.0
            i, j = linear_sum_assignment(~near)
            matched = int(near[i, j].sum())
        rows.append((matched, int(keep.sum()), len(truth_px)))
    return np.array(rows, float)


def score_volumes(model: Any, volumes: list[PoolVolume], thresholds: np.ndarray) -> np.ndarray:
    """Return counts per threshold over simulated volumes; invisible spines neither help nor harm."""
    counts = np.zeros((len(thresholds), 3))
    for volume in volumes:
        heat = np.zeros(volume.image.shape, np.uint8)

        def emit(index: int, maps: np.ndarray, heat: np.ndarray = heat) -> None:
            heat[index] = (maps[2] * 255).astype(np.uint8)

        predict_slices(model, lambda i, v=volume: decode(v.image[i]), len(heat), volume.z_um, emit)
        spacing = (volume.z_um, CANONICAL_UM, CANONICAL_UM)
        centres, scores = find_peaks(heat, spacing)
        seen = volume.centres[:, 3] > 0
        hidden = volume.centres[~seen, :3]
        if len(hidden) and len(centres):
            um = np.array(spacing)
            near_hidden = cdist(centres * um, hidden * um).min(1) <= 1.0
            near_seen = (
                cdist(centres * um, volume.centres[seen, :3] * um).min(1) <= 1.0
                if seen.any()
                else np.zeros(len(centres), bool)
            )
            ok = near_seen | ~near_hidden
            centres, scores = centres[ok], scores[ok]
        counts += count_matches(centres, scores, volume.centres[seen, :3], thresholds, np.array(spacing))
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
