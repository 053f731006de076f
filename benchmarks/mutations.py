"""Damaged and dishonest files made from good ones: bit flips, cuts, foreign headers, swapped tags, huge claims."""

from __future__ import annotations

import re
import shutil
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Random = np.random.Generator
#: Numbers that break arithmetic when a header claims them.
HUGE = (2**31 - 1, 2**32 - 1, 2**31, 2**24, 10**6, 65535, 0)


@dataclass(frozen=True)
class Case:
    """One damaged file.

    Parameters
    ----------
    kind : str
        A key of `MUTATIONS`.
    source : Path
        What it was made from.
    path : Path
        The damaged copy; a folder where the source is one.
    """

    kind: str
    source: Path
    path: Path


def flipped(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Flip 1 to 64 bits: anywhere, or in the first or last kilobyte, where headers are."""
    out = bytearray(data)
    low, high = [(0, len(out)), (0, min(1024, len(out))), (max(0, len(out) - 1024), len(out))][
        rng.integers(3)
    ]
    for place in rng.integers(low, high, int(rng.integers(1, 65))):
        out[place] ^= 1 << int(rng.integers(8))
    return bytes(out)


def truncated(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Cut off the end, or take a piece out of the middle."""
    first = int(rng.integers(1, len(data)))
    if rng.random() < 0.6:
        return data[:first]
    return data[:first] + data[first + int(rng.integers(1, 4096)) :]


def spliced(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Put the start of another file before the rest of this one, or a piece of another into it."""
    other = others[int(rng.integers(len(others)))]
    if rng.random() < 0.5:
        head = int(rng.integers(4, min(4096, len(other), len(data))))
        return other[:head] + data[head:]
    start, piece = int(rng.integers(len(other))), int(rng.integers(16, 4096))
    place = int(rng.integers(len(data)))
    return data[:place] + other[start : start + piece] + data[place:]


def swapped(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Swap the values of two tags of a TIFF directory, or their numbers; in other files two words of four bytes."""
    out = bytearray(data)
    entries = list(_tags(data))
    if len(entries) >= 2:
        size = 20 if _is_big(data) else 12
        first, second = rng.choice(len(entries), 2, replace=False)
        a, b = entries[first], entries[second]
        low, high = (2, size) if rng.random() < 0.5 else (0, 2)
        out[a + low : a + high], out[b + low : b + high] = data[b + low : b + high], data[a + low : a + high]
        return bytes(out)
    a, b = (4 * int(k) for k in rng.integers(0, min(len(data), 4096) // 4, 2))
    out[a : a + 4], out[b : b + 4] = data[b : b + 4], data[a : a + 4]
    return bytes(out)


def inflated(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Claim a huge number: as a TIFF tag's value or count, in the header of a PNG or JPEG, in a text, or as any small number."""
    huge = HUGE[int(rng.integers(len(HUGE)))]
    out = bytearray(data)
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        place = 16 + 4 * int(rng.integers(2))
        out[place : place + 4] = struct.pack(">I", huge)
        out[29:33] = struct.pack(">I", zlib.crc32(bytes(out[12:29])))
        return bytes(out)
    if data[:3] == b"\xff\xd8\xff" and (frame := max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))) > 0:
        place = frame + 5 + 2 * int(rng.integers(2))
        out[place : place + 2] = struct.pack(">H", huge % 65536)
        return bytes(out)
    entries = list(_tags(data))
    if entries and rng.random() < 0.7:
        order, big = ("<" if data[:2] == b"II" else ">"), _is_big(data)
        entry = entries[int(rng.integers(len(entries)))]
        field = entry + (4 if rng.random() < 0.3 else 12 if big else 8)
        out[field : field + (8 if big else 4)] = struct.pack(order + ("Q" if big else "I"), huge)
        return bytes(out)
    if rng.random() < 0.5:
        return reworded(data, rng, others)
    head = np.frombuffer(data[: len(data) // 4 * 4], "<u4")
    small = np.flatnonzero((head > 0) & (head < 4096))
    if small.size:
        place = 4 * int(small[rng.integers(small.size)])
        out[place : place + 4] = struct.pack("<I", huge)
    return bytes(out)


def reworded(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Change a number in the text of a header (ImageJ, OME-XML, settings) to a huge, negative or empty one."""
    places = [m.span() for m in re.finditer(rb"(?<=[=\"> :])\d+(?:\.\d+)?(?=[\"< \r\n,\]])", data[:200_000])]
    if not places:
        return flipped(data, rng, others)
    first, last = places[int(rng.integers(len(places)))]
    words = (b"999999999", b"-1", b"0", b"", b"1e400", b"nan", b"4294967296", b"\xff\xfe", b"<!ENTITY a>")
    word = words[int(rng.integers(len(words)))]
    if rng.random() < 0.5:  # same length, so that the file stays whole
        word = word[: last - first].ljust(last - first, b"9")
    return data[:first] + word + data[last:]


MUTATIONS: dict[str, Callable[[bytes, Random, list[bytes]], bytes]] = {
    "bit flips": flipped,
    "truncation": truncated,
    "spliced header": spliced,
    "swapped tags": swapped,
    "huge claim": inflated,
    "changed text": reworded,
}


def _is_big(data: bytes) -> bool:
    return data[:4] in (b"II+\x00", b"MM\x00+")


def _tags(data: bytes) -> Iterator[int]:
    """Yield where each entry of the first directory of a TIFF starts; nothing for other files."""
    if data[:4] not in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
        return
    order, big = ("<" if data[:2] == b"II" else ">"), _is_big(data)
    (offset,) = struct.unpack(order + ("Q" if big else "I"), data[8:16] if big else data[4:8])
    head = 8 if big else 2
    if offset + head > len(data):
        return
    (count,) = struct.unpack(order + ("Q" if big else "H"), data[offset : offset + head])
    for k in range(min(count, 500)):
        entry = offset + head + k * (20 if big else 12)
        if entry + (20 if big else 12) <= len(data):
            yield entry


def cases(sources: list[Path], count: int, seed: int, folder: Path) -> Iterator[Case]:
    """Write damaged files one after another: the kinds and the sources in turn.

    Parameters
    ----------
    sources : list of Path
        Good files, and folders (OME-Zarr), of which one file is damaged.
    count : int
    seed : int
        The same seed gives the same files.
    folder : Path
        Where they are written; each replaces the one before.
    """
    rng = np.random.default_rng(seed)
    contents = [path.read_bytes() for path in sources if path.is_file()]
    kinds = list(MUTATIONS)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        source = sources[(number // len(kinds) + number) % len(sources)]
        path = folder / f"case_{number:04d}_{source.name}"
        if source.is_dir():
            shutil.copytree(source, path)
            inside = sorted(p for p in path.rglob("*") if p.is_file() and p.stat().st_size > 16)
            target = inside[int(rng.integers(min(len(inside), 6)))]
        else:
            target = path
        original = target.read_bytes() if source.is_dir() else source.read_bytes()
        target.write_bytes(MUTATIONS[kind](original, rng, contents))
        yield Case(kind, source, path)
        shutil.rmtree(path) if source.is_dir() else path.unlink()
