"""Stacks of dendrites with real shapes: pieces cut from an electron micrograph, joined, turned and imaged.

The shapes are those of `em_dendrites` (MICrONS "pinky40", see the README beside them); they are not part of this package. Every
piece is a volume of labels with its shaft's path and a table of its spines. Pieces are laid end to end along a line through the
stack, mirrored, turned about the line and scaled at random, among clutter of axons with boutons, and recorded by the same
simulated microscope as the geometric dendrites of `spinecore.simulation.scene`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import find_objects

from spinecore.errors import SpinecoreError
from spinecore.simulation.detector import draw_camera, expose
from spinecore.simulation.geometry import Neurite, SpineShape
from spinecore.simulation.rendering import Grid, PointSpread
from spinecore.simulation.room import Room, spheres_along
from spinecore.simulation.scene import PRESETS, Preset, Scene, add_clutter, draw_heading
from spinecore.simulation.shape_pieces import Piece, Placed, place
from spinecore.simulation.simulate import (
    Rendered,
    Simulated,
    dendrite_table,
    paint,
    spine_table,
)
from spinecore.stack import Spacing, Stack

#: Every so many of the dendrites, by name, takes no part in training.
UNSEEN_EVERY = 4
#: Protrusions lower than this are neither spine nor background (um).
LOWEST_UM = 0.4
#: Share of a voxel that a spine has to fill to be labelled.
LABELLED_SHARE = 0.3
#: In vivo the shaft is often recorded far above the range, so that spines can be seen.
SATURATIONS = (1.2, 1.0, 0.7, 0.45, 0.3, 0.2)
#: Classes of the table, in this program's words.
KINDS = {"filopodium": "filopodium", "mushroom": "mushroom", "stubby": "stubby"}


@dataclass(frozen=True)
class ShapeSet:
    """Real dendrites and axons to draw from.

    Parameters
    ----------
    dendrites, axons : tuple of Path
        Files of label volumes.
    spines : DataFrame
        All spines, by the column `dendrite`.
    """

    dendrites: tuple[Path, ...]
    axons: tuple[Path, ...]
    spines: pd.DataFrame

    @classmethod
    def of(cls, folder: Path, unseen: bool = False) -> ShapeSet:
        """Read the list of a folder `em_dendrites`: the pieces to learn from, or the few kept aside (`unseen`).

        Raises
        ------
        SpinecoreError
            If the folder holds no shapes.
        """
        paths = sorted((folder / "dendrites").glob("*.npz"))
        if not paths:
            raise SpinecoreError(f"{folder} holds no shapes of dendrites: give the folder em_dendrites")
        chosen = [p for n, p in enumerate(paths) if (n % UNSEEN_EVERY == UNSEEN_EVERY - 1) == unseen]
        axons = sorted((folder / "axons").glob("*.npz"))
        return cls(
            tuple(chosen), tuple(axons), pd.read_csv(folder / "spines.csv").rename(columns={"class": "kind"})
        )


@dataclass
class _Drawn:
    """A stack as it comes into being: light and owners on the fine grid."""

    rest: np.ndarray
    spine_light: np.ndarray
    dendrite_owner: np.ndarray
    owner: np.ndarray
    scene: Scene = field(default_factory=Scene)
    uncertain: list[bool] = field(default_factory=list)
    windows: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)
    volumes_um3: list[float] = field(default_factory=list)


def simulate_shapes(
    seed: int,
    shapes: ShapeSet,
    preset: str = "twophoton",
    shape_zyx: tuple[int, int, int] = (24, 300, 300),
    spacing_zyx_um: tuple[float, float, float] = (0.5, 0.1, 0.1),
) -> Simulated:
    """Simulate one stack of dendrites with real shapes.

    Parameters
    ----------
    seed : int
        The same seed, preset, shape and spacing give the same stack.
    shapes : ShapeSet
    preset : str
        Name from `spinecore.simulation.PRESETS`: its microscope, tilt, number of dendrites and clutter are used.
    shape_zyx : tuple of int
    spacing_zyx_um : tuple of float

    Returns
    -------
    Simulated
        Spines at a cut face of a piece and those lower than `LOWEST_UM` are not visible: they neither count nor harm.
    """
    ranges = PRESETS[preset]
    rng = np.random.default_rng([seed, sum(map(ord, preset)), 1])
    grid = Grid.for_stack(shape_zyx, spacing_zyx_um)
    fine = grid.fine_shape
    drawn = _Drawn(
        np.zeros(fine, np.float32),
        np.zeros(fine, np.float32),
        np.zeros(fine, np.uint16),
        np.zeros(fine, np.int32),
    )
    extent = (np.array(shape_zyx) - 0.51) * np.array(spacing_zyx_um)
    for _ in range(int(rng.integers(*ranges.dendrites))):
        _add_dendrite(drawn, rng, shapes, ranges, extent, grid)
    _add_surroundings(drawn, rng, shapes, ranges, extent, grid)
    psf = PointSpread(
        rng.uniform(*ranges.lateral_fwhm_um), rng.uniform(*ranges.axial_fwhm_um), rng.uniform(*ranges.tail)
    )
    rendered = _render(drawn, grid, psf)
    camera = replace(draw_camera(rng, ranges.photons), saturation=float(rng.choice(SATURATIONS)))
    recorded, _, noise = expose(rendered.light, drawn.scene.distant, camera, grid, rng)
    stack = Stack(
        recorded,
        Spacing(*spacing_zyx_um, "file", "simulated"),
        f"shapes_{preset}_{seed}",
        notes=("simulated stack",),
    )
    spines = spine_table(drawn.scene, grid, rendered, noise)
    if len(spines):
        spines["visible"] &= ~np.array(drawn.uncertain)
    dendrites, lines = dendrite_table(drawn.scene, grid, spines)
    return Simulated(stack, rendered.labels, rendered.dendrite_labels, spines, dendrites, lines)


def _add_dendrite(
    drawn: _Drawn, rng: np.random.Generator, shapes: ShapeSet, ranges: Preset, extent: np.ndarray, grid: Grid
) -> None:
    """Lay pieces end to end along a line that passes through the stack."""
    scene = drawn.scene
    bright = 1.0 if not scene.dendrites else float(np.exp(rng.uniform(np.log(0.3), np.log(1.4))))
    heading = draw_heading(rng, ranges.tilt_deg)
    centre = extent * rng.uniform(0.2, 0.8, 3)
    reach = float(np.linalg.norm(extent[1:])) * 0.6
    scale = rng.uniform(0.9, 1.15) if rng.random() < 0.75 else rng.uniform(1.15, 1.5)
    at, number = -reach, len(scene.dendrites) + 1
    points: list[np.ndarray] = []
    radii: list[np.ndarray] = []
    while at < reach:
        piece = Piece.read(shapes.dendrites[int(rng.integers(len(shapes.dendrites)))])
        start = centre + heading * at
        placed = place(piece, start, heading, scale, rng)
        at += placed.length_um
        points.append(placed.path_um)
        radii.append(placed.radius_um)
        end = start + heading * placed.length_um
        if _outside(np.stack([start, end]), extent):
            continue
        _draw(drawn, placed, shapes.spines, bright, number, rng, grid)
    joined, wide = np.concatenate(points), np.concatenate(radii)
    for at_end in np.cumsum([len(p) for p in points])[:-1]:  # across the cut faces
        joint = slice(at_end - 2, at_end + 2)
        paint(drawn.rest, joined[joint], 0.8 * wide[joint], bright, grid, float(grid.fine_um[1]))
    scene.dendrites.append(Neurite(joined, wide))
    scene.dendrite_brightness.append(bright)


def _outside(ends: np.ndarray, extent: np.ndarray, margin_um: float = 3.0) -> bool:
    """Say whether a piece between two ends lies beside the stack."""
    return bool(np.any(ends.max(0) < -margin_um) or np.any(ends.min(0) > extent + margin_um))


def _draw(
    drawn: _Drawn,
    placed: Placed,
    spines: pd.DataFrame,
    bright: float,
    number: int,
    rng: np.random.Generator,
    grid: Grid,
) -> None:
    """Draw a placed piece's shaft and spines, and note its spines."""
    window, labels = placed.sample(grid)
    if window is None:
        return
    shaft = (labels == 1).mean(0, dtype=np.float32)
    np.maximum(drawn.rest[window], shaft * np.float32(bright), out=drawn.rest[window])
    drawn.dendrite_owner[window][shaft > 0.5] = number
    low = np.array([part.start for part in window])
    cell = float(np.prod(grid.fine_um))
    boxes = find_objects(labels)
    for row in spines[spines["dendrite"] == placed.piece.name].itertuples():
        box = boxes[row.spine_id - 1] if row.spine_id <= len(boxes) else None
        light = float(np.exp(rng.normal(0, 0.15))) * bright
        head, base, tip = (
            placed.to_stack(np.array([getattr(row, f"{name}_{axis}_um") for axis in "zyx"]))
            for name in ("head", "base", "tip")
        )
        voxel = np.round(head / np.array(grid.spacing_um))
        if box is None:
            continue
        filled = (labels[(slice(None), *box[1:])] == row.spine_id).mean(0, dtype=np.float32)
        lit = drawn.spine_light[window][box[1:]]
        np.maximum(lit, filled * np.float32(light), out=lit)
        if np.any(voxel < 0) or np.any(voxel >= grid.shape_zyx):
            continue  # its head is outside: light that belongs to no spine of the table
        drawn.scene.spines.append(_truth(row, placed.scale, head, base, tip, number - 1, light))
        index = len(drawn.scene.spines)
        drawn.owner[window][box[1:]][filled >= LABELLED_SHARE] = index
        drawn.windows.append((low + [part.start for part in box[1:]], filled))
        drawn.volumes_um3.append(float(filled.sum(dtype=float)) * cell)
        drawn.uncertain.append(
            bool(row.touches_edge) or row.protrusion_um * placed.scale < LOWEST_UM or placed.is_cut(base)
        )


def _truth(
    row: Any,
    scale: float,
    head: np.ndarray,
    base: np.ndarray,
    tip: np.ndarray,
    dendrite: int,
    light: float,
) -> SpineShape:
    """Return a row of the shapes' table as a spine of the stack."""
    return SpineShape(
        [],
        head,
        base,
        tip,
        length_um=float(row.length_um) * scale,
        head_width_um=float(row.head_width_um) * scale,
        neck_width_um=float(row.neck_width_um) * scale,
        neck_length_um=float(row.neck_length_um) * scale,
        kind=KINDS.get(row.kind, "thin"),
        dendrite=dendrite,
        arc_um=float("nan"),
        brightness=light,
    )


def _add_surroundings(
    drawn: _Drawn, rng: np.random.Generator, shapes: ShapeSet, ranges: Preset, extent: np.ndarray, grid: Grid
) -> None:
    """Draw real axons with boutons, and the same clutter as among geometric dendrites."""
    area = float(extent[1] * extent[2]) / 500
    for _ in range(rng.poisson(3.0 * ranges.clutter * area) if shapes.axons else 0):
        piece = Piece.read(shapes.axons[int(rng.integers(len(shapes.axons)))])
        placed = place(piece, extent * rng.random(3), draw_heading(rng, 25.0), rng.uniform(0.9, 1.15), rng)
        window, labels = placed.sample(grid)
        if window is None:
            continue
        filled = (labels > 0).mean(0, dtype=np.float32)
        filled[drawn.dendrite_owner[window] > 0] = 0
        bright = float(np.exp(rng.uniform(np.log(0.1), np.log(0.8))))
        np.maximum(drawn.rest[window], filled * np.float32(bright), out=drawn.rest[window])
    room = Room()
    for index, neurite in enumerate(drawn.scene.dendrites):
        room.add(f"shaft {index}", spheres_along(neurite.points_um, neurite.radii_um + 1.0))
    add_clutter(drawn.scene, room, rng, ranges, extent)
    for points, radii, bright in drawn.scene.clutter:
        paint(drawn.rest, points, radii, bright, grid, float(grid.fine_um[1]))


def _render(drawn: _Drawn, grid: Grid, psf: PointSpread) -> Rendered:
    """Blur the light and bring labels to the stack's own voxels."""
    own_light = np.zeros(len(drawn.windows))
    for index, (low, filled) in enumerate(drawn.windows):
        spine = drawn.scene.spines[index]
        window = tuple(slice(a, a + n) for a, n in zip(low, filled.shape, strict=True))
        light = np.maximum(filled * np.float32(spine.brightness) - drawn.rest[window], 0)
        voxel = np.round(spine.head_um / np.array(grid.spacing_um)).astype(int)
        z, y, x = (int(v) for v in voxel)
        own_light[index] = psf.at_voxel(light, low, (z, y, x), grid)
    spine_light = np.maximum(drawn.spine_light - drawn.rest, 0)
    light = psf.apply(drawn.rest, grid) + psf.apply(spine_light, grid)
    half = grid.sub_xy // 2
    pick = (
        grid.plane_index()[:, None, None],
        np.arange(half, grid.fine_shape[1], grid.sub_xy)[None, :, None],
        np.arange(half, grid.fine_shape[2], grid.sub_xy)[None, None, :],
    )
    dendrite_labels, labels = drawn.dendrite_owner[pick], drawn.owner[pick]
    labels[dendrite_labels > 0] = 0
    sub = np.array([grid.sub_z, grid.sub_xy, grid.sub_xy])
    boxes = [[*(low // sub), *((low + np.array(filled.shape) - 1) // sub)] for low, filled in drawn.windows]
    return Rendered(
        light,
        own_light,
        labels,
        dendrite_labels,
        np.array(drawn.volumes_um3),
        np.array(boxes, int).reshape(-1, 6),
    )
