"""Groups of animals: nested summaries (animal > cell > dendrite) and comparisons that count animals, not spines.

Spines of one cell resemble each other, and so do the cells of one animal; counted as independent they make almost any
difference look certain (Lazic 2010). So each animal becomes one number, and only those are compared:

- dendrite: its spines over its length; the mean over its spines;
- cell: spines over length, and the mean over spines, of all its dendrites together (so that it does not matter into
  how many pieces a dendrite was cut);
- animal: mean over its cells; condition: mean over its animals.

Shape measures leave out spines that touch the border of the image; the density counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np
import pandas as pd

from spinecore.errors import SpinecoreError
from spinecore.groups.checks import DENSITY_CHECKED, checked_cells, checked_columns, group_check_notes
from spinecore.groups.sheet import Sample
from spinecore.groups.statistics import compare, effective_number, holm, intraclass_correlation
from spinecore.morphometry.columns import DENDRITE_COLUMNS, SPINE_COLUMNS
from spinecore.shapes.classes import CLASSES
from spinecore.tables.column import Column, by_name

LEVELS = ("dendrite", "cell", "animal", "condition")
_KEYS: dict[str, list[str]] = {
    "dendrite": ["condition", "animal", "cell", "analysis", "dendrite_id"],
    "cell": ["condition", "animal", "cell"],
    "animal": ["condition", "animal"],
    "condition": ["condition"],
}
#: Measures of a spine that are averaged.
SPINE_MEASURES = (
    "length_um",
    "length_estimated_um",
    "head_width_um",
    "head_width_estimated_um",
    "neck_length_um",
    "neck_width_um",
    "area_um2",
    "volume_um3",
    "volume_estimated_um3",
    "head_volume_um3",
    "surface_um2",
    "sphericity",
    "spine_to_shaft_ratio",
)
DENSITY = "density_per_um"
_FRACTIONS = {f"fraction_{name}": name for name in CLASSES}


def measure_columns() -> dict[str, Column]:
    """Return what can be compared: density, means of spine measures, shares of the shape classes, and what a sample check gives."""
    own = [DENDRITE_COLUMNS[DENSITY], *(SPINE_COLUMNS[name] for name in SPINE_MEASURES)]
    checked = checked_columns()
    own.insert(1, checked.pop(DENSITY_CHECKED))
    own += [
        Column(
            name,
            "",
            f"Share of {cls}",
            f"Share of the classified spines that are classed as {cls}.",
            "Spines of that class over spines with a class, those at the border left out.",
            "no spine has a class",
        )
        for name, cls in _FRACTIONS.items()
    ]
    return by_name(*own, *checked.values())


#: Columns of the comparison table, besides `measure`, `condition_a`, `condition_b`.
COMPARISON_COLUMNS: dict[str, Column] = by_name(
    Column("measure", "", "Measure", "What is compared.", "See spinecore.groups.summary.measure_columns."),
    Column("unit", "", "Unit", "Unit of the means.", "Of the measure.", "the measure has none"),
    Column("condition_a", "", "Condition a", "The reference.", "From the sheet."),
    Column("condition_b", "", "Condition b", "What is compared with it.", "From the sheet."),
    Column("n_a", "", "Animals in a", "Animals with a value.", "Count."),
    Column("n_b", "", "Animals in b", "Animals with a value.", "Count."),
    Column("mean_a", "", "Mean of a", "Mean over animals.", "Mean.", "no animal has a value"),
    Column("mean_b", "", "Mean of b", "Mean over animals.", "Mean.", "no animal has a value"),
    Column("difference", "", "Difference", "Mean of b minus mean of a.", "Difference.", "a mean is missing"),
    Column(
        "difference_low",
        "",
        "Difference, lower bound",
        "Lower end of its 95 % confidence interval.",
        "Student's t; Welch's degrees of freedom where animals are not paired.",
        "fewer than two animals in a condition, or no spread",
    ),
    Column(
        "difference_high",
        "",
        "Difference, upper bound",
        "Upper end.",
        "As difference_low.",
        "as difference_low",
    ),
    Column(
        "g",
        "",
        "Hedges' g",
        "Difference in standard deviations between animals, corrected for small samples.",
        "Hedges 1981; with pairs the SD is the root mean square of both conditions'.",
        "fewer than two animals in a condition, or no spread",
    ),
    Column(
        "g_low",
        "",
        "Hedges' g, lower bound",
        "Lower end of its 95 % interval.",
        "Percentile bootstrap over animals, 5,000 draws.",
        "fewer than three animals in a condition",
    ),
    Column("g_high", "", "Hedges' g, upper bound", "Upper end.", "As g_low.", "as g_low"),
    Column(
        "p_permutation",
        "",
        "p (permutation)",
        "Two-sided p of dealing the animals to the conditions anew (pairs: swapping within animals).",
        "All regroupings, or 20,000 drawn ones.",
        "fewer than two animals in a condition",
    ),
    Column(
        "p_smallest",
        "",
        "Smallest p possible",
        "The smallest p_permutation that so few animals can give.",
        "From the number of regroupings.",
        "as p_permutation",
    ),
    Column(
        "p_holm",
        "",
        "p, adjusted",
        "p_permutation adjusted for the number of comparisons in this table.",
        "Holm 1979.",
        "as p_permutation",
    ),
    Column(
        "p_t",
        "",
        "p (t test)",
        "Two-sided p of the t test on animals.",
        "As difference_low.",
        "as difference_low",
    ),
    Column("paired", "", "Paired", "True where each animal has both conditions.", "From the sheet."),
)


def spine_rows(samples: Sequence[Sample]) -> pd.DataFrame:
    """Return the spines of all samples with their condition, animal, cell and analysis."""
    parts = []
    for sample in samples:
        own = sample.spines[sample.spines["dendrite_id"].notna()]
        kept = own[
            [n for n in ("dendrite_id", "touches_border", "class", *SPINE_MEASURES) if n in own]
        ].copy()
        kept["dendrite_id"] = kept["dendrite_id"].astype(int)
        parts.append(_named(kept, sample))
    columns = [*_KEYS["dendrite"], "touches_border", "class", *SPINE_MEASURES]
    if not any(len(part) for part in parts):
        return pd.DataFrame(columns=columns)
    return pd.concat([part for part in parts if len(part)], ignore_index=True).reindex(columns=columns)


def _named(table: pd.DataFrame, sample: Sample) -> pd.DataFrame:
    return table.assign(
        condition=sample.condition, animal=sample.animal, cell=sample.cell, analysis=sample.analysis
    )


def summarise_groups(samples: Sequence[Sample]) -> dict[str, pd.DataFrame]:
    """Return one table per level of `LEVELS`.

    Returns
    -------
    dict of str to DataFrame
        The level's keys, how much it holds (n_animals, n_cells, n_dendrites, n_spines, path_length_um) and a column for
        each measure of `measure_columns`; for conditions also `<measure>_sd`, the standard deviation between animals.
    """
    spines = spine_rows(samples)
    lengths = pd.concat(
        [_named(s.dendrites[["dendrite_id", "path_length_um"]], s) for s in samples], ignore_index=True
    )
    out = {level: _pooled(spines, lengths, _KEYS[level]) for level in ("dendrite", "cell")}
    out["cell"] = out["cell"].merge(checked_cells(samples, _KEYS["cell"]), how="left", on=_KEYS["cell"])
    measures = list(measure_columns())
    out["animal"] = _means(out["cell"], _KEYS["animal"], measures, "n_cells")
    out["condition"] = _means(out["animal"], _KEYS["condition"], measures, "n_animals")
    spread = out["animal"].groupby(_KEYS["condition"], sort=False)[measures].std(ddof=1)
    out["condition"] = out["condition"].join(spread.add_suffix("_sd"), on="condition")
    return out


def _pooled(spines: pd.DataFrame, lengths: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Counts over lengths and means over spines of each group of dendrites."""
    grouped = lengths.groupby(keys, sort=False)
    out = grouped.agg(n_dendrites=("dendrite_id", "size"), path_length_um=("path_length_um", "sum"))
    out.loc[grouped["path_length_um"].apply(lambda own: own.isna().any()), "path_length_um"] = np.nan
    out["n_spines"] = spines.groupby(keys, sort=False).size().reindex(out.index, fill_value=0).astype(int)
    out[DENSITY] = out["n_spines"] / out["path_length_um"].where(out["path_length_um"] > 0)
    whole = spines[~spines["touches_border"].astype("boolean").fillna(False).astype(bool)]
    means = whole.groupby(keys, sort=False)[list(SPINE_MEASURES)].mean()
    out = out.join(means)
    classes = whole[whole["class"].notna() & (whole["class"] != "")]
    total = classes.groupby(keys, sort=False).size().reindex(out.index)
    for name, cls in _FRACTIONS.items():
        count = classes[classes["class"] == cls].groupby(keys, sort=False).size()
        out[name] = count.reindex(out.index, fill_value=0).where(total.notna()) / total
    return out.reset_index()


def _means(table: pd.DataFrame, keys: list[str], measures: list[str], count: str) -> pd.DataFrame:
    """Means over the members of each group, with equal weight, and sums of what they hold."""
    grouped = table.groupby(keys, sort=False)
    counts = [n for n in ("n_animals", "n_cells", "n_dendrites", "n_spines", "path_length_um") if n in table]
    sums = grouped[counts].sum(min_count=1)
    sums.insert(0, count, grouped.size())
    return sums.join(grouped[measures].mean()).reset_index()


def is_paired(animals: pd.DataFrame, a: str, b: str) -> bool | None:
    """Return whether every animal of two conditions has both (True), none has (False), or only some (None)."""
    first, second = (set(animals.loc[animals["condition"] == c, "animal"]) for c in (a, b))
    if not first & second:
        return False
    return True if first == second else None


def compare_conditions(
    tables: dict[str, pd.DataFrame], measures: Sequence[str] | None = None, reference: str | None = None
) -> pd.DataFrame:
    """Compare the conditions two by two on animal means.

    Parameters
    ----------
    tables : dict of str to DataFrame
        From `summarise_groups`.
    measures : sequence of str, optional
        Names from `measure_columns`; by default all with a value.
    reference : str, optional
        Compare each condition with this one only; it is `condition_a`.

    Returns
    -------
    DataFrame
        Columns of `COMPARISON_COLUMNS`. Animals that have only one of two conditions of which others have both are
        left out of that comparison.

    Raises
    ------
    ValueError
        For a measure or a reference that is not there.
    """
    animals, declared = tables["animal"], measure_columns()
    if measures and (unknown := [name for name in measures if name not in declared]):
        raise SpinecoreError(f"{unknown[0]} cannot be compared: choose from {', '.join(declared)}")
    names = list(measures or [name for name in declared if animals[name].notna().any()])
    conditions = list(dict.fromkeys(animals["condition"]))
    if reference is not None and reference not in conditions:
        raise SpinecoreError(f"there is no condition {reference}: choose one of {', '.join(conditions)}")
    pairs = (
        [(reference, c) for c in conditions if c != reference]
        if reference is not None
        else list(combinations(conditions, 2))
    )
    rows = []
    for a, b in pairs:
        paired = is_paired(animals, a, b) is not False
        sides = [animals[animals["condition"] == c].set_index("animal") for c in (a, b)]
        if paired:
            both = sides[0].index.intersection(sides[1].index)
            sides = [side.loc[both] for side in sides]
        for name in names:
            found = compare(sides[0][name].to_numpy(float), sides[1][name].to_numpy(float), paired)
            rows.append(
                {"measure": name, "unit": declared[name].unit, "condition_a": a, "condition_b": b}
                | asdict(found)
            )
    table = pd.DataFrame(rows, columns=[n for n in COMPARISON_COLUMNS if n != "p_holm"])
    table.insert(
        list(COMPARISON_COLUMNS).index("p_holm"), "p_holm", holm(table["p_permutation"].astype(float))
    )
    return table


def independence(samples: Sequence[Sample], measure: str) -> tuple[int, int, float, float] | None:
    """Return (spines, animals, intraclass correlation, independent spines they are worth) of a spine measure.

    Spines are taken relative to their condition's mean, so that an effect of the condition does not count as
    likeness within animals. None where there are too few animals or spines.
    """
    rows = spine_rows(samples)
    rows = rows[~rows["touches_border"].astype("boolean").fillna(False).astype(bool) & rows[measure].notna()]
    if rows.empty:
        return None
    values = rows[measure].astype(float)
    centred = values - values.groupby(rows["condition"]).transform("mean")
    animals = rows["condition"].astype(str) + "\t" + rows["animal"].astype(str)
    correlation = intraclass_correlation(centred.to_numpy(), animals.to_numpy())
    if not np.isfinite(correlation):
        return None
    n, n_animals = len(rows), animals.nunique()
    return n, n_animals, correlation, effective_number(n, n_animals, correlation)


def _is_checked(sample: Sample) -> bool:
    """True where a person looked at every spine of an analysis."""
    return "reviewed" in sample.spines and len(sample.spines) > 0 and bool(sample.spines["reviewed"].all())


def group_notes(samples: Sequence[Sample], tables: dict[str, pd.DataFrame]) -> list[str]:
    """Return what a person should know before believing the comparison, one sentence each."""
    notes = []
    methods = sorted({s.made_with for s in samples if s.made_with})
    if len(methods) > 1:
        notes.append(
            f"The analyses were not made alike ({'; '.join(methods)}): repeat them with one model and threshold before comparing."
        )
    looked = [s.analysis for s in samples if _is_checked(s)]
    if 0 < len(looked) < len(samples):
        notes.append(
            f"People checked every spine of {', '.join(looked)}, and not of the others: check all, or none, before comparing."
        )
    flags = pd.concat([s.dendrites["path_length_um_flag"].fillna("").astype(str) for s in samples])
    if flags.nunique() > 1:
        notes.append(
            "Single images and stacks are mixed: lengths in single images are projected and too short, so compare like with like."
        )
    if tables["dendrite"]["path_length_um"].isna().any():
        notes.append("Some dendrites have no length in um (unknown voxel size): their cells have no density.")
    empty = [s.analysis for s in samples if s.dendrites.empty]
    if empty:
        notes.append(f"No dendrite was found in {', '.join(empty)}: these take no part.")
    animals = tables["animal"]
    conditions = list(dict.fromkeys(animals["condition"]))
    sizes = {c: int((animals["condition"] == c).sum()) for c in conditions}
    if len(conditions) < 2:
        notes.append("There is one condition only, so nothing is compared.")
    elif min(sizes.values()) < 2:
        few = ", ".join(c for c, n in sizes.items() if n < 2)
        notes.append(
            f"Only one animal in {few}: the spread between animals is unknown, so nothing can be tested."
        )
    for a, b in combinations(conditions, 2):
        paired = is_paired(animals, a, b)
        if paired is None:
            notes.append(
                f"Only some animals have both {a} and {b}: that comparison uses these alone, as pairs. "
                "Different animals need different names."
            )
        elif paired:
            notes.append(
                f"Every animal has both {a} and {b}, so they are compared within animals, as pairs. "
                "If these are different animals, give them different names."
            )
    return notes + group_check_notes(samples, tables["condition"])
