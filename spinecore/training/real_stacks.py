"""The real stacks of `real_stacks` with their marks: read, scored, and as something to learn from.

Six days of one field, in which one person marked the spines of two traced dendrites (segments). The marks are at the far
end of heads and say something only beside the traced dendrites (`spinecore.evaluation.marks`), so that everything else is
left out of losses and scores. The days show the same dendrites: segment 0 is learned from on some days and chooses on the
others, segment 1 is only reported.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.evaluation.edges import Edges, mark_edges
from spinecore.evaluation.marks import JUDGED_UM, MARK_COLUMNS, OVER_SHAFT_UM, marks_are_silent
from spinecore.evaluation.matching import Counts, match_edges
from spinecore.methods.peaks import find_peaks
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import CANONICAL_UM, canonical_shape, resize_plane
from spinecore.reading import read_stack
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.scoring import centre_heat

FOLDER = "real_stacks"
#: The segment that is learned from and chosen on; the other is for the report.
OWN_SEGMENT, REPORT_SEGMENT = 0, 1
LEARNED = ("tp0", "tp2", "tp4")
CHOOSING = ("tp1", "tp3", "tp5")
#: The centre of a head is about this far inwards from its mark (um), along the line to the base.
MARK_TO_CENTRE_UM = 0.45
#: Around a segment this much of the stack is cut out (um; z, y).
MARGIN_UM = (8.0, 8.0)
#: For cards.
CREDIT = "real_stacks (mapmanager/PyMapManager-Data, commit 207d7f1, MIT)"


@dataclass(frozen=True)
class Marks:
    """What is marked in one stack.

    Parameters
    ----------
    name : str
    path : Path
        Of the stack.
    places_um : ndarray, shape (n, 6)
        z, y, x of each mark and of its spine's base.
    segment : ndarray of int, shape (n,)
        The dendrite of each.
    counts : ndarray of bool, shape (n,)
        False for marks that the annotator calls bad.
    lines_um : dict of int to ndarray, shape (k, 3)
        Traced centre line of each segment, z, y, x.
    """

    name: str
    path: Path
    places_um: np.ndarray
    segment: np.ndarray
    counts: np.ndarray
    lines_um: dict[int, np.ndarray]

    @property
    def line_um(self) -> np.ndarray:
        """All centre lines together, shape (k, 3)."""
        return np.concatenate([np.zeros((0, 3)), *self.lines_um.values()])

    def segment_near(self, centres_um: np.ndarray) -> np.ndarray:
        """Return the segment that each place (n, 3) is nearest to."""
        numbers = np.repeat(list(self.lines_um), [len(line) for line in self.lines_um.values()])
        return numbers[cKDTree(self.line_um).query(np.reshape(centres_um, (-1, 3)))[1]]

    def edges(self, centres_um: np.ndarray) -> Edges:
        """Return which marks could be which places (n, 3), see `mark_edges`."""
        return mark_edges(self.places_um, np.reshape(centres_um, (-1, 3)))

    def heads_um(self) -> np.ndarray:
        """Return the centres of the marked heads, `MARK_TO_CENTRE_UM` inwards from the marks, shape (n, 3)."""
        tip, base = self.places_um[:, :3], self.places_um[:, 3:]
        length = np.linalg.norm(base - tip, axis=1, keepdims=True)
        share = np.minimum(MARK_TO_CENTRE_UM / np.maximum(length, 1e-9), 0.5)
        return tip + share * (base - tip)


def load_marks(data: Path, names: Iterable[str] | None = None) -> list[Marks]:
    """Read the marks of some stacks of `real_stacks`, or of all.

    Raises
    ------
    SpinecoreError
        If the folder is not there or lacks a stack.
    """
    folder = data / FOLDER
    if not folder.is_dir():
        raise SpinecoreError(f"the data folder has no {FOLDER}: set SPINE_DATA to the folder that holds it")
    spines, segments = pd.read_csv(folder / "spines.csv"), pd.read_csv(folder / "segments.csv")
    found = []
    for name in sorted(spines["stack"].unique()) if names is None else names:
        own, path = spines[spines["stack"] == name], folder / f"{name}.tif"
        if not path.is_file():
            raise SpinecoreError(f"{FOLDER} has no stack {path.name}")
        lines = segments[segments["stack"] == name].groupby("segment")
        found.append(
            Marks(
                name,
                path,
                own[list(MARK_COLUMNS)].to_numpy(float),
                own["segment"].to_numpy(int),
                own["is_bad"].to_numpy() == 0,
                {int(n): line[[*MARK_COLUMNS[:3]]].to_numpy(float) for n, line in lines},
            )
        )
    return found


def count_by_segment(
    marks: Marks, centres_um: np.ndarray, present: np.ndarray | None = None
) -> dict[int, Counts]:
    """Count detections of a stack against the marks of each segment.

    All marks are matched at once; a detection without a mark belongs to the segment that it is nearest to.

    Parameters
    ----------
    marks : Marks
    centres_um : ndarray, shape (n, 3)
        Detections, z, y, x.
    present : ndarray of bool, shape (n,), optional
        Those that take part.
    """
    centres_um = np.reshape(centres_um, (-1, 3))
    silent = marks_are_silent(centres_um, marks.line_um)
    found = match_edges(marks.edges(centres_um), marks.counts, present, silent)
    near = marks.segment_near(centres_um)
    counted = {}
    for number in marks.lines_um:
        matched = int((marks.segment[found.pairs[:, 0]] == number).sum())
        false = int((near[found.false_alarms] == number).sum())
        truth = int((marks.counts & (marks.segment == number)).sum())
        counted[number] = Counts(truth, matched + false, matched)
    return counted


def label_places(
    marks: Marks, centres_um: np.ndarray, preferred: np.ndarray, segment: int = OWN_SEGMENT
) -> np.ndarray:
    """Say what each place is: a marked head of a segment, none, or unknown.

    Parameters
    ----------
    marks : Marks
    centres_um : ndarray, shape (n, 3)
    preferred : ndarray of float, shape (n,)
        Not negative; of several places that could be one mark, those with more are taken, see `Edges.preferring`.
    segment : int

    Returns
    -------
    ndarray, int8, shape (n,)
        1 a mark of the segment, 0 none, -1 unknown: beyond what was annotated, over or under a shaft, at a mark that the
        annotator calls bad, or beside another segment.
    """
    centres_um = np.reshape(centres_um, (-1, 3))
    edges = marks.edges(centres_um)
    matched = match_edges(edges.preferring(preferred), marks.counts).pairs
    truth = np.where(marks_are_silent(centres_um, marks.line_um), -1, 0).astype(np.int8)
    truth[edges.keep(~marks.counts).predicted] = -1
    truth[matched[:, 1]] = 1
    truth[marks.segment_near(centres_um) != segment] = -1
    truth[matched[marks.segment[matched[:, 0]] == segment, 1]] = 1
    truth[matched[marks.segment[matched[:, 0]] != segment, 1]] = -1
    return truth


@dataclass(frozen=True)
class RealVolume:
    """A piece of a real stack around one segment, at the canonical pixel size.

    Parameters
    ----------
    volume : PoolVolume
        Its centres are those of the segment's marked heads, known near it (`known_voxels`); its classes are all 0.
    marks : Marks
        Of the whole stack, in um of the piece.
    pixel_um : float
        Pixel size of the file.
    """

    volume: PoolVolume
    marks: Marks
    pixel_um: float


def cut_segment(marks: Marks, segment: int = OWN_SEGMENT) -> RealVolume:
    """Cut a stack along a segment, with `MARGIN_UM` around it in z and y, and bring it to the canonical pixel size.

    The range of intensities is that of the whole stack, as in an analysis.
    """
    stack = read_stack(marks.path)
    z_um, y_um, x_um = stack.spacing.zyx_um()
    line = marks.lines_um[segment]
    low, high = intensity_range(stack.voxels)
    rows = _window(line[:, 1], MARGIN_UM[1], y_um, stack.voxels.shape[1])
    slices = _window(line[:, 0], MARGIN_UM[0], z_um, stack.voxels.shape[0])
    piece = stack.voxels[slices, rows]
    shape = canonical_shape(piece.shape[1:], (y_um, x_um))
    image = np.stack([encode(resize_plane(normalise(plane, low, high), shape)) for plane in piece])
    offset = np.array([slices.start * z_um, rows.start * y_um, 0.0])
    moved = Marks(
        marks.name,
        marks.path,
        marks.places_um - np.tile(offset, 2),
        marks.segment,
        marks.counts,
        {number: points - offset for number, points in marks.lines_um.items()},
    )
    # positions are at the middle of a pixel: half a pixel is added in one size and taken off in the other
    heads = moved.heads_um()[marks.segment == segment]
    centres = np.zeros((len(heads), 4), np.float32)
    centres[:, 0] = heads[:, 0] / z_um
    for axis, size in ((1, y_um), (2, x_um)):
        scale = shape[axis - 1] / piece.shape[axis]
        centres[:, axis] = (heads[:, axis] / size + 0.5) * scale - 0.5
    centres[:, 3] = marks.counts[marks.segment == segment]
    known = known_voxels(moved, image.shape, z_um, x_um, segment)
    return RealVolume(PoolVolume(image, np.zeros(image.shape, np.uint8), centres, z_um, known), moved, x_um)


def known_voxels(
    marks: Marks, shape: tuple[int, ...], z_um: float, pixel_um: float, segment: int
) -> np.ndarray:
    """Return where a head without a mark is none, bool of a shape (Z, Y, X) at the canonical pixel size.

    That is up to `JUDGED_UM` from the segment, nearer to it than to others, and not over or under a shaft.
    """
    sizes = (z_um, CANONICAL_UM, CANONICAL_UM)
    far = np.linalg.norm(np.array(shape) * sizes)
    distance = {}
    beside = np.full(shape[1:], far)
    for number, points in marks.lines_um.items():
        off = np.ones(shape, bool)
        voxels = np.round(points / sizes + np.array([0.0, 0.5, 0.5]) * (pixel_um / CANONICAL_UM - 1)).astype(
            int
        )
        voxels = voxels[((voxels >= 0) & (voxels < shape)).all(1)]
        if not len(voxels):
            continue
        off[tuple(voxels.T)] = False
        distance[number] = distance_transform_edt(off, sampling=sizes)
        beside = np.minimum(beside, distance_transform_edt(off.all(0), sampling=sizes[1:]))
    own = distance[segment]
    nearest = np.minimum.reduce(list(distance.values()))
    return (own <= JUDGED_UM) & (own <= nearest) & (beside > OVER_SHAFT_UM)


def _window(values_um: np.ndarray, margin_um: float, step_um: float, size: int) -> slice:
    first = int(np.floor((values_um.min() - margin_um) / step_um))
    last = int(np.ceil((values_um.max() + margin_um) / step_um))
    return slice(max(first, 0), min(last + 1, size))


def places_um(centres_px: np.ndarray, z_um: float, pixel_um: float) -> np.ndarray:
    """Return positions in um, counted as the marks are, of voxels (n, 3) of the canonical grid.

    Parameters
    ----------
    centres_px : ndarray, shape (n, 3)
    z_um : float
        Slice distance.
    pixel_um : float
        Pixel size of the file, whose first pixel's centre is the origin of the marks.
    """
    shift = np.array([0.0, 0.5, 0.5])
    um = (np.reshape(centres_px, (-1, 3)) + shift) * np.array([z_um, CANONICAL_UM, CANONICAL_UM])
    return um - shift * pixel_um


def score_real_stacks(model: nn.Module, pieces: list[RealVolume], thresholds: np.ndarray) -> np.ndarray:
    """Return counts (matched, predicted, truth) of the own segment per threshold, by heights of the centre map."""
    counts = np.zeros((len(thresholds), 3))
    for piece in pieces:
        volume = piece.volume
        heat = centre_heat(model, volume)
        centres, heights = find_peaks(heat, (volume.z_um, CANONICAL_UM, CANONICAL_UM))
        places = places_um(centres, volume.z_um, piece.pixel_um)
        found = [count_by_segment(piece.marks, places, heights >= t)[OWN_SEGMENT] for t in thresholds]
        counts += [(c.n_matched, c.n_predicted, c.n_truth) for c in found]
    return counts
