"""The list of recipes: what `python -m spinecore train NAME` can make."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path


class RecipeError(ValueError):
    """The call of a recipe was mistaken; one sentence for the user."""


@dataclass(frozen=True)
class Recipe:
    """A recipe's module (with a `run` function), default length and one-line description."""

    module: str
    minutes: float
    title: str


RECIPES: dict[str, Recipe] = {
    "centre-unet": Recipe(
        "spinecore.training.centre_unet", 70, "default method: dendrite, spine and head-centre maps"
    ),
}


def default_data() -> Path:
    """Return the folder of labelled images: SPINE_DATA, else ../shared/data."""
    return Path(os.environ.get("SPINE_DATA", "../shared/data"))


def run_recipe(
    name: str,
    data: Path | None = None,
    out: Path = Path("models"),
    device: str = "auto",
    minutes: float | None = None,
    resume: bool = False,
    work: Path = Path("runs"),
) -> None:
    """Train one recipe; weights and card appear in `out`, intermediate state in `work`.

    Raises
    ------
    RecipeError
        If the recipe or the data folder does not exist.
    """
    if name not in RECIPES:
        raise RecipeError(f"there is no recipe {name!r}: choose one of {', '.join(RECIPES)}")
    folder = data or default_data()
    if not folder.is_dir():
        raise RecipeError(f"the data folder {folder} does not exist: give it with --data or set SPINE_DATA")
    from spinecore.inference import pick_device

    recipe = RECIPES[name]
    run: Callable[..., None] = import_module(recipe.module).run
    run(folder, out, minutes or recipe.minutes, pick_device(device), resume, work)
