"""What pretraining gains: the same recipe from random weights, its scores noted on the shipped card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spinecore.networks.zoo import get_card, write_card
from spinecore.training.recipe import shipped_name


def note_scratch(recipe: str, out: Path, minutes: float, history: list[dict[str, Any]]) -> None:
    """Write under `without_pretraining` on the card in `out` how far a training from random weights came.

    Raises
    ------
    SpinecoreError
        If `out` holds no such card.
    """
    card = get_card(shipped_name(recipe)[0], folder=out)
    note = {
        "recipe": f"python -m spinecore train {recipe} --minutes {minutes:g}",
        "best": max(history, key=lambda h: h["select"]),
        "history": history,
    }
    write_card(card.path, card.data | {"without_pretraining": note})


def gain_sentence(card: dict[str, Any]) -> str | None:
    """Say what pretraining gained by the score that chooses the weights; None where nobody measured it.

    Examples
    --------
    >>> row = {"select": 0.9, "minutes": 8.0}
    >>> late = {"select": 0.95, "minutes": 20.0}
    >>> gain_sentence({"history": [row, late], "without_pretraining": {"history": [{"select": 0.5, "minutes": 8.1}]}})
    '0.900 after 8 minutes with pretraining, 0.500 after 8 minutes without (validation data)'
    """
    without = card.get("without_pretraining", {}).get("history", [])
    end = max((h["minutes"] for h in without), default=0.0)
    alike = [h for h in card.get("history", []) if h["minutes"] <= end + 0.5]
    if not without or not alike:
        return None
    with_it, best = (max(rows, key=lambda h: h["select"]) for rows in (alike, without))
    reached = max(h["minutes"] for h in alike)
    caution = card["without_pretraining"].get("caution", "")
    return (
        f"{with_it['select']:.3f} after {reached:.0f} minutes with pretraining, "
        f"{best['select']:.3f} after {end:.0f} minutes without (validation data){'; ' if caution else ''}{caution}"
    )
