"""Hostile files whose container is wrong: truncated, disguised, corrupt, or claiming too much."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import tifffile
from hostile_core import LONG, case, many_pages, picture, raw_tiff
from PIL import Image


@case("empty.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(b"")


@case("one_byte.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(b"I")


@case("header_only.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(b"II*\x00\x08\x00\x00\x00")


@case("text.tif", "refuse")
def _(path: Path) -> None:
    path.write_text("x,y,z\n1,2,3\n" * 40)


@case("random.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(5000))


@case("random_after_header.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(b"II*\x00\x08\x00\x00\x00" + np.random.default_rng(2).bytes(5000))


@case("truncated_multipage.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((10, 64, 64)), imagej=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@case("truncated_plain.tif", "refuse")
def _(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        for plane in picture((10, 64, 64)):
            writer.write(plane, contiguous=False, metadata=None)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


@case("truncated_deflate.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((4, 64, 64)), compression="zlib", metadata=None)
    data = path.read_bytes()
    path.write_bytes(data[:-600])


@case("corrupt_deflate.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 64, 64, data=np.random.default_rng(3).bytes(900), compression=8)


@case("corrupt_lzw.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 64, 64, data=b"\xff" * 900, compression=5)


@case("unknown_compression.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 64, 64, data=b"\x00" * 4096, compression=31337)


@case("png_named.tif", "read")
def _(path: Path) -> None:
    Image.fromarray(picture(dtype="uint8")).save(path, format="PNG")


@case("tiff_named.png", "read")
def _(path: Path) -> None:
    with open(path, "wb") as stream:
        tifffile.imwrite(stream, picture())


@case("zip_bomb.tif", "refuse")
def _(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", b"\x00" * 50_000_000)


@case("gif_named.tif", "refuse")
def _(path: Path) -> None:
    frames = [Image.fromarray(picture(dtype="uint8", seed=i)) for i in range(3)]
    frames[0].save(path, format="GIF", save_all=True, append_images=frames[1:])


@case("video_named.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(struct.pack(">I", 24) + b"ftypisom" + b"\x00\x00\x02\x00isomiso2" + b"\x00" * 500)


@case("avi_named.tif", "refuse")
def _(path: Path) -> None:
    path.write_bytes(b"RIFF" + struct.pack("<I", 500) + b"AVI LIST" + b"\x00" * 500)


@case("numpy_named.tif", "refuse")
def _(path: Path) -> None:
    with open(path, "wb") as stream:
        np.save(stream, picture())


@case("rgb_3_pages.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((3, 64, 64, 1), "uint8").repeat(3, axis=3), photometric="rgb")


@case("rgb_planar.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((3, 64, 64), "uint8"), photometric="rgb", planarconfig="separate")


@case("cmyk.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture((64, 64, 4), "uint8"), photometric="separated", planarconfig="contig")


@case("two_samples.tif", "read")
def _(path: Path) -> None:
    tifffile.imwrite(
        path, picture((64, 64, 2)), photometric="minisblack", planarconfig="contig", metadata=None
    )


@case("palette.png", "read")
def _(path: Path) -> None:
    Image.fromarray(picture(dtype="uint8")).convert("P").save(path)


@case("alpha.png", "read")
def _(path: Path) -> None:
    Image.fromarray(picture((64, 64, 4), "uint8"), mode="RGBA").save(path)


@case("colour16.png", "read")
def _(path: Path) -> None:
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in picture((64, 64)).repeat(3, axis=1))
    path.write_bytes(_png(64, 64, 16, 2, rows))


@case("cmyk.jpg", "read")
def _(path: Path) -> None:
    Image.fromarray(picture((64, 64, 4), "uint8"), mode="CMYK").save(path, format="JPEG")


@case("truncated.png", "refuse")
def _(path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture((64, 64), "uint8")).save(stream, format="PNG")
    path.write_bytes(stream.getvalue()[:800])


@case("truncated.jpg", "refuse")
def _(path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(picture((64, 64), "uint8")).save(stream, format="JPEG")
    path.write_bytes(stream.getvalue()[:700])


@case("bomb.png", "refuse")
def _(path: Path) -> None:
    path.write_bytes(_png(100_000, 100_000, 8, 0, b"\x00" * 1000))


@case("bomb_medium.png", "refuse")
def _(path: Path) -> None:
    path.write_bytes(_png(20_000, 15_000, 8, 0, b"\x00" * 100_000))


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Return a PNG of the given header and uncompressed rows."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@case("1x1.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, np.array([[7]], np.uint16))


@case("1xN.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, np.arange(500, dtype=np.uint16)[None])


@case("Nx1_stack.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, np.ones((5, 500, 1), np.uint16))


@case("65000_pages.tif", "read")
def _(path: Path) -> None:
    many_pages(path, 65_000)


@case("circular_pages.tif", "refuse")
def _(path: Path) -> None:
    many_pages(path, 300)
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<I", 8 + 64)
    path.write_bytes(data)


@case("zero_width.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 0, 64)


@case("huge_claim.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 100_000, 100_000, bits=16)


@case("huge_claim_deflate.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 60_000, 60_000, bits=16, data=zlib.compress(b"\x00" * 100_000), compression=8)


@case("largest_claim.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 0xFFFFFFFF, 0xFFFFFFFF, data=zlib.compress(b"\x00" * 9), compression=8)


@case("huge_strip_count.tif", "refuse")
def _(path: Path) -> None:
    raw_tiff(path, 64, 0x7FFFFFFF, rows_per_strip=1, extra=((273, LONG, 0x7FFFFFFF, 8),))


@case("imagej_claims_planes.tif", "refuse")
def _(path: Path) -> None:
    tifffile.imwrite(path, picture(), imagej=True)
    path.write_bytes(path.read_bytes().replace(b"hyperstack=true", b"slices=9\nloop=0", 1))
