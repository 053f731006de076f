"""A network that ONNX Runtime computes, in place of PyTorch, on a processor."""

from __future__ import annotations

import copy
from functools import lru_cache

import numpy as np
import onnxruntime

from spinecore.threads import thread_count


class OnnxNetwork:
    """Answers as the network that a graph was written from, for prediction only and on the CPU.

    Parameters
    ----------
    graph : bytes
        From `spinecore.networks.onnx_export.exported`.
    """

    #: Of one that reads images: how many planes it sees, and what their sides are a multiple of.
    planes: int
    stride: int

    def __init__(self, graph: bytes) -> None:
        self._graph = graph
        self._session = _session(graph, thread_count())
        self._others: dict[int, OnnxNetwork] = {}
        self._inputs = [given.name for given in self._session.get_inputs()]
        known = self._session.get_modelmeta().custom_metadata_map
        #: See `spinecore.networks.engine`.
        self.engine = known["engine"]
        for name in ("planes", "stride", "channels"):
            if name in known:
                setattr(self, name, int(known[name]))

    def __call__(self, *given: np.ndarray) -> np.ndarray:
        """Return what the network returns, in float32."""
        arrays = [np.ascontiguousarray(array, np.float32) for array in given]
        (out,) = self._session.run(None, dict(zip(self._inputs, arrays, strict=True)))
        return np.asarray(out)

    def on_threads(self, threads: int) -> OnnxNetwork:
        """Return the same network on a number of threads, for several images at a time."""
        if threads not in self._others:
            made = copy.copy(self)
            made._session = _session(self._graph, threads)
            self._others[threads] = made
        return self._others[threads]

    def give_memory_back(self) -> None:
        """Give back what all networks of this process hold for their next run; that takes a little longer then.

        Asked of a network that reads images.
        """
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        least = np.zeros((1, self.planes, self.stride, self.stride), np.float32)
        self._session.run(None, {self._inputs[0]: least}, options)


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


def _session(graph: bytes, threads: int) -> onnxruntime.InferenceSession:
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # images of many sizes: one pattern for each would be kept
    # other threads work between the runs: threads that wait busily would take the cores from them
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
