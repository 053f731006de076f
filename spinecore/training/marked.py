"""A user's own images with the centres of their spines, for fine-tuning: read, and brought to 0.1 um pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from spinecore.analysis.checks import check_stack
from spinecore.errors import SpinecoreError
from spinecore.evaluation.annotations import Annotations
from spinecore.methods.trained_range import measure_stack
from spinecore.networks.intensity import intensity_range, normalise
from spinecore.networks.scale import canonical_shape, resize_plane
from spinecore.reading import read_stack
from spinecore.stack import Stack
from spinecore.training.pool import PoolVolume, encode
from spinecore.training.request import Source
from spinecore.training.samples import RealImage
from spinecore.training.sources import check_enough, own_rows, read_marks

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


def load_marked(source: Source) -> Marked:
    """Read one image and its centres.

    Raises
    ------
    SpinecoreError
        With one sentence.
    """
    stack = read_stack(source.image, source.channel, source.time_point, source.pixel_um, source.z_um)
    check_stack(stack)
    found = read_marks(source.annotation)
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
    rows = own_rows(found, name)
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
    check_enough(sum(one.n_spines for one in marked))
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
