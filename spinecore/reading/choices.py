"""What a user can say about how a file is to be read, where the file itself leaves it open or says it wrongly."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from spinecore.errors import SpinecoreError


class ReadingChoices(BaseModel):
    """How a file is read.

    Parameters
    ----------
    axes : str or None
        What the axes longer than 1 are, in the order time, channel, z in which they are listed, then Y and X: a file
        of 16 "time points" that are slices is read with "ZYX", one of 2 time points and 16 channels that are slices
        with "TZYX".
    series : int or None
        Which image of a file that holds several (positions, series), from 0; None takes the first that is no mask.
    average_time : bool
        Read the mean of all time points (frames of one slice, or repeated volumes).
    line_shift_px : float
        Odd lines are moved by this many pixels along x (bidirectional scanning).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    axes: str | None = None
    series: int | None = Field(default=None, ge=0)
    average_time: bool = False
    line_shift_px: float = 0.0

    @field_validator("axes")
    @classmethod
    def _check_axes(cls, axes: str | None) -> str | None:
        if not axes:
            return None
        axes = axes.upper()
        leading = axes.removesuffix("YX")
        if leading == axes or len(set(leading)) != len(leading) or set(leading) - set("TCZ"):
            raise SpinecoreError(
                f"the axes {axes!r} cannot be read: write T, C and Z (each once at most) and end with YX, as in ZYX or TZYX"
            )
        return axes


def reassigned(shape_tcz: tuple[int, int, int], axes: str, name: str) -> tuple[int, int, int]:
    """Return, for the roles T, C and Z as wanted, which of the axes T, C, Z as read each is.

    Parameters
    ----------
    shape_tcz : tuple of int
        Sizes as read.
    axes : str
        As in `ReadingChoices.axes`.
    name : str
        The file's name, for the message.

    Returns
    -------
    tuple of int
        Position among T, C, Z as read of the wanted T, C and Z.

    Raises
    ------
    SpinecoreError
        If the number of axes differs.

    Examples
    --------
    >>> reassigned((16, 1, 1), "ZYX", "a.tif"), reassigned((2, 16, 1), "TZYX", "a.tif")
    ((1, 2, 0), (0, 2, 1))
    """
    wanted = axes.removesuffix("YX")
    long = [i for i, size in enumerate(shape_tcz) if size > 1]
    if len(wanted) != len(long):
        held = (
            ", ".join(f"{shape_tcz[i]} {('time points', 'channels', 'z slices')[i]}" for i in long)
            or "one plane"
        )
        raise SpinecoreError(
            f"the axes {axes} do not fit {name}, which holds {held}: name {len(long)} of T, C and Z before YX"
        )
    source = {role: long[k] for k, role in enumerate(wanted)}
    rest = [i for i in range(3) if i not in long]
    for role in "TCZ":
        if role not in source:
            own = "TCZ".index(role)
            source[role] = rest.pop(rest.index(own)) if own in rest else rest.pop(0)
    return source["T"], source["C"], source["Z"]
