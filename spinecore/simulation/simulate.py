"""One seed in, one stack with its full truth out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from spinecore.errors import SpinecoreError
from spinecore.files import replacing_files
from spinecore.simulation.detector import draw_camera, expose
from spinecore.simulation.geometry import SpineShape, length_inside
from spinecore.simulation.rendering import Grid, PointSpread, draw_chain, occupancy
from spinecore.simulation.scene import PRESETS, Preset, Scene, draw_scene
from spinecore.stack import Spacing, Stack

DEFAULT_SHAPE = (24, 384, 384)
#: A spine is visible above this signal-to-noise ratio and this share of the light at its head.
VISIBLE_SNR = 2.0
VISIBLE_CONTRAST = 0.5
DEFAULT_SPACING_UM = {"confocal": (0.3, 0.08, 0.08), "twophoton": (0.5, 0.1, 0.1)}


@dataclass
class Simulated:
    """A simulated stack and everything that is true about it.

    Parameters
    ----------
    stack : Stack
        Recorded voxels with spacing.
    labels : ndarray, int32, shape (Z, Y, X)
        Spine ids (0 = none) from geometry, before any blur.
    dendrite_labels : ndarray, uint16, shape (Z, Y, X)
        Dendrite ids (0 = none).
    spines, dendrites : DataFrame
        Truth tables; see `truth_spines.csv` in the README.
    centre_lines : list of (points_um, radii_um, parent_index)
        Shafts inside the stack, for SWC.
    """

    stack: Stack
    labels: np.ndarray
    dendrite_labels: np.ndarray
    spines: pd.DataFrame
    dendrites: pd.DataFrame
    centre_lines: list[tuple[np.ndarray, np.ndarray, int]]


def simulate(
    seed: int,
    preset: str | Preset = "confocal",
    shape_zyx: tuple[int, int, int] = DEFAULT_SHAPE,
    spacing_zyx_um: tuple[float, float, float] | None = None,
) -> Simulated:
    """Simulate one stack.

    Parameters
    ----------
    seed : int
        The same seed, preset, shape and spacing give the same stack.
    preset : str or Preset
        A name from `PRESETS`, or ranges of one's own.
    shape_zyx : tuple of int
    spacing_zyx_um : tuple of float, optional
        Voxel size in um; by default that of the preset's family.

    Returns
    -------
    Simulated
    """
    if isinstance(preset, str) and preset not in PRESETS:
        raise SpinecoreError(f"unknown preset {preset!r}: choose one of {', '.join(PRESETS)}")
    if min(shape_zyx) < 1 or min(shape_zyx[1:]) < 32:
        raise SpinecoreError("the shape must be Z,Y,X with at least 1 slice of 32 x 32 pixels")
    family = preset.split("-")[0] if isinstance(preset, str) else "confocal"
    ranges = PRESETS[preset] if isinstance(preset, str) else preset
    z_um, y_um, x_um = spacing = spacing_zyx_um or DEFAULT_SPACING_UM[family]
    if min(spacing) <= 0:
        raise SpinecoreError("the spacing must be three positive numbers of micrometres: Z,Y,X")
    rng = np.random.default_rng([seed, sum(map(ord, preset)) if isinstance(preset, str) else 0])
    grid = Grid.for_stack(shape_zyx, spacing)
    extent = (np.array(shape_zyx) - 0.51) * np.array(spacing)  # heads lie inside the voxels
    scene = draw_scene(rng, ranges, extent)
    psf = PointSpread(
        rng.uniform(*ranges.lateral_fwhm_um), rng.uniform(*ranges.axial_fwhm_um), rng.uniform(*ranges.tail)
    )
    rendered = render(scene, grid, psf)
    camera = draw_camera(rng, ranges.photons)
    recorded, _, noise = expose(rendered.light, scene.distant, camera, grid, rng)
    name = f"simulated_{preset if isinstance(preset, str) else 'custom'}_{seed}"
    stack = Stack(recorded, Spacing(z_um, y_um, x_um, "file", "simulated"), name, notes=("simulated stack",))
    spines = spine_table(scene, grid, rendered, noise)
    dendrites, lines = dendrite_table(scene, grid, spines)
    return Simulated(stack, rendered.labels, rendered.dendrite_labels, spines, dendrites, lines)


@dataclass
class Rendered:
    """Light and labels on the stack's own voxels, and what is true about each spine alone.

    Parameters
    ----------
    light : ndarray, shape (Z, Y, X)
    own_light : ndarray, shape (n,)
        Light of each spine alone at its head.
    labels, dendrite_labels : ndarray, shape (Z, Y, X)
    volumes_um3 : ndarray, shape (n,)
        Volume of each spine outside the shafts, from its shape and not from the voxels of `labels`.
    boxes : ndarray of int, shape (n, 6)
        First and last voxel that each spine reaches into: z, y, x, then z, y, x (inclusive).
    """

    light: np.ndarray
    own_light: np.ndarray
    labels: np.ndarray
    dendrite_labels: np.ndarray
    volumes_um3: np.ndarray
    boxes: np.ndarray


def render(scene: Scene, grid: Grid, psf: PointSpread) -> Rendered:
    """Draw a scene: blurred light (1.0 = a wide shaft) and unblurred labels."""
    shape = grid.fine_shape
    width = float(grid.fine_um[1])
    rest = np.zeros(shape, np.float32)
    dendrite_owner = np.zeros(shape, np.uint16)
    for index, (neurite, bright) in enumerate(zip(scene.dendrites, scene.dendrite_brightness, strict=True)):
        distance = np.full(shape, 9.0, np.float32)
        draw_chain(distance, dendrite_owner, index + 1, neurite.points_um, neurite.radii_um, grid)
        np.maximum(rest, occupancy(distance, width) * bright, out=rest)
    for points, radii, bright in scene.clutter:
        paint(rest, points, radii, bright, grid, width)
    spine_light = np.zeros(shape, np.float32)
    owner = np.zeros(shape, np.int32)
    label_distance = np.full(shape, 9.0, np.float32)
    for index, spine in enumerate(scene.spines):
        for points, radii in spine.chains:
            paint(spine_light, points, radii, spine.brightness, grid, width)
            draw_chain(label_distance, owner, index + 1, points, radii, grid, 0.6 * grid.spacing_um[1])
    alone = [_SpineAlone.of(spine, grid, shape, width) for spine in scene.spines]
    own_light = np.array([one.light_at_head(rest, grid, psf) for one in alone])
    np.subtract(spine_light, rest, out=spine_light)
    np.maximum(spine_light, 0, out=spine_light)
    planes = grid.plane_index()
    half = grid.sub_xy // 2
    pick = (
        planes[:, None, None],
        np.arange(half, shape[1], grid.sub_xy)[None, :, None],
        np.arange(half, shape[2], grid.sub_xy)[None, None, :],
    )
    dendrite_labels, labels = dendrite_owner[pick], owner[pick]
    labels[dendrite_labels > 0] = 0
    light = psf.apply(rest, grid) + psf.apply(spine_light, grid)
    _mark_missing(labels, scene.spines, grid)
    owner[dendrite_owner > 0] = 0
    free = dendrite_owner == 0
    volumes = np.array([one.volume_um3(owner, free, index, grid) for index, one in enumerate(alone, 1)])
    boxes = np.array([one.box(owner, index, grid) for index, one in enumerate(alone, 1)], int).reshape(-1, 6)
    return Rendered(light, own_light, labels, dendrite_labels, volumes, boxes)


def _head_voxel(spine: SpineShape, grid: Grid) -> tuple[int, int, int]:
    """Return the voxel that holds a spine's head."""
    nearest = np.round(spine.head_um / np.array(grid.spacing_um)).astype(int)
    z, y, x = (int(v) for v in np.clip(nearest, 0, np.array(grid.shape_zyx) - 1))
    return z, y, x


@dataclass
class _SpineAlone:
    """One spine in its own window of the fine grid: how much of each sample it fills (0..1)."""

    spine: SpineShape
    low: np.ndarray
    filled: np.ndarray

    @classmethod
    def of(cls, spine: SpineShape, grid: Grid, shape: tuple[int, ...], width: float) -> _SpineAlone:
        points = np.concatenate([points for points, _ in spine.chains])
        pad = max(float(radii.max()) for _, radii in spine.chains) + 0.5
        low = np.maximum(np.floor((points.min(0) - pad - grid.origin_um) / grid.fine_um).astype(int), 0)
        high = np.minimum(
            np.ceil((points.max(0) + pad - grid.origin_um) / grid.fine_um).astype(int) + 1, shape
        )
        filled = np.zeros(tuple(np.maximum(high - low, 0)), np.float32)
        if filled.size:
            for chain, radii in spine.chains:
                paint(filled, chain - low * grid.fine_um, radii, 1.0, grid, width)
        return cls(spine, low, filled)

    @property
    def window(self) -> tuple[slice, ...]:
        return tuple(slice(a, a + n) for a, n in zip(self.low, self.filled.shape, strict=True))

    def light_at_head(self, rest: np.ndarray, grid: Grid, psf: PointSpread) -> float:
        """Return the blurred light at the head that the spine adds to shafts and clutter (`rest`), without other spines."""
        if not self.filled.size:
            return 0.0
        light = np.maximum(self.filled * np.float32(self.spine.brightness) - rest[self.window], 0)
        return psf.at_voxel(light, self.low, _head_voxel(self.spine, grid), grid)

    def volume_um3(self, owner: np.ndarray, free: np.ndarray, number: int, grid: Grid) -> float:
        """Return the volume outside the shafts (`free`); what two spines share belongs to the owner."""
        if not self.filled.size:
            return 0.0
        own = np.isin(owner[self.window], (0, number)) & free[self.window]
        return float(self.filled[own].sum(dtype=float) * np.prod(grid.fine_um))

    def box(self, owner: np.ndarray, number: int, grid: Grid) -> list[int]:
        """Return the first and the last voxel of the stack that the spine reaches into; its head's where it is nowhere."""
        own = np.argwhere(owner[self.window] == number) + self.low
        if not len(own):
            return [*_head_voxel(self.spine, grid)] * 2
        sub = np.array([grid.sub_z, grid.sub_xy, grid.sub_xy])
        return [*(own.min(0) // sub), *(own.max(0) // sub)]


def paint(
    volume: np.ndarray, points: np.ndarray, radii: np.ndarray, bright: float, grid: Grid, width: float
) -> None:
    """Raise `volume` to the occupancy of one chain times its brightness, in its own window only."""
    fine, origin = grid.fine_um, grid.origin_um
    pad = float(radii.max()) + 0.3
    low = np.maximum(np.floor((points.min(0) - pad - origin) / fine).astype(int), 0)
    high = np.minimum(np.ceil((points.max(0) + pad - origin) / fine).astype(int) + 1, volume.shape)
    if np.any(high <= low):
        return
    window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    local = np.full(tuple(high - low), 9.0, np.float32)
    moved = points - low * fine
    draw_chain(local, None, 0, moved, radii, grid)
    np.maximum(volume[window], occupancy(local, width) * bright, out=volume[window])


def _mark_missing(labels: np.ndarray, spines: list[SpineShape], grid: Grid) -> None:
    """Give a spine that fell between voxel centres the nearest voxel that no other spine needs."""
    counts = np.bincount(labels.ravel(), minlength=len(spines) + 1)
    reach = np.stack(np.meshgrid(*[np.arange(-2, 3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    for index, spine in enumerate(spines):
        if counts[index + 1]:
            continue
        head = spine.head_um / grid.spacing_um
        voxels = np.clip(np.round(head).astype(int) + reach, 0, np.array(labels.shape) - 1)
        order = np.argsort((((voxels - head) * grid.spacing_um) ** 2).sum(1), kind="stable")
        for voxel in voxels[order]:
            owner = labels[tuple(voxel)]
            if owner == 0 or counts[owner] > 1:
                labels[tuple(voxel)] = index + 1
                counts[owner] -= 1
                counts[index + 1] += 1
                break


def spine_table(scene: Scene, grid: Grid, rendered: Rendered, noise: np.ndarray) -> pd.DataFrame:
    """Return the truth, one row per spine.

    `contrast` is a spine's own share of the light at its head, `snr` its own light there over the
    noise of that voxel; a spine counts as visible when both exceed their limits.
    """
    spacing = np.array(grid.spacing_um)
    rows = []
    for index, spine in enumerate(scene.spines):
        voxel = _head_voxel(spine, grid)
        own, total = float(rendered.own_light[index]), float(rendered.light[voxel])
        snr = own / max(float(noise[voxel]), 1e-9)
        contrast = own / max(total, 1e-9)
        z, y, x = spine.head_um / spacing
        z_min, y_min, x_min, z_max, y_max, x_max = (int(v) for v in rendered.boxes[index])
        rows.append(
            {
                "spine_id": index + 1,
                "dendrite_id": spine.dendrite + 1,
                "x_px": x,
                "y_px": y,
                "z_px": z,
                "x_um": spine.head_um[2],
                "y_um": spine.head_um[1],
                "z_um": spine.head_um[0],
                "score": 1.0,
                "x_min_px": x_min,
                "y_min_px": y_min,
                "x_max_px": x_max,
                "y_max_px": y_max,
                "z_min_px": z_min,
                "z_max_px": z_max,
                "base_x_px": spine.base_um[2] / spacing[2],
                "base_y_px": spine.base_um[1] / spacing[1],
                "base_z_px": spine.base_um[0] / spacing[0],
                "length_um": spine.length_um,
                "length_euclidean_um": float(np.linalg.norm(spine.tip_um - spine.base_um)),
                "head_width_um": spine.head_width_um,
                "neck_width_um": spine.neck_width_um if spine.kind != "stubby" else np.nan,
                "neck_length_um": spine.neck_length_um if spine.kind != "stubby" else np.nan,
                "volume_um3": float(rendered.volumes_um3[index]),
                "class": spine.kind,
                "n_heads": spine.n_heads,
                "contrast": contrast,
                "snr": snr,
                "visible": bool(snr > VISIBLE_SNR and contrast > VISIBLE_CONTRAST),
            }
        )
    columns = [
        "spine_id",
        "dendrite_id",
        "x_px",
        "y_px",
        "z_px",
        "x_um",
        "y_um",
        "z_um",
        "score",
        "class",
        "visible",
    ]
    return pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)


def dendrite_table(
    scene: Scene, grid: Grid, spines: pd.DataFrame
) -> tuple[pd.DataFrame, list[tuple[np.ndarray, np.ndarray, int]]]:
    """Return one row per shaft (path length inside the stack, spines, density) and the centre lines."""
    low = -np.array(grid.spacing_um) / 2
    high = low + np.array(grid.shape_zyx) * np.array(grid.spacing_um)
    rows, lines = [], []
    for index, neurite in enumerate(scene.dendrites):
        inside = np.all((neurite.points_um >= low) & (neurite.points_um <= high), axis=1)
        length = length_inside(neurite.points_um, low, high)
        n = int((spines["dendrite_id"] == index + 1).sum()) if len(spines) else 0
        rows.append(
            {
                "dendrite_id": index + 1,
                "parent_id": neurite.parent + 1 if neurite.parent >= 0 else np.nan,
                "path_length_um": length,
                "mean_radius_um": float(neurite.radii_um[inside].mean()) if inside.any() else np.nan,
                "n_spines": n,
                "density_per_um": n / length if length > 0 else np.nan,
            }
        )
        lines.append((neurite.points_um[inside], neurite.radii_um[inside], neurite.parent))
    columns = ["dendrite_id", "parent_id", "path_length_um", "mean_radius_um", "n_spines", "density_per_um"]
    return pd.DataFrame(rows, columns=columns), lines


def write_simulated(result: Simulated, folder: Path) -> list[Path]:
    """Write `stack.tif`, `truth_spines.csv`, `truth_dendrites.csv`, `truth_labels.tif` and `truth.swc`."""
    z_um, y_um, x_um = result.stack.spacing.zyx_um()
    tags: dict[str, Any] = {
        "imagej": True,
        "resolution": (1 / x_um, 1 / y_um),
        "metadata": {"axes": "ZYX", "spacing": z_um, "unit": "um"},
    }
    node, lines = 1, ["# simulated dendrites; um; id type x y z radius parent"]
    for points, radii, _ in result.centre_lines:
        for k, ((z, y, x), r) in enumerate(zip(points, radii, strict=True)):
            lines.append(f"{node} 3 {x:.4f} {y:.4f} {z:.4f} {r:.4f} {node - 1 if k else -1}")
            node += 1
    with replacing_files(Path(folder)) as scratch:
        tifffile.imwrite(scratch / "stack.tif", result.stack.voxels, compression="zlib", **tags)
        labels = result.labels.astype(np.uint16)
        tifffile.imwrite(scratch / "truth_labels.tif", labels, compression="zlib", **tags)
        result.spines.to_csv(scratch / "truth_spines.csv", index=False)
        result.dendrites.to_csv(scratch / "truth_dendrites.csv", index=False)
        (scratch / "truth.swc").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [
        Path(folder) / n
        for n in ("stack.tif", "truth_spines.csv", "truth_dendrites.csv", "truth_labels.tif", "truth.swc")
    ]
