"""Lengths as files write them, and whether a voxel size can be true."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence

from spinecore.stack import Spacing

#: In-plane pixel sizes (um) outside this range are not believed.
PLAUSIBLE_XY_UM = (0.005, 5.0)
#: Slice distances (um) outside this range are not believed.
PLAUSIBLE_Z_UM = (0.01, 50.0)

_UM_PER_UNIT = {
    "um": 1.0,
    "u": 1.0,
    "micron": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "pm": 1e-6,
    "fm": 1e-9,
    "dm": 1e5,
    "decimeter": 1e5,
    "decimetre": 1e5,
    "dam": 1e7,
    "hm": 1e8,
    "km": 1e9,
    "thou": 25.4,
    "mil": 25.4,
    "å": 1e-4,
    "a": 1e-4,
    "angstrom": 1e-4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "in": 25400.0,
    "inch": 25400.0,
    "inche": 25400.0,
    '"': 25400.0,
}

_MICRO = ("Âµ", "Î¼", "µ", "μ", "\ufffd")


#: Notes that no longer hold once the user has given the size.
NO_PIXEL_SIZE = "The file gives no pixel size: give it before reading any result in micrometres."
NO_Z_STEP = "The file gives no z step: give it before reading any 3-D result in micrometres."


def um_per_unit(text: object) -> float | None:
    r"""Return how many um one unit is, or None if the text names no length.

    Understands um, µm (both mu characters, mis-decoded ones, and ImageJ's escape ``\u00B5m``),
    micron, nm, mm, cm, dm, m, angstrom and inch, in any case and number.

    Examples
    --------
    >>> um_per_unit(r"\u00B5m"), um_per_unit("microns"), um_per_unit("nm"), um_per_unit("pixel")
    (1.0, 1.0, 0.001, None)
    """
    if not isinstance(text, str):
        return None
    word = unit_in_words(text)
    for micro in _MICRO:
        word = word.replace(micro, "u")
    word = word.lower()
    return _UM_PER_UNIT.get(word, _UM_PER_UNIT.get(word.rstrip("s")))


def unit_in_words(text: str) -> str:
    r"""Return a unit as people write it: ImageJ's ``\u00B5m`` and HTML escapes undone, blanks stripped."""
    word = re.sub(r"\\+u([0-9a-fA-F]{4})", lambda m: chr(int(m.group(1), 16)), text)
    return html.unescape(word).strip(" \t\r\n\x00'")


def positive(value: object) -> float | None:
    """Return the number if it is finite and above zero, else None."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def per_pixel(resolution: object) -> float | None:
    """Return units per pixel from a TIFF resolution (pixels per unit, a fraction), or None."""
    try:
        numerator, denominator = resolution  # type: ignore[misc]
    except (TypeError, ValueError):
        numerator, denominator = resolution, 1
    pixels, parts = positive(numerator), positive(denominator)
    if pixels is None or parts is None:
        return None
    return parts / pixels


def even_step(steps_um: Sequence[float]) -> float | None:
    """Return the distance between slices (um), the median of those between neighbours, or None where these are not even.

    Examples
    --------
    >>> even_step([0.3, 0.3]), even_step([0.3, 1.7]), even_step([])
    (0.3, None, None)
    """
    steps = sorted(steps_um)
    middle = steps[len(steps) // 2] if steps else 0.0
    if middle <= 0 or steps[-1] - steps[0] > 0.2 * middle:
        return None
    return float(f"{middle:.6g}")


class Finding:
    """A voxel size as one part of a file claims it; implausible values are dropped with a note.

    Parameters
    ----------
    origin : str
        Where it stands, e.g. "OME-XML".
    z_um, y_um, x_um : float or None
        Claimed sizes in um.
    notes : tuple of str
        Sentences for people.
    z_origin : str, optional
        Where the z step stands, if elsewhere.
    """

    def __init__(
        self,
        origin: str,
        z_um: float | None = None,
        y_um: float | None = None,
        x_um: float | None = None,
        notes: tuple[str, ...] = (),
        z_origin: str | None = None,
    ) -> None:
        self.origin = origin
        self.z_origin = z_origin or origin
        self.notes = list(notes)
        if y_um is None or x_um is None:
            y_um = x_um = y_um if x_um is None else x_um
        self.y_um = y_um
        self.x_um = x_um
        self.z_um = z_um
        if y_um is not None and x_um is not None and not (_within_xy(y_um) and _within_xy(x_um)):
            self.notes.append(
                f"{origin} claims {x_um:.6g} x {y_um:.6g} um per pixel, which cannot be true, so the pixel "
                "size is taken as unknown."
            )
            self.y_um = self.x_um = None
        if z_um is not None and not PLAUSIBLE_Z_UM[0] <= z_um <= PLAUSIBLE_Z_UM[1]:
            self.notes.append(
                f"{origin} claims {z_um:.6g} um between slices, which cannot be true, so the z step is "
                "taken as unknown."
            )
            self.z_um = None


def _within_xy(size_um: float) -> bool:
    return PLAUSIBLE_XY_UM[0] <= size_um <= PLAUSIBLE_XY_UM[1]


def from_print_resolution(dots_x: float, dots_y: float, um_per_length: float, unit: str) -> Finding:
    """Return the size that dots per inch or cm would mean; a print setting gives none.

    Parameters
    ----------
    dots_x, dots_y : float
        Pixels per unit.
    um_per_length : float
        25400 for inch, 10000 for cm.
    unit : str
        For people.
    """
    x_um, y_um = um_per_length / dots_x, um_per_length / dots_y
    if _within_xy(x_um) and _within_xy(y_um):
        return Finding("TIFF resolution tag", y_um=y_um, x_um=x_um)
    return Finding(
        "TIFF resolution tag",
        notes=(f"The resolution tag ({dots_x:.6g} pixels per {unit}) is a print setting, not a pixel size.",),
    )


def combine(findings: list[Finding], slices: int) -> tuple[Spacing, list[str]]:
    """Return the spacing from the first finding that knows each part, and notes on what is missing.

    Parameters
    ----------
    findings : list of Finding
        Most trusted first.
    slices : int
        Number of z slices; a single one has no z step.

    Returns
    -------
    spacing : Spacing
        ``source`` is "file" where the in-plane size is known, else "unknown".
    notes : list of str
    """
    notes = [note for finding in findings for note in finding.notes]
    plane = next((f for f in findings if f.x_um is not None), None)
    depth = next((f for f in findings if f.z_um is not None), None)
    parts = []
    if plane is not None:
        parts.append(f"pixel size from {plane.origin}")
    if depth is not None and slices > 1:
        parts.append(f"z step from {depth.z_origin}")
    if plane is None:
        notes.append(NO_PIXEL_SIZE)
    if depth is None and slices > 1:
        notes.append(NO_Z_STEP)
    spacing = Spacing(
        z_um=None if depth is None or slices == 1 else depth.z_um,
        y_um=None if plane is None else plane.y_um,
        x_um=None if plane is None else plane.x_um,
        source="unknown" if plane is None else "file",
        detail="; ".join(parts) or "not in the file",
    )
    return spacing, notes
