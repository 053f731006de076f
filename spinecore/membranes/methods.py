"""The methods that find membranes: their weights and what to tell people about them."""

from __future__ import annotations

from dataclasses import dataclass

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import MODELS_DIR

DEFAULT_METHOD = "membrane-fast"


@dataclass(frozen=True)
class MembraneMethod:
    """A network for membranes; the weights in `models/` bear its name.

    Parameters
    ----------
    name, title : str
    about : str
        One sentence for people.
    published_as : str
        Its name in the table of Gupta and Verma; empty for ours.
    """

    name: str
    title: str
    about: str
    published_as: str = ""

    @property
    def has_weights(self) -> bool:
        """Whether its weights are there."""
        return (MODELS_DIR / f"{self.name}.safetensors").exists()


_ALL = (
    MembraneMethod(
        "membrane-fast",
        "Membrane-fast (default)",
        "Residual U-Net of 1.9 million parameters with wide context; it also learns the lines between cells",
    ),
    MembraneMethod(
        "unet-weighted",
        "Weighted U-Net",
        "Published U-Net of 31 million parameters, same padding, dropout, weight maps",
        "weighted_unet",
    ),
    MembraneMethod(
        "unet-valid",
        "U-Net, valid padding",
        "Published U-Net of 31 million parameters, valid padding, overlapping tiles",
        "unet1",
    ),
    MembraneMethod(
        "unet-small",
        "Small U-Net",
        "Published U-Net of 8.6 million parameters, same padding, dropout",
        "unet2",
    ),
    MembraneMethod(
        "dmcn",
        "Deep multilevel contextual network",
        "Published network of 7.7 million parameters that fuses four levels",
        "DMCN",
    ),
)
#: Every method there is; `METHODS` holds those whose weights are here.
KNOWN: dict[str, MembraneMethod] = {method.name: method for method in _ALL}
METHODS: dict[str, MembraneMethod] = {name: method for name, method in KNOWN.items() if method.has_weights}

#: Scores of the publication: IoU, Dice, pixel error, Rand error (its own split of the challenge's 30 sections).
PUBLISHED: dict[str, tuple[float, float, float, float]] = {
    "dmcn": (0.8760, 0.9528, 0.0732, 0.1355),
    "unet-weighted": (0.9020, 0.9617, 0.0599, 0.1124),
    "unet-valid": (0.8980, 0.9623, 0.0578, 0.1087),
    "unet-small": (0.8840, 0.9556, 0.0690, 0.1282),
}


def get_method(name: str) -> MembraneMethod:
    """Return a method by name.

    Raises
    ------
    SpinecoreError
        If there is none of that name, or its weights are not here.
    """
    if name in METHODS:
        return METHODS[name]
    if name in KNOWN:
        raise SpinecoreError(
            f"the weights of {name} are not here: make them with python -m spinecore train {name}"
        )
    raise SpinecoreError(
        f"there is no method {name!r} for membranes: choose one of {', '.join(METHODS) or 'none'}"
    )
