"""The candidates of the default method in simulated and real stacks, with what each is: what second looks learn from."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from torch import nn

from spinecore.evaluation.edges import Edges, centre_edges
from spinecore.evaluation.matching import match_edges
from spinecore.files import replacing
from spinecore.methods.second_look import Crop, apart_um, candidate_heads, heads_apart
from spinecore.methods.two_scales import COARSE, both_scales, coarse_shape
from spinecore.methods.weights import SCORER
from spinecore.networks.scale import CANONICAL_UM, resize_plane
from spinecore.networks.slices import predict_slices
from spinecore.networks.views import AS_IS, TWO_VIEWS, View
from spinecore.networks.zoo import Card
from spinecore.training.pool import PoolVolume, decode, load_volume, pool_files
from spinecore.training.real_stacks import (
    FOLDER,
    OWN_SEGMENT,
    Marks,
    RealVolume,
    count_by_segment,
    cut_segment,
    label_places,
    load_marks,
    places_um,
)
from spinecore.training.variants import UNCHANGED, Variant

#: The weights whose maps are looked at.
READS = "centre-unet-3d"
#: A candidate this close to a true head can be it (um).
TOLERANCE_UM = 1.0
#: Of two candidates that could be the same spine, how much farther (um) the higher one may lie and still be it, per unit of height.
PREFER_HIGH_UM = 0.5
#: Scores at which heads are counted while weights are chosen.
THRESHOLDS = np.arange(0.1, 0.91, 0.05)


@dataclass
class LabelledCandidates:
    """A stack with its candidates and what each is.

    Parameters
    ----------
    volume : PoolVolume
    maps : ndarray, uint8, shape (6, Z, Y, X)
        Of both scales, see `draw_maps`.
    centres_px, heights : ndarray, shape (n, 3) and (n,)
    truth : ndarray, int8, shape (n,)
        1 a visible spine, 0 none, -1 unknown.
    again : ndarray of bool, shape (n,)
        Whether it is a spine that another candidate is taken for, so near to that one that an analysis keeps one of the two.
    """

    volume: PoolVolume
    maps: np.ndarray
    centres_px: np.ndarray
    heights: np.ndarray
    truth: np.ndarray
    again: np.ndarray

    @property
    def spacing_zyx_um(self) -> tuple[float, float, float]:
        """Voxel size (um)."""
        return (self.volume.z_um, CANONICAL_UM, CANONICAL_UM)

    @property
    def crop(self) -> Crop:
        """Gives the normalised intensity of a window."""
        return lambda window: decode(self.volume.image[window])


def draw_maps(model: nn.Module, volume: PoolVolume, two_scales: bool = True) -> np.ndarray:
    """Run the 2.5-D network over a stack of the pool as the default method does.

    Returns
    -------
    ndarray, uint8, shape (6, Z, Y, X)
        Of both scales; without `two_scales` (3, Z, Y, X), for a second look that reads one.
    """
    shape = volume.image.shape[1], volume.image.shape[2]
    fine = _maps_in(model, volume, shape, TWO_VIEWS)
    if not two_scales:
        return fine
    return both_scales(fine, _maps_in(model, volume, coarse_shape(shape), AS_IS))


def _maps_in(
    model: nn.Module, volume: PoolVolume, shape_yx: tuple[int, int], views: tuple[View, ...]
) -> np.ndarray:
    """Return the maps of a stack whose slices are looked at in a shape, uint8 (3, Z, Y, X)."""
    own = volume.image.shape[1], volume.image.shape[2]
    maps = np.zeros((3, *volume.image.shape), np.uint8)

    def keep(index: int, probabilities: np.ndarray) -> None:
        for out, plane in zip(maps, probabilities[:3], strict=True):
            out[index] = (resize_plane(plane, own) * 255).round().clip(0, 255)

    def slice_of(index: int) -> np.ndarray:
        return resize_plane(decode(volume.image[index]), shape_yx)

    predict_slices(model, slice_of, len(volume.image), volume.z_um, keep, views=views)
    return maps


def maps_folder(work: Path, source: Card) -> Path:
    """Return where the maps of a model are kept, drawn as `draw_maps` does."""
    return work / SCORER / f"maps_{source.sha256[:8]}_{len(TWO_VIEWS)}_views_{COARSE}"


def seen_again(
    centres_um: np.ndarray, truth: np.ndarray, edges: Edges, separation_um: tuple[float, float, float]
) -> np.ndarray:
    """Say which candidates are a spine once more.

    Parameters
    ----------
    centres_um : ndarray, shape (n, 3)
    truth : ndarray, shape (n,)
        1 for those taken for a spine, 0 for others, -1 unknown.
    edges : Edges
        Which spines could be which candidates.
    separation_um : tuple of float
        Of two this close together (semi-axes of an ellipsoid; z, y, x) an analysis keeps one.

    Returns
    -------
    ndarray of bool, shape (n,)
        Those of truth 0 that could be a spine and lie that close to a candidate taken for one.
    """
    could, own = truth == 0, truth == 1
    near = np.zeros(len(truth), bool)
    near[edges.predicted] = True
    could &= near
    scaled = np.reshape(centres_um, (-1, 3)) / np.array(separation_um)
    again = np.zeros(len(truth), bool)
    if could.any() and own.any():
        again[could] = cKDTree(scaled[own]).query(scaled[could])[0] <= 1
    return again


def candidate_truth(
    centres_um: np.ndarray, heights: np.ndarray, truth_um: np.ndarray, visible: np.ndarray
) -> np.ndarray:
    """Say what each candidate is by one-to-one matching within `TOLERANCE_UM`.

    Parameters
    ----------
    centres_um, truth_um : ndarray, shape (n, 3) and (m, 3)
    heights : ndarray, shape (n,)
    visible : ndarray of bool, shape (m,)

    Returns
    -------
    ndarray, int8, shape (n,)
        1 matched to a visible spine, 0 to none; -1 where only invisible ones are near.
    """
    edges = centre_edges(truth_um, centres_um, TOLERANCE_UM)
    matched = match_edges(edges.preferring(PREFER_HIGH_UM / TOLERANCE_UM * heights), visible).pairs[:, 1]
    found = np.zeros(len(centres_um), np.int8)
    found[edges.predicted] = -1
    found[edges.keep(visible).predicted] = 0
    found[matched] = 1
    return found


def label_candidates(volume: PoolVolume, maps: np.ndarray) -> LabelledCandidates:
    """Find the candidates of a stack, and what each is."""
    um = np.array([volume.z_um, CANONICAL_UM, CANONICAL_UM])
    centres, heights = candidate_heads(maps[2], tuple(um))
    spines, visible = volume.centres[:, :3] * um, volume.centres[:, 3] > 0
    truth = candidate_truth(centres * um, heights, spines, visible)
    edges = centre_edges(spines, centres * um, TOLERANCE_UM).keep(visible)
    again = seen_again(centres * um, truth, edges, apart_um(volume.z_um))
    return LabelledCandidates(volume, maps, centres, heights, truth, again)


def load_labelled(
    pool: Path, store: Path, model: nn.Module, say: Callable[[str], None] = print
) -> list[LabelledCandidates]:
    """Return every stack of a pool with its maps, which are kept in `store` for the next time."""
    store.mkdir(parents=True, exist_ok=True)
    out = []
    paths = pool_files(pool)
    for number, path in enumerate(paths):
        volume, kept = load_volume(path), store / f"{path.stem}.npy"
        if not kept.exists():
            with replacing(kept) as temporary:
                np.save(temporary, draw_maps(model, volume))
        out.append(label_candidates(volume, np.load(kept)))
        if number % 50 == 49:
            say(f"maps of {number + 1}/{len(paths)} stacks")
    return out


@dataclass
class RealCandidates(LabelledCandidates):
    """The candidates in a piece of a real stack.

    Parameters
    ----------
    volume, maps, centres_px, heights, truth, again
        See `LabelledCandidates`.
    marks : Marks
        In um of the piece.
    places : ndarray, shape (n, 3)
        Where the candidates are in um, counted as the marks are.
    """

    marks: Marks
    places: np.ndarray

    def count(self, scores: np.ndarray) -> np.ndarray:
        """Return (matched, predicted, truth) of the segment at each of `THRESHOLDS`, as an analysis would keep heads."""
        kept = heads_apart(self.centres_px, scores, self.spacing_zyx_um)
        places = self.places[kept]
        found = [count_by_segment(self.marks, places, scores[kept] >= t)[OWN_SEGMENT] for t in THRESHOLDS]
        return np.array([(c.n_matched, c.n_predicted, c.n_truth) for c in found], float)


def load_real(
    data: Path, names: tuple[str, ...], store: Path, model: nn.Module, variants: int = 0
) -> list[RealCandidates]:
    """Return pieces of real stacks with their candidates; their maps are kept in `store` for the next time.

    With `variants` each piece is there that many times, changed at random; otherwise once, as it is.
    """
    store.mkdir(parents=True, exist_ok=True)
    out = []
    for marks in load_marks(data, names):
        piece = cut_segment(marks)
        if not variants:
            out.append(_real_candidates(piece, UNCHANGED, store / f"{FOLDER}_{marks.name}.npy", model))
        for number in range(variants):
            variant = Variant.drawn(zlib.crc32(f"{marks.name} {number}".encode()))
            kept = store / f"{FOLDER}_{marks.name}_{variant.seed:08x}.npy"
            out.append(_real_candidates(piece, variant, kept, model))
    return out


def _real_candidates(piece: RealVolume, variant: Variant, kept: Path, model: nn.Module) -> RealCandidates:
    """Label the candidates of a piece as a variant shows it; its maps are kept in a file."""
    plain = piece.volume
    volume = plain if variant is UNCHANGED else variant.of(plain)
    if not kept.exists():
        with replacing(kept) as temporary:
            np.save(temporary, draw_maps(model, volume))
    maps = np.load(kept)
    sizes = (volume.z_um, CANONICAL_UM, CANONICAL_UM)
    centres, heights = candidate_heads(maps[2], sizes)
    places = places_um(variant.back(centres, plain.image.shape), plain.z_um, piece.pixel_um)
    truth = label_places(piece.marks, places, PREFER_HIGH_UM / TOLERANCE_UM * heights)
    edges = piece.marks.edges(places).keep(piece.marks.counts)
    again = seen_again(centres * sizes, truth, edges, apart_um(volume.z_um))
    return RealCandidates(volume, maps, centres, heights, truth, again, piece.marks, places)
