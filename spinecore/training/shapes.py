"""Recipes of the shape classifiers: pretraining on simulated spines, then real polygons and simulation together.

Lengths are in steps and not in minutes, so that a busy machine trains the same network; `minutes` scales them.
The weights kept are the last moving average: nothing is picked by its score on the validation data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import build_network
from spinecore.shapes.classes import BALL_AS, CLASSES, LABELS, four_way
from spinecore.shapes.classify import mean_chance
from spinecore.shapes.patches import PATCH_PX
from spinecore.training.loop import train
from spinecore.training.precision import pick_precision
from spinecore.training.recipe import Context, Recipe, Stage, Trained
from spinecore.training.schedule import Schedule, Start
from spinecore.training.shape_augment import Batch, augment
from spinecore.training.shape_losses import shape_loss
from spinecore.training.shape_outlines import augment_as_detected
from spinecore.training.shape_samples import FIRST_SEED, Spines, real_spines, simulated_pool
from spinecore.training.shape_scores import logits_of, predict, score, to_four

#: Simulated stacks behind pretraining.
POOL_STACKS = 400
#: Name of the state of the training on simulated spines.
PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Plan:
    """How one classifier is trained.

    Parameters
    ----------
    architecture : dict
        For `spinecore.networks.zoo.build_network`.
    title : str
    before, after : int
        Steps on simulated spines alone, and on real ones (with simulated ones, if there were any before).
    minutes : float
        What that takes on one CPU core of 2026; `--minutes` scales the steps by it.
    batch : int
    rate : float
        Peak learning rate.
    outline_weight : float
        Weight of the outline's loss in the joint network; 0 learns the class alone.
    as_detected : bool
        Spoil outlines as a detector does, and change what lies around the spine at random
        (`spinecore.training.shape_outlines`).
    stacks : int
        Simulated stacks behind pretraining.
    """

    architecture: dict[str, Any]
    title: str
    before: int
    after: int
    minutes: float
    batch: int = 32
    rate: float = 1.5e-3
    outline_weight: float = 0.5
    as_detected: bool = False
    stacks: int = POOL_STACKS


_JOINT = {"kind": "shape-joint", "width": 32, "outputs": list(LABELS)}


def _resnet(depth: int, **more: Any) -> dict[str, Any]:
    return {"kind": "shape-resnet", "depth": depth, "outputs": list(LABELS), **more}


PLANS: dict[str, Plan] = {
    "shape-joint": Plan(
        _JOINT,
        "Shape: image and outline fused, outline and class learned together",
        1200,
        1600,
        18,
    ),
    # the ablation: as many steps as ResNet-18 gets, with and without the outline to learn
    "shape-joint-short": Plan(_JOINT, "Shape: image and outline fused, learned together, short", 400, 600, 3),
    "shape-streams-short": Plan(
        _JOINT, "Shape: image and outline fused, class alone, short", 400, 600, 3, outline_weight=0.0
    ),
    "shape-resnet18": Plan(_resnet(18), "Shape: ResNet-18 on the patch with its background", 400, 600, 8),
    "shape-resnet18-masked": Plan(
        _resnet(18, background=False), "Shape: ResNet-18, background removed", 400, 600, 8
    ),
    "shape-focus": Plan(
        {"kind": "shape-focus", "width": 32, "fine": 48, "outputs": list(LABELS)},
        "Shape: read only where the network draws the spine, in cells of 0.1 um",
        1000,
        2000,
        22,
        rate=1.2e-3,
        as_detected=True,
    ),
    "shape-resnet50": Plan(
        _resnet(50), "Shape: ResNet-50 on the patch with its background", 400, 1000, 40, 24, stacks=130
    ),
}


class Sampler:
    """Draws class-balanced, augmented batches: a spine's chance is the inverse root of its class's size.

    Parameters
    ----------
    parts : list of (Spines, share, simulated)
        Sets, how much of each batch they fill, and whether balls are unknown there.
    batch : int
        Spines of a batch.
    seed : int
    as_detected : bool
        See `Plan`; rare classes are then drawn more often still.
    """

    def __init__(
        self, parts: list[tuple[Spines, float, bool]], batch: int, seed: int, as_detected: bool = False
    ) -> None:
        self.parts, self.batch_size = parts, batch
        self.augment = augment_as_detected if as_detected else augment
        self.rng = np.random.default_rng(seed)
        self.chances = []
        for spines, _, _ in parts:
            counts = np.maximum(np.bincount(spines.labels, minlength=len(LABELS)), 1)
            weight = 1 / counts ** (0.7 if as_detected else 0.5)
            chance = weight[spines.labels]
            self.chances.append(chance / chance.sum())

    def batch(self) -> Batch:
        """Return one batch."""
        chosen, simulated = [], []
        left = self.batch_size
        for number, ((spines, share, synthetic), chance) in enumerate(
            zip(self.parts, self.chances, strict=True)
        ):
            count = left if number == len(self.parts) - 1 else round(self.batch_size * share)
            left -= count
            chosen.append(spines.take(self.rng.choice(len(spines), count, p=chance)))
            simulated.append(np.full(count, synthetic))
        return self.augment(Spines.join(chosen), np.concatenate(simulated), self.rng)


def imagenet_start(model: Any, depth: int) -> None:
    """Load torchvision's ImageNet weights into a ResNet body, from this computer's torch cache only.

    Raises
    ------
    SpinecoreError
        If the file is not there; nothing is downloaded.
    """
    from torchvision.models import ResNet18_Weights, ResNet50_Weights

    url = (ResNet18_Weights if depth == 18 else ResNet50_Weights).DEFAULT.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not path.exists():
        raise SpinecoreError(f"ImageNet weights are not on this computer: put {path.name} into {path.parent}")
    state = torch.load(path, map_location="cpu", weights_only=True)
    state = {k: v for k, v in state.items() if not k.startswith("fc.")}
    state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)
    model.body.load_state_dict(state, strict=False)


def shape_stages(
    plan: Plan,
    real: Spines,
    pool: Spines | None,
    length: tuple[float, float] = (1.0, 1.0),
    ending: str = "",
    seed: int = 0,
) -> list[Stage]:
    """Return the parts of a training: on simulated spines, if there are any, then on real ones (and simulated ones).

    Parameters
    ----------
    plan : Plan
    real : Spines
        Real training spines.
    pool : Spines, optional
        Simulated ones.
    length : tuple of float
        Multiply the plan's steps before and after.
    ending : str
        Of the name of the second state.
    seed : int
    """
    before, after = (max(1, round(n * f)) for n, f in zip((plan.before, plan.after), length, strict=True))
    if pool is None:
        sampler = Sampler([(real, 1.0, False)], plan.batch, seed + 1, plan.as_detected)
        return [Stage(f"state{ending}", sampler.batch, schedule(after, plan.rate))]
    first = Sampler([(pool, 1.0, True)], plan.batch, seed, plan.as_detected)
    second = mixed_sampler(plan, real, pool, seed)
    return [
        Stage(PRETRAINED, first.batch, schedule(before, plan.rate)),
        Stage(f"state{ending}", second.batch, schedule(after, 0.7 * plan.rate)),
    ]


def mixed_sampler(plan: Plan, real: Spines, pool: Spines, seed: int = 0) -> Sampler:
    """Return what draws real and simulated spines together, the real ones more often."""
    return Sampler([(real, 0.65, False), (pool, 0.35, True)], plan.batch, seed + 1, plan.as_detected)


def schedule(steps: int, rate: float) -> Schedule:
    """Return length and learning rate of one stage."""
    return Schedule(steps=steps, learning_rate=rate, weight_decay=0.02, average=0.98, warm_up=40)


def train_shape(
    name: str,
    real: Spines,
    work: Path,
    start: str = "simulation",
    device: str = "cpu",
    after: float = 1.0,
    resume: bool = False,
    tag: str = "",
    seed: int = 0,
) -> nn.Module:
    """Train one classifier on given real spines, for comparisons; nothing is saved but states.

    Parameters
    ----------
    name : str
        A key of `PLANS`.
    real : Spines
        Real training spines.
    work : Path
        Folder for the simulated pool and for states; a finished pretraining there is used again.
    start : str
        "simulation", "imagenet" or "none" (from scratch, real spines only).
    device : str
        "cpu" or "cuda".
    after : float
        Multiplies the plan's steps on real spines.
    resume : bool
        Continue from the state in `work`.
    tag : str
        Keeps runs of one recipe apart (cross-validation).
    seed : int

    Returns
    -------
    Module
        In evaluation mode.
    """
    plan = PLANS[name]
    torch.manual_seed(seed)
    model: nn.Module = build_network(plan.architecture)
    if start == "imagenet":
        imagenet_start(model, plan.architecture["depth"])
    model = model.to(device)
    pool = simulated_pool(work / "shape-pool", FIRST_SEED, plan.stacks) if start == "simulation" else None
    for stage in shape_stages(plan, real, pool, (1.0, after), f"-{start}{tag}", seed):
        model, _ = train(
            model,
            stage,
            lambda network, batch: shape_loss(network, batch, plan.outline_weight),
            work / name,
            resume or stage.name == PRETRAINED,
            pick_precision("auto", device),
        )
    return model


def is_finished(name: str, work: Path, start: str = "simulation", after: float = 1.0, tag: str = "") -> bool:
    """Say whether `train_shape` with these arguments and `resume` has nothing left to train."""
    plan = PLANS[name]
    wanted = {work / name / f"state-{start}{tag}.pt": max(1, round(plan.after * after))}
    if start == "simulation":
        wanted[work / name / f"{PRETRAINED}.pt"] = plan.before
    return all(path.exists() and _steps_done(path) == (steps, steps) for path, steps in wanted.items())


def _steps_done(path: Path) -> tuple[int, int]:
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return state["step"], state["steps"]


def fit_temperature(model: nn.Module, spines: Spines) -> float:
    """Return the divisor of the logits at which the four-way probabilities fit best (Guo et al. 2017)."""
    choices = np.round(np.arange(0.4, 2.51, 0.05), 2)
    truth = to_four(spines.labels)
    losses = []
    logits = logits_of(model, spines)
    for temperature in choices:
        chance = four_way(mean_chance(logits, float(temperature)))
        losses.append(-np.log(np.maximum(chance[np.arange(len(truth)), truth], 1e-9)).mean())
    return float(choices[int(np.argmin(losses))])


class ShapeRecipe(Recipe):
    """Every classifier of `PLANS`; the last moving average is kept, so validation data choose nothing."""

    method = "shape"

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.plan = PLANS[name]
        self.title = self.plan.title

    def architecture(self) -> dict[str, Any]:
        """That of the plan."""
        return self.plan.architecture

    def prepare(self, context: Context) -> None:
        """Cut out the real spines and simulate a pool."""
        self.learned, self.held = real_spines(context.data, "train"), real_spines(context.data, "val")
        self.pool = simulated_pool(context.work / "shape-pool", FIRST_SEED, self.plan.stacks)
        self.sampler = Sampler([(self.learned, 1.0, False)], self.plan.batch, 0)

    def start(self, model: nn.Module, context: Context) -> Start:
        """Begin with random weights."""
        return Start()

    def stages(self, context: Context, start: Start) -> list[Stage]:
        """Simulated spines first, then real ones with simulated ones; steps in proportion to the minutes."""
        length = context.minutes / self.plan.minutes
        return shape_stages(self.plan, self.learned, self.pool, (length, length), "-simulation")

    def samples(self) -> Batch:
        """Return a batch of real spines."""
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        """See `shape_loss`."""
        return shape_loss(model, batch, self.plan.outline_weight)

    def validate(self, model: nn.Module) -> dict[str, Any]:
        """Fit the temperature, and score validation spines."""
        temperature = fit_temperature(model, self.held)
        scores = score(predict(model, self.held, temperature=temperature), self.held.labels)
        return scores | {"select": scores["accuracy_four_way"], "temperature": temperature}

    def card(self, trained: Trained) -> dict[str, Any]:
        """Classes, temperature, data and scores."""
        scores = trained.chosen
        return {
            "inputs": f"{PATCH_PX} x {PATCH_PX} pixels of 0.1 um: projection of the spine's own slices, outline, "
            "depth extent",
            "canonical_um": 0.1,
            "classes": list(CLASSES),
            "mapping": f"the label 'ball' of classes2d counts as {BALL_AS} in the four-way task",
            "temperature": scores["temperature"],
            "temperature_from": "four-way log-likelihood on classes2d/val",
            "trained_on": {
                "classes2d/train": "Meng-De-Gong 2025, MIT; polygons with a class; 0.1 um pixels assumed",
                "simulation": f"visible spines of {POOL_STACKS} stacks, seeds from {FIRST_SEED:,}",
            },
            "scores": [
                {
                    "data": "classes2d/val, outlines as given",
                    "measure": key.replace("_", " "),
                    "value": scores[key],
                    "command": "python -m benchmarks.shape_table",
                }
                for key in ("accuracy_four_way", "balanced_accuracy_four_way", "accuracy_five_way")
            ],
            "confusion_four_way": scores["confusion_four_way"],
            "per_class": scores["per_class"],
        }
