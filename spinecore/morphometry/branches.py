"""The table of branches: one row for each unbranched piece of a dendrite."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from spinecore.morphometry.intervals import poisson_interval
from spinecore.morphometry.spacing import branch_positions, clustering
from spinecore.tables.columns import BRANCH_COLUMNS
from spinecore.tracing.trace import Dendrite


def summarise_branches(spines: pd.DataFrame, dendrites: Sequence[Dendrite]) -> pd.DataFrame:
    """Return one row per branch: columns of `spinecore.tables.columns.BRANCH_COLUMNS`."""
    rows = []
    for dendrite in dendrites:
        found = branch_positions(spines, dendrite)
        for k, branch in enumerate(dendrite.branches, 1):
            length, n, low, high, index, p = (branch.length_um, *[np.nan] * 5)
            if found is not None:
                own = found[0][k - 1]
                n, (low, high), (index, p) = len(own), poisson_interval(len(own)), clustering([own], [length])
            rows.append(
                {
                    "dendrite_id": dendrite.id,
                    "branch": k,
                    "branch_order": branch.order,
                    "start_um": branch.start_um,
                    "path_length_um": length,
                    "mean_radius_um": float(branch.radii_um.mean()),
                    "n_spines": n,
                    "density_per_um": n / length,
                    "density_low_per_um": low / length,
                    "density_high_per_um": high / length,
                    "clustering_index": index,
                    "clustering_p": p,
                }
            )
    return pd.DataFrame(rows, columns=list(BRANCH_COLUMNS))
