"""Pieces of the Methods page: a method's card in words, and the chart of scores."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from spinecore.errors import SpinecoreError
from spinecore.evaluation.method_table import set_names
from spinecore.methods import Method
from spinecore.networks.zoo import Card, get_card
from spinecore.training.scratch import gain_sentence
from spinecore.ui.words import count_text, size_text

#: Okabe and Ito's colours that show on white, and a symbol for each method, so that colour is never alone.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross")
#: Entries of a card that its table shows in this order; scores and history have places of their own.
_CARD_LINES = {
    "title": "What it is",
    "inputs": "What it is given",
    "trained_on": "Trained on",
    "started_from": "Started from",
    "recipe": "Made by",
    "threshold": "Threshold",
    "parameters": "Parameters",
    "bytes": "File",
    "sha256": "SHA-256",
}


def cards_of(method: Method) -> list[Card]:
    """Return the cards of a method's weights, those that are here."""
    cards = []
    for name in method.model_names:
        try:
            cards.append(get_card(name))
        except SpinecoreError:
            continue
    return cards


def card_lines(card: Card) -> list[tuple[str, str]]:
    """Return a card as titles and texts."""
    rows = []
    for key, title in _CARD_LINES.items():
        value: Any = card.data.get(key)
        if value is None:
            continue
        if isinstance(value, dict):
            value = "; ".join(f"{name}: {text}" for name, text in value.items())
        elif key == "bytes":
            value = size_text(value)
        elif key == "parameters":
            value = f"{value:,}"
        elif isinstance(value, float):
            value = f"{value:.2f}"
        rows.append((title, str(value)))
    gain = gain_sentence(card.data)
    if gain:
        rows.insert(-3, ("What pretraining gains", gain))
    chosen = card.data.get("chosen_by") or {}
    if "select" in chosen:
        text = f"{chosen['select']:.3f} on validation data, after {count_text(chosen.get('step', 0), 'step')} of training"
        rows.insert(-3, ("Weights chosen by", text))
    return rows


def headline(entry: dict[str, Any] | None) -> str:
    """Return a method's F1 in words: of each set of real images by itself, and the mean of the simulated stacks."""
    if entry is None:
        return "Not compared yet."
    known = {name: row for name, row in entry["sets"].items() if row.get("f1") is not None}
    parts = [
        f"**{row['f1']:.2f}** {name.removeprefix('points2d/val ').replace('_', ' ')} ({row['n']})"
        for name, row in known.items()
        if name.startswith(("points2d", "real"))
    ]
    rows = [row for name, row in known.items() if name.startswith("simulated")]
    if rows:
        mean = sum(row["f1"] for row in rows) / len(rows)
        parts.append(f"**{mean:.2f}** simulated stacks ({sum(row['n'] for row in rows)})")
    return "F1 " + ", ".join(parts) if parts else "Not compared yet."


def score_figure(results: dict[str, Any], measure: str, title: str) -> go.Figure:
    """Return a row for every set with a dot for each method; F1 with its 95 % interval."""
    names = set_names(results, measure)
    figure = go.Figure()
    for number, entry in enumerate(results.values()):
        rows = [entry["sets"].get(name, {}) for name in names]
        # Methods stand one below the other within a set, so that no dot hides another.
        offset = (number - (len(results) - 1) / 2) * 0.14
        figure.add_scatter(
            x=[row.get(measure) for row in rows],
            y=[index + offset for index in range(len(names))],
            error_x=_interval(rows) if measure == "f1" else None,
            mode="markers",
            name=entry["title"],
            marker={
                "size": 8,
                "color": _COLOURS[number % len(_COLOURS)],
                "symbol": _SYMBOLS[number % len(_SYMBOLS)],
            },
            customdata=names,
            hovertemplate="%{customdata}<br>" + title + " %{x:.3f}<extra>" + entry["title"] + "</extra>",
        )
    figure.update_layout(
        height=74 + 38 * max(len(names), 3),
        margin={"l": 10, "r": 10, "t": 10, "b": 10},
        plot_bgcolor="white",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom"},
        xaxis={"title": title, "gridcolor": "#e4eaf0", "rangemode": "tozero", "zeroline": False},
        yaxis={
            "tickvals": list(range(len(names))),
            "ticktext": names,
            "range": [len(names) - 0.5, -0.5],
            "zeroline": False,
            "showgrid": False,
            "automargin": True,
        },
    )
    return figure


def _interval(rows: list[dict[str, Any]]) -> dict[str, Any]:
    known = [row if row.get("f1_high") is not None else None for row in rows]
    return {
        "type": "data",
        "symmetric": False,
        "array": [row and row["f1_high"] - row["f1"] for row in known],
        "arrayminus": [row and row["f1"] - row["f1_low"] for row in known],
        "thickness": 1,
        "width": 3,
    }
