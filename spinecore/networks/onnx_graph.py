"""Networks as ONNX graphs, for ONNX Runtime on processors.

The graphs are written down here and not traced: a trace needs further packages, and fixes the image's size. Batch
normalisation is folded into the convolution before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from spinecore.networks.cubes import CUBE_SHAPE
from spinecore.networks.headscore import HeadScore, Tower
from spinecore.networks.shapes import FocusShapeNet, JointShapeNet
from spinecore.networks.spinesize import SPREAD, SpineSize
from spinecore.networks.unet import UNet2d, folded

#: Read by ONNX Runtime 1.15 and newer.
OPSET, IR_VERSION = 17, 8
#: Of ONNX Runtime's own operators.
OWN_DOMAIN = "com.microsoft"
#: A shape in a graph: numbers, and names where it is free.
Shape = list[int | str]


class Graph:
    """Nodes and weights, written one after another, in float32.

    What a U-Net consists of can also be rounded: see `spinecore.networks.onnx_int8`.
    """

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        #: Names of the tensors whose lowest and highest value decide how they are rounded, in order.
        self.values: list[str] = []

    def constant(self, values: Any, kind: Any = np.float32) -> str:
        """Store numbers; returns their name."""
        if isinstance(values, torch.Tensor):
            values = values.detach().cpu().numpy()
        name = f"constant_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; returns the name of what it gives."""
        out = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def image(self, x: str, channels: int) -> str:
        """Begin with an image (n, channels, y, x)."""
        return self.value(x)

    def value(self, x: str) -> str:
        """Note a tensor that may be rounded."""
        self.values.append(x)
        return x

    def weighted(
        self, weight: torch.Tensor, bias: torch.Tensor | None, x: str, relu: bool, stride: int = 1
    ) -> str:
        """Append a convolution by its weights (filters, channels, y, x), with the Relu after it if there is one."""
        out = self._conv(weight, bias, x, stride)
        return self.value(self.add("Relu", [out]) if relu else out)

    def _conv(self, weight: torch.Tensor, bias: torch.Tensor | None, x: str, stride: int = 1) -> str:
        given = [x, self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        return self.add("Conv", given, **kernel(weight, stride))

    def conv(self, conv: nn.Conv2d, x: str, relu: bool = False) -> str:
        """Append a convolution that keeps the image's size but for its stride."""
        return self.weighted(conv.weight, conv.bias, x, relu, conv.stride[0])

    def last_conv(self, conv: nn.Conv2d, x: str) -> str:
        """Append the convolution of one pixel that gives the answer in float32."""
        return self._conv(conv.weight, conv.bias, x)

    def total(self, one: str, other: str) -> str:
        """Append a sum with a Relu after it."""
        return self.value(self.add("Relu", [self.add("Add", [one, other])]))

    def join(self, parts: list[str]) -> str:
        """Put channels together."""
        return self.add("Concat", parts, axis=1)

    def halve(self, x: str) -> str:
        """Append the highest of 2 x 2 pixels."""
        return self.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])

    def double(self, x: str) -> str:
        """Append a linear magnification by two."""
        scale = self.constant([1, 1, 2, 2])
        return self.add("Resize", [x, "", scale], mode="linear", coordinate_transformation_mode="half_pixel")

    def linear(self, layer: nn.Linear, x: str) -> str:
        """Append a fully connected layer."""
        return self.add("Gemm", [x, self.constant(layer.weight), self.constant(layer.bias)], transB=1)

    def block(self, block: Any, x: str) -> str:
        """Append a `ConvBlock` without batch normalisation."""
        y = self.conv(block.conv2, self.conv(block.conv1, x, relu=True))
        return self.total(y, self.conv(block.skip, x) if isinstance(block.skip, nn.Conv2d) else x)

    def basic_block(self, block: Any, x: str) -> str:
        """Append a `BasicBlock` of the shape classifier."""
        y = self.conv(fuse_conv_bn_eval(block.conv1, block.bn1), x, relu=True)
        y = self.conv(fuse_conv_bn_eval(block.conv2, block.bn2), y)
        skip = x if block.downsample is None else self.conv(fuse_conv_bn_eval(*block.downsample), x)
        return self.total(y, skip)

    def summed(self, x: str) -> str:
        """Append the sum over rows and columns, (N, C)."""
        return self.add("ReduceSum", [x, self.constant([2, 3], np.int64)], keepdims=0)

    def resized(self, x: str, like: str) -> str:
        """Append the linear interpolation of an image to the size of another."""
        ends = [self.constant([value], np.int64) for value in (0, 2, 4)]
        first = self.add("Slice", [self.add("Shape", [x]), ends[0], ends[1]])
        last = self.add("Slice", [self.add("Shape", [like]), ends[1], ends[2]])
        size = self.add("Concat", [first, last], axis=0)
        return self.add(
            "Resize", [x, "", "", size], mode="linear", coordinate_transformation_mode="half_pixel"
        )

    def model(self, given: dict[str, Shape], out: str, shape: Shape) -> ModelProto:
        """Close the graph; what it gives is called "out"."""
        self.nodes.append(helper.make_node("Identity", [out], ["out"]))
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, size) for name, size in given.items()
        ]
        outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, shape)]
        body = helper.make_graph(self.nodes, "network", inputs, outputs, self.weights)
        return helper.make_model(
            body,
            opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(OWN_DOMAIN, 1)],
            ir_version=IR_VERSION,
        )


def kernel(weight: torch.Tensor, stride: int = 1) -> dict[str, Any]:
    """Return the attributes of a convolution that keeps the image's size but for its stride."""
    sides = list(weight.shape[2:])
    return {
        "kernel_shape": sides,
        "pads": [side // 2 for side in sides] * 2,
        "strides": [stride] * len(sides),
    }


class _Tower:
    """Writes a `Tower` down with the convolutions in plane that its three-dimensional ones consist of.

    ONNX Runtime computes those much faster. The slices of all cubes stand one after another, first slices first: a
    convolution along z is one over the channels of three slices.
    """

    def __init__(self, graph: Graph, shape: tuple[int, ...]) -> None:
        self.graph, self.shape = graph, shape
        self.n = graph.add(
            "Gather", [graph.add("Shape", ["features"]), graph.constant([0], np.int64)], axis=0
        )
        self.along_z = graph.constant([0], np.int64)

    def times_n(self, *numbers: int) -> str:
        """Return whole numbers times the number of cubes."""
        return self.graph.add("Mul", [self.graph.constant(numbers, np.int64), self.n])

    def write(self, tower: Tower, name: str) -> str:
        """Append the tower that reads the cubes of a name; returns its features."""
        graph, (depth, *sides) = self.graph, self.shape
        layers: list[Any] = list(tower.body)
        channels = layers[0].in_channels
        x = graph.add("Transpose", [name], perm=[2, 0, 1, 3, 4])
        x = graph.add("Reshape", [x, graph.constant([-1, channels, *sides], np.int64)])
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Conv3d):
                x = self.conv(fuse_conv_bn_eval(layer, layers[index + 1]), x)
                channels = layer.out_channels
            elif isinstance(layer, nn.MaxPool3d):
                x = graph.halve(x)
                sides = [side // 2 for side in sides]
                if layer.kernel_size == 2:
                    x = self.halved(x, depth, [channels, *sides])
                    depth //= 2
        return self.features(x, [depth, -1, channels, *sides])

    def conv(self, conv: Any, x: str) -> str:
        """Append a convolution of 3 x 3 x 3 and its Relu."""
        graph = self.graph
        padded = graph.add("Pad", [x, self.times_n(1, 0, 0, 0, 1, 0, 0, 0)])
        ends = [self.times_n(-2), self.times_n(-1), graph.constant([np.iinfo(np.int64).max], np.int64)]
        parts = [
            graph.add("Slice", [padded, self.times_n(k), end, self.along_z]) for k, end in enumerate(ends)
        ]
        weight = conv.weight.permute(0, 2, 1, 3, 4).flatten(1, 2)
        return graph.weighted(weight, conv.bias, graph.join(parts), relu=True)

    def halved(self, x: str, depth: int, shape: list[int]) -> str:
        """Return the higher of every two slices."""
        graph = self.graph
        x = graph.add("Slice", [x, graph.constant([0], np.int64), self.times_n(depth // 2 * 2), self.along_z])
        x = graph.add("Reshape", [x, graph.constant([depth // 2, 2, -1], np.int64)])
        x = graph.add("ReduceMax", [x], axes=[1], keepdims=0)
        return graph.add("Reshape", [x, graph.constant([-1, *shape], np.int64)])

    def features(self, x: str, shape: list[int]) -> str:
        """Return the mean, the strongest and the middle response, (n, features)."""
        graph = self.graph
        x = graph.add("Reshape", [x, graph.constant(shape, np.int64)])
        parts = [graph.add(f"Reduce{kind}", [x], axes=[0, 3, 4], keepdims=0) for kind in ("Mean", "Max")]
        for axis, length in ((4, shape[4]), (3, shape[3]), (0, shape[0])):
            x = graph.add("Gather", [x, graph.constant(length // 2, np.int64)], axis=axis)
        return graph.add("Concat", [*parts, x], axis=1)


def network_graph(model: nn.Module, graph: Graph | None = None) -> ModelProto:
    """Write a network in evaluation mode down; inputs and output are those of its `forward`, in float32.

    Parameters
    ----------
    model : Module
    graph : Graph, optional
        Decides the arithmetic; float32 by default.

    Raises
    ------
    TypeError
        If it is of a kind that has no graph here.
    """
    graph = graph or Graph()
    if isinstance(model, UNet2d):
        return _unet_graph(graph, folded(model))
    if isinstance(model, HeadScore | SpineSize):
        return _cubes_graph(graph, model)
    if isinstance(model, FocusShapeNet):
        return _focus_graph(graph, model)
    if isinstance(model, JointShapeNet):
        return _shape_graph(graph, model)
    raise TypeError(f"there is no graph for a network of the kind {type(model).__name__}")


def _unet_graph(graph: Graph, model: UNet2d) -> ModelProto:
    x, skips = graph.image("image", model.planes), []
    for level, block in enumerate(model.down):
        x = graph.block(block, graph.halve(x) if level else x)
        skips.append(x)
    for block, skip in zip(model.up, reversed(skips[:-1]), strict=True):
        x = graph.block(block, graph.join([graph.double(x), skip]))
    maps: Shape = ["n", model.head.out_channels, "y", "x"]
    return graph.model({"image": ["n", model.planes, "y", "x"]}, graph.last_conv(model.head, x), maps)


def _cubes_graph(graph: Graph, model: Any) -> ModelProto:
    """Write down a network that reads a fine and a wide cube and two plain features."""
    channels = model.fine.body[0].in_channels
    given: dict[str, Shape] = {name: ["n", channels, *CUBE_SHAPE] for name in ("fine", "wide")}
    given["features"] = ["n", 2]
    writer = _Tower(graph, CUBE_SHAPE)
    towers = [writer.write(tower, name) for name, tower in (("fine", model.fine), ("wide", model.wide))]
    x = graph.add("Concat", [*towers, "features"], axis=1)
    first, last = model.head[0], model.head[-1]
    x = graph.linear(last, graph.add("Relu", [graph.linear(first, x)]))
    if isinstance(model, HeadScore):
        height = graph.add("Gather", ["features", graph.constant(0, np.int64)], axis=1)
        score = graph.add("Gather", [x, graph.constant(0, np.int64)], axis=1)
        return graph.model(given, graph.add("Add", [score, height]), ["n"])
    sizes = len(model.middle)
    parts = [graph.constant(range(k * sizes, (k + 1) * sizes), np.int64) for k in range(2)]
    value, spread = (graph.add("Gather", [x, part], axis=1) for part in parts)
    value = graph.add("Add", [value, graph.constant(model.middle)])
    spread = graph.add("Clip", [spread, *(graph.constant(limit) for limit in SPREAD)])
    axis = graph.constant([2], np.int64)
    x = graph.add("Concat", [graph.add("Unsqueeze", [part, axis]) for part in (value, spread)], axis=2)
    return graph.model(given, x, ["n", sizes, 2])


def _shape_streams(graph: Graph, model: Any) -> tuple[list[str], list[str]]:
    """Append both streams of a `JointShapeNet`; returns what the stems see before pooling, and what is fused after every stage."""
    channels = graph.constant([1], np.int64)
    own, streams = [], []
    for stem, first, last in ((model.image_stem, 0, 1), (model.outline_stem, 1, 3)):
        ends = [graph.constant([value], np.int64) for value in (first, last)]
        x = graph.add("Slice", ["patch", *ends, channels])
        x = graph.conv(fuse_conv_bn_eval(stem[0], stem[1]), x, relu=True)
        own.append(x)
        streams.append(graph.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4))
    x, y = streams
    fused = []
    for image, outline in zip(model.image_stages, model.outline_stages, strict=True):
        for block in image:
            x = graph.basic_block(block, x)
        for block in outline:
            y = graph.basic_block(block, y)
        x = graph.add("Add", [x, y])
        fused.append(x)
    return own, fused


def _shape_graph(graph: Graph, model: Any) -> ModelProto:
    """Write down the classes that a `JointShapeNet` gives; its outline is for training only."""
    _, fused = _shape_streams(graph, model)
    pooled = [graph.add("ReduceMean", [level], axes=[2, 3], keepdims=0) for level in (fused[-1], fused[-2])]
    logits = graph.linear(model.class_head[-1], graph.add("Concat", pooled, axis=1))
    return graph.model({"patch": ["n", 3, "y", "x"]}, logits, ["n", model.class_head[-1].out_features])


def _focus_graph(graph: Graph, model: Any) -> ModelProto:
    """Write down the classes that a `FocusShapeNet` gives."""
    own, fused = _shape_streams(graph, model)
    x = fused[-1]
    for block, skip in zip(model.up, reversed(fused[:-1]), strict=True):
        x = graph.add("Concat", [graph.resized(x, skip), skip], axis=1)
        x = graph.conv(fuse_conv_bn_eval(block[0], block[1]), x, relu=True)
    x = graph.add("Concat", [graph.resized(x, own[0]), *own], axis=1)
    x = graph.conv(fuse_conv_bn_eval(model.refine[0], model.refine[1]), x, relu=True)
    weight = graph.add("Sigmoid", [graph.conv(model.outline_head, x)])
    area = graph.add("Add", [graph.summed(weight), graph.constant(model.MARGIN)])
    mean = graph.add("Div", [graph.summed(graph.add("Mul", [x, weight])), area])
    head = graph.constant(model.centred().T)
    return graph.model(
        {"patch": ["n", 3, "y", "x"]}, graph.add("MatMul", [mean, head]), ["n", model.class_head.out_features]
    )
