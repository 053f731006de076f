"""Patches of spines of known class: real polygons (classes2d) and simulated stacks."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from scipy.ndimage import find_objects

from spinecore.files import replacing
from spinecore.shapes.classes import CLASSES2D_NAMES, LABELS
from spinecore.shapes.patches import PATCH_PX, WINDOW_UM, cut_patch, lit_pixels
from spinecore.simulation import simulate

#: Pixel size assumed for classes2d, whose files record none (um).
CLASSES2D_UM = 0.1
#: Seeds of simulated training spines; validation and benchmarks use seeds below 1,000.
FIRST_SEED = 3_000_000
#: Patches are kept larger than the networks see them, so that turning brings no empty corners in.
KEPT_PX = PATCH_PX + 16
_PRESETS = ("confocal", "confocal", "twophoton", "twophoton", "confocal-oblique", "twophoton-oblique")


@dataclass
class Spines:
    """Patches with their truth.

    Parameters
    ----------
    patches : ndarray, float16, shape (n, 3, KEPT_PX, KEPT_PX)
        See `spinecore.shapes.patches.Patch.planes`.
    tight : ndarray of bool, shape (n, KEPT_PX, KEPT_PX)
        The outline reduced to what is lit.
    labels : ndarray of int, shape (n,)
        Position in `LABELS`.
    groups : ndarray of int, shape (n,)
        Image group or simulated stack; never split.
    """

    patches: np.ndarray
    tight: np.ndarray
    labels: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, which: np.ndarray) -> Spines:
        """Return some of the spines, by index or by a bool mask."""
        return Spines(**{f.name: getattr(self, f.name)[which] for f in fields(self)})

    @staticmethod
    def join(parts: list[Spines]) -> Spines:
        """Return several sets as one."""
        return Spines(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Spines)})


def _pack(rows: list[tuple[np.ndarray, np.ndarray, int, int]]) -> Spines:
    shape = (0, 3, KEPT_PX, KEPT_PX)
    return Spines(
        np.stack([r[0] for r in rows]).astype(np.float16) if rows else np.zeros(shape, np.float16),
        np.stack([r[1] for r in rows]) if rows else np.zeros((0, KEPT_PX, KEPT_PX), bool),
        np.array([r[2] for r in rows], int),
        np.array([r[3] for r in rows], int),
    )


def real_spines(data: Path, split: str, turn: bool = True) -> Spines:
    """Cut the patches of classes2d, `split` being "train" or "val"."""
    from PIL import Image
    from skimage.draw import polygon2mask

    folder = data / "classes2d"
    spacing = (1.0, CLASSES2D_UM, CLASSES2D_UM)
    rows = []
    for entry in json.loads((folder / "polygons.json").read_text(encoding="utf-8")):
        if entry["split"] != split:
            continue
        pixels = np.asarray(Image.open(folder / "images" / entry["image"]).convert("L"))
        masks = [
            polygon2mask(pixels.shape, np.array(s["polygon_px"])[:, ::-1] - 0.5) for s in entry["spines"]
        ]
        shaft = lit_pixels(pixels) & ~np.any(masks, axis=0)
        for spine, mask in zip(entry["spines"], masks, strict=True):
            if not mask.any():
                continue
            tight = tighten(pixels, mask)
            patch = cut_patch(pixels[None], mask[None], shaft[None], spacing, turn, KEPT_PX)
            name = CLASSES2D_NAMES.get(spine["label"], spine["label"])
            rows.append((patch.planes, _warp(tight, patch), LABELS.index(name), int(entry["group"])))
    return _pack(rows)


def tighten(pixels: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Reduce a loose outline to its lit pixels: above 35 % of its 95th percentile (all of it, if that is nothing)."""
    lit = mask & (pixels > 0.35 * np.percentile(pixels[mask], 95))
    return lit if lit.any() else mask


def _warp(mask: np.ndarray, patch) -> np.ndarray:
    from scipy.ndimage import affine_transform

    size = patch.image.shape
    return (
        affine_transform(
            mask.astype(np.float32), patch.matrix, patch.offset, size, order=1, output=np.float32
        )
        >= 0.5
    )


def preset_of(seed: int) -> str:
    """Return the preset that `simulated_spines` takes for a seed."""
    return str(np.random.default_rng([seed, 5]).choice(_PRESETS))


def simulated_spines(seed: int, turn: bool = True) -> Spines:
    """Simulate one stack and cut the patches of its visible spines, with their true outlines."""
    rng = np.random.default_rng([seed, 5])
    preset = str(rng.choice(_PRESETS))
    pixel = float(np.exp(rng.uniform(np.log(0.06), np.log(0.13))))
    z_um = float(np.exp(rng.uniform(np.log(0.2), np.log(0.8))))
    n_xy = round(22 / pixel)
    spacing = (z_um, pixel, pixel)
    made = simulate(seed, preset, (max(6, round(7 / z_um)), n_xy, n_xy), spacing)
    rows = []
    boxes = find_objects(made.labels, max_label=len(made.spines))
    shape = np.array(made.labels.shape)
    pad = np.array([0, *(np.ceil(1.5 * WINDOW_UM / np.array(spacing[1:])).astype(int))])
    for truth, box in zip(made.spines.itertuples(), boxes, strict=True):
        if not truth.visible:
            continue
        low = np.maximum([b.start for b in box] - pad, 0)
        high = np.minimum([b.stop for b in box] + pad, shape)
        window = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        patch = cut_patch(
            made.stack.voxels[window],
            made.labels[window] == truth.spine_id,
            made.dendrite_labels[window] > 0,
            spacing,
            turn,
            KEPT_PX,
        )
        kind = LABELS.index(made.spines.at[truth.Index, "class"])
        rows.append((patch.planes, patch.outline > 0, kind, seed))
    return _pack(rows)


def simulated_pool(folder: Path, first: int, count: int) -> Spines:
    """Return the spines of `count` simulated stacks, from files where they are there already."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = []
    for seed in range(first, first + count):
        path = folder / f"spines_{seed}.npz"
        if not path.exists():
            made = simulated_spines(seed)
            with replacing(path) as temporary:
                np.savez(temporary, **{f.name: getattr(made, f.name) for f in fields(Spines)})
        with np.load(path) as stored:
            parts.append(Spines(**{f.name: stored[f.name] for f in fields(Spines)}))
    return Spines.join(parts)
