"""Several images in one file: stage positions, series, masks beside the data; which one is read."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
import tifffile

from spinecore.errors import SpinecoreError

_MASK_NAME = re.compile(
    r"mask|label|segment|annotation|\brois?\b|thumbnail|preview|overview|macro", re.IGNORECASE
)
#: Share of neighbours along x that are equal, from which a plane is a mask and no image of a detector.
_FLAT = 0.97
#: Planes larger than this (bytes) are not decoded to see whether they are a mask.
_LOOK_BYTES = 256 * 2**20
#: An image that holds less than this share of the largest one's voxels is no data.
_SMALL = 1 / 8


@dataclass(frozen=True)
class ImageFacts:
    """One image of a file.

    Parameters
    ----------
    name : str
        As the file names it; may be empty.
    shape : tuple of int
        As stored.
    axes : str
    dtype : str
    """

    name: str
    shape: tuple[int, ...]
    axes: str
    dtype: str

    @property
    def words(self) -> str:
        """For people: the name and the size."""
        size = " x ".join(map(str, self.shape))
        return f"{self.name} ({size}, {self.dtype})" if self.name else f"{size}, {self.dtype}"


def image_facts(series: tifffile.TiffPageSeries) -> ImageFacts:
    """Describe a series of tifffile."""
    name = re.sub(r"[\x00-\x1f]", "", str(series.name or "")).strip()
    return ImageFacts(name, tuple(series.shape), series.axes, str(series.dtype))


def chosen_image(
    series: list[tifffile.TiffPageSeries],
    images: tuple[ImageFacts, ...],
    wanted: int | None,
    in_order: bool,
    name: str,
) -> int:
    """Return which image is read.

    By default the first that is neither a mask nor small (OME-TIFF, whose order means something), or the largest
    that is no mask. A single plane beside a stack is an overview, however large.

    Parameters
    ----------
    series : list of TiffPageSeries
    images : tuple of ImageFacts
        Of the same.
    wanted : int or None
        What the user chose.
    in_order : bool
        Whether the first is preferred to the largest.
    name : str
        The file's name, for the message.

    Raises
    ------
    SpinecoreError
        If there is no such image.
    """
    if wanted is not None:
        return _existing(images, wanted, name)
    if len(images) == 1:
        return 0
    data = [k for k in range(len(images)) if not _looks_like_mask(series[k], images[k])] or list(
        range(len(images))
    )
    sizes = _without_overviews({k: math.prod(images[k].shape) for k in data}, images)
    data, largest = list(sizes), max(sizes.values())
    if in_order:
        return next(k for k in data if sizes[k] >= _SMALL * largest)
    return next(k for k in data if sizes[k] == largest)


def first_image(images: tuple[ImageFacts, ...], wanted: int | None, name: str) -> int:
    """Return which image is read where their order means something and only names tell masks.

    Parameters
    ----------
    images : tuple of ImageFacts
    wanted : int or None
        What the user chose.
    name : str
        The file's name, for the message.

    Raises
    ------
    SpinecoreError
        If there is no such image.
    """
    if wanted is not None:
        return _existing(images, wanted, name)
    data = [k for k, image in enumerate(images) if not _MASK_NAME.search(image.name)] or [*range(len(images))]
    sizes = _without_overviews({k: math.prod(images[k].shape) for k in data}, images)
    largest = max(sizes.values())
    return next(k for k in sizes if sizes[k] >= _SMALL * largest)


def _without_overviews(sizes: dict[int, int], images: tuple[ImageFacts, ...]) -> dict[int, int]:
    """Return the sizes (voxels) of the stacks among images, where there are any that are not small."""
    largest = max(sizes.values())
    stacks = {
        k: size
        for k, size in sizes.items()
        if size >= _SMALL * largest and sum(n > 1 for n in images[k].shape) > 2 + ("S" in images[k].axes)
    }
    return stacks or sizes


def _existing(images: tuple[ImageFacts, ...], wanted: int, name: str) -> int:
    if wanted < len(images):
        return wanted
    held = "; ".join(f"{k}: {image.words}" for k, image in enumerate(images[:6]))
    more = "; ..." if len(images) > 6 else ""
    raise SpinecoreError(f"{name} has no image {wanted}: choose among its own ({held}{more})")


def _looks_like_mask(series: tifffile.TiffPageSeries, image: ImageFacts) -> bool:
    if _MASK_NAME.search(image.name) or np.dtype(series.dtype).kind == "b":
        return True
    page = series.pages[len(series.pages) // 2]
    if page is None or page.nbytes > _LOOK_BYTES:
        return False
    try:
        plane = np.squeeze(page.asarray())
    except Exception:  # what cannot be decoded is judged when it is read
        return False
    if plane.ndim != 2 or plane.shape[1] < 2 or np.dtype(series.dtype).kind not in "iu":
        return False
    return bool(np.mean(plane[:, 1:] == plane[:, :-1]) > _FLAT)
