"""Which reader opens which kind of microscope file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spinecore.reading.microscopes.base import VendorFile, VendorPlanes
from spinecore.reading.microscopes.imaris import open_ims
from spinecore.reading.microscopes.leica import open_lif
from spinecore.reading.microscopes.nikon import open_nd2
from spinecore.reading.microscopes.olympus import open_oib
from spinecore.reading.microscopes.omezarr import open_zarr
from spinecore.reading.microscopes.zeiss import open_czi
from spinecore.reading.microscopes.zipped import open_zip

_OPENERS: dict[str, Callable[[Path], VendorFile]] = {
    "czi": open_czi,
    "lif": open_lif,
    "nd2": open_nd2,
    "oib": open_oib,
    "oif": open_oib,
    "ims": open_ims,
    "zarr": open_zarr,
    "zip": open_zip,
}


def open_vendor(path: Path, kind: str, max_bytes: int, series: int | None = None) -> VendorPlanes:
    """Open a microscope file.

    Parameters
    ----------
    path : Path
    kind : str
        As `spinecore.reading.sniff.sniff` names it.
    max_bytes : int
        Refuse a channel and time point larger than this.
    series : int, optional
        Which image of the file.

    Raises
    ------
    SpinecoreError
        If the reader is not installed or the file cannot be read.
    """
    return VendorPlanes(path, kind, _OPENERS[kind], max_bytes, series)
