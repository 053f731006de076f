"""A 3-D U-Net on the volume, after Vidaurre-Gallart et al. (2022).

Preprocessing is automatic: in plane to 0.1 um pixels, slices as they are or resampled to 0.4 um when they
lie closer than 0.25 um or farther apart than 0.6 um, intensity by percentiles. A spine is a connected
component of the spine map; its score is the mean probability of its voxels. Their users then correct the
result by hand; here nothing is corrected. A single image runs as one slice between empty ones.
"""

from __future__ import annotations

import numpy as np

from spinecore.methods.components import component_centres, mark_centres
from spinecore.methods.grid import AnalysisGrid, to_byte
from spinecore.methods.prediction import Prediction
from spinecore.methods.weights import Weights
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import resize_plane
from spinecore.networks.tiles import Tick
from spinecore.networks.volumes import planned_slices, predict_volume, resample_z
from spinecore.stack import Stack


def predict(stack: Stack, weights: Weights, tick: Tick | None = None) -> Prediction:
    """Segment the volume; see the module's text.

    Parameters
    ----------
    stack : Stack
        With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
    weights : Weights
    tick : callable, optional
        Called with the finished share 0..1.

    Raises
    ------
    SpinecoreError
        If the in-plane pixel size is unknown.
    """
    grid = AnalysisGrid(stack)
    model = weights.main.model
    n = grid.shape[0]
    low, high = intensity_range(stack.voxels)
    planes = [resize_plane(normalise(p, low, high), grid.canonical_yx) for p in stack.voxels]
    volume = resample_z(np.stack(planes), planned_slices(n, grid.spacing_zyx_um[0]))
    found = resample_z(predict_volume(model, volume, tick), n)
    dendrite, spine = (np.stack([resize_plane(p, grid.shape_yx) for p in m]) for m in found)
    if stack.is_2d:
        labels, centres, scores = component_centres(spine[0], grid.spacing_zyx_um[1:])
        labels, centres = labels[None], np.column_stack([np.zeros(len(centres)), centres])
    else:
        labels, centres, scores = component_centres(spine, grid.spacing_zyx_um)
    centre = mark_centres(grid.shape, centres, scores, grid.spacing_zyx_um)
    return grid.prediction(to_byte(dendrite), to_byte(spine * (labels > 0)), centre, weights.main.card)
