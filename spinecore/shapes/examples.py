"""Labelled spines that a spine looks like to a network: more telling than a heat map.

The examples are patches of classes2d/train (Meng-De-Gong 2025; MIT, see `examples.LICENSE.txt`), written by
`python -m benchmarks.shape_examples`. None of them is a validation spine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from spinecore.networks.device import device_of, one_thread
from spinecore.networks.zoo import Network
from spinecore.shapes.patches import Patch

EXAMPLES = Path(__file__).with_name("examples.npz")
#: What stored bytes mean: 0 is the first, 255 the second.
ENDS = (-0.5, 1.5)
_features: WeakKeyDictionary[Any, np.ndarray] = WeakKeyDictionary()


@dataclass(frozen=True)
class Examples:
    """Labelled spines.

    Parameters
    ----------
    planes : ndarray, float32, shape (n, 3, PATCH_PX, PATCH_PX)
        As the networks see them.
    labels : tuple of str
        The data's own labels: the four classes, or "ball".
    """

    planes: np.ndarray
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Neighbour:
    """An example and how near it is: cosine of the angle between the networks' vectors, 1 for the same."""

    index: int
    label: str
    likeness: float


def to_bytes(planes: np.ndarray) -> np.ndarray:
    """Return planes as they are stored, uint8."""
    share = (np.asarray(planes, np.float32) - ENDS[0]) / (ENDS[1] - ENDS[0])
    return (np.clip(share, 0, 1) * 255).round().astype(np.uint8)


@lru_cache(maxsize=1)
def read_examples(path: Path = EXAMPLES) -> Examples | None:
    """Return the examples, None where there are none."""
    if not path.exists():
        return None
    with np.load(path) as stored:
        planes = stored["planes"].astype(np.float32) / 255 * (ENDS[1] - ENDS[0]) + ENDS[0]
        labels = tuple(str(label) for label in stored["labels"])
    planes[:, 1] = planes[:, 1] >= 0.5
    return Examples(planes, labels)


def nearest_examples(
    patches: Sequence[Patch], classifier: Network, examples: Examples, count: int = 3
) -> list[list[Neighbour]]:
    """Return the examples most like each spine, by the vector that the network decides from, nearest first."""
    network = classifier.model
    if network not in _features:
        _features[network] = _vectors(network, examples.planes)
    known = _features[network]
    own = _vectors(network, np.stack([patch.planes for patch in patches]).astype(np.float32))
    middle = known.mean(0)
    likeness = _unit(own - middle) @ _unit(known - middle).T
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :count]
    return [
        [Neighbour(int(k), examples.labels[k], float(row[k])) for k in first]
        for row, first in zip(likeness, order, strict=True)
    ]


def _vectors(network: Any, planes: np.ndarray) -> np.ndarray:
    import torch

    out = []
    with torch.inference_mode(), one_thread():
        for start in range(0, len(planes), 64):
            block = torch.from_numpy(planes[start : start + 64]).to(device_of(network))
            out.append(network.features(block).float().cpu().numpy())
    return np.concatenate(out)


def _unit(values: np.ndarray) -> np.ndarray:
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-9))
