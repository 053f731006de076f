"""Writes small microscope files of each format that is read: by the libraries where they can write, else by hand."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import tifffile

Z_UM, Y_UM, X_UM = 0.4, 0.11, 0.11
NAMES = ("GFP", "PSD95")


def stack(seed: int = 0, times: int = 2, slices: int = 5) -> np.ndarray:
    """Return noise, shape (T, 2, Z, 24, 32), uint16."""
    rng = np.random.default_rng(seed)
    return rng.integers(100, 4000, (times, 2, slices, 24, 32)).astype(np.uint16)


def write_ims(path: Path, data: np.ndarray) -> None:
    """Write an Imaris file with h5py, padded to whole chunks as Imaris does."""
    import h5py

    def chars(text: object) -> np.ndarray:
        return np.array([c.encode() for c in str(text)], "S1")

    times, channels, slices, height, width = data.shape
    with h5py.File(path, "w") as file:
        info = file.create_group("DataSetInfo/Image")
        for axis, count in zip("XYZ", (width, height, slices), strict=True):
            info.attrs[axis] = chars(count)
        for k, extent in enumerate((width * X_UM, height * Y_UM, slices * Z_UM)):
            info.attrs[f"ExtMin{k}"], info.attrs[f"ExtMax{k}"] = chars("10"), chars(10 + extent)
        info.attrs["Unit"] = chars("um")
        for c in range(channels):
            file.create_group(f"DataSetInfo/Channel {c}").attrs["Name"] = chars(NAMES[c])
        for t in range(times):
            for c in range(channels):
                padded = np.zeros((8, 32, 32), data.dtype)
                padded[:slices, :height, :width] = data[t, c]
                place = f"DataSet/ResolutionLevel 0/TimePoint {t}/Channel {c}/Data"
                file.create_dataset(place, data=padded, chunks=(4, 16, 16), compression="gzip")


def write_zarr(folder: Path, data: np.ndarray, version: int = 2) -> None:
    """Write an OME-Zarr with zarr: 0.4 (Zarr 2) or 0.5 (Zarr 3), units in micrometre and nanometre."""
    import zarr

    root = zarr.open_group(str(folder), mode="w", zarr_format=version)
    array = root.create_array("0", shape=data.shape, chunks=(1, 1, 3, 16, 16), dtype=data.dtype)
    array[:] = data
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": a, "type": kinds.get(a, "space")} for a in "tczyx"]
    axes[2]["unit"], axes[3]["unit"], axes[4]["unit"] = "nanometer", "micrometer", "micrometer"
    scale = {"type": "scale", "scale": [1, 1, Z_UM * 1000, Y_UM, X_UM]}
    facts = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}],
        "omero": {"channels": [{"label": name} for name in NAMES]},
    }
    if version == 2:
        facts["multiscales"][0]["version"] = "0.4"
        root.attrs.update(facts)
    else:
        root.attrs["ome"] = {"version": "0.5", **facts}


_CZI_TYPES = {"uint8": 0, "uint16": 1}


def write_czi(path: Path, scenes: list[np.ndarray], compress: int = 0, tiles: int = 1) -> None:
    """Write a CZI by hand: file header, subblocks (split along x into tiles), a pyramid level, directory, metadata."""
    import imagecodecs

    def segment(name: bytes, content: bytes) -> bytes:
        return struct.pack("<16sqq", name, len(content), len(content)) + content

    def entry(kind: int, position: int, place: dict[str, tuple[int, int]], stored: dict[str, int]) -> bytes:
        head = struct.pack(
            "<2siqiiBB4si", b"DV", kind, position, 0, compress, 2 if stored else 0, 0, b"", len(place)
        )
        return head + b"".join(
            struct.pack("<4siifi", axis.encode(), start, size, 0.0, stored.get(axis, size))
            for axis, (start, size) in place.items()
        )

    def packed(plane: np.ndarray) -> bytes:
        raw = plane.tobytes()
        if compress == 5:
            return imagecodecs.zstd_encode(raw)
        if compress == 6:
            halves = np.frombuffer(raw, np.uint8).reshape(-1, 2).T.tobytes()
            return b"\x03\x01\x01" + imagecodecs.zstd_encode(halves)
        return raw

    body, entries = b"", []
    start = 32 + 512
    for s, data in enumerate(scenes):
        kind = _CZI_TYPES[data.dtype.name]
        for t, c, z in np.ndindex(data.shape[:3]):
            width = data.shape[4] // tiles
            for m in range(tiles):
                tile = np.ascontiguousarray(data[t, c, z, :, m * width : (m + 1) * width])
                place = {"X": (1000 + m * width, width), "Y": (-50, tile.shape[0]), "C": (c, 1), "Z": (z, 1)}
                place |= {"T": (t, 1), "S": (s, 1)} | ({"M": (m, 1)} if tiles > 1 else {})
                for stored in ({}, {"X": width // 2, "Y": tile.shape[0] // 2}):
                    pixels = packed(tile[::2, ::2] if stored else tile)
                    listed = entry(kind, start + len(body), place, stored)
                    head = struct.pack("<iiq", 4, 0, len(pixels)) + listed
                    body += segment(b"ZISRAWSUBBLOCK", head.ljust(256, b"\0") + b"<M/>" + pixels)
                    entries.append(listed)
    directory = segment(
        b"ZISRAWDIRECTORY", struct.pack("<i", len(entries)).ljust(128, b"\0") + b"".join(entries)
    )
    distances = "".join(
        f'<Distance Id="{axis}"><Value>{um * 1e-6}</Value></Distance>'
        for axis, um in (("X", X_UM), ("Y", Y_UM), ("Z", Z_UM))
    )
    channels = "".join(f'<Channel Id="Channel:{k}" Name="{name}"/>' for k, name in enumerate(NAMES))
    xml = (
        f"<ImageDocument><Metadata><Information><Image><Dimensions><Channels>{channels}</Channels></Dimensions>"
        f"</Image></Information><Scaling><Items>{distances}</Items></Scaling></Metadata></ImageDocument>"
    ).encode()
    metadata = segment(b"ZISRAWMETADATA", struct.pack("<ii", len(xml), 0).ljust(256, b"\0") + xml)
    at = start + len(body)
    header = struct.pack("<iiii16s16siqqiq", 1, 0, 0, 0, b"", b"", 0, at, at + len(directory), 0, 0)
    path.write_bytes(segment(b"ZISRAWFILE", header.ljust(512, b"\0")) + body + directory + metadata)


def write_lif(path: Path, images: dict[str, np.ndarray]) -> None:
    """Write a LIF by hand (version 2): header with the XML, and one memory block an image."""
    elements, blocks = "", b""
    for k, (name, data) in enumerate(images.items()):
        times, channels, slices, height, width = data.shape
        step = data.dtype.itemsize
        row, plane = width * step, height * width * step
        spans = ((1, width, X_UM, step), (2, height, Y_UM, row), (3, slices, Z_UM, plane * channels))
        dimensions = "".join(
            f'<DimensionDescription DimID="{d}" NumberOfElements="{n}" Origin="0" Length="{(n - 1) * um * 1e-6!r}" '
            f'Unit="m" BitInc="0" BytesInc="{b}"/>'
            for d, n, um, b in spans
        )
        dimensions += (
            f'<DimensionDescription DimID="4" NumberOfElements="{times}" Origin="0" Length="{times - 1}" Unit="s" '
            f'BitInc="0" BytesInc="{plane * channels * slices}"/>'
        )
        described = "".join(
            f'<ChannelDescription DataType="0" ChannelTag="0" Resolution="{8 * step}" NameOfMeasuredQuantity="" Min="0" '
            f'Max="1" Unit="" LUTName="{NAMES[c]}" IsLUTInverted="0" BytesInc="{c * plane}" BitInc="0"/>'
            for c in range(channels)
        )
        elements += (
            f'<Element Name="{name}"><Data><Image><ImageDescription><Channels>{described}</Channels><Dimensions>'
            f"{dimensions}</Dimensions></ImageDescription></Image></Data>"
            f'<Memory Size="{data.nbytes}" MemoryBlockID="MemBlock_{k}"/></Element>'
        )
        pixels = data.transpose(0, 2, 1, 3, 4).tobytes()
        label = f"MemBlock_{k}".encode("utf-16-le")
        blocks += struct.pack("<IIBQBI", 0x70, len(label) + 14, 0x2A, len(pixels), 0x2A, len(label) // 2)
        blocks += label + pixels
    xml = (
        '<LMSDataContainerHeader Version="2"><Element Name="made.lif"><Data><Experiment Path=""/></Data><Memory Size="0" '
        f'MemoryBlockID="MemBlock_x"/><Children>{elements}</Children></Element></LMSDataContainerHeader>'
    ).encode("utf-16-le")
    path.write_bytes(struct.pack("<IIBI", 0x70, len(xml) + 5, 0x2A, len(xml) // 2) + xml + blocks)


def _oif_text(data: np.ndarray) -> str:
    """Return the settings of an OIF as FluoView writes them, as far as they are read."""
    times, channels, slices, height, width = data.shape
    sections = {
        "ProfileSaveInfo": {"Name": '"Acquire"', "Version": '"1.0.0.0"'},
        "Axis Parameter Common": {"AxisOrder": '"XYCZT"'},
        "Reference Image Parameter": {
            "HeightConvertValue": Y_UM,
            "HeightUnit": '"um"',
            "WidthConvertValue": X_UM,
            "WidthUnit": '"um"',
            "ValidBitCounts": 12,
        },
        "File Info": {"DataName": '"Cell 1.oif"'},
    }
    for k, (axis, size) in enumerate(zip("XYCZT", (width, height, channels, slices, times), strict=True)):
        sections[f"Axis {k} Parameters Common"] = {"AxisCode": f'"{axis}"', "MaxSize": size}
    sections["Axis 3 Parameters Common"] |= {
        "StartPosition": 0,
        "EndPosition": Z_UM * 1000 * (slices - 1),
        "Interval": Z_UM * 1000,
        "UnitName": '"nm"',
    }
    for k, name in enumerate(NAMES):
        key = "CH Name" if k else "DyeName"
        sections[f"Channel {k + 1} Parameters"] = {"DyeName": '"None"', key: f'"{name}"'}
    return "".join(
        f"[{section}]\r\n" + "".join(f"{key}={value}\r\n" for key, value in pairs.items())
        for section, pairs in sections.items()
    )


def _oif_planes(data: np.ndarray, folder: Path) -> list[Path]:
    files = []
    for t, c, z in np.ndindex(data.shape[:3]):
        file = folder / f"s_C{c + 1:03d}Z{z + 1:03d}T{t + 1:03d}.tif"
        tifffile.imwrite(file, data[t, c, z], metadata=None)
        files.append(file)
    tifffile.imwrite(folder / "s_Thumb.tif", data[0, 0, 0, ::2, ::2], metadata=None)
    return [*files, folder / "s_Thumb.tif"]


def write_oif(path: Path, data: np.ndarray) -> None:
    """Write an OIF by hand: the text file, and its folder of TIFF planes."""
    folder = path.with_name(path.name + ".files")
    folder.mkdir()
    _oif_planes(data, folder)
    path.write_bytes(b"\xff\xfe" + _oif_text(data).encode("utf-16-le"))


def write_oib(path: Path, data: np.ndarray, scratch: Path) -> None:
    """Write an OIB by hand: the same in an OLE container."""
    scratch.mkdir()
    planes = _oif_planes(data, scratch)
    names = {f"Stream{k:05d}": file for k, file in enumerate(planes, start=1)}
    info = "[OibSaveInfo]\r\nName=OibFile\r\nVersion=2.0.0.0\r\nMainFileName=Stream00000\r\n"
    info += "Stream00000=Cell 1.oif\r\nStorage00001=Cell 1.oif.files\r\n"
    info += "".join(f"{key}=Storage00001/{file.name}\r\n" for key, file in names.items())
    streams = {
        "OibInfo.txt": b"\xff\xfe" + info.encode("utf-16-le"),
        "Stream00000": b"\xff\xfe" + _oif_text(data).encode("utf-16-le"),
        **{key: file.read_bytes() for key, file in names.items()},
    }
    path.write_bytes(_ole(streams))


def _ole(streams: dict[str, bytes]) -> bytes:
    """Return a compound file (MS-CFB version 3, sectors of 512 bytes) whose streams all lie in whole sectors."""
    sector, end, free = 512, 0xFFFFFFFE, 0xFFFFFFFF
    padded = {name: data.ljust(4096, b"\0") for name, data in streams.items()}
    chains, body = [], b""
    fat: list[int] = []
    for data in padded.values():
        count = -(-len(data) // sector)
        first = len(fat)
        fat += [*range(first + 1, first + count), end]
        chains.append((first, len(data)))
        body += data.ljust(count * sector, b"\0")
    entries = [("Root Entry", 5, 1, end, 0)]
    entries += [(name, 2, free, first, size) for name, (first, size) in zip(padded, chains, strict=True)]
    directory = b""
    for k, (name, kind, child, first, size) in enumerate(entries):
        label = name.encode("utf-16-le") + b"\0\0"
        right = k + 1 if 0 < k < len(entries) - 1 else free
        directory += struct.pack(
            "<64sHBBIII16sIQQIQ", label, len(label), kind, 1, free, right, child, b"", 0, 0, 0, first, size
        )
    count = -(-len(directory) // sector)
    dir_start = len(fat)
    fat += [*range(dir_start + 1, dir_start + count), end]
    body += directory.ljust(count * sector, b"\0")
    fat_sectors = -(-(len(fat) + 64) // 128)
    fat_start = len(fat)
    fat += [0xFFFFFFFD] * fat_sectors
    table = np.full(fat_sectors * 128, free, "<u4")
    table[: len(fat)] = fat
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + struct.pack(
        "<16sHHHHHHIIIIIIIIII",
        b"",
        0x3E,
        3,
        0xFFFE,
        9,
        6,
        0,
        0,
        0,
        fat_sectors,
        dir_start,
        0,
        4096,
        end,
        0,
        end,
        0,
    )
    places = np.full(109, free, "<u4")
    places[:fat_sectors] = range(fat_start, fat_start + fat_sectors)
    return header + places.tobytes() + body + table.tobytes()


def _lite(name: str, value: object) -> bytes:
    """Return one value as ND2 stores it (CLX Lite): type, length of the name, name, value."""
    label = name.encode("utf-16-le") + b"\0\0"
    count = bytes([len(label) // 2])
    if isinstance(value, dict):
        inner = b"".join(_lite(key, item) for key, item in value.items())
        length = 2 + len(label) + 12 + len(inner)
        return (
            b"\x0b" + count + label + struct.pack("<IQ", len(value), length) + inner + bytes(8 * len(value))
        )
    if isinstance(value, bool):
        return b"\x01" + count + label + bytes([value])
    if isinstance(value, int):
        return b"\x03" + count + label + struct.pack("<I", value)
    if isinstance(value, float):
        return b"\x06" + count + label + struct.pack("<d", value)
    return b"\x08" + count + label + str(value).encode("utf-16-le") + b"\0\0"


def write_nd2(path: Path, positions: list[np.ndarray], calibrated: bool = True) -> None:
    """Write an ND2 (version 3) by hand: chunks of attributes, metadata, loops and frames, and the map at the end."""
    times, channels, slices, height, width = positions[0].shape
    depth = 8 * positions[0].dtype.itemsize
    count = times * len(positions) * slices
    attributes = {
        "uiWidth": width,
        "uiWidthBytes": width * channels * depth // 8,
        "uiHeight": height,
        "uiComp": channels,
        "uiBpcInMemory": depth,
        "uiBpcSignificant": depth,
        "uiSequenceCount": count,
        "eCompression": 2,
    }
    planes = {
        f"a{k}": {"uiCompCount": 1, "sDescription": NAMES[k], "pFluorescentProbe": {"m_sName": "dye"}}
        for k in range(channels)
    }
    picture = {
        "bCalibrated": calibrated,
        "dCalibration": X_UM,
        "sPicturePlanes": {"uiCount": channels, "sPlaneNew": planes},
    }
    z_loop = {"eType": 4, "uLoopPars": {"uiCount": slices, "dZStep": Z_UM, "dZLow": 0.0, "dZHigh": 2.0}}
    points = {f"p{k}": {"dPosX": float(k), "dPosY": 0.0, "dPosZ": 0.0} for k in range(len(positions))}
    xy_loop = {"eType": 2, "uLoopPars": {"Points": points}, "ppNextLevelEx": {"a": z_loop}}
    t_pars = {"uiCount": times, "dStart": 0.0, "dPeriod": 1.0, "dDuration": 1.0}
    t_loop = {"eType": 1, "uLoopPars": t_pars, "ppNextLevelEx": {"a": xy_loop}}
    chunks = {
        "ImageAttributesLV!": _lite("SLxImageAttributes", attributes),
        "ImageMetadataSeqLV|0!": _lite("SLxPictureMetadata", picture),
        "ImageMetadataLV!": _lite("SLxExperiment", t_loop),
    }
    frames = [data[t, :, z] for t in range(times) for data in positions for z in range(slices)]
    for k, frame in enumerate(frames):
        chunks[f"ImageDataSeq|{k}!"] = bytes(8) + np.ascontiguousarray(frame.transpose(1, 2, 0)).tobytes()

    def chunk(name: bytes, data: bytes, reserve: int) -> bytes:
        return struct.pack("<IIQ", 0x0ABECEDA, reserve, len(data)) + name.ljust(reserve, b"\0") + data

    out = chunk(b"ND2 FILE SIGNATURE CHUNK NAME01!", b"Ver3.0".ljust(64, b"\0"), 32)
    places = b""
    for name, data in chunks.items():
        out = out.ljust(-(-len(out) // 4096) * 4096, b"\0")
        places += name.encode() + struct.pack("<QQ", len(out), len(data))
        out += chunk(name.encode(), data, 4096 - 16 - 8)  # pixels start a page after the chunk
    where = len(out)
    places += b"ND2 CHUNK MAP SIGNATURE 0000001!" + struct.pack("<Q", where)
    path.write_bytes(out + chunk(b"ND2 FILEMAP SIGNATURE NAME 0001!", places, 32))
