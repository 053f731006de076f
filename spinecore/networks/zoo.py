"""Weight files with their cards: list, load, save. Safetensors only; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.files import write_atomic, write_json
from spinecore.networks.engine import cpu_engine
from spinecore.paths import MODELS_DIR

#: What the name of a stored scale of 8-bit weights ends in.
SCALE = ".scale"


@dataclass(frozen=True)
class Card:
    """What is known about a weight file; `data` is the card's JSON."""

    name: str
    path: Path
    data: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The safetensors file beside the card."""
        return self.path.with_suffix(".safetensors")

    @property
    def rounding(self) -> list[tuple[float, float]] | None:
        """How the network is rounded to 8 bits (`spinecore.networks.onnx_int8.Ranges`); None where that was not measured.

        Ranges of other weights do not count: a card that was copied from another may carry them.
        """
        known = self.data.get("int8") or {}
        return [(low, high) for low, high in known["ranges"]] if known.get("sha256") == self.sha256 else None

    @property
    def sha256(self) -> str:
        """Checksum written at training time."""
        return str(self.data["sha256"])


def list_cards(folder: Path = MODELS_DIR) -> list[Card]:
    """Return the cards of all weight files in a folder, by name."""
    cards = []
    for path in sorted(folder.glob("*.json")):
        if path.with_suffix(".safetensors").exists():
            cards.append(Card(path.stem, path, json.loads(path.read_text(encoding="utf-8"))))
    return cards


def get_card(name: str, folder: Path = MODELS_DIR) -> Card:
    """Return one card.

    Raises
    ------
    SpinecoreError
        If there is no such model.
    """
    for card in list_cards(folder):
        if card.name == name:
            return card
    have = ", ".join(c.name for c in list_cards(folder)) or "none"
    raise SpinecoreError(f"there is no model named {name!r} in {folder.name}/: choose one of {have}")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def build_network(architecture: dict[str, Any]) -> Any:
    """Build the (untrained) network that a card's `architecture` describes."""
    kind = architecture.get("kind")
    if kind == "unet2d":
        from spinecore.networks.unet import UNet2d

        return UNet2d(
            architecture["in_channels"], architecture["out_channels"], tuple(architecture["widths"])
        )
    if kind in ("faster-rcnn", "panoptic"):
        from spinecore.networks.detectors import build_detector

        return build_detector(architecture)
    if kind == "unet3d":
        from spinecore.networks.unet3d import UNet3d

        return UNet3d(
            architecture["in_channels"],
            architecture["out_channels"],
            tuple(architecture["widths"]),
            tuple(architecture["spacing_zyx_um"]),
        )
    if kind == "head-score":
        from spinecore.networks.headscore import HeadScore

        return HeadScore(architecture["channels"], architecture["width"])
    if kind == "spine-size":
        from spinecore.networks.spinesize import SpineSize

        return SpineSize(architecture["channels"], architecture["width"], architecture["middle"])
    if kind in ("shape-resnet", "shape-joint", "shape-focus"):
        from spinecore.networks.shapes import build_shape_network

        return build_shape_network(architecture)
    if str(kind).startswith("membrane-"):
        from spinecore.networks.membranes import build_membrane_network

        return build_membrane_network(architecture)
    raise SpinecoreError(f"the card names an architecture that this version does not know: {kind!r}")


def memory_format(model: Any) -> Any:
    """Return the channels-last layout that fits a network's convolutions (2-D or 3-D)."""
    import torch

    volumes = any(p.dim() == 5 for p in model.parameters())
    return torch.channels_last_3d if volumes else torch.channels_last


@dataclass(frozen=True)
class Network:
    """A network with its weights loaded, on the device where it runs, and their card."""

    card: Card
    model: Any


def load_network(name: str, device: str = "cpu", folder: Path = MODELS_DIR, folded: bool = False) -> Any:
    """Return the model of a name's weights; see `load_card`."""
    return load_card(get_card(name, folder), device, folded).model


def load_card(card: Card, device: str = "cpu", folded: bool = False) -> Network:
    """Return a network ready for prediction (evaluation mode, channels last, float32 weights).

    The last six are kept, by what their card says.

    Parameters
    ----------
    card : Card
    device : str
        "cpu", "cuda" or "mps" (`spinecore.networks.device.pick_device`); afterwards the model's own.
    folded : bool
        In its fastest form, which cannot learn on: a 2-D U-Net without batch normalisation
        (`spinecore.networks.unet.folded`), on a processor by the engine chosen (`spinecore.networks.engine`).

    Raises
    ------
    SpinecoreError
        If the file is missing, changed since training, or does not fit its card.
    """
    key = _Key(card.path, card.sha256, card)
    if not folded:
        return Network(card, _load(key, device))
    return Network(card, _fastest(key, device, cpu_engine().name if device == "cpu" else ""))


@dataclass(frozen=True)
class _Key:
    """Weights in the cache; the card is only carried along."""

    path: Path
    sha256: str
    card: Card = field(compare=False)


@lru_cache(maxsize=6)
def _load(key: _Key, device: str) -> Any:
    from safetensors.torch import load_file

    card = key.card
    _check_weights(card)
    model = build_network(card.data["architecture"])
    try:
        model.load_state_dict(full_precision(load_file(card.weights)))
    except RuntimeError as error:
        raise SpinecoreError(f"{card.weights.name} does not fit the architecture on its card") from error
    return model.to(device).to(memory_format=memory_format(model)).eval()


#: Kinds of networks that `spinecore.networks.onnx_graph` can write down.
_ONNX_KINDS = ("unet2d", "head-score", "spine-size", "shape-joint", "shape-focus")


@lru_cache(maxsize=6)
def _fastest(key: _Key, device: str, engine: str) -> Any:
    kind = key.card.data["architecture"]["kind"]
    if kind in _ONNX_KINDS and engine in ("onnx", "onnx-int8"):
        return _onnx_network(key, key.card.rounding if engine == "onnx-int8" else None)
    from spinecore.networks.unet import folded

    model = folded(_load(key, device))
    return model.to(memory_format=memory_format(model))


def _onnx_network(key: _Key, rounding: list[tuple[float, float]] | None) -> Any:
    """Return a network that ONNX Runtime computes; PyTorch is loaded only where it was never written before."""
    from spinecore.networks.onnx_export import cached, exported
    from spinecore.networks.onnx_runtime import OnnxNetwork

    _check_weights(key.card)
    return OnnxNetwork(cached(key.sha256, rounding, lambda: exported(_load(key, "cpu"), rounding)))


def _check_weights(card: Card) -> None:
    if file_sha256(card.weights) != card.sha256:
        raise SpinecoreError(
            f"{card.weights.name} is not the file its card describes (checksum differs): download it again"
        )


def forget_networks() -> None:
    """Load weights anew when they are next asked for."""
    _fastest.cache_clear()
    _load.cache_clear()


def full_precision(stored: dict[str, Any]) -> dict[str, Any]:
    """Return the float32 state of stored weights: halves, or whole numbers of 8 bits with a scale for each channel."""
    import torch

    state = {}
    for key, value in stored.items():
        if value.dtype == torch.int8:
            scale = stored[key + SCALE]
            state[key] = value.float() * scale.view(-1, *[1] * (value.dim() - 1))
        elif not key.endswith(SCALE):
            state[key] = value.float() if value.is_floating_point() else value
    return state


def rounded(state: dict[str, Any], bits: int) -> dict[str, Any]:
    """Return a state for storing: 16 bits a weight, or 8 with a scale for each channel (the first axis) of a kernel."""
    import torch

    out = {}
    for key, value in state.items():
        value = value.detach().cpu()
        if bits == 8 and value.is_floating_point() and value.dim() > 1:
            scale = value.abs().flatten(1).amax(1).clamp(min=1e-12) / 127
            out[key] = (value / scale.view(-1, *[1] * (value.dim() - 1))).round().to(torch.int8)
            out[key + SCALE] = scale.float()
        else:
            out[key] = value.half() if value.is_floating_point() else value
    return {key: value.contiguous() for key, value in out.items()}


def save_network(
    model: Any, name: str, card: dict[str, Any], folder: Path = MODELS_DIR, bits: int = 16
) -> Card:
    """Write weights of 16 or 8 bits (see `rounded`) and their card; the card gets size, parameters and checksum."""
    from safetensors.torch import save

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    state = rounded(model.state_dict(), bits)
    write_atomic(weights, save(state))  # `save_file` would keep others from reading it
    full = {
        "name": name,
        **card,
        "parameters": int(sum(p.numel() for p in model.parameters())),
        "bytes": weights.stat().st_size,
        "sha256": file_sha256(weights),
    }
    path = folder / f"{name}.json"
    write_card(path, full)
    return Card(name, path, full)


def write_card(path: Path, data: dict[str, Any]) -> None:
    """Write a card's JSON."""
    write_json(path, data)
