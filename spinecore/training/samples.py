"""Training examples for the default method: real points, real polygons and simulated stacks.

Every example is a (planes, Y, X) image at about 0.1 um with targets for dendrite, spine and
head centre, and weights that say which of them are known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import resize_plane
from spinecore.networks.slices import CONTEXT_UM, context_planes
from spinecore.training.pool import PoolVolume, decode

#: Assumed pixel size of points2d subsets (um), from the data's README; nothing records them.
NOMINAL_UM = {"findspines": 0.10, "smirnov_spineyolo": 0.05, "flimage_max": 0.05}
CENTRE_SIGMA_PX = 2.0
#: People mark heads less exactly than a simulation does.
REAL_SIGMA_PX = 3.0
#: Slices within this distance of a head are full positives; beyond, the target falls off (um). With 0.15 and 0.35 um, which
#: shows heads 0.6 um above one another apart, heads were found no better in confocal stacks (see docs/history.md).
CENTRE_REACH_Z_UM = 0.45
CENTRE_SIGMA_Z_UM = 0.5
_PLANES = len(CONTEXT_UM)


@dataclass
class Example:
    """One training example; arrays are float32 of shape (Y, X) unless said.

    `image` is (planes, Y, X). `truncate` below 1 marks images whose spines are not all marked.
    """

    image: np.ndarray
    centre: np.ndarray
    centre_weight: np.ndarray
    spine: np.ndarray
    dendrite: np.ndarray
    mask_weight: np.ndarray
    truncate: float = 1.0


@dataclass
class RealImage:
    """A real 2-D image at the canonical pixel size (uint8-coded) with head centres (n, 2) as y, x."""

    name: str
    subset: str
    group: str
    image: np.ndarray
    centres: np.ndarray
    classes: np.ndarray | None = None


def load_points(data: Path, split: str) -> list[RealImage]:
    """Read points2d at the canonical pixel size (by each subset's nominal size)."""
    from PIL import Image

    folder = data / "points2d"
    images = pd.read_csv(folder / "images.csv")
    points = dict(tuple(pd.read_csv(folder / "points.csv").groupby("image")))
    out = []
    for row in images[images["split"] == split].itertuples():
        pixels = np.asarray(Image.open(folder / "images" / row.image).convert("L"))
        scale = NOMINAL_UM[row.subset] / 0.1
        shape = (round(pixels.shape[0] * scale), round(pixels.shape[1] * scale))
        value = resize_plane(normalise(pixels, *intensity_range(pixels)), shape)
        own = points.get(row.image)
        centres = (
            np.zeros((0, 2), np.float32)
            if own is None
            else own[["y_px", "x_px"]].to_numpy(np.float32) * scale
        )
        out.append(
            RealImage(row.image, row.subset, f"{row.subset}:{row.group}", value, centres - 0.5 * (1 - scale))
        )
    return out


def load_polygons(data: Path, split: str, pixel_um: float = 0.1) -> list[RealImage]:
    """Read classes2d: lit pixels outside the polygons are dendrite, polygons are spines."""
    from PIL import Image
    from skimage.draw import polygon2mask

    folder = data / "classes2d"
    out = []
    for entry in json.loads((folder / "polygons.json").read_text(encoding="utf-8")):
        if entry["split"] != split:
            continue
        pixels = np.asarray(Image.open(folder / "images" / entry["image"]).convert("L"))
        value = normalise(pixels, *intensity_range(pixels))
        classes = (
            (pixels > 0.15 * np.percentile(pixels[pixels > 0], 95)).astype(np.uint8)
            if pixels.any()
            else np.zeros_like(pixels)
        )
        centres = []
        for spine in entry["spines"]:
            corners = np.array(spine["polygon_px"])[:, ::-1]
            mask = polygon2mask(pixels.shape, corners)
            if not mask.any():
                continue
            classes[mask & (pixels > 0)] = 2
            centres.append(np.argwhere(mask).mean(0))
        rows, columns = np.nonzero(pixels > 0)
        box = (
            slice(max(rows.min() - 40, 0), rows.max() + 41),
            slice(max(columns.min() - 40, 0), columns.max() + 41),
        )
        origin = np.array([box[0].start, box[1].start])
        centres = np.array(centres, np.float32).reshape(-1, 2) - origin
        out.append(
            RealImage(
                entry["image"], "classes2d", f"classes2d:{entry['group']}", value[box], centres, classes[box]
            )
        )
    return out


def gaussian_map(
    shape: tuple[int, int], centres: np.ndarray, peaks: np.ndarray, sigma: float = CENTRE_SIGMA_PX
) -> np.ndarray:
    """Return the maximum of Gaussians of given peak height at (y, x) centres."""
    out = np.zeros(shape, np.float32)
    reach = int(np.ceil(3 * sigma)) + 1
    for (y, x), peak in zip(centres, peaks, strict=True):
        row, column = round(float(y)), round(float(x))
        top, left = max(row - reach, 0), max(column - reach, 0)
        bottom, right = min(row + reach + 1, shape[0]), min(column + reach + 1, shape[1])
        if top >= bottom or left >= right:
            continue
        yy, xx = np.mgrid[top:bottom, left:right]
        value = np.exp(-((yy - row) ** 2 + (xx - column) ** 2) / (2 * sigma**2)) * peak
        np.maximum(out[top:bottom, left:right], value, out=out[top:bottom, left:right])
    return out


def _ignore(weight: np.ndarray, centres: np.ndarray, radius: float) -> None:
    """Set `weight` to 0 within `radius` pixels of (y, x) centres."""
    weight *= 1 - (gaussian_map(weight.shape, centres, np.ones(len(centres)), radius) > 0.6)


def augment_intensity(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change gain, gamma, offset, noise, blur and bit depth of a normalised image."""
    from scipy.ndimage import gaussian_filter

    power = np.sign(image) * image**2  # back to linear intensity
    power = power * np.exp(rng.normal(0, 0.35)) + rng.normal(0, 0.01)
    if rng.random() < 0.3:
        power = gaussian_filter(power, (0, *(np.full(2, rng.uniform(0.3, 1.2)))))
    if rng.random() < 0.4:
        sigma = np.exp(rng.uniform(np.log(0.003), np.log(0.06)))
        noise = rng.standard_normal(
            power.shape[1:] if np.ptp(power, axis=0).max() == 0 else power.shape
        ).astype(np.float32)
        power = power + sigma * noise * np.sqrt(0.2 + np.clip(power, 0, 1))
    if rng.random() < 0.15:
        levels = rng.choice([24, 48, 96])
        power = np.round(power * levels) / levels
    gamma = np.exp(rng.normal(0, 0.2))
    out = np.sign(power) * np.abs(power) ** (0.5 * gamma)
    return np.clip(out, -0.5, 1.5).astype(np.float32)


def haze(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random field (Y, X) of up to 0.3, like out-of-focus light."""
    coarse = rng.uniform(0, 1, (4, 4)).astype(np.float32)
    return resize_plane(coarse, shape) * rng.uniform(0, 0.3)


def _orient(rng: np.random.Generator, *arrays: np.ndarray) -> list[np.ndarray]:
    turns, flip = int(rng.integers(4)), bool(rng.integers(2))
    out = []
    for a in arrays:
        a = np.rot90(a, turns, axes=(-2, -1))
        out.append(np.ascontiguousarray(a[..., ::-1] if flip else a))
    return out


def _affine(
    planes: np.ndarray, centre: tuple[float, float], size: int, zoom: float, angle: float, order: int = 1
) -> np.ndarray:
    """Cut a rotated, zoomed `size` x `size` window out of (C, Y, X) around `centre`."""
    from scipy.ndimage import affine_transform

    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    matrix = np.array([[c, -s], [s, c]])
    offset = np.array(centre) - matrix @ np.full(2, (size - 1) / 2)
    return np.stack(
        [affine_transform(p, matrix, offset, (size, size), order=order, mode="constant") for p in planes]
    )


def _move_points(
    points: np.ndarray, centre: tuple[float, float], size: int, zoom: float, angle: float
) -> np.ndarray:
    c, s = np.cos(angle) / zoom, np.sin(angle) / zoom
    inverse = np.linalg.inv(np.array([[c, -s], [s, c]]))
    return (points - np.array(centre)) @ inverse.T + (size - 1) / 2


def real_example(image: RealImage, size: int, rng: np.random.Generator, truncate: float) -> Example:
    """Cut one example out of a real image; its masks are learned where it has `classes`."""
    height, width = image.image.shape
    if len(image.centres) and rng.random() < 0.8:
        anchor = image.centres[rng.integers(len(image.centres))] + rng.uniform(-size / 3, size / 3, 2)
    else:
        anchor = rng.uniform(0, 1, 2) * (height, width)
    low = np.minimum(size / 3, np.array([height, width]) / 2)
    anchor = np.clip(anchor, low, np.array([height, width]) - low)
    zoom, angle = float(np.exp(rng.uniform(np.log(0.65), np.log(1.5)))), float(rng.uniform(0, 2 * np.pi))
    args = (tuple(anchor), size, zoom, angle)
    plane = _affine(image.image[None], *args)
    if rng.random() < 0.3:
        plane = plane + haze(plane.shape[1:], rng)
    inside = _affine(np.ones((1, height, width), np.float32), *args)[0] > 0.99
    centres = _move_points(image.centres, *args)
    known = image.classes is not None
    if known:
        masks = _affine(np.stack([image.classes == 2, image.classes == 1]).astype(np.float32), *args)
        plane = np.concatenate([plane, masks])
    plane, inside_f = _orient_with(rng, plane, inside, centres)
    shape = (size, size)
    zeros = np.zeros(shape, np.float32)
    centre = gaussian_map(shape, centres, np.ones(len(centres)), REAL_SIGMA_PX)
    weight = inside_f.astype(np.float32)
    return Example(
        np.repeat(augment_intensity(plane[:1], rng), _PLANES, axis=0),
        centre,
        weight,
        plane[1] if known else zeros,
        plane[2] if known else zeros,
        weight if known else zeros,
        truncate,
    )


def _orient_with(rng: np.random.Generator, plane: np.ndarray, inside: np.ndarray, centres: np.ndarray):
    """Mirror at random; rotation is continuous already. Points are changed in place."""
    if rng.random() < 0.5:
        plane, inside = plane[..., ::-1], inside[..., ::-1]
        centres[:, 1] = plane.shape[-1] - 1 - centres[:, 1]
    return np.ascontiguousarray(plane), np.ascontiguousarray(inside)


def polygon_example(image: RealImage, size: int, rng: np.random.Generator) -> Example:
    """Cut one example out of a classes2d image: masks and centres are all known."""
    height, width = image.image.shape
    if len(image.centres):
        anchor = image.centres[rng.integers(len(image.centres))] + rng.uniform(-size / 3, size / 3, 2)
    else:
        anchor = np.array([height, width]) / 2
    zoom, angle = float(np.exp(rng.uniform(np.log(0.7), np.log(2.0)))), float(rng.uniform(0, 2 * np.pi))
    args = (tuple(anchor), size, zoom, angle)
    plane = _affine(image.image[None], *args)
    masks = _affine(np.stack([image.classes == 2, image.classes == 1]).astype(np.float32), *args)
    centres = _move_points(image.centres, *args)
    plane, masks = _orient_with(rng, plane, masks, centres)
    ones = np.ones((size, size), np.float32)
    centre = gaussian_map((size, size), centres, np.ones(len(centres)))
    picture = augment_intensity(plane, rng)
    if rng.random() < 0.5:  # blanked background stays blank
        picture = np.where(plane > 0, picture, 0)
    return Example(np.repeat(picture, _PLANES, axis=0), centre, ones, masks[0], masks[1], ones)


def _crop_volume(volume: PoolVolume, size: int, rng: np.random.Generator) -> tuple[slice, slice]:
    _, height, width = volume.image.shape
    if len(volume.centres) and rng.random() < 0.75:
        y, x = volume.centres[rng.integers(len(volume.centres)), 1:3] + rng.uniform(-size / 3, size / 3, 2)
    else:
        y, x = rng.uniform(0, height), rng.uniform(0, width)
    top = int(np.clip(y - size / 2, 0, max(height - size, 0)))
    left = int(np.clip(x - size / 2, 0, max(width - size, 0)))
    return slice(top, top + size), slice(left, left + size)


def target_heights(z_px: np.ndarray, index: int, z_um: float) -> np.ndarray:
    """Return how high heads at z_px (n,) stand in the target of slice `index`: 1 in their own slice, less above and below."""
    off_um = np.abs(z_px - index) * z_um
    nearest = (np.abs(z_px - index) <= 0.5) | (off_um <= CENTRE_REACH_Z_UM)
    beyond = np.maximum(off_um - CENTRE_REACH_Z_UM, 0)
    return np.where(nearest, 1.0, 0.9 * np.exp(-(beyond**2) / (2 * CENTRE_SIGMA_Z_UM**2)))


def slice_example(volume: PoolVolume, size: int, rng: np.random.Generator) -> Example:
    """Cut one 2.5-D example out of a simulated or a partly annotated stack."""
    rows, columns = _crop_volume(volume, size, rng)
    n = volume.image.shape[0]
    visible = volume.centres[volume.centres[:, 3] > 0]
    if len(visible) and rng.random() < 0.6:
        index = int(np.clip(round(visible[rng.integers(len(visible)), 0] + rng.normal(0, 1)), 0, n - 1))
    else:
        index = int(rng.integers(n))
    planes = [
        (1 - w) * decode(volume.image[a, rows, columns]) + w * decode(volume.image[b, rows, columns])
        for a, b, w in context_planes(n, index, volume.z_um)
    ]
    image = np.stack(planes).astype(np.float32)
    classes = volume.classes[index, rows, columns]
    centres = volume.centres - np.array([0, rows.start, columns.start, 0], np.float32)
    off_um = np.abs(centres[:, 0] - index) * volume.z_um
    peaks = target_heights(centres[:, 0], index, volume.z_um)
    seen = centres[:, 3] > 0
    shape = classes.shape
    centre = gaussian_map(shape, centres[seen, 1:3], peaks[seen])
    weight = np.ones(shape, np.float32)
    _ignore(weight, centres[~seen & (off_um < 1.0), 1:3], 4.0)
    known = None if volume.known is None else volume.known[index, rows, columns]
    return _finish(image, centre, weight, classes, size, rng, known)


def projection_example(volume: PoolVolume, size: int, rng: np.random.Generator) -> Example:
    """Cut one projection example: maximum (or mean) over a random run of slices."""
    rows, columns = _crop_volume(volume, size, rng)
    n = volume.image.shape[0]
    depth = int(rng.integers(max(1, n // 3), n + 1))
    first = int(rng.integers(0, n - depth + 1))
    run = slice(first, first + depth)
    part = decode(volume.image[run, rows, columns])
    plane = (
        part.max(0)
        if rng.random() < 0.85
        else np.sqrt(np.clip((np.sign(part) * part**2).mean(0), 0, None)) * 1.3
    )
    block = volume.classes[run, rows, columns]
    classes = np.where((block == 1).any(0), 1, np.where((block == 2).any(0), 2, 0)).astype(np.uint8)
    centres = volume.centres - np.array([first, rows.start, columns.start, 0], np.float32)
    inside = (centres[:, 0] > -0.5) & (centres[:, 0] < depth - 0.5)
    y, x = centres[:, 1].round().astype(int), centres[:, 2].round().astype(int)
    framed = (y >= 0) & (x >= 0) & (y < classes.shape[0]) & (x < classes.shape[1])
    hidden = np.ones(len(centres), bool)
    hidden[framed] = classes[y[framed], x[framed]] == 1
    seen = inside & (centres[:, 3] > 0) & (~hidden | ~framed)
    centre = gaussian_map(classes.shape, centres[seen, 1:3], np.ones(int(seen.sum())))
    weight = np.ones(classes.shape, np.float32)
    _ignore(weight, centres[~seen & (centres[:, 0] > -2) & (centres[:, 0] < depth + 1), 1:3], 4.0)
    image = np.repeat(plane[None], _PLANES, axis=0).astype(np.float32)
    return _finish(image, centre, weight, classes, size, rng)


def _finish(
    image: np.ndarray,
    centre: np.ndarray,
    weight: np.ndarray,
    classes: np.ndarray,
    size: int,
    rng: np.random.Generator,
    where_known: np.ndarray | None = None,
) -> Example:
    known = np.ones(classes.shape, np.float32) if where_known is None else where_known.astype(np.float32)
    weight = weight * known
    spine, dendrite = (classes == 2).astype(np.float32), (classes == 1).astype(np.float32)
    pad = [(0, size - classes.shape[0]), (0, size - classes.shape[1])]
    if pad[0][1] or pad[1][1]:
        image = np.pad(image, [(0, 0), *pad])
        centre, weight, known, spine, dendrite = (
            np.pad(a, pad) for a in (centre, weight, known, spine, dendrite)
        )
    image, centre, weight, known, spine, dendrite = _orient(
        rng, image, centre, weight, known, spine, dendrite
    )
    return Example(augment_intensity(image, rng), centre, weight, spine, dendrite, known)
