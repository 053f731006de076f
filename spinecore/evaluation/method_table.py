"""The comparison of all methods: its stored scores as tables, and what each paper reports on its own data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.files import write_json

#: Scores, written by `python -m benchmarks.compare_methods`.
RESULTS = Path(__file__).with_suffix(".json")
#: Figures of the papers, each with its source.
PUBLISHED = Path(__file__).with_name("method_table_published.json")
#: The method that the others are compared with, first in every table.
FIRST = "centre-unet"

#: Measure of a set of images -> title, and what it means.
MEASURES: dict[str, tuple[str, str]] = {
    "f1": ("F1", "Harmonic mean of precision and recall; heads matched one to one within 1 um."),
    "precision": ("Precision", "Share of the found spines that are true."),
    "recall": ("Recall", "Share of the true spines that were found."),
    "f1_3d": ("F1-3D", "F1 by boxes and slice ranges: IoM of at least 0.5 in 3-D (Vogel et al.)."),
    "spine_iou": ("Spine IoU", "Overlap of spine voxels with the true ones: intersection over union."),
    "spine_dice": ("Spine Dice", "Overlap of spine voxels: twice the intersection over the sum."),
    "dendrite_iou": (
        "Dendrite IoU",
        "Overlap of dendrite voxels with the true ones: intersection over union.",
    ),
    "dendrite_dice": ("Dendrite Dice", "Overlap of dendrite voxels: twice the intersection over the sum."),
    "false_per_stack": ("False spines per stack", "Spines found in stacks that hold none but clutter."),
}
#: Cost of a method -> title, and what it means.
COSTS: dict[str, tuple[str, str]] = {
    "cpu_seconds_per_slice": (
        "CPU s per slice",
        "Processor seconds per 512 x 512 slice of a stack, summed over cores, measuring left out.",
    ),
    "gpu_seconds_per_slice": (
        "GPU s per slice",
        "Seconds per 512 x 512 slice on a GPU; empty where none was there.",
    ),
    "peak_mb": ("Peak memory (MB)", "Of the whole process for that stack, Python and libraries included."),
    "parameters": (
        "Parameters (M)",
        "Numbers in the weight files, in millions; a method may have two files.",
    ),
    "bytes": ("File size (MB)", "Weight files together, half precision."),
}


def load_results(path: Path = RESULTS) -> dict[str, Any]:
    """Return the stored scores, method -> entry; empty where nothing was stored yet."""
    if not path.exists():
        return {}
    stored = json.loads(path.read_text(encoding="utf-8"))["methods"]
    return dict(sorted(stored.items(), key=lambda item: (item[0] != FIRST, item[0])))


def save_results(entries: dict[str, Any], path: Path = RESULTS) -> None:
    """Store entries; methods that are not among them keep theirs."""
    merged = load_results(path) | entries
    write_json(path, {"methods": merged}, indent=1)


def set_names(results: dict[str, Any], measure: str) -> list[str]:
    """Return the sets for which a measure was taken, in the order of the first method."""
    every = list(dict.fromkeys(n for entry in results.values() for n in entry["sets"]))
    return [n for n in every if any(e["sets"].get(n, {}).get(measure) is not None for e in results.values())]


def score_table(results: dict[str, Any], measure: str) -> pd.DataFrame:
    """Return one measure, a row a method and a column a set of images (NaN where not measured).

    Raises
    ------
    KeyError
        If there is no such measure.
    """
    _ = MEASURES[measure]
    names = set_names(results, measure)
    rows = [
        [entry["title"], *(entry["sets"].get(n, {}).get(measure) for n in names)]
        for entry in results.values()
    ]
    return pd.DataFrame(rows, columns=["Method", *names]).astype(dict.fromkeys(names, float))


def set_table(results: dict[str, Any], name: str) -> pd.DataFrame:
    """Return everything measured on one set, a row a method."""
    rows = []
    for entry in results.values():
        found = entry["sets"].get(name)
        if found is not None:
            rows.append({"Method": entry["title"], **{MEASURES[m][0]: found.get(m) for m in MEASURES}})
    return pd.DataFrame(rows).dropna(axis=1, how="all")


def cost_table(results: dict[str, Any]) -> pd.DataFrame:
    """Return time, memory and size, a row a method."""
    rows = []
    for entry in results.values():
        cost = entry["cost"]
        rows.append(
            {
                "Method": entry["title"],
                **{
                    COSTS[c][0]: cost.get(c)
                    for c in ("cpu_seconds_per_slice", "gpu_seconds_per_slice", "peak_mb")
                },
                COSTS["parameters"][0]: round(cost["parameters"] / 1e6, 2),
                COSTS["bytes"][0]: round(cost["bytes"] / 1e6, 1),
            }
        )
    return pd.DataFrame(rows)


def published_table(path: Path = PUBLISHED) -> pd.DataFrame:
    """Return the papers' own figures: method, measure, value, data and source."""
    return pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["figures"])


def is_current(entry: dict[str, Any]) -> bool:
    """Whether a method's weights are still those that were scored."""
    from spinecore.networks.zoo import get_card

    try:
        return all(get_card(m["name"]).sha256 == m["sha256"] for m in entry["models"])
    except SpinecoreError:
        return False


def to_markdown(table: pd.DataFrame) -> str:
    """Write a table in Markdown; numbers with three digits, missing ones as a dash."""

    def cell(value: Any) -> str:
        if isinstance(value, str):
            return value
        if value is None or pd.isna(value):
            return "–"
        return (
            f"{value:.3g}"
            if abs(value) >= 10 and value % 1
            else f"{value:.2f}"
            if value % 1
            else f"{value:.0f}"
        )

    lines = ["| " + " | ".join(table.columns) + " |", "|" + "---|" * len(table.columns)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in table.itertuples(index=False)]
    return "\n".join(lines)
