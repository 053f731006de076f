"""Stacks that are spread over several files: sets of OME files, Bruker's companions, one numbered file a slice."""

from __future__ import annotations

import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Sequence
from pathlib import Path

import tifffile

from spinecore.errors import SpinecoreError
from spinecore.reading.images import ImageFacts
from spinecore.reading.joined import FileSet, open_photo
from spinecore.reading.metadata import ome_channel_names, ome_size
from spinecore.reading.names import stem
from spinecore.reading.sniff import page_chain, sniff
from spinecore.reading.tiff import TiffPlanes
from spinecore.reading.xmltext import parse_xml

_DESCRIPTION = 270
_NUMBER = re.compile(r"\d+")
#: What names a channel at the end of a file's name.
_CHANNEL = re.compile(r"(?<![A-Za-z])(c|ch|channel|w)[\s_=.-]?\d+$", re.IGNORECASE)
_LETTERS = re.compile(r"([A-Za-z]+)[\s_=.-]?$")
#: Fewer numbered files than this are not taken for slices.
_FEWEST_SLICES = 3


def ome_set(path: Path, image: int | None = None) -> FileSet | None:
    """Return the set of OME files that a file belongs to, or None where it stands alone.

    Read are the OME-XML of the file itself, or of the companion that it points to (`BinaryOnly`), or the companion
    when that is the file given.

    Parameters
    ----------
    path : Path
        A TIFF, or a ``.companion.ome`` file.
    image : int, optional
        Which image of the set; by default the one that the file is part of.

    Raises
    ------
    SpinecoreError
        If the set lacks files.
    """
    text, home = _ome_text(path)
    if text is None:
        return None
    root = parse_xml(text)
    if root is None:
        return None
    pointer = root.find("{*}BinaryOnly")
    if pointer is not None:
        companion = path.with_name(Path(pointer.get("MetadataFile") or "").name or "unnamed companion")
        if not companion.is_file():
            raise SpinecoreError(
                f"{path.name} holds one part of a set whose description is in {companion.name}: "
                "put all files of the set beside each other and give them together"
            )
        text, home = companion.read_text(encoding="utf-8", errors="replace"), companion
        root = parse_xml(text)
        if root is None:
            raise SpinecoreError(f"{companion.name} cannot be read as OME-XML: export the set again")
    return _set_of(path, home, text, root, image)


def _ome_text(path: Path) -> tuple[str | None, Path]:
    """Return the OME-XML of a companion file or in the first page of a TIFF."""
    if path.name.lower().endswith(".companion.ome"):
        return path.read_text(encoding="utf-8", errors="replace"), path
    try:
        with open(path, "rb") as stream:
            if stream.read(4) not in (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+"):
                return None, path
        with tifffile.TiffFile(path, _multifile=False) as tif:
            description = tif.pages.first.tags.valueof(_DESCRIPTION)
    except Exception:  # damage is named by whoever opens the file alone
        return None, path
    text = description if isinstance(description, str) else ""
    return (text, path) if "<OME" in text[:4000] or ":OME" in text[:4000] else (None, path)


def _set_of(
    path: Path, home: Path, text: str, root: ElementTree.Element, wanted: int | None
) -> FileSet | None:
    """Return the set that an OME-XML describes, or None where it speaks of one file only."""
    pixels = root.findall(".//{*}Pixels")
    named = {
        Path(str(n.get("FileName"))).name: str(n.text or "").strip()
        for p in pixels
        for n in p.iterfind("{*}TiffData/{*}UUID")
        if n.get("FileName")
    }
    # a file that was renamed still carries the name that it had
    self_named = {name for name, uuid in named.items() if uuid and uuid == root.get("UUID")} - {path.name}
    if home == path and len(named) == 1 and not home.with_name(next(iter(named))).is_file():
        self_named = set(named)
    if len((set(named) - self_named) | {path.name}) < 2 or not named:
        return None
    maps = [_plane_map(p, home, self_named if home == path else set()) for p in pixels]
    number = wanted
    if number is None:
        number = next((k for k, m in enumerate(maps) if any(f.name == path.name for f, _ in m.values())), 0)
    if number >= len(maps):
        raise SpinecoreError(f"{path.name} has no image {number}: its set holds {len(maps)}")
    planes, image = maps[number], pixels[number]
    files = list(dict.fromkeys(f for f, _ in planes.values()))
    missing = [f.name for f in files if not f.is_file()]
    sizes = tuple(int(image.get(f"Size{axis}") or 1) for axis in "TCZ")
    kept = list(range(sizes[1]))
    notes: tuple[str, ...] = ()
    alone = files == [path] and len(pixels) > 1 and home == path  # each file holds an image of its own
    if (missing and home == path and _holds_all_slices(planes, path, sizes[2])) or alone:
        part = _own_part(planes, path)
        if part is None or any(int(c.get("SamplesPerPixel") or 1) > 1 for c in image.iterfind("{*}Channel")):
            return None  # what it holds is read, with a note
        planes, sizes, kept = part
        files, missing = [path], []
        notes = ("This file is one of a set of OME files; only its own planes are read.",)
    if missing:
        raise SpinecoreError(
            f"{path.name} is one of a set of {len(files)} files that make one stack, and {missing[0]} is missing: "
            "put all files of the set beside each other and give them together"
        )
    names = ome_channel_names(text, number)
    clean = [re.sub(r"[\x00-\x1f]", "", name).strip() for name in names]
    named_all = len(clean) > max(kept, default=0)
    channels = tuple(clean[c] if named_all and clean[c] else f"channel {k}" for k, c in enumerate(kept))
    facts = tuple(
        ImageFacts(
            root.findall(".//{*}Image")[k].get("Name") or "",
            tuple(int(p.get(f"Size{axis}") or 1) for axis in "TCZYX"),
            "TCZYX",
            str(p.get("Type") or ""),
        )
        for k, p in enumerate(pixels)
    )
    return FileSet(
        name=common_name(files),
        planes=planes,
        sizes=(sizes[0], sizes[1], sizes[2]),
        shape_yx=(int(image.get("SizeY") or 0), int(image.get("SizeX") or 0)),
        findings=(ome_size(text, number),),
        channel_names=channels,
        format="OME-TIFF set" if len(files) > 1 else "OME-TIFF",
        notes=(
            f"{len(files)} files of an OME set are read as one stack ({files[0].name} to {files[-1].name}).",
        )
        if len(files) > 1
        else notes,
        images=facts[number : number + 1] if notes else facts,
        image=0 if notes else number,
    )


def _own_part(
    planes: dict[tuple[int, int, int], tuple[Path, int]], path: Path
) -> tuple[dict[tuple[int, int, int], tuple[Path, int]], tuple[int, ...], list[int]] | None:
    """Return the planes of a set that lie in one file, numbered anew, their sizes and its channels; None where some lack."""
    own = {place: where for place, where in planes.items() if where[0].name == path.name}
    axes = [sorted({place[k] for place in own}) for k in range(3)]
    sizes = tuple(len(axis) for axis in axes)
    if len(own) != math.prod(sizes) or not own:
        return None
    new = {(axes[0].index(t), axes[1].index(c), axes[2].index(z)): where for (t, c, z), where in own.items()}
    return new, sizes, axes[1]


def _holds_all_slices(planes: dict[tuple[int, int, int], tuple[Path, int]], path: Path, slices: int) -> bool:
    """Return True where one file has every slice of each channel and time point that it is part of."""
    own: dict[tuple[int, int], set[int]] = {}
    for (t, c, z), (file, _) in planes.items():
        if file.name == path.name:
            own.setdefault((t, c), set()).add(z)
    return bool(own) and all(len(found) == slices for found in own.values())


def _plane_map(
    pixels: ElementTree.Element, home: Path, self_named: set[str]
) -> dict[tuple[int, int, int], tuple[Path, int]]:
    """Return file and page of each plane of an OME image, by (t, c, z); some names mean the file itself."""
    sizes = {axis: int(pixels.get(f"Size{axis}") or 1) for axis in "ZCT"}
    order = (pixels.get("DimensionOrder") or "XYZCT").upper().removeprefix("XY")
    planes: dict[tuple[int, int, int], tuple[Path, int]] = {}
    for data in pixels.iterfind("{*}TiffData"):
        uuid = data.find("{*}UUID")
        name = uuid.get("FileName") if uuid is not None else None
        file = home if not name or Path(name).name in self_named else home.with_name(Path(name).name)
        place = {axis: int(data.get(f"First{axis}") or 0) for axis in "ZCT"}
        page = int(data.get("IFD") or 0)
        count = int(
            data.get("PlaneCount") or (1 if data.get("IFD") is not None else math.prod(sizes.values()))
        )
        for _ in range(min(count, math.prod(sizes.values()))):
            planes[place["T"], place["C"], place["Z"]] = (file, page)
            page += 1
            for axis in order:
                place[axis] += 1
                if place[axis] < sizes[axis]:
                    break
                place[axis] = 0
    return planes


def common_name(files: Sequence[Path]) -> str:
    """Return what the names of the files share, without what numbers the slices.

    Examples
    --------
    >>> common_name([Path(f"cell_z{k:02d}_ch1.tif") for k in range(12)]), common_name([Path("a_1.tif"), Path("a_2.tif")])
    ('cell_ch1', 'a')
    """
    stems = [stem(f) for f in files]
    if len(stems) == 1:
        return stems[0]
    length = _shared(stems)
    shared = re.sub(
        r"[\s_\-.]*(?:z|slice|plane|img)?[\s_\-.]*0*$", "", stems[0][:length], flags=re.IGNORECASE
    )
    rests = [root[length:] for root in stems]
    tail = rests[0][len(rests[0]) - _shared([rest[::-1] for rest in rests]) :].lstrip("0123456789")
    return (shared + tail).strip(" ()[]") or files[0].parent.name or stems[0]


def _shared(texts: Sequence[str]) -> int:
    """Return how many letters texts have in common from their beginning."""
    letters = zip(*texts, strict=False)
    return next((k for k, each in enumerate(letters) if len(set(each)) > 1), min(map(len, texts)))


def numbered_slices(paths: Iterable[Path]) -> list[list[Path]]:
    """Return groups of files that look like the slices of one stack each, in the order of their numbers.

    Their names differ in one number that runs without gaps, and each holds one plane of the same size and type.

    Parameters
    ----------
    paths : iterable of Path
        Files of one folder count together, so do files in folders of their own whose names go on from one another.
    """
    return [group for group, missing in _numbered(paths) if not missing]


def incomplete_slices(paths: Iterable[Path]) -> list[tuple[list[Path], list[int]]]:
    """Return groups of files that would be `numbered_slices` if a few numbers were not missing, with those numbers."""
    return [(group, missing) for group, missing in _numbered(paths) if missing]


def _numbered(paths: Iterable[Path]) -> list[tuple[list[Path], list[int]]]:
    by_name = {path.name: path for path in paths}
    found = []
    for names, missing in numbered_names(by_name):
        kinds = {_single_plane(by_name[name]) for name in names}
        if len(kinds) == 1 and None not in kinds:
            found.append(([by_name[name] for name in names], missing))
    return found


def numbered_names(names: Iterable[str]) -> list[tuple[list[str], list[int]]]:
    """Return groups of file names that differ in one number only, and the numbers that are missing in each group.

    Looked at are numbers that are called z, slice or plane, wherever they stand, and then the last one that is not called
    a channel, if nothing but a channel follows it. A group has three names or more, or two called slices; at most a
    quarter is missing.

    Examples
    --------
    >>> numbered_names(["a_z9.tif", "b.tif", "a_z10.tif", "a_z11.tif"])
    [(['a_z9.tif', 'a_z10.tif', 'a_z11.tif'], [])]
    >>> numbered_names([f"a_z{z}_ch{c}.tif" for c in (1, 2) for z in (0, 1, 2)])[1]
    (['a_z0_ch2.tif', 'a_z1_ch2.tif', 'a_z2_ch2.tif'], [])
    >>> numbered_names([f"a ({k}).tif" for k in (1, 2, 3, 5)])
    [(['a (1).tif', 'a (2).tif', 'a (3).tif', 'a (5).tif'], [4])]
    >>> numbered_names([f"a_ch{c}.tif" for c in range(4)])
    []
    """
    left = list(names)
    found: list[tuple[list[str], list[int]]] = []
    for place_of, fewest in ((_slice_number, 2), (_last_number, _FEWEST_SLICES)):
        groups: dict[tuple[str, str, str], list[tuple[int, str]]] = {}
        for name in left:
            root = stem(name)
            if (number := place_of(root)) is not None:
                rest = root[: number.start()], root[number.end() :], Path(name).suffix.lower()
                groups.setdefault(rest, []).append((int(number.group()), name))
        for members in groups.values():
            members.sort()
            numbers = [n for n, _ in members]
            span = numbers[-1] - numbers[0] + 1
            if len(set(numbers)) < max(fewest, len(numbers)) or span - len(numbers) > span // 4:
                continue
            missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
            found.append(([name for _, name in members], missing))
        taken = {name for group, _ in found for name in group}
        left = [name for name in left if name not in taken]
    return found


def _slice_number(root: str) -> re.Match[str] | None:
    """Return the number in a name that is called z, slice or plane."""
    return next((n for n in _NUMBER.finditer(root) if _label(root, n) in ("z", "slice", "plane")), None)


def _last_number(root: str) -> re.Match[str] | None:
    """Return the number that a name ends with, but for a bracket and what names a channel."""
    end = _CHANNEL.search(root)
    numbers = [n for n in _NUMBER.finditer(root, 0, end.start() if end else len(root))]
    last = numbers[-1] if numbers else None
    return last if last and not root[last.end() : end.start() if end else None].strip(" )]_-.") else None


def _label(root: str, number: re.Match[str]) -> str:
    """Return the letters just before a number."""
    found = _LETTERS.search(root[: number.start()])
    return found.group(1).lower() if found else ""


def set_members(path: Path) -> list[str] | None:
    """Return the names of the files of the OME set that a file is part of, or None where it stands alone.

    The other files need not be there; a file that only points to its companion names itself and the companion.
    """
    text, _ = _ome_text(path)
    root = None if text is None else parse_xml(text)
    if root is None:
        return None
    pointer = root.find("{*}BinaryOnly")
    if pointer is not None:
        return [path.name, Path(pointer.get("MetadataFile") or "").name]
    named = {
        Path(str(u.get("FileName"))).name
        for u in root.iterfind(".//{*}TiffData/{*}UUID")
        if u.get("FileName")
    }
    return sorted(named | {path.name}) if len(named | {path.name}) > 1 else None


def _single_plane(path: Path) -> tuple[tuple[int, ...], str] | None:
    """Return size and type of a TIFF or grey picture that holds one plane and no set, else None."""
    try:
        if (photo := open_photo(path)) is not None:
            return (photo.shape_tczyx[3:], str(photo.dtype)) if photo.shape_tczyx[1] == 1 else None
        if sniff(path) != "tiff" or page_chain(path).count != 1:
            return None
        with tifffile.TiffFile(path, _multifile=False) as tif:
            page = tif.pages.first
            return (page.shape, str(page.dtype)) if len(page.shape) == 2 else None
    except Exception:  # whatever is wrong with it is said when it is opened
        return None


def sequence_set(paths: Sequence[Path]) -> FileSet:
    """Return files of one slice each as one stack, in the order given.

    Raises
    ------
    SpinecoreError
        If one holds more than one plane, or they are of different sizes or types.
    """
    kinds: dict[tuple[tuple[int, ...], str], Path] = {}
    for path in paths:
        kind = _single_plane(Path(path))
        if kind is None:
            raise SpinecoreError(f"{Path(path).name} does not hold one single plane: give it by itself")
        kinds.setdefault(kind, Path(path))
    if len(kinds) > 1:
        first, other, *_ = kinds.values()
        raise SpinecoreError(
            f"{first.name} and {other.name} differ in size or type, so they are not slices of one stack"
        )

    alone = open_photo(Path(paths[0])) or TiffPlanes(Path(paths[0]), max_bytes=2**40)
    alone.close()
    (shape, dtype), _ = next(iter(kinds.items()))
    name = common_name([Path(p) for p in paths])
    return FileSet(
        name=name,
        planes={(0, 0, z): (Path(path), 0) for z, path in enumerate(paths)},
        sizes=(1, 1, len(paths)),
        shape_yx=(int(shape[0]), int(shape[1])),
        findings=tuple(alone.findings),
        channel_names=("channel 0",),
        format=f"{'TIFF' if isinstance(alone, TiffPlanes) else alone.format} sequence",
        notes=(
            f"{len(paths)} files are read as the slices of one stack ({Path(paths[0]).name} to {Path(paths[-1]).name}).",
        ),
        images=(ImageFacts(name, (len(paths), *shape), "ZYX", dtype),),
    )
