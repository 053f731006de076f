"""What the benchmarks make of simulated truth."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

from benchmarks.measurement_simulated import without_dim


def test_dim_true_spines_count_neither_way_in_a_density():
    """On seed 101 of the confocal stacks, 29 dim spines that were found made the density 67 % too high."""
    places = {"z_um": 0.0, "y_um": 0.0}
    truth = pd.DataFrame({**places, "x_um": [0.0, 5.0, 10.0], "visible": [True, False, True]})
    found = pd.DataFrame({**places, "x_um": [0.3, 5.2, 10.4, 10.6, 20.0]})
    made = SimpleNamespace(spines=truth)
    assert without_dim(made, found)["x_um"].tolist() == [0.3, 10.4, 10.6, 20.0]
    beside = pd.DataFrame({**places, "x_um": [0.0, 0.5], "visible": [True, False]})
    kept = without_dim(SimpleNamespace(spines=beside), pd.DataFrame({**places, "x_um": [0.1]}))
    assert len(kept) == 1, "what matches a bright spine stays, whatever lies beside it"
