"""Writing an open file as one OME-TIFF, for stacks that came in parts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from spinecore.files import replacing
from spinecore.reading.stackfile import StackFile

#: From here on (bytes) a BigTIFF is needed.
_BIG = 2**32 - 2**25


def write_ome(file: StackFile, path: Path) -> None:
    """Write all time points, channels and slices of an open file as one OME-TIFF, plane by plane.

    Parameters
    ----------
    file : StackFile
    path : Path
        It appears under this name only when complete.
    """
    times, channels, slices, height, width = file.shape_tczyx
    sizes = {"Z": file.spacing.z_um, "Y": file.spacing.y_um, "X": file.spacing.x_um}
    metadata: dict[str, object] = {"axes": "TCZYX", "Channel": {"Name": list(file.channel_names)}}
    for axis, size in sizes.items():
        if size is not None:
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "\u00b5m"}

    def planes() -> Iterator[np.ndarray]:
        for t in range(times):
            for c in range(channels):
                yield from file.slices(c, t)

    big = times * channels * file.stack_bytes > _BIG
    with replacing(path) as target, tifffile.TiffWriter(target, bigtiff=big, ome=True) as writer:
        writer.write(
            planes(),
            shape=(times, channels, slices, height, width),
            dtype=file.dtype,
            metadata=metadata,
            photometric="minisblack",
            compression="zlib",
        )
