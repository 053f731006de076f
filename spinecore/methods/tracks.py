"""Boxes of single slices into spines of a stack, by the rules of Vogel et al. 2023. Pure functions.

Boxes are rows of x_min, y_min, x_max, y_max in pixels, the maxima being exclusive edges.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: Boxes that share more than this of the smaller one are the same spine ("Integration across imaging depth").
SAME_IOM = 0.5
#: Slices in a row without a detection that end a track.
MISSES = 2
#: Larger boxes are no spines (um2; "Evaluation metric 2D").
MAX_AREA_UM2 = 20.0


@dataclass
class Detections:
    """Boxes of one slice, strongest first.

    Parameters
    ----------
    boxes : ndarray, float64, shape (n, 4)
    scores : ndarray, float64, shape (n,)
    masks : list of ndarray or None
        One probability map per box, float32 (rows, columns), whose first pixel is `corners[k]`.
    corners : ndarray of int, shape (n, 2)
        Row and column of each mask's first pixel.
    """

    boxes: np.ndarray
    scores: np.ndarray
    masks: list[np.ndarray] | None = None
    corners: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def mask_at(self, index: int) -> tuple[np.ndarray, tuple[int, int]]:
        """Return the mask of one box and the row and column of its first pixel; ValueError without masks."""
        if self.masks is None or self.corners is None:
            raise ValueError("these detections have no masks")
        top, left = self.corners[index]
        return self.masks[index], (int(top), int(left))

    def where(self, chosen: np.ndarray) -> Detections:
        """Return those at the given positions."""
        chosen = np.asarray(chosen, int)
        masks = None if self.masks is None else [self.masks[k] for k in chosen]
        corners = None if self.corners is None else self.corners[chosen]
        return Detections(self.boxes[chosen], self.scores[chosen], masks, corners)


@dataclass
class Track:
    """One spine through a stack.

    Parameters
    ----------
    first : int
        Its first slice.
    boxes : ndarray, shape (m, 4)
        A box in each of its slices; where the detector missed, interpolated between its neighbours.
    scores : ndarray, shape (m,)
        NaN where the detector missed.
    members : list of int
        Position among the slice's detections, -1 where the detector missed.
    """

    first: int
    boxes: np.ndarray
    scores: np.ndarray
    members: list[int]

    @property
    def last(self) -> int:
        """Its last slice, inclusive."""
        return self.first + len(self.members) - 1

    @property
    def score(self) -> float:
        """The best score of any slice."""
        return float(np.nanmax(self.scores))

    @property
    def mean_box(self) -> np.ndarray:
        """The box averaged over its slices, as the published 3-D box (shape (4,))."""
        return self.boxes.mean(0)

    def centre(self) -> tuple[float, float, float]:
        """Score-weighted centre as z, y, x in pixels (z from 0, pixel centres whole)."""
        weight = np.nan_to_num(self.scores) ** 2
        middle = np.stack([self.boxes[:, [1, 3]].mean(1) - 0.5, self.boxes[:, [0, 2]].mean(1) - 0.5], 1)
        y, x = (middle * weight[:, None]).sum(0) / weight.sum()
        z = self.first + (np.arange(len(weight)) * weight).sum() / weight.sum()
        return float(z), float(y), float(x)


def box_iom(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over the smaller area of boxes (n, 4) and (m, 4), shape (n, m); Vogel et al. 2023 eq. 2."""
    a, b = np.asarray(a, float).reshape(-1, 4), np.asarray(b, float).reshape(-1, 4)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(-1)
    smaller = np.minimum(_area(a)[:, None], _area(b)[None])
    return np.divide(common, smaller, out=np.zeros_like(common), where=smaller > 0)


def _area(boxes: np.ndarray) -> np.ndarray:
    return np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(-1)


def suppress(found: Detections, limit: float = SAME_IOM) -> Detections:
    """Of detections whose IoM exceeds `limit` keep the one with the highest score; strongest first."""
    found = found.where(np.argsort(-found.scores, kind="stable"))
    overlap = box_iom(found.boxes, found.boxes)
    kept: list[int] = []
    for k in range(len(found)):
        if not kept or overlap[k, kept].max() <= limit:
            kept.append(k)
    return found.where(np.array(kept, int))


def drop_large(found: Detections, pixel_um: float, limit_um2: float = MAX_AREA_UM2) -> Detections:
    """Remove boxes above the area limit."""
    return found.where(np.flatnonzero(_area(found.boxes) * pixel_um**2 <= limit_um2 * (1 + 1e-9)))


def link(slices: list[Detections], limit: float = SAME_IOM, misses: int = MISSES) -> list[Track]:
    """Link the detections of successive slices into tracks.

    From the first slice to the last, open tracks and detections are paired in order of falling IoM, which
    has to exceed `limit`; what stays without a partner opens a track. A track ends after `misses` slices
    in a row without a detection.

    Parameters
    ----------
    slices : list of Detections
        One entry per slice, after `suppress`.
    limit : float
        Lowest intersection over the smaller box of two detections that are the same.
    misses : int
        Slices in a row without a detection that end a track.

    Returns
    -------
    list of Track
        By first slice.
    """
    open_tracks: list[dict[int, int]] = []
    closed: list[dict[int, int]] = []
    for z, found in enumerate(slices):
        ended = [t for t in open_tracks if z - max(t) > misses]
        closed += ended
        open_tracks = [t for t in open_tracks if z - max(t) <= misses]
        last = np.array([slices[max(t)].boxes[t[max(t)]] for t in open_tracks]).reshape(-1, 4)
        overlap = box_iom(last, found.boxes)
        free = np.ones(len(found), bool)
        while overlap.size and overlap.max() > limit:
            row, column = np.unravel_index(int(overlap.argmax()), overlap.shape)
            open_tracks[row][z] = int(column)
            free[column] = False
            overlap[row], overlap[:, column] = -1.0, -1.0
        open_tracks += [{z: int(k)} for k in np.flatnonzero(free)]
    every = sorted(closed + open_tracks, key=min)
    return [_track(t, slices) for t in every]


def _track(places: dict[int, int], slices: list[Detections]) -> Track:
    first, last = min(places), max(places)
    seen = sorted(places)
    boxes = np.array([slices[z].boxes[places[z]] for z in seen])
    every = range(first, last + 1)
    filled = np.stack([np.interp(every, seen, boxes[:, k]) for k in range(4)], 1)
    scores = np.array([slices[z].scores[places[z]] if z in places else np.nan for z in every])
    return Track(first, filled, scores, [places.get(z, -1) for z in every])
