"""The list of recipes: what `python -m spinecore train NAME` can make."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from spinecore.errors import SpinecoreError


@dataclass(frozen=True)
class Recipe:
    """A recipe's module (with a `run` function), default length and one-line description."""

    module: str
    minutes: float
    title: str


RECIPES: dict[str, Recipe] = {
    "centre-unet-base": Recipe(
        "spinecore.training.centre_unet", 30, "start for centre-unet-2d and -3d; ships no weights"
    ),
    "centre-unet-2d": Recipe(
        "spinecore.training.centre_unet", 36, "default method on projections and single images"
    ),
    "centre-unet-3d": Recipe("spinecore.training.centre_unet", 36, "default method on stacks"),
    "head-score": Recipe(
        "spinecore.training.head_score", 40, "second look at the heads centre-unet-3d finds in stacks"
    ),
    "spine-size": Recipe(
        "spinecore.training.spine_size", 30, "volume, head width and length of spines, read from the image"
    ),
    "mip-unet": Recipe(
        "spinecore.training.mip_unet", 18, "U-Net on projections, weight maps for touching spines"
    ),
    "mip-unet-plain": Recipe("spinecore.training.mip_unet", 18, "the same without weight maps"),
    "faster-rcnn": Recipe(
        "spinecore.training.faster_rcnn",
        30,
        "published method (Vogel): boxes per slice, linked through z; small",
    ),
    "faster-rcnn-published": Recipe(
        "spinecore.training.faster_rcnn",
        600,
        "the same with ResNeXt-101 32x8d as published; for a GPU, ships no weights",
    ),
    "panoptic": Recipe(
        "spinecore.training.panoptic",
        30,
        "published method (Sharma): Mask R-CNN for spines, FCN for dendrites",
    ),
    "faster-rcnn-scratch": Recipe(
        "spinecore.training.faster_rcnn",
        28,
        "faster-rcnn from random weights; notes the difference on its card",
    ),
    "panoptic-scratch": Recipe(
        "spinecore.training.panoptic", 40, "panoptic from random weights; notes the difference on its card"
    ),
    "mip-unet-scratch": Recipe(
        "spinecore.training.mip_unet", 12, "mip-unet from random weights; notes the difference on its card"
    ),
    "unet3d-scratch": Recipe(
        "spinecore.training.unet3d", 12, "unet3d from random weights; notes the difference on its card"
    ),
    "unet3d": Recipe(
        "spinecore.training.unet3d", 25, "3-D U-Net on volumes, copes with partly labelled ones"
    ),
    "shape-joint": Recipe(
        "spinecore.training.shapes", 18, "shape classes: image and outline fused, learned together"
    ),
    "shape-resnet18": Recipe("spinecore.training.shapes", 8, "shape classes: ResNet-18 with background"),
    "shape-resnet18-masked": Recipe(
        "spinecore.training.shapes", 8, "shape classes: ResNet-18, background removed"
    ),
    "shape-joint-short": Recipe("spinecore.training.shapes", 3, "ablation: as short as shape-resnet18"),
    "shape-streams-short": Recipe(
        "spinecore.training.shapes", 3, "ablation: shape-joint-short without an outline to learn"
    ),
    "membrane-fast": Recipe("spinecore.training.membranes", 25, "membranes in electron micrographs: ours"),
    "unet-small": Recipe(
        "spinecore.training.membranes", 18, "membranes: published U-Net, 8.6 million parameters"
    ),
    "dmcn": Recipe("spinecore.training.membranes", 20, "membranes: published multilevel contextual network"),
    "unet-weighted": Recipe(
        "spinecore.training.membranes",
        20,
        "membranes: published U-Net with weight maps, 31 million parameters",
    ),
    "unet-valid": Recipe(
        "spinecore.training.membranes",
        20,
        "membranes: published U-Net with valid padding, 31 million parameters",
    ),
    "shape-resnet50": Recipe("spinecore.training.shapes", 10, "shape classes: ResNet-50 with background"),
}


def default_data() -> Path:
    """Return the folder of labelled images: SPINE_DATA, else ../shared/data."""
    return Path(os.environ.get("SPINE_DATA", "../shared/data"))


def run_recipe(
    name: str,
    data: Path | None = None,
    out: Path = Path("models"),
    device: str = "auto",
    minutes: float | None = None,
    resume: bool = False,
    work: Path = Path("runs"),
) -> None:
    """Train one recipe; weights and card appear in `out`, intermediate state in `work`.

    Raises
    ------
    SpinecoreError
        If the recipe or the data folder does not exist.
    """
    if name not in RECIPES:
        raise SpinecoreError(f"there is no recipe {name!r}: choose one of {', '.join(RECIPES)}")
    folder = data or default_data()
    if not folder.is_dir():
        raise SpinecoreError(
            f"the data folder {folder} does not exist: give it with --data or set SPINE_DATA"
        )
    from spinecore.networks.device import pick_device
    from spinecore.training.ranges import write_ranges

    recipe = RECIPES[name]
    run: Callable[..., None] = import_module(recipe.module).run
    run(name, folder, out, minutes or recipe.minutes, pick_device(device), resume, work)
    write_ranges(out, folder, work / "pool", only=name)
