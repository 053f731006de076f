"""Refusing by claimed size, before anything is allocated."""

from __future__ import annotations

from spinecore.errors import SpinecoreError

#: Largest channel and time point that is read unless the caller says otherwise (bytes).
MAX_BYTES = 8 * 2**30

#: Images smaller than this along y or x cannot hold a spine.
MIN_SIDE_PX = 8

_BOMB_BYTES = 256 * 2**20
_BOMB_RATIO = 1000


def in_words(count: float) -> str:
    """Return a number of bytes for people.

    Examples
    --------
    >>> in_words(300), in_words(2_500_000), in_words(9 * 2**30)
    ('300 bytes', '2.4 MiB', '9.0 GiB')
    """
    if count < 1024:
        return f"{count:.0f} bytes"
    for unit in ("KiB", "MiB", "GiB", "TiB"):
        count /= 1024
        if count < 1024:
            return f"{count:.1f} {unit}"
    return f"{count / 1024:.3g} PiB"


def check_claim(
    name: str, *, stack_bytes: int, total_bytes: int, file_bytes: int, compressed: bool, max_bytes: int
) -> None:
    """Refuse a file whose header claims more than it can hold or than may be read.

    Parameters
    ----------
    name : str
        The file's name, for messages.
    stack_bytes : int
        Size of one channel and time point, or of one stored page if that is larger.
    total_bytes : int
        Size of everything the header claims.
    file_bytes : int
        Size of the file.
    compressed : bool
        Whether the samples are stored compressed.
    max_bytes : int
        Limit for `stack_bytes`.

    Raises
    ------
    SpinecoreError
        One sentence.
    """
    if not compressed and total_bytes > file_bytes:
        raise SpinecoreError(
            f"{name} is truncated or its header is damaged (it claims {in_words(total_bytes)} of image but has "
            f"{in_words(file_bytes)}): copy or export it again"
        )
    if total_bytes > _BOMB_BYTES and total_bytes > _BOMB_RATIO * file_bytes:
        raise SpinecoreError(
            f"{name} claims {in_words(total_bytes)} of image in a file of {in_words(file_bytes)}, which no real "
            "image does: export it again"
        )
    if stack_bytes > max_bytes:
        raise SpinecoreError(
            f"{name} needs {in_words(stack_bytes)} for one channel and time point, above the limit of "
            f"{in_words(max_bytes)}: crop it or split it into smaller stacks"
        )


def check_side(name: str, height: int, width: int) -> None:
    """Refuse images with fewer than `MIN_SIDE_PX` rows or columns."""
    if min(height, width) < MIN_SIDE_PX:
        raise SpinecoreError(
            f"{name} is {width} x {height} pixels: give an image of at least {MIN_SIDE_PX} x {MIN_SIDE_PX}"
        )
