"""Closed-form phantoms: dendrites and spines made of capsules and balls, voxelised at any spacing."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from spinecore.morphometry.table import measure_spines
from spinecore.stack import Spacing
from spinecore.tracing.trace import Dendrite, dendrite_labels, trace_dendrites

Shape = tuple[int, int, int]
Zyx = tuple[float, float, float]


def grid(shape: Shape, spacing: Zyx) -> np.ndarray:
    """Return voxel centres in um, shape (Z, Y, X, 3)."""
    axes = [np.arange(n) * s for n, s in zip(shape, spacing, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def tube(where: np.ndarray, points: np.ndarray, radius: float) -> np.ndarray:
    """Return the voxels within `radius` of a polyline (um)."""
    distance = np.full(where.shape[:3], np.inf)
    for a, b in pairwise(points):
        along = b - a
        t = np.clip((where - a) @ along / (along @ along), 0, 1)
        np.minimum(distance, np.linalg.norm(where - a - t[..., None] * along, axis=-1), out=distance)
    return distance <= radius


@dataclass
class Phantom:
    """One straight dendrite along X with one spine: a neck (cylinder) and a head (ball), all sizes in um."""

    dendrite: np.ndarray
    spine: np.ndarray
    head_um: np.ndarray
    base_um: np.ndarray
    tip_um: np.ndarray
    intensity: np.ndarray
    spacing: Zyx

    def measure(self, seeded: bool = True):
        """Trace the dendrite and measure the spine; return its row and the dendrites."""
        return measure(
            self.spine, self.dendrite, self.intensity, self.spacing, self.head_um if seeded else None
        )


def measure(spine: np.ndarray, dendrite: np.ndarray, intensity, spacing: Zyx, head_um=None):
    """Return the first row of the spine table and the dendrites."""
    dendrites: list[Dendrite] = trace_dendrites(dendrite, spacing)
    ids = dendrite_labels(dendrite, dendrites, spacing)
    seeds = None if head_um is None else {1: head_um / np.array(spacing)}
    where = Spacing(*spacing, source="user")
    table = measure_spines(
        spine.astype(np.int32), ids, intensity, where, dendrites, seeds=seeds, scores={1: 0.9}
    )
    return table.iloc[0], dendrites


def spine_phantom(
    spacing: Zyx,
    length: float,
    head: float,
    neck: float,
    angle_deg: float = 0.0,
    shift: Zyx = (0.0, 0.0, 0.0),
    extent: Zyx = (5.0, 7.0, 6.0),
    shaft: float = 0.4,
    turn_deg: float = 0.0,
) -> Phantom:
    """Return a spine that leaves the shaft at an angle from the image plane.

    `shift` moves all between voxels; `turn_deg` turns all in the image plane.
    """
    shape = tuple(max(round(e / s), 1) for e, s in zip(extent, spacing, strict=True))
    where = grid(shape, spacing)
    middle = np.array(extent) / 2 + np.array(shift)
    if shape[0] == 1:
        middle[0] = 0.0
    turn = np.deg2rad(turn_deg)
    x = np.array([0.0, np.sin(turn), np.cos(turn)])
    dendrite = tube(where, np.array([middle - 20 * x, middle + 20 * x]), shaft)
    angle = np.deg2rad(angle_deg)
    out = np.array([np.sin(angle), np.cos(angle) * np.cos(turn), -np.cos(angle) * np.sin(turn)])
    base, tip = middle + shaft * out, middle + (shaft + length) * out
    centre = tip - out * head / 2
    spine = tube(where, np.array([middle, centre]), neck / 2) | tube(
        where, np.array([centre, centre + 1e-6]), head / 2
    )
    spine &= ~dendrite
    intensity = (100.0 + 1000.0 * (dendrite | spine)).astype(np.float32)
    return Phantom(dendrite, spine, centre, base, tip, intensity, spacing)
