"""Recipes of the membrane networks: four as published by Gupta and Verma, and `membrane-fast`.

All learn from sections 00-19 of the ISBI 2012 challenge. The weights kept are the average over the last steps;
the validation sections (20-24) choose nothing.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from spinecore.membranes.predict import normalise_section, predict_maps
from spinecore.membranes.scores import pixel_scores
from spinecore.training.membrane_samples import (
    TRAIN,
    VALIDATION,
    Deformation,
    MembraneSampler,
    Section,
    load_sections,
)
from spinecore.training.recipe import Context, Recipe, Trained
from spinecore.training.schedule import Schedule, Start

COMMAND = "python -m benchmarks.membranes"

_PUBLISHED = Deformation()


@dataclass(frozen=True)
class Plan:
    """What differs between the recipes.

    Parameters
    ----------
    title, architecture : str, dict
        As on the card.
    size, batch : int
        Side of the crops that the network sees (px), and how many of them a step takes.
    learning_rate : float
        At its peak.
    weighted : bool
        Whether the loss uses the weight map.
    how : Deformation
        Of the crops.
    chosen : tuple of str
        What the publication leaves open and what was chosen, for the card.
    bits : int
        Of a stored weight.
    steps : int, optional
        Where given, the training begins with random weights and makes this many steps, whatever time they take.
    """

    title: str
    architecture: dict[str, Any]
    size: int = 192
    batch: int = 2
    learning_rate: float = 2e-4
    weighted: bool = False
    how: Deformation = field(default=_PUBLISHED)
    chosen: tuple[str, ...] = ()
    bits: int = 16
    steps: int | None = None


_WIDE = [64, 128, 256, 512, 1024]
_OPEN = (
    "no normalisation layers; Adam with decoupled weight decay; crops in place of 1,000 stored images",
    "displacements of 8 px on a 3 x 3 grid, zoom 0.8 to 1.3, any rotation, small changes of contrast",
)
_DROPOUT = "dropout of 0.5 at the end of the two lowest levels"

PLANS: dict[str, Plan] = {
    "membrane-fast": Plan(
        "residual U-Net with wide context (ours)",
        {"kind": "membrane-fast", "widths": [16, 48, 96, 128, 144]},
        256,
        2,
        2e-3,
        how=Deformation((0.7, 1.4), 8.0, 0.2, 0.2, 0.4, 1.0),
    ),
    "unet-small": Plan(
        "U-Net with fewer filters (unet2 of the publication)",
        {"kind": "membrane-unet", "widths": [32, 64, 128, 256, 576], "valid": False, "dropout": 0.5},
        learning_rate=4e-4,
        chosen=(
            *_OPEN,
            _DROPOUT,
            "filters 32, 64, 128, 256 and 576: with them there are 8.6 million parameters",
        ),
    ),
    "dmcn": Plan(
        "deep multilevel contextual network",
        {"kind": "membrane-dmcn", "widths": [64, 128, 256, 512], "depths": [2, 2, 3, 3], "branch": 8},
        batch=1,
        learning_rate=3e-4,
        chosen=(
            *_OPEN,
            "convolutions: 10 down, one before each transposed convolution, 2 after the concatenation and the classifier",
            "the first level joins the concatenation; no auxiliary classifiers",
        ),
    ),
    "unet-weighted": Plan(
        "U-Net with weight maps (weighted U-Net of the publication)",
        {"kind": "membrane-unet", "widths": _WIDE, "valid": False, "dropout": 0.5},
        160,
        1,
        weighted=True,
        chosen=(*_OPEN, _DROPOUT, "w_0 = 10 and sigma = 5 px (Ronneberger et al. 2015), w_c with mean 1"),
        bits=8,
    ),
    "unet-valid": Plan(
        "U-Net with valid padding (unet1 of the publication)",
        {"kind": "membrane-unet", "widths": _WIDE, "valid": True, "dropout": 0.0},
        284,
        1,
        chosen=(
            *_OPEN,
            "input of 572 px for an output of 388 px (512 px as stated gives 324 px with valid padding)",
            '"average": overlapping tiles averaged; "resize": the section shrunk by 388/512, the map enlarged',
        ),
        bits=8,
    ),
}
# do weight maps help: twice the same network, crops and steps
_SHORT = replace(PLANS["unet-small"], steps=1500)
PLANS["unet-small-short"] = replace(_SHORT, title="unet-small, 1,500 steps, for comparison")
PLANS["unet-small-weighted-short"] = replace(
    _SHORT, title="unet-small with weight maps, 1,500 steps, for comparison", weighted=True
)


def membrane_loss(logits: torch.Tensor, batch: torch.Tensor, weighted: bool) -> torch.Tensor:
    """Cross-entropy of membrane against interior, weighted or not; for two maps also of the dividing line.

    Parameters
    ----------
    logits : Tensor, shape (N, 1 or 2, Y, X)
        Smaller than the batch for a network with valid padding, whose margin is cut from the truth.
    batch : Tensor, shape (N, 4, Y, X)
        Image, membrane, weight, dividing line.
    weighted : bool
        Whether the weight map is used (its mean over the batch is made 1).

    Returns
    -------
    Tensor
        Scalar. With two maps: cross-entropy + 0.5 x soft Dice loss of the membrane + that of the line at half weight.
    """
    cut = (batch.shape[2] - logits.shape[2]) // 2
    truth = batch[:, 1:, cut : cut + logits.shape[2], cut : cut + logits.shape[3]]
    logits = logits.float()
    entropy = F.binary_cross_entropy_with_logits(logits[:, 0], truth[:, 0], reduction="none")
    if weighted:
        entropy = entropy * truth[:, 1] / truth[:, 1].mean()
    loss = entropy.mean()
    if logits.shape[1] == 2:
        line = F.binary_cross_entropy_with_logits(
            logits[:, 1], truth[:, 2], pos_weight=torch.tensor(2.0, device=logits.device)
        )
        loss = loss + 0.5 * _dice_loss(logits[:, 0], truth[:, 0]) + 0.5 * line
        loss = loss + 0.25 * _dice_loss(logits[:, 1], truth[:, 2])
    return loss


def _dice_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    p = torch.sigmoid(logits)
    return 1 - (2 * (p * truth).sum() + 1) / (p.sum() + truth.sum() + 1)


def probabilities(model: nn.Module, sections: list[Section]) -> list[np.ndarray]:
    """Return the membrane probability (Y, X) of each section, one view."""
    return [predict_maps(model, normalise_section(section.image))[0] for section in sections]


def mean_scores(membrane: list[np.ndarray], sections: list[Section], level: float) -> dict[str, float]:
    """Return the mean pixel scores of sections; what lies below `level` is the inside of cells."""
    rows = [asdict(pixel_scores(s.interior, p < level)) for p, s in zip(membrane, sections, strict=True)]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def best_level(membrane: list[np.ndarray], sections: list[Section]) -> float:
    """Return the level with the smallest pixel error over sections."""
    levels = np.arange(0.2, 0.96, 0.05)
    errors = [mean_scores(membrane, sections, float(v))["pixel_error"] for v in levels]
    return round(float(levels[int(np.argmin(errors))]), 2)


class MembraneRecipe(Recipe):
    """Every network of `PLANS`; from random weights where there are none to go on from."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.plan = PLANS[name]
        self.method, self.title, self.bits = name, self.plan.title, self.plan.bits

    def architecture(self) -> dict[str, Any]:
        """That of the plan."""
        return self.plan.architecture

    def prepare(self, context: Context) -> None:
        """Read the labelled sections; a resumed training sees other crops than before."""
        plan = self.plan
        self.learned, self.held = load_sections(context.data, TRAIN), load_sections(context.data, VALIDATION)
        seed = int(time.time()) if context.resume else 0
        self.sampler = MembraneSampler(self.learned, plan.size, plan.batch, plan.how, seed=seed)

    def start(self, model: nn.Module, context: Context) -> Start:
        """Go on from the shipped weights of the same architecture, with other crops, where there are some."""
        if self.plan.steps is not None:
            return Start()
        start = super().start(model, context)
        if start.goes_on:
            self.sampler.rng = np.random.default_rng(int(time.time()))
        return start

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Four validations; half the learning rate for weights that have learned before."""
        return Schedule(
            minutes,
            self.plan.learning_rate * (0.5 if start.goes_on else 1.0),
            average=0.99,
            check_every_s=max(60.0, minutes * 60 / 4),
            warm_up=100,
            steps=self.plan.steps,
        )

    def samples(self) -> torch.Tensor:
        """Return a batch (N, 4, size, size): image, membrane, weight, dividing line."""
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """See `membrane_loss`."""
        return membrane_loss(model(batch[:, :1]), batch, self.plan.weighted)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score a network at level 0.5; `select` is always 0, so that the last weights are kept."""
        return {"select": 0.0, **mean_scores(probabilities(model, self.held), self.held, 0.5)}

    def card(self, trained: Trained) -> dict[str, Any]:
        """Inputs, data, crops and what the publication leaves open."""
        plan = self.plan
        return {
            "inputs": "one section, median 0 and robust standard deviation 1; pixels of about 4 nm",
            "trained_on": {
                "em_isbi2012": "sections 00-19 of the ISBI 2012 challenge (Arganda-Carreras et al. 2015; "
                "Cardona et al. 2010), research use: cite the challenge",
            },
            "crops": {"size_px": plan.size, "in_a_step": plan.batch, **asdict(plan.how)},
            "weight_map": plan.weighted,
            "chosen_where_the_publication_is_open": list(plan.chosen),
            "kept": "the average over the last steps; sections 20-24 chose nothing",
            "threshold": 0.5,
        }

    def card_of_saved(self, saved: nn.Module, trained: Trained) -> dict[str, Any]:
        """Return the level that fits sections it learned from, and the scores with it on those held out."""
        levelled = self.learned[::5]
        level = best_level(probabilities(saved, levelled), levelled)
        scores = mean_scores(probabilities(saved, self.held), self.held, level)
        full = mean_scores(probabilities(trained.model, self.held), self.held, level)
        return {
            "threshold": level,
            "threshold_from": "smallest pixel error on sections 00, 05, 10 and 15, which it learned from",
            "rounding": {"bits": self.plan.bits, "dice": scores["dice"], "dice_before": full["dice"]},
            "scores": [
                {"data": "em_isbi2012 sections 20-24", "measure": key, "value": value, "command": COMMAND}
                for key, value in scores.items()
            ],
        }
