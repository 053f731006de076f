"""What a training recipe says; everything else is done by `spinecore.training.engine`.

A recipe prepares its data, draws batches, names its loss, scores a network, and tells its card what only it knows.
The engine owns the device, the precision, the start weights, the loop, resuming, the choice of the best weights, saving,
the fields that every card has, and the training ranges.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinecore.training.schedule import Schedule, Start

if TYPE_CHECKING:  # recipes are listed without torch
    from torch import Tensor, nn

#: What `Recipe.samples` draws: tensors in a dict, list, tuple or an object with `to(device)`.
Batch = Any
#: Simulated stacks of the pool, where nothing else is asked for.
POOL_SIZE = 600
#: Recipes with this ending start from random weights, learn every layer, and ship nothing.
ENDING = "-scratch"


def shipped_name(recipe: str) -> tuple[str, bool]:
    """Return the name of the weights that a recipe is about, and whether it starts from random ones."""
    return recipe.removesuffix(ENDING), recipe.endswith(ENDING)


@dataclass(frozen=True)
class Context:
    """Where a training finds its data, and how long it takes.

    Parameters
    ----------
    data : Path
        Labelled images.
    work : Path
        Intermediate files: the pool of simulated stacks, and a folder of states for each recipe.
    minutes : float
        Length of the training.
    device : str
        "cpu", "cuda" or "mps": where the network is trained, and where others that only help with the data run.
    resume : bool
        Go on from the states in the work folder.
    say : callable
        Receives lines for people.
    on_scores : callable
        Receives each entry of the history, as it is made.
    pool_size : int
        Simulated stacks that are made where they are not there yet.
    """

    data: Path
    work: Path
    minutes: float
    device: str = "cpu"
    resume: bool = False
    say: Callable[[str], None] = print
    on_scores: Callable[[dict[str, Any]], None] = lambda scores: None
    pool_size: int = POOL_SIZE

    @property
    def pool(self) -> Path:
        """Folder of simulated stacks, see `spinecore.training.pool.fill_pool`."""
        return self.work / "pool"


@dataclass(frozen=True)
class Stage:
    """One part of a training.

    Parameters
    ----------
    name : str
        Of the state file in the recipe's work folder, without its ending.
    samples : callable
        Draws one batch; called in a background thread.
    schedule : Schedule
    validate : callable, optional
        Scores the averaged network; the key "select" decides which weights are kept. Without it the last are kept.
    start_scores : dict, optional
        What `validate` gives for the weights that the stage begins with: given, they stay unless others are as good.
    """

    name: str
    samples: Callable[[], Batch]
    schedule: Schedule
    validate: Callable[[nn.Module], dict[str, float]] | None = None
    start_scores: dict[str, float] | None = None


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Parameters
    ----------
    model : Module
        The weights that are kept, averaged, in evaluation mode.
    history : list of dict
        One entry per validation.
    chosen : dict
        What `validate` gave for `model`.
    start : Start
    precision : str
        "bfloat16" or "float32".
    minutes : float
        Length asked for.
    command : str
        That trains it again.
    """

    model: nn.Module
    history: list[dict[str, Any]]
    chosen: dict[str, Any]
    start: Start
    precision: str
    minutes: float
    command: str


class Recipe(ABC):
    """A way to train one model; a subclass stands in a file of its own and is listed in `spinecore.training.recipes`.

    Parameters
    ----------
    name : str
        As listed; with `-scratch` behind the name of the weights, the network starts from random ones, and only a note
        on the shipped card comes out of it.

    Attributes
    ----------
    method : str
        What the card's `method` says.
    title : str
        What the card's `title` says.
    ships_weights : bool
        False where the weights are only a start for other recipes: they stay in the work folder.
    bits : int
        Of a stored weight.
    """

    method: str
    title: str
    ships_weights: bool = True
    bits: int = 16

    def __init__(self, name: str) -> None:
        self.name = name
        self.shipped, self.is_scratch = shipped_name(name)

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Return the card's `architecture`, of which the network is built; called after `prepare`."""

    @abstractmethod
    def samples(self) -> Batch:
        """Draw one batch of tensors on the CPU; called in a background thread."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Return the scalar loss; the batch is on the network's device."""

    @abstractmethod
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Score a network on the device it is on; `select` decides which weights are kept (larger is better)."""

    @abstractmethod
    def card(self, trained: Trained) -> dict[str, Any]:
        """Return the card's fields that only the recipe knows: inputs, trained_on, threshold and the like."""

    def card_of_saved(self, saved: nn.Module, trained: Trained) -> dict[str, Any]:
        """Return further fields of the card, measured with the weights as they were stored (rounded); none by default."""
        return {}

    def prepare(self, context: Context) -> None:  # noqa: B027 - nothing to prepare is common
        """Load or make training and validation data; everything that takes long goes here."""

    def finish(self, model: nn.Module, start: Start) -> nn.Module:
        """Return what is kept of the trained weights; by default these themselves. Another network is scored anew."""
        return model

    def close(self) -> None:  # noqa: B027
        """Free what `prepare` began, such as processes; called when the training ends, however it ends."""

    def schedule(self, minutes: float, start: Start) -> Schedule:
        """Return length and learning rate."""
        return Schedule(minutes)

    def initialise(self, model: nn.Module) -> None:  # noqa: B027
        """Change the random weights of a network before anything else is loaded, for example the head's bias."""

    def folder(self, context: Context) -> Path:
        """Return where states are kept."""
        return context.work / self.name

    def start(self, model: nn.Module, context: Context) -> Start:
        """Load earlier weights into a network; by default those of the same name and architecture in `models/`."""
        from spinecore.training.start import load_shipped_weights

        return load_shipped_weights(model, self.shipped, self.architecture())

    def stages(self, context: Context, start: Start) -> list[Stage]:
        """Return the parts of the training, one after the other; by default a single one."""
        return [Stage("state", self.samples, self.schedule(context.minutes, start), self.validate)]
