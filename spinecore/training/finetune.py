"""Fine-tuning of the centre U-Net on a user's own images: `python -m spinecore finetune`.

Only head centres are marked, so the masks of dendrite and spine are learned from what the parent itself says of
the images, with two changes by the marks: a marked head is spine, and what the parent took for a spine without a
mark in it is not. A share of every batch is freshly simulated, so that the parent's skill is kept.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog
from spinecore.methods.trained_range import join_ranges, make_range
from spinecore.networks.scale import CANONICAL_UM
from spinecore.networks.slices import predict_slices
from spinecore.networks.zoo import Card, build_network, get_card, load_network, save_network
from spinecore.simulation import simulate
from spinecore.training.marked import Marked, Source, hold_out, load_all, to_real_image
from spinecore.training.pool import FIRST_SEED, PoolVolume, decode, to_volume
from spinecore.training.samples import (
    Example,
    projection_example,
    real_example,
    slice_example,
)

METHOD = "centre-unet"
#: Examples of a batch: own images, simulated.
OWN, SIMULATED = 4, 1
PATCH_PX = 128
LEARNING_RATE = 7e-4
WARM_UP_STEPS = 25
#: Training between two scorings takes at least this many times as long as a scoring.
SCORING_SHARE = 3.0
#: A marked head is spine within this radius (px of 0.1 um) and this far up and down (um).
HEAD_PX = 2.5
HEAD_REACH_Z_UM = 0.45
#: Where not every spine is marked: background above this probability is left out of the loss.
TRUNCATE = 0.5
MIN_MINUTES, MAX_MINUTES = 0.05, 24 * 60.0
#: Seeds of the simulated stacks that are mixed in; far from those of the pool and of every benchmark.
REHEARSAL_SEED = FIRST_SEED * 3

#: Called with (stage, fraction 0..1); raising in it stops the training.
Report = Callable[[str, float], None]


class Request(BaseModel):
    """What a fine-tuning is asked to do.

    Parameters
    ----------
    name : str
        Of the new model.
    parent : str
        Of the weights to start from.
    parent_folder : Path or None
        Where these lie; None means the shipped models.
    sources : tuple of Source
    minutes : float
        Length of the training itself.
    complete : bool
        True when every spine of the images is marked, so that anything else is background.
    rehearsal : int
        Simulated stacks that are mixed in; 0 for none.
    device : str
    seed : int
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    parent: str = "centre-unet-2d"
    parent_folder: Path | None = None
    sources: tuple[Source, ...]
    minutes: float = Field(default=5.0, ge=MIN_MINUTES, le=MAX_MINUTES)
    complete: bool = True
    rehearsal: int = Field(default=4, ge=0, le=64)
    device: str = "cpu"
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """Counts and scores on the held-out images, centres within 1 um, at one threshold."""

    n_truth: int
    n_predicted: int
    n_matched: int

    @property
    def f1(self) -> float:
        """2 matched / (true + predicted); 0 when both are none."""
        return 2 * self.n_matched / max(self.n_truth + self.n_predicted, 1)

    def to_dict(self) -> dict[str, float]:
        """Return counts and F1."""
        return {**asdict(self), "f1": round(self.f1, 4)}


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
        """True when the new model scores higher than its parent."""
        return self.after.f1 > self.before.f1


def own_classes(model: Any, one: Marked, complete: bool) -> np.ndarray:
    """Return classes (0 background, 1 dendrite, 2 spine) of one image from the parent's maps and the marks.

    Parameters
    ----------
    model : Module
        The parent.
    one : Marked
    complete : bool
        True: a spine of the parent without a mark in it becomes background.

    Returns
    -------
    ndarray, uint8, shape (Z, Y, X)
    """
    from scipy.ndimage import label

    volume = one.volume
    classes = np.zeros(volume.image.shape, np.uint8)

    def emit(index: int, maps: np.ndarray) -> None:
        classes[index] = np.where(maps[1] > 0.5, 2, np.where(maps[0] > 0.5, 1, 0))

    predict_slices(model, lambda i: decode(volume.image[i]), len(volume.image), volume.z_um, emit)
    seen = volume.centres[volume.centres[:, 3] > 0, :3]
    heads = np.zeros(classes.shape, bool)
    yy, xx = np.indices(classes.shape[1:])
    for z, y, x in seen:
        disc = (yy - y) ** 2 + (xx - x) ** 2 <= HEAD_PX**2
        for index in range(len(classes)):
            if abs(index - z) <= 0.5 or abs(index - z) * volume.z_um <= HEAD_REACH_Z_UM:
                heads[index] |= disc
    classes[heads] = 2
    if complete:
        pieces, _ = label(classes == 2)
        kept = np.unique(pieces[heads])
        classes[(pieces > 0) & ~np.isin(pieces, kept)] = 0
    return classes


class OwnSampler:
    """Draws batches from a user's images, with some simulated ones mixed in."""

    def __init__(
        self,
        learned: list[Marked],
        simulated: list[PoolVolume],
        planes: int,
        complete: bool,
        seed: int,
    ) -> None:
        self.is_2d = learned[0].is_2d
        self.images = [to_real_image(one) for one in learned] if self.is_2d else []
        self.volumes = [one.volume for one in learned]
        # an image counts by its spines, so that one with few is not seen as often as one with many
        weights = np.array([one.n_spines + 1.0 for one in learned])
        self.share = weights / weights.sum()
        self.simulated = simulated
        self.planes = planes
        self.truncate = 1.0 if complete else TRUNCATE
        self.rng = np.random.default_rng(seed)

    def _own(self) -> Example:
        index = int(self.rng.choice(len(self.volumes), p=self.share))
        if self.is_2d:
            return real_example(self.images[index], PATCH_PX, self.rng, self.truncate)
        return replace(slice_example(self.volumes[index], PATCH_PX, self.rng), truncate=self.truncate)

    def _simulated(self) -> Example:
        volume = self.simulated[self.rng.integers(len(self.simulated))]
        return (projection_example if self.is_2d else slice_example)(volume, PATCH_PX, self.rng)

    def batch(self) -> dict[str, Any]:
        """Return a dict of tensors as `spinecore.training.centre_unet.loss_of` takes it."""
        import torch

        examples = [self._own() for _ in range(OWN)]
        examples += [self._simulated() for _ in range(SIMULATED if self.simulated else 0)]
        names = ("image", "centre", "centre_weight", "spine", "dendrite", "mask_weight")
        out = {
            n: torch.from_numpy(np.stack([getattr(e, n) for e in examples]).astype(np.float32)) for n in names
        }
        if self.planes == 1:
            middle = out["image"].shape[1] // 2
            out["image"] = out["image"][:, middle : middle + 1].contiguous()
        out["truncate"] = torch.tensor([e.truncate for e in examples])
        return out


def rehearsal_volumes(count: int, is_2d: bool, seed: int) -> list[PoolVolume]:
    """Simulate small stacks of both families to mix in."""
    out = []
    for index in range(count):
        preset = ("confocal", "twophoton", "confocal-crowded", "confocal-noisy")[index % 4]
        shape = (12 if is_2d else 16, 180, 180)
        made = simulate(
            REHEARSAL_SEED + 1000 * seed + index, preset, shape, (0.4, CANONICAL_UM, CANONICAL_UM)
        )
        out.append(to_volume(made.stack.voxels, made))
    return out


def score_held_out(model: Any, held: list[Marked], peak: float) -> Score:
    """Score a network on held-out images at one height of the centre map, one-to-one within 1 um."""
    from spinecore.training.centre_unet import score_points, score_volumes

    at = np.array([peak])
    if held[0].is_2d:
        counts = score_points(model, [to_real_image(one) for one in held], at)
    else:
        counts = score_volumes(model, [one.volume for one in held], at)
    matched, predicted, truth = (int(v) for v in counts[0])
    return Score(truth, predicted, matched)


def check_parent(card: Card, is_2d: bool) -> str:
    """Return the shipped model that a parent is, or stands in for, if it fits the images.

    Raises
    ------
    SpinecoreError
        If it is no centre U-Net, or one for the other kind of image.
    """
    from spinecore.methods import METHODS

    role = str(card.data.get("replaces") or card.name)
    method = METHODS[METHOD]
    if role not in (method.model_2d, method.model_3d):
        raise SpinecoreError(
            f"{card.name} cannot be fine-tuned: start from {method.model_2d} (single images) or {method.model_3d} (stacks)"
        )
    wanted = method.model_for(is_2d)
    if role != wanted:
        kind = "single images" if is_2d else "stacks"
        raise SpinecoreError(f"{card.name} is not for {kind}: start from {wanted} or a model made from it")
    return role


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
    import torch

    from spinecore.training.centre_unet import loss_of
    from spinecore.training.engine import Schedule, train
    from spinecore.workspace.own_models import check_name, suggest_name

    tell = report or (lambda stage, fraction: None)
    name = check_name(request.name, out)
    tell("Reading the images", 0.0)
    marked = load_all(request.sources)
    is_2d = marked[0].is_2d
    folder = {} if request.parent_folder is None else {"folder": request.parent_folder}
    parent = get_card(request.parent, **folder)
    role = check_parent(parent, is_2d)
    learned, held, words = hold_out(marked, request.seed)
    model = load_network(request.parent, request.device, **folder)
    power = float(parent.data.get("score_power", 1.0))
    threshold = float(parent.data["threshold"])
    peak = threshold ** (1 / power)
    tell("Scoring the parent", 0.02)
    clock = time.monotonic()
    before = score_held_out(model, held, peak)
    scoring_s = time.monotonic() - clock
    say(
        f"{len(learned)} image(s) with {sum(o.n_spines for o in learned)} spines to learn from; held out: {words}, "
        f"{before.n_truth} spines; {request.parent} scores F1 {before.f1:.3f} there"
    )
    tell("Preparing the images", 0.05)
    for one in learned:
        one.volume.classes = own_classes(model, one, request.complete)
    simulated = rehearsal_volumes(request.rehearsal, is_2d, request.seed)
    planes = int(parent.data["architecture"]["in_channels"])
    sampler = OwnSampler(learned, simulated, planes, request.complete, request.seed)
    work.mkdir(parents=True, exist_ok=True)
    curve = AppendOnlyLog(work / "history.jsonl")
    curve.path.unlink(missing_ok=True)
    history = [{"step": 0, "minutes": 0.0, "f1": round(before.f1, 4)}]
    curve.append(history[0])
    started = time.monotonic()

    def batch() -> dict[str, Any]:
        share = (time.monotonic() - started) / (60 * request.minutes)
        tell("Training", 0.1 + 0.85 * min(share, 1.0))
        return sampler.batch()

    def validate(network: Any) -> dict[str, float]:
        return {"select": score_held_out(network, held, peak).f1}

    def heard(line: str) -> None:
        if line.startswith("{"):
            row = json.loads(line)
            entry = {"step": row["step"], "minutes": row["minutes"], "f1": row["select"], "loss": row["loss"]}
            history.append(entry)
            curve.append(entry)
        say(line)

    torch.manual_seed(request.seed)
    network = build_network(parent.data["architecture"])
    network.load_state_dict(model.state_dict())
    schedule = Schedule(
        request.minutes,
        LEARNING_RATE,
        check_every_s=max(8.0, request.minutes * 60 / 8, SCORING_SHARE * scoring_s),
        warm_up=WARM_UP_STEPS,
    )
    best, _ = train(network, batch, loss_of, validate, schedule, work, request.device, False, heard)
    tell("Scoring the new model", 0.96)
    after = score_held_out(best.to("cpu"), held, peak)
    if (out / f"{name}.json").exists():  # somebody took the name meanwhile
        name = suggest_name(name, out)
    card = save_network(
        best, name, _card(request, parent, role, marked, history, words, (before, after), threshold), out
    )
    return Result(card, before, after, history, words)


def _card(
    request: Request,
    parent: Card,
    role: str,
    marked: list[Marked],
    history: list[dict[str, float]],
    words: str,
    scores: tuple[Score, Score],
    threshold: float,
) -> dict[str, Any]:
    """Return the new model's card; it names its parent, the images, and both scores."""
    view = "image" if marked[0].is_2d else "stack"
    ranges = parent.data.get("trained_range") or {}
    joined = join_ranges(ranges.get(view), make_range([one.measured for one in marked]))
    spines = sum(one.n_spines for one in marked)
    names = [one.name for one in marked]
    command = f"python -m spinecore finetune --parent {request.parent} --minutes {request.minutes:g}"
    kept = ("inputs", "canonical_um", "score_power")
    return {
        "method": METHOD,
        "replaces": role,
        "title": f"{request.parent}, fine-tuned on {len(marked)} own {view}{'s' if len(marked) > 1 else ''}",
        "architecture": parent.data["architecture"],
        **{key: parent.data[key] for key in kept if key in parent.data},
        "parent": {"name": parent.name, "sha256": parent.sha256},
        "trained_on": {
            **parent.data.get("trained_on", {}),
            "own images": f"{len(marked)} with {spines} marked spines: {', '.join(names[:20])}"
            + (f" and {len(names) - 20} more" if len(names) > 20 else ""),
        },
        "held_out": words,
        "every_spine_marked": request.complete,
        "recipe": command,
        "started_from": parent.name,
        "chosen_by": "F1 on the held-out images, so the score after is a little too good",
        "history": history,
        "threshold": threshold,
        "scores": [
            {
                "data": f"held-out own images ({words}), {what}",
                "measure": "F1 (centre within 1 um)",
                "value": round(score.f1, 4),
                "threshold": threshold,
                "command": command,
                **score.to_dict(),
            }
            for what, score in zip((f"parent {parent.name}", "this model"), scores, strict=True)
        ],
        "trained_range": {**ranges, view: joined},
    }
