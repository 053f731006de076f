"""Networks as files for ONNX Runtime: written from PyTorch once, then taken from the cache folder, without PyTorch."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spinecore.files import write_atomic
from spinecore.networks.byte_products import largest_weight
from spinecore.paths import cache_folder

if TYPE_CHECKING:
    from torch import nn

    from spinecore.networks.onnx_int8 import Ranges

#: Modules of this folder that decide what is written.
_WRITTEN_BY = (
    "byte_products",
    "headscore",
    "onnx_export",
    "onnx_graph",
    "onnx_int8",
    "shapes",
    "spinesize",
    "unet",
    "zoo",
)
#: So many files are kept at most, the newest.
_KEPT_FILES = 30


def exported(model: nn.Module, ranges: Ranges | None = None) -> bytes:
    """Write a network down for `spinecore.networks.onnx_runtime.OnnxNetwork`.

    Parameters
    ----------
    model : Module
        In evaluation mode, of a kind that `spinecore.networks.onnx_graph.network_graph` knows.
    ranges : list of (float, float), optional
        Those of `spinecore.networks.onnx_int8.measure_ranges`: it is then written in whole numbers of 8 bits.

    Raises
    ------
    TypeError
        If it is of another kind.
    """
    from onnx import helper  # with PyTorch, only where something is written

    from spinecore.networks.onnx_graph import network_graph
    from spinecore.networks.onnx_int8 import RoundedGraph

    made = network_graph(model, None if ranges is None else RoundedGraph(ranges))
    facts = {"engine": "onnx" if ranges is None else "onnx-int8"}
    facts |= {
        name: str(getattr(model, name)) for name in ("planes", "stride", "channels") if hasattr(model, name)
    }
    helper.set_model_props(made, facts)
    return bytes(made.SerializeToString())


def cached(sha256: str, rounding: Any, write: Callable[[], bytes]) -> bytes:
    """Return a written network from the cache folder, or write it and keep it there.

    Parameters
    ----------
    sha256 : str
        Of the weights.
    rounding : list of (float, float), or None
        As for `exported`.
    write : callable
        Writes the network.
    """
    largest = None if rounding is None else largest_weight()
    key = hashlib.sha256(json.dumps([sha256, rounding, largest, _code()]).encode()).hexdigest()
    path = cache_folder() / "networks" / f"{key[:32]}.onnx"
    with contextlib.suppress(OSError):
        content = path.read_bytes()
        digest, graph = content[:32], content[32:]
        if hashlib.sha256(graph).digest() == digest:
            return graph
    graph = write()
    with contextlib.suppress(OSError):  # a read-only home: it is written anew next time
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, hashlib.sha256(graph).digest() + graph)
        _forget_oldest(path.parent)
    return graph


def _forget_oldest(folder: Path) -> None:
    files = sorted(folder.glob("*.onnx"), key=lambda path: path.stat().st_mtime)
    for path in files[:-_KEPT_FILES]:
        path.unlink()


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a checksum of the code that writes networks."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / f"{name}.py").read_bytes() for name in _WRITTEN_BY)).hexdigest()
