"""A guess at the pixel size from how wide the neurites in an image look."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import skeletonize

#: Apparent width (um) of the wider neurites in an image: dendrite shafts of about 1 um, widened by blur and
#: by a threshold at the square-root scale. Geometric mean over the images of `benchmarks.pixel_estimate`.
APPARENT_WIDTH_UM = 1.8
#: The estimate is within this factor of the recorded or nominal size for about four images in five there.
ESTIMATE_FACTOR = 1.6

_RANGE_UM = (0.02, 0.5)
_MIN_SKELETON_PX = 60
_MAX_SIDE_PX = 1024
#: Neurites cover at most 0.4 of the calibration images at this threshold; noise alone covers 0.7.
_MAX_COVER = 0.5


@dataclass(frozen=True)
class PixelEstimate:
    """A pixel size that a person has to confirm.

    Parameters
    ----------
    pixel_um : float
        Estimated pixel size.
    low_um, high_um : float
        The range that holds it in about four cases of five.
    width_px : float
        The width it rests on.
    """

    pixel_um: float
    low_um: float
    high_um: float
    width_px: float

    @property
    def sentence(self) -> str:
        """What a person should read before confirming."""
        return (
            f"Estimated from the image: about {self.pixel_um:.2g} um per pixel ({self.low_um:.2g} to "
            f"{self.high_um:.2g}), as the wider neurites look {self.width_px:.0f} pixels wide; please confirm or correct it."
        )


def neurite_width_px(image: np.ndarray) -> float | None:
    """Return the apparent width of the wider neurites, or None where none stand out.

    The image is smoothed, its background is taken off, and it is cut at Otsu's threshold of the square
    root. Widths are twice the distance transform on the skeleton of the long pieces; their upper
    quartile stands for the shafts, since spines and thin axons make up the rest.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
        A projection or slice.
    """
    shrink = max(1, -(-max(image.shape) // _MAX_SIDE_PX))
    small = image[::shrink, ::shrink].astype(np.float32)
    small = np.minimum(small, np.percentile(small, 99.5))
    side = max(32, min(small.shape) // 8)
    floor = ndimage.minimum_filter(ndimage.gaussian_filter(small, 2.0), size=side)
    signal = np.sqrt(
        np.clip(ndimage.gaussian_filter(small, 1.0) - ndimage.gaussian_filter(floor, side / 2), 0, None)
    )
    if not signal.max() > signal.min():
        return None
    mask = signal > threshold_otsu(signal)
    if mask.mean() > _MAX_COVER:
        return None
    labels, count = ndimage.label(mask)
    skeleton = skeletonize(mask)
    lengths = np.bincount(labels[skeleton], minlength=count + 1)
    lengths[0] = 0
    longest = int(lengths.max(initial=0))
    if longest < _MIN_SKELETON_PX:
        return None
    kept = (lengths >= 0.3 * longest)[labels]
    widths = 2.0 * ndimage.distance_transform_edt(kept)[skeleton & kept] - 1.0
    return float(np.percentile(widths, 75)) * shrink


def estimate_pixel(image: np.ndarray) -> PixelEstimate | None:
    """Return a pixel size by `neurite_width_px` and `APPARENT_WIDTH_UM`, or None where none is likely.

    Parameters
    ----------
    image : ndarray, shape (Y, X)
    """
    width = neurite_width_px(image)
    if width is None or width <= 0:
        return None
    pixel_um = APPARENT_WIDTH_UM / width
    if not _RANGE_UM[0] <= pixel_um <= _RANGE_UM[1]:
        return None
    return PixelEstimate(pixel_um, pixel_um / ESTIMATE_FACTOR, pixel_um * ESTIMATE_FACTOR, width)
