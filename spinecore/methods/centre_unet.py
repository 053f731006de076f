"""The default method: a 2.5-D U-Net with maps for dendrite, spine and head centre."""

from __future__ import annotations

import numpy as np

from spinecore.methods.peaks import find_peaks
from spinecore.methods.prediction import Prediction
from spinecore.methods.registry import get_method
from spinecore.methods.second_look import find_heads, scoring_card
from spinecore.methods.sizes import sizing_card
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import CANONICAL_UM, canonical_shape, resize_plane
from spinecore.networks.slices import AS_IS, MIRRORED, STACK_TILE_PX, TWO_VIEWS, predict_slices
from spinecore.networks.tiles import Tick
from spinecore.networks.zoo import get_card, load_network
from spinecore.stack import Stack

#: Slice distance given to the network for a single slice, where depth has no meaning.
_Z_OF_2D_UM = 1.0
#: Zooms over which the maps of a single slice are averaged: projections come in all pixel sizes, and the
#: recorded one is often off.
ZOOMS_2D = (0.75, 1.0, 1.3)
#: In a single image, centre scores are taken relative to its clearest heads (see `_relative`).
_CLEAREST, _CLEAR, _HALFWAY, _AT_MOST = 10, 0.6, 0.5, 1.5


def predict(
    stack: Stack,
    device: str = "cpu",
    tick: Tick | None = None,
    quick: bool = False,
    second_look: bool = True,
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
    quick : bool
        Take one look in place of a mean: over two views of each slice of a stack, over four views at each of
        `ZOOMS_2D` of a single slice.
    second_look : bool
        Let the heads of a stack be scored from their surroundings (see `spinecore.methods.second_look`), where there are
        weights for it that know these maps.

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
    zooms = ZOOMS_2D if stack.is_2d and not quick else (1.0,)
    views = AS_IS if quick else MIRRORED if stack.is_2d else TWO_VIEWS
    name = get_method("centre-unet").model_for(stack.is_2d)
    model = load_network(name, device, folded=True)
    scorer = scoring_card(get_card(name)) if second_look and not stack.is_2d else None
    sizer = sizing_card(get_card(name)) if scorer else None
    tile_px = 1024 if stack.is_2d else STACK_TILE_PX
    total = np.zeros((3, *grid_shape), np.float32)
    for number, zoom in enumerate(zooms):
        shape = (round(network_shape[0] * zoom), round(network_shape[1] * zoom))

        def zoomed_slice(index: int, shape: tuple[int, int] = shape) -> np.ndarray:
            return resize_plane(normalise(stack.voxels[index], low, high), shape)

        def keep(index: int, probabilities: np.ndarray, last: bool = number == len(zooms) - 1) -> None:
            planes = np.stack([resize_plane(p, grid_shape) for p in probabilities])
            if len(zooms) > 1:  # one slice only: its zooms are added up
                total[:] += planes / len(zooms)
                planes = total
            if last and len(zooms) > 1:
                planes[2] = _relative(
                    planes[2], (z_um, y_um * height / grid_shape[0], x_um * width / grid_shape[1])
                )
            if last:
                maps[:, index] = (planes * 255).round().clip(0, 255)

        def report(share: float, number: int = number) -> None:
            if tick is not None:
                tick((number + share) / len(zooms) * (0.9 if scorer else 1.0))

        predict_slices(model, zoomed_slice, n, z_um, device, keep, report, tile_px, views)
    if grid_shape == (height, width):
        intensity = stack.voxels
    else:
        intensity = np.stack([resize_plane(plane.astype(np.float32), grid_shape) for plane in stack.voxels])
        if stack.voxels.dtype.itemsize < 4:
            intensity = intensity.round().astype(stack.voxels.dtype)
    scale = (grid_shape[0] / height, grid_shape[1] / width)
    spacing = (z_um, y_um / scale[0], x_um / scale[1])
    assert abs(spacing[1] - max(CANONICAL_UM, y_um)) < 0.5 * spacing[1]
    heads = None
    if scorer is not None:

        def crop(window: tuple[slice, slice, slice]) -> np.ndarray:
            return normalise(intensity[window], low, high)

        heads = find_heads(crop, maps, spacing, scorer, device, sizer)
    return Prediction(
        maps[0],
        maps[1],
        maps[2],
        intensity,
        spacing,
        scale,
        name,
        float(get_card(name).data.get("score_power", 1.0)),
        heads,
        tuple(card for card in (scorer, sizer) if card is not None),
    )


def _relative(heat: np.ndarray, spacing_zyx_um: tuple[float, float, float]) -> np.ndarray:
    """Raise the centre map of a dim or blurred image halfway (in logarithms) to the usual height.

    The idea: a person marks the spines that stand out in the image at hand. The constants were
    chosen on points2d/val findspines (F1 0.732 without, 0.744 with). The factor is limited, so that an image without
    spines stays without.
    """
    scores = find_peaks((heat * 255).astype(np.uint8)[None], spacing_zyx_um)[1]
    if len(scores) < 3:
        return heat
    clear = float(scores[:_CLEAREST].mean())
    return np.minimum(heat * np.clip((_CLEAR / clear) ** _HALFWAY, 1 / _AT_MOST, _AT_MOST), 1.0)
