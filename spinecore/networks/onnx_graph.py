"""The default method's U-Net as an ONNX graph, for ONNX Runtime on processors.

The graph is written down here and not traced: a trace needs further packages, and fixes the image's size.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from torch import nn

from spinecore.networks.unet import UNet2d, folded

#: Read by ONNX Runtime 1.15 and newer.
_OPSET, _IR_VERSION = 17, 8


class _Graph:
    """Nodes and weights, written one after another."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def constant(self, name: str, values: np.ndarray) -> str:
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        """Append a node; returns the name of what it gives."""
        out = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def conv(self, name: str, conv: nn.Conv2d, x: str) -> str:
        given = [x, self.constant(f"{name}.weight", conv.weight.detach().float().cpu().numpy())]
        if conv.bias is not None:
            given.append(self.constant(f"{name}.bias", conv.bias.detach().float().cpu().numpy()))
        side = conv.kernel_size[0]
        return self.add("Conv", given, kernel_shape=[side, side], pads=[side // 2] * 4)

    def block(self, name: str, block: Any, x: str) -> str:
        y = self.add("Relu", [self.conv(f"{name}.conv1", block.conv1, x)])
        y = self.conv(f"{name}.conv2", block.conv2, y)
        skip = self.conv(f"{name}.skip", block.skip, x) if isinstance(block.skip, nn.Conv2d) else x
        return self.add("Relu", [self.add("Add", [y, skip])])


def unet_graph(model: UNet2d) -> ModelProto:
    """Write a U-Net down: float32 "image" (N, planes, Y, X) to float32 logits "maps" (N, maps, Y, X).

    Parameters
    ----------
    model : UNet2d
        Its batch normalisation is folded into the convolutions.
    """
    model = folded(model)
    graph = _Graph()
    double = graph.constant("double", np.array([1, 1, 2, 2], np.float32))
    x, skips = "image", []
    for level, block in enumerate(model.down):
        if level:
            x = graph.add("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
        x = graph.block(f"down.{level}", block, x)
        skips.append(x)
    for level, (block, skip) in enumerate(zip(model.up, reversed(skips[:-1]), strict=True)):
        x = graph.add("Resize", [x, "", double], mode="linear", coordinate_transformation_mode="half_pixel")
        x = graph.block(f"up.{level}", block, graph.add("Concat", [x, skip], axis=1))
    graph.add("Identity", [graph.conv("head", model.head, x)])
    graph.nodes[-1].output[0] = "maps"
    given = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", model.planes, "y", "x"])
    made = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ["n", model.head.out_channels, "y", "x"])
    body = helper.make_graph(graph.nodes, "unet2d", [given], [made], graph.weights)
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
