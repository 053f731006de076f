"""Dendrites cut into segments of about equal length, each with the automatic spines on it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from spinecore.corrections.sampling import cut_edges
from spinecore.errors import SpinecoreError
from spinecore.tracing.trace import Dendrite

#: A segment whose middle is farther than this from where it was drawn is another one (um).
MOVED_UM = 0.5


@dataclass(frozen=True)
class Segment:
    """A piece of a dendrite of about 5 um.

    Parameters
    ----------
    number : int
        From 1, along all dendrites.
    dendrite, branch : int
        As in the spine table.
    from_um, to_um : float
        Path distance from the dendrite's root end.
    x_px, y_px, z_px : float
        Its middle in the stack's own pixels, from 0.
    spines : tuple of int
        Numbers of the automatic spines on it when it was drawn.
    """

    number: int
    dendrite: int
    branch: int
    from_um: float
    to_um: float
    x_px: float
    y_px: float
    z_px: float
    spines: tuple[int, ...] = ()

    @property
    def length_um(self) -> float:
        """Its length."""
        return self.to_um - self.from_um


def cut_segments(
    dendrites: Sequence[Dendrite], spines: pd.DataFrame, scale_yx: tuple[float, float]
) -> list[Segment]:
    """Cut all dendrites into segments and put each spine on its own.

    Parameters
    ----------
    dendrites : sequence of Dendrite
    spines : DataFrame
        With spine_id, dendrite_id, branch and position_along_dendrite_um; spines without a dendrite are on no segment.
    scale_yx : (y, x)
        Pixels of the traced grid per pixel of the stack.
    """
    out: list[Segment] = []
    scale = np.array([1.0, *scale_yx])
    for dendrite in dendrites:
        own = spines[spines["dendrite_id"] == dendrite.id]
        for number, branch in enumerate(dendrite.branches, 1):
            edges = cut_edges(branch.length_um)
            here = own[own["branch"] == number]
            along = here["position_along_dendrite_um"].to_numpy(float) - branch.start_um
            place = np.clip(np.searchsorted(edges, along, side="right") - 1, 0, len(edges) - 2)
            for k, (start, end) in enumerate(itertools.pairwise(edges)):
                middle = _at(branch.points_um, branch.arc_um - branch.start_um, (start + end) / 2)
                z, y, x = (middle / np.array(dendrite.spacing_zyx_um) + 0.5) / scale - 0.5
                ids = here["spine_id"].to_numpy(int)[place == k].tolist()
                first, last = branch.start_um + start, branch.start_um + end
                from_um, to_um, x_px, y_px, z_px = (round(float(v), 4) for v in (first, last, x, y, z))
                out.append(
                    Segment(len(out) + 1, dendrite.id, number, from_um, to_um, x_px, y_px, z_px, tuple(ids))
                )
    return out


def segment_line(
    dendrites: Sequence[Dendrite], segment: Segment, scale_yx: tuple[float, float]
) -> np.ndarray:
    """Return the centre line of a segment, (n, 3) in um of the traced grid (ZYX), of `scale_yx` pixels per stack pixel.

    Raises
    ------
    SpinecoreError
        If it is not where it was drawn: the dendrites were corrected since.
    """
    drawn = (np.array([segment.z_px, segment.y_px, segment.x_px]) + 0.5) * (1.0, *scale_yx) - 0.5
    for dendrite in dendrites:
        if dendrite.id == segment.dendrite and segment.branch <= len(dendrite.branches):
            branch = dendrite.branches[segment.branch - 1]
            inside = (branch.arc_um > segment.from_um) & (branch.arc_um < segment.to_um)
            places = (segment.from_um, (segment.from_um + segment.to_um) / 2, segment.to_um)
            first, middle, last = (_at(branch.points_um, branch.arc_um, at) for at in places)
            if np.linalg.norm(middle - drawn * dendrite.spacing_zyx_um) <= MOVED_UM:
                return np.vstack([first, branch.points_um[inside], last])
    raise SpinecoreError("the dendrites have changed since the segments were drawn: draw again")


def _at(points: np.ndarray, arc: np.ndarray, where: float) -> np.ndarray:
    """Point of a line at an arc length."""
    return np.array([np.interp(where, arc, points[:, axis]) for axis in range(3)])
