"""What every method returns."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from spinecore.networks.zoo import Card


@dataclass(frozen=True)
class Heads:
    """Heads of a stack, highest score first.

    Parameters
    ----------
    centres_px : ndarray, shape (n, 3)
        In voxels of the maps.
    scores : ndarray, shape (n,)
        From `spinecore.methods.peaks.FLOOR` to 1.
    sizes : ndarray, shape (n, k, 2), or None
        What the network for sizes says (see `spinecore.methods.sizes`), where there is one.
    """

    centres_px: np.ndarray
    scores: np.ndarray
    sizes: np.ndarray | None = None


class HeadsLater:
    """Heads that are still looked for, on a thread beside what comes next; whoever reads them waits.

    Parameters
    ----------
    find : callable
        Finds them. What it raises is raised to whoever reads them.
    """

    def __init__(self, find: Callable[[], Heads]) -> None:
        pool = ThreadPoolExecutor(1)
        self._heads = pool.submit(find)
        pool.shutdown(wait=False)

    def wait(self) -> Heads:
        """Return them once they are found."""
        return self._heads.result()

    @property
    def centres_px(self) -> np.ndarray:
        """See `Heads`."""
        return self.wait().centres_px

    @property
    def scores(self) -> np.ndarray:
        """See `Heads`."""
        return self.wait().scores

    @property
    def sizes(self) -> np.ndarray | None:
        """See `Heads`."""
        return self.wait().sizes


@dataclass
class Prediction:
    """Probability maps of one stack on the analysis grid.

    The analysis grid has the stack's slices and, in plane, its own pixels where they are
    coarser than 0.1 um and 0.1 um pixels where they are finer.

    Parameters
    ----------
    dendrite, spine, centre : ndarray, uint8, shape (Z, Y, X)
        Probability times 255 of dendrite, spine, and spine-head centre.
    intensity : ndarray, shape (Z, Y, X)
        Raw intensities on the same grid (the stack's own dtype or float32).
    spacing_zyx_um : tuple of float
        Voxel size of the grid in um.
    scale_yx : tuple of float
        Grid pixels per input pixel along y and x.
    model : str
        Name of the weights used.
    score_power : float
        Peak heights are raised to this power to become scores, so that 0.5 is the best threshold
        of every model on validation data (from the card).
    heads : Heads or HeadsLater, optional
        Head centres on the grid, their final scores and sizes, where a method finds them itself; otherwise they
        are the peaks of `centre`.
    heads_from : tuple of Card
        Of the weights that gave those scores and sizes.
    looked_at : float
        Share of the stack that the network looked at; elsewhere nothing rose above the noise.
    far_heads : bool
        True where heads also count at some distance from a traced shaft (`second_look_um` of the detection rules),
        since the network's score tells them from clutter.
    data_box : tuple of slice, optional
        Part of the grid that holds data, where that is not all: its faces are the border of what was imaged.
    """

    dendrite: np.ndarray
    spine: np.ndarray
    centre: np.ndarray
    intensity: np.ndarray
    spacing_zyx_um: tuple[float, float, float]
    scale_yx: tuple[float, float]
    model: str
    score_power: float = 1.0
    heads: Heads | HeadsLater | None = None
    heads_from: tuple[Card, ...] = ()
    looked_at: float = 1.0
    far_heads: bool = False
    data_box: tuple[slice, slice, slice] | None = None

    def finished(self) -> Prediction:
        """Return this once its heads are found."""
        if isinstance(self.heads, HeadsLater):
            self.heads.wait()
        return self
