"""Nikon ND2, read by nd2 (BSD)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spinecore.reading.microscopes.base import VendorFile, VendorImage, load_reader, sizes_along
from spinecore.reading.units import Finding, positive

_LOOPS = "TPZ"


def open_nd2(path: Path) -> VendorFile:
    """Open an ND2 file; every stage position is one image."""
    reader = load_reader("nd2", path)
    size = path.stat().st_size
    file = reader.ND2File(path)
    try:
        sizes = dict(file.sizes)
        unknown = [axis for axis, count in sizes.items() if axis not in "TPZCYXS" and count > 1]
        if unknown or not 0 < sizes.get("P", 1) <= size:
            raise ValueError(f"axes {sizes}")
        frames = _frames(file, size)
        images = [_image(file, sizes, frames, position) for position in range(sizes.get("P", 1))]
    except BaseException:
        file.close()
        raise
    return VendorFile("ND2", images, file.close, size)


def _frames(file, file_bytes: int) -> dict[tuple[int, ...], int]:
    """Return the number of the frame of each time point, position and slice."""
    if not 0 < file.attributes.sequenceCount <= file_bytes:
        raise ValueError("the number of frames")
    loops: Sequence[dict[str, int]] = file.loop_indices or ({},)
    return {tuple(place.get(axis, 0) for axis in _LOOPS): k for k, place in enumerate(loops)}


def _image(file, sizes: dict[str, int], frames: dict[tuple[int, ...], int], position: int) -> VendorImage:
    samples = sizes.get("S", 1)
    shape = sizes_along(lambda axis: sizes.get(axis, 1))
    recorded = file.attributes.sequenceCount

    def load(time_point: int, channel: int, z: int) -> np.ndarray:
        number = frames[(time_point, position, z)]
        if number >= recorded:
            return np.zeros(shape[3:] if samples == 1 else (*shape[3:], samples), file.dtype)
        frame = np.asarray(file.read_frame(number))
        frame = frame.reshape((shape[1], *shape[3:]) if samples == 1 else (shape[1], *shape[3:], samples))
        return frame[channel]

    missing = max(0, len(frames) - recorded) * shape[1]
    return VendorImage(
        name=f"position {position}" if sizes.get("P", 1) > 1 else "",
        sizes=shape,
        dtype=np.dtype(file.dtype),
        load=load,
        finding=_size(file, shape[2]),
        channel_names=_channel_names(file, shape[1]),
        samples=samples,
        notes=(f"{missing} planes were never recorded and are read as blank.",) if missing else (),
    )


def _size(file, slices: int) -> Finding:
    """Return the calibrated voxel size; nd2 itself gives 1 um where there is none."""
    channels = file.metadata.channels if file.metadata else None
    if not channels:
        return Finding("the ND2 metadata")
    volume = channels[0].volume
    um = [
        positive(size) if known else None
        for size, known in zip(volume.axesCalibration, volume.axesCalibrated, strict=True)
    ]
    return Finding("the ND2 metadata", um[2] if slices > 1 else None, um[1], um[0])


def _channel_names(file, channels: int) -> tuple[str, ...]:
    names = tuple(c.channel.name or "" for c in (file.metadata.channels or ()) if c.channel)
    return names if len(names) == channels and all(names) else ()
