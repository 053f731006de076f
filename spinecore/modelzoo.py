"""Weight files with their cards: list, load, save. Safetensors only; nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

#: Where shipped weights live: `models/` beside the package.
MODELS_DIR = Path(__file__).resolve().parent.parent / "models"


class ModelError(ValueError):
    """A weight file or card cannot be used; the message is one sentence for the user."""


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
    ModelError
        If there is no such model.
    """
    for card in list_cards(folder):
        if card.name == name:
            return card
    have = ", ".join(c.name for c in list_cards(folder)) or "none"
    raise ModelError(f"there is no model named {name!r} in {folder.name}/: choose one of {have}")


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
    if kind in ("shape-resnet", "shape-joint"):
        from spinecore.networks.shapes import build_shape_network

        return build_shape_network(architecture)
    raise ModelError(f"the card names an architecture that this version does not know: {kind!r}")


def memory_format(model: Any) -> Any:
    """Return the channels-last layout that fits a network's convolutions (2-D or 3-D)."""
    import torch

    volumes = any(p.dim() == 5 for p in model.parameters())
    return torch.channels_last_3d if volumes else torch.channels_last


@lru_cache(maxsize=4)
def load_network(name: str, device: str = "cpu", folder: Path = MODELS_DIR) -> Any:
    """Return a model ready for prediction (evaluation mode, channels last, float32 weights).

    Raises
    ------
    ModelError
        If the file is missing, changed since training, or does not fit its card.
    """
    from safetensors.torch import load_file

    card = get_card(name, folder)
    if file_sha256(card.weights) != card.sha256:
        raise ModelError(
            f"{card.weights.name} is not the file its card describes (checksum differs): download it again"
        )
    model = build_network(card.data["architecture"])
    try:
        model.load_state_dict(
            {k: v.float() if v.is_floating_point() else v for k, v in load_file(card.weights).items()}
        )
    except RuntimeError as error:
        raise ModelError(f"{card.weights.name} does not fit the architecture on its card") from error
    return model.to(device).to(memory_format=memory_format(model)).eval()


def save_network(model: Any, name: str, card: dict[str, Any], folder: Path = MODELS_DIR) -> Card:
    """Write half-precision weights and their card; the card gets size, parameters and checksum."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / f"{name}.safetensors"
    state = {
        k: (v.half() if v.is_floating_point() else v).contiguous().cpu()
        for k, v in model.state_dict().items()
    }
    temporary = weights.with_name(f".{weights.name}.tmp")
    save_file(state, temporary)
    temporary.replace(weights)
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
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
