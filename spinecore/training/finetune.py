"""Fine-tuning on a user's own images: `python -m spinecore finetune`.

What learns in stacks is the second look at each head (`spinecore.training.finetune_heads`); the shipped maps stay, so that all that
reads them still does. For single images, or where asked for, the centre U-Net itself learns, which is here. Only head centres are marked, so the masks of dendrite and spine are learned from what the parent itself says of
the images, with two changes by the marks: a marked head is spine, and what the parent took for a spine without a
mark in it is not. A share of every batch is freshly simulated, so that the parent's skill is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog
from spinecore.methods import METHODS
from spinecore.methods.trained_range import join_ranges, make_range
from spinecore.methods.weights import SCORER
from spinecore.networks.zoo import MODELS_DIR, Card, get_card, load_network
from spinecore.training.centre_unet import centre_loss
from spinecore.training.engine import save_trained, train_recipe
from spinecore.training.held_out import HEIGHTS, NEAR_MARK_UM, Score, best_height, power_for, score_held_out
from spinecore.training.marked import Marked, hold_out, load_all
from spinecore.training.own_images import OwnSampler, own_classes, rehearsal_volumes
from spinecore.training.pool import PoolVolume
from spinecore.training.recipe import Context, Recipe, Stage, Trained
from spinecore.training.request import METHOD, Request, default_parent, role_of
from spinecore.training.schedule import Schedule, Start
from spinecore.workspace.own_models import check_name, suggest_name

LEARNING_RATE = 7e-4
WARM_UP_STEPS = 25
#: Training between two scorings takes at least this many times as long as a scoring.
SCORING_SHARE = 3.0
#: Called with (stage, fraction 0..1); raising in it stops the training.
Report = Callable[[str, float], None]


@dataclass(frozen=True)
class Result:
    """What came of a fine-tuning.

    Parameters
    ----------
    card : Card
        Of the new model.
    before, after : Score
        Of parent and new model on the held-out images.
    history : list of dict
        One entry per validation, the parent's own first.
    held_out : str
        How images were held out.
    """

    card: Card
    before: Score
    after: Score
    history: list[dict[str, float]]
    held_out: str

    @property
    def improved(self) -> bool:
        """True when the new model scores higher than its parent at the parent's own threshold."""
        return self.after.f1 > self.before.f1


def check_parent(card: Card, is_2d: bool) -> str:
    """Return the shipped model that a parent is, or stands in for, if it fits the images.

    Raises
    ------
    SpinecoreError
        If it cannot learn, or is for the other kind of image.
    """
    role = role_of(card)
    roles = METHODS[METHOD].roles
    if role not in (*roles(True), *roles(False)):
        raise SpinecoreError(
            f"{card.name} cannot be fine-tuned: start from {default_parent(True)} (single images) or {default_parent(False)} (stacks)"
        )
    if role not in roles(is_2d):
        kind = "single images" if is_2d else "stacks"
        raise SpinecoreError(
            f"{card.name} is not for {kind}: start from {default_parent(is_2d)} or a model made from it"
        )
    return role


class FineTune(Recipe):
    """A copy of a centre U-Net, trained on a user's own images.

    Parameters
    ----------
    request : Request
    report : callable
        Called with (stage, fraction of the whole).
    """

    method = METHOD
    learning_rate = LEARNING_RATE

    def __init__(self, request: Request, report: Report) -> None:
        super().__init__(request.name)
        self.request, self.report = request, report
        self.is_scratch = False
        self.history: list[dict[str, float]] = []

    def folder(self, context: Context) -> Path:
        """Keep the state in the work folder itself."""
        return context.work

    def architecture(self) -> dict[str, Any]:
        """That of the parent."""
        architecture: dict[str, Any] = self.parent.data["architecture"]
        return architecture

    def prepare(self, context: Context) -> None:
        """Read the images, hold some out, score the parent there and make what is learned from."""
        request = self.request
        self.report("Reading the images", 0.0)
        self.marked = load_all(request.sources)
        is_2d = self.marked[0].is_2d
        folder = request.parent_folder or MODELS_DIR
        self.parent = get_card(request.parent, folder)
        self.role = check_parent(self.parent, is_2d)
        view = "image" if is_2d else "stack"
        count = len(self.marked)
        self.title = f"{request.parent}, fine-tuned on {count} own {view}{'s' if count > 1 else ''}"
        learned, self.held, self.held_out = hold_out(self.marked, request.seed)
        self.parent_network = load_network(request.parent, context.device, folder)
        self.threshold = float(self.parent.data["threshold"])
        self.height = self.threshold ** (1 / float(self.parent.data.get("score_power", 1.0)))
        self.heights = np.union1d(HEIGHTS, [self.height])
        self.report("Scoring the parent", 0.02)
        self.open_held_out(context)
        clock = time.monotonic()
        scores = self._score(self.parent_network, self.heights)
        self.scoring_s = time.monotonic() - clock
        self.before = scores[int(np.searchsorted(self.heights, self.height))]
        self.start_scores = self._chosen(scores)
        context.say(
            f"{len(learned)} image(s) with {sum(o.n_spines for o in learned)} spines to learn from; held out: "
            f"{self.held_out}, {self.before.n_truth} spines; {request.parent} scores F1 {self.before.f1:.3f} there "
            f"({self.start_scores['select']:.3f} at the height that suits best)"
        )
        self.report("Preparing the images", 0.05)
        self.open_learned(learned, rehearsal_volumes(request.rehearsal, is_2d, request.seed), context)
        self.started_s = time.monotonic()

    def open_held_out(self, context: Context) -> None:
        """Make ready what the held-out images are scored with."""

    def open_learned(self, learned: list[Marked], simulated: list[PoolVolume], context: Context) -> None:
        """Make the masks to learn from."""
        for one in learned:
            one.volume.classes = own_classes(self.parent_network, one, self.request.complete)
        planes = int(self.architecture()["in_channels"])
        self.sampler: Any = OwnSampler(learned, simulated, planes, self.request.complete, self.request.seed)

    def start(self, model: nn.Module, context: Context) -> Start:
        """Go on from the parent."""
        model.load_state_dict(self.parent_network.state_dict())
        return Start(self.parent.name, goes_on=True)

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Eight validations, or fewer where they take long."""
        check_every_s = max(8.0, minutes * 60 / 8, SCORING_SHARE * self.scoring_s)
        return Schedule(minutes, self.learning_rate, check_every_s=check_every_s, warm_up=WARM_UP_STEPS)

    def stages(self, context: Context, start: Start) -> list[Stage]:
        """Keep the parent's weights unless others are clearly better there, so that the new model is not worse by chance."""
        return [replace(s, start_scores=self.start_scores) for s in super().stages(context, start)]

    def samples(self) -> dict[str, torch.Tensor]:
        """Return examples of own images and simulated ones."""
        share = (time.monotonic() - self.started_s) / (60 * self.request.minutes)
        self.report("Training", 0.1 + 0.85 * min(share, 1.0))
        return self.sampler.batch()

    def loss(self, model: nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """See `spinecore.training.centre_unet.centre_loss`."""
        return centre_loss(model, batch)

    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return F1 on the held-out images at the height that suits the network best; what selects is lower by one spine.

        The parent's is not, so that it stays unless others are better by more than chance can make of a single spine.
        """
        found = self._chosen(self._score(model, self.heights))
        return found | {"select": found["f1"] - 1 / max(self.before.n_truth, 1)}

    def _score(self, model: nn.Module, heights: np.ndarray) -> list[Score]:
        return score_held_out(model, self.held, heights, self.request.complete)

    def _chosen(self, scores: list[Score]) -> dict[str, float]:
        at = best_height(scores, self.heights, self.height)
        f1 = scores[at].f1
        return {"select": f1, "f1": f1, "height": float(self.heights[at])}

    def ranges(self) -> dict[str, Any]:
        """Return the range of images that the parent learned from."""
        return dict(self.parent.data.get("trained_range") or {})

    def card(self, trained: Trained) -> dict[str, Any]:
        """Parent, images and both scores."""
        request, parent = self.request, self.parent
        view = "image" if self.marked[0].is_2d else "stack"
        ranges = self.ranges()
        joined = join_ranges(ranges.get(view), make_range([one.measured for one in self.marked]))
        spines = sum(one.n_spines for one in self.marked)
        names = [one.name for one in self.marked]
        kept = ("inputs", "canonical_um", "reads_maps_of")
        height = trained.chosen["height"]
        (self.after,) = self._score(trained.model, np.array([height]))
        return {
            "replaces": self.role,
            **{key: parent.data[key] for key in kept if key in parent.data},
            "parent": {"name": parent.name, "sha256": parent.sha256},
            "trained_on": {
                **parent.data.get("trained_on", {}),
                "own images": f"{len(self.marked)} with {spines} marked spines: {', '.join(names[:20])}"
                + (f" and {len(names) - 20} more" if len(names) > 20 else ""),
            },
            "held_out": self.held_out,
            "every_spine_marked": request.complete,
            "chosen_by": "F1 on the held-out images, which also chose the scale of scores, so the score after is a "
            "little too good",
            "kept": "the parent's weights, with another scale of scores"
            if trained.chosen["step"] == 0
            else f"the weights after {trained.chosen['step']} steps",
            "history": self.history,
            "threshold": self.threshold,
            "score_power": power_for(height, self.threshold),
            "scores": [
                {
                    "data": f"held-out own images ({self.held_out}), {what}",
                    "measure": "F1 (centre within 1 um)"
                    + ("" if request.complete else f", heads within {NEAR_MARK_UM:g} um of a mark"),
                    "value": round(score.f1, 4),
                    "threshold": self.threshold,
                    "command": trained.command,
                    **score.to_dict(),
                }
                for what, score in ((f"parent {parent.name}", self.before), ("this model", self.after))
            ],
            "trained_range": {**ranges, view: joined},
        }


def finetune(
    request: Request,
    out: Path,
    work: Path,
    report: Report | None = None,
    say: Callable[[str], None] = print,
) -> Result:
    """Train a copy of the parent on a user's own images and save it under a new name; the parent stays.

    Parameters
    ----------
    request : Request
    out : Path
        Folder of own models, for weights and card.
    work : Path
        Folder for the curve (`history.jsonl`) and the state of the training.
    report : callable, optional
        Called with (stage, fraction of the whole); what it raises stops the training.
    say : callable
        Receives lines for people.

    Raises
    ------
    SpinecoreError
        With one sentence.
    """
    report = report or (lambda stage, fraction: None)
    name = check_name(request.name, out)
    parent = get_card(request.parent, request.parent_folder or MODELS_DIR)
    recipe: FineTune
    if role_of(parent) == SCORER:
        from spinecore.training.finetune_heads import FineTuneHeads  # it builds on what is here

        recipe = FineTuneHeads(request, report)
    else:
        recipe = FineTune(request, report)
    work.mkdir(parents=True, exist_ok=True)
    curve = AppendOnlyLog(work / "history.jsonl")
    curve.path.unlink(missing_ok=True)

    def note(scores: dict[str, Any]) -> None:
        entry = {k: round(scores[k], 4) for k in ("step", "minutes", "loss") if k in scores}
        recipe.history.append(entry | {"f1": round(scores["f1"], 4)})
        curve.append(recipe.history[-1])

    context = Context(work, work, request.minutes, request.device, say=say, on_scores=note)
    command = f"python -m spinecore finetune --parent {request.parent} --minutes {request.minutes:g}"
    trained = train_recipe(recipe, context, command=command)
    if trained.chosen["step"] == 0:
        say(
            f"no moment of the training was better there by a spine or more: the new model keeps the weights of {request.parent}"
        )
    report("Scoring the new model", 0.96)
    if (out / f"{name}.json").exists():  # somebody took the name meanwhile
        name = suggest_name(name, out)
    card = save_trained(recipe, trained, out, name)
    return Result(card, recipe.before, recipe.after, recipe.history, recipe.held_out)
