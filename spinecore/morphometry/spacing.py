"""How spines lie along their branches: clustered, random or even, and the density along the way from the root."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spinecore.morphometry.intervals import poisson_interval
from spinecore.tracing.trace import Dendrite

N_DRAWS = 999


def clustering(
    positions_um: Sequence[np.ndarray], lengths_um: Sequence[float], draws: int = N_DRAWS, seed: int = 0
) -> tuple[float, float]:
    """Compare the gaps between spines with those of spines thrown at random on the same branches.

    The statistic is Greenwood's (1946): the sum of the squared gaps, those to the ends of the branch included, summed
    over the branches; its expectation for n random spines on a length L is 2 L^2 / (n + 2).

    Parameters
    ----------
    positions_um : sequence of ndarray
        For each branch, the positions of its spines from its start.
    lengths_um : sequence of float
        Length of each branch.
    draws : int
        Random placements for p.
    seed : int

    Returns
    -------
    index : float
        Observed over expected: 1 random, above 1 clustered, below 1 even. NaN with fewer than 4 spines.
    p : float
        Two-sided Monte Carlo p of a difference from random.

    Examples
    --------
    >>> round(clustering([np.arange(1, 10) * 1.0], [10.0])[0], 3)  # perfectly even: (n + 2) / (2 (n + 1))
    0.55
    """
    pairs = [
        (np.sort(np.asarray(p, float)), float(length))
        for p, length in zip(positions_um, lengths_um, strict=True)
    ]
    pairs = [(p, length) for p, length in pairs if len(p) and length > 0]
    if sum(len(p) for p, _ in pairs) < 4:
        return np.nan, np.nan
    observed = sum(_squared_gaps(p[None], length)[0] for p, length in pairs)
    expected = sum(2 * length**2 / (len(p) + 2) for p, length in pairs)
    rng = np.random.default_rng(seed)
    random = np.zeros(draws)
    for p, length in pairs:
        random += _squared_gaps(np.sort(rng.random((draws, len(p))), axis=1) * length, length)
    above, below = (random >= observed).sum() + 1, (random <= observed).sum() + 1
    return float(observed / expected), float(min(1.0, 2 * min(above, below) / (draws + 1)))


def _squared_gaps(positions: np.ndarray, length: float) -> np.ndarray:
    """Sum of the squared gaps of each row of sorted positions, the ends of the branch included."""
    ends = np.zeros((len(positions), 1))
    gaps = np.diff(np.clip(np.hstack([ends, positions, ends + length]), 0, length), axis=1)
    return (gaps**2).sum(axis=1)


def branch_positions(spines: pd.DataFrame, dendrite: Dendrite) -> tuple[list[np.ndarray], list[float]] | None:
    """Return, for each branch of a dendrite, the positions of its spines from the branch's start, and its length.

    None where a spine's branch is not known (tables of earlier versions have no such column).
    """
    own = spines[(spines["dendrite_id"] == dendrite.id) & spines["position_along_dendrite_um"].notna()]
    places = own["position_along_dendrite_um"].to_numpy(float)
    if len(dendrite.branches) == 1:
        numbers = np.ones(len(own), int)
    elif "branch" in own and own["branch"].notna().all():
        numbers = own["branch"].to_numpy(int)
    else:
        return None
    positions = [places[numbers == k] - b.start_um for k, b in enumerate(dendrite.branches, 1)]
    return positions, [b.length_um for b in dendrite.branches]


def density_profile(
    spines: pd.DataFrame, dendrite: Dendrite, width_um: float = 5.0, step_um: float = 0.5
) -> pd.DataFrame:
    """Return the spine density against the path distance from the dendrite's root end.

    At each distance, the spines within half a width over the length of all branches that lies within it, so that the
    ends of the dendrite and its branch points need no correction.

    Parameters
    ----------
    spines : DataFrame
        Columns of `spinecore.morphometry.columns.SPINE_COLUMNS`.
    dendrite : Dendrite
    width_um, step_um : float
        Width of the moving window and distance of its places.

    Returns
    -------
    DataFrame
        distance_um, n_spines, length_um, density_per_um, density_low_per_um, density_high_per_um (exact Poisson
        interval, Garwood 1936, of the window's count).
    """
    own = spines[spines["dendrite_id"] == dendrite.id]
    places = np.sort(own["position_along_dendrite_um"].dropna().to_numpy(float))
    starts = np.array([b.start_um for b in dendrite.branches])
    ends = starts + [b.length_um for b in dendrite.branches]
    rows = []
    for middle in np.arange(0, ends.max() + step_um / 2, step_um):
        low, high = middle - width_um / 2, middle + width_um / 2
        length = float(np.clip(np.minimum(ends, high) - np.maximum(starts, low), 0, None).sum())
        n = int(np.searchsorted(places, high, "right") - np.searchsorted(places, low, "left"))
        if length > 0:
            below, above = poisson_interval(n)
            rows.append((middle, n, length, n / length, below / length, above / length))
    names = [
        "distance_um",
        "n_spines",
        "length_um",
        "density_per_um",
        "density_low_per_um",
        "density_high_per_um",
    ]
    return pd.DataFrame(rows, columns=names)
