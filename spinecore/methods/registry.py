"""The list of methods, without loading any of them."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any


class MethodError(ValueError):
    """A method cannot be used; one sentence for the user."""


@dataclass(frozen=True)
class Method:
    """A method's module (with a `predict` function), its weight files and words for the user."""

    name: str
    title: str
    module: str
    model_2d: str
    model_3d: str
    good_at: str

    def model_for(self, is_2d: bool) -> str:
        """Name of the weights used for a single image, or for a stack."""
        return self.model_2d if is_2d else self.model_3d

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Call the module's `predict(stack, device, tick)`; see `spinecore.methods.centre_unet.predict`."""
        return import_module(self.module).predict(*args, **kwargs)


DEFAULT_METHOD = "centre-unet"

METHODS: dict[str, Method] = {
    "centre-unet": Method(
        name="centre-unet",
        title="Centre U-Net (default)",
        module="spinecore.methods.centre_unet",
        model_2d="centre-unet-2d",
        model_3d="centre-unet-3d",
        good_at="2-D images and 3-D stacks, confocal and two-photon; finds crowded spines by their heads",
    ),
}


def get_method(name: str) -> Method:
    """Return a method by name.

    Raises
    ------
    MethodError
        If there is none of that name.
    """
    if name not in METHODS:
        raise MethodError(f"there is no method {name!r}: choose one of {', '.join(METHODS)}")
    return METHODS[name]
