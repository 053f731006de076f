"""Measures one spine from a small crop of its surroundings."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from spinecore.morphometry.contact import Contact, SpineCrop, contact, contact_at
from spinecore.morphometry.geometry import CentreLines, MeasurementGrid
from spinecore.morphometry.intensity import SHAFT_UM, against_shaft, brightness, intensities, local_background
from spinecore.morphometry.path import SpineShape, shape_of
from spinecore.morphometry.place import box, head, on_dendrite
from spinecore.morphometry.size import sizes
from spinecore.morphometry.widths import head_width, lengths, neck, without_path
from spinecore.tables.column import Column, columns_of, measures
from spinecore.tracing.trace import Dendrite

#: Widths below this are limited by the optics of a light microscope (um); two pixels where that is more.
RESOLUTION_UM = 0.25
#: Why a head has no measures where the spine mask does not cover it.
POSITION_ONLY = "position only: no outline of the head was found"


def position_only(spines: pd.DataFrame) -> np.ndarray:
    """Say of which rows of a spine table only the position is known, bool (n,)."""
    if "missing_reason" not in spines:
        return np.zeros(len(spines), bool)
    return (
        spines["missing_reason"]
        .fillna("")
        .astype(str)
        .str.contains(POSITION_ONLY, regex=False)
        .to_numpy(bool)
    )


class Measurer:
    """Measures spines one by one.

    Parameters
    ----------
    dendrites : list of Dendrite
        Centre lines, in um of the grid (voxel index times spacing).
    spacing_zyx_um : tuple of float
        Voxel size of the grid that the crops are cut from.
    shape : tuple of int
        Shape (ZYX) of the grid.
    scale_yx : tuple of float
        Grid pixels per input pixel; positions are reported in the input's pixels.
    background : float
        Background where a crop shows none, e.g. the stack's 10th percentile.
    resolution_um : float
        Widths below this (or two pixels) are flagged as resolution-limited.
    """

    def __init__(
        self,
        dendrites: Sequence[Dendrite],
        spacing_zyx_um: tuple[float, float, float],
        shape: tuple[int, int, int],
        scale_yx: tuple[float, float] = (1.0, 1.0),
        background: float = 0.0,
        resolution_um: float = RESOLUTION_UM,
    ) -> None:
        self.grid = MeasurementGrid(np.asarray(spacing_zyx_um, float), shape, np.array([1.0, *scale_yx]))
        self.lines = CentreLines(dendrites, self.grid.spacing)
        self.background = background
        self.limit_um = max(resolution_um, 2 * float(self.grid.spacing[1:].max()))

    @measures(
        Column("spine_id", "", "Spine", "Number of the spine.", "Value of the spine's voxels in labels.tif."),
        Column(
            "missing_reason",
            "",
            "Why values are missing",
            "Reasons for the empty cells of this row.",
            "Reasons joined by '; '.",
            "nothing is missing",
            text=True,
        ),
    )
    def measure_one(
        self, spine_id: int, crop: SpineCrop, seed_px: np.ndarray | None = None, score: float = np.nan
    ) -> dict[str, Any]:
        """Measure one spine.

        Parameters
        ----------
        spine_id : int
            Its number.
        crop : SpineCrop
            Best with about 1 um around the spine, and reaching the dendrite.
        seed_px : ndarray, shape (3,), optional
            Head centre in voxels of the grid (ZYX); otherwise found from the mask.
        score : float
            The detector's confidence.

        Returns
        -------
        dict
            `MEASURED` columns and the score; `spinecore.morphometry.table.finish_table` makes the table of them.
        """
        centre = self._first_centre(crop, seed_px)
        if not crop.outlined:
            crop = replace(crop, mask=np.zeros_like(crop.mask))
        row = _EMPTY | {"spine_id": int(spine_id), "score": float(score)} | box(crop, centre, self.grid)
        background = self._background(crop)
        start, why_not = self._start(crop, centre, background)
        if not crop.outlined:
            row |= head(centre, self.grid) | without_path("position only")
            row |= {} if start is None else on_dendrite(start, centre, self.grid, self.lines)
            return row | {"missing_reason": "; ".join(word for word in (why_not, POSITION_ONLY) if word)}
        shape = None if start is None else self._shape(crop, start)
        reasons = []
        if start is None:
            reasons.append(why_not)
            row |= without_path("no dendrite")
        elif shape is None:
            reasons.append("the spine has fewer than 4 voxels")
            row |= without_path("too few voxels")
        if seed_px is None and shape is not None:
            centre = self._head_centre(shape)
        row |= head(centre, self.grid)
        if start is not None:
            row |= on_dendrite(start, centre, self.grid, self.lines)
        if shape is not None:
            row |= self._widths(crop, shape, row["touches_border"], background)
        measured, why = sizes(crop, shape, self.grid)
        row |= measured
        if crop.intensity is not None:
            row |= self._intensity(crop, start, background)
        return row | {"missing_reason": "; ".join(reasons + why)}

    def placed(self, row: dict[str, Any], redrawn: Collection[int]) -> dict[str, Any]:
        """Return a measured row with its place on the centre line as this is now.

        Parameters
        ----------
        row : dict
            From `measure_one`.
        redrawn : collection of int
            Dendrites whose centre lines changed since; rows on others stay as they are.
        """
        if np.isnan(row["base_x_px"]) or int(row["dendrite_id"]) not in redrawn:
            return row
        base, centre = (
            self.grid.to_grid(np.array([row[f"{part}{axis}_px"] for axis in "zyx"])) for part in ("base_", "")
        )
        start = Contact((base * self.grid.spacing)[None], int(row["dendrite_id"]))
        empty = {name: _EMPTY[name] for name in columns_of(on_dendrite)}
        kept = {f"base_{axis}_px": row[f"base_{axis}_px"] for axis in "zyx"}
        return row | empty | on_dendrite(start, centre, self.grid, self.lines) | kept

    def path_px(self, crop: SpineCrop, seed_px: np.ndarray | None = None) -> np.ndarray | None:
        """Return the path along which `measure_one` takes the length, from base to tip, in voxels of the grid.

        Parameters
        ----------
        crop : SpineCrop
            As in `measure_one`.
        seed_px : ndarray, shape (3,), optional
            As in `measure_one`.

        Returns
        -------
        ndarray, shape (n, 3), or None
            None where no dendrite is near or the spine has too few voxels.
        """
        if not crop.outlined:
            return None
        start, _ = self._start(crop, self._first_centre(crop, seed_px), self._background(crop))
        shape = None if start is None else self._shape(crop, start)
        return None if shape is None else shape.path / self.grid.spacing

    def _background(self, crop: SpineCrop) -> float:
        return self.background if crop.intensity is None else local_background(crop, self.background)

    def _first_centre(self, crop: SpineCrop, seed_px: np.ndarray | None) -> np.ndarray:
        if seed_px is not None:
            return np.asarray(seed_px, float)
        where = np.argwhere(crop.mask) + np.asarray(crop.origin)
        if len(where) == 0:
            raise ValueError("a spine without voxels needs the position of its head")
        middle = where.mean(axis=0)
        return where[int(np.argmin((((where - middle) * self.grid.spacing) ** 2).sum(axis=1)))].astype(float)

    def _start(self, crop: SpineCrop, centre: np.ndarray, background: float) -> tuple[Contact | None, str]:
        """Return the contact with the traced dendrite, or None and why there is none."""
        if crop.untraced:
            return None, "its dendrite could not be traced"
        found = self._contact(crop, centre, background)
        if found is None:
            return None, "no dendrite lies within 5 um"
        said = crop.by_hand
        if said.base_px is None and said.dendrite_id is None and not self.lines.is_traced_at(found):
            return None, "the shaft is not traced at its base"
        return found, ""

    def _contact(self, crop: SpineCrop, centre: np.ndarray, background: float) -> Contact | None:
        """Return the contact with the dendrite: by cheapest path in the crop, else straight to the nearest one."""
        bright = None if crop.intensity is None else brightness(crop, background)
        origin = np.asarray(crop.origin)
        said = crop.by_hand
        if said.base_px is not None:
            base = np.asarray(said.base_px, float)
            owner = said.dendrite_id or self.lines.owner_at(base)
            if owner is None:
                return None
            return contact_at(crop, centre - origin, base - origin, self.grid.spacing, bright, owner)
        if said.dendrite_id is not None:
            own = np.where(crop.dendrite == said.dendrite_id, crop.dendrite, 0)
            crop = replace(crop, dendrite=own)
        axis = self.lines.reach(centre, said.dendrite_id)
        toward = None if axis is None else axis - origin
        found = contact(crop, centre - origin, self.grid.spacing, bright, toward)
        return self.lines.straight_contact(centre, said.dendrite_id) if found is None else found

    def _shape(self, crop: SpineCrop, start: Contact) -> SpineShape | None:
        return shape_of(crop, start, self.grid.spacing, self.lines.near(start)[1])

    def _head_centre(self, shape: SpineShape) -> np.ndarray:
        """Return the centroid of the voxels beyond the neck, in voxels of the grid."""
        weight = shape.profile.weight * (np.arange(len(shape.path)) >= (shape.neck_index or 0))
        known = np.isfinite(shape.profile.centroid[:, 0]) & (weight > 0)
        start = np.nan_to_num(shape.neck_length, nan=0.0)
        arc = np.linspace(0.0, shape.length, len(shape.path))
        known &= arc >= start
        if not known.any():
            return shape.path[shape.head_index] / self.grid.spacing
        return np.average(shape.profile.centroid[known], axis=0, weights=weight[known]) / self.grid.spacing

    def _widths(
        self, crop: SpineCrop, shape: SpineShape, touches_border: bool, background: float
    ) -> dict[str, Any]:
        row = lengths(shape, self.grid, touches_border)
        row |= head_width(crop, shape, self.grid, touches_border, self.limit_um, background)
        width = row["head_width_um"]
        return row | neck(crop, shape, self.grid, touches_border, self.limit_um, background, width)

    def _intensity(self, crop: SpineCrop, start: Contact | None, background: float) -> dict[str, Any]:
        row = intensities(crop, background)
        if start is None or "intensity_max" not in row:
            return row
        line = self.lines.beside(start, SHAFT_UM + self.lines.near(start)[1])
        if line is None:
            return row
        return row | against_shaft(crop, self.grid, line, background, row["intensity_max"])


#: What is measured of one spine by itself.
MEASURED = columns_of(
    Measurer.measure_one,
    box,
    head,
    on_dendrite,
    lengths,
    head_width,
    neck,
    sizes,
    intensities,
    against_shaft,
)
_EMPTY: dict[str, Any] = {name: "" if column.text else np.nan for name, column in MEASURED.items()}
