"""Tiny made-up data on which every training recipe runs within seconds, for checks of the machinery and no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from spinecore.shapes.classes import LABELS
from spinecore.simulation import simulate
from spinecore.training import (
    centre_unet,
    detection_samples,
    faster_rcnn,
    head_score,
    membranes,
    mip_unet,
    panoptic,
    shapes,
    spine_size,
    unet3d,
)
from spinecore.training.detection_samples import spine_instances
from spinecore.training.membrane_samples import Section
from spinecore.training.pool import PoolVolume, decode, save_volume, to_volume
from spinecore.training.recipe import Context
from spinecore.training.samples import RealImage
from spinecore.training.shape_samples import KEPT_PX, Spines


def made_up_volume() -> PoolVolume:
    """Return a crowded simulated stack of six slices."""
    made = simulate(546, "confocal-crowded", (6, 96, 96), (0.4, 0.1, 0.1))
    return to_volume(made.stack.voxels, made)


def made_up_spines() -> Spines:
    """Return ten discs of several sizes with a label each."""
    labels = np.arange(10) % len(LABELS)
    y, x = np.mgrid[:KEPT_PX, :KEPT_PX] - KEPT_PX / 2
    masks = np.hypot(y, x)[None] < (3 + 2 * labels)[:, None, None]
    return Spines(np.stack([masks, masks, 0.1 * masks], 1).astype(np.float16), masks, labels, np.arange(10))


@contextmanager
def made_up_data(folder: Path, volume: PoolVolume | None = None, device: str = "cpu") -> Iterator[Context]:
    """Let every recipe find made-up data in place of its own.

    Parameters
    ----------
    folder : Path
        For a pool of two stacks and the recipes' states.
    volume : PoolVolume, optional
        By default `made_up_volume`.
    device : str
        Of the context.

    Yields
    ------
    Context
    """
    volume = volume or made_up_volume()
    pool = folder / "work" / "pool"
    pool.mkdir(parents=True)
    for number in range(2):
        save_volume(volume, pool / f"volume_{number:05d}.npz")
    with ExitStack() as patches:
        for module, name, value in _replacements(volume):
            patches.enter_context(patch.object(module, name, value))
        yield Context(folder, folder / "work", 0.01, device, say=lambda line: None, pool_size=0)


def _replacements(volume: PoolVolume) -> list[tuple[Any, str, Any]]:
    """Return what is put in place of each module's own data: (module, name, value)."""
    classes, centres = volume.classes.max(0), volume.centres[:, 1:3].astype(np.float32)
    image = RealImage("a", "findspines", "g", decode(volume.image.max(0)), centres, classes)
    subsets = [replace(image, subset=name) for name in centre_unet.SUBSETS]
    spines = made_up_spines()
    section = np.random.default_rng(0).integers(0, 255, (400, 400)).astype(np.uint8)
    sections = [Section(0, section, section > 60)]
    return [
        *(
            (m, "load_polygons", lambda data, split: [image])
            for m in (centre_unet, mip_unet, detection_samples)
        ),
        (centre_unet, "load_points", lambda data, split: subsets),
        *((m, "validation_volumes", lambda every=1: [volume]) for m in (centre_unet, mip_unet, unet3d)),
        *(
            (m, "fill_pool", lambda *call: None)
            for m in (mip_unet, unet3d, faster_rcnn, head_score, spine_size)
        ),
        (faster_rcnn, "validation_instances", lambda: [spine_instances(volume)]),
        (panoptic, "VALIDATION", (("confocal", 900, 4, 0.3, 0.1),)),
        (head_score, "HELD_OUT", 2),
        (shapes, "real_spines", lambda data, split: spines),
        (shapes, "simulated_pool", lambda kept, first, count: spines),
        (membranes, "load_sections", lambda data, numbers: sections),
    ]
