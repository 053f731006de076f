"""Recipe `head-score`: the second look at the candidates that the default method finds in stacks.

The maps of `centre-unet-3d` (the weights in `models/`) are drawn once for every stack; each candidate is learned from
with its truth: a spine, none, or unknown (near a spine too dim to count; in real stacks wherever nobody
marked; real projections take part as thin stacks). A spine seen again so near that only one of the two will be kept is a spine in both places. `REAL_SHARE` of every batch is of the marked real stacks, `SHAPES_SHARE` of simulated dendrites with real shapes, `THIN_SHARE`
of real projections, the rest of the simulated pool; real ones are also there as another microscope might show them (`spinecore.training.variants`). Every `HELD_OUT`-th simulated stack and the choosing days of the real ones take no part and
choose the weights, by the mean of their F1; what is kept is their mean with those that the training went on from.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.methods.peaks import find_peaks
from spinecore.methods.second_look import (
    CHANNELS_OF_TWO_SCALES,
    CUBES,
    heads_apart,
    score_heads,
)
from spinecore.methods.two_scales import COARSE
from spinecore.methods.weights import SCORER
from spinecore.networks.zoo import get_card, load_network
from spinecore.simulation.real_shapes import ShapeSet
from spinecore.training.head_batches import REAL_SHARE, SHAPES_SHARE, THIN_SHARE, Sampler
from spinecore.training.held_out import power_for
from spinecore.training.labelled import (
    READS,
    THRESHOLDS,
    LabelledCandidates,
    RealCandidates,
    load_labelled,
    load_real,
    maps_folder,
)
from spinecore.training.pool import SHAPES, fill_pool, fill_shapes
from spinecore.training.real_stacks import CHOOSING, CREDIT, FOLDER, LEARNED, OWN_SEGMENT
from spinecore.training.recipe import Context, Recipe, Stage, Trained
from spinecore.training.schedule import Schedule, Start
from spinecore.training.scoring import count_matches, f1
from spinecore.training.start import mean_of, with_more_channels
from spinecore.training.thin_stacks import load_thin_stacks

ARCHITECTURE = {"kind": SCORER, "channels": CHANNELS_OF_TWO_SCALES, "width": 24}
LEARNING_RATE = 2e-3
#: Folder of real projections with a point at each spine, in that of labelled data.
POINTS = "points2d"
#: For weights that have learned before.
LEARNING_RATE_AGAIN = 1e-3
HELD_OUT = 12
#: On the card: scores are raised to the power that takes the best threshold of the held-out stacks to this.
THRESHOLD = 0.5
#: Stacks with real shapes for each of the pool.
SHAPES_PER_STACK = 1.0
#: Real stacks that are learned from are also there so many times changed at random, those that choose so many times.
VARIANTS, VARIANTS_HELD = 6, 2
#: What the networks that read cubes are given, for their cards.
CUBE_INPUTS = (
    "cubes of "
    + " and ".join(f"{c.shape} points, {c.step_um} um apart" for c in CUBES)
    + ": intensity, the three maps, stronger and weaker candidates"
)


def held_apart(
    stacks: list[LabelledCandidates],
) -> tuple[list[LabelledCandidates], list[LabelledCandidates]]:
    """Return every `HELD_OUT`-th stack, and the others."""
    learned = [s for n, s in enumerate(stacks) if n % HELD_OUT != HELD_OUT - 1]
    return stacks[HELD_OUT - 1 :: HELD_OUT], learned


def load_shapes(context: Context, maps: Path, network: nn.Module) -> list[LabelledCandidates]:
    """Return stacks of dendrites with real shapes with their candidates; none without the folder of shapes."""
    folder = context.data / SHAPES
    if not folder.is_dir():
        return []
    pool = context.pool / SHAPES
    fill_shapes(pool, round(SHAPES_PER_STACK * context.pool_size), ShapeSet.of(folder))
    return load_labelled(pool, maps / SHAPES, network, context.say)


def count_heads(
    stacks: list[LabelledCandidates], scores: list[np.ndarray], thresholds: np.ndarray = THRESHOLDS
) -> np.ndarray:
    """Return (matched, predicted, truth) for each threshold over stacks, of heads as an analysis keeps them.

    Unknown candidates do not count.
    """
    counts = np.zeros((len(thresholds), 3))
    for stack, own in zip(stacks, scores, strict=True):
        kept = heads_apart(stack.centres_px, own, stack.spacing_zyx_um)
        kept, seen = kept[stack.truth[kept] >= 0], stack.volume.centres[:, 3] > 0
        counts += count_matches(
            stack.centres_px[kept],
            own[kept],
            stack.volume.centres[seen, :3],
            thresholds,
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


def score_stack(model: nn.Module, stack: LabelledCandidates) -> np.ndarray:
    """Return the network's score of every candidate of a stack, see `score_heads`."""
    return score_heads(model, stack.crop, stack.maps, stack.centres_px, stack.heights, stack.spacing_zyx_um)


class HeadScoreRecipe(Recipe):
    """`head-score`: candidates of the simulated pool and of marked real stacks, turned and mirrored."""

    method = "centre-unet"
    title = "Second look at the heads that the Centre U-Net finds in a stack"

    def architecture(self) -> dict[str, Any]:
        """Two cubes and two plain features in, one logit out."""
        return ARCHITECTURE

    def prepare(self, context: Context) -> None:
        """Simulate the pool, draw the maps of all stacks and label their candidates; some stacks are held out.

        Without the folder of real stacks only the pool is learned from.
        """
        self.source = get_card(READS)
        fill_pool(context.pool, context.pool_size)
        maps = maps_folder(context.work, self.source)
        network = load_network(READS, context.device, folded=True)
        stacks = load_labelled(context.pool, maps, network, context.say)
        shapes = load_shapes(context, maps, network)
        self.real: list[RealCandidates] = []
        self.real_held: list[RealCandidates] = []
        self.real_changed: list[RealCandidates] = []
        if (context.data / FOLDER).is_dir():
            self.real = load_real(context.data, LEARNED, maps, network)
            self.real += load_real(context.data, LEARNED, maps, network, VARIANTS)
            self.real_held = load_real(context.data, CHOOSING, maps, network)
            self.real_changed = load_real(context.data, CHOOSING, maps, network, VARIANTS_HELD)
        thin: list[LabelledCandidates] = []
        if (context.data / POINTS).is_dir():
            thin = load_thin_stacks(context.data, maps / POINTS, network, context.say)
        self.held, self.learned = held_apart(stacks)
        self.shapes_held, learned_shapes = held_apart(shapes)
        self.sampler = Sampler(self.learned, 0, self.real, learned_shapes, thin)
        before = f1(count_heads(self.held, [heights_alone(s) for s in self.held]))
        self.heights_f1 = float(before.max())
        context.say(f"heights alone: F1 {self.heights_f1:.4f} at {THRESHOLDS[before.argmax()]:.2f}")
        known = np.concatenate([np.zeros(0, np.int8), *(s.truth for s in self.real)])
        context.say(f"real stacks: {(known > 0).sum()} spines and {(known == 0).sum()} others to learn from")

    def start(self, model: nn.Module, context: Context) -> Start:
        """Go on from the weights in `models/`, which may read fewer channels."""
        try:
            card = get_card(self.shipped)
        except SpinecoreError:
            return Start()
        self.before = with_more_channels(load_network(self.shipped), model)
        model.load_state_dict(self.before.state_dict())
        return Start(f"the weights before, sha256 {card.sha256}", goes_on=True)

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Ten validations."""
        return Schedule(
            minutes,
            LEARNING_RATE_AGAIN if start.goes_on else LEARNING_RATE,
            weight_decay=1e-3,
            check_every_s=min(max(60.0, minutes * 60 / 10), 600.0),
        )

    def stages(self, context: Context, start: Start) -> list[Stage]:
        """Keep the weights that the training goes on from unless others are as good on the held-out stacks."""
        stages = super().stages(context, start)
        if not start.goes_on:
            return stages
        before = self.validate(self.before.to(context.device))
        return [replace(stage, start_scores=before) for stage in stages]

    def finish(self, model: nn.Module, start: Start) -> nn.Module:
        """Return the mean of the trained weights and of those that the training went on from, if any."""
        return mean_of(model, self.before) if start.goes_on else model

    def samples(self) -> dict[str, torch.Tensor]:
        """Return candidates with their truth, see `Sampler.batch`."""
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Binary cross-entropy."""
        logits = model(batch["fine"], batch["wide"], batch["features"]).float()
        return F.binary_cross_entropy_with_logits(logits, batch["truth"])

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the best mean F1 of heads over the kinds of held-out stacks, its threshold, and the F1 of each."""
        curves = {"f1": f1(count_heads(self.held, [score_stack(model, s) for s in self.held]))}
        if self.shapes_held:
            curves["f1_shapes"] = f1(
                count_heads(self.shapes_held, [score_stack(model, s) for s in self.shapes_held])
            )
        for name, pieces in (("f1_real", self.real_held), ("f1_changed", self.real_changed)):
            if pieces:
                curves[name] = f1(np.sum([s.count(score_stack(model, s)) for s in pieces], axis=0))
        mean = np.mean(list(curves.values()), axis=0)
        at = int(np.argmax(mean))
        return {"select": float(mean[at]), "threshold": float(THRESHOLDS[at])} | {
            name: float(curve[at]) for name, curve in curves.items()
        }

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data, scale of scores, and F1 on the held-out stacks without and with it."""
        spines = int(sum(s.volume.centres[:, 3].sum() for s in self.held))
        where = (
            f"{len(self.held)} held-out stacks of the pool, {spines} visible spines (these chose the weights)"
        )
        scores = (("heights of peaks alone", self.heights_f1), ("with it", trained.chosen["f1"]))
        return {
            "inputs": f"{CUBE_INPUTS}, the maps of the stack drawn at {COARSE} of its size",
            "reads_maps_of": {"name": self.source.name, "sha256": self.source.sha256},
            "trained_on": {
                "simulation": f"{len(self.sampler.pairs)} candidates of {len(self.learned)} stacks of "
                "`spinecore.training.pool`",
                **self._shapes_data(),
                **self._thin_data(),
                **self._real_data(),
            },
            "scores": [
                {
                    "data": f"{where}, {what}",
                    "measure": "F1 (centre within 1 um)",
                    "value": round(float(value), 4),
                    "command": trained.command,
                }
                for what, value in scores
            ]
            + self._shapes_scores(trained)
            + self._real_scores(trained),
            **(
                {"kept": "the mean of the trained weights and those it started from"}
                if trained.start.goes_on
                else {}
            ),
            "threshold": THRESHOLD,
            "score_power": power_for(trained.chosen["threshold"], THRESHOLD),
        }

    def _shapes_data(self) -> dict[str, str]:
        """Return what the card says of the dendrites with real shapes, where there were any."""
        if not len(self.sampler.shapes_pairs):
            return {}
        return {
            "simulation of real shapes": f"{len(self.sampler.shapes_pairs)} candidates of dendrites cut from electron micrographs "
            f"(MICrONS pinky40, 2018), simulated, {SHAPES_SHARE:.0%} of each batch"
        }

    def _thin_data(self) -> dict[str, str]:
        """Return what the card says of real projections as thin stacks, where there were any."""
        if not len(self.sampler.thin_pairs):
            return {}
        return {
            "points2d/train": f"{len(self.sampler.thin_pairs)} candidates of real projections laid out as thin stacks, as they are and changed (Roboflow "
            f'"Dendritic2", CC BY 4.0), {THIN_SHARE:.0%} of each batch'
        }

    def _real_data(self) -> dict[str, str]:
        """Return what the card says of the real stacks that were learned from, where there are any."""
        if not self.real:
            return {}
        return {
            CREDIT: f"{len(self.sampler.real_pairs)} candidates along segment {OWN_SEGMENT} on days {', '.join(LEARNED)}, "
            f"as they are and {VARIANTS} times changed in light and size, {REAL_SHARE:.0%} of each batch"
        }

    def _shapes_scores(self, trained: Trained) -> list[dict[str, Any]]:
        """Return the F1 on held-out stacks with real shapes, where there were any."""
        if not self.shapes_held:
            return []
        spines = int(sum(s.volume.centres[:, 3].sum() for s in self.shapes_held))
        return [
            {
                "data": f"{len(self.shapes_held)} held-out simulated stacks of real shapes, {spines} visible spines "
                "(these chose the weights)",
                "measure": "F1 (centre within 1 um)",
                "value": round(float(trained.chosen["f1_shapes"]), 4),
                "command": trained.command,
            }
        ]

    def _real_scores(self, trained: Trained) -> list[dict[str, Any]]:
        """Return the F1 on the real days that helped to choose the weights, where there are any."""
        if not self.real_held:
            return []
        marks = sum(int((s.volume.centres[:, 3] > 0).sum()) for s in self.real_held)
        where = f"{FOLDER} segment {OWN_SEGMENT}, days {', '.join(CHOOSING)}, {marks} marks"
        changed = f"{where}, {VARIANTS_HELD} times changed in light and size"
        return [
            {
                "data": f"{what} (these chose the weights)",
                "measure": "F1 (marks within 1 um)",
                "value": round(float(trained.chosen[name]), 4),
                "command": trained.command,
            }
            for what, name in ((where, "f1_real"), (changed, "f1_changed"))
        ]
