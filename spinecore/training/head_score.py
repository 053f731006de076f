"""Recipe `head-score`: the second look at the candidates that the default method finds in stacks.

The maps of `centre-unet-3d` (the weights in `models/`) are drawn once for every stack of the pool; each candidate is
learned from with its truth: a spine of its own, none, or unknown (near a spine too dim to count). Every
`HELD_OUT`-th stack of the pool takes no part and chooses the weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from spinecore.evaluation.edges import centre_edges
from spinecore.evaluation.matching import match_edges
from spinecore.files import replacing
from spinecore.methods.peaks import find_peaks
from spinecore.methods.second_look import (
    CHANNELS,
    CUBES,
    Crop,
    candidate_heads,
    cut_cubes,
    plain_features,
    score_heads,
)
from spinecore.methods.weights import SCORER
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import predict_slices
from spinecore.networks.views import TWO_VIEWS
from spinecore.networks.zoo import Card, get_card, load_network
from spinecore.training.pool import POOL_SIZE, PoolVolume, decode, fill_pool, load_volume, pool_files
from spinecore.training.recipe import Context, Recipe, Start, Trained
from spinecore.training.schedule import Schedule
from spinecore.training.scoring import count_matches, f1

READS = "centre-unet-3d"
ARCHITECTURE = {"kind": SCORER, "channels": CHANNELS, "width": 24}
LEARNING_RATE = 2e-3
#: For weights that have learned before.
LEARNING_RATE_AGAIN = 1e-3
BATCH = 64
HELD_OUT = 12
#: A candidate this close to a true head can be it (um).
TOLERANCE_UM = 1.0
#: Of two candidates that could be the same spine, how much farther (um) the higher one may lie and still be it, per unit of height.
PREFER_HIGH_UM = 0.5
#: What the networks that read cubes are given, for their cards.
CUBE_INPUTS = (
    "cubes of "
    + " and ".join(f"{c.shape} points, {c.step_um} um apart" for c in CUBES)
    + ": intensity, the three maps, stronger and weaker candidates"
)
THRESHOLDS = np.arange(0.1, 0.91, 0.05)


@dataclass
class LabelledCandidates:
    """A stack with its candidates and what each is.

    Parameters
    ----------
    volume : PoolVolume
    maps : ndarray, uint8, shape (3, Z, Y, X)
    centres_px, heights : ndarray, shape (n, 3) and (n,)
    truth : ndarray, int8, shape (n,)
        1 a visible spine, 0 none, -1 unknown.
    """

    volume: PoolVolume
    maps: np.ndarray
    centres_px: np.ndarray
    heights: np.ndarray
    truth: np.ndarray

    @property
    def spacing_zyx_um(self) -> tuple[float, float, float]:
        """Voxel size (um)."""
        return (self.volume.z_um, CANONICAL_UM, CANONICAL_UM)

    @property
    def crop(self) -> Crop:
        """Gives the normalised intensity of a window."""
        return lambda window: decode(self.volume.image[window])


def draw_maps(model: nn.Module, volume: PoolVolume) -> np.ndarray:
    """Run the 2.5-D network over a stack of the pool as the default method does; uint8 (3, Z, Y, X)."""
    maps = np.zeros((3, *volume.image.shape), np.uint8)

    def keep(index: int, probabilities: np.ndarray) -> None:
        maps[:, index] = (probabilities[:3] * 255).round().clip(0, 255)

    predict_slices(
        model,
        lambda i: decode(volume.image[i]),
        len(volume.image),
        volume.z_um,
        keep,
        views=TWO_VIEWS,
    )
    return maps


def maps_folder(work: Path, source: Card) -> Path:
    """Return where the maps of a model are kept, drawn as `draw_maps` does."""
    return work / SCORER / f"maps_{source.sha256[:8]}_{len(TWO_VIEWS)}_views"


def candidate_truth(
    centres_um: np.ndarray, heights: np.ndarray, truth_um: np.ndarray, visible: np.ndarray
) -> np.ndarray:
    """Say what each candidate is by one-to-one matching within `TOLERANCE_UM`.

    Parameters
    ----------
    centres_um, truth_um : ndarray, shape (n, 3) and (m, 3)
    heights : ndarray, shape (n,)
    visible : ndarray of bool, shape (m,)

    Returns
    -------
    ndarray, int8, shape (n,)
        1 matched to a visible spine, 0 to none; -1 where only invisible ones are near.
    """
    edges = centre_edges(truth_um, centres_um, TOLERANCE_UM)
    matched = match_edges(edges.preferring(PREFER_HIGH_UM / TOLERANCE_UM * heights), visible).pairs[:, 1]
    found = np.zeros(len(centres_um), np.int8)
    found[edges.predicted] = -1
    found[edges.keep(visible).predicted] = 0
    found[matched] = 1
    return found


def label_candidates(volume: PoolVolume, maps: np.ndarray) -> LabelledCandidates:
    """Find the candidates of a stack, and what each is."""
    um = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
    centres, heights = candidate_heads(maps[2], tuple(um))
    truth = volume.centres
    return LabelledCandidates(
        volume,
        maps,
        centres,
        heights,
        candidate_truth(centres * um, heights, truth[:, :3] * um, truth[:, 3] > 0),
    )


def load_labelled(
    pool: Path, store: Path, model: nn.Module, say: Callable[[str], None] = print
) -> list[LabelledCandidates]:
    """Return every stack of a pool with its maps, which are kept in `store` for the next time."""
    store.mkdir(parents=True, exist_ok=True)
    out = []
    paths = pool_files(pool)
    for number, path in enumerate(paths):
        volume, kept = load_volume(path), store / f"{path.stem}.npy"
        if not kept.exists():
            with replacing(kept) as temporary:
                np.save(temporary, draw_maps(model, volume))
        out.append(label_candidates(volume, np.load(kept)))
        if number % 50 == 49:
            say(f"maps of {number + 1}/{len(paths)} stacks")
    return out


class Sampler:
    """Draws candidates evenly, turned and mirrored at random."""

    def __init__(self, stacks: list[LabelledCandidates], seed: int) -> None:
        self.stacks = stacks
        self.rng = np.random.default_rng(seed)
        known = [np.flatnonzero(s.truth >= 0) for s in stacks]
        self.pairs = np.concatenate(
            [np.stack([np.full(len(k), n), k], 1) for n, k in enumerate(known) if len(k)]
        )

    def batch(self) -> dict[str, Any]:
        """Return tensors: fine and wide (N, CHANNELS, z, y, x), features (N, 2), truth (N,)."""
        rng = self.rng
        rows: dict[str, list[np.ndarray]] = {"fine": [], "wide": [], "features": [], "truth": []}
        for stack_number, index in self.pairs[rng.integers(len(self.pairs), size=BATCH)]:
            stack = self.stacks[stack_number]
            chosen, turn = np.array([index]), np.array([rng.uniform(0, 2 * np.pi)])
            cubes = cut_cubes(
                stack.crop, stack.maps, stack.centres_px, stack.heights, stack.spacing_zyx_um, chosen, turn
            )
            flips = tuple(axis for axis in (2, 4) if rng.random() < 0.5)
            gain = np.exp(rng.normal(0, 0.15))
            for name, cube in zip(("fine", "wide"), cubes, strict=True):
                turned = np.flip(cube, flips).copy()
                turned[:, 0] *= gain
                rows[name].append(turned)
            rows["features"].append(plain_features(stack.heights[chosen], stack.volume.z_um))
            rows["truth"].append(stack.truth[chosen].astype(np.float32))
        return {k: torch.from_numpy(np.concatenate(v).astype(np.float32)) for k, v in rows.items()}


def count_heads(stacks: list[LabelledCandidates], scores: list[np.ndarray]) -> np.ndarray:
    """Return (matched, predicted, truth) for each of `THRESHOLDS` over stacks; unknown candidates do not count."""
    counts = np.zeros((len(THRESHOLDS), 3))
    for stack, own in zip(stacks, scores, strict=True):
        kept, seen = stack.truth >= 0, stack.volume.centres[:, 3] > 0
        counts += count_matches(
            stack.centres_px[kept],
            own[kept],
            stack.volume.centres[seen, :3],
            THRESHOLDS,
            np.array(stack.spacing_zyx_um),
        )
    return counts


def heights_alone(stack: LabelledCandidates) -> np.ndarray:
    """Return the scores of a stack's candidates as they are without a second look: height, or 0 if too close to a stronger one."""
    kept, _ = find_peaks(stack.maps[2], stack.spacing_zyx_um)
    own = {tuple(c) for c in np.round(kept, 6)}
    return np.array(
        [
            h if tuple(c) in own else 0.0
            for c, h in zip(np.round(stack.centres_px, 6), stack.heights, strict=True)
        ]
    )


class HeadScoreRecipe(Recipe):
    """`head-score`: candidates of the stacks of the pool, turned and mirrored."""

    method = "centre-unet"
    title = "Second look at the heads that the Centre U-Net finds in a stack"

    def architecture(self) -> dict[str, Any]:
        """Two cubes and two plain features in, one logit out."""
        return ARCHITECTURE

    def prepare(self, context: Context) -> None:
        """Simulate the pool, draw the maps of its stacks and label their candidates; every `HELD_OUT`-th is held out."""
        self.source = get_card(READS)
        fill_pool(context.pool, POOL_SIZE)
        maps = maps_folder(context.work, self.source)
        stacks = load_labelled(
            context.pool, maps, load_network(READS, context.device, folded=True), context.say
        )
        self.held = stacks[HELD_OUT - 1 :: HELD_OUT]
        self.learned = [s for n, s in enumerate(stacks) if n % HELD_OUT != HELD_OUT - 1]
        self.sampler = Sampler(self.learned, seed=0)
        before = f1(count_heads(self.held, [heights_alone(s) for s in self.held]))
        self.heights_f1 = float(before.max())
        context.say(f"heights alone: F1 {self.heights_f1:.4f} at {THRESHOLDS[before.argmax()]:.2f}")

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Ten validations."""
        return Schedule(
            minutes,
            LEARNING_RATE_AGAIN if start.goes_on else LEARNING_RATE,
            weight_decay=1e-3,
            check_every_s=min(max(60.0, minutes * 60 / 10), 600.0),
        )

    def samples(self) -> dict[str, torch.Tensor]:
        """Return candidates with their truth, see `Sampler.batch`."""
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross-entropy."""
        logits = model(batch["fine"], batch["wide"], batch["features"]).float()
        return F.binary_cross_entropy_with_logits(logits, batch["truth"])

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the best F1 of heads on the held-out stacks and its threshold."""
        found = [
            score_heads(model, s.crop, s.maps, s.centres_px, s.heights, s.spacing_zyx_um) for s in self.held
        ]
        curve = f1(count_heads(self.held, found))
        at = int(np.argmax(curve))
        return {"select": float(curve[at]), "threshold": float(THRESHOLDS[at]), "f1": float(curve[at])}

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data, and F1 on the held-out stacks without and with it."""
        spines = int(sum(s.volume.centres[:, 3].sum() for s in self.held))
        where = (
            f"{len(self.held)} held-out stacks of the pool, {spines} visible spines (these chose the weights)"
        )
        scores = (("heights of peaks alone", self.heights_f1), ("with it", trained.chosen["f1"]))
        return {
            "inputs": CUBE_INPUTS,
            "reads_maps_of": {"name": self.source.name, "sha256": self.source.sha256},
            "trained_on": {
                "simulation": f"{len(self.sampler.pairs)} candidates of {len(self.learned)} stacks of "
                "`spinecore.training.pool`"
            },
            "scores": [
                {
                    "data": f"{where}, {what}",
                    "measure": "F1 (centre within 1 um)",
                    "value": round(float(value), 4),
                    "command": trained.command,
                }
                for what, value in scores
            ],
            "threshold": 0.5,
        }
