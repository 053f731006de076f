"""Which stored axis is time, channel, z, y and x."""

from __future__ import annotations

from dataclasses import dataclass

from spinecore.errors import SpinecoreError

#: TIFF PhotometricInterpretation values whose samples are colours.
RGB, SEPARATED, YCBCR = 2, 5, 6


@dataclass(frozen=True)
class Layout:
    """The meaning of each stored axis.

    Parameters
    ----------
    shape : tuple of int
        Stored shape, slowest axis first.
    roles : tuple of str
        One of T, C, Z, Y, X, S (colour samples) or "1" (a single entry) per axis.
    notes : tuple of str
        What had to be guessed, for people.
    """

    shape: tuple[int, ...]
    roles: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def shape_tczyx(self) -> tuple[int, int, int, int, int]:
        """Sizes in the order T, C, Z, Y, X."""
        t, c, z, y, x = (self._size(role) for role in "TCZYX")
        return (t, c, z, y, x)

    def _size(self, role: str) -> int:
        return self.shape[self.roles.index(role)] if role in self.roles else 1


def resolve_layout(axes: str, shape: tuple[int, ...], photometric: int, name: str) -> Layout:
    """Give every stored axis its role.

    Parameters
    ----------
    axes : str
        Axis letters as tifffile names them (I and Q mean "not said").
    shape : tuple of int
        Their sizes.
    photometric : int
        TIFF PhotometricInterpretation.
    name : str
        The file's name, for messages.

    Raises
    ------
    SpinecoreError
        If there is no image plane, an axis is empty, or there are more axes than roles.
    """
    if axes.count("Y") != 1 or axes.count("X") != 1:
        raise SpinecoreError(
            f"{name} holds no image planes (its axes are {axes}): export z slices as TIFF pages"
        )
    if 0 in shape:
        raise SpinecoreError(f"{name} claims an image of size zero, so it is damaged: export it again")
    roles: list[str] = [""] * len(axes)
    pending = []
    notes = []
    for index, (axis, size) in enumerate(zip(axes, shape, strict=True)):
        if axis in "YX":
            roles[index] = axis
        elif size == 1:
            roles[index] = "1"
        elif axis == "S" and size in (3, 4) and photometric in (RGB, YCBCR, SEPARATED):
            roles[index] = "S"
        elif axis == "S" and "C" not in roles:
            roles[index] = "C"
            notes.append(f"The {size} samples of each pixel are read as channels.")
        elif axis in "TCZ" and axis not in roles:
            roles[index] = axis
        else:
            pending.append(index)
    free = [role for role in "TCZ" if role not in roles]
    if len(pending) > len(free):
        raise SpinecoreError(
            f"{name} has more axes than time, channel, z, y and x (they are {axes} of sizes "
            f"{' x '.join(map(str, shape))}): export one position or view at a time"
        )
    guessed = _guess([shape[i] for i in pending], free)
    for index, role in zip(pending, guessed, strict=True):
        roles[index] = role
        meaning = {"Z": "z slices", "C": "channels", "T": "time points"}[role]
        notes.append(f"The file does not say what its {shape[index]} planes are; they are read as {meaning}.")
    return Layout(tuple(shape), tuple(roles), tuple(notes))


def _guess(sizes: list[int], free: list[str]) -> list[str]:
    """Return a role for each unnamed axis: z nearest to the image, few planes are channels.

    Examples
    --------
    >>> _guess([30], ["T", "C", "Z"]), _guess([2, 30], ["T", "C", "Z"]), _guess([30, 2], ["T", "C", "Z"])
    (['Z'], ['C', 'Z'], ['Z', 'C'])
    """
    if not sizes:
        return []
    if len(sizes) == 1:
        return [next(role for role in "ZTC" if role in free)]
    if len(sizes) == 2 and free == ["T", "C", "Z"]:
        slow, fast = sizes
        if fast <= 4 < slow:
            return ["Z", "C"]
        return ["C", "Z"] if slow <= 8 else ["T", "Z"]
    if len(sizes) == 3:
        return ["T", *_guess(sizes[1:], ["T", "C", "Z"])] if sizes[2] > 4 else ["T", "Z", "C"]
    return free
