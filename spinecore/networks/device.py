"""The device that networks run on."""

from __future__ import annotations

import os

from spinecore.errors import SpinecoreError


def pick_device(wanted: str = "auto") -> str:
    """Return "cuda" or "cpu".

    Raises
    ------
    ValueError
        If CUDA was asked for and there is none.
    """
    import torch

    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise SpinecoreError("no CUDA GPU was found on this machine: choose --device cpu or auto")
    return "cpu"


def device_name(device: str) -> str:
    """Name a device for people."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name(0)
    return f"CPU, {os.cpu_count()} cores"
