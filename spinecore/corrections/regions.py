"""Regions as the arrays that a correction keeps, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from spinecore.detection.candidates import Region

#: Arrays of a region that are kept.
PARTS = ("mask", "spine", "dendrite", "intensity")


def region_voxels(region: Region) -> dict[str, np.ndarray]:
    """Return the arrays of a region, as a correction keeps them."""
    return {"origin": np.array(region.origin), **{name: getattr(region, name) for name in PARTS}}


def voxels_region(voxels: Mapping[str, np.ndarray]) -> Region:
    """Return the region that a correction keeps."""
    z, y, x = (int(v) for v in voxels["origin"])
    parts: dict[str, Any] = {name: voxels[name] for name in PARTS}
    return Region(origin=(z, y, x), peaks=np.zeros(0, int), **parts)
