"""When values are missing, in the words of the tables."""

from __future__ import annotations

PIXEL = "the pixel size is unknown"
VOXEL = "the pixel size or, in a stack, the distance between the slices is unknown"
DEPTH = "a single slice or projection has no depth, or the voxel size is unknown"
FLAT = "only one layer of the spine was drawn"
FEW_VOXELS = "the spine has fewer than 4 voxels, or only its position is known"
DENDRITE = "no dendrite lies within 5 um, or the spine's own could not be traced, at all or at its base"
PATH = f"{DENDRITE}; {FEW_VOXELS}; or {VOXEL}"
IMAGE = "no image was given"
SHAFT = "no dendrite belongs to the spine, or none brighter than the background lies at its base"
