"""What the blur of a microscope adds to a dendrite mask, seen in the image itself: light above, below and beside a shaft.

A microscope blurs along z several times as much as in plane. Around a bright shaft the blur alone is bright enough to be
taken for dendrite, so the mask holds walls and shells there, and a skeleton of them several lines. Two things are the
same body where *nothing darker lies between them*: two dendrites at different depths, however near, have a darker gap
between them unless the blur has made them one.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from spinecore.threads import in_order, most_together

#: The image is smoothed in plane by this (um), against noise.
SMOOTH_UM = 0.2
#: Nothing darker lies between two places where the light between them is at least this share of theirs.
NO_GAP = 0.8
#: What is dimmer than this share of the brightest place above or below it, with nothing darker between, is its blur.
HALF = 0.7
#: Its middle is the centroid of its light to this power, which stays at the peak also where haze lies on one side.
CENTRE_POWER = 4
#: Blur of a shaft is looked for up to this far above and below it (um).
REACH_UM = 8.0
#: A shaft is at most this many times higher than wide; a tilt by 60 degrees makes it twice as high.
HIGHER_THAN_WIDE = 2.5
#: A shaft is at least this many slices high, to stay in one piece where it goes from one slice to the next. This and `HALF`
#: were chosen, after a part of segment 1 of real_stacks had been seen to be lost, on simulated two-photon stacks with slices 1 um apart
#: (of real shapes and others, seeds from 520), on segment 0 of real_stacks and on the simulated sample.
LEAST_SLICES = 3.0
#: The half width of a shaft is the largest distance from its edge within this (um).
_ACROSS_UM = 1.0


def light_of(intensity: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return an image (Z, Y, X) smoothed in plane, less its background (10th percentile), not below 0; float32."""
    sigma = (SMOOTH_UM / spacing[1], SMOOTH_UM / spacing[2])
    background = np.float32(np.percentile(intensity[:, ::4, ::4], 10))
    light = np.empty(intensity.shape, np.float32)

    def smooth(index: int) -> None:
        out = light[index]
        ndi.gaussian_filter(intensity[index].astype(np.float32), sigma, output=out)
        np.maximum(np.subtract(out, background, out=out), 0, out=out)

    for _ in in_order(smooth, range(len(light)), most_together(len(light))):  # each needs little memory
        pass
    return light


def without_axial_blur(mask: np.ndarray, light: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Reduce a dendrite mask to where its light comes from.

    In each column along z, what belongs to a brighter place above or below it (nothing darker between, less than `HALF` as
    bright) is taken away, and what is left is cut to at most `HIGHER_THAN_WIDE` times the shaft's width, around the
    centroid of its light to the power of `CENTRE_POWER`.

    Parameters
    ----------
    mask : ndarray of bool, shape (Z, Y, X)
    light : ndarray of float, shape (Z, Y, X)
        See `light_of`.
    spacing : ndarray, shape (3,)
        Voxel size (um).

    Returns
    -------
    ndarray of bool, shape (Z, Y, X)
    """
    if len(mask) == 1 or not mask.any():
        return mask
    y, x = np.nonzero(mask.any(0))
    column = light[:, y, x]
    run = _runs(column, spacing[0])
    n = int(run.max()) + 1
    z = np.broadcast_to(np.arange(len(mask))[:, None], run.shape)
    weight = column**CENTRE_POWER
    total = np.bincount(run.ravel(), weight.ravel(), n)
    centre = np.bincount(run.ravel(), (weight * z).ravel(), n) / np.maximum(total, 1e-9)
    near = np.abs(z - centre[run]) * spacing[0] <= _half_height(mask, spacing)[y, x]
    out = np.zeros_like(mask)
    out[:, y, x] = mask[:, y, x] & (run > 0) & near
    return out


def _runs(light: np.ndarray, step_um: float) -> np.ndarray:
    """Number the runs of voxels (Z, n) along z that are at least `HALF` as bright as the brightest they climb to; else 0."""
    peak = light.copy()
    for way in (slice(None), slice(None, None, -1)):
        seen, best = light[way], peak[way]
        climbing = np.ones(light.shape, bool)
        for step in range(1, min(int(np.ceil(REACH_UM / step_um)), len(light) - 1) + 1):
            climbing = climbing[:-1] & (seen[step:] >= NO_GAP * seen[:-step])
            np.maximum(best[:-step], np.where(climbing, seen[step:], 0), out=best[:-step])
    core = light >= HALF * peak
    first = core.copy()
    first[1:] &= ~core[:-1]
    number = np.cumsum(first.T.ravel()).reshape(core.shape[::-1]).T
    return np.where(core, number, 0)


def _half_height(mask: np.ndarray, spacing: np.ndarray) -> np.ndarray:
    """Return how far a shaft may reach above and below its axis in each column, um, by its width in projection (Y, X)."""
    off = ndi.distance_transform_edt(mask.any(0), sampling=spacing[1:])
    size = [2 * int(_ACROSS_UM / s) + 1 for s in spacing[1:]]
    radius = ndi.maximum_filter(off, size=size)
    round_ = np.sqrt(np.maximum(off * (2 * radius - off), 0))
    return np.maximum(HIGHER_THAN_WIDE * round_, LEAST_SLICES / 2 * spacing[0])
