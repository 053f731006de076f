"""Membrane probability of a whole section: intensity, mirrored edges, overlapping tiles, joins and mirrored views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spinecore.networks.device import inference
from spinecore.networks.scale import resize_plane
from spinecore.networks.tiles import Tick, Window, blend_tiles
from spinecore.networks.views import AS_IS, View

#: Side of a tile of the output (px). 388 from 572 is what the U-Net of 2015 takes in one pass with valid padding.
VALID_TILE_PX = 388
SAME_TILE_PX = 512
#: Overlap of neighbouring tiles of a network with same padding, blended linearly (px).
OVERLAP_PX = 96
#: Pixel size of the sections that the networks learned from (um), and the magnifications that they have seen.
LEARNED_PIXEL_UM = 0.004
LEAST_ZOOM, MOST_ZOOM = 0.7, 1.4
#: Pixel sizes of micrographs of tissue (um).
PLAUSIBLE_UM = (0.001, 0.02)
#: How a valid-padding network's tiles become the whole section.
JOINS = ("average", "resize")


def network_shape(shape_yx: tuple[int, ...], pixel_um: float | None) -> tuple[int, int]:
    """Return the size at which the networks see a section: its own, or that with pixels of 4 nm.

    They learned from pixels of 4 nm, magnified 0.7 to 1.4 times. A section is resized where its pixels lie outside of
    this and between 1 and 20 nm; other values are taken for mistakes in the file.

    Examples
    --------
    >>> network_shape((512, 512), 0.005), network_shape((512, 256), 0.008), network_shape((512, 512), 0.1)
    ((512, 512), (1024, 512), (512, 512))
    """
    height, width = shape_yx
    factor = (pixel_um or LEARNED_PIXEL_UM) / LEARNED_PIXEL_UM
    if LEAST_ZOOM <= factor <= MOST_ZOOM or not PLAUSIBLE_UM[0] <= (pixel_um or 0) <= PLAUSIBLE_UM[1]:
        return height, width
    return max(1, round(height * factor)), max(1, round(width * factor))


def intensity_scale(image: np.ndarray, sample: int = 1_000_000) -> tuple[float, float]:
    """Return the median of an image and half the distance between its 16th and 84th percentile.

    Robust against scale bars, blank margins and folds; a constant image gives a scale of 1.
    """
    step = max(1, int(np.ceil((image.size / sample) ** 0.5)))
    low, middle, high = np.percentile(image[..., ::step, ::step].astype(np.float32), [16, 50, 84])
    scale = float(high - low) / 2
    return float(middle), scale if scale > 0 else 1.0


def normalise_section(image: np.ndarray, scale: tuple[float, float] | None = None) -> np.ndarray:
    """Return the section as float32 with median 0 and a robust standard deviation of 1, clipped to -5..5."""
    middle, spread = scale or intensity_scale(image)
    return np.clip((image.astype(np.float32) - middle) / spread, -5.0, 5.0)


def mirrored_piece(image: np.ndarray, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """Return `size` pixels of an image (Y, X) from `start`; beyond the edge the image is mirrored."""
    rows, columns = (
        mirror_index(np.arange(a, a + n), length)
        for a, n, length in zip(start, size, image.shape, strict=True)
    )
    return image[np.ix_(rows, columns)]


def mirror_index(index: np.ndarray, length: int) -> np.ndarray:
    """Fold positions beyond 0..length-1 back, mirrored at the outer pixels.

    Examples
    --------
    >>> mirror_index(np.array([-2, -1, 0, 3, 4]), 4).tolist()
    [2, 1, 0, 3, 2]
    """
    if length == 1:
        return np.zeros_like(index)
    period = 2 * (length - 1)
    folded = np.abs(index) % period
    return np.where(folded >= length, period - folded, folded)


def input_size(output: int, stride: int, margin: int) -> int:
    """Return the side of the input from which a network gives at least `output` pixels.

    Examples
    --------
    >>> input_size(388, 16, 92), input_size(500, 16, 0)
    (572, 512)
    """
    if margin == 0:
        return -(-output // stride) * stride
    # valid padding with four poolings: sides are 12 more than a multiple of 16
    return -(-(output + 2 * margin - 12) // stride) * stride + 12


def predict_maps(
    model: Any,
    image: np.ndarray,
    join: str = "average",
    views: tuple[View, ...] = AS_IS,
    tile_px: int | None = None,
    tick: Tick | None = None,
) -> np.ndarray:
    """Run a membrane network over one section.

    Parameters
    ----------
    model : Module
        In evaluation mode; it runs on the device of its weights.
    image : ndarray, shape (Y, X)
        Normalised (`normalise_section`).
    join : str
        For a network with valid padding. "average": overlapping tiles at full size, averaged where they overlap.
        "resize": the section is shrunk by 388/512, predicted, and the map enlarged again. The publication names the
        two without explaining them.
    views : tuple of View
        Mirrored and turned views whose probabilities are averaged.
    tile_px : int, optional
        Side of the output tiles.
    tick : callable, optional
        Called with the fraction done; may raise to stop.

    Returns
    -------
    ndarray, float32, shape (maps, Y, X)
        Probabilities 0..1; the first map is the membrane.
    """
    if model.margin_px and join == "resize":
        small = tuple(max(1, round(n * VALID_TILE_PX / 512)) for n in image.shape)
        maps = predict_maps(model, resize_plane(image, small), "average", views, tile_px, tick)
        return np.stack([np.clip(resize_plane(plane, image.shape), 0, 1) for plane in maps])
    tile_px = tile_px or (VALID_TILE_PX if model.margin_px else SAME_TILE_PX)
    # an overlap of one pixel gives every tile the same weight
    overlap = 1 if model.margin_px else min(OVERLAP_PX, tile_px // 4)
    return blend_tiles(
        image.shape,
        (tile_px, tile_px),
        (overlap, overlap),
        lambda window: _predict_window(model, image, window, views),
        tick,
    )


def _predict_window(model: Any, image: np.ndarray, window: Window, views: tuple[View, ...]) -> np.ndarray:
    import torch

    lengths = [w.stop - w.start for w in window]
    sizes = [input_size(n, model.stride, model.margin_px) for n in lengths]
    piece = mirrored_piece(image, [w.start - model.margin_px for w in window], sizes)
    tensor = torch.from_numpy(np.ascontiguousarray(piece, np.float32))[None, None]
    total = torch.zeros(())
    for view in views:
        with inference(model) as device:
            tensor = tensor.to(device)
            seen = view.of(tensor.to(device)).contiguous(memory_format=torch.channels_last)
            logits = view.back(model(seen))
        total = total + torch.sigmoid(logits.float()).cpu()
    return (total[0, :, : lengths[0], : lengths[1]] / len(views)).numpy()
