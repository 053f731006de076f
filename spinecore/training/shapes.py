"""Recipes of the shape classifiers: pretraining on simulated spines, then real polygons and simulation together.

Lengths are in steps and not in minutes, so that a busy machine trains the same network; `minutes` scales them.
The weights kept are the last moving average: nothing is picked by its score on the validation data.
"""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from spinecore.errors import SpinecoreError
from spinecore.files import replacing
from spinecore.networks.zoo import build_network, save_network
from spinecore.shapes.classes import BALL_AS, CLASSES, LABELS, four_way
from spinecore.shapes.classify import mean_chance
from spinecore.shapes.patches import PATCH_PX
from spinecore.training.engine import background
from spinecore.training.shape_augment import Batch, augment
from spinecore.training.shape_samples import FIRST_SEED, Spines, real_spines, simulated_pool
from spinecore.training.shape_scores import logits_of, predict, score, to_four

#: Simulated stacks behind pretraining.
POOL_STACKS = 200
_MUSHROOM, _BALL = LABELS.index(BALL_AS), LABELS.index("ball")


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
    """

    architecture: dict[str, Any]
    title: str
    before: int
    after: int
    minutes: float
    batch: int = 32
    rate: float = 1.5e-3
    outline_weight: float = 0.5


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
    "shape-resnet50": Plan(
        _resnet(50), "Shape: ResNet-50 on the patch with its background", 150, 250, 10, 24
    ),
}


class Sampler:
    """Draws class-balanced, augmented batches: a spine's chance is the inverse root of its class's size.

    Parameters
    ----------
    parts : list of (Spines, share, simulated)
        Sets, how much of each batch they fill, and whether balls are unknown there.
    """

    def __init__(self, parts: list[tuple[Spines, float, bool]], batch: int, seed: int) -> None:
        self.parts, self.batch_size = parts, batch
        self.rng = np.random.default_rng(seed)
        self.chances = []
        for spines, _, _ in parts:
            weight = 1 / np.sqrt(np.maximum(np.bincount(spines.labels, minlength=len(LABELS)), 1))
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
        return augment(Spines.join(chosen), np.concatenate(simulated), self.rng)


def class_loss(logits: torch.Tensor, labels: torch.Tensor, simulated: torch.Tensor) -> torch.Tensor:
    """Cross-entropy with 0.05 label smoothing; a simulated mushroom may be called ball or mushroom.

    Parameters
    ----------
    logits : Tensor, shape (N, 5)
    labels : Tensor of int, shape (N,)
    simulated : Tensor of bool, shape (N,)
    """
    chance = F.log_softmax(logits, 1)
    right = chance.gather(1, labels[:, None])[:, 0]
    either = torch.logaddexp(chance[:, _MUSHROOM], chance[:, _BALL])
    right = torch.where(simulated & (labels == _MUSHROOM), either, right)
    return -(0.95 * right + 0.05 * chance.mean(1)).mean()


def loss_of(model: Any, batch: Batch, device: str, outline_weight: float = 0.5) -> torch.Tensor:
    """Class loss, and for the joint network the outline's weighted cross-entropy."""
    patches = batch.patches.to(device).contiguous(memory_format=torch.channels_last)
    labels, simulated = batch.labels.to(device), batch.simulated.to(device)
    if outline_weight == 0 or not hasattr(model, "forward_both"):
        return class_loss(model(patches).float(), labels, simulated)
    logits, outline = model.forward_both(patches)
    drawn = F.binary_cross_entropy_with_logits(outline.float(), batch.outline.to(device))
    return class_loss(logits.float(), labels, simulated) + outline_weight * drawn


def fit(
    model: Any,
    make_batch: Callable[[], Batch],
    steps: int,
    rate: float,
    state_file: Path,
    device: str,
    resume: bool,
    say: Callable[[str], None] = print,
    outline_weight: float = 0.5,
) -> Any:
    """Train for a number of steps and return the moving average of the weights.

    A short warm-up, then a cosine to zero. `state_file` is written every 100 steps and at the end.

    Raises
    ------
    SpinecoreError
        On a non-finite loss.
    """
    model = model.to(device).to(memory_format=torch.channels_last).train()
    average = copy.deepcopy(model).eval()
    optimiser = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02)
    step = 0
    if resume and state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        if state["steps"] == steps:
            model.load_state_dict(state["model"])
            average.load_state_dict(state["average"])
            optimiser.load_state_dict(state["optimiser"])
            step = state["step"]
    running = 0.0
    batches = background(make_batch, depth=3)
    while step < steps:
        batch = next(batches)
        for group in optimiser.param_groups:
            share = step / steps
            group["lr"] = rate * min(1.0, (step + 1) / 40) * 0.5 * (1 + math.cos(math.pi * share))
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(model, batch, device, outline_weight)
        if not torch.isfinite(loss):
            raise SpinecoreError(f"the loss became {loss.item()} at step {step}: lower the learning rate")
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        decay = min(0.98, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                kept.lerp_(new, 1 - decay) if kept.dtype.is_floating_point else kept.copy_(new)
        running = float(loss.detach()) if step == 1 else 0.97 * running + 0.03 * float(loss.detach())
        if step % 100 == 0 or step == steps:
            say(f"step {step} of {steps}  loss {running:.3f}")
            _save(state_file, model, average, optimiser, step, steps)
    batches.close()
    return average


def _save(path: Path, model: Any, average: Any, optimiser: Any, step: int, steps: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {"model": model.state_dict(), "average": average.state_dict()}
    with replacing(path) as temporary:
        torch.save({**state, "optimiser": optimiser.state_dict(), "step": step, "steps": steps}, temporary)


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


def train_shape(
    name: str,
    real: Spines,
    work: Path,
    start: str = "simulation",
    device: str = "cpu",
    before: float = 1.0,
    after: float = 1.0,
    resume: bool = False,
    tag: str = "",
    seed: int = 0,
) -> Any:
    """Train one classifier on given real spines.

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
    before, after : float
        Multiply the plan's steps.
    tag : str
        Keeps runs of one recipe apart (cross-validation).

    Returns
    -------
    Module
        In evaluation mode.
    """
    plan = PLANS[name]
    torch.manual_seed(seed)
    model = build_network(plan.architecture)
    parts = [(real, 1.0, False)]
    folder = work / name
    if start == "imagenet":
        imagenet_start(model, plan.architecture["depth"])
    if start == "simulation":
        pool = simulated_pool(work / "shape-pool", FIRST_SEED, POOL_STACKS)
        first = Sampler([(pool, 1.0, True)], plan.batch, seed)
        steps = max(1, round(plan.before * before))
        model = fit(
            model,
            first.batch,
            steps,
            plan.rate,
            folder / "pretrained.pt",
            device,
            True,
            outline_weight=plan.outline_weight,
        )
        parts = [(real, 0.65, False), (pool, 0.35, True)]
    steps = max(1, round(plan.after * after))
    sampler = Sampler(parts, plan.batch, seed + 1)
    state = folder / f"state-{start}{tag}.pt"
    rate = plan.rate * (0.7 if start == "simulation" else 1.0)
    return fit(model, sampler.batch, steps, rate, state, device, resume, outline_weight=plan.outline_weight)


def is_finished(name: str, work: Path, start: str = "simulation", after: float = 1.0, tag: str = "") -> bool:
    """Say whether `train_shape` with these arguments and `resume` has nothing left to train."""
    plan = PLANS[name]
    wanted = {work / name / f"state-{start}{tag}.pt": max(1, round(plan.after * after))}
    if start == "simulation":
        wanted[work / name / "pretrained.pt"] = plan.before
    return all(path.exists() and _steps_done(path) == (steps, steps) for path, steps in wanted.items())


def _steps_done(path: Path) -> tuple[int, int]:
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return state["step"], state["steps"]


def run(name: str, data: Path, out: Path, minutes: float, device: str, resume: bool, work: Path) -> None:
    """Train one classifier, score it on validation data it never saw, and write weights and card to `out`."""
    plan = PLANS[name]
    if not resume:
        (work / name / "pretrained.pt").unlink(missing_ok=True)
    train, held = real_spines(data, "train"), real_spines(data, "val")
    length = minutes / plan.minutes
    model = train_shape(name, train, work, "simulation", device, length, length, resume)
    temperature = fit_temperature(model, held)
    scores = score(predict(model, held, temperature=temperature), held.labels)
    print(json.dumps(scores))
    save_network(model, name, card_of(name, minutes, scores, temperature), out)


def fit_temperature(model: Any, spines: Spines) -> float:
    """Return the divisor of the logits at which the four-way probabilities fit best (Guo et al. 2017)."""
    choices = np.round(np.arange(0.4, 2.51, 0.05), 2)
    truth = to_four(spines.labels)
    losses = []
    logits = logits_of(model, spines)
    for temperature in choices:
        chance = four_way(mean_chance(logits, float(temperature)).numpy())
        losses.append(-np.log(np.maximum(chance[np.arange(len(truth)), truth], 1e-9)).mean())
    return float(choices[int(np.argmin(losses))])


def card_of(name: str, minutes: float, scores: dict[str, Any], temperature: float) -> dict[str, Any]:
    """Return the card of a classifier."""
    plan = PLANS[name]
    return {
        "method": "shape",
        "title": plan.title,
        "architecture": plan.architecture,
        "inputs": f"{PATCH_PX} x {PATCH_PX} pixels of 0.1 um: projection of the spine's own slices, outline, depth extent",
        "canonical_um": 0.1,
        "classes": list(CLASSES),
        "mapping": f"the label 'ball' of classes2d counts as {BALL_AS} in the four-way task",
        "temperature": temperature,
        "temperature_from": "four-way log-likelihood on classes2d/val",
        "trained_on": {
            "classes2d/train": "Meng-De-Gong 2025, MIT; polygons with a class; 0.1 um pixels assumed",
            "simulation": f"visible spines of {POOL_STACKS} stacks, seeds from {FIRST_SEED:,}",
        },
        "recipe": f"python -m spinecore train {name} --minutes {minutes:g}",
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
