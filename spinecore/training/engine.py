"""What all recipes share: start, train on a device, choose the weights, save them with their card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.networks.device import device_of
from spinecore.networks.zoo import Card, build_network, get_card, load_network, save_network, write_card
from spinecore.training.loop import train
from spinecore.training.precision import pick_precision
from spinecore.training.ranges import write_ranges
from spinecore.training.recipe import POOL_SIZE, Context, Recipe, Trained
from spinecore.training.schedule import Start
from spinecore.training.scratch import note_scratch


def start_network(recipe: Recipe, context: Context, seed: int = 0) -> tuple[nn.Module, Start]:
    """Build a recipe's network and load what it begins with."""
    torch.manual_seed(seed)
    model: nn.Module = build_network(recipe.architecture())
    recipe.initialise(model)
    return model, Start() if recipe.is_scratch else recipe.start(model, context)


def train_recipe(
    recipe: Recipe,
    context: Context,
    precision: str = "auto",
    command: str | None = None,
) -> Trained:
    """Prepare a recipe's data, train its network and return the weights that are kept; nothing is saved but states.

    Parameters
    ----------
    recipe : Recipe
    context : Context
    precision : str
        "auto", "bfloat16" or "float32", see `spinecore.training.precision.pick_precision`.
    command : str, optional
        What the card says trains it again.

    Raises
    ------
    SpinecoreError
        On a non-finite loss, on data that are not there, and if no time is given.
    """
    if context.minutes <= 0:
        raise SpinecoreError("the length of a training must be above 0 minutes: give a larger --minutes")
    used = pick_precision(precision, context.device)
    try:
        recipe.prepare(context)
        model, start = start_network(recipe, context)
        model = model.to(context.device)
        model, history, chosen = _train_stages(recipe, context, model, start, used)
    finally:
        recipe.close()
    stacks = "" if context.pool_size == POOL_SIZE else f" --stacks {context.pool_size}"
    command = command or f"python -m spinecore train {recipe.name} --minutes {context.minutes:g}{stacks}"
    return Trained(model, history, chosen, start, used, context.minutes, command)


def _train_stages(
    recipe: Recipe, context: Context, model: nn.Module, start: Start, precision: str
) -> tuple[nn.Module, list[dict[str, Any]], dict[str, Any]]:
    """Train stage after stage; return the weights, the history of all stages and the scores of the weights."""
    history: list[dict[str, Any]] = []
    last: list[dict[str, Any]] = []
    for stage in recipe.stages(context, start):
        model, last = train(
            model,
            stage,
            recipe.loss,
            recipe.folder(context),
            context.resume,
            precision,
            context.say,
            context.on_scores,
        )
        history += last
    trained, model = model, recipe.finish(model, start)
    # of equal ones the last, as in the loop
    best = max(reversed(last), key=lambda h: h["select"]) if last else {}
    if last and model is trained:
        return model, history, best
    chosen = {name: best[name] for name in ("step",) if name in best} | recipe.validate(model)
    context.say(json.dumps(chosen))
    return model, history, chosen


def save_trained(recipe: Recipe, trained: Trained, out: Path, name: str | None = None) -> Card:
    """Write weights and card to a folder.

    Parameters
    ----------
    recipe : Recipe
    trained : Trained
    out : Path
    name : str, optional
        Of the files; the recipe's by default.
    """
    common: dict[str, Any] = {
        "method": recipe.method,
        "title": recipe.title,
        "architecture": recipe.architecture(),
        "recipe": trained.command,
        "started_from": trained.start.words,
        "precision": trained.precision,
    }
    if trained.history:
        common |= {"chosen_by": trained.chosen, "history": trained.history}
    name = name or recipe.name
    card = save_network(trained.model, name, common | recipe.card(trained), out, bits=recipe.bits)
    device = str(device_of(trained.model))
    more = recipe.card_of_saved(load_network(name, device, out), trained)
    if not more:
        return card
    write_card(card.path, card.data | more)
    return get_card(name, out)


def run(
    recipe: Recipe,
    context: Context,
    out: Path,
    precision: str = "auto",
) -> Card | None:
    """Train a recipe and write weights, card and training ranges to a folder; see `train_recipe`.

    Returns
    -------
    Card or None
        None where a recipe ships no weights of its own: a base, or one from random weights.

    Raises
    ------
    SpinecoreError
        If a recipe from random weights finds no shipped card to put its note on.
    """
    trained = train_recipe(recipe, context, precision)
    if recipe.is_scratch:
        note_scratch(recipe.name, out, trained.minutes, trained.history)
    if recipe.is_scratch or not recipe.ships_weights:
        return None
    card = save_trained(recipe, trained, out)
    write_ranges(out, context.data, context.pool, only=recipe.name)
    return get_card(card.name, out)
