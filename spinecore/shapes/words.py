"""What a methods section says about the classes of an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import get_card
from spinecore.shapes.chosen_rules import ChosenRules


def class_words(
    spines: pd.DataFrame, models: Sequence[dict[str, Any]], rules: ChosenRules | None = None
) -> list[str]:
    """Return sentences on how the spines got their classes, how well that works, and what a class is worth; none without classes.

    Parameters
    ----------
    spines : DataFrame
        The spine table.
    models : sequence of dict
        name and sha256 of the weights that the analysis used.
    rules : ChosenRules, optional
        Those of the table's `class_rule`.
    """
    used = next((m for m in models if str(m.get("name", "")).startswith("shape-")), None)
    if used is None or "class" not in spines or not spines["class"].notna().any():
        return []
    differ = spines["class_disagrees"].dropna() if "class_disagrees" in spines else pd.Series(dtype=bool)
    both = (
        f", which differ on {int(differ.astype(bool).sum())} of the {len(differ)} spines that both classify"
        if len(differ)
        else ""
    )
    return [
        f"Shape classes (mushroom, thin, stubby, filopodium) are those of the convolutional network {used['name']}, trained on labelled "
        f"spines of real images (classes2d) and on simulated ones{_accuracy(used)}; the table holds beside them "
        f"{(rules or ChosenRules()).words}{both}.",
        "Spine shapes form a continuum (Ofer et al. 2021): classes are a summary, and the measures and class probabilities are in the table.",
    ]


def _accuracy(used: dict[str, Any]) -> str:
    """Say how often the weights that were used are right, where their card is still there."""
    try:
        card = get_card(str(used["name"]))
    except SpinecoreError:
        return ""
    if card.sha256 != used.get("sha256"):
        return ""
    given = (
        s["value"]
        for s in card.data.get("scores", [])
        if s["data"] == "classes2d/val, outlines as given" and s["measure"] == "accuracy four way"
    )
    value = next(given, None)
    return "" if value is None else f" (right on {value:.0%} of 197 spines of images that were not learned)"
