"""A user's own images with the centres of their spines, for fine-tuning: found, read, and brought to 0.1 um pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spinecore.analysis.checks import check_stack
from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations
from spinecore.evaluation.readers import TABLE_NAMES, read_annotations
from spinecore.methods.trained_range import measure_stack
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.reading import list_inputs, read_stack, stem
from spinecore.stack import Stack
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.request import FEWEST_SPINES, Source
from spinecore.training.samples import RealImage

ANNOTATION_SUFFIXES = (".csv", ".json", ".zip", ".roi", ".txt")
#: From this number of images on, whole images are held out; below, a strip of each.
WHOLE_IMAGES = 4
HELD_OUT = 0.3


@dataclass
class Marked:
    """One image at 0.1 um pixels with the centres of its spines.

    Parameters
    ----------
    name : str
    volume : PoolVolume
        Its `centres` are (z, y, x, visible) in voxels of the volume.
    is_2d : bool
    measured : dict
        See `spinecore.methods.trained_range.measure_stack`.
    """

    name: str
    volume: PoolVolume
    is_2d: bool
    measured: dict[str, float]

    @property
    def n_spines(self) -> int:
        """Spines that are marked and can be seen."""
        return int((self.volume.centres[:, 3] > 0).sum())


def find_sources(
    images: Path,
    annotations: Path,
    pixel_um: float | None = None,
    z_um: float | None = None,
    channel: int = 0,
) -> tuple[list[Source], list[str]]:
    """Pair images with annotations by name.

    Parameters
    ----------
    images : Path
        An image, or a folder of images.
    annotations : Path
        One file for all images (its `stack`, `image` or `filename` column names them), or a folder with a file
        or a sub-folder (as `analyse` writes) of each image's name.
    pixel_um, z_um : float, optional
        Voxel size in um that replaces the files' own.
    channel : int

    Returns
    -------
    sources : list of Source
    left_out : list of str
        Names of the images without annotations.

    Raises
    ------
    SpinecoreError
        If there is nothing to pair.
    """
    files = [path for path in list_inputs([images]) if not path.name.endswith(("labels.tif", "dendrite.tif"))]
    if not files:
        raise SpinecoreError(f"{images.name} holds no images: give a folder of TIFF, PNG or JPEG files")
    if not annotations.exists():
        raise SpinecoreError(f"{annotations} does not exist: give a file or folder of annotations")
    found: list[Source] = []
    left_out: list[str] = []
    common = annotations if annotations.is_file() or _table_in(annotations) else None
    known = set(read_annotations(common).stacks) if common else set()
    for file in files:
        name = stem(file)
        if common is not None:
            alone = len(files) == 1 and len(known) == 1
            path = common if name in known or alone else None
        else:
            path = _annotation_of(name, annotations)
        if path is None:
            left_out.append(file.name)
            continue
        source = Source(
            image=file.absolute(),
            annotation=path.absolute(),
            name=name,
            channel=channel,
            pixel_um=pixel_um,
            z_um=z_um,
        )
        found.append(source)
    if not found:
        raise SpinecoreError(
            f"no image in {images.name} has annotations in {annotations.name}: name them alike, as cell1.tif and cell1.csv, "
            "or give a table with a column image"
        )
    return found, left_out


def _table_in(folder: Path) -> Path | None:
    return next((folder / name for name in TABLE_NAMES if (folder / name).is_file()), None)


def _annotation_of(name: str, folder: Path) -> Path | None:
    if (folder / name).is_dir() and _table_in(folder / name):
        return folder / name
    candidates = (folder / f"{name}{suffix}" for suffix in ANNOTATION_SUFFIXES)
    return next((path for path in candidates if path.is_file()), None)


def load_marked(source: Source) -> Marked:
    """Read one image and its centres.

    Raises
    ------
    SpinecoreError
        With one sentence.
    """
    stack = read_stack(source.image, source.channel, source.time_point, source.pixel_um, source.z_um)
    check_stack(stack)
    found = read_annotations(source.annotation)
    centres = centres_px(found, source.name, stack)
    inside = (centres[:, :3] >= -0.5).all(1) & (centres[:, :3] <= np.array(stack.shape) - 0.5).all(1)
    if not inside.all():
        raise SpinecoreError(
            f"{int((~inside).sum())} of the {len(centres)} spines marked in {found.name} lie outside {source.image.name}: "
            "check that they belong together and count from 0 in pixels (x, y) and slices (z)"
        )
    return Marked(source.name, to_canonical(stack, centres), stack.is_2d, measure_stack(stack))


def centres_px(found: Annotations, name: str, stack: Stack) -> np.ndarray:
    """Return (z, y, x, visible) of the marked spines of one image, in its own pixels, float32 (n, 4)."""
    rows = found.objects
    if len(found.stacks) > 1 or name in found.stacks:
        rows = rows[rows["stack"] == name]
    z_um, y_um, x_um = stack.spacing.zyx_um()
    axes = []
    for axis, size in (("z", z_um), ("y", y_um), ("x", x_um)):
        values = rows[f"{axis}_px"].fillna(rows[f"{axis}_um"] / size).to_numpy(float)
        axes.append(np.zeros(len(rows)) if axis == "z" and stack.is_2d else values)
    if any(np.isnan(values).any() for values in axes):
        raise SpinecoreError(
            f"{found.name} does not say where every spine of {name} is: a stack needs x, y and z (z_px, from slice 0)"
        )
    seen = rows["visible"].to_numpy(bool).astype(float)
    return np.stack([*axes, seen], axis=1).astype(np.float32).reshape(-1, 4)


def to_canonical(stack: Stack, centres: np.ndarray) -> PoolVolume:
    """Bring a stack and its centres (z, y, x, visible) to 0.1 um pixels; the masks are left empty."""
    z_um, y_um, x_um = stack.spacing.zyx_um()
    low, high = intensity_range(stack.voxels)
    shape = canonical_shape(stack.shape[1:], (y_um, x_um))
    image = np.stack([encode(resize_plane(normalise(plane, low, high), shape)) for plane in stack.voxels])
    moved = centres.copy()
    for axis in (1, 2):
        scale = shape[axis - 1] / stack.shape[axis]
        moved[:, axis] = (centres[:, axis] + 0.5) * scale - 0.5
    return PoolVolume(image, np.zeros(image.shape, np.uint8), moved, z_um)


def hold_out(marked: list[Marked], seed: int = 0) -> tuple[list[Marked], list[Marked], str]:
    """Split images into those learned from and those only scored on.

    With four images or more, whole images are held out, about 30 % of them; with fewer, the last 30 % of each along
    its longer side.

    Returns
    -------
    learned, held : list of Marked
    words : str
        How the split was made.

    Raises
    ------
    SpinecoreError
        If either part would have too few spines.
    """
    total = sum(one.n_spines for one in marked)
    if total < FEWEST_SPINES:
        raise SpinecoreError(
            f"only {total} spines are marked: mark at least {FEWEST_SPINES}, better a hundred, and try again"
        )
    if len(marked) >= WHOLE_IMAGES:
        order = np.random.default_rng(seed).permutation(len(marked))
        count = max(1, round(HELD_OUT * len(marked)))
        held = [marked[i] for i in sorted(order[:count])]
        learned = [marked[i] for i in sorted(order[count:])]
        words = f"{count} of {len(marked)} images"
    else:
        parts = [_cut(one) for one in marked]
        learned, held = [a for a, _ in parts], [b for _, b in parts]
        words = f"the last {HELD_OUT:.0%} of each of {len(marked)} image{'s' if len(marked) > 1 else ''}"
    for part, what in ((learned, "to learn from"), (held, "to score on")):
        if sum(one.n_spines for one in part) < 3:
            raise SpinecoreError(f"too few spines are left {what} ({words} are held out): mark more images")
    return learned, held, words


def _cut(one: Marked) -> tuple[Marked, Marked]:
    volume = one.volume
    axis = 1 if volume.image.shape[1] > volume.image.shape[2] else 2
    at = round((1 - HELD_OUT) * volume.image.shape[axis])
    parts = []
    for name, run in (
        (f"{one.name} (first part)", slice(0, at)),
        (f"{one.name} (last part)", slice(at, None)),
    ):
        index = (slice(None), run, slice(None)) if axis == 1 else (slice(None), slice(None), run)
        first = run.start or 0
        last = at if run.stop else volume.image.shape[axis]
        inside = (volume.centres[:, axis] >= first - 0.5) & (volume.centres[:, axis] < last - 0.5)
        centres = volume.centres[inside].copy()
        centres[:, axis] -= first
        image = np.ascontiguousarray(volume.image[index])
        cut = PoolVolume(image, np.zeros(image.shape, np.uint8), centres, volume.z_um)
        parts.append(Marked(name, cut, one.is_2d, one.measured))
    return parts[0], parts[1]


def to_real_image(one: Marked) -> RealImage:
    """Return a single image as the 2-D sampler and score take it."""
    from spinecore.training.pool import decode

    centres = one.volume.centres
    return RealImage(
        one.name,
        "own",
        one.name,
        decode(one.volume.image[0]),
        centres[centres[:, 3] > 0, 1:3].copy(),
        one.volume.classes[0],
    )


def load_all(sources: Iterable[Source]) -> list[Marked]:
    """Read all images; they must be all single images or all stacks.

    Raises
    ------
    SpinecoreError
        If both kinds are among them.
    """
    marked = [load_marked(source) for source in sources]
    if not marked:
        raise SpinecoreError("there is no image to learn from: choose at least one")
    if len({one.is_2d for one in marked}) > 1:
        raise SpinecoreError("single images and stacks are learned apart: give only one kind at a time")
    return marked
