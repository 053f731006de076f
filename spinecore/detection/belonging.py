"""Which heads count as spines: those that belong to a traced dendrite, and those that stand in for one.

All rules are here, and their limits in `DetectionRules`, which is stored with each analysis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.spatial import cKDTree

from spinecore.tracing.trace import Dendrite


class DetectionRules(BaseModel):
    """The limits by which a head counts as a spine."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    near_um: float = Field(default=3.2, ge=0)
    """A head up to this far from a traced shaft's surface belongs to it (um).

    Chosen on simulated stacks of seeds 500-504 (confocal, oblique, two-photon; score 0.5): of 702 heads matched without
    this rule it keeps 672, 2.0 um kept 645. Of the 30 lost, 29 are in two-photon stacks."""

    reach_um: float = Field(default=10.0, ge=0)
    """A head farther out, up to this (um), belongs to a shaft when its mask comes within `attached_um` of it.

    So does the head of a filopodium; without such a mask it is likely the bouton of an axon passing by."""

    attached_um: float = Field(default=1.2, ge=0)
    """How near the mask of a head beyond `near_um` must come to the shaft's surface (um)."""

    neighbours: int = Field(default=5, ge=1)
    """So many heads (itself included) of `neighbour_score` or more within `neighbour_um` count without a traced shaft.

    Together they mark a dendrite too faint to trace, which clutter does not. Chosen on simulated stacks of seeds
    500-504: two-photon F1 0.774 without, 0.834 with; no false spine in ten stacks of clutter either way."""

    neighbour_score: float = Field(default=0.5, ge=0, le=1)
    """The score from which a head supports its neighbours (0 to 1)."""

    neighbour_um: float = Field(default=4.0, ge=0)
    """The distance within which heads support each other (um)."""

    second_look_um: float = Field(default=5.0, ge=0)
    """A head whose score comes from a second look counts without a traced shaft of its own up to this far from one (um).

    Its surroundings are in the score (see `spinecore.methods.second_look`). On simulated stacks of seeds from 500 (46
    confocal, 12 oblique, 20 two-photon, 40 of clutter) it lets in 9 spines, 5 that are too dim to count, and no false
    alarm at score 0.5.

    So does a head that the default method finds in a single image, where shafts are often traced in part. Chosen on a few
    images of each field of points2d/val."""

    untraced_beside_own_tracing: bool = False
    """Whether heads without a traced shaft also count where the user gave the centre lines.

    They do not: the user says where the dendrites are."""

    by_hand_um: float = Field(default=5.0, ge=0)
    """A spine that a person adds belongs to the nearest shaft up to this far from its surface (um), beyond it to none."""


@dataclass(frozen=True)
class Belonging:
    """Which heads count, and what each belongs to.

    Parameters
    ----------
    counts : ndarray of bool, shape (n,)
    untraced : ndarray of bool, shape (n,)
        True for heads that count although their dendrite could not be traced.
    anchors_px : ndarray, shape (n, 3)
        The centre-line point (ZYX, grid voxels) that each head belongs to; an untraced head's own centre.
    """

    counts: np.ndarray
    untraced: np.ndarray
    anchors_px: np.ndarray


def decide_belonging(
    centres_px: np.ndarray,
    scores: np.ndarray,
    dendrites: Sequence[Dendrite],
    spacing_zyx_um: tuple[float, float, float],
    mask_of: Callable[[int], np.ndarray],
    *,
    second_look: bool = False,
    own_tracing: bool = False,
    rules: DetectionRules | None = None,
) -> Belonging:
    """Say which heads count as candidate spines.

    Parameters
    ----------
    centres_px : ndarray, shape (n, 3)
        Heads (ZYX, grid voxels).
    scores : ndarray, shape (n,)
    dendrites : sequence of Dendrite
    spacing_zyx_um : tuple of float
        Voxel size of the grid.
    mask_of : callable
        Gives the voxels, shape (k, 3), of the piece of spine mask that a head lies in; none where it lies in none.
    second_look : bool
        True where the scores come from a second look at each head, or tell heads from clutter as well as that.
    own_tracing : bool
        True where the user gave the centre lines.
    rules : DetectionRules, optional
    """
    rules = rules or DetectionRules()
    anchors, gap_um = nearest_axis(centres_px, dendrites, spacing_zyx_um)
    belongs = gap_um <= rules.near_um
    for index in np.flatnonzero((gap_um > rules.near_um) & (gap_um <= rules.reach_um)):
        voxels = mask_of(int(index))
        if len(voxels):
            belongs[index] = nearest_axis(voxels, dendrites, spacing_zyx_um)[1].min() <= rules.attached_um
    untraced = supported_by_neighbours(centres_px * np.array(spacing_zyx_um), scores, rules)
    if second_look:
        untraced |= gap_um <= rules.second_look_um
    untraced &= ~belongs
    if own_tracing and not rules.untraced_beside_own_tracing:
        untraced[:] = False
    anchors[untraced] = centres_px[untraced]
    return Belonging(belongs | untraced, untraced, anchors)


def supported_by_neighbours(
    centres_um: np.ndarray, scores: np.ndarray, rules: DetectionRules | None = None
) -> np.ndarray:
    """Say which heads have enough strong ones around them to mark a dendrite by themselves.

    Parameters
    ----------
    centres_um : ndarray, shape (n, 3)
        Heads, ZYX.
    scores : ndarray, shape (n,)
    rules : DetectionRules, optional

    Returns
    -------
    ndarray of bool, shape (n,)

    Examples
    --------
    >>> row = np.arange(5)[:, None] * [0.0, 0.0, 0.5]
    >>> supported_by_neighbours(row, np.full(5, 0.6)).all()
    np.True_
    >>> supported_by_neighbours(row, np.full(5, 0.4)).any()
    np.False_
    """
    rules = rules or DetectionRules()
    strong = scores >= rules.neighbour_score
    if strong.sum() < rules.neighbours:
        return np.zeros(len(scores), bool)
    tree = cKDTree(centres_um[strong])
    return tree.query_ball_point(centres_um, rules.neighbour_um, return_length=True) >= rules.neighbours


def nearest_axis(
    centres_px: np.ndarray,
    dendrites: Sequence[Dendrite],
    spacing_zyx_um: tuple[float, float, float],
) -> tuple[np.ndarray, np.ndarray]:
    """Find the centre-line point nearest to each place.

    Returns
    -------
    points_px : ndarray, shape (n, 3)
        In grid voxels (ZYX); zeros where there is no dendrite.
    gaps_um : ndarray, shape (n,)
        Distance to the shaft's surface (negative inside it); infinite where there is no dendrite.
    """
    if not dendrites or not len(centres_px):
        return np.zeros((len(centres_px), 3)), np.full(len(centres_px), np.inf)
    spacing = np.array(spacing_zyx_um)
    points = np.concatenate([b.points_um for d in dendrites for b in d.branches])
    radii = np.concatenate([b.radii_um for d in dendrites for b in d.branches])
    distance, nearest = cKDTree(points).query(centres_px * spacing)
    return points[nearest] / spacing, distance - radii[nearest]
