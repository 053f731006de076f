"""What the Shapes page is made of: patches and heat maps from bounded caches, counts, the order of the gallery, the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from spinecore.figures.class_colours import CLASS_COLOURS, CLASS_SYMBOLS, class_title
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.shapes.chosen_rules import ChosenRules
from spinecore.shapes.classes import CLASSES
from spinecore.shapes.classify import (
    DEFAULT_MODEL,
    disagreement,
    has_model,
    load_classifier,
    patch_features,
)
from spinecore.shapes.examples import Neighbour, nearest_examples, read_examples
from spinecore.shapes.explain import METHODS, Heat, explain
from spinecore.shapes.faithful import faithfulness, judge
from spinecore.shapes.patches import Patch
from spinecore.shapes.pictures import SHEET_LIMIT, example_picture, figure_sheet
from spinecore.shapes.rules import RuleSet
from spinecore.shapes.summary import MAP_MEASURES, count_classes, principal_plane
from spinecore.shapes.uncertain import compared
from spinecore.ui.colours import MISSING, heading
from spinecore.ui.portraits import patches
from spinecore.ui.shown import Shown

#: Ways to sort the gallery.
ORDERS = ("Class", "Least certain first", "Most certain first", "Disagreements first", "Spine number")
#: Networks that a heat map can be asked of, where their weights are there: with outline, and with the background.
MODELS = {
    DEFAULT_MODEL: "Focus (read where the spine is drawn)",
    "shape-joint": "Joint (outline known)",
    "shape-resnet18-masked": "ResNet-18, background removed",
    "shape-resnet18": "ResNet-18, with background",
}
#: Choice that lets each spine's heat map explain the class that it has in the table.
OWN_ANSWER = "the class shown"


@dataclass(frozen=True)
class HeatSettings:
    """How heat maps are made: see `spinecore.shapes.explain.explain`; `name` None explains the own answer."""

    model: str
    method: str
    name: str | None
    contrast: bool


def heat_settings() -> HeatSettings:
    """Return what was chosen under "Heat map settings", whose widgets hold the state."""
    state = st.session_state
    asked = state.get("heat_class", OWN_ANSWER)
    return HeatSettings(
        state.get("heat_model") or DEFAULT_MODEL,
        state.get("heat_method") or METHODS[0],
        None if asked == OWN_ANSWER else asked,
        bool(state.get("heat_contrast")),
    )


@st.cache_resource(max_entries=200, show_spinner="Asking the network where it looked")
def heat_of(
    key: tuple[str, int, float],
    spine: int,
    settings: HeatSettings,
    _patch: Patch,
) -> tuple[Heat, bool, str]:
    """Return the heat map of one spine with its control, and whether it is evidence and why (`judge`)."""
    classifier = load_classifier(settings.model)
    heat = explain([_patch], classifier, settings.method, settings.name, settings.contrast)
    curves = faithfulness(heat.maps, _patch.planes[None].astype(np.float32), heat.classes, classifier)
    return heat, *judge(heat, curves)


@st.cache_resource(max_entries=200, show_spinner="Looking for spines like it")
def neighbours_of(
    key: tuple[str, int, float], spine: int, model: str, _patch: Patch
) -> list[tuple[Neighbour, np.ndarray]]:
    """Return the labelled spines most like one, each with its picture; none where there are no examples."""
    examples = read_examples()
    if examples is None:
        return []
    found = nearest_examples([_patch], load_classifier(model), examples)[0]
    return [(one, example_picture(examples.planes[one.index])) for one in found]


@st.cache_resource(max_entries=4, show_spinner="Reading the network's features")
def features(key: tuple[str, int, float], _patches: dict[int, Patch]) -> np.ndarray:
    """Return the network's features of every patch, (n, features)."""
    return patch_features(list(_patches.values()), load_classifier())


def with_rules(spines: pd.DataFrame, rules: ChosenRules) -> pd.DataFrame:
    """Return the spine table with a rule set's answers: `rule_class`, class_rule and class_disagrees."""
    ruled = rules.apply(spines)
    out = spines.assign(rule_class=ruled["class"], class_rule=rules.texts(ruled))
    out["class_disagrees"] = disagreement(out)
    return out


def in_order(table: pd.DataFrame, order: str) -> pd.DataFrame:
    """Sort the spines for the gallery; those without an answer come last."""
    chance = table["class_probability"]
    if order == "Least certain first":
        return table.assign(_by=chance).sort_values(["_by", "spine_id"], na_position="last")
    if order == "Most certain first":
        return table.assign(_by=-chance).sort_values(["_by", "spine_id"], na_position="last")
    if order == "Class":
        place = table["class"].map({name: k for k, name in enumerate(CLASSES)})
        return table.assign(_by=place, _then=-chance).sort_values(["_by", "_then"], na_position="last")
    if order == "Disagreements first":
        differ = table["class_disagrees"].map({True: 0, False: 1}).astype(float)
        return table.assign(_by=differ, _then=-chance).sort_values(["_by", "_then"], na_position="last")
    return table.sort_values("spine_id")


def only_wanted(table: pd.DataFrame, classes: list[str] | None, differing: bool) -> pd.DataFrame:
    """Return the spines of some classes (of all, where none is named), and of those the ones that the rules call otherwise."""
    if classes:
        table = table[table["class"].isin(classes)]
    return table[table["class_disagrees"].fillna(False).astype(bool)] if differing else table


def counts_table(table: pd.DataFrame, per_dendrite: bool) -> pd.DataFrame:
    """Return counts, fractions and intervals by the network, and the rules' counts beside them."""
    groups = table["dendrite_id"].astype("Int64") if per_dendrite else None
    network = count_classes(table["class"], groups)
    rules = count_classes(table["rule_class"], groups)
    both = network.merge(
        rules[["group", "class", "n", "fraction"]], on=["group", "class"], how="left", suffixes=("", "_rules")
    )
    shares = ["fraction", "low", "high", "fraction_rules"]
    both[shares] = both[shares] * 100
    names = ["group", "class", "n", "fraction", "low", "high", "n_rules", "fraction_rules"]
    return both[names if per_dendrite else names[1:]]


def shape_map(shown: Shown, table: pd.DataFrame, by_features: bool) -> tuple[np.ndarray, np.ndarray, str]:
    """Return the places of all spines (n, 2), the explained shares, and what the map is made of."""
    if by_features and has_model():
        known = patches(shown.key, shown)
        values = features(shown.key, known)
        row = {number: k for k, number in enumerate(known)}
        return (*principal_plane(values[[row[int(i)] for i in table["spine_id"]]]), "the network's features")
    names = [name for name in MAP_MEASURES if name in table and table[name].notna().any()]
    text = ", ".join(SPINE_COLUMNS[name].title.lower() for name in names)
    return (*principal_plane(table[names].to_numpy(float)), text)


def map_figure(table: pd.DataFrame, points: np.ndarray, share: np.ndarray, chosen: int | None) -> go.Figure:
    """Return the map: one point per spine, coloured by class, the chosen one ringed."""
    figure = go.Figure()
    answers = table["class"].where(table["class"].notna(), "no class")
    for name in [*CLASSES, *sorted(set(answers) - set(CLASSES))]:
        own = (answers == name).to_numpy()
        if not own.any():
            continue
        figure.add_scatter(
            x=points[own, 0],
            y=points[own, 1],
            mode="markers",
            name=class_title(str(name)),
            marker={
                "color": CLASS_COLOURS.get(str(name), MISSING),
                "symbol": CLASS_SYMBOLS.get(str(name), "x"),
                "size": 9,
                "opacity": 0.85,
                "line": {"width": 0.5, "color": "#101820"},
            },
            customdata=table.loc[own, "spine_id"].astype(int).tolist(),
            text=[_hover(row) for row in table[own].to_dict("records")],
            hovertemplate="%{text}<extra></extra>",
        )
    here = (table["spine_id"] == chosen).to_numpy() if chosen is not None else np.zeros(len(table), bool)
    if here.any():
        figure.add_scatter(
            x=points[here, 0],
            y=points[here, 1],
            mode="markers",
            hoverinfo="skip",
            showlegend=False,
            marker={"symbol": "circle-open", "size": 18, "color": "#b3382c", "line": {"width": 2.5}},
        )
    axis = {"zeroline": False, "gridcolor": "#e4eaf0"}
    figure.update_layout(
        height=430,
        margin={"l": 60, "r": 10, "t": 10, "b": 50},
        plot_bgcolor="white",
        legend={"orientation": "h", "y": 1.08, "x": 0},
        xaxis={**axis, "title": f"First component ({share[0]:.0%} of the variance)"},
        yaxis={**axis, "title": f"Second component ({share[1]:.0%})"},
        clickmode="event+select",
    )
    return figure


def _hover(row: dict[str, Any]) -> str:
    chance = "" if pd.isna(row["class_probability"]) else f" {row['class_probability']:.2f}"
    length = "" if pd.isna(row.get("length_um")) else f"<br>length {row['length_um']:.2f} µm"
    return f"spine {int(row['spine_id'])}: {row['class']}{chance}{length}"


def sheet(shown: Shown, table: pd.DataFrame, settings: HeatSettings) -> bytes:
    """Return the figure sheet of the first spines of a table, as PNG."""
    known = patches(shown.key, shown)
    ids = [int(i) for i in table["spine_id"]][:SHEET_LIMIT]
    own = [known[i] for i in ids]
    heat = explain(own, load_classifier(settings.model), settings.method, settings.name, settings.contrast)
    rules = [r if isinstance(r, str) else None for r in table["rule_class"].head(SHEET_LIMIT)]
    return figure_sheet(ids, own, heat, rules, f"{shown.saved.name}: {settings.method}, {settings.model}")


def column_labels(names: list[str]) -> dict[str, Any]:
    """Return how the counts table is shown."""
    number, text = st.column_config.NumberColumn, st.column_config.TextColumn
    labels = {
        "group": text("Dendrite"),
        "class": text("Class"),
        "n": number("Spines", format="%d"),
        "fraction": number("Share", format="%.0f %%"),
        "low": number("from", format="%.0f %%", help="Wilson 95 % interval; it assumes independent spines."),
        "high": number("to", format="%.0f %%", help="Wilson 95 % interval; it assumes independent spines."),
        "n_rules": number("By rules", format="%d"),
        "fraction_rules": number("Share by rules", format="%.0f %%"),
    }
    return {name: labels[name] for name in names}


def score_labels() -> dict[str, Any]:
    """Return how the comparison of classifiers is shown."""
    titles = {
        "train": (58, "Train", "Accuracy on the spines it was trained on."),
        "test": (58, "Test", "Accuracy on spines of images not used in training."),
        "tight": (58, "Tight", "Test accuracy where outlines hold lit pixels only."),
        "balanced": (82, "Balanced", "Mean recall of the four classes on the test spines."),
        "simulated": (
            88,
            "Simulated",
            "Mean recall of the four classes on simulated stacks of unseen seeds.",
        ),
        "heat": (58, "Heat", "Median share of the Grad-CAM heat that lies on the spine."),
        "control": (72, "Control", "The same with random weights."),
    }
    labels: dict[str, Any] = {
        name: st.column_config.NumberColumn(title, format="%.1f %%", help=text, width=width)
        for name, (width, title, text) in titles.items()
    }
    text = st.column_config.TextColumn
    poster = {
        f"poster_{part}": text(f"Poster {part}", help="The poster's figure, on its own data.", width=96)
        for part in ("train", "test")
    }
    return labels | poster | {"classifier": text("Classifier", width=205)}


def rule_figure(rules: RuleSet, row: dict[str, Any], height: int = 40) -> go.Figure:
    """Return a spine's measures beside the thresholds of a rule set: one line each, as multiples of its threshold."""
    found = [c for c in compared(rules, pd.Series(row)) if np.isfinite(c.value) and c.value > 0]
    figure = go.Figure()
    texts = [
        f"{c.title} {c.value:.2f}{' µm' if c.unit else ''}<br>threshold {c.threshold:g}{' µm' if c.unit else ''}"
        for c in found
    ]
    place = [c.value / c.threshold for c in found]
    figure.add_scatter(
        x=place,
        y=texts,
        mode="markers",
        marker={"size": 10, "color": "#0072b2"},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [(c.high - c.value) / c.threshold for c in found],
            "arrayminus": [(c.value - c.low) / c.threshold for c in found],
            "color": "#0072b2",
        },
        hovertemplate="%{y}<extra></extra>",
        showlegend=False,
    )
    figure.add_vline(x=1, line={"color": "#b3382c", "width": 1.5, "dash": "dash"})
    reach = max([2.0, *(max(p, 1 / p) for p in place)]) * 1.3
    figure.update_layout(
        height=70 + height * max(len(found), 1),
        margin={"l": 10, "r": 10, "t": 4, "b": 40},
        plot_bgcolor="white",
        xaxis={
            "type": "log",
            "range": [-np.log10(reach), np.log10(reach)],
            "title": "measure / threshold of the rule",
            "tickvals": [0.1, 0.2, 0.5, 1, 2, 5, 10],
            "gridcolor": "#e4eaf0",
        },
        yaxis={"autorange": "reversed", "automargin": True, "tickfont": {"size": 11}},
    )
    return figure


def measure_lines(row: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return (heading, value, column) of the measures shown on a spine's card."""
    names = ("length_um", "head_width_um", "neck_width_um", "neck_length_um", "volume_um3", "area_um2")
    return [(heading(SPINE_COLUMNS[n]), row[n], SPINE_COLUMNS[n]) for n in names if n in row]
