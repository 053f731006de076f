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

from spinecore.networks.headscore import HeadScore, Tower
from spinecore.networks.shapes import FocusShapeNet, JointShapeNet
from spinecore.networks.spinesize import SPREAD, SpineSize
from spinecore.networks.unet import UNet2d, folded

#: Read by ONNX Runtime 1.15 and newer.
_OPSET, _IR_VERSION = 17, 8
#: A shape in a graph: numbers, and names where it is free.
Shape = list[int | str]


class _Graph:
    """Nodes and weights, written one after another."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def constant(self, values: Any, kind: type = np.float32) -> str:
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

    def conv(self, conv: nn.Conv2d | nn.Conv3d, x: str) -> str:
        """Append a convolution that keeps the image's size but for its stride."""
        given = [x, self.constant(conv.weight)]
        if conv.bias is not None:
            given.append(self.constant(conv.bias))
        sides = list(conv.kernel_size)
        pads = [side // 2 for side in sides] * 2
        return self.add("Conv", given, kernel_shape=sides, pads=pads, strides=list(conv.stride))

    def linear(self, layer: nn.Linear, x: str) -> str:
        """Append a fully connected layer."""
        return self.add("Gemm", [x, self.constant(layer.weight), self.constant(layer.bias)], transB=1)

    def block(self, block: Any, x: str) -> str:
        """Append a `ConvBlock` without batch normalisation."""
        y = self.conv(block.conv2, self.add("Relu", [self.conv(block.conv1, x)]))
        skip = self.conv(block.skip, x) if isinstance(block.skip, nn.Conv2d) else x
        return self.add("Relu", [self.add("Add", [y, skip])])

    def basic_block(self, block: Any, x: str) -> str:
        """Append torchvision's `BasicBlock`."""
        y = self.add("Relu", [self.conv(fuse_conv_bn_eval(block.conv1, block.bn1), x)])
        y = self.conv(fuse_conv_bn_eval(block.conv2, block.bn2), y)
        skip = x if block.downsample is None else self.conv(fuse_conv_bn_eval(*block.downsample), x)
        return self.add("Relu", [self.add("Add", [y, skip])])

    def tower(self, tower: Tower, x: str) -> str:
        """Append a `Tower`."""
        layers: list[Any] = list(tower.body)
        for index, layer in enumerate(layers):
            if isinstance(layer, nn.Conv3d):
                x = self.conv(fuse_conv_bn_eval(layer, layers[index + 1]), x)
            elif isinstance(layer, nn.ReLU):
                x = self.add("Relu", [x])
            elif isinstance(layer, nn.MaxPool3d):
                side = layer.kernel_size
                sides = [side] * 3 if isinstance(side, int) else list(side)
                x = self.add("MaxPool", [x], kernel_shape=sides, strides=sides)
        parts = [self.add(f"Reduce{kind}", [x], axes=[2, 3, 4], keepdims=0) for kind in ("Mean", "Max")]
        two = self.constant(2, np.int64)
        for _ in range(3):  # the middle along z, then y, then x
            length = self.add("Gather", [self.add("Shape", [x]), two], axis=0)
            x = self.add("Gather", [x, self.add("Div", [length, two])], axis=2)
        return self.add("Concat", [*parts, x], axis=1)

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
            body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION
        )


def network_graph(model: nn.Module) -> ModelProto:
    """Write a network in evaluation mode down; inputs and output are those of its `forward`, in float32.

    Raises
    ------
    TypeError
        If it is of a kind that has no graph here.
    """
    if isinstance(model, UNet2d):
        return _unet_graph(folded(model))
    if isinstance(model, HeadScore | SpineSize):
        return _cubes_graph(model)
    if isinstance(model, FocusShapeNet):
        return _focus_graph(model)
    if isinstance(model, JointShapeNet):
        return _shape_graph(model)
    raise TypeError(f"there is no graph for a network of the kind {type(model).__name__}")


def _unet_graph(model: UNet2d) -> ModelProto:
    graph = _Graph()
    double = graph.constant([1, 1, 2, 2])
    x, skips = "image", []
    for level, block in enumerate(model.down):
        if level:
            x = graph.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        x = graph.block(block, x)
        skips.append(x)
    for block, skip in zip(model.up, reversed(skips[:-1]), strict=True):
        x = graph.add("Resize", [x, "", double], mode="linear", coordinate_transformation_mode="half_pixel")
        x = graph.block(block, graph.add("Concat", [x, skip], axis=1))
    maps: Shape = ["n", model.head.out_channels, "y", "x"]
    return graph.model({"image": ["n", model.planes, "y", "x"]}, graph.conv(model.head, x), maps)


def _cubes_graph(model: Any) -> ModelProto:
    """Write down a network that reads a fine and a wide cube and two plain features."""
    graph = _Graph()
    channels = model.fine.body[0].in_channels
    given: dict[str, Shape] = {}
    towers = []
    for name, tower in (("fine", model.fine), ("wide", model.wide)):
        given[name] = ["n", channels, *(f"{name}_{axis}" for axis in "zyx")]
        towers.append(graph.tower(tower, name))
    given["features"] = ["n", 2]
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


def _shape_streams(graph: _Graph, model: Any) -> tuple[list[str], list[str]]:
    """Append both streams of a `JointShapeNet`; returns what the stems see before pooling, and what is fused after every stage."""
    channels = graph.constant([1], np.int64)
    own, streams = [], []
    for stem, first, last in ((model.image_stem, 0, 1), (model.outline_stem, 1, 3)):
        ends = [graph.constant([value], np.int64) for value in (first, last)]
        x = graph.add("Slice", ["patch", *ends, channels])
        x = graph.add("Relu", [graph.conv(fuse_conv_bn_eval(stem[0], stem[1]), x)])
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


def _shape_graph(model: Any) -> ModelProto:
    """Write down the classes that a `JointShapeNet` gives; its outline is for training only."""
    graph = _Graph()
    _, fused = _shape_streams(graph, model)
    pooled = [graph.add("ReduceMean", [level], axes=[2, 3], keepdims=0) for level in (fused[-1], fused[-2])]
    logits = graph.linear(model.class_head[-1], graph.add("Concat", pooled, axis=1))
    return graph.model({"patch": ["n", 3, "y", "x"]}, logits, ["n", model.class_head[-1].out_features])


def _focus_graph(model: Any) -> ModelProto:
    """Write down the classes that a `FocusShapeNet` gives."""
    graph = _Graph()
    own, fused = _shape_streams(graph, model)
    x = fused[-1]
    for block, skip in zip(model.up, reversed(fused[:-1]), strict=True):
        x = graph.add("Concat", [graph.resized(x, skip), skip], axis=1)
        x = graph.add("Relu", [graph.conv(fuse_conv_bn_eval(block[0], block[1]), x)])
    x = graph.add("Concat", [graph.resized(x, own[0]), *own], axis=1)
    x = graph.add("Relu", [graph.conv(fuse_conv_bn_eval(model.refine[0], model.refine[1]), x)])
    weight = graph.add("Sigmoid", [graph.conv(model.outline_head, x)])
    area = graph.add("Add", [graph.summed(weight), graph.constant(model.MARGIN)])
    mean = graph.add("Div", [graph.summed(graph.add("Mul", [x, weight])), area])
    head = graph.constant(model.centred().T)
    return graph.model(
        {"patch": ["n", 3, "y", "x"]}, graph.add("MatMul", [mean, head]), ["n", model.class_head.out_features]
    )
