"""Recipe `spine-size`: sizes of spines read from the image, learned from simulated spines of known size.

Uses the pools of stacks, of balls on rods and of real shapes, and the maps of recipe `head-score`. Every visible spine that has
a candidate is learned from, at the candidate's place, `SHAPES_SHARE` of every batch of real shapes. Every `HELD_OUT`-th stack
takes no part and chooses the weights, by the mean of both kinds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.evaluation.matching import match
from spinecore.methods.second_look import CHANNELS, CUBES, cut_cubes, plain_features
from spinecore.methods.sizes import COVERAGE, ESTIMATED, error_pct
from spinecore.methods.weights import SIZER
from spinecore.networks.device import inference
from spinecore.networks.zoo import get_card, load_network
from spinecore.training.head_score import CUBE_INPUTS, held_apart, load_shapes
from spinecore.training.labelled import (
    PREFER_HIGH_UM,
    READS,
    LabelledCandidates,
    load_labelled,
    maps_folder,
)
from spinecore.training.pool import decode, encode, fill_pool
from spinecore.training.recipe import Context, Recipe, Trained
from spinecore.training.schedule import Schedule, Start

WIDTH = 24
LEARNING_RATE = 2e-3
#: For weights that have learned before.
LEARNING_RATE_AGAIN = 1e-3
BATCH = 64
#: A candidate this close to a true head stands for it (um).
TOLERANCE_UM = 0.6
#: Smaller spines are left out: of most of them lies hardly anything outside the shaft (um^3).
SMALLEST_UM3 = 0.003
#: Spread of the gain (logarithm) that batches are drawn with.
GAIN = 0.1
#: Share of spines of real shapes in a batch.
SHAPES_SHARE = 0.5


def pairs(stack: LabelledCandidates) -> tuple[np.ndarray, np.ndarray]:
    """Return positions of candidates and of the visible spines they stand for, one to one within `TOLERANCE_UM`."""
    um = np.array(stack.spacing_zyx_um)
    truth = stack.volume.centres
    visible = np.flatnonzero(truth[:, 3] > 0)
    preference = PREFER_HIGH_UM / TOLERANCE_UM * stack.heights
    found = match(
        truth[visible, :3] * um, stack.centres_px * um, "centre", TOLERANCE_UM, preference=preference
    )
    return found.pairs[:, 1], visible[found.pairs[:, 0]]


class Examples:
    """Cubes of spines with their sizes, in memory as bytes (about 50 KB each).

    Attributes
    ----------
    cubes : list of ndarray, uint8, shape (n, CHANNELS, z, y, x)
    features : ndarray, float32, shape (n, 2)
    sizes : ndarray, float32, shape (n, 3)
        Natural logarithms.
    """

    def __init__(self, stacks: list[LabelledCandidates]) -> None:
        cubes: list[list[np.ndarray]] = [[] for _ in CUBES]
        features, values = [], []
        for stack in stacks:
            own = stack.volume.sizes
            if own is None:
                raise SpinecoreError(
                    "A stack of the pool was made before sizes were kept: delete the folder pool."
                )
            chosen, spines = pairs(stack)
            large = own[spines, 0] > SMALLEST_UM3 if len(spines) else np.zeros(0, bool)
            chosen, spines = chosen[large], spines[large]
            if not len(chosen):
                continue
            cut = cut_cubes(
                stack.crop, stack.maps[:3], stack.centres_px, stack.heights, stack.spacing_zyx_um, chosen
            )
            for kept, cube in zip(cubes, cut, strict=True):
                kept.append(to_bytes(cube))
            features.append(plain_features(stack.heights[chosen], stack.volume.z_um))
            values.append(np.log(own[spines]))
        self.cubes = [np.concatenate(c) for c in cubes]
        self.features = np.concatenate(features)
        self.sizes = np.concatenate(values).astype(np.float32)

    def tensors(self, chosen: np.ndarray | slice) -> dict[str, Any]:
        """Return fine and wide cubes, features and sizes of some examples."""
        fine, wide = (from_bytes(c[chosen]) for c in self.cubes)
        found = {"fine": fine, "wide": wide, "features": self.features[chosen], "sizes": self.sizes[chosen]}
        return {k: torch.from_numpy(v) for k, v in found.items()}


def to_bytes(cube: np.ndarray) -> np.ndarray:
    """Code cubes, intensity in the first channel and shares (0..1) in the others, in bytes."""
    rest = np.clip(np.round(cube[:, 1:] * 255), 0, 255).astype(np.uint8)
    return np.concatenate([encode(cube[:, :1]), rest], axis=1)


def from_bytes(code: np.ndarray) -> np.ndarray:
    """Undo `to_bytes`."""
    return np.concatenate([decode(code[:, :1]), code[:, 1:].astype(np.float32) / 255], axis=1)


class Sampler:
    """Draws examples evenly, mirrored and transposed at random, with a gain.

    Parameters
    ----------
    examples : Examples
    seed : int
    shapes : Examples, optional
        Spines of real shapes: `SHAPES_SHARE` of every batch.
    """

    def __init__(self, examples: Examples, seed: int, shapes: Examples | None = None) -> None:
        self.examples, self.shapes = examples, shapes
        self.n_shapes = round(SHAPES_SHARE * BATCH) if shapes is not None else 0
        self.rng = np.random.default_rng(seed)

    def _draw(self) -> dict[str, Any]:
        rng = self.rng
        drawn = self.examples.tensors(rng.integers(len(self.examples.sizes), size=BATCH - self.n_shapes))
        if self.shapes is None:
            return drawn
        others = self.shapes.tensors(rng.integers(len(self.shapes.sizes), size=self.n_shapes))
        return {name: torch.cat([value, others[name]]) for name, value in drawn.items()}

    def batch(self) -> dict[str, Any]:
        """Return `Examples.tensors` of a batch."""
        rng = self.rng
        drawn = self._draw()
        axes = [axis for axis in (2, 3, 4) if rng.random() < 0.5]
        swap = rng.random() < 0.5
        gain = torch.from_numpy(np.exp(rng.normal(0, GAIN, (BATCH, 1, 1, 1))).astype(np.float32))
        for name in ("fine", "wide"):
            cube = drawn[name].flip(axes)
            cube = cube.transpose(3, 4) if swap else cube
            cube[:, 0] *= gain
            drawn[name] = cube.contiguous(memory_format=torch.channels_last_3d)
        return drawn


def read_sizes(model: Any, examples: Examples) -> np.ndarray:
    """Return what a network reads from examples, float32 (n, 3, 2)."""
    out = []
    for first in range(0, len(examples.sizes), 256):
        with inference(model) as device:
            drawn = {k: v.to(device) for k, v in examples.tensors(slice(first, first + 256)).items()}
            out.append(model(drawn["fine"], drawn["wide"], drawn["features"]).float().cpu().numpy())
    return np.concatenate(out)


def score_sizes(found: np.ndarray, truth: np.ndarray) -> dict[str, dict[str, float]]:
    """Score sizes that were read.

    Parameters
    ----------
    found : ndarray, shape (n, 3, 2)
    truth : ndarray, shape (n, 3)
        Natural logarithms.

    Returns
    -------
    dict
        By column of `ESTIMATED`: median absolute and median relative error (%), share within the error given, and
        the slope of read on true logarithms (1 where sizes are not drawn towards the common ones).
    """
    answers = {}
    for k, name in enumerate(ESTIMATED):
        off = found[:, k, 0] - truth[:, k]
        relative = 100 * np.expm1(off)
        inside = np.abs(off) <= np.log1p(error_pct(found[:, k, 1]) / 100)
        answers[name] = {
            "error_pct": round(float(np.median(np.abs(relative))), 2),
            "bias_pct": round(float(np.median(relative)), 2),
            "within_error": round(float(inside.mean()), 3),
            "slope": round(float(np.polyfit(truth[:, k], found[:, k, 0], 1)[0]), 3),
        }
    return answers


def architecture_for(learned: Examples) -> dict[str, Any]:
    """Return the network's description: that of the weights in `models/`, so that they can go on, or else one with the middle of today's sizes."""
    wanted = {"kind": SIZER, "channels": CHANNELS, "width": WIDTH}
    try:
        shipped = get_card(SIZER).data["architecture"]
    except SpinecoreError:
        shipped = {}
    if wanted.items() <= shipped.items():
        return shipped
    return wanted | {"middle": [round(float(v), 4) for v in np.median(learned.sizes, axis=0)]}


class SpineSizeRecipe(Recipe):
    """`spine-size`: cubes of visible spines of the stacks of the pool."""

    method = "centre-unet"
    title = "Sizes of spines, read from the image"

    def prepare(self, context: Context) -> None:
        """Simulate the pools, draw maps and cut the cubes; every `HELD_OUT`-th stack is held out.

        Without the folder of real shapes only balls on rods are learned from.
        """
        self.source = get_card(READS)
        fill_pool(context.pool, context.pool_size)
        maps = maps_folder(context.work, self.source)
        network = load_network(READS, context.device, folded=True)
        held, learned = held_apart(load_labelled(context.pool, maps, network, context.say))
        self.n_held, self.n_learned = len(held), len(learned)
        self.learned, self.held = Examples(learned), Examples(held)
        held, learned = held_apart(load_shapes(context, maps, network))
        self.n_shapes_held = len(held)
        self.shapes, self.shapes_held = (Examples(s) if s else None for s in (learned, held))
        self.sampler = Sampler(self.learned, seed=0, shapes=self.shapes)
        context.say(f"{len(self.learned.sizes)} spines, {len(self.held.sizes)} held out")
        if self.shapes is not None and self.shapes_held is not None:
            context.say(
                f"{len(self.shapes.sizes)} spines of real shapes, {len(self.shapes_held.sizes)} held out"
            )

    def architecture(self) -> dict[str, Any]:
        """See `architecture_for`."""
        return architecture_for(self.learned)

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Ten validations."""
        return Schedule(
            minutes,
            LEARNING_RATE_AGAIN if start.goes_on else LEARNING_RATE,
            weight_decay=1e-3,
            check_every_s=min(max(60.0, minutes * 60 / 10), 600.0),
        )

    def samples(self) -> dict[str, torch.Tensor]:
        """Return cubes with sizes, see `Sampler.batch`."""
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Absolute error of the logarithms, and the Laplace likelihood of the error that is to be expected."""
        found = model(batch["fine"], batch["wide"], batch["features"])
        off, spread = (found[..., 0] - batch["sizes"]).abs(), found[..., 1]
        loss: torch.Tensor = off.mean(0).sum() + 0.5 * (off.detach() * (-spread).exp() + spread).mean(0).sum()
        return loss

    def _answers(self, model: nn.Module) -> dict[str, dict[str, dict[str, float]]]:
        """Return `score_sizes` of the held-out spines by kind of stack."""
        kinds = {"": self.held, "shapes_": self.shapes_held}
        return {
            kind: score_sizes(read_sizes(model, held), held.sizes)
            for kind, held in kinds.items()
            if held is not None
        }

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return the mean of the median errors of both kinds of stacks, negative, and each of them."""
        errors = {
            f"{kind}{name}_error_pct": answer["error_pct"]
            for kind, answers in self._answers(model).items()
            for name, answer in answers.items()
        }
        return {"select": -float(np.mean(list(errors.values()))), **errors}

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data, and how well sizes of the held-out stacks are read."""
        chose = "(these chose the weights)"
        where = {"": f"{self.n_held} held-out stacks of the pool, {len(self.held.sizes)} spines {chose}"}
        trained_on = {
            "simulation": f"{len(self.learned.sizes)} visible spines of {self.n_learned} stacks of "
            "`spinecore.training.pool`, sizes after Harris 1992"
        }
        if self.shapes is not None and self.shapes_held is not None:
            trained_on["simulation of real shapes"] = (
                f"{len(self.shapes.sizes)} visible spines of dendrites cut from electron micrographs (MICrONS pinky40, 2018), "
                f"simulated, {SHAPES_SHARE:.0%} of each batch"
            )
            where["shapes_"] = (
                f"{self.n_shapes_held} held-out simulated stacks of real shapes, {len(self.shapes_held.sizes)} spines {chose}"
            )
        measures = {
            "error_pct": "median absolute error (%)",
            "within_error": f"share within the error given ({COVERAGE:g} aimed at)",
            "slope": "slope of read on true (logarithms)",
        }
        return {
            "inputs": CUBE_INPUTS,
            "outputs": list(ESTIMATED),
            "reads_maps_of": {"name": self.source.name, "sha256": self.source.sha256},
            "trained_on": trained_on,
            "scores": [
                {
                    "data": where[kind],
                    "measure": f"{column}: {what}",
                    "value": answers[column][key],
                    "command": trained.command,
                }
                for kind, answers in self._answers(trained.model).items()
                for column in ESTIMATED
                for key, what in measures.items()
            ],
        }
