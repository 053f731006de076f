"""The networks that a method runs with, and which further ones know the maps of the first."""

from __future__ import annotations

from dataclasses import dataclass

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import Card, Network, get_card, load_card
from spinecore.paths import MODELS_DIR

#: The weights that score candidate heads, and those that read sizes (`spinecore.methods.second_look`, `.sizes`).
SCORER, SIZER = "head-score", "spine-size"


@dataclass(frozen=True)
class Weights:
    """Loaded networks; each runs on the device it was loaded onto.

    Parameters
    ----------
    main : Network
        Draws the method's maps or boxes.
    scorer, sizer : Network, optional
        Score the heads of a stack from their surroundings, and read their sizes.
    dendrites : Network, optional
        Of the default method, for methods that find no dendrites of their own.
    """

    main: Network
    scorer: Network | None = None
    sizer: Network | None = None
    dendrites: Network | None = None

    @property
    def read_heads(self) -> tuple[Card, ...]:
        """Cards of the weights that give the heads their scores and sizes."""
        return tuple(used.card for used in (self.scorer, self.sizer) if used is not None)


def load_reading(name: str, maps_from: Card, device: str) -> Network | None:
    """Load weights that read the maps of a model; None where there are none for it."""
    card = reading_card(name, maps_from)
    return None if card is None else load_card(card, device, folded=True)


def reading_card(name: str, maps_from: Card) -> Card | None:
    """Return the card of shipped weights that read the maps of a model; None where they are missing or read another's."""
    try:
        card = get_card(name, MODELS_DIR)
    except SpinecoreError:
        return None
    return card if reads_maps_of(card, maps_from) else None


def reads_maps_of(card: Card, maps_from: Card) -> bool:
    """Say whether weights learned from the maps of a model."""
    return bool(card.data.get("reads_maps_of", {}).get("sha256") == maps_from.sha256)


def card_of_scores(maps_from: Card) -> Card:
    """Return the card of the weights whose output are a model's scores: of the second look, or its own."""
    return reading_card(SCORER, maps_from) or maps_from
