"""Zeiss CZI, read by this module itself: segments of a directory, subblocks and metadata.

The layout follows what czifile (BSD) reads; scenes become images, mosaic tiles are put together, pyramid levels are
left out. Compression by Zstandard, LZW, JPEG and JPEG XR is decoded by imagecodecs.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import imagecodecs
import numpy as np

from spinecore.errors import SpinecoreError
from spinecore.reading.microscopes.base import VendorFile, VendorImage, sizes_along
from spinecore.reading.units import Finding, positive
from spinecore.reading.xmltext import parse_xml

_SEGMENT = struct.Struct("<16sqq")
_HEADER = struct.Struct("<iiii16s16siqqiq")
_ENTRY = struct.Struct("<2siqiiBB4si")
_DIMENSION = struct.Struct("<4siifi")
_SUBBLOCK = struct.Struct("<iiq")
#: Bytes between the start of a segment's data and its content.
_DIRECTORY_HEAD, _METADATA_HEAD, _SUBBLOCK_HEAD = 128, 256, 256
_MAX_DIMENSIONS, _MAX_XML = 20, 256 * 2**20

#: Type of a sample and number of samples by pixel type.
_PIXELS = {
    0: ("<u1", 1),
    1: ("<u2", 1),
    2: ("<f4", 1),
    3: ("<u1", 3),
    4: ("<u2", 3),
    8: ("<f4", 3),
    9: ("<u1", 4),
    12: ("<i4", 1),
}
_JPEG, _LZW, _JPEG_XR, _ZSTD, _ZSTD_PACKED = 1, 2, 4, 5, 6
#: Axes whose positions are images of their own: scenes, phases, rotations, illuminations, views, blocks.
_OTHER_AXES = "SHRIVB"


@dataclass(frozen=True)
class _Block:
    """A tile of a plane: where it stands in the file and in the image."""

    position: int
    dtype: np.dtype
    samples: int
    compression: int
    starts: dict[str, int]
    sizes: dict[str, int]

    @property
    def shape(self) -> tuple[int, ...]:
        plane = (self.sizes["Y"], self.sizes["X"])
        return plane if self.samples == 1 else (*plane, self.samples)


def open_czi(path: Path) -> VendorFile:
    """Open a CZI file.

    Raises
    ------
    SpinecoreError
        If it was not closed by the microscope, or is one part of several files.
    """
    stream = open(path, "rb")  # noqa: SIM115 - closed by VendorFile.close
    try:
        header = _HEADER.unpack(_content(stream, 0, b"ZISRAWFILE", _HEADER.size))
        version, part, directory, metadata, pending = header[0], *header[6:10]
        if version < 1:
            raise ValueError(f"version {version}")
        if part:
            raise SpinecoreError(
                f"{path.name} is one part of a CZI image of several files: in ZEN, use Export > OME-TIFF"
            )
        if pending or not directory:
            raise SpinecoreError(
                f"{path.name} is a Zeiss CZI file that was not closed properly when it was recorded: open it in ZEN and "
                "save it again"
            )
        size = path.stat().st_size
        blocks = _directory(stream, directory, size)
        root = parse_xml(_metadata(stream, metadata)) if metadata else None
        finding, channels, scenes = _described(root)
        groups: dict[tuple[int, ...], list[_Block]] = defaultdict(list)
        for block in blocks:
            groups[tuple(block.starts.get(axis, 0) for axis in _OTHER_AXES)].append(block)
        images = [
            _image(stream, groups[key], _image_name(key, list(groups), scenes), finding, channels)
            for key in sorted(groups)
        ]
    except BaseException:
        stream.close()
        raise
    return VendorFile("CZI", images, stream.close, size)


def _content(stream: BinaryIO, position: int, name: bytes, count: int) -> bytes:
    """Return `count` bytes of the segment at a position."""
    stream.seek(position)
    found, _, _ = _SEGMENT.unpack(stream.read(_SEGMENT.size))
    if not found.startswith(name):
        raise ValueError(f"no {name!r} at {position}")
    data = stream.read(count)
    if len(data) < count:
        raise ValueError("the file ends inside a segment")
    return data


def _directory(stream: BinaryIO, position: int, file_bytes: int) -> list[_Block]:
    (count,) = struct.unpack("<i", _content(stream, position, b"ZISRAWDIRECTORY", 4))
    if not 0 < count <= file_bytes // _ENTRY.size:
        raise ValueError(f"{count} entries in the directory")
    stream.seek(_DIRECTORY_HEAD - 4, 1)
    return [block for block in (_entry(stream) for _ in range(count)) if block is not None]


def _entry(stream: BinaryIO) -> _Block | None:
    """Return one entry of the directory, or None for a level of a pyramid."""
    schema, pixel_type, position, part, compression, _, _, _, count = _ENTRY.unpack(stream.read(_ENTRY.size))
    if schema != b"DV" or not 0 < count <= _MAX_DIMENSIONS:
        raise ValueError("not an entry of a directory")
    starts, sizes, whole = {}, {}, True
    for _ in range(count):
        name, start, size, _, stored = _DIMENSION.unpack(stream.read(_DIMENSION.size))
        axis = name.split(b"\x00")[0].decode("ascii")
        starts[axis], sizes[axis] = start, size
        whole &= stored in (0, size)
    if not whole:
        return None
    if part or min(sizes.values()) < 1:
        raise ValueError("a part in another file, or a tile of size zero")
    if any(size > 1 for axis, size in sizes.items() if axis not in "XY"):
        raise ValueError("a subblock of several planes")
    dtype, samples = _PIXELS[pixel_type]
    return _Block(position, np.dtype(dtype), samples, compression, starts, sizes)


def _metadata(stream: BinaryIO, position: int) -> bytes:
    (size, _) = struct.unpack("<ii", _content(stream, position, b"ZISRAWMETADATA", 8))
    stream.seek(_METADATA_HEAD - 8, 1)
    return stream.read(size) if 0 < size <= _MAX_XML else b""


def _described(root) -> tuple[Finding, tuple[str, ...], dict[int, str]]:
    """Return what the metadata say on the voxel size, the channels and the scenes."""
    if root is None:
        return Finding("the CZI metadata"), (), {}
    um: dict[str, float | None] = {}
    for distance in root.iterfind(".//Scaling/Items/Distance"):
        metres = positive(distance.findtext("Value"))
        um.setdefault(distance.get("Id", ""), None if metres is None else metres * 1e6)
    names = tuple(
        channel.get("Name") or f"channel {k}"
        for k, channel in enumerate(root.iterfind(".//Information/Image/Dimensions/Channels/Channel"))
    )
    scenes = {
        int(scene.get("Index", "-1")): scene.get("Name") or ""
        for scene in root.iterfind(".//Information/Image/Dimensions/S/Scenes/Scene")
    }
    return Finding("the CZI metadata", um.get("Z"), um.get("Y"), um.get("X")), names, scenes


def _image_name(key: tuple[int, ...], keys: list[tuple[int, ...]], scenes: dict[int, str]) -> str:
    """Return a name from the axes in which the images of the file differ."""
    words = {"S": "scene", "H": "phase", "R": "rotation", "I": "illumination", "V": "view", "B": "block"}
    parts = [
        scenes.get(value) or f"scene {value}" if axis == "S" else f"{words[axis]} {value}"
        for axis, value, others in zip(_OTHER_AXES, key, zip(*keys, strict=True), strict=True)
        if len(set(others)) > 1
    ]
    return ", ".join(parts)


def _image(
    stream: BinaryIO, blocks: list[_Block], name: str, finding: Finding, channels: tuple[str, ...]
) -> VendorImage:
    """Return one image from its tiles; planes that were never recorded are blank."""
    first = {axis: min(b.starts.get(axis, 0) for b in blocks) for axis in "TCZYX"}
    sizes = sizes_along(
        lambda axis: max(b.starts.get(axis, 0) + b.sizes.get(axis, 1) for b in blocks) - first[axis]
    )
    samples = blocks[0].samples
    if any(b.samples != samples for b in blocks):
        raise ValueError("grey and colour planes in one image")
    dtype = np.result_type(*{b.dtype for b in blocks})
    tiles: dict[tuple[int, ...], list[_Block]] = defaultdict(list)
    for block in sorted(blocks, key=lambda b: b.starts.get("M", 0)):
        tiles[tuple(block.starts.get(axis, 0) - first[axis] for axis in "TCZ")].append(block)

    def load(time_point: int, channel: int, z: int) -> np.ndarray:
        plane = np.zeros(sizes[3:] if samples == 1 else (*sizes[3:], samples), dtype)
        for block in tiles.get((time_point, channel, z), ()):
            y, x = block.starts["Y"] - first["Y"], block.starts["X"] - first["X"]
            plane[y : y + block.sizes["Y"], x : x + block.sizes["X"]] = _decoded(stream, block)
        return plane

    missing = sizes[0] * sizes[1] * sizes[2] - len(tiles)
    notes = (f"{missing} planes were never recorded and are read as blank.",) if missing else ()
    names = channels[first["C"] : first["C"] + sizes[1]]
    return VendorImage(name, sizes, dtype, load, finding, names, samples, notes)


def _decoded(stream: BinaryIO, block: _Block) -> np.ndarray:
    """Return the samples of one tile, shape (Y, X) or (Y, X, S)."""
    data = _content(stream, block.position, b"ZISRAWSUBBLOCK", _SUBBLOCK.size + _ENTRY.size)
    metadata_bytes, _, data_bytes = _SUBBLOCK.unpack_from(data)
    dimensions = _ENTRY.unpack_from(data, _SUBBLOCK.size)[8]
    head = max(_SUBBLOCK_HEAD, len(data) + dimensions * _DIMENSION.size)
    expected = int(np.prod(block.shape)) * block.dtype.itemsize
    if not 0 < data_bytes <= 2 * expected + 2**20 or metadata_bytes < 0:
        raise ValueError("a subblock of another size than its image")
    stream.seek(block.position + _SEGMENT.size + head + metadata_bytes)
    raw = stream.read(data_bytes)
    if block.compression in (_JPEG, _JPEG_XR):
        decode = imagecodecs.jpeg8_decode if block.compression == _JPEG else imagecodecs.jpegxr_decode
        samples = np.asarray(decode(raw)).astype(block.dtype, copy=False).reshape(block.shape)
    else:
        samples = np.frombuffer(_unpacked(raw, block.compression, expected), block.dtype)
        samples = samples[: int(np.prod(block.shape))].reshape(block.shape)
    if block.samples > 1 and block.compression != _JPEG_XR:
        samples = samples[..., [2, 1, 0, 3][: block.samples]]  # stored as blue, green, red
    return samples


def _unpacked(raw: bytes, compression: int, expected: int) -> bytes | bytearray:
    if compression == 0:
        return raw
    if compression == _LZW:
        return imagecodecs.lzw_decode(raw)
    if compression == _ZSTD:
        return imagecodecs.zstd_decode(raw, out=expected)
    if compression == _ZSTD_PACKED:
        head = raw[0]
        data = imagecodecs.zstd_decode(raw[head:], out=expected)
        if head >= 3 and raw[1] == 1 and raw[2] & 1:  # low bytes first, then high bytes
            return np.frombuffer(data, np.uint8).reshape(2, -1).T.tobytes()
        return data
    raise ValueError(f"compression {compression} is unknown")
