"""A user's own tracing (SWC) in place of the traced centre lines: brought to the analysis grid, with its soma as a mark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spinecore.analysis.result import Analysis
from spinecore.methods.grid import UNKNOWN_Z_UM
from spinecore.stack import Stack
from spinecore.tracing.swc import read_tracing
from spinecore.tracing.trace import Dendrite


@dataclass(frozen=True)
class OwnTracing:
    """What an analysis takes from a tracing.

    Parameters
    ----------
    dendrites : list of Dendrite
        In the frame of the analysis grid.
    soma_px : tuple of float or None
        z, y, x in the stack's own voxels.
    notes : tuple of str
    """

    dendrites: list[Dendrite]
    soma_px: tuple[float, float, float] | None
    notes: tuple[str, ...]


def read_own_tracing(
    path: Path, stack: Stack | Analysis, grid_zyx_um: tuple[float, float, float], units: str
) -> OwnTracing:
    """Read the tracing of a stack.

    Parameters
    ----------
    path : Path
        SWC, from the centre of the stack's first voxel.
    stack : Stack or Analysis
        With its shape and the voxel size that is used.
    grid_zyx_um : tuple of float
        Voxel size of the analysis grid, whose first voxel may be larger than the stack's.
    units : str
        "um", or "pixels" of the stack.

    Raises
    ------
    SpinecoreError
        As `spinecore.tracing.swc.read_tracing`.
    """
    stack_um = stack.spacing.zyx_um(UNKNOWN_Z_UM)
    read = read_tracing(path, stack.shape, stack_um, units)
    shift = (np.asarray(stack_um) - grid_zyx_um) / 2  # between the centres of the first voxels
    dendrites = [
        replace(
            dendrite,
            branches=tuple(replace(b, points_um=b.points_um + shift) for b in dendrite.branches),
            spacing_zyx_um=grid_zyx_um,
        )
        for dendrite in read.dendrites
    ]
    notes = (f"Dendrites are those of the tracing {path.name}.", *read.notes)
    if read.soma_um is None:
        return OwnTracing(dendrites, None, notes)
    z, y, x = (float(v) for v in read.soma_um)
    said = f"The soma of the tracing was marked (x, y, z = {x:.2f}, {y:.2f}, {z:.2f} um): distances to the soma are from there."
    place = (0.0 if stack.is_2d else z / stack_um[0], y / stack_um[1], x / stack_um[2])
    return OwnTracing(dendrites, place, (*notes, said))
