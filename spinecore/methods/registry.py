"""The list of methods, without loading any of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.methods.prediction import Prediction
from spinecore.methods.weights import SCORER, SIZER, Weights, load_reading
from spinecore.networks.device import pick_device
from spinecore.networks.tiles import Tick
from spinecore.networks.zoo import MODELS_DIR, Card, get_card, load_card
from spinecore.stack import Stack


@dataclass(frozen=True)
class Method:
    """A method's module (with a `predict` function), its weight files and words for the user.

    `options` are further arguments of `predict`; `further_models` score the heads of stacks and read their sizes;
    `dendrites_from` names the method whose dendrites are taken, where it finds none of its own; `skips_empty`: its `predict` takes
    `everywhere`.
    """

    name: str
    title: str
    module: str
    model_2d: str
    model_3d: str
    good_at: str
    options: dict[str, Any] = field(default_factory=dict)
    further_models: tuple[str, ...] = ()
    dendrites_from: str | None = None
    skips_empty: bool = False

    @property
    def has_weights(self) -> bool:
        """Whether its weight files are in `models/`."""
        return all((MODELS_DIR / f"{n}.safetensors").exists() for n in (self.model_2d, self.model_3d))

    @property
    def model_names(self) -> list[str]:
        """Names of all its weights."""
        return list(dict.fromkeys([self.model_2d, self.model_3d, *self.further_models]))

    def model_for(self, is_2d: bool) -> str:
        """Name of the weights used for a single image, or for a stack."""
        return self.model_2d if is_2d else self.model_3d

    def roles(self, is_2d: bool) -> tuple[str, ...]:
        """Names of the weights that own ones can take the place of: those used, and in stacks those that score the heads."""
        further = (SCORER,) if SCORER in self.further_models and not is_2d else ()
        return (self.model_for(is_2d), *further)

    def load(
        self,
        is_2d: bool,
        device: str = "auto",
        main: Card | None = None,
        scorer: Card | None = None,
    ) -> Weights:
        """Load the networks that a single image, or a stack, goes through.

        Parameters
        ----------
        is_2d : bool
        device : str
            One of `spinecore.networks.device.DEVICES`.
        main : Card, optional
            Own weights that take the place of the method's.
        scorer : Card, optional
            Own weights that score the heads of a stack, in place of the shipped ones.

        Raises
        ------
        SpinecoreError
            If weights are missing, changed or do not fit their card, or there is no such device.
        """
        where = pick_device(device)
        card = main or get_card(self.model_for(is_2d))
        network = load_card(card, where, folded=card.data["architecture"]["kind"] == "unet2d")
        heads = sizes = dendrites = None
        if self.further_models and not is_2d:
            heads, sizes = (load_reading(name, card, where) for name in self.further_models)
        if scorer is not None:
            heads = load_card(scorer, where, folded=True)
        if self.dendrites_from is not None:
            default = get_card(KNOWN[self.dendrites_from].model_for(is_2d))
            dendrites = load_card(default, where, folded=True)
        return Weights(network, heads, sizes, dendrites)

    def predict(self, stack: Stack, weights: Weights, tick: Tick | None = None, **options: Any) -> Prediction:
        """Run the method over a stack.

        Parameters
        ----------
        stack : Stack
            With known in-plane spacing (um); an unknown slice distance is taken as 1 um.
        weights : Weights
            From `load`.
        tick : callable, optional
            Called with the finished share 0..1; may raise to stop.
        **options
            Further arguments of the module's `predict`.

        Raises
        ------
        SpinecoreError
            If the in-plane pixel size is unknown.
        """
        module = import_module(self.module)  # some load torch, which takes seconds
        made: Prediction = module.predict(stack, weights, tick, **(self.options | options))
        if hasattr(weights.main.model, "give_memory_back"):
            weights.main.model.give_memory_back()  # tracing needs as much again
        return made


DEFAULT_METHOD = "centre-unet"

#: Every method there is; `METHODS` holds those that can be chosen here.
KNOWN: dict[str, Method] = {
    "centre-unet": Method(
        name="centre-unet",
        title="Centre U-Net (default)",
        module="spinecore.methods.centre_unet",
        model_2d="centre-unet-2d",
        model_3d="centre-unet-3d",
        good_at="2-D images and 3-D stacks, confocal and two-photon; finds crowded spines by their heads",
        further_models=(SCORER, SIZER),
        skips_empty=True,
    ),
    "mip-unet": Method(
        name="mip-unet",
        title="U-Net on projections (Chen, Su and Lai)",
        module="spinecore.methods.mip_unet",
        model_2d="mip-unet",
        model_3d="mip-unet",
        good_at="single images and thin, sparse stacks; fast, since a stack becomes a few projections",
    ),
    "unet3d": Method(
        name="unet3d",
        title="3-D U-Net (Vidaurre-Gallart et al. 2022)",
        module="spinecore.methods.unet3d",
        model_2d="unet3d",
        model_3d="unet3d",
        good_at="outlines in stacks: segments shaft and spines in the volume itself; slow",
    ),
    "faster-rcnn": Method(
        name="faster-rcnn",
        title="Faster R-CNN, linked through z (Vogel et al. 2023)",
        module="spinecore.methods.faster_rcnn",
        model_2d="faster-rcnn",
        model_3d="faster-rcnn",
        good_at="comparing with the published system: a box for each spine in each slice; it finds no dendrites "
        "and no outlines, so dendrites are the default method's and outlines the bright part of a box",
        dendrites_from=DEFAULT_METHOD,
    ),
    "faster-rcnn-fast": Method(
        name="faster-rcnn-fast",
        title="Faster R-CNN on thin projections (fast)",
        module="spinecore.methods.faster_rcnn",
        model_2d="faster-rcnn",
        model_3d="faster-rcnn",
        good_at="a first look at deep stacks with the system above: depth is known to 1.5 µm only; dendrites are "
        "the default method's",
        options={"mode": "fast projection"},
        dendrites_from=DEFAULT_METHOD,
    ),
    "panoptic": Method(
        name="panoptic",
        title="Mask R-CNN and FCN, merged (Sharma 2024)",
        module="spinecore.methods.panoptic",
        model_2d="panoptic",
        model_3d="panoptic",
        good_at="comparing with the published system: outlines of single spines, and dendrites of its own, on "
        "projections; stacks go through slice by slice",
    ),
}

#: A method without its weights is not offered.
METHODS: dict[str, Method] = {n: m for n, m in KNOWN.items() if n == DEFAULT_METHOD or m.has_weights}


def get_method(name: str) -> Method:
    """Return a method by name.

    Raises
    ------
    SpinecoreError
        If there is none of that name.
    """
    if name in KNOWN and name not in METHODS:
        recipes = " and ".join(
            f"`python -m spinecore train {m}`" for m in sorted({KNOWN[name].model_2d, KNOWN[name].model_3d})
        )
        raise SpinecoreError(
            f"the weights of {name!r} are not in {MODELS_DIR.name}/: make them with {recipes}"
        )
    if name not in METHODS:
        raise SpinecoreError(f"there is no method {name!r}: choose one of {', '.join(METHODS)}")
    return METHODS[name]
