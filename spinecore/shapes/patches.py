"""A small square picture of one spine: image, outline and depth extent, all at one scale.

Strategy: the spine's own slices are projected (maximum); only the window of its outline plus 0.8 um is kept, so that
a patch holds the same whatever it was cut from; the rest is zero. Intensities are scaled within this
window. The patch is centred on the outline and, on request, turned so that the dendrite lies below.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import affine_transform, distance_transform_edt

from spinecore.networks.intensity import normalise
from spinecore.networks.scale import CANONICAL_UM

#: Side of a patch in pixels of `CANONICAL_UM` (4.0 um).
PATCH_PX = 40
#: What is kept around the outline (um).
WINDOW_UM = 0.8
#: Depth extent that is coded as 1.0 (um).
DEPTH_UM = 2.0
#: Light this close to the outline may be the spine's own halo and does not say where the shaft is (um).
_RIM_UM = 0.25


@dataclass(frozen=True)
class Patch:
    """One spine as the networks see it.

    Parameters
    ----------
    image, outline, depth : ndarray, float32, shape (PATCH_PX, PATCH_PX)
        Normalised projection; 1 inside the spine; its extent along z over `DEPTH_UM` (0 in a 2-D image).
    matrix, offset : ndarray, shape (2, 2) and (2,)
        A patch pixel p (row, column) lies at `matrix @ p + offset` in the pixels of the source.
    """

    image: np.ndarray
    outline: np.ndarray
    depth: np.ndarray
    matrix: np.ndarray
    offset: np.ndarray

    @property
    def planes(self) -> np.ndarray:
        """The three channels, float32 (3, PATCH_PX, PATCH_PX)."""
        return np.stack([self.image, self.outline, self.depth])


def cut_patch(
    image: np.ndarray,
    mask: np.ndarray,
    dendrite: np.ndarray | None,
    spacing_zyx_um: tuple[float, float, float],
    turn: bool = True,
    size: int = PATCH_PX,
) -> Patch:
    """Cut the patch of one spine.

    Parameters
    ----------
    image : ndarray, shape (Z, Y, X)
        Raw intensity of a crop around the spine (or of the whole stack).
    mask : ndarray of bool, shape (Z, Y, X)
        The spine.
    dendrite : ndarray of bool, shape (Z, Y, X), or None
        Where the shaft is, for the direction; without it the patch is not turned.
    spacing_zyx_um : tuple of float
        Voxel size of these arrays.
    turn : bool
        Turn the patch so that the dendrite lies below the spine.
    size : int
        Side in pixels.

    Raises
    ------
    ValueError
        If the mask is empty.
    """
    if not mask.any():
        raise ValueError("a patch needs at least one voxel of a spine")
    window, planes, thickness = _project(image, mask, spacing_zyx_um)
    outline = np.asarray(thickness > 0)
    picture = image[(planes, *window)].max(0)
    low, high = _range(picture, outline)
    scale = CANONICAL_UM / np.array(spacing_zyx_um[1:])
    points = np.argwhere(outline)
    centre = (points.min(0) + points.max(0)) / 2
    angle = 0.0
    if turn and dendrite is not None:
        shaft = np.asarray(dendrite[(slice(None), *window)].any(0))
        angle = _angle_to(outline, shaft, points.mean(0), np.array(spacing_zyx_um[1:]))
    c, s = np.cos(angle), np.sin(angle)
    matrix = np.diag(scale) @ np.array([[c, -s], [s, c]])
    offset = centre - matrix @ np.full(2, (size - 1) / 2)

    def warp(plane: np.ndarray) -> np.ndarray:
        return affine_transform(plane, matrix, offset, (size, size), order=1, output=np.float32)

    depth = thickness * spacing_zyx_um[0] / DEPTH_UM if mask.shape[0] > 1 else np.zeros(thickness.shape)
    return Patch(
        warp(normalise(picture, low, high)),
        (warp(outline.astype(np.float32)) >= 0.5).astype(np.float32),
        np.clip(warp(depth.astype(np.float32)), 0, 1.5),
        matrix,
        offset + np.array([window[0].start, window[1].start]),
    )


def _project(
    image: np.ndarray, mask: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[tuple[slice, slice], slice, np.ndarray]:
    """The in-plane window, the spine's slices, and how many of its voxels lie over each pixel."""
    rows, columns = np.nonzero(mask.any(0))
    pad = np.ceil(WINDOW_UM / np.array(spacing[1:])).astype(int)
    window = (
        slice(max(rows.min() - pad[0], 0), min(rows.max() + pad[0] + 1, mask.shape[1])),
        slice(max(columns.min() - pad[1], 0), min(columns.max() + pad[1] + 1, mask.shape[2])),
    )
    inside = np.flatnonzero(mask.any((1, 2)))
    planes = slice(int(inside.min()), int(inside.max()) + 1)
    return window, planes, mask[(planes, *window)].sum(0)


def _range(picture: np.ndarray, outline: np.ndarray) -> tuple[float, float]:
    """Background and bright end of a window: its 5th percentile and the outline's 98th."""
    low = float(np.percentile(picture, 5))
    high = float(np.percentile(picture[outline], 98))
    return (low, high) if high > low else (low, low + 1.0)


def _angle_to(outline: np.ndarray, shaft: np.ndarray, middle: np.ndarray, pixel_um: np.ndarray) -> float:
    """Angle (radians) that puts the middle of the shaft in sight below the outline; 0 where none is in sight."""
    shaft = shaft & ~outline
    if not shaft.any():
        return 0.0
    beyond = shaft & (distance_transform_edt(~outline, sampling=pixel_um) > _RIM_UM)
    towards = (np.argwhere(beyond if beyond.any() else shaft).mean(0) - middle) * pixel_um
    if np.hypot(*towards) < 1e-6:
        return 0.0
    return float(np.arctan2(towards[1], towards[0]))


def lit_pixels(pixels: np.ndarray) -> np.ndarray:
    """Return where a 2-D image shows a neuron, as bool (Y, X): above 15 % of its bright end.

    Used where no dendrite was traced; the bright end is the 95th percentile of what is above the background.
    """
    low = float(np.percentile(pixels, 10))
    above = pixels[pixels > low]
    if above.size == 0:
        return np.zeros(pixels.shape, bool)
    bright = float(np.percentile(above, 95))
    return pixels > low + 0.15 * (bright - low)


def shaft_around(image: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Guess the shaft of labelled spines, as bool (Z, Y, X): lit pixels outside every label."""
    return np.stack([lit_pixels(plane) for plane in image]) & (labels == 0)
