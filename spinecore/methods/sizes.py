"""Sizes of spines as a network reads them from the image, beside those measured on their masks.

Below about half a micrometre the blur of the microscope decides how large a mask looks. The network "spine-size" has
seen simulated spines of known size through many blurs: it reads the cubes of `spinecore.methods.second_look` around a head and
gives volume, head width and length, each with the error to be expected. It knows the maps of one set of weights only, so
other weights and methods, single images and spines added by hand have no such values.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from spinecore.tables.column import Column, measures

#: What is read, in the network's order: column of the value -> column of its error.
ESTIMATED = {
    "volume_estimated_um3": "volume_estimated_error_pct",
    "head_width_estimated_um": "head_width_estimated_error_pct",
    "length_estimated_um": "length_estimated_error_pct",
}
#: The truth of a simulated spine that each stands for.
TRUE_SIZES = ("volume_um3", "head_width_um", "length_um")
#: Share of spines whose true size should lie within the error.
COVERAGE = 0.68


def error_pct(spread: np.ndarray) -> np.ndarray:
    """Return the half-width (%) of the interval that holds `COVERAGE` of the true values.

    Parameters
    ----------
    spread : ndarray
        Natural logarithm of the scale b of a Laplace distribution of the logarithm of the size, in which a share 1 - exp(-t / b)
        lies within t.
    """
    return 100 * np.expm1(np.exp(spread) * -np.log(1 - COVERAGE))


_NOT_ESTIMATED = (
    "single image or projection, another method or own weights, a spine added by hand, or an analysis made before "
    "this column existed"
)


def _declared(column: str, unit: str, title: str, what: str) -> tuple[Column, Column]:
    """Declare a size that the network reads from the image, and its expected error."""
    measured = column.replace("_estimated", "")
    return (
        Column(
            column,
            unit,
            f"{title}, est.",
            f"{what}, as a network reads it from the image.",
            "Answer of a network that learned the sizes of simulated spines through many blurs (see models/spine-size.json): "
            f"nearer to the truth than {measured} on simulated stacks, but drawn towards common sizes where the image says little.",
            _NOT_ESTIMATED,
        ),
        Column(
            ESTIMATED[column],
            "%",
            f"{title}, error",
            f"Error e to be expected of {column}.",
            f"{COVERAGE:.0%} of the true values of simulated spines lie between the estimate / (1 + e) and the estimate times (1 + e).",
            _NOT_ESTIMATED,
        ),
    )


@measures(
    *_declared("volume_estimated_um3", "um^3", "Volume", "Volume of the spine"),
    *_declared("head_width_estimated_um", "um", "Head width", "Diameter of the head"),
    *_declared("length_estimated_um", "um", "Length", "Length from the dendrite's surface to the tip"),
)
def with_sizes(table: pd.DataFrame, sizes: np.ndarray) -> pd.DataFrame:
    """Return a spine table with the columns of `ESTIMATED` filled in.

    Parameters
    ----------
    table : DataFrame
        With the column `spine_id`, which counts candidates from 1.
    sizes : ndarray, shape (n, 3, 2)
        Of the candidates, as the network gives them; spines beyond them (added by hand) stay without.
    """
    rows = table["spine_id"].to_numpy(int) - 1
    known = (rows >= 0) & (rows < len(sizes))
    for k, (value, error) in enumerate(ESTIMATED.items()):
        for name, found in ((value, np.exp), (error, error_pct)):
            filled = np.full(len(table), np.nan)
            filled[known] = found(sizes[rows[known], k, int(name == error)])
            table[name] = filled
    return table
