"""A person's file of marks, read for one stack: points, ROIs, boxes or labels become `Mark`s in the stack's own voxels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage as ndi

from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations, picture_stem
from spinecore.evaluation.readers import lacks_unit, read_annotations
from spinecore.files import write_atomic
from spinecore.marking.outlines import FEWEST_PIXELS, Voxels, crosses_itself, reaches_outside, voxels_inside
from spinecore.marking.place import Mark
from spinecore.marking.slices import join_slices
from spinecore.marking.words import listed
from spinecore.stack import Stack

#: Nothing longer than this is a spine (um).
LARGEST_UM = 10.0
#: Pixel sizes further apart than this share are not the same.
_SAME_SIZE = 0.05


@dataclass(frozen=True)
class Marks:
    """What a file says about one stack: its marks inside the stack, and sentences that a person should see."""

    marks: tuple[Mark, ...]
    notes: tuple[str, ...] = ()


def read_marks(path: Path, stack: Stack, units: str | None = None) -> Marks:
    """Read the marks of a stack.

    Parameters
    ----------
    path : Path
        As `spinecore.evaluation.readers.read_annotations` reads; of several stacks in it, the one with this stack's name.
    stack : Stack
        With the voxel size that is used.
    units : str, optional
        "px" or "um", for tables whose columns do not say it.

    Raises
    ------
    SpinecoreError
        If the file cannot be read, holds no mark of this stack, or most of its marks lie outside the stack.
    """
    name = Path(path).name
    found = _of_stack(_annotations(Path(path), units), stack.name)
    found, joined = (found, ()) if stack.is_2d else join_slices(found, Path(path))
    notes = [*found.notes, *joined]
    table = found.objects
    hidden = ~table["visible"].astype(bool)
    if hidden.any():
        notes.append(f"{int(hidden.sum())} marks of {name} are said not to be visible, and are left out.")
    names = _names(table)
    places = _places(found, stack, notes)
    flat_file = stack.shape[0] > 1 and any(image.shape[0] == 1 for image in found.labels.values())
    if flat_file:
        notes.append(
            f"{found.name} is a single image: each label is taken in the slices where the stack is bright inside it."
        )
        places[:, 0] = np.nan
    keep = np.flatnonzero(~hidden.to_numpy())
    if not len(keep):
        raise SpinecoreError(f"{name} holds no mark of this stack: choose another file")
    inside = _inside(places, stack.shape)
    outside = [int(k) for k in keep if not inside[k]]
    if len(outside) > len(keep) / 2:
        z, y, x = (float(v) for v in places[outside[0]])
        raise SpinecoreError(
            f"{len(outside)} of {len(keep)} marks of {name} lie outside this stack of {_extent(stack.shape)} pixels (mark "
            f"{names[outside[0]]} at {_position(x, y, z)} pixels): choose the file of this stack, and say whether its positions "
            "are pixels or micrometres"
        )
    if outside:
        left = listed("mark", [names[k] for k in outside])
        verbs = ("lies", "is") if len(outside) == 1 else ("lie", "are")
        notes.append(
            f"{left[0].upper()}{left[1:]} of {name} {verbs[0]} outside the stack, and {verbs[1]} left out."
        )
    large = _too_large(found, stack)
    if large[keep].any():
        left = listed("mark", [names[k] for k in keep if large[k]])
        verb = "is" if large[keep].sum() == 1 else "are"
        notes.append(
            f"{left[0].upper()}{left[1:]} of {name} {verb} longer than {LARGEST_UM:g} um, no spine, and left out."
        )
    used = [int(k) for k in keep if inside[k] and not large[k]]
    images = _masks(found, stack) | _drawn(found, stack, used, names, notes)
    marks = []
    for k in used:
        z, y, x = (float(v) for v in places[k])
        origin, mask = images.get(k, ((0, 0, 0), None))
        if mask is not None:
            depth, y, x = _head_of(mask, origin, stack)
            z = depth if np.isfinite(z) else z  # an outline without a slice
        marks.append(Mark(names[k], (z, y, x), origin, mask))
    return Marks(tuple(marks), tuple(notes))


def _annotations(path: Path, units: str | None) -> Annotations:
    if units is None and lacks_unit(path):
        said = f"{path.name} does not say the unit of its positions"
        raise SpinecoreError(
            f"{said}: say whether they are pixels or micrometres",
            f"{said}: add --spines-units px or --spines-units um",
        )
    if path.is_dir():
        raise SpinecoreError(f"{path.name} is a folder: give one file of marks")
    return read_annotations(path, units=units)


def _of_stack(found: Annotations, stack: str) -> Annotations:
    """Return what a file says about one stack."""
    if len(found.stacks) <= 1:
        return found
    own = [name for name in found.stacks if picture_stem(name).lower() == picture_stem(stack).lower()]
    if own:
        return found.only(own[0])
    named = ", ".join(found.stacks[:4]) + (" ..." if len(found.stacks) > 4 else "")
    raise SpinecoreError(
        f"{found.name} holds marks of {len(found.stacks)} images ({named}), none of them named {stack}: name the stack as in "
        "that file"
    )


def _names(table: pd.DataFrame) -> list[str]:
    """Return the name of every mark: its id where the file gives ids, else its place in the file, from 1."""
    given = list(table["object_id"])
    if given == list(range(len(given))):
        return [str(k + 1) for k in range(len(given))]
    return [str(int(v)) if isinstance(v, float) and v == int(v) else str(v) for v in given]


def _places(found: Annotations, stack: Stack, notes: list[str]) -> np.ndarray:
    """Return positions (n, 3), ZYX in the stack's voxels; z is NaN where it is not given, and 0 in a single image."""
    table, spacing = found.objects, stack.spacing
    sizes = {"z": spacing.z_um, "y": spacing.y_um, "x": spacing.x_um}
    out = np.full((len(table), 3), np.nan)
    for axis, letter in enumerate("zyx"):
        out[:, axis] = table[f"{letter}_px"]
        um, size = table[f"{letter}_um"].to_numpy(float), sizes[letter]
        missing = np.isnan(out[:, axis]) & ~np.isnan(um)
        if not missing.any() or (letter == "z" and stack.is_2d):
            continue
        if size is None:
            raise SpinecoreError(
                f"the positions in {found.name} are micrometres, but the voxel size of {stack.name} is not known: enter it",
                f"the positions in {found.name} are micrometres, but the voxel size of {stack.name} is not known: give it with "
                "--pixel-size and --z-step",
            )
        out[missing, axis] = um[missing] / size
    pixel_um = found.pixel_size()[0]
    if pixel_um and spacing.x_um and abs(pixel_um / spacing.x_um - 1) > _SAME_SIZE:
        notes.append(
            f"{found.name} was made with pixels of {pixel_um:.4g} um, this stack has {spacing.x_um:.4g} um: its pixels are used."
        )
    if stack.is_2d:
        out[:, 0] = 0.0
    return out


def _inside(places_px: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """Say which positions lie inside a stack; an unknown depth does."""
    filled = np.column_stack([np.nan_to_num(places_px[:, 0]), places_px[:, 1:]])
    return np.all((filled >= -0.5) & (filled <= np.array(shape) - 0.5), axis=1)


def _too_large(found: Annotations, stack: Stack) -> np.ndarray:
    """Say which marks have a box that no spine fills, such as the line of a dendrite."""
    table, spacing = found.objects, stack.spacing
    if spacing.x_um is None or spacing.y_um is None:
        return np.zeros(len(table), bool)
    width = (table["right_px"] - table["left_px"]).to_numpy(float) * spacing.x_um
    height = (table["bottom_px"] - table["top_px"]).to_numpy(float) * spacing.y_um
    return np.nan_to_num(np.hypot(width, height)) > LARGEST_UM


def _masks(found: Annotations, stack: Stack) -> dict[int, Voxels]:
    """Return first voxel and voxels of every mark that has a label, by its place in the table; a flat one is a layer."""
    out: dict[int, Voxels] = {}
    for labels in found.labels.values():
        if labels.shape[1:] != stack.shape[1:] or labels.shape[0] not in (1, stack.shape[0]):
            raise SpinecoreError(
                f"{found.name} has {_extent(labels.shape)} pixels, but the stack {_extent(stack.shape)}: give labels of the stack's "
                "own shape"
            )
        numbers = found.objects["object_id"].to_numpy(int)
        boxes = ndi.find_objects(np.searchsorted(np.r_[0, numbers], labels))
        for k, box in enumerate(boxes):
            if box is not None:
                z, y, x = (int(part.start) for part in box)
                out[k] = ((z, y, x), labels[box] == numbers[k])
    return out


def _drawn(
    found: Annotations, stack: Stack, used: list[int], names: list[str], notes: list[str]
) -> dict[int, Voxels]:
    """Return first voxel and voxels of every used mark with an outline, by its place in the table, and say what is odd."""
    out: dict[int, Voxels] = {}
    small, crossed, beyond = [], [], []
    for k in used:
        lines = found.outlines.get(found.objects["object_id"].iloc[k], ())
        if not lines:
            continue
        voxels = voxels_inside(lines, stack.shape)
        if voxels is None:
            small.append(names[k])
            continue
        out[k] = voxels
        if any(crosses_itself(path) for line in lines for path in line.paths):
            crossed.append(names[k])
        elif reaches_outside(lines, stack.shape):
            beyond.append(names[k])
    for odd, one, many in (
        (
            small,
            f"holds fewer than {FEWEST_PIXELS} pixels and is taken as a place.",
            f"hold fewer than {FEWEST_PIXELS} pixels and are taken as places.",
        ),
        (
            crossed,
            "crosses itself: all that it encloses is taken.",
            "cross themselves: all that they enclose is taken.",
        ),
        (
            beyond,
            "reaches beyond the image and is cut off there.",
            "reach beyond the image and are cut off there.",
        ),
    ):
        if odd:
            kind = "outline of" if len(odd) == 1 else "outlines of"
            notes.append(f"The {kind} {listed('mark', odd)} in {found.name} {one if len(odd) == 1 else many}")
    return out


def _head_of(mask: np.ndarray, origin: tuple[int, int, int], stack: Stack) -> tuple[float, float, float]:
    """Return the middle of the thickest part of a spine's voxels, ZYX in the stack's voxels."""
    sizes = stack.spacing.zyx_um(1.0) if stack.spacing.known_xy else (1.0, 1.0, 1.0)
    depth = ndi.distance_transform_edt(np.pad(mask, 1), sampling=sizes)[1:-1, 1:-1, 1:-1]
    thick = depth >= 0.7 * depth.max()
    parts, _ = ndi.label(thick, np.ones((3, 3, 3)))
    own = parts == parts[np.unravel_index(int(depth.argmax()), depth.shape)]
    z, y, x = (float(v) for v in np.argwhere(own).mean(0) + origin)
    return z, y, x


def _extent(shape: tuple[int, ...]) -> str:
    z, y, x = shape
    return f"{x} x {y}" if z == 1 else f"{x} x {y} x {z}"


def _position(x: float, y: float, z: float) -> str:
    if np.isnan(z):
        return f"x, y = {x:.4g}, {y:.4g}"
    return f"x, y, z = {x:.4g}, {y:.4g}, {z:.4g}"


def keep_marks(root: Path, name: str, content: bytes, units: str = "px") -> Path:
    """Keep an uploaded file of marks in a workspace, under its checksum and name, and check that it can be read.

    Raises
    ------
    SpinecoreError
        If it holds no marks that can be read.
    """
    path = Path(root) / "marks" / hashlib.sha256(content).hexdigest()[:12] / Path(name).name
    if path.exists():  # checked when it was kept
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content)
    try:
        read_annotations(path, units=units if lacks_unit(path) else None)
    except SpinecoreError:
        path.unlink()
        raise
    return path
