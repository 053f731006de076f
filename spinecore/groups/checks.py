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
from spinecore.corrections.samplecheck import SampleCheck, cut_segments, draw_check, read_check
from spinecore.errors import SpinecoreError
from spinecore.groups.sheet import Sample

#: Name of the measure, among those of a cell.
DENSITY_CHECKED = "density_checked_per_um"
#: No analysis gets fewer segments than this, unless it has fewer.
LEAST = 4


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
    """Return the checked density of each cell of which every analysis was counted to the end.

    Parameters
    ----------
    samples : sequence of Sample
    keys : list of str
        Columns that name a cell.
    """
    rows = []
    for sample in samples:
        spines, length = np.nan, np.nan
        if is_counted(sample) and sample.check is not None:
            total, density = sample.check.total().value, sample.check.density().value
            spines = total
            length = total / density if density > 0 else sample.check.length_um
        rows.append({name: getattr(sample, name) for name in keys} | {"spines": spines, "length": length})
    sums = (
        pd.DataFrame(rows)
        .groupby(keys, sort=False)[["spines", "length"]]
        .agg(lambda own: own.sum(skipna=False))
    )
    sums[DENSITY_CHECKED] = sums["spines"] / sums["length"].where(sums["length"] > 0)
    return sums[[DENSITY_CHECKED]].reset_index()


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
    return notes
