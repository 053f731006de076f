"""Batches of labelled candidates of several kinds of stacks, turned, mirrored and scaled at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from spinecore.methods.second_look import CHANNELS_OF_TWO_SCALES, cut_cubes, plain_features
from spinecore.training.labelled import LabelledCandidates

BATCH = 64
#: Share of candidates of real stacks in a batch.
REAL_SHARE = 0.25
#: Share of candidates of dendrites with real shapes in a batch.
SHAPES_SHARE = 0.3
#: Share of candidates of real projections as thin stacks in a batch.
THIN_SHARE = 0.2
#: Candidates are drawn up to this much larger or smaller (logarithm), with noise in the intensity up to this standard deviation.
ZOOM, NOISE = 0.2, 0.05


def known_candidates(stacks: Sequence[LabelledCandidates]) -> np.ndarray:
    """Return (stack, candidate) of all whose truth is known, shape (n, 2)."""
    known = [np.flatnonzero(s.truth >= 0) for s in stacks]
    return np.concatenate(
        [np.zeros((0, 2), int), *(np.stack([np.full(len(k), n), k], 1) for n, k in enumerate(known))]
    )


class Sampler:
    """Draws candidates evenly, turned, mirrored and scaled at random.

    Parameters
    ----------
    stacks : sequence of LabelledCandidates
    seed : int
    real : sequence of LabelledCandidates
        Where given, `REAL_SHARE` of every batch is of these.
    shapes : sequence of LabelledCandidates
        Where given, `SHAPES_SHARE` of every batch is of these.
    thin : sequence of LabelledCandidates
        Where given, `THIN_SHARE` of every batch is of these.
    real_share : float
        In place of `REAL_SHARE`.
    channels : int
        Of the network that learns.
    """

    def __init__(
        self,
        stacks: Sequence[LabelledCandidates],
        seed: int,
        real: Sequence[LabelledCandidates] = (),
        shapes: Sequence[LabelledCandidates] = (),
        thin: Sequence[LabelledCandidates] = (),
        real_share: float = REAL_SHARE,
        channels: int = CHANNELS_OF_TWO_SCALES,
    ) -> None:
        self.n_maps = channels - 3
        self.stacks = [*stacks, *real, *shapes, *thin]
        self.rng = np.random.default_rng(seed)
        self.pairs = known_candidates(stacks)
        self.real_pairs = known_candidates(real) + np.array([len(stacks), 0])
        self.shapes_pairs = known_candidates(shapes) + np.array([len(stacks) + len(real), 0])
        self.thin_pairs = known_candidates(thin) + np.array([len(stacks) + len(real) + len(shapes), 0])
        shares = (
            (self.real_pairs, real_share),
            (self.shapes_pairs, SHAPES_SHARE),
            (self.thin_pairs, THIN_SHARE),
        )
        self.sources = [(pairs, round(share * BATCH)) for pairs, share in shares if len(pairs)]
        rest = BATCH - sum(count for _, count in self.sources)
        if len(self.pairs):
            self.sources.insert(0, (self.pairs, rest))

    def _draw(self) -> np.ndarray:
        drawn = [pairs[self.rng.integers(len(pairs), size=count)] for pairs, count in self.sources]
        return np.concatenate(drawn)

    def batch(self) -> dict[str, Any]:
        """Return tensors: fine and wide (N, channels, z, y, x), features (N, 2), truth (N,)."""
        rng = self.rng
        rows: dict[str, list[np.ndarray]] = {"fine": [], "wide": [], "features": [], "truth": []}
        for stack_number, index in self._draw():
            stack = self.stacks[stack_number]
            chosen, turn = np.array([index]), np.array([rng.uniform(0, 2 * np.pi)])
            zoom = np.exp(rng.uniform(-ZOOM, ZOOM, 1))
            cubes = cut_cubes(
                stack.crop,
                stack.maps[: self.n_maps],
                stack.centres_px,
                stack.heights,
                stack.spacing_zyx_um,
                chosen,
                turn,
                zoom,
            )
            flips = tuple(axis for axis in (2, 4) if rng.random() < 0.5)
            gain = np.exp(rng.normal(0, 0.15))
            noise = rng.uniform(0, NOISE)
            for name, cube in zip(("fine", "wide"), cubes, strict=True):
                turned = np.flip(cube, flips).copy()
                turned[:, 0] *= gain
                turned[:, 0] += noise * rng.standard_normal(turned[:, 0].shape, np.float32)
                rows[name].append(turned)
            rows["features"].append(plain_features(stack.heights[chosen], stack.volume.z_um))
            is_spine = (stack.truth == 1) | stack.again
            rows["truth"].append(is_spine[chosen].astype(np.float32))
        return {k: torch.from_numpy(np.concatenate(v).astype(np.float32)) for k, v in rows.items()}
