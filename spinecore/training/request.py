"""What a fine-tuning is asked to do; without torch, since pages and jobs name it too."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from spinecore.errors import SpinecoreError
from spinecore.methods import METHODS
from spinecore.networks.zoo import Card

#: The method whose weights can be fine-tuned.
METHOD = "centre-unet"
#: Fewest marked spines a fine-tuning starts with.
FEWEST_SPINES = 10
MIN_MINUTES, MAX_MINUTES = 0.05, 24 * 60.0


def default_parent(is_2d: bool) -> str:
    """Return the shipped weights that a fine-tuning starts from, where nothing else is asked for.

    Examples
    --------
    >>> default_parent(True), default_parent(False)
    ('centre-unet-2d', 'head-score')
    """
    return METHODS[METHOD].roles(is_2d)[-1]


def role_of(card: Card) -> str:
    """Return the shipped weights that some are, or stand in for."""
    return str(card.data.get("replaces") or card.name)


class Source(BaseModel):
    """One image and where its spines are marked.

    Parameters
    ----------
    image : Path
    annotation : Path
        A file that `read_annotations` reads, or the folder of an analysis.
    name : str
        What the image is called, also inside an annotation file of several images.
    channel, time_point : int
    pixel_um, z_um : float or None
        Voxel size in um where the file's own is missing or wrong.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    image: Path
    annotation: Path
    name: str
    channel: int = 0
    time_point: int = 0
    pixel_um: float | None = None
    z_um: float | None = None


def check_minutes(minutes: float) -> float:
    """Return the length of a training if it may be asked for.

    Raises
    ------
    SpinecoreError
        If it is too short or too long.
    """
    if not MIN_MINUTES <= minutes <= MAX_MINUTES:
        problem = (
            f"a training takes from {MIN_MINUTES:g} to {MAX_MINUTES:g} minutes, not {minutes:g}: change "
        )
        raise SpinecoreError(f"{problem}the minutes", f"{problem}--minutes")
    return minutes


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
