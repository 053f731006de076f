"""Asking a network: arrays in, arrays out, whatever computes it and wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from spinecore.networks.device import inference, onnx_engine
from spinecore.networks.views import View


def answer(model: Any, *given: np.ndarray) -> np.ndarray:
    """Return what a network says of some arrays, float32.

    Parameters
    ----------
    model : spinecore.networks.onnx_runtime.OnnxNetwork or torch.nn.Module
        The latter computes on the device of its weights.
    *given : ndarray
        What its `forward` takes.
    """
    if onnx_engine(model):
        return np.asarray(model(*given))
    with inference(model) as device:
        return np.asarray(model(*(_tensor(array, device) for array in given)).float().cpu().numpy())


def probabilities(model: Any, image: np.ndarray, views: tuple[View, ...]) -> np.ndarray:
    """Return the mean over views of what a network's logits mean, float32 (maps, Y, X).

    Parameters
    ----------
    model : spinecore.networks.onnx_runtime.OnnxNetwork or torch.nn.Module
        Takes (N, planes, Y, X), gives logits of the same size.
    image : ndarray, float32, shape (planes, Y, X)
    views : tuple of View
    """
    if onnx_engine(model):
        return np.asarray(_mean_view(model, image[None], views, logistic))
    import torch

    with inference(model) as device:

        def ask(seen: torch.Tensor) -> torch.Tensor:
            return model(seen.contiguous(memory_format=torch.channels_last)).float()

        maps = _mean_view(ask, _tensor(image[None], device), views, torch.sigmoid)
        return np.asarray(maps.cpu().numpy())


def _mean_view(
    ask: Callable[[Any], Any], image: Any, views: tuple[View, ...], chance: Callable[[Any], Any]
) -> Any:
    first, *others = [view.back(chance(ask(view.of(image)))) for view in views]
    return sum(others, start=first)[0] / len(views)


def _tensor(array: np.ndarray, device: Any) -> Any:
    """Return an array as a tensor on a device, images and single volumes with the channels last."""
    import torch

    tensor = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)
    if tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if tensor.dim() == 5 and len(tensor) == 1:
        return tensor.contiguous(memory_format=torch.channels_last_3d)
    return tensor


def logistic(logits: np.ndarray) -> np.ndarray:
    """Return probabilities of logits.

    Examples
    --------
    >>> logistic(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    with np.errstate(over="ignore"):
        out = np.exp(np.negative(logits))
    out += 1
    return np.reciprocal(out, out=out)


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of classes, which stand along the last axis.

    Examples
    --------
    >>> softmax(np.array([0.0, 0.0, -1000.0]))
    array([0.5, 0.5, 0. ])
    """
    out = np.exp(logits - logits.max(-1, keepdims=True))
    return np.asarray(out / out.sum(-1, keepdims=True))
