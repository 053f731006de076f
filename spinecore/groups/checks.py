"""The sample check over all analyses of a sheet: how many segments each one gets, and what was counted there.

Every analysis is a draw of its own (`spinecore.corrections.samplecheck`), so that its estimate is unbiased whatever the detector
misses there; cells pool the totals and lengths of their analyses. Conditions are then compared on animals, like every
other measure: what chance does to an animal's estimate is part of the spread between animals.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.analysis.storage import load_analysis
from spinecore.corrections.samplecheck import MEASURES, SampleCheck, draw_check, read_check
from spinecore.corrections.segments import cut_segments
from spinecore.errors import SpinecoreError
from spinecore.groups.sheet import Sample
from spinecore.morphometry.columns import SPINE_COLUMNS
from spinecore.shapes.classes import CLASSES
from spinecore.tables.column import Column, by_name

#: Name of the measure, among those of a cell.
DENSITY_CHECKED = "density_checked_per_um"
#: Means and shares of classes by the sample check, and what each is the mean or share of.
MEANS_CHECKED = {name.replace("_um", "_checked_um"): name for name in MEASURES}
SHARES_CHECKED = {f"fraction_{name}_checked": name for name in CLASSES}
#: No analysis gets fewer segments than this, unless it has fewer.
LEAST = 4


def checked_columns() -> dict[str, Column]:
    """Return the measures of a cell that a sample check gives."""
    density = Column(
        DENSITY_CHECKED,
        "1/um",
        "Density, checked",
        "Spines per um of dendrite by the sample check: counted by eye on segments drawn at random.",
        "Estimated totals of the cell's analyses over their lengths (difference estimator, Särndal et al. 1992).",
        "a drawn segment of the cell was not counted, or none was drawn",
    )
    pooled = "(difference estimators over the cell's analyses, Särndal et al. 1992); spines at the border are left out."
    empty = f"{density.missing}, it was not said which automatic spines are none, or no spine has a value"
    means = [
        Column(
            name,
            SPINE_COLUMNS[measure].unit,
            f"{SPINE_COLUMNS[measure].title}, checked",
            f"Mean {SPINE_COLUMNS[measure].title.lower()} of the automatic spines that are spines, by the sample check.",
            f"Estimated sum of the measure over the estimated number of spines that have it {pooled}",
            empty,
        )
        for name, measure in MEANS_CHECKED.items()
    ]
    shares = [
        Column(
            name,
            "",
            f"Share of {cls}, checked",
            f"Share of the automatic spines that are spines and have a class that are classed as {cls}, by the sample check.",
            f"Estimated number of spines of that class over that of spines with a class {pooled}",
            empty,
        )
        for name, cls in SHARES_CHECKED.items()
    ]
    return by_name(density, *means, *shares)


def share_out(sizes: Sequence[int], n: int) -> list[int]:
    """Return how many segments are drawn in each analysis, in proportion to how many it has.

    Parameters
    ----------
    sizes : sequence of int
        Segments of each analysis.
    n : int
        To be drawn in all; more where that is less than `LEAST` in each.

    Examples
    --------
    >>> share_out([100, 50, 3], 30)
    [17, 10, 3]
    """
    least = np.minimum(sizes, LEAST)
    rest = np.asarray(sizes) - least
    more = max(n - int(least.sum()), 0)
    share = np.minimum(rest, more * rest / max(int(rest.sum()), 1))
    out = least + np.floor(share).astype(int)
    for k in np.argsort(np.floor(share) - share, kind="stable"):
        if out.sum() < n and out[k] < sizes[k]:
            out[k] += 1
    return [int(v) for v in out]


def draw_group(folders: Sequence[Path], n: int, seed: int) -> list[tuple[Path, SampleCheck]]:
    """Draw segments in every analysis of a sheet; those where something was counted keep their draw.

    Parameters
    ----------
    folders : sequence of Path
        Each analysis once.
    n : int
        Segments in all.
    seed : int
        Of the first analysis; each further one has the next.

    Returns
    -------
    list of (Path, SampleCheck)
        Of every analysis that has a dendrite.

    Raises
    ------
    SpinecoreError
        Where no dendrite was traced, or n or the seed is impossible.
    """
    if n < 1 or seed < 0:
        raise SpinecoreError("the number of segments must be 1 or more, and the seed 0 or more")
    before = [read_check(folder) for folder in folders]
    new = [k for k, check in enumerate(before) if check is None or not check.checked]
    analyses = {k: load_analysis(folders[k]) for k in new}
    segments = {
        k: cut_segments(found.candidates.dendrites, found.spines, found.candidates.scale_yx)
        for k, found in analyses.items()
    }
    if not any(segments.values()) and new:
        raise SpinecoreError("no dendrite was traced in these analyses, so there are no segments to check")
    kept = sum(check.n for k, check in enumerate(before) if check is not None and k not in analyses)
    drawable = [k for k in new if segments[k]]
    counts = share_out([len(segments[k]) for k in drawable], max(n - kept, 0))
    made = {
        k: draw_check(Path(folders[k]), segments[k], count, seed + k, analyses[k].threshold)
        for k, count in zip(drawable, counts, strict=True)
    }
    checks = [(Path(folder), made.get(k, before[k])) for k, folder in enumerate(folders)]
    return [(folder, check) for folder, check in checks if check is not None]


def check_table(samples: Sequence[Sample]) -> pd.DataFrame:
    """Return one row per analysis: automatic and checked density side by side, with how many segments and who counted them."""
    rows = []
    for sample in samples:
        row = {name: getattr(sample, name) for name in ("condition", "animal", "cell", "analysis")}
        check = sample.check
        if check is None:
            rows.append(row | {"segments_drawn": 0, "segments_counted": 0, "checked_by": ""})
            continue
        found = check.density()
        counted = bool(check.checked)
        rows.append(
            row
            | {
                "segments": len(check.segments),
                "segments_drawn": check.n,
                "segments_counted": len(check.checked),
                "density_per_um": found.automatic,
                DENSITY_CHECKED: found.value if counted else np.nan,
                "density_checked_low_per_um": found.low if counted else np.nan,
                "density_checked_high_per_um": found.high if counted else np.nan,
                "checked_by": ", ".join(check.people),
            }
        )
    columns = ["condition", "animal", "cell", "analysis", "segments", "segments_drawn", "segments_counted"]
    columns += [
        "density_per_um",
        DENSITY_CHECKED,
        "density_checked_low_per_um",
        "density_checked_high_per_um",
    ]
    return pd.DataFrame(rows).reindex(columns=[*columns, "checked_by"])


def is_counted(sample: Sample) -> bool:
    """True where every drawn segment of an analysis was counted."""
    check = sample.check
    return check is not None and bool(check.checked) and len(check.checked) == check.n


def checked_cells(samples: Sequence[Sample], keys: list[str]) -> pd.DataFrame:
    """Return the measures of `checked_columns` of each cell of which every analysis was counted to the end.

    Parameters
    ----------
    samples : sequence of Sample
    keys : list of str
        Columns that name a cell.
    """
    names = list(checked_columns())
    rows = []
    for sample in samples:
        counted = is_counted(sample)
        row: dict[str, object] = {name: getattr(sample, name) for name in keys}
        for name, (top, bottom) in (_totals(sample) if counted else {}).items():
            row |= {f"{name} top": top, f"{name} bottom": bottom}
        rows.append(row)
    columns = [f"{name} {part}" for name in names for part in ("top", "bottom")]
    sums = (
        pd.DataFrame(rows)
        .reindex(columns=[*keys, *columns])
        .groupby(keys, sort=False)[columns]
        .agg(lambda own: own.sum(skipna=False))
    )
    out = {
        name: sums[f"{name} top"] / sums[f"{name} bottom"].where(sums[f"{name} bottom"] > 0) for name in names
    }
    return pd.DataFrame(out).reset_index()


def _totals(sample: Sample) -> dict[str, tuple[float, float]]:
    """The two estimated totals of an analysis of which each measure is the ratio; of all its measures."""
    check, spines = sample.check, sample.spines
    if check is None:
        return {}
    total, density = check.total().value, check.density().value
    out = {DENSITY_CHECKED: (total, total / density if density > 0 else check.length_um)}
    whole = spines[~spines["touches_border"].astype("boolean").fillna(False).astype(bool)]
    for name, measure in MEANS_CHECKED.items():
        if measure in whole:
            out[name] = check.mean_sums(whole, measure)
    if "class" in whole:
        for name, cls in SHARES_CHECKED.items():
            out[name] = check.share_sums(whole, cls)
    return out


def group_check_notes(samples: Sequence[Sample], conditions: pd.DataFrame) -> list[str]:
    """Return what was counted by eye, for a methods section, and of which analyses it was not.

    Parameters
    ----------
    samples : sequence of Sample
    conditions : DataFrame
        Automatic and checked density of each condition.
    """
    counted = [s for s in samples if is_counted(s)]
    if not any(s.check is not None and s.check.checked for s in samples):
        return []
    notes = []
    if counted:
        checks = [s.check for s in counted if s.check is not None]
        people = sorted({name for check in checks for name in check.people})
        who = f" by {' and '.join(people)}" if people else ""
        known = conditions[conditions[DENSITY_CHECKED].notna()]
        found = "; ".join(
            f"{row['condition']}: {row[DENSITY_CHECKED]:.3g} (automatic {row['density_per_um']:.3g})"
            for row in known.to_dict("records")
        )
        notes.append(
            f"A random sample of {sum(c.n for c in checks)} of {sum(len(c.segments) for c in checks)} segments of about 5 um in "
            f"{len(checks)} of {len(samples)} analyses was counted by eye{who}; the difference estimator (Särndal et al. 1992) gives, "
            f"in spines per um, {found}."
        )
    if left := [s.analysis for s in samples if not is_counted(s)]:
        notes.append(
            f"Not every drawn segment of {', '.join(left)} was counted: their cells have no checked density."
        )
    if unclear := [s.analysis for s in counted if s.check is not None and not s.check.false_are_named]:
        notes.append(
            f"It was not said which automatic spines of {', '.join(unclear)} are none: their cells have no checked sizes and shares "
            "of classes."
        )
    return notes
