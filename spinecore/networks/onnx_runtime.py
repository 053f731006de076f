"""A network that ONNX Runtime computes, in place of PyTorch, on a processor."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import nn

from spinecore.networks.onnx_graph import IR_VERSION, OPSET, network_graph
from spinecore.networks.onnx_int8 import Ranges, RoundedGraph


class OnnxNetwork(nn.Module):
    """Answers as the network it is made from, for prediction only and on the CPU.

    Parameters
    ----------
    model : Module
        Of a kind that `spinecore.networks.onnx_graph.network_graph` knows; its weights are copied.
    ranges : list of (float, float), optional
        Those of `spinecore.networks.onnx_int8.measure_ranges`: it then computes in whole numbers of 8 bits.
    """

    #: Of the images that it takes without copying them.
    layout = torch.contiguous_format

    def __init__(self, model: nn.Module, ranges: Ranges | None = None) -> None:
        super().__init__()
        #: See `spinecore.networks.engine`.
        self.engine = "onnx" if ranges is None else "onnx-int8"
        graph = None if ranges is None else RoundedGraph(ranges)
        for name in ("planes", "stride"):  # what prediction asks a U-Net for
            if hasattr(model, name):
                setattr(self, name, getattr(model, name))
        self._graph = network_graph(model, graph).SerializeToString()
        self._session = _session(self._graph, torch.get_num_threads())
        self._others: dict[int, OnnxNetwork] = {}
        self._inputs = [given.name for given in self._session.get_inputs()]

    def forward(self, *given: torch.Tensor) -> torch.Tensor:
        """Return what the network returns, in float32."""
        arrays = [np.ascontiguousarray(tensor.numpy(), np.float32) for tensor in given]
        (out,) = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return torch.from_numpy(out)

    def on_threads(self, threads: int) -> OnnxNetwork:
        """Return the same network on a number of threads, for several images at a time."""
        if threads not in self._others:
            made = copy.copy(self)
            made._session = _session(self._graph, threads)
            self._others[threads] = made
        return self._others[threads]

    @staticmethod
    def give_memory_back() -> None:
        """Give back what all networks of this process hold for their next run; that takes a little longer then."""
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        _nothing().run(None, {"in": np.zeros(1, np.float32)}, options)


@lru_cache(maxsize=1)
def _share_memory() -> None:
    """Let all sessions of this process use the same memory, asked for as it is needed.

    Each would otherwise keep the most that it ever used, in powers of two.
    """
    where = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    as_requested = {"arena_extend_strategy": 1, "initial_chunk_size_bytes": -1}
    limits = {"max_mem": 0, "max_dead_bytes_per_chunk": -1}
    onnxruntime.create_and_register_allocator(where, onnxruntime.OrtArenaCfg(as_requested | limits))


@lru_cache(maxsize=1)
def _nothing() -> onnxruntime.InferenceSession:
    """Return a network that returns what it is given."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in ("in", "out")]
    body = helper.make_graph([helper.make_node("Identity", ["in"], ["out"])], "nothing", ends[:1], ends[1:])
    made = helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    return _session(made.SerializeToString(), 1)


def _session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # images of many sizes: one pattern for each would be kept
    # PyTorch's threads work between the runs: threads that wait busily would take the cores from them
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
