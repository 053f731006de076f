"""The list of recipes: what `python -m spinecore train NAME` can make."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from spinecore.errors import SpinecoreError
from spinecore.paths import APP_DIR
from spinecore.training.recipe import POOL_SIZE, Context, Recipe

#: With fewer simulated stacks none would be held out to choose the weights.
FEWEST_STACKS = 24


@dataclass(frozen=True)
class Listed:
    """Where a recipe's class is (`module:class`), its default length and one-line description."""

    place: str
    minutes: float
    title: str


RECIPES: dict[str, Listed] = {
    "centre-unet-base": Listed(
        "spinecore.training.centre_unet:CentreUnet", 30, "start for centre-unet-2d and -3d; ships no weights"
    ),
    "centre-unet-2d": Listed(
        "spinecore.training.centre_unet:CentreUnet", 36, "default method on projections and single images"
    ),
    "centre-unet-3d": Listed("spinecore.training.centre_unet:CentreUnet", 36, "default method on stacks"),
    "head-score": Listed(
        "spinecore.training.head_score:HeadScoreRecipe",
        40,
        "second look at the heads centre-unet-3d finds in stacks",
    ),
    "spine-size": Listed(
        "spinecore.training.spine_size:SpineSizeRecipe",
        30,
        "volume, head width and length of spines, read from the image",
    ),
    "mip-unet": Listed(
        "spinecore.training.mip_unet:MipUnet", 18, "U-Net on projections, weight maps for touching spines"
    ),
    "mip-unet-plain": Listed("spinecore.training.mip_unet:MipUnet", 18, "the same without weight maps"),
    "faster-rcnn": Listed(
        "spinecore.training.faster_rcnn:FasterRcnn",
        30,
        "published method (Vogel): boxes per slice, linked through z; small",
    ),
    "faster-rcnn-published": Listed(
        "spinecore.training.faster_rcnn:FasterRcnn",
        600,
        "the same with ResNeXt-101 32x8d as published; for a GPU, ships no weights",
    ),
    "panoptic": Listed(
        "spinecore.training.panoptic:PanopticRecipe",
        30,
        "published method (Sharma): Mask R-CNN for spines, FCN for dendrites",
    ),
    "faster-rcnn-scratch": Listed(
        "spinecore.training.faster_rcnn:FasterRcnn",
        28,
        "faster-rcnn from random weights; notes the difference on its card",
    ),
    "panoptic-scratch": Listed(
        "spinecore.training.panoptic:PanopticRecipe",
        40,
        "panoptic from random weights; notes the difference on its card",
    ),
    "mip-unet-scratch": Listed(
        "spinecore.training.mip_unet:MipUnet",
        12,
        "mip-unet from random weights; notes the difference on its card",
    ),
    "unet3d-scratch": Listed(
        "spinecore.training.unet3d:Unet3dRecipe",
        12,
        "unet3d from random weights; notes the difference on its card",
    ),
    "unet3d": Listed(
        "spinecore.training.unet3d:Unet3dRecipe", 25, "3-D U-Net on volumes, copes with partly labelled ones"
    ),
    "membrane-fast": Listed(
        "spinecore.training.membranes:MembraneRecipe", 25, "membranes in electron micrographs: ours"
    ),
    "unet-small": Listed(
        "spinecore.training.membranes:MembraneRecipe",
        18,
        "membranes: published U-Net, 8.6 million parameters",
    ),
    "dmcn": Listed(
        "spinecore.training.membranes:MembraneRecipe",
        20,
        "membranes: published multilevel contextual network",
    ),
    "unet-weighted": Listed(
        "spinecore.training.membranes:MembraneRecipe",
        20,
        "membranes: published U-Net with weight maps, 31 million parameters",
    ),
    "unet-valid": Listed(
        "spinecore.training.membranes:MembraneRecipe",
        20,
        "membranes: published U-Net with valid padding, 31 million parameters",
    ),
    "unet-small-short": Listed(
        "spinecore.training.membranes:MembraneRecipe",
        25,
        "ablation: unet-small from random weights, 1,500 steps; ships no weights",
    ),
    "unet-small-weighted-short": Listed(
        "spinecore.training.membranes:MembraneRecipe",
        25,
        "ablation: the same with weight maps; ships no weights",
    ),
    "shape-focus": Listed(
        "spinecore.training.shape_focus:FocusRecipe",
        22,
        "default shape classes: read only where the network draws the spine; starts from shape-joint",
    ),
    "shape-joint": Listed(
        "spinecore.training.shapes:ShapeRecipe",
        18,
        "shape classes: image and outline fused, learned together",
    ),
    "shape-resnet18": Listed(
        "spinecore.training.shapes:ShapeRecipe", 8, "shape classes: ResNet-18 with background"
    ),
    "shape-resnet18-masked": Listed(
        "spinecore.training.shapes:ShapeRecipe", 8, "shape classes: ResNet-18, background removed"
    ),
    "shape-joint-short": Listed(
        "spinecore.training.shapes:ShapeRecipe", 3, "ablation: as short as shape-resnet18"
    ),
    "shape-streams-short": Listed(
        "spinecore.training.shapes:ShapeRecipe", 3, "ablation: shape-joint-short without an outline to learn"
    ),
    "shape-resnet50": Listed(
        "spinecore.training.shapes:ShapeRecipe", 40, "shape classes: ResNet-50 with background"
    ),
}


def default_data() -> Path:
    """Return the folder of labelled images: SPINE_DATA, else `shared/data` beside the checkout."""
    named = os.environ.get("SPINE_DATA")
    return Path(named) if named else APP_DIR.parent / "shared" / "data"


def make_recipe(name: str) -> Recipe:
    """Return the recipe of a name.

    Raises
    ------
    SpinecoreError
        If it is not listed.
    """
    if name not in RECIPES:
        raise SpinecoreError(f"there is no recipe {name!r}: choose one of {', '.join(RECIPES)}")
    module, kind = RECIPES[name].place.split(":")
    recipe: Recipe = getattr(import_module(module), kind)(name)
    return recipe


def run_recipe(
    name: str,
    data: Path | None = None,
    out: Path = Path("models"),
    device: str = "auto",
    minutes: float | None = None,
    resume: bool = False,
    work: Path = Path("runs"),
    precision: str = "auto",
    pool_size: int | None = None,
) -> None:
    """Train one recipe; weights and card appear in `out`, intermediate state in `work`.

    Raises
    ------
    SpinecoreError
        If the recipe or the data folder does not exist, or the pool would be too small.
    """
    recipe = make_recipe(name)
    folder = data or default_data()
    if not folder.is_dir():
        raise SpinecoreError(
            f"the data folder {folder} does not exist: give it with --data or set SPINE_DATA"
        )
    if pool_size is not None and pool_size < FEWEST_STACKS:
        raise SpinecoreError(
            f"a training needs at least {FEWEST_STACKS} simulated stacks: give a larger --stacks"
        )
    # torch is loaded only where something is trained
    from spinecore.networks.device import pick_device
    from spinecore.training.engine import run

    length = RECIPES[name].minutes if minutes is None else minutes
    context = Context(folder, work, length, pick_device(device), resume, pool_size=pool_size or POOL_SIZE)
    run(recipe, context, out, precision)
