"""PNG and JPEG: single 2-D images."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from spinecore.errors import SpinecoreError
from spinecore.reading.images import ImageFacts
from spinecore.reading.limits import check_claim, check_side
from spinecore.reading.pixels import COLOURS, colours_differ, grey_from_rgb, target_dtype
from spinecore.reading.units import Finding, from_print_resolution

_GREY_MODES = ("1", "L", "I", "I;16", "I;16B", "I;16L", "F")
_INCH_UM = 25400.0
#: A JPEG spends at least two bits on a block of 64 pixels; twice as many pixels a byte are not believed.
_JPEG_PIXELS = 512
#: Bytes of a PNG that are unpacked at once.
_PIECE_BYTES = 1 << 16


class PhotoPlanes:
    """An open PNG or JPEG, decoded when its plane is asked for.

    Parameters
    ----------
    path : Path
    kind : str
        "png" or "jpeg".
    max_bytes : int
        Refuse an image larger than this when decoded.
    """

    def __init__(self, path: Path, kind: str, max_bytes: int) -> None:
        self._path = path
        self._name = path.name
        self.format = kind.upper()
        self.notes: list[str] = []
        self._deep_colour = kind == "png" and _is_deep_colour_png(path)
        with self._decoding(), Image.open(path, formats=[self.format]) as image:
            width, height = image.size
            self._mode = image.mode
            frames = getattr(image, "n_frames", 1)
            dpi = image.info.get("dpi")
        bands = Image.getmodebands(self._mode)
        depth = 2 if self._deep_colour or self._mode.startswith("I;16") else 4 if self._mode in "IF" else 1
        check_claim(
            self._name,
            stack_bytes=width * height * bands * depth,
            total_bytes=width * height * bands * depth,
            file_bytes=path.stat().st_size,
            compressed=True,
            max_bytes=max_bytes,
        )
        check_side(self._name, height, width)
        lies = (
            width * height > _JPEG_PIXELS * path.stat().st_size
            if kind == "jpeg"
            else not _holds_all_rows(path)
        )
        if lies:
            raise SpinecoreError(
                f"{self._name} ends before its last row, so it is truncated or damaged: copy or export it again"
            )
        self.shape_tczyx = (1, 1, 1, height, width)
        self.stored_dtype = np.dtype(
            {1: np.uint8, 2: np.uint16, 4: np.float32 if self._mode == "F" else np.int32}[depth]
        )
        self.dtype, note = target_dtype(self.stored_dtype, self._name)
        self.channel_names: tuple[str, ...] = ("channel 0",)
        self.images = (ImageFacts("", (height, width), "YX", self.stored_dtype.name),)
        self.image = 0
        if note:
            self.notes.append(note)
        if self._mode not in _GREY_MODES:
            samples = self._samples()
            if samples.ndim == 3 and colours_differ(samples):
                self.channel_names = COLOURS
                self.shape_tczyx = (1, len(COLOURS), 1, height, width)
                self.notes.append("The file is a colour picture; red, green and blue are read as channels.")
            else:
                self.notes.append("Colours were converted to grey (the brightest of red, green and blue).")
        if frames > 1:
            self.notes.append(f"The file is an animation of {frames} frames; the first is read.")
        if kind == "jpeg":
            self.notes.append("Lossy compression has altered the intensities.")
        self.findings = [_size(dpi, kind)]

    def plane(self, time_point: int, channel: int, z: int) -> np.ndarray:
        """Return the image, shape (Y, X); a colour picture has three channels, any other is grey.

        Raises
        ------
        SpinecoreError
            If it cannot be decoded.
        """
        samples = self._samples()
        if samples.ndim == 2:
            return samples
        return (
            np.ascontiguousarray(samples[..., channel]) if self.shape_tczyx[1] > 1 else grey_from_rgb(samples)
        )

    def _samples(self) -> np.ndarray:
        """Return the decoded image, shape (Y, X) or (Y, X, 3 or 4)."""
        with self._decoding():
            if self._deep_colour:
                samples = imagecodecs.png_decode(self._path.read_bytes())
                return samples[..., 0] if samples.shape[-1] == 2 else samples
            with Image.open(self._path, formats=[self.format]) as image:
                if image.mode == "1":
                    return np.asarray(image.convert("L"))
                return np.asarray(image if image.mode in _GREY_MODES else image.convert("RGB"))

    def _decoding(self) -> _Decoding:
        return _Decoding(self._name, self.format)

    def close(self) -> None:
        """Nothing stays open between planes."""


class _Decoding:
    """Turns what the decoders raise into one sentence, and lifts their own size alarm."""

    def __init__(self, name: str, kind: str) -> None:
        self._name = name
        self._kind = kind

    def __enter__(self) -> None:
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self._warnings.__exit__(None, None, None)
        if error is None or isinstance(error, SpinecoreError) or not isinstance(error, Exception):
            return
        if isinstance(error, Image.DecompressionBombError):
            message = f"{self._name} claims more pixels than a {self._kind} is read with: save it as TIFF"
        elif isinstance(error, MemoryError):
            message = f"{self._name} does not fit into memory: crop it or close other programs"
        else:
            message = f"{self._name} is truncated or not a valid {self._kind}: copy or export it again"
        raise SpinecoreError(message) from error


def _holds_all_rows(path: Path) -> bool:
    """Return whether the compressed data of a PNG are as long as its header claims; decoders fill up with black.

    They are unpacked piece by piece and counted, not kept.
    """
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
    with open(path, "rb") as stream:
        head = stream.read(33)
        width, height, depth, colour = struct.unpack(">IIBB", head[16:26])
        missing = height * (width * depth * samples.get(colour, 1) // 8)
        unpack = zlib.decompressobj()
        try:
            while missing > 0 and len(chunk := stream.read(8)) == 8:
                size, name = struct.unpack(">I4s", chunk)
                if name != b"IDAT":
                    stream.seek(size + 4, 1)
                    continue
                while size > 0 and missing > 0:
                    piece = stream.read(min(size, _PIECE_BYTES))
                    if not piece:
                        return False
                    size -= len(piece)
                    while piece and missing > 0:
                        missing -= len(unpack.decompress(piece, 16 * _PIECE_BYTES))
                        piece = unpack.unconsumed_tail
                stream.seek(size + 4, 1)
        except zlib.error:
            return False
    return missing <= 0


def _is_deep_colour_png(path: Path) -> bool:
    """Return True for 16-bit colour or grey with opacity, which Pillow would cut to 8 bits."""
    with open(path, "rb") as stream:
        head = stream.read(26)
    return len(head) == 26 and struct.unpack("BB", head[24:26]) in ((16, 2), (16, 4), (16, 6))


def _size(dpi: tuple[float, float] | None, kind: str) -> Finding:
    """Return the pixel size by the density in the file; print settings give none."""
    if not dpi or not all(float(d) > 0 for d in dpi[:2]):
        return Finding(f"the {kind.upper()} density")
    return from_print_resolution(float(dpi[0]), float(dpi[1]), _INCH_UM, "inch")
