"""How spines lie along branches, against closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from spinecore.morphometry.branches import summarise_branches
from spinecore.morphometry.columns import BRANCH_COLUMNS
from spinecore.morphometry.spacing import clustering, density_profile
from spinecore.tracing.trace import Branch, Dendrite


def straight(length_um: float, start_um: float = 0.0, start: int = 0, end: int = 1, order: int = 0) -> Branch:
    points = np.zeros((int(length_um * 10) + 1, 3))
    points[:, 2] = start_um + np.linspace(0, length_um, len(points))
    return Branch(points, np.full(len(points), 0.4), start, end, start_um, order)


def spines_at(places: list[float], branch: int | list[int] = 1) -> pd.DataFrame:
    return pd.DataFrame({"dendrite_id": 1, "position_along_dendrite_um": places, "branch": branch})


def test_even_random_and_clustered_spines_are_told_apart() -> None:
    n, length = 19, 20.0
    index, p = clustering([np.arange(1, n + 1) * 1.0], [length])
    assert index == pytest.approx((n + 2) / (2 * (n + 1))) and p == pytest.approx(0.002)
    clustered = np.concatenate([np.linspace(2, 3, 10), np.linspace(15, 16, 9)])
    index, p = clustering([clustered], [length])
    assert index > 3 and p == pytest.approx(0.002)
    rng = np.random.default_rng(100)
    found = [clustering([rng.random(25) * length], [length], seed=k) for k in range(300)]
    assert np.mean([f[0] for f in found]) == pytest.approx(1, abs=0.05)
    assert 0.02 <= np.mean([f[1] < 0.05 for f in found]) <= 0.09
    assert all(np.isnan(clustering([np.arange(3.0)], [5.0])))


def test_a_dense_and_a_bare_branch_are_no_cluster_by_themselves() -> None:
    """Numbers per branch are taken as they are: only the places within branches are judged."""
    rng = np.random.default_rng(1)
    found = [clustering([rng.random(20) * 10, np.zeros(0)], [10.0, 50.0], seed=k)[0] for k in range(60)]
    assert np.mean(found) == pytest.approx(1, abs=0.1)


def test_profile_counts_the_length_that_is_there() -> None:
    dendrite = Dendrite(
        1, (straight(10), straight(6, 10, 1, 2, 1), straight(10, 10, 1, 3, 1)), (0.3, 0.1, 0.1)
    )
    table = density_profile(spines_at([1.0, 2.0, 12.0, 12.5]), dendrite, width_um=4.0, step_um=1.0)
    row = table.set_index("distance_um")
    assert row.loc[0.0, ["n_spines", "length_um"]].tolist() == [
        2,
        2.0,
    ]  # half of the window lies before the start
    assert row.loc[5.0, "n_spines"] == 0 and row.loc[5.0, "density_high_per_um"] > 0
    assert row.loc[12.0, ["n_spines", "length_um"]].tolist() == pytest.approx(
        [2, 8.0]
    )  # two branches side by side
    assert row.loc[12.0, "density_per_um"] == pytest.approx(0.25)
    assert table["distance_um"].max() == 20


def test_branches_are_counted_apart() -> None:
    dendrite = Dendrite(1, (straight(10), straight(6, 10, 1, 2, 1)), (0.3, 0.1, 0.1))
    table = summarise_branches(spines_at([1.0, 2.0, 12.0], [1, 1, 2]), [dendrite])
    assert list(table.columns) == list(BRANCH_COLUMNS)
    assert table["n_spines"].tolist() == [2, 1] and table["branch_order"].tolist() == [0, 1]
    assert table["density_per_um"].tolist() == pytest.approx([0.2, 1 / 6])
    assert table["path_length_um"].sum() == pytest.approx(dendrite.path_length_um)


def test_without_the_branch_of_each_spine_nothing_is_counted_as_none() -> None:
    dendrite = Dendrite(1, (straight(10), straight(6, 10, 1, 2, 1)), (0.3, 0.1, 0.1))
    table = summarise_branches(spines_at([1.0, 2.0, 12.0]).drop(columns="branch"), [dendrite])
    assert table["n_spines"].isna().all() and table["density_per_um"].isna().all()
