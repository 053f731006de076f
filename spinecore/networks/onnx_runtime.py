"""A U-Net that ONNX Runtime computes, in place of PyTorch, on a processor."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

from spinecore.networks.onnx_graph import unet_graph
from spinecore.networks.unet import UNet2d


class OnnxUNet(nn.Module):
    """Answers as the U-Net it is made from, for prediction only and on the CPU.

    Parameters
    ----------
    model : UNet2d
        Its weights are copied.
    """

    #: See `spinecore.networks.engine`.
    engine = "onnx"
    #: Of the images that it takes without copying them.
    layout = torch.contiguous_format

    def __init__(self, model: UNet2d) -> None:
        super().__init__()
        self.planes, self.stride = model.planes, model.stride
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # PyTorch's threads work between the runs: threads that wait busily would take the cores from them
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            unet_graph(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, planes, Y, X) to logits (N, maps, Y, X); Y and X divide by `stride`."""
        given = np.ascontiguousarray(image.numpy(), np.float32)
        (maps,) = self._session.run(None, {"image": given})
        return torch.from_numpy(maps)
