"""A second look at every candidate head of a stack: a small 3-D network scores it from its surroundings.

The 2.5-D network draws its maps slice by slice. `find_heads` takes more candidates from them than will count, cuts two
small cubes around each (one fine, one wide; intensity, the three maps, and where stronger and weaker candidates lie)
and lets the network "head-score" say how likely each is a spine of its own. It knows the maps of one set of weights
only, so other weights keep the height of the peak as their score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from spinecore.methods.peaks import FLOOR, find_peaks, strongest_apart
from spinecore.methods.prediction import Heads
from spinecore.networks.answers import answer
from spinecore.networks.cubes import CUBE_SHAPE
from spinecore.networks.together import side_by_side
from spinecore.networks.zoo import Network
from spinecore.threads import in_order

#: Candidates are looked at from this height of the centre map and this close together (um; z, y, x): both lower than
#: where heights alone decide. Of lower ones there are many in real stacks, and hardly any that got a score of
#: 0.5, there or in simulated stacks.
CANDIDATE_FLOOR = 0.15
CANDIDATE_SEPARATION_UM = (0.7, 0.3, 0.3)
#: Of heads this close together (um; z, y, x) only the one with the highest score stays. Slices are taken about as far apart as the
#: light spreads, so along z it is also this many slices, up to `APART_MOST_UM`: in vivo one head was seen twice, above itself.
#: Chosen on the marks of segment 0 of real_stacks, simulated dendrites with real shapes and simulated stacks (seeds 500-502),
#: see `docs/history.md`.
APART_UM = (0.9, 0.5, 0.5)
APART_SLICES, APART_MOST_UM = 3.2, 3.2
#: Heads nearer than this many slices are one, however far apart slices are.
APART_LEAST_SLICES = 1.1
#: Heights are kept off 0 and 1 when their logit is taken.
_CLIP = 0.02
_BATCH = 32


@dataclass(frozen=True)
class Cube:
    """A regular grid around a candidate: points along z, y, x and their distance (um)."""

    shape: tuple[int, int, int]
    step_um: tuple[float, float, float]

    @cached_property
    def axes_um(self) -> tuple[np.ndarray, ...]:
        """Offsets from the middle along z, y and x."""
        return tuple(
            ((np.arange(n) - (n - 1) / 2) * s).astype(np.float32)
            for n, s in zip(self.shape, self.step_um, strict=True)
        )

    @cached_property
    def offsets_um(self) -> np.ndarray:
        """Offsets from the middle, float32 (z, y, x, 3)."""
        return np.stack(np.meshgrid(*self.axes_um, indexing="ij"), -1)

    def draw(self, away_um: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the highest of Gaussian bumps at offsets (n, 3), float32 (z, y, x)."""
        width = 1.5 * self.step_um[1]
        z, y, x = (
            np.exp(-((axis[None] - away_um[:, k, None]) ** 2) / (2 * width**2))
            for k, axis in enumerate(self.axes_um)
        )
        plane = y[:, :, None] * (x * weights[:, None])[:, None]
        return (z[:, :, None, None] * plane[:, None]).max(0)


#: The head itself, and the dendrite and the neighbours around it.
CUBES = (Cube(CUBE_SHAPE, (0.25, 0.1, 0.1)), Cube(CUBE_SHAPE, (0.5, 0.3, 0.3)))
#: Intensity, dendrite, spine and centre map, stronger candidates, weaker candidates; then the maps of the coarse scale, for those
#: networks that read them (`spinecore.methods.two_scales`).
CHANNELS, CHANNELS_OF_TWO_SCALES = 6, 9

#: Returns the normalised intensity of a window (three slices) as float32.
Crop = Callable[[tuple[slice, slice, slice]], np.ndarray]


def candidate_heads(
    heat: np.ndarray, spacing_zyx_um: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return centres (n, 3) and heights (n,) of all candidates of a centre map, strongest first."""
    return find_peaks(heat, spacing_zyx_um, CANDIDATE_FLOOR, CANDIDATE_SEPARATION_UM)


def cut_cubes(
    crop: Crop,
    maps: np.ndarray,
    centres_px: np.ndarray,
    heights: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    chosen: np.ndarray,
    turns: np.ndarray | None = None,
    zooms: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Cut the cubes around some candidates.

    Parameters
    ----------
    crop : callable
        Gives the normalised intensity of a window.
    maps : ndarray, uint8, shape (3 or 6, Z, Y, X)
        Dendrite, spine and centre probability times 255; then those of the coarse scale.
    centres_px : ndarray, shape (n, 3)
        All candidates, in voxels of `maps`.
    heights : ndarray, shape (n,)
        Their heights in the centre map, 0..1.
    spacing_zyx_um : tuple of float
        Voxel size (um).
    chosen : ndarray of int, shape (m,)
        The candidates wanted.
    turns : ndarray, shape (m,), optional
        Angle (radians) by which each is turned in plane.
    zooms : ndarray, shape (m,), optional
        With `turns`: how many times as large as it is each is drawn.

    Returns
    -------
    list of ndarray, float32, shape (m, 3 + len(maps), z, y, x)
        One for each of `CUBES`; 0 beyond the stack.
    """
    spacing = np.array(spacing_zyx_um)
    places_um = centres_px * spacing
    tree = cKDTree(places_um.reshape(-1, 3))
    out = [np.zeros((len(chosen), 3 + len(maps), *cube.shape), np.float32) for cube in CUBES]
    sampled = [0, 1, 2, 3, *range(CHANNELS, 3 + len(maps))]
    reaches = [np.array([axis[-1] + 3 * cube.step_um[1] for axis in cube.axes_um]) for cube in CUBES]
    farthest = max(float(np.linalg.norm(reach)) for reach in reaches)
    if zooms is not None and len(zooms):
        farthest /= min(1.0, float(np.min(zooms)))
    around = tree.query_ball_point(places_um[chosen].reshape(-1, 3), farthest)
    for row, index in enumerate(chosen):
        near = np.array([k for k in around[row] if k != index], int)
        apart_um, strength = places_um[near] - places_um[index], heights[near].astype(np.float32)
        stronger = heights[near] > heights[index]
        angle = 0.0 if turns is None else float(turns[row])
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array(
            [[1, 0, 0], [0, c, s], [0, -s, c]], np.float32
        )  # offsets @ turn: from the cube to the stack
        zoom = 1.0 if zooms is None else float(zooms[row])
        away = (zoom * apart_um @ turn.T).astype(np.float32)
        for cube, reach, filled in zip(CUBES, reaches, out, strict=True):
            filled[row, sampled] = (
                _sampled(crop, maps, centres_px[index], cube.offsets_um @ turn / np.float32(zoom), spacing)
                if angle or zoom != 1
                else _sampled_upright(crop, maps, centres_px[index], cube, spacing)
            )
            inside = (np.abs(away) < reach).all(1)
            for channel, own in ((4, inside & stronger), (5, inside & ~stronger)):
                if own.any():
                    filled[row, channel] = cube.draw(away[own], strength[own])
    return out


def _sampled(
    crop: Crop, maps: np.ndarray, centre_px: np.ndarray, offsets_um: np.ndarray, spacing: np.ndarray
) -> np.ndarray:
    """Intensity and maps at points around a centre, linear between voxels, 0 beyond the stack; (1 + maps, z, y, x)."""
    import torch  # training alone turns cubes
    from torch.nn.functional import grid_sample

    points = offsets_um * (1 / spacing).astype(np.float32) + centre_px.astype(np.float32)
    flat = points[:: len(points) - 1, :: points.shape[1] - 1, :: points.shape[2] - 1].reshape(
        -1, 3
    )  # corners
    low = np.clip(np.floor(flat.min(0)).astype(int), 0, np.array(maps.shape[1:]) - 1)
    high = np.clip(np.ceil(flat.max(0)).astype(int) + 1, low + 1, maps.shape[1:])
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    window = (z, y, x)
    values = np.concatenate([crop(window)[None], maps[(slice(None), *window)].astype(np.float32) / 255])
    # align_corners=False: voxel k of n lies at (2 k + 1) / n - 1, which also holds for a single slice
    grid = (2 * (points - low) + 1) / (high - low) - 1
    tensor = torch.from_numpy(np.ascontiguousarray(grid[..., ::-1], np.float32))[None]
    return grid_sample(
        torch.from_numpy(values)[None], tensor, mode="bilinear", padding_mode="zeros", align_corners=False
    )[0].numpy()


def _sampled_upright(
    crop: Crop, maps: np.ndarray, centre_px: np.ndarray, cube: Cube, spacing: np.ndarray
) -> np.ndarray:
    """Return what `_sampled` does for a cube that is not turned: axis by axis, which takes a fraction of the time."""
    window, shares = [], []
    for axis_um, step, centre, length in zip(cube.axes_um, spacing, centre_px, maps.shape[1:], strict=True):
        points = axis_um / np.float32(step) + np.float32(centre)
        low = min(max(int(np.floor(points[0])), 0), length - 1)
        high = min(max(int(np.ceil(points[-1])) + 1, low + 1), length)
        window.append(slice(low, high))
        away = np.abs(points[:, None] - np.arange(low, high, dtype=np.float32))
        shares.append(np.maximum(1 - away, 0))
    z, y, x = shares
    part = (window[0], window[1], window[2])
    values = np.concatenate([crop(part)[None], maps[(slice(None), *part)].astype(np.float32) / 255])
    in_plane = y @ (values @ x.T)
    return np.asarray(np.tensordot(z, in_plane, (1, 1)).swapaxes(0, 1))


def plain_features(heights: np.ndarray, z_um: float) -> np.ndarray:
    """Return the numbers given beside the cubes, float32 (n, 2): logit of the height, logarithm of the slice distance."""
    clipped = np.clip(heights, _CLIP, 1 - _CLIP)
    return np.stack([np.log(clipped / (1 - clipped)), np.full(len(heights), np.log(z_um))], 1).astype(
        np.float32
    )


def score_heads(
    model: Any,
    crop: Crop,
    maps: np.ndarray,
    centres_px: np.ndarray,
    heights: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
) -> np.ndarray:
    """Return the network's probability, float64 (n,), that each candidate is a spine of its own.

    Parameters
    ----------
    model : spinecore.networks.onnx_runtime.OnnxNetwork or torch.nn.Module
        See `spinecore.networks.headscore.HeadScore`.
    crop, maps, centres_px, heights, spacing_zyx_um
        As for `cut_cubes`.
    """
    everyone = np.arange(len(centres_px))
    logits = read_cubes(model, crop, maps, centres_px, heights, spacing_zyx_um, everyone)
    return 1 / (1 + np.exp(-logits.reshape(len(centres_px))))


def maps_read(model: Any, maps: np.ndarray) -> np.ndarray:
    """Return those of the maps (3 or 6, Z, Y, X) that a network reads."""
    return maps[: getattr(model, "channels", CHANNELS) - 3]


def reads_two_scales(model: Any) -> bool:
    """Say whether a network reads the maps of the coarse scale."""
    return bool(getattr(model, "channels", CHANNELS) == CHANNELS_OF_TWO_SCALES)


def read_cubes(
    model: Any,
    crop: Crop,
    maps: np.ndarray,
    centres_px: np.ndarray,
    heights: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    chosen: np.ndarray,
) -> np.ndarray:
    """Return what a network says about some candidates, float64 (m, ...).

    Parameters
    ----------
    model : spinecore.networks.onnx_runtime.OnnxNetwork or torch.nn.Module
        Takes fine and wide cubes and `plain_features`.
    crop, maps, centres_px, heights, spacing_zyx_um, chosen
        As for `cut_cubes`.
    """
    features = plain_features(heights, spacing_zyx_um[0])
    maps = maps_read(model, maps)
    batches = [chosen[first : first + _BATCH] for first in range(0, len(chosen), _BATCH)]
    model, together = side_by_side(model, len(batches))

    def read(some: np.ndarray) -> np.ndarray:
        cubes = cut_cubes(crop, maps, centres_px, heights, spacing_zyx_um, some)
        return answer(model, *cubes, features[some]).astype(float)

    found = list(in_order(read, batches, together))
    return np.concatenate(found) if found else np.zeros(0)


def heads_apart(
    centres_px: np.ndarray, scores: np.ndarray, spacing_zyx_um: tuple[float, float, float]
) -> np.ndarray:
    """Return the positions of the candidates that are heads of their own by `APART_UM`, highest score first.

    Parameters
    ----------
    centres_px : ndarray, shape (n, 3)
    scores : ndarray, shape (n,)
        Those below the lowest that an analysis keeps take no part.
    spacing_zyx_um : tuple of float
    """
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= FLOOR]
    return order[strongest_apart(centres_px[order], spacing_zyx_um, apart_um(spacing_zyx_um[0]))]


def apart_um(z_um: float) -> tuple[float, float, float]:
    """Return within how much (um; z, y, x) of a head no other counts, where slices are `z_um` apart.

    Examples
    --------
    >>> [round(apart_um(z)[0], 2) for z in (0.2, 0.5, 1.0, 2.0, 4.0)]
    [0.9, 1.6, 3.2, 3.2, 4.4]
    """
    by_slices = min(APART_SLICES * z_um, APART_MOST_UM)
    return max(APART_UM[0], by_slices, APART_LEAST_SLICES * z_um), *APART_UM[1:]


def find_heads(
    crop: Crop,
    maps: np.ndarray,
    spacing_zyx_um: tuple[float, float, float],
    scorer: Network,
    sizer: Network | None = None,
) -> Heads:
    """Find the heads of a stack and score each.

    Parameters
    ----------
    crop, maps, spacing_zyx_um
        As for `cut_cubes`.
    scorer : Network
        Says of every candidate how likely it is a spine of its own.
    sizer : Network, optional
        Reads sizes from such cubes; only those of heads, about a quarter of the candidates of a real stack.
    """
    centres, heights = candidate_heads(maps[2], spacing_zyx_um)
    power = float(scorer.card.data.get("score_power", 1.0))
    scores = score_heads(scorer.model, crop, maps, centres, heights, spacing_zyx_um) ** power
    order = heads_apart(centres, scores, spacing_zyx_um)
    sizes = None
    if sizer is not None and len(order):
        sizes = read_cubes(sizer.model, crop, maps, centres, heights, spacing_zyx_um, order)
    return Heads(centres[order], scores[order], sizes)
