"""The default method: a 2.5-D U-Net with maps for dendrite, spine and head centre."""

from __future__ import annotations

import numpy as np

from spinecore.inference import (
    CANONICAL_UM,
    Tick,
    canonical_shape,
    intensity_range,
    normalise,
    predict_slices,
    resize_plane,
)
from spinecore.methods.prediction import Prediction
from spinecore.methods.registry import get_method
from spinecore.modelzoo import get_card, load_network
from spinecore.stack import Stack

#: Slice distance given to the network for a single slice, where depth has no meaning.
_Z_OF_2D_UM = 1.0


def predict(
    stack: Stack, device: str = "cpu", tick: Tick | None = None, flips: bool | None = None
) -> Prediction:
    """Run the network over a stack.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
    device : str
        "cpu" or "cuda".
    tick : callable, optional
        Called with the finished share 0..1.
    flips : bool, optional
        Average over mirrored copies; by default for single slices only, where it costs little.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If the in-plane pixel size is unknown.
    """
    z_um, y_um, x_um = stack.spacing.zyx_um(_Z_OF_2D_UM)
    n, height, width = stack.shape
    low, high = intensity_range(stack.voxels)
    network_shape = canonical_shape((height, width), (y_um, x_um))
    grid_shape = (min(height, network_shape[0]), min(width, network_shape[1]))
    maps = np.zeros((3, n, *grid_shape), np.uint8)

    def canonical_slice(index: int) -> np.ndarray:
        return resize_plane(normalise(stack.voxels[index], low, high), network_shape)

    def keep(index: int, probabilities: np.ndarray) -> None:
        for channel in range(3):
            maps[channel, index] = (
                (resize_plane(probabilities[channel], grid_shape) * 255).round().clip(0, 255)
            )

    name = get_method("centre-unet").model_for(stack.is_2d)
    model = load_network(name, device)
    mirrored = stack.is_2d if flips is None else flips
    predict_slices(model, canonical_slice, n, z_um, device, keep, tick, flips=mirrored)
    if grid_shape == (height, width):
        intensity = stack.voxels
    else:
        intensity = np.stack([resize_plane(plane.astype(np.float32), grid_shape) for plane in stack.voxels])
        if stack.voxels.dtype.itemsize < 4:
            intensity = intensity.round().astype(stack.voxels.dtype)
    scale = (grid_shape[0] / height, grid_shape[1] / width)
    spacing = (z_um, y_um / scale[0], x_um / scale[1])
    assert abs(spacing[1] - max(CANONICAL_UM, y_um)) < 0.5 * spacing[1]
    return Prediction(
        maps[0],
        maps[1],
        maps[2],
        intensity,
        spacing,
        scale,
        name,
        float(get_card(name).data.get("score_power", 1.0)),
    )
