"""Colours of spines: by class, or along a colour map that people with colour blindness can read; one place for all.

The maps lose their darkest part, so that an outline is seen on a black image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from spinecore.figures.class_colours import CLASS_COLOURS, class_title, ink_on
from spinecore.figures.overview import DENDRITE_COLOUR, SPINE_COLOUR
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.morphometry.measurer import position_only
from spinecore.tables.class_names import CLASSES
from spinecore.tables.column import NUMBER_FORMAT, Column

#: For anything else that is counted: further classes, dendrites.
SERIES = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#f0e442", "#0072b2", "#d55e00")
MISSING = "#b4b4b4"
#: Of a head without an outline, which is drawn as a cross: it differs by 14 or more, as above, from every other colour that a spine
#: or dendrite can have, each step of the maps among them.
POSITION_ONLY_COLOUR = "#00ffff"
PLAIN = "#{:02x}{:02x}{:02x}".format(*SPINE_COLOUR)
DENDRITE = "#{:02x}{:02x}{:02x}".format(*DENDRITE_COLOUR)
SELECTED = "#ffffff"
#: Title of a map, and the part of plotly's map that is used.
MAPS = {"Viridis": (0.25, 1.0), "Cividis": (0.25, 1.0), "Plasma": (0.2, 1.0)}
#: Steps of a colour bar; each is a line of the Overlay's picture, so few make it fast.
STEPS = 24
#: What the image itself may be coloured with.
IMAGE_MAPS = ("Grey", "Inverted grey", "Inferno", "Viridis", "Green", "Magenta")
#: Columns that are places or names and say nothing as a colour.
_NO_MEASURE = (
    "spine_id",
    "dendrite_id",
    "branch",
    "class",
    "class_rule",
    "missing_reason",
    "side",
    "touches_border",
    "volume_estimated_error_pct",
    "head_width_estimated_error_pct",
    "length_estimated_error_pct",
    "edited",
)


def class_legend() -> str:
    """Return the legend of the four classes as HTML."""
    chips = (
        f'<span style="white-space:nowrap"><span style="background:{CLASS_COLOURS[name]};color:{ink_on(rgb_of(CLASS_COLOURS[name]))};'
        f'padding:0 0.35em;border-radius:3px;font-weight:600">{name[0].upper()}</span> {name}</span>'
        for name in CLASSES
    )
    return f'<div style="display:flex;gap:1.1em;flex-wrap:wrap;font-size:0.9rem">{"".join(chips)}</div>'


def rgb_of(colour: str) -> tuple[int, int, int]:
    """Return "#rrggbb" as three numbers."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@dataclass(frozen=True)
class Colouring:
    """The colour of every spine, and what it means.

    Parameters
    ----------
    title : str
        With the unit.
    colours : dict of int to str
        "#rrggbb" by spine id.
    entries : tuple of (text, colour)
        Legend, where the colours stand for names.
    scale : tuple of str
        Colours of the bar, low to high, where they stand for values; else empty.
    low, high : float
        Ends of the bar.
    """

    title: str
    colours: dict[int, str]
    entries: tuple[tuple[str, str], ...] = ()
    scale: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0


def colour_bar(colouring: Colouring, length: float) -> dict[str, Any]:
    """Return what plotly needs for a colour scale and its bar; the bar is shown where colours stand for values.

    Parameters
    ----------
    colouring : Colouring
    length : float
        Share of the figure's height.
    """
    last = max(len(colouring.scale) - 1, 1)
    return {
        "cmin": colouring.low,
        "cmax": colouring.high,
        "colorscale": [[k / last, c] for k, c in enumerate(colouring.scale)] or None,
        "showscale": bool(colouring.scale),
        "colorbar": {
            "title": {"text": colouring.title, "side": "right", "font": {"size": 13}},
            "thickness": 14,
            "len": length,
            "outlinewidth": 0,
            "tickfont": {"size": 12},
        },
    }


def unit_text(unit: str) -> str:
    """Return a unit as it is printed.

    Examples
    --------
    >>> unit_text("um^3"), unit_text("1/um"), unit_text("degree"), unit_text("")
    ('µm³', '1/µm', '°', '')
    """
    return unit.replace("um", "µm").replace("^2", "²").replace("^3", "³").replace("degree", "°")


def heading(column: Column) -> str:
    """Return a column's title with its unit."""
    unit = unit_text(column.unit)
    return f"{column.title} ({unit})" if unit else column.title


def value_text(value: Any, column: Column | None) -> str:
    """Return a table value as text: three significant figures and the unit; a dash where it is missing.

    Examples
    --------
    >>> value_text(0.45678, SPINE_COLUMNS["length_um"]), value_text(float("nan"), None)
    ('0.457 µm', '–')
    >>> value_text(2.7550001, None) == value_text(2.755, None), value_text(1234567, None)
    (True, '1234567')
    """
    if value is None or (not isinstance(value, (str, bool, np.bool_)) and pd.isna(value)):
        return "–"
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value or "–"
    # a measure as the table keeps it: else 2.7550001 is 2.76 and, read again, 2.75; counts are kept whole
    number = float(value if isinstance(value, (int, np.integer)) else NUMBER_FORMAT % value)
    if number == int(number) and abs(number) < 1e15:
        text = f"{int(number)}"
    elif abs(number) >= 100:
        text = f"{number:.0f}"
    else:
        text = f"{number:.3g}"
    unit = unit_text(column.unit) if column else ""
    return text + (unit if unit == "°" else f" {unit}" if unit else "")


def map_colours(name: str, steps: int = STEPS) -> tuple[str, ...]:
    """Return the colours of a map, low to high, as "#rrggbb".

    Raises
    ------
    KeyError
        For a name that is not in `MAPS`.
    """
    low, high = MAPS[name]
    table = _plotly_map(name, np.linspace(low, high, steps))
    return tuple("#{:02x}{:02x}{:02x}".format(*row) for row in table)


def _plotly_map(name: str, at: np.ndarray) -> np.ndarray:
    """Return uint8 RGB of one of plotly's maps at places 0..1."""
    from plotly.colors import hex_to_rgb, sequential

    anchors = getattr(sequential, name)
    rgb = np.array(
        [hex_to_rgb(c) if c.startswith("#") else [int(v) for v in c[4:-1].split(",")] for c in anchors], float
    )
    places = np.linspace(0, 1, len(rgb))
    return np.stack([np.interp(at, places, rgb[:, k]) for k in range(3)], axis=1).round().astype(np.uint8)


def image_lut(name: str) -> np.ndarray:
    """Return 256 RGB values for the image itself, uint8, shape (256, 3); see `IMAGE_MAPS`."""
    ramp = np.arange(256, dtype=np.uint8)
    if name == "Inverted grey":
        return np.repeat(ramp[::-1, None], 3, axis=1)
    if name in ("Inferno", "Viridis"):
        return _plotly_map(name, np.linspace(0, 1, 256))
    lut = np.repeat(ramp[:, None], 3, axis=1)
    if name == "Green":
        lut[:, [0, 2]] = 0
    elif name == "Magenta":
        lut[:, 1] = 0
    return lut


def has_values(table: pd.DataFrame, name: str) -> bool:
    """Return True when a table has a column with at least one value that is not missing or empty."""
    return name in table and bool((table[name].notna() & (table[name] != "")).any())


def measures(spines: pd.DataFrame) -> list[str]:
    """Return the numeric measures of a table that have a value, in the order of their declaration."""
    return [
        name
        for name, column in SPINE_COLUMNS.items()
        if name in spines
        and name not in _NO_MEASURE
        and column.unit != "px"
        and pd.api.types.is_numeric_dtype(spines[name])
        and not pd.api.types.is_bool_dtype(spines[name])
        and spines[name].notna().any()
    ]


def colour_choices(spines: pd.DataFrame) -> dict[str, str]:
    """Return what spines can be coloured by: key and text."""
    choices = {"plain": "One colour", "score": "Score"}
    if has_values(spines, "class"):
        choices["class"] = "Class"
    if "dendrite_id" in spines and spines["dendrite_id"].nunique() > 1:
        choices["dendrite_id"] = "Dendrite"
    return choices | {name: heading(SPINE_COLUMNS[name]) for name in measures(spines) if name != "score"}


def colour_spines(spines: pd.DataFrame, by: str, map_name: str = "Viridis") -> Colouring:
    """Give every spine its colour.

    Parameters
    ----------
    spines : DataFrame
        Spine table.
    by : str
        A key of `colour_choices`.
    map_name : str
        A key of `MAPS`, for values.
    """
    found = _coloured(spines, by, map_name)
    bare = spines.loc[position_only(spines), "spine_id"].astype(int).tolist()
    if not bare:
        return found
    colours = found.colours | dict.fromkeys(bare, POSITION_ONLY_COLOUR)
    used = set(colours.values())
    entries = tuple(entry for entry in found.entries if entry[1] in used)
    return replace(found, colours=colours, entries=(*entries, ("position only", POSITION_ONLY_COLOUR)))


def _coloured(spines: pd.DataFrame, by: str, map_name: str) -> Colouring:
    ids = [int(i) for i in spines["spine_id"]]
    if by == "plain" or by not in spines:
        return Colouring("", dict.fromkeys(ids, PLAIN))
    if by in ("class", "dendrite_id"):
        return _by_name(spines, ids, by)
    values = spines[by].to_numpy(float)
    low, high = value_range(values, by)
    scale = map_colours(map_name)
    place = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    index = np.where(np.isnan(place), -1, np.nan_to_num(place) * (STEPS - 1)).round().astype(int)
    colours = {i: MISSING if k < 0 else scale[k] for i, k in zip(ids, index, strict=True)}
    entries = (("missing", MISSING),) if (index < 0).any() else ()
    return Colouring(heading(SPINE_COLUMNS[by]), colours, entries, scale, low, high)


def value_range(values: np.ndarray, by: str) -> tuple[float, float]:
    """Return the ends of the colour bar: the tenths that hold all scores, else the 2nd to 98th percentile."""
    known = values[np.isfinite(values)]
    if known.size == 0:
        return 0.0, 1.0
    if by in ("score", "class_probability"):
        low, high = np.floor(known.min() * 10 + 1e-6) / 10, np.ceil(known.max() * 10 - 1e-6) / 10
        return float(low), float(max(high, low + 0.1))
    low, high = (float(v) for v in np.percentile(known, [2, 98]))
    if high <= low:
        half = 0.5 * max(abs(low), 1e-6)
        return low - half, low + half
    return low, high


def _by_name(spines: pd.DataFrame, ids: list[int], by: str) -> Colouring:
    values = spines[by]
    to_name: Callable[[Any], str] = str if by == "class" else lambda v: f"dendrite {int(v)}"
    names = [None if pd.isna(v) or v == "" else to_name(v) for v in values]
    if by == "class":
        others = sorted({n for n in names if n is not None and n not in CLASS_COLOURS})
        spare = [c for c in SERIES if c not in CLASS_COLOURS.values()]
        table = {n: colour for n, colour in CLASS_COLOURS.items() if n in names}
        table |= {n: spare[k % len(spare)] for k, n in enumerate(others)}
    else:
        table = {to_name(v): SERIES[k % len(SERIES)] for k, v in enumerate(sorted(values.dropna().unique()))}
    colours = {i: MISSING if n is None else table[n] for i, n in zip(ids, names, strict=True)}
    titled = class_title if by == "class" else str
    entries = tuple((titled(n), colour) for n, colour in table.items())
    entries += (("not known", MISSING),) if None in names else ()
    return Colouring(SPINE_COLUMNS[by].title, colours, entries)
