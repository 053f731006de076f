"""A network that ONNX Runtime computes, in place of PyTorch, on a processor."""

from __future__ import annotations

import numpy as np
import onnxruntime
import torch
from torch import nn

from spinecore.networks.onnx_graph import network_graph


class OnnxNetwork(nn.Module):
    """Answers as the network it is made from, for prediction only and on the CPU.

    Parameters
    ----------
    model : Module
        Of a kind that `spinecore.networks.onnx_graph.network_graph` knows; its weights are copied.
    """

    #: See `spinecore.networks.engine`.
    engine = "onnx"
    #: Of the images that it takes without copying them.
    layout = torch.contiguous_format

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for name in ("planes", "stride"):  # what prediction asks a U-Net for
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # PyTorch's threads work between the runs: threads that wait busily would take the cores from them
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            network_graph(model).SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._inputs = [given.name for given in self._session.get_inputs()]

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """Return what the network returns, in float32."""
        arrays = [np.ascontiguousarray(tensor.numpy(), np.float32) for tensor in given]
        (out,) = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return torch.from_numpy(out)
