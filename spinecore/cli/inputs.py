"""What `analyse` is given: files, folders, sets of files, and settings from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spinecore.errors import SpinecoreError
from spinecore.reading.joined import FileSet
from spinecore.reading.names import list_with_reasons, stem
from spinecore.reading.sets import common_name, incomplete_slices, numbered_slices, ome_set
from spinecore.reading.vendors import is_zarr

_PICTURES = (".png", ".jpg", ".jpeg")
#: Settings that stand one level deeper, in `Settings.reading`.
_READING = ("axes", "series", "average_time", "line_shift_px")


@dataclass(frozen=True)
class Input:
    """One stack to analyse.

    Parameters
    ----------
    name : str
    files : tuple of Path
        One file, or one file a slice.
    """

    name: str
    files: tuple[Path, ...]

    @property
    def source(self) -> Path | tuple[Path, ...]:
        """What `spinecore.reading.read_stack` takes."""
        return self.files[0] if len(self.files) == 1 else self.files


@dataclass(frozen=True)
class Inputs:
    """All stacks of one call.

    Parameters
    ----------
    stacks : list of Input
    in_folders : bool
        Whether each gets a folder of its own.
    """

    stacks: list[Input]
    in_folders: bool


def collect(
    paths: list[Path], join: bool, separate: bool, say: Callable[[str], None], must_join: bool = True
) -> Inputs:
    """Find the stacks among files and folders.

    Parameters
    ----------
    paths : list of Path
    join, separate : bool
        What becomes of numbered files of one slice each.
    say : callable
        Receives a line about what is passed over or put together.
    must_join : bool
        Refuse to join where nothing is numbered.

    Raises
    ------
    SpinecoreError
        If there is none, or numbered slices are found and nothing is said about them.
    """
    if join and separate:
        raise SpinecoreError("--join and --separate exclude each other: give one of them")
    listing = list_with_reasons(paths)
    for text in listing.passed_over:
        say(f"spinecore: skipped {text}")
    files = listing.files
    stacks: list[Input] = []
    taken: set[Path] = set()
    alone = [] if separate else [f for f in files if not _in_set(f)]
    sequences = numbered_slices(alone)
    for group, missing in incomplete_slices(alone):
        told = (
            f"{group[0].name} to {group[-1].name} are {len(group)} numbered files of one slice each, and number "
            f"{', '.join(map(str, missing[:6]))} is missing"
        )
        if join:
            raise SpinecoreError(
                f"{told}: add what is missing, or number the files anew, and give --join again"
            )
        say(f"spinecore: {told}; they are analysed one by one")
    if not join:  # pictures are more often images of their own than slices
        for pictures in [each for each in sequences if each[0].suffix.lower() in _PICTURES]:
            sequences.remove(pictures)
            say(
                f"spinecore: {pictures[0].name} to {pictures[-1].name} are {len(pictures)} numbered pictures of one size and are "
                "analysed one by one; add --join to read them as the slices of one stack (with --z-step)"
            )
    if sequences and not join:
        first = sequences[0]
        raise SpinecoreError(
            f"{first[0].name} to {first[-1].name} are {len(first)} numbered files of one slice each: add "
            "--join to read them "
            "as one stack (with --z-step), or --separate to analyse each as an image of its own"
        )
    if join and must_join and not sequences:
        raise SpinecoreError(
            "--join found no numbered files of one slice each: remove it, or check the names"
        )
    by_file = {path: sequence for sequence in sequences for path in sequence}
    for file in files:
        if file in taken:
            continue
        if file in by_file:
            members = tuple(by_file[file])
            taken |= set(members)
            stacks.append(Input(common_name(list(members)), members))
            continue
        found = _set_of(file)
        if found is not None:
            resolved = {f.resolve() for f in found.files}
            taken |= {f for f in files if f.resolve() in resolved}
            stacks.append(Input(found.name, (file,)))
        else:
            stacks.append(Input(stem(file), (file,)))
    single = len(stacks) == 1 and (len(files) == 1 or len(taken) == len(files))
    from_folder = any(Path(p).is_dir() and not is_zarr(p) for p in paths)
    return Inputs(stacks, in_folders=not single or (len(files) == 1 and from_folder))


def _set_of(file: Path) -> FileSet | None:
    """Return the set that a file belongs to; what is wrong with it is said when it is read."""
    try:
        return ome_set(file)
    except (SpinecoreError, OSError):
        return None


def _in_set(file: Path) -> bool:
    try:
        return ome_set(file) is not None
    except (SpinecoreError, OSError):
        return True


def settings_from(file: Path | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of `Settings` from a TOML file and the options of the call, which come first.

    Parameters
    ----------
    file : Path or None
        Its keys are the fields of `spinecore.analysis.result.Settings`; those of `reading` may stand at the top.
    given : dict
        Options; None is not given.

    Raises
    ------
    SpinecoreError
        If the file cannot be read.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise SpinecoreError(f"{file.name} is not valid TOML ({error}): correct it") from error
        except UnicodeDecodeError as error:
            raise SpinecoreError(f"{file.name} is not UTF-8 text: save it again as UTF-8") from error
    values |= {key: value for key, value in given.items() if value is not None}
    reading = dict(values.pop("reading", {})) | {k: values.pop(k) for k in _READING if k in values}
    if reading:
        values["reading"] = reading
    return values
