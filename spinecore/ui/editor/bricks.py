"""Voxels for the canvas: blocks of the stack as bytes, sent to the browser once and kept there.

A block holds 256 x 256 pixels of up to 64 slices. Intensities are companded by a square root between the block's own
extremes, which keeps the dark greys apart also where a shaft is a hundred times brighter; the browser takes that back.
"""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterable
from typing import Any

import numpy as np
import streamlit as st

from spinecore.errors import SpinecoreError
from spinecore.ui.correcting import planes_of
from spinecore.ui.planes import image_uri
from spinecore.ui.shown import Shown

#: Size of a block in pixels, and in slices.
SIDE, DEPTH = 256, 64
#: At most so many blocks go in one answer.
MOST = 16
#: Longest side of the whole field's picture, in pixels.
FIELD_SIDE = 1024

Key = tuple[int, int, int]


def parse_key(text: str) -> Key:
    """Return the number of a block along z, y and x.

    Examples
    --------
    >>> parse_key("0,1,2")
    (0, 1, 2)
    """
    z, y, x = (int(part) for part in str(text).split(","))
    return z, y, x


def pack_block(block: np.ndarray) -> dict[str, Any]:
    """Return a block (Z, Y, X) as the browser reads it: its shape, its extremes and its companded bytes.

    Examples
    --------
    >>> packed = pack_block(np.array([[[0, 25, 100]]], np.uint16))
    >>> packed["shape"], packed["low"], packed["high"], list(unpack_bytes(packed["bytes"]))
    ([1, 1, 3], 0.0, 100.0, [0, 128, 255])
    """
    values = block.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    share = (values - low) / max(high - low, 1e-12)
    packed = np.rint(np.sqrt(share) * 255).astype(np.uint8)
    return {
        "shape": list(block.shape),
        "low": low,
        "high": high,
        "bytes": base64.b64encode(gzip.compress(packed.tobytes(), 1)).decode("ascii"),
    }


def unpack_bytes(text: str) -> bytes:
    """Return the bytes that `pack_block` packed."""
    return gzip.decompress(base64.b64decode(text))


@st.cache_resource(max_entries=64, show_spinner=False)
def _store(identity: tuple[Any, ...]) -> dict[Key, dict[str, Any]]:
    """Return where the packed blocks of a stack are kept."""
    return {}


def blocks_of(shown: Shown, wanted: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return blocks of the analysed channel, by key.

    Parameters
    ----------
    shown : Shown
    wanted : iterable of str
        Keys as in `parse_key`; those outside the stack are passed over.

    Raises
    ------
    SpinecoreError
        When the stack cannot be read any more.
    """
    facts = shown.saved.input
    store = _store((shown.job.stack_sha256, shown.job.id, facts["channel"], facts["time_point"]))
    sizes = [-(-n // s) for n, s in zip(shown.saved.shape, (DEPTH, SIDE, SIDE), strict=True)]
    keys = [parse_key(text) for text in wanted]
    keys = [k for k in keys if all(0 <= i < n for i, n in zip(k, sizes, strict=True))][:MOST]
    for layer in sorted({k[0] for k in keys if k not in store}):
        _read_layer(shown, layer, [k for k in keys if k[0] == layer and k not in store], store)
    while len(store) > 4 * MOST:
        oldest = next(iter(store))
        if oldest in keys:
            break
        del store[oldest]
    return {",".join(map(str, k)): store[k] for k in keys}


def _read_layer(shown: Shown, layer: int, keys: list[Key], store: dict[Key, dict[str, Any]]) -> None:
    """Read some blocks of one layer in one pass over its slices."""
    slices = range(layer * DEPTH, min((layer + 1) * DEPTH, shown.saved.shape[0]))
    parts: dict[Key, list[np.ndarray]] = {k: [] for k in keys}
    for plane in planes_of(shown)(slices):
        for k, found in parts.items():
            found.append(plane[k[1] * SIDE : (k[1] + 1) * SIDE, k[2] * SIDE : (k[2] + 1) * SIDE])
    for k, found in parts.items():
        if len(found) != len(slices) or not found[0].size:
            raise SpinecoreError(
                "the stack is not the one that was analysed any more: run the analysis again"
            )
        store[k] = pack_block(np.stack(found))


@st.cache_resource(max_entries=8, show_spinner=False)
def field_picture(job_id: str, _projection: np.ndarray) -> str:
    """Return the projection of the whole field as a data address, for what is too large to be shown in full."""
    rows, columns = (max(1, -(-n // FIELD_SIDE)) for n in _projection.shape)
    small = _projection[::rows, ::columns].astype(np.float32)
    low, high = np.percentile(small, [1, 99.7])
    share = np.clip((small - low) / max(float(high - low), 1e-12), 0, 1)
    grey = np.rint(share**0.7 * 255).astype(np.uint8)
    return image_uri(np.repeat(grey[..., None], 3, axis=2))
