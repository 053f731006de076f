"""In which number format a network is trained: bfloat16 where the processor computes in it, float32 elsewhere."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from spinecore.errors import SpinecoreError

PRECISIONS = ("auto", "bfloat16", "float32")


def pick_precision(wanted: str, device_type: str) -> str:
    """Return "bfloat16" or "float32".

    "auto" is bfloat16 on a CUDA GPU and on processors with instructions for it (AMX, AVX-512 BF16); other processors
    convert every number to and fro, which takes longer than float32.

    Raises
    ------
    SpinecoreError
        If there is no such precision.
    """
    import torch

    if wanted not in PRECISIONS:
        raise SpinecoreError(f"there is no precision {wanted!r}: choose one of {', '.join(PRECISIONS)}")
    if wanted != "auto":
        return wanted
    if device_type != "cpu":
        return "bfloat16" if device_type == "cuda" else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"


def autocast(device_type: str, precision: str) -> AbstractContextManager[Any]:
    """Return the context in which a network is trained at a precision."""
    import torch

    return torch.autocast(device_type, dtype=torch.bfloat16) if precision == "bfloat16" else nullcontext()
