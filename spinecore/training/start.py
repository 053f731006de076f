"""The weights that a training begins with."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from spinecore.errors import SpinecoreError
from spinecore.networks.zoo import get_card, load_network
from spinecore.training.schedule import Start


def load_shipped_weights(model: nn.Module, name: str, architecture: dict[str, Any]) -> Start:
    """Load the weights of a name in `models/` into a network if they have its architecture; else leave it as it is."""
    try:
        card = get_card(name)
    except SpinecoreError:
        return Start()
    if card.data["architecture"] != architecture:
        return Start()
    model.load_state_dict(load_network(name).state_dict())
    return Start(f"the weights before, sha256 {card.sha256}", goes_on=True)


def with_more_channels(before: nn.Module, model: nn.Module) -> nn.Module:
    """Return a copy, in evaluation mode, of a network that reads more channels, with the weights of one that gives the same answers whatever is in these.

    Parameters
    ----------
    before : Module
        Reads the first channels only, or as many.
    model : Module
        Of the same kind; not changed.
    """
    state, more = before.state_dict(), copy.deepcopy(model)
    own = more.state_dict()
    for key, wanted in own.items():
        value = state[key]
        if value.shape != wanted.shape:
            filled = torch.zeros_like(wanted)
            filled[:, : value.shape[1]] = value
            value = filled
        own[key] = value.to(wanted)
    more.load_state_dict(own)
    return more.eval()


def mean_of(model: nn.Module, start: nn.Module) -> nn.Module:
    """Return the mean of a network's weights and those that its training went on from.

    It keeps more of what the earlier weights can do on data that the later training shows less of (Wortsman et al. 2022, "Robust
    fine-tuning of zero-shot models").
    """
    before, mean = start.state_dict(), copy.deepcopy(model)
    mean.load_state_dict(
        {
            key: (value + before[key].to(value)) / 2 if value.is_floating_point() else value
            for key, value in model.state_dict().items()
        }
    )
    return mean


def best_of_state(state_file: Path) -> dict[str, torch.Tensor] | None:
    """Return the best weights so far of a training whose state is in a file; None where there is none."""
    if not state_file.exists():
        return None
    best: dict[str, torch.Tensor] | None = torch.load(state_file, map_location="cpu", weights_only=True)[
        "best"
    ]
    return best


def load_base_weights(model: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Copy a 2-D base network's weights into one with fewer input planes or maps.

    The planes of a smaller network's first layer are summed; maps that it lacks are left out.
    """
    own = model.state_dict()
    for key, wanted in own.items():
        value = state[key]
        if value.dim() == 4 and value.shape[1] != wanted.shape[1]:
            value = value.sum(1, keepdim=True)
        own[key] = value[: len(wanted)] if value.dim() else value
    model.load_state_dict(own)


def set_head_bias(model: Any, logits: tuple[float, ...]) -> None:
    """Set the bias of a U-Net's last layer, one logit a map, so that the first losses are small."""
    with torch.no_grad():
        model.head.bias.copy_(torch.tensor(logits))
