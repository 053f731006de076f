"""The training loop that every recipe shares: resumable, averaged, stops on a non-finite loss."""

from __future__ import annotations

import copy
import json
import queue
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.files import AppendOnlyLog, replacing
from spinecore.networks.device import device_of
from spinecore.networks.zoo import memory_format
from spinecore.training.precision import autocast
from spinecore.training.recipe import Batch, Stage
from spinecore.training.schedule import Schedule

#: Gradients are scaled down to this norm.
_LARGEST_GRADIENT = 5.0
#: Steps between two lines about the loss; a training by steps is saved as often.
_LINE_EVERY = 100


def background(make: Callable[[], Batch], depth: int = 6) -> Generator[Batch, None, None]:
    """Yield what `make` returns, computed ahead in a thread."""
    ready: queue.Queue[Batch] = queue.Queue(maxsize=depth)
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


def to_device(batch: Batch, device: torch.device) -> Batch:
    """Return a batch (tensors in a dict, list, tuple or an object with `to`) on a device."""
    if isinstance(batch, torch.Tensor):
        return batch.to(device, non_blocking=True)
    if isinstance(batch, dict):
        return {key: to_device(value, device) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(to_device(value, device) for value in batch)
    return batch.to(device) if hasattr(batch, "to") else batch


def _optimiser(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    rate, decay = schedule.learning_rate, schedule.weight_decay
    if schedule.momentum is None:
        return torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(model.parameters(), lr=rate, momentum=schedule.momentum, weight_decay=decay)


class _State:
    """Network, moving average and optimiser, with all that a resumed training needs."""

    def __init__(self, model: nn.Module, schedule: Schedule) -> None:
        self.model = model.to(memory_format=memory_format(model)).train()
        self.average = copy.deepcopy(self.model).eval()
        self.schedule = schedule
        self.optimiser = _optimiser(model, schedule)
        self.step, self.spent_s = 0, 0.0
        self.history: list[dict[str, Any]] = []
        self.best: tuple[float, dict[str, torch.Tensor]] | None = None

    def update(self, loss: torch.Tensor) -> None:
        """Make one step down a loss."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.schedule.rate(self.step, self.spent_s)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), _LARGEST_GRADIENT)
        self.optimiser.step()
        self.step += 1
        decay = min(self.schedule.average, (1 + self.step) / (10 + self.step))
        own = zip(self.average.state_dict().values(), self.model.state_dict().values(), strict=True)
        with torch.no_grad():
            for kept, new in own:
                if kept.dtype.is_floating_point:
                    kept.lerp_(new, 1 - decay)
                else:
                    kept.copy_(new)

    def note(self, scores: dict[str, Any]) -> None:
        """Enter a validation, and keep the weights if they are the best."""
        self.history.append(scores)
        if self.best is None or scores["select"] >= self.best[0]:
            self.best = (scores["select"], {k: v.clone() for k, v in self.average.state_dict().items()})

    def save(self, path: Path) -> None:
        """Write everything, in one step."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "steps": self.schedule.steps,
            "spent": self.spent_s,
            "history": json.dumps(self.history),
            "best_score": self.best[0] if self.best else 0.0,
            "best": self.best[1] if self.best else None,
        }
        with replacing(path) as temporary:
            torch.save(state, temporary)

    def load(self, path: Path) -> bool:
        """Read what `save` wrote; False where it is of a training of another number of steps.

        Raises
        ------
        SpinecoreError
            If it belongs to another network.
        """
        state = torch.load(path, map_location=device_of(self.model), weights_only=True)
        if state.get("steps") != self.schedule.steps:
            return False
        try:
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (RuntimeError, ValueError) as error:
            raise SpinecoreError(
                f"{path} belongs to another version of this network: start anew, without --resume"
            ) from error
        self.step, self.spent_s = state["step"], state.get("spent", 0.0)
        self.history = json.loads(state.get("history", "[]"))
        if state.get("best") is not None:
            self.best = (state["best_score"], state["best"])
        return True


def train(
    model: nn.Module,
    stage: Stage,
    loss_of: Callable[[nn.Module, Batch], torch.Tensor],
    folder: Path,
    resume: bool = False,
    precision: str = "float32",
    say: Callable[[str], None] = print,
    on_scores: Callable[[dict[str, Any]], None] = lambda scores: None,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train a network on the device it is on and return the averaged weights that are kept.

    Parameters
    ----------
    model : Module
    stage : Stage
        Batches, schedule and validation.
    loss_of : callable
        (model, batch) -> scalar loss.
    folder : Path
        Where `<stage>.pt` (only for resuming) and `log.jsonl` go.
    resume : bool
        Go on from the state in `folder`, if there is one; a finished training is not repeated.
    precision : str
        "bfloat16" or "float32".
    say : callable
        Receives lines for people.
    on_scores : callable
        Receives each entry of the history, as it is made.

    Returns
    -------
    model : Module
        The averaged weights with the best `select`, or the last ones where the stage has no validation.
    history : list of dict
        One entry per validation.

    Raises
    ------
    SpinecoreError
        On a non-finite loss.
    """
    folder.mkdir(parents=True, exist_ok=True)
    state_file = folder / f"{stage.name}.pt"
    state, schedule, device = _State(model, stage.schedule), stage.schedule, device_of(model)
    if resume and state_file.exists() and state.load(state_file) and not _is_done(state):
        say(f"resumed at step {state.step} after {state.spent_s / 60:.1f} minutes")
    if stage.start_scores is not None and state.step == 0:
        state.note({"step": 0, "minutes": 0.0, **stage.start_scores})
        on_scores(state.history[0])
    last, checked, running = time.monotonic(), state.spent_s, None
    batches = background(stage.samples)
    while not _is_done(state):
        batch = to_device(next(batches), device)
        with autocast(device.type, precision):
            loss = loss_of(state.model, batch)
        if not torch.isfinite(loss):
            raise SpinecoreError(
                f"the loss became {loss.item()} at step {state.step}: lower the learning rate and use --resume"
            )
        state.update(loss)
        now_loss = float(loss.detach())
        running = now_loss if running is None else 0.98 * running + 0.02 * now_loss
        now = time.monotonic()
        state.spent_s, last = state.spent_s + now - last, now
        if state.step % _LINE_EVERY == 0 or state.step == schedule.steps:
            say(f"{_position(state)}  loss {running:.3f}")
        if not _is_due(state, checked):
            continue
        checked = state.spent_s
        if stage.validate is not None:
            scores = {"step": state.step, "minutes": round(state.spent_s / 60, 2), "loss": running}
            scores |= stage.validate(state.average)
            state.note(scores)
            say(json.dumps({k: round(v, 4) for k, v in scores.items()}))
            on_scores(scores)
            AppendOnlyLog(folder / "log.jsonl").append(scores)
        state.save(state_file)
        last = time.monotonic()
    batches.close()
    if state.best is not None:
        state.average.load_state_dict(state.best[1])
    return state.average, state.history


def _is_done(state: _State) -> bool:
    return state.schedule.share(state.step, state.spent_s) >= 1.0


def _is_due(state: _State, checked_s: float) -> bool:
    """Say whether it is time to validate and to save."""
    if state.schedule.steps is not None:
        return state.step % _LINE_EVERY == 0 or _is_done(state)
    return state.spent_s - checked_s > state.schedule.check_every_s or _is_done(state)


def _position(state: _State) -> str:
    if state.schedule.steps is not None:
        return f"step {state.step} of {state.schedule.steps}"
    return f"step {state.step}  {state.spent_s / 60:.1f}/{state.schedule.minutes:.0f} min"
