"""The device that networks run on: chosen once, when weights are loaded; afterwards it is the model's own.

torch is imported within the functions: it takes seconds, and a command's help or a page that shows the choices does
not need it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinecore.errors import SpinecoreError
from spinecore.networks.engine import ENGINES, cpu_engine

if TYPE_CHECKING:
    import torch

#: What a user can ask for: "mps" is the GPU of an Apple computer, "auto" the best there is.
DEVICES = ("auto", "cpu", "cuda", "mps")


def pick_device(wanted: str = "auto") -> str:
    """Return "cuda", "mps" or "cpu".

    Parameters
    ----------
    wanted : str
        One of `DEVICES`; "auto" takes the first of the three that this machine has.

    Raises
    ------
    SpinecoreError
        If there is no such device, on this machine or at all.
    """
    if wanted not in DEVICES:
        raise SpinecoreError(f"there is no device {wanted!r}: choose one of {', '.join(DEVICES)}")
    if wanted == "cpu":
        return "cpu"
    if wanted == "auto" and not _may_have_gpu():
        return "cpu"
    import torch

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return next(name for name, there in present.items() if there)
    if not present[wanted]:
        kind = "CUDA" if wanted == "cuda" else "Apple"
        raise SpinecoreError(f"no {kind} GPU was found on this machine: choose the device cpu or auto")
    return wanted


def _may_have_gpu() -> bool:
    """Say without PyTorch, which takes seconds to import, whether it can find a GPU here."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if version("torch").endswith("+cpu"):
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return Path("/dev/kfd").exists()  # AMD's, by ROCm
    return True


def pick_present(wanted: str) -> str:
    """Return the device asked for, or the best there is where this machine lacks it.

    For an analysis that was made on another computer.
    """
    try:
        return pick_device(wanted)
    except SpinecoreError:
        return pick_device("auto")


def device_name(device: str) -> str:
    """Name a device for people."""
    if device == "cuda":
        import torch

        return torch.cuda.get_device_name(0)
    return "Apple GPU" if device == "mps" else f"CPU, {os.cpu_count()} cores"


def describe_run(model: Any) -> str:
    """Say for people where and by which engine a network is computed."""
    engine = onnx_engine(model)
    kind = "cpu" if engine else device_of(model).type
    if kind != "cpu":
        return device_name(kind)
    return f"{device_name(kind)}, {ENGINES[engine or f'torch-{cpu_engine().precision}']}"


def onnx_engine(model: Any) -> str | None:
    """Return the engine of a `spinecore.networks.onnx_runtime.OnnxNetwork`; None of a network that PyTorch computes."""
    return getattr(model, "engine", None)


def device_of(model: Any) -> torch.device:
    """Return the device that the weights of a network of PyTorch's are on; of one without weights, the CPU."""
    import torch

    first = next(chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def mixed_precision(device: torch.device | str) -> AbstractContextManager[Any]:
    """Return the context in which networks on a device compute: bfloat16 where that is dependable and fast.

    Apple's GPUs compute in float32: bfloat16 needs a recent system there. For processors see
    `spinecore.networks.engine`.
    """
    import torch

    kind = torch.device(device).type
    half = kind == "cuda" or (kind == "cpu" and cpu_engine().precision == "bfloat16")
    return torch.autocast(kind, dtype=torch.bfloat16) if half else nullcontext()


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on one thread of the processor.

    Small patches gain little from more, and lose much where other programs keep the processor busy: after each of a
    network's hundred small steps the threads wait for each other.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def inference(model: Any) -> Iterator[torch.device]:
    """Enter prediction with a network: no gradients, its device's precision; gives the device for its inputs."""
    import torch

    device = device_of(model)
    with torch.inference_mode(), mixed_precision(device):
        yield device
