"""The training loop every recipe shares: time-boxed, resumable, stops on a non-finite loss."""

from __future__ import annotations

import copy
import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, replacing
from spinecore.networks.zoo import build_network, get_card, load_network, memory_format


@dataclass
class Schedule:
    """How long and how fast.

    Parameters
    ----------
    minutes : float
        Wall-clock length of the whole run (over resumes).
    learning_rate : float
        Peak rate; a short warm-up, then a cosine to zero at the end of `minutes`.
    average : float
        Decay of the exponential moving average of the weights, which is what is kept.
    momentum : float, optional
        Given: stochastic gradient descent with this momentum; otherwise AdamW.
    warm_up : int
        Steps over which the rate rises to its peak.
    """

    minutes: float
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    average: float = 0.998
    check_every_s: float = 600.0
    momentum: float | None = None
    warm_up: int = 200


def starting_network(name: str, architecture: dict[str, Any]) -> tuple[nn.Module, str | None]:
    """Return the network that a recipe begins with, and the sha256 of the weights that it goes on from.

    These are the ones of that name in `models/`, if they have the same architecture; else random ones, and None.
    """
    torch.manual_seed(0)
    model = build_network(architecture)
    try:
        card = get_card(name)
    except SpinecoreError:
        return model, None
    if card.data["architecture"] != architecture:
        return model, None
    model.load_state_dict(load_network(name).state_dict())
    return model, card.sha256


def started_from(sha256: str | None) -> str:
    """Say on a card what `starting_network` gave."""
    return f"the weights before, sha256 {sha256}" if sha256 else "random weights"


def background(make: Callable[[], object], depth: int = 6) -> Iterator[object]:
    """Yield what `make` returns, computed ahead in a thread."""
    ready: queue.Queue = queue.Queue(maxsize=depth)
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                item = make()
            except Exception as error:
                item = error
            while not stop.is_set():
                try:
                    ready.put(item, timeout=0.5)
                    break
                except queue.Full:
                    continue

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stop.set()


def train(
    model: nn.Module,
    make_batch: Callable[[], object],
    loss_of: Callable[[nn.Module, object], torch.Tensor],
    validate: Callable[[nn.Module], dict[str, float]],
    schedule: Schedule,
    folder: Path,
    device: str,
    resume: bool,
    say: Callable[[str], None] = print,
) -> tuple[nn.Module, list[dict]]:
    """Train `model` and return the averaged weights with the best `validate()["select"]`.

    Parameters
    ----------
    make_batch : callable
        Returns one batch (called in a background thread).
    loss_of : callable
        (model, batch) -> scalar loss.
    validate : callable
        Scores the averaged model; the key "select" decides which one is kept.
    folder : Path
        Where `state.pt` (only for resuming), `log.jsonl` and progress go.

    Returns
    -------
    model : Module
        The best averaged model.
    history : list of dict
        One entry per validation.

    Raises
    ------
    SpinecoreError
        On a non-finite loss.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / "state.pt"
    model = model.to(device).to(memory_format=memory_format(model))
    average = copy.deepcopy(model).eval()
    settings = {"lr": schedule.learning_rate, "weight_decay": schedule.weight_decay}
    if schedule.momentum is None:
        optimiser: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), **settings)
    else:
        optimiser = torch.optim.SGD(model.parameters(), momentum=schedule.momentum, **settings)
    step, spent, history = 0, 0.0, []
    best: tuple[float, dict] | None = None
    if resume and state_file.exists():
        state = torch.load(state_file, map_location=device, weights_only=True)
        model.load_state_dict(state["model"])
        average.load_state_dict(state["average"])
        optimiser.load_state_dict(state["optimiser"])
        step, spent, history = state["step"], state["spent"], json.loads(state["history"])
        best = (state["best_score"], state["best"]) if state["best"] is not None else None
        say(f"resumed at step {step} after {spent / 60:.1f} minutes")
    total = schedule.minutes * 60
    last, checked, running = time.monotonic(), spent, None
    model.train()
    for batch in background(make_batch):
        share = spent / total
        rate = (
            schedule.learning_rate
            * min(1.0, (step + 1) / schedule.warm_up)
            * 0.5
            * (1 + math.cos(math.pi * min(share, 1.0)))
        )
        for group in optimiser.param_groups:
            group["lr"] = max(rate, 1e-6)
        with torch.autocast(device, dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        if not torch.isfinite(loss):
            raise SpinecoreError(
                f"the loss became {loss.item()} at step {step}: lower the learning rate and use --resume"
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimiser.step()
        step += 1
        decay = min(schedule.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for kept, new in zip(average.state_dict().values(), model.state_dict().values(), strict=True):
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1 - decay)
                else:
                    kept.copy_(new)
        now_loss = float(loss.detach())
        running = now_loss if running is None else 0.98 * running + 0.02 * now_loss
        now = time.monotonic()
        spent, last = spent + now - last, now
        if step % 100 == 0:
            say(f"step {step}  {spent / 60:.1f}/{schedule.minutes:.0f} min  loss {running:.3f}")
        if spent - checked > schedule.check_every_s or spent >= total:
            checked = spent
            scores = {"step": step, "minutes": round(spent / 60, 2), "loss": running, **validate(average)}
            history.append(scores)
            say(json.dumps({k: round(v, 4) for k, v in scores.items()}))
            if best is None or scores["select"] >= best[0]:
                best = (scores["select"], {k: v.clone() for k, v in average.state_dict().items()})
            _save_state(state_file, model, average, optimiser, step, spent, history, best)
            AppendOnlyLog(folder / "log.jsonl").append(scores)
            last = time.monotonic()
            if spent >= total:
                break
    average.load_state_dict(best[1])
    return average, history


def _save_state(path, model, average, optimiser, step, spent, history, best) -> None:
    state = {
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "spent": spent,
        "history": json.dumps(history),
        "best_score": best[0] if best else 0.0,
        "best": best[1] if best else None,
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)
