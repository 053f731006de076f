"""Measures one spine from a small crop of its surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from spinecore.morphometry.intensity import (
    brightness,
    glow,
    local_background,
    shaft_brightness,
    width_at_half_maximum,
)
from spinecore.morphometry.path import Contact, SpineCrop, SpineShape, contact, shape_of
from spinecore.morphometry.surface import surface_area
from spinecore.tables.columns import SPINE_COLUMNS
from spinecore.tracing.sections import across, tangents
from spinecore.tracing.trace import Dendrite

#: A spine farther than this from every dendrite's surface gets none (um).
REACH_UM = 5.0
#: Widths below this are limited by the optics of a light microscope (um); two pixels where that is more.
RESOLUTION_UM = 0.25
#: No body has less surface than a ball of its volume; what the voxels of a ball add to that is allowed for.
SPHERICITY_LIMIT = 1.05

_TEXT = {"side", "class", "class_rule", "missing_reason"} | {
    name for name in SPINE_COLUMNS if name.endswith("_flag")
}
_SHAPE = ("length_um", "length_euclidean_um", "head_width_um", "neck_width_um", "neck_length_um")


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
        self.spacing = np.asarray(spacing_zyx_um, float)
        self.shape = shape
        self.flat = shape[0] == 1
        self.scale = np.array([1.0, *scale_yx])
        self.background = background
        self.limit_um = max(resolution_um, 2 * float(self.spacing[1:].max()))
        branches = [(d.id, branch) for d in dendrites for branch in d.branches]
        self._points = np.concatenate([b.points_um for _, b in branches]) if branches else np.zeros((0, 3))
        self._tangent = (
            np.concatenate([tangents(b.points_um) for _, b in branches]) if branches else np.zeros((0, 3))
        )
        self._arc = np.concatenate([b.arc_um for _, b in branches]) if branches else np.zeros(0)
        self._radius = np.concatenate([b.radii_um for _, b in branches]) if branches else np.zeros(0)
        self._owner = (
            np.concatenate([np.full(len(b.points_um), i) for i, b in branches]) if branches else np.zeros(0)
        )
        self._trees = {
            d.id: (cKDTree(self._points[self._owner == d.id]), np.flatnonzero(self._owner == d.id))
            for d in dendrites
        }
        numbers = [k for d in dendrites for k, _ in enumerate(d.branches, 1)]
        sizes = [len(b.points_um) for _, b in branches]
        self._branch = np.repeat(np.array(numbers, int), sizes) if branches else np.zeros(0, int)
        self._tree = cKDTree(self._points) if branches else None

    def measure_one(
        self, spine_id: int, crop: SpineCrop, seed_px: np.ndarray | None = None, score: float = np.nan
    ) -> dict[str, Any]:
        """Measure one spine.

        Parameters
        ----------
        spine_id : int
        crop : SpineCrop
            Best with about 1 um around the spine, and reaching the dendrite.
        seed_px : ndarray, shape (3,), optional
            Head centre in voxels of the grid (ZYX); otherwise found from the mask.
        score : float
            The detector's confidence.

        Returns
        -------
        dict
            Columns of `SPINE_COLUMNS`; `nearest_neighbour_um` is added by `finish_table`.
        """
        row: dict[str, Any] = {name: "" if name in _TEXT else np.nan for name in SPINE_COLUMNS}
        row |= {"spine_id": int(spine_id), "score": float(score), "edited": False}
        reasons: list[str] = []
        self._box(row, crop, seed_px)
        centre = self._first_centre(crop, seed_px)
        background = self.background if crop.intensity is None else local_background(crop, self.background)
        bright = None if crop.intensity is None else brightness(crop, background)
        start = self._contact(crop, centre, bright)
        shape = None
        if start is None:
            reasons.append(
                "its dendrite could not be traced" if crop.untraced else "no dendrite lies within 5 um"
            )
            row |= {f"{name}_flag": "no dendrite" for name in _SHAPE}
        else:
            shape = shape_of(crop, start, self.spacing, self._near(start)[1])
            if shape is None:
                reasons.append("the spine has fewer than 4 voxels")
                row |= {f"{name}_flag": "too few voxels" for name in _SHAPE}
        if seed_px is None and shape is not None:
            centre = self._head_centre(shape)
        self._position(row, centre)
        if start is not None:
            self._place(row, start, centre)
        if shape is not None:
            self._widths(row, crop, shape, background)
        self._size(row, crop, shape, reasons)
        if crop.intensity is not None:
            self._intensity(row, crop, start, background)
        row["missing_reason"] = "; ".join(reasons)
        return row

    def path_px(self, crop: SpineCrop, seed_px: np.ndarray | None = None) -> np.ndarray | None:
        """Return the path along which `measure_one` takes the length, from base to tip, in voxels of the grid.

        Returns
        -------
        ndarray, shape (n, 3), or None
            None where no dendrite is near or the spine has too few voxels.
        """
        background = self.background if crop.intensity is None else local_background(crop, self.background)
        bright = None if crop.intensity is None else brightness(crop, background)
        start = self._contact(crop, self._first_centre(crop, seed_px), bright)
        shape = None if start is None else shape_of(crop, start, self.spacing, self._near(start)[1])
        return None if shape is None else shape.path / self.spacing

    def _first_centre(self, crop: SpineCrop, seed_px: np.ndarray | None) -> np.ndarray:
        if seed_px is not None:
            return np.asarray(seed_px, float)
        where = np.argwhere(crop.mask) + np.asarray(crop.origin)
        if len(where) == 0:
            raise ValueError("a spine without voxels needs the position of its head")
        middle = where.mean(axis=0)
        return where[int(np.argmin((((where - middle) * self.spacing) ** 2).sum(axis=1)))].astype(float)

    def _head_centre(self, shape: SpineShape) -> np.ndarray:
        weight = shape.profile.weight * (np.arange(len(shape.path)) >= (shape.neck_index or 0))
        known = np.isfinite(shape.profile.centroid[:, 0]) & (weight > 0)
        start = np.nan_to_num(shape.neck_length, nan=0.0)
        arc = np.linspace(0.0, shape.length, len(shape.path))
        known &= arc >= start
        if not known.any():
            return shape.path[shape.head_index] / self.spacing
        return np.average(shape.profile.centroid[known], axis=0, weights=weight[known]) / self.spacing

    def _to_input(self, grid_px: np.ndarray) -> np.ndarray:
        """Convert voxels of the grid (ZYX) to the input's pixels."""
        return (grid_px + 0.5) / self.scale - 0.5

    def _position(self, row: dict[str, Any], centre: np.ndarray) -> None:
        z, y, x = self._to_input(centre)
        row |= {"x_px": x, "y_px": y, "z_px": z}

    def _box(self, row: dict[str, Any], crop: SpineCrop, seed_px: np.ndarray | None) -> None:
        where = np.argwhere(crop.mask)
        if len(where):
            low, high = where.min(axis=0) + crop.origin, where.max(axis=0) + crop.origin
        else:
            low = high = np.rint(np.asarray(seed_px, float)).astype(int)
        axes = slice(1, 3) if self.flat else slice(0, 3)
        limit = np.array(self.shape) - 1
        row["touches_border"] = bool((low <= 0)[axes].any() or (high >= limit)[axes].any())
        first = np.floor(low / self.scale + 1e-6).astype(int)
        last = np.ceil((high + 1) / self.scale - 1e-6).astype(int) - 1
        for axis, name in ((2, "x"), (1, "y"), (0, "z")):
            row[f"{name}_min_px"], row[f"{name}_max_px"] = int(first[axis]), int(last[axis])

    def _contact(self, crop: SpineCrop, centre: np.ndarray, bright: np.ndarray | None) -> Contact | None:
        """Return the contact with the dendrite: by cheapest path in the crop, else straight to the nearest one."""
        if crop.untraced:
            return None
        axis = self.reach(centre)
        toward = None if axis is None else axis - np.asarray(crop.origin)
        found = contact(crop, centre - np.asarray(crop.origin), self.spacing, bright, toward)
        if found is not None:
            return found
        if self._tree is None:
            return None
        point = centre * self.spacing
        distance, index = self._tree.query(point)
        radius = float(self._radius[index])
        if distance - radius > REACH_UM:
            return None
        axis = self._points[index]
        base = axis + (point - axis) * min(radius / max(float(distance), 1e-9), 0.9)
        n = max(int(np.linalg.norm(point - base) / 0.1), 1)
        return Contact(base + np.linspace(0, 1, n + 1)[:, None] * (point - base), int(self._owner[index]))

    def _near(self, start: Contact) -> tuple[int, float]:
        """Return the index of the centre line point nearest to the base, and the shaft's radius there."""
        if start.dendrite_id in self._trees:
            tree, index = self._trees[start.dendrite_id]
            k = int(index[tree.query(start.path[0])[1]])
            return k, float(max(self._radius[k], self.spacing[1]))
        return -1, 0.5

    def _place(self, row: dict[str, Any], start: Contact, centre: np.ndarray) -> None:
        z, y, x = self._to_input(start.path[0] / self.spacing)
        row |= {"dendrite_id": start.dendrite_id, "base_x_px": x, "base_y_px": y, "base_z_px": z}
        k, _ = self._near(start)
        if k < 0:
            return
        row["position_along_dendrite_um"] = float(self._arc[k])
        row["branch"] = int(self._branch[k])
        offset = centre * self.spacing - self._points[k]
        offset = offset - (offset @ self._tangent[k]) * self._tangent[k]
        lateral, axial = across(self._tangent[k][None])
        right, up = float(offset @ lateral[0]), float(offset @ axial[0])
        row["side"] = "right" if right >= 0 else "left"
        if not self.flat:
            row["angle_deg"] = float(np.degrees(np.arctan2(up, right)))

    def _widths(self, row: dict[str, Any], crop: SpineCrop, shape: SpineShape, background: float) -> None:
        tip, base = shape.path[-1], shape.path[0]
        z, y, x = self._to_input(tip / self.spacing)
        row |= {"tip_x_px": x, "tip_y_px": y, "tip_z_px": z}
        row["length_um"] = shape.length
        row["length_euclidean_um"] = float(np.linalg.norm(tip - base))
        general = ["cut by the border"] if row["touches_border"] else []
        length = (
            general + (["projected"] if self.flat else []) + (["neck not segmented"] if shape.gap else [])
        )
        row["length_um_flag"] = row["length_euclidean_um_flag"] = "; ".join(length)
        flags = list(general)
        head = shape.head_width
        if head < self.limit_um:
            flags.append("resolution-limited")
            fwhm = self._fwhm(crop, shape, shape.head_index, background)
            head = fwhm if np.isfinite(fwhm) else head
        row["head_width_um"], row["head_width_um_flag"] = head, "; ".join(flags)
        if shape.neck_index is None:
            row["neck_width_um_flag"] = row["neck_length_um_flag"] = "no neck"
            return
        row["neck_length_um"], row["neck_length_um_flag"] = shape.neck_length, "; ".join(length)
        flags = general + (["neck not segmented"] if shape.gap else [])
        neck = shape.neck_width
        if neck < self.limit_um:
            flags.append("resolution-limited")
            fwhm = self._fwhm(crop, shape, shape.neck_index, background)
            if np.isfinite(fwhm) and fwhm < row["head_width_um"]:
                neck = fwhm
            elif shape.gap:
                neck = np.nan
                flags.append("no clear peak")
        row["neck_width_um"], row["neck_width_um_flag"] = neck, "; ".join(flags)

    def _fwhm(self, crop: SpineCrop, shape: SpineShape, index: int, background: float) -> float:
        if crop.intensity is None:
            return np.nan
        direction = tangents(shape.path)[index]
        return width_at_half_maximum(crop, shape.path[index], direction, self.spacing, background)

    def _size(
        self, row: dict[str, Any], crop: SpineCrop, shape: SpineShape | None, reasons: list[str]
    ) -> None:
        n = int(crop.mask.sum())
        if n == 0:
            return
        row["area_um2"] = float(crop.mask.any(axis=0).sum() * self.spacing[1] * self.spacing[2])
        if n >= 4:
            row["elongation"] = self._elongation(crop)
        if self.flat:
            reasons.append("a single slice or projection has no depth")
            return
        row["volume_um3"] = float(n * self.spacing.prod())
        if shape is not None:
            row["head_volume_um3"] = row["volume_um3"] * shape.head_fraction
        if n >= 4:
            surface = surface_area(crop.mask, self.spacing)
            sphericity = float(np.pi ** (1 / 3) * (6 * row["volume_um3"]) ** (2 / 3) / surface)
            if sphericity > SPHERICITY_LIMIT:
                reasons.append("the spine spans too few voxels for a surface")
            else:
                row |= {"surface_um2": surface, "sphericity": min(sphericity, 1.0)}

    def _elongation(self, crop: SpineCrop) -> float:
        axes = slice(1, 3) if self.flat else slice(0, 3)
        where = (np.argwhere(crop.mask) * self.spacing)[:, axes]
        spread = np.cov(where.T, bias=True) + np.diag(self.spacing[axes] ** 2 / 12)
        values = np.sort(np.linalg.eigvalsh(spread))[::-1]
        return float(np.sqrt(values[0] / values[1]))

    def _intensity(
        self, row: dict[str, Any], crop: SpineCrop, start: Contact | None, background: float
    ) -> None:
        row["intensity_background"] = background
        values = crop.intensity[crop.mask].astype(float) - background
        if len(values) == 0:
            return
        total = float(values.sum())
        row |= {"intensity_mean": total / len(values), "intensity_max": float(values.max())}
        row["intensity_integrated"] = total
        if start is None or start.dendrite_id not in self._trees:
            return
        tree, index = self._trees[start.dendrite_id]
        near = index[tree.query_ball_point(start.path[0], 1.0 + self._near(start)[1])]
        shaft = shaft_brightness(crop, self._points[near], self.spacing, background)
        row["spine_to_shaft_ratio"] = row["intensity_max"] / shaft
        if not self.flat:
            halo = glow(crop, self.spacing)
            signal = float(crop.intensity[halo].astype(float).sum()) - background * int(halo.sum())
            row["volume_fluorescence_um3"] = max(signal, 0.0) * float(self.spacing.prod()) / shaft

    def reach(self, point_px: np.ndarray) -> np.ndarray | None:
        """Return the centre line point nearest to a voxel position, in voxels, or None beyond `REACH_UM` + 1 um."""
        if self._tree is None:
            return None
        distance, k = self._tree.query(point_px * self.spacing)
        return self._points[k] / self.spacing if distance <= REACH_UM + 1.0 else None
