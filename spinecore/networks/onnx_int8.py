"""U-Nets in whole numbers of 8 bits, which processors with dot products of bytes compute twice as fast or more.

Weights are rounded with one scale a filter, to 8 bits or, for processors that add their products up in 16 bits, to 7. What flows between the
convolutions has one scale a tensor; only the answer is float32. The scales come from the lowest and highest value that each tensor had on typical
images (`measure_ranges`). They stand on the card of the weights that they were measured with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper
from torch import nn

from spinecore.networks.byte_products import LARGEST_WEIGHTS, largest_weight
from spinecore.networks.onnx_graph import OWN_DOMAIN, Graph, kernel, network_graph

#: Lowest and highest value of each tensor that is rounded, in the order of the graph.
Ranges = list[tuple[float, float]]
_STEPS = 255
#: Images get channels of zeros up to a multiple of this.
_CHANNELS = 8
#: A tensor that is 0 on all images is rounded as if it reached this.
_LEAST = 1e-6


class _Scale(NamedTuple):
    """How a tensor is rounded; `step` and `zero` are names in the graph."""

    low: float
    high: float
    step: str
    zero: str

    @property
    def width(self) -> np.float32:
        """One step."""
        return np.float32((self.high - self.low) / _STEPS)


class RoundedGraph(Graph):
    """Writes a graph in whole numbers, with the channels last and ONNX Runtime's own operators for both.

    Parameters
    ----------
    ranges : list of (float, float)
        See `Ranges`.
    largest : int, optional
        Of the whole weights; by default as large as this processor allows.
    """

    def __init__(self, ranges: Ranges, largest: int | None = None) -> None:
        super().__init__()
        self._ranges = list(ranges)
        self._largest = largest or largest_weight() or LARGEST_WEIGHTS[-1]
        self._scales: dict[str, _Scale] = {}
        self._image = ""

    def _scale(self, low: float, high: float) -> _Scale:
        low, high = min(low, 0.0), max(high, _LEAST)
        zero = np.clip(round(-low / (high - low) * _STEPS), 0, _STEPS)
        step = self.constant((high - low) / _STEPS)
        return _Scale(low, high, step, self.constant(zero, np.uint8))

    def _next_scale(self, relu: bool = False) -> _Scale:
        """Return the scale of the next tensor that is rounded; a Relu is one that ends at 0."""
        low, high = self._ranges[len(self.values)]
        return self._scale(0.0 if relu else low, high)

    def _own(self, kind: str, inputs: list[str], scale: _Scale, **attributes: Any) -> str:
        """Append one of ONNX Runtime's operators."""
        out = self.add(kind, inputs, domain=OWN_DOMAIN, **attributes)
        self._scales[out] = scale
        return out

    def _with_scale(self, x: str) -> list[str]:
        return [x, self._scales[x].step, self._scales[x].zero]

    def image(self, x: str, channels: int) -> str:
        """Round a tensor (n, channels, y, x)."""
        scale = self._next_scale()
        x = self.add("QuantizeLinear", [self.value(x), scale.step, scale.zero])
        x = self.add("Transpose", [x], perm=[0, 2, 3, 1])
        more = [0, 0, 0, 0, 0, 0, 0, -channels % _CHANNELS]
        if any(more):  # odd numbers of channels take several times as long
            x = self.add("Pad", [x, self.constant(more, np.int64), scale.zero])
        self._scales[x], self._image = scale, x
        return x

    def weighted(
        self, weight: torch.Tensor, bias: torch.Tensor | None, x: str, relu: bool, stride: int = 1
    ) -> str:
        """Append a convolution; as the numbers of a Relu begin at 0, it is in the rounding."""
        if x == self._image:
            weight = F.pad(weight, (0, 0, 0, 0, 0, -weight.shape[1] % _CHANNELS))
        whole, steps = _rounded_kernel(weight, self._largest)
        scale = self._next_scale(relu)
        given = [*self._with_scale(x), self.constant(whole, np.int8), self.constant(steps)]
        given += [self.constant(np.zeros(len(steps)), np.int8), scale.step, scale.zero]
        if bias is not None:
            steps = steps.astype(np.float32) * self._scales[x].width
            given.append(self.constant(np.round(bias.detach().cpu().numpy() / steps), np.int32))
        return self.value(self._own("QLinearConv", given, scale, channels_last=1, **kernel(weight, stride)))

    def last_conv(self, conv: nn.Conv2d, x: str) -> str:
        """Append the convolution of one pixel that gives the answer in float32."""
        whole, steps = _rounded_kernel(conv.weight, self._largest)
        out = self.add(
            "MatMulInteger",
            [x, self.constant(whole[:, :, 0, 0].T, np.int8), self._scales[x].zero],
        )
        out = self.add("Cast", [out], to=TensorProto.FLOAT)
        out = self.add("Mul", [out, self.constant(steps * self._scales[x].width)])
        if conv.bias is not None:
            out = self.add("Add", [out, self.constant(conv.bias)])
        return self.add("Transpose", [out], perm=[0, 3, 1, 2])

    def total(self, one: str, other: str) -> str:
        """Append a sum with a Relu after it."""
        scale = self._next_scale(relu=True)
        given = [*self._with_scale(one), *self._with_scale(other), scale.step, scale.zero]
        return self.value(self._own("QLinearAdd", given, scale))

    def join(self, parts: list[str]) -> str:
        """Put channels together, rounded with a scale that holds them all."""
        scales = [self._scales[part] for part in parts]
        scale = self._scale(min(s.low for s in scales), max(s.high for s in scales))
        given = [name for part in parts for name in self._with_scale(part)]
        return self._own("QLinearConcat", [scale.step, scale.zero, *given], scale, axis=3)

    def halve(self, x: str) -> str:
        """Append the highest of 2 x 2 pixels."""
        return self._own("NhwcMaxPool", [x], self._scales[x], kernel_shape=[2, 2], strides=[2, 2])

    def double(self, x: str) -> str:
        """Append a linear magnification by two; between floats, which ONNX Runtime does faster."""
        scale = self._scales[x]
        given = [self.add("DequantizeLinear", self._with_scale(x)), "", self.constant([1, 2, 2, 1])]
        out = self.add("Resize", given, mode="linear", coordinate_transformation_mode="half_pixel")
        out = self.add("QuantizeLinear", [out, scale.step, scale.zero])
        self._scales[out] = scale
        return out


def _rounded_kernel(weight: torch.Tensor, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a convolution's weights in whole numbers up to the largest, and the step of each filter."""
    numbers = weight.detach().cpu().numpy().astype(np.float64)
    steps = np.maximum(np.abs(numbers).reshape(len(numbers), -1).max(1), _LEAST) / largest
    return np.round(numbers / steps.reshape(-1, *[1] * (numbers.ndim - 1))), steps


def measure_ranges(model: nn.Module, given: Iterable[Mapping[str, np.ndarray]]) -> Ranges:
    """Return the lowest and highest value of every tensor that is rounded.

    Parameters
    ----------
    model : Module
        Of a kind that `spinecore.networks.onnx_graph.network_graph` knows.
    given : iterable of mappings
        Typical inputs, float32, by their name in the graph.
    """
    graph = Graph()
    written = network_graph(model, graph)
    for name in graph.values:
        written.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(written.SerializeToString(), providers=["CPUExecutionProvider"])
    low, high = np.full(len(graph.values), np.inf), np.full(len(graph.values), -np.inf)
    for feed in given:
        found = session.run(graph.values, dict(feed))
        low = np.minimum(low, [float(values.min()) for values in found])
        high = np.maximum(high, [float(values.max()) for values in found])
    return [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
